"""Clients for fault tests: they post, retry, resume, and remember what they were told."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ..harness import JSON, ROOM, ServerProcess, draft, server_process

FREE = {
    "TALKEE_LIMITS__MESSAGES_PER_SECOND": "0",
    "TALKEE_LIMITS__ADDRESS_MESSAGES_PER_SECOND": "0",
    "TALKEE_LIMITS__LOGINS_PER_MINUTE": "0",
    "TALKEE_LIMITS__LOGINS_PER_HOUR": "0",
    "TALKEE_LIMITS__CONNECTIONS_PER_ADDRESS": "0",
    "TALKEE_LIMITS__CONNECTIONS_PER_USER": "0",
}
ROUNDS = int(os.environ.get("TALKEE_FAULT_ROUNDS", "3"))
"""How often the faults that depend on timing are caused; more in a soak."""


@contextmanager
def free_server(folder: Path, port: int = 0, **environ: str) -> Iterator[ServerProcess]:
    """A server process without limits on how often."""
    with server_process(folder, "--port", str(port), **(FREE | environ)) as process:
        yield process


def needs_root() -> None:
    """Skip where the machine does not let us cause the fault."""
    if os.geteuid() != 0:
        pytest.skip("only root can cause this fault")


async def guest(session: aiohttp.ClientSession, name: str = "Ann") -> str:
    """A new guest's access token."""
    body = {"method": "guest", "full_name": name}
    async with session.post("/api/auth/login", json=body) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["data"]["access_token"])


async def post(
    session: aiohttp.ClientSession, token: str, body: JSON, *, room: str = ROOM
) -> tuple[int, Any, Any]:
    """One post: status, answer, headers."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.post(f"/ws/messages?{room}", json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers


async def everything(session: aiohttp.ClientSession, token: str, *, room: str = ROOM) -> list[JSON]:
    """All messages of a room, by paging."""
    found: list[JSON] = []
    headers = {"Authorization": f"Bearer {token}"}
    while True:
        after = found[-1]["seq"] if found else 0
        url = f"/ws/messages?{room}&after={after}"
        async with session.get(url, headers=headers) as response:
            answer = await response.json()
        found += answer["data"]
        if not answer["has_more"]:
            return found


class Poster:
    """Posts as fast as it can; knows what was answered with 200, and what is in doubt."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.stored: dict[str, JSON] = {}
        self.doubtful: dict[str, JSON] = {}

    async def run(self, url: str) -> None:
        """Post until the server is gone."""
        async with aiohttp.ClientSession(url) as session:
            while True:
                body = draft(f"{random.random()}")
                self.doubtful[body["message_id"]] = body
                try:
                    status, answer, _ = await post(session, self.token, body)
                except (aiohttp.ClientError, ConnectionError):
                    return
                if status == 200:
                    self.stored[body["message_id"]] = answer
                    del self.doubtful[body["message_id"]]


class Reader:
    """Listens with events, resumes after each loss, and checks that nothing is lost or doubled."""

    def __init__(self, token: str, *, room: str = ROOM) -> None:
        self.token = token
        self.room = room
        self.position: tuple[str, int] | None = None
        self.seen: dict[int, JSON] = {}
        self.jumps = 0
        self.open_timeout = 30.0
        self.code: int | None = None

    async def run(self, url: str, **options: Any) -> None:
        """Listen until the connection ends; `code` then holds why."""
        auth: JSON = {"type": "auth", "token": self.token, "events": True}
        if self.position is not None:
            auth["since"] = {"epoch": self.position[0], "seq": self.position[1]}
        address = f"{url.replace('http', 'ws')}/ws?{self.room}"
        try:
            async with connect(address, open_timeout=self.open_timeout, **options) as client:
                await client.send(json.dumps(auth))
                try:
                    async for text in client:
                        self.take(json.loads(text))
                finally:
                    self.code = client.close_code
        except ConnectionClosed:
            pass
        except (OSError, InvalidHandshake, TimeoutError):
            self.code = 1006

    async def follow(self, url: str, *, until_seq: int) -> None:
        """Listen, coming back after each loss, until the position is reached."""
        while self.position is None or self.position[1] < until_seq:
            task = asyncio.create_task(self.run(url))
            while not task.done() and (self.position is None or self.position[1] < until_seq):
                await asyncio.wait([task], timeout=0.01)
            task.cancel()
            await asyncio.wait([task])

    def take(self, event: JSON) -> None:
        """One frame: its number must be the next."""
        if event["type"] == "ready":
            if self.position is None or not event.get("recovered"):
                self.jumps += self.position is not None
                self.position = (event["epoch"], event["seq"])
        elif event["type"] not in ("presence", "ping", "room", "error"):
            assert self.position is not None
            assert event["seq"] == self.position[1] + 1, (event["seq"], self.position)
            self.position = (self.position[0], event["seq"])
            self.seen[event["seq"]] = event
