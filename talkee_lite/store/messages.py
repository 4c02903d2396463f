"""Messages, and the record (log) of each room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models import Entry, LogKind, MessageDraft, Outcome, PostResult, RoomKey, Status
from .database import Database, Row, Snapshot
from .writer import Transaction

_ENTRY = (
    "log.seq, log.kind, coalesce(m.message_id, '') as message_id,"
    " coalesce(m.category, '') as category, coalesce(m.data, '') as data,"
    " coalesce(m.created_at, log.created_at) as created_at,"
    " coalesce(m.user_id, log.user_id, 0) as user_id"
)
_PAGE = "(select id from pages where site_id = :site_id and slug = :slug)"


def _entry(row: Row) -> Entry:
    return Entry(
        seq=row["seq"],
        kind=LogKind(row["kind"]),
        message_id=row["message_id"],
        category=row["category"],
        data=row["data"],
        created_at=row["created_at"],
        user_id=row["user_id"],
    )


def post_message(
    tx: Transaction, room: RoomKey, draft: MessageDraft, user_id: int, now: int
) -> PostResult:
    """Store a message and its line in the record, unless its id was used before.

    The next `seq` comes from the room's row, inside the transaction: it has no holes and is
    never given out twice.
    """
    page = tx.fetch_one(
        "select id, last_seq, closed from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    if page is None:
        page = tx.fetch_one(
            "insert into pages (site_id, slug, created_at) values (:site_id, :slug, :now)"
            " returning id, last_seq, closed",
            {"site_id": room.site_id, "slug": room.slug, "now": now},
        )
        assert page is not None
    elif page["closed"]:
        return _earlier(tx, room, page["id"], draft, user_id) or PostResult(
            Outcome.CLOSED, room, None
        )
    seq = page["last_seq"] + 1
    stored = tx.fetch_one(
        "insert into messages (page_id, message_id, user_id, category, data, status, seq,"
        " created_at) values (:page_id, :message_id, :user_id, :category, :data, 'published',"
        " :seq, :now) on conflict (page_id, message_id) do nothing returning id",
        {
            "page_id": page["id"],
            "message_id": draft.message_id,
            "user_id": user_id,
            "category": draft.category,
            "data": draft.data,
            "seq": seq,
            "now": now,
        },
    )
    if stored is None:
        earlier = _earlier(tx, room, page["id"], draft, user_id)
        assert earlier is not None
        return earlier
    tx.execute(
        "update pages set last_seq = :seq where id = :page_id", {"seq": seq, "page_id": page["id"]}
    )
    tx.execute(
        "insert into room_log (page_id, seq, kind, message_row, created_at)"
        " values (:page_id, :seq, 'posted', :message_row, :now)",
        {"page_id": page["id"], "seq": seq, "message_row": stored["id"], "now": now},
    )
    entry = Entry(
        seq=seq,
        kind=LogKind.POSTED,
        message_id=draft.message_id,
        category=draft.category,
        data=draft.data,
        created_at=now,
        user_id=user_id,
    )
    return PostResult(Outcome.POSTED, room, entry)


_EARLIER = (
    "select user_id, category, data, status, seq, created_at from messages"
    " where page_id = :page_id and message_id = :message_id"
)


def _earlier(
    tx: Transaction, room: RoomKey, page_id: int, draft: MessageDraft, user_id: int
) -> PostResult | None:
    row = tx.fetch_one(_EARLIER, {"page_id": page_id, "message_id": draft.message_id})
    return _judge_earlier(row, room, draft, user_id) if row else None


async def find_earlier(
    db: Database, room: RoomKey, draft: MessageDraft, user_id: int
) -> PostResult | None:
    """What a post with this id would meet in the room; None if the id is new."""
    row = await db.fetch_one(
        _EARLIER.replace(":page_id", _PAGE),
        {"site_id": room.site_id, "slug": room.slug, "message_id": draft.message_id},
    )
    return _judge_earlier(row, room, draft, user_id) if row else None


def _judge_earlier(row: Row, room: RoomKey, draft: MessageDraft, user_id: int) -> PostResult:
    if row["user_id"] != user_id:
        return PostResult(Outcome.CONFLICT, room, None)
    if row["status"] == Status.DELETED:
        return PostResult(Outcome.GONE, room, None)
    if row["data"] != draft.data or row["category"] != draft.category:
        return PostResult(Outcome.CONFLICT, room, None)
    entry = Entry(
        seq=row["seq"],
        kind=LogKind.POSTED,
        message_id=draft.message_id,
        category=row["category"],
        data=row["data"],
        created_at=row["created_at"],
        user_id=user_id,
    )
    return PostResult(Outcome.REPEATED, room, entry)


async def is_closed(db: Database, room: RoomKey) -> bool:
    """Whether the room takes no more messages."""
    row = await db.fetch_one(
        "select closed from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    return row is not None and bool(row["closed"])


async def find_position(snapshot: Snapshot, room: RoomKey) -> int:
    """The last `seq` of a room's record; 0 for a room in which nothing was said."""
    row = await snapshot.fetch_one(
        "select last_seq from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    return row["last_seq"] if row else 0


async def list_record(snapshot: Snapshot, room: RoomKey, most: int) -> list[Entry]:
    """The latest `most` lines of a room's record, oldest first."""
    rows = await snapshot.fetch(
        f"select {_ENTRY} from room_log as log left join messages as m on m.id = log.message_row"
        f" where log.page_id = {_PAGE} order by log.seq desc limit :most",
        {"site_id": room.site_id, "slug": room.slug, "most": most},
    )
    return [_entry(row) for row in reversed(rows)]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a room's messages, oldest first, and where the room stood before the read."""

    seq: int
    entries: Sequence[Entry]
    has_more: bool
    deleted: Sequence[str]


_PUBLISHED = (
    f"select {_ENTRY} from room_log as log join messages as m on m.id = log.message_row"
    f" where log.page_id = {_PAGE} and m.seq = log.seq and m.status = 'published'"
)


async def list_before(db: Database, room: RoomKey, before: int | None, limit: int) -> Page:
    """The latest `limit` messages with a `seq` below `before` (None: the latest of all)."""
    where = " and log.seq < :before" if before is not None else ""
    parameters = {"site_id": room.site_id, "slug": room.slug, "limit": limit + 1}
    if before is not None:
        parameters["before"] = before
    async with db.snapshot() as snapshot:
        seq = await find_position(snapshot, room)
        rows = await snapshot.fetch(
            f"{_PUBLISHED}{where} order by log.seq desc limit :limit", parameters
        )
    entries = [_entry(row) for row in reversed(rows[:limit])]
    return Page(seq, entries, len(rows) > limit, ())


async def list_after(db: Database, room: RoomKey, after: int, limit: int) -> Page:
    """The first `limit` messages with a `seq` above `after`, and what was deleted since then."""
    parameters = {
        "site_id": room.site_id,
        "slug": room.slug,
        "after": after,
        "limit": limit + 1,
    }
    async with db.snapshot() as snapshot:
        seq = await find_position(snapshot, room)
        rows = await snapshot.fetch(
            f"{_PUBLISHED} and log.seq > :after order by log.seq limit :limit", parameters
        )
        deleted = await snapshot.fetch(
            "select m.message_id from room_log as log"
            " join messages as m on m.id = log.message_row"
            f" where log.page_id = {_PAGE} and log.kind = 'deleted' and log.seq > :after"
            " order by log.seq",
            {key: parameters[key] for key in ("site_id", "slug", "after")},
        )
    entries = [_entry(row) for row in rows[:limit]]
    return Page(seq, entries, len(rows) > limit, [row["message_id"] for row in deleted])


async def count_all(db: Database) -> dict[str, int]:
    """How many users, sites and published messages there are."""
    row = await db.fetch_one(
        "select (select count(*) from users where deleted_at is null) as users,"
        " (select count(*) from sites) as sites,"
        " (select count(*) from messages where status = 'published') as messages",
        {},
    )
    assert row is not None
    counts = {name: row[name] for name in ("users", "sites", "messages")}
    return counts | {"comments": 0, "replies": 0}
