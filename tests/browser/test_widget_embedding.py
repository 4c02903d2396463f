"""The line of HTML, and elements by hand: where the widget comes, and what its attributes do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from ..harness import Server, running, until
from .conftest import Held, Host, Tabs
from .embedding import (
    HEAD,
    START,
    Log,
    chat,
    comment,
    has_loaded,
    line,
    public_site,
    says,
    shows,
    talk,
    write,
)

pytestmark = pytest.mark.browser

# What stands around an element, as "before > parent > after".
PLACE = """e => [e.previousElementSibling?.localName, e.parentElement.localName,
  e.nextElementSibling?.localName].join(" > ")"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path)) as started:
        yield started


async def test_the_comments_stand_where_the_line_stands(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    html = f"{START}<main><p>Above</p>{line(server)}<hr></main><footer></footer>"
    page = await tabs.open(host.show(html))
    await shows(page, "First!")
    part = page.locator("talkee-comments")
    assert await part.evaluate(PLACE) == "script > main > hr"
    await expect(page.locator("talkee-chat")).to_have_count(0)
    # A thread that is written in at once shows what was written.
    await comment(page, "Second!", "Ben")
    await shows(page, "First!", "Second!")


@pytest.mark.parametrize(
    ("html", "place"),
    [
        (f"{HEAD}LINE</head><body><p>A post</p>", "p > body > "),
        (f"{START}LINE<section id=here><p>Old</p></section>", "p > section > "),
        (f"{START}<section id=here></section>LINE", " > section > "),
    ],
    ids=["in the head", "a container below the line", "a container above it"],
)
async def test_the_comments_stand_at_the_end_of(
    server: Server, host: Host, tabs: Tabs, html: str, place: str
) -> None:
    given = ["data-container='#here'"] if "here" in html else []
    page = await tabs.open(host.show(html.replace("LINE", line(server, *given))))
    part = await has_loaded(page)
    assert await part.evaluate(PLACE) == place


async def test_a_container_that_is_missing_is_told_to_the_owner(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("nothing here matches")
    for container in ("#nowhere", "###"):
        page = await tabs.open(
            host.show(f"{START}<p>A post{line(server, f'data-container={container}')}")
        )
        # It stands where the line stands instead.
        await has_loaded(page)
        assert tabs.seen.pop() == f"Talkee: nothing here matches {container}"


async def test_a_launcher_opens_the_chat_that_was_asked_for(
    server: Server, host: Host, tabs: Tabs
) -> None:
    for slug in ("/", "/post", "/lobby"):
        await talk(server, slug, f"In {slug}")
    for value, slug in (("", "/"), ("page", "/post"), ("/lobby", "/lobby")):
        html = f"{START}{line(server, f'data-chat={value!r}', 'data-comments=off')}<p>A post"
        page = await tabs.open(host.show(html))
        await expect(page.locator("talkee-comments")).to_have_count(0)
        await page.get_by_role("button", name="Chat").click()
        await says(page, f"In {slug}")
        await page.get_by_role("button", name="Close").click()
        await expect(page.get_by_role("log")).to_be_hidden()
        await page.close()
    html = f"{START}{line(server, 'data-chat=page', 'data-slug=/lobby')}"
    page = await tabs.open(host.show(html))
    await page.get_by_role("button", name="Chat").click()
    await says(page, "In /lobby")


async def test_elements_by_hand_show_what_they_name(server: Server, host: Host, tabs: Tabs) -> None:
    await write(server, "/a", "On a")
    await write(server, "/b", "On b")
    await talk(server, "/c", "In c")
    html = f"""{START}{line(server, "data-comments=off")}
    <talkee-comments site-id="1" slug="/a"></talkee-comments>
    <talkee-comments site-id="1" slug="/b" heading="What do you think?"></talkee-comments>
    <talkee-chat site-id="1" slug="/c" heading="At the oven"></talkee-chat>"""
    page = await tabs.open(host.show(html))
    parts = page.locator("talkee-comments")
    await shows(parts.nth(0), "On a")
    await shows(parts.nth(1), "On b")
    room = page.locator("talkee-chat")
    await says(room, "In c")
    await expect(parts.nth(1).get_by_role("heading")).to_have_text("What do you think?")
    await expect(room.get_by_role("heading")).to_have_text("At the oven")
    # Whoever says a name once is known to all of them.
    await chat(room, "Hello", "Ben")
    await says(room, "In c", "Hello")
    await comment(parts.nth(1), "As Ben")
    await shows(parts.nth(1), "On b", "As Ben")
    await shows(parts.nth(0), "On a")


async def test_attributes_of_the_line_reach_what_it_brings(
    server: Server, host: Host, tabs: Tabs
) -> None:
    given = ("data-lang=de", "data-theme=dark", "data-heading='Zum Brot'", "data-slug=/brot")
    log_of = await (await tabs.person()).new_page()
    log = Log(log_of, server)
    await log_of.goto(host.show(f"{START}{line(server, *given, 'data-chat=page')}"))
    await has_loaded(log_of)
    part = log_of.locator("talkee-comments")
    await expect(part.get_by_role("heading")).to_have_text("Zum Brot")
    await expect(part.get_by_label("Kommentar")).to_be_visible()
    assert set(log.slugs("/api/comments")) == {"/brot"}
    ground = await part.locator("section").evaluate("s => getComputedStyle(s).backgroundColor")
    assert max(int(part) for part in ground[4:-1].split(",")) < 60
    await log_of.get_by_role("button", name="Chat").click()
    await expect(log_of.locator("talkee-chat").get_by_label("Nachricht").first).to_be_visible()
    assert await log_of.locator("talkee-chat section").get_attribute("lang") == "de"


LETTERS = "s => getComputedStyle(s).color.match(/\\d+/g).slice(0, 3).map(Number)"


async def test_themes_are_as_dark_as_they_say_and_auto_as_the_page(
    server: Server, host: Host, tabs: Tabs
) -> None:
    parts = "".join(
        f"<talkee-comments site-id=1 slug=/{theme} theme={theme}></talkee-comments>"
        for theme in ("light", "dark", "auto")
    )
    style = "<style>body { background: #222; color: #eee }</style>"
    html = f"{START}{style}{line(server, 'data-comments=off')}{parts}"
    page = await tabs.open(host.show(html))
    await expect(page.locator("talkee-comments[data-loaded]")).to_have_count(3)
    sections = page.locator("talkee-comments section")
    light, dark, auto = [await sections.nth(n).evaluate(LETTERS) for n in range(3)]
    assert max(light) < 80
    assert min(dark) > 200
    assert auto == [238, 238, 238]
    # The page turns light while it is open.
    await page.evaluate("document.body.style = 'background: #fff; color: #111'")
    await expect(sections.nth(2)).to_have_class("light")
    assert await sections.nth(2).evaluate(LETTERS) == [17, 17, 17]
    # And dark again while nothing of it is shown.
    part = page.locator("talkee-comments").nth(2)
    await part.evaluate("part => part.hidden = true")
    await page.evaluate("document.body.style = ''")
    await page.wait_for_timeout(100)
    await part.evaluate("part => part.hidden = false")
    await expect(sections.nth(2)).to_have_class("dark")


async def test_a_theme_is_there_before_the_list(server: Server, host: Host, tabs: Tabs) -> None:
    page = await (await tabs.person()).new_page()
    lists = Held("comments")
    await lists.hold(page)
    await page.goto(host.show(f"{START}{line(server, 'data-theme=dark')}"))
    await lists.read.wait()
    section = page.locator("talkee-comments section")
    await expect(section).to_have_class("dark own")
    assert min(await section.evaluate(LETTERS)) > 200
    lists.may_come.set()
    await has_loaded(page)


@pytest.mark.parametrize(
    ("link", "path", "slug"),
    [
        ("", "/post", "/post"),
        ("", "/gr%C3%BC%C3%9Fe/", "/grüße/"),
        ("", "/100%25%zz", "/100%25%zz"),
        ("https://blog.example.com/a/b?utm=1#c", "/post", "/a/b"),
        ("/gr%C3%BC%C3%9Fe", "/post?page=2", "/grüße"),
    ],
    ids=["path", "umlauts", "no UTF-8", "canonical", "canonical umlauts"],
)
async def test_a_page_is_named_by_its_canonical_link_else_by_its_path(
    server: Server, host: Host, tabs: Tabs, link: str, path: str, slug: str
) -> None:
    canonical = f'<link rel="canonical" href="{link}">' if link else ""
    await write(server, slug, "Found")
    page = await tabs.open(host.show(f"{HEAD}{canonical}</head>{line(server)}", path=path))
    await shows(page, "Found")


async def test_a_slug_that_is_written_as_an_address_is_read_as_one(
    server: Server, host: Host, tabs: Tabs
) -> None:
    """As templates of Hugo and others write it; the link to `/t/` means the same."""
    await write(server, "/grüße/", "Found")
    encoded = "data-slug=/gr%C3%BC%C3%9Fe/"
    html = f"{START}{line(server, encoded)}<b data-talkee-count=/gr%C3%BC%C3%9Fe/></b>"
    page = await tabs.open(host.show(html))
    await shows(page, "Found")
    await expect(page.locator("[data-talkee-count]")).to_have_text("1")
    await page.goto(f"{server.url}/t/1?slug=/gr%C3%BC%C3%9Fe/")
    await expect(page.get_by_text("Found")).to_be_visible()


async def test_two_lines_are_two_threads_and_a_script_that_comes_twice_does_no_harm(
    server: Server, host: Host, tabs: Tabs
) -> None:
    for slug in ("/a", "/b"):
        await write(server, slug, f"On {slug}")
    html = f"{START}{line(server, 'data-slug=/a')}<p>Between</p>{line(server, 'data-slug=/b')}"
    page = await tabs.open(host.show(html))
    parts = page.locator("talkee-comments")
    await shows(parts.nth(0), "On /a")
    await shows(parts.nth(1), "On /b")
    await page.evaluate(
        """src => new Promise(done => document.head.append(
          Object.assign(document.createElement("script"), { src, onload: done })))""",
        f"{server.url}/talkee.js",
    )
    await expect(parts).to_have_count(2)
    await comment(parts.nth(0), "Once", "Ben")
    await shows(parts.nth(0), "On /a", "Once")


async def test_two_of_the_same_share_a_socket_and_hear_of_each_other(
    server: Server, host: Host, tabs: Tabs
) -> None:
    part = "<talkee-comments site-id=1 slug=/a></talkee-comments>"
    room = "<talkee-chat site-id=1 slug=/a></talkee-chat>"
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}{line(server, 'data-comments=off')}{part}{part}{room}"))
    parts = page.locator("talkee-comments")
    await expect(page.locator("[data-loaded]")).to_have_count(3)
    await comment(parts.nth(0), "In one", "Ben")
    await shows(parts.nth(0), "In one")
    await shows(parts.nth(1), "In one")
    await until(lambda: len(log.sockets) == 1 and server.joined == 1)


async def test_moved_on_the_page_it_keeps_what_was_typed_and_its_socket(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}{line(server)}<aside></aside>"))
    await shows(page, "First!")
    await until(lambda: server.joined == 1)
    field = page.get_by_label("Write a comment")
    await field.fill("Half a sentence")
    asked = log.paths().count("/api/comments")
    await page.evaluate("document.querySelector('aside').append(document.querySelector("
                        "'talkee-comments'))")  # fmt: skip
    await expect(page.locator("aside").get_by_label("Write a comment")).to_have_value(
        "Half a sentence"
    )
    await write(server, "/post", "Second!")
    await expect(page.locator("aside").get_by_role("button", name="1 new")).to_be_visible()
    assert (len(log.sockets), log.paths().count("/api/comments")) == (1, asked)


async def test_removed_it_leaves_nothing_and_put_back_it_is_up_to_date(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "> the crumb\n\nAbout the crumb")
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}<main><p>So much for the crumb.</p>{line(server)}</main>"))
    await expect(page.get_by_role("button", name="Comments on this passage: 1")).to_be_visible()
    await until(lambda: server.joined == 1)
    await page.evaluate("() => { window.part = document.querySelector('talkee-comments');"
                        " part.remove(); }")  # fmt: skip
    await until(lambda: server.joined == 0)
    await until(lambda: not log.sockets)
    await expect(page.locator("talkee-marks")).to_have_count(0)
    await write(server, "/post", "Meanwhile")
    await page.evaluate("document.querySelector('main').append(part)")
    part = page.locator("talkee-comments")
    await expect(part.locator("article.comment")).to_have_count(2)
    await until(lambda: server.joined == 1)
    await comment(part, "Back again", "Ben")
    await expect(part.locator("article.comment")).to_have_count(3)


