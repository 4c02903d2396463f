"""The front door: what is answered there is what aiohttp would have led to, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from hypothesis import given, settings
from hypothesis import strategies as st

from talkee_lite.api import LIGHT, ROUTES, door, plain_routes
from talkee_lite.api.context import SERVICES, Services
from talkee_lite.api.door import read_plain
from talkee_lite.api.exchange import Answer, Request
from talkee_lite.api.widget import BUNDLE
from talkee_lite.app import make_app
from talkee_lite.serve import Runner

from .harness import ROOM, config_in, draft, until
from .test_frames import auth, handshake

ROUTE_TABLE = plain_routes()


class Served(NamedTuple):
    """A server with its front doors and its aiohttp."""

    services: Services
    runner: Runner
    port: int

    @property
    def in_aiohttp(self) -> int:
        """Connections that aiohttp has."""
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    @property
    def doors(self) -> door.Doors:
        """The front doors."""
        server: Any = self.runner.server
        assert isinstance(server.doors, door.Doors)
        return server.doors

    async def token(self) -> str:
        """A new guest's access token."""
        _, session = await self.services.sign_ins.guest("Ann")
        return self.services.tokens.encode(session)


@asynccontextmanager
async def served(
    folder: Path, *, receive_bytes: int = 0, send_bytes: int = 0, **tables: Any
) -> AsyncIterator[Served]:
    """A running server, stopped at the end.

    `receive_bytes` and `send_bytes` the system keeps per connection; `tables` are settings.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    if receive_bytes:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    if send_bytes:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
    app = make_app(config_in(folder, **tables))
    runner = Runner(app, routes=plain_routes())
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield Served(app[SERVICES], runner, listening.getsockname()[1])
    finally:
        await runner.cleanup()
        listening.close()


class Client:
    """A connection that sends bytes as it is told and reads whole answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, *, split: bool = False) -> None:
        """Send `data`; `split`: its first byte apart, which is not plain."""
        if split:
            self.writer.write(data[:1])
            await asyncio.sleep(0.05)
            data = data[1:]
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.rstrip("\r\n").split("\r\n")
            headers = {
                name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
            }
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(status.split(" ")[1]), headers, body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """A connection to the server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


def request(
    method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A whole request as a client would write it."""
    fields = {"Host": "x", **(headers or {})}
    if body is not None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))} | fields
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b"")


def posting(token: str, text: str = "Hello!", message_id: str | None = None) -> bytes:
    """A request that posts a message."""
    body = json.dumps(draft(text, message_id)).encode()
    return request("POST", f"/ws/messages?{ROOM}", {"Authorization": f"Bearer {token}"}, body)


PLAIN = [
    request("GET", "/hc"),
    request("GET", "/hc/"),
    request("GET", "/"),
    request("GET", "/talkee.js"),
    request("GET", "/talkee.js", {"If-None-Match": "*"}),
    request("GET", "/talkee%2Ejs"),
    *(
        request("GET", target, {"Accept-Encoding": accepted, **more})
        for target in (
            "/talkee.js",
            "/widget/comments.js",
            "/widget/words/de-AT.json",
            "/",
            "/admin",
        )
        for accepted in ("gzip", "gzip;q=0")
        for more in ({}, {"If-None-Match": "*"}, {"Origin": "https://blog.example.com"})
    ),
    request("GET", "/widget/none.js"),
    request("GET", "/api/auth/methods", {"Origin": "http://127.0.0.1:8080"}),
    *(
        request("OPTIONS", "/ws/messages", {"Origin": origin, **asks})
        for origin in ("http://127.0.0.1:8080", "https://elsewhere.example")
        for asks in ({}, {"Access-Control-Request-Method": "POST"})
    ),
    request("GET", "/api/auth/methods", {"Origin": "https://elsewhere.example"}),
    request("GET", f"/ws/messages?{ROOM}"),
    request("GET", f"/ws/messages?{ROOM}&limit=0", {"Authorization": "Bearer {token}"}),
    request("GET", f"/ws/messages?{ROOM}", {"Authorization": "Bearer {token}"}),
    request("GET", "/ws/messages", {"X-TALKEE-SITE-ID": "1", "X-Talkee-Site-Slug": "%2Fa"}),
    request("GET", "/ws?site_id=1&slug=/a"),
    request("GET", "/ws"),
    request("GET", "/api/me", {"Authorization": "bearer   {token}"}),
    request("GET", "/api/me", {"Authorization": "Bearer {token}", "Connection": "close"}),
    request("GET", "/api/slugs?site_id=1&slug=%2Fb%20c"),
    request("POST", f"/ws/messages?{ROOM}", {}, b"{}"),
    request("POST", f"/ws/messages?{ROOM}", {"Content-Type": "text/plain"}, b"{}"),
    request("POST", f"/ws/messages?{ROOM}", {"Authorization": "Bearer {token}"}, b"{nonsense"),
    request("POST", f"/ws/messages?{ROOM}", {"Authorization": "Bearer {token}"}, b"x" * 17_000),
    request("POST", "/api/auth/login", {}, b'{"method":"guest","full_name":""}'),
    request("POST", "/api/auth/login", {}, b'{"method":"nobody"}'),
    request("POST", "/api/auth/logout", {"Authorization": "Bearer nonsense"}),
    request("POST", "/hc", {}, b""),
]


