"""Who listens to which room, and the way from a committed batch to their sockets.

Nothing here knows HTTP or SQL. A listener is anything that takes bytes without waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from .models import RoomKey
from .protocol import event_frame

SLICE = 500
"""Sockets served before the loop gets a turn; rooms with more are served in slices."""
PRESENCE_SECONDS = 2.0
"""The least time between two `presence` events of one room."""


class Audience(Enum):
    """What a listener gets: messages alone, every event, or what visitors may see."""

    PLAIN = 0
    EVENTS = 1
    VISITORS = 2


class Listener(Protocol):
    """One socket in a room. `user_id` is 0 for a visitor."""

    user_id: int
    audience: Audience
    online: int
    """The number of people that this listener was told last."""

    def deliver(self, data: bytes) -> None:
        """Send `data` or give the connection up; never waits, never raises."""


class _Room:
    __slots__ = ("backlog", "listeners", "people", "presence_at", "presence_timer", "seq")

    def __init__(self) -> None:
        self.listeners: dict[Audience, dict[Listener, None]] = {kind: {} for kind in Audience}
        self.backlog: deque[tuple[list[tuple[Listener, bytes]], Callable[[], None]]] = deque()
        self.people: dict[int, int] = {}
        self.seq = 0
        self.presence_at = float("-inf")
        self.presence_timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return sum(map(len, self.listeners.values()))


class Hub:
    """The rooms that somebody listens to."""

    def __init__(self) -> None:
        self._rooms: dict[RoomKey, _Room] = {}

    def join(self, room: RoomKey, listener: Listener, seq: int) -> None:
        """From now on `listener` gets what is published in `room`, whose last line is `seq`."""
        there = self._rooms.setdefault(room, _Room())
        there.seq = max(there.seq, seq)
        there.listeners[listener.audience][listener] = None
        if listener.user_id:
            there.people[listener.user_id] = there.people.get(listener.user_id, 0) + 1
        listener.online = len(there.people)
        self._presence_changed(there)

    def leave(self, room: RoomKey, listener: Listener) -> None:
        """Undo `join`. A listener that has not joined is no error."""
        there = self._rooms.get(room)
        if there is None or listener not in there.listeners[listener.audience]:
            return
        del there.listeners[listener.audience][listener]
        user_id = listener.user_id
        if user_id:
            there.people[user_id] -= 1
            if not there.people[user_id]:
                del there.people[user_id]
        if there.count:
            self._presence_changed(there)
        elif not there.backlog:
            self._forget(room, there)

    def is_used(self, room: RoomKey) -> bool:
        """Whether anybody listens to the room."""
        return room in self._rooms

    def is_busy(self, room: RoomKey) -> bool:
        """Whether some in the room have not been served what others have."""
        there = self._rooms.get(room)
        return there is not None and bool(there.backlog)

    def position(self, room: RoomKey) -> int:
        """The last `seq` that was published in a room that is used."""
        there = self._rooms.get(room)
        return there.seq if there is not None else 0

    def listeners(self, room: RoomKey, audience: Audience) -> list[Listener]:
        """Those of one kind who listen to a room."""
        there = self._rooms.get(room)
        return list(there.listeners[audience]) if there is not None else []

    def publish(
        self,
        room: RoomKey,
        frames: Mapping[Audience, bytes],
        done: Callable[[], None],
        *,
        seq: int = 0,
        instead: Mapping[Listener, bytes] | None = None,
    ) -> None:
        """Give everyone who listens to `room` now the frames of their kind: one write each.

        `seq` is the last line's number; `instead` holds what single listeners get in place of it.
        `done` is called once all have been served; in a large room that takes several turns of
        the loop, and what is published meanwhile waits behind it.
        """
        there = self._rooms.get(room)
        if there is None:
            done()
            return
        there.seq = max(there.seq, seq)
        if there.count <= SLICE and not there.backlog and not instead:
            for audience, data in frames.items():
                if data:
                    # A copy: one that is given up leaves the room while it is being served.
                    for listener in list(there.listeners[audience]):
                        listener.deliver(data)
            done()
            return
        special = instead or {}
        pairs = [
            (listener, special.get(listener, data))
            for audience, data in frames.items()
            for listener in there.listeners[audience]
        ]
        there.backlog.append((pairs, done))
        if len(there.backlog) == 1:
            self._serve_slice(room, there, 0)

    def _serve_slice(self, room: RoomKey, there: _Room, start: int) -> None:
        pairs, done = there.backlog[0]
        end = start + SLICE
        for listener, data in pairs[start:end]:
            if data:
                listener.deliver(data)
        if end >= len(pairs):
            there.backlog.popleft()
            done()
            end = 0
        if there.backlog:
            asyncio.get_running_loop().call_soon(self._serve_slice, room, there, end)
        elif not there.count and self._rooms.get(room) is there:
            self._forget(room, there)

    def _forget(self, room: RoomKey, there: _Room) -> None:
        if there.presence_timer is not None:
            there.presence_timer.cancel()
        del self._rooms[room]

    def online(self, room: RoomKey) -> int:
        """How many different signed-in people are in the room."""
        there = self._rooms.get(room)
        return len(there.people) if there is not None else 0

    def online_with(self, room: RoomKey, user_id: int) -> int:
        """As `online`, with one more person who is about to come."""
        there = self._rooms.get(room)
        people = there.people if there is not None else {}
        return len(people) + (1 if user_id and user_id not in people else 0)

    def _presence_changed(self, there: _Room) -> None:
        if there.presence_timer is None:
            loop = asyncio.get_running_loop()
            when = max(loop.time(), there.presence_at + PRESENCE_SECONDS)
            there.presence_timer = loop.call_at(when, self._tell_presence, there)

    def _tell_presence(self, there: _Room) -> None:
        there.presence_timer = None
        online = len(there.people)
        frame = event_frame({"type": "presence", "online": online})
        told = False
        for audience in (Audience.EVENTS, Audience.VISITORS):
            for listener in list(there.listeners[audience]):
                if listener.online != online:
                    listener.online = online
                    listener.deliver(frame)
                    told = True
        if told:
            there.presence_at = asyncio.get_running_loop().time()
