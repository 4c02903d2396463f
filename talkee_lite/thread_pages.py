"""A page's comments as a document in parts: what people read without JavaScript, and machines."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from .errors import CommentNotFound
from .models import Comment, Reply, RoomKey, Site, Status, User, UserKind
from .people import People
from .protocol import parse_number
from .sites import Sites
from .store import thread_pages as store
from .store.database import Database, Row, Snapshot
from .store.thread_pages import AnsweringReply, Key
from .text import clean_name

T = TypeVar("T")

IN_PART = 50
"""Comments in one part, or replies where one comment is shown alone."""
FIRST_REPLIES = 10
"""Replies shown below each of many comments."""
_MOST_BYTES = 512 * 1024
"""Bytes of HTML that people wrote, in one part; half as much may be replies below comments."""


class Part(NamedTuple):
    """Which part of a page's comments it is: by default the first.

    `comment_id`: that comment alone, with its replies. `after_id`: from behind that comment on, or
    that reply. `reply_id`: a part in which that reply stands.
    """

    comment_id: int = 0
    after_id: int = 0
    reply_id: int = 0


def parse_part(given: Mapping[str, str]) -> Part:
    """The part that an address names by `comment`, `after` and `reply`. Raises CommentNotFound."""
    numbers = []
    for name in ("comment", "after", "reply"):
        number = parse_number(given[name]) if name in given else 0
        if number is None:
            raise CommentNotFound
        numbers.append(number)
    part = Part(*numbers)
    if part.reply_id and (part.after_id or not part.comment_id):
        raise CommentNotFound
    return part


def query_of_part(slug: str, part: Part) -> str:
    """A part's address, from behind its question mark: always spelled the same."""
    query = f"slug={_quoted(slug)}"
    for name, number in zip(("comment", "after", "reply"), part, strict=True):
        query += f"&{name}={number}" if number else ""
    return query


@lru_cache(maxsize=256)
def _quoted(slug: str) -> str:
    return quote(slug, safe="/")


@dataclass(frozen=True, slots=True)
class Item:
    """A comment or reply as it is shown; `kind` is `owner`, `staff` or empty.

    `answers` is the name of whoever wrote the reply that this one answers, `answers_id` its id.
    What was kept of a chat was said there at `said_at`; `kept_by` is who kept the comment.
    """

    anchor: str
    id: int
    user_id: int
    name: str
    kind: str
    html: str
    created_at: int
    is_edited: bool
    is_deleted: bool
    likes: int = 0
    reply_count: int = 0
    replies: Sequence[Item] = ()
    answers: str = ""
    answers_id: int = 0
    said_at: int | None = None
    kept_by: str = ""


@dataclass(frozen=True, slots=True)
class ThreadPage:
    """One part, with what is known of its page and the parts around it."""

    part: Part
    address: str
    title: str
    is_closed: bool
    published: int
    items: Sequence[Item] = ()
    previous: Part | None = None
    next: Part | None = None
    last: Part | None = None

    @property
    def is_repeated(self) -> bool:
        """Whether all that it shows stands in another part too."""
        part = self.part
        short = part.comment_id and not self.items[0].reply_count > FIRST_REPLIES
        return bool(part.reply_id or (short and not part.after_id))


