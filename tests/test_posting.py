"""Posting: what a message may hold, what is refused and in which order, and what it costs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import logging
import sqlite3
import string
import unicodedata
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from talkee_lite.config import normal_origin
from talkee_lite.errors import InvalidSlug, Refused
from talkee_lite.limits import Buckets, Limits
from talkee_lite.models import MessageDraft
from talkee_lite.protocol import decoded_text, message_draft, parse_object
from talkee_lite.sites import checked_slug
from talkee_lite.text import clean_name, fold_name

from .harness import (
    JSON,
    ROOM,
    Server,
    config_in,
    draft,
    encode,
    exchange,
    free_limits,
    running,
    until,
)
from .test_rooms import parse_answer, raw_call

MESSAGES = f"/ws/messages?{ROOM}"
ID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


async def post_raw(server: Server, token: str | None, body: bytes) -> tuple[int, Any, Any]:
    return await server.call(
        "POST", MESSAGES, data=body, token=token, headers={"Content-Type": "application/json"}
    )


# What a message looks like.


async def test_a_message_has_the_fields_of_the_protocol_and_no_envelope(server: Server) -> None:
    token = await server.guest("John Wick")
    body = draft("Hello!", ID.upper()) | {"seq": 99, "user": {"id": 7}, "created_at": "1999"}
    status, message, headers = await server.call("POST", MESSAGES, body, token=token)
    assert status == 200
    assert headers["Content-Type"].startswith("application/json")
    assert list(message) == ["message_id", "seq", "category", "data", "created_at", "user"]
    assert message["message_id"] == ID
    assert message["seq"] == 1
    assert message["category"] == "text"
    assert message["data"] == "SGVsbG8h"
    user = message["user"]
    assert list(user) == [
        "id",
        "mixin_user_id",
        "mixin_identity_number",
        "full_name",
        "avatar_url",
        "mvm_public_key",
        "kind",
        "created_at",
    ]
    assert type(user["id"]) is int
    assert uuid.UUID(user["mixin_user_id"])
    assert (user["mixin_identity_number"], user["mvm_public_key"]) == ("0", "")
    assert (user["full_name"], user["kind"]) == ("John Wick", "guest")
    assert user["avatar_url"] == f"{server.url}/api/avatars/{user['id']}.svg"
    for moment in (message["created_at"], user["created_at"]):
        assert len(moment) == len("2023-02-06T08:26:17.800860Z")
        assert moment.endswith("Z")


async def test_an_id_counts_as_the_same_in_any_case(server: Server) -> None:
    token = await server.guest()
    await server.post(token, message_id=ID)
    status, _, headers = await server.call(
        "POST", MESSAGES, draft(message_id=ID.upper()), token=token
    )
    assert (status, headers["Idempotent-Replayed"]) == (200, "true")


@pytest.mark.parametrize(
    "data",
    [
        encode("é"),
        encode("é".encode("latin-1")),
        encode(b"\xff\xfe\x00"),
        encode("日本語"),
        encode("\u200b"),
        encode(" x "),
        encode('"\\\n</script>'),
        encode("a"),
        encode("ab"),
        encode("abc"),
        encode(b"+/+/\xfb\xff"),
        encode(b"x" * 4096),
    ],
)
async def test_data_is_relayed_exactly_as_it_came(server: Server, data: str) -> None:
    token = await server.guest()
    async with server.listen(token) as client:
        status, message, _ = await server.call(
            "POST", MESSAGES, draft() | {"data": data}, token=token
        )
        assert (status, message["data"]) == (200, data)
        assert json.loads(await client.recv())["data"] == data
    assert (await server.latest(token))["data"][0]["data"] == data


# What is refused, row by row.


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "text/json",
        "application/json, text/plain",
        "json",
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, "/api/auth/login"])
async def test_a_body_that_is_not_json_by_its_content_type_is_415(
    server: Server, path: str, content_type: str | None
) -> None:
    # A page could send such a body without a preflight.
    lines = [] if content_type is None else [f"Content-Type: {content_type}"]
    body = b'{"method":"guest","full_name":"Ann"}'
    lines.append(f"Content-Length: {len(body)}")
    answer = await raw_call(server, path, *lines, method="POST", body=body)
    assert (answer.status, answer.body["error"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"],
)
async def test_json_may_be_named_with_a_charset_and_in_any_case(
    server: Server, content_type: str
) -> None:
    token = await server.guest()
    status, _, _ = await server.call(
        "POST", MESSAGES, draft(), token=token, headers={"Content-Type": content_type}
    )
    assert status == 200


def padded(size: int) -> bytes:
    """A good body of exactly `size` bytes."""
    body = json.dumps(draft()).encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "expected"), [(16384, 200), (16385, 413), (1_000_000, 413)])
async def test_a_posts_body_may_have_16_kib_however_it_is_sent(
    server: Server, size: int, expected: int, chunked: bool
) -> None:
    token = await server.guest()

    async def pieces() -> AsyncIterator[bytes]:
        body = padded(size)
        for start in range(0, size, 10_000):
            yield body[start : start + 10_000]

    status, answer, _ = await server.call(
        "POST",
        MESSAGES,
        data=pieces() if chunked else padded(size),
        token=token,
        headers={"Content-Type": "application/json"},
    )
    assert status == expected
    if expected == 413:
        assert answer["error"] == "too_large"


@pytest.mark.parametrize(("size", "expected"), [(163840, 200), (163841, 413)])
async def test_other_bodies_may_have_160_kib(server: Server, size: int, expected: int) -> None:
    body = b'{"method":"guest","full_name":"Ann"}'
    status, _, _ = await server.call(
        "POST",
        "/api/auth/login",
        data=body + b" " * (size - len(body)),
        headers={"Content-Type": "application/json"},
    )
    assert status == expected


async def test_a_content_length_over_the_limit_is_refused_before_the_body_came(
    server: Server,
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: 99999999999\r\n\r\n{".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b" 413 " in head.split(b"\r\n")[0]
    writer.close()


async def test_a_body_that_unpacks_to_more_than_the_limit_is_too_large(server: Server) -> None:
    token = await server.guest()
    status, answer, _ = await server.call(
        "POST",
        MESSAGES,
        data=gzip.compress(padded(5_000_000)),
        token=token,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    assert (status, answer["error"]) == (413, "too_large")


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2, 3\r\n\r\n{}",
        b"Content-Length: -1\r\n\r\n{}",
        b"Content-Length: two\r\n\r\n{}",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"Transfer-Encoding: gibberish\r\n\r\n{}",
    ],
)
async def test_a_body_of_which_the_length_is_a_lie_is_a_bad_request(
    server: Server, framing: bytes
) -> None:
    start = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n".encode()
    answer = parse_answer(await exchange(server.port, start + framing))
    assert (answer.status, answer.body["error"]) == (400, "bad_request")


async def test_what_comes_after_a_body_is_the_next_request_and_not_part_of_it(
    server: Server,
) -> None:
    token = await server.guest()
    body = json.dumps(draft()).encode()
    start = (
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body) - 1}\r\n\r\n"
    ).encode()
    received = await exchange(server.port, start + body + b"\r\n\r\n")
    # What follows is no HTTP, and came with the first request: neither is taken.
    assert b'"bad_request"' in received or b'"invalid_body"' in received
    assert (await server.latest(token))["seq"] == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body_posts_nothing(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    token = await server.guest()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f'Authorization: Bearer {token}\r\nContent-Length: 500\r\n\r\n{{"message_id":'.encode()
    )
    await writer.drain()
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert (await server.latest(token))["seq"] == 0
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer x", "Bearer a.b.c", "Token {token}"],
)
async def test_a_post_without_a_good_token_is_unauthorized(
    server: Server, authorization: str | None
) -> None:
    token = await server.guest()
    headers = {}
    if authorization is not None:
        headers["Authorization"] = authorization.replace("{token}", token)
    status, answer, _ = await server.call("POST", MESSAGES, draft(), headers=headers)
    assert (status, answer["error"]) == (401, "unauthorized")


async def test_a_token_in_the_address_does_not_count(server: Server) -> None:
    token = await server.guest()
    for name in ("token", "access_token"):
        status, _, _ = await server.call("POST", f"{MESSAGES}&{name}={token}", draft())
        assert status == 401


GOOD = json.dumps({"message_id": ID, "category": "text", "data": "SGVsbG8h"}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        GOOD[:-1],
        GOOD[:40],
        GOOD + b"}",
        GOOD + GOOD,
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"[" + GOOD + b"]",
        GOOD.replace(b'"text"', b"NaN"),
        GOOD[:-1] + b',"x":NaN}',
        GOOD[:-1] + b',"x":Infinity}',
        GOOD[:-1] + b',"x":-Infinity}',
        GOOD[:-1] + b',"x":"\\ud800"}',
        GOOD[:-1] + b',"x":"\\udc00\\ud800"}',
        GOOD[:-1] + b',"x":"\xff"}',
        GOOD[:-1] + b',"x":"\xed\xa0\x80"}',
        GOOD[:-1] + b',"x":01}',
        GOOD[:-1] + b",}",
        GOOD[:-1] + b'/**/,"x":1}',
        GOOD.replace(b'"', b"'"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.decode().encode("utf-16"),
        GOOD[:-1] + b',"x":"\n"}',
        GOOD[:-1] + b',"x":' + b"[" * 16000,
        GOOD[:-1] + b',"x":' + b"[" * 7500 + b"]" * 7500 + b"}",
        GOOD[:-1] + b',"x":' + b'{"a":' * 3000,
        b"\x00" + GOOD,
    ],
)
async def test_a_body_that_is_not_one_strict_json_object_is_refused(
    server: Server, body: bytes
) -> None:
    token = await server.guest()
    status, answer, _ = await post_raw(server, token, body)
    assert (status, answer["error"]) == (400, "invalid_body")
    assert "field" not in answer
    assert (await server.latest(token))["seq"] == 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_is_nested_a_million_deep_is_refused_without_harm(opening: bytes) -> None:
    with pytest.raises(Refused):
        parse_object(opening * 1_000_000)
    with pytest.raises(Refused):
        parse_object(b'{"a":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")


@pytest.mark.parametrize("field", ["message_id", "category", "data"])
@pytest.mark.parametrize("value", [..., None, 1, 1.5, True, [], {}, ["text"], {"text": 1}])
async def test_a_field_that_is_missing_or_of_the_wrong_type_is_named(
    server: Server, field: str, value: Any
) -> None:
    token = await server.guest()
    body = draft()
    if value is ...:
        del body[field]
    else:
        body[field] = value
    status, answer, _ = await server.call("POST", MESSAGES, body, token=token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_body", field)


@pytest.mark.parametrize(
    "message_id",
    [
        "",
        "1",
        ID[:-1],
        ID + "0",
        ID + "\n",
        " " + ID,
        ID.replace("-", ""),
        "{" + ID + "}",
        "urn:uuid:" + ID,
        ID.replace("7", "g"),
        ID.replace("7", "７"),
        ID.replace("-", "\u2010"),
        "7c9e66797-425-40de-944b-e07fc1f90ae7",
        "'; drop table messages; --",
    ],
)
async def test_a_message_id_that_is_no_uuid_is_refused(server: Server, message_id: str) -> None:
    token = await server.guest()
    status, answer, _ = await server.call(
        "POST", MESSAGES, draft() | {"message_id": message_id}, token=token
    )
    assert (status, answer["error"], answer["field"]) == (400, "invalid_message_id", "message_id")


@pytest.mark.parametrize(
    "message_id", ["00000000-0000-0000-0000-000000000000", "f" * 8 + "-ffff" * 3 + "-" + "f" * 12]
)
async def test_a_uuid_of_any_version_will_do(server: Server, message_id: str) -> None:
    token = await server.guest()
    assert (await server.post(token, message_id=message_id))["message_id"] == message_id


@pytest.mark.parametrize("category", ["", "Text", "text ", "image", "PLAIN_TEXT", "x" * 1000])
async def test_a_category_other_than_text_is_refused(server: Server, category: str) -> None:
    token = await server.guest()
    status, answer, _ = await server.call(
        "POST", MESSAGES, draft() | {"category": category}, token=token
    )
    assert (status, answer["error"]) == (400, "unsupported_category")
    assert answer["field"] == "category"


BAD_DATA = [
    "",
    "=",
    "====",
    "A",
    "AA",
    "AAA",
    "SGVsbG8",
    "SGVsbG8h=",
    "SGVsbG8h====",
    "SGVs bG8h",
    "SGVsbG8h\n",
    " SGVsbG8h",
    "SGVs\r\nbG8h",
    "SGVsbG8_",
    "SGVsbG8-",
    "YQ",
    "YQ=",
    "YR==",  # stray bits before the padding
    "YWJ=",
    "YQ==YQ==",
    "Y=Q=",
    "hello!!!",
    "SGVsbG8é",
    "\u0661\u0661\u0661\u0661",
    encode(" "),
    encode("\t\r\n \x0b\x0c"),
    encode("\u00a0\u2003\u3000"),
    encode(b"\xa0"),  # a no-break space in Latin-1
    encode("\n" * 5000),
]


@pytest.mark.parametrize("data", BAD_DATA)
async def test_data_that_is_not_canonical_base64_of_more_than_white_space_is_refused(
    server: Server, data: str
) -> None:
    token = await server.guest()
    status, answer, _ = await server.call("POST", MESSAGES, draft() | {"data": data}, token=token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_data", "data")


@pytest.mark.parametrize("text", ["x" * 4097, "é" * 2049, "x" * 12000])
async def test_data_of_more_than_4096_bytes_is_too_large(server: Server, text: str) -> None:
    token = await server.guest()
    status, answer, _ = await server.call("POST", MESSAGES, draft(text), token=token)
    assert (status, answer["error"]) == (413, "too_large")


async def test_the_limit_of_data_can_be_set(tmp_path: Path) -> None:
    async with running(config_in(tmp_path, limits=free_limits(max_data_bytes=5))) as server:
        token = await server.guest()
        await server.post(token, "12345")
        status, _, _ = await server.call("POST", MESSAGES, draft("123456"), token=token)
        assert status == 413


# The order: each step repairs the first thing that is wrong, and meets the next.


async def test_what_is_wrong_with_a_post_is_reported_in_order(tmp_path: Path) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=1)
    config = config_in(tmp_path, limits=limits)
    async with running(config) as server:
        token = await server.guest()
        await server.post(token)
        await close_room(server)
    async with running(config) as server:
        await server.post(token, room="site_id=1&slug=/b")  # the one token of the burst
        json_type = {"Content-Type": "application/json"}
        big = b'{"message_id":7,' + b" " * 17000

        async def error(
            body: bytes | JSON, *, headers: dict[str, str] = json_type, token: str | None = None
        ) -> tuple[int, str]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            status, answer, _ = await server.call(
                "POST", MESSAGES, data=data, headers=headers, token=token
            )
            return status, answer["error"]

        wrong = {"message_id": "no", "category": "no", "data": "no"}
        assert await error(big, headers={"Content-Type": "text/plain"}) == (
            415,
            "unsupported_media_type",
        )
        assert await error(big) == (413, "too_large")
        assert await error(b"{") == (401, "unauthorized")
        assert await error(b"{", token=token) == (400, "invalid_body")
        assert await error(wrong | {"data": 1}, token=token) == (400, "invalid_body")
        assert await error(wrong, token=token) == (400, "invalid_message_id")
        wrong["message_id"] = str(uuid.uuid4())
        assert await error(wrong, token=token) == (400, "unsupported_category")
        wrong["category"] = "text"
        assert await error(wrong, token=token) == (400, "invalid_data")
        wrong["data"] = encode("x" * 4097)
        assert await error(wrong, token=token) == (413, "too_large")
        wrong["data"] = encode("x")
        assert await error(wrong, token=token) == (403, "room_closed")
        await reopen_room(server)
        assert await error(wrong, token=token) == (429, "rate_limited")


async def test_a_ban_is_told_before_a_closed_room_and_before_the_pace(tmp_path: Path) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=1)
    config = config_in(tmp_path, limits=limits)
    async with running(config) as server:
        token = await server.guest()
        await server.post(token)
        await close_room(server)
        await ban_everybody(server)
    async with running(config) as server:
        for _ in range(3):
            status, answer, _ = await server.call("POST", MESSAGES, draft(), token=token)
            assert (status, answer["error"]) == (403, "banned")


# Repeats.


async def close_room(server: Server) -> None:
    await server.services.db.write(lambda tx: tx.execute("update pages set closed = 1", {}))


async def reopen_room(server: Server) -> None:
    await server.services.db.write(lambda tx: tx.execute("update pages set closed = 0", {}))


async def ban_everybody(server: Server) -> None:
    until_then = server.services.clock() + 3600 * 1_000_000
    await server.services.db.write(
        lambda tx: tx.execute("update users set banned_until = :until", {"until": until_then})
    )


async def test_a_repeat_in_a_closed_room_answers_with_the_first_message(server: Server) -> None:
    token = await server.guest()
    body = draft()
    _, first, _ = await server.call("POST", MESSAGES, body, token=token)
    await close_room(server)
    status, again, headers = await server.call("POST", MESSAGES, body, token=token)
    assert (status, again, headers["Idempotent-Replayed"]) == (200, first, "true")
    status, answer, _ = await server.call("POST", MESSAGES, draft(), token=token)
    assert (status, answer["error"]) == (403, "room_closed")
    await reopen_room(server)
    assert (await server.post(token))["seq"] == 2


async def test_a_closed_room_can_be_read_and_entered(server: Server) -> None:
    token = await server.guest()
    await server.post(token)
    await close_room(server)
    assert len((await server.latest(token))["data"]) == 1
    async with server.listen(token):
        pass


async def test_a_repeat_by_a_banned_person_answers_with_the_first_message_and_costs_nothing(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path)
    body = draft()
    async with running(config) as server:
        token = await server.guest()
        await server.call("POST", MESSAGES, body, token=token)
        await ban_everybody(server)
    slow = replace(config, limits=free_limits(messages_per_second=0.001, messages_burst=1))
    async with running(slow) as server:
        listener = await server.guest("Bob")
        async with server.listen(listener) as client:
            for _ in range(4):
                status, message, headers = await server.call("POST", MESSAGES, body, token=token)
                assert (status, message["seq"]) == (200, 1)
                assert headers["Idempotent-Replayed"] == "true"
            assert (await server.post(listener))["seq"] == 2
            # Nothing was pushed before this one.
            assert json.loads(await client.recv())["seq"] == 2
        status, answer, _ = await server.call("POST", MESSAGES, draft(), token=token)
        assert (status, answer["error"]) == (403, "banned")


async def test_a_banned_person_can_still_read_and_sign_out(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
        await ban_everybody(server)
    async with running(config) as server:
        assert (await server.latest(token))["data"] == []
        assert (await server.call("GET", "/api/me", token=token))[0] == 200
        assert (await server.call("POST", "/api/auth/logout", token=token))[0] == 200


async def test_a_ban_that_has_ended_bans_nobody(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
        await server.services.db.write(
            lambda tx: tx.execute("update users set banned_until = 1", {})
        )
    async with running(config) as server:
        await server.post(token)


async def test_a_deleted_message_cannot_be_posted_again(server: Server) -> None:
    token = await server.guest()
    body = draft()
    await server.call("POST", MESSAGES, body, token=token)
    await server.services.db.write(
        lambda tx: tx.execute("update messages set status = 'deleted', data = ''", {})
    )
    status, answer, _ = await server.call("POST", MESSAGES, body, token=token)
    assert (status, answer["error"]) == (410, "message_deleted")


# The pace.


async def test_a_person_may_post_ten_in_a_row_and_then_has_to_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(messages_per_second=1.0, messages_burst=10)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = server.services.clock()
        monkeypatch.setattr(server.services.chat, "_pace_clock", lambda: now / 1_000_000)
        ann, bob = await server.guest("Ann"), await server.guest("Bob")
        for _ in range(10):
            await server.post(ann)
        refused = draft()
        status, answer, headers = await server.call("POST", MESSAGES, refused, token=ann)
        assert (status, answer["error"], headers["Retry-After"]) == (429, "rate_limited", "1")
        assert (await server.post(bob))["seq"] == 11
        now += 1_000_000 * int(headers["Retry-After"])
        # The id of the refused post is still free, and so was its number.
        status, message, headers = await server.call("POST", MESSAGES, refused, token=ann)
        assert (status, message["seq"]) == (200, 12)
        assert "Idempotent-Replayed" not in headers
        assert (await server.call("POST", MESSAGES, draft(), token=ann))[0] == 429


async def test_an_address_may_post_so_much_by_all_its_people_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(address_messages_per_second=0.25, address_messages_burst=3)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = server.services.clock()
        monkeypatch.setattr(server.services.chat, "_pace_clock", lambda: now / 1_000_000)
        tokens = [await server.guest(name) for name in ("Ann", "Bob", "Eve", "Dan")]
        for token in tokens[:3]:
            await server.post(token)
        status, answer, headers = await server.call("POST", MESSAGES, draft(), token=tokens[3])
        assert (status, answer["error"], headers["Retry-After"]) == (429, "rate_limited", "4")
        now += 4_000_000
        assert (await server.post(tokens[3]))["seq"] == 4


async def test_retrying_when_retry_after_says_so_always_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(messages_per_second=0.3, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = server.services.clock()
        monkeypatch.setattr(server.services.chat, "_pace_clock", lambda: now / 1_000_000)
        token = await server.guest()
        await server.post(token)
        for _ in range(5):
            status, _, headers = await server.call("POST", MESSAGES, draft(), token=token)
            assert status == 429
            now += 1_000_000 * int(headers["Retry-After"])
            await server.post(token)


async def test_a_repeat_costs_nothing_and_is_answered_even_to_who_was_too_fast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = server.services.clock()
        monkeypatch.setattr(server.services.chat, "_pace_clock", lambda: now / 1_000_000)
        token = await server.guest()
        body = draft()
        _, first, _ = await server.call("POST", MESSAGES, body, token=token)
        for _ in range(5):
            status, again, _ = await server.call("POST", MESSAGES, body, token=token)
            assert (status, again) == (200, first)
        assert (await server.post(token))["seq"] == 2
        assert (await server.call("POST", MESSAGES, draft(), token=token))[0] == 429
        status, again, headers = await server.call("POST", MESSAGES, body, token=token)
        assert (status, again, headers["Idempotent-Replayed"]) == (200, first, "true")


async def test_refused_posts_use_up_no_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = server.services.clock()
        monkeypatch.setattr(server.services.chat, "_pace_clock", lambda: now / 1_000_000)
        token = await server.guest()
        await server.post(token, message_id=ID)
        await close_room(server)
        for body in (
            draft(),  # a closed room
            draft("another text", ID),  # a conflict
            draft("x" * 5000),
            draft() | {"category": "image"},
        ):
            for _ in range(3):
                assert (await server.call("POST", MESSAGES, body, token=token))[0] >= 400
        await reopen_room(server)
        assert (await server.post(token))["seq"] == 2


async def test_the_pace_counts_all_rooms_together(tmp_path: Path) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        for slug in ("/a", "/b"):
            await server.post(token, room=f"site_id=1&slug={slug}")
        status, _, _ = await server.call(
            "POST", "/api/messages?site_id=1&slug=/c", draft(), token=token
        )
        assert status == 429


# When nothing can be stored.


@contextlib.contextmanager
def held_by_another_program(path: Path) -> Iterator[None]:
    """The database file locked for writing, as a careless backup tool would do it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("begin immediate")
        yield
        connection.execute("rollback")
    finally:
        connection.close()


