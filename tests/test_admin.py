"""What admins do: links, calls, and who is refused."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.app import open_services
from talkee_lite.auth import Attempt
from talkee_lite.clock import SECOND, system_clock
from talkee_lite.config import AuthConfig, ServerConfig, SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.errors import InvalidBody, Refused, SignInFailed
from talkee_lite.models import Scope
from talkee_lite.signing_in import Entry, Proof

from .harness import JSON, ROOM, Server, config_in, draft, running

PUBLIC = "https://talk.example.com"


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    id: int
    token: str


def code_of(link: str) -> str:
    """What stands behind the sign in a link's fragment."""
    return link.partition("#")[2].partition("=")[2]


async def use_link(
    server: Server, code: str, *, origin: str | None = "own", host: str = "", **fields: Any
) -> tuple[int, JSON]:
    """What /admin does with a link; from the server's own page unless told otherwise."""
    headers = {"Host": host} if host else {}
    if origin is not None:
        headers["Origin"] = server.url if origin == "own" else origin
    body = {"method": "admin_link", "code": code, "scope": "admin"} | fields
    status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=headers)
    return status, answer


async def first_admin(server: Server, name: str = "Olga") -> Person:
    """The server's first admin, who came by the link."""
    link = await VERBS["user-admin-link"](server.services, {})
    status, answer = await use_link(server, code_of(link), full_name=name)
    assert status == 200, answer
    return Person(answer["data"]["user"]["id"], answer["data"]["access_token"])


async def member(server: Server, name: str, scope: Scope = Scope.PAGE) -> Person:
    """Somebody who proved who they are, each time the same by their name."""
    signed_in = await server.services.sign_ins.admit(Proof("other", name, name), Entry(scope))
    return Person(signed_in.user.id, server.services.tokens.encode(signed_in.session))


async def set_role(server: Server, person: Person, role: str, site: int = 0) -> None:
    """What the owner does by the command line."""
    await VERBS["user-role"](server.services, {"id": person.id, "role": role, "site": site})


async def staff(server: Server, name: str, role: str, site: int = 0) -> Person:
    """A member with a role; an admin has an admin token."""
    made = await member(server, name)
    await set_role(server, made, role, site)
    return await member(server, name, Scope.ADMIN) if role == "admin" else made


async def asked(
    server: Server,
    person: Person | None,
    method: str,
    path: str,
    body: Any = None,
    **headers: str,
) -> tuple[int, Any]:
    """A call's status, and its `data` or its stable code."""
    status, answer, _ = await server.call(
        method, f"/api/{path}", body, token=person.token if person else None, headers=headers
    )
    return status, answer["data"] if status == 200 else answer["error"]


async def role(server: Server, admin: Person, user_id: int, **body: Any) -> tuple[int, Any]:
    """Give somebody a role."""
    return await asked(server, admin, "PUT", f"admin/users/{user_id}", body)


# What every admin call is, with a body that is right.
CALLS: list[tuple[str, str, Any]] = [
    ("POST", "sites", {"name": "New"}),
    ("PUT", "sites/1", {"name": "New"}),
    ("GET", "admin/users", None),
    ("PUT", "admin/users/1", {"role": "member"}),
    ("POST", "admin/users/1/ban", {"hours": 1}),
    ("POST", "admin/users/1/unban", None),
    ("POST", "admin/users/1/signout", None),
]


async def refused_everywhere(
    server: Server, person: Person | None, expected: tuple[int, str], **headers: str
) -> None:
    """Every admin call ends so, and nothing was changed."""
    before = await state(server)
    for method, path, body in CALLS:
        found = await asked(server, person, method, path, body, **headers)
        assert found == expected, (method, path)
    assert await state(server) == before


async def state(server: Server) -> Any:
    """All that admin calls could change."""
    rows = {}
    for table in ("sites", "roles", "sessions", "users"):
        found = await server.services.db.fetch(f"select * from {table}", {})
        rows[table] = [dict(row) | {"last_used_at": 0} for row in found]
    return rows


# Links.


async def test_the_first_link_makes_the_first_admin(server: Server) -> None:
    link = await VERBS["user-admin-link"](server.services, {})
    assert link.startswith(f"{server.url}/admin#new=")
    status, answer = await use_link(server, code_of(link), full_name=" Olga ")
    assert status == 200
    user = answer["data"]["user"]
    assert (user["full_name"], user["kind"]) == ("Olga", "admin")
    olga = Person(user["id"], answer["data"]["access_token"])
    assert (await server.services.tokens.identify(olga.token)).session.scope is Scope.ADMIN
    assert (await asked(server, olga, "GET", "admin/users"))[0] == 200
    # Nobody passes for them from now on.
    body = {"method": "guest", "full_name": "0lga"}
    status, answer, _ = await server.call("POST", "/api/auth/login", body)
    assert (status, answer["error"]) == (409, "name_reserved")


