"""Lists of a room's messages: the latest, pages of older and newer ones, and who may read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.config import SiteConfig

from .harness import JSON, ROOM, Server, config_in, draft, running

LIST = f"/ws/messages?{ROOM}"


async def fill(server: Server, token: str, count: int, room: str = ROOM) -> None:
    """Post `count` messages, many at once."""
    await asyncio.gather(*(server.post(token, f"m{n}", room=room) for n in range(count)))


def seqs(listed: JSON) -> list[int]:
    return [message["seq"] for message in listed["data"]]


async def test_a_list_has_the_fields_of_the_protocol(server: Server) -> None:
    token = await server.guest()
    posted = await server.post(token)
    before = time.time_ns() // 1_000_000
    status, answer, headers = await server.call("GET", f"{LIST}&filter=latest", token=token)
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert set(answer) == {"ts", "epoch", "seq", "has_more", "data"}
    assert before <= answer["ts"] <= time.time_ns() // 1_000_000
    assert isinstance(answer["epoch"], str)
    assert (answer["seq"], answer["has_more"], answer["data"]) == (1, False, [posted])


async def test_both_addresses_list_the_same(server: Server) -> None:
    token = await server.guest()
    await fill(server, token, 3)
    _, one, _ = await server.call("GET", LIST, token=token)
    _, other, _ = await server.call("GET", f"/api/messages?{ROOM}", token=token)
    assert one | {"ts": 0} == other | {"ts": 0}


async def test_an_empty_room_lists_nothing_and_stands_at_zero(server: Server) -> None:
    token = await server.guest()
    for query in ("", "&before=1", "&after=0"):
        answer = await server.latest(token, query=query)
        assert (answer["seq"], answer["has_more"], answer["data"]) == (0, False, [])


async def test_the_latest_are_a_hundred_of_this_room_alone_oldest_first(server: Server) -> None:
    token = await server.guest()
    await fill(server, token, 105)
    await fill(server, token, 2, "site_id=1&slug=/b")
    answer = await server.latest(token)
    assert seqs(answer) == list(range(6, 106))
    assert (answer["seq"], answer["has_more"]) == (105, True)
    assert len({message["message_id"] for message in answer["data"]}) == 100


@pytest.mark.parametrize(
    ("query", "expected", "has_more", "has_deleted"),
    [
        ("", range(1, 9), False, False),
        ("&limit=8", range(1, 9), False, False),
        ("&limit=7", range(2, 9), True, False),
        ("&limit=1", range(8, 9), True, False),
        ("&filter=latest&limit=100", range(1, 9), False, False),
        ("&filter=", range(1, 9), False, False),
        ("&limit=&before=&after=", range(1, 9), False, False),
        ("&before=9", range(1, 9), False, False),
        ("&before=8", range(1, 8), False, False),
        ("&before=8&limit=7", range(1, 8), False, False),
        ("&before=8&limit=6", range(2, 8), True, False),
        ("&before=2", range(1, 2), False, False),
        ("&before=1", range(0), False, False),
        ("&before=9999999999999999&limit=2", range(7, 9), True, False),
        ("&after=0", range(1, 9), False, True),
        ("&after=0&limit=3", range(1, 4), True, True),
        ("&after=0&limit=8", range(1, 9), False, True),
        ("&after=5", range(6, 9), False, True),
        ("&after=5&limit=2", range(6, 8), True, True),
        ("&after=8", range(0), False, True),
        ("&after=9999999999999999", range(0), False, True),
        ("&filter=latest&after=5&limit=100", range(6, 9), False, True),
    ],
)
async def test_pages_are_oldest_first_and_tell_whether_there_is_more_in_their_direction(
    server: Server, query: str, expected: Sequence[int], has_more: bool, has_deleted: bool
) -> None:
    token = await server.guest()
    await fill(server, token, 8)
    answer = await server.latest(token, query=query)
    assert seqs(answer) == list(expected)
    assert (answer["has_more"], answer["seq"]) == (has_more, 8)
    assert ("deleted" in answer) == has_deleted
    assert answer.get("deleted", []) == []


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
async def test_walking_by_pages_in_either_direction_meets_every_message_once(
    server: Server, limit: int
) -> None:
    token = await server.guest()
    await fill(server, token, 20)
    met: list[int] = []
    query = f"&limit={limit}"
    while True:
        answer = await server.latest(token, query=query)
        met = seqs(answer) + met
        if not answer["has_more"]:
            break
        query = f"&limit={limit}&before={met[0]}"
    assert met == list(range(1, 21))
    met = []
    while True:
        last = met[-1] if met else 0
        answer = await server.latest(token, query=f"&limit={limit}&after={last}")
        met += seqs(answer)
        if not answer["has_more"]:
            break
    assert met == list(range(1, 21))


async def test_deleted_messages_are_left_out_and_named_to_who_asks_for_what_is_new(
    server: Server,
) -> None:
    token = await server.guest()
    posted = [await server.post(token, f"m{n}") for n in range(5)]
    gone = posted[1]["message_id"]
    status, _, _ = await server.call("DELETE", f"/ws/messages/{gone}?{ROOM}", token=token)
    assert status == 200
    await server.post(token, "after the deletion, which took 6")
    latest = await server.latest(token)
    assert (seqs(latest), latest["seq"], latest["has_more"]) == ([1, 3, 4, 5, 7], 7, False)
    assert "deleted" not in latest
    assert seqs(await server.latest(token, query="&before=5&limit=3")) == [1, 3, 4]
    answer = await server.latest(token, query="&after=3")
    assert (seqs(answer), answer["deleted"]) == ([4, 5, 7], [gone])
    assert (await server.latest(token, query="&after=6"))["deleted"] == []


NO_NUMBERS = ["01", "-1", "%2B1", "1.0", "1e1", "x", "%EF%BC%91", "12345678901234567", "1%20"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("before", "after", "limit") for value in NO_NUMBERS),
        ("before", "0"),
        ("limit", "0"),
        ("limit", "101"),
        ("after", "00"),
    ],
)
async def test_what_is_no_number_of_a_page_is_refused(
    server: Server, field: str, value: str
) -> None:
    token = await server.guest()
    status, answer, _ = await server.call("GET", f"{LIST}&{field}={value}", token=token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_page", field)


async def test_before_and_after_cannot_be_asked_together(server: Server) -> None:
    token = await server.guest()
    status, answer, _ = await server.call("GET", f"{LIST}&before=5&after=1", token=token)
    assert (status, answer["error"]) == (400, "invalid_page")


@pytest.mark.parametrize("value", ["oldest", "Latest", "latest%20", "all", "1"])
async def test_a_filter_other_than_latest_is_refused(server: Server, value: str) -> None:
    token = await server.guest()
    status, answer, _ = await server.call("GET", f"{LIST}&filter={value}", token=token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_filter", "filter")


# Who may read.


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer x"}]
)
@pytest.mark.parametrize("query", ["", "&before=5", "&after=0"])
async def test_a_list_needs_a_token(server: Server, headers: dict[str, str], query: str) -> None:
    status, answer, _ = await server.call("GET", LIST + query, headers=headers)
    assert (status, answer["error"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Authorization": "Bearer"}, 200),
        ({"Authorization": "Bearer "}, 200),
        ({"Authorization": "Bearer x"}, 401),
    ],
)
async def test_a_public_chat_can_be_read_without_a_token_but_not_with_a_bad_one(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    sites = (SiteConfig(id=1, public_chat=True), SiteConfig(id=2))
    async with running(config_in(tmp_path, sites=sites)) as server:
        token = await server.guest()
        posted = await server.post(token)
        for query in ("", "&before=9", "&after=0"):
            status, answer, _ = await server.call("GET", LIST + query, headers=headers)
            assert status == expected
            if expected == 200:
                assert answer["data"] == [posted]
        status, _, _ = await server.call("GET", "/ws/messages?site_id=2&slug=/a", headers=headers)
        assert status == 401
        status, _, _ = await server.call("POST", LIST, draft(), headers=headers)
        assert status == 401


# What is in memory agrees with what is stored.


async def from_memory_and_from_disk(server: Server, token: str, limit: int) -> tuple[JSON, JSON]:
    """The latest messages, as the record in memory and as the database holds them."""
    latest = await server.latest(token, query=f"&limit={limit}")
    stored = await server.latest(token, query=f"&limit={limit}&before={latest['seq'] + 1}")
    return latest | {"ts": 0}, stored | {"ts": 0}


async def test_the_latest_from_memory_and_from_the_database_agree_in_a_long_room(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
        await server.latest(token)
        await fill(server, token, 320)
        for limit in (1, 50, 100):
            latest, stored = await from_memory_and_from_disk(server, token, limit)
            assert latest == stored
            assert seqs(latest) == list(range(321 - limit, 321))
            assert latest["has_more"]
    async with running(config) as server:
        for limit in (100, 1):
            latest, stored = await from_memory_and_from_disk(server, token, limit)
            assert latest == stored
            assert seqs(latest) == list(range(321 - limit, 321))
        await server.post(token)
        latest, stored = await from_memory_and_from_disk(server, token, 100)
        assert latest == stored
        assert seqs(latest)[-1] == 321


async def test_a_room_of_mostly_deleted_messages_still_lists_its_latest_hundred(
    server: Server,
) -> None:
    token = await server.guest()
    posted = await asyncio.gather(*(server.post(token, f"m{n}") for n in range(250)))
    posted.sort(key=lambda message: int(message["seq"]))
    # 150 deletions take numbers too: of the last 300 lines of the record few are messages.
    await asyncio.gather(
        *(
            server.call("DELETE", f"/ws/messages/{message['message_id']}?{ROOM}", token=token)
            for message in posted[100:]
        )
    )
    for limit in (1, 99, 100):
        latest, stored = await from_memory_and_from_disk(server, token, limit)
        assert latest == stored
        assert seqs(latest) == list(range(101 - limit, 101))
        assert latest["seq"] == 400


async def test_records_that_are_loaded_while_posts_run_miss_nothing(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    rooms = [f"site_id=1&slug=/{n}" for n in range(8)]
    async with running(config) as server:
        token = await server.guest()
        for room in rooms:
            await fill(server, token, 2, room)
    # Nothing is in memory now; reading begins while posts are on their way.
    async with running(config) as server:

        async def read(room: str) -> JSON:
            return await server.latest(token, room=room)

        work: list[Any] = []
        for room in rooms:
            for n in range(6):
                work += [server.post(token, f"m{n}", room=room), read(room)]
        answers = await asyncio.gather(*work)
        for listed in answers[1::2]:
            # Whatever a reader met: no hole, and nothing that the position does not cover.
            assert seqs(listed) == list(range(1, listed["seq"] + 1))
        for room in rooms:
            latest = await server.latest(token, room=room)
            stored = await server.latest(token, room=room, query="&before=9999")
            assert seqs(latest) == list(range(1, 9))
            assert latest | {"ts": 0} == stored | {"ts": 0}


async def test_a_list_that_is_read_after_a_posts_answer_holds_the_post(server: Server) -> None:
    token = await server.guest()

    async def post_and_read(n: int) -> None:
        posted = await server.post(token, f"m{n}")
        assert posted in (await server.latest(token))["data"]
        assert posted in (await server.latest(token, query="&after=0"))["data"]

    await asyncio.gather(*(post_and_read(n) for n in range(30)))


async def test_the_epoch_stays_over_a_restart_and_differs_between_databases(
    tmp_path: Path,
) -> None:
    epochs = []
    for name in ("one", "one", "other"):
        (tmp_path / name).mkdir(exist_ok=True)
        async with running(config_in(tmp_path / name)) as server:
            epochs.append((await server.latest(await server.guest()))["epoch"])
    assert epochs[0] == epochs[1] != epochs[2]


# Authors.


async def test_whoever_takes_another_name_is_shown_with_it_everywhere(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    body = draft("old words")
    await server.call("POST", LIST, body, token=ann)
    await server.post(bob)
    await server.latest(bob)
    status, me, _ = await server.call("PATCH", "/api/me", {"full_name": "Anna"}, token=ann)
    assert status == 200
    for query in ("", "&limit=5", "&before=9", "&after=0"):
        listed = await server.latest(bob, query=query)
        assert [message["user"]["full_name"] for message in listed["data"]] == ["Anna", "Bob"]
        assert listed["data"][0]["user"] == me["data"]
    # A repeat answers with the first message, by the person as they are now.
    _, again, _ = await server.call("POST", LIST, body, token=ann)
    assert again["user"]["full_name"] == "Anna"
    assert (await server.post(ann))["user"]["full_name"] == "Anna"


async def test_authors_who_are_not_in_memory_are_shown_after_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        names = [f"Guest {n}" for n in range(12)]
        for name in names:
            await server.post(await server.guest(name))
        reader = await server.guest("Reader")
    async with running(config) as server:
        for query in ("", "&after=0"):
            listed = await server.latest(reader, query=query)
            assert [message["user"]["full_name"] for message in listed["data"]] == names
