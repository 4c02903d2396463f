"""`/feeds/{site_id}/…`: what is new, as Atom."""

from __future__ import annotations

import asyncio

from ..errors import SiteNotFound
from ..feeds import Feed, FeedKind
from ..models import RoomKey, Site
from ..protocol import parse_number
from ..sites import checked_slug
from ..thread_pages import Part, query_of_part
from .context import Services, query_of, services_of
from .documents import ATOM, make_feed
from .exchange import Answer, Request
from .validators import holds_any, holds_tag, validators


async def page_feed(request: Request) -> Answer:
    """What is new on a page."""
    services = services_of(request)
    site = _site_of(request, services)
    asked = RoomKey(site.id, checked_slug(query_of(request).get("slug", "")))
    room = services.pages.current(asked)
    if room != asked:
        where = f"?{query_of_part(room.slug, Part())}"
        return Answer(status=301, headers={"Location": where, "Cache-Control": "no-cache"})
    return await _answer(request, services, site, FeedKind.PAGE, room)


async def site_feed(request: Request) -> Answer:
    """What is new on a site."""
    services = services_of(request)
    return await _answer(request, services, _site_of(request, services), FeedKind.SITE)


async def owner_feed(request: Request) -> Answer:
    """What is new on a site, for whoever has the key: what waits for approval too."""
    services = services_of(request)
    site = _site_of(request, services)
    services.feeds.check_owner_key(site.id, query_of(request).get("key", ""))
    return await _answer(request, services, site, FeedKind.OWNER)


def _site_of(request: Request, services: Services) -> Site:
    """The site that an address names. Raises SiteNotFound or OriginNotAllowed."""
    site_id = parse_number(request.match["site_id"])
    if site_id is None:
        raise SiteNotFound
    site = services.sites.get(site_id)
    services.sites.check_origin(site, request.headers.get("origin"))
    return site


async def _answer(
    request: Request,
    services: Services,
    site: Site,
    kind: FeedKind,
    room: RoomKey | None = None,
) -> Answer:
    changes = services.changes
    change = changes.of_page(room) if room is not None else changes.of_site(site.id)
    key, version = (kind, site.id, room), (change.number, site.updated_at)
    known = validators(key, version, max(change.at, site.updated_at))
    headers = {
        "Content-Type": ATOM,
        "Cache-Control": "private, no-cache" if kind is FeedKind.OWNER else "no-cache",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex",
        **known.headers(services.clock()),
    }
    if holds_tag(request, known) or holds_any(request, known):
        return Answer(status=304, headers=headers)
    body: bytes | None = services.made.find(key, version)
    if body is None:
        feed = await _read(services, site, kind, room)
        body = await asyncio.to_thread(make_feed, feed)
        if feed.entries:
            services.made.keep(key, version, body, len(body))
    return Answer(body, headers=headers)


async def _read(services: Services, site: Site, kind: FeedKind, room: RoomKey | None) -> Feed:
    if room is not None:
        return await services.feeds.read_page(site, room)
    return await services.feeds.read_site(site, for_owner=kind is FeedKind.OWNER)
