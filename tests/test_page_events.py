"""What happens below a page reaches everybody who has it open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from .harness import JSON, Server, config_in, free_limits, running
from .test_comments import PAGE, call, reply, say
from .test_events import frame, reader


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


async def events(client: ClientConnection, count: int) -> list[JSON]:
    """The next events about comments."""
    return [await frame(client, but=("presence", "ping", "room", "message")) for _ in range(count)]


async def test_everything_that_happens_is_told(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    async with reader(server, ann, room=PAGE) as (client, ready):
        assert ready["comments_revision"] == 0
        comment = await say(server, ben, "*Hello*")
        path = f"/{comment['id']}"
        edited = await call(server, "PATCH", path, {"content": "Hi"}, token=ben)
        liked = await call(server, "PUT", f"{path}/fav", token=ann)
        await call(server, "PUT", f"{path}/fav", token=ann)
        answer = await reply(server, ann, comment, "Ho")
        at = f"{path}/replies/{answer['id']}"
        changed = await call(server, "PATCH", at, {"content": "Hoho"}, token=ann)
        await call(server, "DELETE", path, token=ben)
        await call(server, "DELETE", at, token=ann)
        await call(server, "DELETE", at, token=ann)
        found = await events(client, 9)
    assert [event.pop("revision") for event in found] == list(range(1, 10))
    seen = liked | {"fav_id": 0}
    counted = seen | {"reply_count": 1}
    assert found == [
        {"type": "comment_created", "comment": comment},
        {"type": "comment_updated", "comment": edited},
        {"type": "comment_updated", "comment": seen},
        {"type": "reply_created", "reply": answer},
        {"type": "comment_updated", "comment": counted},
        {"type": "reply_updated", "reply": changed},
        {"type": "comment_deleted", "comment_id": comment["id"]},
        {"type": "reply_deleted", "comment_id": comment["id"], "reply_id": answer["id"]},
        {"type": "comment_deleted", "comment_id": comment["id"]},
    ]


async def test_visitors_see_comments_but_no_messages(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann, "before")
    async with reader(server, None, room=PAGE) as (client, ready):
        assert (ready["comments_revision"], ready["seq"]) == (1, None)
        await server.post(ann, room=PAGE)
        comment = await say(server, ann, "after")
        event = await frame(client)
        assert (event["type"], event["revision"], event["comment"]) == (
            "comment_created",
            2,
            comment,
        )


async def test_who_did_not_ask_for_events_gets_none(server: Server) -> None:
    ann = await server.guest("Ann")
    async with server.listen(ann, room=PAGE) as client:
        await say(server, ann)
        message = await server.post(ann, room=PAGE)
        assert (await frame(client))["message_id"] == message["message_id"]


async def test_other_pages_hear_nothing(server: Server) -> None:
    ann = await server.guest("Ann")
    async with reader(server, ann, room="site_id=1&slug=/other") as (client, _):
        await say(server, ann)
        await say(server, ann, page="site_id=1&slug=/other")
        (event,) = await events(client, 1)
        assert event["comment"]["slug"] == "/other"


async def test_pings_tell_the_revision(tmp_path: Path) -> None:
    config = config_in(tmp_path, limits=free_limits(ping_seconds=1))
    async with running(config) as server:
        ann = await server.guest("Ann")
        async with reader(server, ann, room=PAGE) as (client, _):
            await say(server, ann)
            await events(client, 1)
            ping = await frame(client, but=("presence",))
            assert (ping["type"], ping["comments_revision"], ping["seq"]) == ("ping", 1, 0)


async def test_the_author_of_a_comment_is_told_after_a_restart_too(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        ann, ben = await server.guest("Ann"), await server.guest("Ben")
        comment = await say(server, ann)
    async with (
        running(config_in(tmp_path)) as server,
        reader(server, ben, room=PAGE) as (client, ready),
    ):
        assert ready["comments_revision"] == 1
        await call(server, "PUT", f"/{comment['id']}/fav", token=ben)
        (event,) = await events(client, 1)
        assert event["comment"]["creator"]["full_name"] == "Ann"


async def test_revisions_have_no_holes_whoever_writes(server: Server) -> None:
    tokens = [await server.guest(f"Guest {n}") for n in range(8)]
    first = await say(server, tokens[0], "first")

    async def write(token: str, number: int) -> None:
        for turn in range(5):
            await reply(server, token, first, f"{number} {turn}")
            await say(server, token, f"{number} {turn}")

    async with reader(server, tokens[0], room=PAGE) as (client, ready):
        await asyncio.gather(*(write(token, n) for n, token in enumerate(tokens)))
        found: list[Any] = await events(client, 8 * 5 * 3)
    start = ready["comments_revision"]
    numbers = [event["revision"] for event in found]
    assert numbers == list(range(start + 1, start + 1 + len(found)))
