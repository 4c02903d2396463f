"""A site's own page, whose server signs its readers in."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from aiohttp import web
from playwright.async_api import expect

from talkee_lite.config import SiteConfig

from ..harness import config_in, running
from .conftest import Tabs, listening

pytestmark = pytest.mark.browser

DOCS = Path(__file__).parent.parent.parent / "docs"
SECRET = "a secret that the site's server has"
PAGE = """<!doctype html>
<meta charset="utf-8"><title>A post</title><link rel="icon" href="data:,">
<button>Sign in</button><p></p>
<script>
SIGN_IN
document.querySelector("button").onclick = async () => {
  const token = await signIn();
  const response = token && await fetch("https://talk.example.com/api/me", {
    headers: { Authorization: `Bearer ${token}` },
  });
  document.querySelector("p").textContent =
    token ? (await response.json()).data.full_name : "Nobody";
};
</script>"""


async def test_whoever_is_logged_in_on_the_site_is_signed_in_here(
    tabs: Tabs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = (DOCS / "signing-in.md").read_text().split("## The site's own accounts")[1]
    chapter = chapter.split("\n## ")[0]
    (sign_in,) = re.findall(r"```js\n(async function signIn.*?)```", chapter, re.DOTALL)
    monkeypatch.setenv("SSO_SECRET", SECRET)
    talkee_token = runpy.run_path(str(DOCS / "examples" / "sso_token.py"))["talkee_token"]
    audience = ""

    async def post(request: web.Request) -> web.Response:
        text = PAGE.replace("SIGN_IN", sign_in).replace("https://talk.example.com", audience)
        return web.Response(text=text, content_type="text/html")

    async def sign(request: web.Request) -> web.Response:
        if "login" not in request.cookies:
            raise web.HTTPForbidden
        token = talkee_token(audience, "42", "Jane Roe")
        return web.Response(text=token, headers={"Cache-Control": "no-store"})

    site = web.Application()
    site.router.add_get("/post", post)
    site.router.add_get("/talkee-token", sign)
    async with listening(site) as origin:
        config = config_in(
            tmp_path, sites=(SiteConfig(id=1, origins=(origin,), sso_secret=SECRET),)
        )
        async with running(config) as server:
            audience = server.url
            tabs.known.add(server.url)
            person = await tabs.person()
            page = await tabs.open(f"{origin}/post", person)
            tabs.expected.append("403")
            await page.get_by_role("button").click()
            await expect(page.locator("p")).to_have_text("Nobody")
            await person.add_cookies([{"name": "login", "value": "yes", "url": origin}])
            for _ in range(2):
                await page.reload()
                await page.get_by_role("button").click()
                await expect(page.locator("p")).to_have_text("Jane Roe")
            await tabs.leave()
