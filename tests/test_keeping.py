"""Talk that is kept: a stretch of a chat becomes a comment and replies, by who said it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite import keeping
from talkee_lite.app import open_services
from talkee_lite.comment_lists import BY_TIME, parse_window
from talkee_lite.comments import EDIT_WITHIN
from talkee_lite.config import AuthConfig, LimitsConfig
from talkee_lite.control import VERBS
from talkee_lite.errors import Forbidden
from talkee_lite.models import Caller, RoomKey, Viewer
from talkee_lite.protocol import message_draft
from talkee_lite.store.migrations import MIGRATIONS, migrate
from talkee_lite.store.writer import connect_writer

from .harness import JSON, Server, config_in, draft, running
from .reading import get
from .receiver import receiving
from .test_comments import PAGE, call, listed, reply, say
from .test_events import frame, reader
from .test_feeds import ids, read
from .test_held import counts, hold, moderator
from .test_merging import come, me
from .test_password import member
from .test_personal import leave
from .test_replies_of import replies_of
from .test_webhooks import config_for, quick  # noqa: F401 - a fixture

ROOM = PAGE
"""The chat of the page itself."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on which guests may register."""
    async with running(config_in(tmp_path, auth=AuthConfig(password=True))) as server:
        yield server


async def talk(server: Server, *said: tuple[str, str], room: str = ROOM) -> list[JSON]:
    """People, by their tokens, say something; the messages."""
    return [await server.post(token, text, room=room) for token, text in said]


def stretch(messages: list[JSON], **more: Any) -> JSON:
    """The body that keeps these messages."""
    return {"from": messages[0]["message_id"], "to": messages[-1]["message_id"]} | more


async def keep(
    server: Server, token: str, body: JSON, *, page: str = PAGE, status: int = 200
) -> JSON:
    """Keep talk; the comment, for an error all of the answer."""
    return dict(await call(server, "POST", "/keep", body, token=token, page=page, status=status))


async def below(server: Server, comment: JSON, **more: Any) -> list[JSON]:
    """The replies to a comment, oldest first."""
    found = await replies_of(server, str(comment["id"]), **more)
    one = found[str(comment["id"])]
    assert one["total"] == len(one["replies"])
    return list(one["replies"])


async def test_talk_becomes_a_thread_of_its_speakers(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "When is it?"), (ben, "*At* 8\nor 9"), (ann, "Thanks!"))
    await talk(server, (ben, "By the way"))
    comment = await keep(server, ben, stretch(said))
    assert (comment["content"], comment["creator"]) == ("When is it?", said[0]["user"])
    assert (comment["said_at"], comment["reply_count"]) == (said[0]["created_at"], 2)
    assert comment["kept_by"] == {"id": said[1]["user"]["id"], "full_name": "Ben"}
    assert (comment["status"], comment["edited"], comment["fav_id"]) == ("published", False, 0)
    assert comment["created_at"] > said[-1]["created_at"]
    first, second = await below(server, comment)
    assert first["content_html"] == "<p>*At* 8<br>\nor 9</p>"
    assert (first["creator"], first["said_at"]) == (said[1]["user"], said[1]["created_at"])
    assert (second["content"], second["creator"]) == ("Thanks!", said[2]["user"])
    assert {first["created_at"], second["created_at"]} == {comment["created_at"]}
    assert await call(server, "GET", f"/{comment['id']}") == comment
    assert await listed(server) == [comment]
    assert await counts(server) == 3
    assert await server.services.comments.recount() == (0, 0)
    # The chat stays as it is.
    assert len((await server.latest(ann, room=ROOM))["data"]) == 4


