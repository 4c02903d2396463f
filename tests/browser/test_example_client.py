"""The small client in docs/examples, driven by a real browser through what can happen to it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from playwright.async_api import Page, expect

from ..faults.crowd import everything, free_server, guest, post
from ..harness import draft
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

CLIENT = (Path(__file__).parents[2] / "docs/examples/client.html").read_text()
AWAY = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"


async def numbers(page: Page) -> list[int]:
    """The `seq` of each message that is shown, from top to bottom."""
    found = await page.locator("#list li").evaluate_all("items => items.map(i => +i.dataset.seq)")
    return [int(seq) for seq in found]


async def shown_to_be(page: Page, expected: list[int]) -> None:
    """Wait until just these messages are shown, in order."""
    async with asyncio.timeout(20):
        while await numbers(page) != expected:
            await asyncio.sleep(0.02)


async def test_it_misses_nothing_over_a_kill_and_sends_what_was_typed_meanwhile(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(AWAY)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with free_server(tmp_path, port) as process:
        tabs.known.add(base)
        page = await tabs.open(f"{host.show(CLIENT)}?base={quote(base)}&slug=/a&name=Ann")
        await expect(page.locator("#state")).to_have_text("connected")
        async with aiohttp.ClientSession(base) as session:
            token = await guest(session, "Bob")
            for n in range(5):
                await post(session, token, draft(f"message {n}"))
            await shown_to_be(page, [1, 2, 3, 4, 5])
        process.process.kill()
        process.process.wait()
        await expect(page.locator("#state")).to_have_text("reconnecting")
        await page.locator("#text").fill("typed while it was away")
        await page.keyboard.press("Enter")
        await expect(page.locator("li.pending")).to_have_count(1)
    with free_server(tmp_path, port) as process:
        await expect(page.locator("#state")).to_have_text("connected", timeout=30_000)
        await expect(page.locator("li.pending")).to_have_count(0, timeout=30_000)
        await shown_to_be(page, [1, 2, 3, 4, 5, 6])
        async with aiohttp.ClientSession(base) as session:
            listed = await everything(session, token)
            assert [m["seq"] for m in listed] == [1, 2, 3, 4, 5, 6]
            # A deletion takes the message off the page.
            headers = {"Authorization": f"Bearer {token}"}
            url = f"/ws/messages/{listed[1]['message_id']}?site_id=1&slug=/a"
            async with session.delete(url, headers=headers) as response:
                assert response.status == 200
            await shown_to_be(page, [1, 3, 4, 5, 6])
        await tabs.leave()


async def test_after_too_long_an_absence_it_loads_anew(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(AWAY)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with free_server(tmp_path, port) as process:
        tabs.known.add(base)
        page = await tabs.open(f"{host.show(CLIENT)}?base={quote(base)}&slug=/a&name=Ann")
        await expect(page.locator("#state")).to_have_text("connected")
        async with aiohttp.ClientSession(base) as session:
            token = await guest(session, "Bob")
            await post(session, token, draft("before"))
            await shown_to_be(page, [1])
        assert await asyncio.to_thread(process.stop) == 0
    # The page is told that the server is away; on another port it runs on.
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            await asyncio.gather(*(post(session, token, draft(f"{n}")) for n in range(310)))
        assert await asyncio.to_thread(process.stop) == 0
    with free_server(tmp_path, port) as process:
        await expect(page.locator("#state")).to_have_text("connected", timeout=30_000)
        await shown_to_be(page, list(range(212, 312)))
        await tabs.leave()
