"""What the widget costs the page around it: nothing before it is seen, no space, no exceptions."""

from __future__ import annotations

import asyncio
import runpy
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from talkee_lite.config import SiteConfig

from ..harness import Server, config_in, running, until
from ..test_widget_size import OPENED, READING
from .comments import browser_of
from .conftest import Host, Tabs
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
from .test_widget_chat_people import SECRET, SSO_TOKEN

pytestmark = pytest.mark.browser

# How far things have moved since then: https://web.dev/articles/cls
SHIFTS = """since => new Promise(done => {
  const watch = new PerformanceObserver(list => done(list.getEntries()));
  watch.observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done([]), 300);
}).then(shifts => shifts.filter(({ startTime }) => startTime > since).map(({ value }) => value))"""
# A tab that can be hidden, in which the five minutes are over when the test says so.
HIDING = """const later = setTimeout;
window.setTimeout = (run, wait, ...given) => {
  const timer = later(run, wait, ...given);
  if (wait === 300000) (window.waiting ??= new Map()).set(timer, run.bind(null, ...given));
  return timer;
};
const never = clearTimeout;
window.clearTimeout = (timer) => {
  window.waiting?.delete(timer);
  never(timer);
};
window.letPass = () => [...waiting.values()].forEach((run) => run());
Object.defineProperty(document, "hidden", { get: () => Boolean(window.isHidden) });
window.hide = (isHidden) => {
  window.isHidden = isHidden;
  document.dispatchEvent(new Event("visibilitychange"));
};"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path)) as started:
        yield started


async def test_nothing_is_loaded_until_a_reader_comes_near(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    room = "<talkee-chat slug=/lobby></talkee-chat>"
    far = "<p style='height: 5000px'>A long post</p>"
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}{far}{line(server, 'data-chat')}{far}{room}"))
    await expect(page.get_by_role("button", name="Chat")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    assert log.addresses == ["/talkee.js"]
    assert log.sockets == []
    # Half a screen before it is seen it comes.
    await page.evaluate("scrollTo(0, 4000)")
    await shows(page, "First!")
    await until(lambda: len(log.sockets) == 1)
    assert not any("chat.js" in address for address in log.addresses)
    assert log.slugs("/api/comments") == ["/post"]


@pytest.mark.parametrize("is_member", [False, True])
async def test_no_more_is_loaded_before_anything_is_opened(
    server: Server, host: Host, tabs: Tabs, is_member: bool
) -> None:
    """Also where a comment is about a passage, and is shown there, and to who is signed in."""
    await write(server, "/post", "> the crumb\n\nWhich one?")
    who = {"access_token": await server.guest("Ben"), "user": {"id": 2, "full_name": "Ben"}}
    person = await (browser_of(tabs, server, who) if is_member else tabs.person())
    page = await person.new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}<main><p>So much for the crumb.</p>{line(server)}</main>"))
    await expect(page.get_by_role("button", name="Comments on this passage: 1")).to_be_visible()
    await until(lambda: len(log.sockets) == 1)
    await page.wait_for_load_state("networkidle")
    assert [path[1:] for path in log.paths() if path.endswith(".js")] == READING
    # To be lit it takes what one opens.
    await page.get_by_role("button", name="Show the passage").click()
    await page.wait_for_function("CSS.highlights.get('talkee-lit')?.size")
    assert [path[1:] for path in log.paths() if path.endswith(".js")] == OPENED


@pytest.mark.parametrize("way", ["", "/token", "/own"])
async def test_nor_to_know_who_is_logged_in_on_the_site(
    host: Host, tabs: Tabs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Nobody; whom an address names; whom the page's own function names, which goes before it."""
    monkeypatch.setenv("SSO_SECRET", SECRET)
    sign = runpy.run_path(str(SSO_TOKEN))["talkee_token"]
    own = SiteConfig(id=1, origins=("*",), sso_secret=SECRET)
    tabs.expected.append("status of 403")
    async with running(config_in(tmp_path, sites=(own,))) as server:
        await write(server, "/post", "First!")
        person = await tabs.person()

        async def token(route: Route) -> None:
            if route.request.url.endswith(way or "nothing"):
                await route.fulfill(body=sign(server.url, "42", "Jane Roe"))
            else:
                await route.fulfill(status=403)

        await person.route("**/token", token)
        await person.route("**/own", token)
        if way == "/own":
            script = "({ token: await (await fetch('/own')).text() })"
            await person.add_init_script(
                f"window.Talkee = {{ methods: {{ sso: async () => {script} }} }}"
            )
        page = await person.new_page()
        log = Log(page, server)
        async with page.expect_response(f"**{way or '/token'}"):
            await page.goto(host.show(f"{START}{line(server, 'data-sso=/token')}"))
        await shows(page, "First!")
        await until(lambda: len(log.sockets) == 1)
        await page.wait_for_load_state("networkidle")
        assert [path[1:] for path in log.paths() if path.endswith(".js")] == READING
        assert ("/api/auth/login" in log.paths()) == bool(way)
        await page.get_by_label("Write a comment").focus()
        name = page.get_by_text("as Jane Roe")
        await expect(name).to_have_count(1 if way else 0)
        await page.close()
        await tabs.leave()


