"""Frames from clients that mean harm, know no better, or arrive in pieces (RFC 6455)."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import OPEN, State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from talkee_lite.api.socket import Connection
from talkee_lite.protocol import (
    close_frame,
    ends_between_frames,
    ping_frame,
    plain_text,
    text_frame,
)

from .harness import ROOM, Server, config_in, free_limits, running, until

MOST = 8192
MASK = b"\x11\x22\x33\x44"


def masked(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes = MASK,
) -> bytes:
    """One frame as a client sends it."""
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    if len(payload) < 126:
        head += bytes((0x80 | len(payload),))
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + mask + mixed.to_bytes(len(payload), "big")


def auth_text(token: object) -> bytes:
    """The text of an `auth` frame."""
    return json.dumps({"type": "auth", "token": token}).encode()


def auth(token: object) -> bytes:
    """An `auth` frame."""
    return masked(Opcode.TEXT, auth_text(token))


def goodbye(code: int = 1000) -> bytes:
    """A client's close frame."""
    return masked(Opcode.CLOSE, struct.pack("!H", code))


def handshake(room: str = ROOM, headers: str = "") -> bytes:
    """An opening handshake, as bytes."""
    return (
        f"GET /ws?{room} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    ).encode()


class RawClient:
    """A socket that sends bytes and reads frames, without any manners of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send bytes, in one write."""
        self.writer.write(b"".join(pieces))
        await self.writer.drain()

    async def frame(self) -> tuple[int, bytes] | None:
        """Opcode and payload of the next frame; None at the end of the connection."""
        try:
            async with asyncio.timeout(10):
                first, length = await self.reader.readexactly(2)
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif length == 127:
                    (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
                assert length < 1 << 32, "servers do not mask"
                return first & 0x0F, await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def message(self) -> dict[str, Any]:
        """The next frame, which must be a pushed message."""
        frame = await self.frame()
        assert frame is not None
        assert frame[0] == Opcode.TEXT
        return dict(json.loads(frame[1]))

    async def close_code(self) -> int:
        """Read on until the server closes; its code, or 1006 where it sent no close frame."""
        while (frame := await self.frame()) is not None:
            if frame[0] == Opcode.CLOSE:
                return int.from_bytes(frame[1][:2], "big") if frame[1] else 1005
        return 1006

    async def is_over(self, seconds: float = 3) -> bool:
        """Whether the server ends the TCP connection in time."""
        try:
            async with asyncio.timeout(seconds):
                while await self.reader.read(65536):
                    pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def raw_client(
    port: int, tail: bytes = b"", *, buffer: int = 0, room: str = ROOM, headers: str = ""
) -> AsyncIterator[RawClient]:
    """A client whose handshake was accepted; `tail` was sent together with it.

    `buffer` makes the system take few bytes for it that it has not read.
    """
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(handshake(room, headers) + tail)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def signed_in(server: Server, token: str | None = None) -> AsyncIterator[RawClient]:
    """A raw client that is in the room."""
    async with raw_client(server.port, auth(token or await server.guest())) as client:
        connection = connection_of(server, client)
        await until(lambda: connection.entered)
        yield client


def connection_of(server: Server, client: RawClient) -> Connection:
    """The server's end of a client's connection."""
    name = client.writer.get_extra_info("sockname")
    for connection in server.services.sockets.connections:
        transport = connection._transport
        if transport is not None and transport.get_extra_info("peername") == name:
            return connection
    raise LookupError(name)


async def is_well(server: Server) -> bool:
    """Whether a client with manners still signs in, posts and gets its message."""
    token = await server.guest("Witness")
    async with server.listen(token) as client:
        posted = await server.post(token, "still there?")
        return bool(json.loads(await client.recv())["message_id"] == posted["message_id"])


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Log lines that a client's bytes must never cause."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING or record.exc_info
    ]


TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
UNMASKED = b"\x81\x02{}"
# Wrong whether or not the client is signed in: what it sends, and the code that ends it.
HOSTILE: dict[str, tuple[bytes, int]] = {
    "unmasked text": (UNMASKED, 1002),
    "unmasked close": (b"\x88\x02\x03\xe8", 1002),
    "unmasked ping": (b"\x89\x00", 1002),
    "first reserved bit": (masked(TEXT, b"{}", rsv=4), 1002),
    "second reserved bit": (masked(TEXT, b"{}", rsv=2), 1002),
    "third reserved bit": (masked(Opcode.PING, b"", rsv=1), 1002),
    "reserved data opcode": (masked(0x3, b"{}"), 1002),
    "reserved control opcode": (masked(0xB, b"{}"), 1002),
    "continuation of nothing": (masked(CONT, b"{}"), 1002),
    "text inside a message": (masked(TEXT, b"{", fin=False) + masked(TEXT, b"{}"), 1002),
    "ping in fragments": (masked(Opcode.PING, b"", fin=False), 1002),
    "ping of 126 bytes": (masked(Opcode.PING, b"x" * 126), 1002),
    "close of one byte": (masked(Opcode.CLOSE, b"\x03"), 1002),
    "close with code 0": (goodbye(0), 1002),
    "close with code 999": (goodbye(999), 1002),
    "close with code 1005": (goodbye(1005), 1002),
    "close with code 1006": (goodbye(1006), 1002),
    "close with code 5000": (goodbye(5000), 1002),
    "close with a reason not in UTF-8": (masked(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
    "text not in UTF-8": (masked(TEXT, b"\xff\xfe"), 1007),
    "text with a lone surrogate": (masked(TEXT, b"\xed\xa0\x80"), 1007),
    "text cut inside a character": (masked(TEXT, b"\xc3"), 1007),
    "fragments not in UTF-8": (masked(TEXT, b"\xc3", fin=False) + masked(CONT, b"\x28"), 1007),
    "binary": (masked(BINARY, b"{}"), 1003),
    "empty binary": (masked(BINARY), 1003),
    "binary in fragments": (masked(BINARY, b"{", fin=False), 1003),
    "over 8 KiB": (masked(TEXT, b"x" * (MOST + 1)), 1009),
    "over 64 KiB": (masked(TEXT, b"x" * 70_000), 1009),
    "over 8 KiB in fragments": (
        masked(TEXT, b"x" * MOST, fin=False) + masked(CONT, b"x"),
        1009,
    ),
    "a length of 2 to the 62nd": (b"\x81\xff" + (1 << 62).to_bytes(8, "big") + MASK, 1009),
    "a length with its highest bit": (b"\x81\xff" + (1 << 63).to_bytes(8, "big") + MASK, 1009),
}


@pytest.mark.parametrize("early", [True, False], ids=["before auth", "after auth"])
async def test_each_kind_of_wrong_frame_ends_the_connection_with_its_code(
    server: Server, caplog: pytest.LogCaptureFixture, early: bool
) -> None:
    caplog.set_level(logging.INFO)
    token = await server.guest()
    wrong: dict[str, object] = {}
    for kind, (data, code) in HOSTILE.items():
        opened = raw_client(server.port) if early else signed_in(server, token)
        async with opened as client:
            await client.send(data)
            seen = await client.close_code()
            # As any client does that was told to go; then the server ends the connection.
            await client.send(goodbye(1000))
            if (seen, await client.is_over(1)) != (code, True):
                wrong[kind] = seen
    assert wrong == {}
    await until(lambda: len(server.services.sockets) == 0)
    assert faults(caplog) == []
    assert await is_well(server)


async def test_a_message_of_exactly_8_kib_is_taken_whole_and_in_fragments(server: Server) -> None:
    token = await server.guest()
    async with signed_in(server, token) as client:
        whole = b'{"type":"later"}'.ljust(MOST)
        await client.send(masked(TEXT, whole))
        await client.send(
            masked(TEXT, whole[:5000], fin=False),
            masked(CONT, whole[5000:8000], fin=False),
            masked(CONT, whole[8000:]),
        )
        posted = await server.post(token)
        assert (await client.message())["seq"] == posted["seq"]


async def test_fragments_with_a_ping_between_them_make_one_message(server: Server) -> None:
    text = auth_text(await server.guest())
    async with raw_client(server.port) as client:
        await client.send(masked(TEXT, text[:10], fin=False))
        await client.send(masked(Opcode.PING, b"are you there?"))
        assert await client.frame() == (Opcode.PONG, b"are you there?")
        await client.send(masked(CONT, fin=False), masked(CONT, text[10:], fin=False))
        await client.send(masked(Opcode.PONG, b"unasked"), masked(CONT))
        await until(lambda: server.joined == 1)


async def test_a_character_cut_by_a_fragment_is_whole_again(server: Server) -> None:
    token = await server.guest()
    text = json.dumps({"type": "auth", "note": "é", "token": token}, ensure_ascii=False).encode()
    cut = text.index("é".encode()) + 1
    async with raw_client(server.port) as client:
        await client.send(masked(TEXT, text[:cut], fin=False), masked(CONT, text[cut:]))
        await until(lambda: server.joined == 1)


def count_received(monkeypatch: pytest.MonkeyPatch) -> Counter[Connection]:
    """Bytes that each connection has received so far."""
    counts: Counter[Connection] = Counter()
    receive = Connection.data_received

    def counting(connection: Connection, data: bytes) -> None:
        receive(connection, data)
        counts[connection] += len(data)

    monkeypatch.setattr(Connection, "data_received", counting)
    return counts


async def test_frames_cut_at_every_byte_work_as_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(
        tmp_path, limits=free_limits(connections_per_user=0, connections_per_address=0)
    )
    async with running(config) as server:
        token = await server.guest()
        text = auth_text(token)
        data = (
            masked(Opcode.PING, b"1")
            + masked(TEXT, text[:7], fin=False)
            + masked(Opcode.PING, b"2")
            + masked(CONT, text[7:])
        )

        async def cut_at(at: int) -> None:
            async with raw_client(server.port) as client:
                await client.send(data[:at])
                connection, end = connection_of(server, client), at
                # Each part must come by itself for the cut to be one.
                await until(lambda: received[connection] == end)
                await client.send(data[at:])
                assert await client.frame() == (Opcode.PONG, b"1"), at
                assert await client.frame() == (Opcode.PONG, b"2"), at
                joined.append(at)
                await everybody.wait()
                assert (await client.message())["seq"] == 1, at

        received = count_received(monkeypatch)
        joined: list[int] = []
        everybody = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for at in range(len(data) + 1):
                group.create_task(cut_at(at))
            await until(lambda: server.joined == len(data) + 1)
            await server.post(token)
            everybody.set()
        assert sorted(joined) == list(range(len(data) + 1))


async def test_one_byte_at_a_time_is_enough(server: Server) -> None:
    token = await server.guest()
    async with raw_client(server.port) as client:
        for byte in auth(token) + masked(Opcode.PING, b"done"):
            client.writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        assert await client.frame() == (Opcode.PONG, b"done")
        await until(lambda: server.joined == 1)


@pytest.mark.parametrize(
    "frame",
    [masked(TEXT, b"{}"), masked(Opcode.PING), masked(Opcode.PONG), masked(TEXT, fin=False)],
    ids=["texts", "pings", "pongs", "fragments"],
)
async def test_a_flood_ends_with_1008_and_nobody_else_notices(
    server: Server, caplog: pytest.LogCaptureFixture, frame: bytes
) -> None:
    caplog.set_level(logging.INFO)
    token = await server.guest()
    more = masked(CONT, fin=False) if frame == masked(TEXT, fin=False) else frame
    flood = frame + more * 5000
    async with server.listen(token) as other, signed_in(server) as client:
        client.writer.write(flood + goodbye())
        assert await client.close_code() == 1008
        posted = await server.post(token)
        assert json.loads(await other.recv())["seq"] == posted["seq"]
    assert faults(caplog) == []


async def test_thirty_frames_in_ten_seconds_are_no_flood(server: Server) -> None:
    token = await server.guest()
    async with signed_in(server, token) as client:
        for n in range(29):
            await client.send(masked(Opcode.PING, b"%d" % n))
            assert await client.frame() == (Opcode.PONG, b"%d" % n)
        assert (await server.post(token))["seq"] == (await client.message())["seq"]
        await client.send(masked(Opcode.PING))
        assert await client.close_code() == 1008


@pytest.mark.parametrize(
    "frame",
    [masked(TEXT), masked(Opcode.PING), masked(Opcode.PONG)],
    ids=["texts", "pings", "pongs"],
)
async def test_a_flood_does_not_hold_the_others_up(server: Server, frame: bytes) -> None:
    async def longest_hold() -> float:
        longest, before = 0.0, time.thread_time()

        async def watch() -> None:
            nonlocal longest, before
            while True:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, before = max(longest, now - before), now

        async with signed_in(server) as client:
            connection = connection_of(server, client)
            watching = asyncio.create_task(watch())
            client.writer.write(frame * 100_000)
            assert await client.close_code() == 1008
            await client.writer.drain()
        await until(lambda: connection._transport is None)
        watching.cancel()
        return longest

    # Whatever else this process has to do once, such as collecting garbage, is not the flood's.
    assert min([await longest_hold() for _ in range(3)]) < 0.05


async def test_the_server_echoes_a_close_and_ends_the_tcp_connection(server: Server) -> None:
    for data, code in (
        (goodbye(1000), 1000),
        (goodbye(1001), 1001),
        (goodbye(3000), 3000),
        (goodbye(4999), 4999),
        (masked(Opcode.CLOSE, struct.pack("!H", 1000) + "später".encode()), 1000),
        (masked(Opcode.CLOSE), 1005),
    ):
        async with signed_in(server) as client:
            await client.send(data)
            assert await client.close_code() == code
            assert await client.is_over()
    await until(lambda: len(server.services.sockets) == 0)


async def test_what_follows_a_close_is_not_looked_at(server: Server) -> None:
    async with signed_in(server) as client:
        await client.send(goodbye(), masked(BINARY, b"x"), UNMASKED, b"\x00" * 100)
        assert await client.close_code() == 1000
        assert await client.is_over()


async def test_an_auth_and_a_close_in_one_packet_leave_nobody_in_the_room(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with raw_client(server.port, auth(await server.guest()) + goodbye()) as client:
        assert await client.close_code() == 1000
        assert await client.is_over()
    await until(lambda: len(server.services.sockets) == 0)
    assert server.services.hub._rooms == {}
    assert server.services.sockets._by_user == {}
    assert faults(caplog) == []
    assert await is_well(server)


async def test_a_message_and_a_close_in_one_packet_are_both_taken(server: Server) -> None:
    async with signed_in(server) as client:
        await client.send(masked(TEXT, b'{"type":"later"}'), goodbye())
        assert await client.close_code() == 1000
        assert await client.is_over()


async def test_a_close_behind_other_frames_ends_the_handshake_that_the_server_began(
    server: Server,
) -> None:
    async with raw_client(server.port, masked(TEXT, b"no auth")) as client:
        assert await client.close_code() == 4500
        await client.send(masked(TEXT, b"sent before the close came"), goodbye(4500))
        assert await client.is_over()


async def test_nothing_follows_the_servers_close_frame(server: Server) -> None:
    token = await server.guest()
    async with signed_in(server, token) as client:
        await client.send(masked(BINARY, b"x"), masked(Opcode.PING, b"1"))
        assert await client.close_code() == 1003
        await client.send(masked(Opcode.PING, b"2"))
        await server.post(token)
        await client.send(goodbye(1003))
        assert await client.frame() is None


async def test_a_client_that_never_answers_the_close_is_dropped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkee_lite.api.frames._CLOSING_SECONDS", 0.1)
    async with raw_client(server.port, masked(TEXT, b"no auth")) as client:
        assert await client.close_code() == 4500
        await until(lambda: len(server.services.sockets) == 0)


async def test_a_client_still_reads_why_its_huge_message_ended_the_connection(
    server: Server,
) -> None:
    token = await server.guest()
    for size in (100_000, 1_000_000, 5_000_000):
        async with signed_in(server, token) as client:
            client.writer.write(masked(TEXT, b"x" * size))
            assert await client.close_code() == 1009, size


async def test_half_open_connections_are_let_go(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = await server.guest()
    for tail in (b"", auth(token), auth(token)[:5], masked(TEXT, b"{", fin=False)):
        async with raw_client(server.port, tail) as client:
            client.writer.write_eof()
            assert await client.is_over()
    await until(lambda: len(server.services.sockets) == 0)
    assert faults(caplog) == []


async def test_connections_that_are_reset_are_let_go(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token = await server.guest()
    for _ in range(20):
        async with signed_in(server, token) as client:
            client.writer.transport.abort()
    await server.post(token)
    await until(lambda: len(server.services.sockets) == 0)
    assert faults(caplog) == []
    assert await is_well(server)


async def test_connections_that_never_speak_are_closed(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, limits=free_limits(auth_seconds=0.1))) as server:
        async with raw_client(server.port) as silent, raw_client(server.port) as half:
            await half.send(auth("x")[:9])
            assert await silent.close_code() == 4401
            assert await half.close_code() == 4401
        assert await is_well(server)


@given(st.data())
def test_random_bytes_are_never_taken_for_whole_messages_that_the_parser_still_waits_for(
    data: st.DataObject,
) -> None:
    raw = data.draw(st.binary(max_size=40))
    kept = server_parser()
    kept.receive_data(raw)
    if ends_between_frames(raw) and kept.state is State.OPEN and kept.parser_exc is None:
        probe = masked(Opcode.TEXT, b"probe")
        kept.events_received()
        kept.receive_data(probe)
        fresh = server_parser()
        fresh.receive_data(probe)
        assert kept.events_received() == fresh.events_received()


def server_parser() -> ServerProtocol:
    """The parser that a connection uses."""
    return ServerProtocol(state=OPEN, max_size=MOST)


Message = tuple[Opcode, bytes, list[int]]

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]),
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"x" * 124, b"x" * 125]),
            st.sampled_from([b"y" * 126, b"y" * 127, b"y" * 8000]),
        ),
        st.lists(st.integers(0, 20), max_size=3),
    ),
    max_size=5,
)


