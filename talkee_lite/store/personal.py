"""What is stored about one person: read as a whole, and taken away."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..models import Comment, Reply, RoomKey, User
from .comments import COMMENT, comment_of
from .database import Database, Row, Snapshot
from .replies import REPLY, reply_of
from .users import COLUMNS, user_of
from .writer import Transaction

_SLICE = 500

_WRITTEN = {
    # Each in the order of an index, so that a slice costs no more than itself.
    "messages": (
        "select m.id, m.page_id as position, p.site_id, p.slug, m.message_id, m.category, m.data,"
        " m.status, m.seq, m.created_at, m.deleted_at from messages as m"
        " join pages as p on p.id = m.page_id where m.user_id = :user_id"
        " and (m.page_id, m.id) > (:position, :id) order by m.page_id, m.id limit :most"
    ),
    "comments": (
        "select c.id, c.digest as position, p.site_id, p.slug, c.content, c.status, c.edited,"
        " c.favor_count, c.created_at, c.updated_at, c.deleted_at, c.said_at, c.kept_by"
        " from comments as c join pages as p on p.id = c.page_id where c.user_id = :user_id"
        " and (c.digest, c.id) > (:position, :id) order by c.digest, c.id limit :most"
    ),
    "replies": (
        "select r.id, r.digest as position, p.site_id, p.slug, r.comment_id, r.reply_to,"
        " r.content, r.status, r.edited, r.created_at, r.updated_at, r.deleted_at, r.said_at"
        " from replies as r join comments as c on c.id = r.comment_id"
        " join pages as p on p.id = c.page_id where r.user_id = :user_id"
        " and (r.digest, r.id) > (:position, :id) order by r.digest, r.id limit :most"
    ),
    "favourites": (
        "select f.id, 0 as position, f.comment_id, f.created_at from favourites as f"
        " where f.user_id = :user_id and f.id > :id and :position < 1 order by f.id limit :most"
    ),
    "kept": (
        "select c.id, 0 as position, p.site_id, p.slug, c.created_at from comments as c"
        " join pages as p on p.id = c.page_id where c.kept_by = :user_id and c.id > :id"
        " and :position < 1 order by c.id limit :most"
    ),
}
WRITTEN = tuple(_WRITTEN)
"""The kinds of what people write, like and keep, as an export names them."""
_ABOUT = {
    "user": (
        "select id, mixin_user_id, mixin_identity_number, full_name, mvm_public_key, is_guest,"
        " avatar_url, lang, banned_until, ban_reason, created_at, updated_at from users"
        " where id = :user_id"
    ),
    "identities": (
        "select provider, subject, name, created_at from identities where user_id = :user_id"
    ),
    "sessions": (
        "select scope, method, created_at, expires_at, last_used_at from sessions"
        " where user_id = :user_id"
    ),
    "roles": "select site_id, role, granted_by, created_at from roles where user_id = :user_id",
}
_LEAST = -(2**63)


async def read_about(snapshot: Snapshot, user_id: int) -> dict[str, list[Mapping[str, Any]]]:
    """What is stored about a person beside what they wrote: table → rows."""
    return {
        name: [dict(row) for row in await snapshot.fetch(sql, {"user_id": user_id})]
        for name, sql in _ABOUT.items()
    }


async def read_written(snapshot: Snapshot, kind: str, user_id: int) -> AsyncIterator[list[Row]]:
    """What a person wrote, of one of `WRITTEN`, in slices."""
    position, last = _LEAST, _LEAST
    while True:
        rows = await snapshot.fetch(
            _WRITTEN[kind],
            {"user_id": user_id, "position": position, "id": last, "most": _SLICE},
        )
        if rows:
            yield list(rows)
        if len(rows) < _SLICE:
            return
        position, last = rows[-1]["position"], rows[-1]["id"]


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a person left something that is there still: rooms, and ids."""

    rooms: Sequence[RoomKey]
    comments: Sequence[int]
    replies: Sequence[int]
    favourites: Sequence[int]
    """By their comments."""
    kept: Sequence[int]
    """Comments that they kept, of whomever."""


async def find_traces(db: Database, user_id: int) -> Traces:
    """Everything of a person that could be erased."""

    async def ids(sql: str) -> list[int]:
        return [row[0] for row in await db.fetch(sql, {"user_id": user_id})]

    rooms = await db.fetch(
        "select p.site_id, p.slug from pages as p where p.id in"
        " (select distinct m.page_id from messages as m where m.user_id = :user_id)",
        {"user_id": user_id},
    )
    mine = "where user_id = :user_id"
    return Traces(
        rooms=[RoomKey(row["site_id"], row["slug"]) for row in rooms],
        comments=await ids(f"select id from comments {mine} and status != 'deleted'"),
        replies=await ids(f"select id from replies {mine} and status != 'deleted'"),
        favourites=await ids(f"select comment_id from favourites {mine}"),
        kept=await ids("select id from comments where kept_by = :user_id"),
    )


def find_comment(tx: Transaction, comment_id: int) -> tuple[RoomKey, Comment]:
    """A comment that was stored once, and the page where it is."""
    row = tx.fetch_one(
        f"select {COMMENT}, p.site_id, p.slug from comments as c"
        " join pages as p on p.id = c.page_id where c.id = :id",
        {"id": comment_id},
    )
    assert row is not None
    return RoomKey(row["site_id"], row["slug"]), comment_of(row)


def find_reply(tx: Transaction, reply_id: int) -> tuple[RoomKey, Reply]:
    """As `find_comment`."""
    row = tx.fetch_one(
        f"select {REPLY}, p.site_id, p.slug from replies as r"
        " join comments as c on c.id = r.comment_id join pages as p on p.id = c.page_id"
        " where r.id = :id",
        {"id": reply_id},
    )
    assert row is not None
    return RoomKey(row["site_id"], row["slug"]), reply_of(row)


def empty_user(tx: Transaction, user_id: int, now: int) -> User:
    """Take everything out of a user's row that says who they were; the row stays."""
    for table in ("identities", "roles", "admin_links"):
        tx.execute(f"delete from {table} where user_id = :id", {"id": user_id})
    tx.execute("update sites set owner_id = null where owner_id = :id", {"id": user_id})
    row = tx.fetch_one(
        "update users set mixin_user_id = :nobody, mixin_identity_number = '0',"
        " full_name = 'deleted', name_folded = '', name_skeleton = '', name_caseless = '',"
        " mvm_public_key = '', avatar_url = '', is_guest = 1, lang = '', ban_reason = '',"
        " deleted_at = coalesce(deleted_at, :now),"
        f" updated_at = :now where id = :id returning {COLUMNS}",
        {"id": user_id, "nobody": str(uuid.uuid4()), "now": now},
    )
    assert row is not None
    return user_of(row)
