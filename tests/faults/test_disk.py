"""The disk refuses: posts are refused too, all else goes on, and it mends by itself."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from ..harness import ROOM, draft
from .crowd import everything, free_server, guest, needs_root, post


async def check_fault(folder: Path, begin: Any, end: Any, database: str) -> None:
    """Posts in flight when `begin` breaks the disk; then everything works again after `end`."""
    with free_server(folder, TALKEE_DATABASE__URL=f"sqlite:{database}") as process:
        async with aiohttp.ClientSession(process.url) as session:
            token = await guest(session)
            stored: dict[str, int] = {}
            refused: list[dict[str, Any]] = []

            async def storm(count: int) -> None:
                for _ in range(count):
                    body = draft("x" * 2000)
                    status, answer, headers = await post(session, token, body)
                    if status == 200:
                        stored[body["message_id"]] = answer["seq"]
                    else:
                        assert (status, answer["error"]) == (503, "unavailable")
                        assert int(headers["Retry-After"]) >= 1
                        refused.append(body)

            await asyncio.gather(*(storm(3) for _ in range(8)))
            assert not refused
            ws_url = process.url.replace("http", "ws") + f"/ws?{ROOM}"
            async with connect(ws_url) as client:
                auth = {"type": "auth", "token": token, "events": True}
                await client.send(json.dumps(auth))
                assert json.loads(await client.recv())["seq"] == len(stored)
                # In the middle of batches too.
                storms = [asyncio.create_task(storm(12)) for _ in range(8)]
                begin()
                await asyncio.gather(*storms)
                async with asyncio.timeout(30):
                    while not refused:
                        await storm(1)
                async with session.get("/hc") as response:
                    assert response.status == 503
                # Reading goes on, and nothing is half stored.
                listed = await everything(session, token)
                assert {m["message_id"]: m["seq"] for m in listed} == stored
                assert [m["seq"] for m in listed] == list(range(1, len(listed) + 1))
                end()
                async with asyncio.timeout(30):
                    while True:
                        async with session.get("/hc") as response:
                            if response.status == 200:
                                break
                        await asyncio.sleep(0.1)
                for body in refused:
                    status, answer, headers = await post(session, token, body)
                    assert status == 200
                    assert "Idempotent-Replayed" not in headers
                    stored[body["message_id"]] = answer["seq"]
                # The socket was open all the time and missed nothing.
                seen: set[str] = set()
                async with asyncio.timeout(30):
                    while not seen >= {body["message_id"] for body in refused}:
                        seen.add(json.loads(await client.recv()).get("message_id", ""))
            listed = await everything(session, token)
            assert {m["message_id"]: m["seq"] for m in listed} == stored
        assert process.stop() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB: room for the database and its WAL, and little more."""
    needs_root()
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    await check_fault(tmp_path, fill, ballast.unlink, str(small_disk / "talkee.db"))


async def test_another_program_holds_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    other: list[sqlite3.Connection] = []

    def lock() -> None:
        connection = sqlite3.connect(path, isolation_level=None, timeout=20)
        connection.execute("begin immediate")
        other.append(connection)

    def unlock() -> None:
        other[0].execute("rollback")
        other[0].close()

    await check_fault(tmp_path, lock, unlock, str(path))


async def test_files_that_must_not_be_changed(tmp_path: Path) -> None:
    """`chattr +i`: an open descriptor still writes, so the refusal shows at the next opening."""
    needs_root()
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            token = await guest(session)
            assert (await post(session, token, draft()))[0] == 200
        assert process.stop() == 0
    path = tmp_path / "talkee.db"
    done = subprocess.run(["chattr", "+i", path], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this file system has no such flag: {done.stderr}")
    try:
        before = path.read_bytes()
        with (
            pytest.raises(AssertionError, match="cannot be opened for writing"),
            free_server(tmp_path),
        ):
            pass
        assert path.read_bytes() == before
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    with free_server(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:
            assert len(await everything(session, token)) == 1
