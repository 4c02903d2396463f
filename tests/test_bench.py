"""The benchmark works from end to end, and its report says what was measured.

Nothing here looks at how fast anything is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.build import NCHAN_MODULE, NGINX_PLACES
from bench.case import Case
from bench.cases import all_cases
from bench.figures import Figure, Target, Verdict, judge, ratios
from bench.inside import Stopwatch, percentile
from bench.load import body_for
from bench.report import Run, document, reached_word, spread, table, target_words
from bench.setting import FULL, SMOKE

ROOT = Path(__file__).parent.parent
SMOKE_SECONDS = 240


def bench(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=SMOKE_SECONDS,
        check=False,
    )


def test_the_readme_quotes_what_was_measured() -> None:
    readme = (ROOT / "README.md").read_text()
    quoted = readme.split("## How fast it is")[1].split("\n## ")[0]
    figures = re.findall(r"\*\*([\d.,]+)", quoted)
    assert len(figures) == 3
    headline = (ROOT / "docs" / "performance.md").read_text().split("## ")[0]
    for figure in [*figures, *re.findall(r"([\d.]+) times", quoted)]:
        assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?![\d,])", headline), figure


@pytest.mark.long
def test_a_smoke_run_measures_every_case_of_every_server_that_is_there(tmp_path: Path) -> None:
    assert shutil.which("cc"), "the benchmark needs a C compiler: apt-get install gcc libc6-dev"
    out, work = tmp_path / "performance.md", tmp_path / "work"
    done = bench("--smoke", "--out", str(out), "--work", str(work))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    kept = json.loads((work / "smoke.json").read_text())
    meta, results = kept["meta"], kept["results"]

    missing = meta["missing"]
    assert set(missing) <= {"ws", "nchan", "isso"}
    nginx = shutil.which("nginx") or shutil.which("nginx", path=NGINX_PLACES)
    assert ("nchan" in missing) == (not nginx or not NCHAN_MODULE.exists())
    if (ROOT / ".bench" / "node" / "node_modules" / "ws").exists() and shutil.which("node"):
        assert "ws" not in missing

    cases = all_cases(SMOKE)
    assert list(results) == [case.name for case in cases]
    for case in cases:
        there = [who.key for who in case.contenders if who.server not in missing]
        assert list(results[case.name]) == there
        for key, figures in results[case.name].items():
            for values in figures.values():
                assert len(values) == (case.rounds or 1), (case.name, key)
            for figure in ("lost", "wrong"):
                assert set(figures.get(figure, [0])) == {0}, (case.name, key)
            counted = {"delivery_rate", "post_rate", "open_rate", "count", "start_ms", "memory_mb"}
            assert all(min(figures[name]) > 0 for name in counted & set(figures)), (case.name, key)

    lengths = {name: found["frame_bytes"][0] for name, found in results["fan-out"].items()}
    same = {lengths[name] for name in ("c", "nchan") if name in lengths}
    assert same == {meta["frame_bytes"]}
    assert abs(lengths["ours"] - meta["frame_bytes"]) <= 6  # numbers get longer

    text = out.read_text()
    assert_holds_all(text, cases, missing)
    assert text in done.stdout
    assert list((work / "run").iterdir()) == []

    # The same document once more, without measuring.
    shutil.copy(work / "smoke.json", work / "results.json")
    again = tmp_path / "again.md"
    assert bench("--report", "--work", str(work), "--out", str(again)).returncode == 0
    assert again.read_text() == text


def assert_holds_all(text: str, cases: list[Case], missing: dict[str, str]) -> None:
    """Every case with a row for each contender, every target, whatever was left out."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    for case in cases:
        assert case.title in text
        assert case.how in text
        for who in case.contenders:
            if who.server not in missing:
                assert any(row[0] == who.label for row in rows), (case.name, who.label)
        for target in case.targets:
            found = [row for row in rows if row[0] == target.title]
            assert any(row[-2] == target_words(target) for row in found), target
            assert all(row[-1] in ("yes", "**no**", "–") for row in found), target
    for why in missing.values():
        assert why in text
    assert "## Where the time goes" in text


