"""Rooms: how an address names one, what is refused and in which order, whose pages may come in."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from talkee_lite.api import ROUTES, context, widget
from talkee_lite.config import (
    Config,
    ServerConfig,
    SiteConfig,
    normal_origin,
)

from .harness import JSON, Server, config_in, draft, exchange, free_limits, running, until

BLOG = "https://blog.example.com"
SITES = (
    SiteConfig(
        id=1,
        origins=(BLOG, "https://*.pages.dev", "capacitor://localhost", "http://a.example:8080"),
    ),
    SiteConfig(id=2, origins=("https://shop.example.com",)),
    SiteConfig(id=3, origins=("*",)),
)


class RawAnswer(NamedTuple):
    """One answer as it came over a plain TCP connection; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


def parse_answer(received: bytes) -> RawAnswer:
    """The one answer in `received`; its body as JSON."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return RawAnswer(int(first.split()[1]), headers, json.loads(body) if body else None)


async def raw_call(
    server: Server,
    target: str,
    *header_lines: bytes | str,
    method: str = "GET",
    body: bytes = b"",
) -> RawAnswer:
    """One call whose bytes no client library has touched."""
    lines = [f"{method} {target} HTTP/1.1".encode(), b"Host: x", b"Connection: close"]
    lines += [line.encode() if isinstance(line, str) else line for line in header_lines]
    return parse_answer(await exchange(server.port, b"\r\n".join([*lines, b"", body])))


async def refused_upgrade(server: Server, query: str, **headers: str) -> tuple[int, JSON, Any]:
    """Status, body and headers of an upgrade that must be refused."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(f"{server.ws_url}?{query}", additional_headers=headers):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body), response.headers


@asynccontextmanager
async def local_server(tmp_path: Path, **tables: Any) -> AsyncIterator[Server]:
    """A server of three sites, without `public_url` unless `server` sets it."""
    async with running(config_in(tmp_path, **({"sites": SITES} | tables))) as server:
        yield server


def with_url(public_url: str) -> ServerConfig:
    return replace(Config().server, public_url=public_url)


# Which room an address names.


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("/a", "/a"),
        ("%2Fa", "/a"),
        ("%2fa%2F", "/a/"),
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%20b", "a b"),
        ("%20%09%0A%0B%0C%0D/a%20%0A", "/a"),
        ("%C3%A9", "é"),
        ("e%CC%81", "e\u0301"),
        ("%E3%80%80/a", "\u3000/a"),
        ("/A", "/A"),
        ("/a//b/", "/a//b/"),
        ("%252F", "%2F"),
        ("/a%3Fb%26c%23d", "/a?b&c#d"),
        ("%F0%9F%98%80", "😀"),
        ("a=b", "a=b"),
        ("/a&slug=/b", "/a"),
        ("&slug=/b", "/b"),
    ],
)
async def test_a_slug_in_the_query_is_decoded_as_forms_are_and_otherwise_taken_as_it_is(
    server: Server, query: str, slug: str
) -> None:
    answer = await raw_call(server, f"/api/slugs?site_id=1&slug={query}")
    assert (answer.status, answer.body["data"]["slug"]) == (200, slug)


@pytest.mark.parametrize(
    ("header", "slug"),
    [
        (b"/a", "/a"),
        (b"%2Fa", "/a"),
        (b"a+b", "a+b"),
        (b"a%2Bb", "a+b"),
        (b"a%20b", "a b"),
        (b"%20/a%0A", "/a"),
        ("/é".encode(), "/é"),
        ("/é".encode("latin-1"), "/é"),
        (b"/%C3%A9", "/é"),
        ("/日本".encode(), "/日本"),
        (b"%252F", "%2F"),
        (b"100%", "100%"),
        (b"/a%zz", "/a%zz"),
    ],
)
async def test_a_slug_in_the_header_is_utf_8_else_latin_1_and_percent_decoded_once(
    server: Server, header: bytes, slug: str
) -> None:
    answer = await raw_call(
        server, "/api/slugs", b"X-TALKEE-SITE-ID: 1", b"X-TALKEE-SITE-SLUG: " + header
    )
    assert (answer.status, answer.body["data"]) == (200, {"site_id": 1, "slug": slug, "tips": []})


