"""User names and passwords."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from argon2 import PasswordHasher, extract_parameters

from talkee_lite.auth.password import ALL_TRIES, TRIES, _common
from talkee_lite.config import AuthConfig
from talkee_lite.control import VERBS
from talkee_lite.errors import Forbidden

from .harness import JSON, Server, config_in, free_limits, running, server_process
from .test_socket import code_of

GOOD = "correct horse battery"
MANY = AuthConfig(password=True, reserved_names=("Owner",))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on which people may register."""
    async with running(config_in(tmp_path, auth=MANY)) as server:
        yield server


async def register(
    server: Server, username: str, password: str = GOOD, **more: Any
) -> tuple[int, JSON]:
    """Status and answer of a registration."""
    body = {"username": username, "password": password}
    token = more.pop("token", None)
    headers = more.pop("headers", None)
    status, answer, _ = await server.call(
        "POST", "/api/auth/register", body | more, token=token, headers=headers
    )
    return status, answer


async def sign_in(
    server: Server, username: str, password: str = GOOD, **headers: str
) -> tuple[int, JSON]:
    """Status and answer of a sign-in."""
    body = {"method": "password", "username": username, "password": password}
    status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=headers)
    return status, answer


async def member(server: Server, username: str) -> str:
    """A new member's token."""
    status, answer = await register(server, username)
    assert status == 200, answer
    return str(answer["data"]["access_token"])


async def test_who_registers_is_signed_in_and_can_come_again(server: Server) -> None:
    status, answer = await register(server, " ann  99 ")
    assert status == 200
    user = answer["data"]["user"]
    assert (user["full_name"], user["kind"]) == ("ann 99", "member")
    status, me, _ = await server.call("GET", "/api/me", token=answer["data"]["access_token"])
    assert (status, me["data"]) == (200, user)
    for spelled in ("ann 99", "ANN 99", "Ánn  99"):
        status, again = await sign_in(server, spelled)
        assert (status, again["data"]["user"]) == (200, user)


async def test_passwords_are_compared_however_they_are_composed(server: Server) -> None:
    assert (await register(server, "ann", "pa\u0308ssword 77"))[0] == 200
    assert (await sign_in(server, "ann", "p\u00e4ssword 77"))[0] == 200


@pytest.mark.parametrize("username", ["", "an", "a" * 33, "\u200b\u200b\u200b", " an "])
async def test_user_names_have_3_to_32_characters(server: Server, username: str) -> None:
    status, answer = await register(server, username)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_username", "username")


@pytest.mark.parametrize(
    "password", ["", "1234567", "x" * 257, "password", "PassWord1", "iloveyou", "Someone Here"]
)
async def test_weak_passwords_are_refused(server: Server, password: str) -> None:
    status, answer = await register(server, "someone here", password)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_password", "password")
    assert (await sign_in(server, "someone here", password))[0] == 401


async def test_the_longest_and_the_shortest_password_are_taken(server: Server) -> None:
    for username, password in (("ann", "8Chars§x"), ("bob", "ä" * 256)):
        assert (await register(server, username, password))[0] == 200
        assert (await sign_in(server, username, password))[0] == 200
        assert (await sign_in(server, username, password + "x"))[0] == 401


def test_ten_thousand_common_passwords_are_known() -> None:
    assert 9_000 < len(_common()) <= 10_000
    assert {"password", "letmein", "trustno1"} <= _common()


async def test_a_user_name_is_one_persons(server: Server) -> None:
    assert (await register(server, "ann"))[0] == 200
    for spelled in ("ann", "ANN", "ánn"):
        status, answer = await register(server, spelled, "another secret")
        assert (status, answer["error"], answer["field"]) == (409, "name_reserved", "username")
        assert answer["suggestion"] != spelled
        assert (await register(server, answer["suggestion"]))[0] == 200


@pytest.mark.parametrize(
    "username", ["Аnn", "αnn", "a\u200bnn", "ＡＮＮ", "owner", "0wner", "Оwner"]
)
async def test_nobody_registers_as_who_is_there_already(server: Server, username: str) -> None:
    await member(server, "ann")
    status, answer = await register(server, username)
    assert (status, answer["error"]) == (409, "name_reserved")


