"""What people type: names and texts, cleaned and compared. Pure."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 64

# Control characters other than line feed and tab, surrogates, and what XML 1.0 cannot hold.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Default-ignorable code points (Unicode, DerivedCoreProperties) that are not of category Cf, and
# two more that are drawn as nothing: the empty Braille pattern, and the null notehead.
_INVISIBLE = re.compile(
    "[\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2065\\u3164\\ufe00-\\ufe0f\\uffa0\\ufff0-\\ufff8"
    "\\U000e0000-\\U000e0fff\\u2800\\U0001d159]"
)

_SHAPELESS = frozenset({"Mn", "Me", "Mc", "Cf", "Co", "Cn"})
# Marks that turn the direction of what follows (UAX 9, chapter 2).
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """`text` without control characters (line feed and tab stay) and what XML cannot hold."""
    return _UNWANTED.sub("", text)


def is_visible(text: str) -> bool:
    """Whether anything of `text` can be seen: not white space and invisible characters alone."""
    return any(
        unicodedata.category(c) not in ("Cf", "Zs", "Zl", "Zp") and not c.isspace()
        for c in _INVISIBLE.sub("", text)
    )


def clean_name(text: str) -> str:
    """A name on one line, which may be empty: cleaned, with nothing that turns its direction or
    that of what is around it, runs of white space made one space, trimmed."""
    return " ".join(_TURNING.sub("", clean_text(text)).split())


def without_marks(text: str) -> str:
    """Decomposed (NFKD), without what has no shape that is known: marks, format characters,
    default-ignorables, blanks that are no white space, what is private or unassigned."""
    decomposed = unicodedata.normalize("NFKD", text)
    kept = "".join(c for c in decomposed if unicodedata.category(c) not in _SHAPELESS)
    return _INVISIBLE.sub("", kept)


def fold_name(name: str) -> str:
    """A key that is equal for names that differ in case, accents, width or invisible characters.

    NFKD without marks, format characters and default-ignorables, then case-folded (Unicode
    UAX 15, chapter 3.13 of the standard).
    """
    folded = without_marks(name).casefold()
    return " ".join(unicodedata.normalize("NFKD", folded).split())
