"""Comments, replies and favourites over REST."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.clock import SECOND
from talkee_lite.comments import MOST_COMMENT, MOST_REPLY
from talkee_lite.config import LimitsConfig
from talkee_lite.models import RoomKey

from .harness import JSON, Server, config_in, running

PAGE = "site_id=1&slug=/posts/1"


def repr_start(value: object) -> str:
    """The name of a test that is given something long."""
    return repr(value)[:20]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


async def call(
    server: Server,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    page: str = PAGE,
    status: int = 200,
) -> Any:
    """`data` of an answer of this status; for an error all of it."""
    mark = "&" if "?" in path else "?"
    found, answer, _ = await server.call(
        method, f"/api/comments{path}{mark}{page}", body, token=token
    )
    assert found == status, answer
    return answer["data"] if status == 200 else answer


async def say(server: Server, token: str, content: str = "Hello!", **options: Any) -> JSON:
    """A new comment."""
    return dict(await call(server, "POST", "", {"content": content}, token=token, **options))


async def reply(
    server: Server, token: str, comment: JSON, content: str = "Hi!", to: int = 0
) -> JSON:
    """A new reply."""
    body = {"content": content, "reply_to": to}
    return dict(await call(server, "POST", f"/{comment['id']}/replies", body, token=token))


async def listed(server: Server, query: str = "", token: str | None = None) -> list[JSON]:
    """The page's comments."""
    found = await call(server, "GET", f"?{query}" if query else "", token=token)
    return list(found["comments"])


async def test_a_comment_as_it_is_answered(server: Server) -> None:
    token = await server.guest("Ann")
    comment = await say(server, token, " **Hello**, see https://example.com \r\nthere\x00 ")
    assert set(comment) == {
        *("id", "user_id", "site_id", "slug", "favor_count", "reply_count", "arweave_tx_hash"),
        *("content", "content_html", "created_at", "updated_at", "edited", "creator", "fav_id"),
        *("rewards", "reward", "status", "said_at", "kept_by"),
    }
    assert comment["content"] == "**Hello**, see https://example.com \nthere"
    assert comment["content_html"] == (
        '<p><strong>Hello</strong>, see <a href="https://example.com" rel="nofollow ugc noopener">'
        "https://example.com</a><br>\nthere</p>"
    )
    assert (comment["site_id"], comment["slug"], comment["status"]) == (1, "/posts/1", "published")
    assert (comment["favor_count"], comment["reply_count"], comment["fav_id"]) == (0, 0, 0)
    assert (comment["arweave_tx_hash"], comment["rewards"], comment["reward"]) == ("", [], None)
    assert (comment["edited"], comment["created_at"]) == (False, comment["updated_at"])
    assert comment["creator"]["full_name"] == "Ann"
    assert comment["user_id"] == comment["creator"]["id"]
    assert await call(server, "GET", f"/{comment['id']}") == comment
    assert await listed(server) == [comment]


