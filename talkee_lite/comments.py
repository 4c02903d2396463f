"""Rules for comments, replies and favourites."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from .clock import SECOND, Clock, SteadyClock
from .errors import (
    Banned,
    CommentDeleted,
    CommentNotFound,
    Forbidden,
    InvalidContent,
    InvalidOrderBy,
    InvalidPage,
    InvalidReplyTo,
    RateLimited,
    ReplyNotFound,
    RoomClosed,
)
from .limits import Limits
from .markdown import VERSION, rendered
from .models import (
    Caller,
    Changed,
    Comment,
    Order,
    PageEvent,
    Reply,
    RoomKey,
    Status,
    UserKind,
)
from .people import People
from .protocol import comment_fields, dump_json, json_fragment, parse_number
from .store import comments as store
from .store.database import Database, Row
from .store.users import find_user
from .store.writer import Transaction
from .text import clean_text
from .threads import Shape, Thread, Threads

T = TypeVar("T")

MOST_COMMENT = 10_240
"""Characters of a comment."""
MOST_REPLY = 5_120
"""Characters of a reply."""
MOST_LISTED = 100
MOST_COUNTED = 500
"""Pages in one call for counts."""
EDIT_WITHIN = 15 * 60 * SECOND
"""How long people may change what they wrote; moderators always may."""
_SAME_WITHIN = 60 * SECOND
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list somebody asks for."""

    order: Order
    limit: int
    offset: int
    after_id: int | None


def parse_window(given: Mapping[str, str]) -> Window:
    """The `limit`, `offset`, `after_id` and `order_by` of an address.

    Raises InvalidPage or InvalidOrderBy, naming the field.
    """
    try:
        order = Order(given.get("order_by", Order.FAVOR_COUNT))
    except ValueError:
        raise InvalidOrderBy(field="order_by") from None
    limit = _number(given, "limit", _LISTED)
    if limit > MOST_LISTED:
        raise InvalidPage(field="limit")
    offset = _number(given, "offset", 0, zero=True)
    after_id = _number(given, "after_id", 0) or None
    if after_id and (offset or order not in (Order.CREATED_AT, Order.CREATED_AT_ASC)):
        raise InvalidPage(field="after_id")
    return Window(order, limit, offset, after_id)


def _number(given: Mapping[str, str], field: str, default: int, *, zero: bool = False) -> int:
    if field not in given:
        return default
    number = parse_number(given[field], zero=zero)
    if number is None:
        raise InvalidPage(field=field)
    return number


def checked_content(typed: str, most: int) -> str:
    """A text as it is stored: cleaned and trimmed, 1 to `most` characters.

    Raises InvalidContent.
    """
    content = clean_text(typed.replace("\r\n", "\n")).strip()
    if not 1 <= len(content) <= most:
        raise InvalidContent(f"content must have 1 to {most:,} characters.", field="content")
    return content