async def test_changed_attributes_take_effect_at_once(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/a", "On a")
    await write(server, "/b", "On b")
    page = await tabs.open(host.show(f"{START}{line(server, 'data-slug=/a')}"))
    await shows(page, "On a")
    part = page.locator("talkee-comments")
    await part.evaluate("part => part.setAttribute('slug', '/b')")
    await shows(page, "On b")
    await part.evaluate("part => part.setAttribute('lang', 'fr')")
    await expect(part.locator("section")).to_have_attribute("lang", "fr")
    await part.evaluate("part => part.setAttribute('heading', 'Du pain')")
    await expect(part.get_by_role("heading")).to_have_text("Du pain")
    await part.evaluate("part => part.setAttribute('theme', 'dark')")
    await expect(part.locator("section")).to_have_class("dark own")
    await shows(page, "On b")
    await until(lambda: server.joined == 1)


async def test_hidden_by_the_page_it_takes_no_space_and_loads_nothing_until_it_is_shown(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/a", "On a")
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    part = "<talkee-comments slug=/a hidden></talkee-comments>"
    await page.goto(host.show(f"{START}{line(server, 'data-comments=off')}{part}"))
    await page.wait_for_load_state("networkidle")
    element = page.locator("talkee-comments")
    await expect(element).to_be_hidden()
    assert log.addresses == ["/talkee.js"]
    await element.evaluate("part => part.hidden = false")
    await shows(page, "On a")
    await element.evaluate("part => part.hidden = true")
    await expect(element).to_be_hidden()


async def test_elements_that_a_script_makes_later_work_too(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/a", "On a")
    await talk(server, "/b", "In b")
    page = await tabs.open(host.show(f"{START}{line(server, 'data-comments=off')}"))
    await page.wait_for_function("!!customElements.get('talkee-comments')")
    await page.evaluate(
        """() => {
          const part = document.createElement("talkee-comments");
          part.setAttribute("slug", "/a");
          document.body.append(part);
          const box = document.createElement("div");
          box.innerHTML = "<talkee-chat slug='/b'></talkee-chat>";
          document.body.append(box);
        }"""
    )
    await shows(page, "On a")
    await says(page, "In b")


async def test_nothing_else_of_the_script_becomes_an_attribute(
    server: Server, host: Host, tabs: Tabs
) -> None:
    more = ("data-onclick='hacked = 1'", "data-style='opacity: 0'", "data-1='x'", "data-launcher=1")
    page = await tabs.open(host.show(f"{START}{line(server, 'data-lang=de', *more)}"))
    part = await has_loaded(page)
    names = await part.evaluate("part => part.getAttributeNames()")
    assert sorted(names) == ["data-loaded", "lang", "site-id"]
