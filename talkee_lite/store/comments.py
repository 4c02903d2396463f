"""Comments, replies and favourites of pages.

Counts are kept in the transaction that changes them: of a comment its favourites and replies, of
a page its listed comments, what is published on it, and its revision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from ..models import Comment, Order, Reply, RoomKey, Status
from .database import Database, Row, Snapshot
from .writer import Transaction

_COMMENT = (
    "c.id, c.user_id, c.content, c.html, c.status, c.favor_count, c.reply_count, c.edited,"
    " c.created_at, c.updated_at"
)
_REPLY = (
    "r.id, r.comment_id, r.reply_to, r.user_id, r.content, r.html, r.status, r.edited,"
    " r.created_at, r.updated_at"
)
_PAGE = "(select id from pages where site_id = :site_id and slug = :slug)"
_ORDERS = {
    Order.FAVOR_COUNT: "favor_count desc, id desc",
    Order.CREATED_AT: "created_at desc, id desc",
    Order.CREATED_AT_ASC: "created_at, id",
    Order.REPLY_COUNT: "reply_count desc, id desc",
}
_BEHIND = {Order.CREATED_AT: "<", Order.CREATED_AT_ASC: ">"}


def _comment(row: Row, fav_id: int = 0) -> Comment:
    return Comment(
        id=row["id"],
        user_id=row["user_id"],
        content=row["content"],
        html=row["html"],
        status=Status(row["status"]),
        favor_count=row["favor_count"],
        reply_count=row["reply_count"],
        edited=bool(row["edited"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        fav_id=fav_id,
    )


def _reply(row: Row) -> Reply:
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
    )


def _digest(content: str) -> int:
    """A number by which the same text is found again: 64 bits of BLAKE2b (RFC 7693)."""
    digest = blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _where(room: RoomKey, **more: Any) -> dict[str, Any]:
    return {"site_id": room.site_id, "slug": room.slug, **more}


# Reading.


async def list_comments(
    snapshot: Snapshot,
    room: RoomKey,
    order: Order,
    *,
    limit: int,
    offset: int,
    after_id: int | None,
) -> tuple[int, list[Comment]]:
    """How many comments a page has, and some of them.

    `after_id`, in the orders of time alone, is the last one that is known already; none of this
    page: nothing comes behind it.
    """
    page = await snapshot.fetch_one(
        "select id, comment_total from pages where site_id = :site_id and slug = :slug",
        _where(room),
    )
    if page is None:
        return 0, []
    behind = ""
    if after_id is not None:
        behind = (
            f" and (created_at, id) {_BEHIND[order]}"
            " (select created_at, id from comments where id = :after_id and page_id = :page_id)"
        )
    rows = await snapshot.fetch(
        f"select {_COMMENT} from comments as c where page_id = :page_id and listed = 1{behind}"
        f" order by {_ORDERS[order]} limit :limit offset :offset",
        {"page_id": page["id"], "after_id": after_id, "limit": limit, "offset": offset},
    )
    return page["comment_total"], [_comment(row) for row in rows]


async def favourites_on(snapshot: Snapshot, room: RoomKey, user_id: int) -> Mapping[int, int]:
    """What a user likes on a page: comment id → id of the favourite."""
    rows = await snapshot.fetch(
        "select f.comment_id, f.id from favourites as f join comments as c on c.id = f.comment_id"
        f" where f.user_id = :user_id and c.page_id = {_PAGE}",
        _where(room, user_id=user_id),
    )
    return {row["comment_id"]: row["id"] for row in rows}


async def find_listed(
    snapshot: Snapshot, room: RoomKey, comment_id: int, user_id: int
) -> Comment | None:
    """A comment of the page that is listed there; None if there is none."""
    row = await snapshot.fetch_one(
        f"select {_COMMENT} from comments as c where id = :id and page_id = {_PAGE} and listed = 1",
        _where(room, id=comment_id),
    )
    if row is None:
        return None
    favourite = await snapshot.fetch_one(
        "select id from favourites where comment_id = :id and user_id = :user_id",
        {"id": comment_id, "user_id": user_id},
    )
    return _comment(row, favourite["id"] if favourite else 0)


async def list_replies(
    snapshot: Snapshot, comment_id: int, *, limit: int, offset: int, oldest_first: bool
) -> tuple[int, list[Reply]]:
    """How many replies a comment has, and some of them."""
    order = "created_at, id" if oldest_first else "created_at desc, id desc"
    rows = await snapshot.fetch(
        f"select {_REPLY} from replies as r where comment_id = :comment_id"
        f" and status = 'published' order by {order} limit :limit offset :offset",
        {"comment_id": comment_id, "limit": limit, "offset": offset},
    )
    count = await snapshot.fetch_one(
        "select reply_count from comments where id = :id", {"id": comment_id}
    )
    return (count["reply_count"] if count else 0), [_reply(row) for row in rows]


async def count_pages(db: Database, site_id: int, slugs: Sequence[str]) -> Mapping[str, int]:
    """Slug → how many comments and replies are published there; pages without any are left out."""
    names = {f"slug{n}": slug for n, slug in enumerate(slugs)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await db.fetch(
        f"select slug, published_count from pages where site_id = :site_id and slug in ({marks})",
        {"site_id": site_id, **names},
    )
    return {row["slug"]: row["published_count"] for row in rows}


# Writing.


def find_page(tx: Transaction, room: RoomKey) -> Row | None:
    """The page's row: `id` and `closed`; None before anything was stored on it."""
    return tx.fetch_one(
        "select id, closed from pages where site_id = :site_id and slug = :slug", _where(room)
    )


