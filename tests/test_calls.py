"""docs/calls.md shows every call of the REST API, with the answers that the server gives."""

from __future__ import annotations

import re
from pathlib import Path

from talkee_lite.api import ROUTES

from .transcript import DOCUMENT, chapters, record, steady


async def test_the_answers_in_the_docs_are_those_of_the_server(tmp_path: Path) -> None:
    """To write them anew: `python -m tests.transcript`."""
    assert steady(await record(tmp_path)) == steady(DOCUMENT.read_text(encoding="utf-8"))


def test_every_call_is_shown() -> None:
    shown = {(c.method, c.path.partition("?")[0]) for chapter in chapters() for c in chapter.calls}
    for method, path, _ in ROUTES:
        if path.startswith("/api/") and not path.endswith((".svg", ".json")):
            pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
            assert any(m == method and pattern.fullmatch(p) for m, p in shown), (method, path)