@pytest.mark.parametrize("asked", PLAIN, ids=lambda asked: asked[:60].decode().strip())
async def test_both_ways_lead_to_the_same_answer(asked: bytes, tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        asked = asked.replace(b"{token}", (await server.token()).encode())
        is_ours = read_plain(asked, ROUTE_TABLE) is not None
        answers = []
        for split in (False, True):
            async with connected(server.port) as client:
                await client.send(asked, split=split)
                answers.append(await client.answer())
                if b"Connection: close" not in asked:
                    assert (server.in_aiohttp > 0) is (split or not is_ours)
            await until(lambda: not server.in_aiohttp and not server.doors.open)
        (status, headers, body), (other_status, other_headers, other_body) = answers
        assert status == other_status
        for varying in ("date", "x-request-id", "content-length"):
            assert (varying in headers) is (varying in other_headers)
            headers.pop(varying, None)
            other_headers.pop(varying, None)
        assert headers == other_headers
        assert steady(body) == steady(other_body)


def steady(body: bytes) -> bytes:
    """A body without what differs each time."""
    return re.sub(rb'"(ts|uptime)":\d+|"request_id":"[^"]*"', b"", body)


def test_every_address_without_parameters_has_a_door() -> None:
    for method, path, handler in ROUTES:
        if "{" not in path:
            assert ROUTE_TABLE[method, path] is handler
    assert set(LIGHT) <= set(ROUTE_TABLE.values())


GOOD = request("POST", "/api/auth/login", {"Origin": "https://a.example"}, b'{"method":"guest"}')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"POST ", b"PUT "),
        (b"POST ", b" POST "),
        (b"/api/auth/login", b"/api/auth/login#x"),
        (b"/api/auth/login", b"/api//auth/login"),
        (b"/api/auth/login", b"http://x/api/auth/login"),
        (b"/api/auth/login", b"/api/auth/login?a=\xc3\xa4"),
        (b"/api/auth/login", b"/api/auth/login?a=\x00"),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1", b"HTTP/1.1 "),
        (b"Host: x\r\n", b""),
        (b"Host: x\r\n", b"Host: x\r\nHost: y\r\n"),
        (b"Host: x\r\n", b"Host: x\nA: b\r\n"),
        (b"Host: x\r\n", b"Host: x\r\n y\r\n"),
        (b"Host: x\r\n", b"Host : x\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nNo colon\r\n"),
        (b"Host: x\r\n", b"Host: x\r\n: nameless\r\n"),
        (b"Host: x\r\n", b"Host: x \r\n"),
        (b"Host: x\r\n", b"Host:\tx\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nA: \xe4\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nA: b\rC: d\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nA: \x00\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nTransfer-Encoding: chunked\r\n"),
        (b"Host: x\r\n", b"Host: x\r\ntransfer-encoding: identity\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nContent-Encoding: gzip\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nExpect: 100-continue\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nUpgrade: websocket\r\n"),
        (b"Host: x\r\n", b"Host: x\r\nCookie: " + b"x" * 9000 + b"\r\n"),
        (b"Content-Length: 18", b"Content-Length: +18"),
        (b"Content-Length: 18", b"Content-Length: 018"),
        (b"Content-Length: 18", b"Content-Length: 18, 18"),
        (b"Content-Length: 18", b"Content-Length: 17"),
        (b"Content-Length: 18", b"Content-Length: 19"),
        (b"Content-Length: 18\r\n", b""),
    ],
)
def test_whatever_is_not_plain_goes_to_aiohttp(old: bytes, new: bytes) -> None:
    assert read_plain(GOOD, ROUTE_TABLE) is not None
    assert GOOD.count(old) == 1
    assert read_plain(GOOD.replace(old, new), ROUTE_TABLE) is None


