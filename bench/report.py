"""docs/performance.md, made of the results alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .case import LABELS, Case
from .figures import Figure, Target, Verdict, judge
from .growth import FIGURES
from .run import NOISE, OTHERS, REPEATS, Results
from .seed import TEXT
from .setting import SCALES

NOTES = Path(__file__).parent / "notes.md"
_BUSY = 0.9
"""The share of a core above which the load generator is the limit."""


@dataclass(frozen=True)
class Run:
    """Everything that the report is made of, as it lies in results.json."""

    meta: Mapping[str, Any]
    results: Results


def document(run: Run, cases: Sequence[Case]) -> str:
    """The whole report, in Markdown."""
    there = [case for case in cases if case.name in run.results]
    parts = [
        "# Performance",
        "Written by `python -m bench`; see [the end](#how-it-is-measured) for how to repeat it.",
        *_headline(run, there),
        _targets(run, there),
        _stored(run, there),
        *_growth(run, there),
        "## Case by case",
        "Medians over the rounds, with the least and the largest value in brackets.",
        *(part for case in there if case.name != "growth" for part in _details(run, case)),
        *_method(run),
    ]
    notes = NOTES.read_text(encoding="utf-8").strip() if NOTES.exists() else ""
    return "\n\n".join(part for part in (*parts, notes) if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def reached_word(verdict: Verdict, target: Target) -> str:
    """yes, no, or – where there is nothing to reach, or nothing to compare with."""
    if target.bound is None or verdict.is_reached is None:
        return "–"
    return "yes" if verdict.is_reached else "**no**"


def target_words(target: Target) -> str:
    """What must be reached, as the tables say it."""
    against = {**LABELS, "ours": "few stored", "ours_messages": "messages"}.get(target.against, "")
    if target.bound is None:
        return f"beside {against}" if against else "–"
    if target.against == "others":
        return "more than all others"
    sign = "≤" if target.at_most else "≥"
    return f"{sign} {target.bound:g}" + (f" × {against}" if against else "")


def spread(figure: Figure, values: Sequence[float]) -> str:
    """A figure over its rounds: what stands for them, then the least and the largest."""
    shown = figure.show(figure.of(values))
    least, largest = figure.show(min(values)), figure.show(max(values))
    return shown if least == largest else f"{shown} ({least} – {largest})"


def _value(run: Run, case: Case, contender: str, key: str) -> str:
    values = run.results[case.name].get(contender, {}).get(key)
    return case.figure(key).show(case.figure(key).of(values)) if values else "–"


def _verdict(run: Run, case: Case, target: Target) -> Verdict:
    return judge(target, case.figure(target.figure), run.results[case.name])


def _targets(run: Run, cases: Sequence[Case]) -> str:
    others = [name for name in LABELS if name != "ours"]
    rows = []
    for case in cases:
        for target in case.targets:
            if target.subject == "ours_big":
                continue
            verdict = _verdict(run, case, target)
            rows.append(
                [
                    target.title,
                    _value(run, case, target.subject, target.figure),
                    *(_value(run, case, name, target.figure) for name in others),
                    "–" if verdict.ratio is None else f"{verdict.ratio:.2f}",
                    target_words(target),
                    reached_word(verdict, target),
                ]
            )
    head = ["what", *LABELS.values(), "ratio", "target", "reached"]
    return "## Targets\n\n" + table(head, rows) if rows else ""


def _stored(run: Run, cases: Sequence[Case]) -> str:
    """The big database beside the small one."""
    rows = []
    for case in cases:
        for target in case.targets:
            if target.subject == "ours_big":
                verdict = _verdict(run, case, target)
                rows.append(
                    [
                        target.title,
                        _value(run, case, "ours", target.figure),
                        _value(run, case, "ours_big", target.figure),
                        "–" if verdict.ratio is None else f"{verdict.ratio:.2f}",
                        target_words(target),
                        reached_word(verdict, target),
                    ]
                )
    if not rows:
        return ""
    scale = SCALES[run.meta["scale"]]
    small, big = (f"{s.messages:,} messages in {s.rooms:,} rooms" for s in (scale.small, scale.big))
    words = (
        f"Few are {small}, or {scale.commented.comments:,} comments; many are {big}, or"
        f" {scale.commented_big.comments:,} comments."
    )
    head = ["what", "few stored", "many stored", "ratio", "target", "reached"]
    return f"## With a million stored\n\n{words}\n\n{table(head, rows)}"


def _growth(run: Run, cases: Sequence[Case]) -> list[str]:
    case = next((case for case in cases if case.name == "growth"), None)
    if case is None:
        return []
    parts = [f"## {case.title}", case.how]
    for prefix, what in (("sockets-", "sockets"), ("stored-", "messages stored")):
        rows = [
            [who.label, *(_value(run, case, who.key, figure.key) for figure in FIGURES)]
            for who in case.contenders
            if who.key.startswith(prefix)
        ]
        parts.append(table([what, *(figure.label for figure in FIGURES)], rows))
    return parts


def _details(run: Run, case: Case) -> list[str]:
    measured = run.results[case.name]
    rows = [
        [
            who.label,
            *(
                spread(figure, values)
                if (values := measured[who.key].get(figure.key)) is not None
                else "–"
                for figure in case.figures
            ),
        ]
        for who in case.contenders
        if who.key in measured
    ]
    parts = [f"### {case.title}", case.how]
    parts.append(table([case.name, *(figure.label for figure in case.figures)], rows))
    busy = [
        who.label
        for who in case.contenders
        if (shares := measured.get(who.key, {}).get("load_share"))
        and case.figure("load_share").of(shares) > _BUSY
    ]
    if busy:
        parts.append(
            f"The load generator itself was busy more than {_BUSY:.0%} of the time with"
            f" {', '.join(busy)}: there it is the limit of the rate, and the server's CPU time"
            " decides."
        )
    return parts


def _headline(run: Run, cases: Sequence[Case]) -> list[str]:
    """What the figures mean, for whoever runs a chat."""
    by_name = {case.name: case for case in cases}
    scale = SCALES[run.meta["scale"]]
    lines = []
    if case := by_name.get("fan-out"):
        who = "One core" if run.meta["pinned"] else "The server"
        ours = _value(run, case, "ours", "delivery_rate")
        beside = [
            f"{verdict.ratio:.1f} times {words}"
            for target, words in (
                (case.targets[0], "what a plain C server does that sends to one after the other"),
                (case.targets[1], "what the same rooms in aiohttp do"),
            )
            if (verdict := _verdict(run, case, target)).ratio is not None
        ]
        lines.append(
            f"{who} delivers **{ours} messages a second** to {scale.fan_sockets:,} readers of one"
            " room, and stores each message on the disk before anybody sees it"
            + (f". That is {', and '.join(beside)}." if beside else ".")
        )
    if case := by_name.get("latency"):
        p99 = _value(run, case, "ours", "p99_ms")
        lines.append(
            f"While people write 20 messages a second there, 99 % of all deliveries have arrived"
            f" **{p99} ms** after the message was sent."
        )
    if (case := by_name.get("memory")) and "ours" in run.results["memory"]:
        each = case.figure("memory_kb").of(run.results["memory"]["ours"]["memory_kb"])
        lines.append(
            f"A signed-in reader takes **{each:.1f} KB** of the server's memory, so that"
            f" {10_000:,} of them take {each * 10_000 / 1024:,.0f} MB."
        )
    if not lines:
        return []
    lines.append("All this is one process, without a web server before it.")
    if scale.name == "smoke":
        lines.append("**This was a trial with tiny numbers, which say nothing.**")
    return [" ".join(lines)]


def _noise(run: Run) -> str:
    """How much else went on."""
    shares = [
        share
        for contenders in run.results.values()
        for figures in contenders.values()
        for share in figures.get(OTHERS, ())
    ]
    if not shares:
        return ""
    return (
        f"A measurement is repeated if other programs took more than {NOISE:.0%} of a core"
        f" meanwhile, at most {REPEATS} times, and the least disturbed one counts. In what counts"
        f" here they took {median(shares):.1%} (median), and {max(shares):.0%} in the worst one."
    )


def _renewed(run: Run) -> str:
    """Which cases are not of the same run as the others."""
    cases: dict[str, list[str]] = {}
    for name, date in run.meta.get("renewed", {}).items():
        cases.setdefault(date, []).append(name)
    return "\n".join(
        f"Measured again later, {date} UTC: {', '.join(names)}." for date, names in cases.items()
    )


def _method(run: Run) -> list[str]:
    meta = run.meta
    scale = SCALES[meta["scale"]]
    pinned = (
        "The server runs on one core, the load generator on another."
        if meta["pinned"]
        else "Server and load generator share all cores: nothing is pinned in this run."
    )
    missing = "".join(f"\n- {LABELS[name]}: {why}." for name, why in meta["missing"].items())
    facts = table(["", ""], [[name, value] for name, value in meta["machine"].items()])
    return [
        "## How it is measured",
        f"`{meta['command']}`, {meta['date']} UTC. Rounds: {meta['rounds']} (start:"
        f" {scale.start_rounds}, growth: 1). Each measurement lasts {meta['seconds']:g} s, after"
        f" {meta['warmup']:g} s of the same load.",
        facts.replace("---:", "---"),
        f"{pinned} In each round every server is started anew, Talkee Lite with a fresh copy of"
        " its database, and gets the same load. Figures are medians over the rounds; a ratio is"
        " the median of the rounds' ratios. Only of what was lost, and of the longest time, the"
        " worst of all rounds counts. CPU time is user and system time of all of a server's"
        " processes, as the kernel counts it; KB are 1,024 bytes, MB 1,024 KB.",
        "The load generator (bench/load.c) is one epoll loop in C. Pinned, it looks for events"
        " without sleeping while it measures, since waking it up would be the server's work; its"
        " share of a core is the time in which it had something to do. All requests carry a"
        " browser's headers. Its readers count and add up the numbers of all messages that they"
        " get; at the end each must hold just those that were accepted. Everybody says the same"
        f" {len(TEXT)} characters. A frame of Talkee Lite has then {meta['frame_bytes']} bytes, and"
        f" its answer with the latest messages of a room {meta['list_bytes']:,}. Frames of C rooms"
        " and Nchan are made as long; those of the other libraries hold the message and its author,"
        " and are as long as their JSON.",
        "Talkee Lite runs with its default settings, with durable commits, and without limits for"
        " single people and addresses. Every reader and publisher is signed in as a person of its"
        " own. **The others store nothing, sign nobody in and limit nothing**; Nchan keeps the"
        " latest 100 messages in memory. aiohttp compresses what it sends to browsers unless it is"
        " told not to, and is there both ways; nobody else compresses. `websockets` has no HTTP"
        " posts, so that its publishers post over sockets.",
        "C rooms (bench/references/rooms.c) is what a plain C server does: one epoll loop that"
        " sends each message to each socket with one system call. Nchan is a module of nginx, with"
        " one worker. The references in aiohttp, `websockets` and `ws` are as their documentation"
        " would have them, the first two on uvloop.",
        _noise(run),
        _renewed(run),
        f"Left out in this run:\n{missing}" if missing else "",
        "To repeat it, on a machine with two idle cores: `python -m bench`, twenty minutes."
        " `python -m bench --help` shows more.",
    ]
