"""The first comments of a page in memory: what is answered is always what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite import threads as threads_module
from talkee_lite.models import Changed, Order, PageEvent, RoomKey, Viewer
from talkee_lite.store import comments as store
from talkee_lite.threads import Own, Shape, Thread, Threads

from .harness import Server, config_in, running
from .test_comments import call, listed, reply, say

HERE = RoomKey(1, "/posts/1")
SHAPE = Shape(Order.FAVOR_COUNT, 20)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


def without_database(server: Server, patch: pytest.MonkeyPatch) -> None:
    """From here on whoever reads the database fails."""

    def fail(*_: Any) -> None:
        raise AssertionError("the database was read")

    for name in ("snapshot", "fetch", "fetch_one"):
        patch.setattr(server.services.db, name, fail)


async def test_a_list_is_read_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comments = [await say(server, ann, f'{n} "fav_id":0, {{') for n in range(3)]
    liked = await call(server, "PUT", f"/{comments[1]['id']}/fav", token=ben)
    wanted = [await listed(server, token=token) for token in (None, ann, ben)]
    with monkeypatch.context() as patch:
        without_database(server, patch)
        assert [await listed(server, token=token) for token in (None, ann, ben)] == wanted
    assert wanted[0] == wanted[1]
    assert wanted[2][0] == liked
    assert wanted[2][1:] == wanted[0][1:]


async def test_who_asks_at_once_shares_a_read(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    reads = 0
    read = store.list_comments

    async def counted(*given: Any, **more: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*given, **more)

    monkeypatch.setattr(store, "list_comments", counted)
    for _ in range(3):
        server.services.comments.threads.clear()
        reads = 0
        found = await asyncio.gather(*(listed(server) for _ in range(50)))
        assert all(one == [comment] for one in found)
        assert reads < 5
    # Who asks after a change does not get what was read before it.
    lists = [asyncio.create_task(listed(server)) for _ in range(5)]
    second = await say(server, ann, "second")
    assert second in await listed(server)
    await asyncio.gather(*lists)


async def test_every_change_is_seen_at_once(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann, "first")
    path = f"/{comment['id']}"

    async def all_same() -> None:
        for token in (None, ann, ben):
            for order in Order:
                found = await listed(server, f"order_by={order}", token)
                single = [
                    await call(server, "GET", f"/{shown['id']}", token=token) for shown in found
                ]
                assert found == single

    await all_same()
    answer = await reply(server, ben, comment)
    await all_same()
    for method, place, body, token in (
        ("PUT", f"{path}/fav", None, ben),
        ("PATCH", path, {"content": "changed"}, ann),
        ("PATCH", f"{path}/replies/{answer['id']}", {"content": "changed"}, ben),
        ("PUT", f"{path}/unfav", None, ben),
        ("DELETE", path, None, ann),
        ("DELETE", f"{path}/replies/{answer['id']}", None, ben),
    ):
        await call(server, method, place, body, token=token)
        await all_same()
    assert await listed(server) == []


async def test_a_new_name_is_seen_at_once(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann)
    await listed(server)
    await server.call("PATCH", "/api/me", {"full_name": "Anna"}, token=ann)
    assert (await listed(server))[0]["creator"]["full_name"] == "Anna"


async def test_readers_and_writers_at_once(server: Server) -> None:
    tokens = [await server.guest(f"Guest {n}") for n in range(4)]
    comment = await say(server, tokens[0], "first")

    async def write(token: str, number: int) -> None:
        for turn in range(10):
            path = f"/{comment['id']}/{'fav' if turn % 2 else 'unfav'}"
            await call(server, "PUT", path, token=token)
            # What was answered is there for whoever reads after it.
            liked = (await listed(server, token=token))[-1]["fav_id"] > 0
            assert liked is bool(turn % 2)

    async def read() -> None:
        for _ in range(40):
            await listed(server)

    await asyncio.gather(*(write(t, n) for n, t in enumerate(tokens)), read(), read())
    (found,) = await listed(server)
    assert found["favor_count"] == 4


async def test_invented_pages_take_no_memory(server: Server) -> None:
    for n in range(50):
        await call(server, "GET", "", page=f"site_id=1&slug=/{n}")
    await call(server, "GET", "?offset=5")
    assert len(server.services.comments.threads) == 0


def thread(size: int = 10) -> Thread:
    return Thread(1, 0, [(1, b'{"content":"%b","fav_id":0,"x":1}' % (b"x" * size))], 0)


def changed(room: RoomKey = HERE) -> Changed[None]:
    return Changed(None, room, [PageEvent("comment_updated", 1, {})])


def test_what_changed_while_it_was_read_is_not_kept() -> None:
    threads = Threads()
    with threads.reading(HERE) as first:
        threads.note([changed()])
        with threads.reading(HERE) as second:
            threads.keep(HERE, SHAPE, thread(), first)
            assert threads.find(HERE, SHAPE, 0) is None
            threads.keep(HERE, SHAPE, thread(), second)
    assert threads.find(HERE, SHAPE, 0) is not None
    assert threads.find(HERE, SHAPE, 1) is None
    threads.note([Changed(None, HERE), changed(RoomKey(1, "/other"))])
    assert threads.find(HERE, SHAPE, 0) is not None
    threads.note([changed()])
    assert threads.find(HERE, SHAPE, 0) is None
    assert not threads._readings
    assert threads._cost == 0


def test_all_lists_together_have_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "_BUDGET", 100_000)
    threads = Threads()
    for n in range(100):
        room = RoomKey(1, f"/{n}")
        with threads.reading(room) as reading:
            threads.keep(room, SHAPE, thread(5000), reading)
            threads.keep_own(room, Viewer(7), SHAPE, Own({1: 2}), reading)
        assert threads._cost <= 100_000
    assert 5 < len(threads) < 10
    assert threads.find(RoomKey(1, "/99"), SHAPE, 0) is not None
    assert threads.find(RoomKey(1, "/0"), SHAPE, 0) is None
    for n in range(100):
        threads.note([changed(RoomKey(1, f"/{n}"))])
    assert threads._cost == 0


def test_a_caller_sees_their_own_likes_in_place() -> None:
    shown = [(n, b'{"id":%d,"content":"\\"fav_id\\":0,","fav_id":0,"x":[]}' % n) for n in (4, 5)]
    whole = Thread(2, 7, shown, 0)
    assert whole.for_caller({}) == whole.whole
    assert whole.for_caller({5: 9, 99: 1}) == whole.whole.replace(
        b'"fav_id":0,"x":[]}]', b'"fav_id":9,"x":[]}]'
    )