async def test_a_post_that_cannot_be_stored_is_503_and_uses_up_nothing(tmp_path: Path) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=3)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        body, lost = draft(), draft()
        _, first, _ = await server.call("POST", MESSAGES, body, token=token)
        async with server.listen(token) as client:
            with held_by_another_program(server.services.db.path):
                for _ in range(4):
                    status, answer, headers = await server.call("POST", MESSAGES, lost, token=token)
                    assert (status, answer["error"]) == (503, "unavailable")
                    assert int(headers["Retry-After"]) >= 1
                # Reading, and repeats of what is stored, work all the same.
                assert (await server.latest(token))["seq"] == 1
                status, again, _ = await server.call("POST", MESSAGES, body, token=token)
                assert (status, again) == (200, first)
            await until(lambda: not server.services.db.failing)
            status, message, headers = await server.call("POST", MESSAGES, lost, token=token)
            assert (status, message["seq"]) == (200, 2)
            assert "Idempotent-Replayed" not in headers
            assert (await server.post(token))["seq"] == 3
            assert [json.loads(await client.recv())["seq"] for _ in range(2)] == [2, 3]


async def test_nothing_of_a_message_or_a_token_is_logged(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "a very private sentence"
    token = await server.guest("Ann of the private name")
    async with server.listen(token) as client:
        await server.post(token, secret)
        await client.recv()
    for body in (draft(secret) | {"category": secret}, draft(secret) | {"message_id": secret}):
        await server.call("POST", MESSAGES, body, token=token)
    await post_raw(server, token, json.dumps({"text": secret}).encode()[:-1])
    await server.call("POST", f"{MESSAGES}&access_token={token}", draft(secret))
    await server.call("GET", f"/nothing/{token}", token=token)
    await server.call("GET", "/api/me", token=token[:-4] + "AAAA")
    logged = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("talkee_lite", "aiohttp.server", "asyncio"))
    )
    for private in (secret, encode(secret), token[:-4], "private name"):
        assert private not in logged


