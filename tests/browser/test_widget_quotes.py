"""Talk about this sentence: passages of the article that comments begin with."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from ..harness import Server
from .comments import (
    alive,
    browser_of,
    button,
    call,
    faultless,
    field,
    html,
    open_page,
    say,
    settled,
    someone,
)
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

TALK = "Talk about this"
ARTICLE = """<article><h1>An article</h1>
<p id=one>Bees see <em>ultra</em>violet light, and <a href="#x">some flowers</a> use
<code>it</code> well.</p>
<p id=two>The same words stand twice here.</p>
<p id=three>Again the same words stand twice there.</p>
<p id=four>Nothing else.</p></article>"""
FAR = ARTICLE.replace("<p id=two", "<p style='height: 3000px'></p><p id=two")


async def select(page: Page, within: str, text: str) -> None:
    """Select a text in an element, which may have markup in it, as the mouse does."""
    await page.evaluate(
        """([within, text]) => {
      const root = document.querySelector(within);
      const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
      root.scrollIntoView({ block: "center", behavior: "instant" });
      const places = []; let all = "";
      while (walker.nextNode()) for (let at = 0; at < walker.currentNode.length; at++) {
        places.push([walker.currentNode, at]); all += walker.currentNode.data[at];
      }
      const from = all.replace(/\\n/g, " ").indexOf(text);
      if (from < 0) throw Error("not there");
      const [node, last] = places[from + text.length - 1];
      getSelection().setBaseAndExtent(...places[from], node, last + 1);
    }""",
        [within, text],
    )


async def talk_about(page: Page, within: str, text: str, remark: str) -> None:
    """Select, press the button that appears, write, send."""
    await select(page, within, text)
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    await page.keyboard.press("Control+End")
    await page.keyboard.type(remark)
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_text(remark, exact=True)).to_be_visible()


async def painted(page: Page, name: str) -> list[str]:
    """The passages that are painted so."""
    script = """(name) => [...(CSS.highlights.get(name) ?? [])].map(
      (range) => String(range).replace(/\\s+/g, " "))"""
    return sorted(await page.evaluate(script, name))


async def marked(page: Page, *texts: str) -> None:
    """Just these passages come to be marked."""
    await page.wait_for_function(
        """(texts) => JSON.stringify([...(CSS.highlights.get("talkee-quoted") ?? [])].map(
          (range) => String(range).replace(/\\s+/g, " ")).sort()) === JSON.stringify(texts)""",
        arg=sorted(texts),
    )


async def start(
    tabs: Tabs, host: Host, server: Server, *attributes: str, article: str = ARTICLE
) -> Page:
    """Somebody who is signed in, at the article."""
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    return await open_page(tabs, host, server, *attributes, person=person, article=article)


async def quiet(page: Page) -> None:
    """Nothing is offered, also after the time that it takes to offer something."""
    await page.evaluate("new Promise((go) => setTimeout(go, 500))")
    await expect(button(page, TALK)).to_have_count(0)


async def test_a_sentence_is_talked_about_and_found_again(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    address = host.show(html(server.url, article=FAR))
    page, reader = await tabs.open(address, person), await tabs.open(address)
    for tab in (page, reader):
        await tab.evaluate("scrollTo(0, document.body.scrollHeight)")
        await settled(tab)
    await alive(server, 2)
    article = reader.locator("article").first
    before = await article.inner_html()
    passage = "ultraviolet light, and some flowers use it well"
    await select(page, "#one", passage)
    await expect(button(page, TALK)).to_be_in_viewport()
    await faultless(page)
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    await expect(field(page)).to_have_value(f"> {passage}\n\n")
    await expect(button(page, TALK)).to_have_count(0)
    await page.keyboard.press("Control+End")
    await page.keyboard.type("Is that so?")
    await page.keyboard.press("Control+Enter")
    await marked(page, passage)
    # Another reader sees it as soon as they look at what is new.
    await button(reader, "1 new").click()
    await marked(reader, passage)
    theirs = reader.locator("article.comment").filter(has_text="Is that so?")
    await expect(theirs.locator("blockquote")).to_have_text(passage)
    await reader.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(article.locator("#one")).not_to_be_in_viewport()
    await button(theirs, "Show the passage").press("Enter")
    await expect(article.locator("#one")).to_be_in_viewport()
    assert await painted(reader, "talkee-lit") == [passage]
    await faultless(reader)
    # Who is at the button stays there when something is drawn.
    await say(server, (await someone(server, "Cid"))["access_token"], "By the way")
    await expect(button(reader, "1 new")).to_be_visible()
    await reader.wait_for_timeout(300)
    await expect(button(theirs, "Show the passage")).to_be_focused()
    await button(reader, "1 new").click()
    spot = reader.get_by_role("button", name="Comments on this passage: 1")
    await expect(spot).to_have_text("1")
    box, text = await spot.bounding_box(), await article.locator("#one").bounding_box()
    assert box is not None
    assert text is not None
    assert text["y"] - 16 <= box["y"] <= text["y"] + text["height"]
    await spot.click()
    await expect(theirs).to_be_focused()
    await expect(theirs).to_be_in_viewport()
    # A second one on the same words is counted.
    await say(server, (await someone(server, "Ben"))["access_token"], f"> {passage}\n\nIt is.")
    await button(reader, "1 new").click()
    await expect(reader.get_by_role("button", name="Comments on this passage: 2")).to_have_text("2")
    assert await article.inner_html() == before
    await reader.reload()
    await marked(reader, passage)
    assert await article.inner_html() == before


async def test_of_words_that_stand_twice_the_chosen_ones_are_found_again(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await start(tabs, host, server)
    await talk_about(page, "#three", "same words stand twice", "The later ones")
    passages = "[...CSS.highlights.get('talkee-quoted')]"
    where = f"{passages}.map((range) => range.startContainer.parentElement.id)"
    await page.wait_for_function(f"{where}.length === 1")
    assert await page.evaluate(where) == ["three"]
    await talk_about(page, "#two", "same words stand twice", "The former ones")
    await page.wait_for_function(f"{where}.length === 2")
    assert sorted(await page.evaluate(where)) == ["three", "two"]


async def test_a_passage_that_is_not_there_any_more_is_only_a_quotation(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> It was here once.\n\nGone?")
    await say(server, ann["access_token"], "> Nothing else.\n\nStill there.")
    page = await open_page(tabs, host, server, article=ARTICLE)
    await marked(page, "Nothing else.")
    gone = page.locator("article.comment").filter(has_text="Gone?")
    await expect(gone.locator("blockquote")).to_have_text("It was here once.")
    await expect(button(gone, "Show the passage")).to_have_count(0)
    await expect(button(page, "Show the passage")).to_have_count(1)


async def test_a_mark_goes_with_its_comment_and_with_its_quotation(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    token = ann["access_token"]
    first = await say(server, token, "> Nothing else.\n\nfirst")
    second = await say(server, token, "> same words stand twice here\n\nsecond")
    third = await say(server, token, "> some flowers\n\nthird")
    await say(server, token, "An answer", of=second)
    page = await open_page(tabs, host, server, article=ARTICLE)
    await alive(server, 1)
    await marked(page, "Nothing else.", "same words stand twice here", "some flowers")
    await call(server, "DELETE", f"/{first}", token=token)
    await marked(page, "same words stand twice here", "some flowers")
    await call(server, "DELETE", f"/{second}", token=token)
    await marked(page, "some flowers")
    await call(server, "PATCH", f"/{third}", {"content": "> Again the same\n\nthird"}, token)
    await marked(page, "Again the same")
    await call(server, "PATCH", f"/{third}", {"content": "third"}, token)
    await marked(page)
    await expect(page.get_by_role("button", name="Comments on this passage")).to_have_count(0)


async def test_a_sentence_is_chosen_by_keyboard(server: Server, host: Host, tabs: Tabs) -> None:
    page = await start(tabs, host, server)
    # From where the caret is: browsers let it be moved by keyboard in caret browsing (F7).
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#four'))")
    await page.evaluate("getSelection().collapseToStart()")
    await page.evaluate("getSelection().modify('extend', 'forward', 'character')")
    for _ in "othing":
        await page.keyboard.press("Shift+ArrowRight")
    await expect(button(page, TALK)).to_be_visible()
    # What is selected goes on, and so does what is offered.
    for _ in " else":
        await page.keyboard.press("Shift+ArrowRight")
    await expect(button(page, TALK)).to_be_visible()
    await button(page, TALK).press("Enter")
    await expect(field(page)).to_have_value("> Nothing else\n\n")
    await expect(field(page)).to_be_focused()


async def test_on_a_phone_the_button_stays_within_the_window(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await tabs.person(viewport={"width": 320, "height": 600})
    page = await open_page(tabs, host, server, person=person, article=ARTICLE)
    for passage in ("Bees", "Bees see ultraviolet light, and some flowers use it well."):
        await select(page, "#one", passage)
        await expect(button(page, TALK)).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320


async def test_a_mark_at_the_edge_of_a_phone_stays_within_the_window(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> At the edge.\n\nA remark")
    person = await tabs.person(viewport={"width": 320, "height": 600})
    article = "<article><p style='text-align: right; margin: 0 -16px'>At the edge.</p></article>"
    page = await open_page(tabs, host, server, person=person, article=article)
    spot = page.get_by_role("button", name="Comments on this passage: 1")
    await expect(spot).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 320


async def test_the_quotation_comes_before_what_was_typed(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await start(tabs, host, server)
    await field(page).fill("I wonder")
    await select(page, "#four", "Nothing else.")
    await button(page, TALK).click()
    await expect(field(page)).to_have_value("> Nothing else.\n\n\nI wonder")


async def test_selecting_elsewhere_or_in_fields_offers_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = ARTICLE.replace(
        "</article>", "<label>Name <input id=in value='some words'></label>"
        "<label>Text <textarea id=area>some other words</textarea></label></article>"
        "<footer><p id=foot>Outside of the article</p></footer>",
    )  # fmt: skip
    page = await start(tabs, host, server, article=article)
    await field(page).fill("My own words")
    await select(page, "#four", "Nothing")
    await expect(button(page, TALK)).to_be_visible()
    await select(page, "#foot", "Outside of the article")
    await quiet(page)
    for place in (page.locator("#in"), page.locator("#area"), field(page)):
        await place.select_text()
        await quiet(page)
    await select(page, "#four", "No")  # too short to be a passage
    await quiet(page)
    await select(page, "#four", "Nothing")
    await expect(button(page, TALK)).to_be_visible()
    await page.evaluate("getSelection().removeAllRanges()")
    await expect(button(page, TALK)).to_have_count(0)


@pytest.mark.parametrize("way", ["data-quotes", "quotes"])
async def test_the_owner_may_turn_it_off(way: str, server: Server, host: Host, tabs: Tabs) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> Nothing else.\n\nA remark")
    page = await tabs.open(
        host.show(
            html(server.url, 'data-quotes="off"', article=ARTICLE)
            if way == "data-quotes"
            else html(server.url, 'data-comments="off"', article=ARTICLE).replace(
                "</main>", "<talkee-comments quotes=off></talkee-comments></main>"
            )
        )
    )
    await settled(page)
    await expect(page.locator("article.comment")).to_contain_text("A remark")
    await select(page, "#four", "Nothing else.")
    await quiet(page)
    assert await painted(page, "talkee-quoted") == []
    await expect(button(page, "Show the passage")).to_have_count(0)
    await expect(page.locator("talkee-marks")).to_have_count(0)


async def test_selecting_before_the_comments_are_there_brings_them(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = ARTICLE.replace("</article>", "<p style='height: 5000px'></p></article>")
    page = await tabs.open(host.show(html(server.url, article=article)))
    await page.wait_for_function("Boolean(customElements.get('talkee-comments'))")
    await expect(page.locator("talkee-comments:not([data-loaded])")).to_be_attached()
    await select(page, "#four", "Nothing else.")
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    await expect(field(page)).to_be_in_viewport()
    await expect(field(page)).to_have_value("> Nothing else.\n\n")


async def test_what_it_drew_goes_with_the_widget(server: Server, host: Host, tabs: Tabs) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> Nothing else.\n\nA remark")
    page = await open_page(tabs, host, server, article=ARTICLE)
    await marked(page, "Nothing else.")
    before = await page.locator("article").first.inner_html()
    await button(page, "Show the passage").click()
    await page.evaluate("document.querySelector('talkee-comments').remove()")
    await expect(page.locator("talkee-marks")).to_have_count(0)
    assert await painted(page, "talkee-quoted") == []
    assert await painted(page, "talkee-lit") == []
    await select(page, "#four", "Nothing else.")
    await quiet(page)
    assert await page.locator("article").first.inner_html() == before
    assert await page.evaluate("document.body.lastElementChild.localName") == "main"
