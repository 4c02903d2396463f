"""Comments by a form, without JavaScript: who may send it, once, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import pytest

from talkee_lite import forms as forms_module
from talkee_lite.api.openapi import document
from talkee_lite.config import AuthConfig, ServerConfig, SiteConfig
from talkee_lite.control import VERBS
from talkee_lite.errors import FormExpired, Refused
from talkee_lite.forms import LIVES, Forms
from talkee_lite.models import RoomKey

from .harness import Server, free_limits
from .reading import (
    PAGE,
    ROOM,
    Got,
    comment,
    comments,
    count,
    fill,
    get,
    person,
    place,
    reply,
    send,
    serving,
)
from .test_held import hold
from .validator import html_problems

BLOG = "https://blog.example.com"


async def written(server: Server) -> tuple[int, int, int]:
    """Comments, replies and people that are stored."""
    tables = ("comments", "replies", "users")
    comments, replies, users = [await count(server, table) for table in tables]
    return comments, replies, users


async def test_a_guest_writes_a_comment(server: Server) -> None:
    sent = await fill(server, PAGE, "Hello\r\n**there** & <b>you</b>", " Cleo \x00 <i> ")
    assert (sent.status, sent.headers["Location"]) == (303, "?slug=/posts/1#c1")
    got = await get(server, place(sent))
    assert got.status == 200
    shown = got.find("//article[@id='c1']")
    assert shown.find(".//bdi").text == "Cleo <i>"
    assert "<strong>there</strong> &amp; &lt;b&gt;you&lt;/b&gt;" in got.text
    assert await written(server) == (1, 0, 1)
    row = await server.services.db.fetch_one("select is_guest, lang from users", {})
    assert row is not None
    assert tuple(row) == (1, "")


async def test_it_is_shown_where_it_is_sent_to(server: Server) -> None:
    await comments(server, 119)
    for n in range(120, 123):
        sent = await fill(server, PAGE, f"number {n}")
        where = place(sent)
        assert where.endswith(f"&after=100#c{n}")
        assert f"c{n}" in (await get(server, where)).anchors


async def test_a_guest_writes_a_reply(server: Server) -> None:
    ann = await person(server)
    first = await comment(server, ann)
    link = (await get(server, PAGE)).find("//p[@class='foot']/a")
    assert link.get("href") == f"?slug=/posts/1&comment={first.id}#write"
    path = f"{PAGE}&comment={first.id}"
    got = await get(server, path)
    assert got.find("//h2[@id='write-title']/bdi").text == "Ann"
    sent = await fill(server, path, "I reply")
    assert sent.status == 303
    shown = await get(server, place(sent))
    assert shown.anchors == [f"c{first.id}", "r1"]
    assert place(sent).endswith("#r1")
    for n in range(60):
        await reply(server, ann, first.id, f"more {n}")
    sent = await fill(server, path, "The last")
    assert place(sent) == f"{path}&reply=62#r62"
    assert "r62" in (await get(server, place(sent))).anchors


async def test_the_first_comment_of_a_page(server: Server) -> None:
    got = await get(server, "/t/1?slug=/a%20b%26c%22%3Cd%3E")
    assert got.status == 404
    sent = await fill(server, "/t/1?slug=/a%20b%26c%22%3Cd%3E", "First!")
    assert sent.headers["Location"] == "?slug=/a%20b%26c%22%3Cd%3E#c1"
    assert (await get(server, place(sent))).status == 200


@pytest.mark.parametrize("whose", ["guests", "everybody"])
async def test_it_is_held_where_the_site_holds_anything(
    server: Server, whose: str, tmp_path: Path
) -> None:
    (first,) = await comments(server, 1)
    await hold(server, whose)
    got = await get(server, PAGE)
    assert "once it was approved" in got.find("//p[@id='write-hint']").text
    sent = await fill(server, PAGE, "Wait for me")
    assert place(sent) == f"{PAGE}#held"
    shown = await get(server, PAGE)
    assert shown.find("//*[@id='held']").get("role") == "status"
    assert shown.anchors == [f"c{first.id}"]
    sent = await fill(server, f"{PAGE}&comment={first.id}", "Me too")
    assert place(sent) == f"{PAGE}&comment={first.id}#held"
    waiting = await VERBS["comment-held"](server.services, {"site": 1})
    assert [one["content"] for one in waiting] == ["Wait for me", "Me too"]
    assert html_problems({"page": shown.text}, tmp_path) == ""
    # On a page where nothing else is, it is told as well.
    sent = await fill(server, "/t/1?slug=/new", "First, and held")
    assert place(sent) == "/t/1?slug=/new#held"
    assert (await get(server, place(sent))).find("//*[@id='held']") is not None


async def test_a_browser_that_holds_the_page_gets_a_new_form(server: Server) -> None:
    """What is held changes nothing that others see, and yet the old form is used up."""
    await comments(server, 1)
    await hold(server)
    before = await get(server, PAGE)
    await send(server, PAGE, {"token": before.token, "name": "Cleo", "content": "one"})
    after = await get(server, PAGE, If_None_Match=before.headers["ETag"])
    assert after.status == 200
    assert after.token != before.token
    sent = await send(server, PAGE, {"token": after.token, "name": "Cleo", "content": "two"})
    assert sent.status == 303
    # So does one that is somewhere else now.
    there = await get(
        server,
        PAGE,
        If_None_Match=(await get(server, PAGE)).headers["ETag"],
        X_Forwarded_For="203.0.113.7",
    )
    assert there.status == 200


# Tokens.


async def test_a_form_is_sent_once(server: Server) -> None:
    token = (await get(server, PAGE)).token
    fields = {"token": token, "name": "Cleo", "content": "once"}
    first, second = await send(server, PAGE, fields), await send(server, PAGE, fields)
    # The same again is a double click: it leads to the same and writes nothing.
    assert (first.status, second.status) == (303, 303)
    assert first.headers["Location"] == second.headers["Location"]
    other = await send(server, PAGE, fields | {"content": "other </textarea>\r\n\ttext"})
    assert (other.status, other.error) == (
        409,
        "This form was too old, or was sent before; send it again.",
    )
    assert other.typed == ("Cleo", "other </textarea>\n\ttext")
    assert await written(server) == (1, 0, 1)
    # The page that came instead has a form that works.
    again = await send(server, PAGE, {"token": other.token, "name": "Cleo", "content": "other"})
    assert again.status == 303


async def test_a_double_click_writes_once(server: Server) -> None:
    token = (await get(server, PAGE)).token
    fields = {"token": token, "name": "Cleo", "content": "once"}
    answers = await asyncio.gather(*(send(server, PAGE, fields) for _ in range(20)))
    assert {answer.status for answer in answers} == {303}
    assert {answer.headers["Location"] for answer in answers} == {"?slug=/posts/1#c1"}
    assert await written(server) == (1, 0, 1)


async def test_of_many_texts_with_one_token_one_is_written(server: Server) -> None:
    token = (await get(server, PAGE)).token
    answers = await asyncio.gather(
        *(
            send(server, PAGE, {"token": token, "name": "Cleo", "content": f"text {n}"})
            for n in range(20)
        )
    )
    assert sorted(answer.status for answer in answers) == [303] + [409] * 19
    assert await written(server) == (1, 0, 1)


async def test_tokens_of_other_pages_addresses_and_makers(server: Server) -> None:
    elsewhere = (await get(server, "/t/1?slug=/other")).token
    from_there = (await get(server, PAGE, X_Forwarded_For="203.0.113.7")).token
    good = (await get(server, PAGE)).token
    bad = [
        *("", "x", "AAAA", "é", elsewhere, from_there, good[:-1], good[:-4], good + "A"),
        *(good.rstrip("="), good + "=", " " + good, good + "\n", good.lower(), good.upper()),
        *(good[:n] + ("A" if good[n] != "A" else "B") + good[n + 1 :] for n in range(45)),
    ]
    for token in bad:
        fields = {"token": token, "name": "Cleo", "content": "text"}
        refused = await send(server, PAGE, fields)
        assert refused.status == 409, token
        assert refused.typed == ("Cleo", "text")
    assert (await send(server, PAGE, {"name": "Cleo", "content": "text"})).status == 409
    assert await written(server) == (0, 0, 0)
    fields = {"token": from_there, "name": "Cleo", "content": "text"}
    assert (await send(server, PAGE, fields, X_Forwarded_For="203.0.113.7")).status == 303


async def test_a_restart_ends_what_was_given_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        used, unused = (await get(server, PAGE)).token, (await get(server, PAGE)).token
        fields = {"token": used, "name": "Cleo", "content": "once"}
        assert (await send(server, PAGE, fields)).status == 303
    async with serving(tmp_path) as server:
        for token in (used, unused):
            refused = await send(server, PAGE, fields | {"token": token})
            assert refused.status == 409
        assert await written(server) == (1, 0, 1)
        assert (await send(server, PAGE, fields | {"token": refused.token})).status == 303


class TestForms:
    """Tokens by themselves."""

    now = 1000.0

    def forms(self) -> Forms:
        """With a clock that stands."""
        return Forms("s" * 32, lambda: self.now)

    async def post(self, forms: Forms, token: str, sent: str = "x") -> str:
        """Send a form."""

        async def work() -> str:
            return sent

        return await forms.once(token, ROOM, "a", sent, work)

    async def test_they_end(self) -> None:
        forms = self.forms()
        token = forms.issue(ROOM, "a")
        self.now += LIVES - 1
        assert await self.post(forms, token) == "x"
        self.now += 1
        for old in (token, token):
            with pytest.raises(FormExpired):
                await self.post(forms, old)
        assert await self.post(forms, forms.issue(ROOM, "a")) == "x"
        assert len(forms) == 1

    async def test_one_whose_work_failed_is_not_used(self) -> None:
        forms = self.forms()
        token = forms.issue(ROOM, "a")

        async def fail() -> str:
            await asyncio.sleep(0)
            raise Refused

        tries = [forms.once(token, ROOM, "a", "x", fail) for _ in range(2)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert [type(result) for result in results] == [Refused, Refused]
        assert await self.post(forms, token) == "x"

    async def test_whoever_leaves_does_not_end_it_for_others(self) -> None:
        forms = self.forms()
        token = forms.issue(ROOM, "a")
        go = asyncio.Event()

        async def work() -> str:
            await go.wait()
            return "done"

        first = asyncio.create_task(forms.once(token, ROOM, "a", "x", work))
        await asyncio.sleep(0)
        second = asyncio.create_task(forms.once(token, ROOM, "a", "x", work))
        third = asyncio.create_task(forms.once(token, ROOM, "a", "x", work))
        await asyncio.sleep(0)
        second.cancel()
        go.set()
        assert await first == await third == "done"
        with pytest.raises(asyncio.CancelledError):
            await second

    async def test_too_many_used_ones_end_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(forms_module, "_MOST_USED", 10)
        forms = self.forms()
        tokens = [forms.issue(ROOM, "a") for _ in range(12)]
        for token in tokens[:11]:
            await self.post(forms, token)
        assert len(forms) == 0
        for token in tokens:
            with pytest.raises(FormExpired):
                await self.post(forms, token, "other")
        assert await self.post(forms, forms.issue(ROOM, "a")) == "x"

    async def test_what_was_sent_is_not_kept(self) -> None:
        class Text(str):
            __slots__ = ("__weakref__",)

        async def work() -> str:
            return "/where/it/is"

        forms, text = self.forms(), Text("long")
        kept = weakref.ref(text)
        await forms.once(forms.issue(ROOM, "a"), ROOM, "a", text, work)
        del text
        gc.collect()
        assert kept() is None
        assert len(forms) == 1

    def test_the_mark_changes_in_time(self) -> None:
        forms = self.forms()
        marks = []
        for _ in range(6):
            marks.append(forms.mark("a"))
            self.now += LIVES / 12
        # Long before the oldest of them ends.
        assert 2 <= len(set(marks)) <= 4
        assert forms.mark("a") != forms.mark("b")

    def test_two_tokens_are_never_the_same(self) -> None:
        forms = self.forms()
        assert len({forms.issue(RoomKey(1, "a"), "b") for _ in range(1000)}) == 1000


# Who may send it.


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "http://127.0.0.1:1",
        "http://localhost",
        "https://evil.example",
        BLOG,
        "http://127.0.0.1",
        "127.0.0.1",
        "file://",
    ],
)
async def test_forms_of_other_pages_are_refused(tmp_path: Path, origin: str | None) -> None:
    # Even where that page may use the site by JavaScript.
    async with serving(tmp_path, sites=(SiteConfig(id=1, origins=(BLOG, "*")),)) as server:
        refused = await fill(server, PAGE, "text", origin=origin)
        assert refused.status == 403
        # It gets neither a form nor what it sent.
        assert refused.tree.xpath("//form") == []
        assert "Cleo" not in refused.text
        assert await written(server) == (0, 0, 0)


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://evil.example:{port}", "evil.example:{port}", 403),
        ("http://localhost:{port}", "localhost:{port}", 303),
        ("http://LOCALHOST:{port}", "LOCALHOST:{port}", 403),
        ("http://192.0.2.7:{port}", "192.0.2.7:{port}", 303),
        ("http://[::1]:{port}", "[::1]:{port}", 303),
        ("https://127.0.0.1", "127.0.0.1", 303),
        ("http://127.0.0.1@evil.example", "127.0.0.1@evil.example", 403),
        ("http://127.0.0.1:{port}", "localhost:{port}", 403),
        ("ftp://127.0.0.1:{port}", "127.0.0.1:{port}", 403),
        ("http://", "", 403),
    ],
)
async def test_the_own_host_without_a_public_url(
    server: Server, origin: str, host: str, status: int
) -> None:
    """A name that somebody else lets point to this machine is not ours (DNS rebinding)."""
    sent = await fill(
        server,
        PAGE,
        "text",
        origin=origin.format(port=server.port),
        Host=host.format(port=server.port),
    )
    assert sent.status == status


async def test_the_own_origin_with_a_public_url(tmp_path: Path) -> None:
    config = ServerConfig(public_url="https://Example.com/talk")
    async with serving(tmp_path, server=config) as server:
        for origin in ("", "http://localhost", "http://example.com", "https://example.com:8443"):
            assert (await fill(server, PAGE, "text", origin=origin)).status == 403
        sent = await fill(server, PAGE, "text", origin="https://example.com")
        assert sent.headers["Location"] == "?slug=/posts/1#c1"
        got = await get(server, PAGE)
        assert got.link("canonical") == "https://Example.com/talk/t/1?slug=/posts/1"


# What is refused, with what was typed.


async def refused(
    server: Server, content: str, name: str = "Cleo", path: str = PAGE, status: int = 400
) -> Got:
    """Fill in a form that must be refused; nothing of it is stored."""
    before = await written(server)
    got = await fill(server, path, content, name)
    assert got.status == status
    assert await written(server) == before
    assert got.typed == (name, content)
    assert got.headers["Cache-Control"] == "no-store"
    assert got.token
    return got


async def test_what_is_wrong_is_said_beside_what_was_typed(tmp_path: Path) -> None:
    config = AuthConfig(reserved_names=("Ann Owner",))
    async with serving(tmp_path, auth=config) as server:
        ann = await person(server)
        first = await comment(server, ann, "already there")
        documents = {}
        for content in ("", " \n ", "x" * 10_241):
            got = await refused(server, content)
            assert got.error == "The text must have 1 to 10,240 characters."
            assert got.find("//textarea/@aria-invalid") == "true"
        documents["text"] = got.text
        got = await refused(server, "a.co " * 2000)
        assert got.error == "The text may become at most 32,768 characters of HTML."
        got = await refused(server, "x" * 5121, path=f"{PAGE}&comment={first.id}")
        assert got.error == "The text must have 1 to 5,120 characters."
        for name in ("", " ", "\u202e", "x" * 65):
            got = await refused(server, "text", name)
            assert got.error == "A name has 1 to 64 characters."
            assert got.find("//input[@name='name']/@aria-invalid") == "true"
            assert got.find("//textarea").get("aria-invalid") is None
        documents["name"] = got.text
        got = await refused(server, "text", "Ánn  owner", status=409)
        assert got.error.startswith("This name belongs to somebody else. Ánn owner ")
        assert got.error.endswith(" is free.")
        documents["reserved"] = got.text
        # The page is there as well.
        assert got.anchors == [f"c{first.id}"]
        sent = await send(server, PAGE, {"token": got.token, "name": "Cleo", "content": "ok"})
        assert sent.status == 303
        assert html_problems(documents, tmp_path) == ""


async def test_a_reply_to_what_was_deleted_meanwhile(server: Server) -> None:
    ann = await person(server)
    first = await comment(server, ann)
    await reply(server, ann, first.id)
    path = f"{PAGE}&comment={first.id}"
    token = (await get(server, path)).token
    await server.services.comments.delete(ann, ROOM, first.id, "x")
    got = await send(server, path, {"token": token, "name": "Cleo", "content": "late"})
    assert (got.status, got.tree.xpath("//form")) == (403, [])
    await server.services.comments.delete_reply(ann, ROOM, first.id, 1, "x")
    got = await send(server, path, {"token": token, "name": "Cleo", "content": "later"})
    assert got.status == 404
    assert await written(server) == (1, 1, 1)


async def test_a_closed_page_takes_nothing(server: Server) -> None:
    await comments(server, 1)
    token = (await get(server, PAGE)).token
    await VERBS["room-close"](server.services, {"site": 1, "slug": "/posts/1"})
    got = await send(server, PAGE, {"token": token, "name": "Cleo", "content": "late"})
    assert (got.status, got.tree.xpath("//form")) == (403, [])
    assert await written(server) == (1, 0, 1)


async def test_without_guests_nothing_is_taken(tmp_path: Path) -> None:
    async with serving(tmp_path, auth=AuthConfig(guest=False)) as server:
        token = server.services.forms.issue(ROOM, "127.0.0.1")
        got = await send(server, PAGE, {"token": token, "name": "Cleo", "content": "x"})
        assert got.status == 400
        assert await written(server) == (0, 0, 0)


async def test_guests_have_the_pace_of_sign_ins(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=free_limits(logins_per_minute=3)) as server:
        for n in range(3):
            assert (await fill(server, PAGE, f"text {n}")).status == 303
        got = await refused(server, "text 3", status=429)
        assert got.error == "Too many requests; wait a little."
        assert 1 <= int(got.headers["Retry-After"]) <= 20
        # It is one and the same with that of the API.
        body = {"method": "guest", "full_name": "Cleo"}
        assert (await server.call("POST", "/api/auth/login", body))[0] == 429
        # Nobody else is concerned.
        elsewhere = {"X_Forwarded_For": "203.0.113.7"}
        token = (await get(server, PAGE, **elsewhere)).token
        fields = {"token": token, "name": "Cleo", "content": "text"}
        assert (await send(server, PAGE, fields, **elsewhere)).status == 303


async def test_what_they_write_has_the_pace_of_comments(tmp_path: Path) -> None:
    limits = free_limits(address_messages_per_second=0.001, address_messages_burst=2)
    async with serving(tmp_path, limits=limits) as server:
        for n in range(2):
            assert (await fill(server, PAGE, f"text {n}")).status == 303
        got = await fill(server, PAGE, "text 2")
        assert (got.status, got.typed) == (429, ("Cleo", "text 2"))
        assert int(got.headers["Retry-After"]) > 60
        # Somebody came in and wrote nothing: they are swept after 30 days.
        assert await written(server) == (2, 0, 3)


async def test_the_form_has_the_fields_that_are_described(server: Server) -> None:
    form = document(server.services.config)["components"]["schemas"]["Form"]
    assert (await get(server, PAGE)).tree.xpath("//form//@name") == list(form["properties"])


async def test_bodies_that_are_no_forms(server: Server) -> None:
    origin = {"Origin": server.url}

    async def post(data: bytes, kind: str) -> Got:
        headers = origin | ({"Content-Type": kind} if kind else {})
        async with server.session.post(server.url + PAGE, data=data, headers=headers) as answer:
            return Got(answer.status, answer.headers, await answer.text(), server.url + PAGE)

    form = "application/x-www-form-urlencoded"
    for data, kind, status in (
        (b"{}", "application/json", 415),
        (b"name=a", "text/plain", 415),
        (b"name=a", "multipart/form-data; boundary=x", 415),
        (b"a=b&" * 30, form, 400),
        (b"x" * 200_000, form, 413),
        (b"", form, 409),
        (b"token=%FF&name=%00&content=%ED%A0%80", form, 409),
        (b"token=\xff&name=\xfe", form, 409),
        (b"&&&===;;;%%%", form, 409),
        (b"token=a", f"{form}; charset=utf-8", 409),
    ):
        got = await post(data, kind)
        assert (got.status, got.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert await written(server) == (0, 0, 0)


async def test_the_first_of_two_fields_counts(server: Server) -> None:
    token = (await get(server, PAGE)).token
    body = f"token={token}&name=Ann&name=Ben&content=one&content=two"
    headers = {"Origin": server.url, "Content-Type": "application/x-www-form-urlencoded"}
    async with server.session.post(
        server.url + PAGE, data=body, headers=headers, allow_redirects=False
    ) as answer:
        assert answer.status == 303
    got = await get(server, PAGE)
    assert "<p>one</p>" in got.text
    assert got.find("//article//bdi").text == "Ann"


async def test_it_is_sent_to_where_a_page_moved(server: Server) -> None:
    await comments(server, 1)
    await VERBS["page-move"](server.services, {"site": 1, "slug": "/posts/1", "new": "/new"})
    token = (await get(server, "/t/1?slug=/new")).token
    sent = await send(server, PAGE, {"token": token, "name": "Cleo", "content": "text"})
    assert place(sent) == "/t/1?slug=/new#c2"


@pytest.mark.parametrize(
    "path", ["/t/2?slug=/a", "/t/x?slug=/a", "/t/1?slug=", f"{PAGE}&comment=7"]
)
async def test_there_must_be_a_place(server: Server, path: str) -> None:
    got = await send(server, path, {"token": "x", "name": "Cleo", "content": "x"})
    assert got.status in (400, 404)
    assert got.tree.xpath("//form") == []
