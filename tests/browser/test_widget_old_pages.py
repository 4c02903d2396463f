"""Pages that were written for Talkee: the script's address changes, and they work."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from ..harness import Server, running
from .conftest import Host, Tabs
from .embedding import START, comment, has_loaded, public_site, shows, write

pytestmark = pytest.mark.browser

# Every option that such pages pass.
EVERYTHING = {
    "apiBase": "https://talkee-api.pando.im/api",
    "siteId": "1",
    "showLink": True,
    "locale": "en",
    "container": "#talk",
    "auth": {
        "authMethods": ["metamask", "mixin", "fennec", "walletconnect"],
        "isFirstLaunch": True,
        "mvm": {"enabled": True},
    },
    "authMethods": ["metamask", "mixin"],
    "passport": {"JWTToken": "", "origin": "Talkee"},
    "toast": {"timeout": 3000},
    "clientId": "58099c22-9b71-4d58-8ec7-3e3ab9ad3f76",
    "chainId": 1,
    "wrapper": None,
    "chatDelegate": None,
    "expandable": True,
    "theme": None,
    "slug": None,
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path)) as started:
        yield started


def old_script(server: Server) -> str:
    """The script as such pages load it: before what follows."""
    return f'<script src="{server.url}/talkee.js"></script>'


@pytest.mark.parametrize("site_id", ["1", 1], ids=["text", "number"])
async def test_tijs_is_there_as_soon_as_the_script_has_run(
    server: Server, host: Host, tabs: Tabs, site_id: str | int
) -> None:
    await write(server, "/a", "First!")
    options = json.dumps({"siteId": site_id, "slug": "/a", "container": "#talk"})
    page = await tabs.open(
        host.show(
            f"{START}<div id=talk>…</div>{old_script(server)}<script>tijs({options})</script>"
        )
    )
    await shows(page, "First!")
    await expect(page.locator("#talk > talkee-comments")).to_have_count(1)
    assert await page.locator("#talk").evaluate("place => place.childNodes.length") == 1
    await comment(page, "Second!", "Ben")
    await shows(page, "First!", "Second!")


async def test_the_container_is_comments_unless_another_is_named(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    call = "tijs({siteId: 1, authMethods: ['metamask', 'mixin'], chainId: 1})"
    # It is called in the head, before there is a container.
    html = f"{START}{old_script(server)}<script>{call}</script><div id=comments></div>"
    page = await tabs.open(host.show(html))
    await shows(page.locator("#comments"), "First!")
    # Called once more, when the reader comes to another page, it is that page's.
    await write(server, "/b", "On b")
    await page.evaluate("tijs({siteId: 1, slug: '/b'})")
    await shows(page.locator("#comments"), "On b")
    await expect(page.locator("talkee-comments")).to_have_count(1)


async def test_show_takes_every_option_that_such_pages_pass(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    given = json.dumps(EVERYTHING).replace('"slug": null', '"slug": location.pathname')
    html = f"""{START}<div id="talk"></div>{old_script(server)}
    <script>window.Talkee.show({given});</script>"""
    page = await tabs.open(host.show(html))
    await shows(page.locator("#talk"), "First!")


async def test_pages_that_wait_for_it_and_for_their_vue_find_both(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    html = f"""{START}<div id="talk"></div>
    <script>
    window.Vue = {{ use: (plugin) => plugin.install(window.Vue) }};
    const timer = setInterval(() => {{
      if (window.Talkee && window.Talkee.install && window.Vue) {{
        clearInterval(timer);
        Vue.use(Talkee);
        Talkee.show({{ siteId: "1", slug: location.pathname, container: "#talk", locale: "en" }});
      }}
    }}, 10);
    </script>
    <script async src="{server.url}/talkee.js"></script>"""
    page = await tabs.open(host.show(html))
    await shows(page.locator("#talk"), "First!")


@pytest.mark.parametrize(
    ("locale", "lang"),
    [("zhHans", "zh"), ("zhHant", "zh"), ("ja", "ja"), ("en", "en"), (None, "de"), ("", "de")],
)
async def test_their_names_of_languages_are_known(
    server: Server, host: Host, tabs: Tabs, locale: str | None, lang: str
) -> None:
    call = f"tijs({{siteId: 1, locale: {json.dumps(locale)}}})"
    html = f"{START}<div id=comments></div>{old_script(server)}<script>{call}</script>"
    page = await tabs.open(host.show(html.replace('lang="en"', 'lang="de"')))
    part = await has_loaded(page)
    await expect(part.locator("section")).to_have_attribute("lang", lang)


@pytest.mark.parametrize(
    "when", ["", "addEventListener('load', () => ", "document.onclick = (() => "]
)
async def test_a_container_that_is_not_there_is_told_to_the_owner(
    server: Server, host: Host, tabs: Tabs, when: str
) -> None:
    tabs.expected.append("nothing here matches")
    call = f"{when}tijs({{siteId: 1, container: '#talk'}}){')' if when else ''}"
    page = await (await tabs.person()).new_page()
    async with page.expect_console_message(lambda said: said.type == "error") as said:
        await page.goto(host.show(f"{START}{old_script(server)}<script>{call}</script><p>A post"))
        await page.get_by_text("A post").click()
    assert (await said.value).text == "Talkee: nothing here matches #talk"
    await expect(page.locator("body")).to_have_text("A post")
    assert tabs.seen == ["Talkee: nothing here matches #talk"]
