"""What everything new below a page passes: who may write, how fast, and whether it is held."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .clock import Clock, SteadyClock
from .errors import Banned, RateLimited, RoomClosed
from .limits import Limits
from .models import Caller, Changed, Hold, RoomKey
from .people import People
from .sites import Sites

T = TypeVar("T")
M = TypeVar("M")


class Writing:
    """The rules of writing. `pace` is for what is new, `change_pace` for likes and changes."""

    def __init__(
        self,
        people: People,
        sites: Sites,
        pace: Limits,
        change_pace: Limits,
        clock: Clock,
        pace_clock: SteadyClock,
    ) -> None:
        self._people = people
        self._sites = sites
        self._pace = pace
        self._change_pace = change_pace
        self._clock = clock
        self._pace_clock = pace_clock

    def holds(self, caller: Caller, room: RoomKey) -> bool:
        """Whether what the caller writes there waits for approval."""
        hold = self._sites.get(room.site_id).hold_comments
        if hold is Hold.NOBODY or self._people.is_moderator(caller.user.id, room.site_id):
            return False
        return hold is Hold.EVERYBODY or caller.user.is_guest

    def check_may_write(self, caller: Caller) -> None:
        """Raises Banned."""
        if caller.user.banned_until > self._clock():
            raise Banned

    def take(self, writer: int | str, address: str) -> None:
        """Count something new, by a user or by who has none. Raises RateLimited."""
        wait = self._pace.take((writer, address), self._pace_clock())
        if wait:
            raise RateLimited(retry_after=wait)

    def take_change(self, user_id: int, address: str) -> None:
        """Count a change. Raises RateLimited."""
        wait = self._change_pace.take((user_id, address), self._pace_clock())
        if wait:
            raise RateLimited(retry_after=wait)

    async def write(
        self,
        caller: Caller,
        address: str,
        make: Callable[[], Awaitable[M]],
        write: Callable[[M | None], Future[Changed[T | None]]],
    ) -> tuple[T, bool]:
        """Write something new, unless the same is there: that is answered and costs a change.

        `make` makes what is to be written, of a text its HTML; only for who may write it. Others'
        `write` gets None, and looks for the same alone. Raises Banned, RoomClosed, RateLimited or
        Unavailable.
        """
        self.check_may_write(caller)
        self.take_change(caller.user.id, address)
        keys, pace_now = (caller.user.id, address), self._pace_clock()
        wait = self._pace.take(keys, pace_now)
        written = False
        try:
            made = None if wait else await make()
            self._people.check_present(caller.user.id)
            changed = await write(made)
            written = bool(changed.events)
        finally:
            if not written and not wait:
                self._pace.give_back(keys, pace_now)
        if changed.result is None:
            if changed.is_closed or not wait:
                raise RoomClosed
            raise RateLimited(retry_after=wait)
        return changed.result, not written
