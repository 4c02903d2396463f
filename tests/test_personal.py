"""What is stored about a person: they may have it, and have it taken away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.closing import REFUSED
from talkee_lite.control import VERBS

from .harness import ROOM, Server, config_in, draft, free_limits, running
from .test_comments import PAGE, call, listed, reply, say
from .test_events import frame, reader


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


async def leave(server: Server, token: str, content: Any, status: int = 200) -> Any:
    """`DELETE /api/me`; the answer."""
    found, answer, _ = await server.call("DELETE", "/api/me", {"content": content}, token=token)
    assert found == status, answer
    return answer


async def everything(server: Server) -> str:
    """All that the database holds, as one text."""
    found = []
    for (table,) in await server.services.db.fetch(
        "select name from sqlite_master where type = 'table'", {}
    ):
        rows = await server.services.db.fetch(f"select * from {table}", {})
        found += [json.dumps(dict(row)) for row in rows]
    return "\n".join(found)


async def test_an_export_holds_everything(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    message = await server.post(ann, "hello")
    first = await say(server, ann, "*first*")
    other = await say(server, ben, "other")
    answer = await reply(server, ann, other, "answer")
    liked = await call(server, "PUT", f"/{other['id']}/fav", token=ann)
    gone = await say(server, ann, "gone")
    await call(server, "DELETE", f"/{gone['id']}", token=ann)
    status, exported, headers = await server.call("GET", "/api/me/export", token=ann)
    assert status == 200
    assert "attachment" in headers["Content-Disposition"]
    data = exported["data"]
    assert set(data) == {
        *("exported_at", "user", "identities", "sessions", "roles"),
        *("messages", "comments", "replies", "favourites", "kept"),
    }
    assert (data["user"]["full_name"], data["user"]["is_guest"]) == ("Ann", True)
    assert [one["provider"] for one in data["identities"]] == ["guest"]
    assert [one["scope"] for one in data["sessions"]] == ["page"]
    (told,) = data["messages"]
    assert (told["slug"], told["message_id"], told["data"], told["seq"]) == (
        "/a",
        message["message_id"],
        message["data"],
        1,
    )
    assert told["created_at"] == message["created_at"]
    by_id = {one["id"]: one for one in data["comments"]}
    assert set(by_id) == {first["id"], gone["id"]}
    assert (by_id[first["id"]]["content"], by_id[first["id"]]["slug"]) == ("*first*", "/posts/1")
    assert (by_id[gone["id"]]["content"], by_id[gone["id"]]["status"]) == ("", "deleted")
    (replied,) = data["replies"]
    assert (replied["id"], replied["comment_id"], replied["content"]) == (
        answer["id"],
        other["id"],
        "answer",
    )
    assert [one["id"] for one in data["favourites"]] == [liked["fav_id"]]
    assert "other" not in json.dumps(exported)


async def test_an_export_of_much_is_whole(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    for number in range(1203):
        # Of two people, in turn, and two rooms.
        token, slug = (ann, ben)[number % 2], f"/{number % 3}"
        await server.post(token, str(number), room=f"site_id=1&slug={slug}")
        await say(server, token, f"number {number}")
    exported = await VERBS["user-export"](server.services, {"id": 1})
    assert len({one["message_id"] for one in exported["messages"]}) == 602
    assert {one["content"] for one in exported["comments"]} == {
        f"number {number}" for number in range(0, 1203, 2)
    }


async def test_leaving_with_everything(server: Server) -> None:
    ann, ben = await server.guest("Ann Exampleton"), await server.guest("Ben")
    await server.post(ann, "hush one")
    await server.post(ann, "hush two", room="site_id=1&slug=/b")
    await server.post(ben, "of Ben")
    mine = await say(server, ann, "hush three")
    alone = await say(server, ann, "hush four")
    theirs = await say(server, ben, "theirs")
    await reply(server, ben, mine, "to Ann")
    await reply(server, ann, theirs, "hush five")
    await call(server, "PUT", f"/{theirs['id']}/fav", token=ann)
    async with (
        reader(server, ben, room=PAGE) as (watching, ready),
        reader(server, ben) as (chatting, _),
        reader(server, ann) as (own, _),
    ):
        await leave(server, ann, "remove")
        await asyncio.wait_for(own.wait_closed(), 10)
        assert own.close_code == REFUSED
        removed = await frame(chatting)
        assert (removed["type"], removed["user_id"]) == ("messages_removed", mine["user_id"])
        seen = [await frame(watching) for _ in range(5)]
        assert [event["revision"] for event in seen] == [
            ready["comments_revision"] + number for number in range(1, 6)
        ]
    status, answer, _ = await server.call("GET", "/api/me", token=ann)
    assert (status, answer["error"]) == (401, "unauthorized")
    found = {comment["id"]: comment for comment in await listed(server, token=ben)}
    assert alone["id"] not in found
    assert (found[mine["id"]]["status"], found[mine["id"]]["content"]) == ("deleted", "")
    assert (found[theirs["id"]]["favor_count"], found[theirs["id"]]["reply_count"]) == (0, 0)
    assert [one["data"] for one in (await server.latest(ben))["data"]] == ["b2YgQmVu"]
    assert await server.services.comments.recount() == (0, 0)
    kept = await everything(server)
    for word in ("Exampleton", "exampleton", "hush", "aHVzaC"):
        assert word not in kept
    status, _, _ = await server.call("GET", f"/api/users/{mine['user_id']}")
    assert status == 404


async def test_leaving_what_was_written(server: Server) -> None:
    ann = await server.guest("Ann Exampleton")
    await server.post(ann, "hello")
    comment = await say(server, ann, "stays")
    await leave(server, ann, "keep")
    (found,) = await listed(server)
    assert (found["content"], found["creator"]["full_name"]) == ("stays", "deleted")
    assert found["creator"]["mixin_user_id"] != comment["creator"]["mixin_user_id"]
    ben = await server.guest("Ben")
    (message,) = (await server.latest(ben))["data"]
    assert message["user"]["full_name"] == "deleted"
    assert "xampleton" not in await everything(server)
    status, _, _ = await server.call("GET", f"/api/users/{comment['user_id']}")
    assert status == 404
    # The next start knows no more.
    assert [user["full_name"] for user in await VERBS["user-list"](server.services, {})] == ["Ben"]


@pytest.mark.parametrize("content", [None, "", "all", 1, True, ["keep"]])
async def test_leaving_must_say_what_becomes_of_the_rest(content: Any, server: Server) -> None:
    ann = await server.guest("Ann")
    answer = await leave(server, ann, content, status=400)
    assert (answer["error"], answer["field"]) == ("invalid_body", "content")
    assert (await server.call("GET", "/api/me", token=ann))[0] == 200


async def test_leaving_needs_a_token(server: Server) -> None:
    for method, path in (("DELETE", "/api/me"), ("GET", "/api/me/export")):
        body = {"content": "keep"} if method == "DELETE" else None
        assert (await server.call(method, path, body))[0] == 401


async def test_a_large_past_is_removed_in_slices(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ben, "of Ben")
    for number in range(230):
        await say(server, ann, f"number {number}")
        await reply(server, ann, comment, f"reply {number}")
    for number in range(25):
        await server.post(ann, "x", room=f"site_id=1&slug=/{number}")
    await VERBS["user-delete"](server.services, {"id": 1, "remove_content": True})
    assert [one["content"] for one in await listed(server)] == ["of Ben"]
    assert (await listed(server))[0]["reply_count"] == 0
    assert await server.services.comments.recount() == (0, 0)
    rows = await server.services.db.fetch("select 1 from messages where status != 'deleted'", {})
    assert not rows


async def test_an_export_is_not_asked_for_without_end(tmp_path: Path) -> None:
    limits = free_limits(logins_per_minute=3)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann = await server.guest("Ann")
        found = [(await server.call("GET", "/api/me/export", token=ann))[0] for _ in range(3)]
        assert found == [200, 200, 429]


async def test_nothing_of_who_left_comes_back(server: Server) -> None:
    for turn in range(5):
        ann = await server.guest(f"Ann Exampleton {turn}")
        user_id = (await server.call("GET", "/api/me", token=ann))[1]["data"]["id"]
        late = [
            server.call("PATCH", "/api/me", {"full_name": f"Exampleton {n}"}, token=ann)
            for n in range(5)
        ]
        late += [
            server.call("POST", f"/api/comments?{PAGE}", {"content": f"hush {n} " * 99}, token=ann)
            for n in range(10)
        ]
        late += [
            server.call("POST", f"/ws/messages?{ROOM}", draft(f"hush {n}"), token=ann)
            for n in range(10)
        ]
        found = await asyncio.gather(*late[:12], leave(server, ann, "remove"), *late[12:])
        assert {answer[0] for answer in found if isinstance(answer, tuple)} <= {200, 401}
        kept = await everything(server)
        for word in ("xampleton", "hush", "aHVzaC"):
            assert word not in kept, turn
        assert await server.services.comments.recount() == (0, 0)
        (row,) = await server.services.db.fetch(
            "select full_name from users where id = :id", {"id": user_id}
        )
        assert row["full_name"] == "deleted"


async def test_leaving_while_a_page_moves(server: Server) -> None:
    for turn in range(5):
        old, new = f"site_id=1&slug=/{turn}", f"site_id=1&slug=/{turn}/new"
        ann, ben = await server.guest("Ann"), await server.guest("Ben")
        comment = await say(server, ben, f"of Ben {turn}", page=old)
        path = f"/{comment['id']}"
        for number in range(20):
            await say(server, ann, f"of Ann {number}", page=old)
            body = {"content": f"answer {number}"}
            await call(server, "POST", f"{path}/replies", body, token=ann, page=old)
        await call(server, "PUT", f"{path}/fav", token=ann, page=old)
        await call(server, "DELETE", path, token=ben, page=old)
        moving = {"site": 1, "slug": f"/{turn}", "new": f"/{turn}/new"}
        await asyncio.gather(
            leave(server, ann, "remove"), VERBS["page-move"](server.services, moving)
        )
        for page in (old, new):
            assert (await call(server, "GET", "", page=page))["total"] == 0
        assert await server.services.comments.recount() == (0, 0)


async def test_leaving_is_quiet_where_nothing_was_written(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    async with reader(server, ben, room=ROOM) as (client, _):
        await leave(server, ann, "remove")
        message = await server.post(ben, "still here")
        assert (await frame(client))["message_id"] == message["message_id"]
