"""Readers that stop reading, or read slowly: they cost themselves only."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.frames import Opcode

from talkee_lite import hub as hub_module
from talkee_lite.api.socket import Connection
from talkee_lite.hub import SLICE, Audience, Hub
from talkee_lite.models import RoomKey

from .harness import JSON, ROOM, Server, config_in, free_limits, running, until
from .test_frames import (
    RawClient,
    auth,
    connection_of,
    goodbye,
    is_well,
    masked,
    raw_client,
    signed_in,
)
from .test_handover import on_each_loop

OTHER = "site_id=1&slug=/b"
BUFFER = 4096
BIG = "x" * 4000
"""A text whose frame has about 5,700 bytes."""


@asynccontextmanager
async def slow_reader(
    server: Server, token: str, *, room: str = ROOM
) -> AsyncIterator[tuple[RawClient, Connection]]:
    """A client in the room that has stopped reading, with little room in the system's buffers."""
    async with raw_client(server.port, buffer=BUFFER, room=room) as client:
        connection = connection_of(server, client)
        assert connection._transport is not None
        server_socket = connection._transport.get_extra_info("socket")
        server_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        await client.send(auth(token))
        await until(lambda: connection.entered)
        pause(client)
        yield client, connection


def pause(client: RawClient) -> None:
    """Stop reading."""
    transport = client.writer.transport
    assert isinstance(transport, asyncio.Transport) or hasattr(transport, "pause_reading")
    transport.pause_reading()


def read_on(client: RawClient) -> None:
    """Read again."""
    client.writer.transport.resume_reading()  # type: ignore[attr-defined]


async def numbers(client: ClientConnection, count: int) -> list[int]:
    """The `seq` of the next messages."""
    async with asyncio.timeout(10):
        return [json.loads(await client.recv())["seq"] for _ in range(count)]


@on_each_loop
async def test_a_reader_with_too_many_unsent_bytes_is_cut_and_the_others_get_everything(
    folder: Path,
) -> None:
    limits = free_limits(max_unsent_bytes=65536, paused_seconds=60)
    async with running(config_in(folder, limits=limits)) as server:
        token = await server.guest()
        async with (
            server.listen(token) as first,
            slow_reader(server, token) as (client, connection),
            server.listen(token) as second,
        ):
            posted, most = 0, 0
            while connection._transport is not None and posted < 100:
                await server.post(token, BIG)
                posted += 1
                most = max(most, connection.unsent())
            assert connection._transport is None
            assert 50_000 < most < 65536 + 2 * 6000
            assert server.joined == 2
            assert connection not in server.services.sockets.paused
            for _ in range(3):
                await server.post(token)
            for healthy in (first, second):
                assert await numbers(healthy, posted + 3) == list(range(1, posted + 4))
            # Without a close frame, and without what waited for it.
            read_on(client)
            assert await client.close_code() == 1006
        assert await is_well(server)


@on_each_loop
async def test_a_reader_without_progress_is_cut_however_little_waits(folder: Path) -> None:
    limits = free_limits(paused_seconds=0.3)
    async with running(config_in(folder, limits=limits)) as server:
        token = await server.guest()
        async with server.listen(token) as healthy, slow_reader(server, token) as (client, stuck):
            posted = 0
            while stuck.unsent() < 20_000:
                await server.post(token, BIG)
                posted += 1
            assert stuck.unsent() < 65536
            await until(lambda: stuck._transport is None, 3)
            assert server.joined == 1
            assert await numbers(healthy, posted) == list(range(1, posted + 1))
            read_on(client)
            assert await client.close_code() == 1006


@on_each_loop
async def test_a_slow_reader_that_makes_progress_is_not_cut(folder: Path) -> None:
    limits = free_limits(paused_seconds=0.6)
    async with running(config_in(folder, limits=limits)) as server:
        token = await server.guest()
        async with slow_reader(server, token) as (client, connection):
            for _ in range(60):
                await server.post(token, BIG)
            waited = connection.unsent()
            assert waited > 200_000
            read_on(client)
            loop = asyncio.get_running_loop()
            start, seqs = loop.time(), list[int]()
            while len(seqs) < 60:
                seqs.append((await client.message())["seq"])
                if loop.time() - start < 1.4:
                    # The reader's own pace: a message of 5.7 KB every 80 ms.
                    await asyncio.sleep(0.08)
            assert seqs == list(range(1, 61))
            assert connection._code == 0
            await until(lambda: not connection._paused_at)


