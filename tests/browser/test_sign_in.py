"""Signing in from a page on another registrable domain, with third-party cookies blocked."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from eth_account import Account
from eth_account.messages import encode_defunct
from playwright.async_api import BrowserContext, Page, expect

from docs.examples.sso_token import talkee_token

from ..harness import server_process
from .conftest import Tabs, chromium, listening

pytestmark = pytest.mark.browser

EXAMPLE = (Path(__file__).parents[2] / "docs/examples/sign-in.html").read_text()
SERVER, BLOG, OTHER = "talk.example.com", "blog.example.org", "other.example.net"
BLOCKED = (
    "--test-third-party-cookie-phaseout",
    f"--host-resolver-rules=MAP {SERVER} 127.0.0.1, MAP {BLOG} 127.0.0.1, MAP {OTHER} 127.0.0.1",
)
# A page that sets a cookie and tells what became of it, and one that hears that.
COOKIE = """<script>
document.cookie = "mine=1; max-age=60";
(parent === window ? console.debug : (said) => parent.postMessage(said, "*"))(document.cookie);
</script>"""
LISTENING = """<script>
window.heard = new Promise((done) => addEventListener("message", (event) => done(event.data)));
</script>"""
SECRET = "the blog's own secret of 32 bytes and more"
# A wallet as pages know it (EIP-1193), whose keys are kept by the test.
WALLET = """window.ethereum = { request: ({ method, params }) =>
  method === "personal_sign" ? sign(...params) : [address] };"""
GOOD = "correct horse battery"
# What a wrong password is answered with, as browsers note it.
REFUSED = r"status of 40[19]"


class Blog:
    """Somebody's site on its own domain, and the server on another."""

    def __init__(self, origin: str, public_url: str) -> None:
        self.origin = origin
        self.public_url = public_url
        self.address = f"{origin}/post?base={quote(public_url)}"


