"""What people do most: sign in, talk, and find what was said."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

from .harness import Server, config_in, draft, running


async def test_a_message_reaches_everyone_in_the_room_and_its_author(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    async with server.listen(ann) as first, server.listen(bob) as second:
        posted = await server.post(ann, "Hello!")
        for client in (first, second):
            frame = json.loads(await client.recv())
            assert frame.pop("type") == "message"
            assert frame == posted


async def test_what_was_said_is_there_after_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as first:
        token = await first.guest()
        posted = [await first.post(token, f"message {n}") for n in range(3)]
    async with running(config) as second:
        listed = await second.latest(token)
        # The avatar's address holds the port, which differs in this test.
        assert [m["message_id"] for m in listed["data"]] == [m["message_id"] for m in posted]
        assert listed["seq"] == 3
        assert (await second.post(token))["seq"] == 4


async def test_a_repeat_answers_with_the_first_message_and_is_not_pushed(server: Server) -> None:
    token = await server.guest()
    body = draft("once")
    async with server.listen(token) as client:
        status, first, headers = await server.call(
            "POST", "/ws/messages?site_id=1&slug=/a", body, token=token
        )
        assert status == 200
        assert "Idempotent-Replayed" not in headers
        status, second, headers = await server.call(
            "POST", "/api/messages?site_id=1&slug=/a", body, token=token
        )
        assert (status, second) == (200, first)
        assert headers["Idempotent-Replayed"] == "true"
        await server.post(token, "twice")
        seqs = [json.loads(await client.recv())["seq"] for _ in range(2)]
    assert seqs == [1, 2]


async def test_two_posts_of_one_id_at_once_make_one_message(server: Server) -> None:
    token = await server.guest()
    body = draft("at once")
    answers = await asyncio.gather(
        *(
            server.call("POST", "/ws/messages?site_id=1&slug=/a", body, token=token)
            for _ in range(8)
        )
    )
    assert {status for status, _, _ in answers} == {200}
    assert len({json.dumps(message) for _, message, _ in answers}) == 1
    assert sum("Idempotent-Replayed" in headers for _, _, headers in answers) == 7
    assert len((await server.latest(token))["data"]) == 1


async def test_an_id_that_somebody_else_used_is_a_conflict(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    message_id = str(uuid.uuid4())
    await server.post(ann, "mine", message_id=message_id)
    for token, text in ((bob, "mine"), (ann, "another text")):
        status, answer, _ = await server.call(
            "POST", "/ws/messages?site_id=1&slug=/a", draft(text, message_id), token=token
        )
        assert (status, answer["error"]) == (409, "message_id_conflict")
    other_room = await server.post(bob, room="site_id=1&slug=/b", message_id=message_id)
    assert other_room["seq"] == 1
