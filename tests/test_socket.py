"""A socket's life: signing in, renewing, limits, and the code that ends it (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from talkee_lite.clock import DAY, SECOND, system_clock
from talkee_lite.config import LimitsConfig

from .harness import ROOM, Server, config_in, free_limits, running, until
from .test_frames import auth, connection_of, goodbye, is_well, masked, raw_client


async def code_of(client: ClientConnection) -> int | None:
    """Wait for the server's close; its code."""
    async with asyncio.timeout(10):
        await client.wait_closed()
    return client.close_code


async def answer_to(server: Server, *frames: str | bytes) -> int | None:
    """The code that ends a connection whose client sends these frames first."""
    async with server.listen() as client:
        for frame in frames:
            await client.send(frame)
        return await code_of(client)


def auth_text(token: Any, **more: Any) -> str:
    """An `auth` frame's text."""
    return json.dumps({"type": "auth", "token": token, **more})


async def user_id(server: Server, token: str) -> int:
    """Whose token it is."""
    return (await server.services.tokens.identify(token)).user.id


def set_clock(server: Server, offset: int) -> None:
    """Let everything that looks at sockets' tokens see a time that is `offset` µs ahead."""

    def ahead() -> int:
        return system_clock() + offset

    server.services.sockets.clock = ahead
    server.services.tokens._clock = server.services.sign_ins._clock = ahead