async def test_a_name_that_is_not_good_leaves_the_link_as_it_was(server: Server) -> None:
    await staff(server, "Mo", "moderator", 1)
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    for name, expected in (("", "invalid_name"), ("x" * 65, "invalid_name"), ("MO", None)):
        status, answer = await use_link(server, code, full_name=name)
        assert (status, answer["error"], answer["field"]) == (
            (409, "name_reserved", "full_name")
            if expected is None
            else (400, expected, "full_name")
        )
    assert (await use_link(server, code, full_name=answer["suggestion"]))[0] == 200


async def test_a_link_works_once_and_guessed_ones_never(server: Server) -> None:
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    for guess in (code[:-1], code + "x", code.swapcase(), "", "\u0000", "x" * 5000):
        status, answer = await use_link(server, guess, full_name="Eve")
        assert (status, answer["error"]) == (401, "sign_in_failed")
    assert not server.services.people.has_admin()
    assert (await use_link(server, code, full_name="Olga"))[0] == 200
    status, answer = await use_link(server, code, full_name="Eve")
    assert (status, answer["error"]) == (401, "sign_in_failed")


async def test_of_many_who_open_the_first_link_at_once_one_is_the_admin(server: Server) -> None:
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    answers = await asyncio.gather(
        *(use_link(server, code, full_name=f"Person {n}") for n in range(8))
    )
    assert sorted(status for status, _ in answers) == [200] + [401] * 7
    users = await server.services.people.list("", 0)
    assert len(users) == 1


async def test_the_first_link_is_dead_once_there_is_an_admin(server: Server) -> None:
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    await staff(server, "Ann", "admin")
    status, answer = await use_link(server, code, full_name="Eve")
    assert (status, answer["error"]) == (401, "sign_in_failed")
    # So it is told at the next start, too.
    assert await server.services.sign_ins.make_first_link() is None


async def test_an_admin_gets_other_links(server: Server) -> None:
    olga = await first_admin(server)
    ann = await staff(server, "Ann", "admin", 1)
    for given, whose in (({}, olga), ({"id": olga.id}, olga), ({"id": ann.id}, ann)):
        link = await VERBS["user-admin-link"](server.services, given)
        assert link.startswith(f"{server.url}/admin#link=")
        status, answer = await use_link(server, code_of(link))
        assert (status, answer["data"]["user"]["id"]) == (200, whose.id)
        assert (await use_link(server, code_of(link)))[0] == 401


async def test_a_newer_link_for_the_same_person_ends_the_older(server: Server) -> None:
    await first_admin(server)
    older = await VERBS["user-admin-link"](server.services, {})
    newer = await VERBS["user-admin-link"](server.services, {})
    assert (await use_link(server, code_of(older)))[0] == 401
    assert (await use_link(server, code_of(newer)))[0] == 200


async def test_who_is_no_admin_gets_no_link(server: Server) -> None:
    await first_admin(server)
    ann = await member(server, "Ann")
    mo = await staff(server, "Mo", "moderator")
    for user_id in (ann.id, mo.id, 999):
        with pytest.raises(Refused, match=f"User {user_id} is no admin"):
            await VERBS["user-admin-link"](server.services, {"id": user_id})


async def test_a_link_of_somebody_who_is_no_admin_any_more_is_dead(server: Server) -> None:
    await first_admin(server)
    ann = await staff(server, "Ann", "admin")
    link = await VERBS["user-admin-link"](server.services, {"id": ann.id})
    await set_role(server, ann, "moderator")
    assert (await use_link(server, code_of(link)))[0] == 401


async def test_a_link_is_good_for_an_hour(tmp_path: Path) -> None:
    now = system_clock()
    async with open_services(config_in(tmp_path), clock=lambda: now) as services:

        async def use(code: str) -> None:
            entry = Entry(Scope.ADMIN)
            body = {"code": code, "full_name": "Olga"}
            attempt = Attempt(body, services.people.public_url, None, "local", entry)
            await services.logins["admin_link"].sign_in(attempt)

        # The first admin's, and one of an admin who is there.
        for _ in range(2):
            link = await VERBS["user-admin-link"](services, {})
            now += 3600 * SECOND
            with pytest.raises(SignInFailed, match="older than an hour"):
                await use(code_of(link))
            link = await VERBS["user-admin-link"](services, {})
            now += 3600 * SECOND - 1
            await use(code_of(link))


