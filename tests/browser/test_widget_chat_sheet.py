"""The button in a page's corner, and the sheet that it opens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from ..harness import Server, config_in, running, until
from .chatting import (
    PHONE,
    ROOM,
    come_in,
    field,
    fill_room,
    is_live,
    messages,
    page_with_launcher,
    public_chat,
    say,
    shows,
)
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

LONG = '<p style="height: 3000px">Much to read.</p>'


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server whose chat anybody may read."""
    async with running(public_chat(tmp_path)) as started:
        yield started


async def somebodys_page(tabs: Tabs, host: Host, server: Server, **person: Any) -> Page:
    """A page with a launcher, of somebody new."""
    html = page_with_launcher(server.url, body='<a href="#far">Down</a>' + LONG + '<p id="far">')
    return await tabs.open(host.show(html), await tabs.person(**person))


def launcher(page: Page) -> Locator:
    """The button that opens the chat, before and after it was loaded."""
    return page.get_by_role("button", name="chat").locator("visible=true").first


def sheet(page: Page) -> Locator:
    """What it opens."""
    return page.get_by_role("dialog", name="Chat")


async def open_sheet(page: Page) -> None:
    """Press the button, and wait for the room."""
    await launcher(page).click()
    await expect(sheet(page)).to_be_visible()
    await expect(field(page)).to_be_visible()


async def test_nothing_is_loaded_before_the_sheet_is_opened(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server)
    await expect(launcher(page)).to_be_visible()
    await expect(sheet(page)).to_have_count(0)
    assert not server.services.sockets.connections
    await open_sheet(page)
    await until(lambda: len(server.services.sockets.connections) == 1)
    await say(page, "Hello.")
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_label("Your name").press("Enter")
    await shows(page, "Hello.")


async def test_the_keyboard_opens_and_closes_it_and_the_focus_goes_and_returns(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server)
    await launcher(page).focus()
    await page.keyboard.press("Enter")
    await expect(field(page)).to_be_focused()
    await page.keyboard.type("Half a sentence")
    await page.keyboard.press("Escape")
    await expect(sheet(page)).to_be_hidden()
    await expect(launcher(page)).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(field(page)).to_be_focused()
    await expect(field(page)).to_have_value("Half a sentence")
    await page.get_by_role("button", name="Close").press("Enter")
    await expect(sheet(page)).to_be_hidden()
    await expect(launcher(page)).to_be_focused()


async def test_an_escape_that_ends_a_composition_closes_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server)
    await open_sheet(page)
    await field(page).fill("に")
    await field(page).evaluate(
        "field => field.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape',"
        " isComposing: true, bubbles: true, composed: true, cancelable: true}))"
    )
    await expect(sheet(page)).to_be_visible()
    await field(page).press("Escape")
    await expect(sheet(page)).to_be_hidden()


