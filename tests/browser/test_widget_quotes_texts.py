"""Passages of every kind are quoted as they are read, and found again."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from ..harness import Server
from .comments import alive, browser_of, button, field, open_page, say, someone
from .conftest import Host, Tabs
from .test_widget_quotes import TALK, marked

pytestmark = pytest.mark.browser

# What is selected from `b` to `b`, in an article that has more; and how it reads.
PASSAGES = {
    "1. A list that is none": "1. A list that is none",
    "2024) was a good year": "2024) was a good year",
    "- a dash begins": "- a dash begins",
    "+ a plus begins": "+ a plus begins",
    "=== is that equal?": "=== is that equal?",
    "--- and so on": "--- and so on",
    "---": "---",
    "# 1 of *all* the _stars_ ~~here~~": "# 1 of *all* the _stars_ ~~here~~",
    "&lt;b&gt; &amp;amp; `code` [x](y) ![z](w) \\ back": "<b> &amp; `code` [x](y) ![z](w) \\ back",
    "| a | b |": "| a | b |",
    "see https://example.com/a_b_c?d=e&amp;f=g, or": "see https://example.com/a_b_c?d=e&f=g, or",
    "two<br>lines": "two lines",
    "one<span> </span>\n   <i>two</i>&nbsp;three": "one two three",
    "hy&shy;phen&shy;ated": "hyphenated",
    "日本語の文章です。": "日本語の文章です。",
    "👩‍👩‍👧 and 😀 here": "👩‍👩‍👧 and 😀 here",
    "مرحبا بالعالم": "مرحبا بالعالم",
    "<s style='text-transform: uppercase'>loud</s> words": "loud words",
    "<s style='text-transform: uppercase'>ο λόγος και ο μύθος</s>": "ο λόγος και ο μύθος",
    "seen <s style='display: none'>hidden </s>again": "seen again",
    "<script>let x = 1;</script>after a script": "after a script",
    "a <svg width=9 height=9><style>.x { fill: red }</style></svg> drawing": "a drawing",
    "constructor": "constructor",
    "__proto__": "__proto__",
}


@pytest.mark.parametrize("passage", PASSAGES)
async def test_a_passage_is_found_again(
    passage: str, server: Server, host: Host, tabs: Tabs
) -> None:
    article = f"<article><h1>An article</h1><p>Before it <q>{passage}</q> after it.</p></article>"
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    page = await open_page(tabs, host, server, person=person, article=article)
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('q'))")
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    await page.keyboard.press("Control+End")
    await page.keyboard.type("A remark")
    await page.keyboard.press("Control+Enter")
    await expect(button(page, "Show the passage")).to_be_visible()
    quotation = await page.locator("article.comment blockquote").inner_text()
    plain = PASSAGES[passage]
    assert quotation.replace("\u00ad", "").lower() == plain.lower()


async def test_a_passage_may_go_over_blocks_of_every_kind(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = """<article><h1>An article</h1><form><input><button type=button>Go</button></form>
      <div id=all><p>First.</p>bare<ul><li>one<li>two</ul><table><tr><td>a<td>b</table>
      <pre>x  y\n  z</pre></div></article>"""
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    page = await open_page(tabs, host, server, person=person, article=article)
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#all'))")
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    await page.keyboard.press("Control+Enter")
    await expect(button(page, "Show the passage")).to_be_visible()
    await expect(page.locator("article.comment blockquote")).to_have_text(
        "First. bare one two a b x y z"
    )


async def test_the_whole_of_a_long_article_is_no_passage(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = f"<article><h1>An article</h1><p id=long>{'Some words. ' * 60}</p></article>"
    page = await open_page(tabs, host, server, article=article)
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('#long'))")
    await page.evaluate("new Promise((go) => setTimeout(go, 500))")
    await expect(button(page, TALK)).to_have_count(0)


async def test_letters_before_it_that_are_two_in_lower_case_move_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> Çok güzel İstanbul!\n\nEvet")
    article = "<article><p>İyi günler, İpek, İnci. Çok güzel İSTANBUL! Görüşürüz.</p></article>"
    page = await open_page(tabs, host, server, article=article)
    await marked(page, "Çok güzel İSTANBUL!")


@pytest.mark.parametrize("quotation", ["&nbsp;", "a", "![x](y)", "> > nested", "- \n> - ", "---"])
async def test_quotations_of_nothing_mark_nothing_and_break_nothing(
    quotation: str, server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], f"> {quotation}\n\nA trap")
    await say(server, ann["access_token"], "> It says something.\n\nGood")
    page = await open_page(tabs, host, server)
    await marked(page, "It says something.")
    await field(page).fill("Still works")


async def test_what_the_page_adds_later_is_searched_too(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> A later thought.\n\nA remark")
    page = await open_page(tabs, host, server)
    await expect(button(page, "Show the passage")).to_have_count(0)
    later = "'beforeend', '<p>A later thought.</p>'"
    await page.evaluate(f"document.querySelector('article').insertAdjacentHTML({later})")
    await say(server, ann["access_token"], "Look again")
    await button(page, "1 new").click()
    await marked(page, "A later thought.")


async def test_a_word_at_the_beginning_that_stands_there_twice_grows(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = "<article>\n  <p>\n  The cat sat. The cat ran.</p></article>"
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    page = await open_page(tabs, host, server, person=person, article=article)
    await page.evaluate(
        """{ const { firstChild: text } = document.querySelector("article p");
        const at = text.data.indexOf("cat");
        getSelection().setBaseAndExtent(text, at, text, at + 3); }"""
    )
    await button(page, TALK).click()
    await expect(field(page)).to_have_value("> The cat sat.\n\n")


async def test_what_stands_there_often_grows_no_longer_than_a_passage_may_be(
    server: Server, host: Host, tabs: Tabs
) -> None:
    # As scripts write it, and as languages are written that have no blanks.
    article = f"<article>{'<p style=margin:0>这里有一些文字在重复着</p>' * 50}</article>"
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    page = await open_page(tabs, host, server, person=person, article=article)
    await page.evaluate(
        """{ const { firstChild: text } = document.querySelectorAll("article p")[25];
        getSelection().setBaseAndExtent(text, 2, text, 6); }"""
    )
    await button(page, TALK).click()
    await expect(field(page)).to_be_focused()
    value = await field(page).input_value()
    assert value.startswith("> ")
    assert "有一些文" in value
    assert len(value) < 400


async def test_of_what_begins_before_the_article_its_part_is_quoted(
    server: Server, host: Host, tabs: Tabs
) -> None:
    article = "<h1>A title</h1><article><p>It says something.</p></article><p id=foot>The end</p>"
    person = await browser_of(tabs, server, await someone(server, "Ann"))
    page = await open_page(tabs, host, server, person=person, article=article)
    await page.evaluate(
        """getSelection().setBaseAndExtent(document.querySelector("h1").firstChild, 2,
        document.querySelector("#foot").firstChild, 3)"""
    )
    await button(page, TALK).click()
    await expect(field(page)).to_have_value("> It says something.\n\n")


async def test_a_mark_stays_where_it_was_when_its_words_are_written_anew(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> It says something.\n\nA remark")
    page = await open_page(tabs, host, server)
    mark = page.get_by_role("button", name="Comments on this passage: 1")
    before = await mark.bounding_box()
    await page.evaluate(
        """{ const text = document.querySelector("article p");
        text.innerHTML = text.innerHTML;
        document.body.insertAdjacentHTML("beforeend", "<p style='height: 99px'>More</p>"); }"""
    )
    await page.evaluate("new Promise((go) => setTimeout(go, 300))")
    assert await mark.bounding_box() == before


async def test_a_mark_stands_at_its_words_also_where_the_body_has_a_height(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> It says something.\n\nA remark")
    article = (
        "<style>html, body { height: 100% } body { font-size: 24px }</style>"
        "<article><p>It says something.</p></article>"
    )
    page = await open_page(tabs, host, server, article=article)
    box = await page.get_by_role("button", name="Comments on this passage: 1").bounding_box()
    text = await page.locator("article > p").first.bounding_box()
    assert box is not None
    assert text is not None
    assert text["y"] - 18 <= box["y"] <= text["y"] + text["height"]


async def test_who_is_at_a_mark_stays_there_whatever_is_heard(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await someone(server, "Ann")
    await say(server, ann["access_token"], "> It says something.\n\nA remark")
    page = await open_page(tabs, host, server)
    mark = page.get_by_role("button", name="Comments on this passage: 1")
    await mark.focus()
    await alive(server, 1)
    await server.post(ann["access_token"], "Hello", room="site_id=1&slug=/post")
    other = await open_page(tabs, host, server)
    await alive(server, 2)
    await other.close()
    await page.evaluate("new Promise((go) => setTimeout(go, 500))")
    await expect(mark).to_be_focused()
    # Also when something is drawn.
    await say(server, (await someone(server, "Ben"))["access_token"], "Me too")
    await expect(button(page, "1 new")).to_be_visible()
    await expect(mark).to_be_focused()
    # Or when something is selected, and the rest comes.
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('article p'))")
    await expect(button(page, TALK)).to_be_visible()
    await expect(mark).to_be_focused()