class Comments:
    """Everything that may be done with comments and replies."""

    def __init__(
        self,
        db: Database,
        people: People,
        pace: Limits,
        clock: Clock,
        pace_clock: SteadyClock,
    ) -> None:
        self._db = db
        self._people = people
        self._pace = pace
        self._clock = clock
        self._pace_clock = pace_clock
        self.threads = Threads()

    # Reading.

    async def list(self, room: RoomKey, window: Window, user_id: int) -> bytes:
        """How many comments a page has, and those of the window, as JSON: `total`, `comments`.

        The beginnings of lists are kept in memory until something on their page changes.
        """
        shape, generation = Shape(window.order, window.limit), self._people.generation
        is_first = not window.offset and window.after_id is None
        thread = self.threads.find(room, shape, generation) if is_first else None
        likes = self.threads.favourites(room, user_id) if user_id else {}
        if thread is not None and likes is not None:
            return thread.for_caller(likes)
        with self.threads.reading(room) as reading:
            async with self._db.snapshot() as snapshot:
                total, comments = await store.list_comments(
                    snapshot,
                    room,
                    window.order,
                    limit=window.limit,
                    offset=window.offset,
                    after_id=window.after_id,
                )
                likes = await store.favourites_on(snapshot, room, user_id) if user_id else {}
            await self._people.load(comment.user_id for comment in comments)
            generation = self._people.generation
            shown = [(comment.id, self.comment_json(room, comment)) for comment in comments]
            thread = Thread(total, shown, generation)
            if is_first and total:
                self.threads.keep(room, shape, thread, reading)
                if user_id:
                    self.threads.keep_favourites(room, user_id, likes, reading)
        return thread.for_caller(likes)

    def comment_json(self, room: RoomKey, comment: Comment) -> bytes:
        """A comment as JSON. Its author must be in memory."""
        if comment.status is Status.DELETED:
            return dump_json(comment_fields(comment, room, self._people.nobody()))
        creator = json_fragment(self._people.profile(room.site_id, comment.user_id))
        return dump_json(comment_fields(comment, room, creator))

    async def get(self, room: RoomKey, comment_id: int, user_id: int) -> Comment:
        """One comment of the page. Raises CommentNotFound."""
        async with self._db.snapshot() as snapshot:
            comment = await store.find_listed(snapshot, room, comment_id, user_id)
        if comment is None:
            raise CommentNotFound
        await self._people.load([comment.user_id])
        return comment

    async def replies(
        self, room: RoomKey, comment_id: int, window: Window
    ) -> tuple[int, Sequence[Reply]]:
        """How many replies a comment has, and those of the window. Raises CommentNotFound."""
        async with self._db.snapshot() as snapshot:
            if await store.find_listed(snapshot, room, comment_id, 0) is None:
                raise CommentNotFound
            total, replies = await store.list_replies(
                snapshot,
                comment_id,
                limit=window.limit,
                offset=window.offset,
                oldest_first=window.order is Order.CREATED_AT_ASC,
            )
        await self._people.load(reply.user_id for reply in replies)
        return total, replies

    async def counts(self, site_id: int, slugs: Sequence[str]) -> dict[str, int]:
        """Slug → how much is published there, for each of `slugs`."""
        found = await store.count_pages(self._db, site_id, slugs) if slugs else {}
        return {slug: found.get(slug, 0) for slug in slugs}

    # Writing.

    async def post(
        self, caller: Caller, room: RoomKey, typed: str, address: str
    ) -> tuple[Comment, bool]:
        """A new comment, and whether it was there already: the same text again within a minute.

        Raises InvalidContent, Banned, RoomClosed, RateLimited or Unavailable.
        """
        content = checked_content(typed, MOST_COMMENT)
        html, now, user_id = await rendered(content), self._clock(), caller.user.id

        def earlier(tx: Transaction, page: Row) -> Comment | None:
            return store.same_comment(tx, page["id"], user_id, content, now - _SAME_WITHIN)

        def write(tx: Transaction, page: Row) -> Changed[Comment]:
            comment = store.insert_comment(
                tx,
                page["id"],
                user_id=user_id,
                content=content,
                html=html,
                version=VERSION,
                now=now,
            )
            first = store.change_page(tx, page["id"], changes=1, listed=1, published=1)
            return Changed(comment, room, [_event(tx, "comment_created", first, comment)])

        return await self._write(caller, room, address, earlier, write)

    async def reply(
        self,
        caller: Caller,
        room: RoomKey,
        comment_id: int,
        typed: str,
        reply_to: int,
        address: str,
    ) -> tuple[Reply, bool]:
        """A new reply, as `post`.

        Raises CommentNotFound, CommentDeleted and InvalidReplyTo too.
        """
        content = checked_content(typed, MOST_REPLY)
        html, now, user_id = await rendered(content), self._clock(), caller.user.id

        def earlier(tx: Transaction, page: Row) -> Reply | None:
            reply = store.same_reply(tx, page["id"], user_id, content, now - _SAME_WITHIN)
            same = reply is not None and (reply.comment_id, reply.reply_to) == (
                comment_id,
                reply_to,
            )
            return reply if same else None

        def write(tx: Transaction, page: Row) -> Changed[Reply]:
            self._open_comment(tx, room, comment_id)
            if reply_to:
                answered = store.find_reply(tx, comment_id, reply_to)
                if answered is None or answered.status is not Status.PUBLISHED:
                    raise InvalidReplyTo(field="reply_to")
            reply = store.insert_reply(
                tx,
                comment_id,
                reply_to=reply_to,
                user_id=user_id,
                content=content,
                html=html,
                version=VERSION,
                now=now,
            )
            first = store.change_page(tx, page["id"], changes=2, published=1)
            created = _event(tx, "reply_created", first, reply)
            return Changed(reply, room, [created, self._updated(tx, room, comment_id, first + 1)])

        return await self._write(caller, room, address, earlier, write)

    async def _write(
        self,
        caller: Caller,
        room: RoomKey,
        address: str,
        earlier: Callable[[Transaction, Row], T | None],
        write: Callable[[Transaction, Row], Changed[T]],
    ) -> tuple[T, bool]:
        """Write something new, unless the same is there: that is answered and costs nothing."""
        now, pace_now = self._clock(), self._pace_clock()
        if caller.user.banned_until > now:
            raise Banned
        keys = (caller.user.id, address)
        wait = self._pace.take(keys, pace_now)

        def job(tx: Transaction) -> Changed[T]:
            page = store.find_page(tx, room)
            if page is not None:
                found = earlier(tx, page)
                if found is not None:
                    return Changed(found, room)
            if wait:
                raise RateLimited(retry_after=wait)
            if page is None:
                page = store.make_page(tx, room, now)
            elif page["closed"]:
                raise RoomClosed
            return write(tx, page)

        written = False
        try:
            changed = await self._db.write(job)
            written = bool(changed.events)
            return changed.result, not written
        finally:
            if not written and not wait:
                self._pace.give_back(keys, pace_now)

    async def edit(self, caller: Caller, room: RoomKey, comment_id: int, typed: str) -> Comment:
        """Change a comment's text. Raises InvalidContent, CommentNotFound or Forbidden."""
        content = checked_content(typed, MOST_COMMENT)
        html, now = await rendered(content), self._clock()

        def job(tx: Transaction) -> Changed[Comment]:
            comment = self._own_comment(tx, caller, room, comment_id, now)
            if comment.content == content:
                return Changed(comment, room)
            comment = store.edit_comment(
                tx, comment_id, content=content, html=html, version=VERSION, now=now
            )
            first = store.change_page(tx, self._page_id(tx, room), changes=1)
            return Changed(comment, room, [_event(tx, "comment_updated", first, comment)])

        return await self._changed(caller, job)

    async def delete(self, caller: Caller, room: RoomKey, comment_id: int) -> None:
        """Erase a comment; again changes nothing. Raises CommentNotFound or Forbidden."""
        now = self._clock()

        def job(tx: Transaction) -> Changed[None]:
            comment = store.find_comment(tx, room, comment_id)
            if comment is None:
                raise CommentNotFound
            self._check_may_change(caller, room, comment.user_id, comment.created_at, now)
            if comment.status is not Status.PUBLISHED:
                return Changed(None, room)
            stays = store.delete_comment(tx, comment_id, caller.user.id, now)
            first = store.change_page(
                tx, self._page_id(tx, room), changes=1, listed=0 if stays else -1, published=-1
            )
            gone = PageEvent("comment_deleted", first, {"comment_id": comment_id})
            return Changed(None, room, [gone])

        await self._changed(caller, job)

    async def edit_reply(
        self, caller: Caller, room: RoomKey, comment_id: int, reply_id: int, typed: str
    ) -> Reply:
        """Change a reply's text.

        Raises InvalidContent, CommentNotFound, ReplyNotFound or Forbidden.
        """
        content = checked_content(typed, MOST_REPLY)
        html, now = await rendered(content), self._clock()

        def job(tx: Transaction) -> Changed[Reply]:
            reply = self._reply_of(tx, room, comment_id, reply_id)
            if reply.status is not Status.PUBLISHED:
                raise ReplyNotFound
            self._check_may_change(caller, room, reply.user_id, reply.created_at, now)
            if reply.content == content:
                return Changed(reply, room)
            reply = store.edit_reply(
                tx, reply_id, content=content, html=html, version=VERSION, now=now
            )
            first = store.change_page(tx, self._page_id(tx, room), changes=1)
            return Changed(reply, room, [_event(tx, "reply_updated", first, reply)])

        return await self._changed(caller, job)

    async def delete_reply(
        self, caller: Caller, room: RoomKey, comment_id: int, reply_id: int
    ) -> None:
        """Erase a reply; again changes nothing.

        Raises CommentNotFound, ReplyNotFound or Forbidden.
        """
        now = self._clock()

        def job(tx: Transaction) -> Changed[None]:
            reply = self._reply_of(tx, room, comment_id, reply_id)
            self._check_may_change(caller, room, reply.user_id, reply.created_at, now)
            if reply.status is not Status.PUBLISHED:
                return Changed(None, room)
            stays = store.delete_reply(tx, reply_id, caller.user.id, now)
            first = store.change_page(
                tx, self._page_id(tx, room), changes=2, listed=0 if stays else -1, published=-1
            )
            ids = {"comment_id": comment_id, "reply_id": reply_id}
            if stays:
                then = self._updated(tx, room, comment_id, first + 1)
            else:
                then = PageEvent("comment_deleted", first + 1, {"comment_id": comment_id})
            return Changed(None, room, [PageEvent("reply_deleted", first, ids), then])

        await self._changed(caller, job)

    async def favour(
        self, caller: Caller, room: RoomKey, comment_id: int, *, likes: bool
    ) -> Comment:
        """Like a comment, or not any more; again changes nothing.

        Raises CommentNotFound or CommentDeleted.
        """
        now, user_id = self._clock(), caller.user.id

        def job(tx: Transaction) -> Changed[Comment]:
            self._open_comment(tx, room, comment_id)
            if likes:
                is_new = store.add_favourite(tx, comment_id, user_id, now)
            else:
                is_new = store.remove_favourite(tx, comment_id, user_id)
            comment = self._open_comment(tx, room, comment_id)
            fav_id = store.favourite_of(tx, comment_id, user_id)
            events = []
            if is_new:
                first = store.change_page(tx, self._page_id(tx, room), changes=1)
                events.append(_event(tx, "comment_updated", first, comment))
            return Changed(replace(comment, fav_id=fav_id), room, events)

        return await self._changed(caller, job)

    async def recount(self) -> tuple[int, int]:
        """Set right the counts of comments and pages; how many of each were off."""
        return await self._db.write(store.recount)

    # What jobs share.

    async def _changed(self, caller: Caller, job: Callable[[Transaction], Changed[T]]) -> T:
        if caller.user.banned_until > self._clock():
            raise Banned
        result = (await self._db.write(job)).result
        if isinstance(result, Comment | Reply):
            await self._people.load([result.user_id])
        return result

    def _page_id(self, tx: Transaction, room: RoomKey) -> int:
        page = store.find_page(tx, room)
        assert page is not None
        return int(page["id"])

    def _updated(self, tx: Transaction, room: RoomKey, comment_id: int, number: int) -> PageEvent:
        """A comment's counts have changed."""
        comment = store.find_comment(tx, room, comment_id)
        assert comment is not None
        return _event(tx, "comment_updated", number, comment)

    def _open_comment(self, tx: Transaction, room: RoomKey, comment_id: int) -> Comment:
        comment = store.find_comment(tx, room, comment_id)
        if comment is None:
            raise CommentNotFound
        if comment.status is Status.DELETED:
            raise CommentDeleted
        return comment

    def _own_comment(
        self, tx: Transaction, caller: Caller, room: RoomKey, comment_id: int, now: int
    ) -> Comment:
        comment = store.find_comment(tx, room, comment_id)
        if comment is None or comment.status is not Status.PUBLISHED:
            raise CommentNotFound
        self._check_may_change(caller, room, comment.user_id, comment.created_at, now)
        return comment

    def _reply_of(self, tx: Transaction, room: RoomKey, comment_id: int, reply_id: int) -> Reply:
        if store.find_comment(tx, room, comment_id) is None:
            raise CommentNotFound
        reply = store.find_reply(tx, comment_id, reply_id)
        if reply is None:
            raise ReplyNotFound
        return reply

    def _check_may_change(
        self, caller: Caller, room: RoomKey, author_id: int, created_at: int, now: int
    ) -> None:
        kind = self._people.kind(caller.user, room.site_id)
        if kind in (UserKind.MODERATOR, UserKind.ADMIN):
            return
        if author_id != caller.user.id:
            raise Forbidden
        if now - created_at > EDIT_WITHIN:
            raise Forbidden("What was written can be changed for 15 minutes.")


def _event(tx: Transaction, name: str, revision: int, about: Comment | Reply) -> PageEvent:
    # Whoever wrote it may not be in memory, and is pushed with it.
    return PageEvent(name, revision, about, find_user(tx, about.user_id))
