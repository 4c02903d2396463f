"""The README's line in a plain page, in a site made by Hugo and in a single-page app; counts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from shutil import which

import pytest
from playwright.async_api import Page, expect

from ..harness import Server, running, until
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
    write,
)

pytestmark = pytest.mark.browser

README = (Path(__file__).parents[2] / "README.md").read_text()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(public_site(tmp_path / "talk")) as started:
        yield started


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "talk").mkdir()
    return tmp_path


def pasted(server: Server) -> str:
    """What the README says to paste, for this server."""
    blocks: list[str] = re.findall(r"```html\n(.*?)```", README, re.S)
    (found,) = (block for block in blocks if "data-site-id" in block)
    return found.replace("https://talk.example.com", server.url)


async def converse(page: Page, text: str, name: str = "") -> None:
    """Say something in the comments and in the chat, which come by the same line."""
    await has_loaded(page)
    await comment(page, f"{text} in the comments", name)
    await shows(page, f"{text} in the comments")
    await page.get_by_role("button", name="Chat").click()
    await chat(page, f"{text} in the chat")
    await expect(page.locator("li.message p").last).to_have_text(f"{text} in the chat")
    await page.get_by_role("button", name="Close").click()


async def test_a_plain_page(server: Server, host: Host, tabs: Tabs) -> None:
    html = f"<!doctype html>\n<title>Rye</title>\n<h1>Rye</h1>\n{pasted(server)}"
    page = await tabs.open(host.show(html))
    await converse(page, "Hello", "Ann")
    await page.reload()
    await shows(page, "Hello in the comments")


SINGLE = """<!doctype html>
<html lang="{{ .Site.LanguageCode }}"><head><meta charset="utf-8"><title>{{ .Title }}</title>
<link rel="canonical" href="{{ .Permalink }}"></head>
<body><main><h1>{{ .Title }}</h1>{{ .Content }}LINE</main></body></html>
"""
LIST = """<!doctype html><html lang="en"><head><title>{{ .Site.Title }}</title></head><body>
{{ range .Site.RegularPages }}<p><a href="{{ .RelPermalink }}">{{ .Title }}</a>
<span data-talkee-count="{{ .RelPermalink }}"></span></p>{{ end }}
<script async src="SERVER/talkee.js"></script></body></html>
"""


def hugo(folder: Path, host: Host, server: Server) -> None:
    """Have Hugo make a blog of two posts, with the line in its template, and serve it."""
    if which("hugo") is None:
        pytest.fail("This test needs the Debian package hugo: apt-get install hugo")
    layouts = folder / "layouts" / "_default"
    layouts.mkdir(parents=True)
    (folder / "config.toml").write_text(
        f'baseURL = "{host.origin}/"\nlanguageCode = "en"\ntitle = "Bread"\n'
        'disableKinds = ["taxonomy", "term", "RSS", "sitemap", "404", "section"]\n'
    )
    (layouts / "single.html").write_text(SINGLE.replace("LINE", pasted(server)))
    (layouts / "list.html").write_text(LIST.replace("SERVER", server.url))
    posts = folder / "content" / "posts"
    posts.mkdir(parents=True)
    (posts / "rye.md").write_text("---\ntitle: Rye\n---\nA dark crumb, and **sour**.\n")
    (posts / "grüße.md").write_text("---\ntitle: Grüße\n---\nAus der Backstube.\n")
    done = subprocess.run(["hugo", "--quiet"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path in (folder / "public").rglob("index.html"):
        address = f"/{path.parent.relative_to(folder / 'public')}/".replace("/./", "/")
        host.pages[address] = path.read_text()


async def test_a_site_made_by_hugo(server: Server, host: Host, tabs: Tabs, folder: Path) -> None:
    hugo(folder / "blog", host, server)
    page = await tabs.open(f"{host.origin}/posts/rye/")
    await converse(page, "Rye", "Ann")
    await page.goto(f"{host.origin}/posts/gr%C3%BC%C3%9Fe/")
    await converse(page, "Grüße")
    # On the list each has its count; in the chat of the site both can be read.
    await page.goto(f"{host.origin}/")
    counts = page.locator("span[data-talkee-count]")
    await expect(counts).to_have_text(["1", "1"])
    await page.goto(f"{host.origin}/posts/rye/")
    await page.get_by_role("button", name="Chat").click()
    await says(page, "Rye in the chat", "Grüße in the chat")


# A program that shows several pages, and how it treats the canonical link.
APP = """
const links = CANONICAL;
const view = document.querySelector("main");
const canonical = () => document.querySelector("link[rel=canonical]");
const render = () => {
  view.textContent = "This is " + location.pathname;
  const follow = () => canonical().href = location.origin + "/read" + location.pathname;
  if (links === "at once") follow();
  if (links === "late") setTimeout(follow, 300);
};
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-go]");
  if (!link) return;
  event.preventDefault();
  history[link.dataset.go](null, "", link.getAttribute("href"));
  render();
});
addEventListener("popstate", render);
render();
"""


def app(host: Host, server: Server, canonical: str) -> str:
    """Publish the program; the address of its first page."""
    link = f'<link rel="canonical" href="{host.origin}/read/a">' if canonical else ""
    host.pages["/app.js"] = APP.replace("CANONICAL", f'"{canonical}"')
    html = f"""{HEAD}{link}</head><nav><a href="/a" data-go="pushState">A</a>
    <a href="/b" data-go="pushState">B</a> <a href="/c" data-go="replaceState">C</a></nav>
    <main></main>{line(server)}<span data-talkee-count="/a"></span>
    <script type="module" src="/app.js"></script>"""
    return host.show(html, path="/a")


@pytest.mark.parametrize("canonical", ["", "at once", "late", "never"])
async def test_the_thread_follows_a_single_page_app(
    server: Server, host: Host, tabs: Tabs, canonical: str
) -> None:
    """By the path, or by the canonical link where that follows, too."""
    before = "/read" if canonical in ("at once", "late") else ""
    first = "/read/a" if canonical else "/a"
    await write(server, first, "On a")
    for slug in ("/b", "/c"):
        await write(server, f"{before}{slug}", f"On {slug[1:]}")
    page = await tabs.open(app(host, server, canonical))
    await shows(page, "On a")
    await page.get_by_text("B", exact=True).click()
    await shows(page, "On b")
    await comment(page, "Also on b", "Ben")
    await shows(page, "On b", "Also on b")
    await page.get_by_text("C", exact=True).click()
    await shows(page, "On c")
    await page.go_back()
    await shows(page, "On a")
    await expect(page.get_by_role("main")).to_have_text("This is /a")
    # It did not leave anything behind.
    await until(lambda: server.joined == 1)
    assert await page.evaluate("performance.getEntriesByType('navigation').length") == 1


async def test_what_names_its_page_stays_when_the_path_changes(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await write(server, "/fixed", "Always here")
    page = await tabs.open(host.show(f"{START}{line(server, 'data-slug=/fixed')}", path="/a"))
    await shows(page, "Always here")
    field = page.get_by_label("Write a comment")
    await field.fill("Half a sentence")
    await page.evaluate("history.pushState(null, '', '/b')")
    await page.evaluate("history.replaceState(null, '', '/b?tab=2#x')")
    # What is only behind the path is no other page.
    await expect(field).to_have_value("Half a sentence")
    await shows(page, "Always here")


async def test_a_query_or_a_hash_is_no_other_page(server: Server, host: Host, tabs: Tabs) -> None:
    await write(server, "/a", "On a")
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}{line(server)}", path="/a"))
    await shows(page, "On a")
    await page.evaluate("history.pushState(null, '', '?page=2')")
    await page.evaluate("history.pushState(null, '', '#top')")
    await page.evaluate("history.pushState(null, '', '/b')")
    await expect(page.get_by_text("No comments yet")).to_be_visible()
    assert log.slugs("/api/comments") == ["/a", "/b"]


async def test_counts_of_a_whole_page_come_in_one_call(
    server: Server, host: Host, tabs: Tabs
) -> None:
    for slug in ("/posts/7", "/posts/7", "/posts/499", "/grüße"):
        await write(server, slug, "Hello")
    spans = "".join(f"<p><span data-talkee-count=/posts/{n}>?</span>" for n in range(499))
    twice = "<span data-talkee-count=/posts/7></span><span data-talkee-count=/grüße></span>"
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(
        host.show(f"{START}{spans}{twice}<script async src={server.url}/talkee.js></script>")
    )
    counts = page.locator("[data-talkee-count]")
    await page.wait_for_function("document.querySelector('span').textContent === '0'")
    texts = await counts.all_inner_texts()
    assert {texts[7], texts[499]} == {"2"}
    assert set(texts[:7] + texts[8:499]) == {"0"}
    assert log.paths() == ["/talkee.js", "/api/counts"]
    # What was added later is counted when the page asks for it.
    await page.evaluate(
        "() => { document.body.innerHTML = '<b data-talkee-count=/posts/7></b>'; Talkee.count(); }"
    )
    await expect(page.locator("b")).to_have_text("2")
    await page.evaluate(
        "() => { document.body.innerHTML = '<i data-talkee-count=/posts/7></i>';"
        " history.pushState(null, '', '/other'); }"
    )
    await expect(page.locator("i")).to_have_text("2")


async def test_a_page_without_counts_asks_for_none(server: Server, host: Host, tabs: Tabs) -> None:
    page = await (await tabs.person()).new_page()
    log = Log(page, server)
    await page.goto(host.show(f"{START}{line(server, 'data-comments=off')}"))
    await page.evaluate("history.pushState(null, '', '/other')")
    await page.wait_for_load_state("networkidle")
    assert log.addresses == ["/talkee.js"]
