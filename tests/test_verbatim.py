"""What was said as plain text is Markdown that shows the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from talkee_lite.markdown import from_plain, to_html
from talkee_lite.text import clean_text, is_visible

PIECES = (
    *("a", "b c", "1", "2.", "3)", "é", "日本", "\u3000", " ", "  ", "    ", "\t", "\n", "\n\n"),
    *("#", "##", ">", "-", "--", "---", "- ", "+", "+ ", "=", "===", "*", "**", "_", "__", "a_b"),
    *("~", "~~", "~~~", "`", "```", "\\", "\\\\", "[", "]", "](", ")", "![", "!", "<", ">", "<b>"),
    *("&", "&amp;", "&#65;", "&copy", ";", "%41", "%", "xn--p1ai", "|", ":", "{", "x@y.com", "@"),
    *(
        "https://",
        "http://",
        "https://a.com",
        "https://a.com/_b_",
        "www.b.org",
        "c.de/(d)",
        "a.com",
    ),
    *("https://a.com/*b*", "https://a.com/%41%20b", "https://a.com/?a=1&copy;=2", "HTTP://A.COM/B"),
    *("http://日本.jp/日", "https://xn--p1ai.com", "mailto:x@y.com", "<https://a.com>", "(a.com)"),
    *("\u00a0", "\u2028", "\u200b", "javascript:", "//a.com", "[a](b)", "[a]: b", "ftp://a.com"),
)


def seen(text: str, *, images: bool = False) -> str:
    """What somebody sees of a text that was written as plain."""
    made = to_html(from_plain(text), images=images)
    shown = lxml_html.fragment_fromstring(made.replace("<br>\n", "<br>"), create_parent="div")
    assert {element.tag for element in shown.iter()} <= {"div", "p", "br", "a"}, made
    assert len(shown) == 1
    for line_break in shown.iter("br"):
        line_break.tail = "\n" + (line_break.tail or "")
    return str(shown.text_content())


def expected(text: str) -> str:
    """The same, from the text: white space at the ends of lines cannot be seen."""
    lines = [line.rstrip(" \t") for line in text.strip().split("\n")]
    return "\n".join(
        re.sub("^[ \t]+", lambda found: " " * len(found[0].expandtabs(4)), line) or " "
        for line in lines
    )


def same_spaces(text: str) -> str:
    """A no-break space looks like another one."""
    return text.replace("\u00a0", " ")


texts = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
)


@settings(max_examples=400)
@given(texts)
@example("a\n\n\n  b\n\tc")
@example("1. one\n2) two")
@example("a\n===\nb\n---")
@example("!https://a.com/_b_(c)")
@example("foo_https://a.com/x_")
@example("\\https://a.com/*")
@example(" 0.")
@example("HTTP://0/*\\ 0")
@example("[x https://a.com/*b*](y)")
def test_it_is_shown_as_it_was_typed(typed: str) -> None:
    text = clean_text(typed.replace("\r\n", "\n").replace("\r", "\n"))
    if not is_visible(text):
        return
    for images in (False, True):
        assert same_spaces(seen(text, images=images)) == same_spaces(expected(text))


@pytest.mark.parametrize(
    "text",
    [
        "Hello, see https://example.com/a_b-c?d=e&f#g (or www.example.com), ann@example.com!",
        "C:\\Users\\ann and snake_case, 2 > 1, a - b, #1, 50% <3",
        "one\ntwo",
    ],
)
def test_what_means_nothing_is_not_escaped(text: str) -> None:
    assert from_plain(text) == text


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("**not bold**", "\\*\\*not bold\\*\\*"),
        ("# 1", "\\# 1"),
        ("1. one", "1\\. one"),
        ("> said\n- this", "\\> said\n\\- this"),
        ("a\n\nb", "a\n\u00a0\nb"),
        ("if:\n    go()", "if:\n\u00a0\u00a0\u00a0\u00a0go()"),
        ("[a](b)", "[a\\](b)"),
        ("&lt;b&gt; <b>", "\\&lt;b\\&gt; \\<b>"),
    ],
)
def test_what_would_mean_something_is(text: str, markdown: str) -> None:
    assert from_plain(text) == markdown


@pytest.mark.parametrize(
    ("typed", "target"),
    [
        ("https://example.com/a_b", "https://example.com/a_b"),
        ("https://example.com/_a_", "https://example.com/_a_"),
        ("https://example.com/*a*b", "https://example.com/*a*b"),
        ("https://example.com/?a=1&copy;=2", "https://example.com/?a=1&amp;copy;=2"),
        ("https://example.com/%41", "https://example.com/%41"),
        ("www.example.com/~~a~~b", "http://www.example.com/~~a~~b"),
        ("ann@example.com", "mailto:ann@example.com"),
        ("https://日本.jp/日", "https://xn--wgv71a.jp/%E6%97%A5"),
    ],
)
def test_addresses_stay_links(typed: str, target: str) -> None:
    shown = typed.replace("&", "&amp;")
    assert to_html(from_plain(f"see {typed} *")) == (
        f'<p>see <a href="{target}" rel="nofollow ugc noopener">{shown}</a> *</p>'
    )
