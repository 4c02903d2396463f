"""The writer, the lock, the migrations: what is stored stays, what is refused leaves no trace."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.api.context import Services
from talkee_lite.app import open_services
from talkee_lite.errors import MessageNotFound, Unavailable
from talkee_lite.models import MessageDraft, Outcome, RoomKey
from talkee_lite.store import messages
from talkee_lite.store.database import Database
from talkee_lite.store.lock import DatabaseInUse, ProcessLock, read_holder
from talkee_lite.store.migrations import (
    APPLICATION_ID,
    MIGRATIONS,
    DatabaseUnusable,
    inspect,
    migrate,
)
from talkee_lite.store.posting import Post, post_messages
from talkee_lite.store.writer import Transaction, connect_writer

from .harness import config_in, until


def put(tx: Transaction, key: str) -> str:
    """A small write; it fails the second time."""
    tx.execute("insert into meta (key, value) values (:key, '1')", {"key": key})
    return key


async def keys(db: Database) -> set[str]:
    """The keys that `put` stored."""
    rows = await db.fetch("select key from meta where value = '1' and key like 'k%'", {})
    return {row["key"] for row in rows}


async def test_a_job_that_fails_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")
    jobs = [db.write(lambda tx, k=f"k{n}": put(tx, k)) for n in (1, 2, 1, 3)]  # type: ignore[misc]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert results[:2] == ["k1", "k2"]
    assert isinstance(results[2], sqlite3.IntegrityError)
    assert results[3] == "k3"
    assert await keys(db) == {"k1", "k2", "k3"}
    await db.close()


async def test_a_job_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")

    def half(tx: Transaction) -> None:
        put(tx, "k1")
        raise ValueError("half way")

    first, second = db.write(half), db.write(lambda tx: put(tx, "k2"))
    with pytest.raises(ValueError, match="half way"):
        await first
    assert await second == "k2"
    assert await keys(db) == {"k2"}
    await db.close()


async def test_jobs_that_wait_together_are_committed_together(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")
    batches: list[int] = []

    def see(results: object, answer: object) -> None:
        batches.append(len(results))  # type: ignore[arg-type]
        answer()  # type: ignore[operator]

    db.publish_with(see)
    await asyncio.gather(*(db.write(lambda tx, k=f"k{n}": put(tx, k)) for n in range(200)))  # type: ignore[misc]
    assert sum(batches) == 200
    assert len(batches) < 20
    await db.close()


async def test_nothing_is_answered_before_it_was_published(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")
    held = []
    db.publish_with(lambda results, answer: held.append(answer))
    job = db.write(lambda tx: put(tx, "k1"))
    await until(lambda: bool(held))
    assert not job.done()
    held[0]()
    assert await job == "k1"
    await db.close()


async def test_what_was_asked_for_is_stored_though_who_asked_is_gone(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")
    db.write(lambda tx: put(tx, "k1")).cancel()
    await db.drain()
    assert await keys(db) == {"k1"}
    await db.close()


async def test_while_another_program_locks_the_file_writes_fail_and_reads_go_on(
    tmp_path: Path,
) -> None:
    path = tmp_path / "talkee.db"
    db = await Database.open(path)
    await db.write(lambda tx: put(tx, "k1"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    jobs = [db.write(lambda tx, k=f"k{n}": put(tx, k)) for n in range(2, 6)]  # type: ignore[misc]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert db.failing
    with pytest.raises(Unavailable):
        db.write(lambda tx: put(tx, "k9"))
    assert await keys(db) == {"k1"}
    other.execute("rollback")
    other.close()
    await until(lambda: not db.failing)
    assert await db.write(lambda tx: put(tx, "k7")) == "k7"
    assert await keys(db) == {"k1", "k7"}
    await db.close()


async def test_a_room_numbers_its_messages_without_holes(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    room = RoomKey(1, "/a")
    async with open_services(config) as services:
        user, _ = await services.sign_ins.guest("Ann")
        drafts = [MessageDraft(f"{n % 30:036}", "text", "SGk=") for n in range(40)]
        results = await asyncio.gather(
            *(services.db.write_one(post_messages, Post(room, d, user.id, 1)) for d in drafts)
        )
    posted = [r.entry.seq for r in results if r.outcome is Outcome.POSTED and r.entry]
    assert posted == list(range(1, 31))


async def test_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    async with open_services(config_in(tmp_path)):
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_clean_stop_leaves_one_complete_file(tmp_path: Path) -> None:
    async with open_services(config_in(tmp_path)):
        pass
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"talkee.db", "talkee.db.lock", "talkee.db.secret"}


async def test_one_process_at_a_time_owns_the_database(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    db = await Database.open(path)
    with pytest.raises(DatabaseInUse, match="only one may own it"):
        await Database.open(path)
    holder = read_holder(path)
    assert holder is not None
    assert holder.socket == ""
    await db.close()
    assert read_holder(path) is None
    ProcessLock.acquire(path).release()


def test_a_long_path_puts_the_control_socket_into_the_temporary_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    lock = ProcessLock.acquire(folder / "talkee.db")
    assert len(str(lock.socket_path)) < 104
    lock.release()


def test_a_foreign_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    other = sqlite3.connect(path)
    other.execute("create table theirs (id integer)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="another program"):
        inspect(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["talkee.db"]


@pytest.mark.parametrize("content", [b"not a database at all, but some text", None])
async def test_a_damaged_file_is_refused_and_not_changed(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "talkee.db"
    if content is None:
        await (await Database.open(path)).close()
        content = path.read_bytes()[: 3 * 4096 + 100]
    path.write_bytes(content)
    with pytest.raises(DatabaseUnusable, match="not a usable database"):
        await Database.open(path)
    assert path.read_bytes() == content


async def test_an_empty_file_is_taken_as_new(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    path.touch()
    await (await Database.open(path)).close()
    assert inspect(path) == len(MIGRATIONS)


async def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    await (await Database.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute(f"pragma user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseUnusable, match="newer version"):
        await Database.open(path)
    assert path.read_bytes() == before


def test_before_a_migration_a_copy_is_kept_and_two_at_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talkee.db"
    connection = connect_writer(path)
    migrate(connection, path)
    connection.execute("insert into meta (key, value) values ('mine', 'kept')")
    for number in range(1, 4):
        monkeypatch.setattr(
            "talkee_lite.store.migrations.MIGRATIONS",
            (*MIGRATIONS, *(f"create table extra_{n} (id integer)" for n in range(number))),
        )
        monkeypatch.setattr("time.strftime", lambda *_, n=number: f"20260101-00000{n}")
        migrate(connection, path)
    connection.close()
    copies = sorted(p.name for p in tmp_path.glob("talkee.db.v*"))
    first = len(MIGRATIONS)
    assert copies == [
        f"talkee.db.v{first + 1}-20260101-000002",
        f"talkee.db.v{first + 2}-20260101-000003",
    ]
    copy = sqlite3.connect(tmp_path / copies[0])
    assert copy.execute("pragma application_id").fetchone() == (APPLICATION_ID,)
    assert copy.execute("select value from meta where key = 'mine'").fetchone() == ("kept",)
    copy.close()


def test_an_older_database_becomes_what_a_new_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "old.db", tmp_path / "new.db"]
    with monkeypatch.context() as earlier:
        earlier.setattr("talkee_lite.store.migrations.MIGRATIONS", MIGRATIONS[:1])
        connection = connect_writer(paths[0])
        migrate(connection, paths[0])
        connection.execute(
            "insert into sites (id, name, origins, created_at, updated_at)"
            " values (1, 'Mine', '[]', 1, 1)"
        )
        connection.execute("insert into pages (site_id, slug, created_at) values (1, '/a', 1)")
        connection.close()
    schemas = []
    for path in paths:
        connection = connect_writer(path)
        migrate(connection, path)
        schemas.append(
            {
                table: connection.execute(f"pragma table_info({table})").fetchall()
                for (table,) in map(
                    tuple, connection.execute("select name from sqlite_master order by name")
                )
            }
        )
        kept = connection.execute("select slug, comment_total from pages").fetchall()
        assert [tuple(row) for row in kept] == ([("/a", 0)] if path == paths[0] else [])
        connection.close()
    assert [[*map(tuple, rows)] for rows in schemas[0].values()] == [
        [*map(tuple, rows)] for rows in schemas[1].values()
    ]
    assert schemas[0].keys() == schemas[1].keys()


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talkee.db"
    connection = connect_writer(path)
    migrate(connection, path)
    monkeypatch.setattr(
        "talkee_lite.store.migrations.MIGRATIONS",
        (*MIGRATIONS, "create table half (id integer); create table meta (id integer)"),
    )
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path)
    assert connection.execute("pragma user_version").fetchone()[0] == len(MIGRATIONS)
    tables = {name for (name,) in connection.execute("select name from sqlite_master")}
    assert "half" not in tables
    connection.close()


async def test_the_epoch_stays_and_starts_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db"
    epochs = []
    for _ in range(3):
        db = await Database.open(path)
        epochs.append(db.epoch)
        boots = await db.fetch_one("select value from meta where key = 'boots'", {})
        await db.close()
    assert len(set(epochs)) == 1
    assert boots is not None
    assert boots["value"] == "3"


async def test_guests_who_never_wrote_are_swept_and_their_tokens_with_them(
    tmp_path: Path,
) -> None:
    day = 24 * 3600 * 1_000_000
    now = 1_800_000_000_000_000
    async with open_services(config_in(tmp_path), clock=lambda: now) as services:
        writer, _ = await services.sign_ins.guest("Ann")
        silent, _ = await services.sign_ins.guest("Bob")
        room, message = RoomKey(1, "/a"), MessageDraft("a" * 36, "text", "SGk=")
        await services.db.write_one(post_messages, Post(room, message, writer.id, now))
        services.people._clock = lambda: now + 38 * day
        await services.people.sweep()
        rows = await services.db.fetch("select id from users", {})
        assert [row["id"] for row in rows] == [writer.id]
        assert json.dumps([silent.id]) != json.dumps([writer.id])


async def test_answers_go_out_in_the_order_of_commits(tmp_path: Path) -> None:
    """Though publishing a batch takes longer than the next one does."""
    db = await Database.open(tmp_path / "talkee.db")
    held: list[Callable[[], None]] = []
    order: list[str] = []

    def publish(results: Sequence[Any], answer: Callable[[], None]) -> None:
        if "k1" in results:
            held.append(answer)
        else:
            answer()

    db.publish_with(publish)
    first = db.write(lambda tx: put(tx, "k1"))
    await until(lambda: bool(held))
    second = db.write(lambda tx: put(tx, "k2"))
    for job in (first, second):
        job.add_done_callback(lambda done: order.append(done.result()))
    await db.published()
    assert not second.done()
    held[0]()
    held[0]()  # twice does no harm
    await second
    await until(lambda: len(order) == 2)
    assert order == ["k1", "k2"]
    await db.close()


async def test_a_refusal_does_not_make_its_neighbours_run_again(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")
    runs = 0

    def count(tx: Transaction) -> None:
        nonlocal runs
        runs += 1

    def refuse(tx: Transaction) -> None:
        raise MessageNotFound

    jobs = [db.write(count if n % 2 else refuse) for n in range(100)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [isinstance(result, MessageNotFound) for result in results] == [True, False] * 50
    assert runs == 50
    await db.close()


async def test_a_reader_whose_caller_was_cancelled_shows_the_present_again(tmp_path: Path) -> None:
    db = await Database.open(tmp_path / "talkee.db")

    async def look() -> None:
        async with db.snapshot() as snapshot:
            await snapshot.fetch("select 1", {})
            await asyncio.sleep(0.01)

    for n in range(30):
        task = asyncio.create_task(look())
        for _ in range(n % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await db.write(lambda tx: put(tx, "k1"))
    for _ in range(6):
        assert await keys(db) == {"k1"}
        await look()
    await db.close()


async def test_who_is_out_of_memory_is_read_again_and_never_shown_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("talkee_lite.people._MOST_USERS", 10)
    async with open_services(config_in(tmp_path)) as services:
        people = services.people
        users = [(await services.sign_ins.guest(f"Guest {n}"))[0] for n in range(15)]
        for user in users:
            people.profile(1, user.id)
            await people.load([user.id])
            assert user.full_name.encode() in people.profile(1, user.id)


async def posts_at_once(
    services: Services, drafts: list[tuple[int, MessageDraft]], *also: Callable[[Transaction], Any]
) -> list[Any]:
    """Post to a room that was used before, all in one batch; `also` jobs come after the first."""
    room = RoomKey(1, "/a")
    first = MessageDraft("f" * 36, "text", "SGk=")
    await services.db.write_one(post_messages, Post(room, first, drafts[0][0], 1))
    slow = services.db.write(lambda tx: time.sleep(0.2))
    await asyncio.sleep(0.05)
    waiting = []
    for number, (user_id, draft) in enumerate(drafts):
        waiting.append(services.db.write_one(post_messages, Post(room, draft, user_id, 2)))
        if not number:
            waiting += [services.db.write(job) for job in also]
    assert not slow.done()
    return await asyncio.gather(*waiting, return_exceptions=True)


def some_drafts(numbers: Iterable[int]) -> list[MessageDraft]:
    """Drafts with these ids."""
    return [MessageDraft(f"{n:036}", "text", "SGk=") for n in numbers]


@pytest.mark.parametrize("numbers", [[1, 2, 3, 4], [1, 2, 1, 3, 2], [7, 7, 7]])
async def test_posts_that_are_stored_together_are_each_as_if_alone(
    numbers: list[int], tmp_path: Path
) -> None:
    async with open_services(config_in(tmp_path)) as services:
        user, _ = await services.sign_ins.guest("Ann")
        results = await posts_at_once(services, [(user.id, d) for d in some_drafts(numbers)])
        seen: dict[int, int] = {}
        for number, result in zip(numbers, results, strict=True):
            wanted = Outcome.REPEATED if number in seen else Outcome.POSTED
            assert result.outcome is wanted
            seq = seen.setdefault(number, len(seen) + 2)
            assert result.entry.seq == seq
        rows = await services.db.fetch("select seq from room_log order by seq", {})
        assert [row["seq"] for row in rows] == list(range(1, len(seen) + 2))
        rows = await services.db.fetch("select last_seq from pages", {})
        assert rows[0]["last_seq"] == len(seen) + 1


async def test_a_post_that_fails_among_others_fails_alone(tmp_path: Path) -> None:
    async with open_services(config_in(tmp_path)) as services:
        user, _ = await services.sign_ins.guest("Ann")
        one, two, three = some_drafts([1, 2, 3])
        nobody = user.id + 1000
        results = await posts_at_once(services, [(user.id, one), (nobody, two), (user.id, three)])
        assert isinstance(results[1], sqlite3.IntegrityError)
        assert [results[0].entry.seq, results[2].entry.seq] == [2, 3]


async def test_a_room_that_is_closed_among_posts_takes_those_before_alone(tmp_path: Path) -> None:
    async with open_services(config_in(tmp_path)) as services:
        user, _ = await services.sign_ins.guest("Ann")
        posts = [(user.id, draft) for draft in some_drafts([1, 2, 3])]
        results = await posts_at_once(
            services,
            posts,
            lambda tx: messages.set_room_closed(tx, RoomKey(1, "/a"), True, 1),
        )
        outcomes = [results[0].outcome, *(result.outcome for result in results[2:])]
        assert outcomes == [Outcome.POSTED, Outcome.CLOSED, Outcome.CLOSED]