def test_without_a_compiler_it_says_what_is_needed(tmp_path: Path) -> None:
    done = bench("--smoke", "--work", str(tmp_path / "work"), PATH="/nowhere")
    assert done.returncode == 1
    assert "needs a C compiler" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_case_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = bench("--only", "fan-out,nonsense", "--work", str(tmp_path))
    assert done.returncode == 1
    assert "there is no case nonsense" in done.stderr


def test_a_report_without_results_is_refused(tmp_path: Path) -> None:
    done = bench("--report", "--work", str(tmp_path), "--out", str(tmp_path / "p.md"))
    assert done.returncode == 1
    assert "there are no results" in done.stderr
    assert not (tmp_path / "p.md").exists()


RATE = Figure("rate", "a second")
TIME = Figure("time", "ms", 2)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    measured = {"ours": {"rate": [1.0, 2.0, 9.0]}, "c": {"rate": [1.0, 4.0, 3.0]}}
    verdict = judge(Target("", "rate", 1, "c"), RATE, measured)
    assert verdict == Verdict(2.0, 1.0, True)
    assert ratios([1, 2], [0, 4]) == [0.5]


@pytest.mark.parametrize(
    ("bound", "at_most", "is_reached"),
    [(2, False, True), (2.01, False, False), (2, True, True), (1.99, True, False)],
)
def test_a_target_is_reached_on_its_bound_and_on_one_side(
    bound: float, at_most: bool, is_reached: bool
) -> None:
    measured = {"ours": {"rate": [4.0]}, "c": {"rate": [2.0]}}
    target = Target("", "rate", bound, "c", at_most)
    assert judge(target, RATE, measured).is_reached is is_reached
    alone = Target("", "rate", bound * 2, "", at_most)
    assert judge(alone, RATE, measured) == Verdict(4.0, None, is_reached)


def test_the_best_of_all_others_is_looked_for_in_each_round() -> None:
    measured = {
        "ours": {"rate": [10.0, 10.0], "time": [1.0, 1.0]},
        "ours_big": {"rate": [99.0, 99.0], "time": [0.1, 0.1]},
        "c": {"rate": [20.0, 5.0], "time": [2.0, 8.0]},
        "ws": {"rate": [4.0, 8.0], "time": [4.0, 4.0]},
    }
    more = judge(Target("", "rate", 1, "others"), RATE, measured)
    assert more.ratio == pytest.approx((10 / 20 + 10 / 8) / 2)
    less = judge(Target("", "time", 1, "others", at_most=True), TIME, measured)
    assert less.ratio == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_the_worst_round_counts_for_what_must_not_happen_once() -> None:
    lost = Figure("lost", "lost", is_worst=True)
    measured = {"ours": {"lost": [0.0, 3.0, 0.0]}}
    assert judge(Target("", "lost", 0, at_most=True), lost, measured) == Verdict(3.0, None, False)
    usual = replace(lost, is_worst=False)
    assert judge(Target("", "lost", 0, at_most=True), usual, measured).is_reached is True


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    target = Target("", "rate", 2, "nchan")
    alone = judge(target, RATE, {"ours": {"rate": [4.0]}})
    assert alone == Verdict(4.0, None, None)
    assert judge(target, RATE, {"nchan": {"rate": [4.0]}}) == Verdict(None, None, None)
    assert reached_word(alone, target) == "–"
    assert judge(Target("", "rate", 1, "others"), RATE, {"ours": {"rate": [4.0]}}).ratio is None