async def test_where_one_has_to_come_in_first_the_focus_goes_there(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    (tmp_path / "private").mkdir()
    async with running(config_in(tmp_path / "private")) as server:
        page = await tabs.open(host.show(page_with_launcher(server.url)))
        await launcher(page).press("Enter")
        await expect(page.get_by_role("button", name="Come in")).to_be_visible()
        # Wherever it is, it is in the sheet: Escape closes it.
        await page.keyboard.press("Escape")
        await expect(sheet(page)).to_be_hidden()
        await expect(launcher(page)).to_be_focused()
        await page.keyboard.press("Enter")
        await come_in(page)
        await expect(field(page)).to_be_focused()
        await tabs.leave()


async def test_what_comes_while_it_is_closed_is_counted_on_the_button(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ben = await fill_room(server, 1)
    page = await somebodys_page(tabs, host, server)
    await open_sheet(page)
    await is_live(page, server, ben)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Open the chat", exact=True)).to_be_visible()
    for number in range(2):
        await server.post(ben, f"New {number}", room=ROOM)
    button = page.get_by_role("button", name="Open the chat 2 unread")
    await expect(button).to_have_text("2")
    await button.click()
    await shows(page, "Line 0", "Now live.", "New 0", "New 1")
    await expect(page.get_by_role("button", name="unread")).to_have_count(0)
    await page.keyboard.press("Escape")
    closed = page.get_by_role("button", name="Open the chat", exact=True)
    await expect(closed).to_have_text("", use_inner_text=True)


async def test_on_a_big_screen_going_to_another_place_of_the_page_leaves_it_open(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server)
    await open_sheet(page)
    await page.get_by_role("link", name="Down").click()
    await expect(page.locator("#far")).to_be_in_viewport()
    await page.go_back()
    await expect(sheet(page)).to_be_visible()
    box = await sheet(page).bounding_box()
    assert box is not None
    assert box["width"] < 500


async def test_on_a_phone_it_fills_the_screen_and_the_back_button_closes_it(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 40)
    page = await somebodys_page(tabs, host, server, **PHONE)
    await launcher(page).tap()
    await expect(messages(page)).to_have_count(40)
    assert await sheet(page).bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    await expect(messages(page).last).to_be_in_viewport()
    await expect(field(page)).to_be_in_viewport(ratio=1)
    # Nothing to tap is smaller than a finger, and writing does not make the page zoom.
    for control in await sheet(page).locator("button, textarea").all():
        box = await control.bounding_box()
        assert box is None or box["height"] >= 40, await control.text_content()
    size = await field(page).evaluate("f => parseFloat(getComputedStyle(f).fontSize)")
    assert size >= 16
    address = page.url
    for _ in range(2):
        await page.go_back()
        await expect(sheet(page)).to_be_hidden()
        assert page.url == address
        await launcher(page).tap()
        await expect(sheet(page)).to_be_visible()
    await page.get_by_role("button", name="Close").tap()
    await expect(sheet(page)).to_be_hidden()
    # Forward is nowhere: it opens nothing, and the button still does.
    await page.go_forward()
    await launcher(page).tap()
    await expect(sheet(page)).to_be_visible()
    await page.get_by_role("button", name="Close").tap()
    await expect(sheet(page)).to_be_hidden()


async def test_on_a_phone_it_closes_at_once_after_a_reload_too(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server, **PHONE)
    await launcher(page).tap()
    await expect(field(page)).to_be_visible()
    await page.reload()
    await launcher(page).tap()
    await expect(field(page)).to_be_visible()
    await page.get_by_role("button", name="Close").tap()
    await expect(sheet(page)).to_be_hidden()


async def test_on_a_phone_the_keyboard_does_not_cover_where_one_writes(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 40)
    page = await somebodys_page(tabs, host, server, **PHONE)
    await launcher(page).tap()
    await expect(messages(page)).to_have_count(40)
    # A keyboard makes the visual viewport smaller, and nothing else.
    await page.evaluate(
        "() => { for (const [name, value] of [['height', 500], ['offsetTop', 60]])"
        " Object.defineProperty(visualViewport, name, {value, configurable: true});"
        " visualViewport.dispatchEvent(new Event('resize')); }"
    )
    box = {"x": 0, "y": 60, "width": 390, "height": 500}
    assert await sheet(page).bounding_box() == box
    write = await field(page).bounding_box()
    assert write is not None
    assert write["y"] + write["height"] <= 560
    await expect(messages(page).last).to_be_in_viewport()
    last = await messages(page).last.bounding_box()
    assert last is not None
    assert last["y"] + last["height"] <= write["y"]


async def test_it_keeps_clear_of_notches(server: Server, host: Host, tabs: Tabs) -> None:
    page = await somebodys_page(tabs, host, server, **PHONE)
    session = await page.context.new_cdp_session(page)
    insets = {"top": 47, "bottom": 34, "left": 0, "right": 0}
    await session.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
    box = await launcher(page).bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 844 - 34
    await launcher(page).tap()
    await expect(field(page)).to_be_visible()
    composer = await sheet(page).locator("form").last.bounding_box()
    close = await page.get_by_role("button", name="Close").bounding_box()
    assert composer is not None
    assert close is not None
    assert composer["y"] + composer["height"] <= 844 - 34
    assert close["y"] >= 47


async def test_the_button_stays_when_the_chat_begins_anew(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await somebodys_page(tabs, host, server)
    await open_sheet(page)
    await page.locator("talkee-chat").evaluate("chat => chat.setAttribute('theme', 'dark')")
    await expect(sheet(page)).to_have_count(0)
    await expect(launcher(page)).to_be_visible()
    await open_sheet(page)