def free_port() -> int:
    """A port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def blogging(folder: Path) -> AsyncIterator[Blog]:
    """A page of the blog, which signs people in at the server."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=EXAMPLE, content_type="text/html")

    async def embedding(request: web.Request) -> web.Response:
        frame = f'<iframe src="http://{OTHER}:{request.url.port}/cookie"></iframe>'
        return web.Response(text=LISTENING + frame, content_type="text/html")

    async def cookie(request: web.Request) -> web.Response:
        return web.Response(text=COOKIE, content_type="text/html")

    async def sso_token(request: web.Request) -> web.Response:
        return web.Response(text=talkee_token(public_url, "7", "Ann of the blog"))

    async def icon(request: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/post", page)
    app.router.add_get("/sso-token", sso_token)
    app.router.add_get("/embedding", embedding)
    app.router.add_get("/cookie", cookie)
    app.router.add_get("/favicon.ico", icon)
    port = free_port()
    async with listening(app) as origin:
        blog = f"http://{BLOG}:{origin.rpartition(':')[2]}"
        public_url = f"http://{SERVER}:{port}"
        (folder / "talkee.toml").write_text(
            f'[server]\nport = {port}\npublic_url = "{public_url}"\n'
            "[auth]\npassword = true\nmvm = true\n"
            "[limits]\nlogins_per_minute = 0\nlogins_per_hour = 0\n"
            f'[[sites]]\nid = 1\norigins = ["{blog}"]\n'
            f'sso_secret = "{SECRET}"\n'
        )
        with server_process(folder, "--port", str(port)):
            yield Blog(blog, public_url)


@pytest.fixture
async def blog(tmp_path: Path) -> AsyncIterator[Blog]:
    async with blogging(tmp_path) as blog:
        yield blog


@pytest.fixture
async def tabs(blog: Blog) -> AsyncIterator[Tabs]:
    async with chromium(*BLOCKED) as tabs:
        tabs.known.add(blog.public_url)
        yield tabs


async def fill(page: Page, way: str, press: str, **typed: str) -> None:
    """Fill in the form of one way to sign in, and press a button of it."""
    form = page.locator(f"form#{way}")
    for name, value in typed.items():
        await form.locator(f"[name={name}]").fill(value)
    await form.get_by_role("button", name=press, exact=True).click()


async def token_of(page: Page) -> str:
    """The token that the page keeps."""
    kept = await page.evaluate("Object.values(localStorage)[0]")
    return str(json.loads(kept)["access_token"])


async def other_visit(person: BrowserContext, blog: Blog) -> Page:
    page = await person.new_page()
    await page.goto(blog.address)
    return page


async def test_cookies_of_third_parties_are_really_blocked(blog: Blog, tabs: Tabs) -> None:
    """What this file is about would not be shown otherwise."""
    tabs.known.add(f"http://{OTHER}:{blog.origin.rpartition(':')[2]}")
    page = await tabs.open(f"{blog.origin}/cookie")
    assert await page.evaluate("document.cookie") == "mine=1"
    await page.goto(f"{blog.origin}/embedding")
    assert await page.evaluate("heard") == ""


async def test_a_guest_becomes_a_member_and_stays_one_over_a_reload(blog: Blog, tabs: Tabs) -> None:
    person = await tabs.person()
    page = await tabs.open(blog.address, person)
    who = page.locator("#who")
    await expect(who).to_have_text("You are nobody yet.")
    await fill(page, "guest", "Go on as a guest", full_name="Ann")
    await expect(who).to_have_text("You are Ann, a guest.")
    await fill(page, "password", "Register", username="ann99", password=GOOD)
    await expect(who).to_have_text("You are Ann, a member.")
    await page.reload()
    await expect(who).to_have_text("You are Ann, a member.")
    await page.get_by_role("button", name="Sign out").click()
    await expect(who).to_have_text("You are nobody yet.")
    await page.reload()
    await expect(who).to_have_text("You are nobody yet.")
    again = await other_visit(person, blog)
    tabs.expected.append(REFUSED)
    await fill(again, "password", "Sign in", username="ann99", password="not that one")
    await expect(again.locator("#said")).to_have_text("The user name or the password is wrong.")
    await fill(again, "password", "Sign in", username="ANN99", password=GOOD)
    await expect(again.locator("#who")).to_have_text("You are Ann, a member.")
    # The server's pages and the blog's share nothing in the browser.
    assert await person.cookies() == []


async def test_a_name_that_is_taken_is_answered_with_one_that_is_free(
    blog: Blog, tabs: Tabs
) -> None:
    page = await tabs.open(blog.address)
    await fill(page, "password", "Register", username="ann99", password=GOOD)
    await expect(page.locator("#who")).to_have_text("You are ann99, a member.")
    other = await tabs.open(blog.address)
    tabs.expected.append(REFUSED)
    await fill(other, "password", "Register", username="аnn99", password=GOOD)
    await expect(other.locator("#said")).to_contain_text("is free.")


async def test_what_the_blogs_page_holds_is_no_admins_token(blog: Blog, tabs: Tabs) -> None:
    """Also for whoever can run what they like in the blog's page."""
    page = await tabs.open(blog.address)
    await fill(page, "password", "Register", username="ann99", password=GOOD)
    await expect(page.locator("#who")).to_have_text("You are ann99, a member.")
    tabs.expected.append(r"status of 403")
    asked = {"method": "password", "username": "ann99", "password": GOOD, "scope": "admin"}
    refused = await page.evaluate(
        "body => call('POST', '/auth/login', body).catch((error) => error.error)", asked
    )
    assert refused == "forbidden"
    assert await token_of(page)


async def test_who_is_signed_in_at_the_blog_is_somebody_at_once(
    blog: Blog, tabs: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSO_SECRET", SECRET)
    page = await tabs.open(blog.address)
    await fill(page, "guest", "Go on as a guest", full_name="Somebody")
    await expect(page.locator("#who")).to_have_text("You are Somebody, a guest.")
    await page.get_by_role("button", name="Sign in with your account on this site").click()
    await expect(page.locator("#who")).to_have_text("You are Somebody, a member.")
    # Elsewhere, where they were no guest before, they are the same.
    other = await tabs.open(blog.address)
    await other.get_by_role("button", name="Sign in with your account on this site").click()
    await expect(other.locator("#who")).to_have_text("You are Somebody, a member.")


async def test_a_wallet_signs_in_and_is_the_same_person_each_time(blog: Blog, tabs: Tabs) -> None:
    account = Account.create()

    async def sign(text: str, address: str) -> str:
        assert address == account.address
        signed = account.sign_message(encode_defunct(hexstr=text))
        return "0x" + bytes(signed.signature).hex()

    person = await tabs.person()
    await person.expose_function("sign", sign)
    await person.add_init_script(f"const address = '{account.address}'; {WALLET}")
    page = await tabs.open(blog.address, person)
    short = f"{account.address[:6]}…{account.address[-4:]}"
    for _ in range(2):
        await page.get_by_role("button", name="Sign in with a wallet").click()
        await expect(page.locator("#who")).to_have_text(f"You are {short}, a member.")
        kept = json.loads(await page.evaluate("Object.values(localStorage)[0]"))
        assert kept["user"]["mvm_public_key"] == account.address
        assert kept["user"]["id"] == 1
        await page.get_by_role("button", name="Sign out").click()
