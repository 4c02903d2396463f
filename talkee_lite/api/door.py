"""The front door: plain requests are answered here, everything else goes on to aiohttp.

Reading a request and making its response cost aiohttp more than we take to answer it, so a
request that is beyond doubt is read here: it came whole, in one piece, for an address without
parameters in its path, with no header that could mean anything special. Whatever is not so is
given to aiohttp, with its connection and from its first byte: a door never judges, and refuses
nothing. Both ways lead to the same handlers, and tests/test_door.py sends the same requests by
both.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from ..clock import SECOND
from ..errors import TooLarge
from .exchange import Answer, Handler, Request, Upgrade
from .handover import head_of
from .middleware import new_request_id, respond

if TYPE_CHECKING:
    from .context import Services

_log = logging.getLogger("talkee_lite.http")

IDLE_SECONDS = 75.0
"""How long a connection may stay without a request."""
_SWEEP_SECONDS = 5.0
_MOST_HEAD = 8190
_MOST_FIELDS = 128
_MOST_WAITING = 65536
# Up to here it is cheaper to join a head and a body than to send them apart.
_SMALL = 8192
# Framing and expectations are aiohttp's; so is whatever a proxy may read differently.
_NOT_PLAIN = frozenset({"transfer-encoding", "content-encoding", "expect", "trailer"})
_TARGET = re.compile("[!-~]+")
# A field line of visible ASCII (RFC 9112, section 5), up to the next one or the end.
# Possessive: nothing that was read is read again, so that the time grows as the length does.
_FIELDS = re.compile(r"\r\n([!#$%&'*+.^_`|~0-9A-Za-z-]++): *+([ -~]*+)(?=\r\n|\Z)")
_REASONS = {status.value: status.phrase for status in HTTPStatus}


class PlainRequest(Request):
    """A request that came whole."""

    __slots__ = ("body",)
    body: bytes

    @property
    def has_body(self) -> bool:
        """Whether a body comes with the request."""
        return bool(self.body)

    async def read(self, most: int, seconds: float) -> bytes:
        """The body. Raises TooLarge over `most` bytes."""
        if len(self.body) > most:
            raise TooLarge
        return self.body


def read_plain(
    data: bytes, routes: Mapping[tuple[str, str], Handler]
) -> tuple[Handler, str, str, dict[str, str], bytes] | None:
    """A plain request: its handler, method, target, headers and body; None for any other."""
    end = data.find(b"\r\n\r\n", 0, _MOST_HEAD + 4)
    if end < 0:
        return None
    head = data[:end].decode("latin-1")
    method, _, rest = head[: head.find("\r\n")].partition(" ")
    target, _, version = rest.partition(" ")
    handler = routes.get((method, target.partition("?")[0]))
    if handler is None or version != "HTTP/1.1" or not _TARGET.fullmatch(target):
        return None
    fields = _FIELDS.findall(head)
    headers = {name.lower(): value for name, value in fields}
    if len(headers) != head.count("\r\n") or " \r\n" in head or head.endswith(" "):
        # A line that is no plain field, one that comes twice, or space behind a value.
        return None
    if len(headers) > _MOST_FIELDS:
        return None
    if not _NOT_PLAIN.isdisjoint(headers) or "host" not in headers:
        return None
    body = data[end + 4 :]
    if method in ("GET", "OPTIONS"):
        plain = not body and "content-length" not in headers
        if method == "OPTIONS":
            plain = plain and "access-control-request-method" in headers
    else:
        # What upgrades has no body, and anything that follows one is not looked at here.
        plain = headers.get("content-length", "0") == str(len(body)) and "upgrade" not in headers
    return (handler, method, target, headers, body) if plain else None


class Door(asyncio.Protocol):
    """One HTTP connection, as long as its requests are plain."""

    __slots__ = (
        "_answering",
        "_doors",
        "_is_last",
        "_paused",
        "_peer",
        "_transport",
        "_unsent",
        "_waiting",
        "heard_at",
    )

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._transport: asyncio.Transport | None = None
        self._peer: str | None = None
        self._answering: asyncio.Future[Any] | None = None
        self._waiting = b""
        self._paused = False
        self._is_last = False
        self._unsent = 0
        self.heard_at = doors.now()

    @property
    def is_busy(self) -> bool:
        """Whether an answer waits for something."""
        return self._answering is not None

    def look_after(self, now: float) -> None:
        """End a connection on which nothing has happened for too long."""
        unsent = self.unsent()
        if unsent < self._unsent:
            self.heard_at = now
        self._unsent = unsent
        if now - self.heard_at > IDLE_SECONDS and not self.is_busy:
            self.cut()

    async def idle(self) -> None:
        """Wait until the answer that is being made has been sent."""
        while self._answering is not None:
            # What comes after it in line was added later, and is called later.
            await asyncio.wait([self._answering])
            await asyncio.sleep(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in behaviour only.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        self._doors.open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        # What was asked for is done, whether or not somebody still waits for the answer.
        self._transport = None
        self._waiting = b""
        self._doors.forget(self)

    def eof_received(self) -> bool:
        # Its client has asked its last; what it waits for it still gets.
        self._is_last = True
        return self.is_busy

    def pause_writing(self) -> None:
        self._paused = True
        self._doors.note_slow(self)

    def resume_writing(self) -> None:
        self._paused = False
        self._doors.slow.pop(self, None)
        self._go_on()

    def unsent(self) -> int:
        """Bytes that wait for this client."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self.heard_at = self._doors.now()
        if self._waiting or self._answering is not None or self._paused:
            # One after the other (RFC 9112, section 9.3.2).
            self._waiting += data
            if len(self._waiting) > _MOST_WAITING and self._transport is not None:
                self._transport.pause_reading()
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        doors = self._doors
        found = read_plain(data, doors.routes) if not doors.closing else None
        if found is None:
            self._pass_on(data)
            return
        handler, method, target, headers, body = found
        path = target.partition("?")[0].rstrip("/") or "/"
        request = PlainRequest(
            doors.services, new_request_id(), method, target, headers, self._peer, path
        )
        request.body = body
        work = respond(request, handler)
        if handler in doors.light:
            self._step(request, work)
        else:
            self._answering = asyncio.create_task(self._finish(request, work))

    def _step(self, request: Request, work: Coroutine[Any, Any, Answer], _: object = None) -> None:
        """Go on with an answer until it is made, or until what it waits for is there.

        What a task would do for it costs as much as the rest of reading and answering.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            self._answering = None
            self._answer(request, done.value)
        except BaseException as error:
            self._answering = None
            self.cut()
            if not isinstance(error, ConnectionError | asyncio.CancelledError):
                raise
        else:
            if waits_for is None:
                # A turn of the loop.
                loop = asyncio.get_running_loop()
                waits_for = loop.create_future()
                loop.call_soon(waits_for.set_result, None)
            # As a task does (PEP 3156, `asyncio.isfuture`): the mark says that it is awaited.
            waits_for._asyncio_future_blocking = False
            self._answering = waits_for
            waits_for.add_done_callback(partial(self._step, request, work))

    async def _finish(self, request: Request, work: Coroutine[Any, Any, Answer]) -> None:
        answer = None
        try:
            answer = await work
        except ConnectionError:
            pass
        finally:
            self._answering = None
            if answer is None:
                self.cut()
        if answer is not None:
            self._answer(request, answer)

    def _answer(self, request: Request, answer: Answer) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if isinstance(answer, Upgrade):
            self._upgrade(answer, transport)
            return
        is_last = self._is_last and not self._waiting
        stays = not is_last and "close" not in request.headers.get("connection", "").lower()
        head = answer_head(answer, request.services.clock() // SECOND, stays=stays)
        if len(answer.body) < _SMALL:
            transport.write(head + answer.body)
        else:
            # Not `writelines`, which does not pause anybody in some Pythons (CVE-2024-12254).
            transport.write(head)
            transport.write(answer.body)
        self.heard_at = self._doors.now()
        if stays:
            self._go_on()
        else:
            self._waiting = b""
            transport.close()

    def _upgrade(self, upgrade: Upgrade, transport: asyncio.Transport) -> None:
        protocol = upgrade.protocol
        assert protocol is not None
        self._leave()
        transport.write(head_of(upgrade))
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        # What came while the answer was made belongs to the new protocol.
        frames = self._take_waiting(transport)
        if frames:
            protocol.data_received(frames)

    def _go_on(self) -> None:
        if self._waiting and self._answering is None and not self._paused and self._transport:
            self._take(self._take_waiting(self._transport))

    def _take_waiting(self, transport: asyncio.Transport) -> bytes:
        data, self._waiting = self._waiting, b""
        if len(data) > _MOST_WAITING:
            transport.resume_reading()
        return data

    def _pass_on(self, data: bytes) -> None:
        """From its next request on the connection is aiohttp's."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._leave()
        protocol = self._doors.make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def _leave(self) -> None:
        self._transport = None
        self._doors.forget(self)

    def close(self) -> None:
        """End the connection once what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()


class Doors:
    """All front doors of a server, what they lead to, and the end of those that nobody uses."""

    def __init__(
        self,
        services: Services,
        routes: Mapping[tuple[str, str], Handler],
        light: Collection[Handler],
        make_protocol: Callable[[], asyncio.Protocol],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.services = services
        self.routes = routes
        self.light = light
        self.make_protocol = make_protocol
        self.open: dict[Door, None] = {}
        self.slow: dict[Door, None] = {}
        """Those whose clients do not take their answers at once."""
        self.closing = False
        self.now = loop.time
        self._sweep_later = loop.call_later(_SWEEP_SECONDS, self._sweep)

    def make(self) -> Door:
        """The door of a new connection."""
        return Door(self)

    def forget(self, door: Door) -> None:
        """A door is no more."""
        self.open.pop(door, None)
        self.slow.pop(door, None)

    def note_slow(self, door: Door) -> None:
        """A client does not take its answer at once: all of them have a budget of bytes."""
        self.slow[door] = None
        most = self.services.config.limits.max_unsent_bytes_total
        while len(self.slow) > 1 and sum(slow.unsent() for slow in self.slow) > most:
            largest = max(self.slow, key=Door.unsent)
            del self.slow[largest]
            largest.cut()

    def _sweep(self) -> None:
        now = self.now()
        for door in list(self.open):
            door.look_after(now)
        self._sweep_later = asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep)

    def close_idle(self) -> None:
        """Let nobody in any more, and close the doors where nothing is going on."""
        self.closing = True
        self._sweep_later.cancel()
        for door in list(self.open):
            if not door.is_busy:
                door.close()

    async def close(self, seconds: float) -> None:
        """Wait for the answers that are being made; whoever is there after `seconds` is cut."""
        self.close_idle()
        end = self.now() + seconds
        for door in list(self.open):
            if door.is_busy:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(end):
                        await door.idle()
            if door.is_busy:
                door.cut()
            else:
                door.close()


def answer_head(answer: Answer, now: int, *, stays: bool) -> bytes:
    """An answer up to its body, as HTTP/1.1 (RFC 9112).

    `now` is in seconds since 1970; `stays`: whether the connection may be used again.
    """
    status = answer.status
    fields = "".join([f"{name}: {value}\r\n" for name, value in answer.headers.items()])
    length = "" if status in (204, 304) else f"Content-Length: {len(answer.body)}\r\n"
    closing = "" if stays else "Connection: close\r\n"
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n{fields}{length}"
        f"Date: {_date(now)}\r\n{closing}\r\n"
    ).encode("latin-1")


@lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)
