"""What is stored about one person: read as a whole, and taken away."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..models import RoomKey, User
from .database import Database, Row
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
        " c.favor_count, c.created_at, c.updated_at, c.deleted_at from comments as c"
        " join pages as p on p.id = c.page_id where c.user_id = :user_id"
        " and (c.digest, c.id) > (:position, :id) order by c.digest, c.id limit :most"
    ),
    "replies": (
        "select r.id, r.digest as position, p.site_id, p.slug, r.comment_id, r.reply_to,"
        " r.content, r.status, r.edited, r.created_at, r.updated_at, r.deleted_at"
        " from replies as r join comments as c on c.id = r.comment_id"
        " join pages as p on p.id = c.page_id where r.user_id = :user_id"
        " and (r.digest, r.id) > (:position, :id) order by r.digest, r.id limit :most"
    ),
    "favourites": (
        "select f.id, 0 as position, f.comment_id, f.created_at from favourites as f"
        " where f.user_id = :user_id and f.id > :id and :position < 1 order by f.id limit :most"
    ),
}
WRITTEN = tuple(_WRITTEN)
"""The kinds of what people write, as an export names them."""
_ABOUT = {
    "user": (
        "select id, mixin_user_id, mixin_identity_number, full_name, mvm_public_key, is_guest,"
        " lang, banned_until, ban_reason, created_at, updated_at from users where id = :user_id"
    ),
    "identities": "select provider, subject, created_at from identities where user_id = :user_id",
    "sessions": (
        "select scope, created_at, expires_at, last_used_at from sessions where user_id = :user_id"
    ),
    "roles": "select site_id, role, created_at from roles where user_id = :user_id",
}
_LEAST = -(2**63)


async def read_about(db: Database, user_id: int) -> dict[str, list[Mapping[str, Any]]]:
    """What is stored about a person beside what they wrote: table → rows."""
    async with db.snapshot() as snapshot:
        return {
            name: [dict(row) for row in await snapshot.fetch(sql, {"user_id": user_id})]
            for name, sql in _ABOUT.items()
        }


async def read_written(db: Database, kind: str, user_id: int) -> AsyncIterator[list[Row]]:
    """What a person wrote, of one of `WRITTEN`, in slices."""
    position, last = _LEAST, _LEAST
    while True:
        rows = await db.fetch(
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
    """Where a person left something that is there still."""

    rooms: Sequence[RoomKey]
    comments: Sequence[tuple[RoomKey, int]]
    replies: Sequence[tuple[RoomKey, int, int]]
    """Each with its comment."""
    favourites: Sequence[tuple[RoomKey, int]]
    """Each by its comment."""


async def find_traces(db: Database, user_id: int) -> Traces:
    """Everything of a person that could be erased."""

    async def find(columns: str, rest: str) -> list[tuple[Any, ...]]:
        rows = await db.fetch(
            f"select p.site_id, p.slug{columns} from {rest}", {"user_id": user_id}
        )
        return [(RoomKey(row[0], row[1]), *tuple(row)[2:]) for row in rows]

    rooms = await find(
        "",
        "pages as p where p.id in (select distinct m.page_id from messages as m"
        " where m.user_id = :user_id)",
    )
    comments = await find(
        ", c.id",
        "comments as c join pages as p on p.id = c.page_id where c.user_id = :user_id"
        " and c.status != 'deleted'",
    )
    replies = await find(
        ", c.id, r.id",
        "replies as r join comments as c on c.id = r.comment_id"
        " join pages as p on p.id = c.page_id where r.user_id = :user_id"
        " and r.status != 'deleted'",
    )
    favourites = await find(
        ", c.id",
        "favourites as f join comments as c on c.id = f.comment_id"
        " join pages as p on p.id = c.page_id where f.user_id = :user_id",
    )
    return Traces([room for (room,) in rooms], comments, replies, favourites)


def empty_user(tx: Transaction, user_id: int, now: int) -> User:
    """Take everything out of a user's row that says who they were; the row stays."""
    for table in ("identities", "roles"):
        tx.execute(f"delete from {table} where user_id = :id", {"id": user_id})
    row = tx.fetch_one(
        "update users set mixin_user_id = :nobody, mixin_identity_number = '0',"
        " full_name = 'deleted', name_folded = '', name_skeleton = '', mvm_public_key = '',"
        " is_guest = 1, lang = '', ban_reason = '', deleted_at = coalesce(deleted_at, :now),"
        f" updated_at = :now where id = :id returning {COLUMNS}",
        {"id": user_id, "nobody": str(uuid.uuid4()), "now": now},
    )
    assert row is not None
    return user_of(row)
