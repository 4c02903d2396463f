"""Copies of the database, made while it is in use, and put back.

Copies go through SQLite's backup API: another handle on the open file would drop SQLite's locks.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from .lock import ProcessLock
from .migrations import DatabaseUnusable, inspect, read_only_uri

_COMPANIONS = ("-wal", "-shm", "-journal")


class BackupFailed(Exception):
    """The copy could not be made or put back; the message is a sentence. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: how many messages there are now, and where the earlier file went."""

    messages: int
    kept: Path | None


def secret_path(database: Path) -> Path:
    """The file beside a database, or beside a backup, that holds the signing secret."""
    return database.with_name(database.name + ".secret")


def back_up(database: Path, target: Path, *, with_secret: bool) -> int:
    """Copy `database`, in use or not, to the new file `target`; its size in bytes.

    The copy is one moment of the database, checked with `integrity_check`, and appears whole or
    not at all. The signing secret stands beside it only `with_secret`. Raises BackupFailed.
    """
    if target.exists():
        raise BackupFailed(f"{target} exists already; choose another name")
    try:
        _copy(database, target)
        if with_secret:
            _copy_private(secret_path(database), secret_path(target))
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(
            f"the backup to {target} failed: {error}; the server's user must be able to write there"
        ) from None
    return target.stat().st_size


def restore(database: Path, source: Path, *, with_secret: bool) -> Restored:
    """Put a backup in the place of `database`, which no server may have open.

    The backup is checked first; what was there is kept beside it. Clients notice by the new epoch
    that the record is another. Raises BackupFailed, DatabaseUnusable or DatabaseInUse.
    """
    if not source.is_file():
        raise BackupFailed(f"{source} is not there")
    if with_secret and not secret_path(source).is_file():
        raise BackupFailed(f"{secret_path(source)} is not there; the backup holds no secret")
    if not inspect(source):
        raise DatabaseUnusable(f"{source} is not a backup: it is empty")
    database.parent.mkdir(parents=True, exist_ok=True)
    lock = ProcessLock.acquire(database)
    fresh = database.with_name(f"{database.name}.restoring")
    try:
        fresh.unlink(missing_ok=True)
        _copy(source, fresh)
        with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            connection.execute("pragma journal_mode = delete")
            connection.execute("pragma synchronous = full")
            connection.execute(
                "update meta set value = :epoch where key = 'epoch'",
                {"epoch": secrets.token_hex(4)},
            )
            (count,) = connection.execute(
                "select count(*) from messages where status = 'published'"
            ).fetchone()
        kept = _set_aside(database)
        fresh.replace(database)
        _sync_folder(database.parent)
        if with_secret:
            secret_path(database).unlink(missing_ok=True)
            _copy_private(secret_path(source), secret_path(database))
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"restoring {source} failed: {error}") from None
    finally:
        fresh.unlink(missing_ok=True)
        lock.release()
    return Restored(count, kept)


def _copy(source: Path, target: Path) -> None:
    """Copy by the backup API into a new file of mode 0600, checked, renamed when it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with (
            closing(sqlite3.connect(read_only_uri(source), uri=True, timeout=10)) as reading,
            closing(sqlite3.connect(partial, isolation_level=None)) as writing,
        ):
            # In one step, which is one read transaction: between steps a busy writer would make
            # it begin anew, again and again. Readers do not hold a writer up.
            reading.backup(writing)
            # One file that can be carried anywhere: no WAL beside it.
            writing.execute("pragma journal_mode = delete")
            (verdict,) = writing.execute("pragma integrity_check").fetchone()
        if verdict != "ok":
            raise BackupFailed(f"{source} is damaged: {verdict}")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(target)
        _sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def _set_aside(database: Path) -> Path | None:
    """Rename the database that is there, its WAL folded in; where it is now."""
    if database.exists() and database.stat().st_size:
        # One that is damaged keeps its WAL beside it.
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(database, isolation_level=None)) as connection,
        ):
            connection.execute("pragma journal_mode = delete")
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    kept = database.with_name(f"{database.name}.before-{stamp}-{secrets.token_hex(2)}")
    # A WAL without its database too: SQLite would play it into the restored one.
    found = [end for end in ("", *_COMPANIONS) if Path(f"{database}{end}").exists()]
    for end in found:
        Path(f"{database}{end}").rename(f"{kept}{end}")
    return kept if found else None


def _copy_private(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(source.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
