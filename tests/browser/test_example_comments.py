"""The page with comments in docs/examples, open in two browsers."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.async_api import Page, expect

from ..faults.crowd import free_server
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

EXAMPLE = (Path(__file__).parents[2] / "docs/examples/comments.html").read_text()
AWAY = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|WebSocket connection to"


async def both_show(pages: tuple[Page, Page], wanted: list[str]) -> None:
    """Wait until both pages show just these comments and replies."""
    for page in pages:
        await page.wait_for_function(
            "wanted => JSON.stringify([...document.querySelectorAll('#list article')].map(i =>"
            " i.querySelector('strong').textContent + ': ' +"
            " i.querySelector('div').textContent.trim())) === wanted",
            arg=json.dumps(wanted, separators=(",", ":")),
        )


async def test_what_happens_in_one_browser_happens_in_the_other(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    with free_server(tmp_path) as process:
        tabs.known.add(process.url)
        where = f"{host.show(EXAMPLE)}?base={quote(process.url)}&slug=/a"
        ann, ben = await tabs.open(f"{where}&name=Ann"), await tabs.open(f"{where}&name=Ben")
        pages = (ann, ben)
        for page in pages:
            await expect(page.locator("#state")).to_have_text("connected")
        await ann.locator("#text").fill("**First** <img src=x onerror=alert(1)>")
        await ann.get_by_role("button", name="Send").click()
        await both_show(pages, ["Ann: First <img src=x onerror=alert(1)>"])
        await expect(ben.locator("#list strong", has_text="First")).to_have_count(1)
        await ben.get_by_role("button", name="Like").click()
        for page in pages:
            await expect(page.get_by_role("button", name="Like")).to_have_text("♥ 1")
        await expect(ben.get_by_role("button", name="Like")).to_have_attribute(
            "aria-pressed", "true"
        )
        await expect(ann.get_by_role("button", name="Like")).to_have_attribute(
            "aria-pressed", "false"
        )
        ben.once("dialog", lambda dialog: dialog.accept("An answer"))
        await ben.get_by_role("button", name="Reply").click()
        await both_show(pages, ["Ann: First <img src=x onerror=alert(1)>", "Ben: An answer"])
        await ben.get_by_role("button", name="Like").click()
        for page in pages:
            await expect(page.get_by_role("button", name="Like")).to_have_text("♥ 0")
        await ben.locator("#text").fill("Second")
        await ben.get_by_role("button", name="Send").click()
        for page in pages:
            await expect(page.locator("#total")).to_have_text("2")
        await ann.get_by_role("button", name="Delete").first.click()
        await both_show(pages, ["deleted: (deleted)", "Ben: An answer", "Ben: Second"])
        await ben.get_by_role("button", name="Delete").click()
        await both_show(pages, ["deleted: (deleted)", "Ben: An answer"])
        await tabs.leave()


async def test_after_a_restart_it_shows_what_is_there(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(AWAY)
    with free_server(tmp_path) as process:
        port = int(process.url.rpartition(":")[2])
        tabs.known.add(process.url)
        where = f"{host.show(EXAMPLE)}?base={quote(process.url)}&slug=/a"
        ann, ben = await tabs.open(f"{where}&name=Ann"), await tabs.open(f"{where}&name=Ben")
        for page in (ann, ben):
            await expect(page.locator("#state")).to_have_text("connected")
        await ann.locator("#text").fill("before")
        await ann.get_by_role("button", name="Send").click()
        await both_show((ann, ben), ["Ann: before"])
        process.process.kill()
        process.process.wait()
        for page in (ann, ben):
            await expect(page.locator("#state")).to_have_text("reconnecting")
    with free_server(tmp_path, port):
        for page in (ann, ben):
            await expect(page.locator("#state")).to_have_text("connected", timeout=30_000)
        await both_show((ann, ben), ["Ann: before"])
        await ben.locator("#text").fill("after")
        await ben.get_by_role("button", name="Send").click()
        await both_show((ann, ben), ["Ann: before", "Ben: after"])
        await tabs.leave()
