"""Sign-in with a site's own accounts: tokens as their servers sign them, and forged ones."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jwt
import pytest

from talkee_lite.app import open_services
from talkee_lite.auth import Attempt
from talkee_lite.clock import SECOND
from talkee_lite.closing import REFUSED
from talkee_lite.config import (
    AuthConfig,
    Config,
    ConfigError,
    ServerConfig,
    SiteConfig,
    load_config,
)
from talkee_lite.control import VERBS
from talkee_lite.errors import SignInFailed, SiteInSettings
from talkee_lite.models import Scope, UserKind
from talkee_lite.signing_in import Entry
from talkee_lite.store.roles import Role, set_role

from .harness import JSON, Server, config_in, run_verb, running, server_process, until
from .reading import execute
from .validator import node_modules

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
AUDIENCE = "https://talk.example.com"
BLOG = "https://blog.example.com"
ROOM = "site_id=1&slug=/a"
# Long enough for HS512 too.
SECRET = "the secret of site 1, " * 3
OTHER_SECRET = "the secret of site 2, of 32 bytes and more"


def config_for(folder: Path, secret: str = SECRET) -> Config:
    """Settings with two sites that sign people in, and one that does not."""
    return config_in(
        folder,
        server=ServerConfig(public_url=AUDIENCE),
        auth=AuthConfig(reserved_names=("The Owner",)),
        sites=(
            SiteConfig(id=1, origins=(BLOG,), sso_secret=secret),
            SiteConfig(id=2, origins=("https://other.example.com",), sso_secret=OTHER_SECRET),
            SiteConfig(id=3, origins=("https://third.example.com",)),
        ),
    )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with three sites."""
    async with running(config_for(tmp_path)) as started:
        yield started


