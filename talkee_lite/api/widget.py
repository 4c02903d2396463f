"""`/widget/…`: the parts of what stands in pages, and its words in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files

from ..errors import NotFound
from .bundle import Bundle
from .context import services_of
from .exchange import Answer, Request
from .files import Folder, answer_packed

PARTS: Mapping[str, Sequence[str]] = {
    "comments.js": (
        *("thread.js", "dom.js", "server.js", "link.js", "words.js", "view.js", "passages.js"),
        "comments.js",
    ),
    "chat.js": (
        *("room.js", "wallet.js", "sign-in.js", "composer.js", "chat.js", "acts.js", "quotes.js"),
    ),
}
"""What pages load, and the modules in `web/widget/` that each part is made of.

The first shows comments, and the passages of the article that they are about; the second comes when
somebody writes or asks for anything, opens the chat, or selects a passage.
"""
OWN: Sequence[str] = (
    *("element", "take", "onPerson", "isFresh", "range", "options", "siteId", "items"),
    *("explain", "picture", "signIn", "early", "ago", "hasOlder", "fail", "draw"),
    *("draftOf", "shut", "came", "buttons", "extend", "isNewest", "links", "isStaff"),
    *("query", "did", "hasMore", "path", "attempt", "insert", "forget", "hear", "tell"),
    *("paint", "pathOf", "bySite", "until", "nodes", "posted"),
)
"""Properties that they alone use, in the order in which pages load a letter for each."""
STYLES: Sequence[str] = ("look.css",)
NAMES = frozenset([*PARTS, *STYLES])
BUNDLE = Bundle(PARTS, STYLES, OWN)
WORDS = Folder(files("talkee_lite") / "web" / "widget" / "words")

# Letters, digits and hyphens, as RFC 5646 has them, in the length that its section 4.4.1 counts on.
_TAG = re.compile("[A-Za-z0-9-]{1,35}")
_ENGLISH = "en.json"
# What Talkee's pages call them.
_OLD = {"zhhans": "zh-hans", "zhhant": "zh-hant"}


async def get_part(request: Request) -> Answer:
    """A part of the widget; any page may load it."""
    services_of(request)
    # The front door knows each by its address.
    name = request.match.get("name") or request.route.rpartition("/")[2]
    part = await BUNDLE.find(f"widget/{name}")
    if part is None:
        raise NotFound
    return answer_packed(request, part)


async def get_words(request: Request) -> Answer:
    """The widget's words in a language, in English where they are not there."""
    services_of(request)
    if not _TAG.fullmatch(request.match["lang"]):
        raise NotFound
    words = WORDS.find(words_for(request.match["lang"], WORDS.names()))
    if words is None:
        raise NotFound
    return answer_packed(request, words)


def words_for(tag: str, names: Collection[str]) -> str:
    """The file, of those named like `pt-br.json`, that fits a language tag best.

    What stands at the tag's end is left off until there is one (RFC 4647, section 3.4).
    """
    by_tag = {name.lower(): name for name in names}
    rest = tag.lower()
    rest = _OLD.get(rest, rest)
    while rest:
        if f"{rest}.json" in by_tag:
            return by_tag[f"{rest}.json"]
        rest = rest.rpartition("-")[0]
    return _ENGLISH
