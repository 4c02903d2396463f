"""Parts of what changes a page: in a transaction, with the counts and events that follow."""

from __future__ import annotations

from dataclasses import replace

from .errors import CommentDeleted, CommentNotFound, ReplyNotFound
from .models import Caller, Comment, PageEvent, Reply, RoomKey, Status
from .store import comments as store
from .store import pages as page_store
from .store import replies as reply_store
from .store.users import find_user
from .store.writer import Transaction


def erase_comment(
    tx: Transaction, room: RoomKey, comment: Comment, deleted_by: int, now: int
) -> list[PageEvent]:
    """Erase a comment that is not deleted yet; the events of that."""
    stays = store.delete_comment(tx, comment.id, deleted_by, now)
    ids = {"comment_id": comment.id}
    if comment.status is Status.PENDING:
        return [held_event(tx, "comment_deleted", room, ids, comment.user_id)]
    first = page_store.change_page(
        tx, page_id_of(tx, room), changes=1, listed=0 if stays else -1, published=-1
    )
    return [PageEvent("comment_deleted", first, ids)]


def erase_reply(
    tx: Transaction, room: RoomKey, reply: Reply, deleted_by: int, now: int
) -> list[PageEvent]:
    """Erase a reply that is not deleted yet; the events of that."""
    stays = reply_store.delete_reply(tx, reply, deleted_by, now)
    ids = {"comment_id": reply.comment_id, "reply_id": reply.id}
    if reply.status is Status.PENDING:
        return [held_event(tx, "reply_deleted", room, ids, reply.user_id)]
    first = page_store.change_page(
        tx, page_id_of(tx, room), changes=2, listed=0 if stays else -1, published=-1
    )
    gone = PageEvent("reply_deleted", first, ids)
    if not stays:
        return [gone, PageEvent("comment_deleted", first + 1, {"comment_id": reply.comment_id})]
    return [gone, counted(tx, room, reply.comment_id, first + 1)]


def unfavour(tx: Transaction, room: RoomKey, comment_id: int, user_id: int) -> list[PageEvent]:
    """Take back a person's favourite; the events of that."""
    if not store.remove_favourite(tx, comment_id, user_id):
        return []
    comment = store.find_comment(tx, room, comment_id)
    assert comment is not None
    return [updated(tx, room, comment)] if comment.status is Status.PUBLISHED else []


def created_reply(
    tx: Transaction, room: RoomKey, page_id: int, reply: Reply, comment_id: int
) -> list[PageEvent]:
    """A reply is there, published or held."""
    if reply.status is Status.PENDING:
        return [held_event(tx, "reply_created", room, reply, reply.user_id)]
    first = page_store.change_page(tx, page_id, changes=2, published=1)
    created = event_of(tx, "reply_created", first, reply)
    return [created, counted(tx, room, comment_id, first + 1)]


def updated(tx: Transaction, room: RoomKey, about: Comment | Reply) -> PageEvent:
    """A text, or a comment's counts, have changed."""
    name = "comment_updated" if isinstance(about, Comment) else "reply_updated"
    if about.status is Status.PENDING:
        return held_event(tx, name, room, about, about.user_id)
    first = page_store.change_page(tx, page_id_of(tx, room), changes=1)
    return event_of(tx, name, first, about)


def counted(tx: Transaction, room: RoomKey, comment_id: int, revision: int) -> PageEvent:
    """A comment's counts have changed, which is counted as a change already."""
    comment = store.find_comment(tx, room, comment_id)
    assert comment is not None
    return event_of(tx, "comment_updated", revision, comment)


def event_of(tx: Transaction, name: str, revision: int, about: Comment | Reply) -> PageEvent:
    # Whoever wrote or kept it may not be in memory, and is pushed with it.
    author, *keepers = [find_user(tx, user_id) for user_id in about.people]
    return PageEvent(name, revision, about, author, keeper=keepers[0] if keepers else None)


def held_event(
    tx: Transaction,
    name: str,
    room: RoomKey,
    about: Comment | Reply | dict[str, int],
    author_id: int,
) -> PageEvent:
    """Nothing has changed for others, and the page's revision stays."""
    page = page_store.find_page(tx, room)
    assert page is not None
    return PageEvent(name, page["revision"], about, find_user(tx, author_id), author_id)


def page_id_of(tx: Transaction, room: RoomKey) -> int:
    page = page_store.find_page(tx, room)
    assert page is not None
    return int(page["id"])


def open_comment(tx: Transaction, room: RoomKey, comment_id: int) -> Comment:
    """A comment that can be answered and liked."""
    comment = store.find_comment(tx, room, comment_id)
    if comment is None or comment.status is Status.PENDING:
        raise CommentNotFound
    if comment.status is Status.DELETED:
        raise CommentDeleted
    return comment


def reply_of(tx: Transaction, room: RoomKey, comment_id: int, reply_id: int) -> Reply:
    if store.find_comment(tx, room, comment_id) is None:
        raise CommentNotFound
    reply = reply_store.find_reply(tx, comment_id, reply_id)
    if reply is None:
        raise ReplyNotFound
    return reply


def for_caller(tx: Transaction, caller: Caller | None, comment: Comment) -> Comment:
    """A comment with the caller's own favourite."""
    if caller is None or not comment.favor_count:
        return comment
    return replace(comment, fav_id=store.favourite_of(tx, comment.id, caller.user.id))
