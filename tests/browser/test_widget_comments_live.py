"""Comments while others write: what is new, what was missed, and what the page is told."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, Route, expect

from talkee_lite.models import UserKind

from ..faults.crowd import free_server
from ..harness import Server
from .comments import (
    AWAY,
    PAGE,
    SHIFTS,
    SLUG,
    alive,
    browser_of,
    button,
    call,
    comment,
    crowd,
    faultless,
    field,
    html,
    open_page,
    reply,
    say,
    settled,
    shows,
    someone,
    write,
)
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

# Keeps what the widget tells the page.
HEARING = """<script>window.heard = [];
for (const name of ["talkee-comment", "talkee-signin"]) document.addEventListener(name,
  ({ detail }) => heard.push([name, detail.content ?? detail.user?.full_name ?? null]));</script>"""


def cut(server: Server) -> None:
    """Cut every socket, as a network does that goes away."""
    for connection in server.services.sockets.connections:
        connection.cut()


async def tops(page: Page) -> dict[str, float]:
    """Where each comment's text stands in the window."""
    script = """(texts) => Object.fromEntries(texts.map(
      (text) => [text.textContent.trim(), Math.round(text.getBoundingClientRect().top)]))"""
    return dict(await page.locator("article .body > .text").evaluate_all(script))


async def test_new_ones_are_announced_and_move_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    token = ann["access_token"]
    ids = [await say(server, token, f"Comment {number}") for number in range(12)]
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 1)
    await page.mouse.move(300, 300)
    await page.mouse.wheel(0, 700)
    await expect(comment(page, "Comment 5")).to_be_in_viewport()
    await page.evaluate(SHIFTS)
    before = await tops(page)
    await say(server, token, "A reply above", of=ids[0])
    await say(server, token, "A reply here", of=ids[5])
    await say(server, token, "A comment below")
    await expect(button(page, "3 new")).to_be_in_viewport()
    await expect(
        page.locator("[aria-live=polite]").filter(has=button(page, "3 new"))
    ).to_have_count(1)
    assert await tops(page) == before
    assert await page.evaluate("shifts") == 0
    await faultless(page)
    # What changes meanwhile does not bring them in.
    await call(server, "PUT", f"/{ids[5]}/fav", token=token)
    await expect(page.get_by_role("button", name="Like 1 like")).to_be_visible()
    assert await tops(page) == before
    await button(page, "3 new").press("Enter")
    await expect(reply(page, "A reply above")).to_be_focused()
    await expect(reply(page, "A reply above")).to_be_in_viewport()
    await expect(reply(page, "A reply here")).to_be_attached()
    await expect(comment(page, "A comment below")).to_be_attached()
    await expect(page.get_by_role("button", name=re.compile(r"\d new"))).to_have_count(0)
    # What one writes oneself in another tab is nobody's news.
    await say(server, ben["access_token"], "Mine")
    await expect(comment(page, "Mine")).to_be_attached()
    await expect(page.get_by_role("button", name=re.compile(r"\d new"))).to_have_count(0)


async def test_what_is_deleted_before_one_looks_is_not_announced_any_more(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "First")
    page = await open_page(tabs, host, server)
    await alive(server, 1)
    id = await say(server, ann["access_token"], "Second")
    await expect(button(page, "1 new")).to_be_visible()
    await call(server, "DELETE", f"/{id}", token=ann["access_token"])
    await expect(page.get_by_role("button", name=re.compile(r"\d new"))).to_have_count(0)
    await shows(page, "First")


