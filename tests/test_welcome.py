"""The page at /, how it is turned off, and what admins are told of what is set up."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin

import pytest

from talkee_lite.cli import _announce
from talkee_lite.config import AuthConfig, Config, ServerConfig, SiteConfig
from talkee_lite.control import VERBS

from .harness import JSON, Server, config_in, running
from .test_admin import first_admin, member, staff
from .validator import html_problems


async def page_of(server: Server) -> str:
    """The page at /."""
    async with server.session.get(f"{server.url}/") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        return await response.text()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as started:
        yield started


# The page.


async def test_the_page_has_comments_and_a_room_of_the_first_site(tmp_path: Path) -> None:
    site = SiteConfig(id=7, name="Blog")
    async with running(config_in(tmp_path, sites=(site,))) as server:
        page = await page_of(server)
    assert '<talkee-comments site-id="7" slug="/"' in page
    assert '<talkee-chat site-id="7" slug="/">' in page
    assert 'data-site-id="7" data-public-url=""' in page
    assert "{site_id}" not in page
    assert "{public_url}" not in page


async def test_the_page_knows_the_public_address(tmp_path: Path) -> None:
    public = ServerConfig(public_url='https://talk.example.com/a"><b')
    async with running(config_in(tmp_path, server=public)) as server:
        page = await page_of(server)
    assert 'data-public-url="https://talk.example.com/a&quot;&gt;&lt;b"' in page


async def test_the_page_is_good_html_and_has_no_script_of_its_own(
    server: Server, tmp_path: Path
) -> None:
    page = await page_of(server)
    assert html_problems({"welcome": page}, tmp_path) == ""
    assert re.findall(r"<script[^>]*>([^<]+)", page) == []
    assert re.search(r'\s(on\w+|style)="', page) is None


async def test_whatever_the_page_leads_to_is_there(server: Server) -> None:
    page = await page_of(server)
    found = set(re.findall(r'(?:href|src)="([^"#]+)"', page))
    assert {"talkee.js", "admin", "t/1?slug=/", "api/openapi.json"} <= found
    for where in found:
        # From where the page stands, as below a path of another program.
        assert not where.startswith(("/", "http"))
        async with server.session.get(urljoin(f"{server.url}/", where)) as response:
            # Nobody has commented on it yet: there is the form to begin with.
            assert response.status == (404 if where.startswith("t/") else 200), where


async def test_the_parts_that_the_page_leads_to_are_in_it(server: Server) -> None:
    page = await page_of(server)
    for part in re.findall(r'href="#([\w-]+)"', page):
        assert f'id="{part}"' in page


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    config = config_in(tmp_path, server=ServerConfig(welcome=False))
    async with running(config) as server:
        status, answer, _ = await server.call("GET", "/")
        elsewhere, other, _ = await server.call("GET", "/nothing")
        assert (status, answer["error"]) == (elsewhere, other["error"]) == (404, "not_found")
        async with server.session.get(f"{server.url}/admin") as response:
            assert response.status == 200


@pytest.mark.parametrize("welcome", [True, False])
def test_a_start_at_a_terminal_prints_the_line(
    welcome: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    public = ServerConfig(public_url="https://talk.example.com", welcome=welcome)
    config = Config(server=public, sites=(SiteConfig(id=3),))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _announce(config, "http://127.0.0.1:8080", "")
    said = capsys.readouterr().out
    script = '<script async src="https://talk.example.com/talkee.js"'
    assert f'  {script} data-site-id="3" data-chat></script>\n' in said
    assert ("Open it in a browser" in said) is welcome


# What is set up.


async def setup_of(server: Server, token: str) -> JSON:
    """What an admin is told."""
    status, answer, _ = await server.call("GET", "/api/admin/setup", token=token)
    assert status == 200, answer
    return dict(answer["data"])


async def test_an_admin_is_told_what_is_set_up(tmp_path: Path) -> None:
    sites = (
        SiteConfig(id=1, name="Blog", origins=("https://blog.example.com",)),
        SiteConfig(id=2, name="Shop", hold_comments="guests", webhook_url="https://a.example/x"),
    )
    config = config_in(tmp_path, sites=sites, auth=AuthConfig(password=True))
    public = replace(config, server=ServerConfig(public_url="https://talk.example.com"))
    async with running(public) as server:
        olga = await staff(server, "Olga", "admin")
        assert await setup_of(server, olga.token) == {
            "public_url": "https://talk.example.com",
            "methods": ["guest", "password"],
            "backup_at": None,
            "sites": [
                {
                    "id": 1,
                    "name": "Blog",
                    "origins": ["https://blog.example.com"],
                    "hold_comments": "nobody",
                    "from_settings": True,
                },
                {
                    "id": 2,
                    "name": "Shop",
                    "origins": [],
                    "hold_comments": "guests",
                    "from_settings": True,
                },
            ],
        }


async def test_the_accounts_of_a_site_are_a_way_to_sign_in(tmp_path: Path) -> None:
    sites = (SiteConfig(id=1), SiteConfig(id=2, sso_secret="s" * 32))
    config = config_in(tmp_path, sites=sites, auth=AuthConfig(guest=False))
    async with running(config) as server:
        olga = await staff(server, "Olga", "admin")
        assert (await setup_of(server, olga.token))["methods"] == ["sso"]


async def test_a_backup_that_worked_is_remembered(server: Server, tmp_path: Path) -> None:
    olga = await first_admin(server)
    given = {"file": str(tmp_path / "none" / "copy.db")}
    with pytest.raises(Exception, match="backup"):
        await VERBS["backup"](server.services, given)
    assert (await setup_of(server, olga.token))["backup_at"] is None
    await VERBS["backup"](server.services, {"file": str(tmp_path / "copy.db")})
    first = (await setup_of(server, olga.token))["backup_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", first)
    await VERBS["backup"](server.services, {"file": str(tmp_path / "other.db")})
    assert (await setup_of(server, olga.token))["backup_at"] > first


async def test_nobody_else_is_told(server: Server) -> None:
    olga = await first_admin(server)
    of_a_site = await staff(server, "Sam", "admin", site=1)
    moderator = await staff(server, "Mo", "moderator")
    page_token = await member(server, "Olga")
    for token in (None, "nonsense"):
        status, _, _ = await server.call("GET", "/api/admin/setup", token=token)
        assert status == 401
    for person in (of_a_site, moderator, page_token):
        status, answer, _ = await server.call("GET", "/api/admin/setup", token=person.token)
        assert (status, answer["error"]) == (403, "forbidden")
    guest = await server.guest()
    assert (await server.call("GET", "/api/admin/setup", token=guest))[0] == 403
    elsewhere = {"Origin": "http://localhost:1"}
    status, answer, _ = await server.call(
        "GET", "/api/admin/setup", token=olga.token, headers=elsewhere
    )
    assert (status, answer["error"]) == (403, "forbidden")