@pytest.mark.parametrize("pathname", ["/", "/a/b", "/%C3%A9t%C3%A9", "/a%20b", "/a+b", "/100%25"])
async def test_a_pages_pathname_names_the_same_room_by_header_and_by_query(
    server: Server, pathname: str
) -> None:
    # A page sends `location.pathname` as a header, and its decoded form through URLSearchParams.
    by_header = await raw_call(
        server, "/api/slugs", "X-TALKEE-SITE-ID: 1", f"X-TALKEE-SITE-SLUG: {pathname}"
    )
    decoded = by_header.body["data"]["slug"]
    by_query = await raw_call(server, f"/api/slugs?site_id=1&slug={quote(decoded, safe='')}")
    assert by_query.body["data"]["slug"] == decoded


@pytest.mark.parametrize(
    ("query", "headers", "room"),
    [
        ("site_id=1&slug=/q", ["X-TALKEE-SITE-ID: 2", "X-TALKEE-SITE-SLUG: /h"], (2, "/h")),
        ("site_id=1&slug=/q", ["X-TALKEE-SITE-SLUG: /h"], (1, "/h")),
        ("site_id=1&slug=/q", ["X-TALKEE-SITE-ID: 2"], (2, "/q")),
        ("site_id=1&slug=/q", ["X-TALKEE-SITE-ID:", "X-TALKEE-SITE-SLUG: "], (1, "/q")),
        ("site_id=&slug=", ["X-TALKEE-SITE-ID: 2", "X-TALKEE-SITE-SLUG: /h"], (2, "/h")),
        ("", ["x-talkee-site-id: 2", "X-Talkee-Site-Slug: /h"], (2, "/h")),
        ("site_id=x&slug=%00", ["X-TALKEE-SITE-ID: 2", "X-TALKEE-SITE-SLUG: /h"], (2, "/h")),
    ],
)
async def test_where_query_and_header_both_name_a_room_the_header_counts_and_empty_is_absent(
    tmp_path: Path, query: str, headers: Sequence[str], room: tuple[int, str]
) -> None:
    async with local_server(tmp_path) as server:
        answer = await raw_call(server, f"/api/slugs?{query}", *headers)
    assert answer.status == 200
    assert (answer.body["data"]["site_id"], answer.body["data"]["slug"]) == room


@pytest.mark.parametrize(
    ("query", "header"),
    [("1", "x"), ("1", "01"), ("1", "999")],
)
async def test_a_bad_header_is_not_made_good_by_the_query(
    server: Server, query: str, header: str
) -> None:
    answer = await raw_call(
        server, f"/api/slugs?site_id={query}&slug=/a", f"X-TALKEE-SITE-ID: {header}"
    )
    assert answer.status in (400, 404)


NO_NUMBERS = [
    "",
    "0",
    "01",
    "-1",
    "%2B1",
    "1.0",
    "1e0",
    "0x1",
    "one",
    "1_0",
    "1,0",
    "%EF%BC%91",  # a fullwidth 1
    "%D9%A1",  # an Arabic-Indic 1
    "9223372036854775808",
    "18446744073709551617",
    "12345678901234567",
    "1%00",
    "1%0A",
    "null",
    "true",
]


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("by_header", [False, True])
async def test_a_site_id_that_is_no_positive_whole_number_is_refused(
    server: Server, number: str, by_header: bool
) -> None:
    if by_header:
        answer = await raw_call(server, "/api/slugs?slug=/a", f"X-TALKEE-SITE-ID: {number}")
    else:
        answer = await raw_call(server, f"/api/slugs?slug=/a&site_id={number}")
    assert (answer.status, answer.body["error"]) == (400, "invalid_site_id")
    assert answer.body["field"] == "site_id"


@pytest.mark.parametrize("number", ["2", "999", "9007199254740993", "9999999999999999"])
async def test_a_site_that_does_not_exist_is_not_found(server: Server, number: str) -> None:
    answer = await raw_call(server, f"/api/slugs?slug=/a&site_id={number}")
    assert (answer.status, answer.body["error"]) == (404, "site_not_found")


