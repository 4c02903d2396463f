"""How fast, beside others: measures all cases and writes docs/performance.md.

python -m bench                       everything; twenty minutes
python -m bench --only fan-out,post   some cases, printed
python -m bench --only idle --renew   some cases, among the results of the last full run
python -m bench --smoke --out FILE    tiny numbers: does it work from end to end?
python -m bench --report              the document again, from the results of the last run
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import seed
from .build import ROOT, BenchError, prepare
from .cases import all_cases
from .machine import describe
from .report import Run, document
from .run import Results, measure_sizes, run_cases
from .setting import FULL, SCALES, SMOKE, Bench, choose_cores

DOCUMENT = ROOT / "docs" / "performance.md"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _write_again(options) if options.report else _measure(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(case.name for case in all_cases(FULL))
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure the server beside others.", epilog=names
    )
    parser.add_argument("--only", default="", metavar="CASE,…", help="these cases, named below")
    parser.add_argument(
        "--renew",
        action="store_true",
        help="with --only: put them among the results of the last full run, and say so there",
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each (default: 3)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long each (default: 3)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the document's place")
    parser.add_argument(
        "--work", type=Path, default=ROOT / ".bench", metavar="DIR", help="for all other files"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny numbers, nothing pinned")
    parser.add_argument(
        "--report", action="store_true", help="only write the document, of the last full run"
    )
    return parser


def _measure(options: argparse.Namespace) -> int:
    scale = SMOKE if options.smoke else FULL
    cases = all_cases(scale)
    wanted = [name for name in options.only.split(",") if name]
    if options.renew:
        if not wanted or options.smoke:
            raise BenchError("--renew goes with --only, and not with --smoke")
        _last_run(options)
    unknown = set(wanted) - {case.name for case in cases}
    if unknown:
        raise BenchError(f"there is no case {', '.join(sorted(unknown))}; see --help")
    if wanted:
        cases = [case for case in cases if case.name in wanted]
    _check_files(scale.open_sockets)

    work = options.work.absolute()
    bench = Bench(
        work=work,
        tools=prepare(work, install=not options.smoke),
        scale=scale,
        rounds=options.rounds or (1 if options.smoke else 3),
        seconds=options.seconds or (0.3 if options.smoke else 3.0),
        warmup=0.05 if options.smoke else 1.0,
        cores=None if options.smoke else choose_cores(),
    )
    seed.make_tokens(bench.tokens)
    measure_sizes(bench)
    meta: dict[str, Any] = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        "command": " ".join(["python -m bench", *sys.argv[1:]]),
        "scale": scale.name,
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "warmup": bench.warmup,
        "pinned": bench.cores is not None,
        "frame_bytes": bench.frame_bytes,
        "list_bytes": bench.list_bytes,
        "missing": bench.tools.missing,
        "machine": describe(bench.tools, work),
    }
    kept = None if wanted else work / ("smoke.json" if options.smoke else "results.json")

    def keep(results: Results) -> None:
        if kept is not None:
            kept.write_text(json.dumps({"meta": meta, "results": results}, indent=1))

    started = time.monotonic()
    results = run_cases(bench, cases, keep)
    if options.renew:
        return _renew(options, results, meta["date"])
    text = document(Run(meta, results), cases)
    print(f"measured in {(time.monotonic() - started) / 60:.1f} minutes")
    out = options.out or (None if wanted or options.smoke else DOCUMENT)
    if out is None or wanted or options.smoke:
        print(f"\n{text}")
    _write(out, text)
    return 0


def _renew(options: argparse.Namespace, results: Results, date: str) -> int:
    loaded = _last_run(options)
    loaded["results"].update(results)
    loaded["meta"].setdefault("renewed", {}).update(dict.fromkeys(results, date))
    (options.work / "results.json").write_text(json.dumps(loaded, indent=1))
    return _write_again(options)


def _last_run(options: argparse.Namespace) -> Any:
    source = options.work / "results.json"
    if not source.exists():
        raise BenchError(f"there are no results in {source}; `python -m bench` makes them")
    return json.loads(source.read_text())


def _write_again(options: argparse.Namespace) -> int:
    loaded = _last_run(options)
    run = Run(loaded["meta"], loaded["results"])
    _write(options.out or DOCUMENT, document(run, all_cases(SCALES[run.meta["scale"]])))
    return 0


def _write(out: Path | None, text: str) -> None:
    if out is not None:
        out.write_text(text, encoding="utf-8")
        print(f"written: {out}")


def _check_files(sockets: int) -> None:
    """Both sides hold all sockets of the largest case."""
    needed = sockets + 300
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        raise BenchError(
            f"a process must be allowed to open {needed:,} files for this, and may open {allowed:,}"
            " (ulimit -Hn)"
        )


if __name__ == "__main__":
    sys.exit(main())
