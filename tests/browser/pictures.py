"""The pictures in docs/pictures: `make pictures` takes them anew, of a real server and Chromium."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Page, expect

from talkee_lite.clock import SECOND
from talkee_lite.config import AuthConfig, SiteConfig
from talkee_lite.models import UserKind

from ..harness import JSON, Server, config_in, draft, running
from .comments import browser_of, someone
from .conftest import Tabs, chromium, listening

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
# A place where it is seven in the morning now, when people bake.
EAST = (7 - datetime.now(UTC).hour + 12) % 24 - 12
ZONE = f"Etc/GMT{-EAST:+d}"
DESK: dict[str, Any] = {
    "viewport": {"width": 860, "height": 800},
    "device_scale_factor": 1.5,
    "timezone_id": ZONE,
}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 1.5,
    "has_touch": True,
    "is_mobile": True,
    "timezone_id": ZONE,
}
STYLE = """body { max-width: 42rem; margin: 0 auto; padding: 1.5rem 1.5rem 3rem;
  background: #fffdf9; color: #2b2620; font: 18px/1.6 Georgia, "Liberation Serif", serif }
  h1 { margin: 0 0 .4em; font-size: 2.1em; line-height: 1.2 } p { margin: 0 0 1em }
  talkee-comments, talkee-chat { --talkee-font: system-ui, "Liberation Sans", sans-serif;
    font-size: 16px; margin-top: 2rem }
  @media (prefers-color-scheme: dark) { body { background: #1a1917; color: #e9e4dc } }"""
ARTICLE = """<article><h1>A loaf that waits for you</h1><p>Dough is patient. Mix flour, water and
  salt in the evening, and let the cold do the work. Time makes the flavour, not your arms. In the
  morning you shape it, heat the oven, and go on with your day.</p></article>"""
SELECT = """wanted => {
  const { firstChild: text } = document.querySelector("article p");
  const at = text.data.replace(/\\s/g, " ").indexOf(wanted);
  getSelection().setBaseAndExtent(text, at, text, at + wanted.length);
}"""
ARABIC = """<article><h1>رغيف ينتظرك</h1>
  <p>العجين صبور. اخلط الدقيق والماء والملح مساءً، ودع البرد يعمل.</p></article>"""


@dataclass
class Blog:
    """A blog on an origin of its own, and the server beside it."""

    origin: str
    server: Server
    pages: dict[str, str]
    people: dict[str, JSON]

    def show(self, path: str, body: str, *, article: str = ARTICLE, lang: str = "en") -> str:
        """Publish a page; its address."""
        direction = "rtl" if lang == "ar" else "ltr"
        self.pages[path] = (
            f'<!doctype html><html lang="{lang}" dir="{direction}"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, viewport-fit=cover">'
            '<meta name="color-scheme" content="light dark">'
            f"<title>Bread</title><style>{STYLE}</style>{article}{body}"
        )
        return self.origin + path

    def line(self, attributes: str = "") -> str:
        """The line of HTML that brings comments."""
        source = f"{self.server.url}/talkee.js"
        return f'<script async src="{source}" data-site-id="1" {attributes}></script>'

    def ago(self, minutes: int) -> None:
        """What is written next was written so long ago; 0 is now."""
        services = self.server.services
        then = services.clock() - minutes * 60 * SECOND
        for rules in (services.comments, services.chat):
            rules._clock = (lambda: then) if minutes else services.clock

    async def person(self, name: str, role: UserKind | None = None) -> JSON:
        if name not in self.people:
            self.people[name] = await someone(self.server, name, role)
        return self.people[name]

    async def call(self, method: str, address: str, body: Any, name: str) -> JSON:
        token = self.people[name]["access_token"]
        status, answer, _ = await self.server.call(method, address, body, token=token)
        assert status == 200, answer
        data: JSON = answer.get("data", answer)
        return data

    async def say(self, slug: str, name: str, content: str, of: int = 0) -> int:
        """A comment, or a reply to one; its id."""
        await self.person(name)
        below = f"/{of}/replies" if of else ""
        address = f"/api/comments{below}?site_id=1&slug={slug}"
        return int((await self.call("POST", address, {"content": content}, name))["id"])

    async def like(self, slug: str, comment: int, *names: str) -> None:
        for name in names:
            await self.person(name)
            await self.call("PUT", f"/api/comments/{comment}/fav?site_id=1&slug={slug}", None, name)

    async def talk(self, slug: str, *lines: tuple[str, str]) -> list[str]:
        """Messages in a room; their ids."""
        ids = []
        for minutes, (name, text) in zip(range(3 * len(lines), 0, -3), lines, strict=True):
            self.ago(minutes)
            await self.person(name)
            body = draft(text)
            await self.call("POST", f"/ws/messages?site_id=1&slug={slug}", body, name)
            ids.append(body["message_id"])
        self.ago(0)
        return ids


@asynccontextmanager
async def blogging() -> AsyncIterator[Blog]:
    """A blog whose server is new."""
    pages: dict[str, str] = {}

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=pages.get(request.path, ""), content_type="text/html")

    app = web.Application()
    app.router.add_get("/{path:.*}", page)
    with tempfile.TemporaryDirectory() as folder:
        sites = (SiteConfig(id=1, name="Bread", public_chat=True),)
        config = config_in(
            Path(folder), sites=sites, auth=AuthConfig(password=True, reserved_names=("The Baker",))
        )
        async with listening(app) as origin, running(config) as server:
            yield Blog(origin, server, pages, {})


async def fill(blog: Blog, slug: str) -> None:
    """A conversation below a page."""
    await blog.person("Miriam", UserKind.ADMIN)
    blog.ago(26 * 60)
    first = await blog.say(
        slug,
        "Jonas",
        "I tried this with **rye** and it took two more hours to rise. Worth every minute, the"
        " crust sings when it comes out.",
    )
    blog.ago(25 * 60)
    await blog.say(slug, "Miriam", "Rye is slow. A spoon of honey wakes it up.", first)
    blog.ago(22 * 60)
    await blog.say(slug, "Jonas", "Honey it is, tonight.", first)
    blog.ago(5 * 60)
    second = await blog.say(
        slug,
        "Aiko",
        "> Time makes the flavour, not your arms.\n\nI have this on the kitchen wall now.",
    )
    await blog.like(slug, second, "Jonas", "Miriam", "Lena")
    await blog.like(slug, first, "Aiko")
    blog.ago(12)
    await blog.say(
        slug, "Lena", "How cold is cold? My fridge has 4 °C, and nothing moved overnight."
    )
    blog.ago(0)


TALK = (
    ("Jonas", "Oven is on. Who else bakes this morning?"),
    ("Aiko", "Me! Mine waited since yesterday evening."),
    ("Aiko", "It smells wonderful already."),
    ("Lena", "What flour do you use?"),
    ("Jonas", "Half wheat, half spelt: https://example.com/spelt"),
)


async def ready(page: Page, of: str = "talkee-comments") -> None:
    """What is asked for has come, and stands still."""
    await expect(page.locator(f"{of}[data-loaded]")).to_be_attached()
    await page.evaluate("document.fonts.ready")
    await page.wait_for_function(
        """() => [...document.querySelectorAll('talkee-comments, talkee-chat')].every((part) =>
          [...(part.shadowRoot?.querySelectorAll('img') ?? [])].every((image) => image.complete))"""
    )


async def take(page: Page, name: str, **options: Any) -> None:
    await page.screenshot(
        path=FOLDER / f"{name}.png", animations="disabled", caret="hide", **options
    )


async def open_as(blog: Blog, tabs: Tabs, url: str, name: str | None, **options: Any) -> Page:
    """A tab of somebody's, who is signed in unless there is no name."""
    options = {**DESK, "reduced_motion": "reduce", **options}
    if name is None:
        person = await tabs.person(**options)
    else:
        person = await browser_of(tabs, blog.server, await blog.person(name), **options)
    return await tabs.open(url, person)


async def threads(blog: Blog, tabs: Tabs) -> None:
    """Comments: none, many, dark, Arabic, while somebody writes, and with an error."""
    page = await open_as(blog, tabs, blog.show("/empty", blog.line()), None)
    await ready(page)
    await take(page, "empty", clip={"x": 0, "y": 0, "width": 860, "height": 500})

    await fill(blog, "/loaf")
    url = blog.show("/loaf", blog.line("data-chat"))
    for name, scheme in (("thread", "light"), ("dark", "dark")):
        page = await open_as(blog, tabs, url, "Lena", color_scheme=scheme)
        await ready(page)
        await page.wait_for_selector("talkee-marks button.mark")
        await take(page, name, full_page=True)

    page = await open_as(blog, tabs, url, "Lena")
    await ready(page)
    await page.evaluate(SELECT, "let the cold do the work")
    await expect(page.get_by_role("button", name="Talk about this")).to_be_visible()
    await take(page, "quoted", clip={"x": 0, "y": 0, "width": 860, "height": 260})

    page = await open_as(blog, tabs, url, None)
    await ready(page)
    await page.get_by_label("Write a comment").fill(
        "Mine never browned, until I left the lid on for half an hour."
    )
    await page.get_by_role("button", name="Send").click()
    await page.get_by_label("Your name").fill("Tomás")
    await take(page, "name", clip={"x": 0, "y": 200, "width": 860, "height": 400})

    tabs.expected.append("status of 409")
    await page.get_by_label("Your name").fill("The Baker")
    await page.get_by_label("Your name").press("Enter")
    await expect(page.get_by_role("alert").first).not_to_be_empty()
    await take(page, "error", clip={"x": 0, "y": 200, "width": 860, "height": 440})

    for author, text in (
        ("سارة", "جرّبتها مع دقيق القمح الكامل، وكانت القشرة رائعة!"),
        ("Jonas", "Looks wonderful. **Which** flour?"),
    ):
        blog.ago(90 if author == "Jonas" else 200)
        await blog.say("/arabic", author, text)
    blog.ago(0)
    url = blog.show("/arabic", blog.line(), article=ARABIC, lang="ar")
    page = await open_as(blog, tabs, url, "سارة")
    await ready(page)
    await take(page, "arabic", clip={"x": 0, "y": 0, "width": 860, "height": 560})


async def chats(blog: Blog, tabs: Tabs) -> None:
    """The chat: in a sheet, on a phone; and what was kept of it."""
    ids = await blog.talk("/", *TALK)
    url = blog.show("/loaf", blog.line("data-chat"))
    page = await open_as(blog, tabs, url, "Lena")
    await ready(page)
    await page.get_by_role("button", name="Chat", exact=True).click()
    await ready(page, "talkee-chat")
    await expect(page.locator("li.message")).to_have_count(len(TALK))
    await take(page, "chat")

    page = await open_as(blog, tabs, url, "Aiko", **PHONE)
    await ready(page)
    await page.get_by_role("button", name="Chat", exact=True).click()
    await expect(page.locator("li.message")).to_have_count(len(TALK))
    await ready(page, "talkee-chat")
    await take(page, "phone")

    body = {"from": ids[0], "to": ids[-1], "room": "/"}
    await blog.call("POST", "/api/comments/keep?site_id=1&slug=/kept", body, "Jonas")
    page = await open_as(blog, tabs, blog.show("/kept", blog.line()), None)
    await ready(page)
    await take(page, "kept", full_page=True)


async def welcome(blog: Blog, tabs: Tabs) -> None:
    """The page at `/`."""
    page = await open_as(blog, tabs, blog.server.url, None, viewport={"width": 1100, "height": 900})
    await ready(page)
    await take(page, "welcome")


async def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    async with chromium() as tabs, blogging() as blog:
        tabs.known.add(blog.server.url)
        await welcome(blog, tabs)
        await threads(blog, tabs)
        await chats(blog, tabs)
        await tabs.leave()


if __name__ == "__main__":
    asyncio.run(main())