@pytest.mark.parametrize(
    "slug",
    [
        "",
        "%20%09%0A",
        "a%00b",
        "a%0Ab",
        "a%1Fb",
        "a%7Fb",
        "a%C2%80b",
        "a%C2%9Fb",
        "%FF",
        "%ED%A0%80",  # a surrogate, as CESU-8 would write it
        "%EF%BF%BD",  # U+FFFD itself
        "x" * 257,
        "%F0%9F%98%80" * 257,
    ],
)
@pytest.mark.parametrize("by_header", [False, True])
async def test_a_slug_that_is_empty_too_long_or_holds_what_no_page_has_is_refused(
    server: Server, slug: str, by_header: bool
) -> None:
    if by_header:
        answer = await raw_call(server, "/api/slugs?site_id=1", f"X-TALKEE-SITE-SLUG: {slug}")
    else:
        answer = await raw_call(server, f"/api/slugs?site_id=1&slug={slug}")
    assert (answer.status, answer.body["error"]) == (400, "invalid_slug")
    assert answer.body["field"] == "slug"


@pytest.mark.parametrize("character", ["x", "é", "😀", "/"])
async def test_a_slug_may_have_256_code_points_after_trimming(
    server: Server, character: str
) -> None:
    slug = quote(f" {character * 256} ", safe="")
    answer = await raw_call(server, f"/api/slugs?site_id=1&slug={slug}")
    assert (answer.status, answer.body["data"]["slug"]) == (200, character * 256)


async def test_slugs_that_differ_in_case_slashes_or_unicode_form_are_different_rooms(
    server: Server,
) -> None:
    token = await server.guest()
    slugs = ["/a", "/A", "/a/", "//a", "é", "e\u0301", "/a?", "\u3000/a"]
    for slug in slugs:
        posted = await server.post(token, room=f"site_id=1&slug={quote(slug, safe='')}")
        assert posted["seq"] == 1


async def test_rooms_of_two_sites_with_one_slug_are_different_rooms(tmp_path: Path) -> None:
    async with local_server(tmp_path) as server:
        token = await server.guest()
        await server.post(token, "in one", room="site_id=1&slug=/a")
        assert (await server.latest(token, room="site_id=2&slug=/a"))["data"] == []


# The order of checks.

ORDER = [
    ("", 400, "invalid_site_id"),
    ("site_id=x&slug=", 400, "invalid_site_id"),
    ("site_id=9&slug=", 404, "site_not_found"),
    ("site_id=1&slug=", 400, "invalid_slug"),
    ("site_id=1&slug=%00", 400, "invalid_slug"),
    ("site_id=1&slug=/a", 403, "origin_not_allowed"),
]
CALLS = [
    ("GET", "/ws"),
    ("GET", "/ws/messages"),
    ("POST", "/ws/messages"),
    ("GET", "/api/messages"),
    ("POST", "/api/messages"),
    ("GET", "/api/slugs"),
]


@pytest.mark.parametrize(("query", "status", "error"), ORDER)
@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_everything_about_the_room_is_checked_in_order_before_anything_else(
    server: Server, method: str, path: str, query: str, status: int, error: str
) -> None:
    # All that could be wrong is: no token, no body, no Content-Type, a strange page, no upgrade.
    got, answer, _ = await server.call(
        method, f"{path}?{query}", headers={"Origin": "https://evil.example"}
    )
    assert (got, answer["error"]) == (status, error)


