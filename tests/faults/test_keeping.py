"""The process dies while talk is kept: a thread is there as a whole, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from ..harness import JSON, draft, run_verb, until
from .crowd import ROUNDS, free_server, guest, post

EACH = 20
"""Messages of a thread."""
SAME = ("id", "content", "said_at", "kept_by", "reply_count", "created_at")


async def test_a_kill_leaves_whole_threads(tmp_path: Path) -> None:
    answered: dict[str, JSON] = {}
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            token = await guest(session)
            ids = []
            for number in range(EACH):
                _, message, _ = await post(session, token, draft(f"*message* {number}"))
                ids.append(message["message_id"])
    headers = {"Authorization": f"Bearer {token}"}
    body = {"from": ids[0], "to": ids[-1], "room": "/a"}

    async def keep(session: aiohttp.ClientSession, slug: str) -> JSON:
        path = f"/api/comments/keep?site_id=1&slug={slug}"
        async with session.post(path, json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            return dict((await response.json())["data"])

    async def keep_on(url: str, start: str) -> None:
        async with aiohttp.ClientSession(url) as session:
            for number in range(10_000):
                slug = f"/{start}/{number}"
                answered[slug] = await keep(session, slug)

    for number in range(ROUNDS):
        with free_server(tmp_path) as process:
            keeping = [asyncio.create_task(keep_on(process.url, f"{number}.{n}")) for n in range(4)]
            enough = len(answered) + 20 + 7 * number
            await until(lambda n=enough: len(answered) >= n, 30)  # type: ignore[misc]
            process.process.kill()
            process.process.wait()
            for task in keeping:
                with contextlib.suppress(aiohttp.ClientError):
                    await task
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            for slug, comment in answered.items():
                # Asked for again it is the same, and all of it is there.
                again = await keep(session, slug)
                assert [again[name] for name in SAME] == [comment[name] for name in SAME]
                path = f"/api/replies?site_id=1&slug={slug}&of={comment['id']}"
                async with session.get(path) as response:
                    found = (await response.json())["data"]["replies"][str(comment["id"])]
                assert (found["total"], len(found["replies"])) == (EACH - 1, EACH - 1)
            # What was not answered is whole too, or not there.
            async with session.get("/api/stat/global") as response:
                totals = (await response.json())["data"]
            assert totals["replies"] == totals["comments"] * (EACH - 1)
            assert totals["comments"] >= len(answered)
        assert process.stop() == 0
    done = run_verb(tmp_path, "recount").stdout
    assert done == "0 comments and 0 pages were off\n"
