"""Deleting messages: whose, until when, and what stays."""

from __future__ import annotations

from typing import Any

import pytest

from talkee_lite.clock import system_clock
from talkee_lite.models import UserKind

from .harness import ROOM, Server, draft


async def delete(server: Server, token: str | None, message_id: str) -> tuple[int, Any]:
    """Ask to delete a message: status and body."""
    status, answer, _ = await server.call(
        "DELETE", f"/ws/messages/{message_id}?{ROOM}", token=token
    )
    return status, answer


async def test_deleting_again_answers_the_same(server: Server) -> None:
    token = await server.guest()
    posted = await server.post(token)
    first = await delete(server, token, posted["message_id"])
    assert first == (200, {"message_id": posted["message_id"], "seq": 2})
    assert await delete(server, token, posted["message_id"].upper()) == first
    assert (await server.post(token))["seq"] == 3


async def test_the_text_of_a_deleted_message_is_erased(server: Server) -> None:
    token = await server.guest()
    posted = await server.post(token, "secret")
    await delete(server, token, posted["message_id"])
    rows = await server.services.db.fetch("select data, status from messages", {})
    assert [tuple(row) for row in rows] == [("", "deleted")]


async def test_a_message_that_was_deleted_cannot_be_posted_again(server: Server) -> None:
    token, other = await server.guest("Ann"), await server.guest("Bob")
    body = draft("once")
    await server.call("POST", f"/ws/messages?{ROOM}", body, token=token)
    await delete(server, token, body["message_id"])
    status, answer, _ = await server.call("POST", f"/ws/messages?{ROOM}", body, token=token)
    assert (status, answer["error"]) == (410, "message_deleted")
    status, answer, _ = await server.call("POST", f"/ws/messages?{ROOM}", body, token=other)
    assert (status, answer["error"]) == (409, "message_id_conflict")


async def test_only_the_author_may_delete_and_only_for_a_quarter_of_an_hour(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, other = await server.guest("Ann"), await server.guest("Bob")
    posted = await server.post(token)
    status, answer = await delete(server, other, posted["message_id"])
    assert (status, answer["error"]) == (403, "forbidden")
    late = system_clock() + 15 * 60 * 1_000_000 + 1
    monkeypatch.setattr(server.services.chat, "_clock", lambda: late)
    status, answer = await delete(server, token, posted["message_id"])
    assert (status, answer["error"]) == (403, "forbidden")


async def test_a_moderator_may_delete_anything_at_any_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, moderator = await server.guest("Ann"), await server.guest("Mo")
    posted = await server.post(token)
    user = (await server.services.tokens.identify(moderator)).user
    server.services.people._roles[(1, user.id)] = UserKind.MODERATOR
    late = system_clock() + 24 * 3600 * 1_000_000
    monkeypatch.setattr(server.services.chat, "_clock", lambda: late)
    status, answer = await delete(server, moderator, posted["message_id"])
    assert (status, answer["seq"]) == (200, 2)


@pytest.mark.parametrize(
    ("message_id", "status", "error"),
    [
        ("7c9e6679-7425-40de-944b-e07fc1f90ae7", 404, "message_not_found"),
        ("nonsense", 404, "message_not_found"),
    ],
)
async def test_what_is_not_there_cannot_be_deleted(
    server: Server, message_id: str, status: int, error: str
) -> None:
    got, answer = await delete(server, await server.guest(), message_id)
    assert (got, answer["error"]) == (status, error)
    assert (await delete(server, None, message_id))[0] == 401
