"""Errors: every one has the same shape, and none of them tells what it should not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any

import pytest

from talkee_lite.errors import all_refusals

from .harness import ROOM, Server, draft, exchange
from .test_rooms import parse_answer, raw_call


def assert_error(answer: Any, headers: Any, status: int, error: str) -> None:
    """One error answer: all required members, the same status twice, the same id twice."""
    assert set(answer) - {"field", "suggestion", "cure"} == {"code", "error", "msg", "request_id"}
    assert (answer["code"], answer["error"]) == (status, error)
    assert isinstance(answer["msg"], str)
    assert answer["msg"].endswith(".")
    known = {name.lower(): value for name, value in headers.items()}
    assert known["x-request-id"] == answer["request_id"]
    assert known["content-type"] == "application/json; charset=utf-8"
    assert known["cache-control"] == "no-store"


def assert_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing louder than INFO, and no traceback, was logged."""
    for record in caplog.records:
        assert record.exc_info is None, record.getMessage()
        assert record.levelno <= logging.INFO, record.getMessage()


# What the framework answers by itself.


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api",
        "/api/nothing",
        "/ws/nothing",
        "/hc/x",
        "//hc",
        "/api//me",
        "/API/me",
        "/%2e%2e/etc/passwd",
        "/../talkee.db",
        "/api/%00",
        "/%FF%FE",
        "/api/avatars/1.png",
        "/" + "x" * 4000,
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_an_address_without_anything_behind_it_is_not_found(
    server: Server, caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    caplog.set_level(logging.INFO)
    answer = await raw_call(server, path, method=method)
    assert answer.status == 404
    assert_error(answer.body, answer.headers, 404, "not_found")
    assert_quiet(caplog)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/ws", {"GET", "HEAD"}),
        ("POST", "/ws", {"GET", "HEAD"}),
        ("PUT", "/ws/messages", {"GET", "HEAD", "POST"}),
        ("PATCH", "/api/messages/", {"GET", "HEAD", "POST"}),
        ("GET", "/api/auth/login", {"POST"}),
        ("HEAD", "/api/auth/login", {"POST"}),
        ("POST", "/api/me", {"DELETE", "GET", "HEAD", "PATCH"}),
        ("POST", "/hc", {"GET", "HEAD"}),
        ("OPTIONS", "/api/me", {"DELETE", "GET", "HEAD", "PATCH"}),
        ("TRACE", "/api/me", {"DELETE", "GET", "HEAD", "PATCH"}),
        ("POST", "/api/avatars/1.svg", {"GET", "HEAD"}),
    ],
)
async def test_a_method_that_an_address_does_not_take_is_405_and_says_which_it_takes(
    server: Server,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    allowed: set[str],
) -> None:
    caplog.set_level(logging.INFO)
    answer = await raw_call(server, path, method=method)
    assert answer.status == 405
    assert {name.strip() for name in answer.headers["allow"].split(",")} == allowed
    if method != "HEAD":
        assert_error(answer.body, answer.headers, 405, "method_not_allowed")
    assert_quiet(caplog)


