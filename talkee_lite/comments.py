"""Rules for writing comments and replies, and for liking them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .clock import SECOND, Clock
from .comment_changes import (
    created_reply,
    erase_comment,
    erase_reply,
    event_of,
    for_caller,
    open_comment,
    page_id_of,
    reply_of,
    updated,
)
from .comment_lists import CommentLists
from .errors import (
    CommentDeleted,
    CommentNotFound,
    Forbidden,
    InvalidContent,
    InvalidReplyTo,
    ReplyNotFound,
)
from .markdown import MOST_HTML, rendered
from .models import (
    Caller,
    Changed,
    Comment,
    Reply,
    RoomKey,
    Status,
    Text,
)
from .people import People
from .sites import Sites
from .store import comments as store
from .store import counting
from .store import pages as page_store
from .store import replies as reply_store
from .store.database import Database
from .store.writer import Transaction
from .text import clean_text, is_visible
from .writing import Writing

T = TypeVar("T")

MOST_COMMENT = 10_240
"""Characters of a comment."""
MOST_REPLY = 5_120
"""Characters of a reply."""
EDIT_WITHIN = 15 * 60 * SECOND
"""How long people may change what they wrote; moderators always may."""
_SAME_WITHIN = 60 * SECOND


def checked_content(typed: str, most: int) -> str:
    """A text as it is stored: cleaned and trimmed, 1 to `most` characters.

    Raises InvalidContent.
    """
    content = clean_text(typed.replace("\r\n", "\n")).strip()
    if not 1 <= len(content) <= most or not is_visible(content):
        raise InvalidContent(f"content must have 1 to {most:,} characters.", field="content")
    return content


class Comments(CommentLists):
    """Everything that may be done with comments and replies.

    A `caller` of None is whoever owns the server.
    """

    def __init__(
        self, db: Database, people: People, sites: Sites, writing: Writing, clock: Clock
    ) -> None:
        super().__init__(db, people)
        self._sites = sites
        self._writing = writing
        self._clock = clock

    async def rendered(self, site_id: int, content: str) -> Text:
        """A checked text as the site shows it; 0 is no site. Raises InvalidContent."""
        while True:
            images = bool(site_id) and self._sites.get(site_id).images
            text = await rendered(content, images=images)
            if len(text.html) > MOST_HTML:
                raise InvalidContent(
                    f"content may become at most {MOST_HTML:,} characters of HTML.",
                    field="content",
                )
            # The site may be another by now: what is stored must be of today's rules.
            if not site_id or self._sites.get(site_id).images == images:
                return text

    async def preview(self, caller: Caller | None, site_id: int, typed: str, address: str) -> Text:
        """What a text would look like. Raises InvalidContent or RateLimited."""
        content = checked_content(typed, MOST_COMMENT)
        self._writing.take(caller.user.id if caller else address, address)
        return await self.rendered(site_id, content)

    # New ones.

    async def post(
        self, caller: Caller, room: RoomKey, typed: str, address: str
    ) -> tuple[Comment, bool]:
        """A new comment, and whether it was there already: the same text again within a minute.

        Raises InvalidContent, Banned, RoomClosed, RateLimited or Unavailable.
        """
        content, now = checked_content(typed, MOST_COMMENT), self._clock()
        hold = self._writing.holds(caller, room)

        def write(made: Text | None) -> Future[Changed[Comment | None]]:
            text, may_write = made or Text(content, "", 0), made is not None
            wanted = store.NewComment(
                room, caller.user, text, now, now - _SAME_WITHIN, hold, may_write
            )
            return self._db.write_one(store.write_comments, wanted)

        make = partial(self.rendered, room.site_id, content)
        return await self._writing.write(caller, address, make, write)

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
        content, now = checked_content(typed, MOST_REPLY), self._clock()
        hold, user_id = self._writing.holds(caller, room), caller.user.id

        def job(made: Text | None, tx: Transaction) -> Changed[Reply | None]:
            text = made or Text(content, "", 0)
            page = page_store.find_page(tx, room)
            if page is None:
                raise CommentNotFound
            since = now - _SAME_WITHIN
            same = reply_store.same_reply(tx, comment_id, reply_to, user_id, text, since)
            if same is not None:
                return Changed(same, room)
            if page["closed"]:
                return Changed(None, room, is_closed=True)
            if made is None:
                return Changed(None, room)
            open_comment(tx, room, comment_id)
            if reply_to:
                answered = reply_store.find_reply(tx, comment_id, reply_to)
                if answered is None or answered.status is not Status.PUBLISHED:
                    raise InvalidReplyTo(field="reply_to")
            reply = reply_store.insert_reply(
                tx,
                comment_id,
                reply_to=reply_to,
                user_id=user_id,
                text=text,
                now=now,
                hold=hold,
            )
            return Changed(reply, room, created_reply(tx, room, page["id"], reply, comment_id))

        def write(made: Text | None) -> Future[Changed[Reply | None]]:
            return self._db.write(partial(job, made))

        make = partial(self.rendered, room.site_id, content)
        return await self._writing.write(caller, address, make, write)

    # Changes to comments.

    async def edit(
        self, caller: Caller, room: RoomKey, comment_id: int, typed: str, address: str
    ) -> Comment:
        """Change a comment's text.

        Raises InvalidContent, CommentNotFound, Forbidden or RateLimited.
        """
        content, now = checked_content(typed, MOST_COMMENT), self._clock()

        def job(text: Text, tx: Transaction) -> Changed[Comment]:
            comment = self._changeable_comment(tx, caller, room, comment_id, now)
            if comment.status is Status.DELETED:
                raise CommentNotFound
            events = []
            if comment.content != text.content:
                self._check_may_edit(caller, room, comment)
                comment = store.edit_comment(tx, comment_id, text, now)
                events.append(updated(tx, room, comment))
            return Changed(for_caller(tx, caller, comment), room, events)

        return await self._edited(caller, room, content, address, job)

    async def delete(
        self, caller: Caller | None, room: RoomKey, comment_id: int, address: str
    ) -> None:
        """Erase a comment; again changes nothing.

        Who deletes the first of kept talk that is not their own deletes all that was kept with
        it. Raises CommentNotFound, Forbidden or RateLimited.
        """
        now, deleted_by = self._clock(), caller.user.id if caller else 0

        def job(tx: Transaction) -> Changed[None]:
            comment = self._changeable_comment(tx, caller, room, comment_id, now, deletes=True)
            if comment.status is Status.DELETED:
                return Changed(None, room)
            events = []
            if comment.kept_by is not None and comment.user_id != deleted_by:
                for reply in reply_store.kept_replies(tx, comment_id):
                    events += erase_reply(tx, room, reply, deleted_by, now)
            events += erase_comment(tx, room, comment, deleted_by, now)
            return Changed(None, room, events)

        await self._changed(caller, address, job)

    async def approve(
        self, caller: Caller | None, room: RoomKey, comment_id: int, address: str
    ) -> Comment:
        """Publish a held comment; again changes nothing. Moderators alone.

        Raises CommentNotFound, CommentDeleted, Forbidden or RateLimited.
        """
        self._check_moderates(caller, room)

        def job(tx: Transaction) -> Changed[Comment]:
            comment = store.find_comment(tx, room, comment_id)
            if comment is None:
                raise CommentNotFound
            if comment.status is Status.DELETED:
                raise CommentDeleted
            if comment.status is Status.PUBLISHED:
                return Changed(for_caller(tx, caller, comment), room)
            comment = store.approve_comment(tx, comment_id)
            first = page_store.change_page(
                tx, page_id_of(tx, room), changes=1, listed=1, published=1
            )
            return Changed(comment, room, [event_of(tx, "comment_created", first, comment)])

        return await self._changed(caller, address, job)

    async def favour(
        self, caller: Caller, room: RoomKey, comment_id: int, address: str, *, likes: bool
    ) -> Comment:
        """Like a comment, or not any more; again changes nothing.

        Raises CommentNotFound, CommentDeleted or RateLimited.
        """
        now, user_id = self._clock(), caller.user.id

        def job(tx: Transaction) -> Changed[Comment]:
            open_comment(tx, room, comment_id)
            if likes:
                is_new = store.add_favourite(tx, comment_id, user_id, now)
            else:
                is_new = store.remove_favourite(tx, comment_id, user_id)
            comment = open_comment(tx, room, comment_id)
            events = [updated(tx, room, comment)] if is_new else []
            return Changed(for_caller(tx, caller, comment), room, events)

        return await self._changed(caller, address, job)

    # Changes to replies.

    async def edit_reply(
        self,
        caller: Caller,
        room: RoomKey,
        comment_id: int,
        reply_id: int,
        typed: str,
        address: str,
    ) -> Reply:
        """Change a reply's text.

        Raises InvalidContent, CommentNotFound, ReplyNotFound, Forbidden or RateLimited.
        """
        content, now = checked_content(typed, MOST_REPLY), self._clock()

        def job(text: Text, tx: Transaction) -> Changed[Reply]:
            reply = self._changeable_reply(tx, caller, room, comment_id, reply_id, now)
            if reply.status is Status.DELETED:
                raise ReplyNotFound
            if reply.content == text.content:
                return Changed(reply, room)
            self._check_may_edit(caller, room, reply)
            reply = reply_store.edit_reply(tx, reply_id, text, now)
            return Changed(reply, room, [updated(tx, room, reply)])

        return await self._edited(caller, room, content, address, job)

    async def delete_reply(
        self,
        caller: Caller | None,
        room: RoomKey,
        comment_id: int,
        reply_id: int,
        address: str,
    ) -> None:
        """Erase a reply; again changes nothing.

        Raises CommentNotFound, ReplyNotFound, Forbidden or RateLimited.
        """
        now, deleted_by = self._clock(), caller.user.id if caller else 0

        def job(tx: Transaction) -> Changed[None]:
            reply = self._changeable_reply(
                tx, caller, room, comment_id, reply_id, now, deletes=True
            )
            if reply.status is Status.DELETED:
                return Changed(None, room)
            return Changed(None, room, erase_reply(tx, room, reply, deleted_by, now))

        await self._changed(caller, address, job)

    async def approve_reply(
        self,
        caller: Caller | None,
        room: RoomKey,
        comment_id: int,
        reply_id: int,
        address: str,
    ) -> Reply:
        """Publish a held reply; again changes nothing. Moderators alone.

        Raises CommentNotFound, CommentDeleted, ReplyNotFound, Forbidden or RateLimited.
        """
        self._check_moderates(caller, room)

        def job(tx: Transaction) -> Changed[Reply]:
            reply = reply_of(tx, room, comment_id, reply_id)
            if reply.status is Status.DELETED:
                raise ReplyNotFound
            if reply.status is Status.PUBLISHED:
                return Changed(reply, room)
            open_comment(tx, room, comment_id)
            reply = reply_store.approve_reply(tx, reply)
            events = created_reply(tx, room, page_id_of(tx, room), reply, comment_id)
            return Changed(reply, room, events)

        return await self._changed(caller, address, job)

    async def recount(self) -> tuple[int, int]:
        """Set right the counts of comments and pages; how many of each were off."""
        wrong = await counting.find_wrong(self._db)
        done = await self._db.write(partial(counting.set_right, wrong=wrong))
        self.threads.clear()
        return done

    # What they share.

    async def _changed(
        self, caller: Caller | None, address: str, job: Callable[[Transaction], Changed[T]]
    ) -> T:
        if caller is not None:
            self._writing.check_may_write(caller)
            self._writing.take_change(caller.user.id, address)
            self._people.check_present(caller.user.id)
        result = (await self._db.write(job)).result
        if isinstance(result, Comment | Reply):
            await self._people.load(result.people)
        return result

    async def _edited(
        self,
        caller: Caller,
        room: RoomKey,
        content: str,
        address: str,
        job: Callable[[Text, Transaction], Changed[T]],
    ) -> T:
        """Another text draws on the pace of new ones: HTML has to be made of it."""
        self._writing.check_may_write(caller)
        self._writing.take(caller.user.id, address)
        text = await self.rendered(room.site_id, content)
        return await self._changed(caller, address, partial(job, text))

    def _check_may_edit(self, caller: Caller, room: RoomKey, about: Comment | Reply) -> None:
        """What had to be approved must not become something else afterwards."""
        if about.status is Status.PUBLISHED and self._writing.holds(caller, room):
            raise Forbidden("What was approved can be changed by moderators alone.")

    def _check_moderates(self, caller: Caller | None, room: RoomKey) -> None:
        if caller is not None and not self._people.is_moderator(caller.user.id, room.site_id):
            raise Forbidden

    def _changeable_comment(
        self,
        tx: Transaction,
        caller: Caller | None,
        room: RoomKey,
        comment_id: int,
        now: int,
        *,
        deletes: bool = False,
    ) -> Comment:
        comment = store.find_comment(tx, room, comment_id)
        if comment is None or not self._may_know(caller, room, comment):
            raise CommentNotFound
        self._check_may_change(caller, room, comment, now, deletes=deletes)
        return comment

    def _changeable_reply(
        self,
        tx: Transaction,
        caller: Caller | None,
        room: RoomKey,
        comment_id: int,
        reply_id: int,
        now: int,
        *,
        deletes: bool = False,
    ) -> Reply:
        reply = reply_of(tx, room, comment_id, reply_id)
        if not self._may_know(caller, room, reply):
            raise ReplyNotFound
        self._check_may_change(caller, room, reply, now, deletes=deletes)
        return reply

    def _may_know(self, caller: Caller | None, room: RoomKey, about: Comment | Reply) -> bool:
        """Whoever may not see what is held does not learn that it is there."""
        if caller is None or about.status is not Status.PENDING:
            return True
        viewer = self.viewer(caller, room.site_id)
        return viewer.sees_held or viewer.user_id == about.user_id

    def _check_may_change(
        self,
        caller: Caller | None,
        room: RoomKey,
        about: Comment | Reply,
        now: int,
        *,
        deletes: bool,
    ) -> None:
        if caller is None or self._people.is_moderator(caller.user.id, room.site_id):
            return
        if about.user_id != caller.user.id:
            raise Forbidden
        if deletes and about.said_at is not None:
            # Somebody else put it here.
            return
        if now - about.created_at > EDIT_WITHIN:
            raise Forbidden("What was written can be changed for 15 minutes.")