@pytest.mark.parametrize(("query", "status", "error"), ORDER)
async def test_an_upgrade_is_refused_with_the_same_statuses_as_json_before_any_upgrade(
    server: Server, query: str, status: int, error: str
) -> None:
    got, answer, headers = await refused_upgrade(server, query, Origin="https://evil.example")
    assert (got, answer["code"], answer["error"]) == (status, status, error)
    assert headers["Content-Type"].startswith("application/json")
    assert answer["request_id"] == headers["X-Request-Id"]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_a_server_that_stops_says_so_before_it_looks_at_anything(
    server: Server, method: str, path: str
) -> None:
    server.services.stopping = True
    status, answer, headers = await server.call(method, path, headers={"Origin": "null"})
    assert (status, answer["error"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) >= 1


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
async def test_one_connection_too_many_is_refused_after_the_origin_and_may_come_again(
    tmp_path: Path, limit: str
) -> None:
    config = config_in(tmp_path, limits=free_limits(**{limit: 1}))
    async with running(config) as server:
        async with server.listen():
            await until(lambda: len(server.services.sockets) == 1)
            status, answer, headers = await refused_upgrade(server, "site_id=1&slug=/a")
            assert (status, answer["error"]) == (429, "too_many_connections")
            assert int(headers["Retry-After"]) >= 1
            status, answer, _ = await refused_upgrade(server, "site_id=1&slug=/a", Origin="null")
            assert (status, answer["error"]) == (403, "origin_not_allowed")
        await until(lambda: not len(server.services.sockets))
        async with server.listen():
            pass


# The upgrade.

NONCE = base64.b64encode(b"0123456789abcdef").decode()
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": NONCE,
}


async def upgrade(server: Server, start: str, **changes: str | None) -> RawAnswer:
    """The answer to an opening handshake with some headers changed or (None) left out."""
    fields = UPGRADE | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    request = "\r\n".join([start, "Host: x", *lines, "", ""]).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        answer = parse_answer(head)
        length = int(answer.headers.get("content-length", "0"))
        if length and not start.startswith("HEAD"):
            answer = answer._replace(body=json.loads(await reader.readexactly(length)))
        return answer
    finally:
        writer.close()


WS = "/ws?site_id=1&slug=/a"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"Connection": "keep-alive, upgrade"},
        {"Upgrade": "WebSocket"},
    ],
)
async def test_a_handshake_is_answered_with_101(server: Server, changes: dict[str, str]) -> None:
    answer = await upgrade(server, f"GET {WS} HTTP/1.1", **changes)
    assert answer.status == 101
    assert answer.headers["upgrade"] == "websocket"


