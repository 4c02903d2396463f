"""The server keeps to its OpenAPI document, whatever is sent: schemathesis tries it.

What it sends is made of the document: examples, the edges of every bound, what the document
forbids, and comments that are made, changed and erased in any order. No answer may be a server's
error, of an undocumented status, or of another shape than described; what is forbidden must be
refused, and what is allowed must not.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import defaultdict
from pathlib import Path

import pytest

from talkee_lite.api.openapi import document
from talkee_lite.api.openapi.shapes import UUID
from talkee_lite.config import AuthConfig

from .contract import IDS, operations
from .harness import Server, config_in, running
from .test_admin import first_admin
from .test_comments import call, say
from .test_held import moderator

HERE = Path(__file__).parent
PAGE = "site_id=1&slug=/hello"
"""The page that the document's examples name."""
# What takes the connection away from HTTP, what is read to begin with, and what needs a form that
# was given out, or the owner's key.
UNREACHED = {
    ("GET", "/ws"),
    ("GET", "/api/openapi.json"),
    ("POST", "/t/{site_id}"),
    ("GET", "/feeds/{site_id}/owner.atom"),
}


async def furnish(server: Server) -> None:
    """Somebody wrote comments with replies, and the message of the examples."""
    for number in range(IDS):
        token = await server.guest(f"Writer {number}")
        comment = await say(server, token, page=PAGE)
        replies = f"/{comment['id']}/replies"
        await call(server, "POST", replies, {"content": "Hi!"}, token=token, page=PAGE)
    await server.post(token, room=PAGE, message_id=UUID["examples"][0])


async def schemathesis(server: Server, folder: Path) -> tuple[str, Path]:
    """What it said where it found something, and the file of all answers."""
    report = folder / "report"
    environ = {
        "PYTHONPATH": str(HERE.parent),
        "TALKEE_URL": server.url,
        "TALKEE_MODERATOR": await moderator(server),
        "TALKEE_ADMIN": (await first_admin(server)).token,
        "TALKEE_REPORT": str(report),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--config-file", str(HERE / "contract.toml")),
        *("run", f"{server.url}/api/openapi.json", "--url", server.url),
        *os.environ.get("TALKEE_CONTRACT", "").split(),
        cwd=folder,
        env=os.environ | environ,
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode() if process.returncode else "", report


@pytest.mark.long
async def test_the_server_keeps_to_its_document(tmp_path: Path) -> None:
    """For more of it: TALKEE_CONTRACT="--max-examples 300 --seed 2"."""
    config = config_in(tmp_path, auth=AuthConfig(password=True, mvm=True))
    async with running(config) as server:
        await furnish(server)
        await server.services.sites.set_sso_secret(1, "s" * 32)
        found, report = await schemathesis(server, tmp_path)
    assert not found, found
    seen = defaultdict(set)
    for line in report.read_text().splitlines():
        method, path, status = line.split()
        seen[method, path].add(int(status))
    # All of it was reached: each call succeeded at least once.
    for method, path, _ in operations(document(config)):
        if (method, path) not in UNREACHED:
            assert {200} <= seen[method, path], (method, path)
