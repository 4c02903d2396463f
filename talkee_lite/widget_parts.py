"""Joining the widget's modules into the few parts that pages load.

The sources are plain modules, which work as they are. A part is the text of its modules in one
function, so that a minifier may shorten every name in it. What other parts need comes out of it in
one array, whose name is the mark of this build: a page that has been open since before an update
may ask for a new part beside its old one, and finds that what the new one needs is not there. What
is imported when it is needed keeps its name.

A minifier leaves the names of properties as they are, which others may use. For those that are said
to be the modules' own a letter stands in the parts.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_IMPORT = re.compile(r'import \{([\w$\s,]*)\} from "\./([^"\n/]+)";', re.ASCII)
_EXPORT = re.compile(r"export (?=(?:const|(?:async )?function|class) [\w$])", re.ASCII)
# Statements begin their lines; inside of functions there are none of these.
_STATEMENT = re.compile(r"^[ \t]*(?:import|export)\b(?![ \t]*[.(])", re.ASCII | re.MULTILINE)
_DYNAMIC = re.compile(r"""\bimport\(\s*(["'`])(.*?)\1""", re.ASCII)
_WORD = re.compile(r"[\w$]+", re.ASCII)
_COMMENT = re.compile(r"(?:^|(?<=\s))//.*", re.MULTILINE)
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
        self.later: dict[str, int] = {}
        """Modules that are imported when they are needed, and where."""
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
        for dynamic in _DYNAMIC.finditer(text):
            if not dynamic[2].startswith("./"):
                raise self.error(dynamic.start(), f"{dynamic[2]} is no module beside it")
            self.later[dynamic[2][2:]] = dynamic.start()
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


def join(
    texts: Mapping[str, str], parts: Mapping[str, Sequence[str]], own: Sequence[str] = ()
) -> dict[str, str]:
    """The text of each part; `texts` holds the modules' by name, `parts` the modules of each part.

    `own`: names of properties that nothing but these modules uses. The first gets the first letter
    that is no word of the modules, a to z before A to Z, and so on.

    A part exports what other parts import of it, and all exports of the module that has its name
    and of those that others import when they need them (`import("./quotes.js")`, which then asks
    for the part). A module may import from those of its part that stand before it, and from other
    parts; when it needs them, from other parts alone. Raises JoinError.
    """
    modules = {name: _Module(name, text) for name, text in texts.items()}
    shortened = _Shortened(own, modules.values())
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

    shared = {
        part: sorted({name for need in needs.values() for name in need.get(part, ())})
        for part in parts
    }
    named = {part: set[str]() for part in parts}
    for name in {*parts, *(of for module in modules.values() for of in module.later)}:
        if name in modules:
            named[part_of[name]] |= modules[name].exports
    mark = "v" + hashlib.sha256(repr((sorted(texts.items()), parts, own)).encode()).hexdigest()[:6]
    return {
        part: _written(
            [shortened.body(_asking_parts(modules[name].body, part_of)) for name in names],
            {
                of: [name if name in need else "" for name in shared[of]]
                for of, need in needs[part].items()
            },
            sorted(named[part]),
            shared[part],
            mark,
        )
        for part, names in parts.items()
    }


class _Shortened:
    """Letters for names of properties. Where one is a variable's name too, that goes along."""

    def __init__(self, own: Sequence[str], modules: Collection[_Module]) -> None:
        texts = [
            (module, _COMMENT.sub(lambda found: " " * len(found[0]), module.text))
            for module in modules
        ]
        words = {word for _, text in texts for word in _WORD.findall(text)}
        free = [letter for letter in string.ascii_letters if letter not in words]
        self._letters = dict(zip(own, free, strict=False))
        if len(self._letters) < len(own):
            raise JoinError("There are more names than letters, or one stands there twice")
        for name in self._letters:
            is_used = False
            for module, text in texts:
                if name in module.exports:
                    raise module.error(module.names[name], f"{name} is an export")
                for found in _whole(name).finditer(text):
                    around = text[max(0, found.start() - 1) : found.end() + 1]
                    if re.search("""[-"'`/]""", around):
                        raise module.error(found.start(), f"{name} stands in {around}")
                    is_used = True
            if not is_used:
                raise JoinError(f"There is no property {name}")

    def body(self, text: str) -> str:
        """A module's text with letters."""
        names = _whole(*self._letters)
        return names.sub(lambda found: self._letters[found[0]], text) if self._letters else text


def _whole(*names: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w$])(?:{'|'.join(map(re.escape, names))})(?![\w$])", re.ASCII)


def _asking_parts(body: str, part_of: Mapping[str, str]) -> str:
    return _DYNAMIC.sub(lambda found: f'import("./{part_of[found[2][2:]]}"', body)


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
        for there, at in module.later.items():
            if part_of.get(there, part) == part:
                raise module.error(at, f"{there} is in no other part")
        before[module.name] = part
    return need


def _written(
    bodies: Sequence[str],
    taken: Mapping[str, Sequence[str]],
    named: Sequence[str],
    shared: Sequence[str],
    mark: str,
) -> str:
    """A part; of each part that it needs it takes names by their places, "" where it needs none."""
    lines = [f'import{{{mark} as _{n}}}from"./{part}";' for n, part in enumerate(taken)]
    arguments = ",".join(f"_{n}" for n in range(len(taken)))
    parameters = ",".join(f"[{','.join(names).rstrip(',')}]" for names in taken.values())
    returned = [*named, *([f"[{','.join(shared)}]"] if shared else [])]
    exported = ",".join([*named, *([mark] if shared else [])])
    opening = f"export const[{exported}]=" if exported else ""
    # A semicolon on a line of its own ends a module that has none.
    inside = "\n;\n".join(bodies)
    closing = f";return[{','.join(returned)}]}})({arguments});\n"
    return "\n".join([*lines, f"{opening}(({parameters})=>{{", inside, closing])