# Properties.


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
drafts = st.fixed_dictionaries(
    {},
    optional={
        "message_id": st.uuids().map(str) | json_values,
        "category": st.just("text") | json_values,
        "data": st.binary(max_size=60).map(encode) | json_values,
        "other": json_values,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first run makes its tables
@given(drafts)
def test_a_draft_is_either_refused_or_holds_exactly_what_may_be_stored(body: JSON) -> None:
    try:
        made = message_draft(body, 40)
    except Refused:
        return
    assert made.message_id == str(uuid.UUID(body["message_id"]))
    assert made.category == "text"
    assert made.data == body["data"]
    decoded = base64.b64decode(made.data, validate=True)
    assert 1 <= len(decoded) <= 40
    assert decoded_text(decoded).strip()


@given(st.uuids(), st.binary(min_size=1, max_size=4096))
def test_all_bytes_but_white_space_can_be_posted(message_id: uuid.UUID, data: bytes) -> None:
    body = {"message_id": str(message_id), "category": "text", "data": encode(data)}
    if decoded_text(data).strip():
        assert message_draft(body, 4096) == MessageDraft(str(message_id), "text", encode(data))
    else:
        with pytest.raises(Refused):
            message_draft(body, 4096)


@given(st.text(alphabet=string.ascii_letters + string.digits + "+/=-_ \n", max_size=16))
def test_of_all_spellings_of_the_same_bytes_only_one_is_taken(data: str) -> None:
    body = {"message_id": ID, "category": "text", "data": data}
    with contextlib.suppress(Refused):
        made = message_draft(body, 4096)
        assert base64.b64encode(base64.b64decode(made.data)).decode() == data


@given(st.binary(max_size=200))
def test_parsing_any_bytes_gives_an_object_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(Refused):
        assert isinstance(parse_object(body), dict)


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=300))
def test_a_slug_is_refused_or_only_trimmed(text: str) -> None:
    try:
        slug = checked_slug(text)
    except InvalidSlug:
        trimmed = text.strip(" \t\n\r\v\f")
        bad = any(unicodedata.category(c) in ("Cc", "Cs") or c == "\ufffd" for c in trimmed)
        assert bad or not 1 <= len(trimmed) <= 256
        return
    assert slug in text
    assert 1 <= len(slug) <= 256
    assert checked_slug(slug) == slug
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in slug)
    assert slug.encode()