def frames_of(messages: Iterable[Message]) -> tuple[list[bytes], set[int]]:
    """Messages as a client's frames; and the offsets at which no message is incomplete."""
    frames: list[bytes] = []
    ends, at = {0}, 0
    for opcode, payload, cuts in messages:
        if opcode in (Opcode.PING, Opcode.PONG):
            pieces = [payload[:125]]
        else:
            marks = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]
            pieces = [payload[a:b] for a, b in itertools.pairwise(marks)]
        for n, piece in enumerate(pieces):
            last = n == len(pieces) - 1
            frames.append(masked(opcode if n == 0 else Opcode.CONT, piece, fin=last))
            at += len(frames[-1])
            if last:
                ends.add(at)
    return frames, ends


@given(MESSAGES, st.data())
def test_a_cut_is_between_messages_exactly_where_a_new_parser_may_go_on(
    messages: list[Message], data: st.DataObject
) -> None:
    frames, ends = frames_of(messages)
    stream = b"".join(frames)
    cut = data.draw(st.one_of(st.integers(0, len(stream)), st.sampled_from(sorted(ends))))
    assert ends_between_frames(stream[:cut]) is (cut in ends)
    kept = server_parser()
    kept.receive_data(stream[:cut])
    kept.events_received()
    kept.receive_data(stream[cut:])
    expected = kept.events_received()
    if cut in ends:
        fresh = server_parser()
        fresh.receive_data(stream[cut:])
        assert fresh.events_received() == expected


