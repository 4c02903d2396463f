"""The widget's modules joined: one scope for each part, and what must not be joined is refused."""

from __future__ import annotations

import json
import re
import shutil
import string
import subprocess
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkee_lite.api import widget
from talkee_lite.minifying import minified
from talkee_lite.widget_parts import JoinError, join

WIDGET = Path(__file__).parent.parent / "talkee_lite" / "web" / "widget"
PARTS = {
    "core.js": ("dom.js", "words.js"),
    "chat.js": ("room.js", "chat.js"),
    "more.js": ("more.js",),
}
TEXTS = {
    "dom.js": """// What everything draws with.
let made = 0;

export const make = (name, ...more) => ({ name, more, made: ++made });

export function button(label) {
  return make("button", label);
}
""",
    "words.js": """import { make } from "./dom.js";

export const wordsOf = (lang) => make(`words ${lang}`).name
""",
    "room.js": """
export const EMPTY = { items: [] };
export const heard = (state, item) => ({ ...state, items: [...state.items, item] });
export class Room {
  static most = 2;
}
""",
    "chat.js": """import {
  button,
  make,
} from "./dom.js";
import { EMPTY, heard } from "./room.js";
import { wordsOf } from "./words.js";

export const mount = async (lang) => {
  const { more, panel } = await import("./more.js");
  const state = heard(heard(EMPTY, wordsOf(lang)), more());
  return { ...state, button: button("Go").more, made: make("p").made, panel: panel.name };
};
""",
    "more.js": """import { make } from "./dom.js";
import { Room } from "./room.js";

export const more = () => Room.most;
export async function later() {}
export const panel = make("panel");
""",
}
MARK = re.findall(r"\bv[0-9a-f]{6}\b", join(TEXTS, PARTS)["core.js"])[0]
ANSWER = {"items": ["words en", 2], "button": ["Go"], "made": 4, "panel": "panel"}


def lines(part: str) -> list[str]:
    """A part's lines."""
    return join(TEXTS, PARTS)[part].split("\n")


def node(folder: Path, texts: Mapping[str, str]) -> object:
    """What the chat gives when node loads it of these files."""
    if shutil.which("node") is None:
        pytest.fail("node is missing; Debian has it in the package nodejs")
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "package.json").write_text('{"type": "module"}')
    script = (
        'import("./chat.js").then(async ({ mount }) =>'
        ' console.log(JSON.stringify(await mount("en"))))'
    )
    done = subprocess.run(
        ["node", "-e", script], cwd=folder, capture_output=True, text=True, check=True, timeout=30
    )
    return json.loads(done.stdout)


# What comes out.


def test_joined_or_not_and_minified_or_not_it_does_the_same(tmp_path: Path) -> None:
    joined = join(TEXTS, PARTS)
    small = minified(joined)
    assert all(len(small[name]) < len(text) for name, text in joined.items())
    for name, texts in {"plain": TEXTS, "joined": joined, "small": small}.items():
        assert node(tmp_path / name, texts) == ANSWER


def test_names_that_only_a_part_knows_are_shortened() -> None:
    small = minified(join(TEXTS, PARTS))
    assert "heard" not in small["chat.js"]
    assert "made++" not in small["core.js"]
    assert "wordsOf" not in small["chat.js"] + small["core.js"]


def test_a_part_imports_once_from_each_part() -> None:
    assert [line for line in lines("chat.js") if line.startswith("import")] == [
        f'import{{{MARK} as _0}}from"./core.js";'
    ]
    assert [line for line in lines("more.js") if line.startswith("import")] == [
        f'import{{{MARK} as _0}}from"./core.js";',
        f'import{{{MARK} as _1}}from"./chat.js";',
    ]
    assert not any(line.startswith("import") for line in lines("core.js"))


def test_a_part_exports_what_others_use_and_what_the_module_of_its_name_exports() -> None:
    exports = {
        name: re.findall(r"^export.*", text, re.M) for name, text in join(TEXTS, PARTS).items()
    }
    assert exports == {
        "core.js": [f"export const[{MARK}]=(()=>{{"],
        "chat.js": [f"export const[mount,{MARK}]=(([button,make,wordsOf])=>{{"],
        "more.js": ["export const[later,more,panel]=(([,make],[Room])=>{"],
    }
    assert lines("core.js")[-2] == ";return[[button,make,wordsOf]]})();"
    assert lines("chat.js")[-2] == ";return[mount,[Room]]})(_0);"