steps = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20)), max_size=60)
rates = st.floats(0.01, 10)


@given(rates, st.integers(1, 10), steps)
def test_no_bucket_gives_more_than_its_burst_and_what_was_refilled(
    rate: float, burst: int, asked: list[tuple[str, float]]
) -> None:
    buckets = Buckets(rate, burst)
    now = 1e9
    taken: dict[str, int] = {}
    for key, pause in asked:
        now += pause
        wait = buckets.wait(key, now)
        assert wait >= 0.0
        if not wait:
            buckets.take(key, now)
            taken[key] = taken.get(key, 0) + 1
        assert taken.get(key, 0) <= burst + (now - 1e9) * rate + 1e-3
        if wait:
            assert buckets.wait(key, now + wait + 1e-6) <= 1e-6


@given(rates, st.integers(1, 10), st.lists(st.floats(-20, 20), max_size=60))
@example(1.0, 10, [0.0] * 9 + [-20.0, 20.0] + [0.0] * 10)
def test_a_clock_that_goes_back_makes_no_tokens(
    rate: float, burst: int, pauses: list[float]
) -> None:
    buckets = Buckets(rate, burst)
    now = 1e9
    times = [now]
    buckets.take("a", now)
    taken = 1
    for pause in pauses:
        now += pause
        times.append(now)
        if not buckets.wait("a", now):
            buckets.take("a", now)
            taken += 1
    assert taken <= burst + (max(times) - 1e9) * rate + 1e-3


