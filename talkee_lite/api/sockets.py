"""The keeper of all connections: limits on how many, the sweeper, and the end of all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress

from ..auth.tokens import Tokens
from ..chat import Chat
from ..clock import Clock
from ..closing import RESTART, TOO_MANY
from ..config import LimitsConfig
from ..errors import TooManyConnections
from ..hub import Hub
from ..people import People
from ..sites import Sites
from .frames import FramedConnection
from .socket import Connection

_log = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.5
_SLICE = 1000


class Sockets:
    """Every open connection, and what each of them works with."""

    def __init__(
        self,
        limits: LimitsConfig,
        *,
        hub: Hub,
        chat: Chat,
        people: People,
        sites: Sites,
        tokens: Tokens,
        clock: Clock,
        most: int,
    ) -> None:
        self.limits = limits
        self.hub = hub
        self.chat = chat
        self.people = people
        self.sites = sites
        self.tokens = tokens
        self.clock = clock
        self.paused: dict[FramedConnection, None] = {}
        self._most = most
        self._all: dict[Connection, None] = {}
        self._by_address: dict[str, int] = {}
        self._by_user: dict[int, tuple[Connection, ...]] = {}
        self._visitors: set[Connection] = set()
        self._unsent = 0
        self._sweeper: asyncio.Task[None] | None = None
        self._none_left = asyncio.Event()
        self._none_left.set()
        self.now = asyncio.get_running_loop().time

    def __len__(self) -> int:
        return len(self._all)

    @property
    def connections(self) -> list[Connection]:
        """Every open connection, the oldest first."""
        return list(self._all)

    def start(self) -> None:
        """Start the sweeper."""
        self._sweeper = asyncio.create_task(self._sweep())

    def check(self, address: str) -> None:
        """Raise TooManyConnections if one more from `address` would be too many."""
        per_address = self.limits.connections_per_address
        if (self._most and len(self._all) >= self._most) or (
            per_address and self._by_address.get(address, 0) >= per_address
        ):
            raise TooManyConnections(retry_after=10)

    def add(self, connection: Connection) -> None:
        """A connection was opened."""
        self._all[connection] = None
        self._none_left.clear()
        address = connection.address
        self._by_address[address] = self._by_address.get(address, 0) + 1

    def remove(self, connection: Connection) -> None:
        """A connection is gone."""
        if self._all.pop(connection, 0) is None:
            left = self._by_address[connection.address] - 1
            if left:
                self._by_address[connection.address] = left
            else:
                del self._by_address[connection.address]
        theirs = self._by_user.get(connection.user_id, ())
        if connection in theirs:
            self._keep_of(connection.user_id, tuple(c for c in theirs if c is not connection))
        self._visitors.discard(connection)
        self.paused.pop(connection, None)
        if not self._all:
            self._none_left.set()

    def sign_in(self, connection: Connection) -> None:
        """A connection is somebody's; over that person's limit their oldest one is closed."""
        theirs = (*self._by_user.get(connection.user_id, ()), connection)
        most = self.limits.connections_per_user or len(theirs)
        self._keep_of(connection.user_id, theirs[-most:])
        for oldest in theirs[:-most]:
            oldest.close(TOO_MANY, "opened too often")

    def _keep_of(self, user_id: int, connections: tuple[Connection, ...]) -> None:
        # A tuple: nearly everybody has one, and one in a dict would take 200 bytes.
        if connections:
            self._by_user[user_id] = connections
        else:
            del self._by_user[user_id]

    def admit_visitor(self, connection: Connection) -> bool:
        """Count a visitor; False if they have their half of all connections already."""
        if self.limits.connections and len(self._visitors) >= max(1, self._most // 2):
            return False
        self._visitors.add(connection)
        return True

    def close_visitors(self, site_id: int) -> None:
        """End the visitors' connections of a site: what they may see has changed."""
        for connection in [c for c in self._visitors if c.room.site_id == site_id]:
            connection.close(RESTART, "connect anew")

    def close_those(
        self, user_id: int, code: int, reason: str, jtis: set[str] | None = None
    ) -> None:
        """Close a person's connections, or those of some of their sessions."""
        for connection in self._by_user.get(user_id, ()):
            if jtis is None or connection.jti in jtis:
                connection.close(code, reason)

    def may_wait(self, connection: Connection, more: int) -> bool:
        """Whether `more` bytes may wait for a connection that has not taken the last ones.

        Over its own limit it is cut; over the limit of all together the slowest are.
        """
        if connection.unsent() > self.limits.max_unsent_bytes:
            connection.cut()
            return False
        self._unsent += more
        if self._unsent > self.limits.max_unsent_bytes_total:
            self._cut_slowest()
        return connection in self.paused

    def _cut_slowest(self) -> None:
        sizes = sorted(((c.unsent(), id(c), c) for c in self.paused), reverse=True)
        self._unsent = sum(size for size, _, _ in sizes)
        for size, _, connection in sizes:
            if self._unsent <= self.limits.max_unsent_bytes_total // 2:
                break
            self._unsent -= size
            self.paused.pop(connection, None)
            connection.cut()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._unsent = sum(connection.unsent() for connection in self.paused)
            slices = _slices(self.connections)
            # At the end nothing here holds a connection, which may be gone by the next time.
            while some := next(slices, None):
                self._look_after(some)
                await asyncio.sleep(0)

    def _look_after(self, connections: Iterable[Connection]) -> None:
        now, wall = self.now(), self.clock()
        for connection in connections:
            try:
                connection.look_after(now, wall)
            except Exception:
                _log.exception("sweeping a connection failed")

    async def stop(self, seconds: float) -> None:
        """Close every connection with 1012; those that do not answer in time are cut."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        for some in _slices(list(self._all)):
            for connection in some:
                connection.close(RESTART, "restarting")
            await asyncio.sleep(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_left.wait()
        for connection in list(self._all):
            connection.cut()
        await self._none_left.wait()


def _slices(connections: list[Connection]) -> Iterator[list[Connection]]:
    for start in range(0, len(connections), _SLICE):
        yield connections[start : start + _SLICE]
