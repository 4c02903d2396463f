"""`/api/sites/:id`, and the calls that old pages make about a page."""

from __future__ import annotations

from ..errors import SiteNotFound
from ..protocol import parse_number, site_fields
from .context import answer, check_page, room_of, services_of
from .exchange import Answer, Request


async def get_site(request: Request) -> Answer:
    """One site."""
    services = services_of(request)
    check_page(request, services)
    site_id = parse_number(request.match["id"])
    if site_id is None:
        raise SiteNotFound
    return answer(services, site_fields(services.sites.get(site_id)))


async def get_slug(request: Request) -> Answer:
    """What Talkee's pages ask about a page: there are no tips here."""
    services = services_of(request)
    room = room_of(request, services)
    return answer(services, {"site_id": room.site_id, "slug": room.slug, "tips": []})


async def list_assets(request: Request) -> Answer:
    """The crypto assets that are offered: none."""
    services = services_of(request)
    check_page(request, services)
    return answer(services, [])
