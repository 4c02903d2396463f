"""The measured server with a clock in it: how long single callbacks hold its event loop.

    python -m bench.inside FILE serving|presence ARGUMENTS OF talkee_lite…

The functions below do their work in one piece, while nothing else can run. Each is timed with the
CPU time of its thread, so that a time when the system ran something else does not count; one that
is called by another counts with it. What served no sockets, such as the storing of a sign-in, is
left out: there are thousands of it, and it takes no time. The telling of who is present, which
concerns those alone who asked for events, is timed with `presence`. When the server stops, FILE
gets JSON: `count`, and `p99_ms`, `p999_ms`, `max_ms` in milliseconds.
"""

from __future__ import annotations

import json
import math
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from talkee_lite.cli import main
from talkee_lite.hub import Hub
from talkee_lite.store.writer import Writer

Name = tuple[type[Any], str]

SERVING: tuple[Name, ...] = ((Hub, "_serve"), (Hub, "publish"))
"""Functions that send to sockets."""
PRESENCE: tuple[Name, ...] = ((Hub, "_tell_presence"),)
"""As `SERVING`, for who asked for events."""
AROUND: tuple[Name, ...] = ((Writer, "_deliver"),)
"""Functions that call those, among other things."""


class Stopwatch:
    """The thread time of each outermost call that served sockets, in nanoseconds."""

    def __init__(self) -> None:
        self.times = array("q")
        self._is_inside = False
        self._has_served = False

    def wrap(self, function: Callable[..., Any], *, serves: bool) -> Callable[..., Any]:
        """`function`, timed. `serves`: it sends to sockets itself."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._has_served |= serves
            if self._is_inside:
                return function(*args, **kwargs)
            self._is_inside = True
            started = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                if self._has_served:
                    self.times.append(time.thread_time_ns() - started)
                self._is_inside = self._has_served = False

        return timed

    def summary(self) -> dict[str, float]:
        """What the file holds."""
        times = sorted(self.times)
        return {
            "count": len(times),
            "p99_ms": percentile(times, 0.99) / 1e6,
            "p999_ms": percentile(times, 0.999) / 1e6,
            "max_ms": percentile(times, 1) / 1e6,
        }


def percentile(ascending: Sequence[int], share: float) -> int:
    """The least of `ascending` that `share` of them do not exceed; 0 if there is none."""
    if not ascending:
        return 0
    return ascending[max(0, math.ceil(len(ascending) * share) - 1)]


def run(path: Path, what: str, arguments: list[str]) -> int:
    """Serve with the functions timed; its exit status."""
    watch = Stopwatch()
    serving = SERVING + (PRESENCE if what == "presence" else ())
    for owner, name in serving + AROUND:
        function = getattr(owner, name, None)
        if function is None:
            sys.exit(f"{owner.__name__} has no {name}: put right what {__file__} times")
        timed = watch.wrap(function, serves=(owner, name) in serving)
        setattr(owner, name, timed)
    try:
        return main(arguments)
    finally:
        path.write_text(json.dumps(watch.summary()))


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