def test_parts_of_two_builds_do_not_take_each_other_for_their_own(tmp_path: Path) -> None:
    old = join(TEXTS, PARTS)
    new = join({**TEXTS, "words.js": TEXTS["words.js"] + "// changed\n"}, PARTS)
    assert old["core.js"] != new["core.js"]
    assert node(tmp_path / "new", new) == ANSWER
    with pytest.raises(subprocess.CalledProcessError) as error:
        node(tmp_path / "mixed", {**old, "chat.js": new["chat.js"]})
    assert "SyntaxError" in error.value.stderr
    assert "does not provide an export" in error.value.stderr


def test_a_part_that_nobody_needs_anything_of_exports_nothing(tmp_path: Path) -> None:
    texts = {"a.js": "globalThis.a = 5;\n", "chat.js": "export const mount = () => a;\n"}
    joined = join(texts, {"first.js": ["a.js"], "chat.js": ["chat.js"]})
    assert "export" not in joined["first.js"]
    main = {"chat.js": 'import "./first.js";' + joined["chat.js"], "first.js": joined["first.js"]}
    assert node(tmp_path / "it", main) == 5


def test_what_is_imported_when_needed_stays() -> None:
    assert '  const { more, panel } = await import("./more.js");' in lines("chat.js")
    other = 'export const f = () => [import(address), import.meta.url];\nimport("./more.js");\n'
    text = join({"f.js": other, "more.js": ""}, {"f.js": ["f.js"], "more.js": ["more.js"]})["f.js"]
    assert other.removeprefix("export ").strip() in text


def test_what_is_imported_when_needed_comes_with_its_part(tmp_path: Path) -> None:
    more = {"core.js": ("dom.js", "words.js"), "chat.js": ("room.js", "chat.js")}
    late = {**TEXTS, "more.js": TEXTS["more.js"].replace("./room.js", "./dom.js")}
    late["more.js"] = late["more.js"].replace("{ Room }", "{ button }").replace("Room.most", "2")
    joined = join(late, {**more, "late.js": ("more.js",)})
    assert 'await import("./late.js")' in joined["chat.js"]
    assert "export const[later,more,panel]=" in joined["late.js"]
    assert node(tmp_path / "it", joined) == ANSWER


def test_nothing_makes_nothing() -> None:
    assert join({}, {}) == {}
    assert join({}, {"core.js": ()}) == {"core.js": "(()=>{\n\n;return[]})();\n"}


NAMES = st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$]{3,9}", fullmatch=True)


@given(st.lists(NAMES, unique=True, min_size=1, max_size=8), st.data())
def test_every_name_arrives_where_it_is_used(names: Sequence[str], data: st.DataObject) -> None:
    """Modules of which each uses some names of those before, cut into parts anywhere."""
    texts: dict[str, str] = {}
    uses: dict[str, set[str]] = {}
    for n, name in enumerate(names):
        used = data.draw(st.sets(st.sampled_from(names[:n]))) if n else set()
        text = "".join(f'import {{ {u} }} from "./{names.index(u)}.js";\n' for u in used)
        texts[f"{n}.js"] = f"{text}export const {name} = [{', '.join(used)}];\n"
        uses[f"{n}.js"] = used
    cuts = sorted(data.draw(st.sets(st.integers(0, len(names)))) | {0, len(names)})
    table = {
        f"part{start}.js": [f"{n}.js" for n in range(start, end)] for start, end in pairwise(cuts)
    }
    joined = join(texts, table)
    shared = {}
    for part, text in joined.items():
        out = re.search(r"^;return\[\[(.*)\]\]\}\)\(.*\);$", text, re.M)
        shared[part] = out[1].split(",") if out else []
    for part, text in joined.items():
        inside = {names[int(module.removesuffix(".js"))] for module in table[part]}
        found = re.findall(r'^import\{\w+ as (_\d+)\}from"\./(.*?)";', text, re.M)
        taken = re.search(r"\(\((\[.*\])\)=>\{$", text, re.M)
        lists = taken[1][1:-1].split("],[") if taken else []
        assert [name for name, _ in found] == [f"_{n}" for n in range(len(lists))]
        imported = set()
        for (_, of), places in zip(found, lists, strict=True):
            assert of != part
            for place, name in enumerate(places.split(",")):
                assert name in ("", shared[of][place])
                imported |= {name} - {""}
        assert set().union(*(uses[module] for module in table[part])) - inside == imported
        assert set(shared[part]) <= inside


