"""Who listens to which room, and the way from a committed batch to their sockets.

Nothing here knows HTTP or SQL. A listener is anything that takes bytes without waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from time import monotonic
from typing import Protocol

from .models import RoomKey
from .protocol import event_frame

SLICE = 250
"""Sockets served before the loop gets a turn; rooms with more are served in slices."""
_FEW = 50
REST = 0.25
"""How long a room rests after everybody in it was served, as a share of the time that took."""
_LEAST_REST = 0.001
_MOST_REST = 0.01
PRESENCE_SECONDS = 2.0
"""The least time between two `presence` events of one room."""


class Audience(IntEnum):
    """What a listener gets: messages alone, every event, or what visitors may see.

    A number, since it is looked up for each socket that is served.
    """

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


class _Pass:
    """Frames on their way to everybody in a room: one write for each."""

    __slots__ = ("done", "frames", "instead", "listeners")

    def __init__(self, instead: Mapping[Listener, bytes]) -> None:
        self.frames: dict[Audience, bytes] = {}
        self.instead = instead
        self.done: list[Callable[[], None]] = []
        self.listeners: list[Listener] | None = None
        """Who gets it; None: whoever is there when it begins, since nobody came meanwhile."""

    @property
    def takes_more(self) -> bool:
        """Whether what is published now may travel along."""
        return self.listeners is None and not self.instead

    def add(self, frames: Mapping[Audience, bytes], done: Callable[[], None]) -> None:
        """Let more frames travel along."""
        for audience, data in frames.items():
            if data:
                self.frames[audience] = self.frames.get(audience, b"") + data
        self.done.append(done)

    def settle(self, room: _Room) -> list[Listener]:
        """Fix who gets it: those who are there now."""
        if self.listeners is None:
            self.listeners = [
                listener for audience in self.frames for listener in room.listeners[audience]
            ]
        return self.listeners

    def serve(self, some: Sequence[Listener]) -> None:
        """Give some of the listeners their frames."""
        frames, instead = self.frames, self.instead
        if instead:
            for listener in some:
                data = instead.get(listener, frames[listener.audience])
                if data:
                    listener.deliver(data)
        else:
            for listener in some:
                listener.deliver(frames[listener.audience])


class _PresencePass(_Pass):
    """Tells how many people are there, to whoever does not know yet."""

    __slots__ = ("_online",)

    def __init__(self, online: int) -> None:
        super().__init__({})
        self._online = online
        frame = event_frame({"type": "presence", "online": online})
        self.frames = {Audience.EVENTS: frame, Audience.VISITORS: frame}

    @property
    def takes_more(self) -> bool:
        """Not this one."""
        return False

    def serve(self, some: Sequence[Listener]) -> None:
        """Tell some of the listeners."""
        for listener in some:
            if listener.online != self._online:
                listener.online = self._online
                listener.deliver(self.frames[listener.audience])


class _Room:
    __slots__ = (
        "backlog",
        "listeners",
        "people",
        "presence_at",
        "presence_timer",
        "rests_until",
        "revision",
        "seq",
        "spent",
        "turn",
    )

    def __init__(self) -> None:
        self.listeners: dict[Audience, dict[Listener, None]] = {kind: {} for kind in Audience}
        self.backlog: deque[_Pass] = deque()
        """What was published and has not reached everybody; the first is under way."""
        self.turn: asyncio.Handle | None = None
        """When the first pass goes on."""
        self.spent = 0.0
        self.rests_until = 0.0
        self.people: dict[int, int] = {}
        self.seq = 0
        self.revision = 0
        self.presence_at = float("-inf")
        self.presence_timer: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        return sum(map(len, self.listeners.values()))


class Hub:
    """The rooms that somebody listens to."""

    def __init__(self) -> None:
        self._rooms: dict[RoomKey, _Room] = {}

    def join(self, room: RoomKey, listener: Listener, seq: int, revision: int = 0) -> None:
        """From now on `listener` gets what is published in `room`, whose last line is `seq`.

        `revision` is that of its page's comments.
        """
        there = self._rooms.get(room)
        if there is None:
            there = self._rooms[room] = _Room()
        for waiting in there.backlog:
            # Whoever comes now has by other ways what was published before.
            waiting.settle(there)
        there.seq = max(there.seq, seq)
        there.revision = max(there.revision, revision)
        there.listeners[listener.audience][listener] = None
        if listener.user_id:
            there.people[listener.user_id] = there.people.get(listener.user_id, 0) + 1
        listener.online = len(there.people)
        self._presence_changed(room, there)

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
            self._presence_changed(room, there)
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

    def revise(self, room: RoomKey, revision: int) -> None:
        """Something happened to the comments of the room's page."""
        there = self._rooms.get(room)
        if there is not None:
            there.revision = revision

    def revision(self, room: RoomKey) -> int:
        """The last revision of a used room's page."""
        there = self._rooms.get(room)
        return there.revision if there is not None else 0

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
        `done` is called once all have been served. In a large room that takes several turns of
        the loop, and what is published meanwhile waits behind it, to go out together: a write
        costs the system as much as eight messages in it. For the same reason, and so that others
        get their turn, a room whose passes take long rests after each.
        """
        there = self._rooms.get(room)
        if there is None:
            done()
            return
        there.seq = max(there.seq, seq)
        if not (there.backlog or instead) and there.count <= _FEW:
            # Over before anything could join in, as nearly everywhere.
            for audience, data in frames.items():
                if data:
                    # A copy: one that is given up leaves the room while it is being served.
                    for listener in list(there.listeners[audience]):
                        listener.deliver(data)
            done()
            return
        last = there.backlog[-1] if there.backlog else None
        if last is None or instead or not last.takes_more:
            last = _Pass(instead or {})
            there.backlog.append(last)
        last.add(frames, done)
        self._begin(room, there)

    def _begin(self, room: RoomKey, there: _Room) -> None:
        """Serve the backlog, unless that is under way, or when the room has rested."""
        if there.turn is None:
            loop = asyncio.get_running_loop()
            if there.rests_until > monotonic():
                there.turn = loop.call_at(there.rests_until, self._serve, room, there, 0)
            else:
                self._serve(room, there, 0)

    def _serve(self, room: RoomKey, there: _Room, start: int) -> None:
        """One slice of the room's first pass, and whatever comes after it."""
        began = monotonic()
        first = there.backlog[0]
        listeners = first.settle(there)
        end = start + SLICE
        first.serve(listeners[start:end] if start or end < len(listeners) else listeners)
        now = monotonic()
        there.spent += now - began
        loop = asyncio.get_running_loop()
        if end < len(listeners):
            there.turn = loop.call_soon(self._serve, room, there, end)
            return
        there.backlog.popleft()
        there.turn = None
        rest = min(there.spent * REST, _MOST_REST)
        there.spent = 0.0
        if rest >= _LEAST_REST:
            # Not the loop's time: uvloop's stands still while a callback runs.
            there.rests_until = now + rest
        for done in first.done:
            done()
        if there.backlog:
            there.turn = loop.call_at(there.rests_until, self._serve, room, there, 0)
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

    def _presence_changed(self, room: RoomKey, there: _Room) -> None:
        listeners = there.listeners
        is_of_interest = listeners[Audience.EVENTS] or listeners[Audience.VISITORS]
        if is_of_interest and there.presence_timer is None:
            loop = asyncio.get_running_loop()
            when = max(loop.time(), there.presence_at + PRESENCE_SECONDS)
            there.presence_timer = loop.call_at(when, self._tell_presence, room, there)

    def _tell_presence(self, room: RoomKey, there: _Room) -> None:
        there.presence_timer = None
        if all(
            listener.online == len(there.people)
            for audience in (Audience.EVENTS, Audience.VISITORS)
            for listener in there.listeners[audience]
        ):
            return
        there.presence_at = asyncio.get_running_loop().time()
        there.backlog.append(_PresencePass(len(there.people)))
        self._begin(room, there)