def make_page(tx: Transaction, room: RoomKey, now: int) -> Row:
    """The row of a page that is new."""
    row = tx.fetch_one(
        "insert into pages (site_id, slug, created_at) values (:site_id, :slug, :now)"
        " returning id, closed",
        _where(room, now=now),
    )
    assert row is not None
    return row


def find_comment(tx: Transaction, room: RoomKey, comment_id: int) -> Comment | None:
    """A comment of the page, whatever its status."""
    row = tx.fetch_one(
        f"select {_COMMENT} from comments as c where id = :id and page_id = {_PAGE}",
        _where(room, id=comment_id),
    )
    return _comment(row) if row else None


def find_reply(tx: Transaction, comment_id: int, reply_id: int) -> Reply | None:
    """A reply to the comment, whatever its status."""
    row = tx.fetch_one(
        f"select {_REPLY} from replies as r where id = :id and comment_id = :comment_id",
        {"id": reply_id, "comment_id": comment_id},
    )
    return _reply(row) if row else None


def same_comment(
    tx: Transaction, page_id: int, user_id: int, content: str, since: int
) -> Comment | None:
    """A published comment with the same text by the same person on the page, not before `since`."""
    row = tx.fetch_one(
        f"select {_COMMENT} from comments as c where user_id = :user_id and digest = :digest"
        " and page_id = :page_id and created_at >= :since and content = :content"
        " and status = 'published' order by id limit 1",
        {
            "user_id": user_id,
            "digest": _digest(content),
            "page_id": page_id,
            "since": since,
            "content": content,
        },
    )
    return _comment(row) if row else None


def same_reply(
    tx: Transaction, page_id: int, user_id: int, content: str, since: int
) -> Reply | None:
    """As `same_comment`, for replies anywhere on the page."""
    row = tx.fetch_one(
        f"select {_REPLY} from replies as r join comments as c on c.id = r.comment_id"
        " where r.user_id = :user_id and r.digest = :digest and r.created_at >= :since"
        " and c.page_id = :page_id and r.content = :content and r.status = 'published'"
        " order by r.id limit 1",
        {
            "user_id": user_id,
            "digest": _digest(content),
            "page_id": page_id,
            "since": since,
            "content": content,
        },
    )
    return _reply(row) if row else None