async def test_two_at_once_get_one_account(server: Server) -> None:
    answers = await asyncio.gather(*(register(server, "ann") for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]


async def test_it_is_off_unless_the_owner_switches_it_on(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        for status, answer in (await register(server, "ann"), await sign_in(server, "ann")):
            assert (status, answer["error"]) == (400, "method_not_offered")
        _, answer, _ = await server.call("GET", "/api/auth/methods")
        assert [way["method"] for way in answer["data"]] == ["guest"]


async def test_pages_are_told_what_they_may_send(server: Server) -> None:
    _, answer, _ = await server.call("GET", "/api/auth/methods")
    assert answer["data"][1] == {
        "method": "password",
        "username": {"min": 3, "max": 32},
        "password": {"min": 8, "max": 256},
    }


async def test_what_is_kept_is_argon2id_with_19_mib(server: Server) -> None:
    await member(server, "ann")
    with sqlite3.connect(server.services.config.database.path) as database:
        ((kept,),) = database.execute("select secret from identities where provider = 'password'")
        rest = "\n".join(database.iterdump()).replace(kept, "")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert GOOD not in rest


# Guessing.


async def test_a_wrong_name_and_a_wrong_password_are_answered_alike(server: Server) -> None:
    await member(server, "ann")
    answers = [
        (await sign_in(server, username, password))[1]
        for username, password in (("ann", "wrong password"), ("nobody", GOOD), ("", GOOD))
    ]
    for answer in answers:
        assert answer.pop("request_id")
        assert answer == answers[0]
    assert (answers[0]["code"], answers[0]["error"]) == (401, "sign_in_failed")


async def test_a_wrong_name_costs_what_a_wrong_password_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes the time is to check one hash, made with the same parameters."""
    await member(server, "ann")
    checked: list[str] = []
    verify = PasswordHasher.verify

    def noting(self: PasswordHasher, kept: str, password: str) -> bool:
        checked.append(kept)
        return bool(verify(self, kept, password))

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    for name, password in (("ann", "wrong"), ("nobody", "wrong"), ("nobody", "x" * 10_000)):
        assert (await sign_in(server, name, password))[0] == 401
    assert len(checked) == 3
    assert len({str(extract_parameters(kept)) for kept in checked}) == 1


def at(number: int) -> dict[str, str]:
    """Headers of a client at an address of its own."""
    return {"X-Forwarded-For": f"192.0.2.{number}"}


async def test_guesses_at_one_name_are_limited_from_each_address_and_from_all_together(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    method: Any = server.services.logins["password"]
    monkeypatch.setattr(method._tries, "_clock", lambda: now)
    await register(server, "ann", headers=at(100))
    for name in ("ann", "nobody"):
        for number in range(ALL_TRIES):
            address = at(number // TRIES)
            assert (await sign_in(server, name, "wrong password", **address))[0] == 401
            if number % TRIES == TRIES - 1:
                assert (await sign_in(server, name, "wrong password", **address))[0] == 429
        for password in (GOOD, "wrong password"):
            status, answer = await sign_in(server, name, password, **at(200))
            assert (status, answer["error"]) == (429, "rate_limited")
    # Who registered or signed in from an address is not locked out by those elsewhere.
    assert (await sign_in(server, "ann", GOOD, **at(100)))[0] == 200
    now += 61
    assert (await sign_in(server, "ann", GOOD, **at(200)))[0] == 200
    for _ in range(TRIES):
        assert (await sign_in(server, "ann", "wrong password", **at(100)))[0] == 401
    assert (await sign_in(server, "ann", GOOD, **at(100)))[0] == 429


async def test_one_address_locks_nobody_out(server: Server) -> None:
    await register(server, "ann", headers=at(1))
    for _ in range(TRIES):
        assert (await sign_in(server, "ann", "wrong password", **at(2)))[0] == 401
    assert (await sign_in(server, "ann", GOOD, **at(2)))[0] == 429
    assert (await sign_in(server, "ann", GOOD, **at(3)))[0] == 200


async def test_a_new_password_can_be_used_whatever_was_guessed_before(server: Server) -> None:
    token = await member(server, "ann")
    for number in range(ALL_TRIES):
        await sign_in(server, "ann", "wrong password", **at(number // TRIES))
    assert (await sign_in(server, "ann", GOOD, **at(200)))[0] == 429
    user_id = (await server.services.tokens.identify(token)).user.id
    password = await VERBS["user-password"](server.services, {"id": user_id})
    assert (await sign_in(server, "ann", password, **at(200)))[0] == 200


async def test_right_passwords_use_up_no_tries(server: Server) -> None:
    await member(server, "ann")
    for _ in range(2 * TRIES):
        assert (await sign_in(server, "ann"))[0] == 200


async def test_one_address_may_guess_and_register_as_often_as_it_may_sign_in(
    tmp_path: Path,
) -> None:
    limits = free_limits(logins_per_minute=3)
    async with running(config_in(tmp_path, auth=MANY, limits=limits)) as server:
        statuses = [(await sign_in(server, f"name {n}"))[0] for n in range(2)]
        statuses += [(await register(server, f"name {n}"))[0] for n in range(2)]
        assert statuses == [401, 401, 200, 429]


async def test_24_sign_ins_at_once_take_no_more_memory_than_one(tmp_path: Path) -> None:
    limits = {"TALKEE_LIMITS__LOGINS_PER_MINUTE": "0", "TALKEE_LIMITS__LOGINS_PER_HOUR": "0"}
    with server_process(tmp_path, TALKEE_AUTH__PASSWORD="true", **limits) as process:

        def peak() -> int:
            status = Path(f"/proc/{process.process.pid}/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0])

        async with aiohttp.ClientSession(process.url) as session:

            async def post(path: str, **body: str) -> int:
                async with session.post(path, json=body) as response:
                    return response.status

            me = {"username": "ann", "password": GOOD}
            assert await post("/api/auth/register", **me) == 200
            assert await post("/api/auth/login", method="password", **me) == 200
            before = peak()
            many = [post("/api/auth/login", method="password", **me) for _ in range(24)]
            assert await asyncio.gather(*many) == 24 * [200]
            # In KiB: one takes 19 MiB, and two at once would show.
            assert peak() - before < 16 * 1024


async def test_too_many_at_once_are_told_to_come_again(server: Server) -> None:
    answers = await asyncio.gather(*(sign_in(server, f"name {n}") for n in range(80)))
    found = [status for status, _ in answers]
    assert set(found) == {401, 503}
    assert (await sign_in(server, "somebody"))[0] == 401


async def test_chat_goes_on_while_passwords_are_checked(server: Server) -> None:
    token = await server.guest()
    guessing = asyncio.gather(*(sign_in(server, f"name {n}") for n in range(30)))
    await server.post(token)
    assert not guessing.done()
    await guessing


# Another password.


async def change(server: Server, token: str | None, **body: str) -> tuple[int, JSON]:
    status, answer, _ = await server.call("PUT", "/api/me/password", body, token=token)
    return status, answer


async def test_a_changed_password_ends_everything_that_was_signed_in(server: Server) -> None:
    first = await member(server, "ann")
    second = (await sign_in(server, "ann"))[1]["data"]["access_token"]
    async with server.listen(first) as one, server.listen(second) as other:
        status, answer = await change(server, first, password=GOOD, new_password="new secret 1")
        assert status == 200
        async with asyncio.timeout(1):
            assert [await code_of(one), await code_of(other)] == [4501, 4501]
    for token in (first, second):
        assert (await server.call("GET", "/api/me", token=token))[0] == 401
    assert (await server.call("GET", "/api/me", token=answer["data"]["access_token"]))[0] == 200
    assert (await sign_in(server, "ann", GOOD))[0] == 401
    assert (await sign_in(server, "ann", "new secret 1"))[0] == 200


async def test_a_password_is_changed_by_who_knows_it(server: Server) -> None:
    token = await member(server, "ann")
    status, answer = await change(server, token, password="wrong one", new_password="new secret 1")
    assert (status, answer["error"]) == (401, "sign_in_failed")
    status, answer = await change(server, token, new_password="new secret 1")
    assert (status, answer["field"]) == (400, "password")
    status, answer = await change(server, token, password=GOOD, new_password="password")
    assert (status, answer["error"], answer["field"]) == (400, "invalid_password", "new_password")
    assert (await change(server, None, password=GOOD, new_password="new secret 1"))[0] == 401
    status, answer = await change(
        server, await server.guest("Bob"), username="bobby", new_password="new secret 1"
    )
    assert (status, answer["error"]) == (403, "forbidden")
    assert (await sign_in(server, "ann"))[0] == 200


async def test_guesses_at_a_stolen_tokens_password_are_limited(server: Server) -> None:
    token = await member(server, "ann")
    for _ in range(TRIES):
        assert (await change(server, token, password="wrong", new_password="new secret 1"))[
            0
        ] == 401
    assert (await change(server, token, password=GOOD, new_password="new secret 1"))[0] == 429


async def test_a_password_that_is_changed_meanwhile_signs_nobody_in(server: Server) -> None:
    token = await member(server, "ann")
    changing = change(server, token, password=GOOD, new_password="new secret 1")
    outcomes = await asyncio.gather(changing, *(sign_in(server, "ann") for _ in range(6)))
    assert outcomes[0][0] == 200
    for status, answer in outcomes[1:]:
        if status == 200:
            # It was let in before the change, which then ended it.
            token = answer["data"]["access_token"]
            assert (await server.call("GET", "/api/me", token=token))[0] == 401


async def test_a_new_secret_of_the_server_signs_everybody_out_and_keeps_passwords(
    tmp_path: Path,
) -> None:
    async with running(config_in(tmp_path, auth=AuthConfig(password=True))) as server:
        token = await member(server, "ann")
    other = AuthConfig(password=True, jwt_secret="another secret of 32 bytes and more")
    async with running(config_in(tmp_path, auth=other)) as server:
        assert (await server.call("GET", "/api/me", token=token))[0] == 401
        assert (await sign_in(server, "ann"))[0] == 200


async def test_the_owner_makes_a_new_password_for_who_forgot(server: Server) -> None:
    token = await member(server, "ann")
    user_id = (await server.services.tokens.identify(token)).user.id
    async with server.listen(token) as client:
        password = await VERBS["user-password"](server.services, {"id": user_id})
        assert await code_of(client) == 4501
    assert (await sign_in(server, "ann", GOOD))[0] == 401
    assert (await sign_in(server, "ann", password))[0] == 200
    guest = (await server.services.tokens.identify(await server.guest())).user.id
    with pytest.raises(Forbidden):
        await VERBS["user-password"](server.services, {"id": guest})


async def test_an_admin_who_came_by_a_link_chooses_a_password_to_come_again(
    server: Server,
) -> None:
    code = await server.services.sign_ins.make_first_link()
    here = {"Origin": server.url}
    body = {"method": "admin_link", "code": code, "full_name": "Owner", "scope": "admin"}
    status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=here)
    assert status == 200, answer
    token = answer["data"]["access_token"]
    status, answer = await change(server, token, new_password="new secret 1")
    assert (status, answer["field"]) == (400, "username")
    await member(server, "ann")
    status, answer = await change(server, token, new_password="new secret 1", username="ÁNN")
    assert (status, answer["error"]) == (409, "name_reserved")
    status, answer = await change(server, token, new_password="new secret 1", username="jane")
    assert (status, answer["data"]["user"]["kind"]) == (200, "admin")
    assert (await server.call("GET", "/api/me", token=token))[0] == 401
    body = {"method": "password", "username": "jane", "password": "new secret 1", "scope": "admin"}
    status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=here)
    assert (status, answer["data"]["user"]["full_name"]) == (200, "Owner")
    status, _, _ = await server.call(
        "GET", "/api/admin/users", token=answer["data"]["access_token"]
    )
    assert status == 200
    # What came by a password needs the password to change it.
    status, answer = await change(
        server, answer["data"]["access_token"], new_password="new secret 2"
    )
    assert (status, answer["field"]) == (400, "password")
