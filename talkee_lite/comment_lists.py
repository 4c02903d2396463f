"""What stands below a page, as it is asked for: lists, single comments, counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import CommentNotFound, InvalidOrderBy, InvalidPage
from .models import Caller, Comment, Order, Reply, RoomKey, Status, Viewer
from .people import People
from .protocol import comment_fields, dump_json, json_fragment, parse_number, reply_fields
from .store import comments as store
from .store.database import Database, Snapshot
from .store.pages import count_pages
from .store.replies import list_answers, list_replies, list_replies_of, shows_held_replies
from .threads import Own, Reading, Shape, Thread, Threads

MOST_LISTED = 100
MOST_COUNTED = 500
"""Pages in one call for counts."""
LISTED = 20
"""Comments or replies of a list for which no limit is given."""
MOST_ASKED = 100
"""Comments whose replies are asked for in one call."""
LATEST = 10**15 - 1
"""Milliseconds since 1970, of which a column holds the microseconds: in the year 33658."""
MOST_TOGETHER = 2 * 1024 * 1024
"""Characters of replies in one answer, as far as each comment's first one is in it."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list somebody asks for."""

    order: Order
    limit: int
    offset: int
    after_id: int | None
    from_id: int | None = None
    """As `after_id`, but that one comes too."""
    replies: int = 0
    """How many of each comment's replies come along, at most."""


RepliesOf = Mapping[int, tuple[int, Sequence[Reply]]]
"""Comment id → how many replies it has, and the first of them."""
BY_TIME = (Order.CREATED_AT, Order.CREATED_AT_ASC)
"""The orders of replies, and those in which a list goes on behind an id."""


def parse_window(
    given: Mapping[str, str], orders: Sequence[Order] = tuple(Order), *, lenient: bool = False
) -> Window:
    """The `limit`, `offset`, `after_id` and `order_by` (one of `orders`, by default the first).

    `lenient`: an order that is none of them counts as left out. Raises InvalidPage or
    InvalidOrderBy, naming the field.
    """
    named = given.get("order_by", orders[0])
    if named in orders:
        order = Order(named)
    elif lenient:
        order = orders[0]
    else:
        raise InvalidOrderBy(f"order_by must be one of {', '.join(orders)}.", field="order_by")
    limit = _number(given, "limit", LISTED)
    if limit > MOST_LISTED:
        raise InvalidPage(field="limit")
    offset = _number(given, "offset", 0, zero=True)
    after_id = _number(given, "after_id", 0) or None
    if after_id and (offset or order not in BY_TIME):
        raise InvalidPage(field="after_id")
    from_id = _number(given, "from_id", 0) or None
    if from_id and (offset or after_id or order not in BY_TIME):
        raise InvalidPage(field="from_id")
    replies = _number(given, "replies", 0, zero=True)
    if replies > MOST_LISTED:
        raise InvalidPage(field="replies")
    return Window(order, limit, offset, after_id, from_id, replies)


def parse_of(given: Mapping[str, str]) -> tuple[Sequence[int], int]:
    """The comments named by `of`, each once, and the `limit` of replies to each.

    Raises InvalidPage, naming the field.
    """
    names = given.get("of", "").split(",")
    numbers = [parse_number(name) for name in names]
    if len(names) > MOST_ASKED or None in numbers:
        raise InvalidPage(
            f"of must be the ids of 1 to {MOST_ASKED} comments, with commas between them.",
            field="of",
        )
    limit = _number(given, "limit", MOST_LISTED)
    if limit > MOST_LISTED:
        raise InvalidPage(field="limit")
    return list(dict.fromkeys(number for number in numbers if number)), limit


def parse_since(given: Mapping[str, str]) -> int:
    """The time `since`, which is given in milliseconds since 1970, in microseconds.

    Raises InvalidPage.
    """
    since = parse_number(given.get("since", ""), zero=True)
    if since is None or since > LATEST:
        raise InvalidPage("since must be a time in milliseconds since 1970.", field="since")
    return since * 1000


