"""Whatever a page may set, hear or call of the widget stands in docs/widget.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WIDGET = ROOT / "talkee_lite" / "web" / "widget"
DOCS = (ROOT / "docs" / "widget.md").read_text("utf-8")
SOURCES = {path.name: path.read_text("utf-8") for path in WIDGET.glob("*.*")}
LOADER = (ROOT / "talkee_lite" / "web" / "talkee.js").read_text("utf-8")
SCRIPTS = "\n".join([LOADER, *(text for name, text in SOURCES.items() if name.endswith(".js"))])


def found(pattern: str, text: str) -> set[str]:
    names = set(re.findall(pattern, text))
    assert names, f"{pattern} finds nothing any more"
    return names


def kebab(name: str) -> str:
    """A property of `dataset` as the attribute is written."""
    return re.sub("[A-Z]", lambda letter: f"-{letter[0].lower()}", name)


def test_every_variable_is_described() -> None:
    used = found(r"var\((--talkee-[\w-]+)", LOADER + SOURCES["look.css"])
    assert used == found(r"`(--talkee-[\w-]+)`", DOCS)


def test_every_attribute_is_described() -> None:
    taken = re.search(r"const \{(?P<names>[^}]*), \.\.\.options \} = tag\.dataset", LOADER)
    assert taken is not None
    described = found(r"`data-([\w-]+)", DOCS) - {"talkee-count"}
    # What the elements know is handed on to them, but for what says that one is a button.
    own = {kebab(name) for name in re.findall(r"\w+", taken["names"])} - {"launcher"}
    assert own | watched() == described
    looked_at = found(r'\boptions(?:\.|\[")([\w-]+)', SCRIPTS)
    for names in found(r"const \{([^}]*)\} = (?:view\.)?options;", SCRIPTS):
        looked_at |= set(re.findall(r"\w+", names))
    assert described - own <= looked_at


def watched() -> set[str]:
    """The attributes that take effect when they change."""
    names = re.search(r"observedAttributes = \[(.*?)\]", LOADER)
    assert names is not None
    return set(re.findall(r'"([\w-]+)"', names[1]))


def test_what_takes_effect_when_it_changes_is_watched() -> None:
    on_elements = found(r"(?m)^\| [^|]*\| `([\w-]+)[^|]*\|", DOCS.split("By hand")[0])
    assert "All take effect at once when they change" in DOCS
    assert watched() == on_elements


@pytest.mark.parametrize("name", sorted(found(r'view\.tell\("(\w+)"', SCRIPTS)))
def test_every_event_is_described(name: str) -> None:
    assert f"| `talkee-{name}` |" in DOCS


def test_every_part_that_is_described_is_there() -> None:
    begin, end = "For more there are parts", "talkee-comments::part(heading)"
    chapter = DOCS[DOCS.index(begin) : DOCS.index(end)]
    parts = found(r"`([a-z]+)`", chapter)
    # make("h2.heading", …), and the kinds of buttons.
    made = found(r'(?<=[\w}]\.)(\w+)["`.$ ]', SCRIPTS) | found(r', "(\w+)"[,)]', SCRIPTS)
    made |= found(r'\? "\w+" : "(\w+)"', SCRIPTS)
    made |= found(r"\? \"\.(\w+)\" : \"\"", SCRIPTS) | found(r'kind = "(\w+)"', SCRIPTS)
    assert parts <= made