async def test_what_was_written_as_ever_was_not_kept(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await say(server, ann)
    answer = await reply(server, ann, comment)
    assert (comment["said_at"], comment["kept_by"], answer["said_at"]) == (None, None, None)


async def test_ends_come_in_either_order_and_one_message_is_enough(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, *((ann, text) for text in "abcd"))
    comment = await keep(server, ann, stretch([said[2], said[1]]))
    assert [comment["content"], *(r["content"] for r in await below(server, comment))] == ["b", "c"]
    alone = await keep(server, ann, stretch([said[3]]))
    assert (alone["content"], alone["reply_count"]) == ("d", 0)


async def test_the_room_may_be_another_of_the_site(server: Server) -> None:
    ann = await server.guest("Ann")
    lobby = "site_id=1&slug=/lobby"
    said = await talk(server, (ann, "a"), (ann, "b"), room=lobby)
    await keep(server, ann, stretch(said), status=404)
    comment = await keep(server, ann, stretch(said, room="/lobby"))
    assert (comment["slug"], comment["reply_count"]) == ("/posts/1", 1)
    answer = await keep(server, ann, stretch(said, room=""), status=400)
    assert (answer["error"], answer["field"]) == ("invalid_slug", "room")
    answer = await keep(server, ann, stretch(said, room=1), status=400)
    assert (answer["error"], answer["field"]) == ("invalid_body", "room")


async def test_what_is_gone_from_the_chat_is_not_kept(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, *((ann, text) for text in "abcd"))
    for one in (said[0], said[2]):
        path = f"/api/messages/{one['message_id']}?{ROOM}"
        assert (await server.call("DELETE", path, token=ann))[0] == 200
    comment = await keep(server, ann, stretch(said))
    assert [comment["content"], *(r["content"] for r in await below(server, comment))] == ["b", "d"]
    answer = await keep(server, await moderator(server), stretch([said[0]]), status=400)
    assert answer["error"] == "invalid_stretch"


async def test_what_cannot_be_seen_is_not_kept(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, (ann, "\x01"), (ann, "a"), (ann, "\u200b"), (ann, "b"))
    comment = await keep(server, ann, stretch(said))
    assert [comment["content"], *(r["content"] for r in await below(server, comment))] == ["a", "b"]


async def test_a_hundred_messages_can_be_kept_at_once_and_not_one_more(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, *((ann, f"message {number}") for number in range(101)))
    answer = await keep(server, ann, stretch(said), status=400)
    assert (answer["error"], answer["field"]) == ("invalid_stretch", "to")
    assert answer["msg"] == "At most 100 messages can be kept at once."
    comment = await keep(server, ann, stretch(said[:-1]))
    assert comment["reply_count"] == 99
    assert [one["content"] for one in await below(server, comment)] == [
        f"message {number}" for number in range(1, 100)
    ]


async def test_a_message_of_any_length_is_kept_whole(server: Server) -> None:
    ann = await server.guest("Ann")
    texts = ["*" * 4096, "日" * 1365, "a.co " * 819 + "x", "<" * 4096]
    comment = await keep(server, ann, stretch(await talk(server, *((ann, t) for t in texts))))
    assert comment["content_html"] == f"<p>{texts[0]}</p>"
    kept = await below(server, comment)
    assert [one["content"] for one in kept] == texts[1:]
    assert kept[1]["content_html"].count("<a ") == 819
    # A thread is shown, and its HTML made anew, as any other.
    assert (await get(server, "/t/1?slug=/posts/1")).status == 200
    await VERBS["site-set"](server.services, {"id": 1, "images": True})
    assert await below(server, comment) == kept


@pytest.mark.parametrize("name", ["from", "to"])
async def test_an_id_must_be_of_a_message_in_the_room(server: Server, name: str) -> None:
    ann = await server.guest("Ann")
    body = stretch(await talk(server, (ann, "a"), (ann, "b")))
    answer = await keep(server, ann, body | {name: str(uuid.uuid4())}, status=404)
    assert answer["error"] == "message_not_found"
    answer = await keep(server, ann, body | {name: "x"}, status=400)
    assert (answer["error"], answer["field"]) == ("invalid_message_id", name)
    answer = await keep(server, ann, body | {name: 1}, status=400)
    assert (answer["error"], answer["field"]) == ("invalid_body", name)
    # As for posting, case makes no difference.
    assert (await keep(server, ann, body | {name: body[name].upper()}))["reply_count"] == 1


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_its_address_is_no_comments(server: Server, method: str, slash: str) -> None:
    status, answer, headers = await server.call(method, f"/api/comments/keep{slash}?{PAGE}")
    assert (status, answer["error"]) == (405, "method_not_allowed")
    assert {"POST"} <= {one.strip() for one in headers["Allow"].split(",")} <= {"POST", "OPTIONS"}
    status, answer, _ = await server.call("GET", f"/api/comments/keeper{slash}?{PAGE}")
    assert (status, answer["error"]) == (404, "comment_not_found")


# Who may.


async def test_it_is_for_moderators_and_for_those_who_spoke_there(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "a"), (ann, "b"), (ben, "c"))
    assert (await keep(server, ben, stretch(said[:2]), status=403))["error"] == "forbidden"
    assert (await server.call("POST", f"/api/comments/keep?{PAGE}", stretch(said)))[0] == 401
    assert (await keep(server, ben, stretch(said)))["kept_by"]["full_name"] == "Ben"
    mo = await moderator(server)
    other = "site_id=1&slug=/other"
    comment = await keep(server, mo, stretch(said[:2], room="/posts/1"), page=other)
    assert comment["kept_by"]["full_name"] == "Mo"


