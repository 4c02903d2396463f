"""What has changed of pages and sites, and when, as far as this process has seen it.

What is sent of a page is true for as long as its change is the same. Pages that were not changed
since the start share the start's; of too many the oldest are forgotten, and those count as changed
with the latest of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from .clock import Clock
from .models import Changed, Described, Moved, Recounted, RoomChanged, RoomKey
from .people import People

_MOST_PAGES = 20_000


class Change(NamedTuple):
    """The latest change: its number in this process, and its time in microseconds."""

    number: int
    at: int


class Changes:
    """The latest change of every page and site."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people = people
        self._clock = clock
        self._latest = clock()
        self._number = 0
        self._forgotten = self._profiles = Change(0, self._latest)
        self._generation = people.generation
        self._pages: OrderedDict[RoomKey, Change] = OrderedDict()
        self._sites: dict[int, Change] = {}
        self._start = self._forgotten

    def __len__(self) -> int:
        return len(self._pages)

    def note(self, results: Iterable[Any]) -> None:
        """Results of what was committed."""
        for result in results:
            if isinstance(result, Moved):
                self.changed(result.old)
            elif isinstance(result, Recounted):
                self._all_changed()
            elif (isinstance(result, Changed) and result.events) or isinstance(
                result, RoomChanged | Described
            ):
                self.changed(result.room)

    def changed(self, room: RoomKey) -> None:
        """Something on a page is another than it was."""
        change = self._next()
        self._pages[room] = self._sites[room.site_id] = change
        self._pages.move_to_end(room)
        if len(self._pages) > _MOST_PAGES:
            _, self._forgotten = self._pages.popitem(last=False)

    def _all_changed(self) -> None:
        self._pages.clear()
        self._sites.clear()
        self._start = self._forgotten = self._next()

    def of_page(self, room: RoomKey) -> Change:
        """The latest change of a page, or of the profiles on it."""
        return max(self._pages.get(room, self._forgotten), self._of_profiles())

    def of_site(self, site_id: int) -> Change:
        """The latest change of any page of a site."""
        return max(self._sites.get(site_id, self._start), self._of_profiles())

    def _of_profiles(self) -> Change:
        # What is asked for now is of this moment, so a change is later even if the clock goes back.
        self._latest = max(self._latest, self._clock())
        if self._generation != self._people.generation:
            self._generation = self._people.generation
            self._profiles = self._next()
        return self._profiles

    def _next(self) -> Change:
        self._number += 1
        self._latest = max(self._latest, self._clock())
        return Change(self._number, self._latest)
