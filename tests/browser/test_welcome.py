"""The page at /, in a real browser: the line for a blog, whether it is allowed, what is set up."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from talkee_lite.config import ServerConfig, SiteConfig
from talkee_lite.control import VERBS

from ..harness import Server, config_in, running
from .accessibility import axe
from .conftest import Tabs, chromium
from .test_admin import become_admin

pytestmark = pytest.mark.browser

BLOG = "https://blog.example.com"
TALK = "https://talk.example.com"
FIRST = "site_id=1&slug=/"
SHOWN = "#at-{} .code code"


@pytest.fixture
async def server(tabs: Tabs, tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as started:
        yield started
        await tabs.leave()


@pytest.fixture
async def page(tabs: Tabs, server: Server) -> Page:
    return await tabs.open(f"{server.url}/")


async def type_address(page: Page, text: str) -> None:
    await page.get_by_label("Your blog’s address").fill(text)


# What there is to try.


async def test_what_is_written_elsewhere_appears(page: Page, server: Server) -> None:
    await expect(page.locator("talkee-comments[data-loaded]")).to_be_visible()
    await expect(page.locator("talkee-chat[data-loaded]")).to_be_visible()
    ann = await server.guest("Ann")
    written = {"content": "From elsewhere"}
    status, _, _ = await server.call("POST", f"/api/comments?{FIRST}", written, token=ann)
    assert status == 200
    await page.get_by_role("button", name="1 new").click()
    await expect(page.locator("talkee-comments")).to_contain_text("From elsewhere")


async def test_at_another_address_it_leads_to_the_servers_own(tabs: Tabs, tmp_path: Path) -> None:
    config = config_in(tmp_path, server=ServerConfig(public_url=TALK))
    async with running(config) as server:
        page = await tabs.open(f"{server.url}/")
        link = page.locator("#elsewhere a")
        await expect(link).to_have_attribute("href", f"{TALK}/")
        await expect(page.locator("talkee-comments, talkee-chat")).to_have_count(0)
        await tabs.leave()


async def test_at_an_address_that_nobody_set_it_says_what_to_set(tmp_path: Path) -> None:
    async with (
        running(config_in(tmp_path)) as server,
        chromium("--host-resolver-rules=MAP talk.lan 127.0.0.1") as tabs,
    ):
        page = await tabs.open(server.url.replace("127.0.0.1", "talk.lan") + "/")
        await expect(page.locator("#elsewhere")).to_contain_text("set public_url in talkee.toml")
        await expect(page.locator("talkee-comments, talkee-chat")).to_have_count(0)
        await tabs.leave()


async def test_a_passage_of_its_text_can_be_commented_on(page: Page) -> None:
    await expect(page.locator("talkee-comments[data-loaded]")).to_be_visible()
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('.lead'))")
    talk = page.get_by_role("button", name="Talk about this")
    await expect(talk).to_be_visible()
    # Of what is there to be copied nobody is asked to talk.
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#paste'))")
    await expect(talk).to_be_hidden()


# The line.


async def test_each_place_has_the_line_with_what_stands_for_the_path_there(
    tabs: Tabs, tmp_path: Path
) -> None:
    config = config_in(tmp_path, server=ServerConfig(public_url=TALK))
    script = f'<script async src="{TALK}/talkee.js" data-site-id="1" data-chat></script>'
    slugs = {
        "HTML": "/",
        "Hugo": "{{ .RelPermalink | safeURL }}",
        "Jekyll": "{{ page.url | relative_url }}",
        "Ghost": "{{url}}",
        "WordPress": None,
    }
    async with running(config) as server:
        page = await tabs.open(f"{server.url}/")
        for place, slug in slugs.items():
            await page.get_by_role("tab", name=place).click()
            code = page.get_by_role("tabpanel").locator(".code code").first
            link = f'\n<noscript><a href="{TALK}/t/1?slug={slug}">Comments</a></noscript>'
            await expect(code).to_have_text(script + (link if slug else ""))
        # What Ghost puts into every page alike has no path.
        await page.get_by_role("tab", name="Ghost").click()
        footer = page.get_by_role("tabpanel").locator(".code code").last
        await expect(footer).to_have_text(script)
        await page.get_by_label("With the chat").uncheck()
        await expect(footer).to_have_text(script.replace(" data-chat", ""))
        await tabs.leave()


async def test_the_line_goes_to_where_the_page_stands_without_a_public_address(
    page: Page, server: Server
) -> None:
    code = page.locator(SHOWN.format("html"))
    await expect(code).to_contain_text(f'src="{server.url}/talkee.js"')
    await expect(page.locator("#reach")).to_contain_text("Only this machine reaches")
    await type_address(page, "http://localhost:1313")
    await expect(page.locator("#reach")).to_be_hidden()


async def test_the_path_of_a_page_that_was_typed_is_the_slug(page: Page, server: Server) -> None:
    await type_address(page, f"{BLOG}/caffè & co/100%25")
    await expect(page.locator(SHOWN.format("html"))).to_contain_text(
        f'"{server.url}/t/1?slug=/caff%C3%A8%20%26%20co/100%25"'
    )


async def test_the_line_is_copied(tabs: Tabs, server: Server) -> None:
    person = await tabs.person(permissions=["clipboard-read", "clipboard-write"])
    page = await tabs.open(f"{server.url}/", person)
    await page.get_by_role("tab", name="Hugo").click()
    panel = page.get_by_role("tabpanel")
    await panel.get_by_role("button", name="Copy").click()
    await expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    await expect(page.locator("#copied")).to_have_text("Copied.")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await panel.locator(".code code").first.inner_text()
    assert copied.count("\n") == 1


async def test_the_line_is_copied_where_browsers_keep_the_clipboard_to_themselves(
    tabs: Tabs, server: Server
) -> None:
    person = await tabs.person(permissions=["clipboard-read"])
    page = await tabs.open(f"{server.url}/", person)
    # As on a page that was reached by http under another name than localhost.
    await page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    button = page.locator("#at-html .copy")
    await button.click()
    await expect(button).to_have_text("Copied")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied == await page.locator(SHOWN.format("html")).inner_text()


async def test_the_places_are_tabs_for_the_keyboard(page: Page) -> None:
    first = page.get_by_role("tab", name="HTML")
    await first.focus()
    for key, name in (
        ("ArrowRight", "Hugo"),
        ("End", "WordPress"),
        ("ArrowRight", "HTML"),
        ("ArrowLeft", "WordPress"),
        ("Home", "HTML"),
    ):
        await page.keyboard.press(key)
        tab = page.get_by_role("tab", name=name)
        await expect(tab).to_be_focused()
        await expect(tab).to_have_attribute("aria-selected", "true")
        await expect(page.get_by_role("tabpanel")).to_have_count(1)


async def test_without_javascript_everything_stands_there(tabs: Tabs, server: Server) -> None:
    # That nobody has commented yet is told by the status too.
    tabs.expected.append("404")
    person = await tabs.person(java_script_enabled=False)
    page = await tabs.open(f"{server.url}/", person)
    await expect(page.get_by_role("heading", name="WordPress")).to_be_visible()
    await page.get_by_role("link", name="a page of comments with a form").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


# Whether it is allowed.


async def test_a_blog_that_may_not_use_the_server_is_told_how_it_may(
    page: Page, server: Server
) -> None:
    await expect(page.locator("#allow")).to_be_hidden()
    await type_address(page, "blog.example.com/about")
    state = page.locator("#allowed")
    await expect(state).to_have_text(f"Pages of {BLOG} may not use this server yet.")
    command = page.locator("#allow code")
    await expect(command).to_have_text(f"talkee-lite site set 1 --add-origin {BLOG}")
    # It does what it says; who comes back to the page sees it.
    await VERBS["site-set"](server.services, {"id": 1, "add_origins": [BLOG]})
    assert server.services.sites.get(1).origins == (BLOG,)
    await page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(state).to_have_text(f"Pages of {BLOG} may use this server.")
    await expect(command).to_be_hidden()


async def test_a_site_of_the_settings_is_told_to_be_changed_there(
    tabs: Tabs, tmp_path: Path
) -> None:
    config = config_in(tmp_path, sites=(SiteConfig(id=1, origins=("https://old.example.com",)),))
    async with running(config) as server:
        page = await tabs.open(f"{server.url}/")
        await type_address(page, BLOG)
        cure = page.locator("#allow code")
        line = f'origins = ["https://old.example.com", "{BLOG}"]'
        await expect(cure).to_have_text(line)
        await expect(page.get_by_text("below the [[sites]] with id = 1")).to_be_visible()
        await expect(page.get_by_text("Or do it in the browser")).to_be_hidden()
        await tabs.leave()
    assert tomllib.loads(line)["origins"] == ["https://old.example.com", BLOG]


PATTERNS = ("https://*.example.com", "http://192.168.0.7:8080")


ADDRESSES = (
    "https://a.example.com",
    "https://example.com",
    "https://a.b.example.com",
    "http://a.example.com",
    "https://a.example.com:8443",
    "https://a.example.com:443/x",
    "http://192.168.0.7:8080",
    "http://192.168.0.7",
    "HTTPS://A.EXAMPLE.COM/",
    "https://talk.example.org",
    "https://bücher.example.com",
    "http://localhost:1313",
)


@pytest.mark.parametrize("public_url", ["", "https://talk.example.org/below"])
async def test_the_page_decides_as_the_server_does(
    public_url: str, tabs: Tabs, tmp_path: Path
) -> None:
    config = config_in(tmp_path, sites=(SiteConfig(id=1, origins=PATTERNS),))
    config = replace(config, server=ServerConfig(public_url=public_url))
    decided = set()
    async with running(config) as server:
        page = await tabs.open(f"{server.url}/")
        for address in ADDRESSES:
            await type_address(page, address)
            origin = await page.evaluate("(text) => new URL(text).origin", address)
            allowed = server.services.sites.allows(server.services.sites.get(1), origin)
            word = "may use" if allowed else "may not use"
            await expect(page.locator("#allowed")).to_contain_text(f"Pages of {origin} {word}")
            decided.add(allowed)
        await tabs.leave()
    assert decided == {True, False}


async def test_nothing_is_made_of_what_is_no_address(page: Page) -> None:
    for text in (
        *("nonsense", "https://", "ftp://a.example", "https://a.example$(reboot)", "a b"),
        *("mailto:x@y.z", "https://user@a.example"),
    ):
        await type_address(page, BLOG)
        await expect(page.locator("#allow")).to_be_visible()
        await type_address(page, text)
        await expect(page.locator("#allowed")).to_have_text(f"An address looks like {BLOG}")
        await expect(page.locator("#allow")).to_be_hidden()


# What is set up.


async def test_strangers_see_nothing_of_what_is_set_up(page: Page) -> None:
    await type_address(page, BLOG)
    await expect(page.locator("#allow")).to_be_visible()
    await expect(page.locator("#setup")).to_be_hidden()


async def test_an_admin_sees_what_is_set_up_on_both_pages(
    tabs: Tabs, server: Server, tmp_path: Path
) -> None:
    page = await become_admin(tabs, server)
    state = page.locator("#setup-state")
    await expect(state).to_have_text("3 things are missing")
    await state.click()
    await expect(page.locator("#setup-list .missing strong")).to_have_text(
        ["Public address", "Pages of “My site”", "Backup"]
    )
    await expect(page.locator("#setup-list")).to_contain_text("Readers sign in with a typed name.")
    await page.locator("#sites .change summary").click()
    await page.locator("#sites").get_by_label("Origins").fill(BLOG)
    await page.locator("#sites").get_by_role("button", name="Save").click()
    await expect(state).to_have_text("2 things are missing")
    await VERBS["backup"](server.services, {"file": str(tmp_path / "copy.db")})
    await page.goto(f"{server.url}/")
    items = page.locator("#setup-list li")
    await expect(items.filter(has_text="Backup")).to_contain_text("The last one was made today.")
    await expect(items.filter(has_text="Pages of")).to_contain_text(f"Allowed: {BLOG}")
    await expect(page.locator("#setup-list .missing strong")).to_have_text(["Public address"])
    # Another tab is not signed in.
    other = await tabs.open(f"{server.url}/", page.context)
    await type_address(other, BLOG)
    await expect(other.locator("#allowed")).to_contain_text("may use")
    await expect(other.locator("#setup")).to_be_hidden()


async def test_the_line_in_admin_is_the_same(tabs: Tabs, server: Server) -> None:
    page = await become_admin(tabs, server)
    line = await page.locator("#sites .paste pre").text_content()
    await page.goto(f"{server.url}/")
    await expect(page.locator(SHOWN.format("html"))).to_have_text(str(line))


# For everybody.


@pytest.mark.parametrize("width", [380, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_accessible_and_fits(
    scheme: str, width: int, tabs: Tabs, server: Server
) -> None:
    page = await become_admin(tabs, server)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.locator("#setup-state").click()
    await page.locator("#sites .paste summary").click()
    for address in ("/admin", "/"):
        if address == "/":
            await page.goto(f"{server.url}/")
            await expect(page.locator("#setup")).to_be_visible()
            await type_address(page, f"{BLOG}/{'long' * 40}")
            await expect(page.locator("#allow")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth") == width
        assert await axe(page) == []
    for tab in await page.get_by_role("tab").all():
        await tab.click()
        assert await axe(page, within="#paste") == []
        assert await page.evaluate("document.documentElement.scrollWidth") == width
    await type_address(page, "http://localhost")
    assert await axe(page, within="#paste") == []