@on_each_loop
async def test_over_the_limit_of_all_together_the_slowest_are_cut_first(folder: Path) -> None:
    limits = free_limits(max_unsent_bytes=10**7, max_unsent_bytes_total=300_000, paused_seconds=60)
    async with running(config_in(folder, limits=limits)) as server:
        token = await server.guest()
        async with (
            slow_reader(server, token) as (_, slowest),
            slow_reader(server, token, room=OTHER) as (less_slow, slow),
            server.listen(token) as healthy,
        ):
            for _ in range(40):
                await server.post(token, BIG)
            posted = 0
            while slowest._transport is not None and posted < 60:
                await server.post(token, BIG, room=OTHER)
                posted += 1
                assert slow.unsent() <= 300_000
            assert slowest._transport is None
            assert slow._code == 0
            assert slow.unsent() > 0
            assert await numbers(healthy, 40) == list(range(1, 41))
            read_on(less_slow)
            seqs = [(await less_slow.message())["seq"] for _ in range(posted)]
            assert seqs == list(range(1, posted + 1))


async def test_what_waited_for_a_reader_is_released_with_it(tmp_path: Path) -> None:
    limits = free_limits(max_unsent_bytes=400_000, paused_seconds=60)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        async with AsyncExitStack() as stack:
            stuck = [
                (await stack.enter_async_context(slow_reader(server, token)))[1] for _ in range(3)
            ]
            while any(connection._transport is not None for connection in stuck):
                await server.post(token, BIG)
            assert [connection.unsent() for connection in stuck] == [0, 0, 0]
            theirs = {id(connection) for connection in stuck}
            del stuck
            assert server.services.sockets.paused == {}
            assert len(server.services.sockets) == 0

        def kept() -> list[object]:
            gc.collect()
            there = (o for o in gc.get_objects() if isinstance(o, Connection))
            return [o for o in there if id(o) in theirs]

        await until(lambda: kept() == [])


async def test_a_reader_that_was_told_to_go_and_does_not_read_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkee_lite.api.frames._CLOSING_SECONDS", 0.2)
    async with running(config_in(tmp_path, limits=free_limits(paused_seconds=60))) as server:
        token, other = await server.guest(), await server.guest("Bob")
        async with slow_reader(server, token) as (_, connection):
            while connection.unsent() < 20_000:
                await server.post(other, BIG)
            await server.call("POST", "/api/auth/logout", token=token)
            assert connection._code == 4501
            await until(lambda: connection._transport is None, 3)