def test_giving_back_after_a_while_makes_no_tokens() -> None:
    # A post that began at 0 s failed at 10 s; meanwhile another one was made.
    buckets = Buckets(1.0, 10)
    for _ in range(10):
        buckets.take("a", 0.0)
    for _ in range(10):
        buckets.take("a", 10.0)
    buckets.give_back("a", 0.0)
    left = 0
    while not buckets.wait("a", 10.0):
        buckets.take("a", 10.0)
        left += 1
    assert left == 1


@given(rates, st.integers(1, 10), st.integers(0, 12))
def test_what_is_given_back_can_be_taken_again_and_not_more(
    rate: float, burst: int, times: int
) -> None:
    buckets = Buckets(rate, burst)
    buckets.take("a", 5.0)
    for _ in range(times):
        buckets.give_back("a", 5.0)
    left = 0
    while not buckets.wait("a", 5.0):
        buckets.take("a", 5.0)
        left += 1
    assert left == (burst if times else burst - 1)


def test_buckets_forget_those_who_are_full_again() -> None:
    buckets = Buckets(1.0, 2)
    for n in range(20_000):
        buckets.take(n, float(n))
    assert len(buckets) < 9000


def test_a_rate_of_zero_is_no_limit_and_no_memory() -> None:
    buckets = Buckets(0.0, 1)
    for _ in range(1000):
        assert buckets.wait("a", 0.0) == 0.0
        buckets.take("a", 0.0)
    assert len(buckets) == 0


