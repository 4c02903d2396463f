"""The first comments of pages in use, in memory, ready to send.

What is kept of a page is dropped when anything on it changes: the next who asks reads it anew. All
pages together have a budget of bytes; the one unused for longest goes first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .models import Changed, Moved, Order, RoomKey, Viewer

_BUDGET = 32 * 1024 * 1024
_MOST_PAGES = 4096
# What a page costs beside its text, and what each person sees of it beside their favourites.
_PAGE_OVERHEAD = 1024
_OWN_OVERHEAD = 256

_MARK = b'"fav_id":0,'


class Shape(NamedTuple):
    """Which list of a page it is: in which order, and how many."""

    order: Order
    limit: int
    replies: int = 0
    """How many of each comment's replies come along."""


class Own(NamedTuple):
    """What one person sees of a list that others do not."""

    favourites: Mapping[int, int] = {}
    """Comment id → id of the favourite."""
    sees_held: bool = False
    """Whether comments of the page wait for approval that they see: such lists are not kept."""


class Thread:
    """One list as JSON, with the places where a caller's favourites stand."""

    __slots__ = ("_pieces", "_tail", "cost", "generation", "numbers", "revision", "total", "whole")

    def __init__(
        self,
        total: int,
        revision: int,
        comments: Sequence[tuple[int, bytes]],
        generation: int,
        replies: bytes | None = None,
    ) -> None:
        """`comments`: id and JSON of each, as a visitor sees it; `replies`: JSON of those that come
        along. `revision` is that of the page."""
        self.generation = generation
        """Of the profiles in it."""
        self.total = total
        self.revision = revision
        self.numbers = [number for number, _ in comments]
        self._tail = b"" if replies is None else b',"replies":%b' % replies
        self._pieces: list[tuple[int, bytes, bytes]] = []
        for number, shown in comments:
            before, _, after = shown.partition(_MARK)
            self._pieces.append((number, before, after))
        self.whole = self._joined(shown for _, shown in comments)
        """What a visitor gets."""
        self.cost = 2 * len(self.whole)

    def for_caller(self, favourites: Mapping[int, int]) -> bytes:
        """The list with a caller's favourites: comment id → id of the favourite."""
        if not favourites:
            return self.whole
        return self._joined(
            b'%b"fav_id":%d,%b' % (before, favourites.get(number, 0), after)
            for number, before, after in self._pieces
        )

    def _joined(self, comments: Iterable[bytes]) -> bytes:
        head = b'{"total":%d,"revision":%d,"comments":[' % (self.total, self.revision)
        return b"%b%b]%b}" % (head, b",".join(comments), self._tail)


class _Page:
    __slots__ = ("cost", "own", "threads")

    def __init__(self) -> None:
        self.threads: dict[Shape, Thread] = {}
        self.own: dict[tuple[Viewer, Shape], Own] = {}
        self.cost = _PAGE_OVERHEAD


class Reading:
    """One page being read; `is_stale` once it changed meanwhile, and then others begin anew."""

    __slots__ = ("is_stale", "lists", "readers")

    def __init__(self) -> None:
        self.readers = 0
        self.is_stale = False
        self.lists: dict[Shape, asyncio.Task[Thread]] = {}
        """Lists that are being read, for all who ask for them."""


class Threads:
    """All lists in memory."""

    def __init__(self) -> None:
        self._pages: OrderedDict[RoomKey, _Page] = OrderedDict()
        self._readings: dict[RoomKey, Reading] = {}
        self._cost = 0

    def __len__(self) -> int:
        return len(self._pages)

    def find(self, room: RoomKey, shape: Shape, generation: int) -> Thread | None:
        """A list that is kept, with profiles of this generation."""
        page = self._pages.get(room)
        if page is None:
            return None
        self._pages.move_to_end(room)
        thread = page.threads.get(shape)
        return thread if thread is not None and thread.generation == generation else None

    def own(self, room: RoomKey, viewer: Viewer, shape: Shape) -> Own | None:
        """What a viewer alone sees of a list, if that is kept."""
        page = self._pages.get(room)
        return None if page is None else page.own.get((viewer, shape))

    @contextmanager
    def reading(self, room: RoomKey) -> Iterator[Reading]:
        """While a page is read from the database."""
        reading = self._readings.setdefault(room, Reading())
        reading.readers += 1
        try:
            yield reading
        finally:
            reading.readers -= 1
            if not reading.readers and self._readings.get(room) is reading:
                del self._readings[room]

    def keep(self, room: RoomKey, shape: Shape, thread: Thread, reading: Reading) -> None:
        """Keep a list, unless the page changed while it was read."""
        if not reading.is_stale:
            page = self._page(room)
            earlier = page.threads.get(shape)
            page.threads[shape] = thread
            self._spend(page, thread.cost - (earlier.cost if earlier is not None else 0))

    def keep_own(
        self, room: RoomKey, viewer: Viewer, shape: Shape, own: Own, reading: Reading
    ) -> None:
        """Keep what a viewer sees of a list, where something of the page is kept, as `keep`."""
        page = self._pages.get(room)
        if page is not None and not reading.is_stale and (viewer, shape) not in page.own:
            page.own[viewer, shape] = own
            self._spend(page, _OWN_OVERHEAD + 100 * len(own.favourites))

    def drop(self, room: RoomKey) -> None:
        """What is kept of a page is not true any more."""
        reading = self._readings.pop(room, None)
        if reading is not None:
            reading.is_stale = True
        page = self._pages.pop(room, None)
        if page is not None:
            self._cost -= page.cost

    def clear(self) -> None:
        """Nothing that is kept is true any more."""
        for room in [*self._pages, *self._readings]:
            self.drop(room)

    def note(self, results: Iterable[Any]) -> None:
        """Results of what was committed: drop what is not true any more."""
        for result in results:
            if isinstance(result, Moved):
                self.drop(result.old)
            if isinstance(result, Changed) and result.events:
                self.drop(result.room)

    def _page(self, room: RoomKey) -> _Page:
        page = self._pages.get(room)
        if page is None:
            page = self._pages[room] = _Page()
            self._cost += page.cost
        return page

    def _spend(self, page: _Page, cost: int) -> None:
        page.cost += cost
        self._cost += cost
        while self._pages and (self._cost > _BUDGET or len(self._pages) > _MOST_PAGES):
            _, dropped = self._pages.popitem(last=False)
            self._cost -= dropped.cost
