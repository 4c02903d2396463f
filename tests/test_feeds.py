"""Atom feeds of pages and sites, and the owner's."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import feedparser
import pytest
from lxml import etree

from talkee_lite.config import AuthConfig, ServerConfig, SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.models import RoomKey
from talkee_lite.store import feeds as store

from .harness import Server, run_verb, server_process
from .reading import (
    ROOM,
    comment,
    comments,
    count,
    execute,
    get,
    person,
    place,
    reply,
    serving,
)
from .test_held import hold
from .test_thread_pages import HOSTILE, server_time
from .validator import atom_problems

PAGE_FEED = "/feeds/1/page.atom?slug=/posts/1"
SITE_FEED = "/feeds/1/site.atom"
BLOG = "https://blog.example.com"


async def read(server: Server, path: str) -> Any:
    """A feed as a feed reader understands it; it must be a good one."""
    got = await get(server, path)
    assert got.status == 200, got.text
    assert got.headers["Content-Type"] == "application/atom+xml; charset=utf-8"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert atom_problems(got.text.encode()) == []
    feed = feedparser.parse(got.text.encode())
    assert not feed.bozo
    return feed


async def owner_path(server: Server, site_id: int = 1) -> str:
    """The address of the owner's feed, as the command line gives it."""
    address = await VERBS["site-feed"](server.services, {"id": site_id})
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def ids(feed: Any) -> list[str]:
    """What the entries are about: `comment/1`, `reply/2`."""
    return [entry.id.partition("/")[2].partition("/")[2] for entry in feed.entries]


async def test_the_feed_of_a_page(server: Server) -> None:
    ann, ben = await person(server), await person(server, "Ben")
    first = await comment(server, ann, "**First** & <b>")
    below = await reply(server, ben, first.id, "*Hi*")
    second = await comment(server, ben, "second")
    await comment(server, ann, "elsewhere", RoomKey(1, "/other"))
    await server.services.pages.describe(None, ROOM, f"{BLOG}/1?a=b&c", "Tom & <Jerry>")
    feed = await read(server, PAGE_FEED)
    assert ids(feed) == [f"comment/{second.id}", f"reply/{below.id}", f"comment/{first.id}"]
    about = feed.feed
    assert about.title == "Comments on Tom & <Jerry>"
    links = {link.rel: link.href for link in about.links}
    assert links == {
        "self": f"{server.url}{PAGE_FEED}",
        "alternate": f"{server.url}/t/1?slug=/posts/1",
    }
    newest, answer, oldest = feed.entries
    assert [entry.author for entry in feed.entries] == ["Ben", "Ben", "Ann"]
    assert newest.title == "Ben on Tom & <Jerry>"
    assert answer.title == "Ben replied on Tom & <Jerry>"
    assert oldest.content[0].value == "<p><strong>First</strong> &amp; &lt;b&gt;</p>"
    assert oldest.content[0].base == f"{BLOG}/1?a=b&c"
    assert oldest.link == f"{server.url}/t/1?slug=/posts/1&comment={first.id}#c{first.id}"
    assert answer.link == (
        f"{server.url}/t/1?slug=/posts/1&comment={first.id}&reply={below.id}#r{below.id}"
    )
    assert answer["thr_in-reply-to"]["ref"] == oldest.id
    for entry in feed.entries:
        there = await get(server, entry.link)
        assert urlsplit(entry.link).fragment in there.anchors
        assert entry.published == entry.updated
    assert about.updated == newest.updated


async def test_the_page_names_its_feed(server: Server) -> None:
    await comments(server, 1)
    got = await get(server, "/t/1?slug=/posts/1")
    assert len((await read(server, got.link("alternate"))).entries) == 1


