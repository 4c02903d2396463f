"""Markdown, as people type it into comments, to HTML that any page may show. Pure.

CommonMark by markdown-it-py, with bare addresses as links and line breaks kept; raw HTML and
pictures are text. What comes out passes nh3, which lets through a handful of elements alone.
"""

from __future__ import annotations

import asyncio

import nh3
from markdown_it import MarkdownIt

VERSION = 1
"""Grows when the same text would become other HTML, so that it can be made anew."""

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_SHORT = 500
_REL = "nofollow ugc noopener"

_parser = (
    MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    .enable(["linkify", "strikethrough"])
    .disable(["image", "html_block", "html_inline"])
)


def to_html(text: str) -> str:
    """`text` as sanitised HTML; links get `rel="nofollow ugc noopener"`."""
    return nh3.clean(
        _parser.render(text),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes=_SCHEMES,
        link_rel=_REL,
    ).strip()


async def rendered(text: str) -> str:
    """As `to_html`; a long text is made aside, so that the loop is not held up."""
    if len(text) <= _SHORT:
        return to_html(text)
    # The worst of 10,240 characters takes some 70 ms.
    return await asyncio.to_thread(to_html, text)