def claims(**changes: Any) -> JSON:
    """What a good token says; `changes` go over it, and what is `...` is left out."""
    good = {
        "sub": "42",
        "name": "Jane Roe",
        "aud": AUDIENCE,
        "jti": str(uuid.uuid4()),
        "exp": int(time.time()) + 300,
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


def signed(secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    """A token as PyJWT makes it."""
    return jwt.encode(claims(**changes), secret, algorithm=algorithm)


def raw(
    payload: bytes, header: bytes = b'{"alg":"HS256","typ":"JWT"}', secret: str = SECRET
) -> str:
    """A token that no library would make, well signed."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    text = f"{part(header)}.{part(payload)}"
    return f"{text}.{part(hmac.digest(secret.encode(), text.encode(), hashlib.sha256))}"


async def login(server: Server, token: Any, site_id: int = 1, **more: Any) -> tuple[int, JSON]:
    """Try to sign in; status and answer."""
    headers = more.pop("headers", None)
    guest = more.pop("guest", None)
    body = {"method": "sso", "token": token, "site_id": site_id} | more
    status, answer, _ = await server.call(
        "POST", "/api/auth/login", body, headers=headers, token=guest
    )
    return status, answer


async def come_in(server: Server, token: str, site_id: int = 1, **more: Any) -> JSON:
    """Sign in, which must succeed; the data of the answer."""
    status, answer = await login(server, token, site_id, **more)
    assert status == 200, answer
    return dict(answer["data"])


async def refusal(server: Server, token: Any, site_id: int = 1, **more: Any) -> str:
    """Try to sign in, which must not prove anything; the sentence that says why."""
    status, answer = await login(server, token, site_id, **more)
    assert (status, answer["error"]) == (401, "sign_in_failed"), answer
    return str(answer["msg"])


async def comment(server: Server, token: str, room: str = ROOM) -> int:
    """Post a comment; its id."""
    body = {"content": f"Hello {uuid.uuid4()}"}
    status, answer, _ = await server.call("POST", f"/api/comments?{room}", body, token=token)
    assert status == 200, answer
    return int(answer["data"]["id"])


async def delete(server: Server, token: str, comment_id: int, room: str = ROOM) -> int:
    """Try to delete a comment; the status."""
    path = f"/api/comments/{comment_id}?{room}"
    return (await server.call("DELETE", path, token=token))[0]


# What a good token does.


async def test_a_token_of_the_site_makes_a_member_and_finds_them_again(server: Server) -> None:
    first = await come_in(server, signed(avatar="https://blog.example.com/42.png"))
    user = first["user"]
    assert (user["full_name"], user["kind"]) == ("Jane Roe", "member")
    assert user["avatar_url"] == "https://blog.example.com/42.png"
    again = await come_in(server, signed(avatar="https://blog.example.com/42.png"))
    assert again["user"] == user
    await comment(server, again["access_token"])


async def test_the_site_may_be_the_one_of_the_page(server: Server) -> None:
    body = {"method": "sso", "token": signed()}
    status, answer, headers = await server.call(
        "POST", "/api/auth/login", body, headers={"Origin": BLOG}
    )
    assert status == 200, answer
    assert headers["Access-Control-Allow-Origin"] == BLOG


async def test_aud_may_be_a_list_and_null_is_as_good_as_left_out(server: Server) -> None:
    token = signed(aud=["https://elsewhere.example.com", AUDIENCE], avatar=None, role=None)
    user = (await come_in(server, token))["user"]
    assert user["avatar_url"] == f"{AUDIENCE}/api/avatars/{user['id']}.svg"


async def test_times_may_be_a_minute_off_and_have_fractions(server: Server) -> None:
    now = time.time()
    await come_in(server, signed(iat=now + 50, nbf=now + 50.5, exp=now + 599.5))
    await come_in(server, signed(iat=now - 10**6, nbf=0))


async def test_name_and_picture_follow_the_site(server: Server) -> None:
    picture = "https://blog.example.com/1.png"
    first = await come_in(server, signed(avatar=picture))
    me = first["access_token"]
    status, _, _ = await server.call("PATCH", "/api/me", {"full_name": "Own Choice"}, token=me)
    assert status == 200
    same = await come_in(server, signed(avatar=picture))
    assert same["user"]["full_name"] == "Own Choice", "the site has told nothing new"
    other = await come_in(server, signed(name="Jane Doe"))
    assert other["user"]["id"] == first["user"]["id"]
    assert other["user"]["full_name"] == "Jane Doe"
    assert other["user"]["avatar_url"].endswith(".svg"), "the picture is gone there"


@pytest.mark.parametrize(
    "avatar",
    [
        "http://blog.example.com/1.png",
        "https://blog.example.com/" + "a" * 2024,
        "https://me@blog.example.com/1.png",
        "https://blog.example.com/1 2.png",
        "https://blog.example.com/\n",
        "javascript:alert(1)",
        "data:image/svg+xml,<svg/>",
        "https://",
        7,
        ["https://blog.example.com/1.png"],
    ],
)
async def test_a_picture_that_is_no_https_address_is_left_out(server: Server, avatar: Any) -> None:
    user = (await come_in(server, signed(avatar=avatar)))["user"]
    assert user["avatar_url"] == f"{AUDIENCE}/api/avatars/{user['id']}.svg"


async def test_a_guest_becomes_the_member_and_keeps_what_they_wrote(server: Server) -> None:
    guest = await server.guest("Typed")
    written = await comment(server, guest)
    user = (await come_in(server, signed(), guest=guest))["user"]
    _, answer, _ = await server.call("GET", f"/api/comments/{written}?{ROOM}")
    assert answer["data"]["creator"] == user


async def test_an_email_address_joins_nobody(server: Server) -> None:
    mail: JSON = {"email": "jane@example.com", "email_verified": True}
    ids = {(await come_in(server, signed(sub=sub, **mail)))["user"]["id"] for sub in "ab"}
    assert len(ids) == 2


async def test_it_is_offered_where_the_site_has_a_secret(server: Server) -> None:
    for site_id, offered in ((1, True), (2, True), (3, False)):
        _, answer, _ = await server.call("GET", f"/api/auth/methods?site_id={site_id}")
        assert ({"method": "sso"} in answer["data"]) is offered
    status, answer = await login(server, signed(), 3)
    assert (status, answer["error"]) == (400, "method_not_offered")


# Who may not come in.


async def test_a_token_counts_once(server: Server) -> None:
    token = signed()
    await come_in(server, token)
    assert "before" in await refusal(server, token)
    assert "before" in await refusal(server, signed(jti=jwt_id(token), name="Other")), "its jti"


def jwt_id(token: str) -> str:
    """The `jti` of a token."""
    return str(jwt.decode(token, options={"verify_signature": False})["jti"])


async def test_of_several_at_once_one_comes_in(server: Server) -> None:
    token = signed()
    done = await asyncio.gather(*(login(server, token) for _ in range(8)))
    assert sorted(status for status, _ in done) == [200] + [401] * 7


async def test_a_token_counts_once_over_a_restart(tmp_path: Path) -> None:
    token = signed()
    async with running(config_for(tmp_path)) as server:
        await come_in(server, token)
    async with running(config_for(tmp_path)) as server:
        await server.services.people.sweep()
        assert "before" in await refusal(server, token)
        await come_in(server, signed())


async def test_the_same_jti_of_another_site_is_another(server: Server) -> None:
    await come_in(server, signed(jti="1"))
    await come_in(server, signed(OTHER_SECRET, jti="1"), 2)


async def test_a_token_that_was_refused_is_not_used_up(server: Server) -> None:
    await refusal(server, signed(jti="1", aud="https://elsewhere.example.com"))
    await come_in(server, signed(jti="1"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": lambda now: now + 660}, "exp must be at most 10 minutes ahead"),
        ({"exp": lambda now: (now + 300) * 1000}, "exp must be a number of seconds"),
        ({"exp": lambda now: now - 1}, "expired"),
        ({"exp": lambda now: -(10**11)}, "expired"),
        ({"exp": ...}, "must have an exp"),
        ({"exp": None}, "must have an exp"),
        ({"exp": "soon"}, "exp must be a number"),
        ({"exp": True}, "exp must be a number"),
        ({"exp": 10**30}, "exp must be a number"),
        ({"nbf": lambda now: now + 120}, "nbf is in the future"),
        ({"iat": lambda now: now + 120}, "iat is in the future"),
        ({"iat": "now"}, "iat must be a number"),
        ({"aud": "https://elsewhere.example.com"}, f"aud must be {AUDIENCE}"),
        ({"aud": f"{AUDIENCE}/"}, "aud must be"),
        ({"aud": f"{AUDIENCE}.evil.example"}, "aud must be"),
        ({"aud": ["https://elsewhere.example.com"]}, "aud must be"),
        ({"aud": {AUDIENCE: AUDIENCE}}, "aud must be"),
        ({"aud": ...}, "aud must be"),
        ({"sub": ...}, "sub must be a text"),
        ({"sub": ""}, "sub must be a text"),
        ({"sub": 42}, "sub must be a text"),
        ({"sub": True}, "sub must be a text"),
        ({"sub": ["42"]}, "sub must be a text"),
        ({"sub": {"id": "42"}}, "sub must be a text"),
        ({"sub": "x" * 256}, "1 to 255"),
        ({"sub": "x" * 100_000}, "1 to 255"),
        ({"jti": ...}, "jti must be a text"),
        ({"jti": 7}, "jti must be a text"),
        ({"jti": "x" * 256}, "1 to 255"),
        ({"name": ...}, "name must be a text"),
        ({"name": 7}, "name must be a text"),
        ({"role": "admin"}, "role must be"),
        ({"role": "owner"}, "role must be"),
        ({"role": "Moderator"}, "role must be"),
        ({"role": "guest"}, "role must be"),
        ({"role": ["moderator"]}, "role must be"),
        ({"role": {"admin": True}}, "role must be"),
    ],
)
async def test_who_signed_is_told_what_is_wrong(
    server: Server, changes: dict[str, Any], reason: str
) -> None:
    now = int(time.time())
    told = {name: value(now) if callable(value) else value for name, value in changes.items()}
    # By hand: PyJWT refuses some of these itself.
    said = await refusal(server, raw(json.dumps(claims(**told)).encode()))
    assert reason in said


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'"text"',
        b"not json",
        b"",
        b'{"exp": NaN}',
        b"[" * 50_000,
        b'{"a":' * 20_000,
        b'{"sub":"\\ud800"}',
        b"\xff\xfe",
    ],
)
async def test_claims_that_are_no_json_object_are_refused(server: Server, payload: bytes) -> None:
    assert "not a JSON object" in await refusal(server, raw(payload))


def unsigned(algorithm: str) -> str:
    """A token without a signature."""
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    return raw(json.dumps(claims()).encode(), header).rpartition(".")[0] + "."


KEYS = """
import { exportSPKI, generateKeyPair, SignJWT } from "jose";
const claims = JSON.parse(process.argv[1]);
const made = [];
for (const alg of ["RS256", "ES256", "EdDSA"]) {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const token = await new SignJWT(claims).setProtectedHeader({ alg }).sign(privateKey);
  made.push([token, await exportSPKI(publicKey)]);
}
console.log(JSON.stringify(made));
"""


def node(folder: Path, *arguments: str, **environ: str) -> str:
    """What node prints, beside the packages of npm."""
    if shutil.which("node") is None:
        pytest.fail("node is missing; Debian has it in the package nodejs")
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(node_modules())
    done = subprocess.run(
        ["node", *arguments],
        cwd=folder,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def signed_by_keys(folder: Path) -> list[str]:
    """Tokens of key pairs, and ones that take the public key for a secret."""
    made = json.loads(node(folder, "--input-type=module", "-e", KEYS, json.dumps(claims())))
    confused = [raw(json.dumps(claims()).encode(), secret=public) for _, public in made]
    return [token for token, _ in made] + confused


async def test_what_the_site_did_not_sign_by_hs256_is_refused_in_one_sentence(
    server: Server, tmp_path: Path
) -> None:
    good = signed()
    head, body, signature = good.split(".")
    other = raw(json.dumps(claims(name="Other")).encode()).split(".")[1]
    forged = [
        *(unsigned(name) for name in ("none", "None", "NONE", "nOnE", "HS256", "")),
        jwt.encode(claims(), None, algorithm="none"),
        signed(algorithm="HS512"),
        signed(algorithm="HS384"),
        *signed_by_keys(tmp_path),
        signed(OTHER_SECRET),
        signed(SECRET + "\n"),
        f"{head}.{other}.{signature}",
        f"{head}.{body}.{signature[:-4]}",
        f"{head}.{body}.{signature}A",
        f"{head}.{body}",
        f"{head}.{body}.{signature}.{signature}",
        f"{good}\n",
        good.upper(),
        raw(json.dumps(claims()).encode(), b'{"alg":["HS256"]}'),
        raw(json.dumps(claims()).encode(), b'{"alg":"HS256","b64":false,"crit":["b64"]}'),
        raw(json.dumps(claims()).encode(), b'{"typ":"JWT"}'),
        raw(json.dumps(claims()).encode(), b"[" * 50_000),
        "",
        ".",
        "..",
        "\x00",
        "é.é.é",
        "a" * 150_000,
    ]
    sentences = {await refusal(server, token) for token in forged}
    assert len(sentences) == 1
    assert SECRET not in sentences.pop()
    await come_in(server, good)


@pytest.mark.parametrize("token", [None, 7, ["a"], {"a": 1}])
async def test_a_token_is_a_text(server: Server, token: Any) -> None:
    status, answer = await login(server, token)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_body", "token")


async def test_a_token_in_the_address_is_not_looked_at(server: Server) -> None:
    token = signed()
    path = f"/api/auth/login?method=sso&site_id=1&token={token}"
    status, answer, _ = await server.call("POST", path, {"method": "sso", "site_id": 1})
    assert (status, answer["field"]) == (400, "token")
    status, answer, _ = await server.call("POST", path, {})
    assert (status, answer["field"]) == (400, "method")
    await come_in(server, token)


async def test_a_site_must_be_known(server: Server) -> None:
    body = {"method": "sso", "token": signed()}
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    assert (status, answer["error"], answer["field"]) == (400, "invalid_site_id", "site_id")
    status, answer = await login(server, signed(), 7)
    assert (status, answer["error"]) == (404, "site_not_found")


async def test_a_page_of_another_site_cannot_name_this_one(server: Server) -> None:
    token = signed()
    for origin in ("https://other.example.com", "https://evil.example.com", "null"):
        status, answer = await login(server, token, headers={"Origin": origin})
        assert (status, answer["error"]) == (403, "origin_not_allowed")
    await come_in(server, token, headers={"Origin": BLOG})


async def test_another_site_can_vouch_for_its_own_alone(server: Server) -> None:
    ours = await come_in(server, signed(sub="42"))
    await refusal(server, signed(OTHER_SECRET, sub="42"), 1)
    theirs = await come_in(server, signed(OTHER_SECRET, sub="42"), 2)
    assert theirs["user"]["id"] != ours["user"]["id"]
    # Nor by a name that looks like the other's place.
    odd = await come_in(server, signed(OTHER_SECRET, sub="1:42"), 2)
    assert odd["user"]["id"] not in (ours["user"]["id"], theirs["user"]["id"])


async def test_subjects_are_compared_to_the_letter(server: Server) -> None:
    subjects = ["a", "A", "a ", "á", "a\u0301", "a\u0000", "a\u0000b", "а", "a" * 255, "💬" * 255]
    ids = [(await come_in(server, signed(sub=sub)))["user"]["id"] for sub in subjects]
    assert len(set(ids)) == len(subjects)
    assert [(await come_in(server, signed(sub=sub)))["user"]["id"] for sub in subjects] == ids


async def test_the_clock_is_the_servers_own(tmp_path: Path) -> None:
    """Not the machine's, of which the library would ask."""
    then = 1_000_000_000
    async with open_services(config_for(tmp_path), clock=lambda: then * SECOND) as services:
        site, method = services.sites.get(1), services.logins["sso"]

        def attempt(exp: int) -> Attempt:
            return Attempt({"token": signed(exp=exp)}, None, site, "here", Entry())

        made = await method.sign_in(attempt(then + 600))
        assert made.user.full_name == "Jane Roe"
        for exp in (then, then + 601, int(time.time()) + 300):
            with pytest.raises(SignInFailed):
                await method.sign_in(attempt(exp))


# Names.


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("  Jane\n\tRoe\r\n", "Jane Roe"),
        ("Jane\u0000\u001b[31m Roe", "Jane[31m Roe"),
        ("Jane\u2028Roe", "Jane Roe"),
        ("J" * 100_000, "J" * 64),
        ("", "Member"),
        (" \n ", "Member"),
        ("\u200b\u2060", "Member"),
        ("<b>Jane</b>", "<b>Jane</b>"),
    ],
)
async def test_a_name_is_made_to_fit(server: Server, told: str, name: str) -> None:
    assert (await come_in(server, signed(name=told)))["user"]["full_name"] == name