async def test_the_feed_of_a_site(server: Server) -> None:
    await VERBS["site-add"](server.services, {"name": "Other", "origins": []})
    ann = await person(server)
    made = []
    for slug in ("/a", "/b", "/c"):
        one = await comment(server, ann, slug, RoomKey(1, slug))
        below = await reply(server, ann, one.id, slug, room=RoomKey(1, slug))
        made += [f"comment/{one.id}", f"reply/{below.id}"]
    other = await comment(server, ann, "x", RoomKey(1000, "/a"))
    feed = await read(server, SITE_FEED)
    assert ids(feed) == made[::-1]
    assert feed.feed.title == "Comments on My site"
    assert ids(await read(server, "/feeds/1000/site.atom")) == [f"comment/{other.id}"]
    assert ids(await read(server, "/feeds/1/page.atom?slug=/b")) == made[3:1:-1]


async def test_a_site_is_found_at_its_first_origin(tmp_path: Path) -> None:
    sites = (
        SiteConfig(id=1, origins=("*", "https://*.example.com", BLOG, "https://b.example")),
        SiteConfig(id=2, origins=("*",)),
    )
    async with serving(tmp_path, sites=sites) as server:
        assert (await read(server, SITE_FEED)).feed.link == BLOG
        links = (await read(server, "/feeds/2/site.atom")).feed.links
        assert [link.rel for link in links] == ["self"]


async def test_it_holds_the_newest_fifty(server: Server) -> None:
    made = await comments(server, 40)
    ann = await person(server, "Ben")
    replies = [await reply(server, ann, made[n % 7].id, f"{n}") for n in range(30)]
    more = await comments(server, 5)
    wanted = [f"comment/{one.id}" for one in more[::-1]]
    wanted += [f"reply/{one.id}" for one in replies[::-1]]
    wanted += [f"comment/{one.id}" for one in made[::-1]]
    for path in (PAGE_FEED, SITE_FEED, await owner_path(server)):
        assert ids(await read(server, path)) == wanted[:50]


async def test_only_what_is_published(server: Server) -> None:
    ann = await person(server)
    first = await comment(server, ann, "stays")
    gone = await comment(server, ann, "goes")
    below = await reply(server, ann, gone.id, "stays below")
    deleted = await reply(server, ann, first.id, "goes too")
    await server.services.comments.delete(ann, ROOM, gone.id, "x")
    await server.services.comments.delete_reply(ann, ROOM, first.id, deleted.id, "x")
    await hold(server)
    held = await comment(server, ann, "held back")
    held_reply = await reply(server, ann, first.id, "held back too")
    shown = [f"reply/{below.id}", f"comment/{first.id}"]
    for path in (PAGE_FEED, SITE_FEED):
        assert ids(await read(server, path)) == shown
        assert "held back" not in (await get(server, path)).text
    owner = await read(server, await owner_path(server))
    assert ids(owner) == [f"reply/{held_reply.id}", f"comment/{held.id}", *shown]
    assert [entry.title for entry in owner.entries][:2] == [
        "Held: Ann replied on /posts/1",
        "Held: Ann on /posts/1",
    ]
    assert [entry.get("tags", [{}])[0].get("term") for entry in owner.entries] == [
        *("held", "held"),
        *(None, None),
    ]
    # Approved it is the same entry, and everybody's.
    await server.services.comments.approve(None, ROOM, held.id, "")
    assert ids(await read(server, PAGE_FEED)) == [f"comment/{held.id}", *shown]
    assert "Held: Ann on" not in (await get(server, await owner_path(server))).text


async def test_an_edit_is_an_update(server: Server) -> None:
    ann = await person(server)
    first, second = await comment(server, ann), await comment(server, ann, "second")
    before = await read(server, PAGE_FEED)
    await server.services.comments.edit(ann, ROOM, first.id, "edited", "x")
    after = await read(server, PAGE_FEED)
    assert ids(after) == [f"comment/{second.id}", f"comment/{first.id}"]
    assert after.entries[1].updated > after.entries[1].published
    assert after.entries[1].published == before.entries[1].published
    assert after.feed.updated == after.entries[1].updated > before.feed.updated