@pytest.mark.parametrize(
    "changes",
    [
        {"Connection": None, "Upgrade": None},
        {"Upgrade": None},
        {"Connection": "keep-alive"},
        {"Upgrade": "h2c"},
        {"Sec_WebSocket_Version": "12"},
        {"Sec_WebSocket_Version": None},
    ],
)
async def test_ws_without_an_upgrade_is_426_and_says_what_it_speaks(
    server: Server, changes: dict[str, str | None]
) -> None:
    answer = await upgrade(server, f"GET {WS} HTTP/1.1", **changes)
    assert (answer.status, answer.body["error"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("start", [f"HEAD {WS} HTTP/1.1", f"GET {WS} HTTP/1.0"])
async def test_only_a_get_of_http_1_1_is_upgraded(server: Server, start: str) -> None:
    answer = await upgrade(server, start)
    assert answer.status in (400, 405, 426)
    assert len(server.services.sockets) == 0


@pytest.mark.parametrize(
    "key", [None, "", "short", "!" * 24, base64.b64encode(b"15 bytes here.").decode()]
)
async def test_a_handshake_without_a_good_key_is_a_bad_request(
    server: Server, key: str | None
) -> None:
    answer = await upgrade(server, f"GET {WS} HTTP/1.1", Sec_WebSocket_Key=key)
    assert (answer.status, answer.body["error"]) == (400, "bad_request")


@pytest.mark.parametrize(("method", "path"), [(method, path) for method, path, _ in ROUTES])
async def test_one_trailing_slash_is_ignored_and_two_are_not(
    server: Server, method: str, path: str
) -> None:
    path = path.replace("{id}", "1").replace("{reply_id}", "1").replace("{site_id}", "1")
    path = path.replace("{message_id}", str(uuid.uuid4())).replace("{lang}", "de")
    path = path.replace("{name}", min(widget.NAMES, default="none.js"))
    plain, slashed = [
        await raw_call(server, spelled, method=method)
        if path.startswith(("/api", "/ws", "/hc")) and not path.endswith(".svg")
        else await _status_only(server, method, spelled)
        for spelled in (path, path.rstrip("/") + "/")
    ]
    assert plain.status == slashed.status
    for answer in (plain, slashed):
        if answer.status == 404:
            assert answer.body["error"] != "not_found"
    twice = await raw_call(server, path.rstrip("/") + "//", method=method)
    assert (twice.status, twice.body["error"]) == (404, "not_found")


async def _status_only(server: Server, method: str, path: str) -> RawAnswer:
    async with server.session.request(method, server.url + path) as response:
        return RawAnswer(response.status, {}, None)


async def test_a_room_can_be_entered_by_an_address_with_a_trailing_slash(server: Server) -> None:
    async with connect(f"ws://127.0.0.1:{server.port}/ws/?site_id=1&slug=/a"):
        await until(lambda: len(server.services.sockets) == 1)


# What rooms cost before anything was said in them.


async def test_entering_and_reading_invented_rooms_leaves_no_row_and_no_memory(
    server: Server,
) -> None:
    token = await server.guest()
    for n in range(20):
        room = f"site_id=1&slug=/invented/{n}"
        assert (await server.latest(token, room=room))["data"] == []
        for query in ("&after=0", "&before=5"):
            assert (await server.latest(token, room=room, query=query))["seq"] == 0
        async with server.listen(token, room=room):
            pass
    await until(lambda: not len(server.services.sockets))
    services = server.services
    assert await services.db.fetch("select id from pages", {}) == []
    assert len(services.chat._records) == 0
    assert not services.chat._records._loading
    assert not services.hub._rooms
    assert not services.sockets._by_user


async def test_refused_posts_into_invented_rooms_leave_no_row_and_no_memory(
    tmp_path: Path,
) -> None:
    limits = free_limits(messages_per_second=0.001, messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        await server.post(token)
        for n in range(5):
            status, _, _ = await server.call(
                "POST", f"/api/messages?site_id=1&slug=/invented/{n}", draft(), token=token
            )
            assert status == 429
        rows = await server.services.db.fetch("select slug from pages", {})
        assert [row["slug"] for row in rows] == ["/a"]
        assert len(server.services.chat._records) == 0


async def test_a_room_is_a_row_from_the_first_thing_stored(server: Server) -> None:
    token = await server.guest()
    await server.post(token)
    rows = await server.services.db.fetch("select site_id, slug, last_seq from pages", {})
    assert [tuple(row) for row in rows] == [(1, "/a", 1)]


# Origins.


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        (BLOG, True),
        ("https://x.pages.dev", True),
        ("capacitor://localhost", True),
        ("http://a.example:8080", True),
        ("http://localhost", True),
        ("http://localhost:3000", True),
        ("https://localhost:8443", True),
        ("http://127.0.0.1:5500", True),
        ("https://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("http://[::1]", True),
        ("null", False),
        ("https://shop.example.com", False),  # another site's
        ("https://evil.example", False),
        ("http://blog.example.com", False),
        ("https://blog.example.com:8443", False),
        ("https://blog.example.com.evil.example", False),
        ("https://evil-blog.example.com", False),
        ("https://pages.dev", False),
        ("https://.pages.dev", False),
        ("https://a.b.pages.dev", False),
        ("http://x.pages.dev", False),
        ("https://x.pages.dev:444", False),
        ("https://evil.example/.pages.dev", False),
        ("https://u@x.pages.dev", False),
        ("http://a.example", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:evil", False),
        ("http://evil@localhost", False),
        ("ftp://localhost", False),
        ("http://127.0.0.2", False),
        ("http://127.0.0.1.evil.example", False),
        ("file://", False),
        ("localhost", False),
    ],
)
async def test_without_public_url_this_machines_pages_and_the_sites_own_may_enter(
    tmp_path: Path, origin: str | None, allowed: bool
) -> None:
    headers = [] if origin is None else [f"Origin: {origin}"]
    async with local_server(tmp_path) as server:
        answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", *headers)
    assert answer.status == (200 if allowed else 403)
    if not allowed:
        assert answer.body["error"] == "origin_not_allowed"


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://talk.example.com", True),
        (BLOG, True),
        ("http://talk.example.com", False),
        ("https://talk.example.com:8080", False),
        ("http://localhost", False),
        ("http://127.0.0.1:8080", False),
        ("https://[::1]", False),
        ("null", False),
    ],
)
async def test_with_public_url_the_servers_own_pages_may_enter_and_this_machines_may_not(
    tmp_path: Path, origin: str | None, allowed: bool
) -> None:
    headers = [] if origin is None else [f"Origin: {origin}"]
    url = with_url("https://talk.example.com:443/talk")
    async with local_server(tmp_path, server=url, sites=SITES[:2]) as server:
        answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", *headers)
        on_no_site = await raw_call(server, "/api/assets", *headers)
    assert answer.status == on_no_site.status == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [("https://anything.example", True), ("app://x", True), ("null", False)],
)
async def test_a_site_may_allow_every_origin_but_null(
    tmp_path: Path, origin: str, allowed: bool
) -> None:
    async with local_server(tmp_path, server=with_url("https://talk.example.com")) as server:
        answer = await raw_call(server, "/api/slugs?site_id=3&slug=/a", f"Origin: {origin}")
        assert answer.status == (200 if allowed else 403)
        answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", f"Origin: {origin}")
        assert answer.status == 403


