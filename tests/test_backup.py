"""Backups: taken while people talk, complete, and put back without losing what was there."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from talkee_lite.store.backup import back_up

from .harness import ROOM, config_in, run_verb, running, server_process


async def fill(folder: Path, count: int) -> tuple[str, str]:
    """A database with `count` messages: a token, and the epoch."""
    async with running(config_in(folder)) as server:
        token = await server.guest()
        for n in range(count):
            await server.post(token, f"message {n}")
        return token, server.services.db.epoch


def count_messages(path: Path) -> int:
    """Messages in a database file."""
    connection = sqlite3.connect(path)
    try:
        (count,) = connection.execute("select count(*) from messages").fetchone()
        return int(count)
    finally:
        connection.close()


async def test_a_backup_put_back_has_everything_and_another_epoch(tmp_path: Path) -> None:
    token, epoch = await fill(tmp_path, 3)
    done = run_verb(tmp_path, "backup", "copy.db")
    assert done.returncode == 0, done.stderr
    copy = tmp_path / "copy.db"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not (tmp_path / "copy.db.secret").exists()
    async with running(config_in(tmp_path)) as server:
        await server.post(token, "after the backup")
    done = run_verb(tmp_path, "restore", "copy.db")
    assert done.returncode == 0, done.stderr
    assert "3 messages" in done.stdout
    (kept,) = tmp_path.glob("talkee.db.before-*")
    assert count_messages(kept) == 4
    async with running(config_in(tmp_path)) as server:
        listed = await server.latest(token)
        assert [m["seq"] for m in listed["data"]] == [1, 2, 3]
        assert listed["epoch"] != epoch
        assert (await server.post(token))["seq"] == 4


def test_a_backup_is_taken_while_messages_are_written(tmp_path: Path) -> None:
    """Each copy is one moment of the database: seq without holes up to the room's last."""
    script = (
        "import asyncio, json, sys, uuid, aiohttp\n"
        "async def main(url):\n"
        "    async with aiohttp.ClientSession(url) as s:\n"
        "        b = {'method': 'guest', 'full_name': 'Ann'}\n"
        "        r = await (await s.post('/api/auth/login', json=b)).json()\n"
        "        h = {'Authorization': 'Bearer ' + r['data']['access_token']}\n"
        f"        u = '/ws/messages?{ROOM}'\n"
        "        while True:\n"
        "            d = {'message_id': str(uuid.uuid4()), 'category': 'text', 'data': 'SGk='}\n"
        "            await (await s.post(u, json=d, headers=h)).read()\n"
        "            print(flush=True)\n"
        "asyncio.run(main(sys.argv[1]))\n"
    )
    environ = {
        "TALKEE_LIMITS__MESSAGES_PER_SECOND": "0",
        "TALKEE_LIMITS__ADDRESS_MESSAGES_PER_SECOND": "0",
    }
    with server_process(tmp_path, **environ) as process:
        command = [sys.executable, "-u", "-c", script, process.url]
        with (tmp_path / "written").open("w") as written:
            writer = subprocess.Popen(command, stdout=written)
        try:
            while not (tmp_path / "written").stat().st_size:
                time.sleep(0.01)
            for n in range(3):
                done = run_verb(tmp_path, "backup", f"copy{n}.db")
                assert done.returncode == 0, done.stderr
                connection = sqlite3.connect(tmp_path / f"copy{n}.db")
                (last,) = connection.execute("select max(last_seq) from pages").fetchone() or (0,)
                rows = connection.execute("select seq from room_log order by seq").fetchall()
                connection.close()
                assert [seq for (seq,) in rows] == list(range(1, (last or 0) + 1))
            assert last
        finally:
            writer.kill()
            writer.wait()
        done = run_verb(tmp_path, "restore", "copy0.db")
        assert done.returncode == 1
        assert "in use by process" in done.stderr


async def test_the_secret_goes_along_only_when_asked_for(tmp_path: Path) -> None:
    token, _ = await fill(tmp_path, 1)
    assert run_verb(tmp_path, "backup", "copy.db", "--with-secret").returncode == 0
    secret = tmp_path / "copy.db.secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = run_verb(elsewhere, "restore", "../copy.db", "--with-secret")
    assert done.returncode == 0, done.stderr
    async with running(config_in(elsewhere)) as server:
        assert len((await server.latest(token))["data"]) == 1


@pytest.mark.parametrize("content", [b"", b"text", "half"])
async def test_what_is_no_backup_is_refused_and_nothing_changes(
    tmp_path: Path, content: bytes | str
) -> None:
    await fill(tmp_path, 50)
    if content == "half":
        assert run_verb(tmp_path, "backup", "whole.db").returncode == 0
        whole = (tmp_path / "whole.db").read_bytes()
        content = whole[: len(whole) // 2 // 4096 * 4096]
    assert isinstance(content, bytes)
    (tmp_path / "bad.db").write_bytes(content)
    before = (tmp_path / "talkee.db").read_bytes()
    names = {path.name for path in tmp_path.iterdir()}
    done = run_verb(tmp_path, "restore", "bad.db")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "talkee.db").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == names


async def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    await fill(tmp_path, 1)
    (tmp_path / "copy.db").write_text("mine")
    done = run_verb(tmp_path, "backup", "copy.db")
    assert done.returncode == 1
    assert "exists already" in done.stderr
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_large_database_is_copied_though_it_is_written_all_the_time(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        assert process.stop() == 0
    path = tmp_path / "talkee.db"
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("create table ballast (data blob)")
    connection.execute(
        "insert into ballast with recursive n(i) as (select 1 union all select i + 1 from n"
        " where i < 3000) select randomblob(8000) from n"
    )
    going = True

    def write() -> None:
        while going:
            connection.execute("insert into ballast values (randomblob(10))")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert back_up(path, tmp_path / "copy.db", with_secret=False) > 20_000_000
    finally:
        going = False
        writer.join()
        connection.close()


async def test_what_a_lost_database_left_behind_is_not_played_into_the_restored_one(
    tmp_path: Path,
) -> None:
    token, epoch = await fill(tmp_path, 2)
    assert run_verb(tmp_path, "backup", "copy.db").returncode == 0
    with server_process(tmp_path) as process:
        assert run_verb(tmp_path, "token", "--name", "Late").returncode == 0
        process.process.kill()
        process.process.wait()
    assert (tmp_path / "talkee.db-wal").stat().st_size
    (tmp_path / "talkee.db").unlink()
    assert run_verb(tmp_path, "restore", "copy.db").returncode == 0
    async with running(config_in(tmp_path)) as server:
        assert server.services.db.epoch != epoch
        rows = await server.services.db.fetch("select full_name from users", {})
        assert [row["full_name"] for row in rows] == ["Ann"]
        assert len((await server.latest(token))["data"]) == 2


async def test_a_backup_goes_over_a_damaged_database(tmp_path: Path) -> None:
    token, _ = await fill(tmp_path, 2)
    assert run_verb(tmp_path, "backup", "copy.db").returncode == 0
    damaged = b"damaged" * 1000
    (tmp_path / "talkee.db").write_bytes(damaged)
    done = run_verb(tmp_path, "restore", "copy.db")
    assert done.returncode == 0, done.stderr
    (kept,) = tmp_path.glob("talkee.db.before-*")
    assert kept.read_bytes() == damaged
    async with running(config_in(tmp_path)) as server:
        assert len((await server.latest(token))["data"]) == 2
