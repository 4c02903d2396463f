"""What browsers load: who gets it compressed, in which language, and when it need not be sent."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from talkee_lite.api import plain_routes, widget
from talkee_lite.api.bundle import FILES
from talkee_lite.api.files import Folder, takes_gzip
from talkee_lite.api.widget import words_for

from .harness import Server, config_in, exchange, running

PATHS = [
    *(f"/{name}" for name in FILES),
    *(f"/widget/{name}" for name in sorted(widget.NAMES)),
    *(f"/widget/words/{name}" for name in sorted(widget.WORDS.names())),
    "/",
    "/admin",
]
GZIP = {"Accept-Encoding": "gzip, deflate, br"}
Sent = tuple[int, bytes, Mapping[str, str]]


class Browser:
    """Asks for files, and takes the bytes as they come."""

    def __init__(self, server: Server, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def get(self, path: str, headers: dict[str, str], method: str = "GET") -> Sent:
        """Status, body and headers."""
        url = self.server.url + path
        async with self.session.request(method, url, headers=headers) as response:
            return response.status, await response.read(), response.headers


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    async with (
        running(config_in(tmp_path)) as server,
        aiohttp.ClientSession(
            auto_decompress=False, skip_auto_headers=("Accept-Encoding",)
        ) as session,
    ):
        yield Browser(server, session)


# Compressed.


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("GZip", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("br;q=1, gzip ; q=0.001", True),
        ("*", True),
        ("identity;q=0.5, gzip;q=0.8", True),
        ("", False),
        ("identity", False),
        ("deflate, br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("gzip;q=2", False),
        ("gzip;level=9", False),
        ("gzipped", False),
        (",,; q", False),
    ],
)
def test_a_client_says_whether_it_takes_gzip(accepted: str, packed: bool) -> None:
    assert takes_gzip(accepted) is packed


@pytest.mark.parametrize("path", PATHS)
async def test_a_file_is_the_same_compressed_and_as_it_is(path: str, browser: Browser) -> None:
    status, plain, headers = await browser.get(path, {})
    assert (status, headers.get("Content-Encoding")) == (200, None)
    status, packed, packed_headers = await browser.get(path, GZIP)
    assert (status, packed_headers["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(packed) == plain
    assert int(packed_headers["Content-Length"]) == len(packed)
    for fields in (headers, packed_headers):
        assert fields["Vary"] == "Accept-Encoding"
    assert headers["Content-Type"] == packed_headers["Content-Type"]
    assert headers["ETag"] != packed_headers["ETag"]


@pytest.mark.parametrize("accept", [{}, GZIP], ids=["as it is", "gzip"])
@pytest.mark.parametrize("path", PATHS)
async def test_who_holds_a_file_is_not_sent_it_again(
    path: str, accept: dict[str, str], browser: Browser
) -> None:
    _, _, headers = await browser.get(path, accept)
    for known in (headers["ETag"], f'"other", W/{headers["ETag"]}', "*"):
        status, body, again = await browser.get(path, accept | {"If-None-Match": known})
        assert (status, body) == (304, b"")
        assert again["ETag"] == headers["ETag"]
        assert again["Vary"] == "Accept-Encoding"
        assert "Content-Encoding" not in again
    # The other form has other bytes.
    other = {} if accept else GZIP
    status, _, _ = await browser.get(path, other | {"If-None-Match": headers["ETag"]})
    assert status == 200


@pytest.mark.parametrize("accept", [{}, GZIP], ids=["as it is", "gzip"])
@pytest.mark.parametrize("path", PATHS)
async def test_head_tells_the_same_and_sends_nothing(
    path: str, accept: dict[str, str], browser: Browser
) -> None:
    _, body, headers = await browser.get(path, accept)
    status, nothing, head = await browser.get(path, accept, "HEAD")
    assert (status, nothing) == (200, b"")
    assert int(head["Content-Length"]) == len(body)
    for name in ("ETag", "Vary", "Content-Type", "Content-Encoding"):
        assert head.get(name) == headers.get(name)


@pytest.mark.parametrize(
    "path", ["/api/avatars/1.svg", "/api/sites/1", "/hc", "/api/openapi.json", "/t/1?slug=/"]
)
async def test_nothing_else_is_compressed(path: str, browser: Browser) -> None:
    _, plain, _ = await browser.get(path, {})
    assert plain
    _, _, headers = await browser.get(path, GZIP)
    assert "Content-Encoding" not in headers


async def test_a_page_of_ours_varies_by_what_asks_for_it_too(browser: Browser) -> None:
    _, _, headers = await browser.get("/", GZIP | {"Origin": "http://127.0.0.1:8080"})
    assert headers["Vary"] == "Accept-Encoding, Origin"


# The widget.


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("de", "de.json"),
        ("DE", "de.json"),
        ("de-AT", "de.json"),
        ("pt", "pt.json"),
        ("pt-BR", "pt-br.json"),
        ("pt-PT", "pt.json"),
        ("zh-TW", "zh.json"),
        ("zh-Hant-HK", "zh.json"),
        ("zhHans", "zh.json"),
        ("zhHant", "zh.json"),
        ("sr-Latn", "sr-Latn.json"),
        ("tlh", "en.json"),
        ("en-GB", "en.json"),
        ("d", "en.json"),
        ("-", "en.json"),
        ("de--", "de.json"),
    ],
)
def test_a_language_gets_the_words_that_fit_it_best(tag: str, name: str) -> None:
    there = {"en.json", "de.json", "zh.json", "pt.json", "pt-br.json", "sr-Latn.json"}
    assert words_for(tag, there) == name


@pytest.mark.parametrize("tag", ["tlh", "zhHans", "x" * 35, "i-default", "de-1996"])
async def test_every_language_gets_words(tag: str, browser: Browser) -> None:
    status, body, headers = await browser.get(f"/widget/words/{tag}.json", {})
    assert status == 200
    name = words_for(tag, widget.WORDS.names())
    assert body == widget.WORDS.get(name).body
    assert headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/widget/",
        "/widget/words",
        "/widget/none.js",
        "/widget/..%2ftalkee.js",
        "/widget/../__init__.py",
        "/widget/words%2fen.json",
        "/widget/words/%2e%2e%2fcomments.js",
        "/widget/words/en_GB.json",
        "/widget/words/.json",
        f"/widget/words/{'x' * 36}.json",
        "/widget/words/en",
        "/widget/words/en.css",
        "/widget/words/en.js",
        "/widget/words/d%C3%A9.json",
        "/widget/words/de%00.json",
    ],
)
async def test_nothing_but_the_widget_is_found_there(path: str, browser: Browser) -> None:
    # As it stands here, dots and all.
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = await exchange(browser.server.port, request.encode())
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"error":"not_found"' in answer


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith("/widget/")])
async def test_any_page_may_load_the_widget(path: str, browser: Browser) -> None:
    status, _, headers = await browser.get(path, {"Origin": "https://anywhere.example"})
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    kinds = {"css": "text/css", "js": "text/javascript", "json": "application/json"}
    assert headers["Content-Type"] == f"{kinds[path.rpartition('.')[2]]}; charset=utf-8"


def test_the_front_door_knows_the_parts_of_the_widget() -> None:
    for name in widget.NAMES:
        assert plain_routes()["GET", f"/widget/{name}"] is widget.get_part


# The folder.


def test_a_folder_gives_what_pages_can_load_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "old.js").mkdir()
    (tmp_path / "chat.js").write_text("1")
    (tmp_path / "notes.txt").write_text("2")
    (tmp_path / "words" / "en.json").write_text("3")
    folder = Folder(tmp_path)
    assert folder.names() == {"chat.js"}
    assert folder.get("chat.js").body == b"1"
    for name in ("notes.txt", "words", "words/en.json", "../chat.js", "old.js", "none.js", ""):
        assert folder.find(name) is None
    assert Folder(tmp_path / "none").names() == frozenset()


def test_a_file_is_read_once_when_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("first.js", "second.js"):
        (tmp_path / name).write_text("before")
    folder = Folder(tmp_path)
    first = folder.get("first.js")
    for name in ("first.js", "second.js"):
        (tmp_path / name).write_text("after")
    assert folder.get("first.js") is first
    assert folder.get("second.js").body == b"after"
    assert first.gzip() is first.gzip()
