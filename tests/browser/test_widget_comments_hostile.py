"""Names and texts that are meant to do harm change nothing but themselves."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from ..harness import Server
from .comments import alive, button, call, faultless, open_page, say, someone
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

SCRIPTS = [
    "<img src=x onerror=hacked()>",
    "<script>hacked()</script>",
    "[click](javascript:hacked())",
    "<a href='javascript:hacked()' onclick='hacked()'>click</a>",
    "[click](data:text/html,<script>hacked()</script>)",
    "![x](x' onerror='hacked())",
    "<svg onload=hacked()>",
    "<style>* { display: none !important }</style>",
    "<iframe srcdoc='<script>parent.hacked()</script>'></iframe>",
    "[click](JaVaScRiPt&colon;hacked())",
    "`<img src=x onerror=hacked()>` ${hacked()} {{hacked()}}",
]
WIDE = {
    "emoji": "😀" * 2500,
    "families": "👩‍👩‍👧‍👦" * 900,
    "word": "w" * 4000,
    "zalgo": "Z" + "\u0301\u0489\u0360\u033f" * 300 + "algo",
    "override": "\u202eright to left\u202d\u2067\u2066 and never closed",
    "code": f"    {'c' * 3000}",
    "table": f"| {'t' * 900} | b |\n| - | - |\n| c | {'d' * 900} |",
    "address": f"https://example.com/{'a' * 1500}",
    "quotations": "> " * 40 + "deep",
    "list": "".join(f"{'  ' * n}- {n}\n" for n in range(30)),
    "heading": f"# {'H' * 300}",
    "arabic": "مرحبا بالعالم " * 60,
    "lines": "\n".join("x" for _ in range(300)),
}
HACKED = "<script>window.hacks = 0; window.hacked = () => { hacks += 1 };</script>"
# How far things reach beyond the widget's sides, and whether the page scrolls sideways.
REACH = """() => {
  const host = document.querySelector("talkee-comments");
  const { left, right } = host.getBoundingClientRect();
  const out = [];
  const all = "article, header, .author, .text, .acts, form";
  for (const one of host.shadowRoot.querySelectorAll(all)) {
    const box = one.getBoundingClientRect();
    if (box.width && (box.left < left - 12 || box.right > right + 1)) out.push(one.className);
  }
  const page = document.documentElement;
  return [out, page.scrollWidth > page.clientWidth];
}"""


async def neighbours(page: Page) -> list[list[float]]:
    """How wide and high the good comments are, and how far from the side."""
    script = """(all) => all.filter((one) => /^Good/.test(one.textContent.trim())).map((text) => {
      const { x, width, height } = text.closest("article").getBoundingClientRect();
      return [Math.round(x), Math.round(width), Math.round(height)];
    })"""
    found = await page.locator("article.comment > .body > .text").evaluate_all(script)
    return [list(map(float, box)) for box in found]


async def test_no_script_runs(server: Server, host: Host, tabs: Tabs) -> None:
    tabs.expected.append("ERR_UNKNOWN_URL_SCHEME")
    for number, text in enumerate(SCRIPTS):
        who = await someone(server, text[:60] or f"Eve {number}")
        await say(server, who["access_token"], text)
    page = await open_page(tabs, host, server, head=HACKED)
    await expect(page.locator("article.comment")).to_have_count(len(SCRIPTS))
    await expect(page.locator("article.comment .author").first).to_have_text(SCRIPTS[0])
    await expect(page.locator("article.comment .text").first).to_contain_text("<img src=x")
    links = page.locator("article.comment .text a")
    for address in await links.evaluate_all("all => all.map((one) => one.protocol)"):
        assert address in ("http:", "https:", "mailto:")
    for _ in range(await links.count()):
        await links.nth(_).evaluate("(one) => one.rel.includes('noopener') || hacked()")
    tags = "article.comment :is(script, style, iframe, svg, object, embed, form, input)"
    await expect(page.locator(tags)).to_have_count(0)
    # Also in what else shows names and texts.
    await button(page.locator("article.comment").first, "Reply").click()
    await expect(page.get_by_label(f"Reply to {SCRIPTS[0]}")).to_be_visible()
    await page.get_by_label("Write a comment").fill("\n\n".join(SCRIPTS))
    await button(page.locator(".top ~ form"), "Preview").click()
    await expect(page.locator(".top ~ form .preview")).to_contain_text("<img src=x")
    assert await page.evaluate("hacks") == 0


@pytest.mark.parametrize("width", [700, 320])
async def test_neighbours_stay_as_they_are(
    width: int, server: Server, host: Host, tabs: Tabs
) -> None:
    good = (await someone(server, "Ann"))["access_token"]
    person = await tabs.person(viewport={"width": width, "height": 800})
    first = await say(server, good, "Good and plain")
    await say(server, good, "Good too")
    page = await open_page(tabs, host, server, person=person)
    await alive(server, 1)
    before = await neighbours(page)
    assert len(before) == 2
    for number, (name, text) in enumerate(WIDE.items()):
        who = await someone(server, text.replace("\n", " ").strip()[:64] or name)
        await say(server, who["access_token"], text)
        if number % 3 == 0:
            await say(server, who["access_token"], text[:4000], of=first)
    await page.reload()
    await expect(page.locator("article.comment")).to_have_count(2 + len(WIDE))
    after = await neighbours(page)
    # The first has replies now; all else of it is the same.
    assert [box[:2] for box in after] == [box[:2] for box in before]
    assert after[1] == before[1]
    assert await page.evaluate(REACH) == [[], False]
    if width == 700:
        await faultless(page)


async def test_directions_do_not_leak_into_what_stands_beside(
    server: Server, host: Host, tabs: Tabs
) -> None:
    eve = await someone(server, "\u202eevE\u2067")
    await say(server, eve["access_token"], "\u202etxet\u202e\u2067")
    page = await open_page(tabs, host, server)
    order = await page.locator("article.comment header").evaluate(
        "(head) => [...head.children].map((one) => Math.round(one.getBoundingClientRect().left))"
    )
    assert order == sorted(order)
    left = await page.locator("article.comment").evaluate(
        "(one) => [...one.querySelectorAll('header, .acts')].map((e) => Math.round("
        "e.firstElementChild.getBoundingClientRect().left))"
    )
    assert abs(left[0] - left[1]) <= 6
    assert (await call(server, "GET"))["total"] == 1
