"""The widget's texts: the same ones in every language, written as one writes there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from talkee_lite.api import widget
from talkee_lite.api.files import Folder
from talkee_lite.auth import LOGINS
from talkee_lite.errors import all_refusals
from talkee_lite.models import UserKind

from .harness import config_in, running

ROOT = Path(__file__).parent.parent
WIDGET = ROOT / "talkee_lite" / "web" / "widget"
LANGUAGES = sorted(path.stem for path in (WIDGET / "words").glob("*.json"))
RIGHT_TO_LEFT = {"ar", "fa", "he", "ur"}
# What a language tells of itself; no text.
ABOUT = {"lang", "dir"}
# Forms that stand for one number, which the language may say in a word.
SAID_IN_A_WORD = {"zero", "one", "two"}
Text = str | dict[str, str]

every_language = pytest.mark.parametrize("lang", LANGUAGES)


@cache
def words(lang: str) -> dict[str, Text]:
    """A language's texts by key. A key that stands there twice is an error."""

    def once(pairs: list[tuple[str, Text]]) -> dict[str, Text]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    text = (WIDGET / "words" / f"{lang}.json").read_text(encoding="utf-8")
    found: dict[str, Text] = json.loads(text, object_pairs_hook=once)
    return found


def forms(text: Text) -> dict[str, str]:
    """Its plural forms; "" where it has none."""
    return text if isinstance(text, dict) else {"": text}


def texts(lang: str) -> dict[str, str]:
    """All that readers see of a language, by key and form."""
    return {
        f"{key} {form}".strip(): text
        for key, value in words(lang).items()
        if key not in ABOUT
        for form, text in forms(value).items()
    }


def blanks(text: str) -> set[str]:
    """What is put into a text."""
    return set(re.findall(r"{(\w+)}", text))


@cache
def plural_forms() -> dict[str, set[str]]:
    """Each language's forms, as browsers know them."""
    if shutil.which("node") is None:
        pytest.fail("node is missing; Debian has it in the package nodejs")
    script = """
      const of = (lang) => new Intl.PluralRules(lang).resolvedOptions();
      const langs = JSON.parse(process.argv[1]);
      const known = langs.filter((lang) => Intl.PluralRules.supportedLocalesOf(lang).length);
      console.log(JSON.stringify(known.map((lang) => [lang, of(lang).pluralCategories])));
    """
    run = subprocess.run(
        ["node", "-e", script, json.dumps(LANGUAGES)], capture_output=True, text=True, check=True
    )
    return {lang: set(found) for lang, found in json.loads(run.stdout)}


def test_these_languages_are_there() -> None:
    assert {"ar", "de", "en", "es", "fr", "ja", "zh"} <= set(LANGUAGES)


@every_language
def test_a_language_has_the_texts_that_english_has(lang: str) -> None:
    assert list(words(lang)) == list(words("en"))


@every_language
def test_a_language_says_which_it_is_and_how_it_runs(lang: str) -> None:
    runs = "rtl" if lang.partition("-")[0] in RIGHT_TO_LEFT else "ltr"
    assert (words(lang)["lang"], words(lang)["dir"]) == (lang, runs)


@every_language
def test_what_is_counted_has_each_plural_form_of_the_language(lang: str) -> None:
    assert lang in plural_forms(), "browsers do not know this language"
    counted = {key for key, text in words("en").items() if isinstance(text, dict)}
    assert {key for key, text in words(lang).items() if isinstance(text, dict)} == counted
    for key in counted:
        assert set(forms(words(lang)[key])) == plural_forms()[lang], key


@every_language
def test_a_text_takes_what_the_english_one_takes(lang: str) -> None:
    for key, text in words(lang).items():
        wanted = blanks(forms(words("en")[key]).get("other", str(words("en")[key])))
        for form, said in forms(text).items():
            may_miss = {"n"} if form in SAID_IN_A_WORD else set()
            assert wanted - may_miss <= blanks(said) <= wanted, f"{key} {form}"
            # A brace that is left over would be shown.
            assert not re.search(r"[{}]", re.sub(r"{\w+}", "", said)), f"{key} {form}"


@every_language
def test_no_text_is_empty_or_has_space_around_it(lang: str) -> None:
    for key, text in texts(lang).items():
        assert text, key
        assert text == text.strip(), key
        assert not re.search(r"\s{2}|[\n\t]", text), key


@every_language
def test_quotes_and_dots_are_those_of_print(lang: str) -> None:
    for key, text in texts(lang).items():
        assert not re.search(r"""["'`´]|\.\.\.""", text), key