async def test_the_first_comment_of_a_page_takes_the_place_of_the_invitation(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    page = await open_page(tabs, host, server)
    await alive(server, 1)
    await say(server, ann["access_token"], "First")
    await expect(button(page, "1 new")).to_be_visible()
    await expect(page.get_by_text("No comments yet")).to_be_hidden()
    await button(page, "1 new").click()
    await shows(page, "First")


async def test_answers_since_the_last_visit_are_named_and_linked(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    token = ben["access_token"]
    mine = await say(server, ann["access_token"], "My question")
    other = await say(server, token, "Something else")
    await say(server, token, "An early answer", of=mine)
    person = await browser_of(tabs, server, ann)
    page = await open_page(tabs, host, server, person=person)
    await shows(page, "My question", "An early answer", "Something else")
    await expect(page.get_by_text("since your last visit")).to_have_count(0)
    my_reply = await say(server, ann["access_token"], "My remark", of=other)
    await page.close()
    await say(server, token, "A late answer", of=mine)
    await say(server, token, "To my remark", of=other, to=my_reply)
    await say(server, token, "To nobody", of=other)
    page = await open_page(tabs, host, server, person=person)
    link = page.get_by_role("link", name="2 answers to you since your last visit")
    await expect(link).to_be_visible()
    await faultless(page)
    await link.click()
    await expect(reply(page, "A late answer")).to_be_focused()
    await page.reload()
    await settled(page)
    await expect(page.get_by_text("since your last visit")).to_have_count(0)


async def test_answers_far_down_are_named_too_and_nothing_moves_when_they_are(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    await crowd(server, ben["access_token"], 40)
    mine = await say(server, ann["access_token"], "My question")
    person = await browser_of(tabs, server, ann)
    page = await open_page(tabs, host, server, person=person)
    await expect(page.get_by_role("heading", name="41 comments")).to_be_visible()
    await page.close()
    await say(server, ben["access_token"], "An answer", of=mine)
    page = await person.new_page()

    async def slowly(route: Route) -> None:
        await asyncio.sleep(0.5)
        await route.continue_()

    await page.route("**/api/me/answers?*", slowly)
    await page.add_init_script(SHIFTS)
    await page.goto(host.show(html(server.url)))
    link = page.get_by_role("link", name="1 answer to you since your last visit")
    await expect(link).to_be_visible()
    assert await page.evaluate("shifts") == 0
    await link.click()
    await expect(reply(page, "An answer")).to_be_focused()
    # They are not for whoever comes next.
    await page.wait_for_load_state("networkidle")
    await page.evaluate("document.querySelector('talkee-comments').signOut()")
    await expect(link).to_have_count(0)


async def test_the_owner_and_moderators_are_marked(server: Server, host: Host, tabs: Tabs) -> None:
    await say(server, (await someone(server, "Olga", UserKind.ADMIN))["access_token"], "Mine")
    await say(server, (await someone(server, "Mo", UserKind.MODERATOR))["access_token"], "I help")
    await say(server, (await someone(server, "Ann"))["access_token"], "I read")
    page = await open_page(tabs, host, server)
    for text, mark in (("Mine", ["Owner"]), ("I help", ["Moderator"]), ("I read", [])):
        await expect(comment(page, text).locator(".badge")).to_have_text(mark)
    await faultless(page)


async def test_after_a_cut_everything_that_happened_is_there(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    token = ann["access_token"]
    ids = [
        await say(server, token, text) for text in ("stays", "edited", "deleted", "liked", "open")
    ]
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 1)
    await field(page).fill("A draft")
    await button(comment(page, "stays"), "Reply").click()
    await field(page, "Reply to Ann").fill("Half a reply")
    for _ in range(2):  # also right after it has come back
        cut(server)
    await call(server, "PATCH", f"/{ids[1]}", {"content": "better"}, token)
    await call(server, "DELETE", f"/{ids[2]}", token=token)
    await call(server, "PUT", f"/{ids[3]}/fav", token=token)
    await say(server, token, "an answer", of=ids[4])
    await say(server, token, "new")
    await expect(button(page, "2 new")).to_be_visible(timeout=20_000)
    await shows(page, "stays", "better", "liked", "open")
    await expect(page.get_by_role("button", name="Like 1 like")).to_have_count(1)
    await expect(field(page)).to_have_value("A draft")
    await expect(field(page, "Reply to Ann")).to_have_value("Half a reply")
    await expect(page.get_by_text("Connection lost")).to_have_count(0)
    await button(page, "2 new").click()
    await shows(page, "stays", "better", "liked", "open", "an answer", "new")


async def test_after_a_restart_of_the_server_it_is_up_to_date_again(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(AWAY)
    with free_server(tmp_path) as process:
        address = host.show(html(process.url))
        ann, ben = await tabs.open(address), await tabs.open(address)
        await write(ann, "Before", "Ann")
        await button(ben, "1 new").click()
        await write(ben, "Me too", "Ben")
        await shows(ben, "Before", "Me too")
        assert await asyncio.to_thread(process.stop) == 0
        await expect(ann.get_by_text("Connection lost. Trying again…")).to_be_visible()
        await write(ann, "While it was away")
        await expect(ann.get_by_role("alert").first).to_have_text("That did not work. Try again.")
        await expect(field(ann)).to_have_value("While it was away")
    with free_server(tmp_path, urlsplit(process.url).port or 0):
        await expect(ann.get_by_text("Connection lost")).to_have_count(0, timeout=30_000)
        await button(ann, "Send").click()
        await expect(comment(ann, "While it was away")).to_be_visible()
        await expect(button(ben, "1 new")).to_be_visible(timeout=30_000)
        await button(ben, "1 new").click()
        await shows(ben, "Before", "Me too", "While it was away")
        assert await ben.evaluate("performance.getEntriesByType('navigation').length") == 1
        await tabs.leave()


async def test_the_page_hears_of_comments_and_of_who_signs_in(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    page = await open_page(tabs, host, server, head=HEARING)
    await alive(server, 1)
    await say(server, ann["access_token"], "From elsewhere")
    await page.wait_for_function("heard.length === 1")
    await write(page, "From here", "Ben")
    await expect(comment(page, "From here")).to_be_visible()
    # What is on its way with a token that ends would be refused.
    await page.wait_for_load_state("networkidle")
    await page.evaluate("document.querySelector('talkee-comments').signOut()")
    await page.wait_for_function("heard.length === 4")
    assert await page.evaluate("heard") == [
        ["talkee-comment", "From elsewhere"],
        ["talkee-signin", "Ben"],
        ["talkee-comment", "From here"],
        ["talkee-signin", None],
    ]
    await expect(page.get_by_text("as Ben")).to_have_count(0)
    await expect(button(page, "Edit")).to_have_count(0)
    await page.reload()
    await settled(page)
    await expect(button(page, "Sign out")).to_be_hidden()


async def test_refresh_loads_what_is_there(server: Server, host: Host, tabs: Tabs) -> None:
    # Where nothing else brings it: sockets come to nothing.
    page = await tabs.open(host.show(html(server.url)))
    await page.route_web_socket(lambda url: True, lambda ws: None)
    await page.reload()
    await settled(page)
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "There")
    await expect(page.get_by_text("No comments yet")).to_be_visible()
    await page.evaluate("document.querySelector('talkee-comments').refresh()")
    await button(page, "1 new").click()
    await shows(page, "There")


async def test_signing_out_keeps_what_was_typed_in_every_tab(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    first = await open_page(tabs, host, server, person=person)
    second = await open_page(tabs, host, server, person=person)
    await field(second).fill("Half a sentence")
    await field(first).focus()
    await button(first, "Sign out").click()
    for page in (first, second):
        await expect(page.get_by_text("as Ann")).to_have_count(0)
    await expect(field(second)).to_have_value("Half a sentence")
    await button(second, "Send").click()
    await field(second, "Your name").fill("Ben")
    await button(second, "Send").click()
    await shows(second, "Half a sentence")
    await expect(first.get_by_text("as Ben")).to_be_visible()


async def test_talk_kept_from_the_chat_says_who_said_it_when_and_who_kept_it(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    await say(server, ann["access_token"], "Before")
    page = await open_page(tabs, host, server)
    await alive(server, 1)
    said: list[Any] = []
    for who, text in ((ann, "When is it?"), (ben, "At *8*")):
        said.append(await server.post(who["access_token"], text, room=PAGE))
    old = "2024-05-01T10:20:30.000000Z"
    await server.services.db.write(
        lambda tx: tx.execute("update messages set created_at = 1714558830000000", {})
    )
    stretch = {"from": said[0]["message_id"], "to": said[1]["message_id"], "room": SLUG}
    await call(server, "POST", "/keep", stretch, ben["access_token"])
    await button(page, "2 new").click()
    await shows(page, "Before", "When is it?", "At *8*")
    head = comment(page, "When is it?").locator("header").first
    await expect(head.locator(".author")).to_have_text("Ann")
    await expect(head).to_contain_text("Saved from the chat by Ben")
    await expect(head.locator("time")).to_have_attribute("datetime", old)
    await expect(head.locator("time")).to_have_text("May 1, 2024")
    await expect(reply(page, "At *8*").locator("header")).not_to_contain_text("Saved")
    await faultless(page)
