"""What a page that holds the widget has to load, in bytes as they are sent."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from talkee_lite.api.widget import PARTS, STYLES

from .harness import Server, config_in, running

READING = ["talkee.js", "widget/comments.js"]
OPENED = [*READING, "widget/chat.js"]
MOST = {
    "the one line's script": (["talkee.js"], 3072),
    "before anything is opened": (READING, 10_240),
    "all scripts together": (OPENED, 16_384),
    "style sheets": ([f"widget/{name}" for name in STYLES], 3072),
}


def test_nothing_is_left_out() -> None:
    counted = {name for names, _ in MOST.values() for name in names}
    assert counted == {"talkee.js", *(f"widget/{name}" for name in (*PARTS, *STYLES))}


async def size_of(server: Server, name: str) -> int:
    """What is sent of a file, as gzip."""
    headers = {"Accept-Encoding": "gzip"}
    async with server.session.get(f"{server.url}/{name}", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Encoding"] == "gzip"
        sent = int(response.headers["Content-Length"])
        # The session has taken the coding off already; no level of zlib is smaller.
        assert sent < len(zlib.compress(await response.read(), 9, 31))
    return sent


@pytest.mark.parametrize("what", MOST)
async def test_it_is_small(what: str, tmp_path: Path) -> None:
    names, most = MOST[what]
    async with running(config_in(tmp_path)) as server:
        sizes = {name: await size_of(server, name) for name in names}
    assert sum(sizes.values()) <= most, sizes