def insert_comment(
    tx: Transaction, page_id: int, *, user_id: int, content: str, html: str, version: int, now: int
) -> Comment:
    """A new comment, published. `change_page` is for the caller to do."""
    row = tx.fetch_one(
        "insert into comments as c (page_id, user_id, content, digest, html, html_version, status,"
        " listed, created_at, updated_at) values (:page_id, :user_id, :content, :digest, :html,"
        " :version,"
        f" 'published', 1, :now, :now) returning {_COMMENT.replace('c.', '')}",
        {
            "page_id": page_id,
            "user_id": user_id,
            "content": content,
            "digest": _digest(content),
            "html": html,
            "version": version,
            "now": now,
        },
    )
    assert row is not None
    return _comment(row)


def insert_reply(
    tx: Transaction,
    comment_id: int,
    *,
    reply_to: int,
    user_id: int,
    content: str,
    html: str,
    version: int,
    now: int,
) -> Reply:
    """A new reply, published; its comment's count follows, the page's are for the caller to do."""
    row = tx.fetch_one(
        "insert into replies (comment_id, reply_to, user_id, content, digest, html, html_version,"
        " status, created_at, updated_at) values (:comment_id, :reply_to, :user_id, :content,"
        " :digest, :html,"
        f" :version, 'published', :now, :now) returning {_REPLY.replace('r.', '')}",
        {
            "comment_id": comment_id,
            "reply_to": reply_to,
            "user_id": user_id,
            "content": content,
            "digest": _digest(content),
            "html": html,
            "version": version,
            "now": now,
        },
    )
    assert row is not None
    tx.execute(
        "update comments set reply_count = reply_count + 1 where id = :id", {"id": comment_id}
    )
    return _reply(row)


def edit_comment(
    tx: Transaction, comment_id: int, *, content: str, html: str, version: int, now: int
) -> Comment:
    """Another text for a published comment."""
    row = tx.fetch_one(
        "update comments set content = :content, digest = :digest, html = :html,"
        " html_version = :version,"
        " edited = 1, updated_at = :now where id = :id"
        f" returning {_COMMENT.replace('c.', '')}",
        {
            "id": comment_id,
            "content": content,
            "digest": _digest(content),
            "html": html,
            "version": version,
            "now": now,
        },
    )
    assert row is not None
    return _comment(row)


def edit_reply(
    tx: Transaction,
    reply_id: int,
    *,
    content: str,
    html: str,
    version: int,
    now: int,
) -> Reply:
    """Another text for a published reply."""
    row = tx.fetch_one(
        "update replies set content = :content, digest = :digest, html = :html,"
        " html_version = :version,"
        f" edited = 1, updated_at = :now where id = :id returning {_REPLY.replace('r.', '')}",
        {
            "id": reply_id,
            "content": content,
            "digest": _digest(content),
            "html": html,
            "version": version,
            "now": now,
        },
    )
    assert row is not None
    return _reply(row)


def delete_comment(tx: Transaction, comment_id: int, deleted_by: int, now: int) -> bool:
    """Erase a published comment's text; whether it stays listed, as one with replies does."""
    row = tx.fetch_one(
        "update comments set content = '', digest = 0, html = '', status = 'deleted',"
        " updated_at = :now, deleted_at = :now, deleted_by = :deleted_by,"
        " listed = (reply_count > 0)"
        " where id = :id returning listed",
        {"id": comment_id, "deleted_by": deleted_by, "now": now},
    )
    assert row is not None
    return bool(row["listed"])


def delete_reply(tx: Transaction, reply_id: int, deleted_by: int, now: int) -> bool:
    """Erase a published reply's text; whether its comment stays listed.

    A deleted comment goes with its last reply.
    """
    reply = tx.fetch_one(
        "update replies set content = '', digest = 0, html = '', status = 'deleted',"
        " updated_at = :now, deleted_at = :now, deleted_by = :deleted_by where id = :id"
        " returning comment_id",
        {"id": reply_id, "deleted_by": deleted_by, "now": now},
    )
    assert reply is not None
    comment = tx.fetch_one(
        "update comments set reply_count = reply_count - 1,"
        " listed = (status = 'published' or reply_count > 1) where id = :id returning listed",
        {"id": reply["comment_id"]},
    )
    assert comment is not None
    return bool(comment["listed"])


