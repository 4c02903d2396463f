"""Replies to comments. A comment's count of them is kept in the transaction that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models import Reply, RoomKey, Status, Text, Viewer
from ..protocol import dump_json
from .comments import MOST_HELD, merged, text_row
from .database import Database, Row, Snapshot
from .pages import PAGE_ID, where
from .writer import Transaction

REPLY = (
    "r.id, r.comment_id, r.reply_to, r.user_id, r.content, r.html, r.status, r.edited,"
    " r.created_at, r.updated_at, r.said_at"
)
_BARE = REPLY.replace("r.", "")


def reply_of(row: Row) -> Reply:
    """The reply that a row with the columns `REPLY` holds."""
    return Reply(
        id=row["id"],
        comment_id=row["comment_id"],
        reply_to=row["reply_to"],
        user_id=row["user_id"],
        content=row["content"],
        html=row["html"],
        status=Status(row["status"]),
        edited=bool(row["edited"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        said_at=row["said_at"],
    )


# Reading.


async def list_replies(
    snapshot: Snapshot,
    comment_id: int,
    viewer: Viewer,
    *,
    limit: int,
    offset: int,
    after_id: int | None,
    oldest_first: bool,
) -> tuple[int, Sequence[Reply]]:
    """How many replies a comment has for a viewer, and some of them.

    `after_id` is the last one that is known already, as for comments.
    """
    sign = 1 if oldest_first else -1

    def key(reply: Reply) -> tuple[int, int]:
        return sign * reply.created_at, sign * reply.id

    held: list[Reply] = []
    if viewer.user_id:
        rows = await snapshot.fetch(
            f"select {REPLY} from replies as r where r.comment_id = :comment_id"
            " and r.status = 'pending' and (r.user_id = :user_id or :sees_held)"
            " order by r.id desc limit :most",
            {
                "comment_id": comment_id,
                "user_id": viewer.user_id,
                "sees_held": int(viewer.sees_held),
                "most": MOST_HELD,
            },
        )
        held = [reply_of(row) for row in rows]
    count = await snapshot.fetch_one(
        "select reply_count from comments where id = :id", {"id": comment_id}
    )
    total = (count["reply_count"] if count else 0) + len(held)
    shown, behind, last = held, "", None
    if after_id is not None:
        last = await snapshot.fetch_one(
            f"select {REPLY} from replies as r where id = :id and comment_id = :comment_id"
            " and (status != 'pending' or user_id = :user_id or :sees_held)",
            {
                "id": after_id,
                "comment_id": comment_id,
                "user_id": viewer.user_id,
                "sees_held": int(viewer.sees_held),
            },
        )
        if last is None:
            return total, []
        behind = f" and (created_at, id) {'>' if oldest_first else '<'} (:created_at, :after_id)"
        after = key(reply_of(last))
        shown = [reply for reply in held if key(reply) > after]
    if offset >= total:
        return total, []
    before = max(0, offset - len(shown))
    order = "created_at, id" if oldest_first else "created_at desc, id desc"
    rows = await snapshot.fetch(
        f"select {REPLY} from replies as r where comment_id = :comment_id"
        f" and status = 'published'{behind} order by {order} limit :limit offset :offset",
        {
            "comment_id": comment_id,
            "created_at": last["created_at"] if last else 0,
            "after_id": after_id,
            "limit": limit + len(shown),
            "offset": before,
        },
    )
    found = merged([reply_of(row) for row in rows], shown, key)
    start = offset - before
    return total, found[start : start + limit]


# Each comment's first replies, of what a viewer sees, and how many these are. What they cost
# together is counted by turns: the first reply to each comment, then the second ones. `cross join`
# keeps SQLite from going through all comments instead (sqlite.org/optoverview.html).
_REPLIES_OF = f"""
    with asked as (
        select c.id, c.reply_count from json_each(:ids) as one
        cross join comments as c on c.id = one.value
        where c.page_id = {PAGE_ID} and (c.listed = 1
            or c.status = 'pending' and (c.user_id = :user_id or :sees_held))
    ), held as (
        select a.id as of, r.id, r.created_at from asked as a join replies as r on r.id in (
            select h.id from replies as h where h.comment_id = a.id and h.status = 'pending'
            and :user_id and (h.user_id = :user_id or :sees_held) order by h.id desc limit :held)
    ), shown as (
        select a.id as of, r.id, r.created_at from asked as a join replies as r on r.id in (
            select p.id from replies as p where p.comment_id = a.id and p.status = 'published'
            order by p.created_at, p.id limit :limit)
    ), ranked as (
        select of, id, row_number() over (partition by of order by created_at, id) as place
        from (select * from held union all select * from shown)
    ), weighed as (
        select k.of, k.id, k.place, sum(length(r.content) + length(r.html) + :overhead)
            over (order by k.place, k.of) as weight
        from ranked as k join replies as r on r.id = k.id where k.place <= :limit
    )
    select a.id as of, a.reply_count + (select count(*) from held as h where h.of = a.id) as total,
        {REPLY}
    from asked as a
    left join weighed as w on w.of = a.id and (w.place = 1 or w.weight <= :most)
    left join replies as r on r.id = w.id order by a.id, w.place
