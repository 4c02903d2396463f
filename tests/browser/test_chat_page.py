"""The plain chat page, as people use it: a real server and a real Chromium."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Page, Route, expect

from talkee_lite.app import make_app
from talkee_lite.config import AuthConfig, Config, ServerConfig, SiteConfig

from ..harness import Server, config_in, running, server_process, until
from .conftest import Host, Tabs, listening

pytestmark = pytest.mark.browser

WELCOME_ROOM = "site_id=1&slug=/"
# What Chromium itself writes while a server is away.
AWAY = r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|WebSocket connection to"


async def say(page: Page, text: str, name: str | None = None) -> None:
    """Type into the chat and press Enter, as somebody new with a name."""
    if name is not None:
        await page.get_by_label("Your name").fill(name)
    await page.get_by_label("Message", exact=True).fill(text)
    await page.get_by_label("Message", exact=True).press("Enter")


async def shows(page: Page, *texts: str) -> None:
    """Just these messages come to be shown, in this order, all of them stored."""
    await expect(page.locator("li p")).to_have_text(list(texts))
    await expect(page.locator("li.pending")).to_have_count(0)


async def tells(page: Page, text: str) -> None:
    """The line below the form comes to hold `text`."""
    await expect(page.get_by_role("status")).to_contain_text(text)


async def token_of(page: Page) -> str:
    """The access token that the page keeps."""
    kept = "JSON.parse(Object.values(localStorage)[0]).access_token"
    return str(await page.evaluate(kept))


def tag(server: Server, *attributes: str) -> str:
    """The line of HTML that brings the chat."""
    more = " ".join(attributes)
    return f'<script async src="{server.url}/talkee.js" data-site-id="1" data-chat {more}></script>'


def public_config(folder: Path, *origins: str) -> Config:
    """A server that the world knows as https://talk.example.com: localhost is not let in free."""
    return config_in(
        folder,
        server=ServerConfig(public_url="https://talk.example.com"),
        sites=(SiteConfig(id=1, origins=origins),),
    )


async def test_two_people_chat_and_a_reload_shows_the_same(server: Server, tabs: Tabs) -> None:
    ann, ben = await tabs.open(server.url), await tabs.open(server.url)
    await say(ann, "Is anybody here?", "Ann")
    await say(ben, "I am.", "Ben")
    await shows(ann, "Is anybody here?", "I am.")
    await shows(ben, "Is anybody here?", "I am.")
    await say(ann, "Good — naïve 日本 😀\nsecond line")
    talk = ("Is anybody here?", "I am.", "Good — naïve 日本 😀\nsecond line")
    await shows(ben, *talk)
    await expect(ben.locator("li b")).to_have_text(["Ann", "Ben", "Ann"])
    # Every picture has loaded, though the server's public name may be another.
    assert await ben.locator("li img").evaluate_all(
        "images => Promise.all(images.map(image => image.decode())).then(() => images.length)"
    ) == len(talk)
    await ann.reload()
    await shows(ann, *talk)
    await tells(ann, "Writing as Ann")


async def test_a_second_tab_is_the_same_person_and_both_sign_out(
    server: Server, tabs: Tabs
) -> None:
    person = await tabs.person()
    first, second = await tabs.open(server.url, person), await tabs.open(server.url, person)
    await say(first, "From the first tab.", "Ann")
    await shows(second, "From the first tab.")
    await say(second, "From the second.")
    await shows(first, "From the first tab.", "From the second.")
    await second.get_by_label("Message", exact=True).fill("Half a sentence")
    await first.get_by_role("button", name="Sign out").click()
    for page in (first, second):
        await expect(page.get_by_label("Your name")).to_be_visible()
    await until(lambda: server.joined == 0)
    await expect(second.get_by_label("Message", exact=True)).to_have_value("Half a sentence")


async def test_a_restart_loses_and_doubles_nothing(tmp_path: Path, tabs: Tabs) -> None:
    tabs.expected.append(AWAY)
    with server_process(tmp_path) as process:
        ann, ben = await tabs.open(process.url), await tabs.open(process.url)
        await say(ann, "Before.", "Ann")
        await say(ben, "Me too.", "Ben")
        await shows(ann, "Before.", "Me too.")
        assert await asyncio.to_thread(process.stop) == 0
    await tells(ann, "trying again")
    await say(ann, "While it was away, one.")
    await say(ann, "While it was away, two.")
    await tells(ann, "Not sent yet")
    with server_process(tmp_path, "--port", str(urlsplit(process.url).port)):
        talk = ("Before.", "Me too.", "While it was away, one.", "While it was away, two.")
        await expect(ben.locator("li p")).to_have_text(list(talk), timeout=20_000)
        await shows(ann, *talk)
        await tells(ann, "Writing as Ann")
        await say(ben, "After.")
        await shows(ann, *talk, "After.")
        # The page went on by itself: nobody loaded it again.
        assert await ann.evaluate("performance.getEntriesByType('navigation').length") == 1
        await tabs.leave()