async def test_a_silent_peer_is_asked_for_a_sign_of_life_and_cut_without_one(
    tmp_path: Path,
) -> None:
    limits = free_limits(ping_seconds=0.2, pong_seconds=0.2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        async with (
            server.listen(token) as healthy,
            raw_client(server.port, auth(token)) as dead,
            raw_client(server.port, auth(token)) as talking,
        ):
            assert await dead.frame() == (Opcode.PING, b"")
            asked = 0
            while asked < 2:
                assert await talking.frame() == (Opcode.PING, b"")
                asked += 1
                # Any frame is a sign of life.
                answer = masked(Opcode.PONG) if asked % 2 else masked(Opcode.TEXT, b"{}")
                await talking.send(answer)
            assert await dead.frame() is None
            assert server.joined == 2
            posted = await server.post(token)
            assert json.loads(await healthy.recv())["seq"] == posted["seq"]


async def test_a_peer_that_speaks_is_not_pinged(tmp_path: Path) -> None:
    limits = free_limits(ping_seconds=1.5)
    async with running(config_in(tmp_path, limits=limits)) as server, signed_in(server) as client:
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() - start < 3:
            # A message in pieces is a sign of life too, and no flood.
            await client.send(masked(Opcode.TEXT, b"{}")[:1])
            await asyncio.sleep(0.3)
            await client.send(masked(Opcode.TEXT, b"{}")[1:])
        await client.send(goodbye())
        assert await client.frame() == (Opcode.CLOSE, b"\x03\xe8")


class Ear:
    """A listener that keeps what it was given."""

    def __init__(self, user_id: int = 1, then: Callable[[], None] | None = None) -> None:
        self.user_id = user_id
        self.audience = Audience.PLAIN
        self.online = 0
        self.heard: list[bytes] = []
        self.then = then

    def deliver(self, data: bytes) -> None:
        self.heard.append(data)
        if self.then is not None:
            self.then()


HERE = RoomKey(1, "/a")


def join(hub: Hub, count: int) -> list[Ear]:
    """So many listeners in one room."""
    ears = [Ear(n + 1) for n in range(count)]
    for ear in ears:
        hub.join(HERE, ear, 0)
    return ears


def publish(hub: Hub, texts: Iterable[bytes], done: list[bytes]) -> None:
    """Publish in one go; `done` gets each text once all have been served."""
    for text in texts:

        def served(text: bytes = text) -> None:
            done.append(text)

        hub.publish(HERE, {Audience.PLAIN: text}, served)


@pytest.mark.parametrize("count", [SLICE + 1, 2 * SLICE, 2 * SLICE + 7])
async def test_a_large_room_is_served_in_slices_in_order_and_complete(count: int) -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, count)
    publish(hub, [b"1", b"2", b"3"], done)
    # The loop gets a turn after each slice.
    assert sum(len(ear.heard) for ear in ears) == SLICE
    assert done == []
    await asyncio.sleep(0)
    assert sum(len(ear.heard) for ear in ears) <= 2 * SLICE
    await until(lambda: done == [b"1", b"2", b"3"])
    # What was published while others were served goes out in one write.
    assert all(ear.heard == [b"1", b"23"] for ear in ears)


async def test_who_comes_while_batches_wait_gets_only_what_is_published_later() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, SLICE + 1)
    publish(hub, [b"1", b"2"], done)
    late = Ear(0)
    hub.join(HERE, late, 0)
    publish(hub, [b"3"], done)
    last = Ear(0)
    hub.join(HERE, last, 0)
    publish(hub, [b"4", b"5"], done)
    await until(lambda: done == [b"1", b"2", b"3", b"4", b"5"])
    assert all(ear.heard == [b"1", b"2", b"3", b"45"] for ear in ears)
    assert late.heard == [b"3", b"45"]
    assert last.heard == [b"45"]


async def test_what_single_listeners_get_instead_is_not_mixed_with_other_batches() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, SLICE + 1)
    publish(hub, [b"1"], done)
    hub.publish(HERE, {Audience.PLAIN: b"2"}, lambda: done.append(b"2"), instead={ears[0]: b""})
    publish(hub, [b"3"], done)
    await until(lambda: done == [b"1", b"2", b"3"])
    assert ears[0].heard == [b"1", b"3"]
    assert all(ear.heard == [b"1", b"2", b"3"] for ear in ears[1:])


async def test_a_room_whose_passes_take_long_rests_after_each() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, 60)
    for ear in ears:
        ear.then = lambda: time.sleep(0.001)
    publish(hub, [b"1"], done)
    assert done == [b"1"]
    publish(hub, [b"2"], done)
    await asyncio.sleep(0)
    assert done == [b"1"]
    publish(hub, [b"3"], done)
    await until(lambda: done == [b"1", b"2", b"3"])
    assert all(ear.heard == [b"1", b"23"] for ear in ears)


async def test_presence_in_a_large_room_is_told_in_slices_and_in_its_place() -> None:
    hub, done = Hub(), list[bytes]()
    ears = [Ear(n + 1) for n in range(2 * SLICE + 1)]
    for ear in ears:
        ear.audience = Audience.EVENTS
        hub.join(HERE, ear, 0)
    async with asyncio.timeout(5):
        while not any(ear.heard for ear in ears):
            await asyncio.sleep(0)
    # The loop gets a turn after each slice.
    assert sum(len(ear.heard) for ear in ears) <= 2 * SLICE
    hub.publish(HERE, {Audience.EVENTS: b"1"}, lambda: done.append(b"1"))
    await until(lambda: done == [b"1"])
    told = b'{"type":"presence","online":%d}' % len(ears)
    for ear in ears[:-1]:
        assert [heard[-len(told) :] for heard in ear.heard] == [told, b"1"]
    # Whoever came last was told on entering.
    assert ears[-1].heard == [b"1"]


