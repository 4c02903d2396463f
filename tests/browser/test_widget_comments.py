"""The comments of a page, as people read and write them, on a page of another origin."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from ..harness import Server
from .comments import (
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


async def test_an_empty_page_invites_and_the_first_comment_stands_there_at_once(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await open_page(tabs, host, server)
    await expect(page.get_by_text("No comments yet. What do you think?")).to_be_visible()
    await faultless(page)
    await field(page).fill("**First!**")
    await button(page, "Preview").click()
    await expect(page.locator(".preview strong")).to_have_text("First!")
    await faultless(page)
    await field(page).press("End")
    await page.keyboard.type("!")
    await expect(page.locator(".preview")).to_be_hidden()
    await page.keyboard.press("Backspace")
    await button(page, "Send").click()
    # Who they are is asked for now, below what they wrote.
    await expect(field(page, "Your name")).to_be_focused()
    await expect(field(page)).to_have_value("**First!**")
    await faultless(page)
    await page.keyboard.type("Ann")
    await page.keyboard.press("Enter")
    await shows(page, "First!")
    await expect(page.locator("article.comment .author")).to_have_text("Ann")
    await expect(page.get_by_role("heading", name="1 comment", exact=True)).to_be_visible()
    await expect(page.get_by_text("No comments yet.")).to_be_hidden()
    await expect(field(page)).to_have_value("")
    await expect(page.get_by_role("article", name="Ann")).to_be_focused()
    await faultless(page)
    await page.reload()
    await shows(page, "First!")
    await field(page).focus()
    await expect(page.get_by_text("as Ann")).to_be_visible()


async def test_ctrl_enter_sends_and_enter_does_not(server: Server, host: Host, tabs: Tabs) -> None:
    who = await someone(server, "Ann")
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, who))
    await field(page).click()
    await page.keyboard.type("one")
    await page.keyboard.press("Enter")
    await page.keyboard.type("two")
    await expect(field(page)).to_have_value("one\ntwo")
    await expect(page.locator("article")).to_have_count(1)  # that of the page
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("article.comment .text")).to_have_text("one\ntwo")


async def test_an_empty_text_is_not_sent(server: Server, host: Host, tabs: Tabs) -> None:
    who = await someone(server, "Ann")
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, who))
    await field(page).fill("  \n ")
    await button(page, "Send").click()
    await expect(field(page)).to_be_focused()
    await button(page, "Preview").click()
    await expect(field(page)).to_be_focused()
    await expect(page.locator(".preview")).to_be_hidden()
    assert (await call(server, "GET"))["total"] == 0


async def test_replies_say_whom_they_answer(server: Server, host: Host, tabs: Tabs) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    id = await say(server, ann["access_token"], "A question")
    reader = await open_page(tabs, host, server)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 2)
    await button(comment(page, "A question"), "Reply").click()
    await expect(field(page, "Reply to Ann")).to_be_focused()
    await faultless(page)
    await page.keyboard.type("An answer")
    await page.keyboard.press("Control+Enter")
    await expect(reply(page, "An answer")).to_be_focused()
    await expect(field(page, "Reply to Ann")).to_have_count(0)
    await expect(reply(page, "An answer").locator("header")).not_to_contain_text("to Ann")
    await button(reply(page, "An answer"), "Reply").click()
    await field(page, "Reply to Ben").fill("To myself")
    await button(reply(page, "An answer").locator("form"), "Reply").click()
    await expect(reply(page, "To myself").locator("header")).to_contain_text("to Ben")
    await shows(page, "A question", "An answer", "To myself")
    # Others get to know of it, and see it when they want to.
    await expect(button(reader, "2 new")).to_be_visible()
    await button(reader, "2 new").click()
    await shows(reader, "A question", "An answer", "To myself")
    await expect(reply(reader, "To myself").locator("header")).to_contain_text("to Ben")
    await expect(reply(reader, "An answer")).to_be_focused()
    await faultless(reader)
    assert (await call(server, "GET", f"/{id}"))["reply_count"] == 2


async def test_a_reply_is_given_up_with_escape_or_the_button(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "A question")
    page = await open_page(tabs, host, server)
    await button(comment(page, "A question"), "Reply").press("Enter")
    await expect(field(page, "Reply to Ann")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(field(page, "Reply to Ann")).to_have_count(0)
    await expect(comment(page, "A question")).to_be_focused()
    await button(comment(page, "A question"), "Reply").click()
    await button(comment(page, "A question"), "Cancel").click()
    await expect(field(page, "Reply to Ann")).to_have_count(0)
    # Pressed twice it is gone too.
    await button(comment(page, "A question"), "Reply").click()
    await button(comment(page, "A question"), "Reply").click()
    await expect(field(page, "Reply to Ann")).to_have_count(0)


async def test_a_like_is_taken_back_and_seen_by_others(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    await say(server, ann["access_token"], "Likeable")
    reader = await open_page(tabs, host, server)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ben))
    await alive(server, 2)
    like = page.get_by_role("button", name="Like")
    await expect(like).to_have_attribute("aria-pressed", "false")
    await like.press("Enter")
    await expect(like).to_have_attribute("aria-pressed", "true")
    await expect(like).to_have_accessible_name("Like 1 like")
    # Whoever uses the keyboard goes on from there.
    await expect(like).to_be_focused()
    await expect(reader.get_by_role("button", name="Like 1 like")).to_have_attribute(
        "aria-pressed", "false"
    )
    await page.reload()
    await expect(like).to_have_attribute("aria-pressed", "true")
    await faultless(page)
    await like.click()
    await expect(like).to_have_attribute("aria-pressed", "false")
    await expect(reader.get_by_role("button", name="Like")).to_have_accessible_name("Like")


async def test_somebody_unknown_is_asked_first_then_likes(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "Likeable")
    page = await open_page(tabs, host, server)
    await field(page).fill("Half a thought")
    like = page.get_by_role("button", name="Like", exact=True).first
    await like.click()
    await expect(field(page, "Your name")).to_be_focused()
    await faultless(page)
    await page.keyboard.type("Ben")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Like 1 like")).to_have_attribute(
        "aria-pressed", "true"
    )
    await expect(field(page, "Your name")).to_have_count(0)
    await expect(field(page)).to_have_value("Half a thought")
    await expect(page.get_by_text("as Ben")).to_be_visible()


async def test_what_one_wrote_is_edited(server: Server, host: Host, tabs: Tabs) -> None:
    ann = await someone(server, "Ann")
    id = await say(server, ann["access_token"], "It is **wrogn**")
    await say(server, ann["access_token"], "An answer", of=id)
    reader = await open_page(tabs, host, server)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
    await alive(server, 2)
    await expect(button(reader, "Edit")).to_have_count(0)
    await button(comment(page, "It is wrogn"), "Edit").click()
    await expect(field(page, "Edit")).to_have_value("It is **wrogn**")
    await faultless(page)
    await field(page, "Edit").fill("It is *right*")
    await button(page, "Save").click()
    await shows(page, "It is right", "An answer")
    await shows(reader, "It is right", "An answer")
    await expect(comment(reader, "It is right").locator("header").first).to_contain_text("edited")
    await button(reply(page, "An answer"), "Edit").click()
    await field(page, "Edit").fill("A better answer")
    await page.keyboard.press("Control+Enter")
    await shows(reader, "It is right", "A better answer")


async def test_deleting_asks_once_more_and_leaves_a_tombstone_above_replies(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await someone(server, "Ann"), await someone(server, "Ben")
    id = await say(server, ann["access_token"], "I regret this")
    await say(server, ben["access_token"], "I do not", of=id)
    await say(server, ann["access_token"], "This too")
    reader = await open_page(tabs, host, server)
    page = await open_page(tabs, host, server, person=await browser_of(tabs, server, ann))
    await alive(server, 2)
    for text in ("This too", "I regret this"):
        remove = button(comment(page, text), "Delete")
        await remove.click()
        sure = button(comment(page, text), "Really delete?")
        await expect(sure).to_be_visible()
        await faultless(page)
        await expect(comment(page, text)).to_be_visible()
        await sure.click()
        await expect(page.get_by_text(text)).to_have_count(0)
    for one in (page, reader):
        await shows(one, "Deleted", "I do not")
        await expect(one.get_by_role("article", name="Deleted").locator(".author")).to_have_text(
            ["Ben"]
        )
        await faultless(one)
    await expect(reader.get_by_role("heading", name="1 comment")).to_be_visible()
    # With the last reply it is gone.
    await call(server, "DELETE", f"/{id}/replies/1", token=ben["access_token"])
    for one in (page, reader):
        await expect(one.locator("article.comment, article.reply")).to_have_count(0)


async def test_who_hesitates_deletes_nothing(server: Server, host: Host, tabs: Tabs) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "Precious")
    person = await browser_of(tabs, server, ann)
    page = await open_page(tabs, host, server, person=person)
    await page.clock.install()
    await button(page, "Delete").click()
    await expect(button(page, "Really delete?")).to_be_visible()
    await page.clock.fast_forward(10_000)
    await button(page, "Delete").click()
    await expect(button(page, "Really delete?")).to_be_visible()
    await shows(page, "Precious")


async def test_a_draft_outlives_a_reload_here_and_in_a_reply(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "A question")
    page = await open_page(tabs, host, server)
    await field(page).fill("Half a comment")
    await button(comment(page, "A question"), "Reply").click()
    await field(page, "Reply to Ann").fill("Half a reply")
    await page.reload()
    await expect(field(page)).to_have_value("Half a comment")
    await button(comment(page, "A question"), "Reply").click()
    await expect(field(page, "Reply to Ann")).to_have_value("Half a reply")
    await button(comment(page, "A question").locator("form"), "Reply").click()
    await field(page, "Your name").fill("Ben")
    await button(comment(page, "A question").locator("form"), "Reply").click()
    await shows(page, "A question", "Half a reply")
    # What was sent is not a draft any more; the other one still is.
    await page.reload()
    await expect(field(page)).to_have_value("Half a comment")
    await button(comment(page, "A question"), "Reply").click()
    await expect(field(page, "Reply to Ann")).to_have_value("")


async def test_the_order_is_chosen_and_remembered(server: Server, host: Host, tabs: Tabs) -> None:
    ann = await someone(server, "Ann")
    for text in ("first", "second", "third"):
        await say(server, ann["access_token"], text)
    page = await open_page(tabs, host, server)
    await shows(page, "first", "second", "third")
    await button(page, "Show newest first").click()
    await shows(page, "third", "second", "first")
    await page.reload()
    await shows(page, "third", "second", "first")
    # One's own new comment stands first then.
    await write(page, "fourth", "Ben")
    await shows(page, "fourth", "third", "second", "first")
    await button(page, "Show oldest first").click()
    await shows(page, "first", "second", "third", "fourth")
    await expect(button(page, "Show newest first")).to_be_focused()
