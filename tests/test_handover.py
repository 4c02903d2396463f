"""How a connection leaves aiohttp: nothing is left behind, nothing is lost.

These fail at once when a new aiohttp breaks what `api/handover.py` relies on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import socket
import struct
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from talkee_lite.api.context import SERVICES, Services
from talkee_lite.api.exchange import Upgrade
from talkee_lite.api.handover import hand_over
from talkee_lite.app import make_app
from talkee_lite.serve import Runner

from .harness import JSON, ROOM, config_in, draft, exchange, free_limits, server_process, until
from .test_frames import auth, goodbye, handshake, masked, raw_client

Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS: dict[str, Loop] = {"asyncio": asyncio.new_event_loop}
with contextlib.suppress(ImportError):
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


class Running(NamedTuple):
    """A server whose aiohttp can be looked into."""

    services: Services
    runner: Runner
    port: int

    def token(self) -> Awaitable[str]:
        """A new guest's access token."""
        return _token(self.services)

    async def call(self, method: str, path: str, body: JSON, token: str) -> bytes:
        """One HTTP call over a connection of its own; the whole answer."""
        content = json.dumps(body).encode()
        return await exchange(
            self.port,
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n".encode()
            + content,
        )

    @property
    def left_in_aiohttp(self) -> int:
        """Connections that aiohttp still believes to be its own."""
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    @property
    def joined(self) -> int:
        """Sockets that are in their room."""
        return sum(1 for c in self.services.sockets.connections if c.entered)


async def _token(services: Services) -> str:
    _, session = await services.sign_ins.guest("Ann")
    return services.tokens.encode(session)


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Running]:
    """A server on whatever loop runs."""
    limits = free_limits(connections_per_user=0)
    app = make_app(config_in(folder, limits=limits))
    runner = Runner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        yield Running(app[SERVICES], runner, runner.addresses[0][1])
    finally:
        await runner.cleanup()


def on_each_loop(scenario: Callable[[Path], Awaitable[None]]) -> Any:
    """Make a test that runs `scenario` on asyncio's own loop, and on uvloop where there is one."""

    @pytest.mark.parametrize("loop", LOOPS)
    def test(tmp_path: Path, loop: str, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)

        async def run() -> None:
            await scenario(tmp_path)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(run())
        assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []

    test.__name__ = test.__qualname__ = getattr(scenario, "__name__", "test")
    test.__module__ = scenario.__module__
    return test


@on_each_loop
async def test_after_the_upgrade_aiohttp_has_no_connection_and_no_task_left(folder: Path) -> None:
    async with served(folder) as server, contextlib.AsyncExitStack() as stack:
        token = await server.token()
        tasks = len(asyncio.all_tasks())
        for _ in range(30):
            await stack.enter_async_context(raw_client(server.port, auth(token)))
        await until(lambda: server.joined == 30)
        await until(lambda: server.left_in_aiohttp == 0)
        await until(lambda: len(asyncio.all_tasks()) <= tasks)


@on_each_loop
async def test_after_the_upgrade_no_request_and_no_handler_is_kept_in_memory(folder: Path) -> None:
    def kept() -> list[object]:
        return [o for o in gc.get_objects() if isinstance(o, (web.Request, RequestHandler))]

    async with served(folder) as server, raw_client(server.port) as client:
        await client.send(auth(await server.token()))
        await until(lambda: server.joined == 1)
        gc.collect()
        assert kept() == []


@on_each_loop
async def test_both_directions_work_and_the_end_is_noticed(folder: Path) -> None:
    async with served(folder) as server:
        token = await server.token()
        async with connect(f"ws://127.0.0.1:{server.port}/ws?{ROOM}") as client:
            await client.send(json.dumps({"type": "auth", "token": token}))
            await until(lambda: server.joined == 1)
            for n in range(3):
                body = draft(f"message {n}")
                answer = await server.call("POST", f"/ws/messages?{ROOM}", body, token)
                assert answer.startswith(b"HTTP/1.1 200")
                assert json.loads(await client.recv())["message_id"] == body["message_id"]
            pong = await client.ping()
            await asyncio.wait_for(pong, 5)
        await until(lambda: len(server.services.sockets) == 0)


@on_each_loop
async def test_what_is_sent_together_with_the_handshake_is_not_lost(folder: Path) -> None:
    async with served(folder) as server:
        token = await server.token()
        ping = masked(Opcode.PING, b"1")
        async with raw_client(server.port, auth(token) + ping) as client:
            assert await client.frame() == (Opcode.PONG, b"1")
            await until(lambda: server.joined == 1)


