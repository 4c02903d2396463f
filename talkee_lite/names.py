"""Names as they look: keys by which one name passes for another. Pure.

Which characters look alike is Unicode's list (UTS 39, confusables.txt), as the package
`confusable-homoglyphs` brings it. It is read at the first name that is looked at.
"""

from __future__ import annotations

import json
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from .text import without_marks

VERSION = 1
"""Of these rules; kept keys are made anew when it, or Unicode's, changes."""

# Direction marks that the list has around what is written from right to left.
_AROUND = "\u200e"
# A look-alike of `l` by its capital: case and look together make them one.
_LAST = str.maketrans("iı", "ll")


class NameKeys(NamedTuple):
    """Two names of which either key is the same pass for one another.

    Two, because capitals and small letters have look-alikes of their own: `Н` (Cyrillic) is like
    a Latin `H`, its small `н` is not, and `НИНА` is still `Нина`.
    """

    by_look: str
    by_case: str


def rules_version() -> str:
    """What kept keys depend on."""
    return f"{VERSION}, Unicode {unicodedata.unidata_version}"


@lru_cache(maxsize=4096)
def name_keys(name: str) -> NameKeys:
    """The keys of a name, which forget case, accents, width, invisible characters and look-alikes.

    NFKD without marks and default-ignorables; then by look: skeleton (UTS 39, chapter 4),
    casefold, skeleton; by case: casefold first. Never empty for a name that can be seen.
    """
    bare = without_marks(name)
    folded = without_marks(bare.casefold())
    return NameKeys(_key(_skeleton(bare)) or name, _key(_skeleton(folded)) or name)


def _key(text: str) -> str:
    return " ".join(_skeleton(without_marks(text.casefold())).translate(_LAST).split())


def _skeleton(text: str) -> str:
    table = _prototypes()
    return without_marks("".join([table.get(c, c) for c in text]))


@lru_cache(maxsize=1)
def _prototypes() -> dict[str, str]:
    """Each character that looks like another, and what stands for both."""
    source = files("confusable_homoglyphs") / "confusables.json"
    listed = {
        key.strip(_AROUND): [entry["c"].strip(_AROUND) for entry in entries]
        for key, entries in json.loads(source.read_bytes()).items()
    }
    found: dict[str, str] = {}
    for character, others in listed.items():
        # The list names both ways: what is like many others, or is several, stands for them.
        if len(character) != 1 or len(others) != 1:
            continue
        (other,) = others
        stands = len(other) > 1 or len(listed.get(other, ())) > 1 or other < character
        if other and stands:
            found[character] = other
    return found
