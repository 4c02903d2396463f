"""Comments and favourites. A comment's counts are kept in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from ..models import Changed, Comment, Order, PageEvent, RoomKey, Status, Text, User, Viewer
from .database import Row, Snapshot
from .pages import PAGE_ID, change_page, find_page, make_page, where
from .writer import Transaction

T = TypeVar("T")

MOST_HELD = 200
"""Held ones that one list shows; the newest count."""

COMMENT = (
    "c.id, c.user_id, c.content, c.html, c.status, c.favor_count, c.reply_count, c.edited,"
    " c.created_at, c.updated_at, c.said_at, c.kept_by"
)
_BARE = COMMENT.replace("c.", "")
_ORDERS = {
    Order.FAVOR_COUNT: "favor_count desc, id desc",
    Order.CREATED_AT: "created_at desc, id desc",
    Order.CREATED_AT_ASC: "created_at, id",
    Order.REPLY_COUNT: "reply_count desc, id desc",
}
_KEYS: dict[Order, Callable[[Comment], tuple[int, int]]] = {
    Order.FAVOR_COUNT: lambda comment: (-comment.favor_count, -comment.id),
    Order.CREATED_AT: lambda comment: (-comment.created_at, -comment.id),
    Order.CREATED_AT_ASC: lambda comment: (comment.created_at, comment.id),
    Order.REPLY_COUNT: lambda comment: (-comment.reply_count, -comment.id),
}
"""The same orders."""
_BEHIND = {Order.CREATED_AT: "<", Order.CREATED_AT_ASC: ">"}


def comment_of(row: Row, fav_id: int = 0) -> Comment:
    """The comment that a row with the columns `COMMENT` holds."""
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
        said_at=row["said_at"],
        kept_by=row["kept_by"],
    )


def text_row(text: Text) -> dict[str, Any]:
    """What a row holds of a text; by the digest, 64 bits of BLAKE2b (RFC 7693), it is found."""
    digest = blake2b(text.content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return {
        "content": text.content,
        "digest": int.from_bytes(digest, "big", signed=True),
        "html": text.html,
        "version": text.version,
    }


def merged(listed: Sequence[T], held: Sequence[T], key: Callable[[T], Any]) -> Sequence[T]:
    """Both in the order of `key`, in which `listed` is."""
    return sorted((*listed, *held), key=key) if held else listed


# Reading.


class Listed(NamedTuple):
    """A part of a page's comments, and what the page is like as of that moment."""

    total: int
    """How many there are for whoever asked."""
    revision: int
    comments: Sequence[Comment]


async def list_comments(
    snapshot: Snapshot,
    room: RoomKey,
    order: Order,
    viewer: Viewer,
    *,
    limit: int,
    offset: int,
    after_id: int | None,
    inclusive: bool = False,
) -> Listed:
    """How many comments a page has for a viewer, and some of them.

    `after_id`, in the orders of time alone, is the last one that is known already, or, where
    `inclusive`, the first that is wanted; none of this page: nothing comes behind it.
    """
    page = await snapshot.fetch_one(
        "select id, comment_total, revision from pages where site_id = :site_id and slug = :slug",
        where(room),
    )
    if page is None:
        return Listed(0, 0, [])
    revision = page["revision"]
    key = _KEYS[order]
    held = shown = await _held_comments(snapshot, page["id"], viewer) if viewer.user_id else []
    behind = ""
    if after_id is not None:
        last = await snapshot.fetch_one(
            f"select {COMMENT} from comments as c where id = :id and page_id = :page_id"
            " and (status != 'pending' or user_id = :user_id or :sees_held)",
            {
                "id": after_id,
                "page_id": page["id"],
                "user_id": viewer.user_id,
                "sees_held": int(viewer.sees_held),
            },
        )
        if last is None:
            return Listed(page["comment_total"] + len(held), revision, [])
        behind = _BEHIND[order] + "=" * inclusive
        behind = f" and (created_at, id) {behind} (:created_at, :after_id)"
        after = key(comment_of(last))
        shown = [
            comment
            for comment in held
            if key(comment) > after or (inclusive and comment.id == after_id)
        ]
    total = page["comment_total"] + len(held)
    if offset >= total:
        return Listed(total, revision, [])
    # Held ones stand somewhere between those that are listed: as many more on both sides.
    before = max(0, offset - len(shown))
    rows = await snapshot.fetch(
        f"select {COMMENT} from comments as c where page_id = :page_id and listed = 1{behind}"
        f" order by {_ORDERS[order]} limit :limit offset :offset",
        {
            "page_id": page["id"],
            "after_id": after_id,
            "created_at": last["created_at"] if after_id is not None and last else 0,
            "limit": limit + len(shown),
            "offset": before,
        },
    )
    found = merged([comment_of(row) for row in rows], shown, key)
    start = offset - before
    return Listed(total, revision, found[start : start + limit])