@pytest.mark.parametrize("path", ["/api/assets", "/api/stat/global", "/api/auth/methods"])
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (BLOG, True),
        ("https://shop.example.com", True),
        ("http://localhost:1", True),
        ("https://evil.example", False),
        ("null", False),
    ],
)
async def test_a_call_that_names_no_site_is_open_to_the_pages_of_any_site(
    tmp_path: Path, path: str, origin: str, allowed: bool
) -> None:
    async with local_server(tmp_path, sites=SITES[:2]) as server:
        answer = await raw_call(server, path, f"Origin: {origin}")
    assert answer.status == (200 if allowed else 403)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/login"),
        ("POST", "/api/auth/renew"),
        ("POST", "/api/auth/logout"),
        ("GET", "/api/me"),
        ("PATCH", "/api/me"),
        ("GET", "/api/users/1"),
        ("GET", "/api/sites/1"),
    ],
)
async def test_a_refused_page_is_told_so_before_its_token_and_body_are_looked_at(
    server: Server, method: str, path: str
) -> None:
    status, answer, _ = await server.call(method, path, headers={"Origin": "https://evil.example"})
    assert (status, answer["error"]) == (403, "origin_not_allowed")


async def test_a_page_of_an_allowed_origin_enters_by_socket(tmp_path: Path) -> None:
    async with local_server(tmp_path) as server:
        token = await server.guest()
        async with server.listen(token, origin=BLOG) as client:
            await server.post(token)
            assert json.loads(await client.recv())["seq"] == 1
        status, _, _ = await refused_upgrade(
            server, "site_id=1&slug=/a", Origin="https://shop.example.com"
        )
        assert status == 403


