"""Signing in with a Mixin token: a real server stands for Mixin, and fails in every way."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
import tracemalloc
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from talkee_lite.auth import mixin_token
from talkee_lite.config import AuthConfig, Config, MixinConfig

from .harness import JSON, Server, config_in, running, until
from .mixin import (
    APP,
    Answer,
    Mixin,
    breaks_off,
    drips,
    drops,
    floods,
    hangs,
    mixin,
    says,
    sends,
)

OTHER = "a0b107ee-bd0e-435e-8ab9-2e0044ac5913"


def config_for(folder: Path, api: str) -> Config:
    """Settings of a server whose people come from Mixin."""
    return config_in(
        folder, auth=AuthConfig(mixin_token=True), mixin=MixinConfig(app_id=APP, api_url=api)
    )


@pytest.fixture
async def api() -> AsyncIterator[Mixin]:
    """What stands for Mixin."""
    async with mixin() as started:
        yield started


@pytest.fixture
async def server(tmp_path: Path, api: Mixin) -> AsyncIterator[Server]:
    """A server whose people come from there."""
    async with running(config_for(tmp_path, api.url)) as started:
        yield started


def soon() -> int:
    """An hour from now, as tokens write it."""
    return int(time.time()) + 3600


async def send(server: Server, token: Any) -> tuple[int, JSON]:
    """Try to sign in; status and answer."""
    body = {"method": "mixin_token", "mixin_token": token}
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    return status, answer


async def enter(server: Server, token: str) -> JSON:
    """Sign in, which must succeed; the user."""
    status, answer = await send(server, token)
    assert status == 200, answer
    return dict(answer["data"]["user"])


async def refused(server: Server, token: str) -> str:
    """Sign in, which must fail; the reason."""
    status, answer = await send(server, token)
    assert (status, answer["error"]) == (401, "sign_in_failed"), answer
    return str(answer["msg"])


async def fails(server: Server, api: Mixin, answer: Answer) -> None:
    """Sign in while Mixin answers like that, which must fail because of Mixin."""
    api.answer = answer
    status, told = await send(server, api.token(api.person(), soon()))
    assert (status, told["error"]) == (502, "upstream_failed"), told


# Who comes in.


async def test_mixin_says_who_somebody_is(server: Server, api: Mixin) -> None:
    person = api.person("Ann")
    user = await enter(server, api.token(person, soon()))
    assert user["full_name"] == "Ann"
    assert user["mixin_user_id"] == person["user_id"]
    assert user["mixin_identity_number"] == person["identity_number"]
    assert user["avatar_url"] == person["avatar_url"]
    assert user["kind"] == "member"
    assert api.came == [("GET", "/me")]
    again = await enter(server, api.token(person, soon()))
    assert again["id"] == user["id"]
    other = await enter(server, api.token(api.person("Ben"), soon()))
    assert other["id"] != user["id"]


async def test_what_changes_there_changes_here(server: Server, api: Mixin) -> None:
    person = api.person("Ann")
    token = api.token(person, soon())
    user = await enter(server, token)
    person |= {"full_name": "Anna", "avatar_url": "https://images.example.com/new.png"}
    again = await enter(server, token)
    assert (again["id"], again["full_name"]) == (user["id"], "Anna")
    assert again["avatar_url"] == person["avatar_url"]


async def test_names_are_made_to_fit(server: Server, api: Mixin) -> None:
    names = {
        "x" * 100: "x" * 64,
        "  Two\n lines\x00 ": "Two lines",
    }
    for told, kept in names.items():
        assert (await enter(server, api.token(api.person(told), soon())))["full_name"] == kept
    for told in ("", "\u200b \u2060"):
        person = api.person(told)
        user = await enter(server, api.token(person, soon()))
        assert user["full_name"] == f"Mixin {person['identity_number']}"
    # A name that a member has gets a number.
    user = await enter(server, api.token(api.person("X" * 64), soon()))
    assert user["full_name"] != "X" * 64


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://images.example.com/a.png",
        "javascript:alert(1)",
        "//images.example.com/a.png",
        "https://",
        "https://user@images.example.com/a.png",
        "https://images.example.com/a b.png",
        "https://images.example.com/" + "a" * 2048,
    ],
)
async def test_a_picture_is_shown_from_safe_addresses_alone(
    server: Server, api: Mixin, url: str
) -> None:
    user = await enter(server, api.token(api.person(avatar_url=url), soon()))
    assert user["avatar_url"].startswith(f"{server.url}/api/avatars/")


async def test_it_is_offered_to_pages_with_the_app(server: Server) -> None:
    _, answer, _ = await server.call("GET", "/api/auth/methods")
    assert {"method": "mixin_token", "app_id": APP} in answer["data"]


async def test_the_api_may_be_below_a_path(tmp_path: Path, api: Mixin) -> None:
    async with running(config_for(tmp_path, api.url + "/proxy")) as server:
        await enter(server, api.token(api.person(), soon()))
    assert api.came == [("GET", "/proxy/me")]


# Tokens.


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "no end"),
        ({"exp": float("nan")}, "no end"),
        ({"exp": float("inf")}, "no end"),
        ({"exp": True}, "no end"),
        ({"iss": OTHER}, "another app"),
        ({"iss": None}, "another app"),
        ({"iss": None, "aid": None}, "another app"),
        ({"iss": None, "aid": None, "uid": OTHER}, "another app"),
        ({"iss": OTHER, "aid": APP, "uid": APP}, "another app"),
        ({"iss": None, "aid": OTHER, "uid": APP}, "another app"),
        ({"iss": ""}, "another app"),
        ({"scp": "FULL"}, "scope FULL"),
        ({"scp": "PROFILE:READ FULL"}, "scope FULL"),
        ({"scp": ["FULL"]}, "not a text"),
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_is_refused_unasked(
    server: Server, api: Mixin, claims: JSON, said: str
) -> None:
    assert said in await refused(server, api.token(api.person(), soon(), **claims))
    assert api.came == []


async def test_a_token_that_has_just_expired_is_refused(server: Server, api: Mixin) -> None:
    assert "expired" in await refused(server, api.token(api.person(), int(time.time())))


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": APP.upper()},
        {"iss": None, "aid": APP},
        {"iss": None, "aid": None, "uid": APP},
        {"scp": None},
        {"scp": "PROFILE:READ FULLER"},
    ],
    ids=str,
)
async def test_a_token_for_us_is_taken(server: Server, api: Mixin, claims: JSON) -> None:
    await enter(server, api.token(api.person(), soon(), **claims))


async def test_a_token_for_everything_is_taken_where_that_is_allowed(
    tmp_path: Path, api: Mixin
) -> None:
    config = config_for(tmp_path, api.url)
    config = replace(config, mixin=replace(config.mixin, allow_full=True))
    async with running(config) as server:
        await enter(server, api.token(api.person(), soon(), scp="FULL"))


async def test_what_is_no_token_is_refused_unasked(server: Server, api: Mixin) -> None:
    good = api.token(api.person(), soon())
    empty = urlsafe_b64encode(b"[]").decode()
    for token in (
        "",
        "x",
        "a.b",
        "a.b.c",
        f"{empty}.{empty}.",
        f"{good}\r\nX-Injected: 1",
        f" {good}",
        good.replace(".", "..", 1),
        good + "=",
        good + "ä",
        good + "a" * 4096,
        "W1tb" * 300 + "." + "W1tb" * 300 + ".a",
        api.token(api.person(), soon(), more="x" * 3000),
    ):
        assert "not a JWT" in await refused(server, token), token
    for other in (1, None, [good]):
        status, answer = await send(server, other)
        assert (status, answer["error"]) == (400, "invalid_body")
    assert api.came == []


async def test_a_token_that_mixin_did_not_sign_is_refused(server: Server, api: Mixin) -> None:
    good = api.token(api.person(), soon())
    forged = good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")
    assert "Mixin does not take" in await refused(server, forged)
    assert len(api.came) == 1


@pytest.mark.parametrize(
    "answer",
    [
        says({"error": {"status": 202, "code": 401, "description": "Unauthorized"}}, 202),
        says({"error": {"status": 202, "code": 403, "description": "Forbidden"}}),
        says({}, 401),
        sends(b"no", 403),
    ],
)
async def test_a_refusal_comes_in_several_ways(server: Server, api: Mixin, answer: Answer) -> None:
    api.answer = answer
    assert "Mixin does not take" in await refused(server, api.token(api.person(), soon()))


async def test_a_token_does_not_stand_in_the_log(
    server: Server, api: Mixin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = api.token(api.person(), soon())
    await enter(server, token)
    for answer in (drops, says({"data": token}), sends(token.encode(), 500)):
        await fails(server, api, answer)
    told = [record for record in caplog.records if record.name.startswith("talkee_lite.auth")]
    assert len(told) == 3
    assert not any(token[10:40] in record.getMessage() for record in caplog.records)


# Mixin fails.


def data(**fields: Any) -> Answer:
    """An answer about somebody, with some fields wrong (None: missing)."""
    whole = {
        "user_id": str(uuid.uuid4()),
        "identity_number": "1",
        "full_name": "Ann",
        "avatar_url": "",
        **fields,
    }
    return says({"data": {key: value for key, value in whole.items() if value is not None}})


SOMEBODY = json.dumps(
    {"data": {"user_id": APP, "identity_number": "1", "full_name": "Ann", "avatar_url": ""}}
).encode()
LIES: dict[str, Answer] = {
    "nothing": sends(b""),
    "no JSON": sends(b"<html>"),
    "NaN": sends(b'{"data": NaN}'),
    "half a surrogate": sends(b'{"data": {"full_name": "\\ud800"}}'),
    "no end of brackets": sends(b"[" * 60_000),
    "no UTF-8": sends(b'{"data": "\xff"}'),
    "a list": says([]),
    "no data": says({}),
    "null": says({"data": None}),
    "data that is a text": says({"data": "Ann"}),
    "data that is empty": says({"data": {}}),
    "another error": says({"error": {"status": 202, "code": 429}}, 202),
    "an error and somebody": says({"error": {"code": 500}, "data": {"user_id": APP}}),
    "an error that is odd": says({"error": {"code": [401]}}),
    "no user_id": data(user_id=None),
    "a number as user_id": data(user_id=7),
    "a user_id that is no UUID": data(user_id="7000"),
    "a UUID with braces": data(user_id=f"{{{APP}}}"),
    "no identity_number": data(identity_number=None),
    "a number as identity_number": data(identity_number=7),
    "a text as identity_number": data(identity_number="seven"),
    "no full_name": data(full_name=None),
    "a list as full_name": data(full_name=["Ann"]),
    "no avatar_url": data(avatar_url=None),
    "status 500": sends(b"", 500),
    "status 404": says({"data": {}}, 404),
    "status 429": sends(b"", 429),
    "status 304": sends(b"", 304),
    "compressed, unasked": sends(gzip.compress(SOMEBODY), headers={"Content-Encoding": "gzip"}),
    "a closed connection": drops,
    "half an answer": breaks_off,
    "10 MB": floods,
    "10 MB, announced": sends(b" " * 10_000_000),
}


@pytest.mark.parametrize("answer", LIES.values(), ids=LIES)
async def test_an_answer_that_mixin_would_not_give_is_its_fault(
    server: Server, api: Mixin, answer: Answer
) -> None:
    await fails(server, api, answer)
    # It is over with that.
    api.answer = api.as_mixin
    await enter(server, api.token(api.person(), soon()))


async def test_that_answer_is_a_good_one_when_it_is_not_compressed(
    server: Server, api: Mixin
) -> None:
    api.answer = sends(SOMEBODY)
    assert (await enter(server, api.token(api.person(), soon())))["mixin_user_id"] == APP


async def test_redirects_are_not_followed(server: Server, api: Mixin) -> None:
    for status in (301, 302, 303, 307, 308):
        before = len(api.came)
        await fails(server, api, sends(b"", status, {"Location": f"{api.url}/elsewhere"}))
        assert api.came[before:] == [("GET", "/me")]


async def test_ten_megabytes_are_not_taken_in(server: Server, api: Mixin) -> None:
    await fails(server, api, floods)
    tracemalloc.start()
    try:
        await fails(server, api, floods)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Mixin's own end, in this process too, is most of it.
    assert most < 3_000_000


async def test_nobody_there(tmp_path: Path, unused_tcp_port: int) -> None:
    nobody = Mixin(unused_tcp_port)
    async with running(config_for(tmp_path, nobody.url)) as server:
        status, answer = await send(server, nobody.token(nobody.person(), soon()))
        assert (status, answer["error"]) == (502, "upstream_failed")


async def test_no_proxy_is_asked(
    server: Server, api: Mixin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    await enter(server, api.token(api.person(), soon()))


@pytest.mark.parametrize("answer", [hangs, drips])
async def test_waiting_ends_and_holds_nobody_up(
    server: Server, api: Mixin, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    assert mixin_token.SECONDS == 5
    monkeypatch.setattr(mixin_token, "SECONDS", 0.5)
    monkeypatch.setattr(mixin_token, "MOST_CALLS", 3)
    api.answer = answer
    token = api.token(api.person(), soon())
    began = time.monotonic()
    hanging = [asyncio.ensure_future(send(server, token)) for _ in range(3)]
    await until(lambda: len(api.came) == 3)
    # All calls are taken; everything else goes on.
    status, told = await send(server, token)
    assert (status, told["error"]) == (503, "unavailable")
    await server.guest("Ben")
    assert not any(task.done() for task in hanging)
    for status, told in await asyncio.gather(*hanging):
        assert (status, told["error"]) == (502, "upstream_failed")
    assert 0.4 < time.monotonic() - began < 2.5
    api.answer = api.as_mixin
    await enter(server, token)


async def test_a_server_stops_while_mixin_hangs(tmp_path: Path, api: Mixin) -> None:
    api.answer = hangs
    async with running(config_for(tmp_path, api.url)) as server:
        task = asyncio.ensure_future(send(server, api.token(api.person(), soon())))
        await until(lambda: len(api.came) == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 4
    with pytest.raises(aiohttp.ClientError):
        await task