def test_two_buckets_give_a_token_only_together() -> None:
    limits = Limits((Buckets(1.0, 1), Buckets(1.0, 5)))
    assert limits.take(("a", "x"), 0.0) == 0.0
    for _ in range(10):
        assert limits.take(("a", "x"), 0.0) == pytest.approx(1.0)
    for key in "bcde":
        assert limits.take((key, "x"), 0.0) == 0.0
    assert limits.take(("f", "x"), 0.0) > 0.0


anything = st.text(alphabet=st.characters(exclude_categories=()), max_size=80)


@given(anything)
@example("\x00 a \t\n b\u2028c\ud800\ufffe ")
def test_a_clean_name_is_one_trimmed_line_of_what_xml_can_hold(text: str) -> None:
    name = clean_name(text)
    assert clean_name(name) == name
    assert name == name.strip()
    assert "  " not in name
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
    assert not set(name) & {"\ufffe", "\uffff"}
    name.encode()


@given(anything.map(clean_name))
@example("ϓ")
@example("ΐ")
@example("İ")
@example("\u1e9e")
def test_folding_a_folded_name_changes_nothing(name: str) -> None:
    assert fold_name(fold_name(name)) == fold_name(name)


@given(st.text(alphabet=st.characters(categories=("L", "N")), max_size=20))
def test_names_in_composed_and_decomposed_form_fold_alike(name: str) -> None:
    folded = fold_name(name)
    for form in ("NFC", "NFD"):
        assert fold_name(unicodedata.normalize(form, name)) == folded


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann", "ANN"),
        ("Ann", "Ánn"),
        ("Ann", "Ａｎｎ"),
        ("Ann", "A\u200bnn"),
        ("Ann", "A\u00adnn"),
        ("Ann", "A\u034fnn"),
        ("Ann", "A\ufe0fnn"),
        ("Ann", "A\u3164nn"),
        ("Ann", "A\u2063nn"),
        ("Ann", "A\U000e0041nn"),
        ("Ann", "A\U000e0100nn"),
        ("Ann", "\u202eAnn"),
        ("Ann Lee", "Ann\u00a0Lee"),
        ("Ann Lee", "Ann   Lee"),
        ("Straße", "STRASSE"),
        ("ﬁnn", "finn"),
        ("I", "i"),
        ("İ", "i"),
        ("Σίσυφος", "ΣΙΣΥΦΟΣ"),
        ("é", "e\u0301"),
    ],
)
def test_names_that_differ_in_case_accents_width_or_what_is_invisible_fold_alike(
    one: str, other: str
) -> None:
    assert fold_name(one) == fold_name(other)


