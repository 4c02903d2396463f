"""How large the cases are, and what one run of the benchmark works with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .build import Tools


@dataclass(frozen=True)
class Stored:
    """A database: how many messages lie in how many rooms, and comments below pages."""

    messages: int
    rooms: int
    comments: int = 0
    """`seed.EACH` below each page."""


@dataclass(frozen=True)
class Scale:
    """The numbers in the cases."""

    name: str
    fan_sockets: int
    """Sockets in the one room of most cases."""
    rooms: int
    rooms_sockets: int
    """`rooms_sockets` sockets are spread over `rooms` rooms."""
    hold_sockets: int
    memory_sockets: int
    open_sockets: int
    small: Stored
    big: Stored
    commented: Stored
    commented_big: Stored
    growth_sockets: tuple[int, ...]
    growth_stored: tuple[Stored, ...]
    start_rounds: int
    latency_seconds: float
    """How long messages are timed that come slowly; 0: as long as everything else."""
    idle_seconds: float
    """How long a server is left alone before its memory is read."""


FULL = Scale(
    name="full",
    fan_sockets=1000,
    rooms=200,
    rooms_sockets=2000,
    hold_sockets=5000,
    memory_sockets=5000,
    open_sockets=10_000,
    small=Stored(20_000, 200),
    big=Stored(1_000_000, 10_000),
    commented=Stored(0, 0, 100_000),
    commented_big=Stored(0, 0, 1_000_000),
    growth_sockets=(10, 100, 1000, 10_000),
    growth_stored=tuple(Stored(10**power, 10 ** (power - 2)) for power in (3, 4, 5, 6)),
    start_rounds=10,
    latency_seconds=10,
    idle_seconds=2,
)
SMOKE = Scale(
    name="smoke",
    fan_sockets=20,
    rooms=4,
    rooms_sockets=20,
    hold_sockets=20,
    memory_sockets=20,
    open_sockets=20,
    small=Stored(400, 4),
    big=Stored(800, 8),
    commented=Stored(0, 0, 400),
    commented_big=Stored(0, 0, 800),
    growth_sockets=(5, 20),
    growth_stored=(Stored(100, 1), Stored(400, 4)),
    start_rounds=2,
    latency_seconds=0,
    idle_seconds=0.1,
)
SCALES = {scale.name: scale for scale in (FULL, SMOKE)}


@dataclass
class Bench:
    """One run: where it works, how long it measures, and on which cores."""

    work: Path
    tools: Tools
    scale: Scale
    rounds: int = 3
    seconds: float = 3.0
    """How long each measurement lasts."""
    warmup: float = 1.0
    """How long the load runs before that."""
    cores: tuple[int, int] | None = None
    """The server's core and the load generator's; None: not pinned."""
    frame_bytes: int = 0
    """How long the measured server's frames are, header included."""
    list_bytes: int = 0
    """How long its answer with the latest 100 messages is."""
    comments_bytes: int = 0
    """How long its answer with the comments of a page is."""
    _folders: Iterator[int] = field(default_factory=itertools.count)

    @property
    def tokens(self) -> Path:
        """The file with an access token of each person, one a line."""
        return self.work / "tokens"

    def new_folder(self, name: str) -> Path:
        """An empty folder for one server."""
        folder = self.work / "run" / f"{os.getpid()}-{next(self._folders)}-{name}"
        folder.mkdir(parents=True)
        return folder


def choose_cores() -> tuple[int, int] | None:
    """The first two cores that this process may use; None if there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else None


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on `core` alone; None: where the system likes."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
