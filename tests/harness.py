"""What tests stand on: a real server on a free port, with a real SQLite file.

`Server` runs in the test's own loop, by the same `Runner` that `serve` uses; `ServerProcess` is a
process of its own, which runs the command line as its owner does (see `forks.py`).
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from talkee_lite.api import plain_routes
from talkee_lite.api.context import SERVICES, Services
from talkee_lite.app import make_app
from talkee_lite.config import Config, DatabaseConfig, LimitsConfig
from talkee_lite.serve import Runner

from . import forks
from .forks import Fork

JSON = dict[str, Any]
ROOM = "site_id=1&slug=/a"


def encode(text: str | bytes) -> str:
    """A text as `data` of a message."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def draft(text: str = "Hello!", message_id: str | None = None) -> JSON:
    """The body of a post."""
    return {
        "message_id": message_id or str(uuid.uuid4()),
        "category": "text",
        "data": encode(text),
    }


def config_in(folder: Path, **tables: Any) -> Config:
    """Settings with the database in `folder`; without limits on posts and sign-ins unless given.

    `tables` replaces whole tables, as in `limits=LimitsConfig(…)`.
    """
    defaults: dict[str, Any] = {
        "database": DatabaseConfig(path=folder / "talkee.db"),
        "limits": free_limits(),
    }
    return replace(Config(), **(defaults | tables))


def free_limits(**changes: Any) -> LimitsConfig:
    """Default limits, but posts and sign-ins are not counted; `changes` go over both."""
    free = LimitsConfig(
        messages_per_second=0,
        address_messages_per_second=0,
        logins_per_minute=0,
        logins_per_hour=0,
    )
    return replace(free, **changes)


class Server:
    """A server in this loop, and the calls that most tests make."""

    def __init__(self, services: Services, port: int, session: aiohttp.ClientSession) -> None:
        self.services = services
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.ws_url = f"ws://127.0.0.1:{port}/ws"
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        data: Any = None,
    ) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of one call; `data` is sent as it is, `body` as JSON."""
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        if data is None and body is not None:
            data = json.dumps(body).encode()
            fields.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.url + path, data=data, headers=fields
        ) as response:
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None, response.headers

    async def guest(self, name: str = "Ann") -> str:
        """A new guest's access token."""
        status, answer, _ = await self.call(
            "POST", "/api/auth/login", {"method": "guest", "full_name": name}
        )
        assert status == 200, answer
        return str(answer["data"]["access_token"])

    async def post(
        self, token: str, text: str = "Hello!", *, room: str = ROOM, message_id: str | None = None
    ) -> JSON:
        """Post a message that must succeed; the answer."""
        status, answer, _ = await self.call(
            "POST", f"/ws/messages?{room}", draft(text, message_id), token=token
        )
        assert status == 200, answer
        return dict(answer)

    async def latest(self, token: str, *, room: str = ROOM, query: str = "") -> JSON:
        """The list of a room's messages, which must succeed."""
        status, answer, _ = await self.call("GET", f"/ws/messages?{room}{query}", token=token)
        assert status == 200, answer
        return dict(answer)

    @asynccontextmanager
    async def listen(
        self, token: str | None = None, *, room: str = ROOM, **options: Any
    ) -> AsyncIterator[ClientConnection]:
        """A socket of the `websockets` library; with a token, in the room before it is given."""
        async with connect(f"{self.ws_url}?{room}", **options) as client:
            if token is not None:
                before = self.joined
                await client.send(json.dumps({"type": "auth", "token": token}))
                await until(lambda: self.joined > before)
            yield client

    @property
    def joined(self) -> int:
        """Sockets that are in their room."""
        return sum(1 for c in self.services.sockets.connections if c.entered)


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Server]:
    """A server with these settings, stopped at the end."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
    port = listening.getsockname()[1]
    app = make_app(replace(config, server=replace(config.server, port=port)))
    runner = Runner(app, routes=plain_routes())
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=4096).start()
        async with aiohttp.ClientSession() as session:
            yield Server(app[SERVICES], port, session)
    finally:
        await runner.cleanup()
        listening.close()


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def exchange(port: int, data: bytes, seconds: float = 5) -> bytes:
    """Send raw bytes, then everything that comes until the server closes (or stays silent)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65536):
                received += chunk
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return received


class ServerProcess:
    """A server as its owner starts it, in a folder of its own."""

    def __init__(self, process: Fork, folder: Path, url: str) -> None:
        self.process = process
        self.folder = folder
        self.url = url

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


def run_verb(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run one command line in `folder` to its end."""
    return forks.run(arguments, folder, os.environ | environ)


@contextmanager
def server_process(folder: Path, *arguments: str, **environ: str) -> Iterator[ServerProcess]:
    """A running server process; its log goes to `server.log` in `folder`."""
    with (folder / "server.log").open("a") as log:
        process = forks.start(
            ["--port", "0", *arguments], folder, os.environ | environ, log.fileno()
        )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, (folder / "server.log").read_text()
        yield ServerProcess(process, folder, url)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
