"""Posting messages: many in one go where that is possible, and one by one where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..models import Entry, LogKind, MessageDraft, Outcome, PostResult, RoomKey, Status
from .database import Row
from .messages import EARLIER, INSERT_LINE, MOVE_ROOM, judge_earlier, line_row, write_line
from .writer import Transaction


@dataclass(frozen=True, slots=True)
class Post:
    """A message that somebody wants to post; with `hold` it shall wait for approval."""

    room: RoomKey
    draft: MessageDraft
    user_id: int
    now: int
    hold: bool = False


def post_messages(tx: Transaction, posts: Sequence[Post]) -> Sequence[PostResult]:
    """Store messages as `post_message` does, in their order; many cost a third of it each."""
    if len(posts) > 1:
        with tx.undone() as undo:
            results = _post_new(tx, posts)
            if results is not None:
                return results
            undo()
    return [post_message(tx, post) for post in posts]


def _post_new(tx: Transaction, posts: Sequence[Post]) -> Sequence[PostResult] | None:
    """Store messages, if all of them are new and go to open rooms that were used before."""
    pages: dict[RoomKey, int] = {}
    last_seqs: dict[RoomKey, int] = {}
    for room in {post.room for post in posts}:
        page = _find_page(tx, room)
        if page is None or page["closed"]:
            return None
        pages[room], last_seqs[room] = page["id"], page["last_seq"]
    rows = []
    results = []
    for post in posts:
        if post.hold:
            return None
        room = post.room
        seq = last_seqs[room] = last_seqs[room] + 1
        rows.append(_message_row(post, pages[room], seq))
        results.append(PostResult(Outcome.POSTED, room, _posted(post, seq)))
    ids = tx.insert_many(_INSERT_MESSAGE, rows)
    if ids is None:
        return None
    tx.execute_many(
        INSERT_LINE,
        [
            line_row(row["page_id"], row["seq"], LogKind.POSTED, row["now"], message_row=number)
            for row, number in zip(rows, ids, strict=True)
        ],
    )
    tx.execute_many(
        MOVE_ROOM,
        [{"seq": seq, "page_id": pages[room]} for room, seq in last_seqs.items()],
    )
    return results


def post_message(tx: Transaction, post: Post) -> PostResult:
    """Store a message and its line in the record, unless its id was used before.

    The next `seq` comes from the room's row, inside the transaction: it has no holes and is
    never given out twice. One that is held has none yet.
    """
    room = post.room
    page = _find_page(tx, room)
    if page is None:
        page = tx.fetch_one(
            "insert into pages (site_id, slug, created_at) values (:site_id, :slug, :now)"
            " returning id, last_seq, closed",
            {"site_id": room.site_id, "slug": room.slug, "now": post.now},
        )
        assert page is not None
    elif page["closed"]:
        return _earlier(tx, page["id"], post) or PostResult(Outcome.CLOSED, room, None)
    seq = None if post.hold else page["last_seq"] + 1
    row = tx.insert(_INSERT_MESSAGE, _message_row(post, page["id"], seq))
    if row is None:
        earlier = _earlier(tx, page["id"], post)
        assert earlier is not None
        return earlier
    if seq is not None:
        write_line(tx, page["id"], seq, LogKind.POSTED, post.now, message_row=row)
    return PostResult(Outcome.HELD if post.hold else Outcome.POSTED, room, _posted(post, seq or 0))


_INSERT_MESSAGE = (
    "insert into messages (page_id, message_id, user_id, category, data, status, seq, created_at)"
    " values (:page_id, :message_id, :user_id, :category, :data, :status, :seq, :now)"
    " on conflict (page_id, message_id) do nothing"
)


def _find_page(tx: Transaction, room: RoomKey) -> Row | None:
    return tx.fetch_one(
        "select id, last_seq, closed from pages where site_id = :site_id and slug = :slug",
        {"site_id": room.site_id, "slug": room.slug},
    )


def _message_row(post: Post, page_id: int, seq: int | None) -> dict[str, Any]:
    return {
        "page_id": page_id,
        "message_id": post.draft.message_id,
        "user_id": post.user_id,
        "category": post.draft.category,
        "data": post.draft.data,
        "status": Status.PENDING if post.hold else Status.PUBLISHED,
        "seq": seq,
        "now": post.now,
    }


def _posted(post: Post, seq: int) -> Entry:
    return Entry(
        seq=seq,
        kind=LogKind.POSTED,
        message_id=post.draft.message_id,
        category=post.draft.category,
        data=post.draft.data,
        created_at=post.now,
        user_id=post.user_id,
        status=Status.PENDING if post.hold else Status.PUBLISHED,
        about_seq=seq,
    )


def _earlier(tx: Transaction, page_id: int, post: Post) -> PostResult | None:
    row = tx.fetch_one(EARLIER, {"page_id": page_id, "message_id": post.draft.message_id})
    return judge_earlier(row, post.room, post.draft, post.user_id) if row else None
