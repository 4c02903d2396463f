"""A room in which a thousand messages come in a rush, and somebody who scrolls through it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.async_api import Page, expect

from ..harness import Server
from .chatting import ROOM, enter, messages
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

MANY = 1000
MOST_SECONDS = 0.1
"""Of one task, in time that the page's thread itself took: whatever else the machine does."""


@dataclass(frozen=True)
class Load:
    """What a page's main thread did, in seconds of its own time."""

    longest: float
    total: float
    long: int

    def __str__(self) -> str:
        return (
            f"longest task {self.longest * 1000:.0f} ms, {self.long} above 50 ms,"
            f" {self.total:.2f} s in all"
        )


def load_of(trace: bytes) -> Load:
    """The tasks of the busiest page's main thread."""
    events = json.loads(trace)["traceEvents"]
    threads = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    times: dict[tuple[int, int], list[float]] = {}
    for event in events:
        thread = (event["pid"], event["tid"])
        if event["name"] == "RunTask" and thread in threads and "tdur" in event:
            times.setdefault(thread, []).append(event["tdur"] / 1e6)
    tasks = max(times.values(), key=sum)
    return Load(max(tasks), sum(tasks), sum(1 for task in tasks if task > 0.05))


async def rush(server: Server, page: Page, first: int) -> None:
    """A thousand messages of ten people, while somebody turns the wheel."""
    people = [await server.guest(f"Ben {number}") for number in range(10)]
    log = await page.get_by_role("log").bounding_box()
    assert log is not None
    await page.mouse.move(log["x"] + 100, log["y"] + 100)
    for start in range(first, first + MANY, 10):
        posts = (
            server.post(who, f"Message {start + number}, see https://example.com/", room=ROOM)
            for number, who in enumerate(people)
        )
        await asyncio.gather(*posts)
        if start % 50 == 0:
            await page.mouse.wheel(0, -300 if start % 200 else 2000)


async def test_scrolling_stays_smooth_in_a_rush_of_a_thousand_messages(
    server: Server, host: Host, tabs: Tabs, record_property: Callable[[str, object], None]
) -> None:
    page = await enter(tabs, host, server)
    await page.evaluate(
        "window.longest = 0; new PerformanceObserver(list => list.getEntries().forEach("
        "({duration}) => longest = Math.max(longest, duration))).observe({type: 'longtask'})"
    )
    await tabs.browser.start_tracing(
        page=page, categories=["disabled-by-default-devtools.timeline", "toplevel"]
    )
    await rush(server, page, 0)
    await page.get_by_role("log").press("End")
    await expect(messages(page).last).to_contain_text(f"Message {MANY - 1},", timeout=30_000)
    await expect(messages(page).last).to_be_in_viewport()
    load = load_of(await tabs.browser.stop_tracing())
    record_property("load", f"{load}; by the clock {await page.evaluate('longest')} ms")
    assert load.longest < MOST_SECONDS, str(load)
    # A thousand in a minute, with other work beside it.
    assert load.total < 20, str(load)
    # The page does not grow with all that was said.
    await server.post(await server.guest("Cid"), "And now?", room=ROOM)
    await expect(messages(page).last).to_have_text("And now?")
    assert await messages(page).count() <= MANY // 2
