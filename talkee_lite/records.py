"""The latest lines of the rooms in use, in memory, ready to send.

A record is complete from its first line to the room's newest; it follows each commit. All
records together have a budget of bytes: the one unused for longest is dropped first and is read
again from the database when it is needed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .models import Entry, LogKind, RoomKey, RoomState, Status
from .protocol import gap_frame, message_head, record_frame
from .store import messages as store
from .store.database import Database

LINES = 300
"""Lines that one record holds; also the widest gap that a client can resume over."""
_BUDGET = 64 * 1024 * 1024
_MOST_RECORDS = 4096
# What a line costs beside its text: objects, pointers, the deque's slot.
_LINE_OVERHEAD = 160


class Line:
    """One line of a record, ready to send.

    A message: `head` is what stands before its author, who is `user_id`. Anything else, and a
    message that is gone: `frame` is the whole.
    """

    __slots__ = ("frame", "head", "message_id", "seq", "user_id")

    def __init__(self, entry: Entry) -> None:
        self.seq = entry.seq
        self.user_id = entry.user_id
        self.message_id = entry.message_id
        self.head = self.frame = b""
        if entry.kind not in (LogKind.POSTED, LogKind.APPROVED):
            self.frame = record_frame(entry)
        elif entry.status is Status.PUBLISHED:
            self.head = message_head(entry)
        else:
            self.frame = gap_frame(entry.seq)

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        return len(self.head) + len(self.frame) + _LINE_OVERHEAD

    def erase(self) -> None:
        """The message is gone: keep its number."""
        self.head, self.frame = b"", gap_frame(self.seq)


class Latest(NamedTuple):
    """The latest messages as a JSON array, as long as nothing in it changes."""

    generation: int
    """Of the profiles in it."""
    limit: int
    messages: bytes
    has_more: bool


class Record:
    """One room's latest lines. `seq` is the last one's number, 0 in an empty room."""

    __slots__ = ("cost", "latest", "lines", "seq", "state")

    def __init__(self, state: RoomState, lines: Iterable[Line]) -> None:
        self.seq = state.seq
        self.state = state
        self.lines = deque(lines, maxlen=LINES)
        self.cost = sum(line.cost for line in self.lines)
        self.latest: Latest | None = None

    def append(self, line: Line) -> int:
        """Take the next line; a line that the record has already is ignored. Bytes gained."""
        if line.seq <= self.seq:
            return 0
        gone = self.lines[0].cost if len(self.lines) == LINES else 0
        self.lines.append(line)
        self.seq = line.seq
        self.cost += line.cost - gone
        return line.cost - gone + self.keep_latest(None)

    def erase(self, *, seq: int = 0, user_id: int = 0) -> int:
        """One message was deleted, or all of one person; bytes gained."""
        gained = 0
        for line in self.lines:
            if line.head and (line.seq == seq or line.user_id == user_id):
                gained -= line.cost
                line.erase()
                gained += line.cost
        self.cost += gained
        return gained + self.keep_latest(None)

    def reassign(self, author: int, new_author: int) -> int:
        """What one person said was said by another; bytes gained."""
        for line in self.lines:
            if line.user_id == author and line.head:
                line.user_id = new_author
        return self.keep_latest(None)

    def keep_latest(self, latest: Latest | None) -> int:
        """The list that is sent from now on, None: it is to be made anew; bytes gained."""
        gained = _size(latest) - _size(self.latest)
        self.latest = latest
        self.cost += gained
        return gained

    def after(self, seq: int) -> list[Line] | None:
        """The lines after `seq`; None: not all of them are here."""
        if seq > self.seq or (seq < self.seq and (not self.lines or self.lines[0].seq > seq + 1)):
            return None
        return [line for line in self.lines if line.seq > seq]

    def messages(self, limit: int) -> tuple[Sequence[Line], bool] | None:
        """The latest `limit` messages and whether there are older ones; None: not all are here."""
        posted = [line for line in self.lines if line.head]
        complete = not self.lines or self.lines[0].seq == 1
        if len(posted) <= limit and not complete:
            return None
        return posted[-limit:], len(posted) > limit


def _size(latest: Latest | None) -> int:
    return 0 if latest is None else len(latest.messages)


class _Loading:
    """A record that is being read, and what happens to it meanwhile."""

    __slots__ = ("keep", "missed", "task")

    def __init__(self) -> None:
        self.keep = False
        self.missed: list[Change] = []
        self.task: asyncio.Task[Record] | None = None


Change = Callable[[Record], int]
"""Something that was committed, applied to a record; gives the bytes that it grew by."""


class Records:
    """All records in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._records: OrderedDict[RoomKey, Record] = OrderedDict()
        self._loading: dict[RoomKey, _Loading] = {}
        self._cost = 0

    def __len__(self) -> int:
        return len(self._records)

    def find(self, room: RoomKey) -> Record | None:
        """The room's record, if it is in memory."""
        record = self._records.get(room)
        if record is not None:
            self._records.move_to_end(room)
        return record

    async def load(self, room: RoomKey, *, keep: bool = False) -> Record:
        """The room's record, read from the database if need be; readers at once share a read.

        The record of a room in which nothing was said is not remembered, unless `keep`: for a
        room that somebody is about to join.
        """
        record = self.find(room)
        if record is not None:
            return record
        loading = self._loading.get(room)
        if loading is None:
            loading = self._loading[room] = _Loading()
            loading.task = asyncio.create_task(self._read(room, loading))
        loading.keep = loading.keep or keep
        assert loading.task is not None
        return await asyncio.shield(loading.task)

    async def _read(self, room: RoomKey, loading: _Loading) -> Record:
        # Registered in `_loading` before the snapshot begins: whatever the snapshot misses is
        # published later than that, and lands in `missed`.
        try:
            async with self._db.snapshot() as snapshot:
                state = await store.find_state(snapshot, room)
                entries = await store.list_record(snapshot, room, LINES)
            # What the snapshot saw may be committed and not yet published; a record never runs
            # ahead of what listeners were given.
            await self._db.published()
            record = Record(state, map(Line, entries))
            for change in loading.missed:
                change(record)
        finally:
            del self._loading[room]
        if record.seq or loading.keep:
            self._records[room] = record
            self._spend(record.cost)
        return record

    def apply(self, room: RoomKey, change: Change) -> None:
        """Something was committed in a room: `change` its record, wherever that is."""
        loading = self._loading.get(room)
        if loading is not None:
            loading.missed.append(change)
        record = self._records.get(room)
        if record is not None:
            self._spend(change(record))

    def keep_latest(self, room: RoomKey, latest: Latest) -> None:
        """Keep a list of a room with its record."""
        self.apply(room, lambda record: record.keep_latest(latest))

    def _spend(self, cost: int) -> None:
        self._cost += cost
        while self._records and (self._cost > _BUDGET or len(self._records) > _MOST_RECORDS):
            _, dropped = self._records.popitem(last=False)
            self._cost -= dropped.cost
