"""Two things at once, and what is refused: nothing is left half done by a sign-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.clock import DAY
from talkee_lite.config import AuthConfig, Config, ServerConfig, SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.models import Scope

from .harness import JSON, Server, config_in, running
from .test_admin import code_of, first_admin, set_role, use_link
from .test_admin import member as proved
from .test_comments import PAGE, call, say
from .test_merging import come, me
from .test_password import GOOD, change, member, register, sign_in
from .test_socket import code_of as close_code

BLOG = "https://blog.example.com"
PUBLIC = "https://talk.example.com"


def settings(folder: Path) -> Config:
    """A server on the internet, and a blog whose pages may use it."""
    return config_in(
        folder,
        auth=AuthConfig(password=True),
        server=ServerConfig(public_url=PUBLIC),
        sites=(SiteConfig(id=1, origins=(BLOG,)),),
    )


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(settings(tmp_path)) as server:
        yield server


async def from_page(
    server: Server, method: str, path: str, body: Any = None, *, token: str, origin: str
) -> tuple[int, JSON]:
    """A call that a browser makes for a page."""
    status, answer, _ = await server.call(
        method, path, body, token=token, headers={"Origin": origin}
    )
    return status, answer


async def count(server: Server, table: str) -> int:
    row = await server.services.db.fetch_one(f"select count(*) as number from {table}", {})
    assert row is not None
    return int(row["number"])


# What is refused leaves nothing.


async def test_a_refused_admin_makes_no_account(server: Server) -> None:
    own = {"Origin": PUBLIC}
    status, answer = await register(server, "ann", scope="admin", headers=own)
    assert (status, answer["error"]) == (403, "forbidden")
    guest = {"method": "guest", "full_name": "Bob", "scope": "admin"}
    assert (await server.call("POST", "/api/auth/login", guest, headers=own))[0] == 403
    assert (await sign_in(server, "ann"))[0] == 401
    assert [await count(server, table) for table in ("users", "sessions", "identities")] == [0] * 3


async def test_a_refused_admin_stays_the_guest_who_they_were(server: Server) -> None:
    await member(server, "ann")
    guest = await server.guest("Bob")
    body = {"method": "password", "username": "ann", "password": GOOD, "scope": "admin"}
    status, _ = await from_page(server, "POST", "/api/auth/login", body, token=guest, origin=PUBLIC)
    assert status == 403
    assert (await me(server, guest))["full_name"] == "Bob"
    assert (await server.call("POST", "/api/auth/logout", {"everywhere": True}, token=guest))[
        0
    ] == 200
    assert (await server.call("GET", "/api/me", token=guest))[0] == 401


async def test_everything_of_a_person_ends_also_what_is_only_in_memory(server: Server) -> None:
    token = await server.guest("Bob")
    async with server.listen(token) as client:
        await server.services.db.write(lambda tx: tx.execute("delete from sessions", {}))
        assert (await server.call("GET", "/api/me", token=token))[0] == 200
        path = "/api/auth/logout"
        assert (await server.call("POST", path, {"everywhere": True}, token=token))[0] == 200
        assert await close_code(client) == 4501
    assert (await server.call("GET", "/api/me", token=token))[0] == 401


# One guest, two calls.


async def test_a_guest_who_leaves_while_they_register_is_somebody_new_or_gone(
    server: Server,
) -> None:
    """Never somebody whom nobody finds and nobody can ban."""
    for number in range(5):
        guest = await server.guest("Bob")
        answers = await asyncio.gather(
            register(server, f"bob {number}", token=guest),
            server.call("DELETE", "/api/me", {"content": "keep"}, token=guest),
        )
        assert answers[0][0] == 200
        user = answers[0][1]["data"]["user"]
        token = answers[0][1]["data"]["access_token"]
        if (await server.call("GET", "/api/me", token=token))[0] == 200:
            assert user["full_name"] != "deleted"
            await VERBS["user-ban"](server.services, {"id": user["id"], "hours": 1})
        else:
            # They registered first, and left as the member who they were.
            assert (await sign_in(server, f"bob {number}"))[0] == 401


async def test_a_guest_becomes_one_person_and_no_more(server: Server) -> None:
    for number in range(3):
        ann = await me(server, await member(server, f"ann {number}"))
        guest = await server.guest(f"Guest {number}")
        for _ in range(30):
            await say(server, guest, "of a guest", page=f"site_id=1&slug=/{number}")
        joined, answer = await asyncio.gather(
            come(server, f"ann {number}", guest),
            register(server, f"bob {number}", token=guest),
        )
        assert joined["user"]["id"] == ann["id"]
        assert answer[0] == 200
        bob = answer[1]["data"]["user"]
        assert (await sign_in(server, f"bob {number}"))[1]["data"]["user"] == bob
        listed = await call(server, "GET", "", page=f"site_id=1&slug=/{number}")
        authors = {comment["creator"]["id"] for comment in listed["comments"]}
        assert authors in ({ann["id"]}, {bob["id"]})


async def test_who_leaves_with_everything_takes_along_what_is_on_its_way(server: Server) -> None:
    token = await member(server, "ann")
    guest = await server.guest("Bob")
    for number in range(400):
        await say(server, guest, f"number {number}")
    joining = asyncio.create_task(come(server, "ann", guest))
    await asyncio.sleep(0.05)
    leaving = {"content": "remove"}
    assert (await server.call("DELETE", "/api/me", leaving, token=token))[0] == 200
    await asyncio.gather(joining, return_exceptions=True)
    await server.services.merging.resume()
    listed = await call(server, "GET", "")
    if listed["total"]:
        # The guest came too late to become who has left, and is who they were.
        assert listed["total"] == 400
        assert {comment["creator"]["full_name"] for comment in listed["comments"]} == {"Bob"}
    assert await server.services.comments.recount() == (0, 0)


# The owner's power.


async def test_a_page_cannot_take_the_owners_place_away(server: Server) -> None:
    await first_admin_on(server)
    ann = await proved(server, "Ann")
    await set_role(server, ann, "admin")
    for body in ({"content": "keep"}, {"content": "remove"}):
        status, answer = await from_page(
            server, "DELETE", "/api/me", body, token=ann.token, origin=BLOG
        )
        assert (status, answer["error"]) == (403, "forbidden")
    token = (await proved(server, "Ann", Scope.ADMIN)).token
    keep = {"content": "keep"}
    status, _ = await from_page(server, "DELETE", "/api/me", keep, token=token, origin=BLOG)
    assert status == 403
    status, _ = await from_page(server, "DELETE", "/api/me", keep, token=token, origin=PUBLIC)
    assert status == 200


async def first_admin_on(server: Server) -> str:
    """The first admin's token, who came by the link to the server's own page."""
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    status, answer = await use_link(server, code, origin=PUBLIC, full_name="Olga")
    assert status == 200, answer
    return str(answer["data"]["access_token"])


async def test_the_last_admin_does_not_leave(server: Server) -> None:
    token = await first_admin_on(server)
    keep = {"content": "keep"}
    status, answer, _ = await server.call("DELETE", "/api/me", keep, token=token)
    assert (status, answer["error"]) == (409, "last_admin")
    assert (await server.call("GET", "/api/admin/users", token=token))[0] == 200


async def test_a_link_for_the_first_admin_never_comes_alive_again(server: Server) -> None:
    code = code_of(await VERBS["user-admin-link"](server.services, {}))
    ann = await proved(server, "Ann")
    await set_role(server, ann, "admin")
    await server.services.db.write(lambda tx: tx.execute("delete from roles", {}))
    await server.services.people.start()
    status, answer = await use_link(server, code, origin=PUBLIC, full_name="Eve")
    assert (status, answer["error"]) == (401, "sign_in_failed")


async def test_an_admins_token_is_refused_from_other_pages_whatever_is_asked(
    server: Server,
) -> None:
    token = await first_admin_on(server)
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/api/me", None),
        ("GET", "/api/sites", None),
        ("PATCH", "/api/me", {"full_name": "Eve"}),
        ("PUT", "/api/me/password", {"username": "eve", "new_password": "new secret 1"}),
        ("POST", f"/api/comments?{PAGE}", {"content": "Hello"}),
        ("POST", "/api/auth/renew", None),
    ]
    for method, path, body in asked:
        status, answer = await from_page(server, method, path, body, token=token, origin=BLOG)
        assert (status, answer["error"]) == (403, "forbidden"), path
        assert "access_token" not in str(answer)


async def test_another_password_makes_an_admins_day_no_longer(server: Server) -> None:
    token = await first_admin_on(server)
    before = (await server.services.tokens.identify(token)).session.expires_at
    status, answer = await change(server, token, username="olga", new_password="new secret 1")
    assert status == 200
    after = await server.services.tokens.identify(answer["data"]["access_token"])
    assert (after.session.scope, after.session.expires_at) == (Scope.ADMIN, before)


async def test_sites_of_who_has_left_do_not_stop_the_sweeping(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        olga = await first_admin(server)
        await set_role(server, await proved(server, "Ann"), "admin")
        made = {"name": "Hers", "origins": []}
        status, answer, _ = await server.call("POST", "/api/sites", made, token=olga.token)
        assert (status, answer["data"]["user_id"]) == (200, olga.id)
        keep = {"content": "keep"}
        assert (await server.call("DELETE", "/api/me", keep, token=olga.token))[0] == 200
        _, site, _ = await server.call("GET", f"/api/sites/{answer['data']['id']}")
        assert site["data"]["user_id"] == 0
        old = 40 * DAY
        await server.guest("Somebody")
        await server.services.db.write(
            lambda tx: (
                tx.execute("update users set created_at = created_at - :old", {"old": old}),
                tx.execute("delete from sessions", {}),
            )
        )
        await server.services.people.sweep()
        rows = await server.services.db.fetch("select full_name from users order by id", {})
        assert [row["full_name"] for row in rows] == ["deleted", "Ann"]
