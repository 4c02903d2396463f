"""Joining the widget's modules into the few parts that pages load.

The sources are plain modules, which work as they are. A part is the text of its modules in one
function, so that a minifier may shorten every name in it; what other parts need comes out of it by
its own name, and what it needs of them goes in. Names of exports stay as they are: a page that has
been open since before an update may get old and new parts together, and has to notice that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_IMPORT = re.compile(r'import \{([\w$\s,]*)\} from "\./([^"\n/]+)";', re.ASCII)
_EXPORT = re.compile(r"export (?=(?:const|(?:async )?function|class) [\w$])", re.ASCII)
# Statements begin their lines; inside of functions there are none of these.
_STATEMENT = re.compile(r"^[ \t]*(?:import|export)\b(?![ \t]*[.(])", re.ASCII | re.MULTILINE)
_DYNAMIC = re.compile(r"""\bimport\(\s*(["'`])(.*?)\1""", re.ASCII)
_DECLARATION = re.compile(
    r"^(?:export )?(?:(?:const|let|var) +|(?:async +)?function *\*? *|class +)"
    r"([\w$]+)?(?=([ \t]*,)?)",
    re.ASCII | re.MULTILINE,
)


class JoinError(ValueError):
    """A module holds what cannot be joined; the text begins with its file and line."""


class _Module:
    """A module's text, and what stands in it."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.imports: list[tuple[str, str, int]] = []
        """Module, name, and where it is imported."""
        self.names: dict[str, int] = {}
        """What it declares, and where."""
        self.exports: set[str] = set()
        cuts = [0]
        for found in _STATEMENT.finditer(text):
            at = found.start()
            taken = _IMPORT.match(text, at) or _EXPORT.match(text, at)
            if taken is None:
                raise self.error(at, "only plain imports and exports can be joined")
            if taken.re is _IMPORT:
                self.imports += [(taken[2], name, at) for name in self._imported(taken)]
            cuts += [taken.start(), taken.end()]
        for found in _DECLARATION.finditer(text):
            if found[1] is None or found[2] is not None:
                raise self.error(found.start(), "one plain name for each declaration")
            if found[1] in self.names:
                raise self.error(found.start(), f"{found[1]} is declared twice")
            self.names[found[1]] = found.start()
            if found[0].startswith("export"):
                self.exports.add(found[1])
        cuts.append(len(text))
        self.body = "".join(text[start:end] for start, end in list(pairwise(cuts))[::2]).strip()

    def _imported(self, statement: re.Match[str]) -> Iterator[str]:
        names = [name.strip() for name in statement[1].split(",")]
        if len(names) > 1 and not names[-1]:
            names.pop()
        for name in names:
            if not re.fullmatch(r"[\w$]+", name, re.ASCII):
                raise self.error(statement.start(), "an import has a list of plain names")
            yield name

    def error(self, at: int, words: str) -> JoinError:
        """What is wrong at a place in the text."""
        return JoinError(f"{self.name}:{self.text.count(chr(10), 0, at) + 1}: {words}")


def join(texts: Mapping[str, str], parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The text of each part; `texts` holds the modules' by name, `parts` the modules of each part.

    A part exports what other parts import of it, and all exports of the module that has its name,
    which is what may be imported when it is needed (`import("./sign-in.js")`). A module may import
    from those of its part that stand before it, and from other parts. Raises JoinError.
    """
    modules = {name: _Module(name, text) for name, text in texts.items()}
    part_of: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name not in modules or part_of.setdefault(name, part) != part:
                raise JoinError(f"{name}:1: it is not there, or stands in two parts")
    for name in modules.keys() - part_of.keys():
        raise JoinError(f"{name}:1: it stands in no part")

    needs: dict[str, dict[str, dict[str, str]]] = {}
    for part, names in parts.items():
        needs[part] = _needed(part, [modules[name] for name in names], modules, part_of)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        raise JoinError(f"These parts need each other: {', '.join(error.args[1])}") from error

    wanted = {part: set[str]() for part in parts}
    for need in needs.values():
        for part, of in need.items():
            wanted[part].update(of)
    for part in parts.keys() & modules.keys():
        wanted[part] |= modules[part].exports
    return {
        part: _written([modules[name].body for name in names], needs[part], sorted(wanted[part]))
        for part, names in parts.items()
    }


def _needed(
    part: str,
    inside: Sequence[_Module],
    modules: Mapping[str, _Module],
    part_of: Mapping[str, str],
) -> dict[str, dict[str, str]]:
    """What a part needs: the modules of names, by part and name. Its names must be unique."""
    need: dict[str, dict[str, str]] = {}
    before: dict[str, str] = {}
    owner: dict[str, str] = {}
    for module in inside:
        for of, name, at in module.imports:
            if of not in modules or name not in modules[of].exports:
                raise module.error(at, f"{of} exports no {name}")
            if part_of[of] != part:
                need.setdefault(part_of[of], {})[name] = of
            elif of not in before:
                raise module.error(at, f"{of} stands behind it in {part}")
            if owner.setdefault(name, of) != of:
                raise module.error(at, f"{name} is in {owner[name]} and in {of}")
        for name, at in module.names.items():
            if owner.setdefault(name, module.name) != module.name:
                raise module.error(at, f"{name} is in {owner[name]} too")
        for dynamic in _DYNAMIC.finditer(module.text):
            there = dynamic[2].removeprefix("./")
            if dynamic[2] == there or part_of.get(there) != there:
                words = f"{dynamic[2]} is no part with a module of its name"
                raise module.error(dynamic.start(), words)
        before[module.name] = part
    return need


def _written(bodies: Sequence[str], need: Mapping[str, Mapping[str, str]], out: list[str]) -> str:
    lines = [f'import{{{",".join(names)}}}from"./{part}";' for part, names in need.items()]
    needed = ",".join(name for names in need.values() for name in names)
    exported = ",".join(out)
    opening = f"export const[{exported}]=" if out else ""
    # A semicolon on a line of its own ends a module that has none.
    inside = "\n;\n".join(bodies)
    return "\n".join(
        [*lines, f"{opening}(({needed})=>{{", inside, f";return[{exported}]}})({needed});\n"]
    )
