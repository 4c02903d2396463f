"""Nobody passes for somebody else, whichever way they come to a name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.app import open_services
from talkee_lite.config import AuthConfig, Config
from talkee_lite.control import VERBS
from talkee_lite.models import FOREVER

from .harness import JSON, Server, config_in, running
from .test_comments import say
from .test_password import member

SPELLINGS = [
    pytest.param("ANNA", id="case"),
    pytest.param("Ａｎｎａ", id="width"),
    pytest.param("Ännà", id="accents"),
    pytest.param("An\u200dna", id="zero width"),
    pytest.param("An\u00adna", id="soft hyphen"),
    pytest.param("\u202eAnna", id="turned"),
    pytest.param("Anna\ufe0f", id="variation"),
    pytest.param("Аnnа", id="Cyrillic"),
    pytest.param("Αnna", id="Greek"),
    pytest.param("𝒜nna", id="mathematical"),
    pytest.param("Anna\r\n", id="line break"),
    pytest.param("  Anna\t", id="white space"),
    pytest.param("A\x00nna\x07", id="control characters"),
    pytest.param("Anna\u2800", id="empty Braille pattern"),
    pytest.param("Anna\U0001d159", id="null notehead"),
    pytest.param("Anna\ue000", id="private"),
    pytest.param("Anna\u0378", id="unassigned"),
    pytest.param("Anna\U0001fffe", id="no character"),
]


def settings(folder: Path) -> Config:
    """Guests, members with passwords, a name that the owner keeps."""
    return config_in(folder, auth=AuthConfig(password=True, reserved_names=("Boss",)))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on which people may register."""
    async with running(settings(tmp_path)) as server:
        yield server


async def come(server: Server, name: str) -> tuple[int, JSON]:
    """Sign in as a guest of this name."""
    body = {"method": "guest", "full_name": name}
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    return status, answer


async def rename(server: Server, token: str, name: str) -> tuple[int, JSON]:
    """Take another name."""
    status, answer, _ = await server.call("PATCH", "/api/me", {"full_name": name}, token=token)
    return status, answer


async def make_moderator(server: Server, token: str, site_id: int) -> None:
    """Give a member a role on a site, 0: on the server."""
    user_id = (await server.services.tokens.identify(token)).user.id
    given = {"id": user_id, "role": "moderator", "site": site_id}
    await VERBS["user-role"](server.services, given)


@pytest.mark.parametrize("name", SPELLINGS)
async def test_a_published_members_name_is_theirs_in_every_spelling(
    server: Server, name: str
) -> None:
    await say(server, await member(server, "Anna"))
    other = await server.guest("Bert")
    registering = {"username": f"{name}", "password": "correct horse battery"}
    answers: list[tuple[int, Any]] = [
        await come(server, name),
        await rename(server, other, name),
        await rename(server, await member(server, "Carla"), name),
        (await server.call("POST", "/api/auth/register", registering))[:2],
    ]
    for status, answer in answers:
        assert (status, answer["error"]) == (409, "name_reserved")
        assert (await come(server, answer["suggestion"]))[0] == 200
    assert (await rename(server, other, "Anna Lena"))[0] == 200


@pytest.mark.parametrize("name", ["Boss", "BOSS", "Воss", "B0ss", "BOSS\u200b"])
async def test_a_name_that_the_owner_keeps_is_for_staff(server: Server, name: str) -> None:
    token = await member(server, "Anna")
    for answer in (await come(server, name), await rename(server, token, name)):
        assert (answer[0], answer[1]["error"]) == (409, "name_reserved")
    # Those of one site may be its own server's doing.
    await make_moderator(server, token, 1)
    assert (await rename(server, token, name))[0] == 409
    await make_moderator(server, token, 0)
    assert (await rename(server, token, name))[0] == 200


async def test_staff_are_protected_before_they_have_written(server: Server) -> None:
    token = await member(server, "Anna")
    assert (await come(server, "Anna"))[0] == 200
    await make_moderator(server, token, 1)
    assert (await come(server, "Anna"))[0] == 409


async def test_a_member_who_was_never_seen_has_no_name_to_protect_from_guests(
    server: Server,
) -> None:
    token = await member(server, "Anna")
    assert (await come(server, "Anna"))[0] == 200
    comment = await say(server, token)
    assert (await come(server, "Anna"))[0] == 409
    path = f"/api/comments/{comment['id']}?site_id=1&slug=/posts/1"
    assert (await server.call("DELETE", path, token=token))[0] == 200
    assert (await come(server, "Anna"))[0] == 200


