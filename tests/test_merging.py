"""Guests who sign in properly keep what they wrote."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.app import open_services
from talkee_lite.config import AuthConfig, Config
from talkee_lite.models import FOREVER

from .harness import JSON, ROOM, Server, config_in, running
from .test_comments import PAGE, call, reply, say
from .test_password import GOOD, member, register, sign_in
from .test_socket import auth_text, code_of


def settings(folder: Path) -> Config:
    """Guests, and members with passwords."""
    return config_in(folder, auth=AuthConfig(password=True))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on which guests may register."""
    async with running(settings(tmp_path)) as server:
        yield server


async def me(server: Server, token: str) -> JSON:
    """The user whose token it is."""
    status, answer, _ = await server.call("GET", "/api/me", token=token)
    assert status == 200, answer
    return dict(answer["data"])


async def come(server: Server, username: str, guest: str, **more: Any) -> JSON:
    """Sign in as a member, who has been this guest here; what is answered."""
    body = {"method": "password", "username": username, "password": GOOD}
    status, answer, _ = await server.call("POST", "/api/auth/login", body | more, token=guest)
    assert status == 200, answer
    return dict(answer["data"])


async def test_a_guest_who_registers_is_the_same_person_with_the_same_name(
    server: Server,
) -> None:
    guest = await server.guest("Ann")
    before = await me(server, guest)
    await server.post(guest, "as a guest")
    status, answer = await register(server, "ann99", token=guest)
    assert status == 200
    user = answer["data"]["user"]
    assert user == before | {"kind": "member", "mixin_user_id": user["mixin_user_id"]}
    token = answer["data"]["access_token"]
    assert (await server.latest(token))["data"][0]["user"] == user
    assert (await sign_in(server, "ann99"))[1]["data"]["user"] == user


async def test_a_guests_token_and_sockets_end_with_the_guest(server: Server) -> None:
    guest = await server.guest("Ann")
    async with server.listen(guest) as client:
        assert (await register(server, "ann99", token=guest))[0] == 200
        assert await code_of(client) == 4501
    assert (await server.call("GET", "/api/me", token=guest))[0] == 401


async def test_a_name_that_a_member_has_is_not_kept(server: Server) -> None:
    guest = await server.guest("Ann")
    await member(server, "ann")
    status, answer = await register(server, "other name", token=guest)
    assert (status, answer["data"]["user"]["full_name"]) == (200, "other name")


async def test_what_a_guest_wrote_becomes_the_members(server: Server) -> None:
    ann = await me(server, await member(server, "ann"))
    other = await server.guest("Bob")
    guest = await server.guest("Somebody")
    comment = await say(server, guest, "of a guest")
    answer = await reply(server, guest, comment, "of the same")
    liked = await say(server, other, "of another")
    await call(server, "PUT", f"/{liked['id']}/fav", token=guest)
    message = await server.post(guest, "said as a guest")
    async with server.listen(room=PAGE) as client:
        await client.send(auth_text(other, events=True))
        assert json.loads(await client.recv())["type"] == "ready"
        data = await come(server, "ann", guest)
        events = [json.loads(await client.recv()) for _ in range(3)]
    assert data["user"] == ann
    token = data["access_token"]
    assert [event["type"] for event in events] == [
        "comment_updated",
        "reply_updated",
        "comment_updated",
    ]
    assert events[0]["comment"]["creator"] == ann
    shown = await call(server, "GET", f"/{comment['id']}", token=token)
    assert (shown["creator"], shown["user_id"]) == (ann, ann["id"])
    replies = await call(server, "GET", f"/{comment['id']}/replies")
    assert [item["creator"] for item in replies["replies"]] == [ann]
    shown = await call(server, "GET", f"/{liked['id']}", token=token)
    assert shown["favor_count"] == 1
    assert shown["fav_id"] > 0
    (latest,) = (await server.latest(token))["data"]
    assert (latest["user"], latest["message_id"]) == (ann, message["message_id"])
    # Theirs to change, too.
    path = f"/{comment['id']}"
    await call(server, "PATCH", path, {"content": "mine now"}, token=token)
    await call(server, "DELETE", f"{path}/replies/{answer['id']}", token=token)
    status, _, _ = await server.call(
        "DELETE", f"/api/messages/{message['message_id']}?{ROOM}", token=token
    )
    assert status == 200


