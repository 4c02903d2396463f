"""Comments under attack: races, deep lists, and how often somebody may do what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from talkee_lite import markdown
from talkee_lite.config import CompatConfig, LimitsConfig
from talkee_lite.control import VERBS
from talkee_lite.store.writer import Transaction

from .harness import Server, config_in, draft, running
from .test_comments import PAGE, call, listed, reply, say


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


async def fill(server: Server, count: int, *, page: str = "/posts/1") -> None:
    """`count` comments below a page, written past the rules."""
    await say(server, await server.guest("Filler"), "first", page=f"site_id=1&slug={page}")

    def job(tx: Transaction) -> None:
        tx.execute(
            "with recursive n (i) as (select 1 union all select i + 1 from n where i < :count)"
            " insert into comments (page_id, user_id, content, digest, html, html_version, status,"
            " listed, created_at, updated_at) select p.id, 1, 'c' || i, i, '', 2, 'published', 1,"
            " 1000000 + i, 1000000 + i from n, pages as p where p.slug = :slug",
            {"count": count, "slug": page},
        )
        tx.execute(
            "update pages set comment_total = comment_total + :count,"
            " published_count = published_count + :count where slug = :slug",
            {"count": count, "slug": page},
        )

    await server.services.db.write(job)


async def test_two_edits_at_once_leave_one_of_both(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    path = f"/{comment['id']}"
    texts = [f"edit {number}" for number in range(20)]
    found = await asyncio.gather(
        *(call(server, "PATCH", path, {"content": text}, token=ann) for text in texts)
    )
    assert [one["content"] for one in found] == texts
    now = await call(server, "GET", path)
    assert now["content"] in texts
    assert now["content_html"] == f"<p>{now['content']}</p>"
    assert now["edited"]


async def test_an_edit_and_a_deletion_at_once(server: Server) -> None:
    ann = await server.guest("Ann")
    for number in range(20):
        comment = await say(server, ann, f"comment {number}")
        path = f"/{comment['id']}"
        _, edited = await asyncio.gather(
            call(server, "DELETE", path, token=ann),
            server.call("PATCH", f"/api/comments{path}?{PAGE}", {"content": "x"}, token=ann),
        )
        assert edited[0] in (200, 404)
        await call(server, "GET", path, status=404)
    assert await listed(server) == []
    assert await server.services.comments.recount() == (0, 0)


async def test_deep_offsets_are_bounded_and_deep_keys_are_fast(server: Server) -> None:
    await fill(server, 20_000)
    for order in ("favor_count", "created_at", "created_at_asc", "reply_count"):
        found = await call(server, "GET", f"?offset=19999&order_by={order}")
        assert len(found["comments"]) == 2
        found = await call(server, "GET", f"?offset=9999999999999999&order_by={order}")
        assert (found["total"], found["comments"]) == (20_001, [])
    await call(server, "GET", "?offset=99999999999999999", status=400)
    # By key: as many rows are looked at on the last page as on the first.
    last, count = 0, 0
    while True:
        after = f"&after_id={last}" if last else ""
        page = await call(server, "GET", f"?limit=100&order_by=created_at_asc{after}")
        if not page["comments"]:
            break
        count += len(page["comments"])
        last = page["comments"][-1]["id"]
    assert count == 20_001
    plan = await server.services.db.fetch(
        "explain query plan select id from comments where page_id = 1 and listed = 1"
        " and (created_at, id) > (5, 6) order by created_at, id limit 20",
        {},
    )
    detail = " ".join(row["detail"] for row in plan)
    assert "comments_by_time (page_id=? AND created_at>?)" in detail
    assert "TEMP B-TREE" not in detail


async def test_pages_by_time_miss_nothing_while_likes_arrive(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    made = [(await say(server, ann, f"comment {n}"))["id"] for n in range(60)]
    stop = asyncio.Event()

    async def like() -> None:
        number = 0
        while not stop.is_set():
            path = f"/{made[(number * 7) % 60]}/{'fav' if number % 3 else 'unfav'}"
            await call(server, "PUT", path, token=ben)
            number += 1

    liking = asyncio.create_task(like())
    for order in ("created_at", "created_at_asc"):
        seen: list[int] = []
        while len(seen) < 60:
            after = f"&after_id={seen[-1]}" if seen else ""
            page = await call(server, "GET", f"?limit=7&order_by={order}{after}", token=ben)
            seen += [one["id"] for one in page["comments"]]
        assert seen == (made if order == "created_at_asc" else made[::-1])
    stop.set()
    await liking
    # In the order of likes each single page is in order, whatever arrives.
    page = await call(server, "GET", "?limit=60&order_by=favor_count")
    keys = [(-one["favor_count"], -one["id"]) for one in page["comments"]]
    assert keys == sorted(keys)


async def test_a_site_that_does_not_exist(server: Server) -> None:
    ann = await server.guest("Ann")
    for page in ("site_id=2&slug=/a", "site_id=99999&slug=/a"):
        for method, body in (("GET", None), ("POST", {"content": "x"})):
            answer = await call(server, method, "", body, token=ann, page=page, status=404)
            assert answer["error"] == "site_not_found"
    counted = {"site_id": 2, "slugs": ["/a"]}
    assert (await server.call("POST", "/api/counts", counted))[0] == 404


async def test_likes_changes_and_previews_have_a_pace(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.001, messages_burst=4)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann, ben = await server.guest("Ann"), await server.guest("Ben")
        comment = await say(server, ann)
        message = await server.post(ann)
        path = f"/{comment['id']}"
        # Making HTML of a text is as dear as writing it: two were written.
        body = {"content": "*x*"}
        assert (await server.call("POST", "/api/preview", body, token=ann))[0] == 200
        await call(server, "PATCH", path, {"content": "more"}, token=ann)
        # All else is counted apart, five times as many: a new comment, an edit.
        for number in range(17):
            await call(server, "PUT", f"{path}/{'fav' if number % 2 else 'unfav'}", token=ann)
        deletion = f"/ws/messages/{message['message_id']}?site_id=1&slug=/a"
        assert (await server.call("DELETE", deletion, token=ann))[0] == 200
        for method, url, said in (
            ("PUT", f"/api/comments{path}/fav?{PAGE}", None),
            ("PATCH", f"/api/comments{path}?{PAGE}", {"content": "again"}),
            ("DELETE", f"/api/comments{path}?{PAGE}", None),
            ("POST", "/api/preview", body),
            ("DELETE", deletion, None),
        ):
            status, answer, headers = await server.call(method, url, said, token=ann)
            assert (status, answer["error"]) == (429, "rate_limited")
            assert int(headers["Retry-After"]) >= 1
        await call(server, "PUT", f"{path}/fav", token=ben)


async def test_previews_of_nobody_have_the_pace_of_their_address(tmp_path: Path) -> None:
    limits = LimitsConfig(address_messages_per_second=0.001, address_messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        body = {"content": "*x*"}
        found = [(await server.call("POST", "/api/preview", body))[0] for _ in range(4)]
        assert found == [200] * 2 + [429] * 2


async def test_who_may_not_write_costs_no_making_of_html(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = LimitsConfig(messages_per_second=0.001, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann, ben = await server.guest("Ann"), await server.guest("Ben")
        made = await say(server, ann, "first *text*")
        calls: list[str] = []
        to_html = markdown.to_html

        def counted(text: str, **options: bool) -> str:
            calls.append(text)
            return to_html(text, **options)

        monkeypatch.setattr(markdown, "to_html", counted)
        # The same again is answered, by its text alone.
        assert await say(server, ann, "first *text*") == made
        path = f"/api/comments?{PAGE}"
        assert (await server.call("POST", path, {"content": "*more*"}, token=ann))[0] == 429
        body = {"id": 2, "hours": 1}
        await VERBS["user-ban"](server.services, body)
        assert (await server.call("POST", path, {"content": "*more*"}, token=ben))[0] == 403
        assert calls == []


async def test_a_closed_page_says_so_also_to_who_is_too_fast(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.001, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann = await server.guest("Ann")
        comment = await say(server, ann)
        await VERBS["room-close"](server.services, {"site": 1, "slug": "/posts/1"})
        for path in ("", f"/{comment['id']}/replies"):
            answer = await call(server, "POST", path, {"content": "x"}, token=ann, status=403)
            assert answer["error"] == "room_closed"


async def test_the_same_again_is_not_answered_without_end(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.001, messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann = await server.guest("Ann")
        path = f"/api/comments?{PAGE}"
        found = [
            (await server.call("POST", path, {"content": "x"}, token=ann))[0] for _ in range(14)
        ]
        assert found == [200] * 10 + [429] * 4


async def test_a_double_click_on_an_answer_is_one_answer(server: Server) -> None:
    ann = await server.guest("Ann")
    first, second = await say(server, ann, "1"), await say(server, ann, "2")
    made = [
        await reply(server, ann, comment, "thanks") for comment in (first, second, second, first)
    ]
    assert [one["id"] for one in made] == [1, 2, 2, 1]


async def test_ones_own_like_is_in_every_answer(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann, "1")
    path = f"/{comment['id']}"
    liked = await call(server, "PUT", f"{path}/fav", token=ann)
    assert (await say(server, ann, "1"))["fav_id"] == liked["fav_id"] > 0
    changed = await call(server, "PATCH", path, {"content": "2"}, token=ann)
    assert changed["fav_id"] == liked["fav_id"]


async def test_a_recount_is_seen_at_once(server: Server) -> None:
    ann = await server.guest("Ann")
    await say(server, ann)

    def spoil(tx: Transaction) -> None:
        tx.execute("update pages set comment_total = 7, published_count = 7", {})
        tx.execute("update comments set favor_count = 7", {})

    await server.services.db.write(spoil)
    server.services.comments.threads.clear()
    assert (await call(server, "GET", ""))["total"] == 7
    assert await server.services.comments.recount() == (1, 1)
    found = await call(server, "GET", "")
    assert (found["total"], found["comments"][0]["favor_count"]) == (1, 0)


async def test_replies_go_on_behind_an_id(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    made = [(await reply(server, ann, comment, f"reply {n}"))["id"] for n in range(7)]
    path = f"/{comment['id']}/replies"
    for order, wanted in (("created_at", made[::-1]), ("created_at_asc", made)):
        seen: list[int] = []
        while True:
            after = f"&after_id={seen[-1]}" if seen else ""
            found = await call(server, "GET", f"{path}?limit=3&order_by={order}{after}")
            if not found["replies"]:
                break
            seen += [one["id"] for one in found["replies"]]
        assert seen == wanted
    for query in ("order_by=favor_count", "order_by=x"):
        answer = await call(server, "GET", f"{path}?{query}", status=400)
        assert answer["error"] == "invalid_order_by"


async def test_old_pages_send_old_tokens_and_orders(tmp_path: Path) -> None:
    config = config_in(tmp_path, compat=CompatConfig(legacy_clients=True))
    async with running(config) as server:
        comment = await say(server, await server.guest("Ann"))
        for path in ("", f"/{comment['id']}", f"/{comment['id']}/replies", "?order_by=hot"):
            await call(server, "GET", path, token="of.another.service")
        await call(server, "POST", "", {"content": "x"}, token="of.another.service", status=401)


async def test_chat_and_comments_of_one_page_do_not_disturb_each_other(server: Server) -> None:
    ann = await server.guest("Ann")
    made = await asyncio.gather(
        *(say(server, ann, f"comment {n}") for n in range(30)),
        *(
            server.call("POST", f"/ws/messages?{PAGE}", draft(f"message {n}"), token=ann)
            for n in range(30)
        ),
    )
    assert len(made) == 60
    assert len((await server.latest(ann, room=PAGE))["data"]) == 30
    assert (await call(server, "GET", ""))["total"] == 30
    assert await server.services.comments.recount() == (0, 0)