def client_events(data: bytes) -> Sequence[Any]:
    """What a client's parser reads from a server's bytes."""
    client = ClientProtocol(parse_uri("ws://x/"), state=OPEN, max_size=None)
    client.receive_data(data)
    return client.events_received()


@given(
    st.lists(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from([125, 126, 127, 65535, 65536, 70000]).map(lambda n: "x" * n),
        ),
        max_size=4,
    )
)
def test_clients_read_our_text_frames_as_they_were_written(texts: list[str]) -> None:
    run = b"".join(text_frame(text.encode()) for text in texts)
    assert client_events(run) == [Frame(Opcode.TEXT, text.encode()) for text in texts]
    for text in texts:
        frame = Frame(Opcode.TEXT, text.encode())
        assert text_frame(text.encode()) == frame.serialize(mask=False)


@given(
    st.sampled_from([1000, 1001, 1008, 1012, 1013, 4401, 4402, 4409, 4500, 4501, 4503]),
    st.text(st.characters(max_codepoint=127), max_size=123),
)
def test_clients_read_our_close_and_ping_frames(code: int, reason: str) -> None:
    assert client_events(ping_frame()) == [Frame(Opcode.PING, b"")]
    (event,) = client_events(close_frame(code, reason))
    assert event.opcode is Opcode.CLOSE
    assert Close.parse(event.data) == Close(code, reason)


