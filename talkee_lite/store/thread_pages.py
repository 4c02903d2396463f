"""A page's comments in parts, oldest first, with their first replies: by key, at any depth alike.

A key is the time and the id of a comment or reply, by which lists are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models import Comment, Reply, RoomKey
from .comments import COMMENT, comment_of
from .database import Row, Snapshot
from .pages import where
from .replies import REPLY, reply_of

Key = tuple[int, int]

_FIRST: Key = (-1, -1)


@dataclass(frozen=True, slots=True)
class AnsweringReply:
    """A reply, and who wrote the one that it answers: 0 where it answers the comment alone."""

    reply: Reply
    answered_user_id: int


async def read_page(snapshot: Snapshot, room: RoomKey) -> Row | None:
    """The page's row; None before anything was stored on it."""
    return await snapshot.fetch_one(
        "select id, address, title, closed, comment_total, published_count from pages"
        " where site_id = :site_id and slug = :slug",
        where(room),
    )


async def find_key(snapshot: Snapshot, page_id: int, comment_id: int) -> Key | None:
    """Where a comment of the page stands, or has stood; held ones stand nowhere."""
    row = await snapshot.fetch_one(
        "select created_at, id from comments where id = :id and page_id = :page_id"
        " and status != 'pending'",
        {"id": comment_id, "page_id": page_id},
    )
    return (row["created_at"], row["id"]) if row else None


async def find_reply_key(snapshot: Snapshot, comment_id: int, reply_id: int) -> Key | None:
    """Where a reply to the comment stands, or has stood."""
    row = await snapshot.fetch_one(
        "select created_at, id from replies where id = :id and comment_id = :comment_id"
        " and status != 'pending'",
        {"id": reply_id, "comment_id": comment_id},
    )
    return (row["created_at"], row["id"]) if row else None


async def find_listed(snapshot: Snapshot, page_id: int, comment_id: int) -> Comment | None:
    """A comment that the page lists."""
    row = await snapshot.fetch_one(
        f"select {COMMENT} from comments as c where id = :id and page_id = :page_id and listed = 1",
        {"id": comment_id, "page_id": page_id},
    )
    return comment_of(row) if row else None


async def list_comments(
    snapshot: Snapshot, page_id: int, after: Key | None, most: int
) -> list[Comment]:
    """Comments that the page lists, from behind a key (None: from the first)."""
    created_at, number = after or _FIRST
    rows = await snapshot.fetch(
        f"select {COMMENT} from comments as c where page_id = :page_id and listed = 1"
        " and (created_at, id) > (:created_at, :id) order by created_at, id limit :most",
        {"page_id": page_id, "created_at": created_at, "id": number, "most": most},
    )
    return [comment_of(row) for row in rows]


async def list_ids_before(
    snapshot: Snapshot, page_id: int, before: Key | None, most: int
) -> list[int]:
    """Ids of the listed comments before a key (None: of the last), nearest first."""
    behind = "and (created_at, id) < (:created_at, :id)" if before else ""
    created_at, number = before or _FIRST
    rows = await snapshot.fetch(
        f"select id from comments where page_id = :page_id and listed = 1 {behind}"
        " order by created_at desc, id desc limit :most",
        {"page_id": page_id, "created_at": created_at, "id": number, "most": most},
    )
    return [row["id"] for row in rows]


_ANSWERING = (
    f"select {REPLY}, coalesce(a.user_id, 0) as answered_user_id from replies as r"
    " left join replies as a on a.id = r.reply_to and a.status = 'published'"
)


def _answering(rows: Sequence[Row]) -> list[AnsweringReply]:
    return [AnsweringReply(reply_of(row), row["answered_user_id"]) for row in rows]


async def list_replies(
    snapshot: Snapshot, comment_id: int, after: Key | None, most: int
) -> list[AnsweringReply]:
    """Replies to a comment, from behind a key (None: from the first)."""
    created_at, number = after or _FIRST
    rows = await snapshot.fetch(
        f"{_ANSWERING} where r.comment_id = :comment_id and r.status = 'published'"
        " and (r.created_at, r.id) > (:created_at, :id) order by r.created_at, r.id limit :most",
        {"comment_id": comment_id, "created_at": created_at, "id": number, "most": most},
    )
    return _answering(rows)


async def list_reply_ids_before(
    snapshot: Snapshot, comment_id: int, before: Key, most: int
) -> list[int]:
    """Ids of the replies to a comment before a key, nearest first."""
    rows = await snapshot.fetch(
        "select id from replies where comment_id = :comment_id and status = 'published'"
        " and (created_at, id) < (:created_at, :id) order by created_at desc, id desc limit :most",
        {"comment_id": comment_id, "created_at": before[0], "id": before[1], "most": most},
    )
    return [row["id"] for row in rows]


async def list_first_replies(
    snapshot: Snapshot, comment_ids: Sequence[int], most: int
) -> list[AnsweringReply]:
    """The first replies to each of some comments, up to `most` each, oldest first."""
    names = {f"id{n}": comment_id for n, comment_id in enumerate(comment_ids)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await snapshot.fetch(
        f"select {REPLY}, coalesce(a.user_id, 0) as answered_user_id from comments as c"
        " join replies as r on r.id in (select first.id from replies as first"
        " where first.comment_id = c.id and first.status = 'published'"
        " order by first.created_at, first.id limit :most)"
        " left join replies as a on a.id = r.reply_to and a.status = 'published'"
        f" where c.id in ({marks}) and c.reply_count > 0 order by r.created_at, r.id",
        {"most": most, **names},
    )
    return _answering(rows)
