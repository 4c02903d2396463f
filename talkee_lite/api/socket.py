"""One WebSocket connection's life, and the keeper of all of them.

A connection is a small `asyncio.Protocol` that took over from aiohttp after the upgrade. It has
no task of its own: frames come by `data_received`, messages go by `deliver`, and one sweeper for
all looks after deadlines, signs of life, expired tokens and readers that stopped reading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..auth.tokens import TokenExpired, Tokens
from ..clock import Clock
from ..config import LimitsConfig
from ..errors import Refused, TooManyConnections, Unavailable
from ..hub import Hub
from ..logs import log_event, short_address
from ..models import RoomKey
from ..protocol import auth_frame, close_frame, ends_between_frames, ping_frame

_log = logging.getLogger(__name__)
# The frame protocol logs each connection; we have a line of our own.
_frames_log = logging.getLogger(f"{__name__}.frames")
_frames_log.setLevel(logging.WARNING)

GOING_AWAY = 1001
UNSUPPORTED_DATA = 1003
INVALID_TEXT = 1007
POLICY = 1008
INTERNAL_ERROR = 1011
RESTART = 1012
TRY_LATER = 1013
NO_AUTH = 4401
EXPIRED = 4402
TOO_MANY = 4409
NOT_AUTH = 4500
REFUSED = 4501
BANNED = 4503

_FLOOD_FRAMES = 30
_FLOOD_SECONDS = 10.0
_CLOSING_SECONDS = 5.0
_SWEEP_SECONDS = 0.5
_SLICE = 1000


class Connection(asyncio.Protocol):
    """One socket in one room: silent until its `auth` frame is accepted."""

    __slots__ = (
        "_authenticating",
        "_code",
        "_deadline",
        "_expires_at",
        "_frames",
        "_frames_since",
        "_keeper",
        "_left",
        "_opened_at",
        "_parser",
        "_partial",
        "_paused_at",
        "_pinged_at",
        "_progress",
        "_request_id",
        "_room",
        "_transport",
        "_written",
        "address",
        "heard_at",
        "jti",
        "user_id",
    )

    def __init__(self, keeper: Sockets, room: RoomKey, address: str, request_id: str) -> None:
        self._keeper = keeper
        self._room = room
        self._request_id = request_id
        self.address = address
        self.user_id = 0
        self.jti = ""
        self._transport: asyncio.Transport | None = None
        self._parser: ServerProtocol | None = None
        self._partial: bytes | None = None
        self._authenticating: asyncio.Task[None] | None = None
        self._expires_at = 0
        self._deadline = 0.0
        self._opened_at = self.heard_at = keeper.now()
        self._pinged_at = 0.0
        self._paused_at = 0.0
        self._progress = 0
        self._written = 0
        self._frames = 0
        self._frames_since = 0.0
        self._code = 0
        """The close code that was sent or received; 0 while open, 1006 when cut."""
        self._left = False

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in behaviour only.
        self._transport = transport = cast(asyncio.Transport, transport)
        # Every byte that the system does not take at once counts as unsent.
        transport.set_write_buffer_limits(high=0)
        self._deadline = self.heard_at + self._keeper.limits.auth_seconds
        self._keeper.add(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._keeper.now()
        self._pinged_at = 0.0
        parser = self._parser
        if parser is None:
            parser = ServerProtocol(
                state=OPEN, max_size=self._keeper.limits.max_frame_bytes, logger=_frames_log
            )
            # Made when bytes come, kept only while a message is incomplete.
            if not ends_between_frames(data):
                self._parser = parser
        parser.receive_data(data)
        for frame in parser.events_received():
            if not isinstance(frame, Frame):
                continue
            if self._code:
                # Closing: only the client's own close frame matters now.
                if frame.opcode is Opcode.CLOSE:
                    self._hang_up()
                return
            self._take_frame(frame)
        if self._code:
            # Closed by us just now: no pong, and no second close frame, may follow.
            return
        for out in parser.data_to_send():
            if out:
                self._write(out)
            else:
                self._closed_by_protocol(parser)

    def eof_received(self) -> None:
        self._note_end(self._code or 1006)

    def pause_writing(self) -> None:
        self._paused_at = self._keeper.now()
        self._progress = self._sent()
        self._keeper.paused[self] = None

    def resume_writing(self) -> None:
        self._paused_at = 0.0
        self._keeper.paused.pop(self, None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_end(self._code or 1006)
        if self._authenticating is not None:
            self._authenticating.cancel()
        self._keeper.remove(self)
        log_event(
            _log,
            logging.INFO,
            "socket closed",
            id=self._request_id,
            site=self._room.site_id,
            user=self.user_id or None,
            address=short_address(self.address),
            code=self._code,
            seconds=round(self._keeper.now() - self._opened_at, 1),
        )
        self._transport = None
        self._parser = None

    # Frames from the client.

    def _take_frame(self, frame: Frame) -> None:
        now = self._keeper.now()
        if frame.opcode is Opcode.CLOSE:
            # The answer is among what the parser wants sent.
            return
        if frame.opcode is not Opcode.PONG and self._is_flood(now):
            self.close(POLICY, "too many frames")
            return
        if frame.opcode is Opcode.BINARY:
            self.close(UNSUPPORTED_DATA, "text frames only")
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            text = (self._partial or b"") + bytes(frame.data)
            if not frame.fin:
                self._partial = text
                return
            self._partial = None
            try:
                text.decode()
            except UnicodeDecodeError:
                self.close(INVALID_TEXT, "not UTF-8")
                return
            self._take_text(text)

    def _is_flood(self, now: float) -> bool:
        if now - self._frames_since > _FLOOD_SECONDS:
            self._frames_since, self._frames = now, 0
        self._frames += 1
        return self._frames > _FLOOD_FRAMES

    def _take_text(self, text: bytes) -> None:
        if self._code:
            return
        first = self._authenticating is None and not self.user_id
        auth = auth_frame(text)
        if auth is None:
            if first:
                self.close(NOT_AUTH, "the first frame must be auth")
            return
        if self._authenticating is not None:
            # Sent before the first was answered: looked at after it.
            self._authenticating.add_done_callback(lambda _: self._take_text(text))
            return
        self._authenticating = asyncio.create_task(self._authenticate(auth.token))

    async def _authenticate(self, token: str) -> None:
        try:
            caller = await self._keeper.tokens.identify(token)
        except TokenExpired:
            self.close(EXPIRED, "token expired")
        except Unavailable:
            self.close(TRY_LATER, "try again later")
        except Refused:
            self.close(REFUSED, "token refused")
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("socket authentication failed id=%s", self._request_id)
            self.close(INTERNAL_ERROR, "internal error")
        else:
            if self._code:
                return
            if caller.user.banned_until > self._keeper.clock():
                self.close(BANNED, "banned")
            elif self.user_id and self.user_id != caller.user.id:
                self.close(REFUSED, "token of another person")
            else:
                first = not self.user_id
                self.user_id, self.jti = caller.user.id, caller.session.jti
                self._expires_at = caller.session.expires_at
                if first:
                    self._deadline = 0.0
                    self._keeper.join(self, self._room)
        finally:
            self._authenticating = None

    # To the client.

    def deliver(self, data: bytes) -> None:
        """Send frames, unless the client is closing or too slow for its own good."""
        if self._code:
            return
        if self._paused_at and not self._keeper.may_wait(self, len(data)):
            return
        self._write(data)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._written += len(data)
        try:
            transport.write(data)
        except Exception:
            # uvloop raises on a transport that has just died; the end is noted by
            # connection_lost, and the others in the room go on.
            self.cut()

    def unsent(self) -> int:
        """Bytes that wait for this client."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    def _sent(self) -> int:
        return self._written - self.unsent()

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake (RFC 6455, section 7.1.2); no frame follows."""
        if self._code:
            return
        self._note_end(code)
        self._write(close_frame(code, reason))
        self._deadline = self._keeper.now() + _CLOSING_SECONDS

    def cut(self) -> None:
        """End the connection at once, without a close frame, and forget what was unsent."""
        self._note_end(self._code or 1006)
        if self._transport is not None:
            self._transport.abort()

    def _closed_by_protocol(self, parser: ServerProtocol) -> None:
        """The parser has sent a close frame: the client's own echoed, or for an error."""
        close = parser.close_rcvd or parser.close_sent
        self._note_end(int(close.code) if close is not None else 1006)
        self._hang_up()

    def _hang_up(self) -> None:
        self._deadline = self._keeper.now() + _CLOSING_SECONDS
        if self._transport is not None:
            self._transport.close()

    def _note_end(self, code: int) -> None:
        self._code = self._code or code
        if self.user_id and not self._left:
            self._left = True
            self._keeper.hub.leave(self._room, self)

    # Called by the sweeper.

    def look_after(self, now: float, wall: int) -> None:
        """Whatever is due: a deadline, an expired token, a stuck reader, a sign of life."""
        limits = self._keeper.limits
        if self._deadline and now >= self._deadline:
            if self._code:
                self.cut()
            else:
                self.close(NO_AUTH, "no auth in time")
            return
        if self._code:
            return
        if self._expires_at and wall >= self._expires_at:
            self.close(EXPIRED, "token expired")
        elif self._paused_at:
            sent = self._sent()
            if sent > self._progress:
                self._progress, self._paused_at = sent, now
            elif now - self._paused_at > limits.paused_seconds:
                self.cut()
        elif self._pinged_at:
            if now - self._pinged_at > limits.pong_seconds:
                self.cut()
        elif now - self.heard_at > limits.ping_seconds:
            self._pinged_at = now
            self._write(ping_frame())