async def test_each_start_renews_the_first_link(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        older = await server.services.sign_ins.make_first_link()
    async with running(config_in(tmp_path)) as server:
        newer = await server.services.sign_ins.make_first_link()
        assert older is not None
        assert newer is not None
        assert (await use_link(server, older, full_name="Eve"))[0] == 401
        assert (await use_link(server, newer, full_name="Olga"))[0] == 200
    async with running(config_in(tmp_path)) as server:
        assert await server.services.sign_ins.make_first_link() is None


async def test_a_link_that_was_used_stays_used_over_a_restart(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        await first_admin(server)
        used = code_of(await VERBS["user-admin-link"](server.services, {}))
        assert (await use_link(server, used))[0] == 200
        unused = code_of(await VERBS["user-admin-link"](server.services, {}))
    async with running(config_in(tmp_path)) as server:
        assert (await use_link(server, used))[0] == 401
        assert (await use_link(server, unused))[0] == 200


@pytest.mark.parametrize(
    ("public_url", "port", "address"),
    [
        ("https://talk.example.com", 0, "https://talk.example.com/admin"),
        ("https://blog.example.com/talk", 8080, "https://blog.example.com/talk/admin"),
        ("", 8123, "http://127.0.0.1:8123/admin"),
    ],
)
async def test_a_link_begins_with_the_public_address(
    tmp_path: Path, public_url: str, port: int, address: str
) -> None:
    config = config_in(tmp_path, server=ServerConfig(public_url=public_url, port=port))
    async with open_services(config) as services:
        link = await VERBS["user-admin-link"](services, {})
        assert link.partition("#")[0] == address


async def test_without_any_address_there_is_no_link(tmp_path: Path) -> None:
    async with open_services(config_in(tmp_path, server=ServerConfig(port=0))) as services:
        with pytest.raises(InvalidBody, match="start it first"):
            await VERBS["user-admin-link"](services, {})


# Admin tokens: who gets one, and what it is good for.


async def test_pages_of_other_origins_get_no_admin_token(tmp_path: Path) -> None:
    """Not even those that may use a site, nor a program that says nothing of a page."""
    site = SiteConfig(id=1, name="Blog", origins=("https://blog.example.com", "https://*.x.org"))
    config = config_in(tmp_path, sites=(site,), server=ServerConfig(public_url=PUBLIC))
    async with running(config) as server:
        code = code_of(await VERBS["user-admin-link"](server.services, {}))
        for origin, error in (
            ("https://evil.example", "origin_not_allowed"),
            ("https://blog.example.com", "forbidden"),
            ("https://a.x.org", "forbidden"),
            (f"{PUBLIC}.evil.example", "origin_not_allowed"),
            (f"{PUBLIC}:444", "origin_not_allowed"),
            ("http://talk.example.com", "origin_not_allowed"),
            ("null", "origin_not_allowed"),
            (server.url, "origin_not_allowed"),
            ("http://localhost", "origin_not_allowed"),
            (None, "forbidden"),
        ):
            status, answer = await use_link(server, code, origin=origin, full_name="Eve")
            assert (status, answer["error"]) == (403, error), origin
        assert (await use_link(server, code, origin=PUBLIC, full_name="Olga"))[0] == 200


async def test_a_name_that_points_here_gets_no_admin_token(server: Server) -> None:
    """DNS rebinding: to the browser a page of evil.example is then of the same origin."""
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    for host in (
        *("evil.example", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("localhost@evil.example", "[::1].evil.example", "localhost.", "0"),
    ):
        authority = f"{host}:{server.port}"
        status, answer = await use_link(
            server, code, origin=f"http://{authority}", host=authority, full_name="Eve"
        )
        assert status in (400, 403), host
        # Nor does a page of this machine that the browser does not take for our own.
        other = await use_link(server, code, origin=server.url, host=authority, full_name="Eve")
        assert other[0] in (400, 403), host
    status, answer = await use_link(server, code, origin="http://127.0.0.1:1", full_name="Eve")
    assert (status, answer["error"]) == (403, "forbidden")
    for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}", "[::1]:80"):
        code = code_of(await VERBS["user-admin-link"](server.services, {}))
        status, answer = await use_link(
            server, code, origin=f"http://{host}", host=host, full_name="Olga"
        )
        assert status == 200, (host, answer)


async def test_a_link_gives_admin_tokens_and_no_other(server: Server) -> None:
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    for scope in ("page", None, "root", ["admin"]):
        refused = await use_link(server, code, full_name="Eve", scope=scope)
        assert refused[0] in (400, 403), scope
    assert (await use_link(server, code, full_name="Olga"))[0] == 200


async def test_who_is_no_admin_gets_no_admin_token(server: Server) -> None:
    body = {"method": "guest", "full_name": "Ann", "scope": "admin"}
    headers = {"Origin": server.url}
    status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=headers)
    assert (status, answer["error"]) == (403, "forbidden")


async def test_an_admin_token_is_not_renewed_and_ends_after_a_day(server: Server) -> None:
    olga = await first_admin(server)
    session = (await server.services.tokens.identify(olga.token)).session
    day = 24 * 3600 * SECOND
    assert 0 <= server.services.clock() + day - session.expires_at < 60 * SECOND
    own = {"Origin": server.url}
    assert await asked(server, olga, "POST", "auth/renew", **own) == (403, "forbidden")
    late = session.expires_at
    server.services.tokens._clock = lambda: late
    assert await asked(server, olga, "GET", "admin/users") == (401, "unauthorized")
    assert await asked(server, olga, "POST", "auth/renew", **own) == (403, "forbidden")


async def test_without_a_token_nobody_does_what_admins_do(server: Server) -> None:
    await refused_everywhere(server, None, (401, "unauthorized"))


async def test_a_page_token_of_an_admin_does_not_do(server: Server) -> None:
    """What a script on the blog could steal."""
    await first_admin(server)
    await staff(server, "Ann", "admin")
    await refused_everywhere(server, await member(server, "Ann"), (403, "forbidden"))


async def test_staff_of_a_site_and_others_do_not_do(server: Server) -> None:
    await first_admin(server)
    other = await VERBS["site-add"](server.services, {"name": "Other", "origins": []})
    guest = await server.guest("Guest")
    for person in (
        Person(0, guest),
        await member(server, "Ann"),
        await staff(server, "Mo", "moderator", 1),
        await staff(server, "Mona", "moderator"),
        await staff(server, "Ben", "admin", other["id"]),
    ):
        await refused_everywhere(server, person, (403, "forbidden"))


async def test_whoever_was_an_admin_does_not_do_with_the_old_token(server: Server) -> None:
    olga = await first_admin(server)
    demoted = await staff(server, "Ann", "admin")
    assert (await role(server, olga, demoted.id, role="moderator"))[0] == 200
    await refused_everywhere(server, demoted, (403, "forbidden"))
    assert await asked(server, demoted, "GET", "sites") == (200, [])

    banned = await staff(server, "Ben", "admin")
    assert (await asked(server, olga, "POST", f"admin/users/{banned.id}/ban", {"hours": 1}))[
        0
    ] == 200
    await refused_everywhere(server, banned, (403, "banned"))
    unban = await asked(server, banned, "POST", f"admin/users/{banned.id}/unban")
    assert unban == (403, "banned")

    gone = await staff(server, "Cem", "admin")
    assert (await asked(server, gone, "DELETE", "me", {"content": "keep"}))[0] == 200
    await refused_everywhere(server, gone, (401, "unauthorized"))

    signed_out = await staff(server, "Dan", "admin")
    assert (await asked(server, olga, "POST", f"admin/users/{signed_out.id}/signout"))[0] == 200
    await refused_everywhere(server, signed_out, (401, "unauthorized"))


async def test_a_good_admin_token_does_not_do_on_another_page(tmp_path: Path) -> None:
    site = SiteConfig(id=1, name="Blog", origins=("https://blog.example.com",))
    config = config_in(tmp_path, sites=(site,), server=ServerConfig(public_url=PUBLIC))
    async with running(config) as server:
        code = code_of(await VERBS["user-admin-link"](server.services, {}))
        _, answer = await use_link(server, code, origin=PUBLIC, full_name="Olga")
        olga = Person(answer["data"]["user"]["id"], answer["data"]["access_token"])
        for origin, error in (
            ("https://blog.example.com", "forbidden"),
            ("https://evil.example", "origin_not_allowed"),
            ("null", "origin_not_allowed"),
        ):
            await refused_everywhere(server, olga, (403, error), Origin=origin)
        assert (await asked(server, olga, "GET", "admin/users", Origin=PUBLIC))[0] == 200


async def test_a_good_admin_token_does_not_do_on_a_name_that_points_here(server: Server) -> None:
    olga = await first_admin(server)
    evil = f"evil.example:{server.port}"
    await refused_everywhere(
        server, olga, (403, "origin_not_allowed"), Origin=f"http://{evil}", Host=evil
    )


async def test_a_token_that_only_says_admin_is_none(server: Server) -> None:
    """The scope that counts is the one on record."""
    await first_admin(server)
    await staff(server, "Ann", "admin")
    ann = await member(server, "Ann")
    session = (await server.services.tokens.identify(ann.token)).session
    forged = server.services.tokens.encode(replace(session, scope=Scope.ADMIN))
    server.services.tokens._sessions.clear()
    await refused_everywhere(server, Person(ann.id, forged), (403, "forbidden"))


# Sites.


async def test_a_site_is_made_changed_and_effective_at_once(server: Server) -> None:
    olga = await first_admin(server)
    body = {"name": " My  blog ", "origins": ["HTTPS://Blog.example.com/", "https://b.example:443"]}
    status, site = await asked(server, olga, "POST", "sites", body)
    assert status == 200
    assert (site["id"], site["user_id"], site["name"]) == (1000, olga.id, "My blog")
    assert site["origins"] == ["https://blog.example.com", "https://b.example"]
    assert (site["origin"], site["public_chat"], site["from_settings"]) == (
        "https://blog.example.com",
        False,
        False,
    )
    allowed = f"slugs?site_id={site['id']}&slug=/a"
    page = {"Origin": "https://new.example"}
    assert (await asked(server, None, "GET", allowed, **page))[0] == 403
    status, changed = await asked(
        server, olga, "PUT", "sites/1000", {"origins": ["https://new.example"]}
    )
    assert (status, changed["name"], changed["origins"]) == (
        200,
        "My blog",
        ["https://new.example"],
    )
    assert (await asked(server, None, "GET", allowed, **page))[0] == 200
    status, changed = await asked(server, olga, "PUT", "sites/1000", {"name": "B"})
    assert (changed["name"], changed["origins"]) == ("B", ["https://new.example"])
    assert (await asked(server, olga, "PUT", "sites/1000", {"origin": "https://c.example"}))[1][
        "origins"
    ] == ["https://c.example"]
    status, changed = await asked(server, olga, "PUT", "sites/1000", {"origin": ""})
    assert (changed["origins"], changed["origin"]) == ([], "")
    unchanged = await asked(server, olga, "PUT", "sites/1000", {})
    assert unchanged[1]["name"] == "B"
    assert [one["id"] for one in (await asked(server, olga, "GET", "sites"))[1]] == [1, 1000]


@pytest.mark.parametrize(
    ("body", "error", "field"),
    [
        ({}, "invalid_body", "name"),
        ({"name": 7}, "invalid_body", "name"),
        ({"name": None}, "invalid_body", "name"),
        ({"name": " "}, "invalid_site", "name"),
        ({"name": "x" * 65}, "invalid_site", "name"),
        ({"name": "x", "origin": 7}, "invalid_body", "origin"),
        ({"name": "x", "origin": "blog"}, "invalid_site", "origins"),
        ({"name": "x", "origin": "https://a.example/path"}, "invalid_site", "origins"),
        ({"name": "x", "origins": "https://a.example"}, "invalid_body", "origins"),
        ({"name": "x", "origins": ["https://a.example", 7]}, "invalid_body", "origins"),
        ({"name": "x", "origins": [""]}, "invalid_site", "origins"),
        ({"name": "x", "origins": ["null"]}, "invalid_site", "origins"),
        ({"name": "x", "origins": ["javascript:alert(1)"]}, "invalid_site", "origins"),
        (
            {"name": "x", "origins": [f"https://{n}.example" for n in range(201)]},
            "invalid_site",
            "origins",
        ),
        ({"name": "x", "origin": "", "origins": []}, "invalid_body", "origin"),
        ({"name": "x", "public_chat": 1}, "invalid_body", "public_chat"),
        ({"name": "x", "public_chat": None}, "invalid_body", "public_chat"),
    ],
)
async def test_a_site_that_is_not_valid_is_refused(
    server: Server, body: JSON, error: str, field: str
) -> None:
    olga = await first_admin(server)
    for method, path in (("POST", "/api/sites"), ("PUT", "/api/sites/1")):
        if method == "PUT" and body == {}:
            continue
        status, answer, _ = await server.call(method, path, body, token=olga.token)
        assert (status, answer["error"], answer["field"]) == (400, error, field)
    assert len(server.services.sites.all()) == 1


async def test_changes_of_one_site_at_once_undo_nothing_of_each_other(server: Server) -> None:
    olga = await first_admin(server)
    bodies = ({"name": "New"}, {"origin": "https://a.example"}, {"public_chat": True})
    await asyncio.gather(*(asked(server, olga, "PUT", "sites/1", body) for body in bodies))
    (site,) = (await asked(server, olga, "GET", "sites"))[1]
    assert (site["name"], site["origin"], site["public_chat"]) == ("New", "https://a.example", True)


async def test_an_admin_of_a_site_changes_that_site_alone(server: Server) -> None:
    olga = await first_admin(server)
    site = (await asked(server, olga, "POST", "sites", {"name": "Other"}))[1]["id"]
    ann = await staff(server, "Ann", "admin", site)
    assert [one["id"] for one in (await asked(server, ann, "GET", "sites"))[1]] == [site]
    # The list is also for pages; what changes something is not.
    assert len((await asked(server, await member(server, "Ann"), "GET", "sites"))[1]) == 1
    status, changed = await asked(server, ann, "PUT", f"sites/{site}", {"name": "Ann's"})
    assert (status, changed["name"], changed["user_id"]) == (200, "Ann's", olga.id)
    assert await asked(server, ann, "PUT", "sites/1", {"name": "x"}) == (403, "forbidden")
    assert await asked(server, ann, "POST", "sites", {"name": "x"}) == (403, "forbidden")


async def test_sites_that_are_not_there_or_stand_in_the_settings(tmp_path: Path) -> None:
    sites = (SiteConfig(id=5, name="Mine"),)
    async with running(config_in(tmp_path, sites=sites)) as server:
        olga = await first_admin(server)
        (site,) = (await asked(server, olga, "GET", "sites"))[1]
        assert site["from_settings"] is True
        found = await asked(server, olga, "PUT", "sites/5", {"name": "x"})
        assert found == (409, "site_in_settings")
        for path in ("sites/6", "sites/0", "sites/x"):
            found = await asked(server, olga, "PUT", path, {"name": "x"})
            assert found == (404, "site_not_found")


async def test_a_chat_that_is_not_public_any_more_loses_its_visitors(server: Server) -> None:
    olga = await first_admin(server)
    assert (await asked(server, olga, "PUT", "sites/1", {"public_chat": True}))[0] == 200
    async with server.listen() as visitor:
        await visitor.send(json.dumps({"type": "auth", "visitor": True, "events": True}))
        assert json.loads(await visitor.recv())["type"] == "ready"
        assert (await asked(server, olga, "PUT", "sites/1", {"public_chat": False}))[0] == 200
        async with asyncio.timeout(1):
            await visitor.wait_closed()
        assert visitor.close_code == 1012


# People.


async def test_people_are_listed_by_the_beginning_of_their_names(server: Server) -> None:
    olga = await first_admin(server)
    for name in ("Ann", "\u00c0nna", "Ben"):
        await server.guest(name)
    _, everybody = await asked(server, olga, "GET", "admin/users")
    assert [user["full_name"] for user in everybody] == ["Olga", "Ann", "\u00c0nna", "Ben"]
    assert everybody[0]["roles"] == [{"site_id": 0, "role": "admin"}]
    assert everybody[1]["roles"] == []
    assert (everybody[1]["banned_until"], everybody[1]["ban_reason"]) == (None, "")
    _, found = await asked(server, olga, "GET", "admin/users?q=AN")
    assert "Ann" in [user["full_name"] for user in found]
    assert "Ben" not in [user["full_name"] for user in found]
    assert (await asked(server, olga, "GET", "admin/users?q=nobody"))[1] == []
    _, rest = await asked(server, olga, "GET", f"admin/users?after_id={everybody[2]['id']}")
    assert [user["full_name"] for user in rest] == ["Ben"]
    for wrong in ("x", "0", "-1", "1.5"):
        found = await asked(server, olga, "GET", f"admin/users?after_id={wrong}")
        assert found == (400, "invalid_page")


async def test_a_hundred_people_are_listed_at_once(server: Server) -> None:
    olga = await first_admin(server)
    for n in range(101):
        await server.services.sign_ins.guest(f"Guest {n}")
    _, first = await asked(server, olga, "GET", "admin/users?q=guest")
    assert len(first) == 100
    _, rest = await asked(server, olga, "GET", f"admin/users?q=guest&after_id={first[-1]['id']}")
    assert [user["full_name"] for user in rest] == ["Guest 100"]


async def test_a_role_is_given_and_taken_at_once(server: Server) -> None:
    olga = await first_admin(server)
    ann = await member(server, "Ann")
    posted = await server.post(await server.guest("Guest"))
    erase = f"messages/{posted['message_id']}?{ROOM}"
    assert await asked(server, ann, "DELETE", erase) == (403, "forbidden")
    status, user = await role(server, olga, ann.id, role="moderator", site_id=1)
    assert (status, user["roles"]) == (200, [{"site_id": 1, "role": "moderator"}])
    assert user["kind"] == "member"
    assert server.services.people.is_moderator(ann.id, 1)
    status, user = await role(server, olga, ann.id, role="admin")
    assert (user["kind"], len(user["roles"])) == ("admin", 2)
    status, user = await role(server, olga, ann.id, role="member", site_id=1)
    assert user["roles"] == [{"site_id": 0, "role": "admin"}]
    # The list is what is stored.
    await server.services.people.start()
    assert server.services.people.roles_of(ann.id) == {0: "admin"}
    assert (await role(server, olga, ann.id, role="member"))[1]["roles"] == []


async def test_what_cannot_be_a_role(server: Server) -> None:
    olga = await first_admin(server)
    ann = await member(server, "Ann")
    guest = await server.services.sign_ins.guest("Guest")
    for body, user_id, expected in (
        ({"role": "guest"}, ann.id, (400, "invalid_body")),
        ({"role": "Admin"}, ann.id, (400, "invalid_body")),
        ({}, ann.id, (400, "invalid_body")),
        ({"role": None}, ann.id, (400, "invalid_body")),
        ({"role": "admin", "site_id": "1"}, ann.id, (400, "invalid_body")),
        ({"role": "admin", "site_id": True}, ann.id, (400, "invalid_body")),
        ({"role": "admin", "site_id": -1}, ann.id, (400, "invalid_site_id")),
        ({"role": "admin", "site_id": 9}, ann.id, (404, "site_not_found")),
        ({"role": "admin"}, 999, (404, "user_not_found")),
        ({"role": "moderator"}, guest[0].id, (409, "guest_without_role")),
        ({"role": "admin", "site_id": 1}, guest[0].id, (409, "guest_without_role")),
    ):
        assert await role(server, olga, user_id, **body) == expected, body
    assert (await role(server, olga, guest[0].id, role="member"))[1]["roles"] == []
    for path in ("admin/users/x", "admin/users/0"):
        found = await asked(server, olga, "PUT", path, {"role": "admin"})
        assert found == (404, "user_not_found")


async def test_whoever_left_gets_no_role(server: Server) -> None:
    olga = await first_admin(server)
    ann = await member(server, "Ann")
    await asked(server, ann, "DELETE", "me", {"content": "keep"})
    assert await role(server, olga, ann.id, role="admin") == (409, "guest_without_role")
    ban = await asked(server, olga, "POST", f"admin/users/{ann.id}/ban", {"hours": 1})
    assert ban == (404, "user_not_found")


async def test_the_last_admin_stays_one(server: Server) -> None:
    olga = await first_admin(server)
    ann = await staff(server, "Ann", "admin", 1)
    for other in ("member", "moderator"):
        assert await role(server, olga, olga.id, role=other) == (409, "last_admin")
        with pytest.raises(Refused, match="needs an admin"):
            await set_role(server, olga, other)
    assert (await role(server, olga, ann.id, role="admin"))[0] == 200
    assert (await role(server, olga, olga.id, role="member"))[0] == 200
    assert await role(server, olga, olga.id, role="admin") == (403, "forbidden")


async def test_of_two_admins_who_demote_each_other_one_stays(server: Server) -> None:
    olga, ann = await first_admin(server), await staff(server, "Ann", "admin")
    first, second = await asyncio.gather(
        role(server, olga, ann.id, role="member"), role(server, ann, olga.id, role="member")
    )
    assert sorted([first[0], second[0]]) == [200, 403]
    assert server.services.people.has_admin()


async def test_a_ban_ends_sockets_within_a_second_and_can_be_lifted(server: Server) -> None:
    olga = await first_admin(server)
    token = await server.guest("Ann")
    ann = Person((await server.services.tokens.identify(token)).user.id, token)
    async with server.listen(token) as first, server.listen(token, room=ROOM + "b") as second:
        path = f"admin/users/{ann.id}/ban"
        status, user = await asked(server, olga, "POST", path, {"hours": 2, "reason": " No\nise "})
        assert (status, user["ban_reason"]) == (200, "No ise")
        assert user["banned_until"] > user["created_at"]
        async with asyncio.timeout(1):
            await first.wait_closed()
            await second.wait_closed()
        assert (first.close_code, second.close_code) == (4503, 4503)
    say = await server.call("POST", f"/ws/messages?{ROOM}", draft(), token=token)
    assert (say[0], say[1]["error"]) == (403, "banned")
    _, (listed,) = await asked(server, olga, "GET", "admin/users?q=ann")
    assert listed["ban_reason"] == "No ise"
    status, user = await asked(server, olga, "POST", f"admin/users/{ann.id}/unban")
    assert (status, user["banned_until"], user["ban_reason"]) == (200, None, "")
    await server.post(token)
    _, forever = await asked(server, olga, "POST", path, {"hours": 0})
    assert forever["banned_until"].startswith("9999")


async def test_what_is_no_ban(server: Server) -> None:
    olga = await first_admin(server)
    ann = await member(server, "Ann")
    for user_id, body, expected in (
        (ann.id, {}, (400, "invalid_body")),
        (ann.id, {"hours": -1}, (400, "invalid_body")),
        (ann.id, {"hours": 1.5}, (400, "invalid_body")),
        (ann.id, {"hours": "1"}, (400, "invalid_body")),
        (ann.id, {"hours": True}, (400, "invalid_body")),
        (ann.id, {"hours": 1_000_001}, (400, "invalid_body")),
        (ann.id, {"hours": 1, "reason": 7}, (400, "invalid_body")),
        (999, {"hours": 1}, (404, "user_not_found")),
        (olga.id, {"hours": 1}, (403, "forbidden")),
    ):
        found = await asked(server, olga, "POST", f"admin/users/{user_id}/ban", body)
        assert found == expected, body
    for unknown in (999, "x"):
        for verb in ("unban", "signout"):
            found = await asked(server, olga, "POST", f"admin/users/{unknown}/{verb}")
            assert found == (404, "user_not_found")


async def test_signing_out_ends_sessions_and_sockets_within_a_second(server: Server) -> None:
    olga = await first_admin(server)
    ann = await member(server, "Ann")
    elsewhere = await member(server, "Ann")
    async with server.listen(ann.token) as first, server.listen(elsewhere.token) as second:
        status, user = await asked(server, olga, "POST", f"admin/users/{ann.id}/signout")
        assert (status, user["full_name"]) == (200, "Ann")
        async with asyncio.timeout(1):
            await first.wait_closed()
            await second.wait_closed()
        assert (first.close_code, second.close_code) == (4501, 4501)
    for person in (ann, elsewhere):
        assert await asked(server, person, "GET", "me") == (401, "unauthorized")
    # Themselves too.
    assert (await asked(server, olga, "POST", f"admin/users/{olga.id}/signout"))[0] == 200
    assert await asked(server, olga, "GET", "me") == (401, "unauthorized")


# The page.


async def test_the_page_is_locked_down_and_not_for_search_engines(server: Server) -> None:
    async with server.session.get(f"{server.url}/admin") as response:
        assert response.status == 200
        assert response.headers["X-Robots-Tag"] == "noindex"
        assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "Access-Control-Allow-Origin" not in response.headers
        page = await response.text()
    assert "style=" not in page
    assert re.search(r"\son\w+=", page) is None


async def test_with_a_slash_it_is_where_what_it_loads_is_found(server: Server) -> None:
    async with server.session.get(f"{server.url}/admin/", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (308, "../admin")
    async with server.session.get(f"{server.url}/admin/") as response:
        assert (response.status, response.url.path) == (200, "/admin")


# A password beside the links.


async def test_an_admin_who_came_by_a_link_sets_a_password_and_comes_in_by_it(
    tmp_path: Path,
) -> None:
    config = config_in(tmp_path, auth=AuthConfig(password=True))
    async with running(config) as server:
        olga = await first_admin(server)
        own = {"Origin": server.url}

        async def set_password(
            admin: Person, username: str, new: str
        ) -> tuple[int, Any, Person | None]:
            body = {"username": username, "new_password": new}
            status, answer, _ = await server.call(
                "PUT", "/api/me/password", body, token=admin.token, headers=own
            )
            if status != 200:
                return status, answer, None
            return status, answer, Person(admin.id, answer["data"]["access_token"])

        status, _, again = await set_password(olga, "olga", "correct horse battery")
        assert status == 200
        assert again is not None
        # The page goes on with the token that came with the answer; the older is dead.
        assert (await asked(server, again, "GET", "admin/users"))[0] == 200
        assert await asked(server, olga, "GET", "me") == (401, "unauthorized")
        body = {"method": "password", "username": "Olga", "scope": "admin"}
        body |= {"password": "correct horse battery"}
        for headers, expected in ((own, 200), ({}, 403)):
            status, answer, _ = await server.call("POST", "/api/auth/login", body, headers=headers)
            assert status == expected, answer
        # Lost: a link again, and the user name that is there already.
        link = await VERBS["user-admin-link"](server.services, {})
        _, answer = await use_link(server, code_of(link))
        back = Person(olga.id, answer["data"]["access_token"])
        status, answer, _ = await set_password(back, "other", "staple and more")
        assert (status, answer["field"], answer["suggestion"]) == (400, "username", "olga")
        assert (await set_password(back, "OLGA", "staple and more"))[0] == 200