@pytest.mark.parametrize(
    "told", ["The Owner", "the owner", "Тhе Оwnеr", "The\u200b Owner", "Thé 0wner"]
)
async def test_nobody_gets_the_owners_name(server: Server, told: str) -> None:
    user = (await come_in(server, signed(name=told)))["user"]
    assert re.fullmatch(re.escape(told) + r" \d+", user["full_name"])


async def test_a_members_name_stays_theirs(server: Server) -> None:
    member = await come_in(server, signed(sub="1", name="Jane"))
    await comment(server, member["access_token"])
    for number, told in enumerate(("Jane", "JANE", "Jаnе", "Ｊane")):
        other = await come_in(server, signed(sub=f"other {number}", name=told))
        assert re.fullmatch(rf"{told} \d+", other["user"]["full_name"])
    renamed = await come_in(server, signed(sub="other 0", name="jane"))
    assert re.fullmatch(r"jane \d+", renamed["user"]["full_name"]), "nor by a new name"
    assert (await come_in(server, signed(sub="1", name="Jane")))["user"]["full_name"] == "Jane"


# Roles.


async def test_a_moderator_is_one_on_that_site_until_they_come_without(server: Server) -> None:
    guest = await server.guest()
    here, there = "site_id=1&slug=/a", "site_id=2&slug=/a"
    came = await come_in(server, signed(role="moderator"))
    assert came["user"]["kind"] == "moderator"
    token = came["access_token"]
    assert await delete(server, token, await comment(server, guest, here), here) == 200
    assert await delete(server, token, await comment(server, guest, there), there) == 403
    status, answer, _ = await server.call("GET", f"/api/me?{there}", token=token)
    assert (status, answer["data"]["kind"]) == (200, "member")

    for plain in ({}, {"role": "member"}):
        await come_in(server, signed(role="moderator"))
        assert (await come_in(server, signed(**plain)))["user"]["kind"] == "member"
        assert await delete(server, token, await comment(server, guest, here), here) == 403