async def test_where_comments_are_held_moderators_alone_keep(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    said = await talk(server, (ann, "a"), (ann, "b"))
    await hold(server)
    assert (await keep(server, ann, stretch(said), status=403))["error"] == "forbidden"
    comment = await keep(server, mo, stretch(said))
    assert (comment["status"], await counts(server)) == ("published", 2)


async def test_the_banned_do_not_keep_and_closed_pages_take_nothing(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, (ann, "a"))
    await VERBS["room-close"](server.services, {"site": 1, "slug": "/posts/1"})
    assert (await keep(server, ann, stretch(said), status=403))["error"] == "room_closed"
    await VERBS["room-open"](server.services, {"site": 1, "slug": "/posts/1"})
    user = said[0]["user"]["id"]
    await VERBS["user-ban"](server.services, {"id": user, "hours": 0, "reason": ""})
    assert (await keep(server, ann, stretch(said), status=403))["error"] == "banned"
    assert await counts(server) == 0


async def test_a_thread_counts_as_one_comment_for_the_pace(tmp_path: Path) -> None:
    limits = LimitsConfig(messages_per_second=0.001, messages_burst=8)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann = await server.guest("Ann")
        said = await talk(server, *((ann, f"{number}") for number in range(6)))
        body = stretch(said)
        await keep(server, ann, body | {"to": str(uuid.uuid4())}, status=404)
        comment = await keep(server, ann, body)
        assert comment["reply_count"] == 5
        await say(server, ann, "one more")
        other = "site_id=1&slug=/other"
        answer = await keep(server, ann, body | {"room": "/posts/1"}, page=other, status=429)
        assert answer["error"] == "rate_limited"
        # What is there already is answered all the same.
        assert await keep(server, ann, body) == comment


# Once.


async def test_keeping_again_answers_the_thread_that_is_there(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, *((token, f"{token[-3:]}") for token in (ann, ben, ann, ben)))
    comment = await keep(server, ann, stretch(said[:3]))
    liked = await call(server, "PUT", f"/{comment['id']}/fav", token=ben)
    for body in (stretch(said[:3]), stretch(said[:2])):
        path = f"/api/comments/keep?{PAGE}"
        status, answer, headers = await server.call("POST", path, body, token=ben)
        assert (status, headers["Idempotent-Replayed"]) == (200, "true")
        assert answer["data"] == liked
    # More than is there would not be kept by that.
    for messages in (said, said[1:], said[2:]):
        answer = await keep(server, ben, stretch(messages), status=409)
        assert answer["error"] == "already_kept"
    assert await counts(server) == 3
    # Another page is another matter.
    other = "site_id=1&slug=/other"
    await keep(server, ben, stretch(said[1:], room="/posts/1"), page=other)


async def test_two_at_once_make_one_thread(server: Server) -> None:
    people = [await server.guest(f"Guest {number}") for number in range(5)]
    said = await talk(server, *((token, "hello") for token in people))
    found = await asyncio.gather(
        *(keep(server, token, stretch(said)) for token in people for _ in range(4))
    )
    assert {comment["id"] for comment in found} == {found[0]["id"]}
    assert await counts(server) == 5
    assert await server.services.comments.recount() == (0, 0)


async def test_overlapping_stretches_at_once_keep_nothing_twice(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, *((ann, f"{number}") for number in range(12)))
    path = f"/api/comments/keep?{PAGE}"
    found = await asyncio.gather(
        *(
            server.call("POST", path, stretch(said[start : start + 4]), token=ann)
            for start in range(9)
        )
    )
    assert {status for status, _, _ in found} == {200, 409}
    kept = [one["content"] for one in await listed(server, "order_by=created_at_asc")]
    for comment in await listed(server):
        kept += [one["content"] for one in await below(server, comment)]
    assert len(kept) == len(set(kept)) == await counts(server)


async def test_what_a_moderator_deleted_can_be_kept_again(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    said = await talk(server, (ann, "a"), (ann, "b"))
    comment = await keep(server, ann, stretch(said))
    (answer,) = await below(server, comment)
    await call(server, "DELETE", f"/{comment['id']}/replies/{answer['id']}", token=mo)
    assert (await keep(server, ann, stretch(said), status=409))["error"] == "already_kept"
    await call(server, "DELETE", f"/{comment['id']}", token=mo)
    again = await keep(server, ann, stretch(said))
    assert again["id"] != comment["id"]
    assert [one["content"] for one in await below(server, again)] == ["b"]


async def test_a_moderator_takes_a_kept_thread_away_at_once(server: Server) -> None:
    ann, mo = await server.guest("Ann"), await moderator(server)
    said = await talk(server, (ann, "a"), (ann, "b"), (ann, "c"))
    comment = await keep(server, ann, stretch(said))
    await reply(server, ann, comment, "Said below it")
    await call(server, "DELETE", f"/{comment['id']}", token=mo)
    # What was written there as ever stays, below a comment without its text.
    assert [one["content"] for one in await below(server, comment)] == ["Said below it"]
    assert (await listed(server))[0]["status"] == "deleted"
    # Their own words alone are what else somebody takes back.
    mine = await talk(server, (mo, "mine"), (ann, "hers"))
    other = await keep(server, mo, stretch(mine))
    await call(server, "DELETE", f"/{other['id']}", token=mo)
    assert [one["content"] for one in await below(server, other)] == ["hers"]


async def test_what_becomes_too_much_is_not_kept(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, *[(ann, "a.co " * 800)] * 30)
    refused = await keep(server, ann, stretch(said), status=400)
    assert (refused["error"], refused["msg"]) == (
        "invalid_stretch",
        "That is too much to be kept at once.",
    )
    assert await counts(server) == 0
    await keep(server, ann, stretch(said[:10]))


async def test_who_is_banned_while_it_is_made_keeps_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, (ann, "a"))
    user, made = said[0]["user"]["id"], keeping._made
    loop = asyncio.get_running_loop()

    async def ban() -> None:
        await VERBS["user-ban"](server.services, {"id": user, "hours": 0, "reason": ""})

    def ban_first(*given: Any, **more: Any) -> Any:
        asyncio.run_coroutine_threadsafe(ban(), loop).result()
        return made(*given, **more)

    monkeypatch.setattr(keeping, "_made", ban_first)
    assert (await keep(server, ann, stretch(said), status=403))["error"] == "banned"
    assert await counts(server) == 0


async def test_of_many_at_once_some_come_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_MOST_WAITING", 4)
    ann = await server.guest("Ann")
    said = await talk(server, *[(ann, f"a.co {n} " * 300) for n in range(12)])
    answers = await asyncio.gather(
        *(
            server.call("POST", f"/api/comments/keep?{ROOM}", stretch([one]), token=ann)
            for one in said
        )
    )
    statuses = sorted(status for status, _, _ in answers)
    assert set(statuses) == {200, 503}
    assert await counts(server) == statuses.count(200)


async def test_who_took_their_words_back_is_not_kept_again(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "a"), (ben, "b"))
    comment = await keep(server, ben, stretch(said))
    (answer,) = await below(server, comment)
    await call(server, "DELETE", f"/{comment['id']}", token=ann)
    await call(
        server, "DELETE", f"/{comment['id']}/replies/{answer['id']}", token=await moderator(server)
    )
    again = await keep(server, ben, stretch(said))
    assert (again["content"], again["reply_count"]) == ("b", 0)
    other = "site_id=1&slug=/other"
    answer = await keep(server, ann, stretch(said[:1], room="/posts/1"), page=other, status=400)
    assert answer["error"] == "invalid_stretch"


