"""Markdown to HTML: what is shown, what never is, and how long it may take."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from talkee_lite import markdown
from talkee_lite.comments import MOST_COMMENT
from talkee_lite.control import VERBS
from talkee_lite.markdown import to_html
from talkee_lite.markup import _PARSERS, parsed
from talkee_lite.text import clean_text

from .harness import Server, config_in, running
from .test_comments import call, listed, reply, repr_start, say

LETTERS = "abzAZ09  ,;?!'\"()%$/.:-_*#>é日本\u00a0\u200b\u3000wm@~\t=+&<｡．／١"
WORDS = (
    *("www", "a.b", "http", "example", "com", "e.g.", "1.", "12)", "-", "--", "a-b", "://"),
    *("//x.com", "mailto:", "foo:", "bar: baz", "日本", "é", "(c)", "...", "+1", "t.co", "x/y"),
    *("'q'", "_a_", "___", "localhost", "1", "١.", "www.example.com", "ann@example.com"),
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(config_in(tmp_path)) as server:
        yield server


def test_what_needs_no_parser_is_what_the_parser_makes() -> None:
    chosen = random.Random(7)
    plain = 0
    for number in range(30_000):
        if number % 3:
            pieces = [chosen.choice(WORDS) for _ in range(chosen.randrange(1, 6))]
            text = (" " if number % 2 else "").join(pieces).strip()
        else:
            text = "".join(chosen.choice(LETTERS) for _ in range(chosen.randrange(1, 14))).strip()
        if text and markdown._is_plain(text):
            plain += 1
            assert to_html(text) == parsed(text), text
    assert plain > 3000


@pytest.mark.parametrize(
    "text",
    ["I like it!", "Is it so? Yes: it is; well-known (to me), 20% of $5", "日本語 é", "one. Two."],
)
def test_plain_text_needs_no_parser(text: str) -> None:
    assert markdown._is_plain(text)
    assert to_html(text) == parsed(text)


@pytest.mark.parametrize(
    "text",
    ["a\nb", "www.example.com", "example.com", "1. one", "- one", "*a*", "a&amp;b", "<b>", "`a`"],
)
def test_what_may_mean_something_goes_through_the_parser(text: str) -> None:
    assert not markdown._is_plain(text)


def test_pictures_are_text_unless_they_are_allowed() -> None:
    text = "![a cat](https://example.com/cat.png)"
    assert "<img" not in to_html(text)
    assert to_html(text, images=True) == (
        '<p><img src="https://example.com/cat.png" alt="a cat" loading="lazy"'
        ' referrerpolicy="no-referrer"></p>'
    )
    for address in (
        "javascript:alert(1)",
        "data:image/png;base64,AAAA",
        "//example.com/a",
        "a.png",
    ):
        shown = to_html(f"![x]({address})", images=True)
        assert "javascript" not in shown.partition('src="')[2]
        assert 'src="data' not in shown
    assert (
        "onerror"
        not in to_html("<img src=x onerror=alert(1)>", images=True).replace("&lt;", "")[:4]
    )


async def test_html_is_made_anew_when_a_site_allows_pictures(server: Server) -> None:
    ann = await server.guest("Ann")
    text = "![a](https://example.com/a.png)"
    comment = await say(server, ann, text)
    await reply(server, ann, comment, text)
    assert "<img" not in (await listed(server))[0]["content_html"]
    await VERBS["site-set"](server.services, {"id": 1, "images": True})
    found = (await listed(server))[0]
    assert found == comment | {"reply_count": 1, "content_html": found["content_html"]}
    assert "<img" in found["content_html"]
    replies = await call(server, "GET", f"/{comment['id']}/replies")
    assert "<img" in replies["replies"][0]["content_html"]
    assert await server.services.rendering.renew() == 0
    await VERBS["site-set"](server.services, {"id": 1, "images": False})
    assert "<img" not in (await listed(server))[0]["content_html"]


async def test_html_of_an_older_version_is_made_anew_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(config_in(tmp_path)) as server:
        ann = await server.guest("Ann")
        kept = [await say(server, ann, f"number {number}") for number in range(450)]
        deleted = kept.pop()
        await call(server, "DELETE", f"/{deleted['id']}", token=ann)
    monkeypatch.setattr(markdown, "_VERSION", markdown._VERSION + 1)
    async with running(config_in(tmp_path)) as server:
        assert await server.services.rendering.renew() in (0, 449)
        rows = await server.services.db.fetch(
            "select html_version, html from comments where status = 'published'", {}
        )
        assert {row["html_version"] for row in rows} == {markdown.version()}
        assert {row["html"] for row in rows} == {c["content_html"] for c in kept}


@pytest.mark.parametrize(
    ("typed", "html"),
    [
        ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("<b onclick=x>b</b>", "<p>&lt;b onclick=x&gt;b&lt;/b&gt;</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("[x](data:text/html,a)", "<p>[x](data:text/html,a)</p>"),
        (
            "![pixel](https://example.com/p.png)",
            '<p>!<a href="https://example.com/p.png" rel="nofollow ugc noopener">pixel</a></p>',
        ),
        ("~~gone~~", "<p><s>gone</s></p>"),
        ("* a\n* b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("```js\nlet a = '<';\n```", "<pre><code>let a = '&lt;';\n</code></pre>"),
        ("\u202ertl", "<p>\u202ertl</p>"),
    ],
)
def test_markdown(typed: str, html: str) -> None:
    assert to_html(typed) == html


@pytest.mark.parametrize(
    "bomb",
    [
        "> " * 5_000 + "x",
        "[" * 10_000,
        "![" * 5_000,
        "*a " * 3_400,
        "**" * 5_000,
        "`" * 10_240,
        "[a](b" * 2_000,
        "http://a.b " * 930,
        "- " * 5_000,
        "|" * 10_000,
        "a@b.c " * 1_700,
        "&" * 10_000,
        "<" * 10_000,
        "\\\n" * 5_000,
        "1. " * 3_400,
        "~" * 10_000,
        "www.$" * 2_048,
        "[a]: b (" + '"' * 5_000 + ")\n\n" + "[a] " * 1_290,
        "a.co " * 2_046,
        "a.b/" * 2_560,
        "_*" * 5_000,
        "<a@b.c>" * 1_400,
        "![a](http://b.c)" * 640,
        "xn--" * 2_560,
    ],
    ids=repr_start,
)
@pytest.mark.parametrize("images", [False, True])
def test_a_markdown_bomb_takes_bounded_time(bomb: str, images: bool) -> None:
    started = time.process_time()
    to_html(bomb[:MOST_COMMENT], images=images)
    # Generous: a tenth of it is usual. Exponential work would take for ever.
    assert time.process_time() - started < 1


def test_whatever_is_typed_becomes_html() -> None:
    pieces = (
        *(
            "naxn--",
            "[",
            "]",
            "(",
            ")",
            "ftp://",
            "p://",
            "http://",
            "*",
            "_",
            "`",
            "\n",
            "\t",
            "!",
        ),
        *(
            "<",
            ">",
            "&",
            "a",
            "www.",
            ".",
            " ",
            "mailto:",
            "@",
            "\\",
            "~~",
            "#",
            "-",
            "1.",
            "|",
            "é",
        ),
    )
    chosen = random.Random(11)
    for _ in range(4_000):
        text = "".join(chosen.choice(pieces) for _ in range(chosen.randrange(1, 14)))
        for images in (False, True):
            assert isinstance(_PARSERS[images].render(text), str), text


@pytest.mark.parametrize("typed", ["a&#12;b", "a&#x1b;b", "a&#xFFFE;b", "a&#x85;b"])
def test_what_may_not_be_typed_does_not_come_by_its_number(typed: str) -> None:
    shown = to_html(typed)
    assert shown == clean_text(shown)
    assert shown.startswith("<p>a")


def test_bare_addresses_are_links_whatever_stands_around_them() -> None:
    shown = to_html("see www.example.com, (example.com) or ann@example.com: http://a.b/c?d=e#f.")
    for address in (
        "http://www.example.com",
        "http://example.com",
        "mailto:ann@example.com",
        "http://a.b/c?d=e#f",
    ):
        assert f'<a href="{address}" rel="nofollow ugc noopener">' in shown
    assert "<a" not in to_html("ftp://example and xn--a[ftp://b")
    long = f"https://example.com/{'a' * 2_000}"
    assert f'<a href="{long}"' in to_html(f"{long} `www.example.com`")


async def test_a_text_that_becomes_too_much_html_is_refused(server: Server) -> None:
    ann = await server.guest("Ann")
    for content in ("a.co " * 2_000, "<a@b.c>" * 1_400):
        answer = await call(server, "POST", "", {"content": content}, token=ann, status=400)
        assert (answer["error"], answer["field"]) == ("invalid_content", "content")
        assert "HTML" in answer["msg"]
    assert await listed(server) == []


@pytest.mark.parametrize("content", ["\u200b", "\u2060\u200d \u3164", "\u202e\u202c", "\ufe0f"])
async def test_a_text_of_which_nothing_is_seen_is_refused(content: str, server: Server) -> None:
    ann = await server.guest("Ann")
    await call(server, "POST", "", {"content": content}, token=ann, status=400)


async def test_no_picture_stays_when_a_site_allows_them_no_more(server: Server) -> None:
    ann = await server.guest("Ann")
    for turn in range(5):
        await VERBS["site-set"](server.services, {"id": 1, "images": True})
        texts = [f"{turn} {n} ![a](https://example.com/{'a' * 600}.png)" for n in range(10)]
        await asyncio.gather(
            *(say(server, ann, text) for text in texts),
            VERBS["site-set"](server.services, {"id": 1, "images": False}),
        )
        rows = await server.services.db.fetch("select html_version, html from comments", {})
        assert {row["html_version"] for row in rows} == {markdown.version()}
        assert not any("<img" in row["html"] for row in rows)
