"""Comments written while a list is still on its way to the page."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import Page, Route, expect

from ..harness import Server
from .comments import alive, field, html, open_page, say, shows, someone, write
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser


class Held:
    """Lists that were answered, and reach the page only when they may."""

    def __init__(self) -> None:
        self.read = asyncio.Event()
        self.may_come = asyncio.Event()

    async def hold(self, page: Page) -> None:
        async def held(route: Route) -> None:
            if self.may_come.is_set():
                return await route.continue_()
            if route.request.method != "GET":
                # So that the list is one from before.
                await self.read.wait()
                return await route.continue_()
            answer = await route.fetch()
            self.read.set()
            await self.may_come.wait()
            await route.fulfill(response=answer)

        await page.route("**/api/comments?**", held)


async def posted(page: Page, text: str, name: str | None = None) -> None:
    """Write, until the server has it."""
    async with page.expect_response(
        lambda answer: answer.request.method == "POST" and "/api/comments?" in answer.url
    ):
        await write(page, text, name)


async def test_what_was_there_before_one_wrote_is_not_called_new(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "First")
    lists = Held()
    page = await (await tabs.person()).new_page()
    await lists.hold(page)
    await page.goto(host.show(html(server.url)))
    await expect(field(page)).to_be_visible()
    await lists.read.wait()
    await posted(page, "Second", "Ben")
    lists.may_come.set()
    await shows(page, "First", "Second")


async def test_a_list_from_before_one_wrote_takes_nothing_away(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "First")
    page = await open_page(tabs, host, server)
    await shows(page, "First")
    lists = Held()
    await lists.hold(page)
    # Signing in asks for the list anew, and for another socket.
    await posted(page, "Second", "Ben")
    await lists.read.wait()
    await shows(page, "First", "Second")
    # Not even for a moment.
    await page.evaluate(
        """{
          const { shadowRoot } = document.querySelector("talkee-comments");
          window.fewest = 2;
          new MutationObserver(() => {
            fewest = Math.min(fewest, shadowRoot.querySelectorAll("article.comment").length);
          }).observe(shadowRoot, { childList: true, subtree: true });
        }"""
    )
    lists.may_come.set()
    await posted(page, "Third")
    await shows(page, "First", "Second", "Third")
    assert await page.evaluate("fewest") == 2
    await expect(page.get_by_role("button", name="Show earlier comments")).to_be_hidden()


async def test_what_is_written_between_the_first_list_and_the_socket_is_not_missed(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "First")
    lists = Held()
    page = await (await tabs.person()).new_page()
    await lists.hold(page)
    await page.goto(host.show(html(server.url)))
    await lists.read.wait()
    await say(server, ann["access_token"], "Second")
    await alive(server, 1)
    lists.may_come.set()
    await shows(page, "First")
    # Before the server says by itself how the page is, which it does every 25 seconds.
    await expect(page.get_by_role("button", name="1 new")).to_be_visible(timeout=12_000)
