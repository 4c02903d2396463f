"""Talk that is kept below a page: what was said, what was kept of it before, and keeping it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..models import Comment, RoomKey, Status, Text
from ..protocol import dump_json
from .comments import find_comment, text_row
from .pages import PAGE_ID, where
from .writer import Transaction

_MOST_LINES = 10_000
"""Lines of a room's record that a stretch may span: what was deleted in between counts too."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message that is there still; `row` is its own. `is_gone`: who said it has left."""

    row: int
    user_id: int
    data: str
    said_at: int
    is_gone: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages in the order of the room's record; `is_cut`: there are more than were asked for."""

    messages: Sequence[Said]
    is_cut: bool


def find_stretch(
    tx: Transaction, room: RoomKey, one_end: str, other_end: str, most: int
) -> Stretch | None:
    """What is there of a room's talk between two messages, both included, in whichever order.

    None if an end never had a place in the room.
    """
    ends = {
        row["message_id"]: row["seq"]
        for row in tx.fetch(
            f"select message_id, seq from messages where page_id = {PAGE_ID}"
            " and message_id in (:one, :other) and seq is not null",
            where(room, one=one_end, other=other_end),
        )
    }
    if not {one_end, other_end} <= ends.keys():
        return None
    first, last = min(ends.values()), max(ends.values())
    if last - first >= _MOST_LINES:
        return Stretch((), is_cut=True)
    rows = tx.fetch(
        "select m.id, m.user_id, m.data, m.created_at, u.deleted_at from room_log as log"
        " join messages as m on m.id = log.message_row join users as u on u.id = m.user_id"
        f" where log.page_id = {PAGE_ID} and log.seq between :first and :last"
        " and m.seq = log.seq and m.status = 'published' order by log.seq limit :most",
        where(room, first=first, last=last, most=most + 1),
    )
    messages = [
        Said(row["id"], row["user_id"], row["data"], row["created_at"], bool(row["deleted_at"]))
        for row in rows[:most]
    ]
    return Stretch(messages, is_cut=len(rows) > most)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of messages: by their rows."""

    comments: Mapping[int, int]
    """The comments, and"""
    replies: Mapping[int, int]
    """the replies on this page that they are."""
    taken_back: frozenset[int]
    """Those that were kept, on whichever page, and then deleted by who had said it."""


def find_kept(tx: Transaction, page: RoomKey, messages: Sequence[Said]) -> Kept:
    """What was kept of these messages before."""
    given = where(page, rows=dump_json([said.row for said in messages]).decode())
    comments: dict[int, int] = {}
    replies: dict[int, int] = {}
    taken_back: set[int] = set()
    for kind, found in (
        ("comments as t join comments as c on c.id = t.id", comments),
        ("replies as t join comments as c on c.id = t.comment_id", replies),
    ):
        for row in tx.fetch(
            "select t.id, t.message_row, t.status, coalesce(t.deleted_by = t.user_id, 0) as own,"
            f" coalesce(c.page_id = {PAGE_ID}, 0) as is_here from {kind}"
            " where t.message_row in (select value from json_each(:rows))",
            given,
        ):
            if row["status"] == Status.DELETED:
                if row["own"]:
                    taken_back.add(row["message_row"])
            elif row["is_here"]:
                found[row["message_row"]] = row["id"]
    return Kept(comments, replies, frozenset(taken_back))


def insert_thread(
    tx: Transaction,
    page_id: int,
    room: RoomKey,
    messages: Sequence[Said],
    texts: Mapping[int, Text],
    *,
    kept_by: int,
    now: int,
) -> Comment:
    """The first of these messages as a comment, the others as replies to it, in their order.

    `texts` by the messages' rows. The page's counts are for the caller to change.
    """
    first, *others = [
        {
            "user_id": said.user_id,
            "said_at": said.said_at,
            "message_row": said.row,
            "now": now,
            **text_row(texts[said.row]),
        }
        for said in messages
    ]
    number = tx.insert(
        "insert into comments (page_id, user_id, content, digest, html, html_version, status,"
        " listed, reply_count, said_at, kept_by, message_row, created_at, updated_at)"
        " values (:page_id, :user_id, :content, :digest, :html, :version, 'published', 1,"
        " :replies, :said_at, :kept_by, :message_row, :now, :now)",
        first | {"page_id": page_id, "replies": len(others), "kept_by": kept_by},
    )
    assert number is not None
    tx.execute_many(
        "insert into replies (comment_id, user_id, content, digest, html, html_version, status,"
        " said_at, message_row, created_at, updated_at) values (:comment_id, :user_id, :content,"
        " :digest, :html, :version, 'published', :said_at, :message_row, :now, :now)",
        [other | {"comment_id": number} for other in others],
    )
    comment = find_comment(tx, room, number)
    assert comment is not None
    return comment