async def test_ids_stay_when_the_server_moves(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        (first,) = await comments(server, 1)
        await reply(server, await person(server), first.id)
        before = [await read(server, path) for path in (PAGE_FEED, SITE_FEED)]
    moved = ServerConfig(public_url="https://new.example.com/talk")
    sites = (SiteConfig(id=1, name="Renamed", origins=(BLOG,)),)
    async with serving(tmp_path, server=moved, sites=sites) as server:
        after = [await read(server, path) for path in (PAGE_FEED, SITE_FEED)]
        assert after[0].entries[0].link.startswith("https://new.example.com/talk/t/1?")
        assert (await VERBS["site-feed"](server.services, {"id": 1})).startswith(
            "https://new.example.com/talk/feeds/1/owner.atom?key="
        )
    for old, new in zip(before, after, strict=True):
        assert (old.feed.id, [e.id for e in old.entries]) == (
            new.feed.id,
            [e.id for e in new.entries],
        )
        assert old.feed.id.startswith("tag:talkee-lite.invalid,20")
    assert before[0].feed.id != before[1].feed.id


async def test_ids_of_two_servers_differ(tmp_path: Path) -> None:
    seen = []
    for name in "ab":
        async with serving(tmp_path / name) as server:
            await comments(server, 1)
            seen.append((await read(server, SITE_FEED)).entries[0].id)
    assert seen[0] != seen[1]


async def test_hostile_texts(tmp_path: Path) -> None:
    room = RoomKey(1, f"/{HOSTILE}".replace("\ufffe", ""))
    path = f"/feeds/1/page.atom?slug={quote(room.slug)}"
    async with serving(tmp_path) as server:
        ann = await person(server)
        text = f"{HOSTILE} ]]> http://a.example/%01%EF%BF%BE &#12; <!--"
        first = await comment(server, ann, text, room)
        await reply(server, ann, first.id, HOSTILE, room=room)
        await hold(server)
        await comment(server, ann, f"{text} held", room)
        for feed in (path, SITE_FEED, await owner_path(server)):
            assert len((await read(server, feed)).entries) in (2, 3)
        await execute(server, "update users set full_name = :name", name=HOSTILE)
        await execute(server, "update sites set name = :name", name=HOSTILE)
        await execute(
            server,
            "update pages set title = :title, address = 'javascript:alert(1)'",
            title=HOSTILE,
        )
    async with serving(tmp_path) as server:
        for address in (path, SITE_FEED, await owner_path(server)):
            feed = await read(server, address)
            text = (await get(server, address)).text
            assert "javascript:" not in text
            assert "<script" not in text
            # Nothing is turned around where no element holds it.
            for entry in feed.entries:
                assert "\u202e" not in entry.title + entry.author
            assert "\u202e" not in feed.feed.title
            # A name is a name: its markup is shown, not run.
            assert feed.entries[-1].author == "\"'><script>alert(1)</script>&amp;"


async def test_an_empty_feed_is_one(server: Server) -> None:
    for path in (PAGE_FEED, SITE_FEED, await owner_path(server)):
        feed = await read(server, path)
        assert feed.entries == []
        assert feed.feed.updated


async def test_invented_slugs_leave_nothing(server: Server) -> None:
    for n in range(500):
        assert (await get(server, f"/feeds/1/page.atom?slug=/invented/{n}")).status == 200
    assert await count(server, "pages") == 0
    services = server.services
    assert (len(services.made), services.made.cost, len(services.changes)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/feeds/2/site.atom", 404),
        ("/feeds/x/site.atom", 404),
        ("/feeds/01/site.atom", 404),
        ("/feeds/-1/page.atom?slug=/a", 404),
        ("/feeds/2/owner.atom?key=x", 404),
        ("/feeds/1/page.atom", 400),
        ("/feeds/1/page.atom?slug=%0A", 400),
        ("/feeds/1/other.atom", 404),
    ],
)
async def test_what_is_no_feed(server: Server, path: str, status: int) -> None:
    assert (await get(server, path)).status == status


