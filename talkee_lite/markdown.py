"""Markdown, as people type it into comments, to HTML that any page may show. Pure.

Most comments are plain lines and need no parser. All others are made by `markup.py`, whose
libraries take 3 MB and are loaded when they are first needed.
"""

from __future__ import annotations

import asyncio
import html
import re

from .models import Text

MOST_HTML = 32 * 1024
"""Characters of HTML that one text may become."""
_VERSION = 3
"""Grows when the same text would become other HTML, so that it can be made anew."""
_WITH_IMAGES = 1_000_000

_SHORT = 500
# One line in which no character, nor any two beside each other, mean anything to Markdown or to
# the search for bare addresses: no start of a list, no dot or colon inside a word.
_PLAIN = re.compile(r"(?!\d)(?:[^\W_]|[,;?!'\"()%$/ ]|[.:](?= |$)|-(?=[^\W_]))+")


def version(*, images: bool = False) -> int:
    """By which rules HTML is made now, where pictures are shown or not."""
    return _VERSION + (_WITH_IMAGES if images else 0)


def to_html(text: str, *, images: bool = False) -> str:
    """`text` as sanitised HTML; links get `rel="nofollow ugc noopener"`."""
    if _is_plain(text):
        return f"<p>{html.escape(text, quote=False)}</p>"
    from .markup import parsed

    return parsed(text, images=images)


def from_plain(text: str) -> str:
    """Markdown that shows a plain text as it is, trimmed: the same words, lines and links."""
    text = text.strip()
    if _is_plain(text):
        return text
    from .verbatim import to_markdown

    return to_markdown(text)


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