@pytest.mark.parametrize("lang", sorted({"fr", "de"} & set(LANGUAGES)))
def test_no_line_begins_with_a_mark(lang: str) -> None:
    """French sets a space before its marks, German before an ellipsis: one that does not break."""
    for key, text in texts(lang).items():
        assert not re.search(r" [?!:;»…]|« ", text), key
        if lang == "fr":
            assert not re.search(r"\w[?!:;»]|«\w", text), key


# What the widget uses.


def sources() -> str:
    """All programs of the widget."""
    return "\n".join(path.read_text() for path in sorted(WIDGET.glob("*.js")))


def asked_by_name() -> set[str]:
    """Keys that stand in a call: `t("reply")`."""
    return set(re.findall(r"""\bt\(["'](\w+)["']""", sources()))


def test_every_text_that_the_widget_asks_for_is_there() -> None:
    assert asked_by_name() <= set(words("en")) - ABOUT
    assert len(asked_by_name()) > 30


def test_no_text_is_there_for_nothing() -> None:
    """One that is not asked for by its name stands in a table, or is a code of the server's."""
    # What stands there for looks, or for browsers, is no text.
    rest = re.sub(r'\b(part|className|role|type): "[^"]*"|enterKeyHint: [^,]*,', "", sources())
    quoted = set(re.findall(r"""["'](\w+)["']""", rest))
    quoted |= set(re.findall(r"(\w+): \"", rest))
    codes = {refusal.code for refusal in all_refusals()} | set(LOGINS) | set(UserKind)
    unused = set(words("en")) - ABOUT - asked_by_name() - quoted - codes
    assert not unused


# Another language.


@pytest.mark.parametrize("name", ["pt.json", "pt-BR.json"])
async def test_another_language_is_another_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "words"
    shutil.copytree(WIDGET / "words", folder)
    lang = name.removesuffix(".json")
    (folder / name).write_text(json.dumps(words("en") | {"lang": lang, "reply": "Responder"}))
    monkeypatch.setattr(widget, "WORDS", Folder(folder))
    async with running(config_in(tmp_path)) as server:
        for asked in (lang, lang.upper(), f"{lang}-x-own"):
            async with server.session.get(f"{server.url}/widget/words/{asked}.json") as response:
                found = await response.json()
            assert (found["lang"], found["reply"]) == (lang, "Responder")
        async with server.session.get(f"{server.url}/widget/words/it.json") as response:
            assert await response.json() == words("en")


@every_language
async def test_a_browser_gets_the_texts_as_they_stand_in_the_file(
    lang: str, tmp_path: Path
) -> None:
    async with (
        running(config_in(tmp_path)) as server,
        server.session.get(f"{server.url}/widget/words/{lang}-x-own.json") as response,
    ):
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert await response.json() == words(lang)


READER = """
  import { wordsOf } from "./words.mjs";
  const [base, ...languages] = process.argv.slice(1);
  const said = async (language) => (await wordsOf(base, language))("reply");
  console.log(JSON.stringify(await Promise.all(languages.map(said))));
"""


async def test_a_page_may_name_its_language_in_any_way(tmp_path: Path) -> None:
    shutil.copy(WIDGET / "words.js", tmp_path / "words.mjs")
    pages = {"de": "de", "de_AT": "de", "zh_Hans_CN": "zh", "zh-TW": "zh", "FR": "fr", "tlh": "en"}
    pages |= dict.fromkeys(("deutsch, english", "{{ lang }}", "/", "é", "en.json#"), "en")
    async with running(config_in(tmp_path)) as server:
        run = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", READER, f"{server.url}/", *pages),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        said = json.loads((await run.communicate())[0])
    wanted = {page: words(lang)["reply"] for page, lang in pages.items()}
    assert dict(zip(pages, said, strict=True)) == wanted


LACKING = """
  import { wordsOf } from "./words.mjs";
  const texts = { lang: "ar", some: { other: "{n} x" } };
  globalThis.fetch = async () => ({ json: async () => texts });
  const t = await wordsOf("", "ar");
  console.log(JSON.stringify([0, 1, 2, 3, 11].map((n) => t("some", { n }))));
"""


def test_a_form_that_a_file_of_ones_own_lacks_is_the_other_one(tmp_path: Path) -> None:
    shutil.copy(WIDGET / "words.js", tmp_path / "words.mjs")
    command = ["node", "--input-type=module", "-e", LACKING]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    said = json.loads(run.stdout)
    assert len(said) == 5
    assert all(text.endswith(" x") for text in said)


def test_the_documentation_names_every_language() -> None:
    section = (ROOT / "docs" / "widget.md").read_text().split("## Languages")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([\w-]+)` \|", section, re.M)
    assert sorted(rows) == LANGUAGES