async def test_browsers_that_cannot_mark_passages_show_comments_all_the_same(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "> the crumb\n\nWhich one?")
    person = await tabs.person()
    await person.add_init_script("delete window.Highlight; delete CSS.highlights")
    html = f"{START}<main><p>So much for the crumb.</p>{line(server, 'data-chat')}</main>"
    page = await tabs.open(host.show(html), person)
    await shows(page, "the crumb Which one?")
    await page.evaluate("getSelection().selectAllChildren(document.querySelector('p'))")
    await comment(page, "Second!", "Ben")
    await expect(page.locator("article.comment")).to_have_count(2)
    await page.get_by_role("button", name="Chat").click()
    await chat(page, "Rye")
    await says(page, "Rye")
    await expect(page.get_by_role("button", name="Talk about this")).to_have_count(0)
    await expect(page.locator("talkee-marks")).to_have_count(0)


@pytest.mark.parametrize(
    "style",
    [
        "display: flex; gap: 40px",
        "display: grid; grid-template-columns: 200px 1fr; gap: 20px",
        "display: flex; flex-flow: column; justify-content: space-between; min-height: 100vh",
        "display: inline-block; width: 500px",
    ],
)
async def test_a_closed_chat_and_marks_take_no_room(
    server: Server, host: Host, tabs: Tabs, style: str
) -> None:
    await write(server, "/post", "> the crumb\n\nWhich one?")
    html = (
        f"{HEAD}</head><body style='{style}'><aside>Menu</aside><main><p>So much for the crumb."
        f"</p><div id=here></div></main><footer>Foot</footer>"
        f"{line(server, 'data-chat', 'data-container=#here')}"
    )
    page = await tabs.open(host.show(html))
    await expect(page.get_by_role("button", name="Comments on this passage: 1")).to_be_visible()
    await expect(page.get_by_role("button", name="Chat")).to_be_visible()
    boxes = """() => JSON.stringify(["aside", "main", "footer", "body"].map((name) =>
      document.querySelector(name).getBoundingClientRect()))"""
    before = await page.evaluate(boxes)
    await page.evaluate("document.querySelector('talkee-chat').remove()")
    await page.evaluate("document.querySelector('talkee-marks').remove()")
    assert await page.evaluate(boxes) == before


@pytest.mark.parametrize("what", ["an empty thread", "a thread", "a chat"])
async def test_what_stands_below_stays_where_it_is(
    server: Server, host: Host, tabs: Tabs, what: str
) -> None:
    html = f"{START}<p>Above</p>{line(server)}<p>What stands below</p>"
    if what == "a chat":
        await talk(server, "/lobby", "Rye")
        room = "<talkee-chat slug=/lobby></talkee-chat>"
        html = f"{START}{line(server, 'data-comments=off')}{room}<p>What stands below</p>"
    if what == "a thread":
        # As it usually stands: below a post.
        html = html.replace("<p>", "<p style='height: 400px'>", 1)
        for number in range(6):
            await write(server, "/post", f"Comment {number}")
    page = await (await tabs.person()).new_page()
    may_load = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_load.wait()
        await route.continue_()

    await page.route("**/widget/**", hold)
    await page.goto(host.show(html))
    await expect(page.locator("talkee-comments, talkee-chat")).to_be_visible()
    since = await page.evaluate(
        "new Promise(done => requestAnimationFrame(() => done(performance.now())))"
    )
    may_load.set()
    last = {"a thread": "Comment 5", "a chat": "Rye", "an empty thread": "No comments yet"}[what]
    await expect(page.get_by_text(last)).to_be_visible()
    moved = await page.evaluate(SHIFTS, since)
    # Up to 0.1 is good.
    assert sum(moved) < {"a thread": 0.05, "a chat": 0.001, "an empty thread": 0.01}[what]


