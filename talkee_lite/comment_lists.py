"""What stands below a page, as it is asked for: lists, single comments, counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .errors import CommentNotFound, InvalidOrderBy, InvalidPage
from .models import Caller, Comment, Order, Reply, RoomKey, Status, Viewer
from .people import People
from .protocol import comment_fields, dump_json, json_fragment, parse_number
from .store import comments as store
from .store.database import Database
from .store.pages import count_pages
from .store.replies import list_replies
from .threads import Own, Shape, Thread, Threads

MOST_LISTED = 100
MOST_COUNTED = 500
"""Pages in one call for counts."""
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
        """How many comments a page has, and those of the window, as JSON: `total`, `comments`.

        The beginnings of lists are kept in memory until something on their page changes.
        """
        shape, generation = Shape(window.order, window.limit), self._people.generation
        is_first = not window.offset and window.after_id is None
        thread = self.threads.find(room, shape, generation) if is_first else None
        own = self.threads.own(room, viewer) if viewer.user_id else Own()
        if thread is not None and own is not None and not own.sees_held:
            return thread.for_caller(own.favourites)
        with self.threads.reading(room) as reading:
            async with self._db.snapshot() as snapshot:
                total, comments = await store.list_comments(
                    snapshot,
                    room,
                    window.order,
                    viewer,
                    limit=window.limit,
                    offset=window.offset,
                    after_id=window.after_id,
                )
                own = Own()
                if viewer.user_id:
                    own = Own(
                        await store.favourites_on(snapshot, room, viewer.user_id),
                        await store.shows_held(snapshot, room, viewer),
                    )
            await self._people.load(comment.user_id for comment in comments)
            generation = self._people.generation
            shown = [(comment.id, self.comment_json(room, comment)) for comment in comments]
            thread = Thread(total, shown, generation)
            if is_first and total:
                if not own.sees_held:
                    self.threads.keep(room, shape, thread, reading)
                if viewer.user_id:
                    self.threads.keep_own(room, viewer, own, reading)
        return thread.for_caller(own.favourites)

    def comment_json(self, room: RoomKey, comment: Comment) -> bytes:
        """A comment as JSON. Its author must be in memory."""
        if comment.status is Status.DELETED:
            return dump_json(comment_fields(comment, room, self._people.nobody()))
        creator = json_fragment(self._people.profile(room.site_id, comment.user_id))
        return dump_json(comment_fields(comment, room, creator))

    async def get(self, room: RoomKey, comment_id: int, viewer: Viewer) -> Comment:
        """One comment of the page. Raises CommentNotFound."""
        async with self._db.snapshot() as snapshot:
            comment = await store.find_visible(snapshot, room, comment_id, viewer)
        if comment is None:
            raise CommentNotFound
        await self._people.load([comment.user_id])
        return comment

    async def replies(
        self, room: RoomKey, comment_id: int, window: Window, viewer: Viewer
    ) -> tuple[int, Sequence[Reply]]:
        """How many replies a comment has, and those of the window. Raises CommentNotFound."""
        async with self._db.snapshot() as snapshot:
            if await store.find_visible(snapshot, room, comment_id, viewer) is None:
                raise CommentNotFound
            total, replies = await list_replies(
                snapshot,
                comment_id,
                viewer,
                limit=window.limit,
                offset=window.offset,
                oldest_first=window.order is Order.CREATED_AT_ASC,
            )
        await self._people.load(reply.user_id for reply in replies)
        return total, replies

    async def counts(self, site_id: int, slugs: Sequence[str]) -> dict[str, int]:
        """Slug → how much is published there, for each of `slugs`."""
        found = await count_pages(self._db, site_id, slugs) if slugs else {}
        return {slug: found.get(slug, 0) for slug in slugs}
