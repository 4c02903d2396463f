"""The structure of the package: what must not go where, and which way imports point."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkee_lite.errors import all_refusals

PACKAGE = Path(__file__).parent.parent / "talkee_lite"
FILES = sorted(PACKAGE.rglob("*.py"))
SQL = re.compile(r"^\s*(select|insert into|update \w+ set|delete from|create table|pragma)\b")
HTML = re.compile(r"<(html|body|div|script|p|a href)\b")

# What a file may import of the package, by where it stands: the layers point one way.
LAYERS = ["store", "rules", "auth", "notify", "api", "top"]
LAYER_OF = {
    "store": "store",
    "auth": "auth",
    "notify": "notify",
    "api": "api",
    "app": "top",
    "serve": "top",
    "cli": "top",
    "cli_asking": "top",
    "cli_sites": "top",
    "cli_users": "top",
    "control_client": "top",
    "__init__": "top",
    "__main__": "top",
    "chat": "rules",
    "comments": "rules",
    "comment_changes": "rules",
    "comment_lists": "rules",
    "changes": "rules",
    "feeds": "rules",
    "forms": "rules",
    "thread_pages": "rules",
    "keeping": "rules",
    "pages": "rules",
    "personal": "rules",
    "rendering": "rules",
    "people": "rules",
    "naming": "rules",
    "merging": "rules",
    "signing_in": "rules",
    "sites": "rules",
    "threads": "rules",
    "records": "rules",
    "administration": "rules",
    "control": "rules",
    "writing": "rules",
}
# Pure files, importable from everywhere, that import nothing but each other.
PURE = {
    "avatar",
    "byte_cache",
    "clock",
    "closing",
    "config",
    "errors",
    "hub",
    "keys",
    "limits",
    "logs",
    "markdown",
    "markup",
    "minifying",
    "models",
    "names",
    "protocol",
    "resolver",
    "text",
    "verbatim",
    "version",
    "widget_parts",
}


def name_of(path: Path) -> str:
    """`store/messages.py` for a file of the package."""
    return path.relative_to(PACKAGE).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of all that a file imports; type-checking imports do not count."""
    tree = ast.parse(path.read_text())
    package = ["talkee_lite", *path.relative_to(PACKAGE).parts[:-1]]
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *(node.module or "").split(".")] if node.module else base
            yield from (".".join([*module, alias.name]) for alias in node.names)


def texts(path: Path) -> Iterator[str]:
    """The string constants of a file that are not docstrings."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def names_used(path: Path) -> set[str]:
    """Dotted names as they are written, such as `os.environ`."""
    return {
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
class TestEveryFile:
    """Rules that hold for each file of the package."""

    def test_sql_stands_in_the_store_alone(self, path: Path) -> None:
        if not name_of(path).startswith("store/"):
            assert [text for text in texts(path) if SQL.search(text)] == []

    def test_the_web_framework_is_known_at_the_edge_alone(self, path: Path) -> None:
        files = ("app.py", "serve.py", "control_client.py", "resolver.py")
        allowed = (*files, "api/", "auth/", "notify/")
        if not name_of(path).startswith(allowed):
            assert [name for name in imports(path) if name.startswith("aiohttp")] == []

    def test_tokens_are_made_and_read_where_people_sign_in(self, path: Path) -> None:
        if not name_of(path).startswith("auth/"):
            assert [name for name in imports(path) if name.split(".")[0] == "jwt"] == []

    def test_the_database_file_is_opened_by_the_store_alone(self, path: Path) -> None:
        if not name_of(path).startswith("store/"):
            found = [
                name for name in imports(path) if name.split(".")[0] in ("sqlite3", "aiosqlite")
            ]
            assert found == []

    def test_the_environment_is_read_by_the_command_line_alone(self, path: Path) -> None:
        if name_of(path) not in ("config.py", "cli.py"):
            assert "os.environ" not in names_used(path)

    def test_rules_are_given_the_time(self, path: Path) -> None:
        allowed = ("clock.py",)
        if name_of(path) not in allowed:
            assert names_used(path).isdisjoint({"time.time", "time.time_ns", "datetime.now"})

    def test_html_stands_in_files_of_its_own(self, path: Path) -> None:
        if name_of(path) not in ("markdown.py", "markup.py", "cli.py"):
            assert [text for text in texts(path) if HTML.search(text)] == []

    def test_statuses_of_errors_stand_in_errors_alone(self, path: Path) -> None:
        if name_of(path) in ("errors.py", "serve.py") or name_of(path).startswith("api/"):
            return
        numbers = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and type(node.value) is int
        }
        assert numbers.isdisjoint(
            {401, 403, 404, 405, 409, 410, 413, 415, 426, 429, 502, 503} - _ok(path)
        )

    def test_no_error_is_made_before_it_is_raised(self, path: Path) -> None:
        """One that is raised again and again keeps every frame that it went through."""
        refusals = {refusal.__name__ for refusal in all_refusals()}
        made = [
            ast.unparse(node)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)
            if ast.unparse(node.value.func) in refusals
        ]
        assert made == []

    def test_imports_point_one_way(self, path: Path) -> None:
        here = _layer(name_of(path).removesuffix(".py"))
        for name in imports(path):
            if name.startswith("talkee_lite."):
                there = _layer("/".join(name.split(".")[1:]))
                assert LAYERS.index(there) <= LAYERS.index(here) or there == "pure", name

    def test_it_has_a_docstring_and_is_not_too_long(self, path: Path) -> None:
        source = path.read_text()
        assert ast.get_docstring(ast.parse(source))
        assert len(source.splitlines()) <= 500


def _ok(path: Path) -> set[int]:
    # The command line asks the control socket and knows one status: the server is restarting.
    return {503} if name_of(path) == "control_client.py" else set()


def _layer(place: str) -> str:
    first = place.split("/")[0]
    if first in PURE:
        return "store"  # the lowest: everybody may import it
    return LAYER_OF.get(first, "top")


def test_pure_files_import_nothing_but_each_other() -> None:
    for name in sorted(PURE):
        for imported in imports(PACKAGE / f"{name}.py"):
            if imported.startswith("talkee_lite."):
                assert imported.split(".")[1] in PURE, f"{name} imports {imported}"


def test_html_is_trusted_in_one_place() -> None:
    """What people wrote was sanitised when it was stored; everything else is escaped."""
    found = [
        (path.name, line.strip())
        for path in sorted((PACKAGE / "web").rglob("*"))
        if path.is_file()
        for line in path.read_text().splitlines()
        if re.search(r"\|\s*safe\b|autoescape|(inner|outer)HTML\s*=|insertAdjacentHTML", line)
    ]
    assert found == [
        ("dom.js", "element.innerHTML = policy ? policy.createHTML(html) : html;"),
        ("written.html", '<div class="text" dir="auto">{{ html | safe }}</div>'),
    ]
    for path in FILES:
        assert "Markup" not in path.read_text()
        assert not any(name.startswith("markupsafe") for name in imports(path))
    assert (PACKAGE / "api/documents.py").read_text().count("autoescape=True") == 1


def test_every_file_has_its_layer() -> None:
    tops = {name_of(path).removesuffix(".py").split("/")[0] for path in FILES}
    assert tops == PURE | set(LAYER_OF)