@pytest.mark.parametrize(("one", "other"), [("Ann", "Anna"), ("Ann Lee", "AnnLee"), ("山", "川")])
def test_names_that_differ_in_letters_do_not_fold_alike(one: str, other: str) -> None:
    assert fold_name(one) != fold_name(other)


@given(
    st.text(max_size=30)
    | st.from_regex(r"[a-zA-Z]{1,5}://[a-zA-Z0-9.*:\[\]_-]{1,20}(:\d{1,6})?/?", fullmatch=True)
)
@example("https://a.example:٤٤٣")
@example("https://a.example:0443")
@example("HTTP://A.example:80/")
def test_an_origin_is_refused_or_made_what_a_browser_would_send(text: str) -> None:
    try:
        origin = normal_origin(text)
    except ValueError:
        return
    assert normal_origin(origin) == origin
    assert origin.isascii()
    assert origin == origin.lower().strip()
    if origin == "*":
        return
    scheme, _, rest = origin.partition("://")
    assert scheme
    assert "/" not in rest
    host, colon, port = rest.rpartition(":")
    if colon and not rest.endswith("]"):
        assert host
        assert port == str(int(port))
        assert int(port) <= 65535
        assert (scheme, port) not in {("http", "80"), ("https", "443")}


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("*", "*"),
        (" https://Blog.Example.com/ ", "https://blog.example.com"),
        ("https://blog.example.com:443", "https://blog.example.com"),
        ("http://blog.example.com:80/", "http://blog.example.com"),
        ("http://blog.example.com:443", "http://blog.example.com:443"),
        ("https://*.pages.dev", "https://*.pages.dev"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(text: str, origin: str) -> None:
    assert normal_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "blog.example.com",
        "https://",
        "https://*",
        "*://a.example",
        "https://a.*.example",
        "https://a*.example",
        "https://*.*.example",
        "https://a.example/path",
        "https://a.example//",
        "https://a.example?x",
        "https://u@a.example",
        "https://a.example:65536",
        "https://a.example:x",
        "https://bücher.example",
        "https://a b.example",
        "https://a.example\nhttps://b.example",
        "https://a.example; rm -rf ~",
    ],
)
def test_what_is_no_origin_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ValueError, match="must be an origin such as"):
        normal_origin(text)


async def test_two_at_once_on_the_last_token_are_both_answered_with_the_message(
    tmp_path: Path,
) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        for n in range(20):
            token, body = await server.guest(f"Guest {n}"), draft("once")
            answers = await asyncio.gather(
                *(server.call("POST", MESSAGES, body, token=token) for _ in range(4))
            )
            assert {status for status, _, _ in answers} == {200}
            assert sum("Idempotent-Replayed" in headers for _, _, headers in answers) == 3
