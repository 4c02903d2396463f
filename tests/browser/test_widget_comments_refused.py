"""What is held or refused: each is said in words, and loses nothing that was typed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from talkee_lite.clock import SECOND
from talkee_lite.config import AuthConfig
from talkee_lite.control import VERBS
from talkee_lite.models import RoomKey, UserKind

from ..harness import JSON, Server, config_in, free_limits, running
from .comments import (
    REFUSED,
    SLUG,
    alive,
    browser_of,
    button,
    call,
    comment,
    faultless,
    field,
    open_page,
    reply,
    say,
    shows,
    someone,
    write,
)
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser


async def hold(server: Server, whose: str) -> None:
    await VERBS["site-set"](server.services, {"id": 1, "hold_comments": whose})


async def tells(page: Page, text: str) -> None:
    """This is said as an alert."""
    await expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible()


async def test_what_is_held_is_shown_as_such_until_a_moderator_approves(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, mo = await someone(server, "Ann"), await someone(server, "Mo", UserKind.MODERATOR)
    await say(server, mo["access_token"], "Welcome")
    await hold(server, "guests")
    writer = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
    keeper = await open_page(tabs, host, server, person=await browser_of(tabs, server, mo))
    reader = await open_page(tabs, host, server)
    await alive(server, 3)
    await write(writer, "A thought")
    await expect(comment(writer, "A thought").locator("header")).to_contain_text(
        "Waiting for approval"
    )
    # Nobody answers or likes it yet.
    await expect(comment(writer, "A thought").get_by_role("button")).to_have_text(
        ["Edit", "Delete"]
    )
    await faultless(writer)
    await button(keeper, "1 new").click()
    await expect(comment(keeper, "A thought").locator("header")).to_contain_text(
        "Waiting for approval"
    )
    await faultless(keeper)
    await shows(reader, "Welcome")
    await button(comment(keeper, "A thought"), "Approve").press("Enter")
    await expect(comment(keeper, "A thought").locator(".badge")).to_have_count(0)
    await expect(button(comment(keeper, "A thought"), "Approve")).to_have_count(0)
    await expect(comment(writer, "A thought").locator(".badge")).to_have_count(0)
    await button(reader, "1 new").click()
    for page in (writer, keeper, reader):
        await shows(page, "Welcome", "A thought")
        await expect(page.get_by_role("heading", name="2 comments")).to_be_visible()
    # A reply as well; this one is refused, by deleting it.
    await button(comment(writer, "Welcome"), "Reply").click()
    await field(writer, "Reply to Mo").fill("Buy this")
    await writer.keyboard.press("Control+Enter")
    await expect(reply(writer, "Buy this").locator(".badge")).to_have_text("Waiting for approval")
    await button(keeper, "1 new").click()
    await button(reply(keeper, "Buy this"), "Delete").click()
    await button(reply(keeper, "Buy this"), "Really delete?").click()
    for page in (writer, keeper):
        await shows(page, "Welcome", "A thought")


async def test_moderators_have_tools_for_what_others_wrote(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, mo = await someone(server, "Ann"), await someone(server, "Mo", UserKind.MODERATOR)
    id = await say(server, ann["access_token"], "Rude")
    await say(server, ann["access_token"], "Ruder", of=id)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, mo))
    # Long after its author could.
    await page.clock.set_fixed_time("2040-01-01T00:00:00Z")
    await page.evaluate("document.querySelector('talkee-comments').refresh()")
    await button(comment(page, "Rude"), "Edit").click()
    await field(page, "Edit").fill("Polite")
    await button(page, "Save").click()
    await shows(page, "Polite", "Ruder")
    await button(reply(page, "Ruder"), "Delete").click()
    await button(reply(page, "Ruder"), "Really delete?").click()
    await shows(page, "Polite")


async def test_after_its_time_one_s_own_is_not_offered_for_editing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "Old")
    person = await browser_of(tabs, server, ann)
    page = await open_page(tabs, host, server, person=person)
    await expect(button(page, "Edit")).to_be_visible()
    await page.clock.set_fixed_time("2040-01-01T00:00:00Z")
    await page.reload()
    await expect(comment(page, "Old").get_by_role("button")).to_have_count(2)
    await expect(button(page, "Edit")).to_have_count(0)
    await expect(button(page, "Delete")).to_have_count(0)


async def closed(server: Server, who: JSON) -> None:
    await server.services.chat.set_closed(RoomKey(1, SLUG), True)


async def banned(server: Server, who: JSON) -> None:
    until = server.services.clock() + 3600 * SECOND
    await server.services.people.ban(who["user"]["id"], until, "spam")


@pytest.mark.parametrize(
    ("refuse", "words"),
    [(closed, "closed."), (banned, "You may not write here.")],
)
async def test_who_may_not_write_is_told_and_keeps_what_was_typed(
    refuse: Callable[[Server, JSON], Awaitable[None]],
    words: str,
    server: Server,
    host: Host,
    tabs: Tabs,
) -> None:
    tabs.expected.append(REFUSED)
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    mine = await say(server, ben["access_token"], "Mine")
    await say(server, ann["access_token"], "Hers", of=mine)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 1)
    await refuse(server, ben)
    await write(page, "A long thought")
    await tells(page, words)
    await expect(field(page)).to_have_value("A long thought")
    await faultless(page)
    await button(reply(page, "Hers"), "Reply").click()
    await field(page, "Reply to Ann").fill("A long answer")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("alert").filter(has_text=words)).to_have_count(2)
    await expect(field(page, "Reply to Ann")).to_have_value("A long answer")
    await button(page, "Cancel").click()
    await shows(page, "Mine", "Hers")
    await page.reload()
    await expect(field(page)).to_have_value("A long thought")
    if refuse is banned:
        # Also where there is no form.
        await button(comment(page, "Mine"), "Delete").click()
        await button(comment(page, "Mine"), "Really delete?").click()
        await expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()
        await shows(page, "Mine", "Hers")


async def test_who_writes_too_fast_is_told_how_long_to_wait(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(REFUSED)
    limits = free_limits(messages_per_second=0.05, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        ann = await someone(server, "Ann")
        page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
        await write(page, "First")
        await shows(page, "First")
        await write(page, "Second")
        alert = page.get_by_role("alert").filter(has_text="Too fast.")
        await expect(alert).to_contain_text("seconds.")
        assert set(await alert.inner_text()) & set("123456789")
        await expect(field(page)).to_have_value("Second")
        # A preview that is refused says so, too, and the text is still there.
        await field(page).fill("Second!")
        await expect(alert).to_have_count(0)
        await button(page, "Preview").click()
        await expect(alert).to_contain_text("seconds.")
        await expect(page.locator(".preview")).to_be_hidden()
        await expect(field(page)).to_have_value("Second!")
        await tabs.leave()


async def test_what_is_too_long_is_told(server: Server, host: Host, tabs: Tabs) -> None:
    tabs.expected.append(REFUSED)
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "A question")
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
    text = "> " * 300 + "x"  # deeper than anybody reads
    long = "**a** " * 1700
    await field(page).fill(long.strip())
    await button(page, "Send").click()
    await expect(page.locator("article.comment").nth(1)).to_be_visible()
    await button(comment(page, "A question"), "Reply").click()
    await field(page, "Reply to Ann").fill("b" * 5121)
    await page.keyboard.press("Control+Enter")
    await tells(page, "That is empty or too long.")
    await expect(field(page, "Reply to Ann")).to_have_value("b" * 5121)
    await field(page, "Reply to Ann").fill(text)
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("article.reply")).to_have_count(1)


async def test_a_name_that_is_taken_gets_a_suggestion(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(REFUSED)
    auth = AuthConfig(reserved_names=("Olga",))
    async with running(config_in(tmp_path, auth=auth)) as server:
        page = await open_page(tabs, host, server)
        await write(page, "Hello", "Olga")
        await tells(page, "That name is taken.")
        suggested = await field(page, "Your name").input_value()
        assert suggested not in ("", "Olga")
        await tells(page, f"{suggested} is free.")
        await faultless(page)
        await button(page, "Send").click()
        await shows(page, "Hello")
        await expect(page.get_by_text(f"as {suggested}")).to_be_visible()
        await tabs.leave()


async def test_a_session_that_ended_elsewhere_asks_anew_and_loses_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(REFUSED)
    ann = await someone(server, "Ann")
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
    await alive(server, 1)
    await field(page).fill("Half a sentence")
    await VERBS["user-signout"](server.services, {"id": ann["user"]["id"]})
    await expect(page.get_by_text("as Ann")).to_have_count(0)
    await expect(field(page)).to_have_value("Half a sentence")
    await button(page, "Send").click()
    await field(page, "Your name").fill("Ann again")
    await page.keyboard.press("Enter")
    await shows(page, "Half a sentence")


async def test_what_somebody_else_deleted_meanwhile_is_said(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(REFUSED)
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    id = await say(server, ann["access_token"], "A question")
    page = await tabs.open(host.show("<title>A post</title>"))
    page = await browser_page(tabs, host, server, ben)
    await button(comment(page, "A question"), "Reply").click()
    await field(page, "Reply to Ann").fill("An answer")
    await call(server, "DELETE", f"/{id}", token=ann["access_token"])
    await page.keyboard.press("Control+Enter")
    await tells(page, "comment")
    await expect(field(page, "Reply to Ann")).to_have_value("An answer")


async def test_an_answer_to_what_is_deleted_while_one_writes_is_not_lost(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    id = await say(server, ann["access_token"], "A question")
    await say(server, ann["access_token"], "Another")
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 1)
    await button(comment(page, "A question"), "Reply").click()
    await field(page, "Reply to Ann").fill("A long answer")
    await button(comment(page, "Another"), "Reply").click()
    await comment(page, "Another").locator("textarea").fill("Another answer")
    await call(server, "DELETE", f"/{id}", token=ann["access_token"])
    await shows(page, "Another")
    await expect(page.get_by_role("status").filter(has_text="was deleted")).to_be_visible()
    await expect(field(page)).to_have_value("A long answer")
    await expect(field(page)).to_be_focused()
    await expect(field(page, "Reply to Ann")).to_have_value("Another answer")
    await button(page, "Send").click()
    await shows(page, "Another", "A long answer")


async def browser_page(tabs: Tabs, host: Host, server: Server, who: JSON) -> Page:
    """A page whose sockets come to nothing, so that it does not hear what happens."""
    person = await browser_of(tabs, server, who)
    await person.route_web_socket(lambda url: True, lambda ws: None)
    return await open_page(tabs, host, server, person=person)