async def test_the_owners_feed_has_a_key(tmp_path: Path) -> None:
    secrets = ("a" * 32, "b" * 32)
    seen = []
    for secret in secrets:
        async with serving(tmp_path, auth=AuthConfig(jwt_secret=secret)) as server:
            await VERBS["site-add"](server.services, {"name": "Other", "origins": []})
            path, other = await owner_path(server), await owner_path(server, 1000)
            seen.append(path)
            good, key = path.split("?key=")
            assert len(key) == 32
            for wrong in (
                good,
                f"{good}?key=",
                f"{good}?key={key[:-1]}",
                f"{good}?key={key}A",
                f"{good}?key={key.swapcase()}",
                f"{good}?key=%ED%A0%80",
                f"{good}?key={other.split('=')[1]}",
                f"{good}?Key={key}",
            ):
                refused = await get(server, wrong)
                assert refused.status == 403, wrong
                assert "entry" not in refused.text
            headers = (await get(server, path)).headers
            assert headers["Cache-Control"] == "private, no-cache"
            assert headers["X-Robots-Tag"] == "noindex"
    # A new secret makes a new key.
    assert seen[0] != seen[1]
    async with serving(tmp_path, auth=AuthConfig(jwt_secret=secrets[1])) as server:
        assert (await get(server, seen[0])).status == 403
        assert (await get(server, seen[1])).status == 200


