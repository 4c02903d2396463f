"""Work that takes the processor or memory for a while: aside, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..errors import Unavailable

T = TypeVar("T")


class Aside:
    """A thread of its own, and a bounded queue before it."""

    def __init__(self, most_waiting: int) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")
        self._turn = asyncio.Lock()
        self._most_waiting = most_waiting
        self._waiting = 0

    async def run(self, work: Callable[[], T], before: Callable[[], None] | None = None) -> T:
        """What `work` gives; `before` is called when its turn has come.

        Raises what they raise, and Unavailable if too many wait already.
        """
        if self._waiting >= self._most_waiting:
            raise Unavailable("Too many sign in at once; try again in a moment.", retry_after=2)
        self._waiting += 1
        try:
            async with self._turn:
                if before is not None:
                    before()
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Begin nothing more; what is being done ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
