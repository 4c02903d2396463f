"""The comments of a page in a real Chromium that runs no JavaScript."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from talkee_lite.config import AuthConfig
from talkee_lite.control import VERBS

from ..harness import Server, config_in, running
from ..reading import ROOM, comment, comments, count, person
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

ADDRESS = "/t/1?slug=/posts/1"


async def reader(tabs: Tabs) -> BrowserContext:
    """Somebody whose browser runs no JavaScript."""
    return await tabs.person(java_script_enabled=False)


async def write(page: Page, text: str, name: str = "Cleo", label: str = "Your comment") -> None:
    """Fill in the form and send it."""
    await page.get_by_label("Your name").fill(name)
    await page.get_by_label(label).fill(text)
    await page.get_by_role("button", name="Send").click()


async def test_a_guest_reads_writes_and_replies(server: Server, tabs: Tabs) -> None:
    await comments(server, 60)
    page = await tabs.open(server.url + ADDRESS, await reader(tabs))
    await expect(page.get_by_role("article")).to_have_count(50)
    await write(page, "Hello\nfrom a *browser*")
    # There it stands, in the last part.
    assert page.url == f"{server.url}{ADDRESS}&after=50#c61"
    mine = page.get_by_role("article", name="Cleo")
    await expect(mine).to_contain_text("Hello\nfrom a browser", use_inner_text=True)
    await expect(mine.locator("em")).to_have_text("browser")
    await mine.get_by_role("link", name="Reply to Cleo").click()
    await expect(page.get_by_role("heading", name="Reply to Cleo")).to_be_in_viewport()
    await write(page, "Hello yourself", "Ben", "Your reply")
    assert page.url == f"{server.url}{ADDRESS}&comment=61&reply=1#r1"
    await expect(page.get_by_role("article", name="Ben")).to_contain_text("Hello yourself")
    await page.get_by_role("link", name="All comments").click()
    await expect(page.get_by_role("article", name="Ann").first).to_contain_text("comment 0")
    await page.get_by_role("link", name="Later comments").click()
    await expect(page.get_by_role("article", name="Ben")).to_contain_text("Hello yourself")


async def test_the_first_who_writes(server: Server, tabs: Tabs) -> None:
    # The page is 404 until then, which Chromium notes.
    tabs.expected.append("404")
    page = await tabs.open(server.url + ADDRESS, await reader(tabs))
    await expect(page.get_by_text("Nobody has written here yet.")).to_be_visible()
    await write(page, "First!")
    await expect(page.get_by_role("article")).to_have_count(1)


async def test_what_is_held_is_said_to_be(server: Server, tabs: Tabs) -> None:
    await comments(server, 1)
    await VERBS["site-set"](server.services, {"id": 1, "hold_comments": "guests"})
    page = await tabs.open(server.url + ADDRESS, await reader(tabs))
    said = page.get_by_text("is shown here once it was approved")
    await expect(said).to_be_hidden()
    for text in ("one", "another"):
        await write(page, text)
        await expect(said).to_be_visible()
        await expect(page.get_by_role("article")).to_have_count(1)
    assert await count(server, "comments") == 3


async def test_what_is_wrong_is_said_and_nothing_typed_is_lost(tmp_path: Path, tabs: Tabs) -> None:
    # The answers' statuses are part of it.
    tabs.expected.append("409")
    config = config_in(tmp_path, auth=AuthConfig(reserved_names=("Owner",)))
    async with running(config) as server:
        await comments(server, 30)
        page = await tabs.open(server.url + ADDRESS, await reader(tabs))
        text = '\n\n  "two" <empty> lines & first </textarea>'
        await write(page, text, "Owner")
        await expect(page.get_by_role("alert")).to_contain_text("is free.")
        name = page.get_by_label("Your name")
        await expect(name).to_have_value("Owner")
        # It is where one goes on, also far down the page.
        await expect(name).to_be_focused()
        await expect(name).to_be_in_viewport()
        await expect(page.get_by_label("Your comment")).to_have_value(text)
        await name.fill("Anna")
        await page.get_by_role("button", name="Send").click()
        await expect(page.get_by_role("article", name="Anna")).to_be_visible()


async def test_back_to_a_form_that_was_sent(server: Server, tabs: Tabs) -> None:
    await comments(server, 1)
    page = await tabs.open(server.url + ADDRESS, await reader(tabs))
    for count_, text in enumerate(("one", "two", "three"), start=1):
        await write(page, text)
        await expect(page.get_by_role("article", name="Cleo")).to_have_count(count_)
        await page.go_back()


async def test_a_form_on_somebody_elses_page_is_refused(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("403")
    await comments(server, 1)
    token = server.services.forms.issue(ROOM, "127.0.0.1")
    for policy in ("no-referrer", "unsafe-url"):
        html = (
            f'<!doctype html><meta name="referrer" content="{policy}">'
            f'<form method="post" action="{server.url}{ADDRESS}">'
            f'<input name="token" value="{token}"><input name="name" value="Eve">'
            '<input name="content" value="spam"><button>Win</button></form>'
        )
        page = await tabs.open(host.show(html), await reader(tabs))
        await page.get_by_role("button").click()
        await expect(page.get_by_role("heading")).to_have_text(
            "This form was not sent from a page of this server."
        )
    assert await count(server, "comments") == 1


async def test_it_fits_a_phone_in_light_and_dark(server: Server, tabs: Tabs) -> None:
    ann = await person(server, "W" * 64)
    for text in ("x" * 2000, "```\n" + "y" * 500 + "\n```", "http://example.com/" + "z" * 400):
        await comment(server, ann, text)
    grounds = set()
    for scheme in ("light", "dark"):
        phone = await tabs.person(viewport={"width": 320, "height": 640}, color_scheme=scheme)
        page = await tabs.open(server.url + ADDRESS, phone)
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        grounds.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        # What can be touched is large enough (WCAG 2.2, 2.5.8).
        small = await page.locator(
            "a:not(.text a):not(.when):not(.to a):not(h1 a), button"
        ).evaluate_all(
            "all => all.filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"
        )
        assert small == []
    assert len(grounds) == 2