def test_the_command_line_shows_the_owners_feed(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        beside = run_verb(tmp_path, "site", "feed", "1").stdout
        assert beside.startswith(f"{process.url}/feeds/1/owner.atom?key=")
        missing = run_verb(tmp_path, "site", "feed", "7")
        assert (missing.returncode, missing.stdout) == (1, "")
        assert process.stop() == 0
    assert run_verb(tmp_path, "site", "feed", "1").stdout.split("?")[1] == beside.split("?")[1]


async def test_a_page_that_moved(server: Server) -> None:
    (first,) = await comments(server, 1)
    await VERBS["page-move"](server.services, {"site": 1, "slug": "/posts/1", "new": "/new"})
    got = await get(server, PAGE_FEED)
    assert (got.status, place(got)) == (301, "/feeds/1/page.atom?slug=/new")
    assert ids(await read(server, place(got))) == [f"comment/{first.id}"]


async def test_conditional_requests(server: Server) -> None:
    ann = await person(server)
    first = await comment(server, ann)
    for path in (PAGE_FEED, SITE_FEED, await owner_path(server)):
        etag = (await get(server, path)).headers["ETag"]
        for condition in (
            {"If_None_Match": etag},
            {"If_None_Match": "*"},
            {"If_Modified_Since": server_time(1)},
        ):
            for method in ("GET", "HEAD"):
                held = await get(server, path, method, **condition)
                assert (held.status, held.text, held.headers["ETag"]) == (304, "", etag)
        other = {"If_None_Match": '"x"', "If_Modified_Since": server_time(1)}
        assert (await get(server, path, **other)).status == 200
        head = await get(server, path, "HEAD")
        assert (head.status, head.text, head.headers["ETag"]) == (200, "", etag)
        assert head.headers["Last-Modified"].endswith(" GMT")
    changes = {
        "a comment": lambda: comment(server, ann, "second"),
        "an edit": lambda: server.services.comments.edit(ann, ROOM, first.id, "edited", "x"),
        "a name": lambda: server.services.people.rename(ann, "Anna"),
        "a title": lambda: server.services.pages.describe(None, ROOM, "", "Title"),
        "a deletion": lambda: server.services.comments.delete(ann, ROOM, first.id, "x"),
    }
    for name, change in changes.items():
        paths = (PAGE_FEED, SITE_FEED, await owner_path(server))
        before = {path: await get(server, path) for path in paths}
        await change()  # type: ignore[no-untyped-call]
        for path, old in before.items():
            after = await get(server, path, If_None_Match=old.headers["ETag"])
            assert (after.status, after.text != old.text) == (200, True), name
    # What is held is the owner's alone.
    await hold(server)
    path = await owner_path(server)
    etag = (await get(server, path)).headers["ETag"]
    await comment(server, ann, "held")
    assert (await get(server, path, If_None_Match=etag)).status == 200


async def test_a_site_that_is_quiet_while_others_are_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether what is newest is found among the latest of all or page by page, it is the same."""
    await VERBS["site-add"](server.services, {"name": "Other", "origins": []})
    ann, chance = await person(server), random.Random(5)
    made: list[tuple[int, str, str]] = []
    for n in range(200):
        site_id = 1 if n < 60 else chance.choice([1, 1000, 1000])
        room = RoomKey(site_id, f"/{chance.randrange(4)}")
        mine = [one for one in made if one[:2] == room and one[2].startswith("comment")]
        if mine and chance.random() < 0.4:
            about = int(chance.choice(mine)[2].partition("/")[2])
            below = await reply(server, ann, about, str(n), room=room)
            made.append((*room, f"reply/{below.id}"))
        else:
            one = await comment(server, ann, str(n), room)
            made.append((*room, f"comment/{one.id}"))
    # Some are taken away, and some are held.
    for taken in chance.sample(made, 30):
        site_id, slug, name = taken
        kind, number = name.split("/")
        table = "replies" if kind == "reply" else "comments"
        row = await server.services.db.fetch_one(
            f"select * from {table} where id = :id", {"id": int(number)}
        )
        assert row is not None
        room, rules = RoomKey(site_id, slug), server.services.comments
        if kind == "reply":
            await rules.delete_reply(None, room, row["comment_id"], row["id"], "")
        else:
            await rules.delete(None, room, row["id"], "")
        made.remove(taken)
    await hold(server, "everybody")
    await VERBS["site-set"](server.services, {"id": 1000, "hold_comments": "everybody"})
    for site_id, slug, name in [one for one in made if one[2].startswith("comment")][-8:]:
        await comment(server, ann, f"held {name}", RoomKey(site_id, slug))
        about = int(name.partition("/")[2])
        await reply(server, ann, about, f"held {name}", room=RoomKey(site_id, slug))
    for latest in (1, 7, 40, 20_000):
        monkeypatch.setattr(store, "_LATEST", latest)
        for site_id in (1, 1000):
            server.services.changes.changed(RoomKey(site_id, "/0"))
            wanted = [one for site, _, one in made[::-1] if site == site_id]
            assert ids(await read(server, f"/feeds/{site_id}/site.atom")) == wanted[:50]
            wanted = [one for *room, one in made[::-1] if room == [site_id, "/0"]]
            assert ids(await read(server, f"/feeds/{site_id}/page.atom?slug=/0")) == wanted[:50]


async def test_pages_of_others_do_not_read_it(server: Server) -> None:
    await comments(server, 1)
    for path in (PAGE_FEED, SITE_FEED, await owner_path(server)):
        assert (await get(server, path, Origin="https://evil.example")).status == 403


async def test_the_schema_is_one(server: Server) -> None:
    """What it is there to find it finds."""
    await comments(server, 2)
    text = (await get(server, SITE_FEED)).text
    for old, new in (
        ("<updated>", "<updated>x"),
        ("<id>", "<id/><id>"),
        ("<title>", "<title type='other'>"),
        ('<link rel="self"', "<link"),
        ("<author>", "<other>"),
        ("<entry>", "<entry><entry/>"),
        ("</published>", "</published><published>2026-01-01T00:00:00Z</published>"),
    ):
        broken = text.replace(old, new, 1).replace("</author>", "</other>", new == "<other>")
        if old.startswith("<link"):
            broken = broken.replace(" href=", " src=", 1)
        try:
            assert atom_problems(broken.encode()), new
        except etree.XMLSyntaxError:
            pytest.fail(f"{new} is not even XML")
    first, second = [entry.id for entry in feedparser.parse(text).entries]
    assert atom_problems(text.replace(second, first).encode())
    assert all(a >= b for a, b in pairwise([e.published for e in feedparser.parse(text).entries]))