# Afterwards.


async def test_speakers_delete_their_words_at_any_time_and_edit_them_for_a_while(
    tmp_path: Path,
) -> None:
    now = 1_800_000_000_000_000
    async with open_services(config_in(tmp_path), clock=lambda: now) as services:
        ann = Caller(*await services.sign_ins.guest("Ann"))
        room = RoomKey(1, "/posts/1")
        messages = [message_draft(draft(f"message {number}"), 4096) for number in range(3)]
        for one in messages:
            await services.chat.post(ann, room, one, "x")
        ends = messages[0].message_id, messages[-1].message_id
        comment, _ = await services.keeping.keep(ann, room, room, ends, "x")
        own, _ = await services.comments.post(ann, room, "as ever", "x")
        window = parse_window({}, BY_TIME)
        _, replies = await services.comments.replies(room, comment.id, window, Viewer())
        edited = await services.comments.edit(ann, room, comment.id, "other words", "x")
        assert (edited.content, edited.said_at) == ("other words", comment.said_at)
        now += EDIT_WITHIN + 1
        with pytest.raises(Forbidden):
            await services.comments.edit(ann, room, comment.id, "too late", "x")
        with pytest.raises(Forbidden):
            await services.comments.delete(ann, room, own.id, "x")
        ben = Caller(*await services.sign_ins.guest("Ben"))
        with pytest.raises(Forbidden):
            await services.comments.delete(ben, room, comment.id, "x")
        with pytest.raises(Forbidden):
            await services.comments.delete_reply(ben, room, comment.id, replies[0].id, "x")
        await services.comments.delete_reply(ann, room, comment.id, replies[0].id, "x")
        await services.comments.delete(ann, room, comment.id, "x")
        counted = await services.comments.counts(1, ["/posts/1"])
        assert counted == {"/posts/1": 2}


