"""Making the HTML of what was written anew, where the rules or a site's settings have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from .markdown import to_html, version
from .models import RoomKey, Site, Text
from .sites import Sites
from .store import rendering as store
from .store.database import Database

_SLICE = 200


class Rendering:
    """Keeps the HTML of all sites at the version that is made now."""

    def __init__(self, db: Database, sites: Sites, changed: Callable[[RoomKey], None]) -> None:
        """`changed` is told of each page of which something was made anew."""
        self._db = db
        self._sites = sites
        self._changed = changed
        self._running = asyncio.Lock()

    async def renew(self) -> int:
        """Make anew what is of another version; how many texts that were.

        It goes in slices; stopped in between it goes on the next time.
        """
        async with self._running:
            return sum([await self._renew_site(site) for site in self._sites.all()])

    async def _renew_site(self, site: Site) -> int:
        wanted = version(images=site.images)
        if await store.read_version(self._db, site.id) == wanted:
            return 0
        # What was made by other rules is on the disk when this has been written.
        await self._db.write(lambda tx: None)
        count = 0
        for table in store.TABLES:
            after = 0
            while True:
                old = await store.find_old(self._db, table, site.id, wanted, after, _SLICE)
                if not old:
                    break
                htmls = await asyncio.to_thread(_made, [text.content for text in old], site.images)
                made = [
                    (one, Text(one.content, html, wanted))
                    for one, html in zip(old, htmls, strict=True)
                ]
                await self._db.write(partial(store.replace_html, table=table, made=made))
                for room in {one.room for one in old}:
                    self._changed(room)
                after, count = old[-1].id, count + len(old)
        await self._db.write(partial(store.note_version, site_id=site.id, version=wanted))
        return count


def _made(texts: list[str], images: bool) -> list[str]:
    return [to_html(text, images=images) for text in texts]
