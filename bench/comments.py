"""The cases about comments below pages."""

from __future__ import annotations

from .case import (
    CPU,
    GETS,
    LABELS,
    LOAD,
    LOST,
    P50,
    P99,
    POSTS,
    SERVER,
    WRONG,
    Case,
    Contender,
    under,
)
from .figures import Figure, Target
from .load import Load
from .seed import EACH
from .servers import Kind
from .setting import Scale


def comment_cases(scale: Scale) -> list[Case]:
    """All of them."""
    return [reading(scale), writing(scale), live(scale)]


def _big(scale: Scale, load: Load) -> Contender:
    label = f"Talkee Lite, {scale.commented_big.comments:,} comments"
    return Contender("ours_big", label, under(load, Kind("ours", scale.commented_big)))


def _big_target(title: str) -> Target:
    return Target(title, "post_rate", 0.75, "ours", subject="ours_big")


def reading(scale: Scale) -> Case:
    """The comments of a page."""
    signed = Load(publishers=16, method="GET", comments=True)
    visitor = Load(publishers=16, method="GET", comments=True, signed_in=False)
    constant = Load(publishers=16, method="GET", constant=True)
    kind = Kind("ours", scale.commented)
    title = f"{EACH} comments of a page, lists/s"
    return Case(
        "comments",
        f"The {EACH} comments of a page, 16 connections",
        f"{scale.commented.comments:,} comments are stored, of 100 characters each. Who is"
        " signed in gets their own likes with them; three comments of the page are liked. Beside a"
        " handler of aiohttp that answers constant bytes of the same number, and Isso with as many"
        " comments, in gunicorn with one worker.",
        (GETS, Figure("post_cpu_us", "CPU µs per GET", 1), SERVER, LOAD),
        (
            Contender("ours", "Talkee Lite, visitors", under(visitor, kind)),
            Contender("ours_signed", "Talkee Lite, signed in", under(signed, kind)),
            Contender(
                "aiohttp",
                "aiohttp, constant",
                under(constant, Kind("aiohttp", comments=True)),
                "aiohttp",
            ),
            Contender(
                "isso", LABELS["isso"], under(visitor, Kind("isso", scale.commented)), "isso"
            ),
            _big(scale, visitor),
        ),
        (
            Target(f"{title}; aiohttp: constant", "post_rate", 0.4, "aiohttp"),
            Target(
                f"{title}, signed in; aiohttp: constant",
                "post_rate",
                0.4,
                "aiohttp",
                subject="ours_signed",
            ),
            Target(title, "post_rate", 40, "isso"),
            _big_target(title),
        ),
    )


def writing(scale: Scale) -> Case:
    """New comments, each durable before it is answered."""
    load = Load(publishers=32, comments=True)
    constant = Load(publishers=32, constant=True, comments=True)
    title = "comments/s"
    return Case(
        "comment",
        "New comments, 32 writers, one page",
        "Beside a handler of aiohttp that reads the same request and answers `{}`. Talkee Lite"
        " checks who writes, makes HTML of the Markdown, looks for a double click, stores the"
        " comment, waits for the disk and answers with it.",
        (POSTS, Figure("post_cpu_us", "CPU µs per comment", 1), SERVER, LOAD),
        (
            Contender("ours", LABELS["ours"], under(load, Kind("ours", scale.commented))),
            Contender("aiohttp", "aiohttp, constant", under(constant, Kind("aiohttp")), "aiohttp"),
            _big(scale, load),
        ),
        (Target(f"{title}; aiohttp: `{{}}`", "post_rate", 0.25, "aiohttp"), _big_target(title)),
    )


def live(scale: Scale) -> Case:
    """How soon readers of a page see a comment."""

    def load(*, comments: bool) -> Load:
        return Load(
            sockets=scale.fan_sockets,
            publishers=8,
            rate=20,
            events=True,
            comments=comments,
            seconds=scale.latency_seconds or None,
        )

    kind = Kind("ours", scale.commented)
    title = f"a comment to {scale.fan_sockets:,} readers, beside a message"
    return Case(
        "live",
        f"{scale.fan_sockets:,} readers of a page, 20 comments or messages a second",
        "All have asked for events. The time from sending a comment, or a message, to the moment"
        " when a reader has received it, over all readers.",
        (P50, P99, CPU, LOAD, LOST, WRONG),
        (
            Contender("ours", "comments", under(load(comments=True), kind)),
            Contender("ours_messages", "messages", under(load(comments=False), kind)),
        ),
        (
            Target(f"{title}: p50 ms", "p50_ms", 1.25, "ours_messages", at_most=True),
            Target(f"{title}: p99 ms", "p99_ms", None, "ours_messages", at_most=True),
            Target(f"{title}: lost", "lost", 0, at_most=True),
        ),
    )
