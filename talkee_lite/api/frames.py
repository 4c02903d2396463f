"""A WebSocket connection: frames in and out, closing, slow clients (RFC 6455). No rooms.

A small `asyncio.Protocol` without a task of its own. What texts mean, and what happens at the
end, is the business of the class made from it (`socket.py`).
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from ..closing import INVALID_TEXT, NO_AUTH, POLICY, UNSUPPORTED_DATA
from ..protocol import close_frame, ends_between_frames, ping_frame, plain_text

if TYPE_CHECKING:
    from .sockets import Sockets

# The frame protocol logs each connection; we have a line of our own.
_frames_log = logging.getLogger(__name__)
_frames_log.setLevel(logging.WARNING)

_RESET = struct.pack("ii", 1, 0)
_FLOOD_FRAMES = 30
_FLOOD_SECONDS = 10.0
# From a client that was told to go and goes on nothing more is read.
_DEAF_FRAMES = 2 * _FLOOD_FRAMES
_BITE_BYTES = 1024
_CLOSING_SECONDS = 5.0


class FramedConnection(asyncio.Protocol):
    """One WebSocket, after its handshake."""

    __slots__ = (
        "_code",
        "_deadline",
        "_drained",
        "_frames",
        "_frames_since",
        "_keeper",
        "_parser",
        "_partial",
        "_paused_at",
        "_pinged_at",
        "_progress",
        "_transport",
        "_written",
        "heard_at",
    )

    def __init__(self, keeper: Sockets) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._parser: ServerProtocol | None = None
        self._partial: bytes | None = None
        self._deadline = self._pinged_at = self._paused_at = 0.0
        self._frames_since = 0.0
        self.heard_at = keeper.now()
        self._progress = 0
        self._written = 0
        self._frames = 0
        self._code = 0
        """The close code that was sent or received; 0 while open, 1006 when cut."""
        self._drained: asyncio.Future[None] | None = None

    # What the class made from it does.

    def take_text(self, text: bytes) -> None:
        """A message came; it is UTF-8."""
        raise NotImplementedError

    def opened(self) -> None:
        """The connection is there."""
        raise NotImplementedError

    def ended(self) -> None:
        """Nothing more is to be sent; called at least once."""
        raise NotImplementedError

    def gone(self) -> None:
        """The connection is not there any more."""
        raise NotImplementedError

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in behaviour only.
        self._transport = transport = cast(asyncio.Transport, transport)
        # Every byte that the system does not take at once counts as unsent.
        transport.set_write_buffer_limits(high=0)
        self._deadline = self.heard_at + self._keeper.limits.auth_seconds
        self.opened()

    def data_received(self, data: bytes) -> None:
        if self._code and self._frames > _DEAF_FRAMES:
            return
        self.heard_at = self._keeper.now()
        self._pinged_at = 0.0
        parser = self._parser
        if parser is None:
            if not self._code and self._partial is None:
                text = plain_text(data, self._keeper.limits.max_frame_bytes)
                if text is not None:
                    # What nearly every client sends, in a twentieth of the time.
                    self._take_frame(Frame(Opcode.TEXT, text))
                    return
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
        self.gone()
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
            self.take_text(text)

    def _is_flood(self, now: float) -> bool:
        if now - self._frames_since > _FLOOD_SECONDS:
            self._frames_since, self._frames = now, 0
        self._frames += 1
        return self._frames > _FLOOD_FRAMES

    # To the client.

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
            try:
                self._transport.abort()
            except Exception:
                # Whoever serves a room goes on with the next one.
                _frames_log.exception("a connection could not be ended")

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
        self.ended()

    # Called by the sweeper.

    def look_after(self, now: float, wall: int) -> None:
        """Whatever is due: a deadline, a stuck reader, a sign of life.

        `now` is the loop's time in seconds, `wall` the clock's in microseconds.
        """
        limits = self._keeper.limits
        if self._deadline and now >= self._deadline:
            if self._code:
                self.cut()
            else:
                self.close(NO_AUTH, "no auth in time")
        elif self._code:
            pass
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