async def test_out_of_sight_for_five_minutes_it_lets_go_and_comes_back_up_to_date(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/post", "First!")
    await talk(server, "/lobby", "Rye")
    person = await tabs.person()
    await person.add_init_script(HIDING)
    page = await person.new_page()
    room = "<talkee-chat slug=/lobby></talkee-chat>"
    await page.goto(host.show(f"{START}{line(server)}{room}"))
    await shows(page, "First!")
    await says(page, "Rye")
    await until(lambda: server.joined == 2)
    # A short look elsewhere changes nothing.
    await page.evaluate("hide(true)")
    assert await page.evaluate("waiting.size") == 2
    await page.evaluate("hide(false)")
    assert await page.evaluate("waiting.size") == 0
    assert server.joined == 2
    await page.evaluate("hide(true)")
    await page.evaluate("letPass()")
    await until(lambda: server.joined == 0)
    await write(server, "/post", "Second!")
    await talk(server, "/lobby", "Anybody here?")
    await page.evaluate("hide(false)")
    await says(page, "Rye", "Anybody here?")
    await page.get_by_role("button", name="1 new").click()
    await shows(page, "First!", "Second!")
    await until(lambda: server.joined == 2)


@pytest.mark.parametrize(
    "more", ["", "; require-trusted-types-for 'script'; trusted-types talkee"], ids=["", "types"]
)
async def test_it_keeps_to_the_strictest_policy(
    server: Server, host: Host, tabs: Tabs, more: str
) -> None:
    await write(server, "/post", "> the crumb\n\n**About** the crumb")
    policy = (
        f"default-src 'none'; script-src {server.url}; img-src {server.url};"
        f" connect-src {server.url} {server.ws_url.removesuffix('/ws')}{more}"
    )
    html = f"{START}<main><p>So much for the crumb.</p>{line(server, 'data-chat')}</main>"
    page = await tabs.open(host.show(html, policy))
    await shows(page, "the crumb Show the passage About the crumb")
    await expect(page.locator("article.comment strong")).to_have_text("About")
    await expect(page.get_by_role("button", name="Comments on this passage: 1")).to_be_visible()
    # Written and seen in a preview, with a name; liked, answered.
    await page.get_by_label("Write a comment").fill("*Yes*")
    await page.get_by_role("button", name="Preview").click()
    await expect(page.locator(".preview em")).to_have_text("Yes")
    await page.get_by_role("button", name="Send").click()
    await page.get_by_label("Your name").fill("Ben")
    await page.get_by_role("button", name="Send").click()
    await expect(page.locator("article.comment")).to_have_count(2)
    first = page.locator("article.comment").first
    await first.get_by_role("button", name="Reply").click()
    await first.get_by_label("Reply to Ann").fill("And that!")
    await first.locator("form").get_by_role("button", name="Reply").click()
    await expect(page.locator("article.reply")).to_have_count(1)
    await page.get_by_role("button", name="Chat").click()
    await chat(page, "Rye")
    await says(page, "Rye")
    pictures = page.locator("img.avatar")
    await expect(pictures).to_have_count(4)
    for picture in await pictures.all():
        await picture.evaluate("picture => picture.decode()")
    # It looks as it does elsewhere.
    sheet = page.locator("talkee-chat .chat")
    assert await sheet.evaluate("s => getComputedStyle(s).position") == "fixed"


async def test_no_cookie_and_nothing_is_kept_but_under_names_of_its_own(
    server: Server, host: Host, tabs: Tabs
) -> None:
    person = await tabs.person()
    page = await tabs.open(host.show(f"{HEAD}</head><body>{line(server, 'data-chat')}"), person)
    await has_loaded(page)
    await comment(page, "First!", "Ben")
    await shows(page, "First!")
    await page.get_by_label("Write a comment").fill("A draft")
    await page.get_by_role("button", name="Chat").click()
    await chat(page, "Rye")
    await says(page, "Rye")
    await page.reload()
    await shows(page, "First!")
    keys = await page.evaluate("Object.keys(localStorage)")
    assert keys
    assert [key for key in keys if not key.startswith("talkee ")] == []
    assert await page.evaluate("sessionStorage.length") == 0
    assert await page.evaluate("indexedDB.databases()") == []
    assert await page.evaluate("caches.keys()") == []
    assert await page.evaluate("document.cookie") == ""
    assert await person.cookies() == []
