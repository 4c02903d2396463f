"""Rules for messages: posting, reading, and what is pushed after a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .clock import SECOND, Clock, steady_clock
from .errors import (
    Banned,
    Forbidden,
    InvalidFilter,
    InvalidPage,
    MessageDeleted,
    MessageIdConflict,
    MessageNotFound,
    RateLimited,
    Refused,
    RoomClosed,
    Unavailable,
)
from .hub import Audience, Hub, Listener
from .limits import Limits
from .models import (
    Caller,
    Changed,
    Comment,
    Entry,
    LogKind,
    MessageDraft,
    Outcome,
    PostResult,
    Reassigned,
    Recorded,
    Reply,
    RoomChanged,
    RoomKey,
    Status,
    User,
    UserKind,
)
from .people import People
from .protocol import (
    event_frame,
    held_message,
    is_uuid,
    message_bytes,
    message_frame,
    page_frame,
    parse_number,
    room_fields,
)
from .records import LINES, Latest, Line, Record, Records
from .store import messages as store
from .store.database import Database
from .store.posting import Post, post_messages
from .store.writer import Transaction

MOST_LISTED = 100
DELETE_WITHIN = 15 * 60 * SECOND
"""How long people may delete their own messages; moderators always may."""
_REPLAY_LINES = 100


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


@dataclass(frozen=True, slots=True)
class Deleted:
    """A deletion: the message's id, and the deletion's place in the record (0: it had none)."""

    message_id: str
    seq: int


class _Run:
    """What one batch pushes in one room."""

    __slots__ = ("events", "messages", "page", "seq")

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        """Author and frame, for those who get messages alone."""
        self.events: list[bytes] = []
        self.page: list[bytes] = []
        """What happened to the page's comments: among the events too, and for visitors."""
        self.seq = 0


def _change_state(changed: RoomChanged, record: Record) -> int:
    record.state = changed.state
    return 0


def _change_revision(revision: int, record: Record) -> int:
    record.state = replace(record.state, revision=revision)
    return 0