async def test_who_does_not_ask_for_events_costs_no_presence() -> None:
    hub = Hub()
    join(hub, 3)
    assert hub._rooms[HERE].presence_timer is None


async def test_a_room_that_rests_may_be_left_by_all() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, 60)
    ears[0].then = lambda: time.sleep(0.01)
    publish(hub, [b"1", b"2"], done)
    for ear in ears:
        hub.leave(HERE, ear)
    await until(lambda: done == [b"1", b"2"])
    assert not hub.is_used(HERE)
    assert all(ear.heard == [b"1"] for ear in ears)


async def test_a_room_that_is_just_small_enough_is_served_at_once() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, SLICE)
    publish(hub, [b"1", b"2"], done)
    assert done == [b"1", b"2"]
    assert all(ear.heard == [b"1", b"2"] for ear in ears)


async def test_who_comes_between_two_batches_of_a_large_room_gets_the_second_alone() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, SLICE + 1)
    publish(hub, [b"1"], done)
    late = Ear(0)
    hub.join(HERE, late, 0)
    publish(hub, [b"2"], done)
    await until(lambda: done == [b"1", b"2"])
    assert late.heard == [b"2"]
    assert all(ear.heard == [b"1", b"2"] for ear in ears)


async def test_a_room_that_shrinks_while_it_is_served_keeps_its_order() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, 2 * SLICE)
    publish(hub, [b"1"], done)
    for ear in ears[5:]:
        hub.leave(HERE, ear)
    publish(hub, [b"2"], done)
    await until(lambda: done == [b"1", b"2"])
    assert all(ear.heard == [b"1", b"2"] for ear in ears[:5])
    assert all(b"2" not in ear.heard for ear in ears[5:])


@pytest.mark.parametrize("count", [3, SLICE + 3])
async def test_listeners_may_leave_while_their_room_is_served(count: int) -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, count)
    for ear in ears:
        ear.then = lambda ear=ear: hub.leave(HERE, ear)
    publish(hub, [b"1"], done)
    await until(lambda: done == [b"1"])
    assert all(ear.heard == [b"1"] for ear in ears)
    assert not hub.is_used(HERE)
    publish(hub, [b"2"], done)
    assert done == [b"1", b"2"]


async def test_a_room_that_is_left_and_entered_while_it_is_served_is_one_room() -> None:
    hub, done = Hub(), list[bytes]()
    ears = join(hub, SLICE + 1)
    publish(hub, [b"1"], done)
    for ear in ears:
        hub.leave(HERE, ear)
    late = Ear()
    hub.join(HERE, late, 0)
    publish(hub, [b"2"], done)
    await until(lambda: done == [b"1", b"2"])
    assert late.heard == [b"2"]
    hub.leave(HERE, late)
    assert not hub.is_used(HERE)


async def test_sockets_of_a_room_that_is_served_in_slices_get_everything_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "SLICE", 7)
    limits = free_limits(connections_per_user=0)
    async with running(config_in(tmp_path, limits=limits)) as server, AsyncExitStack() as stack:
        token = await server.guest()
        clients = [await stack.enter_async_context(server.listen(token)) for _ in range(30)]
        answers: list[JSON] = await asyncio.gather(
            *(server.post(token, f"message {n}") for n in range(40))
        )
        assert sorted(answer["seq"] for answer in answers) == list(range(1, 41))
        for client in clients:
            assert await numbers(client, 40) == list(range(1, 41))


async def test_a_stuck_reader_that_closed_its_side_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkee_lite.api.frames._CLOSING_SECONDS", 0.2)
    async with running(config_in(tmp_path, limits=free_limits(paused_seconds=60))) as server:
        token = await server.guest()
        async with slow_reader(server, token) as (client, connection):
            while not connection.unsent():
                await server.post(token, BIG)
            client.writer.write_eof()
            await until(lambda: len(server.services.sockets) == 0)
