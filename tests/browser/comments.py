"""A page of somebody's site with comments below its article, and the people who use it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from playwright.async_api import BrowserContext, Locator, Page, expect

from talkee_lite.models import UserKind

from ..harness import JSON, Server
from .accessibility import axe
from .conftest import Host, Tabs

SLUG = "/post"
PAGE = f"site_id=1&slug={SLUG}"
ARTICLE = "<article><h1>An article</h1><p>It says something.</p></article>"
# What Chromium itself writes when an answer refuses something, and while a server is away.
REFUSED = r"status of 4\d\d"
AWAY = (
    r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"
    r"|^503 |status of 503"
)
# How often anything is drawn that lies elsewhere than before, though nobody asked for that.
SHIFTS = """window.shifts = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });"""


def html(url: str, *attributes: str, article: str = ARTICLE, head: str = "") -> str:
    """A page with the line of HTML that brings comments."""
    line = f'<script async src="{url}/talkee.js" data-site-id="1" {" ".join(attributes)}></script>'
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>A post</title>"
        "<meta name=viewport content='width=device-width'><style>body { max-width: 700px;"
        f" margin: 20px auto; padding: 0 16px; font: 16px sans-serif }}</style>{head}"
        f"<main>{article}{line}</main></html>"
    )


async def call(
    server: Server, method: str, path: str = "", body: Any = None, token: str | None = None
) -> Any:
    """A call on the page's comments, which must succeed; its data."""
    mark = "&" if "?" in path else "?"
    address = f"/api/comments{path}{mark}{PAGE}"
    status, answer, _ = await server.call(method, address, body, token=token)
    assert status == 200, answer
    return answer["data"]


async def say(server: Server, token: str, content: str, of: int = 0, to: int = 0) -> int:
    """A new comment, or a reply to comment `of`; its id."""
    body = {"content": content, **({"reply_to": to} if to else {})}
    made = await call(server, "POST", f"/{of}/replies" if of else "", body, token)
    return int(made["id"])


async def crowd(server: Server, token: str, count: int) -> list[JSON]:
    """So many comments, oldest first, as the server lists them."""
    for start in range(0, count, 50):
        numbers = range(start, min(count, start + 50))
        await asyncio.gather(*(say(server, token, f"Comment {number}") for number in numbers))
    found: list[JSON] = []
    while len(found) < count:
        behind = f"&after_id={found[-1]['id']}" if found else ""
        part = await call(server, "GET", f"?order_by=created_at_asc&limit=100{behind}")
        found += part["comments"]
    return found


async def someone(server: Server, name: str, role: UserKind | None = None) -> JSON:
    """Somebody new, with a role on the site if given: what signing in answers."""
    body = {"method": "guest", "full_name": name}
    _, answer, _ = await server.call("POST", "/api/auth/login", body)
    who: JSON = answer["data"]

    def job(tx: Any) -> None:
        tx.execute(
            "insert into roles (site_id, user_id, role, created_at) values (1, :id, :role, 0)",
            {"id": who["user"]["id"], "role": role},
        )

    if role:
        await server.services.db.write(job)
        await server.services.people.start()
        who["user"]["kind"] = role
    return who


async def browser_of(tabs: Tabs, server: Server, who: JSON, **options: Any) -> BrowserContext:
    """A browser in which somebody has signed in earlier."""
    person = await tabs.person(**options)
    kept = json.dumps(json.dumps(who))
    key = json.dumps(f"talkee {server.url}/")
    script = f"localStorage.getItem({key}) ?? localStorage.setItem({key}, {kept})"
    await person.add_init_script(f"try {{ {script} }} catch {{}}")
    return person


def comment(page: Page, text: str) -> Locator:
    """The comment with this text, with its replies."""
    own = page.locator(".body > .text").get_by_text(text, exact=True)
    return page.locator("article.comment").filter(has=own)


def reply(page: Page, text: str) -> Locator:
    """The reply with this text."""
    return page.locator("article.reply").filter(has=page.get_by_text(text, exact=True))


def button(within: Page | Locator, name: str) -> Locator:
    """The first button of this name: a comment's own stands before those of its replies."""
    return within.get_by_role("button", name=name, exact=True).first


def field(within: Page | Locator, label: str = "Write a comment") -> Locator:
    return within.get_by_label(label, exact=True)


async def write(page: Page, text: str, name: str | None = None) -> None:
    """Write a comment, as somebody new if there is a name."""
    await field(page).fill(text)
    await button(page, "Send").click()
    if name is not None:
        await field(page, "Your name").fill(name)
        await button(page, "Send").click()


async def shows(page: Page, *texts: str) -> None:
    """Just these comments and replies come to be shown, in this order."""
    await expect(page.locator("article .body > .text")).to_have_text(list(texts))


async def settled(page: Page) -> None:
    """Wait until the comments are there, and their socket too."""
    await expect(page.locator("talkee-comments[data-loaded]")).to_be_attached()


async def alive(server: Server, sockets: int) -> None:
    """Wait until so many readers' sockets are in the room."""
    async with asyncio.timeout(15):
        while server.joined != sockets:
            await asyncio.sleep(0.01)


async def still(page: Page) -> None:
    """Let the page draw what it has."""
    await page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")


async def faultless(page: Page) -> None:
    """No fault in the widget, in light and in dark."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        await still(page)
        assert await axe(page) == [], scheme
    await page.emulate_media(color_scheme="light", reduced_motion="no-preference")


async def open_page(
    tabs: Tabs,
    host: Host,
    server: Server,
    *attributes: str,
    person: BrowserContext | None = None,
    at: str = "",
    **options: Any,
) -> Page:
    """The page, in a browser of its own unless told whose, with its comments."""
    address = host.show(html(server.url, *attributes, **options))
    page = await tabs.open(address + at, person)
    await settled(page)
    return page
