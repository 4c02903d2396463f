"""Markdown, as people type it into comments, to HTML that any page may show. Pure.

CommonMark by markdown-it-py, with bare addresses as links and line breaks kept; raw HTML is text,
and so are pictures unless a site allows them. Left out is what a few characters can make much of:
definitions of links. What comes out passes nh3, which lets through a handful of elements alone.
"""

from __future__ import annotations

import asyncio
import html
import logging
import re
from collections.abc import Sequence
from typing import Any

import nh3
from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .models import Text
from .text import clean_text

_log = logging.getLogger(__name__)

MOST_HTML = 32 * 1024
"""Characters of HTML that one text may become."""
_VERSION = 3
"""Grows when the same text would become other HTML, so that it can be made anew."""
_WITH_IMAGES = 1_000_000

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_LINKED = ("", "http:", "https:", "mailto:")
"""What a bare address that becomes a link may begin with."""
_SCHEMES = {"http", "https", "mailto"}
_SHORT = 500
_LONG_WORD = 256
"""Characters from which on a word is a link only with a scheme: to look for hosts in it takes time
by the square of its length."""
_REL = "nofollow ugc noopener"
_WORD = re.compile(r"\S+")
# One line in which no character, nor any two beside each other, mean anything to Markdown or to
# the search for bare addresses: no start of a list, no dot or colon inside a word.
_PLAIN = re.compile(r"(?!\d)(?:[^\W_]|[,;?!'\"()%$/ ]|[.:](?= |$)|-(?=[^\W_]))+")


class _Linkify(LinkifyIt):  # type: ignore[misc]  # the library has no types
    """Finds bare addresses word by word: there is none across white space."""

    def __init__(self) -> None:
        super().__init__()
        self._strict = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False})

    def test(self, text: str) -> bool:
        """Whether there may be one: `match` looks closer."""
        return "." in text or ":" in text

    def match(self, text: str) -> list[Any] | None:
        """All of them, with their places in `text`."""
        found = []
        for word in _WORD.finditer(text):
            find = super().match if len(word[0]) <= _LONG_WORD else self._strict.match
            for link in find(word[0]) or ():
                if link.schema not in _LINKED:
                    continue
                link.index += word.start()
                link.last_index += word.start()
                found.append(link)
        return found or None


def _parser(*, images: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": True, "breaks": True})
    parser.linkify = _Linkify()
    parser.enable(["linkify", "strikethrough"])
    parser.disable(["html_block", "html_inline", "reference"])
    # The other rule of that name, which only saves time and cannot take every text.
    parser.inline.ruler.disable("linkify", True)
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
    try:
        made = _PARSERS[images].render(text)
    except Exception:
        # A text is worth more than its markup.
        _log.exception("a text could not be parsed")
        made = f"<p>{html.escape(text, quote=False)}</p>"
    # Characters that are not let in come by their numbers too: &#12;.
    return clean_text(_CLEANERS[images].clean(made)).strip()


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
