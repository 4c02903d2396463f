"""The server stops under load and comes back: nothing is lost, everybody resumes."""

from __future__ import annotations

import asyncio
import random
import resource
import time
from pathlib import Path

import aiohttp

from talkee_lite.app import open_services
from talkee_lite.models import MessageDraft, RoomKey
from talkee_lite.store.posting import Post, post_messages

from ..harness import config_in, draft, running, until
from .crowd import Poster, Reader, everything, free_server, guest, post


async def test_a_stop_under_load_answers_what_it_read_and_a_thousand_resume(
    tmp_path: Path,
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    with free_server(tmp_path) as process:
        port = int(process.url.rpartition(":")[2])
        async with aiohttp.ClientSession(process.url) as session:
            posters = [Poster(await guest(session, f"Poster {n}")) for n in range(8)]
            token = await guest(session, "Reader")
            await post(session, token, draft("first"))
        readers = [Reader(token) for _ in range(1000)]
        listening = [asyncio.create_task(r.run(process.url)) for r in readers]
        await until(lambda: all(r.position is not None for r in readers), 60)
        posting = [asyncio.create_task(p.run(process.url)) for p in posters]
        await until(lambda: sum(len(p.stored) for p in posters) > 50, 30)
        begun = time.monotonic()
        status = await asyncio.to_thread(process.stop, 15)
        took = time.monotonic() - begun
        await asyncio.gather(*listening, *posting)
        assert status == 0
        # shutdown_seconds, and the time of the interpreter itself.
        assert took < 12
        codes = {r.code for r in readers}
        assert codes == {1012}
    with free_server(tmp_path, port) as process:
        async with aiohttp.ClientSession(process.url) as session:
            listed = await everything(session, token)
            by_id = {m["message_id"]: m["seq"] for m in listed}
            for poster in posters:
                for message_id, message in poster.stored.items():
                    assert by_id[message_id] == message["seq"]
            last = (await post(session, token, draft("after")))[1]["seq"]

            async def come_back(reader: Reader) -> None:
                await asyncio.sleep(random.random())
                await reader.follow(process.url, until_seq=last)

            await asyncio.gather(*(come_back(r) for r in readers))
            for reader in readers:
                assert reader.jumps == 0
                assert sorted(reader.seen) == list(range(2, last + 1))
        assert await asyncio.to_thread(process.stop) == 0


async def test_a_clock_that_jumps_back_changes_no_order_and_no_page(tmp_path: Path) -> None:
    hour = 3600 * 1_000_000
    now = 1_800_000_000_000_000
    room = RoomKey(1, "/a")
    async with open_services(config_in(tmp_path), clock=lambda: now) as services:
        user, _ = await services.sign_ins.guest("Ann")
        for n in range(30):
            written = now - n * hour
            message = MessageDraft(f"{n:036}", "text", "SGk=")
            await services.db.write_one(post_messages, Post(room, message, user.id, written))
    async with running(config_in(tmp_path)) as server:
        token = await server.guest("Bob")
        listed = (await server.latest(token))["data"]
        assert [m["seq"] for m in listed] == list(range(1, 31))
        assert listed[0]["created_at"] > listed[29]["created_at"]
        page = await server.latest(token, query="&before=21&limit=10")
        assert [m["seq"] for m in page["data"]] == list(range(11, 21))
        page = await server.latest(token, query="&after=20")
        assert [m["seq"] for m in page["data"]] == list(range(21, 31))
