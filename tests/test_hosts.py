"""What a client says in `Host` stands in no address that the server writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from talkee_lite.config import AuthConfig, SiteConfig
from talkee_lite.control import VERBS

from .harness import config_in, running
from .test_comments import say

EVIL = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("public_url", ["", "https://talk.example.com/talk"])
async def test_no_address_comes_from_a_clients_host(tmp_path: Path, public_url: str) -> None:
    config = config_in(tmp_path, auth=AuthConfig(password=True), sites=(SiteConfig(id=1),))
    config = replace(config, server=replace(config.server, public_url=public_url))
    async with running(config) as server:
        token = await server.guest("Ann")
        await say(server, token, page="site_id=1&slug=/a")
        feed = await VERBS["site-feed"](server.services, {"id": 1})
        link = await VERBS["user-admin-link"](server.services, {})
        base = public_url or server.url
        assert feed.startswith(f"{base}/")
        assert link.startswith(f"{base}/admin#")
        owner = feed.removeprefix(base)
        paths = ["/", "/admin", "/t/1?slug=/a", "/feeds/1/page.atom?slug=/a", owner, "/api/me"]
        paths += ["/feeds/1/site.atom", "/api/comments?site_id=1&slug=/a", "/api/openapi.json"]
        paths += ["/api/auth/methods", "/api/sites/1", "/api/users/1", "/talkee.js", "/admin/"]
        for path in paths:
            headers = EVIL | {"Authorization": f"Bearer {token}"}
            async with server.session.get(
                server.url + path, headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status in (200, 308), path
                assert "evil.example" not in await answer.text(), path
                assert "evil.example" not in str(answer.headers), path