async def _held_comments(snapshot: Snapshot, page_id: int, viewer: Viewer) -> list[Comment]:
    rows = await snapshot.fetch(
        f"select {COMMENT} from comments as c where page_id = :page_id and status = 'pending'"
        " and (user_id = :user_id or :sees_held) order by id desc limit :most",
        {
            "page_id": page_id,
            "user_id": viewer.user_id,
            "sees_held": int(viewer.sees_held),
            "most": MOST_HELD,
        },
    )
    return [comment_of(row) for row in rows]


async def shows_held(snapshot: Snapshot, room: RoomKey, viewer: Viewer) -> bool:
    """Whether a viewer sees comments of a page that others do not."""
    row = await snapshot.fetch_one(
        f"select 1 from comments where page_id = {PAGE_ID} and status = 'pending'"
        " and (user_id = :user_id or :sees_held) limit 1",
        where(room, user_id=viewer.user_id, sees_held=int(viewer.sees_held)),
    )
    return row is not None


async def favourites_of(
    snapshot: Snapshot, comment_ids: Sequence[int], user_id: int
) -> Mapping[int, int]:
    """What a user likes of some comments: comment id → id of the favourite."""
    if not comment_ids:
        return {}
    names = {f"id{n}": comment_id for n, comment_id in enumerate(comment_ids)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await snapshot.fetch(
        "select comment_id, id from favourites where user_id = :user_id"
        f" and comment_id in ({marks})",
        {"user_id": user_id, **names},
    )
    return {row["comment_id"]: row["id"] for row in rows}


async def find_visible(
    snapshot: Snapshot, room: RoomKey, comment_id: int, viewer: Viewer
) -> Comment | None:
    """A comment of the page that a viewer may see; None if there is none."""
    row = await snapshot.fetch_one(
        f"select {COMMENT} from comments as c where id = :id and page_id = {PAGE_ID} and"
        " (listed = 1 or status = 'pending' and (user_id = :user_id or :sees_held))",
        where(
            room,
            id=comment_id,
            user_id=viewer.user_id,
            sees_held=int(viewer.sees_held),
        ),
    )
    if row is None:
        return None
    favourite = await snapshot.fetch_one(
        "select id from favourites where comment_id = :id and user_id = :user_id",
        {"id": comment_id, "user_id": viewer.user_id},
    )
    return comment_of(row, favourite["id"] if favourite else 0)


# Writing.


@dataclass(frozen=True, slots=True)
class NewComment:
    """A comment that somebody wants to write; with `hold` it shall wait for approval.

    The same text by the same person on the page since `same_since` counts as this one, and not
    `may_write` finds that alone.
    """

    room: RoomKey
    author: User
    text: Text
    now: int
    same_since: int
    hold: bool
    may_write: bool


@dataclass(slots=True)
class _Open:
    """A page to which comments of one batch are added."""

    id: int
    closed: bool
    revision: int
    changes: int = 0
    published: int = 0


def write_comments(
    tx: Transaction, wanted: Sequence[NewComment]
) -> Sequence[Changed[Comment | None]]:
    """Store comments in their order, each page's row changed once for all of them.

    Events say which of them are new; None where the page is closed, or nothing may be written.
    """
    pages: dict[RoomKey, _Open | None] = {}
    results = [_write_comment(tx, new, pages) for new in wanted]
    for page in pages.values():
        if page is not None and page.changes:
            count = page.published
            change_page(tx, page.id, changes=page.changes, listed=count, published=count)
    return results


def _write_comment(
    tx: Transaction, new: NewComment, pages: dict[RoomKey, _Open | None]
) -> Changed[Comment | None]:
    room = new.room
    if room not in pages:
        row = find_page(tx, room)
        pages[room] = (
            None if row is None else _Open(row["id"], bool(row["closed"]), row["revision"])
        )
    page = pages[room]
    values = text_row(new.text)
    if page is not None:
        same = _same_comment(tx, page.id, new.author.id, new.same_since, values)
        if same is not None:
            return Changed(same, room)
        if page.closed:
            return Changed(None, room, is_closed=True)
    if not new.may_write:
        return Changed(None, room)
    if page is None:
        page = pages[room] = _Open(make_page(tx, room, new.now)["id"], closed=False, revision=0)
    number = tx.insert(
        "insert into comments (page_id, user_id, content, digest, html, html_version, status,"
        " listed, created_at, updated_at) values (:page_id, :user_id, :content, :digest, :html,"
        " :version, :status, :listed, :now, :now)",
        {
            "page_id": page.id,
            "user_id": new.author.id,
            "status": Status.PENDING if new.hold else Status.PUBLISHED,
            "listed": int(not new.hold),
            "now": new.now,
            **values,
        },
    )
    assert number is not None
    comment = Comment(
        id=number,
        user_id=new.author.id,
        content=new.text.content,
        html=new.text.html,
        status=Status.PENDING if new.hold else Status.PUBLISHED,
        favor_count=0,
        reply_count=0,
        edited=False,
        created_at=new.now,
        updated_at=new.now,
    )
    if not new.hold:
        page.changes += 1
        page.published += 1
    only = new.author.id if new.hold else 0
    event = PageEvent("comment_created", page.revision + page.changes, comment, new.author, only)
    return Changed(comment, room, [event])


def _same_comment(
    tx: Transaction, page_id: int, user_id: int, since: int, values: Mapping[str, Any]
) -> Comment | None:
    row = tx.fetch_one(
        f"select {COMMENT} from comments as c where user_id = :user_id and digest = :digest"
        " and page_id = :page_id and created_at >= :since and content = :content"
        " and said_at is null"
        " and status in ('published', 'pending') order by id limit 1",
        {"user_id": user_id, "page_id": page_id, "since": since, **values},
    )
    if row is None:
        return None
    return comment_of(row, favourite_of(tx, row["id"], user_id) if row["favor_count"] else 0)


def find_comment(tx: Transaction, room: RoomKey, comment_id: int) -> Comment | None:
    """A comment of the page, whatever its status."""
    row = tx.fetch_one(
        f"select {COMMENT} from comments as c where id = :id and page_id = {PAGE_ID}",
        where(room, id=comment_id),
    )
    return comment_of(row) if row else None


def edit_comment(tx: Transaction, comment_id: int, text: Text, now: int) -> Comment:
    """Another text for a comment."""
    row = tx.fetch_one(
        "update comments set content = :content, digest = :digest, html = :html,"
        " html_version = :version, edited = 1, updated_at = :now"
        f" where id = :id returning {_BARE}",
        {"id": comment_id, "now": now, **text_row(text)},
    )
    assert row is not None
    return comment_of(row)


def approve_comment(tx: Transaction, comment_id: int) -> Comment:
    """Publish a held comment. `change_page` is for the caller to do."""
    row = tx.fetch_one(
        f"update comments set status = 'published', listed = 1 where id = :id returning {_BARE}",
        {"id": comment_id},
    )
    assert row is not None
    return comment_of(row)


def delete_comment(tx: Transaction, comment_id: int, deleted_by: int, now: int) -> bool:
    """Erase a comment's text; whether it stays listed, as one with replies does."""
    row = tx.fetch_one(
        "update comments set content = '', digest = 0, html = '', status = 'deleted',"
        " updated_at = :now, deleted_at = :now, deleted_by = :deleted_by,"
        " listed = (reply_count > 0)"
        " where id = :id returning listed",
        {"id": comment_id, "deleted_by": deleted_by, "now": now},
    )
    assert row is not None
    return bool(row["listed"])


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