class Sockets:
    """Every open connection: limits on how many, the sweeper, and the end of all."""

    def __init__(
        self, limits: LimitsConfig, hub: Hub, tokens: Tokens, clock: Clock, most: int
    ) -> None:
        self.limits = limits
        self.hub = hub
        self.tokens = tokens
        self.clock = clock
        self.paused: dict[Connection, None] = {}
        self._most = most
        self._all: dict[Connection, None] = {}
        self._by_address: dict[str, int] = {}
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
        self.paused.pop(connection, None)
        if not self._all:
            self._none_left.set()

    def join(self, connection: Connection, room: RoomKey) -> None:
        """A connection has signed in; over the person's limit their oldest one is closed."""
        most = self.limits.connections_per_user
        if most:
            theirs = self.hub.listeners_of(connection.user_id)
            for oldest in theirs[: max(0, len(theirs) + 1 - most)]:
                if isinstance(oldest, Connection):
                    oldest.close(TOO_MANY, "opened too often")
        self.hub.join(room, connection)

    def end_sessions(self, user_id: int, jtis: set[str]) -> None:
        """Close a person's connections whose session has ended."""
        for listener in self.hub.listeners_of(user_id):
            if isinstance(listener, Connection) and listener.jti in jtis:
                listener.close(REFUSED, "signed out")

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
            for some in _slices(list(self._all)):
                now, wall = self.now(), self.clock()
                for connection in some:
                    try:
                        connection.look_after(now, wall)
                    except Exception:
                        _log.exception("sweeping a connection failed")
                await asyncio.sleep(0)

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
