"""A room on somebody's page whose connection is lost, blocked or ended."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Page, Route, WebSocketRoute, expect

from talkee_lite.administration import ban
from talkee_lite.config import AuthConfig

from ..harness import Server, config_in, free_limits, running, server_process, until
from .chatting import (
    AWAY,
    CLOSED,
    OFFLINE,
    ROOM,
    come_in,
    enter,
    field,
    fill_room,
    messages,
    page_with,
    say,
    shows,
    stored,
    tells,
    tells_nothing,
    token_of,
)
from .conftest import Host, Tabs, listening

pytestmark = pytest.mark.browser


async def let_time_pass(page: Page, seconds: int) -> None:
    """Timers of the page that are due until then run at once."""
    await page.clock.fast_forward(seconds * 1000)


async def hurry(page: Page, text: str) -> None:
    """Let time pass until the page says so: a pause between tries can be half a minute."""
    async with asyncio.timeout(20):
        while text not in await page.locator("talkee-chat .chat").inner_text():
            await let_time_pass(page, 5)
            await asyncio.sleep(0.05)


async def hurry_live(page: Page, server: Server) -> None:
    """Let time pass until the page has a socket again."""
    async with asyncio.timeout(20):
        while not server.joined:
            await let_time_pass(page, 5)
            await asyncio.sleep(0.1)


async def patient(tabs: Tabs, host: Host, url: str, name: str = "Ann", policy: str = "") -> Page:
    """A tab of somebody new whose clock a test can move on."""
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    await page.goto(host.show(page_with(url), policy))
    await come_in(page, name)
    return page


async def test_a_restart_of_the_server_loses_and_doubles_nothing(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(AWAY)
    with server_process(tmp_path) as process:
        ann = await patient(tabs, host, process.url)
        ben = await patient(tabs, host, process.url, "Ben")
        await say(ann, "Before.")
        await shows(ben, "Before.")
        await say(ben, "Me too.")
        await shows(ann, "Before.", "Me too.")
        assert await asyncio.to_thread(process.stop) == 0
    await ann.evaluate("window.isSame = true")
    await tells(ann, "Connection lost. Trying again")
    await say(ann, "While it was away, one.")
    await say(ann, "While it was away, two.")
    talk = ("Before.", "Me too.", "While it was away, one.", "While it was away, two.")
    await expect(messages(ann)).to_have_text(list(talk))
    await expect(ann.locator("li.held")).to_have_count(2)
    await expect(field(ann)).to_have_value("")
    await hurry(ann, "Not sent")
    with server_process(tmp_path, "--port", str(urlsplit(process.url).port)):
        for page in (ann, ben):
            await let_time_pass(page, 60)
        await shows(ann, *talk)
        await shows(ben, *talk)
        await tells_nothing(ann)
        await say(ben, "After.")
        await shows(ann, *talk, "After.")
        # It went on by itself: nobody loaded the page again.
        assert await ann.evaluate("window.isSame")
        await tabs.leave()


async def test_much_that_cannot_be_sent_asks_the_server_no_more_than_one_thing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("ERR_FAILED")
    page = await patient(tabs, host, server.url)
    tries = 0

    async def lose(route: Route) -> None:
        nonlocal tries
        if route.request.method == "POST":
            tries += 1
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/messages?*", lose)
    for number in range(8):
        await say(page, f"Line {number}.")
    async with asyncio.timeout(20):
        while await page.get_by_text("Not sent").count() < 8:
            await let_time_pass(page, 1)
            await asyncio.sleep(0.1)
    first = messages(page).first.locator("..").get_by_role("button", name="Try again").first
    await first.focus()
    tried = tries
    for _ in range(10):
        await let_time_pass(page, 1)
        await asyncio.sleep(0.1)
    assert tried < tries <= tried + 4
    # Who is at a button of it stays there.
    await expect(first).to_be_focused()
    await page.unroute_all()
    await let_time_pass(page, 5)
    await shows(page, *(f"Line {number}." for number in range(8)))
    await expect(page.get_by_text("Not sent")).to_have_count(0)


@pytest.mark.parametrize("after", ["0", "Wed, 21 Oct 2037 07:28:00 GMT"])
async def test_a_proxy_that_names_no_seconds_is_not_asked_without_a_pause(
    server: Server, host: Host, tabs: Tabs, after: str
) -> None:
    tabs.expected.append("503")
    page = await enter(tabs, host, server, "Ann")
    tries = 0

    async def refuse(route: Route) -> None:
        nonlocal tries
        if route.request.method != "POST":
            return await route.continue_()
        tries += 1
        headers = {
            "Access-Control-Allow-Origin": host.origin,
            "Access-Control-Expose-Headers": "Retry-After",
            "Retry-After": after,
        }
        await route.fulfill(status=503, headers=headers)

    await page.route("**/api/messages?*", refuse)
    await say(page, "Hello.")
    await expect(page.get_by_text("Not sent")).to_be_visible()
    await asyncio.sleep(1)
    assert tries == 1
    await page.unroute_all()
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Not sent")).to_have_count(0)


async def test_what_cannot_be_sent_is_offered_to_be_tried_again_or_dropped(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("ERR_FAILED")
    page = await patient(tabs, host, server.url)
    is_away = True

    async def lose(route: Route) -> None:
        if route.request.method == "POST" and is_away:
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/messages?*", lose)
    await say(page, "One.")
    await hurry(page, "Not sent")
    await say(page, "Two.")
    two = page.locator("li.message").filter(has_text="Two.")
    async with asyncio.timeout(20):
        while not await two.get_by_role("button", name="Try again").count():
            await let_time_pass(page, 5)
            await asyncio.sleep(0.05)
    await expect(two).to_contain_text("Not sent")
    # The line does not go on to say that it is being sent.
    await tells_nothing(page)
    await two.get_by_role("button", name="Delete").click()
    await expect(messages(page)).to_have_text(["One."])
    is_away = False
    await page.get_by_role("button", name="Try again").click()
    await shows(page, "One.")
    await expect(page.get_by_text("Not sent")).to_have_count(0)
    assert len(await stored(server)) == 1


async def test_an_answer_that_is_lost_posts_nothing_twice(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("ERR_FAILED")
    page = await enter(tabs, host, server)
    lost = 0

    async def lose_first_answer(route: Route) -> None:
        nonlocal lost
        if route.request.method != "POST" or lost:
            return await route.continue_()
        lost += 1
        await route.fetch()
        await route.abort()

    await page.route("**/api/messages?*", lose_first_answer)
    await say(page, "Once.")
    await say(page, "And again.")
    await shows(page, "Once.", "And again.")
    assert lost == 1
    assert len(await stored(server)) == 2


async def test_what_was_missed_comes_and_what_was_deleted_goes(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ben = await server.guest("Ben")
    regretted = await server.post(ben, "I regret this.", room=ROOM)
    page = await patient(tabs, host, server.url)
    await say(page, "Hello.")
    await shows(page, "I regret this.", "Hello.")
    for connection in server.services.sockets.connections:
        connection.cut()
    for number in range(3):
        await server.post(ben, f"Missed {number}", room=ROOM)
    path = f"/ws/messages/{regretted['message_id']}?{ROOM}"
    assert (await server.call("DELETE", path, token=ben))[0] == 200
    await hurry_live(page, server)
    await shows(page, "Hello.", "Missed 0", "Missed 1", "Missed 2")


async def test_more_was_missed_than_one_list_holds(server: Server, host: Host, tabs: Tabs) -> None:
    tabs.expected.append(AWAY)
    page = await patient(tabs, host, server.url)
    await say(page, "Long ago.")
    await shows(page, "Long ago.")
    await page.clock.pause_at(datetime.now() + timedelta(seconds=10))
    for connection in server.services.sockets.connections:
        connection.cut()
    ben = await server.guest("Ben")
    for first in range(0, 150, 50):
        posts = (server.post(ben, f"Busy {first + number}.", room=ROOM) for number in range(50))
        await asyncio.gather(*posts)
    await server.post(ben, "The last one.", room=ROOM)
    await page.clock.resume()
    await hurry_live(page, server)
    await expect(messages(page)).to_have_count(100)
    await expect(messages(page).last).to_have_text("The last one.")
    # The latest, without a hole in the middle; the others come as all older ones do.
    older = page.locator("talkee-chat button.more")
    async with asyncio.timeout(20):
        while await messages(page).count() < 152:
            # What is near the beginning loads more by itself.
            await older.evaluate("button => button.click()")
            await asyncio.sleep(0.05)
    assert len(set(await messages(page).all_text_contents())) == 152
    await expect(messages(page).first).to_have_text("Long ago.")


async def test_without_network_it_says_so_and_goes_on_with_it(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected += [OFFLINE, CLOSED, "ERR_NETWORK_CHANGED"]
    page = await enter(tabs, host, server)
    await say(page, "Before.")
    await shows(page, "Before.")
    await page.context.set_offline(True)
    await tells(page, "You are offline.")
    await say(page, "From the tunnel.")
    await expect(messages(page)).to_have_text(["Before.", "From the tunnel."])
    await server.post(await server.guest("Ben"), "Where are you?", room=ROOM)
    await page.context.set_offline(False)
    await expect(page.locator("li.message")).to_have_count(3)
    await expect(page.locator("li.held")).to_have_count(0, timeout=20_000)
    await shows(page, "Before.", "Where are you?", "From the tunnel.")
    await tells_nothing(page)


async def test_after_a_sleep_it_is_up_to_date_again(server: Server, host: Host, tabs: Tabs) -> None:
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    is_asleep = False

    def relay(socket: WebSocketRoute) -> None:
        """The network forgets a connection without telling, as it does in a sleep."""
        mine = is_asleep
        behind = socket.connect_to_server()
        behind.on_message(lambda text: None if is_asleep != mine else socket.send(text))

    await page.route_web_socket("**/ws?*", relay)
    await page.goto(host.show(page_with(server.url)))
    await come_in(page)
    await say(page, "Good night.")
    await shows(page, "Good night.")
    is_asleep = True
    await server.post(await server.guest("Ben"), "Sleep well.", room=ROOM)
    await expect(messages(page)).to_have_count(1)
    await let_time_pass(page, 8 * 3600)
    await let_time_pass(page, 5)
    await shows(page, "Good night.", "Sleep well.")
    await tells_nothing(page)


async def test_a_list_that_fails_is_loaded_again_with_what_comes_next(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("ERR_FAILED")
    ben = await fill_room(server, 2)
    page = await enter(tabs, host, server)
    is_failing = True

    async def fail(route: Route) -> None:
        await (route.abort() if is_failing else route.continue_())

    await page.route("**/api/messages?*", fail)
    await page.reload()
    async with page.expect_event("requestfailed"):
        pass
    await until(lambda: server.joined == 1)
    is_failing = False
    await server.post(ben, "Are you there?", room=ROOM)
    await shows(page, "Line 0", "Line 1", "Are you there?")


BEHIND = web.AppKey("behind", str)


async def blocked(request: web.Request) -> web.StreamResponse:
    """A proxy that passes on everything but upgrades."""
    if "Upgrade" in request.headers:
        raise web.HTTPBadRequest
    url = request.app[BEHIND] + request.path_qs
    drop = {"Host", "Accept-Encoding"}
    headers = {name: value for name, value in request.headers.items() if name not in drop}
    async with (
        aiohttp.ClientSession() as session,
        session.request(request.method, url, data=await request.read(), headers=headers) as answer,
    ):
        kept = ("Content-Type", "Access-Control-", "Retry-After", "Cache-Control")
        fields = {name: value for name, value in answer.headers.items() if name.startswith(kept)}
        return web.Response(status=answer.status, headers=fields, body=await answer.read())


async def test_where_a_proxy_refuses_sockets_it_looks_every_few_seconds(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(CLOSED)
    ben = await fill_room(server, 1)
    proxy = web.Application()
    proxy[BEHIND] = server.url
    proxy.router.add_route("*", "/{path:.*}", blocked)
    async with listening(proxy) as origin:
        page = await (await tabs.person()).new_page()
        await page.clock.install()
        await page.goto(host.show(page_with(origin)))
        await page.get_by_role("button", name="Come in").click()
        await page.get_by_label("Your name").fill("Ann")
        await page.get_by_role("button", name="Come in").click()
        await hurry(page, "Live updates do not work here")
        await shows(page, "Line 0")
        await server.post(ben, "Slowly.", room=ROOM)
        await hurry(page, "Slowly.")
        await say(page, "But surely.")
        await shows(page, "Line 0", "Slowly.", "But surely.")
        assert server.joined == 0
        await tabs.leave()


async def test_where_sockets_are_blocked_for_a_while_it_polls_and_goes_live_again(
    server: Server, host: Host, tabs: Tabs
) -> None:
    ben = await fill_room(server, 1)
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    is_blocked = True

    async def gate(socket: WebSocketRoute) -> None:
        if is_blocked:
            await socket.close(code=1006)
        else:
            socket.connect_to_server()

    await page.route_web_socket("**/ws?*", gate)
    await page.goto(host.show(page_with(server.url)))
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_role("button", name="Come in").click()
    await hurry(page, "Live updates do not work here")
    await shows(page, "Line 0")
    is_blocked = False
    await hurry_live(page, server)
    await tells_nothing(page)
    await server.post(ben, "Live.", room=ROOM)
    await shows(page, "Line 0", "Live.")


async def test_a_proxy_that_finds_nothing_for_a_while_ends_nothing(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("404")
    ben = await fill_room(server, 1)
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    is_away = True
    asked = 0

    async def gate(socket: WebSocketRoute) -> None:
        if is_away:
            await socket.close(code=1006)
        else:
            socket.connect_to_server()

    async def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        await route.fulfill(status=404, content_type="text/html", body="<h1>Not here</h1>")

    await page.route_web_socket("**/ws?*", gate)
    await page.route("**/api/slugs?*", answer)
    await page.goto(host.show(page_with(server.url)))
    await come_in(page)
    await shows(page, "Line 0")
    async with asyncio.timeout(20):
        while asked < 2:
            await let_time_pass(page, 5)
            await asyncio.sleep(0.05)
    is_away = False
    await hurry_live(page, server)
    await server.post(ben, "Live.", room=ROOM)
    await shows(page, "Line 0", "Live.")


async def test_where_the_pages_policy_forbids_sockets_it_polls(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"Content Security Policy|violates")
    ben = await fill_room(server, 1)
    page = await (await tabs.person()).new_page()
    await page.clock.install()
    policy = (
        f"default-src 'none'; script-src {server.url}; connect-src {server.url};"
        f" img-src {server.url}; style-src 'none'"
    )
    await page.goto(host.show(page_with(server.url), policy))
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_role("button", name="Come in").click()
    await hurry(page, "Live updates do not work here")
    await shows(page, "Line 0")
    await server.post(ben, "Slowly.", room=ROOM)
    await hurry(page, "Slowly.")


async def test_a_token_that_expired_is_renewed_in_silence(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await enter(tabs, host, server)
    await say(page, "Hello.")
    await shows(page, "Hello.")
    before = await token_of(page)
    await until(lambda: server.joined == 1)
    for connection in server.services.sockets.connections:
        connection.close(4402, "token expired")
    async with asyncio.timeout(10):
        while await token_of(page) == before:
            await asyncio.sleep(0.05)
    await until(lambda: server.joined == 1)
    await server.post(await server.guest("Ben"), "Still there?", room=ROOM)
    await shows(page, "Hello.", "Still there?")
    await say(page, "Yes.")
    await shows(page, "Hello.", "Still there?", "Yes.")


async def test_who_is_banned_is_told_and_keeps_the_words(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"status of 403")
    page = await enter(tabs, host, server)
    await say(page, "Hello.")
    await shows(page, "Hello.")
    _, me, _ = await server.call("GET", "/api/me", token=await token_of(page))
    await ban(server.services, None, me["data"]["id"], 1, "spam")
    await tells(page, "You may not write here.")
    await say(page, "But why?")
    await expect(field(page)).to_have_value("But why?")
    await shows(page, "Hello.")


async def test_with_too_many_connections_the_oldest_waits_until_it_is_used(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    config = config_in(tmp_path, limits=free_limits(connections_per_user=1))
    async with running(config) as server:
        first = await enter(tabs, host, server)
        second = await tabs.open(host.show(page_with(server.url)), first.context)
        await tells(first, "Open in too many windows")
        await server.post(await server.guest("Ben"), "Here?", room=ROOM)
        await shows(second, "Here?")
        await first.get_by_role("heading", name="A post").click()
        await field(first).click()
        await shows(first, "Here?")
        await tells_nothing(first)
        await tells(second, "Open in too many windows")
        await tabs.leave()


async def test_words_that_are_refused_return_to_the_field_with_the_reason(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"status of (413|429)")
    config = config_in(
        tmp_path,
        auth=AuthConfig(),
        limits=free_limits(messages_per_second=0.02, messages_burst=1),
    )
    async with running(config) as server:
        page = await enter(tabs, host, server)
        await say(page, "é" * 2100)
        reason = page.get_by_role("alert").filter(has_text="too long")
        await expect(reason).to_be_visible()
        await expect(field(page)).to_have_value("é" * 2100)
        await expect(messages(page)).to_have_count(0)
        await say(page, "Short.")
        await shows(page, "Short.")
        await expect(reason).to_have_count(0)
        # Too fast is no refusal: it waits, and says so.
        await say(page, "Fast.")
        await tells(page, "Too fast. Try again in")
        await expect(messages(page)).to_have_text(["Short.", "Fast."])
        await tabs.leave()