"""
_OVERHEAD = 800
"""What a reply costs beside what was written."""


async def list_replies_of(
    snapshot: Snapshot,
    room: RoomKey,
    comment_ids: Sequence[int],
    viewer: Viewer,
    *,
    limit: int,
    most: int,
) -> Mapping[int, tuple[int, Sequence[Reply]]]:
    """For each of these comments that a viewer sees on a page: how many replies it has, and the
    first `limit` of them, oldest first.

    All together have about `most` characters; where that is too little each comment has its
    first ones all the same, at least one.
    """
    given: dict[str, Any] = {
        "ids": dump_json(list(comment_ids)).decode(),
        "user_id": viewer.user_id,
        "sees_held": int(viewer.sees_held),
        "held": MOST_HELD,
        "limit": limit,
        "overhead": _OVERHEAD,
        "most": most,
    }
    found: dict[int, tuple[int, list[Reply]]] = {}
    for row in await snapshot.fetch(_REPLIES_OF, where(room, **given)):
        _, replies = found.setdefault(row["of"], (row["total"], []))
        if row["id"] is not None:
            replies.append(reply_of(row))
    return found


async def shows_held_replies(snapshot: Snapshot, room: RoomKey, viewer: Viewer) -> bool:
    """Whether a viewer sees replies on a page that others do not."""
    row = await snapshot.fetch_one(
        "select 1 from replies as r cross join comments as c on c.id = r.comment_id"
        f" where r.status = 'pending' and c.page_id = {PAGE_ID}"
        " and (r.user_id = :user_id or :sees_held) limit 1",
        where(room, user_id=viewer.user_id, sees_held=int(viewer.sees_held)),
    )
    return row is not None


# The threads of a page in which a person wrote, and what others replied there to just that.
_ANSWERS = f"""
    with mine as (
        select id as of from comments where user_id = :user_id and page_id = {PAGE_ID}
        union select q.comment_id from replies as q
        cross join comments as c on c.id = q.comment_id
        where q.user_id = :user_id and c.page_id = {PAGE_ID}
    )
    select {REPLY} from mine cross join replies as r
        on r.comment_id = mine.of and r.created_at > :since and r.status = 'published'
    where r.user_id != :user_id and :user_id = case r.reply_to
        when 0 then (select c.user_id from comments as c where c.id = r.comment_id)
        else (select q.user_id from replies as q where q.id = r.reply_to) end
    order by r.created_at, r.id limit :limit
