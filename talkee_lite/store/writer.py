"""The one writer: a thread, one connection, and group commit.

Everything that changes the database is a job: a function that gets a `Transaction` and returns a
result. The thread takes all jobs that wait when the last commit has returned, runs them as one
transaction with `synchronous=FULL`, and hands all results back to the event loop in one hop.

A job that fails must not fail its neighbours, and a batch must not half-succeed: after any error
the whole transaction is rolled back and the jobs run again one by one, each in a transaction of
its own. While the disk or the file refuses writes, jobs fail at once with `Unavailable` and the
thread tries a small write once a second until one succeeds.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..errors import Refused, Unavailable
from ..logs import log_event

T = TypeVar("T")

_log = logging.getLogger(__name__)

MAX_WAITING = 4096
"""Jobs that may wait; one more is refused with Unavailable."""
_MAX_BATCH = 512
_BUSY_SECONDS = 1.0
_PROBE_SECONDS = 1.0

# Result codes that speak of the machine, not of the job (sqlite.org/rescode.html).
_ENVIRONMENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    }
)


class Transaction:
    """What a job may do: SQL with `:name` parameters, inside one transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def fetch(self, sql: str, parameters: Mapping[str, Any]) -> Sequence[sqlite3.Row]:
        """All rows of a query."""
        return self._connection.execute(sql, parameters).fetchall()

    def fetch_one(self, sql: str, parameters: Mapping[str, Any]) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def insert(self, sql: str, parameters: Mapping[str, Any]) -> int | None:
        """Insert one row; its id, or None where the statement says to do nothing on a conflict."""
        cursor = self._connection.execute(sql, parameters)
        return cursor.lastrowid if cursor.rowcount else None

    def insert_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> range | None:
        """Insert rows in one go; their ids in order, or None if a conflict left any out.

        Then some are there and some are not: undo it with `undone`.
        """
        cursor = self._connection.executemany(sql, rows)
        if cursor.rowcount != len(rows):
            return None
        # One connection writes, and ids ascend by one (sqlite.org/autoinc.html).
        (last,) = self._connection.execute("select last_insert_rowid()").fetchone()
        return range(last + 1 - len(rows), last + 1)

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once for each row of parameters."""
        self._connection.executemany(sql, rows)

    @contextmanager
    def undone(self) -> Iterator[Callable[[], None]]:
        """Gives a function that undoes what was done since (sqlite.org/lang_savepoint.html)."""
        self._connection.execute("savepoint part")

        def undo() -> None:
            self._connection.execute("rollback to part")

        yield undo
        self._connection.execute("release part")

    def execute(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """Run a statement; the number of rows that it changed."""
        return self._connection.execute(sql, parameters).rowcount


class _Batch:
    """Jobs that were committed together, and whether their answers may go out."""

    __slots__ = ("jobs", "ready")

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs
        self.ready = False


Together = Callable[[Transaction, Sequence[Any]], Sequence[Any]]
"""Does for many arguments, in their order, what a job does for one; a result for each."""


class Job:
    """One piece of writing, its result, and who waits for it. Made by `Writer.submit`.

    Jobs of the same `together` that stand next to each other are one call of it, with the
    `argument` of each; other jobs are calls of `function`.
    """

    __slots__ = ("argument", "error", "function", "future", "result", "together")

    def __init__(
        self,
        future: asyncio.Future[Any],
        function: Callable[[Transaction], Any] | None,
        together: Together | None = None,
        argument: Any = None,
    ) -> None:
        self.function = function
        self.together = together
        self.argument = argument
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Answer whoever waits, if they still do."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


AfterCommit = Callable[[Sequence[Any], Callable[[], None]], None]
"""Called on the loop with the results of one or more batches, before anybody is answered; it must
call its second argument once when the answers may go out."""


def answer_at_once(results: Sequence[Any], answer: Callable[[], None]) -> None:
    """The `AfterCommit` of a program that publishes nothing."""
    answer()


class Writer:
    """Owns the writing connection and its thread, from `start` to `stop`."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.after_commit: AfterCommit = answer_at_once
        self._path = path
        self._loop = loop
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        """What waits; None is put when the thread shall look whether to stop."""
        self._stopping = False
        self._failing = False
        self._waiting = 0
        self._submitted = 0
        self._delivered = 0
        self._committed: deque[list[Job]] = deque()
        self._unanswered: deque[_Batch] = deque()
        self._barriers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._connection = connect_writer(path)
        self._thread = threading.Thread(target=self._run, name="talkee-writer", daemon=True)

    @property
    def failing(self) -> bool:
        """True while the database cannot be written."""
        return self._failing

    @property
    def waiting(self) -> int:
        """Jobs that are not answered yet."""
        return self._waiting

    def run_first(self, function: Callable[[Transaction], T]) -> T:
        """Run one job here and now, before `start`."""
        self._connection.execute("begin immediate")
        try:
            result = function(Transaction(self._connection))
        except BaseException:
            _roll_back(self._connection)
            raise
        self._connection.execute("commit")
        return result

    def close(self) -> None:
        """Close the connection of a writer that was never started."""
        self._connection.close()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, function: Callable[[Transaction], Any]) -> asyncio.Future[Any]:
        """Queue a job; the future holds its result once that is durable.

        Raises Unavailable, now or through the future, when nothing can be stored. The job runs
        even if the future is cancelled: who asked may be gone, what they asked for is not.
        """
        return self._queue(Job(self._loop.create_future(), function))

    def submit_one(self, together: Together, argument: Any) -> asyncio.Future[Any]:
        """Queue one of many that are done together. As `submit` otherwise."""
        return self._queue(Job(self._loop.create_future(), None, together, argument))

    def _queue(self, job: Job) -> asyncio.Future[Any]:
        if self._failing or self._stopping or self._waiting >= MAX_WAITING:
            raise Unavailable(retry_after=1)
        self._waiting += 1
        self._submitted += 1
        self._idle.clear()
        self._jobs.put(job)
        return job.future

    async def published(self) -> None:
        """Wait until whatever may be committed by now has been given to `after_commit`."""
        if self._delivered < self._submitted:
            barrier = self._loop.create_future()
            self._barriers.append((self._submitted, barrier))
            await barrier

    async def drain(self) -> None:
        """Wait until every job that was submitted has been answered."""
        await self._idle.wait()

    async def stop(self) -> None:
        """Finish what waits, then close the connection. Nothing is accepted any more."""
        self._stopping = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        await self.drain()

    # Below: the thread.

    def _run(self) -> None:
        try:
            while True:
                batch = self._take()
                if not batch:
                    return
                if not self._run_together(batch):
                    self._run_apart(batch)
                self._hand_back(batch)
                if self._failing:
                    self._probe_until_well()
        finally:
            self._connection.close()

    def _take(self, seconds: float | None = None) -> list[Job]:
        """All that waits, up to a full batch; wait for the first.

        Empty after `seconds`, or when the writer stops and nothing is left.
        """
        batch: list[Job] = []
        with suppress(Empty):
            while len(batch) < _MAX_BATCH:
                wait = not batch and not self._stopping
                job = self._jobs.get(wait, seconds) if wait else self._jobs.get_nowait()
                if job is not None:
                    batch.append(job)
        return batch

    def _hand_back(self, batch: list[Job]) -> None:
        self._committed.append(batch)
        self._loop.call_soon_threadsafe(self._deliver)

    def _run_together(self, batch: list[Job]) -> bool:
        """Run `batch` as one transaction; False, and nothing stored, if any of it failed."""
        connection = self._connection
        transaction = Transaction(connection)
        try:
            connection.execute("begin immediate")
            for together, some in groupby(batch, key=attrgetter("together")):
                if together is None:
                    for job in some:
                        self._run_one(job, transaction, alone=len(batch) == 1)
                else:
                    jobs = list(some)
                    results = together(transaction, [job.argument for job in jobs])
                    for job, result in zip(jobs, results, strict=True):
                        job.result = result
            connection.execute("commit")
        except Exception as error:
            _roll_back(connection)
            if len(batch) == 1:
                self._note_failure(batch[0], error)
                return True
            return False
        return True

    def _run_one(self, job: Job, transaction: Transaction, *, alone: bool) -> None:
        assert job.function is not None
        changes = self._connection.total_changes
        try:
            job.result = job.function(transaction)
        except Refused as refusal:
            # Refused before it wrote anything: its neighbours need not run again.
            if alone or self._connection.total_changes != changes:
                raise
            job.error = refusal

    def _run_apart(self, batch: list[Job]) -> None:
        for job in batch:
            job.result = job.error = None
            if self._failing:
                job.error = Unavailable(retry_after=1)
            else:
                self._run_together([job])

    def _note_failure(self, job: Job, error: Exception) -> None:
        if isinstance(error, Refused):
            job.error = error
        elif _is_environment(error):
            self._failing = True
            log_event(_log, logging.ERROR, "database cannot be written", reason=error)
            job.error = Unavailable(retry_after=1)
        else:
            job.error = error

    def _probe_until_well(self) -> None:
        """Fail what comes, and try a real write once a second until it is durable."""
        while True:
            refused = self._take(_PROBE_SECONDS)
            for job in refused:
                job.error = Unavailable(retry_after=1)
            if refused:
                self._hand_back(refused)
            if self._stopping:
                return
            try:
                self._connection.execute("begin immediate")
                self._connection.execute(
                    "insert into meta (key, value) values ('probe', '0') on conflict (key)"
                    " do update set value = cast(meta.value as integer) + 1"
                )
                self._connection.execute("commit")
            except sqlite3.Error:
                _roll_back(self._connection)
                continue
            self._failing = False
            log_event(_log, logging.WARNING, "database can be written again")
            return

    # Back on the loop.

    def _deliver(self) -> None:
        # While the loop was busy more than one batch may have been committed: they are one now.
        batch: list[Job] = []
        while self._committed:
            batch += self._committed.popleft()
        if not batch:
            return
        results = [job.result for job in batch if job.error is None]

        # Answers go out in the order of commits, though publishing one batch may take longer than
        # the next: whoever is answered changes what is kept in memory, and the last must win.
        delivered = _Batch(batch)
        self._unanswered.append(delivered)

        def answer() -> None:
            delivered.ready = True
            while self._unanswered and self._unanswered[0].ready:
                jobs = self._unanswered.popleft().jobs
                for job in jobs:
                    job.settle()
                self._waiting -= len(jobs)
            if not self._waiting:
                self._idle.set()

        try:
            self.after_commit(results, answer)
        except Exception:
            _log.exception("publishing failed")
            answer()
        self._delivered += len(batch)
        while self._barriers and self._barriers[0][0] <= self._delivered:
            _, barrier = self._barriers.popleft()
            if not barrier.done():
                barrier.set_result(None)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes: WAL, and an fsync before a commit returns."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
    )
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        connection.execute("pragma journal_size_limit = 16777216")
        connection.execute("pragma wal_autocheckpoint = 4000")
        connection.execute("pragma cache_size = -16000")
        # What a savepoint keeps would become a file at each commit.
        connection.execute("pragma temp_store = memory")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_environment(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(code, int) and (code & 0xFF) in _ENVIRONMENT


def _roll_back(connection: sqlite3.Connection) -> None:
    """End the transaction if the error has not done so already (SQLITE_FULL does)."""
    try:
        if connection.in_transaction:
            connection.execute("rollback")
    except sqlite3.Error:
        _log.exception("rolling back failed")
