"""A real server that webhooks lead to: it keeps what comes, and answers as a test wants."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from standardwebhooks.webhooks import Webhook as Verifier

from .harness import JSON, until

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def ok(request: web.Request) -> web.StreamResponse:
    """As a receiver should answer."""
    return web.Response(status=204)


def status(code: int, **headers: str) -> Answer:
    """An answer with a status and nothing else."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(
            status=code, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    return answer


async def silence(request: web.Request) -> web.StreamResponse:
    """No answer at all."""
    await asyncio.sleep(3600)
    return web.Response()


@dataclass(slots=True)
class Delivery:
    """One POST that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> JSON:
        """The body."""
        return dict(json.loads(self.body))

    @property
    def text(self) -> str:
        """What somebody wrote."""
        return str(self.event["data"]["text"])

    def verify(self, secret: str) -> JSON:
        """The body, checked as the standard's own library does it."""
        return dict(Verifier(secret).verify(self.body, self.headers))


class Receiver:
    """What came, and how the next ones are answered: by `answer`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.port = port
        self.came: list[Delivery] = []
        self.answer: Answer = ok

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take one POST."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.came.append(Delivery(request.path_qs, headers, await request.read()))
        return await self.answer(request)

    async def wait(self, number: int) -> list[Delivery]:
        """The first `number` that came, once they did."""
        await until(lambda: len(self.came) >= number)
        return self.came[:number]

    @property
    def texts(self) -> list[str]:
        """What came tells of, in order."""
        return [delivery.text for delivery in self.came]


@asynccontextmanager
async def receiving(port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    listening = socket.create_server(("127.0.0.1", port))
    receiver = Receiver(listening.getsockname()[1])
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.SockSite(runner, listening, ssl_context=tls).start()
        yield receiver
    finally:
        await runner.cleanup()
        listening.close()