def add_favourite(tx: Transaction, comment_id: int, user_id: int, now: int) -> bool:
    """A user likes a comment; False if they did already."""
    number = tx.insert(
        "insert into favourites (comment_id, user_id, created_at)"
        " values (:comment_id, :user_id, :now) on conflict (comment_id, user_id) do nothing",
        {"comment_id": comment_id, "user_id": user_id, "now": now},
    )
    if number is None:
        return False
    _count_favourite(tx, comment_id, 1)
    return True


def remove_favourite(tx: Transaction, comment_id: int, user_id: int) -> bool:
    """A user does not like a comment any more; False if they did not."""
    removed = tx.execute(
        "delete from favourites where comment_id = :comment_id and user_id = :user_id",
        {"comment_id": comment_id, "user_id": user_id},
    )
    if not removed:
        return False
    _count_favourite(tx, comment_id, -1)
    return True


def favourite_of(tx: Transaction, comment_id: int, user_id: int) -> int:
    """The id of a user's favourite; 0 if they do not like the comment."""
    row = tx.fetch_one(
        "select id from favourites where comment_id = :comment_id and user_id = :user_id",
        {"comment_id": comment_id, "user_id": user_id},
    )
    return row["id"] if row else 0


def _count_favourite(tx: Transaction, comment_id: int, change: int) -> None:
    tx.execute(
        "update comments set favor_count = favor_count + :change where id = :id",
        {"change": change, "id": comment_id},
    )


def change_page(
    tx: Transaction, page_id: int, *, changes: int, listed: int = 0, published: int = 0
) -> int:
    """Count `changes` more of a page's comments, and what they add to its counts.

    The revision of the first of them.
    """
    row = tx.fetch_one(
        "update pages set revision = revision + :changes, comment_total = comment_total + :listed,"
        " published_count = published_count + :published where id = :id returning revision",
        {"id": page_id, "changes": changes, "listed": listed, "published": published},
    )
    assert row is not None
    return int(row["revision"]) - changes + 1


# What is counted, counted anew.

_WRONG_COMMENTS = (
    "select c.id from comments as c where c.favor_count != (select count(*) from favourites as f"
    " where f.comment_id = c.id) or c.reply_count != (select count(*) from replies as r"
    " where r.comment_id = c.id and r.status = 'published')"
)
_WRONG_PAGES = (
    "select p.id from pages as p where p.comment_total != (select count(*) from comments as c"
    " where c.page_id = p.id and c.listed = 1) or p.published_count != (select count(*)"
    " from comments as c where c.page_id = p.id and c.status = 'published') + (select count(*)"
    " from replies as r join comments as c on c.id = r.comment_id where c.page_id = p.id"
    " and r.status = 'published')"
)


def recount(tx: Transaction) -> tuple[int, int]:
    """Set right the counts of comments and pages; how many of each were off."""
    comments = tx.execute(
        "update comments set favor_count = (select count(*) from favourites as f"
        " where f.comment_id = comments.id), reply_count = (select count(*) from replies as r"
        f" where r.comment_id = comments.id and r.status = 'published') where id in"
        f" ({_WRONG_COMMENTS})",
        {},
    )
    pages = tx.execute(
        "update pages set comment_total = (select count(*) from comments as c"
        " where c.page_id = pages.id and c.listed = 1), published_count = (select count(*)"
        " from comments as c where c.page_id = pages.id and c.status = 'published')"
        " + (select count(*) from replies as r join comments as c on c.id = r.comment_id"
        f" where c.page_id = pages.id and r.status = 'published') where id in ({_WRONG_PAGES})",
        {},
    )
    return comments, pages
