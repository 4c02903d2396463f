"""Markdown, as people type it into comments, to HTML that any page may show. Pure.

CommonMark by markdown-it-py, with bare addresses as links and line breaks kept; raw HTML is text,
and so are pictures unless a site allows them. What comes out passes nh3, which lets through a
handful of elements alone.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Sequence
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .models import Text

_VERSION = 2
"""Grows when the same text would become other HTML, so that it can be made anew."""
_WITH_IMAGES = 1_000_000

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_SCHEMES = {"http", "https", "mailto"}
_SHORT = 500
_REL = "nofollow ugc noopener"
# One line in which no character, nor any two beside each other, mean anything to Markdown or to
# the search for bare addresses: no start of a list, no dot or colon inside a word.
_PLAIN = re.compile(r"(?!\d)(?:[^\W_]|[,;?!'\"()%$/ ]|[.:](?= |$)|-(?=[^\W_]))+")


def _parser(*, images: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    parser.enable(["linkify", "strikethrough"]).disable(["html_block", "html_inline"])
    if not images:
        return parser.disable("image")
    parser.add_render_rule("image", _image)
    return parser


def _image(self: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    """A picture that is loaded when it is seen, and whose server is not told by which page."""
    tokens[at].attrSet("loading", "lazy")
    tokens[at].attrSet("referrerpolicy", "no-referrer")
    shown: str = self.image(tokens, at, options, env)
    return shown


_PARSERS = {False: _parser(images=False), True: _parser(images=True)}
_CLEANERS = {
    False: nh3.Cleaner(tags=_TAGS, attributes=_ATTRIBUTES, url_schemes=_SCHEMES, link_rel=_REL),
    True: nh3.Cleaner(
        tags=_TAGS | {"img"},
        attributes=_ATTRIBUTES | {"img": {"src", "alt", "title", "loading", "referrerpolicy"}},
        url_schemes=_SCHEMES,
        link_rel=_REL,
    ),
}


def version(*, images: bool = False) -> int:
    """By which rules HTML is made now, where pictures are shown or not."""
    return _VERSION + (_WITH_IMAGES if images else 0)


def to_html(text: str, *, images: bool = False) -> str:
    """`text` as sanitised HTML; links get `rel="nofollow ugc noopener"`."""
    if _is_plain(text):
        return f"<p>{html.escape(text, quote=False)}</p>"
    return parsed(text, images=images)


def parsed(text: str, *, images: bool = False) -> str:
    """As `to_html`, by the parser whatever the text."""
    return _CLEANERS[images].clean(_PARSERS[images].render(text)).strip()


async def rendered(text: str, *, images: bool = False) -> Text:
    """As `to_html`; a long text is made aside, so that the loop is not held up."""
    if len(text) <= _SHORT:
        made = to_html(text, images=images)
    else:
        # The worst of 10,240 characters takes some 70 ms.
        made = await asyncio.to_thread(to_html, text, images=images)
    return Text(text, made, version(images=images))


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and "www" not in text and "//" not in text
