"""The page at /admin, in a real browser: the printed link, sites, people, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from talkee_lite.api.context import SERVICES
from talkee_lite.app import make_app
from talkee_lite.config import AuthConfig, ServerConfig, SiteConfig
from talkee_lite.control import VERBS

from ..harness import Server, ServerProcess, config_in, running, server_process
from ..test_admin import Person, first_admin, member
from ..test_admin_verbs import printed_link
from .chatting import say, shows
from .conftest import Host, Tabs, listening

pytestmark = pytest.mark.browser

REFUSED = r"Failed to load resource: the server responded with a status of 4\d\d"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    """A new server, as its owner starts it."""
    with server_process(tmp_path) as started:
        yield started


@pytest.fixture
async def server(tabs: Tabs, tmp_path: Path) -> AsyncIterator[Server]:
    """A server with a site of the settings, on which passwords are used."""
    site = SiteConfig(id=1, name="Of the settings", origins=("https://blog.example.com",))
    config = config_in(tmp_path, sites=(site,), auth=AuthConfig(password=True))
    async with running(config) as started:
        yield started
        await tabs.leave()


async def link_for(server: Server) -> str:
    """A link of the kind that is due."""
    return str(await VERBS["user-admin-link"](server.services, {}))


async def become_admin(tabs: Tabs, server: Server, name: str = "Olga") -> Page:
    """The page of the first admin."""
    page = await tabs.open(await link_for(server))
    await page.get_by_label("Your name").fill(name)
    await page.get_by_role("button", name="Become the admin").click()
    await expect(page.get_by_role("heading", name="People", exact=True)).to_be_visible()
    return page


async def test_a_new_owner_becomes_admin_adds_a_site_and_bans_somebody(
    tabs: Tabs, process: ServerProcess, host: Host
) -> None:
    tabs.expected.append(REFUSED)
    link = printed_link(process)
    page = await tabs.open(link)
    # The code has left the address, and the history.
    assert page.url == f"{process.url}/admin"
    await expect(page.get_by_role("heading", level=1)).to_have_text("Become the admin")
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Your name")).to_have_attribute("aria-invalid", "true")
    await page.keyboard.type("Olga")
    await page.keyboard.press("Enter")
    await expect(page.locator("#my-name")).to_have_text("Olga")
    await expect(page.get_by_role("heading", name="Sites", exact=True)).to_be_visible()
    assert await page.evaluate("localStorage.length") == 0
    assert await page.evaluate("document.cookie") == ""

    # A site; what was typed wrong is said where it is, and nothing is lost.
    await page.get_by_text("Add a site").click()
    new = page.locator("#new-site")
    await new.get_by_label("Name").fill("Blog")
    await new.get_by_label("Origins").fill(f"{host.origin}/path")
    await new.get_by_role("button", name="Add it").click()
    await expect(new.locator(".error")).to_contain_text("must be an origin such as")
    await expect(new.get_by_label("Origins")).to_be_focused()
    assert await new.get_by_label("Name").input_value() == "Blog"
    await new.get_by_label("Origins").fill("https://blog.example.com")
    await new.get_by_role("button", name="Add it").click()
    site = page.locator("#sites > li").filter(has_text="Site 1000")
    await expect(site.locator(".origins")).to_have_text("https://blog.example.com")
    line = await site.locator("code").inner_text()
    assert line == (
        f'<script async src="{process.url}/talkee.js" data-site-id="1000" data-chat></script>\n'
        f'<noscript><a href="{process.url}/t/1000?slug=/">Comments</a></noscript>'
    )

    # Its origins are changed, and the page of that origin can chat by the line as it stands.
    await site.locator(".change summary").click()
    await site.get_by_label("Origins").fill(f"https://blog.example.com\n{host.origin}")
    await site.get_by_label("Everybody may read").check()
    await site.get_by_role("button", name="Save").click()
    await expect(site.locator(".done")).to_have_text("Saved.")
    await expect(site.locator(".origins")).to_contain_text(host.origin)
    reader = await tabs.open(host.show(f"<!doctype html><html lang=en><body>{line}"))
    await reader.get_by_role("button", name="Chat").click()
    await say(reader, "Spam!")
    await reader.locator("talkee-chat").get_by_label("Your name").fill("Noisy")
    await reader.keyboard.press("Enter")
    await shows(reader, "Spam!")

    # Whoever wrote there is banned, and what they have open ends.
    await page.get_by_label("Name begins with").fill("noi")
    await page.get_by_role("button", name="Search").click()
    await expect(page.locator("#found")).to_have_text("1 person")
    person = page.locator("#people li")
    # One person was listed before, too: oneself.
    await expect(person.locator(".title")).to_have_text("Noisy")
    await person.locator("summary").click()
    await person.get_by_label("Reason").fill("Spam")
    await person.get_by_role("button", name="Ban", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Ban Noisy for 1 day?")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(person.get_by_text("Banned until")).to_have_count(0)
    assert await person.get_by_label("Reason").input_value() == "Spam"
    await person.get_by_role("button", name="Ban", exact=True).click()
    await dialog.get_by_role("button", name="Ban").click()
    await expect(person.locator(".until")).to_contain_text("Reason: Spam")
    await expect(reader.locator("talkee-chat .status")).to_contain_text("may not write")
    await person.get_by_role("button", name="Lift the ban").click()
    await expect(person.locator(".tag.banned")).to_have_count(0)


async def test_a_wrong_link_says_so_and_how_to_get_another(tabs: Tabs, server: Server) -> None:
    tabs.expected.append(REFUSED)
    await first_admin(server)
    page = await tabs.open(f"{server.url}/admin#link=wrong")
    await expect(page.locator("#link .problem")).to_contain_text("older than an hour")
    await expect(page.locator("#how code")).to_be_visible()
    assert page.url == f"{server.url}/admin"
    # A good one, opened in the same tab.
    await page.goto(await link_for(server))
    await expect(page.locator("#my-name")).to_have_text("Olga")
    assert page.url == f"{server.url}/admin"
    # It stays this tab's: another has no part in it, the same one does.
    await page.reload()
    await expect(page.locator("#my-name")).to_have_text("Olga")
    other = await tabs.open(f"{server.url}/admin", page.context)
    await expect(other.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_a_name_that_is_taken_is_answered_with_one_that_is_free(
    tabs: Tabs, server: Server
) -> None:
    tabs.expected.append(REFUSED)
    ann = await member(server, "Ann")
    await VERBS["user-role"](server.services, {"id": ann.id, "role": "moderator", "site": 1})
    page = await tabs.open(await link_for(server))
    await page.get_by_label("Your name").fill("ANN")
    await page.get_by_role("button", name="Become the admin").click()
    await page.get_by_role("button", name="Take “").click()
    assert await page.get_by_label("Your name").input_value() != "ANN"
    await page.get_by_role("button", name="Become the admin").click()
    await expect(page.get_by_role("heading", name="People", exact=True)).to_be_visible()


async def test_a_sign_in_that_ends_loses_nothing_that_was_typed(tabs: Tabs, server: Server) -> None:
    tabs.expected.append(REFUSED)
    page = await become_admin(tabs, server)
    await page.get_by_text("Add a site").click()
    new = page.locator("#new-site")
    await new.get_by_label("Name").fill("Half typed")
    (olga,) = await server.services.people.list("olga", 0)
    await VERBS["user-signout"](server.services, {"id": olga.id})
    await new.get_by_role("button", name="Add it").click()
    await expect(page.locator("#said")).to_contain_text("Your sign-in has ended")
    await page.goto(await link_for(server))
    await expect(page.locator("#my-name")).to_have_text("Olga")
    assert await new.get_by_label("Name").input_value() == "Half typed"
    await new.get_by_role("button", name="Add it").click()
    await expect(page.locator("#sites")).to_contain_text("Half typed")


async def test_roles_are_given_and_taken_here(tabs: Tabs, server: Server) -> None:
    tabs.expected.append(REFUSED)
    ann, _ = await member(server, "Ann"), await server.guest("Guest")
    page = await become_admin(tabs, server)
    await expect(page.locator("#sites li").first).to_contain_text("stands in the settings file")
    await expect(page.locator("#sites li .change").first).to_be_hidden()

    guest = page.locator("#people li").filter(has_text="Guest 2")
    await guest.locator("summary").click()
    await expect(guest.get_by_text("can have no role")).to_be_visible()
    await expect(guest.get_by_role("button", name="Set the role")).to_be_hidden()

    person = page.locator("#people li").filter(has_text="Ann")
    await person.locator("summary").click()
    await person.get_by_label("Where").select_option(label="Of the settings (site 1)")
    await person.get_by_label("Role").select_option("moderator")
    await person.get_by_role("button", name="Set the role").click()
    await expect(person.locator(".tag")).to_have_text("Moderator of Of the settings")
    assert server.services.people.is_moderator(ann.id, 1)
    await person.get_by_label("Where").select_option("0")
    await expect(person.get_by_label("Role")).to_have_value("member")
    await person.get_by_label("Role").select_option("admin")
    await person.get_by_role("button", name="Set the role").click()
    await page.get_by_role("button", name="Make them admin").click()
    await expect(person.locator(".tag").first).to_have_text("Admin")

    me = page.locator("#people li").filter(has_text="Olga")
    await me.locator("summary").click()
    await expect(me.get_by_role("button", name="Ban", exact=True)).to_be_hidden()
    await me.get_by_label("Role").select_option("member")
    await me.get_by_role("button", name="Set the role").click()
    await page.get_by_role("button", name="Give it up").click()
    await expect(page.get_by_role("heading", name="People", exact=True)).to_be_hidden()
    await expect(page.locator("#no-sites")).to_be_visible()


async def test_signing_out_others_and_oneself(tabs: Tabs, server: Server) -> None:
    ann = await member(server, "Ann")
    page = await become_admin(tabs, server)
    async with server.listen(ann.token, room="site_id=1&slug=/a") as socket:
        person = page.locator("#people li").filter(has_text="Ann")
        await person.locator("summary").click()
        await person.get_by_role("button", name="Sign out everywhere").click()
        await page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
        async with asyncio.timeout(2):
            await socket.wait_closed()
        assert socket.close_code == 4501
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await expect(page.locator("#said")).to_have_text("You are signed out.")
    assert await page.evaluate("sessionStorage.length") == 0
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


async def test_a_password_for_the_next_time(tabs: Tabs, server: Server) -> None:
    tabs.expected.append(REFUSED)
    page = await become_admin(tabs, server)
    await page.get_by_text("Sign in without a link next time").click()
    own = page.locator("#own-password")
    await own.get_by_label("User name").fill("olga")
    await own.get_by_label("New password").fill("password")
    await own.get_by_role("button", name="Set the password").click()
    await expect(own.locator(".error")).to_contain_text("among those most used")
    await own.get_by_label("New password").fill("correct horse battery")
    await own.get_by_role("button", name="Set the password").click()
    await expect(own.locator(".done")).to_contain_text("Set.")
    await page.reload()
    await expect(page.locator("#my-name")).to_have_text("Olga")
    await page.get_by_role("button", name="Sign out", exact=True).click()
    form = page.locator("#password")
    await form.get_by_label("User name").fill("olga")
    await form.get_by_label("Password").fill("wrong horse battery")
    await form.get_by_role("button", name="Sign in").click()
    await expect(form.locator(".problem")).to_contain_text("is wrong")
    assert await form.get_by_label("User name").input_value() == "olga"
    await form.get_by_label("Password").fill("correct horse battery")
    await form.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#my-name")).to_have_text("Olga")


async def test_at_a_name_that_points_here_it_says_where_to_go(tabs: Tabs, tmp_path: Path) -> None:
    """DNS rebinding, and a server whose public address is another."""
    tabs.expected.append(REFUSED)
    config = config_in(tmp_path)
    config = replace(config, server=replace(config.server, public_url="https://talk.example.com"))
    async with running(config) as server:
        link = await link_for(server)
        page = await tabs.open(f"{server.url}/admin#{link.partition('#')[2]}")
        await page.get_by_label("Your name").fill("Eve")
        await page.get_by_role("button", name="Become the admin").click()
        await expect(page.locator("#first .problem")).to_contain_text(
            f"This page was opened at {server.url}"
        )
        assert not server.services.people.has_admin()


async def test_it_works_below_a_path(tabs: Tabs, tmp_path: Path) -> None:
    config = config_in(tmp_path)
    program = web.Application()
    talk = make_app(config)
    program.add_subapp("/talk/", talk)
    # Its public address is not set, so pictures are looked for where nobody listens.
    tabs.expected.append("ERR_CONNECTION_REFUSED")
    async with listening(program) as origin:
        code = await talk[SERVICES].sign_ins.make_first_link()
        page = await tabs.open(f"{origin}/talk/admin/#new={code}")
        await page.get_by_label("Your name").fill("Olga")
        await page.get_by_role("button", name="Become the admin").click()
        await expect(page.get_by_role("heading", name="People", exact=True)).to_be_visible()
        assert page.url == f"{origin}/talk/admin"


async def test_behind_a_proxy_that_strips_a_path_a_phone_becomes_admin(
    tabs: Tabs, tmp_path: Path
) -> None:
    target = ""

    async def forward(request: web.Request) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() != "host"}
        path = request.path_qs.removeprefix("/talk")
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, target + path, headers=headers, data=await request.read()
            ) as answer,
        ):
            kept = {k: v for k, v in answer.headers.items() if k.lower() != "transfer-encoding"}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    proxy = web.Application()
    proxy.router.add_route("*", "/talk/{rest:.*}", forward)
    async with listening(proxy) as origin:
        public = ServerConfig(public_url=f"{origin}/talk")
        async with running(config_in(tmp_path, server=public)) as server:
            target = server.url
            link = await link_for(server)
            assert link.startswith(f"{origin}/talk/admin#new=")
            phone = await tabs.person(viewport={"width": 380, "height": 740}, has_touch=True)
            page = await tabs.open(link, phone)
            await page.get_by_label("Your name").fill("Olga")
            await page.get_by_role("button", name="Become the admin").tap()
            site = page.locator("#sites > li").first
            await site.locator(".change summary").tap()
            await site.get_by_label("Origins").fill("https://blog.example.com")
            await site.get_by_role("button", name="Save").tap()
            await expect(site.locator(".done")).to_have_text("Saved.")
            await site.locator(".paste summary").tap()
            await expect(site.locator("code")).to_contain_text(f'src="{origin}/talk/talkee.js"')
            blog = {"Origin": "https://blog.example.com"}
            status, _, _ = await server.call("GET", "/api/slugs?site_id=1&slug=/a", headers=blog)
            assert status == 200
            await tabs.leave()


async def test_more_than_a_hundred_people(tabs: Tabs, server: Server) -> None:
    for number in range(103):
        await server.services.sign_ins.guest(f"Guest {number}")
    page = await become_admin(tabs, server)
    await expect(page.locator("#people > li")).to_have_count(100)
    await expect(page.locator("#found")).to_have_text("The first 100 people")
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator("#people > li")).to_have_count(104)
    await expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    await expect(page.locator("#found")).to_have_text("104 people")


# What it looks like.

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => c.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = rgb(getComputedStyle(e).backgroundColor);
      if (c[3] === 255) return c;
    }
    return [255, 255, 255, 255];
  };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!e.checkVisibility() || !(own || e.matches("input, textarea, select"))) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.outerHTML.slice(0, 80)}`);
  }
  return bad;
}"""
"""Texts whose contrast is below 4.5:1 (WCAG 2.2, 1.4.3)."""
UNNAMED = """() => [...document.querySelectorAll("input, textarea, select")]
  .filter((e) => e.checkVisibility() && !e.labels[0]?.textContent.trim())
  .map((e) => e.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone_and_can_be_read(tabs: Tabs, server: Server, scheme: str) -> None:
    tabs.expected.append(REFUSED)
    olga = await first_admin(server, "O" * 64)
    for name in ("W" * 64, "Ann"):
        await member(server, name)
    await make_site(server, olga, "S" * 64, "https://" + ".".join(["x" * 60] * 3) + ".example.com")
    await VERBS["user-ban"](server.services, {"id": 2, "hours": 5, "reason": "R" * 300})
    phone = await tabs.person(viewport={"width": 380, "height": 740}, color_scheme=scheme)
    page = await tabs.open(f"{server.url}/admin#link=wrong", phone)
    await expect(page.locator("#link .problem")).to_be_visible()
    await expect(page.locator("#password")).to_be_visible()

    async def look() -> None:
        assert await page.evaluate("document.documentElement.scrollWidth") == 380
        assert await page.evaluate(CONTRAST) == []
        assert await page.evaluate(UNNAMED) == []
        small = await page.locator("button, summary, input, select, .check").evaluate_all(
            "all => all.filter(e => e.checkVisibility()"
            " && e.getBoundingClientRect().height < 24"
            " && !e.closest('.check')).map(e => e.outerHTML)"
        )
        assert small == []

    await look()
    await page.goto(await link_for(server))
    await expect(page.locator("#people > li")).to_have_count(3)
    await page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    await page.get_by_role("button", name="Add it").click()
    await expect(page.locator(".error")).to_be_visible()
    await look()
    ann = page.locator("#people li").last
    await ann.get_by_role("button", name="Ban", exact=True).click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await look()
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(250, 250, 248)") == (scheme == "light")


async def make_site(server: Server, admin: Person, name: str, origin: str) -> None:
    """A site of the admin."""
    body = {"name": name, "origins": [origin]}
    status, answer, _ = await server.call("POST", "/api/sites", body, token=admin.token)
    assert status == 200, json.dumps(answer)


async def test_all_of_it_works_by_the_keyboard(tabs: Tabs, server: Server) -> None:
    await member(server, "Ann")
    page = await become_admin(tabs, server)
    seen = set()
    while True:
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement === document.body"):
            break
        name = await page.evaluate("document.activeElement.textContent.trim().split('\\n')[0]")
        ring = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", name
        seen.add(name)
    assert {"Put it into a page", "Add a site", "Search"} <= seen
    # Escape closes what asks, and nothing was done.
    person = page.locator("#people li").filter(has_text="Ann")
    await person.locator("summary").focus()
    await page.keyboard.press("Enter")
    button = person.get_by_role("button", name="Sign out everywhere")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()
    await expect(button).to_be_focused()