async def test_a_body_over_the_limit_is_413(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    status, answer, headers = await server.call(
        "POST",
        "/api/auth/login",
        data=b" " * 200_000,
        headers={"Content-Type": "application/json"},
    )
    assert status == 413
    assert_error(answer, headers, 413, "too_large")
    assert_quiet(caplog)


async def test_an_expectation_other_than_100_continue_is_417(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for path in ("/api/auth/login", f"/ws/messages?{ROOM}"):
        answer = await raw_call(
            server, path, "Expect: tea", "Content-Length: 2", method="POST", body=b"{}"
        )
        assert answer.status == 417
        assert_error(answer.body, answer.headers, 417, "expectation_failed")
    assert_quiet(caplog)


async def test_a_client_that_expects_100_continue_is_asked_for_its_body(server: Server) -> None:
    body = json.dumps({"method": "guest", "full_name": "Ann"}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    interim = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert interim.startswith(b"HTTP/1.1 100 ")
    writer.write(body)
    answer = parse_answer(await asyncio.wait_for(reader.read(), 5))
    writer.close()
    assert (answer.status, answer.body["data"]["user"]["full_name"]) == (200, "Ann")


# What is no HTTP.


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /hc HTTP/9\r\n\r\n",
        b"G\x00T /hc HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"GET /hc HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"\x00" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_as_json_too_and_the_connection_ends(
    server: Server, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    caplog.set_level(logging.INFO)
    async with asyncio.timeout(4):
        answer = parse_answer(await exchange(server.port, sent, 5))
    assert answer.status == 400
    assert_error(answer.body, answer.headers, 400, "bad_request")
    assert_quiet(caplog)


BODY_OF_LOGIN = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


GZIP = b"Content-Encoding: gzip\r\nContent-Length: 8\r\n\r\n"
DEFLATE = b"Content-Encoding: deflate\r\nContent-Length: 8\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "rest", "in_one_piece"),
    [
        (CHUNKED + b"2\r\n{}\r\n", b"not a size\r\n\r\n", True),
        (CHUNKED + b"2\r\n{}\r\n", b"not a size\r\n\r\n", False),
        (CHUNKED, b"-5\r\n{}\r\n0\r\n\r\n", True),
        (CHUNKED, b"-5\r\n{}\r\n0\r\n\r\n", False),
        (GZIP, b"not gzip", True),
        (GZIP, b"not gzip", False),
        (DEFLATE, b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", True),
        (DEFLATE, b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8", False),
    ],
)
async def test_a_body_that_turns_out_broken_is_the_clients_fault(
    server: Server,
    caplog: pytest.LogCaptureFixture,
    head: bytes,
    rest: bytes,
    in_one_piece: bool,
) -> None:
    caplog.set_level(logging.INFO)
    start = BODY_OF_LOGIN + b"Connection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        if in_one_piece:
            writer.write(start + head + rest)
        else:
            # The server asks for the body: it is in the middle of the request when that comes.
            fields, _, begun = head.partition(b"\r\n\r\n")
            writer.write(start + b"Expect: 100-continue\r\n" + fields + b"\r\n\r\n")
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            writer.write(begun + rest)
        received = await asyncio.wait_for(reader.read(), 3)
    finally:
        writer.close()
    answer = parse_answer(received)
    assert answer.status == 400
    assert_error(answer.body, answer.headers, 400, "bad_request")
    assert_quiet(caplog)


@pytest.mark.parametrize("cut", [20, 90, 140])
async def test_a_client_that_leaves_at_any_point_leaves_no_traceback(
    server: Server, caplog: pytest.LogCaptureFixture, cut: int
) -> None:
    caplog.set_level(logging.INFO)
    request = BODY_OF_LOGIN + b'Content-Length: 100\r\n\r\n{"method":"guest","full_name":"Ann"'
    for reset in (False, True):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request[:cut])
        await writer.drain()
        if reset:
            writer.transport.abort()
        else:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    # The server goes on, and by now has noticed.
    assert (await server.call("GET", "/hc"))[0] == 200
    assert_quiet(caplog)


# What goes wrong here.


async def test_a_fault_of_ours_is_500_and_says_nothing_of_the_cause_but_the_log_does(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(user_id: int) -> None:
        raise RuntimeError("the hidden cause")

    monkeypatch.setattr(server.services.people, "get_public", broken)
    status, answer, headers = await server.call(
        "GET", "/api/users/7", headers={"Origin": "http://localhost:1"}
    )
    assert status == 500
    assert_error(answer, headers, 500, "internal_error")
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:1"
    assert "hidden" not in json.dumps(answer)
    assert "RuntimeError" not in json.dumps(answer)
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert answer["request_id"] in record.getMessage()
    assert record.exc_info is not None
    assert "the hidden cause" in str(record.exc_info[1])
    monkeypatch.undo()
    assert (await server.call("GET", "/api/users/7"))[0] == 404


# What is the client's fault is no news.


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ws", 400),
        ("GET", "/ws?site_id=9&slug=/a", 404),
        ("GET", f"/ws?{ROOM}", 426),
        ("GET", f"/ws/messages?{ROOM}", 401),
        ("POST", f"/ws/messages?{ROOM}", 415),
        ("POST", "/api/auth/login", 415),
        ("POST", "/api/auth/renew", 401),
        ("GET", "/api/me", 401),
        ("GET", "/api/users/x", 404),
        ("GET", "/api/sites/9", 404),
        ("GET", "/api/slugs", 400),
    ],
)
async def test_a_refusal_is_one_line_in_the_log_with_the_id_that_the_client_was_told(
    server: Server, caplog: pytest.LogCaptureFixture, method: str, path: str, status: int
) -> None:
    caplog.set_level(logging.INFO)
    got, answer, headers = await server.call(method, path)
    assert got == status
    assert_error(answer, headers, status, answer["error"])
    (line,) = [r for r in caplog.records if answer["request_id"] in r.getMessage()]
    assert f"error={answer['error']}" in line.getMessage()
    assert_quiet(caplog)


async def test_every_request_has_an_id_of_its_own_which_is_not_the_clients(server: Server) -> None:
    seen = set()
    for _ in range(5):
        for path in ("/hc", "/api/me", "/nothing"):
            _, _, headers = await server.call("GET", path, headers={"X-Request-Id": "mine"})
            seen.add(headers["X-Request-Id"])
    assert len(seen) == 15
    assert "mine" not in seen


async def test_an_invented_address_is_not_written_into_the_log(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await raw_call(server, "/secret-in-a-path?token=secret-in-a-query")
    await raw_call(server, "/api/me?access_token=secret-in-a-query")
    await raw_call(server, "/api/users/secret-in-a-path")
    lines = [r.getMessage() for r in caplog.records if r.name.startswith(("talkee", "aiohttp"))]
    assert not [line for line in lines if "secret" in line]


async def test_nothing_that_a_client_sends_can_forge_a_line_of_the_log(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await raw_call(server, f"/api/slugs?{ROOM}", 'Origin: http://x\u2028forged=1 status="2"\x1b[1m')
    await raw_call(server, "/api/slugs?site_id=1%0Aforged&slug=/a", "Origin: http://y.example")
    for record in caplog.records:
        assert record.getMessage().isprintable()


async def test_an_address_in_the_log_is_shortened(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for address in ("203.0.113.77", "2001:db8:1:2:3:4:5:6"):
        await raw_call(server, "/api/me", f"X-Forwarded-For: {address}")
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "203.0.113.x" in logged
    assert "203.0.113.77" not in logged
    assert "2001:db8:1::" in logged
    assert "2001:db8:1:2" not in logged


def test_every_code_is_one_word_with_one_sentence_and_codes_name_one_status_each() -> None:
    statuses: dict[str, int] = {}
    for refusal in all_refusals():
        assert refusal.code == refusal.code.lower().strip()
        assert refusal.code.replace("_", "").isalpha()
        assert refusal.sentence.endswith(".")
        assert 400 <= refusal.status <= 599
        assert statuses.setdefault(refusal.code, refusal.status) == refusal.status


async def test_a_head_request_is_answered_as_a_get_without_a_body(server: Server) -> None:
    for path in ("/hc", "/api/me", "/api/slugs", "/nothing", "/api/avatars/1.svg"):
        async with server.session.get(server.url + path) as got:
            expected = got.status, got.headers["Content-Type"]
        async with server.session.head(server.url + path) as response:
            assert (response.status, response.headers["Content-Type"]) == expected
            assert await response.read() == b""


async def test_a_connection_goes_on_after_an_error(server: Server) -> None:
    token = await server.guest()
    body = json.dumps(draft()).encode()
    request = (
        f"POST /ws/messages?{ROOM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {{}}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for sent, status in (("wrong", b"401"), (token, b"200")):
            writer.write(request.format(sent).encode() + body)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            assert head.split()[1] == status
            length = parse_answer(head).headers["content-length"]
            await reader.readexactly(int(length))
    finally:
        writer.close()


@pytest.mark.parametrize("request_line", ["GET /nothing", "POST /hc", "GET /api/assets"])
async def test_an_expectation_that_is_not_met_is_refused_everywhere(
    server: Server, caplog: pytest.LogCaptureFixture, request_line: str
) -> None:
    head = f"{request_line} HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n"
    answer = parse_answer(await exchange(server.port, head.encode()))
    assert answer.status == 417
    assert_error(answer.body, answer.headers, 417, "expectation_failed")
    assert_quiet(caplog)
