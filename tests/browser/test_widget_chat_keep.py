"""Talk that is kept: it becomes a thread below the page, where the next reader finds it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from talkee_lite.config import AuthConfig
from talkee_lite.control import VERBS

from ..harness import Server, config_in, running
from .chatting import enter, field, fill_room, messages, page_with, say, shows, tells, tells_nothing
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

SECRET_WORD = "correct horse battery"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server on which people may register."""
    async with running(config_in(tmp_path, auth=AuthConfig(password=True))) as started:
        yield started


async def choose(page: Page, text: str, button: str) -> None:
    """Press the button beside a message."""
    row = page.locator("li.message").filter(has_text=text)
    await row.get_by_role("button", name=button).click()


async def as_moderator(page: Page, server: Server, name: str = "mona") -> None:
    """Come in as somebody whom the owner made a moderator."""
    body = {"username": name, "password": SECRET_WORD, "site_id": 1}
    _, answer, _ = await server.call("POST", "/api/auth/register", body)
    member = answer["data"]["user"]["id"]
    await VERBS["user-role"](server.services, {"id": member, "role": "moderator", "site": 1})
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_role("button", name="Password").click()
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password").fill(SECRET_WORD)
    await page.get_by_role("button", name="Come in").click()
    await expect(field(page)).to_be_visible()


def reading(url: str) -> str:
    """The page as the next reader finds it."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>A post</title>'
        '<talkee-comments site-id="1"></talkee-comments>'
        f'<script async src="{url}/talkee.js"></script>'
    )


async def test_a_speaker_keeps_a_stretch_and_the_next_reader_finds_it(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await enter(tabs, host, server, "Ann")
    await say(ann, "Before it.")
    await say(ann, "How long does it bake?")
    await shows(ann, "Before it.", "How long does it bake?")
    ben = await enter(tabs, host, server, "Ben")
    await say(ben, "Forty minutes, I <b>think</b>.")
    await say(ben, "After it.")
    talk = ("Before it.", "How long does it bake?", "Forty minutes, I <b>think</b>.", "After it.")
    await shows(ann, *talk)
    heard = "new Promise(done => addEventListener('talkee-comment', ({detail}) => done(detail)))"
    await ann.evaluate(f"window.kept = {heard}; 0")
    await ann.get_by_role("button", name="Keep this").click()
    await tells(ann, "choose where it begins")
    await choose(ann, "How long", "Begin here")
    await tells(ann, "choose where it ends")
    await choose(ann, "Forty minutes", "End here")
    await tells(ann, "Saved below the page.")
    kept = await ann.evaluate("window.kept")
    assert (kept["content"], kept["reply_count"]) == ("How long does it bake?", 1)
    await expect(ann.get_by_role("button", name="Begin here")).to_have_count(0)
    # The next reader finds who said it, and when.
    page = await tabs.open(host.show(reading(server.url)))
    comment = page.locator("article.comment")
    await expect(comment).to_have_count(1)
    await expect(comment).to_contain_text("How long does it bake?")
    await expect(comment.get_by_text("Ann", exact=True).first).to_be_visible()
    await expect(comment).to_contain_text("Saved from the chat by Ann")
    answer = comment.locator("article.reply")
    await expect(answer).to_have_count(1)
    await expect(answer).to_contain_text("Ben")
    await expect(answer).to_contain_text("Forty minutes, I <b>think</b>.")
    await expect(comment.locator("time").first).to_have_attribute("datetime", kept["said_at"])
    await expect(page.get_by_text("Before it.")).to_have_count(0)
    await expect(page.get_by_text("After it.")).to_have_count(0)


async def test_who_comes_back_signed_in_is_asked_at_the_first_press(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await say(page, "One.")
    await shows(page, "One.")
    await page.reload()
    await shows(page, "One.")
    await page.get_by_role("button", name="Keep this").click()
    await choose(page, "One.", "Begin here")
    await choose(page, "One.", "End here")
    await tells(page, "Saved below the page.")
    # What was said then is not said again.
    await page.get_by_role("button", name="Keep this").click()
    await page.get_by_role("button", name="Cancel").click()
    await tells_nothing(page)


async def test_a_moderator_keeps_what_others_said_and_may_change_their_mind(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 3)
    page = await tabs.open(host.show(page_with(server.url)))
    await as_moderator(page, server)
    await shows(page, "Line 0", "Line 1", "Line 2")
    await page.get_by_role("button", name="Keep this").click()
    await choose(page, "Line 0", "Begin here")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("button", name="End here")).to_have_count(0)
    await page.get_by_role("button", name="Keep this").click()
    # The keyboard does it too; from the later to the earlier it is the same stretch or said so.
    first = page.locator("li.message").filter(has_text="Line 1")
    await first.get_by_role("button", name="Begin here").press("Enter")
    last = page.locator("li.message").filter(has_text="Line 2")
    await last.get_by_role("button", name="End here").press("Enter")
    await tells(page, "Saved below the page.")
    reader = await tabs.open(host.show(reading(server.url)))
    comment = reader.locator("article.comment")
    await expect(comment).to_contain_text("Saved from the chat by mona")
    await expect(comment).to_contain_text("Line 1")
    await expect(comment.locator("article.reply")).to_contain_text("Line 2")


async def test_others_are_not_offered_to_keep(server: Server, host: Host, tabs: Tabs) -> None:
    await fill_room(server, 1)
    page = await enter(tabs, host, server, "Cid")
    await shows(page, "Line 0")
    await expect(page.get_by_role("button", name="Keep this")).to_be_hidden()
    await say(page, "Now I have spoken.")
    await expect(page.get_by_role("button", name="Keep this")).to_be_visible()


async def test_a_stretch_that_is_not_ones_own_is_refused_with_the_reason(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"status of 403")
    await fill_room(server, 2)
    page = await enter(tabs, host, server, "Cid")
    await say(page, "Mine.")
    await shows(page, "Line 0", "Line 1", "Mine.")
    await page.get_by_role("button", name="Keep this").click()
    await choose(page, "Line 0", "Begin here")
    await choose(page, "Line 1", "End here")
    await tells(page, "You may not do that.")


async def test_one_message_alone_and_the_same_again(server: Server, host: Host, tabs: Tabs) -> None:
    page = await enter(tabs, host, server)
    await say(page, "A thought.")
    await shows(page, "A thought.")
    for _ in range(2):
        await page.get_by_role("button", name="Keep this").click()
        await choose(page, "A thought.", "Begin here")
        await choose(page, "A thought.", "End here")
        await tells(page, "Saved below the page.")
    reader = await tabs.open(host.show(reading(server.url)))
    await expect(reader.locator("article.comment")).to_have_count(1)
    # It was copied: the room still has it.
    await expect(messages(page)).to_have_text(["A thought."])


async def test_kept_talk_comes_to_those_who_have_the_page_open(
    server: Server, host: Host, tabs: Tabs
) -> None:
    reader = await tabs.open(host.show(reading(server.url)))
    await expect(reader.get_by_text("No comments yet.")).to_be_visible()
    page = await enter(tabs, host, server)
    await say(page, "A thought.")
    await say(page, "And a second.")
    await shows(page, "A thought.", "And a second.")
    await page.get_by_role("button", name="Keep this").click()
    await choose(page, "A thought.", "Begin here")
    await choose(page, "And a second.", "End here")
    await tells(page, "Saved below the page.")
    # A comment and a reply, as much as they are.
    await reader.get_by_role("button", name="2 new").click()
    comment = reader.locator("article.comment")
    await expect(comment).to_contain_text("A thought.")
    await expect(comment.locator("article.reply")).to_contain_text("And a second.")
