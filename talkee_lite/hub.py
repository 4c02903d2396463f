"""Who listens to which room, and the way from a committed batch to their sockets.

Nothing here knows HTTP or SQL. A listener is anything that takes bytes without waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from .models import RoomKey

SLICE = 500
"""Sockets served before the loop gets a turn; rooms with more are served in slices."""


class Listener(Protocol):
    """One signed-in socket in a room."""

    user_id: int

    def deliver(self, data: bytes) -> None:
        """Send `data` or give the connection up; never waits, never raises."""


class _Room:
    __slots__ = ("backlog", "listeners")

    def __init__(self) -> None:
        self.listeners: dict[Listener, None] = {}
        self.backlog: deque[tuple[list[Listener], bytes, Callable[[], None]]] = deque()


class Hub:
    """The rooms that somebody listens to, and every signed-in person's connections."""

    def __init__(self) -> None:
        self._rooms: dict[RoomKey, _Room] = {}
        self._by_user: dict[int, dict[Listener, None]] = {}

    def join(self, room: RoomKey, listener: Listener) -> None:
        """From now on `listener` gets what is published in `room`."""
        self._rooms.setdefault(room, _Room()).listeners[listener] = None
        self._by_user.setdefault(listener.user_id, {})[listener] = None

    def leave(self, room: RoomKey, listener: Listener) -> None:
        """Undo `join`. A listener that has not joined is no error."""
        there = self._rooms.get(room)
        if there is not None:
            there.listeners.pop(listener, None)
            if not there.listeners and not there.backlog:
                del self._rooms[room]
        theirs = self._by_user.get(listener.user_id)
        if theirs is not None:
            theirs.pop(listener, None)
            if not theirs:
                del self._by_user[listener.user_id]

    def is_used(self, room: RoomKey) -> bool:
        """Whether anybody listens to the room."""
        return room in self._rooms

    def listeners_of(self, user_id: int) -> list[Listener]:
        """One person's connections, the oldest first."""
        return list(self._by_user.get(user_id, ()))

    def publish(self, room: RoomKey, data: bytes, done: Callable[[], None]) -> None:
        """Give `data` to everyone who listens to `room` now: one write for each socket.

        `done` is called once all have been served; in a large room that takes several turns of
        the loop, and what is published meanwhile waits behind it.
        """
        there = self._rooms.get(room)
        if there is None:
            done()
            return
        if len(there.listeners) <= SLICE and not there.backlog:
            # A copy: a connection that is given up leaves the room while it is being served.
            _serve(list(there.listeners), data)
            done()
            return
        there.backlog.append((list(there.listeners), data, done))
        if len(there.backlog) == 1:
            self._serve_slice(room, there, 0)

    def _serve_slice(self, room: RoomKey, there: _Room, start: int) -> None:
        listeners, data, done = there.backlog[0]
        end = start + SLICE
        _serve(listeners[start:end], data)
        if end >= len(listeners):
            there.backlog.popleft()
            done()
            end = 0
        if there.backlog:
            asyncio.get_running_loop().call_soon(self._serve_slice, room, there, end)
        elif not there.listeners and self._rooms.get(room) is there:
            del self._rooms[room]


def _serve(listeners: Iterable[Listener], data: bytes) -> None:
    for listener in listeners:
        listener.deliver(data)
