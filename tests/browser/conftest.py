"""A real Chromium, pages that are watched for trouble, and hosts that embed the chat."""

from __future__ import annotations

import asyncio
import mimetypes
import re
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import (
    Browser,
    BrowserContext,
    Error,
    Page,
    Request,
    Response,
    Route,
    async_playwright,
    expect,
)

from talkee_lite.serve import Runner

from ..harness import Server, config_in, running

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def origin_of(address: str) -> str:
    """`http://127.0.0.1:8080` of an address; a socket's is that of the server it belongs to."""
    parts = urlsplit(address)
    return f"{parts.scheme.replace('ws', 'http')}://{parts.netloc}"


class Tabs:
    """Opens pages. Whatever goes wrong in one fails the test, unless it was `expected`.

    A request to anybody but the page's own origin and the server's is wrong, too; the server is
    whoever the script `talkee.js` comes from, and what a test adds to `known`. So is a cookie.
    """

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.problems: list[str] = []
        self.expected: list[str] = []
        """Patterns of console errors that are part of the test."""
        self.seen: list[str] = []
        self.known: set[str] = set()
        """Origins that pages may ask for something."""
        self._cookies: set[asyncio.Task[None]] = set()

    async def person(self, **options: Any) -> BrowserContext:
        """A browser profile of its own: somebody who is not signed in."""
        context = await self.browser.new_context(**options)
        context.set_default_timeout(30_000)
        context.on("page", self._watch)
        context.on("request", self._asked)
        context.on("response", self._answered)
        return context

    async def open(self, url: str, person: BrowserContext | None = None) -> Page:
        """A tab at `url`, of somebody new unless told whose."""
        page = await (person or await self.person()).new_page()
        await page.goto(url)
        return page

    async def leave(self) -> None:
        """Close every tab: before a server that they use is stopped, which each would notice."""
        await self.settled()
        for context in self.browser.contexts:
            await context.close()

    async def settled(self) -> None:
        """Wait until all that was answered has been looked at."""
        await asyncio.gather(*self._cookies)

    def _watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on(
            "console",
            lambda message: self._note(message.text) if message.type == "error" else None,
        )
        page.on("websocket", lambda socket: self._reached(socket.url))

    def _asked(self, request: Request) -> None:
        is_page = request.is_navigation_request() and request.frame.parent_frame is None
        if is_page or urlsplit(request.url).path.endswith("/talkee.js"):
            self.known.add(origin_of(request.url))
        self._reached(request.url)

    def _reached(self, address: str) -> None:
        if address.startswith(("http", "ws")) and origin_of(address) not in self.known:
            self.problems.append(f"third party: {address}")

    def _answered(self, response: Response) -> None:
        failed = f"{response.status} {response.url}"
        if response.status >= 500 and not any(re.search(p, failed) for p in self.expected):
            self.problems.append(failed)
        task = asyncio.create_task(self._look_for_cookie(response))
        self._cookies.add(task)
        task.add_done_callback(self._cookies.discard)

    async def _look_for_cookie(self, response: Response) -> None:
        try:
            cookie = await response.header_value("set-cookie")
        except Error:
            return  # the tab was closed meanwhile
        if cookie:
            self.problems.append(f"cookie: {cookie} of {response.url}")

    def _note(self, text: str) -> None:
        self.seen.append(text)
        if not any(re.search(pattern, text) for pattern in self.expected):
            self.problems.append(f"console: {text}")


class Held:
    """Lists of `comments` or `messages` that were answered, and reach a page only when they may."""

    def __init__(self, kind: str) -> None:
        self.addresses = f"**/api/{kind}?**"
        self.read = asyncio.Event()
        self.may_come = asyncio.Event()

    async def hold(self, page: Page) -> None:
        """From now on."""

        async def held(route: Route) -> None:
            if self.may_come.is_set():
                return await route.continue_()
            if route.request.method != "GET":
                # So that the list is one from before.
                await self.read.wait()
                return await route.continue_()
            answer = await route.fetch()
            self.read.set()
            await self.may_come.wait()
            await route.fulfill(response=answer)

        await page.route(self.addresses, held)


@asynccontextmanager
async def launching(*arguments: str) -> AsyncIterator[Browser]:
    """A Chromium of one's own."""
    if not CHROMIUM.exists():
        pytest.fail("These tests need the Debian package chromium: apt-get install chromium")
    expect.set_options(timeout=30_000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def watched(browser: Browser) -> AsyncIterator[Tabs]:
    """Tabs of a Chromium; at the end nothing may have gone wrong in any of them."""
    opened = Tabs(browser)
    try:
        yield opened
    finally:
        await opened.leave()
    assert opened.problems == []


@asynccontextmanager
async def chromium(*arguments: str) -> AsyncIterator[Tabs]:
    """Tabs of a Chromium that was started with more arguments."""
    async with launching(*arguments) as browser, watched(browser) as opened:
        yield opened


# One Chromium serves all tests of a process, since its start takes longer than most of them. So
# they have one event loop, and so have their fixtures, wherever in this folder they stand.


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: Any) -> Generator[None, Any, Any]:
    if fixturedef.func.__module__.startswith(__package__):
        fixturedef.func._loop_scope = "session"
    return (yield)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium as it comes."""
    async with launching() as browser:
        yield browser


@pytest.fixture
async def tabs(browser: Browser) -> AsyncIterator[Tabs]:
    """Tabs of that Chromium, in profiles of their own."""
    async with watched(browser) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with default settings, but for limits on posts and sign-ins."""
    async with running(config_in(tmp_path)) as started:
        yield started


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Any program on a free port; its origin."""
    listener = socket.create_server(("127.0.0.1", 0))
    runner = Runner(app)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await runner.cleanup()
        listener.close()


class Host:
    """Somebody's site on an origin of its own, whose pages a test writes."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.html = ""
        self.policy = ""
        self.pages: dict[str, str] = {}
        """Other pages and files by their paths; every other path shows the same page."""

    def show(self, html: str, policy: str = "", path: str = "/post") -> str:
        """Publish a page, with a content security policy if given; its address."""
        self.html, self.policy = html, policy
        return f"{self.origin}{path}"


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    """A site that is not ours."""

    async def page(request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": site.policy} if site.policy else None
        kind = mimetypes.guess_type(request.path)[0] or "text/html"
        text = site.pages.get(request.path, site.html)
        return web.Response(text=text, content_type=kind, headers=headers)

    async def icon(request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/favicon.ico", icon)
    app.router.add_get("/{path:.*}", page)
    async with listening(app) as origin:
        site = Host(origin)
        yield site