async def refusal(server: Server, room: str = ROOM, **options: Any) -> tuple[int, Any, Any]:
    """Status, body and headers of an upgrade that must be refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{server.ws_url}?{room}", **options):
            pass
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"null"), response.headers


@asynccontextmanager
async def limited(folder: Path, **limits: Any) -> AsyncIterator[Server]:
    """A server with these limits."""
    async with running(config_in(folder, limits=free_limits(**limits))) as server:
        yield server


# Section 3: signing in.


async def test_nothing_is_delivered_before_auth_is_accepted(server: Server) -> None:
    token = await server.guest()
    async with server.listen() as client:
        for n in range(3):
            await server.post(token, f"before {n}")
        await client.send(auth_text(token))
        await until(lambda: server.joined == 1)
        posted = await server.post(token, "after")
        assert json.loads(await client.recv())["message_id"] == posted["message_id"]


async def test_the_server_says_nothing_back_when_auth_is_accepted(server: Server) -> None:
    async with server.listen(await server.guest()) as client:
        await asyncio.wait_for(await client.ping(), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.recv(), 0.05)


async def test_a_refused_connection_gets_no_message(server: Server) -> None:
    token = await server.guest()
    async with raw_client(server.port, auth("x.y.z")) as client:
        frame = await client.frame()
        assert frame is not None
        assert frame[0] == 8
        await server.post(token)
        await client.send(goodbye(4501))
        assert await client.frame() is None


async def test_by_default_auth_must_come_within_ten_seconds() -> None:
    assert LimitsConfig().auth_seconds == 10
    assert LimitsConfig().ping_seconds == 25
    assert LimitsConfig().pong_seconds == 10


@pytest.mark.parametrize("pings", [False, True], ids=["silent", "pinging"])
async def test_a_client_that_sends_no_auth_in_time_is_closed_with_4401(
    tmp_path: Path, pings: bool
) -> None:
    async with limited(tmp_path, auth_seconds=0.3) as server, server.listen() as client:
        if pings:
            await client.ping()
        assert await code_of(client) == 4401


async def test_a_client_that_signed_in_is_past_that_deadline(tmp_path: Path) -> None:
    async with limited(tmp_path, auth_seconds=0.2) as server:
        token = await server.guest()
        async with server.listen(token) as good, server.listen() as silent:
            assert await code_of(silent) == 4401
            posted = await server.post(token)
            assert json.loads(await good.recv())["seq"] == posted["seq"]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "{",
        "null",
        "[]",
        '[{"type": "auth", "token": "x"}]',
        '"auth"',
        "{}",
        '{"token": "x"}',
        '{"type": "auth"}',
        '{"type": "auth", "token": null}',
        '{"type": "auth", "token": 17}',
        '{"type": "auth", "token": ["x"]}',
        '{"type": "AUTH", "token": "x"}',
        '{"type": ["auth"], "token": "x"}',
        '{"type": "message", "token": "x"}',
        '{"type": "auth", "token": NaN}',
        '{"type": "auth", "token": "\\ud800"}',
        "[" * 4000,
        '{"type": "auth", "token": "x"} {}',
    ],
)
async def test_a_first_frame_that_is_no_auth_is_answered_with_4500(
    server: Server, frame: str
) -> None:
    assert await answer_to(server, frame) == 4500


async def test_a_token_that_is_refused_closes_with_4501(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    good = await server.guest()
    claims = jwt.decode(good, options={"verify_signature": False})
    secret = server.services.tokens._secret
    head, body, signature = good.split(".")
    gone = claims | {"jti": "unknown"}
    refused = {
        "empty": "",
        "white space": " ",
        "no token": "x",
        "dots": "..",
        "other secret": jwt.encode(claims, "x" * 32, algorithm="HS256"),
        "cut signature": good[:-3],
        "changed body": f"{head}.{body[:-2]}AA.{signature}",
        "no algorithm": jwt.encode(claims, None, algorithm="none"),
        "other algorithm": jwt.encode(claims, secret + "x" * 64, algorithm="HS512"),
        "HS512 of the same secret": jwt.encode(claims, secret * 2, algorithm="HS512"),
        "no session": jwt.encode(gone, secret, algorithm="HS256"),
        "another's session": jwt.encode(claims | {"user_id": 999}, secret, algorithm="HS256"),
        "outside ASCII": "é" + good,
        "long": "x" * 8000,
    }
    for name in ("exp", "iat", "user_id", "jti"):
        kept = {key: value for key, value in claims.items() if key != name}
        refused[f"without {name}"] = jwt.encode(kept, secret, algorithm="HS256")
        changed = kept | {name: str(claims[name]) if name != "jti" else "1"}
        if name != "iat":
            refused[f"wrong {name}"] = jwt.encode(changed, secret, algorithm="HS256")
    for kind, token in refused.items():
        assert await answer_to(server, auth_text(token)) == 4501, kind
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert good not in caplog.text
    assert await is_well(server)


async def test_a_token_that_was_signed_out_is_refused_with_4501(server: Server) -> None:
    token = await server.guest()
    assert (await server.call("POST", "/api/auth/logout", token=token))[0] == 200
    assert await answer_to(server, auth_text(token)) == 4501


async def test_signing_out_closes_the_sockets_of_that_token_alone(server: Server) -> None:
    first = await server.guest()
    status, answer, _ = await server.call("POST", "/api/auth/renew", token=first)
    assert status == 200
    second = answer["data"]["access_token"]
    other = await server.guest("Bob")
    async with (
        server.listen(first) as gone,
        server.listen(second) as stays,
        server.listen(other) as bob,
    ):
        assert (await server.call("POST", "/api/auth/logout", token=first))[0] == 200
        assert await code_of(gone) == 4501
        posted = await server.post(other)
        for client in (stays, bob):
            assert json.loads(await client.recv())["seq"] == posted["seq"]


async def test_signing_out_everywhere_closes_all_of_a_persons_sockets(server: Server) -> None:
    first = await server.guest()
    _, answer, _ = await server.call("POST", "/api/auth/renew", token=first)
    async with (
        server.listen(first) as one,
        server.listen(answer["data"]["access_token"], room="site_id=1&slug=/b") as two,
    ):
        body = {"everywhere": True}
        assert (await server.call("POST", "/api/auth/logout", body, token=first))[0] == 200
        assert await code_of(one) == await code_of(two) == 4501


async def test_a_good_token_that_has_merely_expired_closes_with_4402(server: Server) -> None:
    token = await server.guest()
    set_clock(server, 31 * DAY)
    assert await answer_to(server, auth_text(token)) == 4402
    forged = token[:-4] + ("AAAA" if not token.endswith("AAAA") else "BBBB")
    assert await answer_to(server, auth_text(forged)) == 4501


async def test_a_token_that_expires_while_open_ends_the_connection_with_4402(
    server: Server,
) -> None:
    token = await server.guest()
    async with server.listen(token) as client:
        set_clock(server, 30 * DAY - 5 * SECOND)
        await asyncio.wait_for(await client.ping(), 5)
        set_clock(server, 30 * DAY + SECOND)
        assert await code_of(client) == 4402


async def renewed(server: Server, token: str) -> str:
    """A second token of the same person that lives 10 days longer."""
    sign_ins, clock = server.services.sign_ins, server.services.sign_ins._clock
    sign_ins._clock = lambda: clock() + 10 * DAY
    try:
        status, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
    finally:
        sign_ins._clock = clock
    assert status == 200
    return str(answer["data"]["access_token"])


async def test_a_later_auth_of_the_same_person_renews_the_connection(server: Server) -> None:
    token = await server.guest()
    longer = await renewed(server, token)
    async with server.listen(token) as client, server.listen(token) as unrenewed:
        await client.send(auth_text(longer, events=True, since={"epoch": "x", "seq": 1}))
        connection = server.services.sockets.connections[0]
        before = connection._expires_at
        await until(lambda: connection._expires_at > before)
        set_clock(server, 31 * DAY)
        assert await code_of(unrenewed) == 4402
        await server.post(longer, "still here")
        frame = json.loads(await client.recv())
        assert frame["type"] == "message"
        set_clock(server, 41 * DAY)
        assert await code_of(client) == 4402


async def test_after_renewing_the_earlier_token_may_be_signed_out(server: Server) -> None:
    token = await server.guest()
    longer = await renewed(server, token)
    async with server.listen(token) as client:
        await client.send(auth_text(longer))
        connection = server.services.sockets.connections[0]
        before = connection.jti
        await until(lambda: connection.jti != before)
        assert (await server.call("POST", "/api/auth/logout", token=token))[0] == 200
        await server.post(longer)
        assert json.loads(await client.recv())["seq"] == 1
        assert (await server.call("POST", "/api/auth/logout", token=longer))[0] == 200
        assert await code_of(client) == 4501


async def test_a_later_auth_of_another_person_closes_with_4501(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    async with server.listen(ann) as client:
        await client.send(auth_text(bob))
        assert await code_of(client) == 4501


async def test_a_later_auth_with_a_bad_token_closes_as_a_first_one_would(server: Server) -> None:
    token = await server.guest()
    async with server.listen(token) as client:
        await client.send(auth_text("nonsense"))
        assert await code_of(client) == 4501


async def test_two_auth_frames_in_a_row_are_looked_at_one_after_the_other(server: Server) -> None:
    ann, bob = await server.guest("Ann"), await server.guest("Bob")
    longer = await renewed(server, ann)
    async with raw_client(server.port, auth(ann) + auth(longer) + auth(ann)) as client:
        connection = connection_of(server, client)
        await until(lambda: connection.entered)
        await server.post(ann)
        assert (await client.message())["seq"] == 1
    for second, code in ((bob, 4501), ("x", 4501)):
        async with raw_client(server.port, auth(ann) + auth(second)) as client:
            assert await client.close_code() == code
    async with raw_client(server.port, auth("x") + auth(ann)) as client:
        assert await client.close_code() == 4501
    await until(lambda: server.services.sockets._by_user == {})


async def test_auth_frames_in_a_row_need_no_memory_of_the_session(server: Server) -> None:
    # As after a restart: who it is must be read from the database first.
    ann = await server.guest("Ann")
    server.services.tokens._sessions.clear()
    server.services.people._users.clear()
    async with raw_client(server.port, auth(ann) + auth(ann) + masked(1, b"x")) as client:
        connection = connection_of(server, client)
        await until(lambda: connection.entered)
        await server.post(ann)
        assert (await client.message())["seq"] == 1


async def test_a_client_that_leaves_while_it_signs_in_is_not_in_the_room(server: Server) -> None:
    ann = await server.guest("Ann")
    for _ in range(10):
        server.services.tokens._sessions.clear()
        async with raw_client(server.port, auth(ann)) as client:
            client.writer.transport.abort()
    await until(lambda: len(server.services.sockets) == 0)
    assert server.services.sockets._by_user == {}
    assert await is_well(server)


async def test_other_text_frames_after_auth_are_ignored(server: Server) -> None:
    token = await server.guest()
    async with server.listen(token) as client:
        for frame in ("", "hello", "[]", "{}", '{"type": "typing"}', '{"type": "auth"}', "{" * 99):
            await client.send(frame)
        await asyncio.wait_for(await client.ping(), 5)
        await server.post(token)
        assert json.loads(await client.recv())["seq"] == 1


async def test_extra_fields_of_auth_are_ignored(server: Server) -> None:
    token = await server.guest()
    async with server.listen() as client:
        await client.send(auth_text(token, since={"seq": "?"}, visitor=7, lang=None))
        await until(lambda: server.joined == 1)
        await asyncio.wait_for(await client.ping(), 5)


async def test_a_token_in_the_address_is_no_auth(tmp_path: Path) -> None:
    async with limited(tmp_path, auth_seconds=0.1) as server:
        token = await server.guest()
        async with server.listen(room=f"{ROOM}&token={token}&access_token={token}") as client:
            assert await code_of(client) == 4401


async def test_a_banned_person_is_told_so_with_4503(server: Server) -> None:
    token = await server.guest()
    people = server.services.people
    user = await people.get(await user_id(server, token))
    people.remember(replace(user, banned_until=system_clock() + DAY))
    assert await answer_to(server, auth_text(token)) == 4503
    people.remember(replace(user, banned_until=system_clock() - SECOND))
    async with server.listen(token):
        pass


# Sections 8 and 10: codes, and limits on connections.


async def test_a_person_with_too_many_connections_loses_the_oldest_with_4409(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, connections_per_user=2) as server:
        ann, bob = await server.guest("Ann"), await server.guest("Bob")
        async with AsyncExitStack() as stack:
            other = await stack.enter_async_context(server.listen(bob))
            first, second = [
                await stack.enter_async_context(server.listen(ann, room=f"site_id=1&slug=/{n}"))
                for n in range(2)
            ]
            third = await stack.enter_async_context(raw_client(server.port, auth(ann)))
            assert await code_of(first) == 4409
            connection = connection_of(server, third)
            await until(lambda: connection.entered)
            await server.post(ann)
            assert (await third.message())["seq"] == 1
            assert json.loads(await other.recv())["seq"] == 1
            await server.post(ann, room="site_id=1&slug=/1")
            assert json.loads(await second.recv())["seq"] == 1
            fourth = await stack.enter_async_context(raw_client(server.port, auth(ann)))
            assert await code_of(second) == 4409
            await third.send(goodbye())
            assert await third.close_code() == 1000
            await fourth.send(masked(9, b""))
            assert (await fourth.frame()) == (10, b"")


async def test_renewing_does_not_count_as_one_more_connection(tmp_path: Path) -> None:
    async with limited(tmp_path, connections_per_user=1) as server:
        token = await server.guest()
        async with server.listen(token) as client:
            for _ in range(3):
                await client.send(auth_text(token))
            await asyncio.wait_for(await client.ping(), 5)
            await server.post(token)
            assert json.loads(await client.recv())["seq"] == 1


async def test_one_address_may_open_so_many_and_the_next_is_429_before_the_upgrade(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, connections_per_address=2) as server:
        async with server.listen(), server.listen() as second:
            status, body, headers = await refusal(server)
            assert (status, body["code"], body["error"]) == (429, 429, "too_many_connections")
            assert int(headers["Retry-After"]) >= 1
            assert body["msg"]
            assert body["request_id"]
            elsewhere = {"X-Forwarded-For": "198.51.100.7"}
            async with connect(f"{server.ws_url}?{ROOM}", additional_headers=elsewhere):
                pass
            await second.close()
            await until(lambda: len(server.services.sockets) == 1)
            async with server.listen():
                assert (await refusal(server))[0] == 429
        assert server.services.sockets._by_address in ({}, {"127.0.0.1": 1}, {"127.0.0.1": 2})
        await until(lambda: server.services.sockets._by_address == {})


async def test_one_network_of_ipv6_counts_as_one_address(tmp_path: Path) -> None:
    async with limited(tmp_path, connections_per_address=1) as server:

        def of(address: str) -> Any:
            headers = {"X-Forwarded-For": address}
            return connect(f"{server.ws_url}?{ROOM}", additional_headers=headers)

        async with of("2001:db8:1:2::1"), of("2001:db8:1:3::1"):
            with pytest.raises(InvalidStatus):
                async with of("2001:db8:1:2:ffff::9"):
                    pass


async def test_so_many_connections_in_all_and_the_next_is_429(tmp_path: Path) -> None:
    async with limited(tmp_path, connections=2) as server, server.listen():
        async with connect(
            f"{server.ws_url}?{ROOM}", additional_headers={"X-Forwarded-For": "198.51.100.7"}
        ):
            other = {"X-Forwarded-For": "198.51.100.8"}
            status, body, _ = await refusal(server, additional_headers=other)
            assert (status, body["error"]) == (429, "too_many_connections")
        await until(lambda: len(server.services.sockets) == 1)
        async with server.listen():
            pass


async def test_a_wrong_room_is_said_before_a_limit(tmp_path: Path) -> None:
    async with limited(tmp_path, connections=1) as server, server.listen():
        assert (await refusal(server, "site_id=x&slug=/a"))[1]["error"] == "invalid_site_id"
        assert (await refusal(server, "site_id=7&slug=/a"))[1]["error"] == "site_not_found"
        assert (await refusal(server, "site_id=1&slug="))[1]["error"] == "invalid_slug"
        evil = {"Origin": "https://evil.example"}
        answer = await refusal(server, additional_headers=evil)
        assert answer[1]["error"] == "origin_not_allowed"
        assert (await refusal(server))[1]["error"] == "too_many_connections"


async def test_no_upgrade_is_426_and_says_what_is_needed(server: Server) -> None:
    status, body, headers = await server.call("GET", f"/ws?{ROOM}")
    assert (status, body["error"]) == (426, "upgrade_required")
    assert headers["Upgrade"] == "websocket"
    assert headers["Sec-WebSocket-Version"] == "13"


async def test_each_room_hears_its_own_messages_only(server: Server) -> None:
    token = await server.guest()
    async with server.listen(token) as here, server.listen(token, room="site_id=1&slug=/b") as b:
        await server.post(token, "here")
        posted = await server.post(token, "there", room="site_id=1&slug=/b")
        assert json.loads(await b.recv())["message_id"] == posted["message_id"]
        await here.recv()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(here.recv(), 0.05)


async def test_a_pushed_frame_is_the_message_with_its_type(server: Server) -> None:
    token = await server.guest()
    async with server.listen(token) as client:
        posted = await server.post(token, "é 😀")
        frame = json.loads(await client.recv())
    assert frame == posted | {"type": "message"}
    (listed,) = (await server.latest(token))["data"]
    assert listed == posted


async def test_extensions_and_subprotocols_are_not_negotiated(server: Server) -> None:
    async with connect(f"{server.ws_url}?{ROOM}") as client:
        assert client.response is not None
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        assert "Sec-WebSocket-Protocol" not in client.response.headers
