"""Who speaks in a room on somebody's page: signing in where one writes, and out again."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path

import pytest
from aiohttp import web
from eth_account import Account
from playwright.async_api import Page, Route, expect

from talkee_lite.config import AuthConfig, SiteConfig
from talkee_lite.control import VERBS

from ..harness import Server, config_in, running, until
from .chatting import (
    ROOM,
    come_in,
    enter,
    field,
    fill_room,
    is_listed,
    messages,
    page_with,
    public_chat,
    say,
    shows,
    stored,
    tells_nothing,
    token_of,
)
from .conftest import Held, Host, Tabs, listening
from .test_wallet import tab_with_wallet

pytestmark = pytest.mark.browser

SECRET = "a secret that the site's server has"
SECRET_WORD = "correct horse battery"
SSO_TOKEN = Path(__file__).parents[2] / "docs/examples/sso_token.py"


async def writes_as(page: Page, name: str) -> None:
    """The composer says who is writing."""
    await expect(page.get_by_text(f"as {name}", exact=True).locator("visible=true")).to_be_visible()


async def test_who_does_not_sign_in_may_read_a_public_chat(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        ben = await fill_room(server, 2)
        page = await tabs.open(host.show(page_with(server.url)))
        await shows(page, "Line 0", "Line 1")
        await expect(page.get_by_label("Your name")).to_have_count(0)
        await expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        await until(lambda: len(server.services.sockets.connections) == 1)
        await server.post(ben, "Live.", room=ROOM)
        await shows(page, "Line 0", "Line 1", "Live.")
        await tells_nothing(page)
        await tabs.leave()


async def test_who_does_not_sign_in_is_asked_to_come_in_where_the_chat_is_not_public(
    server: Server, host: Host, tabs: Tabs
) -> None:
    await fill_room(server, 2)
    page = await tabs.open(host.show(page_with(server.url)))
    await expect(page.get_by_text("Say who you are to come in")).to_be_visible()
    await expect(messages(page)).to_have_count(0)
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_label("Your name").press("Enter")
    await shows(page, "Line 0", "Line 1")
    await tells_nothing(page)
    await expect(page.get_by_text("Say who you are")).to_be_hidden()


async def test_the_name_is_asked_for_at_the_first_send_and_what_was_typed_is_sent(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await field(page).click()
        await expect(page.get_by_label("Your name")).to_have_count(0)
        await say(page, "My first words.")
        name = page.get_by_label("Your name")
        await expect(name).to_be_focused()
        await expect(field(page)).to_have_value("My first words.")
        # Nobody is anybody without a name.
        await name.press("Enter")
        await expect(name).to_be_focused()
        assert await stored(server) == []
        await name.fill("Ann")
        await name.press("Enter")
        await shows(page, "My first words.")
        await writes_as(page, "Ann")
        await expect(name).to_have_count(0)
        await expect(field(page)).to_have_value("")
        await expect(field(page)).to_be_focused()
        await say(page, "My second.")
        await shows(page, "My first words.", "My second.")
        await tabs.leave()


async def test_a_name_that_is_taken_gets_a_suggestion(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append(r"status of 409")
    config = public_chat(tmp_path, auth=AuthConfig(reserved_names=("Ann",)))
    async with running(config) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await say(page, "Hello.")
        await page.get_by_label("Your name").fill("ANN")
        await page.get_by_label("Your name").press("Enter")
        alert = page.get_by_role("alert").filter(has_text="That name is taken.")
        await expect(alert).to_contain_text("is free.")
        suggestion = await page.get_by_label("Your name").input_value()
        assert suggestion.startswith("ANN ")
        await expect(alert).to_contain_text(suggestion)
        await page.get_by_role("button", name="Send").click()
        await shows(page, "Hello.")
        await writes_as(page, suggestion)
        await tabs.leave()


async def test_what_was_typed_is_there_after_a_reload(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await say(page, "Half a sentence")
        await expect(page.get_by_label("Your name")).to_be_focused()
        await page.reload()
        await expect(field(page)).to_have_value("Half a sentence")
        await tabs.leave()


async def test_a_user_name_and_a_password(tmp_path: Path, host: Host, tabs: Tabs) -> None:
    tabs.expected.append(r"status of (400|401|409|422)")
    config = public_chat(tmp_path, auth=AuthConfig(password=True))
    async with running(config) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await say(page, "Hello.")
        # Beside the name, not behind it.
        await expect(page.get_by_label("Your name")).to_be_focused()
        await page.get_by_role("button", name="Password").click()
        await expect(page.get_by_label("User name")).to_be_focused()
        await page.get_by_label("User name").fill("annie")
        await page.get_by_label("Password").fill("short")
        await page.get_by_role("button", name="Create account").click()
        await expect(page.get_by_text("A password has 8 or more characters")).to_be_visible()
        await expect(field(page)).to_have_value("Hello.")
        await page.get_by_label("Password").fill(SECRET_WORD)
        await page.get_by_role("button", name="Create account").click()
        await shows(page, "Hello.")
        await writes_as(page, "annie")
        await page.get_by_role("button", name="Sign out").click()
        # And again, by the account that there is.
        await say(page, "It is me.")
        await page.get_by_role("button", name="Password").click()
        await page.get_by_label("User name").fill("annie")
        await page.get_by_label("Password").fill("a wrong one")
        await page.get_by_label("Password").press("Enter")
        await expect(page.get_by_text("Check what you typed")).to_be_visible()
        await expect(field(page)).to_have_value("It is me.")
        await page.get_by_label("Password").fill(SECRET_WORD)
        await page.get_by_label("Password").press("Enter")
        await shows(page, "Hello.", "It is me.")
        assert len({message["user"]["id"] for message in await stored(server)}) == 1
        # Whoever has no account may still just say a name.
        await page.get_by_role("button", name="Sign out").click()
        await say(page, "A guest.")
        await page.get_by_role("button", name="Password").click()
        await page.get_by_role("button", name="As a guest").click()
        await page.get_by_label("Your name").fill("Ben")
        await page.get_by_label("Your name").press("Enter")
        await shows(page, "Hello.", "It is me.", "A guest.")
        await tabs.leave()


async def test_a_wallet(tmp_path: Path, host: Host, tabs: Tabs) -> None:
    account = Account.create()
    async with running(public_chat(tmp_path, auth=AuthConfig(mvm=True))) as server:
        page = await tab_with_wallet(tabs, server, account)
        await page.goto(host.show(page_with(server.url)))
        await say(page, "Hello.")
        await page.get_by_role("button", name="Wallet").click()
        await shows(page, "Hello.")
        await writes_as(page, f"{account.address[:6]}…{account.address[-4:]}")
        # Where there is none it is not offered.
        other = await tabs.open(host.show(page_with(server.url)))
        await say(other, "Hello?")
        await expect(other.get_by_label("Your name")).to_be_focused()
        await expect(other.get_by_role("button", name="Wallet")).to_have_count(0)
        await tabs.leave()


async def test_a_wallet_whose_owner_says_no_leaves_what_was_typed(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path, auth=AuthConfig(guest=False, mvm=True))) as server:
        person = await tabs.person()
        await person.add_init_script(
            "window.ethereum = { request: async () => {"
            " throw Object.assign(new Error('User rejected'), {code: 4001}); } };"
        )
        page = await tabs.open(host.show(page_with(server.url)), person)
        await say(page, "Hello.")
        await expect(page.get_by_text("Sign in to write.")).to_be_visible()
        await page.get_by_role("button", name="Wallet").click()
        await expect(
            page.get_by_role("alert").filter(has_text="That did not work.")
        ).to_be_visible()
        await expect(field(page)).to_have_value("Hello.")
        await expect(messages(page)).to_have_count(0)
        await tabs.leave()


async def test_the_sites_own_accounts(
    tmp_path: Path, tabs: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSO_SECRET", SECRET)
    sign = runpy.run_path(str(SSO_TOKEN))["talkee_token"]
    html = ""
    url = ""
    is_logged_in = True

    async def post(request: web.Request) -> web.Response:
        return web.Response(text=html, content_type="text/html")

    async def token(request: web.Request) -> web.Response:
        if not is_logged_in:
            raise web.HTTPForbidden
        return web.Response(text=sign(url, "42", "Jane Roe"))

    async def icon(request: web.Request) -> web.Response:
        return web.Response(status=204)

    site = web.Application()
    site.router.add_get("/post", post)
    site.router.add_get("/token", token)
    site.router.add_get("/favicon.ico", icon)
    async with listening(site) as origin:
        own = SiteConfig(id=1, origins=(origin,), sso_secret=SECRET, public_chat=True)
        async with running(config_in(tmp_path, sites=(own,))) as server:
            url = server.url
            html = page_with(url, 'sso="/token"')
            # Who is logged in there is somebody here, unasked.
            page = await tabs.open(f"{origin}/post")
            await writes_as(page, "Jane Roe")
            await say(page, "Hello.")
            await shows(page, "Hello.")
            # Who is not may log in there and press the button.
            tabs.expected.append("status of 403")
            is_logged_in = False
            page = await tabs.open(f"{origin}/post")
            await say(page, "Me too.")
            own_account = page.get_by_role("button", name="Your account on this site")
            await own_account.click()
            await expect(page.get_by_text("That did not work. Try again.")).to_be_visible()
            await expect(field(page)).to_have_value("Me too.")
            is_logged_in = True
            await own_account.click()
            await shows(page, "Hello.", "Me too.")
            # As the page itself does it.
            html = page_with(
                url,
                script="<script>window.Talkee = { methods: { sso: async (info) =>"
                " ({ token: await (await fetch('/token')).text() }) } };</script>",
            )
            page = await tabs.open(f"{origin}/post")
            await say(page, "By the page.")
            await page.get_by_role("button", name="Your account on this site").click()
            await shows(page, "Hello.", "Me too.", "By the page.")
            assert len({message["user"]["id"] for message in await stored(server)}) == 1
            # A page that offers no way to it does not show it.
            html = page_with(url)
            page = await tabs.open(f"{origin}/post")
            await say(page, "And I?")
            await expect(page.get_by_label("Your name")).to_be_focused()
            await expect(page.get_by_role("button", name="Your account")).to_have_count(0)
            await tabs.leave()


async def register(page: Page) -> None:
    """Come in with a new account, as annie."""
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_role("button", name="Password").click()
    await page.get_by_label("User name").fill("annie")
    await page.get_by_label("Password").fill(SECRET_WORD)
    await page.get_by_role("button", name="Create account").click()


async def test_who_registers_to_come_in_may_write_at_once(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    config = config_in(tmp_path, auth=AuthConfig(password=True))
    async with running(config) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await register(page)
        await expect(field(page)).to_be_focused()
        await say(page, "Hello.")
        await shows(page, "Hello.")
        await writes_as(page, "annie")
        await tabs.leave()


async def test_who_comes_in_sends_nothing_by_that(server: Server, host: Host, tabs: Tabs) -> None:
    page = await tabs.open(host.show(page_with(server.url)))
    await field(page).fill("Half a sentence")
    await page.get_by_role("button", name="Come in").click()
    await page.get_by_label("Your name").fill("Ann")
    await page.get_by_label("Your name").press("Enter")
    await writes_as(page, "Ann")
    await is_listed(page)
    await expect(field(page)).to_have_value("Half a sentence")
    assert await stored(server) == []
    await field(page).press("Enter")
    await shows(page, "Half a sentence")


async def test_what_was_not_sent_yet_is_given_back_to_who_signs_out(
    server: Server, host: Host, tabs: Tabs
) -> None:
    tabs.expected.append("503")
    page = await enter(tabs, host, server)
    await fill_room(server, 1)
    await shows(page, "Line 0")

    async def refuse(route: Route) -> None:
        if route.request.method != "POST":
            return await route.continue_()
        await route.fulfill(status=503, json={"error": "unavailable", "msg": "Not now."})

    await page.route("**/api/messages?**", refuse)
    async with page.expect_response(lambda answer: answer.status == 503):
        await say(page, "One.")
    await say(page, "Two.")
    await expect(messages(page)).to_have_count(3)
    await page.get_by_role("button", name="Sign out").click()
    await expect(messages(page)).to_have_count(0)
    await expect(field(page)).to_have_value("One.\nTwo.")


async def test_a_role_is_noticed_by_who_is_signed_in(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(config_in(tmp_path, auth=AuthConfig(password=True))) as server:
        await fill_room(server, 1)
        page = await tabs.open(host.show(page_with(server.url)))
        await register(page)
        await shows(page, "Line 0")
        await expect(page.get_by_role("button", name="Keep this")).to_be_hidden()
        member = await page.evaluate(
            "Object.values(localStorage).map(text => JSON.parse(text).user?.id).find(Boolean)"
        )
        await VERBS["user-role"](server.services, {"id": member, "role": "moderator", "site": 1})
        await page.reload()
        await expect(page.get_by_role("button", name="Keep this")).to_be_visible()
        await expect(
            page.locator("li.message").get_by_role("button", name="Delete", include_hidden=True)
        ).to_have_count(1)
        await tabs.leave()


async def test_an_invitation_may_change(server: Server, host: Host, tabs: Tabs) -> None:
    page = await enter(tabs, host, server, attributes='invite="Ask us about rye."')
    await expect(page.get_by_text("Ask us about rye.")).to_be_visible()
    await page.locator("talkee-chat").evaluate("e => e.setAttribute('invite', 'Or about oats.')")
    await expect(page.get_by_text("Or about oats.")).to_be_visible()


async def test_two_tabs_are_one_person_and_both_sign_out(
    server: Server, host: Host, tabs: Tabs
) -> None:
    first = await enter(tabs, host, server)
    second = await tabs.open(host.show(page_with(server.url)), first.context)
    await say(first, "From the first tab.")
    await shows(second, "From the first tab.")
    await say(second, "From the second.")
    for page in (first, second):
        await shows(page, "From the first tab.", "From the second.")
        # One person, and nothing that one wrote is unread.
        await expect(page.get_by_text("people here")).to_have_count(0)
        await expect(page.get_by_role("button", name="unread")).to_have_count(0)
        await expect(page.get_by_role("button", name="Delete")).to_have_count(2)
    await field(second).fill("Half a sentence")
    await first.get_by_role("button", name="Sign out").click()
    for page in (first, second):
        await expect(page.get_by_role("button", name="Come in")).to_be_visible()
        await expect(messages(page)).to_have_count(0)
    await until(lambda: server.joined == 2)
    # Who comes in by one tab is there in the other, where the half sentence still is.
    await come_in(first, "Ann again")
    await expect(field(second)).to_have_value("Half a sentence")
    await shows(second, "From the first tab.", "From the second.")


async def test_who_is_signed_out_elsewhere_keeps_what_was_typed(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await say(page, "Hello.")
        await page.get_by_label("Your name").fill("Ann")
        await page.get_by_label("Your name").press("Enter")
        await shows(page, "Hello.")
        await until(lambda: server.joined == 1)
        await field(page).fill("Half a sentence")
        token = await token_of(page)
        assert (await server.call("POST", "/api/auth/logout", token=token))[0] == 200
        await expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
        await expect(field(page)).to_have_value("Half a sentence")
        await field(page).press("Enter")
        await page.get_by_label("Your name").fill("Ann again")
        await page.get_by_label("Your name").press("Enter")
        await shows(page, "Hello.", "Half a sentence")
        await tabs.leave()


async def test_it_works_where_storage_is_blocked(tmp_path: Path, host: Host, tabs: Tabs) -> None:
    person = await tabs.person()
    await person.add_init_script(
        "Object.defineProperty(window, 'localStorage',"
        " {get() { throw new DOMException('blocked', 'SecurityError'); }})"
    )
    async with running(public_chat(tmp_path)) as server:
        await fill_room(server, 1)
        page = await tabs.open(host.show(page_with(server.url)), person)
        await say(page, "Hello.")
        await page.get_by_label("Your name").fill("Ann")
        await page.get_by_label("Your name").press("Enter")
        await say(page, "Still me.")
        await shows(page, "Line 0", "Hello.", "Still me.")
        await tabs.leave()


async def test_what_is_typed_and_sent_while_one_signs_in_is_not_lost(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        may_answer = asyncio.Event()

        async def wait(route: Route) -> None:
            await may_answer.wait()
            await route.continue_()

        await page.route("**/api/auth/login", wait)
        await say(page, "First.")
        await page.get_by_label("Your name").fill("Ann")
        async with page.expect_request("**/api/auth/login"):
            await page.get_by_label("Your name").press("Enter")
        await say(page, "Second.")
        may_answer.set()
        await shows(page, "First.", "Second.")
        await expect(field(page)).to_have_value("")
        await tabs.leave()


async def test_signing_in_twice_at_once_is_one_person(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        page = await tabs.open(host.show(page_with(server.url)))
        await say(page, "Once.")
        await page.get_by_label("Your name").fill("Ann")
        await asyncio.gather(*(page.get_by_label("Your name").press("Enter") for _ in range(3)))
        await shows(page, "Once.")
        assert len(await stored(server)) == 1
        await tabs.leave()


async def test_nobody_is_asked_to_come_in_before_that_is_known(
    tmp_path: Path, host: Host, tabs: Tabs
) -> None:
    async with running(public_chat(tmp_path)) as server:
        await fill_room(server, 1)
        page = await (await tabs.person()).new_page()
        lists = Held("messages")
        await lists.hold(page)
        await page.goto(host.show(page_with(server.url)))
        await lists.read.wait()
        await expect(field(page)).to_be_visible()
        await expect(page.get_by_role("button", name="Come in")).to_be_hidden()
        lists.may_come.set()
        await shows(page, "Line 0")
        await tabs.leave()