async def test_a_role_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(config_for(tmp_path)) as server:
        token = (await come_in(server, signed(role="moderator")))["access_token"]
    async with running(config_for(tmp_path)) as server:
        assert await delete(server, token, await comment(server, await server.guest())) == 200


@pytest.mark.parametrize("given", [UserKind.MODERATOR, UserKind.ADMIN])
@pytest.mark.parametrize("role", ["moderator", "member"])
async def test_no_token_changes_what_the_owner_gave(
    server: Server, given: UserKind, role: str
) -> None:
    user_id = (await come_in(server, signed()))["user"]["id"]
    services = server.services
    await services.db.write(lambda tx: set_role(tx, 1, user_id, Role(given, ""), 0))
    services.people.take_role(user_id, 1, given)
    assert (await come_in(server, signed(role=role)))["user"]["kind"] == given
    assert (await come_in(server, signed()))["user"]["kind"] == given


async def test_a_sites_secret_never_gives_an_admin_token(server: Server) -> None:
    """Not even for somebody whom the owner has made admin: else it were the owner's power."""
    user_id = (await come_in(server, signed()))["user"]["id"]
    services = server.services
    await services.db.write(lambda tx: set_role(tx, 0, user_id, Role(UserKind.ADMIN, ""), 0))
    services.people.take_role(user_id, 0, UserKind.ADMIN)
    status, answer = await login(server, signed(), scope=Scope.ADMIN, headers={"Origin": AUDIENCE})
    assert (status, answer["error"]) == (403, "forbidden")


