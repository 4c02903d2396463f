"""Pages: their address and title, and where they moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.config import SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.errors import Refused

from .harness import JSON, Server, config_in, draft, running
from .test_comments import PAGE, call, listed, reply, say
from .test_events import frame, reader
from .test_held import moderator

BLOG = "https://blog.example.com"
OLD = "site_id=1&slug=/old"
NEW = "site_id=1&slug=/new"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    site = SiteConfig(id=1, origins=(BLOG, "https://*.example.org"))
    async with running(config_in(tmp_path, sites=(site,))) as server:
        yield server


async def about(server: Server, page: str = PAGE) -> JSON:
    """What is known of a page."""
    _, answer, _ = await server.call("GET", f"/api/pages?{page}")
    return {key: answer["data"][key] for key in ("address", "title")}


async def describe(server: Server, token: str, said: Any, status: int = 200) -> Any:
    """A comment that says where it was written."""
    body = {"content": f"{said}"[:5000], "page": said}
    return await call(server, "POST", "", body, token=token, status=status)


async def move(server: Server, old: str, new: str) -> None:
    """`page move`."""
    await VERBS["page-move"](server.services, {"site": 1, "slug": old, "new": new})


async def test_the_first_call_says_what_a_page_is(server: Server) -> None:
    ann = await server.guest("Ann")
    assert await about(server) == {"address": "", "title": ""}
    said = {"address": f"{BLOG}/posts/1?a=b#comments", "title": "  My \x00 first\npost "}
    comment = await describe(server, ann, said)
    wanted = {"address": f"{BLOG}/posts/1?a=b", "title": "My first post"}
    assert await about(server) == wanted
    # What comes later changes nothing, whoever says it and where.
    await describe(server, ann, {"address": f"{BLOG}/other", "title": "Other"})
    body = {"content": "x", "page": {"title": "Other"}}
    await call(server, "POST", f"/{comment['id']}/replies", body, token=ann)
    assert await about(server) == wanted


async def test_what_is_left_out_may_be_said_later(server: Server) -> None:
    ann = await server.guest("Ann")
    await describe(server, ann, {"title": "My post"})
    await describe(server, ann, {"address": f"{BLOG}/posts/1", "title": "Other"})
    assert await about(server) == {"address": f"{BLOG}/posts/1", "title": "My post"}


async def test_a_message_says_it_too(server: Server) -> None:
    ann = await server.guest("Ann")
    body = draft() | {"page": {"address": f"{BLOG}/chat", "title": "Chat"}}
    assert (await server.call("POST", f"/ws/messages?{PAGE}", body, token=ann))[0] == 200
    assert await about(server) == {"address": f"{BLOG}/chat", "title": "Chat"}


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example.com/posts/1",
        "https://blog.example.com.evil.com/",
        "https://blog.example.com:8443/",
        "http://blog.example.com/",
        "javascript:alert(1)",
        "https://user:pass@blog.example.com/",
        "https://blog.example.com/<script>",
        'https://blog.example.com/"onclick=',
        "https://blog.example.com/a b",
        "//blog.example.com/",
        "https://blog.example.com/\u202e\ufffe",
        "https://blog.example.com/\x85",
        "blog.example.com",
        f"{BLOG}/{'a' * 2048}",
    ],
)
async def test_an_address_must_be_of_the_site(address: str, server: Server) -> None:
    ann = await server.guest("Ann")
    answer = await describe(server, ann, {"address": address}, status=400)
    assert (answer["error"], answer["field"]) == ("invalid_body", "page")
    assert await listed(server) == []


@pytest.mark.parametrize("said", [None, "x", [], {"address": 1}, {"title": None}])
async def test_nonsense_about_a_page(said: Any, server: Server) -> None:
    ann = await server.guest("Ann")
    answer = await describe(server, ann, said, status=400)
    assert (answer["error"], answer["field"]) == ("invalid_body", "page")


async def test_moderators_change_it(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    wanted = {"address": "https://a.example.org/new", "title": "New"}
    path = f"/api/pages?{PAGE}"
    assert (await server.call("PATCH", path, wanted, token=mo))[0] == 404
    await describe(server, ann, {"title": "Old"})
    assert (await server.call("PATCH", path, wanted, token=ann))[0] == 403
    status, answer, _ = await server.call("PATCH", path, wanted, token=mo)
    assert status == 200
    assert answer["data"] == {"site_id": 1, "slug": "/posts/1"} | wanted
    assert await about(server) == wanted
    given = {"site": 1, "slug": "/posts/1", "title": "Newer"}
    await VERBS["page-set"](server.services, given)
    assert await about(server) == wanted | {"title": "Newer"}
    assert (await server.call("PATCH", path, {"address": ""}, token=mo))[0] == 200
    assert await about(server) == {"address": "", "title": "Newer"}


async def test_a_page_that_moved_answers_as_the_new_one(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    first = await say(server, ann, "first", page=OLD)
    second = await say(server, ben, "second", page=NEW)
    await call(server, "PUT", f"/{first['id']}/fav", token=ben, page=OLD)
    await call(server, "POST", f"/{first['id']}/replies", {"content": "re"}, token=ben, page=OLD)
    await move(server, "/old", "/new")
    for page in (OLD, NEW):
        found = await call(server, "GET", "?order_by=created_at_asc", token=ben, page=page)
        assert found["total"] == 2
        assert [one["id"] for one in found["comments"]] == [first["id"], second["id"]]
        assert {one["slug"] for one in found["comments"]} == {"/new"}
        assert (found["comments"][0]["fav_id"] > 0, found["comments"][0]["reply_count"]) == (
            True,
            1,
        )
    third = await say(server, ann, "third", page=OLD)
    assert third["slug"] == "/new"
    await call(server, "PATCH", f"/{third['id']}", {"content": "3"}, token=ann, page=OLD)
    body = {"site_id": 1, "slugs": ["/old", "/new"]}
    _, answer, _ = await server.call("POST", "/api/counts", body)
    assert answer["data"] == {"/old": 4, "/new": 4}
    assert await server.services.comments.recount() == (0, 0)


async def test_the_title_goes_along(server: Server) -> None:
    ann = await server.guest("Ann")
    said = {"address": f"{BLOG}/old", "title": "My post"}
    body = {"content": "x", "page": said}
    await call(server, "POST", "", body, token=ann, page=OLD)
    await move(server, "/old", "/new")
    for page in (OLD, NEW):
        assert await about(server, page) == {"address": "", "title": "My post"}


async def test_the_rooms_stay_apart_and_the_old_one_is_closed(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann, "first", page=OLD)
    await server.post(ann, "in the old room", room=OLD)
    async with reader(server, ann, room=OLD) as (client, _):
        await move(server, "/old", "/new")
        seen = [await frame(client) for _ in range(2)]
        assert {event["type"] for event in seen} == {"room", "page_moved"}
    status, answer, _ = await server.call("POST", f"/ws/messages?{OLD}", draft(), token=ann)
    assert (status, answer["error"]) == (403, "room_closed")
    assert len((await server.latest(ann, room=OLD))["data"]) == 1
    assert (await server.latest(ann, room=NEW))["data"] == []
    await server.post(ann, "in the new room", room=NEW)


async def test_who_has_the_old_page_open_sees_what_happens_on_the_new_one(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann, "first", page=OLD)
    await move(server, "/old", "/new")
    async with (
        reader(server, ann, room=OLD) as (old, was),
        reader(server, ann, room=NEW) as (new, now),
    ):
        assert was["comments_revision"] == now["comments_revision"] == 2
        comment = await say(server, ann, "second", page=NEW)
        for client in (old, new):
            event = await frame(client)
            assert (event["type"], event["revision"]) == ("comment_created", 3)
            assert event["comment"] == comment


async def test_who_has_the_old_page_open_misses_nothing_of_the_move(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann, "first", page=OLD)
    async with reader(server, ann, room=OLD) as (client, ready):
        _, comment = await asyncio.gather(
            move(server, "/old", "/new"), say(server, ann, "meanwhile", page=NEW)
        )
        last = ready["comments_revision"]
        while True:
            event = await frame(client, but=("presence", "ping", "room"))
            if event["type"] == "page_moved":
                last = event["revision"]
                found = await call(server, "GET", "", page=OLD)
                assert found["total"] >= 1
            else:
                assert event["revision"] == last + 1
                assert event["comment"] == comment
            if (await call(server, "GET", "", page=OLD))["total"] == 2:
                break
    await VERBS["room-open"](server.services, {"site": 1, "slug": "/old"})
    await say(server, ann, "third", page=NEW)
    async with reader(server, ann, room=OLD) as (_, old), reader(server, ann, room=NEW) as (_, new):
        assert old["comments_revision"] == new["comments_revision"]


async def test_moves_last_and_lead_on(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        ann = await server.guest("Ann")
        for slug in ("/a", "/b"):
            await say(server, ann, slug, page=f"site_id=1&slug={slug}")
        await move(server, "/a", "/b")
        await move(server, "/b", "/c")
    async with running(config_in(tmp_path)) as server:
        for slug in ("/a", "/b", "/c"):
            found = await call(server, "GET", "", page=f"site_id=1&slug={slug}")
            assert found["total"] == 2
        # And back again.
        await move(server, "/c", "/b")
        for slug in ("/a", "/b", "/c"):
            page = f"site_id=1&slug={slug}"
            found = await call(server, "GET", "", page=page)
            assert found["comments"][0]["slug"] == "/b"
            # It takes new things again.
            await say(server, ann, f"on {slug}", page=page)
        assert found["total"] == 4
        await server.post(ann, "in the room", room="site_id=1&slug=/b")
        assert await server.services.comments.recount() == (0, 0)


async def test_moves_that_make_no_sense(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann, "first", page=OLD)
    await move(server, "/old", "/new")
    for old, new, word in (
        ("/new", "/new", "already"),
        ("/old", "/third", "has moved to /new"),
        ("/never", "/new", "Nothing was ever stored"),
    ):
        with pytest.raises(Refused, match=word):
            await move(server, old, new)
    assert (await call(server, "GET", "", page=NEW))["total"] == 1


async def test_replies_go_on_under_a_comment_that_moved(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann, "first")
    await move(server, "/posts/1", "/new")
    answer = await reply(server, ann, comment, "still")
    assert (await call(server, "GET", f"/{comment['id']}/replies"))["replies"] == [answer]