async def test_a_refused_origin_is_logged_once_a_minute_with_a_cure_that_cures(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", f"Origin: {BLOG}")
        assert answer.status == 403
        # The page is told, too: its owner sees it there first.
        assert answer.body["cure"].endswith(f"talkee-lite site set 1 --add-origin {BLOG}")
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(lines) == 1
    assert f"site set 1 --add-origin {BLOG}" in lines[0]
    await server.services.sites.set(1, origins=[BLOG])
    answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", f"Origin: {BLOG}")
    assert answer.status == 200


@pytest.mark.parametrize(
    "origin", ["null", "https://x.example; rm -rf ~", "https://$(id).example", "file://", "x y"]
)
async def test_no_cure_is_offered_for_an_origin_that_no_site_can_list(
    server: Server, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    with pytest.raises(ValueError, match="must be an origin"):
        normal_origin(origin)
    answer = await raw_call(server, "/api/slugs?site_id=1&slug=/a", f"Origin: {origin}")
    assert answer.status == 403
    assert "--add-origin" not in caplog.text
    assert "cure" not in answer.body


async def test_the_cure_names_the_site_that_was_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with local_server(tmp_path) as server:
        await raw_call(
            server,
            "/api/slugs?site_id=1&slug=/a",
            "X-TALKEE-SITE-ID: 2",
            "Origin: https://new.example",
        )
        added = await server.services.sites.add(name="Blog", origins=[], public_chat=False)
        await raw_call(
            server, f"/api/slugs?site_id={added.id}&slug=/a", "Origin: https://other.example"
        )
    # One that stands in the settings is changed there alone.
    assert "add https://new.example to origins of [[sites]] id = 2" in caplog.text
    assert f"site set {added.id} --add-origin https://other.example" in caplog.text


# CORS.


def _listed(value: str) -> set[str]:
    return {item.strip().lower() for item in value.split(",")}


@pytest.mark.parametrize("path", ["/api/messages", "/api/me", "/ws/messages", "/api/auth/login"])
@pytest.mark.parametrize("origin", [BLOG, "https://shop.example.com", "http://localhost:5173"])
async def test_a_preflight_is_answered_for_every_origin_of_any_site(
    tmp_path: Path, path: str, origin: str
) -> None:
    async with local_server(tmp_path) as server:
        answer = await raw_call(
            server,
            path,
            f"Origin: {origin}",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization,content-type,x-talkee-site-id",
            method="OPTIONS",
        )
    assert answer.status == 204
    headers = answer.headers
    assert headers["access-control-allow-origin"] == origin
    assert "origin" in _listed(headers["vary"])
    methods = _listed(headers["access-control-allow-methods"])
    assert methods == {"get", "post", "put", "patch", "delete"}
    assert _listed(headers["access-control-allow-headers"]) == {
        "authorization",
        "content-type",
        "x-talkee-site-id",
        "x-talkee-site-slug",
    }
    assert headers["access-control-max-age"] == "86400"
    assert "access-control-allow-credentials" not in headers


async def test_a_preflight_of_a_strange_page_is_refused_as_every_call_of_it_is(
    tmp_path: Path,
) -> None:
    async with local_server(tmp_path, sites=SITES[:2]) as server:
        answer = await raw_call(
            server,
            "/api/messages",
            "Origin: https://evil.example",
            "Access-Control-Request-Method: POST",
            method="OPTIONS",
        )
    assert (answer.status, answer.body["error"]) == (403, "origin_not_allowed")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/slugs?site_id=1&slug=/a", 200),
        ("GET", "/api/slugs?site_id=2&slug=/a", 403),
        ("GET", "/api/slugs", 400),
        ("GET", "/ws?site_id=1&slug=/a", 426),
        ("GET", "/api/messages?site_id=1&slug=/a", 401),
        ("POST", "/api/messages?site_id=1&slug=/a", 415),
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/me", 405),
    ],
)
async def test_every_answer_errors_included_tells_the_one_origin_that_it_may_read_it(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with local_server(tmp_path) as server:
        answer = await raw_call(server, path, f"Origin: {BLOG}", method=method)
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == BLOG
    assert "origin" in _listed(answer.headers["vary"])
    exposed = _listed(answer.headers["access-control-expose-headers"])
    assert exposed == {"retry-after", "idempotent-replayed", "x-request-id"}
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_refused_origins_403_can_be_read_by_its_page(server: Server) -> None:
    status, answer, headers = await server.call(
        "GET", "/api/slugs?site_id=1&slug=/a", headers={"Origin": "https://evil.example"}
    )
    assert (status, answer["error"]) == (403, "origin_not_allowed")
    assert headers["Access-Control-Allow-Origin"] == "https://evil.example"


async def test_a_program_gets_no_cors_headers(server: Server) -> None:
    _, _, headers = await server.call("GET", "/api/slugs?site_id=1&slug=/a")
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/api/avatars/1.svg", "/talkee.js", "/welcome.css"])
async def test_static_files_and_avatars_are_open_to_every_page(server: Server, path: str) -> None:
    for origin in ("https://evil.example", "null"):
        async with server.session.get(server.url + path, headers={"Origin": origin}) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "*"


# Addresses behind proxies.


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        (["127.0.0.0/8"], [], "127.0.0.1"),
        (["127.0.0.0/8"], ["203.0.113.9"], "203.0.113.9"),
        (["127.0.0.0/8"], ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (["127.0.0.0/8"], ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (["127.0.0.0/8", "10.0.0.0/8"], ["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (
            ["127.0.0.0/8", "10.0.0.0/8"],
            ["1.2.3.4, 203.0.113.9,10.1.2.3 , 10.0.0.1"],
            "203.0.113.9",
        ),
        (["127.0.0.0/8", "10.0.0.0/8"], ["10.1.2.3"], "10.1.2.3"),
        (["127.0.0.0/8"], ["203.0.113.9:4711"], "203.0.113.9"),
        (["127.0.0.0/8"], ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::"),
        (["127.0.0.0/8"], ["[2001:db8:1:2:3:4:5:6]:443"], "2001:db8:1:2::"),
        (["127.0.0.0/8"], ["::ffff:203.0.113.9"], "203.0.113.9"),
        (["127.0.0.0/8"], ["203.0.113.9, garbage"], "127.0.0.1"),
        (["127.0.0.0/8"], ["garbage, 203.0.113.9"], "203.0.113.9"),
        (["127.0.0.0/8"], [""], "127.0.0.1"),
        (["127.0.0.0/8"], ["unknown"], "127.0.0.1"),
        (["10.0.0.0/8"], ["203.0.113.9"], "127.0.0.1"),
        ([], ["203.0.113.9"], "127.0.0.1"),
    ],
)
async def test_an_address_is_read_from_the_right_of_x_forwarded_for_behind_trusted_proxies(
    tmp_path: Path, trusted: list[str], forwarded: list[str], address: str
) -> None:
    proxies = replace(Config().server, trusted_proxies=tuple(trusted))
    async with running(config_in(tmp_path, server=proxies)) as server:
        headers = [("X-Forwarded-For", value) for value in forwarded]
        async with server.listen(additional_headers=headers):
            await until(lambda: len(server.services.sockets) == 1)
            assert server.services.sockets.connections[0].address == address


async def test_people_behind_one_trusted_proxy_do_not_use_up_each_others_limits(
    tmp_path: Path,
) -> None:
    limits = free_limits(address_messages_per_second=0.001, address_messages_burst=1)
    async with running(config_in(tmp_path, limits=limits)) as server:
        token = await server.guest()
        statuses = []
        for address in ("203.0.113.1", "203.0.113.2", "1.1.1.1, 203.0.113.1"):
            status, _, _ = await server.call(
                "POST",
                "/api/messages?site_id=1&slug=/a",
                draft(message_id=str(uuid.uuid4())),
                token=token,
                headers={"X-Forwarded-For": address},
            )
            statuses.append(status)
    # The third one is the first address again, with something of its own invention before it.
    assert statuses == [200, 200, 429]


async def test_a_header_of_the_host_does_not_end_up_in_what_the_server_writes(
    tmp_path: Path,
) -> None:
    url = with_url("https://talk.example.com/talk")
    async with local_server(tmp_path, server=url) as server:
        token = await server.guest()
        answer = await raw_call(server, "/api/me", f"Authorization: Bearer {token}")
        assert answer.body["data"]["avatar_url"].startswith(
            "https://talk.example.com/talk/api/avatars/"
        )


async def test_parameters_that_nobody_reads_are_not_kept(server: Server) -> None:
    junk = "&".join(f"p{n}=1" for n in range(1000))
    before = context._parse_cached.cache_info().currsize
    assert (await raw_call(server, f"/api/slugs?site_id=1&slug=/a&{junk}")).status == 200
    assert context._parse_cached.cache_info().currsize == before
    assert context._parse("site_id=1&x=2&slug=%2Fa&site_id=3") == {"site_id": "1", "slug": "/a"}