# Secrets that change.


async def test_another_secret_in_the_settings_ends_what_came_by_the_old_one(
    tmp_path: Path,
) -> None:
    async with running(config_for(tmp_path)) as server:
        moderator = await come_in(server, signed(role="moderator"))
        other = await come_in(server, signed(OTHER_SECRET), 2)
        guest = await server.guest()
    tokens = [person["access_token"] for person in (moderator, other)] + [guest]
    for secret, statuses in ((SECRET, [200] * 3), (OTHER_SECRET[::-1], [401, 200, 200])):
        async with running(config_for(tmp_path, secret)) as server:
            assert [
                (await server.call("GET", "/api/me", token=token))[0] for token in tokens
            ] == statuses
            assert server.services.people.roles_of(moderator["user"]["id"]) == (
                {1: "moderator"} if secret == SECRET else {}
            )
    async with running(config_for(tmp_path, OTHER_SECRET[::-1])) as server:
        await refusal(server, signed())
        again = await come_in(server, signed(OTHER_SECRET[::-1]))
        assert again["user"]["id"] == moderator["user"]["id"]


@pytest.mark.parametrize("served", [True, False])
def test_the_command_line_makes_shows_and_ends_a_secret(tmp_path: Path, served: bool) -> None:
    with server_process(tmp_path) as process:
        assert process.stop() == 0
    environ = {"TALKEE_SERVER__PUBLIC_URL": AUDIENCE}

    def verb(*words: str) -> subprocess.CompletedProcess[str]:
        return run_verb(tmp_path, *words, **environ)

    with server_process(tmp_path, **environ) if served else nullcontext():
        assert "This site has no SSO secret" in verb("site", "sso", "1").stderr
        assert "no site with this id" in verb("site", "sso", "7").stderr
        assert verb("site", "set", "1", "--new-sso-secret").returncode == 0
        assert "(sso)" in verb("site", "list").stdout
        shown = verb("site", "sso", "1").stdout
        made = re.fullmatch(rf"secret    ([\w-]{{43,}})\naudience  {AUDIENCE}\n", shown)
        assert made
        assert json.loads(verb("site", "sso", "1", "--json").stdout) == {
            "site_id": 1,
            "secret": made[1],
            "audience": AUDIENCE,
        }
        verb("site", "set", "1", "--name", "Blog")
        assert verb("site", "sso", "1").stdout == shown, "it stays where nothing is said of it"
        verb("site", "set", "1", "--new-sso-secret")
        assert made[1] not in verb("site", "sso", "1").stdout
        assert verb("site", "set", "1", "--new-sso-secret", "--no-sso").returncode == 2
        assert verb("site", "set", "1", "--no-sso").returncode == 0
        assert "This site has no SSO secret" in verb("site", "sso", "1").stderr


