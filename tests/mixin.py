"""A real server that answers as Mixin's API does, or as a test wants."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web

from .harness import JSON

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

APP = "1c6f0d3a-9f8e-4b77-8d0f-3d6f3a5f2b10"
KEY = "Mixin's own key, which nobody else knows."


class Mixin:
    """People with tokens, and how requests are answered: by `answer`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.people: dict[str, JSON] = {}
        self.came: list[tuple[str, str]] = []
        """Method and path of each request."""
        self.answer: Answer = self.as_mixin

    def person(self, name: str = "Ann", **fields: Any) -> JSON:
        """Somebody new who uses Mixin."""
        user_id = str(uuid.uuid4())
        number = str(7_000_000_000 + len(self.people))
        person = {
            "type": "user",
            "user_id": user_id,
            "identity_number": number,
            "full_name": name,
            "avatar_url": f"https://images.example.com/{number}.png",
            **fields,
        }
        self.people[user_id] = person
        return person

    def token(self, person: JSON, expires: int, **claims: Any) -> str:
        """An access token; its claims are those of OAuth but for `claims` (None: left out)."""
        told = {
            "iss": APP,
            "aid": str(uuid.uuid4()),
            "scp": "PROFILE:READ",
            "iat": expires - 3600,
            "exp": expires,
            "jti": person["user_id"],
            **claims,
        }
        return jwt.encode({k: v for k, v in told.items() if v is not None}, KEY, "HS256")

    async def as_mixin(self, request: web.Request) -> web.StreamResponse:
        """`GET /me`: whoever the token belongs to, or an error in an answer that succeeds."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, KEY, ["HS256"], options={"verify_exp": False})
        except jwt.InvalidTokenError:
            error = {"status": 202, "code": 401, "description": "Unauthorized."}
            return web.json_response({"error": error}, status=202)
        return web.json_response({"data": self.people[claims["jti"]]})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one request."""
        self.came.append((request.method, request.path_qs))
        return await self.answer(request)


def says(body: Any, status: int = 200) -> Answer:
    """An answer with a JSON body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


def sends(raw: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """An answer of these bytes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status, headers=headers)

    return answer


async def hangs(request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.sleep(3600)
    return web.Response()


async def drips(request: web.Request) -> web.StreamResponse:
    """An answer that does not end."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.05)


async def floods(request: web.Request) -> web.StreamResponse:
    """10 MB."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(160):
        await response.write(b" " * 65536)
    return response


async def drops(request: web.Request) -> web.StreamResponse:
    """The connection is closed in place of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def breaks_off(request: web.Request) -> web.StreamResponse:
    """The connection is closed within the answer."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"data": {')
    assert request.transport is not None
    request.transport.abort()
    return response


@asynccontextmanager
async def mixin() -> AsyncIterator[Mixin]:
    """Such a server on a port of its own."""
    listening = socket.create_server(("127.0.0.1", 0))
    started = Mixin(listening.getsockname()[1])
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", started.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield started
    finally:
        await runner.cleanup()
        listening.close()
