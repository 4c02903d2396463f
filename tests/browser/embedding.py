"""What tests of the widget in other people's pages have in common."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from playwright.async_api import Locator, Page, Request, WebSocket, expect

from talkee_lite.config import Config, SiteConfig

from ..harness import JSON, Server, config_in

HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Rye</title>"""
START = f"{HEAD}</head><body>"


def line(server: Server, *attributes: str) -> str:
    """The line of HTML that brings comments and what `attributes` ask for."""
    more = " ".join(("", *attributes))
    return f'<script async src="{server.url}/talkee.js" data-site-id="1"{more}></script>'


async def write(server: Server, slug: str, text: str, name: str = "Ann") -> JSON:
    """A comment on the page `slug`, by somebody new."""
    token = await server.guest(name)
    status, answer, _ = await server.call(
        "POST", f"/api/comments?site_id=1&slug={quote(slug)}", {"content": text}, token=token
    )
    assert status == 200, answer
    return dict(answer["data"])


async def talk(server: Server, slug: str, text: str, name: str = "Ann") -> None:
    """A message in the room `slug`, by somebody new."""
    await server.post(await server.guest(name), text, room=f"site_id=1&slug={quote(slug)}")


async def has_loaded(page: Page, selector: str = "talkee-comments") -> Locator:
    """The element, once it shows what there is."""
    element = page.locator(selector)
    await expect(element.first).to_have_attribute("data-loaded", "")
    return element


async def shows(within: Page | Locator, *texts: str) -> None:
    """These comments come to be shown, and no others."""
    await expect(within.locator("article.comment > .body > .text")).to_have_text(list(texts))


async def says(within: Page | Locator, *texts: str) -> None:
    """These messages come to be shown, and no others."""
    await expect(within.locator("li.message p")).to_have_text(list(texts))


async def comment(within: Page | Locator, text: str, name: str = "") -> None:
    """Write a comment as a reader does, with a name if it is the first."""
    field = within.get_by_label("Write a comment").first
    form = field.locator("xpath=..")
    await field.fill(text)
    await form.get_by_role("button", name="Send").click()
    if name:
        await form.get_by_label("Your name").fill(name)
        await form.get_by_role("button", name="Send").click()


async def chat(within: Page | Locator, text: str, name: str = "") -> None:
    """Write a message as a reader does, with a name if it is the first."""
    field = within.get_by_label("Write a message")
    await field.fill(text)
    await field.press("Enter")
    if name:
        await within.get_by_label("Your name").fill(name)
        await within.get_by_label("Your name").press("Enter")


class Log:
    """What a page asks the server for, and which sockets it has open."""

    def __init__(self, page: Page, server: Server) -> None:
        self.addresses: list[str] = []
        self.sockets: list[str] = []
        self._origin = server.url
        page.on("request", self._add)
        page.on("websocket", self._open)

    def _add(self, request: Request) -> None:
        if request.url.startswith(self._origin):
            self.addresses.append(request.url[len(self._origin) :])

    def _open(self, socket: WebSocket) -> None:
        self.sockets.append(socket.url)
        socket.on("close", lambda closed: self.sockets.remove(closed.url))

    def paths(self) -> list[str]:
        """The paths without what follows them, in the order of asking."""
        return [urlsplit(address).path for address in self.addresses]

    def slugs(self, path: str) -> list[str]:
        """Which pages it asked `path` about."""
        found = [urlsplit(a) for a in self.addresses if urlsplit(a).path == path]
        return [parse_qs(parts.query)["slug"][0] for parts in found]


def public_site(folder: Path) -> Config:
    """A server whose site any page may use, and whose chat anybody may read."""
    return config_in(folder, sites=(SiteConfig(id=1, origins=("*",), public_chat=True),))
