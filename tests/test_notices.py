"""What owners are told of: which messages are first ones, and that finding them is bounded work."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkee_lite.api.context import Services
from talkee_lite.app import open_services
from talkee_lite.clock import DAY, SECOND
from talkee_lite.config import Config, SiteConfig, WebhooksConfig
from talkee_lite.models import Caller, Delivery, Hold, MessageDraft, NoticeKind, RoomKey, User
from talkee_lite.notify.dispatch import Pace
from talkee_lite.store import notices as store
from talkee_lite.store.posting import Post, post_messages

from .harness import config_in, encode, until
from .receiver import Receiver, ok, receiving, silence, status

HOUR = 3600 * SECOND
QUICK = Pace(look=0.01, first=0.02, last=0.05, check=0.01)
A, B, ELSEWHERE = RoomKey(1, "/a"), RoomKey(1, "/b"), RoomKey(2, "/a")


class World:
    """A server whose time stands still unless moved, with a webhook on site 1."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self.services = services
        self.clock = clock
        self.seen = store.Seen(0, 0, 0)
        self._callers: dict[str, Caller] = {}

    async def caller(self, name: str) -> Caller:
        """A guest of that name."""
        if name not in self._callers:
            self._callers[name] = Caller(*await self.services.sign_ins.guest(name))
        return self._callers[name]

    async def say(self, name: str, room: RoomKey, text: str = "Hi", *, hold: bool = False) -> str:
        """Somebody posts a message; its id."""
        user: User = (await self.caller(name)).user
        draft = MessageDraft(str(uuid.uuid4()), "text", encode(text))
        await self.services.db.write_one(
            post_messages, Post(room, draft, user.id, self.clock.now, hold)
        )
        return draft.message_id

    async def comment(self, name: str, room: RoomKey, text: str) -> int:
        """Somebody posts a comment; its id."""
        caller = await self.caller(name)
        written, _ = await self.services.comments.post(caller, room, text, "here")
        return written.id

    async def found(self) -> list[tuple[NoticeKind, int]]:
        """What one would be told of that was written since the last call."""
        told: list[tuple[NoticeKind, int]] = []
        more = True
        while more:
            async with self.services.db.snapshot() as snapshot:
                found = await store.look(snapshot, self.seen)
            told += [(one.kind, one.about) for one in found.fresh]
            self.seen, more = found.seen, found.more
        return told

    async def first(self, *words: Any, **options: Any) -> bool:
        """Whether a message that is posted now is told of."""
        await self.say(*words, **options)
        return len(await self.found()) == 1

    async def standing(
        self, when: Callable[[Delivery, int], bool] = lambda *_: True
    ) -> tuple[Delivery, int]:
        """How the webhook stands and how much waits, once both are so."""
        async with asyncio.timeout(10):
            while True:
                found = await self.services.dispatcher.find("webhook", 1)
                assert found is not None
                if when(*found):
                    return found
                await asyncio.sleep(0.01)

    async def pass_time(self, condition: Callable[[], bool]) -> None:
        """Let seconds go by until `condition` holds."""

        def tick() -> bool:
            self.clock.now += SECOND
            return condition()

        await until(tick)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def config_for(folder: Path, url: str) -> Config:
    """Two sites, of which the first has a webhook."""
    sites = (SiteConfig(id=1, webhook_url=url), SiteConfig(id=2))
    return config_in(folder, sites=sites, webhooks=WebhooksConfig(allow_private=True))