async def test_everything_that_is_published_counts(server: Server) -> None:
    for name, path in (("Anna", "/api/comments?site_id=1&slug=/a"), ("Berta", "/ws/messages")):
        token = await member(server, name)
        if path == "/ws/messages":
            await server.post(token)
        else:
            await server.call("POST", path, {"content": "Hello"}, token=token)
        assert (await come(server, name))[0] == 409


async def test_two_members_are_never_called_alike(server: Server) -> None:
    """Or the second would pass for the first as soon as both have written."""
    await member(server, "Anna")
    token = await member(server, "Berta")
    assert (await rename(server, token, "Аnnа"))[0] == 409


async def test_ones_own_name_is_free_to_write_otherwise(server: Server) -> None:
    token = await member(server, "Anna")
    await say(server, token)
    for name in ("ANNA", "Ännchen", "Anna"):
        status, answer = await rename(server, token, name)
        assert (status, answer["data"]["full_name"]) == (200, name)


async def test_an_earlier_name_and_that_of_who_left_are_free(server: Server) -> None:
    token = await member(server, "Anna")
    await say(server, token)
    await rename(server, token, "Berta")
    assert (await come(server, "Anna"))[0] == 200
    await server.call("DELETE", "/api/me", {"content": "keep"}, token=token)
    assert (await come(server, "Berta"))[0] == 200


async def test_the_form_of_a_page_holds_to_it_too(server: Server) -> None:
    await say(server, await member(server, "Anna"))
    address = f"{server.url}/t/1?slug=/a"
    async with server.session.get(address) as page:
        html = await page.text()
    token = html.split('name="token" value="')[1].split('"')[0]
    form = {"token": token, "name": "Аnnа", "content": "Hello"}
    headers = {"Origin": server.url}
    async with server.session.post(address, data=form, headers=headers) as answer:
        assert answer.status == 409
        assert "is free" in await answer.text()


async def test_marks_that_turn_a_name_are_not_kept(server: Server) -> None:
    """Or `nnA`, turned, would be shown as `Ann`."""
    status, answer = await come(server, "\u202ennA\u2066")
    assert (status, answer["data"]["user"]["full_name"]) == (200, "nnA")


@pytest.mark.parametrize("name", ["\u2800\u2800\u2800", "\ue000", "\U0001d159", "\u200f"])
async def test_a_name_can_be_seen(server: Server, name: str) -> None:
    assert (await come(server, name))[0] == 400


@pytest.mark.parametrize("name", ["deleted", "Deleted", "dеleted"])
async def test_nobody_is_called_as_who_has_left(server: Server, name: str) -> None:
    assert (await come(server, name))[0] == 409


async def test_who_is_banned_takes_no_other_name(server: Server) -> None:
    token = await server.guest("Anna")
    user_id = (await server.services.tokens.identify(token)).user.id
    await server.services.people.ban(user_id, FOREVER, "")
    status, answer = await rename(server, token, "Something worse")
    assert (status, answer["error"]) == (403, "banned")


async def test_names_are_one_line_and_hold_no_control_characters(server: Server) -> None:
    status, answer = await come(server, "An\nna\r\n\x1b[31m \u2028Lena\x85")
    assert (status, answer["data"]["user"]["full_name"]) == (200, "An na [31m Lena")


async def test_keys_are_made_anew_when_their_rules_have_changed(tmp_path: Path) -> None:
    config = settings(tmp_path)
    async with running(config) as server:
        for number in range(3):
            await say(server, await member(server, f"Anna {number}"))
        await server.services.db.write(
            lambda tx: (
                tx.execute("update users set name_skeleton = 'x', name_caseless = 'x'", {}),
                tx.execute("update meta set value = '0' where key = 'name_keys'", {}),
            )
        )
        assert (await come(server, "Anna 1"))[0] == 200
    async with open_services(config) as services:
        found = await services.db.fetch(
            "select name_skeleton from users where is_guest = 0 order by id", {}
        )
        assert [row["name_skeleton"] for row in found] == ["anna o", "anna l", "anna 2"]
