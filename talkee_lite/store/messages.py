"""Messages, and the record (log) of each room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..models import (
    Entry,
    LogKind,
    MessageDraft,
    Outcome,
    PostResult,
    Recorded,
    RoomChanged,
    RoomKey,
    RoomState,
    Status,
)
from .database import Database, Row, Snapshot
from .writer import Transaction

_ENTRY = (
    "log.seq, log.kind, coalesce(m.message_id, '') as message_id,"
    " coalesce(m.category, '') as category, coalesce(m.data, '') as data,"
    " coalesce(m.created_at, log.created_at) as created_at,"
    " coalesce(m.user_id, log.user_id, 0) as user_id,"
    " coalesce(m.status, 'published') as status, coalesce(m.seq, 0) as about_seq"
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
        status=Status(row["status"]),
        about_seq=row["about_seq"],
    )


INSERT_LINE = (
    "insert into room_log (page_id, seq, kind, message_row, user_id, created_at)"
    " values (:page_id, :seq, :kind, :message_row, :user_id, :now)"
)
MOVE_ROOM = "update pages set last_seq = :seq where id = :page_id"


def write_line(
    tx: Transaction,
    page_id: int,
    seq: int,
    kind: LogKind,
    now: int,
    *,
    message_row: int | None = None,
    user_id: int | None = None,
) -> None:
    """Add a line to a room's record; `seq` is the room's last one and 1."""
    tx.execute(MOVE_ROOM, {"seq": seq, "page_id": page_id})
    tx.execute(
        INSERT_LINE,
        line_row(page_id, seq, kind, now, message_row=message_row, user_id=user_id),
    )


def line_row(
    page_id: int,
    seq: int,
    kind: LogKind,
    now: int,
    *,
    message_row: int | None = None,
    user_id: int | None = None,
) -> dict[str, Any]:
    return {
        "page_id": page_id,
        "seq": seq,
        "kind": kind,
        "message_row": message_row,
        "user_id": user_id,
        "now": now,
    }


@dataclass(frozen=True, slots=True)
class _Stored:
    """A message's row, with what is needed to add a line about it."""

    row: int
    page_id: int
    last_seq: int
    entry: Entry


def _find_stored(tx: Transaction, room: RoomKey, message_id: str) -> _Stored | None:
    row = tx.fetch_one(
        "select m.id, m.page_id, p.last_seq, m.user_id, m.category, m.data, m.status,"
        " coalesce(m.seq, 0) as seq, m.created_at from messages as m"
        " join pages as p on p.id = m.page_id"
        " where p.site_id = :site_id and p.slug = :slug and m.message_id = :message_id",
        {"site_id": room.site_id, "slug": room.slug, "message_id": message_id},
    )
    if row is None:
        return None
    entry = Entry(
        seq=row["seq"],
        kind=LogKind.POSTED,
        message_id=message_id,
        category=row["category"],
        data=row["data"],
        created_at=row["created_at"],
        user_id=row["user_id"],
        status=Status(row["status"]),
        about_seq=row["seq"],
    )
    return _Stored(row["id"], row["page_id"], row["last_seq"], entry)


def find_message(tx: Transaction, room: RoomKey, message_id: str) -> Entry | None:
    """A message of the room, whatever its status; None if there is none."""
    stored = _find_stored(tx, room, message_id)
    return stored.entry if stored else None


def delete_message(
    tx: Transaction, room: RoomKey, message_id: str, deleted_by: int, now: int
) -> Recorded | None:
    """Erase a message's text and record that it is gone; its id and place stay.

    None if there is no such message. Again: what was recorded the first time. A message that
    was still held leaves without a line, `seq` 0.
    """
    stored = _find_stored(tx, room, message_id)
    if stored is None:
        return None
    about = stored.entry.about_seq
    if stored.entry.status is Status.DELETED:
        line = tx.fetch_one(
            "select seq, created_at from room_log where page_id = :page_id and seq > :about"
            " and (message_row = :row and kind = 'deleted'"
            " or user_id = :user_id and kind = 'removed') order by seq limit 1",
            {
                "page_id": stored.page_id,
                "row": stored.row,
                "user_id": stored.entry.user_id,
                "about": about,
            },
        )
        seq = line["seq"] if line else 0
        return Recorded(room, _deletion(stored.entry, seq, about, now), is_new=False)
    tx.execute(
        "update messages set data = '', status = 'deleted', deleted_at = :now,"
        " deleted_by = :deleted_by where id = :row",
        {"now": now, "deleted_by": deleted_by, "row": stored.row},
    )
    if not about:
        return Recorded(room, _deletion(stored.entry, 0, 0, now), is_new=False)
    seq = stored.last_seq + 1
    write_line(tx, stored.page_id, seq, LogKind.DELETED, now, message_row=stored.row)
    return Recorded(room, _deletion(stored.entry, seq, about, now))


