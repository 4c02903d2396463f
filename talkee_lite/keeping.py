"""Rules for keeping talk: a stretch of a chat becomes a comment and replies, by who said it."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .clock import Clock
from .comment_changes import event_of, for_caller
from .errors import (
    AlreadyKept,
    Banned,
    Forbidden,
    InvalidMessageId,
    InvalidStretch,
    MessageNotFound,
    Unavailable,
)
from .markdown import from_plain, to_html, version
from .models import Caller, Changed, Comment, RoomKey, Text
from .people import People
from .protocol import decode_base64, decoded_text, is_uuid
from .sites import Sites
from .store import keeping as store
from .store import pages as page_store
from .store.comments import find_comment
from .store.database import Database
from .store.keeping import Said
from .store.users import find_user
from .store.writer import Transaction
from .text import clean_text, is_visible
from .writing import Writing

MOST_KEPT = 100
"""Messages of one stretch."""
MOST_HTML = 1024 * 1024
"""Letters of HTML that one stretch may become."""
_MOST_WAITING = 20
_AGAIN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """What is to be kept, or the comment that it was made into before."""

    messages: Sequence[Said]
    comment: Comment | None = None


def checked_id(field: str, given: str) -> str:
    """A message's id as it is stored. Raises InvalidMessageId, naming the field."""
    if not is_uuid(given):
        raise InvalidMessageId(f"{field} must be a message's id: 36 characters.", field=field)
    return given.lower()


class Keeping:
    """Keeps stretches of talk."""

    def __init__(
        self, db: Database, people: People, sites: Sites, writing: Writing, clock: Clock
    ) -> None:
        self._db = db
        self._people = people
        self._sites = sites
        self._writing = writing
        self._clock = clock
        self._making = asyncio.Lock()
        """Held by whoever makes HTML: long texts take seconds."""
        self._waiting = 0
        """Those who make HTML, and who wait for that."""

    async def keep(
        self,
        caller: Caller,
        page: RoomKey,
        room: RoomKey,
        ends: tuple[str, str],
        address: str,
    ) -> tuple[Comment, bool]:
        """Keep what was said in a room between two messages below a page; the comment, and
        whether it was kept before.

        For moderators, and for who spoke there. Raises MessageNotFound, InvalidStretch, Forbidden,
        AlreadyKept, Banned, RoomClosed, RateLimited or Unavailable.
        """

        def look(tx: Transaction) -> Stretch:
            return self._stretch(tx, caller, page, room, ends)

        def is_closed(tx: Transaction) -> bool:
            row = page_store.find_page(tx, page)
            return row is not None and bool(row["closed"])

        def look_first(tx: Transaction) -> Sequence[Said]:
            return () if is_closed(tx) else look(tx).messages

        async def make() -> Mapping[int, Text]:
            if self._waiting >= _MOST_WAITING:
                raise Unavailable(retry_after=_AGAIN_SECONDS)
            self._waiting += 1
            try:
                # One after the other, so that of several who keep the same one alone makes it.
                async with self._making:
                    return await self._texts(page.site_id, await self._db.write(look_first))
            finally:
                self._waiting -= 1

        def job(texts: Mapping[int, Text] | None, tx: Transaction) -> Changed[Comment | None]:
            # Making the HTML took its time.
            now = self._clock()
            user = find_user(tx, caller.user.id)
            if user is not None and user.banned_until > now:
                raise Banned
            stretch = look(tx)
            if stretch.comment is not None:
                return Changed(for_caller(tx, caller, stretch.comment), page)
            if is_closed(tx):
                return Changed(None, page, is_closed=True)
            if texts is None:
                return Changed(None, page)
            if not {said.row for said in stretch.messages} <= texts.keys():
                # The thread that was found at first was deleted meanwhile.
                raise Unavailable(retry_after=_AGAIN_SECONDS)
            row = page_store.find_page(tx, page) or page_store.make_page(tx, page, now)
            page_id = row["id"]
            comment = store.insert_thread(
                tx, page_id, page, stretch.messages, texts, kept_by=caller.user.id, now=now
            )
            first = page_store.change_page(
                tx, page_id, changes=1, listed=1, published=len(stretch.messages)
            )
            return Changed(comment, page, [event_of(tx, "comment_created", first, comment)])

        def write(texts: Mapping[int, Text] | None) -> Future[Changed[Comment | None]]:
            return self._db.write(partial(job, texts))

        comment, repeated = await self._writing.write(caller, address, make, write)
        await self._people.load(comment.people)
        return comment, repeated

    def _stretch(
        self,
        tx: Transaction,
        caller: Caller,
        page: RoomKey,
        room: RoomKey,
        ends: tuple[str, str],
    ) -> Stretch:
        """What is to be kept, once it is clear that it may be."""
        found = store.find_stretch(tx, room, *ends, MOST_KEPT)
        if found is None:
            raise MessageNotFound
        if found.is_cut:
            raise InvalidStretch(f"At most {MOST_KEPT} messages can be kept at once.", field="to")
        self._check_may_keep(caller, page, found.messages)
        kept = store.find_kept(tx, page, found.messages)
        messages = [
            said
            for said in found.messages
            # Who took their words back is not asked again by each who keeps the rest.
            if said.row not in kept.taken_back and is_visible(_plain(said.data))
        ]
        if not messages:
            raise InvalidStretch("Nothing that was said there can be kept any more.", field="to")
        for said in messages:
            if not said.is_gone and self._people.is_leaving(said.user_id):
                # What they said is being erased, or becomes another's.
                raise Unavailable(retry_after=_AGAIN_SECONDS)
        there = kept.comments.keys() | kept.replies.keys()
        if not there:
            return Stretch(messages)
        number = kept.comments.get(messages[0].row)
        if number is None or not {said.row for said in messages} <= there:
            raise AlreadyKept
        return Stretch((), find_comment(tx, page, number))

    def _check_may_keep(self, caller: Caller, page: RoomKey, messages: Sequence[Said]) -> None:
        if self._people.is_moderator(caller.user.id, page.site_id):
            return
        if caller.user.id not in {said.user_id for said in messages}:
            raise Forbidden("Talk is kept by moderators, and by who took part in it.")
        if self._writing.holds(caller, page):
            raise Forbidden("Where comments wait for approval, moderators alone keep talk.")

    async def _texts(self, site_id: int, messages: Sequence[Said]) -> Mapping[int, Text]:
        """What becomes of messages, by their rows, as the site shows it."""
        while messages:
            images = self._sites.get(site_id).images
            made = await asyncio.to_thread(_made, messages, images=images)
            # The site may be another by now, as in Comments.rendered.
            if self._sites.get(site_id).images == images:
                return made
        return {}


def _made(messages: Sequence[Said], *, images: bool) -> Mapping[int, Text]:
    texts: dict[int, Text] = {}
    room = MOST_HTML
    for said in messages:
        text = from_plain(_plain(said.data))
        html = to_html(text, images=images)
        room -= len(html)
        if room < 0:
            raise InvalidStretch("That is too much to be kept at once.", field="to")
        texts[said.row] = Text(text, html, version(images=images))
    return texts


def _plain(data: str) -> str:
    """A message's text, cleaned as a comment's is."""
    text = decoded_text(decode_base64(data) or b"")
    return clean_text(text.replace("\r\n", "\n").replace("\r", "\n"))
