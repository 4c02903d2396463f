"""Pages whose style sheets are written for themselves alone leave the widget whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from ..harness import Server, running
from .accessibility import axe
from .conftest import Host, Tabs
from .embedding import HEAD, chat, comment, has_loaded, line, public_site, says, write

pytestmark = pytest.mark.browser

RESET = """*, *::before, *::after { margin: 0; padding: 0; border: 0; font: inherit;
vertical-align: baseline; list-style: none; outline: none; text-decoration: none }
img { display: block; width: 100% } button { appearance: none; background: none }"""
HOSTILE = {
    "a reset": RESET,
    "all: unset": "* { all: unset }",
    "content-box": "* { box-sizing: content-box !important; padding: 13px }",
    "rem of 10 px": "html { font-size: 62.5% }",
    "rem of 40 px": "html { font-size: 40px } body { font-size: .4rem }",
    "huge letters": "body { font-size: 60px; line-height: 4; letter-spacing: 9px;"
    " word-spacing: 2em; text-transform: uppercase; text-indent: 5em; text-align: center;"
    " white-space: pre; word-break: break-all; cursor: crosshair; hyphens: auto }",
    "no letters": "body { font-size: 0; line-height: 0 }",
    "serif and wide": "* { font: italic 900 1.3em/3 serif !important }",
    "everything red": "* { color: red !important; position: relative !important }",
    "no buttons": "button, textarea, input, select, article, header, form, ol, li, h2, p,"
    " section { display: none !important }",
    "dark": "body { background: #101418; color: #e8e8e8 }",
    "dark with a scheme": ":root { color-scheme: dark; background: #121212 }",
    "grey": "body { background: #777; color: #fff }",
    "floats": "* { float: left; clear: both; max-width: 90% } body { width: 900px }",
    "no overflow": "* { overflow: hidden; min-width: 0; min-height: 0; max-height: 9000px }",
    "animated": "* { transition: all 9s; animation: none } * { opacity: 1 }",
}
# Where a page's own colours can be read no better, ours are as they are.
UNREADABLE = ("everything red", "grey")
PLACES = {
    "a table": "<table width=800><tr><td align=center><center>LINE</center></td></tr></table>",
    "flex": "<div style='display: flex; justify-content: center'>LINE</div>",
    "a flexible row": "<div style='display: flex'><aside style='flex: 0 0 200px'>Menu</aside>"
    "LINE</div>",
    "a flexible column": "<div style='display: flex; flex-direction: column; align-items: center'>"
    "LINE</div>",
    "a grid": "<div style='display: grid; place-items: center; grid-template-columns: 1fr 200px'>"
    "LINE</div>",
    "a transformed box": "<div style='transform: translate(20px) scale(.95); width: 800px;"
    " perspective: 100px; overflow: hidden; contain: layout'>LINE</div>",
    "a list": "<ul><li><b><i><u><font size=7 color=teal>LINE</font></u></i></b></li></ul>",
    "a page from right to left": "<div dir=rtl lang=ar>LINE</div>",
    "a label": "<label style='display: inline-block; width: 700px'>LINE</label>",
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path)) as started:
        await write(started, "/post", "**First!** How much *salt* goes into it?\n\n- a\n- b")
        yield started


async def size(element: Locator) -> tuple[float, float]:
    box = await element.bounding_box()
    assert box is not None, element
    return box["width"], box["height"]


async def is_whole(page: Page, least: float = 330) -> None:
    """The comments have the size that they have elsewhere, and can be used."""
    part = await has_loaded(page)
    width, height = await size(part)
    assert width >= least
    assert 250 < height < 620
    await part.get_by_label("Write a comment").focus()
    wide, high = await size(part.get_by_label("Write a comment"))
    assert wide >= least - 30
    assert 40 <= high <= 140
    send = await size(part.get_by_role("button", name="Send"))
    assert 50 < send[0] < 150
    assert 38 <= send[1] <= 60
    picture = await size(part.locator("article img").first)
    assert 34 <= picture[0] == picture[1] <= 36
    letters = "e => parseFloat(getComputedStyle(e).fontSize)"
    assert 14 <= await part.locator("article .text p").first.evaluate(letters) <= 30
    wide, high = await size(part.locator("article .text p").first)
    assert high < 100
    await comment(page, "Second!", "Ben")
    await expect(part.locator("article.comment")).to_have_count(2)
    # Both in one moment: the new one scrolls into view.
    gap = await part.locator("article.comment").evaluate_all(
        "([a, b]) => b.getBoundingClientRect().top - a.getBoundingClientRect().bottom"
    )
    assert gap >= -1
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("style", HOSTILE)
async def test_it_stays_whole_below(server: Server, host: Host, tabs: Tabs, style: str) -> None:
    html = f"{HEAD}<style>{HOSTILE[style]}</style></head><body><p>A post</p>"
    page = await tabs.open(host.show(f"{html}{line(server, 'data-chat=page')}"))
    await is_whole(page)
    await page.get_by_role("button", name="Chat").click()
    sheet = page.locator("talkee-chat .chat")
    await expect(sheet).to_be_visible()
    assert await size(sheet) == (380, 600)
    await chat(page, "Hello")
    await says(page, "Hello")
    if style not in UNREADABLE:
        for part in ("talkee-comments", "talkee-chat"):
            assert await axe(page, within=part) == []


@pytest.mark.parametrize("place", PLACES)
async def test_it_stays_whole_in(server: Server, host: Host, tabs: Tabs, place: str) -> None:
    page = await tabs.open(host.show(f"{HEAD}</head>{PLACES[place].replace('LINE', line(server))}"))
    await is_whole(page)
    text = page.locator("article .text p").first
    style = "e => [getComputedStyle(e).direction, getComputedStyle(e).textAlign].join()"
    assert await text.evaluate(style) == "ltr,start"
