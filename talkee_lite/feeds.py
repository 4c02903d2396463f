"""What is new on a page or on a site, as feeds show it, and the key to the owner's own."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from .clock import SECOND
from .errors import Forbidden
from .keys import derived_key
from .models import RoomKey, Site, Status
from .store import thread_pages
from .store.database import Database
from .store.feeds import Written, list_newest
from .text import clean_name
from .thread_pages import Part, page_title, query_of_part, web_address

IN_FEED = 50


class FeedKind(StrEnum):
    """Whose feed it is; also how its address is spelled."""

    PAGE = "page"
    SITE = "site"
    OWNER = "owner"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: texts are plain, addresses whole. `answers` names the comment that a reply is to.

    Times are in microseconds.
    """

    id: str
    title: str
    author: str
    address: str
    base: str
    html: str
    is_held: bool
    published_at: int
    updated_at: int
    answers_id: str = ""
    answers_address: str = ""


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed, as RFC 4287 wants it."""

    id: str
    title: str
    address: str
    alternate: str
    updated_at: int
    entries: Sequence[Entry]


class Feeds:
    """Reads what is new. `public_url` is where readers find the server."""

    def __init__(self, db: Database, secret: str, public_url: str) -> None:
        self._db = db
        self._secret = secret
        self._public_url = public_url

    def owner_key(self, site_id: int) -> str:
        """What opens the owner's feed of a site; another secret makes another one."""
        key = derived_key(self._secret, f"the owner's feed of site {site_id}")
        return urlsafe_b64encode(key[:24]).decode()

    def check_owner_key(self, site_id: int, key: str) -> None:
        """Raise Forbidden unless it is the site's."""
        wanted = self.owner_key(site_id).encode()
        if not hmac.compare_digest(key.encode("utf-8", "surrogatepass"), wanted):
            raise Forbidden("This is not the key of the feed.")

    def address(self, kind: FeedKind, site_id: int, slug: str = "") -> str:
        """Where a feed is, the owner's with its key."""
        query = ""
        if kind is FeedKind.PAGE:
            query = f"?{query_of_part(slug, Part())}"
        if kind is FeedKind.OWNER:
            query = f"?key={self.owner_key(site_id)}"
        return f"{self._public_url}/feeds/{site_id}/{kind}.atom{query}"

    def thread_address(self, room: RoomKey, part: Part) -> str:
        """Where a part of a page's comments is."""
        return f"{self._public_url}/t/{room.site_id}?{query_of_part(room.slug, part)}"

    async def read_page(self, site: Site, room: RoomKey) -> Feed:
        """What is published on a page; nothing yet is no error."""
        async with self._db.snapshot() as snapshot:
            page = await thread_pages.read_page(snapshot, room)
            found: Sequence[Written] = ()
            if page is not None and page["published_count"]:
                found = await list_newest(snapshot, site.id, page["id"], IN_FEED)
        title = page_title(page["title"] if page else "", room.slug)
        name = f"{FeedKind.PAGE}?{query_of_part(room.slug, Part())}"
        thread = self.thread_address(room, Part())
        address = self.address(FeedKind.PAGE, site.id, room.slug)
        return self._feed(site, name, f"Comments on {title}", address, thread, found)

    async def read_site(self, site: Site, *, for_owner: bool) -> Feed:
        """What is new on a site; for its owner what waits for approval too."""
        async with self._db.snapshot() as snapshot:
            found = await list_newest(snapshot, site.id, 0, IN_FEED, held=for_owner)
        kind = FeedKind.OWNER if for_owner else FeedKind.SITE
        name = clean_name(site.name)
        title = f"All that is new on {name}" if for_owner else f"Comments on {name}"
        home = next((origin for origin in site.origins if "*" not in origin), "")
        return self._feed(site, kind, title, self.address(kind, site.id), web_address(home), found)

    def _feed(
        self,
        site: Site,
        name: str,
        title: str,
        address: str,
        alternate: str,
        found: Sequence[Written],
    ) -> Feed:
        entries = [self._entry(site, one) for one in found]
        return Feed(
            id=f"{_tag(site)}/{name}",
            title=title,
            address=address,
            alternate=alternate,
            updated_at=max((one.updated_at for one in entries), default=site.created_at),
            entries=entries,
        )

    def _entry(self, site: Site, one: Written) -> Entry:
        room = RoomKey(site.id, one.slug)
        name, title = clean_name(one.name), page_title(one.title, one.slug)
        said = f"{name} replied on {title}" if one.reply_id else f"{name} on {title}"
        comment = f"{_tag(site)}/comment/{one.comment_id}"
        comment_address = self.thread_address(room, Part(one.comment_id))
        thread = self.thread_address(room, Part())
        page, is_held = web_address(one.address), one.status is Status.PENDING
        if is_held:
            # It stands nowhere yet.
            address = page or thread
        elif one.reply_id:
            part = Part(one.comment_id, reply_id=one.reply_id)
            address = f"{self.thread_address(room, part)}#r{one.reply_id}"
        else:
            address = f"{comment_address}#c{one.comment_id}"
        return Entry(
            id=f"{_tag(site)}/reply/{one.reply_id}" if one.reply_id else comment,
            title=f"Held: {said}" if is_held else said,
            author=name,
            address=address,
            base=page or thread,
            html=one.html,
            is_held=is_held,
            published_at=one.created_at,
            updated_at=one.updated_at,
            answers_id=comment if one.reply_id else "",
            answers_address=comment_address if one.reply_id else "",
        )


def _tag(site: Site) -> str:
    """How the ids of a site's feeds begin (RFC 4151).

    They hold when the server moves: nothing but the site itself is in them, told from all others
    by the microsecond in which it was made, below a domain that is nobody's (RFC 2606).
    """
    day = f"{datetime.fromtimestamp(site.created_at // SECOND, UTC):%Y-%m-%d}"
    return f"tag:talkee-lite.invalid,{day}:{site.created_at}/{site.id}"