def test_words_of_the_tables() -> None:
    target = Target("", "rate", 2, "c")
    assert reached_word(Verdict(1, 2, True), target) == "yes"
    assert reached_word(Verdict(1, 1, False), target) == "**no**"
    assert reached_word(Verdict(1, 1, None), replace(target, bound=None)) == "–"
    assert target_words(target) == "≥ 2 × C rooms"
    assert target_words(Target("", "time", 1.3, "c", at_most=True)) == "≤ 1.3 × C rooms"
    assert target_words(Target("", "time", 5, at_most=True)) == "≤ 5"
    assert target_words(Target("", "rate", 1, "others")) == "more than all others"
    assert target_words(Target("", "rate", None, "nchan")) == "beside Nchan"
    assert spread(TIME, [3.0, 1.0, 2.0]) == "2.00 (1.00 – 3.00)"
    assert spread(RATE, [1234.4, 1234.4]) == "1,234"
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def made_up_run(**changed: Any) -> Run:
    """A run with one case, whose figures are known."""
    meta = {
        "date": "2026-01-01 00:00",
        "command": "python -m bench",
        "scale": "full",
        "rounds": 3,
        "seconds": 3.0,
        "warmup": 1.0,
        "pinned": True,
        "frame_bytes": 551,
        "list_bytes": 52_686,
        "missing": {},
        "machine": {"CPU": "made up"},
    }
    rows = {"ours": 600_000.0, "c": 250_000.0, "aiohttp": 100_000.0}
    results = {
        "fan-out": {
            name: {
                "delivery_rate": [value] * 3,
                "cpu_us": [1e6 / value] * 3,
                "load_share": [0.97 if name == "c" else 0.5] * 3,
                "lost": [0.0, 0.0, 0.0],
                "wrong": [0.0, 0.0, 0.0],
            }
            for name, value in rows.items()
        },
        "memory": {"ours": {"memory_kb": [4.0, 5.0, 4.5], "lost": [0.0], "wrong": [0.0]}},
    }
    return Run(meta | changed, results)


def test_the_report_opens_with_what_the_figures_mean() -> None:
    text = document(made_up_run(), all_cases(FULL))
    first = text.split("## Targets")[0]
    assert "One core delivers **600,000 messages a second** to 1,000 readers" in first
    assert "2.4 times what a plain C server does" in first
    assert "6.0 times what the same rooms in aiohttp do" in first
    assert "takes **4.5 KB**" in first
    assert "10,000 of them take 44 MB" in first
    unpinned = document(made_up_run(pinned=False), all_cases(FULL))
    assert "One core delivers" not in unpinned
    assert "nothing is pinned in this run" in unpinned


def test_the_report_names_where_the_load_generator_was_the_limit() -> None:
    text = document(made_up_run(), all_cases(FULL))
    assert "busy more than 90% of the time with C rooms:" in text
    run = made_up_run()
    run.results["fan-out"]["c"]["load_share"] = [0.9] * 3
    assert "The load generator itself was busy" not in document(run, all_cases(FULL))


def test_the_report_names_what_was_left_out() -> None:
    missing = {"nchan": "nginx is not installed"}
    text = document(made_up_run(missing=missing), all_cases(FULL))
    assert "Left out in this run:\n\n- Nchan: nginx is not installed." in text
    assert "Left out" not in document(made_up_run(), all_cases(FULL))


def test_names_and_titles_are_unique() -> None:
    for scale in (FULL, SMOKE):
        cases = all_cases(scale)
        for names in ([case.name for case in cases], [case.title for case in cases]):
            assert len(names) == len(set(names))
        for case in cases:
            keys = [who.key for who in case.contenders]
            assert len(keys) == len(set(keys))
            for target in case.targets:
                assert case.figure(target.figure)
                assert target.subject in keys


def test_a_publisher_of_nchan_posts_what_readers_of_the_measured_server_get() -> None:
    body = body_for("nchan", "/a", 551).replace("{id}", "0" * 36)
    assert len(body) + 4 == 551
    assert json.loads(body)["data"] == json.loads(body_for("ours", "/a", 551))["data"]


def test_the_clock_counts_outermost_calls_that_serve_sockets() -> None:
    watch = Stopwatch()
    serve = watch.wrap(lambda: None, serves=True)
    around = watch.wrap(lambda work: work(), serves=False)
    around(lambda: [serve(), serve()])
    assert len(watch.times) == 1
    around(lambda: None)
    assert len(watch.times) == 1
    serve()
    with pytest.raises(ZeroDivisionError):
        watch.wrap(lambda: 1 / 0, serves=True)()
    assert len(watch.times) == 3
    assert watch.summary()["max_ms"] >= watch.summary()["p99_ms"] > 0


def test_percentiles_are_values_that_were_there() -> None:
    thousand = range(1, 1001)
    assert [percentile(thousand, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert percentile([7], 0.99) == 7
    assert percentile([], 0.99) == 0
