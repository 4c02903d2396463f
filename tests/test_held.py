"""Comments and replies that wait for approval."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.config import SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.models import UserKind

from .harness import JSON, Server, config_in, running
from .test_comments import PAGE, call, listed, reply, say
from .test_events import frame, reader

ORDERS = ("favor_count", "created_at", "created_at_asc", "reply_count")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


async def hold(server: Server, whose: str = "guests") -> None:
    """Let comments wait from now on."""
    await VERBS["site-set"](server.services, {"id": 1, "hold_comments": whose})


async def moderator(server: Server, name: str = "Mo") -> str:
    """The token of a moderator of site 1."""
    token = await server.guest(name)
    caller = await server.services.tokens.identify(token)

    def job(tx: Any) -> None:
        tx.execute(
            "insert into roles (site_id, user_id, role, created_at) values (1, :id, :role, 0)",
            {"id": caller.user.id, "role": UserKind.MODERATOR},
        )

    await server.services.db.write(job)
    await server.services.people.start()
    return token


async def counts(server: Server) -> int:
    """What is published on the page."""
    body = {"site_id": 1, "slugs": ["/posts/1"]}
    _, answer, _ = await server.call("POST", "/api/counts", body)
    return int(answer["data"]["/posts/1"])


async def test_a_held_comment_is_for_its_author_and_moderators(server: Server) -> None:
    ann, ben, mo = await server.guest("Ann"), await server.guest("Ben"), await moderator(server)
    shown = await say(server, ben, "shown")
    await hold(server)
    held = await say(server, ann, "held")
    assert (held["status"], held["content"]) == ("pending", "held")
    for token, wanted in (
        (None, [shown]),
        (ben, [shown]),
        (ann, [held, shown]),
        (mo, [held, shown]),
    ):
        for _ in range(2):  # the second comes from memory where it may
            found = await call(server, "GET", "?order_by=created_at", token=token)
            assert (found["total"], found["comments"]) == (len(wanted), wanted)
        status = 200 if held in wanted else 404
        await call(server, "GET", f"/{held['id']}", token=token, status=status)
    assert await counts(server) == 1
    # Others do not learn that it is there, and nobody answers or likes it.
    for token in (ann, ben):
        await call(server, "PUT", f"/{held['id']}/fav", token=token, status=404)
        body = {"content": "no"}
        await call(server, "POST", f"/{held['id']}/replies", body, token=token, status=404)
    await call(server, "PATCH", f"/{held['id']}", {"content": "x"}, token=ben, status=404)
    await call(server, "DELETE", f"/{held['id']}", token=ben, status=404)


async def test_approving_publishes_and_counts(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    await hold(server)
    held = await say(server, ann, "held")
    path = f"/{held['id']}/approve"
    for token in (ann, await server.guest("Ben")):
        await call(server, "PUT", path, token=token, status=403)
    for _ in range(2):
        published = await call(server, "PUT", path, token=mo)
        assert published == held | {"status": "published"}
    assert await listed(server) == [published]
    assert await counts(server) == 1
    assert await server.services.comments.recount() == (0, 0)
    await call(server, "DELETE", f"/{held['id']}", token=ann)
    await call(server, "PUT", path, token=mo, status=409)


async def test_held_replies(server: Server) -> None:
    ann, ben, mo = await server.guest("Ann"), await server.guest("Ben"), await moderator(server)
    comment = await say(server, ann, "shown")
    first = await reply(server, mo, comment, "first")
    await hold(server)
    held = await reply(server, ben, comment, "held")
    assert held["status"] == "pending"
    path = f"/{comment['id']}/replies"
    for token, wanted in (
        (None, [first]),
        (ann, [first]),
        (ben, [first, held]),
        (mo, [first, held]),
    ):
        found = await call(server, "GET", f"{path}?order_by=created_at_asc", token=token)
        assert found == {"total": len(wanted), "replies": wanted}
        found = await call(server, "GET", f"{path}?limit=1", token=token)
        assert found["replies"] == wanted[-1:]
    assert (await listed(server))[0]["reply_count"] == 1
    # Nobody answers to what they cannot see.
    body = {"content": "no", "reply_to": held["id"]}
    await call(server, "POST", path, body, token=ann, status=400)
    at = f"{path}/{held['id']}"
    await call(server, "DELETE", at, token=ann, status=404)
    await call(server, "PUT", f"{at}/approve", token=ben, status=403)
    assert (await call(server, "PUT", f"{at}/approve", token=mo))["status"] == "published"
    assert (await listed(server))[0]["reply_count"] == 2
    assert await counts(server) == 3
    assert await server.services.comments.recount() == (0, 0)


async def test_a_held_comment_can_be_changed_and_taken_back(server: Server) -> None:
    ann = await server.guest("Ann")
    await hold(server)
    held = await say(server, ann, "held")
    again = await say(server, ann, "held")
    assert again == held
    path = f"/{held['id']}"
    changed = await call(server, "PATCH", path, {"content": "better"}, token=ann)
    assert (changed["status"], changed["content"], changed["edited"]) == ("pending", "better", True)
    await call(server, "DELETE", path, token=ann)
    assert (await call(server, "GET", "", token=ann))["total"] == 0
    assert await counts(server) == 0
    assert await server.services.comments.recount() == (0, 0)


async def test_what_was_approved_is_not_changed_by_who_wrote_it(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    await hold(server)
    held = await say(server, ann, "fine")
    path = f"/{held['id']}"
    await call(server, "PUT", f"{path}/approve", token=mo)
    answer = await call(server, "PATCH", path, {"content": "BUY"}, token=ann, status=403)
    assert "approved" in answer["msg"]
    await call(server, "PATCH", path, {"content": "fine"}, token=ann)
    await call(server, "PATCH", path, {"content": "better"}, token=mo)
    reply_held = await reply(server, ann, held, "fine too")
    at = f"{path}/replies/{reply_held['id']}"
    await call(server, "PUT", f"{at}/approve", token=mo)
    await call(server, "PATCH", at, {"content": "BUY"}, token=ann, status=403)
    # Taking it back is no harm.
    await call(server, "DELETE", at, token=ann)


async def test_a_held_comment_says_nothing_of_its_page(server: Server) -> None:
    ann = await server.guest("Ann")
    await hold(server)
    body = {"content": "x", "page": {"title": "BUY PILLS"}}
    await call(server, "POST", "", body, token=ann)
    _, answer, _ = await server.call("GET", f"/api/pages?{PAGE}")
    assert answer["data"]["title"] == ""


async def test_ids_of_held_ones_cannot_be_found_out_by_paging(server: Server) -> None:
    ann = await server.guest("Ann")
    shown = [await say(server, ann, f"comment {n}") for n in range(3)]
    await hold(server)
    held = await say(server, ann, "held")
    for order in ("created_at", "created_at_asc"):
        for token, wanted in ((None, 0), (ann, 3 if order == "created_at" else 0)):
            found = await call(
                server, "GET", f"?order_by={order}&after_id={held['id']}", token=token
            )
            assert len(found["comments"]) == wanted
    assert len(await listed(server)) == len(shown)


async def test_whose_comments_wait(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    assert (await say(server, ann, "1"))["status"] == "published"
    for whose in ("guests", "everybody"):
        await hold(server, whose)
        assert (await say(server, ann, whose))["status"] == "pending"
        assert (await say(server, mo, whose))["status"] == "published"
    await hold(server, "nobody")
    assert (await say(server, ann, "2"))["status"] == "published"


@pytest.mark.parametrize("order", ORDERS)
async def test_held_ones_stand_in_their_place_on_every_page(order: str, server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    made = []
    for number in range(24):
        await hold(server, "guests" if number in (0, 3, 4, 11, 12, 23) else "nobody")
        made.append(await say(server, ann, f"number {number}"))
    await hold(server, "nobody")
    for number in (1, 5, 9):
        await call(server, "PUT", f"/{made[number]['id']}/fav", token=ben)
        await reply(server, ben, made[number], f"to {number}")
    whole = await call(server, "GET", f"?limit=100&order_by={order}", token=ann)
    assert whole["total"] == 24
    numbers = [comment["id"] for comment in whole["comments"]]
    assert sorted(numbers) == [comment["id"] for comment in made]
    keys = {
        "favor_count": lambda c: (-c["favor_count"], -c["id"]),
        "created_at": lambda c: -c["id"],
        "created_at_asc": lambda c: c["id"],
        "reply_count": lambda c: (-c["reply_count"], -c["id"]),
    }
    assert whole["comments"] == sorted(whole["comments"], key=keys[order])
    for size in (1, 5, 7):
        pages: list[JSON] = []
        for offset in range(0, 24, size):
            query = f"?limit={size}&offset={offset}&order_by={order}"
            pages += (await call(server, "GET", query, token=ann))["comments"]
        assert [comment["id"] for comment in pages] == numbers
    if order.startswith("created_at"):
        for size in (1, 5):
            last, found = None, []
            while True:
                query = f"?limit={size}&order_by={order}" + (f"&after_id={last}" if last else "")
                page = (await call(server, "GET", query, token=ann))["comments"]
                if not page:
                    break
                found += [comment["id"] for comment in page]
                last = found[-1]
            assert found == numbers


async def test_events_of_held_ones_are_for_few(server: Server) -> None:
    ann, ben, mo = await server.guest("Ann"), await server.guest("Ben"), await moderator(server)
    await hold(server)
    async with (
        reader(server, ann, room=PAGE) as (author, _),
        reader(server, mo, room=PAGE) as (staff, _),
        reader(server, ben, room=PAGE) as (other, _),
        reader(server, None, room=PAGE) as (visitor, _),
    ):
        held = await say(server, ann, "held")
        changed = await call(server, "PATCH", f"/{held['id']}", {"content": "more"}, token=ann)
        published = await call(server, "PUT", f"/{held['id']}/approve", token=mo)
        for client in (author, staff):
            assert await frame(client) == {"type": "comment_created", "comment": held}
            assert await frame(client) == {"type": "comment_updated", "comment": changed}
        for client in (author, staff, other, visitor):
            created = {"type": "comment_created", "revision": 1, "comment": published}
            assert await frame(client) == created


async def test_the_owner_decides_from_the_command_line(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    first = await say(server, mo, "first")
    await hold(server)
    held, answer = await say(server, ann, "held"), await reply(server, ann, first, "answer")
    verbs, services = VERBS, server.services
    page = {"site": 1, "slug": "/posts/1"}
    found = await verbs["comment-held"](services, {"site": 1})
    assert [(row["id"], row["reply"], row["content"], row["full_name"]) for row in found] == [
        (held["id"], None, "held", "Ann"),
        (first["id"], answer["id"], "answer", "Ann"),
    ]
    await verbs["comment-approve"](services, page | {"id": held["id"]})
    await verbs["comment-delete"](services, page | {"id": first["id"], "reply": answer["id"]})
    assert await verbs["comment-held"](services, {"site": 1}) == []
    assert await counts(server) == 2


async def test_a_site_of_the_settings_says_whose_wait(tmp_path: Path) -> None:
    site = SiteConfig(id=1, hold_comments="everybody", images=True)
    async with running(config_in(tmp_path, sites=(site,))) as server:
        held = await say(server, await server.guest("Ann"), "![a](https://example.com/a.png)")
        assert held["status"] == "pending"
        assert '<img src="https://example.com/a.png"' in held["content_html"]
