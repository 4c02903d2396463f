"""What goes wrong in a page is noticed, whatever the test looks at."""

from __future__ import annotations

import pytest
from aiohttp import web

from ..harness import until
from .conftest import Host, Tabs, listening

pytestmark = pytest.mark.browser


async def test_a_request_to_somebody_else_is_noticed(tabs: Tabs, host: Host) -> None:
    async def picture(request: web.Request) -> web.Response:
        return web.Response(content_type="image/gif")

    app = web.Application()
    app.router.add_get("/a.gif", picture)
    tabs.expected.append("WebSocket")
    async with listening(app) as other:
        html = f"""<img src="{other}/a.gif"><script>new WebSocket("ws{other[4:]}/ws")</script>"""
        page = await tabs.open(host.show(html))
        await until(lambda: len(tabs.problems) == 2)
        assert sorted(tabs.problems) == [
            f"third party: {other}/a.gif",
            f"third party: ws{other[4:]}/ws",
        ]
        tabs.problems.clear()
        tabs.known.add(other)
        await page.reload()
        await tabs.leave()


async def test_a_cookie_is_noticed(tabs: Tabs, host: Host) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(headers={"Set-Cookie": "a=b", "Access-Control-Allow-Origin": "*"})

    app = web.Application()
    app.router.add_get("/talkee.js", answer)
    async with listening(app) as server:
        page = await tabs.open(host.show("<p>Hello"))
        await page.evaluate("address => fetch(address)", f"{server}/talkee.js")
        await tabs.settled()
        assert tabs.problems == [f"cookie: a=b of {server}/talkee.js"]
        tabs.problems.clear()