@given(st.text(), st.text())
def test_whatever_modules_hold_it_is_joined_or_refused_with_its_line(one: str, two: str) -> None:
    try:
        join({"a.js": one, "b.js": two}, {"p.js": ["a.js"], "b.js": ["b.js"]})
    except JoinError as error:
        assert re.match(r"[ab]\.js:\d+: ", str(error))


# What is refused.


@pytest.mark.parametrize(
    "line",
    [
        'import * as dom from "./dom.js";',
        'import dom from "./dom.js";',
        'import dom, { make } from "./dom.js";',
        'import "./dom.js";',
        'import { make as m } from "./dom.js";',
        'import { , make } from "./dom.js";',
        'import {} from "./dom.js";',
        "import { make } from './dom.js';",
        'import { make } from "./dom.js"',
        'import { make } from "../dom.js";',
        'import { make } from "dom.js";',
        'import { make } from "https://elsewhere.example/dom.js";',
        'import { none } from "./dom.js";',
        'import { made } from "./dom.js";',
        'import { make } from "./none.js";',
        '  import { make } from "./dom.js";',
        'import { later } from "./last.js";',
        "export default 1;",
        "export {};",
        "export { one };",
        'export * from "./dom.js";',
        'export { make } from "./dom.js";',
        "export let two = 2;",
        "export const { two } = one;",
        "  export const two = 2;",
        "const { two } = one;",
        "const [two] = [one];",
        "let two, three;",
        "export const one = 2;",
        "const make = 1;",
        "function made() {}",
        "class make {}",
        'import("./dom.js");',
        'import("./this.js");',
        "import('./none.js');",
        'const two = () => import( "https://elsewhere.example/x.js");',
        "const two = () => import(`./${name}.js`);",
    ],
)
def test_what_is_not_plain_is_refused_and_its_line_named(line: str) -> None:
    texts = {
        "dom.js": "let made = 0;\nexport const make = () => made;\n",
        "this.js": f"// A module.\nexport const one = 1;\n{line}\n",
        "last.js": "export const later = 1;\n",
    }
    with pytest.raises(JoinError, match=r"^this\.js:3: "):
        join(texts, {"core.js": ("dom.js", "this.js", "last.js")})


def test_a_name_stands_once_in_a_part_wherever_it_comes_from() -> None:
    texts = {
        "a.js": "export const same = 1;\n",
        "b.js": "export const same = 2;\n",
        "c.js": 'import { same } from "./a.js";\n',
        "d.js": '\nimport { same } from "./b.js";\n',
        "e.js": "\n\nconst same = 3;\n",
    }
    apart = {"1.js": ["a.js"], "2.js": ["b.js"]}
    for modules, place in (
        (["c.js", "d.js", "e.js"], "d.js:2"),
        (["e.js", "c.js", "d.js"], "c.js:1"),
    ):
        with pytest.raises(JoinError, match=f"^{place}: same "):
            join(texts, apart | {"3.js": modules})
    with pytest.raises(JoinError, match=r"^e\.js:3: same "):
        join(texts, apart | {"3.js": ["c.js", "e.js"], "4.js": ["d.js"]})
    join(texts, apart | {"3.js": ["c.js"], "4.js": ["d.js"], "5.js": ["e.js"]})


def test_parts_do_not_need_each_other_in_a_circle() -> None:
    texts = {
        "a.js": 'import { b } from "./b.js";\nexport const a = 1;\n',
        "b.js": 'import { a } from "./a.js";\nexport const b = 1;\n',
    }
    with pytest.raises(JoinError, match="need each other"):
        join(texts, {"1.js": ["a.js"], "2.js": ["b.js"]})


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"1.js": ["a.js"]}, "b.js"),
        ({"1.js": ["a.js", "b.js", "c.js"]}, "c.js"),
        ({"1.js": ["a.js", "b.js"], "2.js": ["a.js"]}, "a.js"),
    ],
)
def test_every_module_is_there_and_stands_in_one_part(
    parts: dict[str, list[str]], name: str
) -> None:
    with pytest.raises(JoinError, match=f"^{re.escape(name)}:1: "):
        join({"a.js": "", "b.js": ""}, parts)


# Names of properties.

