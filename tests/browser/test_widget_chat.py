"""What is said in a room on somebody's page: messages, and how they are shown."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from talkee_lite.clock import DAY, SECOND
from talkee_lite.models import RoomKey

from ..harness import Server, until
from .chatting import (
    ROOM,
    come_in,
    enter,
    field,
    fill_room,
    is_listed,
    is_live,
    messages,
    page_with,
    say,
    shows,
    stored,
    tells,
    tells_nothing,
    token_of,
)
from .conftest import Held, Host, Tabs

pytestmark = pytest.mark.browser

LOG = "e => e.shadowRoot.querySelector('[role=log]')"


async def log_is(page: Page, question: str) -> Any:
    """What a script finds out about the list of messages, as `log`."""
    script = f"e => {{ const log = ({LOG})(e); return {question}; }}"
    return await page.locator("talkee-chat").evaluate(script)


async def scroll_up(page: Page, top: int = 600) -> None:
    """Read something older: away from the end, and not near the beginning."""
    await log_is(page, f"log.scrollTo(0, {top})")
    await page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")


async def hide(page: Page, is_hidden: bool) -> None:
    """Another tab comes before this one, or goes."""
    await page.evaluate(
        "isHidden => { Object.defineProperty(document, 'hidden', {value: isHidden,"
        " configurable: true}); document.dispatchEvent(new Event('visibilitychange')); }",
        is_hidden,
    )


async def test_two_people_talk(server: Server, host: Host, tabs: Tabs) -> None:
    ann, ben = await enter(tabs, host, server, "Ann"), await enter(tabs, host, server, "Ben")
    await say(ann, "Is anybody here?")
    await shows(ben, "Is anybody here?")
    await say(ben, "I am.")
    talk: tuple[str, ...] = ("Is anybody here?", "I am.")
    await shows(ann, *talk)
    await shows(ben, *talk)
    await say(ann, "Good — naïve 日本 😀\nsecond line")
    talk = (*talk, "Good — naïve 日本 😀\nsecond line")
    await shows(ben, *talk)
    await expect(ben.locator("li b")).to_have_text(["Ann", "Ben", "Ann"])
    assert await ben.locator("li img").evaluate_all(
        "images => Promise.all(images.map(image => image.decode())).then(() => images.length)"
    ) == len(talk)
    await ann.reload()
    await shows(ann, *talk)


async def test_what_follows_soon_needs_no_second_name(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 3)
    page = await enter(tabs, host, server)
    await shows(page, "Line 0", "Line 1", "Line 2")
    await expect(page.locator("li b")).to_have_text(["Ben"])
    await expect(page.locator("li img")).to_have_count(1)


async def test_ones_own_is_shown_before_the_server_has_it(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    let_through = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method == "POST":
            await let_through.wait()
        await route.continue_()

    await page.route("**/api/messages?*", hold)
    await say(page, "One.")
    await say(page, "Two.")
    await expect(messages(page)).to_have_text(["One.", "Two."])
    await expect(page.locator("li.held")).to_have_count(2)
    await expect(field(page)).to_have_value("")
    assert await stored(server) == []
    let_through.set()
    await shows(page, "One.", "Two.")
    assert len(await stored(server)) == 2


async def test_what_happens_while_ones_own_is_on_its_way_is_not_lost(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    ben = await fill_room(server, 2)
    await shows(page, "Line 0", "Line 1")
    answered = asyncio.Event()

    async def hold(route: Route) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        answer = await route.fetch()
        await answered.wait()
        await route.fulfill(response=answer)

    await page.route("**/api/messages?*", hold)
    await say(page, "Mine.")
    await shows(page, "Line 0", "Line 1", "Mine.")
    await server.post(ben, "Another's.", room=ROOM)
    gone = (await stored(server))[0]["message_id"]
    status, _, _ = await server.call("DELETE", f"/ws/messages/{gone}?{ROOM}", token=ben)
    assert status == 200
    await shows(page, "Line 1", "Mine.", "Another's.")
    await (
        page.get_by_role("log")
        .locator("ol")
        .evaluate(
            "list => { window.gone = 0; new MutationObserver(changes => changes.forEach("
            "({removedNodes}) => gone += removedNodes.length)).observe(list, {childList: true}); }"
        )
    )
    async with page.expect_response("**/api/messages?*"):
        answered.set()
    await say(page, "Mine again.")
    await shows(page, "Line 1", "Mine.", "Another's.", "Mine again.")
    # Not even for a moment.
    assert await page.evaluate("gone") == 0


async def test_the_latest_are_there_and_older_ones_come_on_scrolling_up(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 230)
    page = await enter(tabs, host, server)
    await expect(messages(page)).to_have_count(100)
    await expect(messages(page).last).to_have_text("Line 229")
    assert await log_is(page, "log.scrollHeight - log.scrollTop - log.clientHeight") < 2
    seen = 100
    while seen < 230:
        # What is being read stays exactly where it is.
        await scroll_up(page, 150)
        reading = messages(page).get_by_text("Line", exact=False).nth(0)
        first = await reading.text_content()
        row = page.locator("li.message").filter(has_text=str(first)).first
        before = await row.evaluate("r => r.getBoundingClientRect().top")
        seen = min(seen + 50, 230)
        await expect(messages(page)).to_have_count(seen)
        row = page.locator("li.message p.text").get_by_text(str(first), exact=True)
        top = await row.evaluate("r => r.closest('li').getBoundingClientRect().top")
        # The row may have lost the name above it, since it follows others now.
        assert abs(top - before) < 40, (first, before, top)
    texts = await messages(page).all_text_contents()
    assert texts == [f"Line {number}" for number in range(230)]
    await expect(page.get_by_role("button", name="Show older messages")).to_be_hidden()
    await page.get_by_role("log").press("End")
    await expect(messages(page).last).to_be_in_viewport()


async def test_older_ones_come_by_a_button_too(server: Server, host: Host, tabs: Tabs) -> None:
    await fill_room(server, 120)
    page = await enter(tabs, host, server)
    await expect(messages(page)).to_have_count(100)
    await page.get_by_role("button", name="Show older messages").press("Enter")
    await expect(messages(page)).to_have_count(120)


async def test_what_is_new_moves_nothing_for_who_reads_above_and_is_counted(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ben = await fill_room(server, 60)
    page = await enter(tabs, host, server)
    await expect(messages(page).last).to_have_text("Line 59")
    await is_live(page, server, ben)
    await scroll_up(page, 300)
    before = await log_is(page, "log.scrollTop")
    for number in range(3):
        await server.post(ben, f"New {number}", room=ROOM)
    pill = page.get_by_role("button", name="unread")
    await expect(pill).to_contain_text("3 unread")
    await expect(messages(page)).to_have_count(64)
    assert await log_is(page, "log.scrollTop") == before
    await pill.click()
    await expect(pill).to_be_hidden()
    await expect(messages(page).last).to_be_in_viewport()
    # At the end it goes along with what comes.
    await server.post(ben, "The last.", room=ROOM)
    await expect(messages(page).last).to_have_text("The last.")
    await expect(messages(page).last).to_be_in_viewport()
    await expect(pill).to_be_hidden()


async def test_what_comes_while_the_tab_is_hidden_is_unread(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    ben = await server.guest("Ben")
    await is_live(page, server, ben)
    await hide(page, True)
    for number in range(2):
        await server.post(ben, f"New {number}", room=ROOM)
    pill = page.get_by_role("button", name="unread")
    await expect(pill).to_contain_text("2 unread")
    await hide(page, False)
    await expect(pill).to_be_hidden()
    await server.post(ben, "Seen at once.", room=ROOM)
    await expect(messages(page)).to_have_count(4)
    await expect(pill).to_be_hidden()


async def test_days_are_told_apart(server: Server, host: Host, tabs: Tabs) -> None:
    now = server.services.clock()
    token = await server.guest("Ben")
    for days in (400, 2, 0):
        server.services.chat._clock = lambda days=days: now - days * DAY  # type: ignore[misc]
        await server.post(token, f"{days} days ago", room=ROOM)
        await server.post(token, "And more.", room=ROOM)
    page = await enter(tabs, host, server)
    await expect(messages(page)).to_have_count(6)
    rows = await page.locator("ol > li").evaluate_all(
        "rows => rows.map(row => row.matches('.message') ? 'said' : '— ' + row.textContent)"
    )
    assert [row[0] == "—" for row in rows] == [True, False, False] * 3
    assert rows[6] == "— Today"
    assert rows[0] != rows[3]
    # Each has a name again at the head of a day.
    await expect(page.locator("li b")).to_have_count(3)


async def test_today_is_another_day_after_midnight(server: Server, host: Host, tabs: Tabs) -> None:
    ben = await fill_room(server, 1)
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    await page.goto(host.show(page_with(server.url)))
    await come_in(page)
    days = page.locator("li.day")
    await expect(days).to_have_text(["Today"])
    await page.clock.fast_forward(24 * 3600 * 1000)
    await server.post(ben, "Good morning.", room=ROOM)
    await expect(messages(page)).to_have_count(2)
    await expect(days).not_to_have_text(["Today"])


async def test_addresses_are_links_and_nothing_else_is_markup(
    server: Server, host: Host, tabs: Tabs
) -> None:
    token = await server.guest("<img src=x onerror=alert(1)>")
    text = "See https://example.com/a?b=1&c=(d)! <b>no</b> javascript:alert(1) http://x.org."
    await server.post(token, text, room=ROOM)
    page = await enter(tabs, host, server)
    await shows(page, text)
    links = messages(page).get_by_role("link")
    hrefs = await links.evaluate_all("all => all.map(one => one.getAttribute('href'))")
    assert hrefs == ["https://example.com/a?b=1&c=(d", "http://x.org"]
    for attribute, value in (("target", "_blank"), ("rel", "nofollow ugc")):
        await expect(links.first).to_have_attribute(attribute, value)
    await expect(page.locator("li b")).to_have_text("<img src=x onerror=alert(1)>")
    await expect(page.locator("li b img, li p b, li p script")).to_have_count(0)


async def test_it_says_how_many_are_here_from_two_on(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann = await enter(tabs, host, server, "Ann")
    await say(ann, "Alone.")
    await shows(ann, "Alone.")
    here = ann.get_by_text("people here")
    await expect(here).to_have_count(0)
    ben = await enter(tabs, host, server, "Ben")
    await expect(ann.get_by_text("2 people here")).to_be_visible()
    await expect(ben.get_by_text("2 people here")).to_be_visible()
    await ben.close()
    await expect(here).to_have_count(0)
    await expect(ann.get_by_text("person here")).to_have_count(0)


async def test_nobody_is_told_that_a_room_is_empty_before_that_is_known(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await say(page, "Hello.")
    await shows(page, "Hello.")
    asked, answered = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await page.route("**/api/messages?*", hold)
    await page.reload()
    await expect(field(page)).to_be_visible()
    await asked.wait()
    await until(lambda: server.joined == 1)
    await page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done)))")
    await expect(page.get_by_text("Nobody has said anything yet.")).to_be_hidden()
    answered.set()
    await shows(page, "Hello.")


async def test_a_room_without_talk_invites_in_the_owners_words(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await expect(page.get_by_text("Nobody has said anything yet.")).to_be_visible()
    page = await enter(tabs, host, server, attributes='invite="Tea at four. Bring <b>cake</b>."')
    await expect(page.get_by_text("Tea at four. Bring <b>cake</b>.")).to_be_visible()
    await expect(page.get_by_text("Nobody has said anything")).to_have_count(0)
    await say(page, "Cake!")
    await shows(page, "Cake!")
    await expect(page.get_by_text("Tea at four.").locator("visible=true")).to_have_count(0)


async def test_a_quiet_room_says_when_it_was_last_used_and_invites(
    server: Server, host: Host, tabs: Tabs
) -> None:
    now = server.services.clock()
    server.services.chat._clock = lambda: now - 3 * 3600 * SECOND
    await server.post(await server.guest("Ben"), "Anybody?", room=ROOM)
    page = await enter(tabs, host, server, attributes='invite="We are here on Fridays."')
    last = page.get_by_text("Last message: 3 hours ago. We are here on Fridays.")
    await expect(last).to_be_visible()
    server.services.chat._clock = lambda: now
    await say(page, "Now there is.")
    await shows(page, "Anybody?", "Now there is.")
    await expect(page.get_by_text("Last message")).to_be_hidden()


async def test_ones_own_can_be_deleted_for_everybody_and_others_cannot(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ann, ben = await enter(tabs, host, server, "Ann"), await enter(tabs, host, server, "Ben")
    await say(ann, "I regret this.")
    await shows(ben, "I regret this.")
    await say(ben, "What?")
    await shows(ann, "I regret this.", "What?")
    await expect(ann.locator("li").filter(has_text="What?").get_by_role("button")).to_have_count(0)
    mine = ann.locator("li").filter(has_text="I regret this.")
    await mine.hover()
    await mine.get_by_role("button", name="Delete").click()
    await shows(ann, "What?")
    await shows(ben, "What?")
    assert len(await stored(server)) == 1


async def test_an_enter_that_chooses_a_word_sends_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await field(page).fill("に")
    for how in ({"isComposing": True}, {"keyCode": 229}):
        await field(page).evaluate(
            "(field, how) => { field.dispatchEvent(new CompositionEvent('compositionstart'));"
            " field.dispatchEvent(new KeyboardEvent('keydown',"
            " {key: 'Enter', bubbles: true, cancelable: true, composed: true, ...how})); }",
            how,
        )
    await field(page).press("Shift+Enter")
    await field(page).press_sequentially("ほん")
    await field(page).press("Enter")
    await shows(page, "に\nほん")


async def test_what_is_new_is_said_to_screen_readers_now_and_then(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    log = page.get_by_role("log", name="Messages")
    await expect(log).to_have_attribute("aria-live", "off")
    voice = page.locator("talkee-chat [aria-live=polite]")
    await voice.evaluate(
        "voice => { window.said = []; new MutationObserver(() =>"
        " said.push(voice.textContent)).observe(voice, {childList: true}); }"
    )
    ben = await server.guest("Ben")
    await is_live(page, server, ben)
    for number in range(20):
        await server.post(ben, f"Line {number}", room=ROOM)
    # The first may have come with the list.
    many = re.compile("^2[01] unread$")
    await expect(voice).to_have_text(many)
    await server.post(ben, "Hello, Ann.", room=ROOM)
    await expect(voice).to_have_text("Ben: Hello, Ann.")
    # One's own needs no telling.
    await say(page, "Hello, Ben.")
    await expect(messages(page)).to_have_count(23)
    first, second = await page.evaluate("said")
    assert many.match(first)
    assert second == "Ben: Hello, Ann."


async def test_the_page_hears_of_messages_and_of_who_signs_in_and_can_sign_out(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await tabs.open(
        host.show(
            page_with(
                server.url,
                script="<script>window.heard = []; for (const name of ['message', 'signin'])"
                " addEventListener(`talkee-${name}`, ({type, detail}) => heard.push([type,"
                " detail.user?.full_name ?? null, atob(detail.data ?? '')]));</script>",
            )
        )
    )
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_role("button", name="Come in").click()
    await is_listed(page)
    ben = await server.guest("Ben")
    await is_live(page, server, ben)
    await server.post(ben, "Hello.", room=ROOM)
    await shows(page, "Now live.", "Hello.")
    token = await token_of(page)
    # `refresh` shows the same again, and loses nothing that is typed.
    await field(page).fill("Half a sentence")
    await page.locator("talkee-chat").evaluate("chat => chat.refresh()")
    await page.locator("talkee-chat").evaluate("chat => chat.signOut()")
    await expect(page.get_by_role("button", name="Come in")).to_be_visible()
    await expect(messages(page)).to_have_count(0)
    heard = await page.evaluate("heard")
    assert [event for event in heard if event[2] != "Now live."] == [
        ["talkee-signin", "Ann", ""],
        ["talkee-message", "Ben", "Hello."],
        ["talkee-signin", None, ""],
    ]
    async with asyncio.timeout(5):
        while (await server.call("GET", "/api/me", token=token))[0] != 401:
            await asyncio.sleep(0.02)


async def test_a_list_on_its_way_is_not_shown_to_whom_it_was_not_for(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await fill_room(server, 1)
    await shows(page, "Line 0")
    lists = Held("messages")
    await lists.hold(page)
    await page.locator("talkee-chat").evaluate("chat => chat.refresh()")
    await lists.read.wait()
    await page.locator("talkee-chat").evaluate("chat => chat.signOut()")
    async with page.expect_response(lambda answer: "/api/messages?" in answer.url):
        lists.may_come.set()
    await expect(page.get_by_role("button", name="Come in")).to_be_visible()
    await expect(messages(page)).to_have_count(0)


async def test_a_room_that_is_closed_says_so_and_gives_words_back(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"status of 403")
    page = await enter(tabs, host, server)
    await say(page, "Still open.")
    await shows(page, "Still open.")
    await server.services.chat.set_closed(RoomKey(1, "/"), True)
    await tells(page, "This room is closed.")
    await say(page, "Too late.")
    await expect(field(page)).to_have_value("Too late.")
    await shows(page, "Still open.")
    await expect(page.get_by_role("alert").filter(has_text="This room is closed.")).to_be_visible()
    await server.services.chat.set_closed(RoomKey(1, "/"), False)
    await tells_nothing(page)
    await field(page).press("Enter")
    await shows(page, "Still open.", "Too late.")