async def test_a_reply_as_it_is_answered(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann)
    first = await reply(server, ben, comment, "*Hi*")
    assert set(first) == {
        *("id", "user_id", "comment_id", "reply_to", "content", "content_html", "created_at"),
        *("updated_at", "edited", "creator", "status", "said_at"),
    }
    assert first["comment_id"] == str(comment["id"])
    assert (first["reply_to"], first["content_html"]) == (0, "<p><em>Hi</em></p>")
    second = await reply(server, ann, comment, "To you", to=first["id"])
    assert second["reply_to"] == first["id"]
    path = f"/{comment['id']}/replies"
    assert await call(server, "GET", path) == {"total": 2, "replies": [second, first]}
    oldest = await call(server, "GET", f"{path}?order_by=created_at_asc&limit=1")
    assert oldest == {"total": 2, "replies": [first]}
    assert (await call(server, "GET", f"{path}?offset=1"))["replies"] == [first]
    assert (await listed(server))[0]["reply_count"] == 2


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("", "bdca"),
        ("order_by=favor_count", "bdca"),
        ("order_by=created_at", "dcba"),
        ("order_by=created_at_asc", "abcd"),
        ("order_by=reply_count", "cdba"),
    ],
)
async def test_orders(order: str, wanted: str, server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    made = {text: await say(server, ann, text) for text in "abcd"}
    for token in (ann, ben):
        await call(server, "PUT", f"/{made['b']['id']}/fav", token=token)
    await call(server, "PUT", f"/{made['d']['id']}/fav", token=ann)
    await reply(server, ben, made["c"], "one")
    found = await listed(server, order)
    assert "".join(comment["content"] for comment in found) == wanted
    # In parts it is the same.
    parts = [await listed(server, f"{order}&limit=1&offset={n}") for n in range(5)]
    assert "".join(part[0]["content"] for part in parts if part) == wanted
    if order.endswith(("created_at", "created_at_asc")):
        text, last = "", 0
        while part := await listed(server, f"{order}&limit=3" + (f"&after_id={last}" * bool(last))):
            text, last = text + "".join(c["content"] for c in part), part[-1]["id"]
        assert text == wanted
        # A list may begin with any of them.
        third = await listed(server, f"{order}&from_id={found[2]['id']}&limit=2")
        assert third == found[2:4]


@pytest.mark.parametrize(
    ("query", "error", "field"),
    [
        ("limit=0", "invalid_page", "limit"),
        ("limit=101", "invalid_page", "limit"),
        ("limit=-1", "invalid_page", "limit"),
        ("offset=x", "invalid_page", "offset"),
        ("after_id=1", "invalid_page", "after_id"),
        ("after_id=1&order_by=created_at&offset=1", "invalid_page", "after_id"),
        ("from_id=1", "invalid_page", "from_id"),
        ("from_id=1&after_id=1&order_by=created_at", "invalid_page", "from_id"),
        ("order_by=random()", "invalid_order_by", "order_by"),
    ],
)
async def test_windows_that_make_no_sense(
    query: str, error: str, field: str, server: Server
) -> None:
    answer = await call(server, "GET", f"?{query}", status=400)
    assert (answer["error"], answer["field"]) == (error, field)


async def test_favourites_count_each_person_once(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann)
    path = f"/{comment['id']}"
    for _ in range(2):
        liked = await call(server, "PUT", f"{path}/fav", token=ben)
        assert liked["favor_count"] == 1
        assert liked["fav_id"] > 0
    assert (await listed(server))[0]["fav_id"] == 0
    assert (await listed(server, token=ann))[0]["fav_id"] == 0
    assert (await listed(server, token=ben))[0]["fav_id"] == liked["fav_id"]
    assert (await call(server, "GET", path, token=ben))["fav_id"] == liked["fav_id"]
    for _ in range(2):
        liked = await call(server, "PUT", f"{path}/unfav", token=ben)
        assert (liked["favor_count"], liked["fav_id"]) == (0, 0)


async def test_fifty_likes_at_once_are_one(server: Server) -> None:
    token = await server.guest("Ann")
    comment = await say(server, token)
    path = f"/{comment['id']}/fav"
    await asyncio.gather(*(call(server, "PUT", path, token=token) for _ in range(50)))
    assert (await listed(server))[0]["favor_count"] == 1


async def test_a_double_click_is_one_comment(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    first, second = await asyncio.gather(say(server, ann, "once"), say(server, ann, "once"))
    assert first == second
    body = {"content": "once"}
    _, _, headers = await server.call("POST", f"/api/comments?{PAGE}", body, token=ann)
    assert headers["Idempotent-Replayed"] == "true"
    assert (await say(server, ben, "once"))["id"] != first["id"]
    assert (await say(server, ann, "once", page="site_id=1&slug=/other"))["id"] != first["id"]
    replies = [await reply(server, ann, first, "again") for _ in range(2)]
    assert replies[0] == replies[1]
    other = await say(server, ann, "twice")
    assert (await reply(server, ann, other, "again"))["id"] != replies[0]["id"]
    assert len(await listed(server)) == 3


async def test_after_a_minute_the_same_may_be_said_again(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        token = await server.guest()
        first = await say(server, token, "again")
        now = server.services.clock()
        server.services.comments._clock = lambda: now + 61 * SECOND
        assert (await say(server, token, "again"))["id"] != first["id"]


async def test_changing_what_one_wrote(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann, "Helo")
    path = f"/{comment['id']}"
    changed = await call(server, "PATCH", path, {"content": "Hello"}, token=ann)
    assert (changed["content"], changed["edited"]) == ("Hello", True)
    assert changed["updated_at"] > comment["updated_at"]
    assert changed["created_at"] == comment["created_at"]
    assert await listed(server) == [changed]
    await call(server, "PATCH", path, {"content": "Mine"}, token=ben, status=403)
    answer = await reply(server, ben, comment, "Hy")
    at = f"{path}/replies/{answer['id']}"
    changed = await call(server, "PATCH", at, {"content": "Hi"}, token=ben)
    assert (changed["content"], changed["edited"]) == ("Hi", True)
    await call(server, "PATCH", at, {"content": "Mine"}, token=ann, status=403)
    now = server.services.clock()
    server.services.comments._clock = lambda: now + 16 * 60 * SECOND
    for method, body in (("PATCH", {"content": "Late"}), ("DELETE", None)):
        for place, token in ((path, ann), (at, ben)):
            await call(server, method, place, body, token=token, status=403)


async def test_a_comment_without_replies_is_gone_when_it_is_deleted(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann, "secret")
    path = f"/{comment['id']}"
    await call(server, "DELETE", path, token=ben, status=403)
    for _ in range(2):
        assert await call(server, "DELETE", path, token=ann) is None
    assert (await call(server, "GET", ""))["total"] == 0
    await call(server, "GET", path, status=404)
    await call(server, "PATCH", path, {"content": "back"}, token=ann, status=404)
    answer = await call(server, "PUT", f"{path}/fav", token=ben, status=409)
    assert answer["error"] == "comment_deleted"
    body = {"content": "Hi"}
    answer = await call(server, "POST", f"{path}/replies", body, token=ben, status=409)
    assert answer["error"] == "comment_deleted"
    assert (await say(server, ann, "next"))["id"] > comment["id"]
    rows = await server.services.db.fetch("select content, html from comments order by id", {})
    assert [tuple(row) for row in rows] == [("", ""), ("next", "<p>next</p>")]


async def test_a_comment_with_replies_stays_as_a_tombstone(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann, "first")
    answer = await reply(server, ben, comment)
    path = f"/{comment['id']}"
    await call(server, "DELETE", path, token=ann)
    (tombstone,) = await listed(server)
    assert (tombstone["id"], tombstone["status"]) == (comment["id"], "deleted")
    assert (tombstone["content"], tombstone["content_html"]) == ("", "")
    assert (tombstone["creator"]["full_name"], tombstone["user_id"]) == ("deleted", 0)
    assert tombstone["reply_count"] == 1
    assert (await call(server, "GET", f"{path}/replies"))["replies"] == [answer]
    # With its last reply it goes too.
    for _ in range(2):
        await call(server, "DELETE", f"{path}/replies/{answer['id']}", token=ben)
    assert (await call(server, "GET", ""))["total"] == 0
    status, counts, _ = await server.call(
        "POST", "/api/counts", {"site_id": 1, "slugs": ["/posts/1"]}
    )
    assert (status, counts["data"]) == (200, {"/posts/1": 0})


async def test_a_reply_that_is_deleted_is_gone(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    one, two = await reply(server, ann, comment, "one"), await reply(server, ann, comment, "two")
    await call(server, "DELETE", f"/{comment['id']}/replies/{one['id']}", token=ann)
    found = await call(server, "GET", f"/{comment['id']}/replies")
    assert found == {"total": 1, "replies": [two]}
    body = {"content": "late", "reply_to": one["id"]}
    path = f"/{comment['id']}/replies"
    answer = await call(server, "POST", path, body, token=ann, status=400)
    assert answer["error"] == "invalid_reply_to"
    await call(server, "PATCH", f"{path}/{one['id']}", {"content": "x"}, token=ann, status=404)


async def test_ids_of_other_pages_and_comments_do_not_exist_here(server: Server) -> None:
    ann = await server.guest("Ann")
    here = await say(server, ann, "here")
    there = await say(server, ann, "there", page="site_id=1&slug=/b")
    other = await say(server, ann, "other")
    answer = await reply(server, ann, other)
    for number in (there["id"], 99, "x", 0, -1, "01", 10**17):
        for method, path in (("GET", ""), ("PUT", "/fav"), ("GET", "/replies"), ("DELETE", "")):
            error = await call(server, method, f"/{number}{path}", token=ann, status=404)
            assert error["error"] == "comment_not_found"
    for number in (answer["id"], 99, "x"):
        path = f"/{here['id']}/replies/{number}"
        error = await call(server, "DELETE", path, token=ann, status=404)
        assert error["error"] == "reply_not_found"
    body = {"content": "x", "reply_to": answer["id"]}
    error = await call(server, "POST", f"/{here['id']}/replies", body, token=ann, status=400)
    assert (error["error"], error["field"]) == ("invalid_reply_to", "reply_to")


@pytest.mark.parametrize(
    "content",
    ["", " \n\t", "\x00\x07", "\ufffe\uffff", "x" * (MOST_COMMENT + 1)],
    ids=repr_start,
)
async def test_contents_that_are_refused(content: str, server: Server) -> None:
    token = await server.guest()
    error = await call(server, "POST", "", {"content": content}, token=token, status=400)
    assert (error["error"], error["field"]) == ("invalid_content", "content")


async def test_the_longest_contents(server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token, " " + "\U0001f600" * MOST_COMMENT)
    assert len(comment["content"]) == MOST_COMMENT
    assert len((await reply(server, token, comment, "x" * MOST_REPLY))["content"]) == MOST_REPLY
    path = f"/{comment['id']}/replies"
    body = {"content": "x" * (MOST_REPLY + 1)}
    await call(server, "POST", path, body, token=token, status=400)


@pytest.mark.parametrize("body", [{}, {"content": 1}, {"content": None}, []])
async def test_bodies_that_are_refused(body: Any, server: Server) -> None:
    token = await server.guest()
    for method, path in (("POST", ""), ("PATCH", "/1"), ("POST", "/1/replies")):
        error = await call(server, method, path, body, token=token, status=400)
        assert error["error"] == "invalid_body"


@pytest.mark.parametrize("reply_to", [-1, 10**16, 2**63, 2**64 - 1, 1.5, "1", None, True])
async def test_a_reply_to_that_is_no_id_is_refused(reply_to: Any, server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token)
    body = {"content": "x", "reply_to": reply_to}
    error = await call(server, "POST", f"/{comment['id']}/replies", body, token=token, status=400)
    assert (error["error"], error["field"]) == ("invalid_body", "reply_to")


async def test_a_token_that_is_sent_must_be_good(server: Server) -> None:
    await say(server, await server.guest())
    for path in ("", "/1", "/1/replies"):
        await call(server, "GET", path, token="nonsense", status=401)
    for method, path, body in (
        ("POST", "", {"content": "x"}),
        ("PATCH", "/1", {"content": "x"}),
        ("DELETE", "/1", None),
        ("PUT", "/1/fav", None),
        ("POST", "/1/replies", {"content": "x"}),
    ):
        await call(server, method, path, body, status=401)


async def test_a_banned_person_writes_nothing(server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token)
    user = (await server.services.tokens.identify(token)).user
    await server.services.people.ban(user.id, server.services.clock() + 3600 * SECOND, "spam")
    path = f"/{comment['id']}"
    for method, place, body in (
        ("POST", "", {"content": "more"}),
        ("POST", f"{path}/replies", {"content": "more"}),
        ("PATCH", path, {"content": "more"}),
        ("DELETE", path, None),
        ("PUT", f"{path}/fav", None),
    ):
        error = await call(server, method, place, body, token=token, status=403)
        assert error["error"] == "banned"


async def test_a_closed_page_takes_nothing_new(server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token)
    await server.services.chat.set_closed(RoomKey(1, "/posts/1"), True)
    body = {"content": "more"}
    for path in ("", f"/{comment['id']}/replies"):
        error = await call(server, "POST", path, body, token=token, status=403)
        assert error["error"] == "room_closed"


async def test_comments_and_messages_draw_on_the_same_pace(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.01, messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        await server.post(token)
        comment = await say(server, token)
        error = await call(server, "POST", "", {"content": "third"}, token=token, status=429)
        assert error["error"] == "rate_limited"
        # What is there already costs nothing.
        assert await say(server, token) == comment
        body = {"content": "third"}
        await call(server, "POST", f"/{comment['id']}/replies", body, token=token, status=429)


async def test_a_refused_comment_costs_nothing(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.01, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        body = {"content": "x"}
        await call(server, "POST", "/9/replies", body, token=token, status=404)
        await say(server, token)


async def test_preview_is_what_would_be_stored(server: Server) -> None:
    token = await server.guest()
    text = "1. one\n2. two\n\n> quoted `code`"
    status, answer, _ = await server.call("POST", "/api/preview", {"content": text})
    assert status == 200
    comment = await say(server, token, text)
    assert answer["data"] == {"content_html": comment["content_html"]}
    for body, token_sent, wanted in (
        ({"content": ""}, None, 400),
        ({"content": text}, "nonsense", 401),
    ):
        status, _, _ = await server.call("POST", "/api/preview", body, token=token_sent)
        assert status == wanted


async def test_a_preview_may_name_a_site_that_is_there(server: Server) -> None:
    async def preview(query: str, **headers: str) -> tuple[int, str]:
        path, body = f"/api/preview{query}", {"content": "x"}
        status, answer, _ = await server.call("POST", path, body, headers=headers)
        return status, answer.get("error", "")

    assert await preview("?site_id=1") == (200, "")
    assert await preview("?site_id=") == (200, "")
    for wrong in ("0", "x", "-1", "1.0"):
        assert await preview(f"?site_id={wrong}") == (400, "invalid_site_id")
    assert await preview("?site_id=99") == (404, "site_not_found")
    await server.services.sites.add(
        name="Other", origins=["https://other.example.com"], public_chat=False
    )
    origin = {"Origin": "https://other.example.com"}
    assert await preview("", **origin) == (200, "")
    assert await preview("?site_id=1", **origin) == (403, "origin_not_allowed")


async def test_counts_of_many_pages_in_one_call(server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token)
    await reply(server, token, comment)
    slugs = ["/posts/1", "/none", " /posts/1 "]
    status, answer, _ = await server.call("POST", "/api/counts", {"site_id": 1, "slugs": slugs})
    assert (status, answer["data"]) == (200, {"/posts/1": 2, "/none": 0, " /posts/1 ": 2})
    for body, wanted, error in (
        ({"site_id": 1, "slugs": ["/a"] * 501}, 400, "invalid_body"),
        ({"site_id": 1, "slugs": "/a"}, 400, "invalid_body"),
        ({"site_id": 1, "slugs": [1]}, 400, "invalid_body"),
        ({"site_id": "1", "slugs": []}, 400, "invalid_body"),
        ({"site_id": 9, "slugs": []}, 404, "site_not_found"),
        ({"site_id": 1, "slugs": [""]}, 400, "invalid_slug"),
    ):
        status, answer, _ = await server.call("POST", "/api/counts", body)
        assert (status, answer["error"]) == (wanted, error)
    status, answer, _ = await server.call("POST", "/api/counts", {"site_id": 1, "slugs": []})
    assert (status, answer["data"]) == (200, {})


async def test_counts_need_no_preflight(server: Server) -> None:
    """As `text/plain` a browser sends it at once (Fetch, CORS-safelisted request-header)."""
    body = b'{"site_id": 1, "slugs": ["/a"]}'
    for kind, status in (("text/plain;charset=UTF-8", 200), ("application/xml", 415)):
        headers = {"Content-Type": kind}
        answer = await server.call("POST", "/api/counts", data=body, headers=headers)
        assert answer[0] == status
    # Nothing else is taken so.
    headers = {"Content-Type": "text/plain"}
    answer = await server.call("POST", "/api/preview", data=b'{"content": "a"}', headers=headers)
    assert answer[0] == 415


async def test_asking_for_a_page_makes_no_row(server: Server) -> None:
    for n in range(20):
        assert await call(server, "GET", "", page=f"site_id=1&slug=/{n}") == {
            "total": 0,
            "revision": 0,
            "comments": [],
        }
    rows = await server.services.db.fetch("select count(*) as n from pages", {})
    assert rows[0]["n"] == 0


async def test_who_wrote_a_comment_is_known_and_counted(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    status, answer, _ = await server.call("GET", f"/api/users/{comment['user_id']}")
    assert (status, answer["data"]["full_name"]) == (200, "Ann")
    await reply(server, ann, comment)
    _, answer, _ = await server.call("GET", "/api/stat/global")
    assert (answer["data"]["comments"], answer["data"]["replies"]) == (1, 1)


async def test_recount_sets_right_what_is_off(server: Server) -> None:
    token = await server.guest()
    comment = await say(server, token)
    await reply(server, token, comment)
    await call(server, "PUT", f"/{comment['id']}/fav", token=token)
    assert await server.services.comments.recount() == (0, 0)
    await server.services.db.write(
        lambda tx: (
            tx.execute("update comments set favor_count = 7, reply_count = 7", {}),
            tx.execute("update pages set comment_total = 7, published_count = 7", {}),
        )
    )
    assert await server.services.comments.recount() == (1, 1)
    (found,) = await listed(server)
    assert (found["favor_count"], found["reply_count"]) == (1, 1)
    assert (await call(server, "GET", ""))["total"] == 1


async def test_everything_at_once_keeps_the_counts(server: Server) -> None:
    tokens = [await server.guest(f"Guest {n}") for n in range(6)]
    comments = [await say(server, tokens[0], f"comment {n}") for n in range(4)]

    async def act(token: str, number: int) -> None:
        for turn in range(8):
            comment = comments[(number + turn) % 4]
            path = f"/{comment['id']}"
            await call(server, "PUT", f"{path}/{'fav' if turn % 3 else 'unfav'}", token=token)
            made = await reply(server, token, comment, f"{number} {turn}")
            if turn % 2:
                await call(server, "DELETE", f"{path}/replies/{made['id']}", token=token)

    await asyncio.gather(*(act(token, number) for number, token in enumerate(tokens)))
    assert await server.services.comments.recount() == (0, 0)
