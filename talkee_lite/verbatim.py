"""Plain text as Markdown that shows it as it is: the same words, lines and links. Pure.

As little is escaped as possible, so that the text can still be read, and edited. It stands beside
the parser (markup.py), whose search for links it asks, and is loaded when it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markdown_it.common.normalize_url import normalizeLinkText

from .markup import Linkify

_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# What would begin a heading, a quotation, a list, a rule, or underline a heading (CommonMark
# 0.31, chapters 4 and 5). The last character of it is escaped for a number, else the first.
_START = re.compile(
    r"#{1,6}(?=[ \t]|$)|>|[-+](?=[ \t]|$)|-[- \t]*$|=+[ \t]*$|(?P<number>[0-9]{1,9}[.)])(?=[ \t]|$)"
)
# What could mean something wherever it stands (chapter 6).
_INSIDE = re.compile(
    rf"\\(?=[{_PUNCTUATION}]|$)|[`*]|~(?=~)|(?<=~)~|](?=\()|<(?=[^<>\x00-\x20]*>)"
    r"|&(?=#[xX]?[0-9a-fA-F]{1,7};|[a-zA-Z][a-zA-Z0-9]{1,31};)"
)
_UNDERSCORES = re.compile("_+")
# What is shown as something else inside a link, and must not come into one.
_RECODED = re.compile(r"%(?=[0-9a-fA-F]{2})|(?<=[xX][nN])-(?=-)")
_SPACE = "\u00a0"
_FIRST = re.compile(r"[ \t]+")
_TAB = 4

_find_links = Linkify().match


def to_markdown(text: str) -> str:
    """Markdown for a text without control characters, which is trimmed.

    Its lines stay one paragraph: an empty one holds a no-break space, and so do, for each space,
    the beginnings of lines.
    """
    return "\n".join(_line(line.rstrip(" \t")) for line in text.strip().split("\n"))


def _line(line: str) -> str:
    if not line:
        return _SPACE
    first = _FIRST.match(line)
    if first:
        indent = _SPACE * len(first[0].expandtabs(_TAB))
        return indent + _escaped(line[first.end() :], is_start=False)
    return _escaped(line, is_start=True)


def _escaped(line: str, *, is_start: bool) -> str:
    links = _find_links(line) or []
    escapes = set(_places(line, links, is_start=is_start))
    outside = escapes | {found.start() for found in _RECODED.finditer(line)}
    parts, done = [], 0
    for link in links:
        start, end = link.index, link.last_index
        parts.append(_with_escapes(line, done, start, outside))
        # Straight behind an escape a bare address would not become a link.
        is_bare = escapes.isdisjoint(range(start - 1, end)) and _is_shown_as_typed(link)
        parts.append(line[start:end] if is_bare else _named(line, link, escapes))
        done = end
    parts.append(_with_escapes(line, done, len(line), outside))
    return "".join(parts)


def _places(line: str, links: list[Any], *, is_start: bool) -> Iterator[int]:
    """Where a backslash is needed, be it in a link or not."""
    if is_start and (found := _START.match(line)):
        yield found.end() - 1 if found["number"] else found.start()
    yield from (found.start() for found in _INSIDE.finditer(line))
    edges = {edge for link in links for edge in (link.index, link.last_index)}
    for found in _UNDERSCORES.finditer(line):
        around = (
            line[max(0, found.start() - 1) : found.start()],
            line[found.end() : found.end() + 1],
        )
        is_in_word = all(character.isalnum() for character in around)
        if not is_in_word or not edges.isdisjoint((found.start(), found.end())):
            yield from range(*found.span())
    for link in links:
        # It may be written with a bracket.
        if line[max(0, link.index - 1) : link.index] in ("!", "\\"):
            yield link.index - 1


def _with_escapes(line: str, start: int, end: int, escapes: set[int]) -> str:
    return "".join(f"\\{line[n]}" if n in escapes else line[n] for n in range(start, end))


def _is_shown_as_typed(link: Any) -> bool:
    """Whether the parser leaves a bare address as it is: some are decoded."""
    before = "" if link.schema and link.schema in link.text.lower() else link.schema or "http://"
    typed: str = before + link.text
    return normalizeLinkText(typed) == typed


def _named(line: str, link: Any, escapes: set[int]) -> str:
    """A link whose text is what was typed."""
    brackets = {n for n in range(link.index, link.last_index) if line[n] in "[]\\"}
    shown = _with_escapes(line, link.index, link.last_index, escapes | brackets)
    target = re.sub(r"[\\<>&]", r"\\\g<0>", link.url)
    return f"[{shown}](<{target}>)"
