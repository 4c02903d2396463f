"""The way through aiohttp: whatever the front door leaves to it, and all of an embedded server.

aiohttp's requests become ours, our answers become its responses, and what it raises by itself is
answered as JSON like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from ..errors import (
    BadRequest,
    ExpectationFailed,
    MethodNotAllowed,
    NotFound,
    Refused,
    RequestTimeout,
    TooLarge,
    UpgradeRequired,
)
from .context import SERVICES
from .exchange import Answer, Handler, Request, Upgrade
from .handover import hand_over
from .middleware import new_request_id, respond

_OURS = web.RequestKey("talkee_request", Request)

_FRAMEWORK: dict[int, type[Refused]] = {404: NotFound, 413: TooLarge}


class FrameworkRequest(Request):
    """A request that aiohttp has read."""

    __slots__ = ("_http",)

    def __init__(self, http: web.Request) -> None:
        resource = http.match_info.route.resource
        peer = http.transport.get_extra_info("peername") if http.transport else None
        super().__init__(
            http.config_dict[SERVICES],
            new_request_id(),
            http.method,
            http.raw_path,
            http.headers,
            peer[0] if isinstance(peer, tuple) else None,
            # An address that matches no route may hold anything and is left out.
            resource.canonical if resource is not None else "-",
            http.match_info,
        )
        self._http = http

    @property
    def has_body(self) -> bool:
        """Whether a body comes with the request."""
        return self._http.body_exists

    def all_of(self, name: str) -> str:
        """A header that may come several times, as one list (RFC 9110, section 5.3)."""
        return ",".join(self._http.headers.getall(name, ()))

    async def read(self, most: int, seconds: float) -> bytes:
        """The body. Raises TooLarge over `most` bytes, RequestTimeout after `seconds`."""
        if (self._http.content_length or 0) > most:
            raise TooLarge
        chunks, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                while chunk := await self._http.content.readany():
                    size += len(chunk)
                    if size > most:
                        raise TooLarge
                    chunks.append(chunk)
        except TimeoutError:
            raise RequestTimeout from None
        except web.RequestPayloadError:
            raise BadRequest("The body could not be read.") from None
        return b"".join(chunks)


def adapt(handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler of ours for aiohttp's router. It answers through `edge` alone."""

    async def handle(http: web.Request) -> Any:
        return await handler(http[_OURS])

    return handle


@web.middleware
async def edge(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer as the front door would: see `middleware.respond`."""
    ours = request[_OURS] = FrameworkRequest(request)

    async def handle(_: Request) -> Answer:
        if request.headers.get(hdrs.EXPECT, "100-continue").lower() != "100-continue":
            raise ExpectationFailed
        try:
            # Any: aiohttp does not know that its router leads to handlers of ours.
            answer: Any = await handler(request)
        except web.HTTPMethodNotAllowed as error:
            raise MethodNotAllowed(error.allowed_methods) from None
        except web.HTTPException as error:
            raise _FRAMEWORK.get(error.status, BadRequest)() from None
        if isinstance(answer, Upgrade) and request.version < HttpVersion11:
            raise UpgradeRequired
        assert isinstance(answer, Answer)
        return answer

    answer = await respond(ours, handle)
    if isinstance(answer, Upgrade):
        return hand_over(request, answer)
    return to_response(answer)


def to_response(answer: Answer) -> web.Response:
    """An answer of ours for aiohttp to send."""
    return web.Response(body=answer.body or None, status=answer.status, headers=answer.headers)


async def expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue` (RFC 9110, section 10.1.1); `edge` refuses any other."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return None
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The interim answer is not part of the response, whose size is counted from here.
    request.writer.output_size = 0
    return None