def _number(given: Mapping[str, str], field: str, default: int, *, zero: bool = False) -> int:
    if field not in given:
        return default
    number = parse_number(given[field], zero=zero)
    if number is None:
        raise InvalidPage(field=field)
    return number


class CommentLists:
    """Everything that may be read of comments and replies."""

    def __init__(self, db: Database, people: People) -> None:
        self._db = db
        self._people = people
        self.threads = Threads()

    def viewer(self, caller: Caller | None, site_id: int) -> Viewer:
        """For whom something is read on a site."""
        if caller is None:
            return Viewer()
        return Viewer(caller.user.id, self._people.is_moderator(caller.user.id, site_id))

    async def list(self, room: RoomKey, window: Window, viewer: Viewer) -> bytes:
        """How many comments a page has, its revision, and those of the window, as JSON.

        The beginnings of lists are kept in memory until something on their page changes.
        """
        shape = Shape(window.order, window.limit, window.replies)
        if window.offset or window.after_id is not None or window.from_id is not None:
            return await self._read_apart(room, window, viewer)
        thread = self.threads.find(room, shape, self._people.generation)
        own = self.threads.own(room, viewer, shape) if viewer.user_id else Own()
        if thread is None or own is None:
            with self.threads.reading(room) as reading:
                if thread is None:
                    thread = await self._shared(room, shape, reading)
                if own is None:
                    own = await self._read_own(room, viewer, thread, shape)
                    self.threads.keep_own(room, viewer, shape, own, reading)
        if own.sees_held:
            return await self._read_apart(room, window, viewer)
        return thread.for_caller(own.favourites)

    async def _shared(self, room: RoomKey, shape: Shape, reading: Reading) -> Thread:
        """What visitors see of the beginning of a list: one read for all who ask at once."""
        task = reading.lists.get(shape)
        if task is None:
            task = asyncio.create_task(self._read_thread(room, shape))
            reading.lists[shape] = task
            task.add_done_callback(lambda done: reading.lists.pop(shape, None))
        thread = await asyncio.shield(task)
        if thread.total:
            self.threads.keep(room, shape, thread, reading)
        return thread

    async def _read_thread(self, room: RoomKey, shape: Shape) -> Thread:
        window = Window(shape.order, shape.limit, 0, None, replies=shape.replies)
        async with self._db.snapshot() as snapshot:
            read = await self._read(snapshot, room, window, Viewer())
        return await self._thread(room, *read)

    async def _read_own(self, room: RoomKey, viewer: Viewer, thread: Thread, shape: Shape) -> Own:
        async with self._db.snapshot() as snapshot:
            return Own(
                await store.favourites_of(snapshot, thread.numbers, viewer.user_id),
                await store.shows_held(snapshot, room, viewer)
                or (shape.replies > 0 and await shows_held_replies(snapshot, room, viewer)),
            )

    async def _read_apart(self, room: RoomKey, window: Window, viewer: Viewer) -> bytes:
        """A list that is not kept."""
        async with self._db.snapshot() as snapshot:
            listed, replies = await self._read(snapshot, room, window, viewer)
            likes: Mapping[int, int] = {}
            if viewer.user_id:
                numbers = [comment.id for comment in listed.comments]
                likes = await store.favourites_of(snapshot, numbers, viewer.user_id)
        return (await self._thread(room, listed, replies)).for_caller(likes)

    async def _read(
        self, snapshot: Snapshot, room: RoomKey, window: Window, viewer: Viewer
    ) -> tuple[store.Listed, RepliesOf | None]:
        listed = await store.list_comments(
            snapshot,
            room,
            window.order,
            viewer,
            limit=window.limit,
            offset=window.offset,
            after_id=window.after_id or window.from_id,
            inclusive=window.from_id is not None,
        )
        if not window.replies:
            return listed, None
        numbers = [comment.id for comment in listed.comments]
        found = await list_replies_of(
            snapshot, room, numbers, viewer, limit=window.replies, most=MOST_TOGETHER
        )
        return listed, {of: (total, some) for of, (total, some) in found.items() if total}

    async def _thread(
        self, room: RoomKey, listed: store.Listed, replies: RepliesOf | None
    ) -> Thread:
        comments = listed.comments
        people = [person for comment in comments for person in comment.people]
        people += [reply.user_id for _, some in (replies or {}).values() for reply in some]
        await self._people.load(people)
        generation = self._people.generation
        shown = [(comment.id, self.comment_json(room, comment)) for comment in comments]
        tail = None if replies is None else dump_json(self.replies_shown(room, replies))
        return Thread(listed.total, listed.revision, shown, generation, tail)

    def comment_json(self, room: RoomKey, comment: Comment) -> bytes:
        """A comment as JSON. Whoever is named in it must be in memory."""
        if comment.status is Status.DELETED:
            return dump_json(comment_fields(comment, room, self._people.nobody(), None))
        creator = json_fragment(self._people.profile(room.site_id, comment.user_id))
        keeper = self._people.brief(comment.kept_by)
        return dump_json(comment_fields(comment, room, creator, keeper))

    def reply_shown(self, room: RoomKey, reply: Reply) -> dict[str, Any]:
        """A reply as clients see it. Whoever wrote it must be in memory."""
        creator = json_fragment(self._people.profile(room.site_id, reply.user_id))
        return reply_fields(reply, creator)

    def replies_shown(self, room: RoomKey, replies: RepliesOf) -> dict[str, Any]:
        """Replies to several comments as clients see them."""
        return {
            str(of): {"total": total, "replies": [self.reply_shown(room, one) for one in some]}
            for of, (total, some) in replies.items()
        }

    async def get(self, room: RoomKey, comment_id: int, viewer: Viewer) -> Comment:
        """One comment of the page. Raises CommentNotFound."""
        async with self._db.snapshot() as snapshot:
            comment = await store.find_visible(snapshot, room, comment_id, viewer)
        if comment is None:
            raise CommentNotFound
        await self._people.load(comment.people)
        return comment

    async def replies(
        self, room: RoomKey, comment_id: int, window: Window, viewer: Viewer
    ) -> tuple[int, Sequence[Reply]]:
        """How many replies a comment has, and those of the window.

        Raises CommentNotFound, and InvalidPage for a window that only lists of comments have.
        """
        if window.from_id is not None:
            raise InvalidPage("from_id is for lists of comments.", field="from_id")
        async with self._db.snapshot() as snapshot:
            if await store.find_visible(snapshot, room, comment_id, viewer) is None:
                raise CommentNotFound
            total, replies = await list_replies(
                snapshot,
                comment_id,
                viewer,
                limit=window.limit,
                offset=window.offset,
                after_id=window.after_id,
                oldest_first=window.order is Order.CREATED_AT_ASC,
            )
        await self._people.load(reply.user_id for reply in replies)
        return total, replies

    async def replies_of(
        self, room: RoomKey, comment_ids: Sequence[int], limit: int, viewer: Viewer
    ) -> RepliesOf:
        """For each of these that a viewer may see on the page: how many replies it has, and the
        first of them, up to `limit`, oldest first; fewer where they are long."""
        async with self._db.snapshot() as snapshot:
            found = await list_replies_of(
                snapshot, room, comment_ids, viewer, limit=limit, most=MOST_TOGETHER
            )
        await self._people.load(reply.user_id for _, some in found.values() for reply in some)
        return found

    async def answers(self, room: RoomKey, user_id: int, since: int) -> Sequence[Reply]:
        """What others replied to somebody on the page behind a time, in microseconds."""
        async with self._db.snapshot() as snapshot:
            replies = await list_answers(snapshot, room, user_id, since, MOST_LISTED)
        await self._people.load(reply.user_id for reply in replies)
        return replies

    async def counts(self, site_id: int, slugs: Sequence[str]) -> dict[str, int]:
        """Slug → how much is published there, for each of `slugs`."""
        found = await count_pages(self._db, site_id, slugs) if slugs else {}
        return {slug: found.get(slug, 0) for slug in slugs}
