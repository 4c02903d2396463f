"""Every call of the REST API with its answer, taken from a run: `python -m tests.transcript`.

It writes docs/calls.md. test_calls.py runs it again and compares: what differs from run to run,
such as times, is made the same first.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from talkee_lite.config import AuthConfig, Config, ServerConfig, SiteConfig
from talkee_lite.models import Scope
from talkee_lite.signing_in import Entry

from .harness import Server, config_in, running

DOCUMENT = Path(__file__).parents[1] / "docs" / "calls.md"
PAGE = "site_id=1&slug=/hello"
SHOP = "https://shop.example.com"
MESSAGE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
ASKED, TOLD = "0c1f2a30-0000-4000-8000-000000000001", "0c1f2a30-0000-4000-8000-000000000002"

INTRODUCTION = """\
# Every call, with its answer

Taken from a run, and held to the code by the tests. `$TOKEN` is what signing in gave, `$OTHER` the
token of another guest, `$ANN` that of Ann, who registered, `$MODERATOR` that of a moderator,
`$ADMIN` an admin's, which `/admin` gets. What the calls mean stands in [api.md](api.md) and, for
messages, in [protocol.md](protocol.md).
"""


@dataclass(frozen=True)
class Call:
    """One call of the document. `who` is the name of a token, "" for nobody."""

    method: str
    path: str
    body: Any = None
    who: str = ""
    status: int = 200

    def command(self) -> str:
        """As somebody types it."""
        parts = ["curl -s"]
        if self.method != ("GET" if self.body is None else "POST"):
            parts.append(f"-X {self.method}")
        parts.append(f"'http://127.0.0.1:8080{self.path}'")
        if self.who:
            parts.append(f'-H "Authorization: Bearer ${self.who}"')
        if self.body is not None:
            parts.append("-H 'Content-Type: application/json'")
            parts.append(f"-d '{json.dumps(self.body, ensure_ascii=False)}'")
        return " ".join(parts)


@dataclass(frozen=True)
class Chapter:
    """Calls that belong together, in the order in which they are made."""

    title: str
    calls: tuple[Call, ...]


def chapters() -> list[Chapter]:
    """The whole document."""
    me, other, moderator, admin = "TOKEN", "OTHER", "MODERATOR", "ADMIN"
    sofia = "/api/admin/users/3"
    comment, answer = "/api/comments/1", "/api/comments/1/replies"
    login = {"method": "guest", "full_name": "John Wick"}
    said = {"message_id": MESSAGE, "category": "text", "data": "SGVsbG8h"}
    asked = {"message_id": ASKED, "category": "text", "data": "V2hlbj8="}
    told = {"message_id": TOLD, "category": "text", "data": "QXQgKjgq"}
    page = {"address": "https://blog.example.com/hello", "title": "Hello"}
    written = {"content": "**Nice**, see https://example.com", "page": page}
    return [
        Chapter(
            "Signing in",
            (
                Call("GET", "/api/auth/methods"),
                Call("POST", "/api/auth/login", login),
                Call("POST", "/api/auth/wallet_text", {"account": "0x" + "8b" * 20}),
                Call("GET", "/api/me", who=me),
                Call("PATCH", "/api/me", {"full_name": "Jonathan"}, me),
                Call("POST", "/api/auth/renew", who=me),
                Call(
                    "POST",
                    "/api/auth/register",
                    {"username": "ann99", "password": "correct horse battery"},
                ),
                Call(
                    "PUT",
                    "/api/me/password",
                    {"password": "correct horse battery", "new_password": "staple and more"},
                    "ANN",
                ),
            ),
        ),
        Chapter(
            "Messages",
            (
                Call("POST", f"/api/messages?{PAGE}", said, me),
                Call("GET", f"/api/messages?{PAGE}", who=me),
                Call("DELETE", f"/api/messages/{MESSAGE}?{PAGE}", who=me),
                Call("GET", f"/api/messages?{PAGE}&after=0", who=me),
            ),
        ),
        Chapter(
            "Comments",
            (
                Call("POST", f"/api/comments?{PAGE}", written, me),
                Call("GET", f"/api/comments?{PAGE}&order_by=created_at&limit=1"),
                Call("GET", f"{comment}?{PAGE}"),
                Call("PATCH", f"{comment}?{PAGE}", {"content": "Very *nice*"}, me),
                Call("PUT", f"{comment}/fav?{PAGE}", who=other),
                Call("PUT", f"{comment}/unfav?{PAGE}", who=other),
                Call("POST", "/api/preview", {"content": "> quoted"}),
                Call("POST", "/api/counts", {"site_id": 1, "slugs": ["/hello", "/other"]}),
            ),
        ),
        Chapter(
            "Replies",
            (
                Call("POST", f"{answer}?{PAGE}", {"content": "Thank you!"}, other),
                Call("POST", f"{answer}?{PAGE}", {"content": "Not at all", "reply_to": 1}, me),
                Call("GET", f"{answer}?{PAGE}&order_by=created_at_asc&limit=1"),
                Call("GET", f"/api/replies?{PAGE}&of=1,9&limit=1"),
                Call("GET", f"/api/comments?{PAGE}&replies=1"),
                Call("GET", f"/api/me/answers?{PAGE}&since=0", who=other),
                Call("PATCH", f"{answer}/1?{PAGE}", {"content": "Thanks!"}, other),
                Call("DELETE", f"{answer}/1?{PAGE}", who=other),
            ),
        ),
        Chapter(
            "Held comments",
            (
                Call("POST", "/api/comments?site_id=2&slug=/held", {"content": "Hello?"}, me),
                Call("GET", "/api/comments/2?site_id=2&slug=/held", status=404),
                Call("PUT", "/api/comments/2/approve?site_id=2&slug=/held", who=moderator),
                Call("POST", "/api/comments/2/replies?site_id=2&slug=/held", {"content": "Hm"}, me),
                Call(
                    "PUT", "/api/comments/2/replies/3/approve?site_id=2&slug=/held", who=moderator
                ),
                Call("DELETE", "/api/comments/2?site_id=2&slug=/held", who=moderator),
            ),
        ),
        Chapter(
            "Keeping talk",
            (
                Call("POST", f"/api/messages?{PAGE}", asked, me),
                Call("POST", f"/api/messages?{PAGE}", told, other),
                Call("POST", f"/api/comments/keep?{PAGE}", {"from": ASKED, "to": TOLD}, other),
                Call("GET", f"/api/replies?{PAGE}&of=3"),
            ),
        ),
        Chapter(
            "Pages, sites, people",
            (
                Call("GET", f"/api/pages?{PAGE}"),
                Call("PATCH", f"/api/pages?{PAGE}", page | {"title": "Hello again"}, moderator),
                Call("GET", f"/api/slugs?{PAGE}"),
                Call("GET", "/api/sites/1"),
                Call("GET", "/api/users/1"),
                Call("GET", "/api/users/9", status=404),
                Call("GET", "/api/assets"),
                Call("GET", "/api/stat/global"),
                Call("GET", "/hc"),
            ),
        ),
        Chapter(
            "What admins do",
            (
                Call("POST", "/api/sites", {"name": "Shop", "origins": [SHOP]}, admin),
                Call("PUT", "/api/sites/1000", {"public_chat": True}, admin),
                Call("PUT", "/api/sites/1", {"name": "Mine"}, admin, status=409),
                Call("POST", "/api/sites", {"name": "Mine"}, me, status=403),
                Call("GET", "/api/sites", who=admin),
                Call("GET", "/api/admin/setup", who=admin),
                Call("GET", "/api/admin/users?q=so&after_id=1", who=admin),
                Call("PUT", sofia, {"role": "moderator", "site_id": 1}, admin, status=409),
                Call("POST", f"{sofia}/ban", {"hours": 24, "reason": "Noise"}, admin),
                Call("POST", f"{sofia}/unban", who=admin),
                Call("POST", f"{sofia}/signout", who=admin),
            ),
        ),
        Chapter(
            "Leaving",
            (
                Call("GET", "/api/me/export", who=other),
                Call("DELETE", "/api/me", {"content": "remove"}, other),
                Call("POST", "/api/auth/logout", {"everywhere": True}, me),
                Call("GET", "/api/me", who=me, status=401),
            ),
        ),
    ]


def config_for(folder: Path) -> Config:
    """Two sites; comments wait on the second."""
    sites = (
        SiteConfig(id=1, name="My blog", origins=("https://blog.example.com",)),
        SiteConfig(id=2, name="Careful", hold_comments="guests"),
    )
    config = config_in(folder, sites=sites, auth=AuthConfig(password=True, mvm=True))
    return replace(config, server=replace(ServerConfig(), public_url="https://talk.example.com"))


async def record(folder: Path) -> str:
    """Make all calls against a fresh server; the document."""
    parts = [INTRODUCTION]
    async with running(config_for(folder)) as server:
        tokens: dict[str, str] = {}
        for chapter in chapters():
            lines = [await _make(server, call, tokens) for call in chapter.calls]
            parts.append(f"## {chapter.title}\n\n```console\n{''.join(lines)}```\n")
    return "\n".join(parts)


async def _make(server: Server, call: Call, tokens: dict[str, str]) -> str:
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    if call.who:
        headers["Authorization"] = f"Bearer {tokens[call.who]}"
    body = None if call.body is None else json.dumps(call.body).encode()
    async with server.session.request(
        call.method, server.url + call.path, data=body, headers=headers
    ) as response:
        text = (await response.read()).decode()
    assert response.status == call.status, (call, text)
    if call.path == "/api/auth/login":
        tokens["TOKEN"] = json.loads(text)["data"]["access_token"]
        tokens["OTHER"] = await server.guest("Winston")
        tokens["MODERATOR"] = await _moderator(server)
        tokens["ADMIN"] = await _admin(server)
    if call.path == "/api/auth/register":
        tokens["ANN"] = json.loads(text)["data"]["access_token"]
    return f"$ {call.command()}\n{text}\n"


async def _moderator(server: Server) -> str:
    token = await server.guest("Sofia")
    user = (await server.services.tokens.identify(token)).user

    def job(tx: Any) -> None:
        tx.execute(
            "insert into roles (site_id, user_id, role, created_at)"
            " values (0, :id, 'moderator', 0)",
            {"id": user.id},
        )

    await server.services.db.write(job)
    await server.services.people.start()
    return token


async def _admin(server: Server) -> str:
    services = server.services
    code = await services.sign_ins.make_first_link()
    assert code is not None
    signed_in = await services.sign_ins.admit_by_link(code, "Charon", Entry(Scope.ADMIN))
    return services.tokens.encode(signed_in.session)


_VOLATILE = (
    (r'"ts":\d+', '"ts":0'),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"(access_token|epoch|request_id|subject|version)":"[^"]*"', r'"\1":""'),
    (r"Nonce: \w+", "Nonce: "),
    (r'"hex":"0x\w+"', '"hex":""'),
    (r'"uptime":\d+', '"uptime":0'),
    (r'"mixin_user_id":"[^"]*"', '"mixin_user_id":""'),
)


def steady(document: str) -> str:
    """The document without what differs from run to run."""
    for pattern, put in _VOLATILE:
        document = re.sub(pattern, put, document)
    return document


def main() -> None:
    """Write the document."""
    with tempfile.TemporaryDirectory() as folder:
        DOCUMENT.write_text(asyncio.run(record(Path(folder))), encoding="utf-8")


if __name__ == "__main__":
    main()