async def test_a_new_secret_signs_out_at_once_who_came_by_the_old_one(tmp_path: Path) -> None:
    config = config_in(tmp_path, server=ServerConfig(public_url=AUDIENCE))
    async with running(config) as server:
        await VERBS["site-set"](server.services, {"id": 1, "new_sso_secret": True})
        old = server.services.sites.get(1).sso_secret
        person = await come_in(server, signed(old, role="moderator"))
        guest = await server.guest()
        async with server.listen(person["access_token"]) as mine, server.listen(guest) as other:
            await VERBS["site-set"](server.services, {"id": 1, "new_sso_secret": True})
            await until(lambda: mine.close_code is not None)
            assert mine.close_code == REFUSED
            assert other.close_code is None
        assert (await server.call("GET", "/api/me", token=person["access_token"]))[0] == 401
        assert (await server.call("GET", "/api/me", token=guest))[0] == 200
        assert not server.services.people.is_moderator(person["user"]["id"], 1)
        await refusal(server, signed(old))
        new = server.services.sites.get(1).sso_secret
        assert (await come_in(server, signed(new)))["user"]["id"] == person["user"]["id"]


async def test_a_secret_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    config = config_in(tmp_path, server=ServerConfig(public_url=AUDIENCE))
    async with running(config) as server:
        await VERBS["site-set"](server.services, {"id": 1, "new_sso_secret": True})
        secret = server.services.sites.get(1).sso_secret
        person = await come_in(server, signed(secret, role="moderator"))
        await execute(
            server,
            "create trigger broken before update of sso_secret on sites"
            " begin select raise(abort, 'broken'); end",
        )
        with pytest.raises(sqlite3.IntegrityError, match="broken"):
            await VERBS["site-set"](server.services, {"id": 1, "no_sso": True})
        assert (await server.call("GET", "/api/me", token=person["access_token"]))[0] == 200
        assert (await come_in(server, signed(secret)))["user"]["id"] == person["user"]["id"]