@on_each_loop
async def test_a_handshake_and_an_auth_cut_anywhere_are_not_lost(folder: Path) -> None:
    async with served(folder) as server:
        token = await server.token()
        frame = auth(token)
        for cut in (1, 2, 5, 6, 7, len(frame) - 1):
            async with raw_client(server.port, frame[:cut]) as client:
                await client.send(frame[cut:], masked(Opcode.PING, b"1"))
                assert await client.frame() == (Opcode.PONG, b"1")
        start = handshake()
        for cut in (1, 50, len(start) - 3, len(start) - 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(start[:cut])
            await asyncio.sleep(0.01)
            writer.write(start[cut:] + masked(Opcode.PING, b"1"))
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(3) == b"\x8a\x011"
            writer.close()


@on_each_loop
async def test_an_upgrade_may_follow_other_requests_on_its_connection(folder: Path) -> None:
    async with served(folder) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /hc HTTP/1.1\r\nHost: x\r\n\r\n" + handshake() + auth("bad"))
        received = await reader.readuntil(b"\x88")
        assert received.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 101 Switching Protocols\r\n" in received
        assert (await reader.readexactly(3))[1:] == (4501).to_bytes(2, "big")
        writer.close()


@on_each_loop
async def test_big_headers_change_nothing(folder: Path) -> None:
    headers = f"Cookie: {'c' * 7000}\r\n" + "".join(
        f"X-Header-{n}: {'x' * 100}\r\n" for n in range(50)
    )
    async with served(folder) as server:
        token = await server.token()
        async with raw_client(server.port, auth(token), headers=headers):
            await until(lambda: server.joined == 1)
            await until(lambda: server.left_in_aiohttp == 0)


@on_each_loop
async def test_much_more_than_a_buffer_behind_the_handshake_is_judged_as_usual(
    folder: Path,
) -> None:
    for tail, code in (
        (masked(Opcode.PING) * 50_000, 1008),
        (b"\x81\x02{}" + bytes(400_000), 1002),
        (masked(Opcode.TEXT, b"x" * 400_000), 1009),
        (goodbye() + bytes(400_000), 1000),
    ):
        async with served(folder) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(handshake() + tail)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert await reader.readexactly(1) == b"\x88"
            assert (await reader.readexactly(3))[1:] == code.to_bytes(2, "big")
            writer.transport.abort()
            await until(lambda s=server: len(s.services.sockets) == 0)  # type: ignore[misc]


@on_each_loop
async def test_a_body_with_the_handshake_does_no_harm(folder: Path) -> None:
    async with served(folder) as server:
        async with raw_client(server.port, b"hello", headers="Content-Length: 5\r\n") as client:
            await client.send(goodbye())
            assert await client.is_over()
        await until(lambda: len(server.services.sockets) == 0)


@on_each_loop
async def test_a_client_that_leaves_before_the_upgrade_leaves_nothing(folder: Path) -> None:
    async with served(folder) as server:
        before = len(asyncio.all_tasks())
        for data in (handshake(), handshake()[:-2], handshake() + auth("x")):
            for _ in range(10):
                gone = socket.create_connection(("127.0.0.1", server.port))
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(data)
                gone.close()
        await until(lambda: len(asyncio.all_tasks()) <= before)
        await until(lambda: len(server.services.sockets) == 0)
        await until(lambda: server.left_in_aiohttp == 0)
        async with raw_client(server.port, auth(await server.token())):
            await until(lambda: server.joined == 1)


async def test_a_connection_that_is_gone_is_not_handed_over() -> None:
    class Gone:
        protocol = None
        transport = None

    request: Any = Gone()
    with pytest.raises(ConnectionResetError):
        hand_over(request, Upgrade(protocol=asyncio.Protocol()))


@on_each_loop
async def test_only_a_get_request_of_http_1_1_upgrades(folder: Path) -> None:
    async with served(folder) as server:
        for changed, wanted in (
            ((b"GET ", b"HEAD "), b"426"),
            ((b"GET ", b"POST "), b"405"),
            ((b"HTTP/1.1", b"HTTP/1.0"), b"426"),
        ):
            request = handshake(headers="Content-Length: 0\r\n").replace(*changed, 1)
            answer = await exchange(server.port, request, 0.2)
            assert answer.split(b" ", 2)[1] == wanted, (changed, answer[:80])
        assert len(server.services.sockets) == 0


@on_each_loop
async def test_http_goes_on_after_an_upgrade_that_was_refused(folder: Path) -> None:
    async with served(folder) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(handshake("site_id=99&slug=/a"))
        writer.write(b"GET /hc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = await reader.read()
        writer.close()
        assert received.startswith(b"HTTP/1.1 404 ")
        assert b"\r\n\r\n" in received
        assert b"HTTP/1.1 200 " in received


def test_a_server_process_hands_over_too(tmp_path: Path) -> None:
    async def talk(url: str, token: str) -> None:
        port = int(url.rpartition(":")[2])
        async with raw_client(port, auth(token) + masked(Opcode.PING, b"1")) as client:
            assert await client.frame() == (Opcode.PONG, b"1")
            deadline = time.monotonic() + 5
            seen = None
            while seen is None and time.monotonic() < deadline:
                request = urllib.request.Request(
                    f"{url}/ws/messages?{ROOM}",
                    json.dumps(draft()).encode(),
                    {"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
                )
                answer = await asyncio.to_thread(fetch, request)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.5):
                        seen = await client.message()
            assert seen is not None
            assert seen["seq"] <= answer["seq"]

    with server_process(tmp_path) as process:
        request = urllib.request.Request(
            f"{process.url}/api/auth/login",
            b'{"method": "guest", "full_name": "Ann"}',
            {"Content-Type": "application/json"},
        )
        token = fetch(request)["data"]["access_token"]
        asyncio.run(talk(process.url, token))
        assert process.stop() == 0
        log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log
    assert "socket closed" in log


def fetch(request: urllib.request.Request) -> JSON:
    """One call; the JSON answer."""
    with urllib.request.urlopen(request, timeout=10) as response:
        return dict(json.load(response))
