"""Rules for messages: posting, reading, and what is pushed after a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .clock import SECOND, Clock
from .config import LimitsConfig
from .errors import (
    Banned,
    InvalidFilter,
    InvalidPage,
    MessageDeleted,
    MessageIdConflict,
    RateLimited,
    Refused,
    RoomClosed,
    Unavailable,
)
from .hub import Hub
from .limits import Buckets, Limits
from .models import Caller, LogKind, MessageDraft, Outcome, PostResult, RoomKey
from .people import People
from .protocol import message_bytes, message_frame, parse_number
from .records import Line, Records
from .store import messages as store
from .store.database import Database

MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Posted:
    """The answer to a post: the message's JSON, and whether it had been stored before."""

    message: bytes
    repeated: bool


@dataclass(frozen=True, slots=True)
class Query:
    """Which messages of a room somebody asks for; neither bound: the latest."""

    before: int | None
    after: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Messages of a room as a JSON array, and where the room stood before they were read."""

    epoch: str
    seq: int
    messages: bytes
    has_more: bool
    deleted: Sequence[str] | None


def parse_query(given: dict[str, str]) -> Query:
    """The `filter`, `before`, `after` and `limit` of an address.

    Raises InvalidFilter or InvalidPage, naming the field.
    """
    if given.get("filter", "latest") != "latest":
        raise InvalidFilter(field="filter")
    before = _bound(given, "before")
    after = _bound(given, "after")
    if before is not None and after is not None:
        raise InvalidPage(field="after")
    limit = MOST_LISTED
    if "limit" in given:
        number = parse_number(given["limit"])
        if number is None or number > MOST_LISTED:
            raise InvalidPage(field="limit")
        limit = number
    return Query(before, after, limit)


def _bound(given: dict[str, str], field: str) -> int | None:
    if field not in given:
        return None
    number = parse_number(given[field], zero=field == "after")
    if number is None:
        raise InvalidPage(field=field)
    return number


class Chat:
    """Everything that may be done with messages."""

    def __init__(
        self,
        db: Database,
        hub: Hub,
        records: Records,
        people: People,
        limits: LimitsConfig,
        clock: Clock,
    ) -> None:
        self._db = db
        self._hub = hub
        self._records = records
        self._people = people
        self._clock = clock
        self._pace = Limits(
            (
                Buckets(limits.messages_per_second, limits.messages_burst),
                Buckets(limits.address_messages_per_second, limits.address_messages_burst),
            )
        )

    async def post(
        self, caller: Caller, room: RoomKey, draft: MessageDraft, address: str
    ) -> Posted:
        """Store a message and push it; answered once it is durable.

        Sending is idempotent: the same id with the same text by the same person answers with the
        first message and costs nothing. Raises MessageIdConflict, MessageDeleted, Banned,
        RoomClosed, RateLimited or Unavailable; nothing is stored then.
        """
        user, now = caller.user, self._clock()
        keys = (user.id, address)
        if user.banned_until > now:
            await self._refuse(room, draft, caller, Banned())
        wait = self._pace.take(keys, now / SECOND)
        if wait:
            refusal: Refused = RateLimited(retry_after=wait)
            if await store.is_closed(self._db, room):
                refusal = RoomClosed()
            return await self._refuse(room, draft, caller, refusal)
        try:
            result = await self._db.write(
                lambda tx: store.post_message(tx, room, draft, user.id, now)
            )
        except Unavailable as refusal:
            self._pace.give_back(keys, now / SECOND)
            return await self._refuse(room, draft, caller, refusal)
        if result.outcome is not Outcome.POSTED:
            self._pace.give_back(keys, now / SECOND)
        return self._answer(result)

    async def _refuse(
        self, room: RoomKey, draft: MessageDraft, caller: Caller, refusal: Refused
    ) -> Posted:
        """Answer with what an earlier post with this id would get; without one, refuse."""
        earlier = await store.find_earlier(self._db, room, draft, caller.user.id)
        if earlier is None:
            raise refusal
        return self._answer(earlier)

    def _answer(self, result: PostResult) -> Posted:
        if result.entry is None:
            raise {
                Outcome.CONFLICT: MessageIdConflict,
                Outcome.GONE: MessageDeleted,
                Outcome.CLOSED: RoomClosed,
            }[result.outcome]
        line = Line(result.entry)
        message = message_bytes(line.head, self._people.profile(result.room.site_id, line.user_id))
        return Posted(message, result.outcome is Outcome.REPEATED)

    def publish(self, results: Sequence[Any], answer: Callable[[], None]) -> None:
        """Push what a committed batch added to rooms' records, then let it be answered.

        One joined run of frames for each room, so that each socket gets one write for a batch.
        """
        frames: dict[RoomKey, list[bytes]] = {}
        for result in results:
            if isinstance(result, PostResult) and result.outcome is Outcome.POSTED:
                assert result.entry is not None
                line = Line(result.entry)
                self._records.append(result.room, line)
                if self._hub.is_used(result.room):
                    profile = self._people.profile(result.room.site_id, line.user_id)
                    frames.setdefault(result.room, []).append(message_frame(line.head, profile))
        waiting = len(frames)
        if not waiting:
            answer()
            return

        def served() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                answer()

        for room, run in frames.items():
            self._hub.publish(room, b"".join(run), served)

    async def list(self, room: RoomKey, query: Query) -> Listing:
        """Messages of a room, oldest first; deleted ones are left out."""
        if query.after is not None:
            page = await store.list_after(self._db, room, query.after, query.limit)
        elif query.before is not None:
            page = await store.list_before(self._db, room, query.before, query.limit)
        else:
            return await self._latest(room, query.limit)
        return await self._listing(room, page, query)

    async def _latest(self, room: RoomKey, limit: int) -> Listing:
        record = await self._records.load(room)
        found = record.messages(limit)
        if found is None:
            page = await store.list_before(self._db, room, None, limit)
            return await self._listing(room, page, Query(None, None, limit))
        seq, (lines, has_more) = record.seq, found
        await self._people.load(line.user_id for line in lines)
        kept = record.latest
        if kept is not None and kept[:2] == (self._people.generation, limit):
            messages = kept[2]
        else:
            messages = self._array(room, lines)
            if record.seq == seq:
                record.latest = (self._people.generation, limit, messages)
        return Listing(self._db.epoch, seq, messages, has_more, None)

    async def _listing(self, room: RoomKey, page: store.Page, query: Query) -> Listing:
        await self._people.load(entry.user_id for entry in page.entries)
        messages = self._array(room, map(Line, page.entries))
        deleted = page.deleted if query.after is not None else None
        return Listing(self._db.epoch, page.seq, messages, page.has_more, deleted)

    def _array(self, room: RoomKey, lines: Iterable[Line]) -> bytes:
        profile = self._people.profile
        return b"[%b]" % b",".join(
            message_bytes(line.head, profile(room.site_id, line.user_id))
            for line in lines
            if line.kind is LogKind.POSTED
        )
