"""The cases: what is measured of whom, and what must be reached.

A new case is one more function that returns a `Case`, and one more line in `all_cases`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

from .case import (
    CPU,
    DELIVERIES,
    GETS,
    LABELS,
    LENGTH,
    LOAD,
    LOST,
    MEMORY,
    OPENED,
    P50,
    P99,
    POSTS,
    REFERENCES,
    SERVER,
    WRONG,
    Case,
    Contender,
    Measure,
    contend,
    memory_of,
    under,
    with_big,
)
from .comments import comment_cases
from .figures import Figure, Target
from .growth import growth
from .load import Figures, Load, apply
from .servers import Kind, running
from .setting import Bench, Scale, on_core

_FAN_OUT = (DELIVERIES, CPU, SERVER, LOAD, LENGTH, LOST, WRONG)
_PROVEN = (
    Target("messages lost", "lost", 0, at_most=True),
    Target("sockets with a wrong sum of messages", "wrong", 0, at_most=True),
)


def all_cases(scale: Scale) -> list[Case]:
    """Every case, in the order of the report."""
    return [
        fan_out(scale),
        latency(scale),
        many_rooms(scale),
        hold(scale),
        posting(scale),
        listing(scale),
        memory(scale),
        opening(scale),
        start(scale),
        idle(scale),
        *comment_cases(scale),
        growth(scale),
    ]


def _big(title: str, figure: str, bound: float, *, at_most: bool = False) -> Target:
    """What the big database may cost: the ratio to the small one."""
    return Target(title, figure, bound, "ours", at_most, subject="ours_big")


def fan_out(scale: Scale) -> Case:
    """One room, as much as it takes."""
    load = Load(sockets=scale.fan_sockets, publishers=8)
    title = f"{load.sockets:,} sockets in one room"
    return Case(
        "fan-out",
        f"{title}, 8 publishers back to back",
        "Each publisher posts, waits for the answer and posts the next. A delivery is one message"
        " that one socket has received.",
        _FAN_OUT,
        contend(scale, load, REFERENCES),
        (
            Target(f"{title}: deliveries/s", "delivery_rate", 2, "c"),
            Target(f"{title}: deliveries/s", "delivery_rate", 5, "aiohttp"),
            Target(f"{title}: deliveries/s", "delivery_rate", 5, "aiohttp_plain"),
            Target(f"{title}: deliveries/s", "delivery_rate", 1, "others"),
            Target(f"{title}: CPU µs per delivery", "cpu_us", 0.5, "c", at_most=True),
            *(replace(target, title=f"{title}: {target.title}") for target in _PROVEN),
            _big(f"{title}: deliveries/s", "delivery_rate", 0.75),
        ),
    )


def latency(scale: Scale) -> Case:
    """One room, as much as people would write."""
    # So few messages that one in a hundred is little more than one.
    load = Load(
        sockets=scale.fan_sockets, publishers=8, rate=20, seconds=scale.latency_seconds or None
    )
    title = f"{load.sockets:,} sockets, 20 messages/s: p99 ms"
    return Case(
        "latency",
        f"{load.sockets:,} sockets in one room, 20 messages a second",
        "The time from sending a post to the moment when a socket has received its message, over"
        " all sockets. The load generator reads one socket after the other, which takes it some"
        " milliseconds for each message; that is in the figures of every server alike.",
        (P50, P99, CPU, LOAD, LOST, WRONG),
        contend(scale, load, ("c", "nchan")),
        (
            Target(title, "p99_ms", 1.3, "c", at_most=True),
            _big(title, "p99_ms", 1.25, at_most=True),
        ),
    )


def many_rooms(scale: Scale) -> Case:
    """Many rooms with some in each."""
    load = Load(sockets=scale.rooms_sockets, rooms=scale.rooms, publishers=16)
    title = f"{load.sockets:,} sockets in {load.rooms} rooms: deliveries/s"
    return Case(
        "rooms",
        f"{load.sockets:,} sockets in {load.rooms} rooms, 16 publishers back to back",
        "As above; each post goes to the next room.",
        (DELIVERIES, POSTS, *_FAN_OUT[1:]),
        contend(scale, load, REFERENCES),
        (
            Target(title, "delivery_rate", 2, "aiohttp"),
            Target(title, "delivery_rate", None, "aiohttp_plain"),
            Target(title, "delivery_rate", None, "nchan"),
            _big(title, "delivery_rate", 0.75),
        ),
    )


def hold(scale: Scale) -> Case:
    """How long the event loop can do nothing else."""
    slow = Load(sockets=scale.hold_sockets, publishers=1, rate=2)
    busy = Load(sockets=scale.hold_sockets, publishers=8)

    def timed(load: Load) -> Measure:
        kind = Kind("ours", scale.small, inside="presence" if load.events else "serving")

        def measure(bench: Bench) -> Figures:
            with running(bench, kind) as server:
                found = apply(bench, server, load)
                server.stop()
                return found | server.inside()

        return measure

    most, longest = Figure("p999_ms", "p99.9 ms", 2), Figure("max_ms", "longest ms", 2, True)
    title = f"{scale.hold_sockets:,} sockets in one room"
    return Case(
        "hold",
        f"{title}: how long one callback holds the event loop",
        "The functions that serve sockets are timed inside the server's process, in CPU time of"
        " their thread (bench/inside.py says which). Whatever else the loop has to do waits that"
        " long. The last row is of sockets that asked for events, and holds the telling of who is"
        " present too; all come at once there, which is the worst that can happen. Of fewer than"
        " 1,000 callbacks p99.9 is the longest.",
        (longest, most, Figure("p99_ms", "p99 ms", 2), Figure("count", "callbacks"), LOST),
        (
            Contender("ours", "2 messages/s", timed(slow)),
            Contender("ours_busy", "8 publishers back to back", timed(busy)),
            Contender("ours_events", "the same, with events", timed(replace(busy, events=True))),
        ),
        tuple(
            Target(f"{title}, {what}: {figure.label}", figure.key, bound, "", True, subject)
            for subject, what, bound in (
                ("ours", "2 messages/s", 5),
                ("ours_busy", "8 publishers", 5),
                ("ours_events", "8 publishers, with events", None),
            )
            for figure in (most, longest)
        ),
    )


def posting(scale: Scale) -> Case:
    """Posts, each durable before it is answered."""
    load = Load(sockets=1, publishers=64)
    constant = Load(publishers=64, constant=True)
    return Case(
        "post",
        "Posts, 64 publishers, one reader",
        "Beside a handler of aiohttp that reads the same request and answers `{}`: what the"
        " framework alone costs. Talkee Lite checks who posts, stores the message, waits for the"
        " disk, delivers it and answers with it.",
        (POSTS, Figure("post_cpu_us", "CPU µs per post", 1), SERVER, LOAD, LOST, WRONG),
        (
            Contender("ours", LABELS["ours"], under(load, Kind("ours", scale.small))),
            Contender("aiohttp", "aiohttp, constant", under(constant, Kind("aiohttp")), "aiohttp"),
            with_big(scale, load),
        ),
        (
            Target("posts/s; aiohttp: `{}`", "post_rate", 0.55, "aiohttp"),
            _big("posts/s", "post_rate", 0.75),
        ),
    )


def listing(scale: Scale) -> Case:
    """The list that every page asks for."""
    one = Load(publishers=16, method="GET")
    some = replace(one, rooms=scale.small.rooms)
    constant = replace(one, constant=True)
    return Case(
        "list",
        "The latest 100 messages of a room, 16 connections",
        "Beside a handler of aiohttp that answers constant bytes of the same number. Nobody posts"
        " meanwhile, so that the list of one room is made once and then kept; in the last but one"
        " row each request asks for the next room.",
        (GETS, Figure("post_cpu_us", "CPU µs per GET", 1), SERVER, LOAD),
        (
            Contender("ours", LABELS["ours"], under(one, Kind("ours", scale.small))),
            Contender("aiohttp", "aiohttp, constant", under(constant, Kind("aiohttp")), "aiohttp"),
            Contender(
                "ours_rooms",
                f"Talkee Lite, {some.rooms} rooms in turn",
                under(some, Kind("ours", scale.small)),
            ),
            with_big(scale, one),
        ),
        (
            Target("lists/s; aiohttp: constant", "post_rate", 0.75, "aiohttp"),
            _big("lists/s", "post_rate", 0.75),
        ),
    )


def memory(scale: Scale) -> Case:
    """What somebody costs who only listens."""
    load = Load(sockets=scale.memory_sockets, publishers=1, rate=4, seconds=0.5)

    def idle_of(name: str, load: Load = load) -> Measure:
        kind = Kind(name, scale.small if name == "ours" else None)
        return lambda bench: memory_of(bench, kind, load)

    names = ("aiohttp", "ws", "nchan", "c")
    title = "memory of an idle signed-in connection, KB"
    return Case(
        "memory",
        f"Memory of an idle connection, with {load.sockets:,} of them",
        "Resident memory with all connections open, less that of the server before the first, for"
        f" each connection. It is read {scale.idle_seconds:g} s after the last has opened. At"
        " Talkee Lite each is signed in as a person of its own, which the messages that are posted"
        " afterwards prove, as they reach all. Of nginx the worker counts.",
        (MEMORY, Figure("before_kb", "KB before"), LOST, WRONG),
        (
            Contender("ours", LABELS["ours"], idle_of("ours")),
            Contender(
                "ours_events",
                "Talkee Lite, with events",
                idle_of("ours", replace(load, events=True)),
            ),
            *(Contender(name, LABELS[name], idle_of(name), name) for name in names),
        ),
        (
            Target(title, "memory_kb", 5, at_most=True),
            Target(f"{title}, with events", "memory_kb", 5, at_most=True, subject="ours_events"),
        ),
    )


def opening(scale: Scale) -> Case:
    """Everybody comes at once, as after a restart."""
    load = Load(sockets=scale.open_sockets, anonymous=True)
    events = Load(sockets=scale.open_sockets, events=True)
    title = f"{load.sockets:,} connections opened a second"
    return Case(
        "open",
        f"{load.sockets:,} connections, opened 64 at a time",
        "Opened is a connection with the answer 101. In the row with events each has also sent who"
        " it is, and received `ready`.",
        (
            OPENED,
            Figure("open_cpu", "server's CPU s", 2),
            Figure("open_load_cpu", "load generator's CPU s", 2),
        ),
        (
            *contend(scale, load, tuple(name for name in REFERENCES if name != "aiohttp_plain")),
            Contender(
                "ours_events",
                "Talkee Lite, signed in with events",
                under(events, Kind("ours", scale.small)),
            ),
        ),
        (
            Target(title, "open_rate", 0.5, "c"),
            Target(
                f"{title}, signed in with events", "open_rate", None, "c", subject="ours_events"
            ),
            _big(title, "open_rate", 0.75),
        ),
    )


def start(scale: Scale) -> Case:
    """From nothing to listening."""

    def start_of(bench: Bench) -> Figures:
        with running(bench, Kind("ours", scale.small)) as server:
            return {"start_ms": server.start_seconds * 1000}

    def import_of(bench: Bench) -> Figures:
        with on_core(bench.cores[0] if bench.cores else None):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", "import aiohttp.web"], check=True)
            return {"start_ms": (time.perf_counter() - started) * 1000}

    return Case(
        "start",
        "From the start to listening",
        "The time until the server's address is printed, beside that of"
        ' `python -c "import aiohttp.web"` from start to end, in turn.',
        (Figure("start_ms", "ms"),),
        (
            Contender("ours", LABELS["ours"], start_of),
            Contender("aiohttp", "import aiohttp.web", import_of, "aiohttp"),
        ),
        (
            Target(
                "start to listening, ms; aiohttp: import", "start_ms", 2.5, "aiohttp", at_most=True
            ),
        ),
        rounds=scale.start_rounds,
    )


def idle(scale: Scale) -> Case:
    """What a server takes that nobody uses."""

    def idle_of(kind: Kind) -> Measure:
        def measure(bench: Bench) -> Figures:
            with running(bench, kind) as server:
                time.sleep(scale.idle_seconds)
                return {"memory_mb": server.memory() / 1024}

        return measure

    return Case(
        "idle",
        "Memory of an idle server",
        "Resident memory without a single connection; in the first row without optional packages,"
        " that is without uvloop.",
        (Figure("memory_mb", "MB", 1),),
        (
            Contender("ours", "Talkee Lite, plain", idle_of(Kind("ours", scale.small, plain=True))),
            Contender("ours_uvloop", "Talkee Lite, uvloop", idle_of(Kind("ours", scale.small))),
        ),
        (Target("idle server without optional packages, MB", "memory_mb", 48, at_most=True),),
    )