"""


async def list_answers(
    snapshot: Snapshot, room: RoomKey, user_id: int, since: int, limit: int
) -> Sequence[Reply]:
    """What others replied to a person on a page behind a time, oldest first, and how."""
    given = where(room, user_id=user_id, since=since, limit=limit)
    return [reply_of(row) for row in await snapshot.fetch(_ANSWERS, given)]


async def list_held_of(db: Database, site_id: int, most: int) -> Sequence[Row]:
    """What waits for approval on a site, comments and replies together, oldest first.

    `reply` is the reply's id where it is one.
    """
    return await db.fetch(
        "select p.slug, c.id, null as reply, u.full_name, c.content, c.created_at"
        " from comments as c join pages as p on p.id = c.page_id join users as u"
        " on u.id = c.user_id where p.site_id = :site_id and c.status = 'pending'"
        " union all select p.slug, c.id, r.id, u.full_name, r.content, r.created_at"
        " from replies as r join comments as c on c.id = r.comment_id"
        " join pages as p on p.id = c.page_id join users as u on u.id = r.user_id"
        " where p.site_id = :site_id and r.status = 'pending' order by 6 limit :most",
        {"site_id": site_id, "most": most},
    )


# Writing.


def find_reply(tx: Transaction, comment_id: int, reply_id: int) -> Reply | None:
    """A reply to the comment, whatever its status."""
    row = tx.fetch_one(
        f"select {REPLY} from replies as r where id = :id and comment_id = :comment_id",
        {"id": reply_id, "comment_id": comment_id},
    )
    return reply_of(row) if row else None


def kept_replies(tx: Transaction, comment_id: int) -> list[Reply]:
    """The published replies that were kept from a chat with the comment, oldest first."""
    rows = tx.fetch(
        f"select {REPLY} from replies as r where comment_id = :comment_id"
        " and message_row is not null and status = :published order by id",
        {"comment_id": comment_id, "published": Status.PUBLISHED},
    )
    return [reply_of(row) for row in rows]


def same_reply(
    tx: Transaction, comment_id: int, reply_to: int, user_id: int, text: Text, since: int
) -> Reply | None:
    """A reply of the same person with the same text to the same, not before `since`."""
    row = tx.fetch_one(
        f"select {REPLY} from replies as r"
        " where r.user_id = :user_id and r.digest = :digest and r.created_at >= :since"
        " and r.comment_id = :comment_id and r.reply_to = :reply_to and r.content = :content"
        " and r.said_at is null"
        " and r.status in ('published', 'pending') order by r.id limit 1",
        {
            "user_id": user_id,
            "comment_id": comment_id,
            "reply_to": reply_to,
            "since": since,
            **text_row(text),
        },
    )
    return reply_of(row) if row else None


def insert_reply(
    tx: Transaction,
    comment_id: int,
    *,
    reply_to: int,
    user_id: int,
    text: Text,
    now: int,
    hold: bool,
) -> Reply:
    """A new reply; its comment's count follows, the page's are for the caller to change."""
    row = tx.fetch_one(
        "insert into replies (comment_id, reply_to, user_id, content, digest, html, html_version,"
        " status, created_at, updated_at) values (:comment_id, :reply_to, :user_id, :content,"
        f" :digest, :html, :version, :status, :now, :now) returning {_BARE}",
        {
            "comment_id": comment_id,
            "reply_to": reply_to,
            "user_id": user_id,
            "status": Status.PENDING if hold else Status.PUBLISHED,
            "now": now,
            **text_row(text),
        },
    )
    assert row is not None
    if not hold:
        _count_reply(tx, comment_id, 1)
    return reply_of(row)


def edit_reply(tx: Transaction, reply_id: int, text: Text, now: int) -> Reply:
    """Another text for a reply."""
    row = tx.fetch_one(
        "update replies set content = :content, digest = :digest, html = :html,"
        " html_version = :version, edited = 1, updated_at = :now"
        f" where id = :id returning {_BARE}",
        {"id": reply_id, "now": now, **text_row(text)},
    )
    assert row is not None
    return reply_of(row)


def approve_reply(tx: Transaction, reply: Reply) -> Reply:
    """Publish a held reply; its comment's count follows."""
    row = tx.fetch_one(
        f"update replies set status = 'published' where id = :id returning {_BARE}",
        {"id": reply.id},
    )
    assert row is not None
    _count_reply(tx, reply.comment_id, 1)
    return reply_of(row)


def delete_reply(tx: Transaction, reply: Reply, deleted_by: int, now: int) -> bool:
    """Erase a reply's text; whether its comment stays listed.

    A deleted comment goes with its last reply.
    """
    tx.execute(
        "update replies set content = '', digest = 0, html = '', status = 'deleted',"
        " updated_at = :now, deleted_at = :now, deleted_by = :deleted_by where id = :id",
        {"id": reply.id, "deleted_by": deleted_by, "now": now},
    )
    if reply.status is Status.PUBLISHED:
        _count_reply(tx, reply.comment_id, -1)
    comment = tx.fetch_one(
        "update comments set"
        " listed = (status = 'published' or status = 'deleted' and reply_count > 0)"
        " where id = :id returning listed",
        {"id": reply.comment_id},
    )
    assert comment is not None
    return bool(comment["listed"])


def _count_reply(tx: Transaction, comment_id: int, change: int) -> None:
    tx.execute(
        "update comments set reply_count = reply_count + :change where id = :id",
        {"id": comment_id, "change": change},
    )
