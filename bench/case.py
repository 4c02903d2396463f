"""What a case is, and what cases share: their figures, contenders and ways to measure."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .figures import Figure, Target
from .load import Figures, Load, apply
from .servers import Kind, running
from .setting import Bench, Scale

Measure = Callable[[Bench], Figures]

LABELS = {
    "ours": "Talkee Lite",
    "c": "C rooms",
    "aiohttp": "aiohttp",
    "aiohttp_plain": "aiohttp, uncompressed",
    "websockets": "websockets",
    "ws": "ws",
    "nchan": "Nchan",
    "isso": "Isso",
}
"""The servers, in the order of the report's columns."""

REFERENCES = ("c", "aiohttp", "aiohttp_plain", "websockets", "ws", "nchan")

DELIVERIES = Figure("delivery_rate", "deliveries/s")
CPU = Figure("cpu_us", "CPU µs per delivery", 2)
LOAD = Figure("load_share", "load generator's share of a core", 2)
SERVER = Figure("server_share", "server's share of a core", 2)
LOST = Figure("lost", "lost", is_worst=True)
WRONG = Figure("wrong", "sockets with wrong sums", is_worst=True)
LENGTH = Figure("frame_bytes", "bytes per frame")
P50 = Figure("p50_ms", "p50 ms", 2)
P99 = Figure("p99_ms", "p99 ms", 2)
POSTS = Figure("post_rate", "posts/s")
GETS = Figure("post_rate", "GETs/s")
OPENED = Figure("open_rate", "opened/s")
MEMORY = Figure("memory_kb", "KB per connection", 2)


@dataclass(frozen=True)
class Contender:
    """One row of a case: a server under the case's load."""

    key: str
    label: str
    measure: Measure
    server: str = "ours"
    """Whose row is left out if that server is not there."""


@dataclass(frozen=True)
class Case:
    """Something to measure of several servers in turn, round by round."""

    name: str
    title: str
    how: str
    figures: tuple[Figure, ...]
    contenders: tuple[Contender, ...]
    targets: tuple[Target, ...] = ()
    rounds: int | None = None
    """None: as many as were asked for."""

    def figure(self, key: str) -> Figure:
        """The figure of that key."""
        return next(figure for figure in self.figures if figure.key == key)


def contend(scale: Scale, load: Load, references: tuple[str, ...]) -> tuple[Contender, ...]:
    """Ours on the small and on the big database, and references, under the same load."""
    return (
        Contender("ours", LABELS["ours"], under(load, Kind("ours", scale.small))),
        *(Contender(name, LABELS[name], under(load, Kind(name)), name) for name in references),
        with_big(scale, load),
    )


def with_big(scale: Scale, load: Load) -> Contender:
    """Ours on the big database."""
    label = f"Talkee Lite, {scale.big.messages:,} messages"
    return Contender("ours_big", label, under(load, Kind("ours", scale.big)))


def under(load: Load, kind: Kind) -> Measure:
    """Start such a server and put the load on it."""

    def measure(bench: Bench) -> Figures:
        with running(bench, kind) as server:
            return apply(bench, server, load)

    return measure


def memory_of(bench: Bench, kind: Kind, load: Load) -> Figures:
    """What an idle connection takes of the server's memory, and what else `load` found."""
    with running(bench, kind) as server:
        time.sleep(bench.scale.idle_seconds / 4)
        readings = [server.memory()]

        def read() -> None:
            time.sleep(bench.scale.idle_seconds)
            readings.append(server.memory())

        found = apply(bench, server, load, while_open=read)
    before, after = readings
    return found | {"before_kb": before, "memory_kb": (after - before) / load.sockets}
