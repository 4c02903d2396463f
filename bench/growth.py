"""What it costs to grow: the same figures with ten times as many sockets, or messages."""

from __future__ import annotations

from dataclasses import replace

from .case import (
    CPU,
    DELIVERIES,
    LOST,
    MEMORY,
    OPENED,
    P99,
    WRONG,
    Case,
    Contender,
    Measure,
    memory_of,
)
from .figures import Figure
from .load import Figures, Load, apply
from .servers import Kind, running
from .setting import Bench, Scale, Stored

SOCKETS = (DELIVERIES, CPU, replace(P99, label="p99 ms at 20/s"), OPENED, MEMORY)
MESSAGES = (
    Figure("post_rate", "posts/s"),
    Figure("get_rate", "GETs/s, one room"),
    Figure("get_rate_all", "GETs/s, all rooms in turn"),
)


def growth(scale: Scale) -> Case:
    """Both tables: rows `sockets-N` and `stored-N`."""
    return Case(
        "growth",
        "The cost of growth",
        "One run each. All sockets are in one room, with 8 publishers back to back, then with 20"
        " messages a second. Opened is opened and signed in with events, until `ready`; memory is"
        " that of these connections. Messages lie 100 to a room; there are 64 publishers, and 16"
        " connections that get the latest 100.",
        (*SOCKETS, *MESSAGES, LOST, WRONG),
        (
            *(
                Contender(f"sockets-{number}", f"{number:,}", _with_sockets(scale, number))
                for number in scale.growth_sockets
            ),
            *(
                Contender(f"stored-{stored.messages}", f"{stored.messages:,}", _with(stored))
                for stored in scale.growth_stored
            ),
        ),
        rounds=1,
    )


def _with_sockets(scale: Scale, number: int) -> Measure:
    kind = Kind("ours", scale.small)
    busy = Load(sockets=number, publishers=8)

    def measure(bench: Bench) -> Figures:
        with running(bench, kind) as server:
            found = apply(bench, server, busy)
        with running(bench, kind) as server:
            calm = apply(bench, server, replace(busy, rate=20))
        idle = memory_of(bench, kind, Load(sockets=number, events=True))
        return {
            "delivery_rate": found["delivery_rate"],
            "cpu_us": found["cpu_us"],
            "p99_ms": calm["p99_ms"],
            "open_rate": idle["open_rate"],
            "memory_kb": idle["memory_kb"],
            "lost": found["lost"] + calm["lost"],
            "wrong": found["wrong"] + calm["wrong"],
            "other_share": max(some["other_share"] for some in (found, calm, idle)),
        }

    return measure


def _with(stored: Stored) -> Measure:
    get = Load(publishers=16, method="GET")

    def measure(bench: Bench) -> Figures:
        with running(bench, Kind("ours", stored)) as server:
            one = apply(bench, server, get)
            each = apply(bench, server, replace(get, rooms=stored.rooms))
        with running(bench, Kind("ours", stored)) as server:
            posted = apply(bench, server, Load(sockets=1, publishers=64))
        return {
            "post_rate": posted["post_rate"],
            "get_rate": one["post_rate"],
            "get_rate_all": each["post_rate"],
            "lost": posted["lost"],
            "wrong": posted["wrong"],
            "other_share": max(some["other_share"] for some in (one, each, posted)),
        }

    return measure