@given(st.binary(min_size=1, max_size=300), st.integers(0, 2**32 - 1))
def test_a_plain_text_frame_is_read_as_the_frame_protocol_reads_it(
    payload: bytes, key: int
) -> None:
    mask = key.to_bytes(4, "big")
    raw = masked(Opcode.TEXT, payload, mask=mask)
    assert plain_text(raw, 8192) == payload
    assert plain_text(raw, len(payload)) == payload
    assert plain_text(raw, len(payload) - 1) is None
    for other in (raw[:-1], raw + b"\x81", b"", raw[:1], raw[:3]):
        assert plain_text(other, 8192) is None
    for first in (0x01, 0x80, 0x82, 0x88, 0x89, 0xC1, 0xA1, 0x91):
        assert plain_text(bytes([first]) + raw[1:], 8192) is None
    unmasked = raw[:1] + bytes([raw[1] & 0x7F]) + raw[2:]
    assert plain_text(unmasked, 8192) is None


def test_lengths_in_more_bytes_than_they_need_are_not_plain() -> None:
    assert plain_text(b"\x81\xfe\x00\x02\0\0\0\0{}", 8192) is None
    assert plain_text(b"\x81\xff" + (2).to_bytes(8, "big") + b"\0\0\0\0{}", 8192) is None