BOXES = {
    "box.js": """// A box: its `width` and "its area".
export const box = (width, height) => ({ width, height, area: () => width * height });
""",
    "chat.js": """import { box } from "./box.js";

export const mount = async () => {
  const { width, ...rest } = box(3, 4);
  const widths = [{ width: width + 1 }];
  const text = `${widths[0].width} ${box(2, 2)?.area()}`;
  return [width, rest.height, rest.width ?? "none", text];
};
""",
}


def test_a_letter_stands_for_a_property_of_the_modules_own(tmp_path: Path) -> None:
    parts = {"box.js": ["box.js"], "chat.js": ["chat.js"]}
    joined = join(BOXES, parts, ["width", "area"])
    small = minified(joined)
    for name, texts in {"plain": BOXES, "joined": joined, "small": small}.items():
        assert node(tmp_path / name, texts) == [3, 4, "none", "4 4"]
    assert not re.search(r"\b(?:width|area)\b", "".join(small.values()))
    assert ".height" in small["chat.js"]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("export const f = (d) => d.width; // a", "a"),
        ("export const f = ({ a, width }) => a + width + width;", "b"),
        ('export const f = (b) => b.width + b.c + "d" + /a/.source;', "e"),
        (f"export const f = {[*string.ascii_lowercase]}.width;".replace("'", '"'), "A"),
    ],
)
def test_it_is_the_first_letter_that_stands_nowhere(text: str, letter: str) -> None:
    texts, parts = {"a.js": text, "b.js": ""}, {"1.js": ["a.js", "b.js"]}
    wanted = text.replace("width", letter).removeprefix("export ")
    assert wanted in join(texts, parts, ["width"])["1.js"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('export const f = (a) => a.width + a["width"];', 'width stands in "width"'),
        ("export const f = (a) => a.width + `width`;", "width stands in `width`"),
        ("export const f = (a) => a.width + make('p.x-width');", "width stands in -width'"),
        ("export const width = 1;", "width is an export"),
    ],
)
def test_a_letter_stands_for_nothing_else(text: str, wrong: str) -> None:
    with pytest.raises(JoinError, match=rf"^a\.js:2: {re.escape(wrong)}$"):
        join({"a.js": f"// A width is a length.\n{text}\n"}, {"a.js": ["a.js"]}, ["width"])


def test_a_property_that_a_letter_stands_for_is_there() -> None:
    texts, parts = {"a.js": "export const f = (a) => a.b; // width"}, {"a.js": ["a.js"]}
    with pytest.raises(JoinError, match="There is no property width"):
        join(texts, parts, ["width"])
    for own in (["b", "b"], [f"name{n}" for n in range(51)]):
        with pytest.raises(JoinError, match="more names than letters, or one stands there twice"):
            join(texts, parts, own)


# The widget itself.


def test_no_text_of_the_widget_changes_by_the_letters() -> None:
    modules = {file.name: file.read_text() for file in WIDGET.glob("*.js")}
    whole, short = (minified(join(modules, widget.PARTS, own)) for own in ((), widget.OWN))
    for name in widget.PARTS:
        assert len(short[name]) < len(whole[name])
        texts, same = (re.findall(r'"[^"]*"', made[name]) for made in (whole, short))
        assert texts == same
        assert len(texts) > 100


def test_every_module_of_the_widget_stands_in_a_part() -> None:
    """And no name twice, and nothing in them that a part cannot hold."""
    modules = {file.name: file.read_text() for file in WIDGET.glob("*.js")}
    parts = join(modules, widget.PARTS)
    # What the first script asks for by name.
    for name in ("comments.js", "chat.js"):
        assert re.search(r"^export const\[(?:.*,)?mount\b", parts[name], re.M)
    assert {file.name for file in WIDGET.glob("*.css")} == set(widget.STYLES)


@pytest.mark.parametrize("name", widget.PARTS)
async def test_node_understands_each_part_as_it_is_sent(name: str, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.fail("node is missing; Debian has it in the package nodejs")
    sent = await widget.BUNDLE.find(f"widget/{name}")
    assert sent is not None
    modules = {file.name: file.read_text() for file in WIDGET.glob("*.js")}
    for number, text in enumerate((join(modules, widget.PARTS)[name], sent.body.decode())):
        file = tmp_path / f"{number}.mjs"
        file.write_text(text)
        subprocess.run(["node", "--check", file], check=True, timeout=30)
