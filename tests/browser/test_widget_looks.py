"""How it looks where readers have wishes of their own: print, motion, contrast, zoom, touch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from ..harness import Server, running
from .accessibility import axe
from .conftest import Host, Tabs
from .embedding import HEAD, chat, comment, has_loaded, line, public_site, says, talk, write

pytestmark = pytest.mark.browser

STYLE = """<style>:root { color-scheme: light dark } body { font: 16px/1.5 sans-serif }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #eee } }</style>"""
POST = """<main><h1>Rye</h1><p>So much for the crumb, which is <a href="#x">dark</a>.</p>LINE
</main><aside aria-label="Talk"><talkee-chat slug="/lobby"></talkee-chat></aside>"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path)) as started:
        await write(started, "/post", "> the crumb\n\nHow much **salt**? `20 g`\n\n| a | b |\n"
                    "| - | - |\n| 1 | 2 |\n\n    code")  # fmt: skip
        await write(started, "/post", "Twenty grams. https://example.com/salt")
        await talk(started, "/lobby", "Is anybody here? https://example.com/a")
        await talk(started, "/lobby", "I am.", "Ben")
        yield started


def page_of(server: Server, *attributes: str, style: str = STYLE) -> str:
    return f"{HEAD}{style}</head><body>{POST.replace('LINE', line(server, *attributes))}"


async def all_of_it(page: Page) -> None:
    """A thread with an answer, likes and forms; a chat; a launcher: all that can be seen."""
    await comment(page, "Thank you.", "Cid")
    part = page.locator("talkee-comments")
    await expect(part.locator("article.comment")).to_have_count(3)
    first = part.locator("article.comment").first
    await first.get_by_role("button", name="Like").click()
    await expect(first.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    await first.get_by_role("button", name="Reply").click()
    await first.get_by_label("Reply to Ann").fill("And *pepper*?")
    await first.locator("form").get_by_role("button", name="Reply").click()
    await expect(part.locator("article.reply")).to_have_count(1)
    await first.get_by_role("button", name="Reply").first.click()
    room = page.locator("talkee-chat").first
    await chat(room, "So am I.")
    await says(room, "Is anybody here? https://example.com/a", "I am.", "So am I.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_a_page_with_all_of_it_and_none_on_its_thread(
    server: Server, host: Host, tabs: Tabs, scheme: str
) -> None:
    person = await tabs.person(color_scheme=scheme)
    page = await tabs.open(host.show(page_of(server, "data-chat=page")), person)
    await has_loaded(page)
    assert await axe(page) == []
    await all_of_it(page)
    assert await axe(page) == []
    await page.get_by_role("button", name="Chat", exact=False).click()
    await expect(page.locator(".sheet")).to_be_visible()
    assert await axe(page) == []
    page = await tabs.open(f"{server.url}/t/1?slug=/post", person)
    await expect(page.get_by_text("Twenty grams.")).to_be_visible()
    assert await axe(page) == []


async def test_asking_for_a_name_has_nothing_wrong(server: Server, host: Host, tabs: Tabs) -> None:
    for scheme in ("light", "dark"):
        person = await tabs.person(color_scheme=scheme)
        page = await tabs.open(host.show(page_of(server, "data-lang=ar")), person)
        part = await has_loaded(page)
        await part.get_by_role("textbox").first.fill("سلام")
        await part.locator("form button.main").click()
        await expect(part.locator("input")).to_be_visible()
        assert await axe(page) == []


async def test_printed_there_is_what_was_said_and_no_tools(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await tabs.open(host.show(page_of(server, "data-chat=page")))
    part = await has_loaded(page)
    await expect(part.get_by_role("button", name="Reply").first).to_be_visible()
    await expect(page.get_by_role("button", name="Comments on this passage: 1")).to_be_visible()
    await page.emulate_media(media="print")
    await expect(part.get_by_text("Twenty grams.")).to_be_visible()
    await expect(part.get_by_role("heading", name="2 comments")).to_be_visible()
    for tool in await page.locator("button, textarea, select").all():
        await expect(tool).to_be_hidden()
    await page.emulate_media(media="screen")
    await page.get_by_role("button", name="Chat").click()
    await page.emulate_media(media="print")
    await expect(page.locator(".sheet")).to_be_hidden()


async def test_where_motion_is_unwanted_nothing_moves(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await tabs.person(reduced_motion="reduce")
    page = await tabs.open(f"{host.show(page_of(server))}#talkee-1", person)
    await expect(page.locator("article.lit")).to_be_visible()
    assert await page.evaluate("document.getAnimations().length") == 0
    moving = """[...document.querySelector("talkee-comments").shadowRoot.querySelectorAll("*")]
    .filter(e => getComputedStyle(e).animationName !== "none"
      // In a thousandth of a second nothing moves: so the widget hears of another colour.
      || parseFloat(getComputedStyle(e).transitionDuration) > 0.001).length"""
    assert await page.evaluate(moving) == 0


async def test_with_forced_colours_buttons_are_still_seen_as_such(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await tabs.person(forced_colors="active")
    page = await tabs.open(host.show(page_of(server, "data-chat=page")), person)
    part = await has_loaded(page)
    await part.get_by_label("Write a comment").focus()
    edge = "e => [getComputedStyle(e).borderTopStyle, getComputedStyle(e).borderTopWidth].join()"
    for button in (
        part.get_by_role("button", name="Send").first,
        page.get_by_role("button", name="Chat"),
    ):
        assert await button.evaluate(edge) in ("solid,1px", "solid,2px", "outset,2px")


async def fits(page: Page) -> None:
    """Nothing has to be scrolled from left to right."""
    for selector in ("document.documentElement", "document.body"):
        wide, room = await page.evaluate(f"[{selector}.scrollWidth, innerWidth]")
        assert wide <= room


async def test_at_200_percent_nothing_is_cut_off(server: Server, host: Host, tabs: Tabs) -> None:
    """A window of 640 pixels that is zoomed to 200 % has 320 (WCAG 2.2, 1.4.10)."""
    person = await tabs.person(viewport={"width": 320, "height": 400}, device_scale_factor=2)
    head = '<meta name="viewport" content="width=device-width">'
    page = await tabs.open(host.show(f"{page_of(server, 'data-chat=page')}{head}"), person)
    await has_loaded(page)
    await all_of_it(page)
    await fits(page)
    part = page.locator("talkee-comments")
    for text in await part.locator(".text > *, .acts > *, header > *, .tools > *").all():
        box = await text.bounding_box()
        if box is not None:
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 320
    await page.get_by_role("button", name="Chat", exact=False).click()
    await chat(page.locator("talkee-chat[launcher]"), "Hello")
    await fits(page)


async def targets(within: Locator) -> list[tuple[str, float, float]]:
    """What can be pressed: its name, width and height; links in a text do not count."""
    found = []
    for control in await within.locator("button, select, textarea, input").all():
        box = await control.bounding_box()
        if box is not None:
            name = await control.evaluate("e => e.ariaLabel || e.textContent")
            found.append((name, box["width"], box["height"]))
    assert found
    return found


@pytest.mark.parametrize(("is_touch", "least"), [(False, 24), (True, 44)])
async def test_what_is_pressed_is_large_enough(
    server: Server, host: Host, tabs: Tabs, is_touch: bool, least: int
) -> None:
    person = await tabs.person(has_touch=is_touch, is_mobile=is_touch, color_scheme="dark")
    page = await tabs.open(host.show(page_of(server, "data-chat=page")), person)
    await has_loaded(page)
    form = page.locator("talkee-comments form")
    await form.get_by_label("Write a comment").fill("Hello")
    await form.get_by_role("button", name="Send").click()
    await expect(page.get_by_label("Your name")).to_be_visible()
    for name, _, height in await targets(page.locator("talkee-comments")):
        assert height >= least, name
    await page.get_by_label("Your name").fill("Cid")
    await form.get_by_role("button", name="Send").click()
    await all_said(page)
    for part in ("talkee-comments", "talkee-chat"):
        for one in await page.locator(part).all():
            for name, width, height in await targets(one):
                assert height >= least, name
                assert width >= 24, name


async def all_said(page: Page) -> None:
    await expect(page.locator("article.comment")).to_have_count(3)
    await chat(page.locator("talkee-chat").first, "So am I.")
    await expect(page.locator("li.message")).to_have_count(3)


async def test_it_takes_the_pages_font_size_and_colours(
    server: Server, host: Host, tabs: Tabs
) -> None:
    style = "<style>body { font: 19px Georgia; color: #123456; background: #fffdf5 }</style>"
    page = await tabs.open(host.show(page_of(server, style=style)))
    part = await has_loaded(page)
    look = await part.locator("article .text").first.evaluate(
        "e => (({ fontFamily, fontSize, color }) => [fontFamily, fontSize, color])("
        "getComputedStyle(e))"
    )
    assert look == ["Georgia", "19px", "rgb(18, 52, 86)"]


async def test_variables_and_parts_change_how_it_looks(
    server: Server, host: Host, tabs: Tabs
) -> None:
    style = """<style>
    body { --talkee-accent: rgb(102, 51, 153); --talkee-on-accent: rgb(255, 255, 240);
      --talkee-radius: 3px; --talkee-font: monospace; --talkee-text: rgb(1, 2, 3);
      --talkee-line: rgb(9, 9, 9); --talkee-height: 333px; --talkee-z: 77;
      --talkee-ground: rgb(250, 240, 230) }
    talkee-comments::part(author) { color: rgb(0, 128, 0) }
    talkee-comments::part(heading) { font-size: 40px }
    talkee-comments::part(composer) { border-style: dashed }
    talkee-chat::part(message) { margin-top: 9px }
    talkee-chat::part(launcher) { width: 70px }
    </style>"""
    page = await tabs.open(host.show(page_of(server, "data-chat=page", style=style)))
    part = await has_loaded(page)
    room = page.locator("talkee-chat").first
    await expect(room.locator("li.message")).to_have_count(2)

    async def css(element: Locator, name: str) -> str:
        return str(await element.evaluate("(e, name) => getComputedStyle(e)[name]", name))

    await part.get_by_label("Write a comment").focus()
    send = part.get_by_role("button", name="Send")
    assert await css(send, "backgroundColor") == "rgb(102, 51, 153)"
    assert await css(send, "color") == "rgb(255, 255, 240)"
    assert await css(part.locator("form"), "borderTopLeftRadius") == "3px"
    text = part.locator("article .text").first
    assert await css(text, "fontFamily") == "monospace"
    assert await css(text, "color") == "rgb(1, 2, 3)"
    assert await css(room.locator(".chat"), "borderTopColor") == "rgb(9, 9, 9)"
    assert await css(room.locator(".chat"), "height") == "333px"
    assert await css(part.locator("b").first, "color") == "rgb(0, 128, 0)"
    assert await css(part.locator("h2"), "fontSize") == "40px"
    assert await css(part.locator("form"), "borderTopStyle") == "dashed"
    assert await css(room.locator("li.message").first, "marginTop") == "9px"
    launcher = page.get_by_role("button", name="Chat")
    assert await css(launcher, "zIndex") == "77"
    assert await css(launcher, "width") == "70px"
    await launcher.click()
    sheet = page.locator(".sheet")
    assert await css(sheet, "zIndex") == "77"
    assert await css(sheet, "backgroundColor") == "rgb(250, 240, 230)"