async def test_a_site_of_the_settings_is_changed_there_alone(server: Server) -> None:
    for change in ("new_sso_secret", "no_sso"):
        with pytest.raises(SiteInSettings):
            await VERBS["site-set"](server.services, {"id": 1, change: True})
    await come_in(server, signed())


@pytest.mark.parametrize(
    ("secrets", "reason"),
    [
        (["short"], "at least 32 bytes"),
        (["-----BEGIN PUBLIC KEY-----\\n" + "A" * 64], "not a key"),
        (["ssh-ed25519 " + "A" * 64], "not a key"),
        ([SECRET, SECRET], "another site's too"),
    ],
)
def test_a_bad_secret_stops_the_start(tmp_path: Path, secrets: list[str], reason: str) -> None:
    sites = [f'[[sites]]\nid = {n}\nsso_secret = "{s}"\n' for n, s in enumerate(secrets, 1)]
    (tmp_path / "talkee.toml").write_text("".join(sites))
    with pytest.raises(ConfigError, match=reason) as caught:
        load_config(tmp_path / "talkee.toml")
    assert secrets[0] not in str(caught.value)


# What the documentation shows.


def example(folder: Path, name: str, *arguments: str, secret: str = SECRET) -> str:
    """What one of the examples prints."""
    if name.endswith(".py"):
        return subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=os.environ | {"SSO_SECRET": secret},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout.strip()
    # Packages are looked for beside the file.
    shutil.copy(EXAMPLES / name, folder)
    return node(folder, name, *arguments, SSO_SECRET=secret)


@pytest.mark.parametrize("name", ["sso_token.py", "sso_token.mjs"])
async def test_the_examples_sign_people_in(server: Server, tmp_path: Path, name: str) -> None:
    def token(*more: str, secret: str = SECRET) -> str:
        return example(tmp_path, name, AUDIENCE, "7", "Ann Léé", *more, secret=secret)

    member = await come_in(server, token())
    assert (member["user"]["full_name"], member["user"]["kind"]) == ("Ann Léé", "member")
    moderator = await come_in(server, token("moderator"))
    assert moderator["user"] == member["user"] | {"kind": "moderator"}
    await refusal(server, token(secret=OTHER_SECRET))


def blocks(language: str) -> list[str]:
    """The pieces of code in the chapter."""
    chapter = (ROOT / "docs" / "signing-in.md").read_text().split("## The site's own accounts")[1]
    return re.findall(rf"```{language}\n(.*?)```", chapter.split("\n## ")[0], re.DOTALL)


def test_the_chapter_shows_what_the_examples_do() -> None:
    (python,) = blocks("python")
    (javascript, _) = blocks("js")
    shown = python[python.index("def ") :].strip()
    assert shown in (EXAMPLES / "sso_token.py").read_text()
    shown = javascript[javascript.index("const secret") :].strip()
    assert shown in (EXAMPLES / "sso_token.mjs").read_text()