@asynccontextmanager
async def a_world(folder: Path, url: str = "http://127.0.0.1:9/") -> AsyncIterator[World]:
    """A server without HTTP; the dispatcher knows its targets, and is not started."""
    clock = Clock()
    async with open_services(config_for(folder, url), clock=clock) as services:
        await services.dispatcher.refresh()
        yield World(services, clock)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A world of which nobody is told."""
    async with a_world(tmp_path) as made:
        yield made


@asynccontextmanager
async def a_telling_world(folder: Path, receiver: Receiver) -> AsyncIterator[World]:
    """A world whose owner is told at once."""
    async with a_world(folder, receiver.url) as world:
        world.services.dispatcher.pace = QUICK
        await world.services.dispatcher.start()
        yield world


# Which messages are told of.


async def test_the_first_message_of_a_person_is_told_of_and_the_others_are_not(
    world: World,
) -> None:
    assert await world.first("Ann", A)
    assert not await world.first("Ann", A)
    assert await world.first("Bob", A)
    assert not await world.first("Ann", A)
    assert not await world.first("Bob", A)


async def test_a_message_in_a_room_that_was_quiet_for_an_hour_is_told_of(world: World) -> None:
    assert await world.first("Ann", A)
    world.clock.now += HOUR - SECOND
    assert not await world.first("Ann", A)
    world.clock.now += HOUR
    assert await world.first("Ann", A)
    assert not await world.first("Ann", A)
    assert await world.first("Ann", B), "nobody wrote there at all"
    assert not await world.first("Ann", B)


async def test_a_person_is_new_on_each_site(world: World) -> None:
    await world.say("Ann", ELSEWHERE)
    await world.say("Bob", A)
    assert len(await world.found()) == 1
    assert await world.first("Ann", A)
    assert not await world.first("Ann", ELSEWHERE), "that site has no webhook"


async def test_somebody_who_wrote_in_another_room_is_not_new(world: World) -> None:
    for name in ("Ann", "Bob"):
        for room in (RoomKey(1, "/1"), RoomKey(1, "/2"), ELSEWHERE):
            await world.say(name, room)
    await world.say("Cid", A)
    await world.found()
    assert not await world.first("Ann", A)
    assert not await world.first("Bob", A)


async def test_a_deletion_does_not_make_a_room_busy(world: World) -> None:
    message_id = await world.say("Ann", A)
    world.clock.now += 2 * HOUR
    await world.services.chat.delete_as_owner(A, message_id)
    await world.found()
    assert await world.first("Ann", A)


async def test_held_messages_are_told_of_by_the_same_rule(world: World) -> None:
    assert await world.first("Ann", A, hold=True)
    assert not await world.first("Ann", A, hold=True)
    assert await world.first("Bob", A, hold=True)
    world.clock.now += HOUR
    assert await world.first("Bob", A, hold=True)
    assert not await world.first("Ann", A, hold=True)


async def test_what_was_there_before_is_not_told_of(tmp_path: Path) -> None:
    clock = Clock()
    config = config_for(tmp_path, "")
    async with open_services(config, clock=clock) as services:
        world = World(services, clock)
        for number in range(20):
            await world.comment("Ann", A, f"old {number}")
        await world.say("Ann", A)
        await services.dispatcher.refresh()
        assert await world.found() == []
        clock.now += SECOND
    async with receiving() as receiver:
        with_hook = config_for(tmp_path, receiver.url)
        async with open_services(with_hook, clock=clock) as services:
            services.dispatcher.pace = QUICK
            await services.dispatcher.start()
            world = World(services, clock)
            await world.comment("Bob", A, "new")
            await receiver.wait(1)
            await until(lambda: services.dispatcher._seen.comments == 21)
        assert receiver.texts == ["new"]


async def test_a_site_that_gets_a_webhook_beside_another_starts_with_what_is_new(
    world: World,
) -> None:
    await world.comment("Ann", ELSEWHERE, "old")
    await world.say("Ann", ELSEWHERE)
    world.clock.now += SECOND
    sites = world.services.sites
    sites._sites[2] = replace(sites.get(2), webhook_url="http://127.0.0.1:9/2")
    await world.services.dispatcher.refresh()
    assert await world.found() == []
    new = await world.comment("Ann", ELSEWHERE, "new")
    assert await world.found() == [(NoticeKind.COMMENT, new)]


async def test_whoever_has_nothing_to_tell_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0
    next_notice = store.next_notice

    async def counted(*words: Any) -> Any:
        nonlocal reads
        reads += 1
        return await next_notice(*words)

    monkeypatch.setattr(store, "next_notice", counted)
    async with receiving() as receiver, a_telling_world(tmp_path, receiver) as world:
        for number in range(5):
            await world.comment("Ann", A, f"text {number}")
            await receiver.wait(number + 1)
    # One for each, and one after it; and some for looks that came in between.
    assert reads <= 20


async def test_nothing_is_looked_for_where_nobody_wants_to_know(tmp_path: Path) -> None:
    clock = Clock()
    async with open_services(config_for(tmp_path, ""), clock=clock) as services:
        await services.dispatcher.start()
        world = World(services, clock)
        services.dispatcher._news.clear()
        await world.comment("Ann", A, "one")
        await world.say("Ann", A)
        assert not services.dispatcher._news.is_set()
        assert services.dispatcher._senders == {}
        rows = await services.db.fetch("select id from notices", {})
        assert rows == []


Said = tuple[int, int, int, bool]
"""Who writes, in which room, after how many minutes, and whether it is deleted."""


@settings(max_examples=25)
@given(
    said=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(0, 3),
            st.sampled_from([0, 1, 20, 59, 60, 61, 200]),
            st.booleans(),
        ),
        max_size=15,
    ),
    window=st.integers(1, 7),
)
async def test_the_rule_is_the_same_however_much_is_looked_at_at_once(
    said: Sequence[Said], window: int
) -> None:
    """Against the same rule, told message by message."""
    rooms = [A, B, ELSEWHERE, RoomKey(2, "/b")]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "MOST_LOOKED_AT", window)
        async with a_world(Path(folder)) as world:
            wanted = []
            last: dict[RoomKey, int] = {}
            known: set[tuple[int, int]] = set()
            for number, (who, where, minutes, deleted) in enumerate(said, 1):
                room = rooms[where]
                world.clock.now += minutes * 60 * SECOND
                message_id = await world.say(f"Guest {who}", room)
                quiet = world.clock.now - last.get(room, 0) >= HOUR
                new = (who, room.site_id) not in known
                if room.site_id == 1 and (quiet or new) and not deleted:
                    wanted.append((NoticeKind.MESSAGE, number))
                last[room] = world.clock.now
                known.add((who, room.site_id))
                if deleted:
                    await world.services.chat.delete_as_owner(room, message_id)
            assert await world.found() == wanted


# That it is bounded.


@pytest.mark.parametrize("sql", [store.NEW_COMMENTS, store.NEW_REPLIES, store.NEW_MESSAGES])
async def test_a_look_reads_a_range_of_ids_and_goes_by_indexes(world: World, sql: str) -> None:
    steps = await world.services.db.fetch(
        f"explain query plan {sql}", {"after": 1, "upto": 2, "quiet": HOUR}
    )
    plan = [row["detail"] for row in steps]
    assert plan[0] == "SEARCH new USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
    # Tables of a few rows, and the rooms of one person, found one by one.
    scanned = {step for step in plan if step.startswith("SCAN")}
    assert scanned <= {"SCAN rooms", "SCAN d", "SCAN deliveries"}
    assert [step for step in plan if "B-TREE" in step] == []


async def test_a_person_who_wrote_in_thousands_of_rooms_costs_bounded_work(world: World) -> None:
    """On another site; then once on this one."""
    ann, now = (await world.caller("Ann")).user.id, world.clock.now

    def fill(tx: Any) -> None:
        rooms = range(10, 5010)
        tx.execute_many(
            "insert into pages (id, site_id, slug, created_at) values (:id, 2, :id, 1)",
            [{"id": room} for room in rooms],
        )
        tx.execute_many(
            "insert into messages (page_id, message_id, user_id, category, data, status, seq,"
            " created_at) values (:room, :room, :ann, 'text', '', 'published', 1, :now)",
            [{"room": room, "ann": ann, "now": now} for room in rooms],
        )

    await world.services.db.write(fill)
    await world.say("Bob", A)
    await world.found()
    steps = 0

    async def count(*words: Any) -> bool:
        nonlocal steps
        reader = world.services.db._readers[0]
        other = world.services.db._readers[1]

        def one() -> int:
            nonlocal steps
            steps += 1
            return 0

        for each in (reader, other):
            await each.set_progress_handler(one, 1000)
        try:
            return await world.first(*words)
        finally:
            for each in (reader, other):
                await each.set_progress_handler(None, 0)  # type: ignore[arg-type]

    assert await count("Ann", A)
    assert steps < 100, f"{steps} thousand steps of SQLite's machine"


async def test_no_more_than_a_number_wait_and_the_oldest_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "MOST_WAITING", 3)
    async with receiving() as receiver:
        receiver.answer = silence
        async with a_telling_world(tmp_path, receiver) as world:
            for number in range(8):
                await world.comment("Ann", A, f"text {number}")
            await until(lambda: world.services.dispatcher._seen.comments == 8)
            assert (await world.standing())[1] == 3
            assert "notices given up" in caplog.text


# What is delivered, as time goes by.


async def test_what_was_deleted_before_it_was_delivered_is_left_out(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.answer = status(500)
        async with a_telling_world(tmp_path, receiver) as world:
            ann = await world.caller("Ann")
            await world.comment("Ann", A, "one")
            gone = await world.comment("Ann", A, "two")
            reply, _ = await world.services.comments.reply(ann, A, gone, "three", 0, "here")
            said = await world.say("Ann", B, "four")
            await world.comment("Ann", A, "five")
            await receiver.wait(1)
            await world.services.comments.delete_reply(ann, A, gone, reply.id, "here")
            await world.services.comments.delete(ann, A, gone, "here")
            await world.services.chat.delete_as_owner(B, said)
            receiver.answer = ok
            await world.pass_time(lambda: receiver.texts[-1] == "five")
            assert set(receiver.texts) == {"one", "five"}


async def test_a_held_message_is_told_of_as_one(tmp_path: Path) -> None:
    async with receiving() as receiver, a_telling_world(tmp_path, receiver) as world:
        await world.say("Ann", A, "May I?", hold=True)
        (delivery,) = await receiver.wait(1)
        data = delivery.event["data"]
        assert (data["status"], data["text"]) == ("pending", "May I?")
        assert data["message"]["seq"] is None
        assert data["message"]["status"] == "pending"


async def test_held_comments_and_replies_are_told_of_as_such(tmp_path: Path) -> None:
    async with receiving() as receiver, a_telling_world(tmp_path, receiver) as world:
        written = await world.comment("Ann", A, "Open")
        hold = replace(world.services.sites.get(1), hold_comments=Hold.EVERYBODY)
        world.services.sites._sites[1] = hold
        await world.comment("Ann", A, "May I?")
        ann = await world.caller("Ann")
        await world.services.comments.reply(ann, A, written, "And here?", 0, "here")
        deliveries = await receiver.wait(3)
        shown = [(d.text, d.event["data"]["status"]) for d in deliveries]
        assert shown == [("Open", "published"), ("May I?", "pending"), ("And here?", "pending")]
        assert deliveries[1].event["data"]["comment"]["status"] == "pending"
        assert deliveries[2].event["data"]["reply"]["status"] == "pending"


async def test_the_kinds_come_in_the_order_in_which_they_were_written(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.answer = status(500)
        async with a_telling_world(tmp_path, receiver) as world:
            ann = await world.caller("Ann")
            for number in range(3):
                world.clock.now += 2 * HOUR
                await world.say("Ann", A, f"message {number}")
                world.clock.now += SECOND
                comment = await world.comment("Ann", A, f"comment {number}")
                world.clock.now += SECOND
                await world.services.comments.reply(ann, A, comment, f"reply {number}", 0, "here")
            receiver.answer = ok
            await world.pass_time(lambda: receiver.texts[-1:] == ["reply 2"])
            order = [
                f"{kind} {number}"
                for number in range(3)
                for kind in ("message", "comment", "reply")
            ]
            assert list(dict.fromkeys(receiver.texts)) == order


async def test_after_three_days_of_failures_an_event_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        receiver.answer = status(500)
        async with a_telling_world(tmp_path, receiver) as world:
            await world.comment("Ann", A, "one")
            await world.comment("Ann", A, "two")
            # Their three days begin when they are noticed.
            await world.standing(lambda _, waiting: waiting == 2)
            for days in range(1, 4):
                await world.standing(lambda delivery, _, n=days: delivery.failures == n)  # type: ignore[misc]
                world.clock.now += DAY - HOUR
            await world.standing(lambda delivery, waiting: (delivery.failures, waiting) == (4, 2))
            assert "notices given up" not in caplog.text
            await world.comment("Ann", A, "three")
            await world.standing(lambda _, waiting: waiting == 3)
            world.clock.now += 4 * HOUR
            await world.standing(lambda delivery, waiting: (delivery.failures, waiting) == (5, 1))
            # The line is written once that is committed.
            await until(lambda: "notices given up" in caplog.text)
            receiver.answer = ok
            world.clock.now += HOUR
            delivery, _ = await world.standing(lambda _, waiting: waiting == 0)
            assert delivery.failures == 0
            assert dict.fromkeys(receiver.texts) == {"one": None, "three": None}


async def test_while_nothing_can_be_written_what_arrived_is_not_sent_again(
    tmp_path: Path,
) -> None:
    async with receiving() as receiver:
        other: sqlite3.Connection | None = None

        async def lock_and_take(request: Any) -> Any:
            nonlocal other
            other = sqlite3.connect(tmp_path / "talkee.db", isolation_level=None)
            other.execute("begin immediate")
            return await ok(request)

        receiver.answer = lock_and_take
        async with a_telling_world(tmp_path, receiver) as world:
            await world.comment("Ann", A, "one")
            await until(lambda: world.services.db.failing)
            receiver.answer = ok
            assert other is not None
            other.execute("rollback")
            other.close()
            await until(lambda: not world.services.db.failing)
            await world.comment("Ann", A, "two")
            await receiver.wait(2)
        assert receiver.texts == ["one", "two"]