async def test_what_both_liked_is_liked_once(server: Server) -> None:
    token, guest = await member(server, "ann"), await server.guest("Somebody")
    comment = await say(server, await server.guest("Bob"), "likeable")
    path = f"/{comment['id']}"
    for each in (token, guest):
        await call(server, "PUT", f"{path}/fav", token=each)
    data = await come(server, "ann", guest)
    shown = await call(server, "GET", path, token=data["access_token"])
    assert shown["favor_count"] == 1
    assert shown["fav_id"] > 0
    assert await server.services.comments.recount() == (0, 0)


async def test_it_holds_after_a_restart_and_the_guest_is_empty(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as server:
        ann = (await me(server, await member(server, "ann")))["id"]
        guest = await server.guest("Somebody")
        guest_id = (await me(server, guest))["id"]
        await server.post(guest, "said as a guest")
        await say(server, guest, "of a guest")
        await come(server, "ann", guest)
    async with running(settings(tmp_path)) as server:
        token = (await sign_in(server, "ann"))[1]["data"]["access_token"]
        (message,) = (await server.latest(token))["data"]
        assert message["user"]["id"] == ann
        listed = await call(server, "GET", "")
        assert [comment["creator"]["id"] for comment in listed["comments"]] == [ann]
        rows = await server.services.db.fetch(
            "select full_name, merged_into from users where id = :id", {"id": guest_id}
        )
        assert [tuple(row) for row in rows] == [("deleted", ann)]
        assert (await server.call("GET", f"/api/users/{guest_id}"))[0] == 404


async def test_a_stop_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    """The sign-in is committed, and the server is gone before anything else is."""
    async with running(settings(tmp_path)) as server:
        ann = await me(server, await member(server, "ann"))
        guest = await server.guest("Somebody")
        guest_id = (await me(server, guest))["id"]
        await say(server, guest, "of a guest")
        await server.services.db.write(
            lambda tx: tx.execute(
                "update users set merged_into = :ann where id = :guest",
                {"ann": ann["id"], "guest": guest_id},
            )
        )
    async with open_services(settings(tmp_path)) as services:
        await services.merging.resume()
        (row,) = await services.db.fetch("select user_id from comments", {})
        assert row["user_id"] == ann["id"]


async def test_a_banned_guest_does_not_bring_what_they_wrote(server: Server) -> None:
    await member(server, "ann")
    guest = await server.guest("Somebody")
    user = await me(server, guest)
    await say(server, guest, "of a guest")
    await server.services.people.ban(user["id"], FOREVER, "")
    data = await come(server, "ann", guest)
    assert (await me(server, data["access_token"]))["full_name"] == "ann"
    listed = await call(server, "GET", "")
    assert [comment["creator"]["id"] for comment in listed["comments"]] == [user["id"]]


async def test_a_ban_stays_with_a_guest_who_registers(server: Server) -> None:
    guest = await server.guest("Somebody")
    user = await me(server, guest)
    await server.services.people.ban(user["id"], FOREVER, "")
    _, answer = await register(server, "somebody", token=guest)
    status, answer, _ = await server.call(
        "POST", f"/api/comments?{PAGE}", {"content": "x"}, token=answer["data"]["access_token"]
    )
    assert (status, answer["error"]) == (403, "banned")


async def test_two_members_are_not_joined_by_a_token(server: Server) -> None:
    bob = await member(server, "bob")
    comment = await say(server, bob, "of Bob")
    await member(server, "ann")
    data = await come(server, "ann", bob)
    assert data["user"]["full_name"] == "ann"
    shown = await call(server, "GET", f"/{comment['id']}")
    assert shown["creator"]["full_name"] == "bob"
    assert (await server.call("GET", "/api/me", token=bob))[0] == 200


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "x" * 5000])
async def test_a_token_that_is_good_for_nothing_does_no_harm(server: Server, token: str) -> None:
    await member(server, "ann")
    assert (await come(server, "ann", token))["user"]["full_name"] == "ann"


async def test_a_guest_joins_once(server: Server) -> None:
    """Whoever has a copy of a guest's old token gets nothing by it."""
    guest = await server.guest("Somebody")
    comment = await say(server, guest, "of a guest")
    await register(server, "ann99", token=guest)
    await member(server, "thief")
    await come(server, "thief", guest)
    shown = await call(server, "GET", f"/{comment['id']}")
    assert shown["creator"]["full_name"] == "Somebody"