async def test_what_was_missed_comes_and_what_was_deleted_goes(server: Server, tabs: Tabs) -> None:
    page = await tabs.open(server.url)
    ben = await server.guest("Ben")
    regretted = await server.post(ben, "I regret this.", room=WELCOME_ROOM)
    await say(page, "Hello.", "Ann")
    await shows(page, "I regret this.", "Hello.")
    for connection in server.services.sockets.connections:
        connection.cut()
    for number in range(3):
        await server.post(ben, f"Missed {number}", room=WELCOME_ROOM)
    path = f"/ws/messages/{regretted['message_id']}?{WELCOME_ROOM}"
    status, _, _ = await server.call("DELETE", path, token=ben)
    assert status == 200
    await shows(page, "Hello.", "Missed 0", "Missed 1", "Missed 2")


async def test_more_was_missed_than_can_be_resumed(server: Server, tabs: Tabs) -> None:
    page = await tabs.open(server.url)
    ben = await server.guest("Ben")
    await say(page, "Long ago.", "Ann")
    await shows(page, "Long ago.")
    # The next socket waits until enough has been said.
    let_in = asyncio.Event()
    check = server.services.sockets.check

    def refuse(address: str) -> None:
        if not let_in.is_set():
            raise ConnectionError
        check(address)

    tabs.expected.append(AWAY)
    server.services.sockets.check = refuse  # type: ignore[method-assign]
    for connection in server.services.sockets.connections:
        connection.cut()
    for _ in range(4):
        posts = (server.post(ben, "Busy here.", room=WELCOME_ROOM) for _ in range(100))
        await asyncio.gather(*posts)
    await server.post(ben, "The last one.", room=WELCOME_ROOM)
    let_in.set()
    await expect(page.locator("li p").last).to_have_text("The last one.", timeout=20_000)
    # The latest, without a hole in the middle.
    await shows(page, *["Busy here."] * 99, "The last one.")


async def test_an_answer_that_is_lost_posts_nothing_twice(server: Server, tabs: Tabs) -> None:
    tabs.expected.append("ERR_FAILED")
    page = await tabs.open(server.url)
    lost = 0

    async def lose_first_answer(route: Route) -> None:
        nonlocal lost
        if route.request.method != "POST" or lost:
            await route.continue_()
            return
        lost += 1
        await route.fetch()
        await route.abort()

    await page.route("**/ws/messages?*", lose_first_answer)
    await say(page, "Once.", "Ann")
    await expect(page.locator("li p")).to_have_text(["Once."])
    await tells(page, "Writing as Ann")
    assert lost == 1
    await say(page, "And again.")
    await shows(page, "Once.", "And again.")
    listed = await server.latest(await server.guest(), room=WELCOME_ROOM)
    assert len(listed["data"]) == 2


async def test_an_expired_token_is_renewed_in_silence(server: Server, tabs: Tabs) -> None:
    page = await tabs.open(server.url)
    await say(page, "Hello.", "Ann")
    await shows(page, "Hello.")
    before = await token_of(page)
    await until(lambda: server.joined == 1)
    for connection in server.services.sockets.connections:
        connection.close(4402, "token expired")
    async with asyncio.timeout(10):
        while await token_of(page) == before:
            await asyncio.sleep(0.05)
    await until(lambda: server.joined == 1)
    await server.post(await server.guest("Ben"), "Still there?", room=WELCOME_ROOM)
    await shows(page, "Hello.", "Still there?")


async def test_a_refused_token_signs_out_and_keeps_what_was_typed(
    server: Server, tabs: Tabs
) -> None:
    page = await tabs.open(server.url)
    await say(page, "Hello.", "Ann")
    await shows(page, "Hello.")
    await page.get_by_label("Message", exact=True).fill("Half a sentence")
    status, _, _ = await server.call("POST", "/api/auth/logout", token=await token_of(page))
    assert status == 200
    await tells(page, "You are signed out")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Half a sentence")
    await page.get_by_label("Your name").fill("Ann again")
    await page.get_by_role("button", name="Send").click()
    await shows(page, "Hello.", "Half a sentence")


