"""Pages of somebody's site with a chat in them, and what people do there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, expect

from talkee_lite.config import Config, SiteConfig

from ..harness import JSON, Server, config_in, until
from .conftest import Host, Tabs

ROOM = "site_id=1&slug=/"
# What Chromium itself writes while a server is away.
AWAY = (
    r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"
    r"|^503 |status of 503"
)
OFFLINE = r"ERR_INTERNET_DISCONNECTED"
CLOSED = r"WebSocket connection to"
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}


def public_chat(folder: Path, **tables: Any) -> Config:
    """A server whose chat anybody may read."""
    return config_in(folder, sites=(SiteConfig(id=1, public_chat=True),), **tables)


def page_with(url: str, attributes: str = "", *, head: str = "", script: str = "") -> str:
    """A page with a room in it, `/` unless the attributes say another."""
    slug = "" if "slug=" in attributes else 'slug="/"'
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>A post</title>{head}'
        f'<h1>A post</h1><talkee-chat site-id="1" {slug} {attributes}></talkee-chat>'
        f'{script}<script async src="{url}/talkee.js"></script>'
    )


def page_with_launcher(url: str, attributes: str = "", *, body: str = "") -> str:
    """A page with a button that opens the site's room."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>A post</title>'
        '<meta name="viewport" content="width=device-width, viewport-fit=cover">'
        f"<h1>A post</h1>{body}"
        f'<script async src="{url}/talkee.js" data-site-id="1" data-comments="off" data-chat'
        f" {attributes}></script>"
    )


async def enter(
    tabs: Tabs,
    host: Host,
    server: Server,
    name: str = "Ann",
    attributes: str = "",
    *,
    person: BrowserContext | None = None,
) -> Page:
    """A tab of somebody new who came in as `name`."""
    page = await tabs.open(host.show(page_with(server.url, attributes)), person)
    await come_in(page, name)
    return page


async def come_in(page: Page, name: str = "Ann") -> None:
    """Say who one is, where only those who did may read."""
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill(name)
    await page.get_by_role("button", name="Come in").click()
    await expect(field(page)).to_be_visible()
    await is_listed(page)


async def is_live(page: Page, server: Server, token: str) -> None:
    """Whatever is said from now on comes by the socket: as this did, or after it."""
    await until(lambda: server.joined > 0)
    await server.post(token, "Now live.", room=ROOM)
    await expect(messages(page).last).to_have_text("Now live.")


async def is_listed(page: Page) -> None:
    """What is in the room is shown, if only that it is empty."""
    there = page.locator("li.message, .empty").locator("visible=true").first
    await expect(there).to_be_visible()


def field(page: Page) -> Locator:
    """Where one writes."""
    return page.get_by_role("textbox", name="Write a message")


def messages(page: Page) -> Locator:
    """The texts of what is shown."""
    return page.locator("li.message p.text")


async def say(page: Page, text: str) -> None:
    """Type into the chat and press Enter."""
    await field(page).fill(text)
    await field(page).press("Enter")


async def shows(page: Page, *texts: str) -> None:
    """Just these messages come to be shown, in this order, all of them stored."""
    await expect(messages(page)).to_have_text(list(texts))
    await expect(page.locator("li.held")).to_have_count(0)


async def tells(page: Page, text: str) -> None:
    """The line that says how things are comes to hold `text`."""
    await expect(page.locator(".status")).to_contain_text(text)


async def tells_nothing(page: Page) -> None:
    """All is well: the line is empty."""
    await expect(page.locator(".status")).to_have_text("")


async def token_of(page: Page) -> str:
    """The access token that the browser keeps."""
    return str(
        await page.evaluate(
            "Object.values(localStorage).map(text => JSON.parse(text).access_token).find(Boolean)"
        )
    )


async def fill_room(server: Server, count: int, name: str = "Ben", first: int = 0) -> str:
    """So many messages, `Line 0` and on; the token of who wrote them."""
    token = await server.guest(name)
    for number in range(first, first + count):
        await server.post(token, f"Line {number}", room=ROOM)
    return token


async def stored(server: Server) -> list[JSON]:
    """The room's latest messages, as the server has them."""
    listed = await server.latest(await server.guest("Reader"), room=ROOM)
    return list(listed["data"])
