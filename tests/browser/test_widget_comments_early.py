"""Comments written while a list is still on its way to the page."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from ..harness import Server
from .comments import alive, field, html, open_page, say, shows, someone, write
from .conftest import Held, Host, Tabs

pytestmark = pytest.mark.browser


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
    lists = Held("comments")
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
    lists = Held("comments")
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
    lists = Held("comments")
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


async def test_what_is_typed_while_a_comment_is_sent_stays(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await open_page(tabs, host, server)
    lists = Held("comments")
    await posted(page, "First", "Ben")
    await shows(page, "First")
    await lists.hold(page)
    async with page.expect_request(lambda request: request.method == "POST"):
        await write(page, "Second")
    await field(page).fill("Third, half")
    lists.read.set()
    await shows(page, "First", "Second")
    await expect(field(page)).to_have_value("Third, half")