async def test_a_name_that_is_taken_and_a_text_that_is_too_long(tmp_path: Path, tabs: Tabs) -> None:
    tabs.expected.append(r"status of (409|413)")
    config = config_in(tmp_path, auth=AuthConfig(reserved_names=("Ann",)))
    async with running(config) as server:
        page = await tabs.open(server.url)
        await say(page, "Hello.", "ANN")
        await tells(page, "belongs to somebody else. How about “ANN ")
        await page.get_by_role("button", name="Send").click()
        await shows(page, "Hello.")
        await say(page, "x" * 5000)
        await tells(page, "too long")
        await expect(page.get_by_label("Message", exact=True)).to_have_value("x" * 5000)
        await shows(page, "Hello.")
        await tabs.leave()


async def test_an_enter_that_chooses_a_word_sends_nothing(server: Server, tabs: Tabs) -> None:
    page = await tabs.open(server.url)
    await page.get_by_label("Your name").fill("Ann")
    field = page.get_by_label("Message", exact=True)
    await field.fill("に")
    for how in ("{isComposing: true}", "{keyCode: 229}"):
        await field.evaluate(
            "(field, how) => field.dispatchEvent(new KeyboardEvent('keydown',"
            " {key: 'Enter', bubbles: true, cancelable: true, ...how}))",
            await page.evaluate(f"({how})"),
        )
    await field.press("Shift+Enter")
    await field.press_sequentially("ほん")
    await field.press("Enter")
    await shows(page, "に\nほん")


async def test_markup_stays_text(server: Server, tabs: Tabs) -> None:
    page = await tabs.open(server.url)
    name, text = "<img src=x onerror=alert(1)>", "</p><script>alert(2)</script>{site_id}&amp;"
    await say(page, text, name)
    await shows(page, text)
    await expect(page.locator("li b")).to_have_text(name)
    await page.reload()
    await shows(page, text)
    assert await page.locator("li img").count() == 1
    assert await page.locator("main script").count() == 1


async def test_it_works_where_storage_is_blocked(server: Server, tabs: Tabs) -> None:
    person = await tabs.person()
    await person.add_init_script(
        "Object.defineProperty(window, 'localStorage',"
        " {get() { throw new DOMException('blocked', 'SecurityError'); }})"
    )
    page = await tabs.open(server.url, person)
    await say(page, "Hello.", "Ann")
    await say(page, "Still me.")
    await shows(page, "Hello.", "Still me.")


async def test_an_allowed_page_of_another_origin_with_the_strictest_policy(
    tmp_path: Path, tabs: Tabs, host: Host
) -> None:
    async with running(public_config(tmp_path, host.origin)) as server:
        address = host.show(
            f"<!doctype html><title>A post</title><h1>A post</h1>{tag(server)}"
            f'{tag(server, "data-slug=/second")}<div id="here"></div>'
            f"{tag(server, 'data-slug=/third', 'data-container=#here')}",
            f"default-src 'none'; script-src {server.url}; img-src {server.url};"
            f" connect-src {server.url} {server.ws_url}; require-trusted-types-for 'script'",
        )
        page = await tabs.open(address)
        rooms = page.locator("section[aria-label=Chat]")
        await expect(rooms).to_have_count(3)
        await expect(page.locator("#here section")).to_have_count(1)
        # One person in all rooms of the page, and each room has what was said in it.
        first = rooms.nth(0)
        await first.get_by_label("Your name").fill("Ann")
        await first.get_by_label("Message", exact=True).fill("In the page's own room.")
        await first.get_by_role("button", name="Send").click()
        await expect(page.get_by_label("Your name").locator("visible=true")).to_have_count(0)
        third = rooms.nth(2)
        await third.get_by_label("Message", exact=True).fill("In the third.")
        await third.get_by_role("button", name="Send").click()
        await expect(first.locator("li p")).to_have_text("In the page's own room.")
        await expect(third.locator("li p")).to_have_text("In the third.")
        await expect(rooms.nth(1).locator("li")).to_have_count(0)
        reader = await server.guest("Ben")
        for slug, text in (("/post", "In the page's own room."), ("/third", "In the third.")):
            listed = await server.latest(reader, room=f"site_id=1&slug={slug}")
            assert len(listed["data"]) == 1, text
        assert await first.locator("li img").evaluate("i => i.decode().then(() => i.src)") == (
            f"{server.url}/api/avatars/1.svg"
        )
        # It was styled, policy or not.
        assert await first.evaluate("s => getComputedStyle(s).borderTopLeftRadius") == "12px"
        await tabs.leave()


