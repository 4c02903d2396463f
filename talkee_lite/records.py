"""The latest lines of the rooms in use, in memory, ready to send.

A record is complete from its first line to the room's newest; it follows each commit. All
records together have a budget of bytes: the one unused for longest is dropped first and is read
again from the database when it is needed.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

from .models import Entry, LogKind, RoomKey
from .protocol import message_head
from .store import messages as store
from .store.database import Database

LINES = 300
"""Lines that one record holds; also the widest gap that a client can resume over."""
_BUDGET = 64 * 1024 * 1024
_MOST_RECORDS = 4096
# What a line costs beside its text: objects, pointers, the deque's slot.
_LINE_OVERHEAD = 160


class Line:
    """One line of a record: the message up to its author, and who that is."""

    __slots__ = ("head", "kind", "seq", "user_id")

    def __init__(self, entry: Entry) -> None:
        self.seq = entry.seq
        self.kind = entry.kind
        self.user_id = entry.user_id
        self.head = message_head(entry) if entry.kind is LogKind.POSTED else b""

    @property
    def cost(self) -> int:
        """Bytes of memory, about."""
        return len(self.head) + _LINE_OVERHEAD


class Record:
    """One room's latest lines. `seq` is the last one's number, 0 in an empty room."""

    __slots__ = ("cost", "latest", "lines", "seq")

    def __init__(self, seq: int, lines: Iterable[Line]) -> None:
        self.seq = seq
        self.lines = deque(lines, maxlen=LINES)
        self.cost = sum(line.cost for line in self.lines)
        self.latest: tuple[int, int, bytes] | None = None
        """The latest list as bytes: the profiles' generation, the limit, the list."""

    def append(self, line: Line) -> int:
        """Take the next line; a line that the record has already is ignored. Bytes gained."""
        if line.seq <= self.seq:
            return 0
        gone = self.lines[0].cost if len(self.lines) == LINES else 0
        self.lines.append(line)
        self.seq = line.seq
        self.cost += line.cost - gone
        self.latest = None
        return line.cost - gone

    def messages(self, limit: int) -> tuple[Sequence[Line], bool] | None:
        """The latest `limit` messages and whether there are older ones; None: not all are here."""
        posted = [line for line in self.lines if line.kind is LogKind.POSTED]
        complete = not self.lines or self.lines[0].seq == 1
        if len(posted) <= limit and not complete:
            return None
        return posted[-limit:], len(posted) > limit


class Records:
    """All records in memory."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._records: OrderedDict[RoomKey, Record] = OrderedDict()
        self._loading: dict[RoomKey, tuple[asyncio.Task[Record], list[Line]]] = {}
        self._cost = 0

    def __len__(self) -> int:
        return len(self._records)

    def find(self, room: RoomKey) -> Record | None:
        """The room's record, if it is in memory."""
        record = self._records.get(room)
        if record is not None:
            self._records.move_to_end(room)
        return record

    async def load(self, room: RoomKey) -> Record:
        """The room's record, read from the database if need be; readers at once share a read."""
        record = self.find(room)
        if record is not None:
            return record
        loading = self._loading.get(room)
        if loading is None:
            task = asyncio.create_task(self._read(room))
            self._loading[room] = (task, [])
        else:
            task = loading[0]
        return await asyncio.shield(task)

    async def _read(self, room: RoomKey) -> Record:
        # Registered in `_loading` before the snapshot begins: whatever the snapshot misses is
        # published later than that, and lands in `missed`.
        try:
            async with self._db.snapshot() as snapshot:
                seq = await store.find_position(snapshot, room)
                entries = await store.list_record(snapshot, room, LINES)
            record = Record(seq, map(Line, entries))
            for line in self._loading[room][1]:
                record.append(line)
        finally:
            del self._loading[room]
        if record.seq:
            self._records[room] = record
            self._spend(record.cost)
        return record

    def append(self, room: RoomKey, line: Line) -> None:
        """A line was committed."""
        loading = self._loading.get(room)
        if loading is not None:
            loading[1].append(line)
        record = self._records.get(room)
        if record is not None:
            self._spend(record.append(line))

    def _spend(self, cost: int) -> None:
        self._cost += cost
        while self._records and (self._cost > _BUDGET or len(self._records) > _MOST_RECORDS):
            _, dropped = self._records.popitem(last=False)
            self._cost -= dropped.cost
