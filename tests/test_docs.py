"""The documentation is complete: what can be set, called, refused or typed is written down."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkee_lite import closing
from talkee_lite.api import ROUTES
from talkee_lite.cli import _parser
from talkee_lite.config import TABLES, Config, SiteConfig, load_config, settings_of
from talkee_lite.errors import all_refusals

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def read(name: str) -> str:
    """A document's text."""
    return (ROOT / name).read_text()


@pytest.mark.parametrize("table", [*TABLES, "[sites]"])
def test_every_setting_is_explained_with_its_default(table: str) -> None:
    section = read("docs/settings.md").split(f"## `[{table}]`")[1].split("\n## ")[0]
    for key, setting in settings_of(TABLES.get(table, SiteConfig)).items():
        row = re.search(rf"^\| `{key}` \| (.*?) \| (.*?) \| (.*?) \|$", section, re.M)
        assert row, key
        if key != "id":
            assert json.loads(row[1].strip("`")) == json.loads(json.dumps(setting.default)), key
        for bound in ("low", "high"):
            if bound in setting.metadata:
                assert str(setting.metadata[bound]) in row[2]


def test_the_example_holds_every_key_with_its_default(tmp_path: Path) -> None:
    text = read("talkee.toml.example")
    path = tmp_path / "talkee.toml"
    path.write_text(text)
    loaded = load_config(path)
    defaults = Config()
    for name, table in TABLES.items():
        for key in settings_of(table):
            assert re.search(rf"^{key} = .+# .+$", text, re.M), key
            assert getattr(getattr(loaded, name), key) == getattr(getattr(defaults, name), key)
    path.write_text(re.sub(r"^#(?=\S)", "", text, flags=re.M))
    (site,) = load_config(path).sites
    assert (site.id, site.origins) == (1, ("https://blog.example.com",))
    for key in settings_of(SiteConfig):
        assert re.search(rf"^#{key} = .+# .+$", text, re.M), key


def test_every_error_stands_in_the_table_once_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", read("docs/errors.md"), re.M)
    assert len(rows) == len(set(rows))
    assert {(code, int(status)) for code, status in rows} == {
        (refusal.code, refusal.status) for refusal in all_refusals()
    }


def calls(text: str) -> Iterator[tuple[str, str]]:
    """Method and address of every call that a text names in backquotes.

    `GET` and `POST /a`, the same at `/b`: the addresses of a table's cell, or of a line, have
    all methods that stand there.
    """
    for cell in re.split(r"\n|(?<!\\)\|", text):
        spans = re.findall(r"`([^`]+)`", cell)
        methods = [word for span in spans for word in re.findall(r"\b[A-Z]{3,6}\b", span)]
        for span in spans:
            for path in re.findall(r"(?:^|(?<= ))/[^\s?#]*", span):
                yield from ((method, path) for method in methods)


def test_every_route_is_documented_and_nothing_else() -> None:
    rows = re.findall(r"^\|.*$", read("docs/api.md") + read("docs/protocol.md"), re.M)
    # What the document describes are the routes: tests/test_openapi.py.
    assert set(calls("\n".join(rows))) == {(method, path) for method, path, _ in ROUTES}


def test_every_close_code_is_documented() -> None:
    table = read("docs/protocol.md").split("## Close codes")[1].split("\n## ")[0]
    codes = {value for name, value in vars(closing).items() if name.isupper()}
    assert codes
    assert codes <= {int(code) for code in re.findall(r"\b\d{4}\b", table)}


def commands(
    parser: argparse.ArgumentParser, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Every verb with its parser."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield words, parser
    for group in groups:
        for name, sub in group.choices.items():
            yield from commands(sub, (*words, name))


def test_every_verb_and_option_is_documented() -> None:
    text = read("docs/settings.md").split("## The command line")[1]
    for action in _parser()._actions:
        for option in action.option_strings:
            assert option in text, option
    found = list(commands(_parser()))
    assert len(found) > 10
    for words, parser in found:
        row = re.search(rf"^\| `{' '.join(words)}\b(.*)$", text, re.M)
        assert row, words
        for action in parser._actions:
            for option in action.option_strings:
                if option.startswith("--"):
                    assert option in row[0] or option in text.split("Everywhere:")[1], option


@pytest.mark.parametrize(
    "path",
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.glob("*.md")],
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text()):
        name, _, anchor = target.partition("#")
        there = path.parent / name if name else path
        assert there.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", there.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}


def test_every_file_of_the_package_stands_in_the_map() -> None:
    text = read("docs/design.md")
    for path in (ROOT / "talkee_lite").iterdir():
        if path.name.startswith(("_", ".")) or path.name in ("version.py", "py.typed"):
            continue
        name = f"{path.name}/" if path.is_dir() else path.name
        assert f"`{name}`" in text, name
