"""What it costs to grow: every case's figure with ten times as many sockets, or messages."""

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

FIGURES = (
    DELIVERIES,
    CPU,
    replace(P99, label="p99 ms at 20/s"),
    Figure("rooms_rate", "deliveries/s, many rooms"),
    Figure("max_ms", "longest hold ms", 2),
    Figure("posts_rate", "posts/s"),
    Figure("one_rate", "GETs/s, one room"),
    Figure("all_rate", "GETs/s, all rooms in turn"),
    OPENED,
    MEMORY,
)


def growth(scale: Scale) -> Case:
    """Both tables: rows `sockets-N` and `stored-N`."""
    small = scale.small
    return Case(
        "growth",
        "The cost of growth",
        "One run each, and every case above in each row. In the first table the sockets grow: they"
        " are all in one room, with 8 publishers back to back (the longest hold is measured"
        " there), then with 20 messages a second; then"
        f" {_each(scale)} in each room, with 16 publishers. For posts (64 publishers) and lists (16"
        " connections) they are open and idle meanwhile. Opened is opened and signed in with"
        " events, until `ready`; memory is that of these connections."
        f" {small.messages:,} messages are stored in {small.rooms:,} rooms. In the second table"
        f" the messages grow, 100 to a room, with {scale.fan_sockets:,} sockets.",
        (*FIGURES, LOST, WRONG),
        (
            *(
                Contender(f"sockets-{number}", f"{number:,}", _grown(scale, number, small))
                for number in scale.growth_sockets
            ),
            *(
                Contender(
                    f"stored-{stored.messages}",
                    f"{stored.messages:,}",
                    _grown(scale, scale.fan_sockets, stored),
                )
                for stored in scale.growth_stored
            ),
        ),
        rounds=1,
    )


def _each(scale: Scale) -> int:
    """How many sockets are in each room, where there are many."""
    return scale.rooms_sockets // scale.rooms


def _grown(scale: Scale, sockets: int, stored: Stored) -> Measure:
    """Every case, with that many sockets and messages."""
    kind = Kind("ours", stored)
    busy = Load(sockets=sockets, publishers=8)
    rooms = Load(sockets=sockets, rooms=max(1, sockets // _each(scale)), publishers=16)
    idle = Load(sockets=sockets, place="idle")
    post = Load(sockets=1, publishers=64)
    get = Load(publishers=16, method="GET")

    def fresh(bench: Bench, load: Load) -> Figures:
        with running(bench, kind) as server:
            return apply(bench, server, load)

    def beside_idle(bench: Bench, *loads: Load) -> list[Figures]:
        found: list[Figures] = []
        with running(bench, kind) as server:
            apply(
                bench,
                server,
                idle,
                while_open=lambda: found.extend(apply(bench, server, load) for load in loads),
            )
        return found

    def measure(bench: Bench) -> Figures:
        with running(bench, replace(kind, inside="serving")) as server:
            held = apply(bench, server, busy)
            server.stop()
            longest = server.inside()["max_ms"]
        fan, calm, many = (fresh(bench, load) for load in (busy, replace(busy, rate=20), rooms))
        one, every, posts = beside_idle(bench, get, replace(get, rooms=stored.rooms), post)
        memory = memory_of(bench, kind, Load(sockets=sockets, events=True))
        runs = (held, fan, calm, many, one, every, posts, memory)
        return {
            "delivery_rate": fan["delivery_rate"],
            "cpu_us": fan["cpu_us"],
            "p99_ms": calm["p99_ms"],
            "rooms_rate": many["delivery_rate"],
            "max_ms": longest,
            "posts_rate": posts["post_rate"],
            "one_rate": one["post_rate"],
            "all_rate": every["post_rate"],
            "open_rate": memory["open_rate"],
            "memory_kb": memory["memory_kb"],
            "lost": sum(run.get("lost", 0) for run in runs),
            "wrong": sum(run.get("wrong", 0) for run in runs),
            "other_share": max(run["other_share"] for run in runs),
        }

    return measure
