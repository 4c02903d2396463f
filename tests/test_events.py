"""Events and resuming: a reader who was away sees every message exactly once, in order."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from talkee_lite.control import VERBS
from talkee_lite.models import MessageDraft, RoomKey
from talkee_lite.records import LINES
from talkee_lite.store import messages as store
from talkee_lite.store.posting import Post, post_messages

from .harness import JSON, ROOM, Server, config_in, draft, free_limits, running, until

HERE = RoomKey(1, "/a")


@asynccontextmanager
async def reader(
    server: Server, token: str | None, since: Any = None, *, room: str = ROOM, **more: Any
) -> AsyncIterator[tuple[ClientConnection, JSON]]:
    """A client that asked for events, and the `ready` that it got."""
    auth: JSON = {"type": "auth", "token": token, "events": True}
    if token is None:
        auth = {"type": "auth", "visitor": True, "events": True}
    if since is not None:
        auth["since"] = since
    async with connect(f"{server.ws_url}?{room}", **more) as client:
        await client.send(json.dumps(auth))
        ready = json.loads(await client.recv())
        assert ready["type"] == "ready"
        yield client, ready


async def frame(client: ClientConnection, *, but: tuple[str, ...] = ("presence", "ping")) -> JSON:
    """The next frame that is not of a kind in `but`."""
    while True:
        async with asyncio.timeout(10):
            event: JSON = json.loads(await client.recv())
        if event["type"] not in but:
            return event


async def fill(server: Server, token: str, count: int, *, size: int = 6) -> None:
    """Store `count` messages, faster than by posting each."""
    caller = await server.services.tokens.identify(token)
    data = "QUFB" * (size // 3)
    drafts = [MessageDraft(f"{n:08x}-0000-4000-8000-{n:012x}", "text", data) for n in range(count)]
    await asyncio.gather(
        *(
            server.services.db.write_one(post_messages, Post(HERE, d, caller.user.id, 1))
            for d in drafts
        )
    )


async def test_ready_comes_first_also_in_an_empty_room(server: Server) -> None:
    token = await server.guest("Ann")
    async with reader(server, token) as (_, ready):
        assert ready["user"]["full_name"] == "Ann"
        assert ready == {
            "type": "ready",
            "user": ready["user"],
            "epoch": server.services.db.epoch,
            "seq": 0,
            "online": 1,
            "ping_interval": 25,
            "comments_revision": 0,
            "room": {"closed": False, "slow_seconds": 0},
        }


async def test_without_events_since_is_ignored_and_nothing_is_said(server: Server) -> None:
    token = await server.guest()
    await server.post(token)
    since = {"epoch": server.services.db.epoch, "seq": 0}
    async with connect(f"{server.ws_url}?{ROOM}") as client:
        await client.send(json.dumps({"type": "auth", "token": token, "since": since}))
        await until(lambda: server.joined == 1)
        await server.post(token, "new")
        assert json.loads(await client.recv())["seq"] == 2


@pytest.mark.parametrize("held", [0, 1, 49, 50])
async def test_what_was_missed_comes_in_order_then_what_is_new(server: Server, held: int) -> None:
    token = await server.guest()
    await fill(server, token, 50)
    since = {"epoch": server.services.db.epoch, "seq": held}
    async with reader(server, token, since) as (client, ready):
        assert (ready["seq"], ready["recovered"]) == (50, True)
        await server.post(token, "new")
        seqs = [(await frame(client))["seq"] for _ in range(51 - held)]
        assert seqs == list(range(held + 1, 52))


@pytest.mark.parametrize(
    "since",
    [
        {"epoch": "another", "seq": 1},
        {"epoch": None, "seq": 1},
        "x",
        {"seq": -1},
        {"seq": 1.5},
        {"seq": 999},
    ],
)
async def test_a_position_that_cannot_be_served_is_not_recovered(
    server: Server, since: Any
) -> None:
    token = await server.guest()
    await server.post(token)
    if isinstance(since, dict):
        since = {"epoch": server.services.db.epoch} | since
    async with reader(server, token, since) as (client, ready):
        assert ready["recovered"] is False
        await server.post(token, "new")
        assert (await frame(client))["seq"] == 2


@pytest.mark.parametrize(("missed", "recovered"), [(LINES, True), (LINES + 1, False)])
async def test_a_gap_is_recovered_whole_or_not_at_all(
    server: Server, missed: int, recovered: bool
) -> None:
    token = await server.guest()
    await fill(server, token, missed)
    since = {"epoch": server.services.db.epoch, "seq": 0}
    async with reader(server, token, since) as (client, ready):
        assert ready["recovered"] is recovered
        await server.post(token, "new")
        expected = range(1 if recovered else missed + 1, missed + 2)
        assert [(await frame(client))["seq"] for _ in expected] == list(expected)


async def test_joining_while_others_post_neither_loses_nor_doubles(server: Server) -> None:
    """Clients come and go, with and without a position, in the middle of a storm of posts."""
    token = await server.guest()
    posting = True

    async def post() -> None:
        while posting:
            await server.post(token)

    async def come_and_go(n: int) -> int:
        held: int | None = None
        seen = 0
        for _ in range(8):
            since = None
            if held is not None:
                since = {"epoch": server.services.db.epoch, "seq": held}
            # In the storm its close frame waits behind what it does not read any more.
            async with reader(server, token, since, close_timeout=0.1) as (client, ready):
                if held is None or not ready["recovered"]:
                    held = ready["seq"]
                for _ in range(20 + n):
                    event = await frame(client)
                    assert event["seq"] == held + 1
                    held = event["seq"]
                    seen += 1
        return seen

    posters = [asyncio.create_task(post()) for _ in range(4)]
    seen = await asyncio.gather(*(come_and_go(n) for n in range(6)))
    posting = False
    await asyncio.gather(*posters)
    assert all(count >= 160 for count in seen)


async def test_a_slow_line_gets_its_replay_whole_and_is_not_cut(tmp_path: Path) -> None:
    """300 messages of full size to a reader that takes them slowly, while others post."""
    limits = free_limits(paused_seconds=1, max_unsent_bytes=65536)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        await fill(server, token, LINES, size=4095)
        since = {"epoch": server.services.db.epoch, "seq": 0}
        async with reader(server, token, since, max_queue=1) as (client, ready):
            assert ready["recovered"]
            seqs = []
            for n in range(LINES + 20):
                if n < 20:
                    await server.post(token, "meanwhile")
                if n % 10 == 0:
                    await asyncio.sleep(0.05)
                seqs.append((await frame(client))["seq"])
            assert seqs == list(range(1, LINES + 21))


async def test_a_deleted_message_leaves_a_gap_and_an_event(server: Server) -> None:
    token = await server.guest()
    first = await server.post(token, "one")
    await server.post(token, "two")
    async with reader(server, token) as (client, _):
        status, answer, _ = await server.call(
            "DELETE", f"/ws/messages/{first['message_id']}?{ROOM}", token=token
        )
        assert (status, answer) == (200, {"message_id": first["message_id"], "seq": 3})
        assert await frame(client) == {
            "type": "message_deleted",
            "seq": 3,
            "message_id": first["message_id"],
            "deleted_seq": 1,
        }
    for _ in range(2):  # from memory, then from the database
        since = {"epoch": server.services.db.epoch, "seq": 0}
        async with reader(server, token, since) as (client, _):
            events = [await frame(client) for _ in range(3)]
        assert [e["type"] for e in events] == ["gap", "message", "message_deleted"]
        assert [e["seq"] for e in events] == [1, 2, 3]
        server.services.chat._records._records.clear()
    listed = await server.latest(token, query="&after=0")
    assert [m["seq"] for m in listed["data"]] == [2]
    assert listed["deleted"] == [first["message_id"]]
    assert [m["seq"] for m in (await server.latest(token))["data"]] == [2]


async def test_messages_removed_in_bulk_are_one_event(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    posted = [await server.post(token) for token in (ann, bob, ann)]
    user = (await server.services.tokens.identify(ann)).user
    async with reader(server, bob) as (client, _):
        await server.services.db.write(lambda tx: store.remove_messages_of(tx, HERE, user.id, 0, 1))
        assert await frame(client) == {"type": "messages_removed", "seq": 4, "user_id": user.id}
    for _ in range(2):
        since = {"epoch": server.services.db.epoch, "seq": 0}
        async with reader(server, bob, since) as (client, _):
            kinds = [(await frame(client))["type"] for _ in range(4)]
        assert kinds == ["gap", "message", "gap", "messages_removed"]
        server.services.chat._records._records.clear()
    assert len((await server.latest(bob, query="&after=0"))["deleted"]) == 2
    status, answer, _ = await server.call(
        "DELETE", f"/ws/messages/{posted[0]['message_id']}?{ROOM}", token=ann
    )
    assert (status, answer["seq"]) == (200, 4)


async def test_a_held_message_gets_its_number_and_is_pushed_when_it_is_approved(
    server: Server,
) -> None:
    token = await server.guest()
    user = (await server.services.tokens.identify(token)).user
    held = MessageDraft("7c9e6679-7425-40de-944b-e07fc1f90ae7", "text", "SGk=")
    async with reader(server, token) as (client, _):
        result = await server.services.db.write_one(
            post_messages, Post(HERE, held, user.id, 5, hold=True)
        )
        assert result.entry is not None
        assert result.entry.seq == 0
        body = {"message_id": held.message_id, "category": "text", "data": held.data}
        status, answer, headers = await server.call(
            "POST", f"/ws/messages?{ROOM}", body, token=token
        )
        assert (status, answer["seq"], answer["status"]) == (200, None, "pending")
        assert headers["Idempotent-Replayed"] == "true"
        assert (await server.post(token, "not held"))["seq"] == 1
        assert (await frame(client))["seq"] == 1
        await server.services.chat.approve(HERE, held.message_id)
        event = await frame(client)
        assert (event["type"], event["seq"]) == ("message", 2)
        assert event["created_at"] == "1970-01-01T00:00:00.000005Z"
    assert [m["seq"] for m in (await server.latest(token))["data"]] == [1, 2]
    assert [m["seq"] for m in (await server.latest(token, query="&before=3"))["data"]] == [1, 2]


async def test_presence_counts_people_not_connections(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    async with reader(server, ann) as (first, ready):
        assert ready["online"] == 1
        async with reader(server, ann), reader(server, bob) as (_, ready), server.listen(bob):
            assert ready["online"] == 2
            assert await frame(first, but=("ping",)) == {"type": "presence", "online": 2}
        assert await frame(first, but=("ping",)) == {"type": "presence", "online": 1}


async def test_presence_comes_at_most_every_two_seconds_and_ends_true(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    async with reader(server, ann) as (client, _):
        for _ in range(10):
            async with reader(server, bob):
                pass
        async with reader(server, bob):
            loop = asyncio.get_running_loop()
            times: list[float] = []
            last = 0
            while last != 2 or len(times) < 2:
                try:
                    async with asyncio.timeout(3):
                        last = (await frame(client, but=("ping",)))["online"]
                except TimeoutError:
                    break
                times.append(loop.time())
            assert last == 2
            assert all(b - a > 1.9 for a, b in itertools.pairwise(times))


async def test_a_page_sees_a_ping_with_the_position(tmp_path: Path) -> None:
    config = config_in(tmp_path, limits=free_limits(ping_seconds=1))
    async with running(config) as server:
        token = await server.guest()
        await server.post(token)
        async with reader(server, token) as (client, ready):
            assert ready["ping_interval"] == 1
            assert await frame(client, but=("presence",)) == {
                "type": "ping",
                "seq": 1,
                "comments_revision": 0,
            }


async def test_a_room_that_is_closed_says_so_and_takes_nothing(server: Server) -> None:
    token = await server.guest()
    first = draft("before")
    assert (await server.call("POST", f"/ws/messages?{ROOM}", first, token=token))[0] == 200
    async with reader(server, token) as (client, _):
        await server.services.chat.set_closed(HERE, closed=True)
        assert await frame(client) == {"type": "room", "closed": True, "slow_seconds": 0}
        status, answer, _ = await server.call(
            "POST", f"/ws/messages?{ROOM}", draft("after"), token=token
        )
        assert (status, answer["error"]) == (403, "room_closed")
        assert (await server.call("POST", f"/ws/messages?{ROOM}", first, token=token))[0] == 200
        async with reader(server, token) as (_, ready):
            assert ready["room"]["closed"] is True
        # Closing what is closed is no change, and no event.
        await server.services.chat.set_closed(HERE, closed=True)
        await server.services.chat.set_closed(HERE, closed=False)
        assert (await frame(client))["closed"] is False
        await server.post(token, "open again")


async def test_a_frame_that_is_not_understood_is_answered_for_those_with_events(
    server: Server,
) -> None:
    token = await server.guest()
    async with reader(server, token) as (client, _):
        await client.send("what?")
        assert (await frame(client))["type"] == "error"
        await client.send(json.dumps({"type": "auth", "token": token, "since": 5}))
        await server.post(token)
        assert (await frame(client))["type"] == "message"


async def test_a_visitor_gets_presence_and_no_record(server: Server) -> None:
    token = await server.guest()
    async with reader(server, None) as (visitor, ready):
        assert (ready["user"], ready["epoch"], ready["seq"]) == (None, None, None)
        assert ready["online"] == 0
        async with reader(server, token):
            await server.post(token)
            assert await frame(visitor, but=("ping",)) == {"type": "presence", "online": 1}


async def test_a_visitor_of_a_public_chat_gets_the_record(server: Server) -> None:
    token = await server.guest()
    await server.services.sites.set(1, public_chat=True)
    await server.post(token)
    since = {"epoch": server.services.db.epoch, "seq": 0}
    async with reader(server, None, since) as (visitor, ready):
        assert (ready["user"], ready["seq"]) == (None, 1)
        await server.post(token)
        assert (await frame(visitor))["type"] == "message"


async def test_visitors_take_at_most_half_of_all_connections(tmp_path: Path) -> None:
    config = config_in(tmp_path, limits=free_limits(connections=4))
    async with running(config) as server, reader(server, None), reader(server, None):
        with pytest.raises(ConnectionClosed) as caught:
            async with reader(server, None):
                pass
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1013
        async with reader(server, await server.guest()):
            pass


async def test_visitors_leave_when_a_chat_is_made_private(server: Server) -> None:
    await server.services.sites.set(1, public_chat=True)
    async with reader(server, None) as (visitor, ready):
        assert ready["seq"] == 0
        await VERBS["site-set"](server.services, {"id": 1, "public_chat": False})
        await visitor.wait_closed()
        assert visitor.close_code == 1012
    async with reader(server, None) as (_, ready):
        assert ready["seq"] is None


async def test_a_token_can_be_renewed_and_an_error_told_during_a_replay(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, limits=free_limits())) as server:
        token = await server.guest()
        await fill(server, token, LINES, size=4095)
        since = {"epoch": server.services.db.epoch, "seq": 0}
        sock = socket.create_connection(("127.0.0.1", server.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        async with connect(
            f"{server.ws_url}?{ROOM}", sock=sock, max_queue=1, close_timeout=0.1
        ) as client:
            (connection,) = server.services.sockets.connections
            assert connection._transport is not None
            theirs = connection._transport.get_extra_info("socket")
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            auth = {"type": "auth", "token": token, "events": True, "since": since}
            await client.send(json.dumps(auth))
            assert json.loads(await client.recv())["recovered"]
            await until(lambda: connection.unsent() > 0)
            assert not connection.entered
            status, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
            assert status == 200
            new = answer["data"]["access_token"]
            before = connection.jti
            await client.send("what?")
            await client.send(json.dumps({"type": "auth", "token": new}))
            await until(lambda: connection.jti != before)
            assert not connection.entered
            kinds: set[str] = set()
            seqs: list[int] = []
            while len(seqs) < LINES:
                event = await frame(client)
                kinds.add(event["type"])
                if event["type"] == "message":
                    seqs.append(event["seq"])
            assert seqs == list(range(1, LINES + 1))
            assert kinds == {"message", "error"}
