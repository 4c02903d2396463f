"""Markdown to sanitised HTML by the libraries, loaded when the first text needs them. Pure.

CommonMark by markdown-it-py, with bare addresses as links and line breaks kept; raw HTML is text,
and so are pictures unless they are wanted. Left out is what a few characters can make much of:
definitions of links. What comes out passes nh3, which lets through a handful of elements alone.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Sequence
from typing import Any

import nh3
from linkify_it import LinkifyIt  # type: ignore[import-untyped]
from markdown_it import MarkdownIt
from markdown_it.token import Token

from .text import clean_text

_log = logging.getLogger(__name__)

_TAGS = {
    *("p", "br", "hr", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}}
_LINKED = ("", "http:", "https:", "mailto:")
"""What a bare address that becomes a link may begin with."""
_SCHEMES = {"http", "https", "mailto"}
_LONG_WORD = 256
"""Characters from which on a word is a link only with a scheme: to look for hosts in it takes time
by the square of its length."""
_REL = "nofollow ugc noopener"
_WORD = re.compile(r"\S+")


class Linkify(LinkifyIt):  # type: ignore[misc]  # the library has no types
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
    parser.linkify = Linkify()
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