def _reassign(reassigned: Reassigned, record: Record) -> int:
    return record.reassign(reassigned.author, reassigned.new_author)


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
        pace: Limits,
        change_pace: Limits,
        clock: Clock,
        *,
        earlier: Callable[[RoomKey], Sequence[RoomKey]],
        legacy: bool = False,
    ) -> None:
        """`earlier`: the pages whose comments a page has taken over, by `Pages.earlier`."""
        self._legacy = legacy
        self._earlier = earlier
        self._db = db
        self._hub = hub
        self._records = records
        self._people = people
        self._clock = clock
        self._pace_clock = steady_clock
        self._pace = pace
        self._change_pace = change_pace

    async def post(
        self, caller: Caller, room: RoomKey, draft: MessageDraft, address: str
    ) -> Posted:
        """Store a message and push it; answered once it is durable.

        Sending is idempotent: the same id with the same text by the same person answers with the
        first message and costs nothing. Raises MessageIdConflict, MessageDeleted, Banned,
        RoomClosed, RateLimited or Unavailable; nothing is stored then.
        """
        user, now, pace_now = caller.user, self._clock(), self._pace_clock()
        self._people.check_present(user.id)
        keys = (user.id, address)
        if user.banned_until > now:
            return await self._refuse(room, draft, caller, Banned())
        wait = self._pace.take(keys, pace_now)
        if wait:
            refusal: Refused = RateLimited(retry_after=wait)
            if await store.is_closed(self._db, room):
                refusal = RoomClosed()
            return await self._refuse(room, draft, caller, refusal)
        try:
            result: PostResult = await self._db.write_one(
                post_messages, Post(room, draft, user.id, now)
            )
        except Unavailable as refusal:
            self._pace.give_back(keys, pace_now)
            return await self._refuse(room, draft, caller, refusal)
        if result.outcome is not Outcome.POSTED:
            self._pace.give_back(keys, pace_now)
        return self._answer(result)

    async def _refuse(
        self, room: RoomKey, draft: MessageDraft, caller: Caller, refusal: Refused
    ) -> Posted:
        """Answer with what an earlier post with this id would get; without one, refuse."""
        # The first of two at once may be on its way to the disk.
        await self._db.published()
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
        entry = result.entry
        profile = self._people.profile(result.room.site_id, entry.user_id)
        if not entry.seq:
            return Posted(held_message(entry, profile), result.outcome is Outcome.REPEATED)
        message = message_bytes(Line(entry).head, profile)
        return Posted(message, result.outcome is Outcome.REPEATED)

    async def delete(self, caller: Caller, room: RoomKey, message_id: str, address: str) -> Deleted:
        """Erase a message: one's own within 15 minutes, any as a moderator.

        Again answers the same. Raises MessageNotFound, Forbidden or RateLimited.
        """
        wait = self._change_pace.take((caller.user.id, address), self._pace_clock())
        if wait:
            raise RateLimited(retry_after=wait)
        if not is_uuid(message_id):
            raise MessageNotFound
        return await self._delete(room, message_id.lower(), caller.user)

    async def delete_as_owner(self, room: RoomKey, message_id: str) -> Deleted:
        """As `delete`, for whoever owns the server."""
        return await self._delete(room, message_id.lower(), None)

    async def _delete(self, room: RoomKey, message_id: str, user: User | None) -> Deleted:
        now = self._clock()

        def job(tx: Transaction) -> Recorded:
            message = store.find_message(tx, room, message_id)
            if message is None:
                raise MessageNotFound
            if user is not None:
                self._check_may_delete(user, room, message, now)
            recorded = store.delete_message(tx, room, message_id, user.id if user else 0, now)
            assert recorded is not None
            return recorded

        recorded = await self._db.write(job)
        return Deleted(message_id, recorded.entry.seq)

    def _check_may_delete(self, user: User, room: RoomKey, message: Entry, now: int) -> None:
        if self._people.kind(user, room.site_id) in (UserKind.MODERATOR, UserKind.ADMIN):
            return
        if message.user_id != user.id:
            # Whoever may not see a held message does not learn that it is there.
            raise Forbidden if message.seq else MessageNotFound
        deleted = message.status is Status.DELETED
        if not deleted and now - message.created_at > DELETE_WITHIN:
            raise Forbidden("Messages can be deleted for 15 minutes.")

    async def approve(self, room: RoomKey, message_id: str) -> Entry:
        """Give a held message its place and push it. Raises MessageNotFound."""
        now = self._clock()
        held = await self._db.write(lambda tx: store.find_message(tx, room, message_id.lower()))
        if held is not None:
            # Whoever wrote it may have been away for long: their profile is pushed with it.
            await self._people.load([held.user_id])
        recorded = await self._db.write(
            lambda tx: store.approve_message(tx, room, message_id.lower(), now)
        )
        if recorded is None:
            raise MessageNotFound
        return recorded.entry

    async def set_closed(self, room: RoomKey, closed: bool) -> None:
        """Close a room to new messages, or open it again; its listeners are told."""
        now = self._clock()
        await self._db.write(lambda tx: store.set_room_closed(tx, room, closed, now))

    def publish(self, results: Sequence[Any], answer: Callable[[], None]) -> None:
        """Push what a committed batch added to rooms' records, then let it be answered.

        One joined run of frames for each room and audience, so that each socket gets one write
        for a batch.
        """
        runs: dict[RoomKey, _Run] = {}
        for result in results:
            if isinstance(result, RoomChanged):
                self._records.apply(result.room, partial(_change_state, result))
                event = {"type": "room", **room_fields(result.state)}
                runs.setdefault(result.room, _Run()).events.append(event_frame(event))
                continue
            if isinstance(result, Changed):
                self._publish_page(result, runs)
                continue
            if isinstance(result, Reassigned):
                self._records.apply(result.room, partial(_reassign, result))
                continue
            if isinstance(result, PostResult):
                is_new = result.outcome is Outcome.POSTED
            elif isinstance(result, Recorded):
                is_new = result.is_new
            else:
                continue
            if is_new and result.entry is not None:
                self._publish_line(result.room, result.entry, runs)
        waiting = len(runs)
        if not waiting:
            answer()
            return

        def served() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                answer()

        for room, run in runs.items():
            frames = {
                Audience.PLAIN: b"".join(frame for _, frame in run.messages),
                Audience.EVENTS: b"".join(run.events),
                Audience.VISITORS: b"".join(run.page),
            }
            instead = self._without_own(room, run) if self._legacy else None
            self._hub.publish(room, frames, served, seq=run.seq, instead=instead)

    def _publish_page(self, changed: Changed[Any], runs: dict[RoomKey, _Run]) -> None:
        page = changed.room
        for event in changed.events:
            for room in (page, *self._earlier(page)):
                self._records.apply(room, partial(_change_revision, event.revision))
                if not self._hub.is_used(room):
                    continue
                self._hub.revise(room, event.revision)
                for user in filter(None, (event.author, event.keeper)):
                    self._people.meet(user)
                keeper = self._people.brief(event.keeper.id if event.keeper else None)
                frame = page_frame(event, page, self._creator(page, event.about), keeper)
                if event.only:
                    self._tell_some(room, event.only, frame)
                    continue
                run = runs.setdefault(room, _Run())
                run.events.append(frame)
                run.page.append(frame)

    def _tell_some(self, room: RoomKey, author_id: int, frame: bytes) -> None:
        """Send what is held to its author and to moderators alone."""
        for listener in self._hub.listeners(room, Audience.EVENTS):
            if listener.user_id == author_id or self._people.is_moderator(
                listener.user_id, room.site_id
            ):
                listener.deliver(frame)

    def _creator(self, room: RoomKey, about: object) -> bytes | dict[str, Any]:
        if not isinstance(about, Comment | Reply):
            return b""
        if about.status is Status.DELETED:
            return self._people.nobody()
        return self._people.profile(room.site_id, about.user_id)

    def _publish_line(self, room: RoomKey, entry: Entry, runs: dict[RoomKey, _Run]) -> None:
        line = Line(entry)
        if entry.kind is LogKind.DELETED:
            self._records.apply(room, lambda record: record.erase(seq=entry.about_seq))
        elif entry.kind is LogKind.REMOVED:
            self._records.apply(room, lambda record: record.erase(user_id=entry.user_id))
        self._records.apply(room, lambda record: record.append(line))
        if not self._hub.is_used(room):
            return
        run = runs.setdefault(room, _Run())
        run.seq = entry.seq
        if line.head:
            frame = message_frame(line.head, self._people.profile(room.site_id, line.user_id))
            run.messages.append((line.user_id, frame))
            run.events.append(frame)
        else:
            run.events.append(line.frame)

    def _without_own(self, room: RoomKey, run: _Run) -> dict[Listener, bytes]:
        """What the authors' own plain sockets get of a batch in legacy mode: the others' part."""
        authors = {user_id for user_id, _ in run.messages}
        return {
            listener: b"".join(frame for author, frame in run.messages if author != user_id)
            for user_id in authors
            for listener in self._hub.listeners(room, Audience.PLAIN)
            if listener.user_id == user_id
        }

    @property
    def epoch(self) -> str:
        """The database's epoch: a `seq` means something only within it."""
        return self._db.epoch

    async def load_record(self, room: RoomKey) -> Record:
        """The record of a room that somebody is about to join."""
        return await self._records.load(room, keep=True)

    def missed_since(self, record: Record, since: tuple[str, int]) -> int | None:
        """How many lines somebody missed who holds this epoch and `seq`; None: not to be served."""
        epoch, seq = since
        missed = record.seq - seq
        return missed if epoch == self.epoch and 0 <= missed <= LINES else None

    def is_current(self, room: RoomKey, record: Record) -> bool:
        """Whether a record is still the one that follows each commit."""
        return self._records.find(room) is record

    async def replay(self, room: RoomKey, after: int, most_bytes: int) -> tuple[bytes, int]:
        """The frames of the lines after `after`, about `most_bytes` of them; and the last's seq.

        No frames: there are no more lines yet.
        """
        record = await self._records.load(room, keep=True)
        lines = record.after(after)
        if lines is None:
            entries = await store.list_record_after(self._db, room, after, _REPLAY_LINES)
            lines = [Line(entry) for entry in entries]
        await self._people.load(line.user_id for line in lines if line.head)
        frames, size = [], 0
        for line in lines:
            if size >= most_bytes:
                break
            # Read now and not before: what was deleted meanwhile is a gap.
            frame = line.frame or message_frame(
                line.head, self._people.profile(room.site_id, line.user_id)
            )
            frames.append(frame)
            size += len(frame)
            after = line.seq
        return b"".join(frames), after

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
        record = self._records.find(room) or await self._records.load(room)
        kept = record.latest
        if kept is not None and (kept.generation, kept.limit) == (self._people.generation, limit):
            return Listing(self._db.epoch, record.seq, kept.messages, kept.has_more, None)
        found = record.messages(limit)
        if found is None:
            page = await store.list_before(self._db, room, None, limit)
            return await self._listing(room, page, Query(None, None, limit))
        seq, (lines, has_more) = record.seq, found
        await self._people.load(line.user_id for line in lines)
        messages = self._array(room, lines)
        if record.seq == seq and self.is_current(room, record):
            latest = Latest(self._people.generation, limit, messages, has_more)
            self._records.keep_latest(room, latest)
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
            if line.head
        )