async def test_a_page_that_is_not_allowed_says_so_and_tells_its_owner_the_cure(
    tmp_path: Path, tabs: Tabs, host: Host
) -> None:
    tabs.expected += [r"status of 403", "add-origin", "CORS policy", "ERR_FAILED"]
    async with running(public_config(tmp_path, "https://other.example.com")) as server:
        page = await tabs.open(host.show(f"<!doctype html><title>A post</title>{tag(server)}"))
        await expect(page.get_by_text("There is no chat on this page yet.")).to_be_visible()
        await expect(page.get_by_label("Message", exact=True)).to_be_hidden()
        cure = f"talkee-lite site set 1 --add-origin {host.origin}"
        told = [text for text in tabs.seen if text.startswith("Talkee: Pages of this origin")]
        assert len(told) == 1
        assert told[0].endswith(cure)
        await tabs.leave()


async def test_a_server_that_cannot_be_reached_is_waited_for(server: Server, tabs: Tabs) -> None:
    tabs.expected.append("ERR_FAILED")
    page = await (await tabs.person()).new_page()
    await page.route("**/api/**", lambda route: route.abort())
    await page.goto(server.url)
    await tells(page, "The chat cannot be reached right now; trying again")
    await say(page, "Hello?", "Ann")
    await tells(page, "The chat cannot be reached right now.")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Hello?")
    await page.unroute("**/api/**")
    await page.get_by_role("button", name="Send").click()
    await shows(page, "Hello?")
    await tells(page, "Writing as Ann")


async def test_it_works_below_a_path_of_another_program(tmp_path: Path, tabs: Tabs) -> None:
    async def front(request: web.Request) -> web.Response:
        script = '<script async src="/talk/talkee.js" data-site-id="1"></script>'
        icon = '<link rel="icon" href="data:,">'
        return web.Response(text=f"<!doctype html>{icon}{script}", content_type="text/html")

    program = web.Application()
    program.router.add_get("/caf\u00e9", front)
    program.add_subapp("/talk/", make_app(config_in(tmp_path)))
    async with listening(program) as origin:
        ann, ben = await tabs.open(f"{origin}/caf\u00e9"), await tabs.open(f"{origin}/caf%C3%A9")
        await say(ann, "Hello.", "Ann")
        await shows(ann, "Hello.")
        await say(ben, "Hello, Ann.", "Ben")
        await shows(ann, "Hello.", "Hello, Ann.")
        welcome = await tabs.open(f"{origin}/talk/")
        await say(welcome, "Another room.", "Cid")
        await shows(welcome, "Another room.")
        await tabs.leave()


async def test_it_fits_a_phone_and_both_colour_schemes(server: Server, tabs: Tabs) -> None:
    for scheme in ("light", "dark"):
        person = await tabs.person(
            viewport={"width": 390, "height": 844},
            has_touch=True,
            is_mobile=True,
            color_scheme=scheme,
        )
        page = await tabs.open(server.url, person)
        await say(page, "https://example.com/" + "long/" * 40, "W" * 64)
        await expect(page.locator("li").last).to_be_visible()
        await tells(page, "Writing as")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for control in await page.locator("section :is(input, textarea, button)").all():
            box = await control.bounding_box()
            assert box is None or box["height"] >= 44
        field = page.get_by_label("Message", exact=True)
        assert await field.evaluate("f => parseFloat(getComputedStyle(f).fontSize)") >= 16
        ratios = await page.evaluate(CONTRAST)
        assert min(ratios) >= 4.5, ratios


# The contrast (WCAG 2.2, relative luminance) of each text with the page behind it.
CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d");
  const rgb = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (parts) => {
    const [r, g, b] = parts.map((part) => {
      const x = part / 255;
      return x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
    });
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ratio = (text, ground, opacity) => {
    const mixed = text.map((part, i) => part * opacity + ground[i] * (1 - opacity));
    const [low, high] = [light(mixed), light(ground)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const page = rgb(getComputedStyle(document.body).backgroundColor);
  const room = [...document.querySelectorAll("*")].find((e) => e.shadowRoot).shadowRoot;
  const texts = [...document.querySelectorAll("h1, main > p"),
    ...room.querySelectorAll("b, time, li p, [role=status], footer button")];
  const ratios = texts.map((element) => {
    const { color, opacity } = getComputedStyle(element);
    return ratio(rgb(color), page, Number(opacity));
  });
  const field = getComputedStyle(room.querySelector("textarea"), "::placeholder");
  ratios.push(ratio(rgb(field.color), page, Number(field.opacity)));
  const send = getComputedStyle(room.querySelector("form button"));
  ratios.push(ratio(rgb(send.color), rgb(send.backgroundColor), 1));
  return ratios;
}"""
