"""The process dies: whatever was answered is there, once, and readers see everything once."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from ..harness import draft, until
from .crowd import FREE, ROUNDS, Poster, Reader, everything, free_server, guest, post


async def test_whatever_was_answered_before_a_kill_is_there_once(tmp_path: Path) -> None:
    """`kill -9` while twelve clients post as fast as they can, again and again."""
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            posters = [Poster(await guest(session, f"Poster {n}")) for n in range(12)]
            reader = Reader(await guest(session, "Reader"))
    for round_number in range(ROUNDS):
        with free_server(tmp_path) as process:
            posting = [asyncio.create_task(p.run(process.url)) for p in posters]
            listening = asyncio.create_task(reader.run(process.url))
            before = sum(len(p.stored) for p in posters)
            enough = before + 40 + 13 * (round_number % 9)
            await until(lambda n=enough: sum(len(p.stored) for p in posters) >= n, 30)  # type: ignore[misc]
            process.process.kill()
            process.process.wait()
            await asyncio.gather(*posting, listening)
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            listed = await everything(session, posters[0].token)
            by_id = {m["message_id"]: m for m in listed}
            assert [m["seq"] for m in listed] == list(range(1, len(listed) + 1))
            assert len(by_id) == len(listed)
            # The reader was cut with each kill, and missed nothing.
            await reader.follow(process.url, until_seq=len(listed))
            assert reader.jumps == 0
            assert sorted(reader.seen) == list(range(min(reader.seen), len(listed) + 1))
            for poster in posters:
                for message_id, message in poster.stored.items():
                    assert by_id[message_id]["seq"] == message["seq"]
                    assert by_id[message_id]["data"] == message["data"]
                # A retry gives the first message, or the message its place now.
                for message_id, body in poster.doubtful.items():
                    status, answer, headers = await post(session, poster.token, body)
                    assert status == 200
                    assert (message_id in by_id) == ("Idempotent-Replayed" in headers)
                    if message_id in by_id:
                        assert answer["seq"] == by_id[message_id]["seq"]


@pytest.mark.skipif(sys.platform != "linux", reason="strace is Linux's")
async def test_each_batch_is_on_the_disk_before_it_is_answered(tmp_path: Path) -> None:
    """A kill does not lose the page cache, a power cut does: so look at the system calls."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing; Debian has it in the package strace")
    trace = tmp_path / "trace"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [
                strace, "-f", "-o", str(trace), "-s", "900", "-e",
                "trace=fdatasync,fsync,write,writev,sendto,sendmsg,pwrite64",
                sys.executable, "-m", "talkee_lite", "--port", "0",
            ],
            cwd=tmp_path, env=os.environ | FREE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        async with aiohttp.ClientSession(url) as session:
            token = await guest(session)
            for n in range(10):
                status, _, _ = await post(session, token, draft(f"message {n}"))
                assert status == 200
    finally:
        # strace passes a signal on to nobody: end its child.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGTERM)
        process.wait(20)
        process.stdout.close()
    synced, answers = False, 0
    for line in trace.read_text(errors="replace").splitlines():
        if re.search(r"\b(fdatasync|fsync)\(\d+\)? *(<unfinished|= 0|\) += 0)", line) or (
            "fdatasync resumed" in line
        ):
            synced = "unfinished" not in line
        elif "HTTP/1.1 200 OK" in line and "message_id" in line:
            assert synced, line
            answers += 1
            synced = False
    assert answers == 10
