"""Where it cannot work: its owner is told the cure, and readers see nothing broken."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from talkee_lite.config import ServerConfig, SiteConfig

from ..harness import Server, config_in, run_verb, running, server_process, until
from .conftest import Host, Tabs, launching, watched
from .embedding import START, comment, has_loaded, line, shows

pytestmark = pytest.mark.browser

BLOG = "blog.example"
POST = f"{START}<p>A post</p>LINE<p>Below</p>"
# What Chromium itself writes when the server refuses, or is not there.
REFUSED = r"status of 40[34]|ERR_FAILED|CORS policy|ERR_CONNECTION_REFUSED|^WebSocket connection"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def outside() -> AsyncIterator[Browser]:
    """A Chromium in which a blog has a name of its own, as its readers know it."""
    async with launching(f"--host-resolver-rules=MAP {BLOG} 127.0.0.1") as browser:
        yield browser


@pytest.fixture
async def readers(outside: Browser) -> AsyncIterator[Tabs]:
    async with watched(outside) as tabs:
        tabs.expected += [REFUSED, "^Talkee: "]
        yield tabs


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server that the world knows, and that lets the pages of another blog in."""
    config = config_in(
        tmp_path,
        server=ServerConfig(public_url="https://talk.example.com"),
        sites=(SiteConfig(id=1, origins=("https://other.example.com",), public_chat=True),),
    )
    async with running(config) as started:
        yield started


def as_read(host: Host) -> str:
    """The post's address as readers know it."""
    return f"http://{BLOG}:{host.origin.rpartition(':')[2]}/post"


async def told(page: Page, tabs: Tabs) -> str:
    """What the widget comes to say in the console, which is one sentence with a cure."""
    await page.wait_for_load_state("networkidle")
    await until(lambda: any(text.startswith("Talkee: ") for text in tabs.seen))
    (text,) = (text for text in tabs.seen if text.startswith("Talkee: "))
    return text.strip()


async def sees_nothing(page: Page) -> None:
    """There is the post, as if there had never been comments, without a hole."""
    await expect(page.locator("body")).to_have_text(re.compile(r"^\s*A post\s*Below\s*$"))
    gap = "[...document.querySelectorAll('p')].map(p => p.getBoundingClientRect().top)"
    top, below = await page.evaluate(gap)
    assert below - top < 60


async def test_an_origin_that_is_not_allowed(server: Server, host: Host, readers: Tabs) -> None:
    host.show(POST.replace("LINE", line(server)))
    page = await readers.open(as_read(host))
    text = await told(page, readers)
    # The site stands in the settings.
    origin = as_read(host).removesuffix("/post")
    assert f"On the server: add {origin} to origins of [[sites]] id = 1 in the settings" in text
    await sees_nothing(page)
    # On the owner's own machine it stands on the page, too.
    page = await readers.open(f"{host.origin}/post")
    part = page.locator("talkee-comments")
    await expect(part).to_contain_text(f"On the server: add {host.origin} to origins")
    await expect(page.get_by_label("Write a comment")).to_have_count(0)


async def test_what_the_console_says_cures_it(host: Host, readers: Tabs, tmp_path: Path) -> None:
    with server_process(tmp_path, TALKEE_SERVER__PUBLIC_URL="https://talk.example.com") as process:
        tag = f'<script async src="{process.url}/talkee.js" data-site-id="1"></script>'
        host.show(POST.replace("LINE", tag))
        page = await readers.open(as_read(host))
        verb = (await told(page, readers)).partition("talkee-lite ")[2].split()
        done = await asyncio.to_thread(run_verb, tmp_path, *verb)
        assert done.returncode == 0, done.stderr
        await page.reload()
        await has_loaded(page)
        await comment(page, "Now it works.", "Ann")
        await shows(page, "Now it works.")
        await readers.leave()


async def test_a_site_that_is_not_there(server: Server, host: Host, readers: Tabs) -> None:
    html = POST.replace("LINE", line(server).replace('id="1"', 'id="99"'))
    host.show(html)
    page = await readers.open(as_read(host))
    assert await told(page, readers) == "Talkee: There is no site with this id."
    await sees_nothing(page)
    page = await readers.open(f"{host.origin}/post")
    await expect(page.locator("talkee-comments")).to_contain_text("There is no site with this id.")


async def test_a_server_that_is_down_when_the_rest_is_asked_for(
    server: Server, host: Host, readers: Tabs
) -> None:
    host.show(POST.replace("LINE", line(server, "data-chat=page")))
    person = await readers.person()
    await person.route("**/widget/**", lambda route: route.abort())
    page = await readers.open(as_read(host), person)
    text = await told(page, readers)
    assert text.startswith(f"Talkee: Does {server.url}/ run, and does this page's Content-Security")
    await sees_nothing(page)
    page = await readers.open(f"{host.origin}/post", person)
    part = page.locator("talkee-comments")
    await expect(part).to_contain_text(
        f"Does {server.url}/ run, and does this page's Content-Security"
    )


async def test_a_server_that_is_down_altogether(server: Server, host: Host, readers: Tabs) -> None:
    host.show(POST.replace("LINE", line(server, "data-chat=page")))
    person = await readers.person()
    await person.route("**/talkee.js", lambda route: route.abort())
    await sees_nothing(await readers.open(as_read(host), person))


@pytest.mark.parametrize("missing", ["connect-src", "script-src"])
async def test_a_policy_that_forbids_it(
    server: Server, host: Host, readers: Tabs, missing: str
) -> None:
    readers.expected.append("Content Security Policy")
    policy = {
        "script-src": f"script-src {server.url}",
        "connect-src": f"connect-src {server.url} {server.ws_url.removesuffix('/ws')}",
        "img-src": f"img-src {server.url}",
    }
    policy[missing] = f"{missing} {server.url}/talkee.js"
    html = POST.replace("LINE", line(server))
    host.show(html, "; ".join(["default-src 'none'", *policy.values()]))
    page = await readers.open(as_read(host))
    assert "does this page's Content-Security-Policy allow it?" in await told(page, readers)
    await sees_nothing(page)