def _deletion(message: Entry, seq: int, about_seq: int, now: int) -> Entry:
    return Entry(
        seq=seq,
        kind=LogKind.DELETED,
        message_id=message.message_id,
        category=message.category,
        data="",
        created_at=now,
        user_id=message.user_id,
        status=Status.DELETED,
        about_seq=about_seq,
    )


def approve_message(tx: Transaction, room: RoomKey, message_id: str, now: int) -> Recorded | None:
    """Give a held message its place: it is pushed as a new one, its time stays that of writing.

    None if there is no held message with this id.
    """
    stored = _find_stored(tx, room, message_id)
    if stored is None or stored.entry.status is not Status.PENDING:
        return None
    seq = stored.last_seq + 1
    tx.execute(
        "update messages set status = 'published', seq = :seq where id = :row",
        {"seq": seq, "row": stored.row},
    )
    write_line(tx, stored.page_id, seq, LogKind.APPROVED, now, message_row=stored.row)
    message = stored.entry
    entry = Entry(
        seq=seq,
        kind=LogKind.APPROVED,
        message_id=message.message_id,
        category=message.category,
        data=message.data,
        created_at=message.created_at,
        user_id=message.user_id,
        about_seq=seq,
    )
    return Recorded(room, entry)


def remove_messages_of(
    tx: Transaction, room: RoomKey, user_id: int, deleted_by: int, now: int
) -> Recorded | None:
    """Erase all of one person's messages in a room, as one line; None if there are none."""
    page = tx.fetch_one(
        "select id, last_seq from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    if page is None:
        return None
    changed = tx.execute(
        "update messages set data = '', status = 'deleted', deleted_at = :now,"
        " deleted_by = :deleted_by where page_id = :page_id and user_id = :user_id"
        " and status != 'deleted'",
        {"now": now, "deleted_by": deleted_by, "page_id": page["id"], "user_id": user_id},
    )
    if not changed:
        return None
    seq = page["last_seq"] + 1
    write_line(tx, page["id"], seq, LogKind.REMOVED, now, user_id=user_id)
    return Recorded(room, Entry(seq, LogKind.REMOVED, "", "", "", now, user_id))


def set_room_closed(tx: Transaction, room: RoomKey, closed: bool, now: int) -> RoomChanged | None:
    """Close a room, or open it again; None if it was so already."""
    before = tx.fetch_one(
        "select closed from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    if (before is not None and bool(before["closed"])) == closed:
        return None
    row = tx.fetch_one(
        "insert into pages (site_id, slug, closed, created_at)"
        " values (:site_id, :slug, :closed, :now) on conflict (site_id, slug) do update set"
        " closed = :closed returning id",
        {"site_id": room.site_id, "slug": room.slug, "closed": int(closed), "now": now},
    )
    assert row is not None
    return room_changed(tx, room)


def room_changed(tx: Transaction, room: RoomKey) -> RoomChanged:
    """A room as it is now, for its listeners."""
    row = tx.fetch_one(_STATE, {"site_id": room.site_id, "slug": room.slug})
    assert row is not None
    return RoomChanged(room, _state(row))


# Of a page that moved the revision is that of the page where it is.
_STATE = (
    "select last_seq, closed, slow_seconds, coalesce((select new.revision from pages as new"
    " where new.id = pages.moved_to), revision) as revision from pages"
    " where site_id = :site_id and slug = :slug"
)


def _state(row: Row) -> RoomState:
    return RoomState(row["last_seq"], bool(row["closed"]), row["slow_seconds"], row["revision"])


EARLIER = (
    "select user_id, category, data, status, seq, created_at from messages"
    " where page_id = :page_id and message_id = :message_id"
)


async def find_earlier(
    db: Database, room: RoomKey, draft: MessageDraft, user_id: int
) -> PostResult | None:
    """What a post with this id would meet in the room; None if the id is new."""
    row = await db.fetch_one(
        EARLIER.replace(":page_id", _PAGE),
        {"site_id": room.site_id, "slug": room.slug, "message_id": draft.message_id},
    )
    return judge_earlier(row, room, draft, user_id) if row else None


def judge_earlier(row: Row, room: RoomKey, draft: MessageDraft, user_id: int) -> PostResult:
    if row["user_id"] != user_id:
        return PostResult(Outcome.CONFLICT, room, None)
    if row["status"] == Status.DELETED:
        return PostResult(Outcome.GONE, room, None)
    if row["data"] != draft.data or row["category"] != draft.category:
        return PostResult(Outcome.CONFLICT, room, None)
    entry = Entry(
        seq=row["seq"] or 0,
        kind=LogKind.POSTED,
        message_id=draft.message_id,
        category=row["category"],
        data=row["data"],
        created_at=row["created_at"],
        user_id=user_id,
        status=Status(row["status"]),
        about_seq=row["seq"] or 0,
    )
    return PostResult(Outcome.REPEATED, room, entry)


async def is_closed(db: Database, room: RoomKey) -> bool:
    """Whether the room takes no more messages."""
    row = await db.fetch_one(
        "select closed from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )
    return row is not None and bool(row["closed"])


async def find_state(snapshot: Snapshot, room: RoomKey) -> RoomState:
    """What a room is like; the default for one in which nothing was said."""
    row = await snapshot.fetch_one(
        _STATE,
        {"site_id": room.site_id, "slug": room.slug},
    )
    return _state(row) if row else RoomState()


async def list_record_after(db: Database, room: RoomKey, after: int, most: int) -> list[Entry]:
    """The first `most` lines of a room's record after `after`, in order."""
    rows = await db.fetch(
        f"select {_ENTRY} from room_log as log left join messages as m on m.id = log.message_row"
        f" where log.page_id = {_PAGE} and log.seq > :after order by log.seq limit :most",
        {"site_id": room.site_id, "slug": room.slug, "after": after, "most": most},
    )
    return [_entry(row) for row in rows]


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
        seq = (await find_state(snapshot, room)).seq
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
        seq = (await find_state(snapshot, room)).seq
        rows = await snapshot.fetch(
            f"{_PUBLISHED} and log.seq > :after order by log.seq limit :limit", parameters
        )
        deleted = await snapshot.fetch(
            "select m.message_id from room_log as log"
            " join messages as m on m.id = log.message_row"
            f" where log.page_id = {_PAGE} and log.kind = 'deleted' and log.seq > :after"
            " union select m.message_id from room_log as log"
            " join messages as m on m.page_id = log.page_id and m.user_id = log.user_id"
            f" where log.page_id = {_PAGE} and log.kind = 'removed' and log.seq > :after"
            " and m.status = 'deleted' and m.seq < log.seq",
            {key: parameters[key] for key in ("site_id", "slug", "after")},
        )
    entries = [_entry(row) for row in rows[:limit]]
    return Page(seq, entries, len(rows) > limit, [row["message_id"] for row in deleted])


async def count_all(db: Database) -> dict[str, int]:
    """How many users, sites, published comments, replies and messages there are."""
    row = await db.fetch_one(
        "select (select count(*) from users where deleted_at is null) as users,"
        " (select count(*) from sites) as sites,"
        " (select count(*) from comments where status = 'published') as comments,"
        " (select count(*) from replies where status = 'published') as replies,"
        " (select count(*) from messages where status = 'published') as messages",
        {},
    )
    assert row is not None
    return {name: row[name] for name in ("users", "sites", "comments", "replies", "messages")}
