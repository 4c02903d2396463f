"""The comments of a page as HTML."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from talkee_lite.byte_cache import ByteCache
from talkee_lite.changes import Changes
from talkee_lite.config import AuthConfig, SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.models import RoomKey

from .harness import Server, config_in, running, server_process
from .reading import (
    PAGE,
    ROOM,
    Got,
    comment,
    comments,
    count,
    execute,
    fill,
    get,
    person,
    reply,
    serving,
)
from .test_held import hold, moderator
from .validator import html_problems

BLOG = "https://blog.example.com"
# A direction override, a quote and markup, what XML cannot hold.
HOSTILE = "\u202e\"'><script>alert(1)</script>\ufffe&amp;"


def texts(got: Got) -> list[str]:
    """What is written in the comments that are shown, replies left out."""
    found = got.tree.xpath("//article[@class='comment']/div[@class='text']")
    return [one.text_content().strip() for one in found]


async def all_parts(server: Server, path: str = PAGE) -> list[Got]:
    """Every part, by following `next` from the first."""
    parts = []
    while path:
        part = await get(server, path)
        assert part.status == 200
        parts.append(part)
        path = part.link("next")
    return parts


async def test_a_page_as_people_read_it(server: Server, tmp_path: Path) -> None:
    ann, ben = await person(server), await person(server, "Ben")
    mo = await server.services.tokens.identify(await moderator(server))
    first = await comment(server, ann, "**First**, see https://example.com")
    second = await comment(server, mo, "second")
    below = await reply(server, ben, first.id, "*Hi*")
    answer = await reply(server, ann, first.id, "To you", below.id)
    await server.services.comments.favour(ben, ROOM, first.id, "x", likes=True)
    await server.services.comments.edit(mo, ROOM, second.id, "changed", "x")
    await server.services.pages.describe(None, ROOM, f"{BLOG}/posts/1?a=b&c", "A <title>")
    got = await get(server, PAGE)
    assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert got.anchors == [f"c{first.id}", f"r{below.id}", f"r{answer.id}", f"c{second.id}"]
    assert got.find("//title").text == "Comments on A <title>"
    back = got.find("//h1/a")
    assert (back.text, back.get("href")) == ("A <title>", f"{BLOG}/posts/1?a=b&c")
    assert got.link("canonical") == f"{server.url}{PAGE}"
    assert got.link("alternate") == f"{server.url}/feeds/1/page.atom?slug=/posts/1"
    assert (got.link("prev"), got.link("next")) == ("", "")
    assert got.tree.xpath("//meta[@name='robots']") == []
    names = got.tree.xpath("//article/header/*[self::h2 or self::h3]/bdi/text()")
    assert names == ["Ann", "Ben", "Ann", "Mo"]
    assert got.tree.xpath("//span[@class='kind']/text()") == ["staff"]
    assert got.tree.xpath("//span[@class='edited']/text()") == ["edited"]
    assert got.find(f"//article[@id='r{answer.id}']//span[@class='to']//bdi").text == "Ben"
    assert got.find("//p[@class='foot']/span").text == "1 like"
    assert len(got.tree.xpath("//time[@datetime]")) == 4
    assert texts(got) == ["First, see https://example.com", "changed"]
    assert "<strong>First</strong>" in got.text
    assert 'rel="nofollow ugc noopener">https://example.com</a>' in got.text
    assert html_problems({"page": got.text}, tmp_path) == ""


async def test_its_headers(server: Server) -> None:
    await comments(server, 1)
    headers = (await get(server, PAGE)).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    # With `no-referrer` a browser would send the form with `Origin: null`.
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "private, no-cache"
    assert "Set-Cookie" not in headers
    await VERBS["site-set"](server.services, {"id": 1, "images": True})
    policy = (await get(server, PAGE)).headers["Content-Security-Policy"]
    assert "; img-src 'self' data: https: http:; " in policy


async def test_the_style_stands_in_a_file(server: Server) -> None:
    got = await get(server, (await get(server, PAGE)).link("stylesheet"))
    assert (got.status, got.headers["Content-Type"]) == (200, "text/css; charset=utf-8")


@pytest.mark.parametrize("total", [1, 50, 51, 100, 120])
async def test_parts_are_a_chain_both_ways(server: Server, total: int) -> None:
    made = await comments(server, total)
    parts = await all_parts(server)
    assert [len(part.anchors) for part in parts] == [
        min(50, total - start) for start in range(0, total, 50)
    ]
    assert [a for part in parts for a in part.anchors] == [f"c{one.id}" for one in made]
    for earlier, later in pairwise(parts):
        assert later.link("prev") == earlier.url
        assert later.link("canonical") == later.url
    newest = parts[0].tree.xpath("//nav//a[text()='Newest comments']/@href")
    assert newest == ([f"?{urlsplit(parts[-1].url).query}"] if total > 100 else [])


async def test_addresses_stay_when_comments_go(server: Server) -> None:
    made = await comments(server, 120)
    second = (await all_parts(server))[1]
    for one in (made[3], made[49]):
        await server.services.comments.delete(None, ROOM, one.id, "")
    # The one that it begins behind is gone.
    assert second.url.endswith(f"after={made[49].id}")
    assert (await get(server, second.url)).anchors == second.anchors
    shown = [a for part in await all_parts(server) for a in part.anchors]
    assert shown == [f"c{one.id}" for n, one in enumerate(made) if n not in (3, 49)]


async def test_a_thousand_replies_are_shown_in_parts(server: Server) -> None:
    ann = await person(server)
    first = await comment(server, ann, "first")
    await comment(server, ann, "second")
    made = [await reply(server, ann, first.id, f"reply {n}") for n in range(1000)]
    got = await get(server, PAGE)
    assert len(got.text) < 20_000
    assert got.anchors == [
        f"c{first.id}",
        *[f"r{one.id}" for one in made[:10]],
        f"c{first.id + 1}",
    ]
    rest = got.find("//p[@class='more']/a")
    assert rest.text == "All 1,000 replies"
    parts = await all_parts(server, rest.get("href").replace("?", "/t/1?"))
    assert len(parts) == 20
    assert [a for part in parts for a in part.anchors[1:]] == [f"r{one.id}" for one in made]
    for earlier, later in pairwise(parts):
        assert later.link("prev") == earlier.url.partition("#")[0]
    # These are the one place of most replies: they are indexed, and those of few are not.
    assert all(not part.tree.xpath("//meta[@name='robots']") for part in parts)
    await reply(server, ann, first.id + 1)
    few = await get(server, f"{PAGE}&comment={first.id + 1}")
    assert few.find("//meta[@name='robots']").get("content") == "noindex"
    # A reply has an address at which it stands, wherever that is.
    one = await get(server, f"{PAGE}&comment={first.id}&reply={made[777].id}")
    assert one.anchors[:2] == [f"c{first.id}", f"r{made[777].id}"]
    assert one.link("prev").endswith(f"&after={made[777 - 51].id}")
    assert one.find("//meta[@name='robots']").get("content") == "noindex"


async def test_a_part_has_a_limit_in_bytes(server: Server) -> None:
    ann = await person(server)
    made = [await comment(server, ann, "a.co " * 500 + str(n)) for n in range(50)]
    for n in range(20):
        await reply(server, ann, made[0].id, "a.co " * 400 + str(n))
    parts = await all_parts(server)
    assert len(parts) > 2
    assert max(len(part.text) for part in parts) < 850_000
    assert [a for part in parts for a in part.anchors if a[0] == "c"] == [
        f"c{one.id}" for one in made
    ]
    # Still there, apart.
    replies = await all_parts(server, f"{PAGE}&comment={made[0].id}")
    assert sum(len(part.anchors) - 1 for part in replies) == 20


async def test_a_deleted_comment_with_replies_stays_without_its_text(
    server: Server, tmp_path: Path
) -> None:
    ann, ben = await person(server), await person(server, "Ben")
    first = await comment(server, ann, "regrettable")
    below = await reply(server, ben, first.id, "kind words")
    await server.services.comments.delete(ann, ROOM, first.id, "x")
    for path in (PAGE, f"{PAGE}&comment={first.id}"):
        got = await get(server, path)
        assert got.anchors == [f"c{first.id}", f"r{below.id}"]
        assert "regrettable" not in got.text
        assert "Ann" not in got.text
        assert got.find("//p[@class='deleted']").text == "This comment was deleted."
        assert got.tree.xpath("//p[@class='foot']/a") == []
    # Nobody replies to it.
    assert got.tree.xpath("//form") == []
    assert html_problems({"page": got.text}, tmp_path) == ""
    await server.services.comments.delete_reply(ben, ROOM, first.id, below.id, "x")
    assert (await get(server, PAGE)).status == 404


async def test_what_is_held_is_nowhere(server: Server) -> None:
    ann = await person(server)
    shown = await comment(server, ann, "shown")
    await hold(server)
    held = await comment(server, ann, "held back")
    below = await reply(server, ann, shown.id, "held back too")
    for path in ("", f"&comment={shown.id}"):
        got = await get(server, PAGE + path)
        assert got.anchors == [f"c{shown.id}"]
        assert "held back" not in got.text
    for query in (f"after={held.id}", f"comment={held.id}", f"comment={shown.id}&reply={below.id}"):
        assert (await get(server, f"{PAGE}&{query}")).status == 404
    await server.services.comments.approve(None, ROOM, held.id, "")
    await server.services.comments.approve_reply(None, ROOM, shown.id, below.id, "")
    assert (await get(server, PAGE)).anchors == [f"c{shown.id}", f"r{below.id}", f"c{held.id}"]


async def test_a_page_without_anything_published(server: Server, tmp_path: Path) -> None:
    got = await get(server, PAGE)
    assert (got.status, got.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert got.find("//meta[@name='robots']").get("content") == "noindex"
    assert got.find("//p[@class='empty']").text == "Nobody has written here yet."
    assert "ETag" not in got.headers
    # Somebody has to be the first.
    assert got.token
    assert html_problems({"page": got.text}, tmp_path) == ""
    await hold(server)
    await comment(server, await person(server))
    assert (await get(server, PAGE)).status == 404


async def test_invented_slugs_leave_nothing(server: Server) -> None:
    services, most = server.services, 2000
    for start in range(0, most, 50):
        answers = await asyncio.gather(
            *(get(server, f"/t/1?slug=/invented/{n}") for n in range(start, start + 50))
        )
        assert {answer.status for answer in answers} == {404}
    assert await count(server, "pages") == 0
    assert (len(services.made), services.made.cost, len(services.changes)) == (0, 0, 0)
    assert len(services.forms) == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/t/2?slug=/posts/1", 404),
        ("/t/0?slug=/posts/1", 404),
        ("/t/01?slug=/posts/1", 404),
        ("/t/-1?slug=/posts/1", 404),
        ("/t/x?slug=/posts/1", 404),
        ("/t/99999999999999999999?slug=/posts/1", 404),
        ("/t/1%0A?slug=/posts/1", 404),
        ("/t/1", 400),
        ("/t/1?slug=", 400),
        ("/t/1?slug=%0A", 400),
        ("/t/1?slug=a%0Ab", 400),
        ("/t/1?slug=%FF", 400),
        ("/t/1?slug=" + "a" * 257, 400),
        (f"{PAGE}&after=x", 404),
        (f"{PAGE}&after=0", 404),
        (f"{PAGE}&after=-1", 404),
        (f"{PAGE}&after=99999999999999999999", 404),
        (f"{PAGE}&after=77", 404),
        (f"{PAGE}&after=1", 404),
        (f"{PAGE}&comment=77", 404),
        (f"{PAGE}&comment=2", 404),
        (f"{PAGE}&comment=1&after=1", 404),
        (f"{PAGE}&comment=1&reply=1", 404),
        (f"{PAGE}&reply=1", 404),
        (f"{PAGE}&comment=1&reply=1&after=1", 404),
    ],
)
async def test_nonsense_is_answered_as_a_page(server: Server, path: str, status: int) -> None:
    ann = await person(server)
    await comment(server, ann)
    await comment(server, ann, "elsewhere", RoomKey(1, "/other"))
    got = await get(server, path)
    assert (got.status, got.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert got.find("//meta[@name='robots']").get("content") == "noindex"
    assert got.find("//h1").text
    assert "Content-Security-Policy" in got.headers


async def test_errors_are_good_html(server: Server, tmp_path: Path) -> None:
    got = {f"e{n}": (await get(server, p)).text for n, p in enumerate(("/t/x", "/t/1"))}
    assert html_problems(got, tmp_path) == ""


async def test_pages_of_others_do_not_read_it(server: Server) -> None:
    await comments(server, 1)
    got = await get(server, PAGE, Origin="https://evil.example")
    assert got.status == 403
    assert "comment 0" not in got.text
    assert "token" not in got.text
    assert (await get(server, PAGE, Origin=server.url)).status == 200


async def test_a_page_that_moved(server: Server) -> None:
    (first,) = await comments(server, 1)
    await VERBS["page-move"](server.services, {"site": 1, "slug": "/posts/1", "new": "/a b&c"})
    got = await get(server, f"{PAGE}&comment={first.id}&junk=1")
    assert (got.status, got.headers["Location"]) == (
        301,
        f"?slug=/a%20b%26c&comment={first.id}",
    )
    assert (await get(server, "/t/1?slug=/a%20b%26c")).anchors == [f"c{first.id}"]
    await VERBS["page-move"](server.services, {"site": 1, "slug": "/a b&c", "new": "/posts/1"})
    assert (await get(server, PAGE)).anchors == [f"c{first.id}"]


async def test_a_slash_at_the_end_is_taken_away(server: Server) -> None:
    await comments(server, 1)
    got = await get(server, "/t/1/?slug=/posts/1&after=1")
    assert (got.status, got.headers["Location"]) == (301, "../1?slug=/posts/1&after=1")


async def test_there_is_no_form_where_nothing_can_be_written(
    server: Server, tmp_path: Path
) -> None:
    (first,) = await comments(server, 1)
    assert len((await get(server, PAGE)).tree.xpath("//form")) == 1
    await VERBS["room-close"](server.services, {"site": 1, "slug": "/posts/1"})
    for path in (PAGE, f"{PAGE}&comment={first.id}"):
        got = await get(server, path)
        assert (got.status, got.tree.xpath("//form")) == (200, [])
        assert got.tree.xpath("//article//p[@class='foot']/a") == []
    assert html_problems({"page": got.text}, tmp_path) == ""
    await VERBS["room-open"](server.services, {"site": 1, "slug": "/posts/1"})
    assert len((await get(server, PAGE)).tree.xpath("//form")) == 1


async def test_there_is_no_form_without_guests(tmp_path: Path) -> None:
    async with serving(tmp_path, auth=AuthConfig(guest=False)) as server:
        await comments(server, 1)
        for path in (PAGE, "/t/1?slug=/empty"):
            assert (await get(server, path)).tree.xpath("//form") == []


async def test_hostile_names_slugs_titles_and_addresses(tmp_path: Path) -> None:
    slug = f"/{HOSTILE}".replace("\ufffe", "")
    room, path = RoomKey(1, slug), f"/t/1?slug={quote(slug)}"
    async with serving(tmp_path) as server:
        ann = await person(server)
        text = f"{HOSTILE} http://a.example/%01%EF%BF%BE &#12;"
        first = await comment(server, ann, text, room)
        below = await reply(server, ann, first.id, HOSTILE, room=room)
        await reply(server, ann, first.id, "to that", below.id, room=room)
        documents = {"by-slug": (await get(server, path)).text}
        # Stored by nobody's leave: whatever is in the file is escaped, and no link leads to it.
        await execute(server, "update users set full_name = :name", name=HOSTILE)
        await execute(server, "update sites set name = :name", name=HOSTILE)
        await execute(
            server,
            "update pages set title = :title, address = 'javascript:alert(1)//https://a.example'",
            title=HOSTILE,
        )
    async with serving(tmp_path) as server:
        got = await get(server, path)
        assert got.anchors[0] == f"c{first.id}"
        documents["by-title"] = got.text
        documents["alone"] = (await get(server, f"{path}&comment={first.id}")).text
        again = await fill(server, path, HOSTILE, HOSTILE * 10)
        assert again.status == 400
        documents["again"] = again.text
    for name, text in documents.items():
        assert "<script" not in text, name
        assert "javascript:" not in text, name
        assert not any(c in text for c in "\ufffe\x01\x0c"), name
        tree = Got(200, {}, text, server.url).tree
        assert tree.xpath("//@onclick | //@style | //script | //style") == []
        # Overrides do not reach beyond what they stand in.
        for found in tree.xpath("//text()[contains(., '\u202e')]"):
            within = {up.tag for up in found.getparent().iterancestors()} | {found.getparent().tag}
            assert within & {"bdi", "div", "textarea"}, name
    assert html_problems(documents, tmp_path) == ""


async def test_a_comment_cannot_break_out_of_its_place(server: Server) -> None:
    ann = await person(server)
    for text in (
        "</div></article><h1>x",
        "<!-- ",
        "<form action=//evil.example><input name=token>",
    ):
        await comment(server, ann, text)
    got = await get(server, PAGE)
    assert len(got.anchors) == 3
    assert len(got.tree.xpath("//form")) == 1
    assert len(got.tree.xpath("//h1")) == 1


# Conditional requests (RFC 9110, chapter 13).


async def test_a_client_that_holds_it_is_told_so_without_making_it(server: Server) -> None:
    await comments(server, 3)
    got = await get(server, PAGE)
    etag, modified = got.headers["ETag"], got.headers["Last-Modified"]
    server.services.made = ByteCache(1000)
    for condition in (
        {"If_None_Match": etag},
        {"If_None_Match": etag.removeprefix("W/")},
        {"If_None_Match": f'"x", {etag} , "y"'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": server_time(1)},
        {"If_None_Match": etag, "If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        for method in ("GET", "HEAD"):
            held = await get(server, PAGE, method, **condition)
            assert (held.status, held.text) == (304, ""), condition
            assert held.headers["ETag"] == etag
            assert "Content-Type" in held.headers
    assert len(server.services.made) == 0
    for condition in (
        {"If_None_Match": '"x"'},
        {"If_None_Match": '"x"', "If_Modified_Since": server_time(1)},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_Modified_Since": "yesterday"},
        {"If_Modified_Since": ""},
    ):
        assert (await get(server, PAGE, **condition)).status == 200, condition
    assert modified.endswith(" GMT")


def server_time(ahead: int) -> str:
    """A date as HTTP writes it, some seconds from now."""
    return formatdate(time.time() + ahead, usegmt=True)


async def test_a_date_that_was_given_is_good_until_something_changes(server: Server) -> None:
    ann = await person(server)
    await comment(server, ann)
    while True:
        got = await get(server, PAGE)
        held = await get(server, PAGE, If_Modified_Since=got.headers["Last-Modified"])
        if held.status == 304:
            break
        await asyncio.sleep(0.1)
    # Within the same second too.
    await comment(server, ann, "another")
    held = await get(server, PAGE, If_Modified_Since=got.headers["Last-Modified"])
    assert (held.status, len(held.anchors)) == (200, 2)


async def test_what_is_not_there_is_not_held(server: Server) -> None:
    await comments(server, 1)
    etag = (await get(server, PAGE)).headers["ETag"]
    for path in ("/t/1?slug=/other", f"{PAGE}&comment=7", f"{PAGE}&after=7"):
        for condition in (
            {"If_None_Match": etag},
            {"If_None_Match": "*"},
            {"If_Modified_Since": server_time(1)},
        ):
            assert (await get(server, path, **condition)).status == 404


async def test_every_change_is_another_state(server: Server) -> None:
    services = server.services
    ann, ben = await person(server), await person(server, "Ben")
    first = await comment(server, ann)
    below = await reply(server, ben, first.id)
    call = services.comments
    site = {"id": 1}
    page = {"site": 1, "slug": "/posts/1"}
    changes: dict[str, Any] = {
        "a comment": lambda: comment(server, ann, "second"),
        "a reply": lambda: reply(server, ann, first.id, "second"),
        "a like": lambda: call.favour(ben, ROOM, first.id, "x", likes=True),
        "an edit": lambda: call.edit(ann, ROOM, first.id, "edited", "x"),
        "a reply's edit": lambda: call.edit_reply(ben, ROOM, first.id, below.id, "edited", "x"),
        "a deletion": lambda: call.delete(ann, ROOM, first.id, "x"),
        "a reply's deletion": lambda: call.delete_reply(ben, ROOM, first.id, below.id, "x"),
        "a name": lambda: services.people.rename(ann, "Anna"),
        "a title": lambda: VERBS["page-set"](services, page | {"title": "Title"}),
        "closing": lambda: VERBS["room-close"](services, page),
        "opening": lambda: VERBS["room-open"](services, page),
        "the site's name": lambda: VERBS["site-set"](services, site | {"name": "New"}),
        "pictures": lambda: VERBS["site-set"](services, site | {"images": True}),
        "leaving": lambda: VERBS["user-delete"](services, {"id": ben.user.id}),
    }
    for name, change in changes.items():
        before = await get(server, PAGE)
        await change()
        after = await get(server, PAGE, If_None_Match=before.headers["ETag"])
        assert after.status == 200, name
        assert after.headers["ETag"] != before.headers["ETag"], name
        assert (await get(server, PAGE)).headers["ETag"] == after.headers["ETag"], name


async def test_html_that_is_made_anew_is_another_state(server: Server) -> None:
    await comments(server, 1)
    await execute(server, "update comments set html = '<p>old</p>', html_version = 0")
    await execute(server, "delete from meta where key like 'html_version%'")
    for path in (PAGE, "/feeds/1/page.atom?slug=/posts/1", "/feeds/1/site.atom"):
        old = await get(server, path)
        assert "old" in old.text
    await server.services.rendering.renew()
    for path in (PAGE, "/feeds/1/page.atom?slug=/posts/1", "/feeds/1/site.atom"):
        new = await get(server, path, If_None_Match=old.headers["ETag"])
        assert new.status == 200
        assert "comment 0" in new.text


async def test_counts_that_were_set_right_are_another_state(server: Server) -> None:
    await comments(server, 1)
    await execute(server, "update comments set favor_count = 7")
    server.services.changes.changed(ROOM)
    wrong = await get(server, PAGE)
    assert wrong.find("//p[@class='foot']/span").text == "7 likes"
    await VERBS["recount"](server.services, {})
    right = await get(server, PAGE, If_None_Match=wrong.headers["ETag"])
    assert right.tree.xpath("//p[@class='foot']/span") == []


async def test_nothing_old_is_shown_after_a_change(server: Server) -> None:
    ann = await person(server)
    made = [await comment(server, ann, "first")]
    stop = False

    async def read() -> None:
        while not stop:
            await get(server, PAGE)

    readers = [asyncio.create_task(read()) for _ in range(8)]
    for n in range(40):
        made.append(await comment(server, ann, f"comment {n}"))
        assert (await get(server, PAGE)).anchors == [f"c{one.id}" for one in made]
    stop = True
    await asyncio.gather(*readers)


def test_states_of_another_process_are_others(tmp_path: Path) -> None:
    """Counts of changes begin anew with each: a state of the one is none of the other."""

    def ask(url: str, etag: str = "") -> tuple[int, str]:
        headers = {"If-None-Match": etag} if etag else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as got:
                return got.status, got.headers["ETag"]
        except urllib.error.HTTPError as error:
            error.close()
            return error.code, error.headers["ETag"]

    asyncio.run(_write_one(tmp_path))
    tags: dict[str, str] = {}
    for _ in range(2):
        with server_process(tmp_path) as process:
            for path in (PAGE, "/feeds/1/site.atom"):
                url = process.url + path
                status, etag = ask(url)
                assert (status, ask(url, etag)) == (200, (304, etag))
                assert ask(url, tags.get(path, '"x"'))[0] == 200
                tags[path] = etag
            assert process.stop() == 0


async def _write_one(folder: Path) -> None:
    async with serving(folder) as server:
        await comments(server, 1)


async def test_head_has_everything_but_the_body(server: Server) -> None:
    await comments(server, 1)
    for path in (PAGE, "/t/1?slug=/empty", "/t/x"):
        shown, head = await get(server, path), await get(server, path, "HEAD")
        assert (head.status, head.text) == (shown.status, "")
        for name in ("Content-Type", "ETag", "Content-Security-Policy"):
            assert head.headers.get(name) == shown.headers.get(name)


async def test_what_is_kept_is_bounded(server: Server) -> None:
    ann = await person(server)
    for n in range(30):
        await comment(server, ann, "a.co " * 500, RoomKey(1, f"/{n}"))
    server.services.made = ByteCache(200_000)
    for n in range(30):
        assert (await get(server, f"/t/1?slug=/{n}")).status == 200
    assert 3 < len(server.services.made) < 10
    assert server.services.made.cost <= 200_000


def test_a_cache_keeps_what_was_used_last() -> None:
    cache = ByteCache[str](40_000)
    for n in range(5):
        cache.keep(n, 1, str(n), 7000)
        cache.find(0, 1)
    assert [cache.find(n, 1) for n in range(5)] == ["0", "1", "2", "3", "4"]
    cache.keep(5, 1, "5", 7000)
    assert cache.find(0, 1) is None
    assert cache.find(1, 2) is None
    assert cache.find(1, 1) is None
    cache.keep(6, 1, "too large", 11_000)
    assert cache.find(6, 1) is None
    cache.keep(2, 3, "other", 100)
    assert cache.find(2, 3) == "other"
    assert cache.cost == sum((612, 7512, 7512, 7512))


async def test_changes_are_never_taken_for_older_ones(server: Server) -> None:
    """Pages that were forgotten, and a clock that is set back."""
    now = 5_000_000_000
    changes = Changes(server.services.people, lambda: now)
    rooms = [RoomKey(1, str(n)) for n in range(20_010)]
    start = changes.of_page(rooms[0])
    for room in rooms:
        changes.changed(room)
    assert len(changes) == 20_000
    for room in rooms[:10]:
        assert changes.of_page(room) > start
    assert changes.of_page(rooms[-1]) == changes.of_site(1) == (20_010, now)
    assert changes.of_site(2) == start
    changes.of_page(rooms[5])
    now -= 1_000_000_000
    changes.changed(rooms[5])
    assert changes.of_page(rooms[5]).at == 5_000_000_000


async def test_a_site_from_the_settings_has_its_name_cleaned(tmp_path: Path) -> None:
    sites = (SiteConfig(id=1, name="A\ufffe\x01\u202eB"),)
    async with serving(tmp_path, sites=sites) as server:
        await comments(server, 1)
        assert (await get(server, PAGE)).find("//p[@class='site']").text == "AB"


async def test_what_is_not_there_is_never_unchanged(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)) as server:
        ann = await server.guest("Ann")
        page = "site_id=1&slug=/gone"
        for text in ("stays", "goes"):
            path = f"/api/comments?{page}"
            assert (await server.call("POST", path, {"content": text}, token=ann))[0] == 200
        assert (await server.call("DELETE", f"/api/comments/2?{page}", token=ann))[0] == 200
        for part, status in (("", 304), ("&comment=2", 404), ("&comment=1&reply=999", 404)):
            for name, value in (
                ("If-None-Match", "*"),
                ("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT"),
            ):
                url = f"{server.url}/t/1?slug=/gone{part}"
                async with server.session.get(url, headers={name: value}) as response:
                    assert response.status == status