class ThreadPages:
    """Reads parts of pages, as somebody who is not signed in may see them."""

    def __init__(self, db: Database, people: People, sites: Sites) -> None:
        self._db = db
        self._people = people
        self._sites = sites

    async def read(self, room: RoomKey, part: Part) -> ThreadPage:
        """A part of the page; of one without anything published an empty one.

        Raises CommentNotFound where the page has no such part.
        """
        async with self._db.snapshot() as snapshot:
            page = await store.read_page(snapshot, room)
            if page is None or not page["published_count"]:
                if any(part):
                    raise CommentNotFound
                return _thread_page(part, page)
            if part.comment_id:
                return await self._read_one(snapshot, room, part, page)
            return await self._read_many(snapshot, room, part, page)

    async def newest(self, room: RoomKey) -> Part:
        """The part that the newest comment is in."""
        async with self._db.snapshot() as snapshot:
            page = await store.read_page(snapshot, room)
            return Part() if page is None else await _last(snapshot, page)

    async def _read_many(
        self, snapshot: Snapshot, room: RoomKey, part: Part, page: Row
    ) -> ThreadPage:
        after = None
        if part.after_id:
            after = await store.find_key(snapshot, page["id"], part.after_id)
            if after is None:
                raise CommentNotFound
        found = await store.list_comments(snapshot, page["id"], after, IN_PART + 1)
        comments = _within(found, lambda comment: comment.html, IN_PART, _MOST_BYTES)
        if not comments:
            raise CommentNotFound
        ids = [comment.id for comment in comments]
        rest = await store.list_first_replies(snapshot, ids, FIRST_REPLIES)
        replies = _within(rest, lambda one: one.reply.html, len(rest), _MOST_BYTES // 2)
        more = len(comments) < len(found)
        before = await store.list_ids_before(snapshot, page["id"], _key(comments[0]), IN_PART + 1)
        await self._load(comments, replies)
        site = self._sites.get(room.site_id)
        below: dict[int, list[Item]] = {comment.id: [] for comment in comments}
        for one in replies:
            below[one.reply.comment_id].append(self._reply(site, one))
        return _thread_page(
            part,
            page,
            items=[self._comment(site, comment, below[comment.id]) for comment in comments],
            previous=_before(part, before),
            next=part._replace(after_id=comments[-1].id) if more else None,
            last=await _last(snapshot, page) if more else None,
        )

    async def _read_one(
        self, snapshot: Snapshot, room: RoomKey, part: Part, page: Row
    ) -> ThreadPage:
        comment = await store.find_listed(snapshot, page["id"], part.comment_id)
        if comment is None:
            raise CommentNotFound
        after = None
        if wanted := part.after_id or part.reply_id:
            after = await store.find_reply_key(snapshot, comment.id, wanted)
            if after is None:
                raise CommentNotFound
        if part.reply_id and after:
            # From itself on, or from the first where all fit.
            after = (after[0], after[1] - 1) if comment.reply_count > IN_PART else None
        found = await store.list_replies(snapshot, comment.id, after, IN_PART + 1)
        replies = _within(found, lambda one: one.reply.html, IN_PART, _MOST_BYTES)
        if part.after_id and not replies:
            raise CommentNotFound
        before = []
        if replies:
            key = _key(replies[0].reply)
            before = await store.list_reply_ids_before(snapshot, comment.id, key, IN_PART + 1)
        await self._load([comment], replies)
        site = self._sites.get(room.site_id)
        more = len(replies) < len(found)
        start = Part(comment.id)
        return _thread_page(
            part,
            page,
            items=[self._comment(site, comment, [self._reply(site, one) for one in replies])],
            previous=_before(start, before),
            next=start._replace(after_id=replies[-1].reply.id) if more else None,
        )

    async def _load(self, comments: Iterable[Comment], replies: Iterable[AnsweringReply]) -> None:
        wanted = {person for comment in comments for person in comment.people}
        for one in replies:
            wanted |= {one.reply.user_id, one.answered_user_id}
        await self._people.load(wanted - {0})

    def _comment(self, site: Site, comment: Comment, replies: Sequence[Item]) -> Item:
        is_deleted = comment.status is Status.DELETED
        user = None if is_deleted else self._people.known(comment.user_id)
        return Item(
            anchor=f"c{comment.id}",
            id=comment.id,
            user_id=user.id if user else 0,
            name=name_of(user),
            kind=self._kind(user, site),
            html=comment.html,
            created_at=comment.created_at,
            is_edited=comment.edited,
            is_deleted=is_deleted,
            likes=comment.favor_count,
            reply_count=comment.reply_count,
            replies=replies,
            said_at=comment.said_at,
            kept_by=name_of(self._people.known(comment.kept_by)) if comment.kept_by else "",
        )

    def _reply(self, site: Site, one: AnsweringReply) -> Item:
        reply, user = one.reply, self._people.known(one.reply.user_id)
        answered = one.answered_user_id
        return Item(
            anchor=f"r{reply.id}",
            id=reply.id,
            user_id=user.id if user else 0,
            name=name_of(user),
            kind=self._kind(user, site),
            html=reply.html,
            created_at=reply.created_at,
            is_edited=reply.edited,
            is_deleted=False,
            answers=name_of(self._people.known(answered)) if answered else "",
            answers_id=reply.reply_to,
            said_at=reply.said_at,
        )

    def _kind(self, user: User | None, site: Site) -> str:
        if user is None:
            return ""
        if user.id == site.owner_id:
            return "owner"
        staff = (UserKind.MODERATOR, UserKind.ADMIN)
        return "staff" if self._people.kind(user, site.id) in staff else ""


def name_of(user: User | None) -> str:
    """A name to show; of somebody who is gone: deleted."""
    return user.full_name if user else "deleted"


def page_title(title: str, slug: str) -> str:
    """What a page is called: by its title, else by its slug."""
    return clean_name(title) or clean_name(slug) or "a page"


def web_address(address: str) -> str:
    """An address that a link may lead to; "" for any other."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in ("http", "https") and parts.netloc else ""


def _thread_page(
    part: Part,
    page: Row | None,
    items: Sequence[Item] = (),
    previous: Part | None = None,
    next: Part | None = None,
    last: Part | None = None,
) -> ThreadPage:
    return ThreadPage(
        part=part,
        address=web_address(page["address"]) if page else "",
        title=page["title"] if page else "",
        is_closed=bool(page and page["closed"]),
        published=page["published_count"] if page else 0,
        items=items,
        previous=previous,
        next=next,
        last=last,
    )


async def _last(snapshot: Snapshot, page: Row) -> Part:
    """The last part, where parts are full."""
    in_last = page["comment_total"] % IN_PART or IN_PART
    ids = await store.list_ids_before(snapshot, page["id"], None, in_last + 1)
    return Part(after_id=ids[in_last]) if len(ids) > in_last else Part()


def _before(start: Part, ids: Sequence[int]) -> Part | None:
    """The part before, given what stands before this one, nearest first."""
    if not ids:
        return None
    return start._replace(after_id=ids[IN_PART]) if len(ids) > IN_PART else Part(start.comment_id)


def _key(about: Comment | Reply) -> Key:
    return about.created_at, about.id


def _within(
    found: Sequence[T], html_of: Callable[[T], str], most: int, most_bytes: int
) -> Sequence[T]:
    """The first `most` of what was found, and fewer where they are long; one at least."""
    size = 0
    for count, one in enumerate(found[:most]):
        size += len(html_of(one).encode())
        if size > most_bytes and count:
            return found[:count]
    return found[:most]
