"""Rules for pages: their address and title, and where they moved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from .clock import Clock
from .config import is_web_address
from .errors import Forbidden, InvalidBody, InvalidSlug, PageNotFound, Unavailable
from .models import Caller, Changed, Described, Moved, Page, PageEvent, RoomKey, Several
from .people import People
from .protocol import take_optional_text
from .sites import Sites
from .store import pages as store
from .store.database import Database
from .store.messages import room_changed, set_room_closed
from .store.writer import Transaction
from .text import clean_name

MOST_ADDRESS = 2048
MOST_TITLE = 300
_MOST_DESCRIBED = 10_000


class Pages:
    """What is known of pages beside what stands below them."""

    def __init__(self, db: Database, people: People, sites: Sites, clock: Clock) -> None:
        self._db = db
        self._people = people
        self._sites = sites
        self._clock = clock
        self._moves: dict[RoomKey, RoomKey] = {}
        self._earlier: dict[RoomKey, list[RoomKey]] = {}
        """The same the other way round."""
        self._described: OrderedDict[RoomKey, None] = OrderedDict()

    async def start(self) -> None:
        """Read where pages have moved."""
        self._take(await store.list_moves(self._db))

    def _take(self, moves: dict[RoomKey, RoomKey]) -> None:
        self._moves, self._earlier = moves, {}
        for old, new in moves.items():
            self._earlier.setdefault(new, []).append(old)

    def current(self, room: RoomKey) -> RoomKey:
        """The page whose comments are asked for by this one's name."""
        return self._moves.get(room, room)

    def earlier(self, room: RoomKey) -> Sequence[RoomKey]:
        """The pages that moved to this one."""
        return self._earlier.get(room, ())

    def parse(self, site_id: int, given: Any) -> Page:
        """What a client says of a page: `{"address", "title"}`, both may be left out.

        Raises InvalidBody unless the address belongs to one of the site's origins.
        """
        if not isinstance(given, dict):
            raise InvalidBody("page must be an object.", field="page")
        address, title = given.get("address", ""), given.get("title", "")
        if not isinstance(address, str) or not isinstance(title, str):
            raise InvalidBody("A page's address and title must be texts.", field="page")
        return Page(self._checked_address(site_id, address), _checked_title(title))

    def parse_change(self, site_id: int, given: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """Another address and title; None: as it is. "" is unknown. Raises InvalidBody."""
        address, title = take_optional_text(given, "address"), take_optional_text(given, "title")
        return (
            None if address is None else self._checked_address(site_id, address),
            None if title is None else _checked_title(title),
        )

    def _checked_address(self, site_id: int, address: str) -> str:
        address = address.strip(" \t\r\n").partition("#")[0]
        if address and not self._is_of(site_id, address):
            raise InvalidBody(
                "A page's address must start with one of its site's origins.", field="page"
            )
        return address

    def _is_of(self, site_id: int, address: str) -> bool:
        # As browsers have it (url.spec.whatwg.org): all else is percent-encoded.
        if not address.isascii() or len(address) > MOST_ADDRESS:
            return False
        if not is_web_address(address.partition("?")[0]):
            return False
        if any(c <= " " or c in '"<>\\^`{|}\x7f' for c in address):
            return False
        parts = urlsplit(address)
        return self._sites.allows(
            self._sites.get(site_id), f"{parts.scheme}://{parts.netloc}".lower()
        )

    async def learn(self, room: RoomKey, page: Page) -> None:
        """Note what a client said of a page that has just been written on, if it is the first."""
        if room in self._described or not (page.address or page.title):
            return
        with suppress(Unavailable):
            # What was written is stored already; the next who writes says it again.
            await self._db.write(lambda tx: _learn(tx, room, page))
            if page.address and page.title:
                self._described[room] = None
            while len(self._described) > _MOST_DESCRIBED:
                self._described.popitem(last=False)

    async def read(self, room: RoomKey) -> Page:
        """What is known of a page."""
        return await store.read_page(self._db, room) or Page("", "")

    async def describe(
        self, caller: Caller | None, room: RoomKey, address: str | None, title: str | None
    ) -> None:
        """Give a page another address or title. Moderators alone, or (None) the owner.

        Raises Forbidden or PageNotFound.
        """
        if caller is not None and not self._people.is_moderator(caller.user.id, room.site_id):
            raise Forbidden
        described = await self._db.write(
            lambda tx: Described(room, store.describe_page(tx, room, address, title))
        )
        if not described.is_known:
            raise PageNotFound

    async def move(self, old: RoomKey, new: RoomKey) -> None:
        """Take a page's comments to another page, which answers for both from now on.

        The chat rooms stay apart, the old one closed. Raises PageNotFound or InvalidSlug.
        """
        there = self.current(old)
        if there != old:
            raise InvalidSlug(f"That page has moved to {there.slug} already.", field="slug")
        if self.current(new) != old:
            # Otherwise it moves back to where it was.
            new = self.current(new)
        if old == new:
            raise InvalidSlug("The page is there already.", field="new")
        now = self._clock()

        def job(tx: Transaction) -> Several:
            revision = store.move_page(tx, old, new, now)
            if revision is None:
                raise PageNotFound
            moved = PageEvent("page_moved", revision, {"from": old.slug, "to": new.slug})
            states = [set_room_closed(tx, old, True, now), room_changed(tx, new)]
            # What happens to the new page is told on the old one too, this first.
            told = [Moved(old, new), Changed(None, new, [moved])]
            return Several([*told, *(state for state in states if state)])

        await self._db.write(job)

    def note(self, results: Iterable[Any]) -> None:
        """Results of what was committed: follow a move before anything else is told."""
        for result in results:
            if isinstance(result, Moved):
                old, new = result.old, result.new
                moves = {
                    earlier: new if there == old else there
                    for earlier, there in self._moves.items()
                    if earlier != new
                }
                self._take(moves | {old: new})


def _learn(tx: Transaction, room: RoomKey, page: Page) -> Described:
    store.learn_page(tx, room, page)
    return Described(room, is_known=True)


def _checked_title(title: str) -> str:
    return clean_name(title)[:MOST_TITLE].strip()