async def test_a_deleted_first_message_says_no_more_who_kept_it(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    comment = await keep(server, ben, stretch(await talk(server, (ann, "a"), (ben, "b"))))
    await call(server, "DELETE", f"/{comment['id']}", token=ann)
    (found,) = await listed(server)
    assert (found["status"], found["said_at"], found["kept_by"]) == ("deleted", None, None)


async def test_the_same_words_as_a_comment_are_no_double_click(server: Server) -> None:
    ann = await server.guest("Ann")
    comment = await keep(server, ann, stretch(await talk(server, (ann, "Hello!"))))
    assert (await say(server, ann, "Hello!"))["id"] != comment["id"]


async def test_readers_get_one_event_with_one_revision(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "a"), (ben, "b"), (ann, "c"))
    async with (
        reader(server, ann, room=PAGE) as (client, ready),
        reader(server, None, room=PAGE) as (visitor, _),
    ):
        comment = await keep(server, ben, stretch(said))
        later = await say(server, ann, "later")
        for one in (client, visitor):
            assert await frame(one) == {
                "type": "comment_created",
                "revision": ready["comments_revision"] + 1,
                "comment": comment,
            }
            assert await frame(one) == {
                "type": "comment_created",
                "revision": ready["comments_revision"] + 2,
                "comment": later,
            }


async def test_a_page_that_moved_gets_the_thread_where_it_is(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, (ann, "a"), (ann, "b"))
    await say(server, ann, "there")
    await VERBS["page-move"](server.services, {"site": 1, "slug": "/posts/1", "new": "/new"})
    comment = await keep(server, ann, stretch(said))
    assert (comment["slug"], comment["reply_count"]) == ("/new", 1)
    assert await keep(server, ann, stretch(said, room="/posts/1"), page="site_id=1&slug=/new") == (
        comment
    )


