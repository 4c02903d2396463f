"""What others replied to somebody on a page since a time."""

from __future__ import annotations

import sqlite3

import pytest

from talkee_lite.clock import SECOND
from talkee_lite.store import replies as replies_store

from .harness import JSON, Server
from .test_comments import PAGE, call, reply, say
from .test_held import hold


async def answers(server: Server, token: str, since: int = 0, page: str = PAGE) -> list[JSON]:
    """What the call answers."""
    path = f"/api/me/answers?{page}&since={since}"
    status, answer, _ = await server.call("GET", path, token=token)
    assert status == 200, answer
    return list(answer["data"]["replies"])


async def test_they_are_replies_of_others_to_what_one_wrote(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    mine, other = await say(server, ann), await say(server, ben, "Mine")
    first = await reply(server, ben, mine, "To your comment")
    own = await reply(server, ann, mine, "My own")
    to_reply = await reply(server, ben, mine, "To your reply", own["id"])
    # To somebody else's reply below one's comment, and to somebody else's comment.
    await reply(server, await server.guest("Cid"), mine, "To Ben", first["id"])
    mine_there = await reply(server, ann, other, "What I say there")
    there = await reply(server, ben, other, "And what I do", mine_there["id"])
    assert await answers(server, ann) == [first, to_reply, there]
    assert [one["content"] for one in await answers(server, ben)] == [
        "To Ben",
        "What I say there",
    ]


async def test_they_are_those_of_one_page_behind_the_time(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    mine = await say(server, ann)
    await reply(server, ben, mine, "before")
    since = server.services.clock() // 1000 + 1
    while server.services.clock() // 1000 <= since:
        pass
    later = await reply(server, ben, mine, "later")
    assert await answers(server, ann, since) == [later]
    assert await answers(server, ann, since + 60 * SECOND // 1000) == []
    assert await answers(server, ann, 0, "site_id=1&slug=/other") == []


async def test_what_is_held_or_deleted_is_none(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    mine = await say(server, ann)
    gone = await reply(server, ben, mine, "gone")
    await call(server, "DELETE", f"/{mine['id']}/replies/{gone['id']}", token=ben)
    await hold(server)
    await reply(server, ben, mine, "waits")
    assert await answers(server, ann) == []


async def test_the_oldest_hundred_come(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    mine = await say(server, ann)
    written = [await reply(server, ben, mine, f"reply {number}") for number in range(101)]
    assert await answers(server, ann) == written[:100]


def steps_of(replies: int) -> int:
    """What the query costs SQLite, where half of a thread is one person's and half another's."""
    db = sqlite3.connect(":memory:")
    db.executescript(
        """
        create table pages (id integer primary key, site_id, slug, moved_to);
        create table comments (id integer primary key, page_id, user_id);
        create index comments_by_user on comments (user_id);
        create table replies (id integer primary key, comment_id, reply_to, user_id, content, html,
            status, edited, created_at, updated_at, said_at);
        create index replies_by_user on replies (user_id);
        create index replies_by_time on replies (comment_id, created_at, id)
            where status = 'published';
        insert into pages values (1, 1, '/a', null);
        insert into comments values (1, 1, 3);
        """
    )
    rows = [(n, 1, n - 2 if n > 2 else 0, n % 2, n) for n in range(1, replies + 1)]
    db.executemany(
        "insert into replies (id, comment_id, reply_to, user_id, status, created_at)"
        " values (?, ?, ?, ?, 'published', ?)",
        rows,
    )
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    db.set_progress_handler(step, 100)
    given = {"site_id": 1, "slug": "/a", "user_id": 1, "since": 0, "limit": 100}
    assert db.execute(replies_store._ANSWERS, given).fetchall() == []
    db.close()
    return steps


def test_the_worst_thread_costs_no_more_than_its_length() -> None:
    assert 0 < steps_of(4000) < 3 * steps_of(2000)


@pytest.mark.parametrize("query", ["", "&since=", "&since=-1", "&since=1.5", "&since=soon"])
async def test_the_time_is_a_number(server: Server, query: str) -> None:
    token = await server.guest("Ann")
    status, answer, _ = await server.call("GET", f"/api/me/answers?{PAGE}{query}", token=token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_page", "since")


async def test_it_is_for_who_is_signed_in(server: Server) -> None:
    status, answer, _ = await server.call("GET", f"/api/me/answers?{PAGE}&since=0")
    assert (status, answer["error"]) == (401, "unauthorized")
