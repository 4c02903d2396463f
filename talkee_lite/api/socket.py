"""One WebSocket connection's life: a small `asyncio.Protocol` that took over from aiohttp.

It has no task of its own once it has entered its room: frames come by `data_received`, messages go
by `deliver`, and one sweeper for all looks after whatever is due.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..auth.tokens import TokenExpired
from ..closing import (
    BANNED,
    EXPIRED,
    INTERNAL_ERROR,
    INVALID_TEXT,
    NO_AUTH,
    NOT_AUTH,
    POLICY,
    REFUSED,
    TRY_LATER,
    UNSUPPORTED_DATA,
)
from ..errors import Refused, Unavailable
from ..hub import Audience
from ..logs import log_event, short_address
from ..models import RoomKey, RoomState, User
from ..protocol import (
    AuthFrame,
    auth_frame,
    close_frame,
    ends_between_frames,
    event_frame,
    ping_frame,
    ready_frame,
    room_fields,
)

if TYPE_CHECKING:
    from .sockets import Sockets

_log = logging.getLogger(__name__)
# The frame protocol logs each connection; we have a line of our own.
_frames_log = logging.getLogger(f"{__name__}.frames")
_frames_log.setLevel(logging.WARNING)

_RESET = struct.pack("ii", 1, 0)
_REPLAY_BYTES = 65536
_FLOOD_FRAMES = 30
_FLOOD_SECONDS = 10.0
# From a client that was told to go and goes on nothing more is read.
_DEAF_FRAMES = 2 * _FLOOD_FRAMES
_BITE_BYTES = 1024
_CLOSING_SECONDS = 5.0


class Connection(asyncio.Protocol):
    """One socket in one room: silent until its `auth` frame is accepted."""

    __slots__ = (
        "_authenticating",
        "_code",
        "_deadline",
        "_drained",
        "_event_ping_at",
        "_expires_at",
        "_frames",
        "_frames_since",
        "_keeper",
        "_opened_at",
        "_parser",
        "_partial",
        "_paused_at",
        "_pinged_at",
        "_progress",
        "_replaying",
        "_request_id",
        "_transport",
        "_written",
        "address",
        "audience",
        "entered",
        "heard_at",
        "jti",
        "online",
        "room",
        "user_id",
    )

    def __init__(self, keeper: Sockets, room: RoomKey, address: str, request_id: str) -> None:
        self._keeper = keeper
        self.room = room
        self._request_id = request_id
        self.address = address
        self.user_id = 0
        self.jti = ""
        self.audience = Audience.PLAIN
        self.online = 0
        self._transport: asyncio.Transport | None = None
        self._parser: ServerProtocol | None = None
        self._partial: bytes | None = None
        self._authenticating: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._expires_at = 0
        self._deadline = self._pinged_at = self._paused_at = self._event_ping_at = 0.0
        self._frames_since = 0.0
        self._opened_at = self.heard_at = keeper.now()
        self._progress = 0
        self._written = 0
        self._frames = 0
        self._code = 0
        """The close code that was sent or received; 0 while open, 1006 when cut."""
        self.entered = False
        """Whether the room's messages reach it: after a replay, for one that was away."""
        self._drained: asyncio.Future[None] | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in behaviour only.
        self._transport = transport = cast(asyncio.Transport, transport)
        # Every byte that the system does not take at once counts as unsent.
        transport.set_write_buffer_limits(high=0)
        self._deadline = self.heard_at + self._keeper.limits.auth_seconds
        self._keeper.add(self)

    def data_received(self, data: bytes) -> None:
        if self._code and self._frames > _DEAF_FRAMES:
            return
        self.heard_at = self._keeper.now()
        self._pinged_at = 0.0
        parser = self._parser
        if parser is None:
            parser = ServerProtocol(
                state=OPEN, max_size=self._keeper.limits.max_frame_bytes, logger=_frames_log
            )
            # Made when bytes come and dropped after them; kept from the first time on that they
            # end within a message, which browsers do not do.
            if not ends_between_frames(data):
                self._parser = parser
        # In bites, so that a flood is noticed before all of it was parsed.
        for start in range(0, len(data), _BITE_BYTES):
            parser.receive_data(data[start : start + _BITE_BYTES])
            self._take_events(parser)
            if self._code and (self._frames > _DEAF_FRAMES or parser.state is not OPEN):
                return

    def _take_events(self, parser: ServerProtocol) -> None:
        for frame in parser.events_received():
            if not isinstance(frame, Frame):
                continue
            if not self._code:
                self._take_frame(frame)
                continue
            # Closing: only the client's own close frame matters now.
            self._frames += 1
            if frame.opcode is Opcode.CLOSE:
                self._hang_up()
                return
        if self._code:
            # Closed by us: no pong, and no second close frame, may follow.
            if parser.state is not OPEN:
                self._hang_up()
            return
        for out in parser.data_to_send():
            if out:
                self._write(out)
            else:
                self._closed_by_protocol(parser)

    def eof_received(self) -> None:
        self._deadline = self._keeper.now() + _CLOSING_SECONDS
        self._note_end(self._code or 1006)

    def pause_writing(self) -> None:
        self._paused_at = self._keeper.now()
        self._progress = self._sent()
        self._keeper.paused[self] = None

    def resume_writing(self) -> None:
        self._paused_at = 0.0
        self._keeper.paused.pop(self, None)
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_end(self._code or 1006)
        for task in (self._authenticating, self._replaying):
            if task is not None:
                task.cancel()
        self._keeper.remove(self)
        log_event(
            _log,
            logging.INFO,
            "socket closed",
            id=self._request_id,
            site=self.room.site_id,
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
        if self._is_flood(now):
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
        auth = auth_frame(text)
        begun = self.entered or self._replaying is not None
        if auth is None:
            if self._authenticating is None and not begun:
                self.close(NOT_AUTH, "the first frame must be auth")
            else:
                self._complain("This frame was not understood.")
        elif self._authenticating is not None:
            # Sent before the first was answered: looked at after it.
            self._authenticating.add_done_callback(lambda _: self._take_text(text))
        elif not begun:
            self._authenticating = asyncio.create_task(self._guard(self._begin, auth))
        elif auth.token is None or not self.user_id:
            self._complain("To become a person, or a visitor, connect anew.")
        else:
            self._authenticating = asyncio.create_task(self._guard(self._identify, auth))

    def _complain(self, sentence: str) -> None:
        """Tell a client that asked for events; others are not disturbed."""
        if self.audience is not Audience.PLAIN:
            self._write(event_frame({"type": "error", "error": "bad_frame", "msg": sentence}))

    async def _guard(self, work: Callable[[AuthFrame], Awaitable[object]], auth: AuthFrame) -> None:
        """Run what an `auth` frame asks for, and close by the rules if it fails."""
        try:
            await work(auth)
        except TokenExpired:
            self.close(EXPIRED, "token expired")
        except Unavailable:
            self.close(TRY_LATER, "try again later")
        except Refused:
            self.close(REFUSED, "token refused")
        except Exception:
            _log.exception("socket failed id=%s", self._request_id)
            self.close(INTERNAL_ERROR, "internal error")
        finally:
            if self._authenticating is asyncio.current_task():
                self._authenticating = None

    async def _identify(self, auth: AuthFrame) -> User | None:
        """Take the token's session, if it may be here; else the connection is closed."""
        caller = await self._keeper.tokens.identify(auth.token or "")
        if self._code:
            return None
        if caller.user.banned_until > self._keeper.clock():
            self.close(BANNED, "banned")
            return None
        if self.user_id and self.user_id != caller.user.id:
            self.close(REFUSED, "token of another person")
            return None
        self.jti, self._expires_at = caller.session.jti, caller.session.expires_at
        return caller.user

    async def _begin(self, auth: AuthFrame) -> None:
        """The first `auth` frame: find out who it is, then enter the room."""
        user = None
        if auth.token is not None:
            user = await self._identify(auth)
            if user is None:
                return
            self.user_id = user.id
            self._keeper.sign_in(self)
        elif not self._keeper.admit_visitor(self):
            self.close(TRY_LATER, "too many visitors")
            return
        self._deadline = 0.0
        if not auth.events:
            self._enter(Audience.PLAIN, 0)
        elif user is None and not self._keeper.sites.get(self.room.site_id).public_chat:
            self._enter(Audience.VISITORS, 0)
            self._write(
                ready_frame(ping_interval=self._keeper.limits.ping_seconds, online=self.online)
            )
        else:
            await self._enter_with_events(auth)

    async def _enter_with_events(self, auth: AuthFrame) -> None:
        """`ready`, then what was missed, then what is new: nothing lost, nothing doubled.

        Between the look at the record's position and the joining nothing is awaited, so that the
        next line published is the first that comes live.
        """
        chat, room = self._keeper.chat, self.room
        record = await chat.load_record(room)
        while not chat.is_current(room, record):
            record = await chat.load_record(room)
        if self._code:
            return
        missed = chat.missed_since(record, auth.since) if auth.since else 0
        recovered = missed is not None if auth.since else None
        if not missed:
            self._enter(Audience.EVENTS, record.seq)
        else:
            self.online = self._keeper.hub.online_with(room, self.user_id)
        user = self._keeper.people.profile(room.site_id, self.user_id) if self.user_id else None
        self._write(
            ready_frame(
                ping_interval=self._keeper.limits.ping_seconds,
                online=self.online,
                user=user,
                position=(chat.epoch, record.seq),
                recovered=recovered,
                room=record.state,
            )
        )
        if missed:
            # Long as it may take, the token can be renewed meanwhile.
            self.audience = Audience.EVENTS
            self._replaying, self._authenticating = self._authenticating, None
            await self._replay(record.seq - missed, record.state)
            self._replaying = None

    async def _replay(self, seq: int, told_state: RoomState) -> None:
        """Send the record from behind `seq` at the reader's pace, then join."""
        chat, room = self._keeper.chat, self.room
        while not self._code:
            if self._paused_at:
                self._drained = asyncio.get_running_loop().create_future()
                await self._drained
                continue
            frames, seq = await chat.replay(room, seq, _REPLAY_BYTES)
            if frames:
                self._write(frames)
                continue
            record = await chat.load_record(room)
            if chat.is_current(room, record) and record.seq == seq and not self._code:
                told = self.online
                self._enter(Audience.EVENTS, seq)
                self.online = told
                if room_fields(record.state) != room_fields(told_state):
                    self._write(event_frame({"type": "room", **room_fields(record.state)}))
                return

    def _enter(self, audience: Audience, seq: int) -> None:
        self.audience = audience
        self.entered = True
        self._event_ping_at = self._keeper.now() + self._keeper.limits.ping_seconds
        self._keeper.hub.join(self.room, self, seq)

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
        was_open = not self._code
        self._note_end(self._code or 1006)
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            if sock is not None and was_open:
                # A reset (socket(7), SO_LINGER): megabytes that the system still holds for this
                # client are given up too. Not where a close frame may be among them.
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()

    def _closed_by_protocol(self, parser: ServerProtocol) -> None:
        """The parser has sent a close frame: the client's own echoed, or for an error."""
        close = parser.close_rcvd or parser.close_sent
        self._note_end(int(close.code) if close is not None else 1006)
        self._hang_up()

    def _hang_up(self) -> None:
        """End our side after the close frame (RFC 6455, section 7.1.1); the client ends its own."""
        # Closing at once, with bytes unread, would reset the connection: nobody would see why.
        self._frames = _DEAF_FRAMES + 1
        self._deadline = self._keeper.now() + _CLOSING_SECONDS
        if self._transport is None:
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _note_end(self, code: int) -> None:
        self._code = self._code or code
        self._keeper.hub.leave(self.room, self)

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
        else:
            if now - self.heard_at > limits.ping_seconds:
                self._pinged_at = now
                self._write(ping_frame())
            if self.entered and self.audience is not Audience.PLAIN:
                self._ping_page(now)

    def _ping_page(self, now: float) -> None:
        """A sign of life that a page can see, with the position to check for holes."""
        if now >= self._event_ping_at and not self._keeper.hub.is_busy(self.room):
            self._event_ping_at = now + self._keeper.limits.ping_seconds
            known = self.audience is Audience.EVENTS
            seq = self._keeper.hub.position(self.room) if known else None
            self._write(event_frame({"type": "ping", "seq": seq}))
