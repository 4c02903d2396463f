"""`[compat] legacy_clients`: what pages of the last hosted Talkee rely on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from talkee_lite.config import CompatConfig

from .harness import ROOM, Server, config_in, draft, running


@pytest.fixture
async def legacy(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that is kind to old clients."""
    config = config_in(tmp_path, compat=CompatConfig(legacy_clients=True))
    async with running(config) as started:
        yield started


async def test_the_latest_list_is_a_bare_array_and_pages_are_not(legacy: Server) -> None:
    token = await legacy.guest()
    await legacy.post(token)
    _, answer, _ = await legacy.call("GET", f"/ws/messages?{ROOM}&filter=latest", token=token)
    assert [message["seq"] for message in answer] == [1]
    _, answer, _ = await legacy.call("GET", f"/ws/messages?{ROOM}&after=0", token=token)
    assert [message["seq"] for message in answer["data"]] == [1]


async def test_a_message_is_not_pushed_to_its_authors_own_plain_sockets(legacy: Server) -> None:
    ann, bob = await legacy.guest("Ann"), await legacy.guest("Bob")
    async with (
        legacy.listen(ann) as own,
        legacy.listen(bob) as other,
        connect(f"{legacy.ws_url}?{ROOM}") as events,
    ):
        await events.send(json.dumps({"type": "auth", "token": ann, "events": True}))
        assert json.loads(await events.recv())["type"] == "ready"
        await legacy.post(ann, "mine")
        await legacy.post(bob, "theirs")
        assert [json.loads(await other.recv())["seq"]] == [1]
        assert json.loads(await own.recv())["seq"] == 2
        assert [json.loads(await events.recv())["seq"] for _ in range(2)] == [1, 2]


async def test_id_stands_for_message_id(legacy: Server) -> None:
    token = await legacy.guest()
    body = draft()
    body["id"] = body.pop("message_id")
    status, answer, _ = await legacy.call("POST", f"/ws/messages?{ROOM}", body, token=token)
    assert (status, answer["message_id"]) == (200, body["id"])


async def test_a_bad_token_is_ignored_where_none_is_needed(legacy: Server) -> None:
    await legacy.services.sites.set(1, public_chat=True)
    status, answer, _ = await legacy.call("GET", f"/ws/messages?{ROOM}", token="of another time")
    assert (status, answer) == (200, [])


async def test_without_the_setting_none_of_it_holds(server: Server) -> None:
    await server.services.sites.set(1, public_chat=True)
    status, _, _ = await server.call("GET", f"/ws/messages?{ROOM}", token="of another time")
    assert status == 401
    token = await server.guest()
    body = draft()
    body["id"] = body.pop("message_id")
    status, answer, _ = await server.call("POST", f"/ws/messages?{ROOM}", body, token=token)
    assert (status, answer["field"]) == (400, "message_id")
