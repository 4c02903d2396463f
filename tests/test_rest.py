"""The REST calls: signing in and out, people, sites, and how the server is doing."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jwt
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from talkee_lite.clock import DAY, SECOND
from talkee_lite.config import AuthConfig, Config, SiteConfig
from talkee_lite.version import VERSION

from .harness import (
    JSON,
    ROOM,
    Server,
    config_in,
    draft,
    encode,
    free_limits,
    running,
    until,
)
from .test_posting import held_by_another_program

GUEST = {"method": "guest", "full_name": "Ann"}


def assert_enveloped(answer: Any) -> Any:
    """What stands in the envelope of a REST answer."""
    assert set(answer) == {"ts", "data"}
    assert abs(answer["ts"] - time.time() * 1000) < 60_000
    return answer["data"]


async def sign_in(server: Server, **fields: Any) -> tuple[int, Any]:
    status, answer, _ = await server.call("POST", "/api/auth/login", GUEST | fields)
    return status, answer


async def is_alive(server: Server, token: str) -> bool:
    """Whether a token counts, at every place that asks for one."""
    statuses = {
        (await server.call("GET", path, token=token))[0]
        for path in ("/api/me", f"/ws/messages?{ROOM}", f"/api/messages?{ROOM}&after=0")
    }
    assert len(statuses) == 1
    return statuses == {200}


# Signing in.


async def test_signing_in_as_a_guest_gives_a_token_and_the_user(server: Server) -> None:
    status, answer = await sign_in(server, full_name="  Ann \t Lee ", lang="de", other=[1])
    assert status == 200
    data = assert_enveloped(answer)
    assert set(data) == {"access_token", "user"}
    user = data["user"]
    assert (user["full_name"], user["kind"]) == ("Ann Lee", "guest")
    claims = jwt.decode(data["access_token"], options={"verify_signature": False})
    assert type(claims["user_id"]) is int
    assert claims["user_id"] == user["id"]
    assert jwt.get_unverified_header(data["access_token"])["alg"] == "HS256"
    assert claims["exp"] - claims["iat"] == 30 * 24 * 3600
    assert abs(claims["iat"] - time.time()) < 60
    status, answer, _ = await server.call("GET", "/api/me", token=data["access_token"])
    assert (status, assert_enveloped(answer)) == (200, user)


async def test_two_guests_of_one_name_are_two_people(server: Server) -> None:
    users = [(await sign_in(server))[1]["data"]["user"] for _ in range(2)]
    assert users[0]["id"] != users[1]["id"]
    assert users[0]["mixin_user_id"] != users[1]["mixin_user_id"]
    assert all(uuid.UUID(user["mixin_user_id"]) for user in users)


async def test_an_answer_that_holds_a_token_is_kept_by_no_cache(server: Server) -> None:
    _, _, headers = await server.call("POST", "/api/auth/login", GUEST)
    assert headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({}, "invalid_body", "method"),
        ({"method": None, "full_name": "Ann"}, "invalid_body", "method"),
        ({"method": ["guest"], "full_name": "Ann"}, "invalid_body", "method"),
        ({"method": "guest"}, "invalid_body", "full_name"),
        ({"method": "guest", "full_name": 7}, "invalid_body", "full_name"),
        ({"method": "", "full_name": "Ann"}, "method_not_offered", "method"),
        ({"method": "Guest", "full_name": "Ann"}, "method_not_offered", "method"),
        ({"method": "magic"}, "method_not_offered", "method"),
        ({"method": "password", "username": "a", "password": "b"}, "method_not_offered", "method"),
        ({"method": "mvm"}, "method_not_offered", "method"),
        (GUEST | {"lang": 7}, "invalid_body", "lang"),
        (GUEST | {"lang": "deu"}, "invalid_body", "lang"),
        (GUEST | {"lang": "d1"}, "invalid_body", "lang"),
        (GUEST | {"lang": "äö"}, "invalid_body", "lang"),
        (GUEST | {"full_name": ""}, "invalid_name", "full_name"),
        (GUEST | {"full_name": " \t\n "}, "invalid_name", "full_name"),
        (GUEST | {"full_name": "\u200b\u2060\u00ad"}, "invalid_name", "full_name"),
        (GUEST | {"full_name": "\x00\x1b\x7f"}, "invalid_name", "full_name"),
        (GUEST | {"full_name": "x" * 65}, "invalid_name", "full_name"),
        (GUEST | {"full_name": "😀" * 65}, "invalid_name", "full_name"),
    ],
)
async def test_a_sign_in_that_cannot_be_is_refused_and_names_the_field(
    server: Server, body: JSON, error: str, field: str
) -> None:
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    assert (status, answer["error"], answer["field"]) == (400, error, field)
    rows = await server.services.db.fetch("select id from users", {})
    assert rows == []


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("x", "x"),
        ("x" * 64, "x" * 64),
        (" " + "😀" * 64 + " ", "😀" * 64),
        ("a\x00b\x1bc", "abc"),
        ("a\nb\tc", "a b c"),
        ("a\u2028b", "a b"),
        ("a\ufffeb\uffffc", "abc"),
        ("<b>&amp;'\"", "<b>&amp;'\""),
        ("日本語", "日本語"),
        ("e\u0301", "e\u0301"),
    ],
)
async def test_a_name_is_cleaned_and_otherwise_kept(server: Server, typed: str, name: str) -> None:
    status, answer = await sign_in(server, full_name=typed)
    assert (status, answer["data"]["user"]["full_name"]) == (200, name)


async def test_the_methods_are_those_that_are_switched_on(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        status, answer, _ = await server.call("GET", "/api/auth/methods")
        assert status == 200
        assert [method["method"] for method in assert_enveloped(answer)] == ["guest"]
    async with running(config_in(tmp_path, auth=AuthConfig(guest=False))) as server:
        _, answer, _ = await server.call("GET", "/api/auth/methods")
        assert answer["data"] == []
        status, answer = await sign_in(server)
        assert (status, answer["error"]) == (400, "method_not_offered")


@pytest.mark.parametrize(
    "typed",
    ["Ann Lee", "ann  LEE", "Ánn Lee", "Ａｎｎ Ｌｅｅ", "A\u200bnn L\u00adee", "\u202eAnn Lee"],
)
async def test_a_name_that_the_owner_listed_is_reserved_in_every_spelling(
    tmp_path: Path, typed: str
) -> None:
    config = config_in(tmp_path, auth=AuthConfig(reserved_names=("Ann Lee",)))
    async with running(config) as server:
        status, answer = await sign_in(server, full_name=typed)
        assert (status, answer["error"], answer["field"]) == (409, "name_reserved", "full_name")
        suggestion = answer["suggestion"]
        status, answer = await sign_in(server, full_name=suggestion)
        assert (status, answer["data"]["user"]["full_name"]) == (200, suggestion)
        # The same check stands before a change of the name.
        token = answer["data"]["access_token"]
        status, answer, _ = await server.call("PATCH", "/api/me", {"full_name": typed}, token=token)
        assert (status, answer["error"]) == (409, "name_reserved")
        assert answer["suggestion"]


async def test_a_suggestion_for_the_longest_name_is_itself_a_name(tmp_path: Path) -> None:
    config = config_in(tmp_path, auth=AuthConfig(reserved_names=("x" * 64,)))
    async with running(config) as server:
        _, answer = await sign_in(server, full_name="x" * 64)
        assert (await sign_in(server, full_name=answer["suggestion"]))[0] == 200


# The pace of sign-ins.


async def test_sign_ins_of_an_address_are_counted_by_the_minute_and_by_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = free_limits(logins_per_minute=3, logins_per_hour=5)
    async with running(config_in(tmp_path, limits=limits)) as server:
        now = 1000.0
        monkeypatch.setattr(server.services, "pace_clock", lambda: now)

        async def attempt(address: str = "203.0.113.1") -> tuple[int, int]:
            status, answer, headers = await server.call(
                "POST", "/api/auth/login", GUEST, headers={"X-Forwarded-For": address}
            )
            if status == 429:
                assert answer["error"] == "rate_limited"
            return status, int(headers.get("Retry-After", 0))

        for _ in range(3):
            assert await attempt() == (200, 0)
        assert await attempt() == (429, 20)
        assert (await attempt("203.0.113.2"))[0] == 200
        now += 20
        assert (await attempt())[0] == 200
        now += 60
        assert (await attempt())[0] == 200
        # Five within the hour: now the slower of the two limits counts.
        status, wait = await attempt()
        assert (status, wait > 60) == (429, True)
        now += wait
        assert (await attempt())[0] == 200


async def test_people_of_one_ipv6_network_share_the_pace_of_sign_ins(tmp_path: Path) -> None:
    limits = free_limits(logins_per_minute=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        statuses = []
        for address in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"):
            status, _, _ = await server.call(
                "POST", "/api/auth/login", GUEST, headers={"X-Forwarded-For": address}
            )
            statuses.append(status)
    assert statuses == [200, 429, 200]


async def test_a_renewal_counts_as_a_sign_in_and_mistakes_in_a_body_do_not(tmp_path: Path) -> None:
    limits = free_limits(logins_per_minute=2)
    async with running(config_in(tmp_path, limits=limits)) as server:
        for _ in range(5):
            assert (await server.call("POST", "/api/auth/login", {"method": "guest "}))[0] == 400
        token = await server.guest()
        assert (await server.call("POST", "/api/auth/renew", token=token))[0] == 200
        assert (await server.call("POST", "/api/auth/renew", token=token))[0] == 429


# Tokens.


def claims_of(token: str) -> JSON:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def secret_of(server: Server) -> str:
    return server.services.tokens._secret


FORGERIES: dict[str, Callable[[JSON, str], str]] = {
    "alg none": lambda claims, key: jwt.encode(claims, "", algorithm="none"),
    "another key": lambda claims, key: jwt.encode(claims, "k" * 48, algorithm="HS256"),
    "an empty key": lambda claims, key: jwt.encode(claims, " " * 48, algorithm="HS256"),
    "HS384": lambda claims, key: jwt.encode(claims, key, algorithm="HS384"),
    "HS512": lambda claims, key: jwt.encode(claims, key, algorithm="HS512"),
    "no exp": lambda claims, key: _signed(claims, key, exp=...),
    "no iat": lambda claims, key: _signed(claims, key, iat=...),
    "no jti": lambda claims, key: _signed(claims, key, jti=...),
    "no user_id": lambda claims, key: _signed(claims, key, user_id=...),
    "an exp that is a text": lambda claims, key: _signed(claims, key, exp="soon"),
    "an exp that is null": lambda claims, key: _signed(claims, key, exp=None),
    "a user_id that is a text": lambda claims, key: _signed(
        claims, key, user_id=str(claims["user_id"])
    ),
    "a user_id that is true": lambda claims, key: _signed(claims, key, user_id=True),
    "somebody else": lambda claims, key: _signed(claims, key, user_id=claims["user_id"] + 1),
    "another jti": lambda claims, key: _signed(claims, key, jti="x" * 22),
    "a jti that is a list": lambda claims, key: _signed(claims, key, jti=[claims["jti"]]),
    "a jti that is null": lambda claims, key: _signed(claims, key, jti=None),
    "not yet": lambda claims, key: _signed(claims, key, nbf=int(time.time()) + 3600),
    "nothing": lambda claims, key: jwt.encode({}, key, algorithm="HS256"),
    "a changed payload": lambda claims, key: _with_payload_changed(
        jwt.encode(claims, key, algorithm="HS256")
    ),
    "no signature": lambda claims, key: (
        jwt.encode(claims, key, algorithm="HS256").rpartition(".")[0] + "."
    ),
    "two parts": lambda claims, key: jwt.encode(claims, key, algorithm="HS256").rpartition(".")[0],
    "words": lambda claims, key: "not a token",
    "dots": lambda claims, key: "..",
    "a long one": lambda claims, key: "a" * 3000 + "." + "b" * 3000 + ".c",
}


def _signed(claims: JSON, key: str, **changes: Any) -> str:
    changed = {k: v for k, v in (claims | changes).items() if v is not ...}
    # PyJWT refuses to write some of what it must refuse to read.
    return jwt.PyJWS().encode(json.dumps(changed).encode(), key, "HS256")


def _with_payload_changed(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload[:-2]}{'AA' if payload[-2:] != 'AA' else 'BB'}.{signature}"


@pytest.mark.parametrize("forgery", list(FORGERIES))
async def test_a_token_that_is_not_one_of_ours_is_refused_everywhere(
    server: Server, forgery: str
) -> None:
    await server.guest("Bob")
    token = await server.guest()
    forged = FORGERIES[forgery](claims_of(token), secret_of(server))
    assert forged != token
    assert not await is_alive(server, forged)
    for path in ("/api/auth/renew", "/api/auth/logout"):
        status, answer, _ = await server.call("POST", path, token=forged)
        assert (status, answer["error"]) == (401, "unauthorized")
    assert await is_alive(server, token)


async def test_the_forgeries_of_this_file_differ_from_what_is_accepted_by_one_thing_each(
    server: Server,
) -> None:
    token = await server.guest()
    again = _signed(claims_of(token), secret_of(server), harmless="extra")
    assert await is_alive(server, again)


async def test_the_scheme_of_a_token_counts_in_any_case(server: Server) -> None:
    token = await server.guest()
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
        status, _, _ = await server.call(
            "GET", "/api/me", headers={"Authorization": f"{scheme} {token}"}
        )
        assert status == 200


def set_clock(monkeypatch: pytest.MonkeyPatch, server: Server, now: Callable[[], int]) -> None:
    services = server.services
    for part in (services.tokens, services.people, services.sign_ins):
        monkeypatch.setattr(part, "_clock", now)


async def test_a_token_lives_as_long_as_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_in(tmp_path, auth=AuthConfig(token_days=2))) as server:
        token = await server.guest()
        end = claims_of(token)["exp"] * SECOND
        set_clock(monkeypatch, server, lambda: end - 1)
        assert await is_alive(server, token)
        set_clock(monkeypatch, server, lambda: end)
        assert not await is_alive(server, token)


@pytest.mark.parametrize(
    ("late", "expected"),
    [(-1, 200), (0, 200), (7 * DAY - 1, 200), (7 * DAY, 401), (8 * DAY, 401), (400 * DAY, 401)],
)
async def test_a_token_can_be_renewed_while_it_is_valid_and_for_seven_days_after(
    server: Server, monkeypatch: pytest.MonkeyPatch, late: int, expected: int
) -> None:
    token = await server.guest()
    _, me, _ = await server.call("GET", "/api/me", token=token)
    now = claims_of(token)["exp"] * SECOND + late
    set_clock(monkeypatch, server, lambda: now)
    status, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
    assert status == expected
    if expected == 200:
        data = answer["data"]
        assert data["user"] == me["data"]
        assert data["access_token"] != token
        assert claims_of(data["access_token"])["exp"] == now // SECOND + 30 * 24 * 3600
        assert await is_alive(server, data["access_token"])
    else:
        assert answer["error"] == "unauthorized"


async def test_an_expired_token_can_be_renewed_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
    async with running(config) as server:
        now = claims_of(token)["exp"] * SECOND + 6 * DAY
        set_clock(monkeypatch, server, lambda: now)
        await server.services.people.sweep()
        status, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
        assert status == 200
        assert await is_alive(server, answer["data"]["access_token"])


async def test_renewing_without_a_token_is_unauthorized(server: Server) -> None:
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Basic x"}):
        status, answer, _ = await server.call("POST", "/api/auth/renew", headers=headers)
        assert (status, answer["error"]) == (401, "unauthorized")


async def test_tokens_count_after_a_restart_and_not_with_another_secret(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
    async with running(config) as server:
        assert await is_alive(server, token)
    other = replace(config, auth=AuthConfig(jwt_secret="another secret of 32 bytes or more"))
    async with running(other) as server:
        assert not await is_alive(server, token)


# Signing out.


async def close_code(client: ClientConnection) -> int:
    """Wait for the server to close; with which code."""
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code


@pytest.mark.parametrize("body", [None, {}, {"everywhere": False}])
async def test_signing_out_ends_this_token_alone_and_its_sockets_at_once(
    server: Server, body: JSON | None
) -> None:
    token = await server.guest()
    _, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
    other = answer["data"]["access_token"]
    async with server.listen(token) as ended, server.listen(other) as kept:
        status, answer, _ = await server.call("POST", "/api/auth/logout", body, token=token)
        assert (status, assert_enveloped(answer)) == (200, None)
        assert await close_code(ended) == 4501
        assert not await is_alive(server, token)
        assert await is_alive(server, other)
        await server.post(other, "still here")
        assert encode("still here") in str(await kept.recv())
    assert (await server.call("POST", "/api/auth/renew", token=token))[0] == 401
    assert (await server.call("POST", "/api/auth/logout", token=token))[0] == 401


async def test_signing_out_everywhere_ends_all_of_the_persons_tokens_and_sockets(
    server: Server,
) -> None:
    token, bystander = await server.guest(), await server.guest("Bob")
    _, answer, _ = await server.call("POST", "/api/auth/renew", token=token)
    other = answer["data"]["access_token"]
    async with (
        server.listen(token) as one,
        server.listen(other) as two,
        server.listen(bystander) as kept,
    ):
        status, _, _ = await server.call(
            "POST", "/api/auth/logout", {"everywhere": True}, token=token
        )
        assert status == 200
        assert [await close_code(client) for client in (one, two)] == [4501, 4501]
        await server.post(bystander)
        assert await kept.recv()
    for ended in (token, other):
        assert not await is_alive(server, ended)
        assert (await server.call("POST", "/api/auth/renew", token=ended))[0] == 401
    assert await is_alive(server, bystander)


async def test_a_token_that_was_signed_out_stays_so_after_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest()
        await server.call("POST", "/api/auth/logout", token=token)
    async with running(config) as server:
        assert not await is_alive(server, token)


@pytest.mark.parametrize("value", [1, "true", None, [], {}])
async def test_everywhere_is_true_or_false(server: Server, value: Any) -> None:
    token = await server.guest()
    status, answer, _ = await server.call(
        "POST", "/api/auth/logout", {"everywhere": value}, token=token
    )
    assert (status, answer["error"], answer["field"]) == (400, "invalid_body", "everywhere")
    assert await is_alive(server, token)


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/auth/logout"), ("PATCH", "/api/me")])
async def test_a_bad_body_is_judged_after_its_type_its_size_and_the_token(
    server: Server, method: str, path: str
) -> None:
    token = await server.guest()
    json_type = {"Content-Type": "application/json"}
    for sent, headers, given, status in (
        (b"{" * 200_000, {"Content-Type": "text/plain"}, None, 415),
        (b"{" * 200_000, json_type, None, 413),
        (b"{", json_type, None, 401),
        (b"[]", json_type, "nonsense", 401),
        (b"{", json_type, token, 400),
        (b"[]", json_type, token, 400),
    ):
        got, _, _ = await server.call(method, path, data=sent, headers=headers, token=given)
        assert got == status
    assert await is_alive(server, token)


# Oneself and others.


async def test_a_person_can_take_another_name(server: Server) -> None:
    token = await server.guest("Ann")
    _, before, _ = await server.call("GET", "/api/me", token=token)
    status, answer, _ = await server.call(
        "PATCH", "/api/me", {"full_name": " Anna  B ", "kind": "admin", "id": 9}, token=token
    )
    assert status == 200
    assert assert_enveloped(answer) == before["data"] | {"full_name": "Anna B"}
    _, answer, _ = await server.call("GET", "/api/me", token=token)
    assert answer["data"]["full_name"] == "Anna B"


async def test_another_name_is_there_after_a_restart(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    async with running(config) as server:
        token = await server.guest("Ann")
        await server.call("PATCH", "/api/me", {"full_name": "Anna"}, token=token)
    async with running(config) as server:
        _, answer, _ = await server.call("GET", "/api/me", token=token)
        assert answer["data"]["full_name"] == "Anna"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "invalid_body"),
        ({"full_name": None}, "invalid_body"),
        ({"full_name": 7}, "invalid_body"),
        ({"full_name": ""}, "invalid_name"),
        ({"full_name": "\u200b"}, "invalid_name"),
        ({"full_name": "x" * 65}, "invalid_name"),
    ],
)
async def test_a_name_that_is_none_is_not_taken(server: Server, body: JSON, error: str) -> None:
    token = await server.guest("Ann")
    status, answer, _ = await server.call("PATCH", "/api/me", body, token=token)
    assert (status, answer["error"], answer["field"]) == (400, error, "full_name")
    _, answer, _ = await server.call("GET", "/api/me", token=token)
    assert answer["data"]["full_name"] == "Ann"


async def test_a_user_is_shown_to_others_once_they_have_published_something(
    server: Server,
) -> None:
    token = await server.guest()
    _, me, _ = await server.call("GET", "/api/me", token=token)
    path = f"/api/users/{me['data']['id']}"
    status, answer, _ = await server.call("GET", path)
    assert (status, answer["error"]) == (404, "user_not_found")
    posted = await server.post(token)
    status, answer, _ = await server.call("GET", path)
    assert (status, assert_enveloped(answer)) == (200, me["data"])
    assert answer["data"] == posted["user"]
    await server.call("DELETE", f"/ws/messages/{posted['message_id']}?{ROOM}", token=token)
    assert (await server.call("GET", path))[0] == 404


@pytest.mark.parametrize(
    "user_id", ["0", "01", "-1", "1.0", "x", "999", "9999999999999999", "12345678901234567", "%31x"]
)
async def test_a_user_who_does_not_exist_or_of_a_malformed_id_is_not_found(
    server: Server, user_id: str
) -> None:
    await server.post(await server.guest())
    status, answer, _ = await server.call("GET", f"/api/users/{user_id}")
    assert (status, answer["error"]) == (404, "user_not_found")


# Sites.


async def test_a_site_is_shown_as_its_settings_say(tmp_path: Path) -> None:
    sites = (
        SiteConfig(id=7, name="Blog", origins=("https://a.example", "https://b.example")),
        SiteConfig(id=8, public_chat=True),
    )
    async with running(config_in(tmp_path, sites=sites)) as server:
        status, answer, _ = await server.call("GET", "/api/sites/7")
        assert status == 200
        site = assert_enveloped(answer)
        for field in ("created_at", "updated_at"):
            assert site.pop(field).endswith("Z")
        assert site == {
            "id": 7,
            "user_id": 0,
            "origins": ["https://a.example", "https://b.example"],
            "origin": "https://a.example",
            "name": "Blog",
            "use_arweave": False,
            "reward_strategy": 0,
            "public_chat": False,
        }
        _, answer, _ = await server.call("GET", "/api/sites/8/")
        assert (answer["data"]["origin"], answer["data"]["public_chat"]) == ("", True)


async def test_a_servers_first_site_is_number_one(server: Server) -> None:
    _, answer, _ = await server.call("GET", "/api/sites/1")
    assert (answer["data"]["id"], answer["data"]["name"]) == (1, "My site")


@pytest.mark.parametrize("site_id", ["0", "01", "2", "-1", "x", "1.0", "9999999999999999", "1%20"])
async def test_a_site_that_does_not_exist_or_of_a_malformed_id_is_not_found(
    server: Server, site_id: str
) -> None:
    status, answer, _ = await server.call("GET", f"/api/sites/{site_id}")
    assert (status, answer["error"]) == (404, "site_not_found")


async def test_a_sites_secrets_are_shown_to_nobody(tmp_path: Path) -> None:
    secret = "whsec_" + "A" * 40
    url = "https://hook.example/private"
    sites = (SiteConfig(id=1, sso_secret="s" * 40, webhook_url=url, webhook_secret=secret),)
    async with running(config_in(tmp_path, sites=sites)) as server:
        _, answer, _ = await server.call("GET", "/api/sites/1")
        assert "ssss" not in str(answer)
        assert "hook" not in str(answer)
        assert "whsec" not in str(answer)


# What Talkee's pages ask, and how the server is doing.


async def test_no_assets_are_offered(server: Server) -> None:
    status, answer, _ = await server.call("GET", "/api/assets")
    assert (status, assert_enveloped(answer)) == (200, [])


async def test_a_page_has_no_tips(server: Server) -> None:
    status, answer, _ = await server.call(
        "GET", "/api/slugs", headers={"X-TALKEE-SITE-ID": "1", "X-TALKEE-SITE-SLUG": "/a"}
    )
    assert status == 200
    assert assert_enveloped(answer) == {"site_id": 1, "slug": "/a", "tips": []}


async def test_the_statistics_count_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_in(tmp_path)) as server:
        _, answer, _ = await server.call("GET", "/api/stat/global")
        empty = {"users": 0, "sites": 1, "comments": 0, "replies": 0, "messages": 0}
        assert assert_enveloped(answer) == empty
        for _ in range(3):
            await server.post(await server.guest())
        later = server.services.clock() + 10 * SECOND
        monkeypatch.setattr(server.services, "clock", lambda: later)
        _, answer, _ = await server.call("GET", "/api/stat/global")
        assert answer["data"] == empty | {"users": 3, "messages": 3}


async def test_health_is_bare_and_needs_nothing(server: Server) -> None:
    status, answer, _ = await server.call("GET", "/hc")
    assert (status, set(answer), answer["version"]) == (200, {"version", "uptime"}, VERSION)
    assert answer["uptime"] >= 0
    assert (await server.call("GET", "/hc", headers={"Origin": "https://any.example"}))[0] == 200


async def test_health_is_503_while_nothing_can_be_stored_and_well_again_after(
    server: Server,
) -> None:
    token = await server.guest()
    with held_by_another_program(server.services.db.path):
        status, _, _ = await server.call("POST", f"/ws/messages?{ROOM}", draft(), token=token)
        assert status == 503
        status, answer, headers = await server.call("GET", "/hc")
        assert (status, answer["error"]) == (503, "unavailable")
        assert int(headers["Retry-After"]) >= 1
        assert (await sign_in(server))[0] == 503
        assert (await server.call("PATCH", "/api/me", GUEST, token=token))[0] == 503
        assert await is_alive(server, token)
    await until(lambda: not server.services.db.failing)
    assert (await server.call("GET", "/hc"))[0] == 200
    assert (await sign_in(server))[0] == 200


async def test_a_stopping_server_refuses_every_call(server: Server) -> None:
    token = await server.guest()
    server.services.stopping = True
    for method, path in (
        ("POST", "/api/auth/login"),
        ("GET", "/api/me"),
        ("GET", "/api/sites/1"),
        ("GET", "/api/stat/global"),
        ("GET", "/hc"),
    ):
        status, answer, headers = await server.call(method, path, token=token)
        assert (status, answer["error"]) == (503, "unavailable")
        assert int(headers["Retry-After"]) >= 1


# Avatars.


async def avatar(server: Server, user_id: str) -> tuple[int, str, Any]:
    async with server.session.get(f"{server.url}/api/avatars/{user_id}.svg") as response:
        return response.status, await response.text(), response.headers


async def test_an_avatar_is_the_same_each_time_and_after_a_restart_and_differs_by_person(
    tmp_path: Path,
) -> None:
    drawn = []
    for _ in range(2):
        async with running(config_in(tmp_path)) as server:
            drawn.append([(await avatar(server, str(n)))[1] for n in range(1, 60)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 59


async def test_an_avatar_is_a_harmless_svg_document(server: Server) -> None:
    for user_id in ("1", "4711", "9999999999999999"):
        status, text, headers = await avatar(server, user_id)
        assert status == 200
        assert headers["Content-Type"].startswith("image/svg+xml")
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert kinds <= {"svg", "g", "rect", "path"}
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("user_id", ["0", "01", "x", "-1", "1.5", "12345678901234567"])
async def test_a_malformed_id_has_no_avatar(server: Server, user_id: str) -> None:
    status, answer, _ = await server.call("GET", f"/api/avatars/{user_id}.svg")
    assert status == 404
    assert answer["code"] == 404


async def test_the_avatar_of_a_profile_can_be_loaded_from_its_address(server: Server) -> None:
    posted = await server.post(await server.guest())
    async with server.session.get(posted["user"]["avatar_url"]) as response:
        assert response.status == 200


def test_guests_are_offered_unless_the_owner_says_otherwise() -> None:
    assert Config().auth.guest


async def test_a_session_that_ends_while_it_is_read_does_not_come_back(server: Server) -> None:
    """Calls with a token that is not in memory, at the moment in which it is signed out."""
    for _ in range(20):
        token = (await sign_in(server))[1]["data"]["access_token"]
        tokens = server.services.tokens
        session = (await tokens.identify(token)).session
        tokens._sessions.clear()
        await asyncio.gather(
            *(server.call("GET", "/api/me", token=token) for _ in range(4)),
            tokens.sign_out(session),
            *(server.call("GET", "/api/me", token=token) for _ in range(4)),
        )
        assert (await server.call("GET", "/api/me", token=token))[0] == 401


async def test_a_renewal_does_not_outlive_signing_out_everywhere(server: Server) -> None:
    for _ in range(20):
        token = (await sign_in(server))[1]["data"]["access_token"]
        tokens = server.services.tokens
        user = (await tokens.identify(token)).user
        (status, answer, _), _ = await asyncio.gather(
            server.call("POST", "/api/auth/renew", token=token),
            tokens.sign_out_everywhere(user.id),
        )
        if status == 200:
            token = answer["data"]["access_token"]
        assert (await server.call("GET", "/api/me", token=token))[0] == 401


@pytest.mark.parametrize("mark", ["\u2065", "\ufff0", "\U000e0080", "\u200b", "\u3164", "\ufe0f"])
async def test_what_nobody_sees_does_not_free_a_reserved_name(tmp_path: Path, mark: str) -> None:
    config = config_in(tmp_path, auth=AuthConfig(reserved_names=("Admin",)))
    async with running(config) as server:
        body = {"method": "guest", "full_name": f"Ad{mark}min{mark}"}
        status, answer, _ = await server.call("POST", "/api/auth/login", body)
        assert (status, answer["error"]) == (409, "name_reserved")
