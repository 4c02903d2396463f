"""`/api/sites/:id`, and the calls that old pages make about a page."""

from __future__ import annotations

from ..errors import SiteNotFound
from ..models import RoomKey
from ..protocol import parse_number, parse_object, site_fields
from .context import (
    Services,
    answer,
    body_of,
    caller_of,
    check_page,
    page_of,
    room_of,
    services_of,
)
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


async def get_page(request: Request) -> Answer:
    """What is known of a page."""
    services = services_of(request)
    return await _answer_page(services, page_of(request, services))


async def change_page(request: Request) -> Answer:
    """Give a page another address or title."""
    services = services_of(request)
    room = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    change = services.pages.parse_change(room.site_id, parse_object(body))
    await services.pages.describe(caller, room, *change)
    return await _answer_page(services, room)


async def _answer_page(services: Services, room: RoomKey) -> Answer:
    page = await services.pages.read(room)
    shown = {"address": page.address, "title": page.title}
    return answer(services, {"site_id": room.site_id, "slug": room.slug, **shown})


async def list_assets(request: Request) -> Answer:
    """The crypto assets that are offered: none."""
    services = services_of(request)
    check_page(request, services)
    return answer(services, [])
