"""The clock that is passed to whoever needs the time."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives whole microseconds since 1970-01-01T00:00:00Z."""

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND


SteadyClock = Callable[[], float]
"""Gives seconds from an unknown start; it never goes back. For pace and waiting, not for dates."""

steady_clock: SteadyClock = time.monotonic


def system_clock() -> int:
    """The machine's time, in microseconds."""
    return time.time_ns() // 1000
