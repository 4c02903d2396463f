"""The replies to many comments in one call."""

from __future__ import annotations

from typing import Any

import pytest

from talkee_lite import comment_lists
from talkee_lite.control import VERBS

from .harness import JSON, Server
from .test_comments import PAGE, call, reply, say
from .test_held import hold, moderator


async def replies_of(
    server: Server, of: str, query: str = "", *, token: str | None = None, page: str = PAGE
) -> JSON:
    """What the call answers."""
    path = f"/api/replies?{page}&of={of}{query}"
    status, answer, _ = await server.call("GET", path, token=token)
    assert status == 200, answer
    return dict(answer["data"]["replies"])


async def one_by_one(server: Server, comments: list[JSON], token: str | None) -> JSON:
    """The same, by asking for each."""
    found = {}
    for comment in comments:
        path = f"/{comment['id']}/replies?order_by=created_at_asc&limit=100"
        found[str(comment["id"])] = await call(server, "GET", path, token=token)
    return found


async def test_they_are_those_of_each_comment_oldest_first(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comments = [await say(server, ann, text) for text in "abc"]
    written = [await reply(server, ben, comments[0], f"reply {number}") for number in range(3)]
    other = await reply(server, ann, comments[2], "*Hi*", 0)
    answer = await reply(server, ben, comments[2], "To you", other["id"])
    found = await replies_of(server, "3,1,2")
    assert found == await one_by_one(server, comments, None)
    assert found["1"] == {"total": 3, "replies": written}
    assert found["2"] == {"total": 0, "replies": []}
    assert found["3"] == {"total": 2, "replies": [other, answer]}
    few = await replies_of(server, "1,3", "&limit=1")
    assert few == {
        "1": {"total": 3, "replies": written[:1]},
        "3": {"total": 2, "replies": [other]},
    }


async def test_what_is_no_comment_of_the_page_is_left_out(server: Server) -> None:
    ann = await server.guest("Ann")
    here = await say(server, ann)
    there = await say(server, ann, page="site_id=1&slug=/other")
    gone, emptied = await say(server, ann, "gone"), await say(server, ann, "emptied")
    answer = await reply(server, ann, emptied)
    for comment in (gone, emptied):
        await call(server, "DELETE", f"/{comment['id']}", token=ann)
    of = ",".join(str(one["id"]) for one in (here, there, gone, emptied)) + ",999"
    assert await replies_of(server, of) == {
        str(here["id"]): {"total": 0, "replies": []},
        # Its text is gone, what others answered is not.
        str(emptied["id"]): {"total": 1, "replies": [answer]},
    }
    assert await replies_of(server, of, page="site_id=1&slug=/nothing") == {}


async def test_held_ones_are_for_their_authors_and_moderators(server: Server) -> None:
    ann, ben, mo = await server.guest("Ann"), await server.guest("Ben"), await moderator(server)
    comment = await say(server, ann, "shown")
    for number in range(3):
        await reply(server, ann, comment, f"shown {number}")
    await hold(server)
    waiting = await say(server, ann, "held")
    for number in range(2):
        await reply(server, ann, comment, f"held {number}")
    await reply(server, mo, comment, "by a moderator")
    await reply(server, ben, comment, "held too")
    of = f"{comment['id']},{waiting['id']}"
    for token, total, is_seen in ((None, 4, False), (ben, 5, False), (ann, 6, True), (mo, 7, True)):
        found = await replies_of(server, of, token=token)
        seen = [comment, waiting] if is_seen else [comment]
        assert found == await one_by_one(server, seen, token)
        shown = found[str(comment["id"])]
        assert (shown["total"], len(shown["replies"])) == (total, total)
        first = await replies_of(server, of, "&limit=4", token=token)
        assert first[str(comment["id"])] == shown | {"replies": shown["replies"][:4]}


async def test_of_very_much_each_comment_has_its_first_ones(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comment_lists, "MOST_TOGETHER", 20_000)
    ann = await server.guest("Ann")
    comments = [await say(server, ann, f"comment {number}") for number in range(4)]
    for comment in comments:
        for number in range(1 + comment["id"] % 4):
            await reply(server, ann, comment, f"{number} " + "x" * 1000)
    found = await replies_of(server, "1,2,3,4")
    whole = await one_by_one(server, comments, None)
    lengths = {}
    for name, one in found.items():
        lengths[name] = len(one["replies"])
        assert one == whole[name] | {"replies": whole[name]["replies"][: lengths[name]]}
    # By turns: some 2,800 characters each.
    assert lengths == {"1": 2, "2": 2, "3": 2, "4": 1}
    monkeypatch.setattr(comment_lists, "MOST_TOGETHER", 1)
    assert all(len(one["replies"]) == 1 for one in (await replies_of(server, "1,2,3,4")).values())


@pytest.mark.parametrize(
    "query", ["", "&of=", "&of=x", "&of=0", "&of=1,", "&of=-1", "&of=" + ",".join("1" * 101)]
)
async def test_it_names_comments(server: Server, query: str) -> None:
    status, answer, _ = await server.call("GET", f"/api/replies?{PAGE}{query}")
    assert (status, answer["error"], answer["field"]) == (400, "invalid_page", "of")


@pytest.mark.parametrize("limit", ["0", "101", "x"])
async def test_the_limit_has_bounds(server: Server, limit: str) -> None:
    status, answer, _ = await server.call("GET", f"/api/replies?{PAGE}&of=1&limit={limit}")
    assert (status, answer["error"], answer["field"]) == (400, "invalid_page", "limit")


async def test_a_page_that_moved_answers_as_the_one_where_it_is(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    await reply(server, ann, comment)
    move: dict[str, Any] = {"site": 1, "slug": "/posts/1", "new": "/posts/2"}
    await VERBS["page-move"](server.services, move)
    assert await replies_of(server, "1") == await replies_of(
        server, "1", page="site_id=1&slug=/posts/2"
    )
    assert (await replies_of(server, "1"))["1"]["total"] == 1


# Along with the comments.


async def together(
    server: Server, query: str = "", *, token: str | None = None, replies: int = 100
) -> JSON:
    """A list of comments with their replies."""
    path = f"/api/comments?{PAGE}&order_by=created_at_asc&replies={replies}{query}"
    status, answer, _ = await server.call("GET", path, token=token)
    assert status == 200, answer
    return dict(answer["data"])


async def test_a_list_brings_the_oldest_replies_to_its_comments(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comments = [await say(server, ann, text) for text in "abc"]
    for number in range(3):
        await reply(server, ben, comments[0], f"reply {number}")
    await reply(server, ann, comments[2])
    await call(server, "PUT", "/1/fav", token=ben)
    for token in (None, ben):
        for query in ("", "&from_id=1", "&offset=2", "&limit=1"):
            found = await together(server, query, token=token)
            assert "replies" not in await together_without(server, query, token)
            replies = found.pop("replies")
            assert found == await together_without(server, query, token)
            ids = ",".join(str(one["id"]) for one in found["comments"])
            wanted = await replies_of(server, ids, token=token)
            assert replies == {of: some for of, some in wanted.items() if some["total"]}
    few = await together(server, replies=1)
    assert [len(some["replies"]) for some in few["replies"].values()] == [1, 1]
    assert few["replies"]["1"]["total"] == 3


async def together_without(server: Server, query: str, token: str | None) -> JSON:
    """The list alone."""
    found = await call(server, "GET", f"?order_by=created_at_asc{query}", token=token)
    return dict(found)


async def test_what_is_kept_of_a_list_follows_its_replies(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await say(server, ann)

    async def texts(token: str | None = None) -> list[str]:
        found = (await together(server, token=token))["replies"]
        return [one["content"] for some in found.values() for one in some["replies"]]

    assert await texts() == await texts(ann) == []
    first = await reply(server, ben, comment, "first")
    assert await texts() == await texts(ann) == ["first"]
    path = f"/{comment['id']}/replies/{first['id']}"
    await call(server, "PATCH", path, {"content": "changed"}, token=ben)
    assert await texts() == await texts(ann) == ["changed"]
    assert (await server.call("PATCH", "/api/me", {"full_name": "Benno"}, token=ben))[0] == 200
    found = (await together(server))["replies"]["1"]["replies"]
    assert [one["creator"]["full_name"] for one in found] == ["Benno"]
    # What waits is for its author and for moderators, also where no comment does.
    await hold(server)
    held = await reply(server, ben, comment, "waits")
    assert held["status"] == "pending"
    assert await texts() == await texts(ann) == ["changed"]
    assert await texts(ben) == await texts(await moderator(server)) == ["changed", "waits"]
    await call(server, "DELETE", path, token=ben)
    assert await texts() == []
    assert await texts(ben) == ["waits"]


async def test_of_very_much_the_first_ones_come_along(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comment_lists, "MOST_TOGETHER", 20_000)
    ann = await server.guest("Ann")
    comments = [await say(server, ann, f"comment {number}") for number in range(4)]
    for comment in comments:
        for number in range(5):
            await reply(server, ann, comment, f"{number} " + "x" * 1000)
    for token in (None, ann):
        found = (await together(server, token=token))["replies"]
        assert found == await replies_of(server, "1,2,3,4", token=token)
        # All are counted, few are sent.
        assert {of: some["total"] for of, some in found.items()} == dict.fromkeys("1234", 5)
        assert all(1 <= len(some["replies"]) < 5 for some in found.values())


@pytest.mark.parametrize("number", ["-1", "101", "x"])
async def test_how_many_come_along_has_bounds(server: Server, number: str) -> None:
    status, answer, _ = await server.call("GET", f"/api/comments?{PAGE}&replies={number}")
    assert (status, answer["error"], answer["field"]) == (400, "invalid_page", "replies")