async def test_what_the_page_is_is_learned(server: Server) -> None:
    ann = await server.guest("Ann")
    said = await talk(server, (ann, "a"))
    address = f"{server.url}/posts/1"
    await VERBS["site-set"](server.services, {"id": 1, "origins": [server.url]})
    await keep(server, ann, stretch(said, page={"address": address, "title": "One"}))
    _, answer, _ = await server.call("GET", f"/api/pages?{PAGE}")
    assert (answer["data"]["address"], answer["data"]["title"]) == (address, "One")


async def test_the_owner_is_told_once(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = config_for(tmp_path, receiver.url)
        async with running(config) as server:
            ann = await server.guest("Ann")
            said = await talk(server, (ann, "a"), (ann, "b"), (ann, "c"))
            await receiver.wait(1)  # of the first message
            comment = await keep(server, ann, stretch(said))
            answer = await reply(server, ann, comment, "as ever")
            _, second, third = await receiver.wait(3)
            assert second.event["type"] == "comment.created"
            assert second.event["data"]["comment"] == comment | {"reply_count": 3}
            assert third.event["type"] == "reply.created"
            assert third.event["data"]["reply"] == answer


async def test_a_thread_page_says_when_it_was_said_and_who_kept_it(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("<Ben>")
    await say(server, ann, "as ever")
    said = await talk(server, (ann, "a"), (ben, "b"))
    await keep(server, ben, stretch(said))
    got = await get(server, "/t/1?slug=/posts/1")
    lines = [" ".join(p.text_content().split()) for p in got.tree.xpath("//p[@class='said']")]
    assert len(lines) == 2
    assert lines[0].startswith("Said in the chat on ")
    assert lines[0].endswith(" UTC, kept by <Ben>")
    assert "kept" not in lines[1]
    times = got.tree.xpath("//p[@class='said']/time/@datetime")
    assert times == [f"{one['created_at'][:19]}Z" for one in said]
    feed = await read(server, "/feeds/1/page.atom?slug=/posts/1")
    assert sorted(ids(feed)) == ["comment/1", "comment/2", "reply/1"]


async def test_who_kept_it_goes_by_their_present_name(server: Server) -> None:
    ann = await server.guest("Ann")
    await keep(server, ann, stretch(await talk(server, (ann, "a"))))
    assert (await listed(server))[0]["kept_by"]["full_name"] == "Ann"
    await server.call("PATCH", "/api/me", {"full_name": "Anna"}, token=ann)
    assert (await listed(server))[0]["kept_by"]["full_name"] == "Anna"
    assert "kept by <bdi>Anna</bdi>" in (await get(server, "/t/1?slug=/posts/1")).text


# Whoever leaves, or turns out to be somebody.


async def test_a_guests_words_and_what_they_kept_become_the_members(server: Server) -> None:
    ann = await me(server, await member(server, "ann"))
    guest, ben = await server.guest("Somebody"), await server.guest("Ben")
    said = await talk(server, (ben, "a"), (guest, "b"))
    comment = await keep(server, guest, stretch(said))
    async with reader(server, ben, room=PAGE) as (client, _):
        await come(server, "ann", guest)
        told = [await frame(client, but=("presence", "ping")) for _ in range(2)]
    kept_by = {"id": ann["id"], "full_name": ann["full_name"]}
    assert [event["type"] for event in told] == ["reply_updated", "comment_updated"]
    assert told[1]["comment"] == comment | {"kept_by": kept_by}
    assert await listed(server) == [comment | {"kept_by": kept_by}]
    (answer,) = await below(server, comment)
    assert answer["creator"] == ann
    # Kept once, whoever said it.
    assert (await keep(server, ben, stretch(said)))["id"] == comment["id"]


async def test_who_leaves_with_everything_takes_what_others_kept_of_them(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "of ann"), (ben, "of ben"), (ann, "more of ann"))
    comment = await keep(server, ann, stretch(said))
    await leave(server, ann, "remove")
    (found,) = await listed(server)
    assert (found["status"], found["content"]) == ("deleted", "")
    assert [one["content"] for one in await below(server, comment)] == ["of ben"]
    again = await keep(server, ben, stretch(said), status=409)
    assert again["error"] == "already_kept"
    assert await server.services.comments.recount() == (0, 0)


async def test_who_leaves_their_words_is_kept_as_somebody_who_is_gone(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "of ann"), (ben, "of ben"))
    await leave(server, ann, "keep")
    comment = await keep(server, ben, stretch(said))
    assert (comment["content"], comment["creator"]["full_name"]) == ("of ann", "deleted")
    await leave(server, ben, "keep")
    assert (await listed(server))[0]["kept_by"]["full_name"] == "deleted"