def parsed_by_aiohttp(data: bytes) -> tuple[str, str, dict[str, str], bytes]:
    """Method, target, headers and body as aiohttp reads them; it must read one whole request."""
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(
            BaseProtocol(loop), loop, 2**16, max_line_size=8190, max_field_size=8190
        )
        messages, upgraded, tail = parser.feed_data(data)
        ((message, payload),) = messages
        assert message.should_close is (message.headers.get("Connection", "").lower() == "close")
        body = payload.read_nowait(-1)
        assert not tail
        assert upgraded or payload.is_eof()
        headers = {name.lower(): value for name, value in message.headers.items()}
        assert len(headers) == len(message.headers)
        return message.method, message.path, headers, body
    finally:
        loop.close()


SAMPLES = [GOOD, PLAIN[9], handshake(), request("POST", "/api/auth/logout", {"A": ""}, b"")]
PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\x00", b"A: b\r\n", b"Host: y\r\n", b"\xe4"]


@given(
    st.sampled_from(SAMPLES),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 3),
            st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)),
        ),
        max_size=3,
    ),
)
@settings(max_examples=1500)
def test_what_is_plain_means_the_same_to_aiohttp(
    sample: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    for at, removed, added in edits:
        sample = sample[:at] + added + sample[at + removed :]
    found = read_plain(sample, ROUTE_TABLE)
    if found is not None:
        _, method, target, headers, body = found
        assert parsed_by_aiohttp(sample) == (method, target, headers, body)


async def test_a_connection_stays_until_something_is_not_plain(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        token = await server.token()
        for text in ("one", "two"):
            await client.send(posting(token, text))
            assert (await client.answer())[0] == 200
            assert server.in_aiohttp == 0
        await client.send(
            request("POST", "/api/auth/login", {"Transfer-Encoding": "chunked"})[:-2]
            + b"Content-Type: application/json\r\n\r\n"
            + b'22\r\n{"method":"guest","full_name":"Bob"}\r\n0\r\n\r\n'.replace(b"22", b"24")
        )
        assert (await client.answer())[0] == 200
        assert server.in_aiohttp == 1
        await client.send(posting(token, "three"))
        assert (await client.answer())[0] == 200


async def test_what_comes_while_an_answer_is_made_is_answered_after_it(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        token = await server.token()
        slow = server.services.db.write(lambda tx: time.sleep(0.4))
        await client.send(posting(token, "first"))
        await until(lambda: any(one.is_busy for one in server.doors.open))
        await client.send(request("GET", "/hc"))
        await asyncio.sleep(0.1)
        assert not slow.done()
        (door_of_client,) = server.doors.open
        assert door_of_client._waiting == request("GET", "/hc")
        first, second = await client.answer(), await client.answer()
        assert b'"seq":1,' in first[2]
        assert b"uptime" in second[2]
        assert server.in_aiohttp == 0


async def test_requests_in_one_piece_are_answered_in_their_order(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        token = await server.token()
        requests = [posting(token, "first"), request("GET", "/hc"), posting(token, "second")]
        client.writer.write(b"".join(requests))
        bodies = [(await client.answer())[2] for _ in requests]
        assert b'"seq":1,' in bodies[0]
        assert b"uptime" in bodies[1]
        assert b'"seq":2,' in bodies[2]


async def test_a_client_that_floods_is_not_read_while_it_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path, receive_bytes=4096) as server, connected(server.port) as client:
        token = await server.token()
        slow = server.services.db.write(lambda tx: time.sleep(1.0))
        await client.send(posting(token, "0"))
        await until(lambda: any(one.is_busy for one in server.doors.open))
        (door_of_client,) = server.doors.open
        count = 2000
        flood = b"".join(posting(token, f"{n}") for n in range(1, count))
        sending = asyncio.create_task(client.send(flood))
        await until(lambda: len(door_of_client._waiting) > 65536)
        await asyncio.sleep(0.2)
        assert not slow.done()
        # What the loop reads at once may come on top.
        assert len(door_of_client._waiting) < 65536 + 262144 + 1
        assert len(door_of_client._waiting) < len(flood)
        for n in range(count):
            status, _, body = await client.answer()
            assert status == 200
            assert b'"seq":%d,' % (n + 1) in body
        await sending


async def test_connection_close_is_obeyed(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        await client.send(request("GET", "/hc", {"Connection": "close"}))
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""
        await until(lambda: not server.doors.open)


async def test_a_message_is_stored_though_its_author_is_gone(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        token = await server.token()
        async with connected(server.port) as client:
            await client.send(posting(token))
        await until(lambda: not server.doors.open)
        async with connected(server.port) as client:
            await client.send(
                request("GET", f"/ws/messages?{ROOM}", {"Authorization": f"Bearer {token}"})
            )
            assert json.loads((await client.answer())[2])["seq"] == 1


async def test_who_ends_their_side_still_gets_the_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        token = await server.token()
        slow = server.services.db.write(lambda tx: time.sleep(0.2))
        client.writer.write(posting(token))
        client.writer.write_eof()
        status, headers, _ = await client.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.reader.read() == b""
        assert slow.done()
        await until(lambda: not server.doors.open)


async def test_an_upgrade_leaves_the_door(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        token = await server.token()
        await client.send(handshake())
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert server.in_aiohttp == 0
        assert not server.doors.open
        await client.send(auth(token))
        await until(lambda: sum(c.entered for c in server.services.sockets.connections) == 1)


async def test_who_says_nothing_is_shown_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine may well be late by a second.
    monkeypatch.setattr(door, "IDLE_SECONDS", 1.5)
    monkeypatch.setattr(door, "_SWEEP_SECONDS", 0.1)
    async with (
        served(tmp_path) as server,
        connected(server.port) as silent,
        connected(server.port) as talking,
    ):
        for _ in range(8):
            await talking.send(request("GET", "/hc"))
            assert (await talking.answer())[0] == 200
            await asyncio.sleep(0.25)
        assert await silent.reader.read() == b""
        assert len(server.doors.open) == 1


async def test_who_takes_no_answers_asks_in_vain(tmp_path: Path) -> None:
    # So that the first answer does not wait until the file is made.
    await asyncio.to_thread(BUNDLE.make)
    async with served(tmp_path) as server:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        asked = request("GET", "/talkee.js")
        await until(lambda: len(server.doors.open) == 1)
        (door_of_client,) = server.doors.open
        transport: Any = door_of_client._transport
        for _ in range(2000):
            heard = door_of_client.heard_at
            await loop.sock_sendall(sock, asked)
            # Apart, so that each is plain.
            await until(lambda heard=heard: door_of_client.heard_at != heard)  # type: ignore[misc]
            if door_of_client._waiting:
                break
        assert door_of_client._paused
        assert door_of_client in server.doors.open
        assert server.in_aiohttp == 0
        unsent = transport.get_write_buffer_size()
        await loop.sock_sendall(sock, asked)
        await asyncio.sleep(0.05)
        assert transport.get_write_buffer_size() == unsent
        assert door_of_client._waiting == asked * 2
        sock.close()
        await until(lambda: not server.doors.open and not server.in_aiohttp)


class SlowTransport:
    """Stands for a transport whose client takes its bytes slowly, or not at all."""

    def __init__(self) -> None:
        self.unsent = 1000
        self.was_cut = False

    def get_extra_info(self, name: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.was_cut = True

    close = abort


async def test_a_slow_client_is_left_alone_as_long_as_it_takes_something(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        slow: Any = SlowTransport()
        one = server.doors.make()
        one.connection_made(slow)
        now = server.doors.now()
        one.look_after(now)
        for n in range(1, 5):
            slow.unsent -= 1
            one.look_after(now + n * door.IDLE_SECONDS)
            assert not slow.was_cut
        one.look_after(now + 5.5 * door.IDLE_SECONDS)
        assert slow.was_cut
        one.connection_lost(None)


async def test_doors_that_close_finish_what_was_begun(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        token = await server.token()
        async with connected(server.port) as busy:
            slow = server.services.db.write(lambda tx: time.sleep(0.3))
            await busy.send(posting(token))
            await until(lambda: any(one.is_busy for one in server.doors.open))
            await server.doors.close(5)
            assert slow.done()
            assert (await busy.answer())[0] == 200
            assert await busy.reader.read() == b""
        # Whoever comes now is aiohttp's to refuse or to serve.
        async with connected(server.port) as late:
            await late.send(request("GET", "/hc"))
            assert (await late.answer())[0] == 200
            assert server.in_aiohttp == 1


async def never(_: Request) -> Answer:
    """A handler whose future is cancelled."""
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.cancel)
    return await future  # type: ignore[no-any-return]


async def turns(_: Request) -> Answer:
    """A handler that gives the loop a turn."""
    await asyncio.sleep(0)
    return Answer(b"{}")


@pytest.mark.parametrize("is_light", [True, False])
async def test_a_handler_that_is_cancelled_ends_its_connection(
    is_light: bool, tmp_path: Path
) -> None:
    async with served(tmp_path) as server:
        routes = {("GET", "/never"): never, ("GET", "/turns"): turns}
        doors = door.Doors(
            server.services, routes, set(routes.values()) if is_light else (), asyncio.Protocol
        )
        listening = await asyncio.get_running_loop().create_server(doors.make, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with connected(port) as client:
            await client.send(request("GET", "/turns"))
            assert (await client.answer())[2] == b"{}"
            await client.send(request("GET", "/never"))
            assert await client.reader.read() == b""
        await until(lambda: not doors.open)
        await doors.close(1)
        listening.close()


def test_reading_a_head_takes_no_longer_than_it_is_long() -> None:
    started = time.process_time()
    for bad in (b"A:" + b" " * 8000 + b"\t", b"A" * 8000 + b"\t", b"A: " + b"x " * 4000 + b"\t"):
        assert read_plain(request("GET", "/hc")[:-2] + bad + b"\r\n\r\n", ROUTE_TABLE) is None
    # Where each byte is read again for each before it, this takes a second.
    assert time.process_time() - started < 0.2


def test_as_many_headers_as_aiohttp_takes_and_no_more() -> None:
    for count, is_plain in ((127, True), (128, False)):
        many = {f"A{n}": "b" for n in range(count)}
        assert (read_plain(request("GET", "/hc", many), ROUTE_TABLE) is not None) is is_plain


async def test_what_is_remembered_of_addresses_is_bounded(tmp_path: Path) -> None:
    async with served(tmp_path) as server, connected(server.port) as client:
        for n in range(20):
            forwarded = f"10.0.0.{n}," * 50
            await client.send(request("GET", "/api/me", {"X-Forwarded-For": forwarded}))
            assert (await client.answer())[0] == 401
        assert sum(len(asked[1]) for asked in server.services.addresses) == 0


async def test_a_stop_waits_for_what_is_being_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        token = await server.token()
        async with connected(server.port) as busy, connected(server.port) as idle:
            await until(lambda: len(server.doors.open) == 2)
            slow = server.services.db.write(lambda tx: time.sleep(0.5))
            await busy.send(posting(token))
            await until(lambda: any(one.is_busy for one in server.doors.open))
            await server.runner.cleanup()
            assert slow.done()
            assert (await busy.answer())[0] == 200
            assert await busy.reader.read() == b""
            assert await idle.reader.read() == b""
