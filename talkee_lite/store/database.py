"""The database as the rules see it: fetch, fetch_one, a snapshot, a write.

Reads go over two read-only connections (aiosqlite); everything that writes goes through the one
`Writer`. Only this file, `writer.py` and `migrations.py` know which engine it is.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from .lock import ProcessLock
from .migrations import DatabaseUnusable, inspect, migrate, read_only_uri
from .writer import AfterCommit, Together, Transaction, Writer, connect_writer

T = TypeVar("T")

Row = sqlite3.Row
_READERS = 2


class Snapshot:
    """Several reads of one moment."""

    __slots__ = ("_connection",)

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """All rows of a query."""
        return list(await self._connection.execute_fetchall(sql, parameters))

    async def fetch_one(self, sql: str, parameters: Mapping[str, Any]) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None


class Database:
    """One open database file, owned by this process until `close`."""

    def __init__(
        self,
        path: Path,
        lock: ProcessLock,
        writer: Writer,
        readers: Sequence[aiosqlite.Connection],
        epoch: str,
    ) -> None:
        self.path = path
        self.lock = lock
        self.epoch = epoch
        self._writer = writer
        self._readers = readers
        self._free: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._free.put_nowait(reader)

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the database at `path`.

        Raises DatabaseInUse while another process owns it, and DatabaseUnusable for a file that
        is not ours; the file is then not changed.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = ProcessLock.acquire(path)
        except OSError as error:
            raise DatabaseUnusable(f"{path} cannot be opened: {error.strerror}") from None
        try:
            _prepare(path)
            writer = Writer(path, asyncio.get_running_loop())
            try:
                epoch = _count_boot(writer)
            except BaseException:
                writer.close()
                raise
            writer.start()
            readers = [await _connect_reader(path) for _ in range(_READERS)]
        except (OSError, sqlite3.Error) as error:
            lock.release()
            raise DatabaseUnusable(f"{path} cannot be opened for writing: {error}") from None
        except BaseException:
            lock.release()
            raise
        return cls(path, lock, writer, readers, epoch)

    async def close(self) -> None:
        """Finish what waits to be written, then close the file and give it up."""
        await self._writer.drain()
        # The writer goes last: the last connection to leave folds the WAL into the file.
        for reader in self._readers:
            await reader.close()
        await self._writer.stop()
        self.lock.release()

    @property
    def failing(self) -> bool:
        """True while nothing can be stored."""
        return self._writer.failing

    def publish_with(self, after_commit: AfterCommit) -> None:
        """Set who sees each batch's results after its commit and before its answers."""
        self._writer.after_commit = after_commit

    async def fetch(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[Row]:
        """All rows of a query, as committed at some moment after the call."""
        reader = await self._free.get()
        try:
            return list(await reader.execute_fetchall(sql, parameters))
        finally:
            self._free.put_nowait(reader)

    async def fetch_one(self, sql: str, parameters: Mapping[str, Any]) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.fetch(sql, parameters)
        return rows[0] if rows else None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Several reads that all see the same moment."""
        reader = await self._free.get()
        try:
            await reader.execute("begin")
            yield Snapshot(reader)
        finally:
            # Also when the caller is cancelled, in the middle of `begin` too: a reader that kept
            # its transaction would show one old moment for good.
            await asyncio.shield(asyncio.ensure_future(self._give_back(reader)))

    async def _give_back(self, reader: aiosqlite.Connection) -> None:
        try:
            # Queued behind whatever the reader still does.
            if await reader.execute_fetchall("select 1") and reader.in_transaction:
                await reader.rollback()
        finally:
            self._free.put_nowait(reader)

    def write(self, function: Callable[[Transaction], T]) -> asyncio.Future[T]:
        """Run `function` in a transaction; the future holds its result once it is durable.

        Raises Unavailable when nothing can be stored, and whatever `function` raises; nothing of
        it is stored then.
        """
        return self._writer.submit(function)

    def write_one(self, together: Together, argument: Any) -> asyncio.Future[Any]:
        """As `write`, for one of many that `together` does faster at once than one by one."""
        return self._writer.submit_one(together, argument)

    async def published(self) -> None:
        """Wait until every commit that a read may have seen by now has been published."""
        await self._writer.published()

    async def drain(self) -> None:
        """Wait until everything submitted has been answered."""
        await self._writer.drain()


def _prepare(path: Path) -> None:
    inspect(path)
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = connect_writer(path)
    try:
        migrate(connection, path)
    finally:
        connection.close()


def _count_boot(writer: Writer) -> str:
    """Count this start, and make the epoch with the first one."""

    def job(tx: Transaction) -> str:
        tx.execute(
            "insert into meta (key, value) values ('epoch', :epoch) on conflict (key) do nothing",
            {"epoch": secrets.token_hex(4)},
        )
        tx.execute(
            "insert into meta (key, value) values ('boots', '1') on conflict (key)"
            " do update set value = cast(meta.value as integer) + 1",
            {},
        )
        row = tx.fetch_one("select value from meta where key = 'epoch'", {})
        assert row is not None
        return str(row["value"])

    return writer.run_first(job)


async def _connect_reader(path: Path) -> aiosqlite.Connection:
    reader = await aiosqlite.connect(read_only_uri(path), uri=True, isolation_level=None, timeout=5)
    reader.row_factory = sqlite3.Row
    return reader