async def test_nothing_is_kept_of_who_is_leaving_just_now(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "of ann"), (ben, "of ben"))
    people = server.services.people
    people.leaves(said[0]["user"]["id"])
    assert (await keep(server, ben, stretch(said), status=503))["error"] == "unavailable"
    people.stays(said[0]["user"]["id"])
    await keep(server, ben, stretch(said))


async def test_an_export_says_what_was_kept(server: Server) -> None:
    ann, ben = await server.guest("Ann"), await server.guest("Ben")
    said = await talk(server, (ann, "a"), (ben, "b"))
    comment = await keep(server, ben, stretch(said))
    _, answer, _ = await server.call("GET", "/api/me/export", token=ann)
    (told,) = answer["data"]["comments"]
    assert (told["said_at"], told["kept_by"]) == (said[0]["created_at"], comment["kept_by"]["id"])
    assert answer["data"]["kept"] == []
    _, answer, _ = await server.call("GET", "/api/me/export", token=ben)
    assert [one["said_at"] for one in answer["data"]["replies"]] == [said[1]["created_at"]]
    assert [(one["id"], one["slug"]) for one in answer["data"]["kept"]] == [
        (comment["id"], "/posts/1")
    ]


async def test_a_moderator_who_kept_something_is_not_forgotten(server: Server) -> None:
    mo, ann = await moderator(server), await server.guest("Ann")
    await keep(server, mo, stretch(await talk(server, (ann, "a"))))
    await server.call("POST", "/api/auth/logout", {"everywhere": True}, token=mo)
    people = server.services.people
    later = server.services.clock() + 400 * 86_400_000_000
    people._clock = lambda: later
    await people.sweep()
    assert (await listed(server))[0]["kept_by"]["full_name"] == "Mo"


def test_an_older_database_holds_comments_that_were_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    with monkeypatch.context() as earlier:
        earlier.setattr("talkee_lite.store.migrations.MIGRATIONS", MIGRATIONS[:5])
        connection = connect_writer(path)
        migrate(connection, path)
        connection.executescript(
            "insert into users (id, mixin_user_id, full_name, name_folded, name_skeleton, is_guest,"
            " created_at, updated_at) values (1, 'a', 'Ann', 'ann', 'ann', 1, 1, 1);"
            "insert into sites (id, name, origins, created_at, updated_at)"
            " values (1, 'Mine', '[]', 1, 1);"
            "insert into pages (id, site_id, slug, created_at) values (1, 1, '/a', 1);"
            "insert into comments (page_id, user_id, content, digest, html, html_version, status,"
            " listed, created_at, updated_at) values (1, 1, 'x', 1, 'x', 1, 'published', 1, 1, 1);"
            "insert into replies (comment_id, user_id, content, digest, html, html_version, status,"
            " created_at, updated_at) values (1, 1, 'x', 1, 'x', 1, 'published', 1, 1);"
        )
        connection.close()
    connection = connect_writer(path)
    migrate(connection, path)
    kept = "select content, said_at, kept_by, message_row from comments"
    assert tuple(connection.execute(kept).fetchone()) == ("x", None, None, None)
    kept = "select content, said_at, message_row from replies"
    assert tuple(connection.execute(kept).fetchone()) == ("x", None, None)
    connection.close()


async def test_a_room_of_long_gaps_is_not_searched_without_end(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkee_lite.store.keeping._MOST_LINES", 5)
    ann = await server.guest("Ann")
    said = await talk(server, *((ann, f"{number}") for number in range(6)))
    answer = await keep(server, ann, stretch(said), status=400)
    assert answer["error"] == "invalid_stretch"
    assert (await keep(server, ann, stretch(said[1:])))["reply_count"] == 4
