"""Wallets on a blog's page in a real browser, by the scripts that the docs show."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from playwright.async_api import Page, expect

from talkee_lite.config import AuthConfig

from ..harness import Server, config_in, running
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

DOCUMENT = (Path(__file__).parents[2] / "docs/signing-in.md").read_text()
EXAMPLE = (Path(__file__).parents[2] / "docs/examples/sign-in.html").read_text()
SCRIPT = next(
    code for code in re.findall(r"```js\n(.*?)```", DOCUMENT, re.S) if "personal_sign" in code
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server where people sign in with wallets."""
    async with running(config_in(tmp_path, auth=AuthConfig(mvm=True))) as started:
        yield started


async def tab_with_wallet(tabs: Tabs, server: Server, account: LocalAccount) -> Page:
    """A tab of a browser that has a wallet: it is in every page, and has eth-account sign."""
    tabs.known.add(server.url)

    async def request(asked: dict[str, Any]) -> Any:
        if asked["method"] == "eth_requestAccounts":
            return [account.address.lower()]
        if asked["method"] == "eth_chainId":
            return "0x1"
        assert asked["method"] == "personal_sign"
        data, address = asked["params"]
        assert address == account.address.lower()
        # Wallets take both.
        text = {"hexstr": data} if data.startswith("0x") else {"text": data}
        signed = account.sign_message(encode_defunct(**text))
        return "0x" + bytes(signed.signature).hex()

    person = await tabs.person()
    await person.expose_function("askWallet", request)
    await person.add_init_script("window.ethereum = { request: (asked) => askWallet(asked) };")
    return await person.new_page()


async def test_a_reader_signs_in_with_a_wallet(server: Server, host: Host, tabs: Tabs) -> None:
    account: LocalAccount = Account.create()
    page = await tab_with_wallet(tabs, server, account)
    await page.goto(host.show(f"<script>{SCRIPT}</script>"))
    assert host.origin != server.url
    first = await page.evaluate("(server) => signInWithWallet(server)", server.url)
    assert first["user"]["mvm_public_key"] == account.address
    assert (await server.call("GET", "/api/me", token=first["access_token"]))[0] == 200
    again = await page.evaluate("(server) => signInWithWallet(server)", server.url)
    assert again["user"]["id"] == first["user"]["id"]


async def test_a_reader_whose_clock_is_wrong_signs_in_too(
    server: Server, host: Host, tabs: Tabs
) -> None:
    page = await tab_with_wallet(tabs, server, Account.create())
    await page.goto(host.show(f"<script>{SCRIPT}</script>"))
    await page.clock.set_fixed_time(0)
    found = await page.evaluate("(server) => signInWithWallet(server)", server.url)
    assert found["user"]["kind"] == "member"


async def test_the_example_page_signs_in_with_a_wallet(
    server: Server, host: Host, tabs: Tabs
) -> None:
    account: LocalAccount = Account.create()
    page = await tab_with_wallet(tabs, server, account)
    await page.goto(f"{host.show(EXAMPLE)}?base={quote(server.url)}")
    await page.get_by_role("button", name="Sign in with a wallet").click()
    name = f"{account.address[:6]}…{account.address[-4:]}"
    await expect(page.locator("#who")).to_have_text(f"You are {name}, a member.")
