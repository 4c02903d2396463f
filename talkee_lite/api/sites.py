"""`/api/sites`, and the calls that old pages make about a page."""

from __future__ import annotations

from typing import Any

from .. import administration
from ..errors import InvalidBody, SiteNotFound
from ..models import RoomKey, Site
from ..protocol import parse_number, parse_object, site_fields, take_optional_text, take_text
from .context import (
    Services,
    admin_of,
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
    return answer(services, site_fields(services.sites.get(_id_of(request))))


async def list_sites(request: Request) -> Answer:
    """The sites that the caller administers."""
    services = services_of(request)
    check_page(request, services)
    caller = await caller_of(request, services)
    sites = administration.list_sites(services, caller)
    return answer(services, [_own_fields(site) for site in sites])


async def add_site(request: Request) -> Answer:
    """A new site, the caller's."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await admin_of(request, services)
    fields = parse_object(raw)
    site = await administration.add_site(
        services,
        caller,
        name=take_text(fields, "name"),
        origins=_origins_of(fields) or (),
        public_chat=bool(_public_chat_of(fields)),
    )
    return answer(services, _own_fields(site))


async def change_site(request: Request) -> Answer:
    """Change a site, at once; what is left out stays."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await admin_of(request, services)
    fields = parse_object(raw)
    site = await administration.change_site(
        services,
        caller,
        _id_of(request),
        name=take_optional_text(fields, "name"),
        origins=_origins_of(fields),
        public_chat=_public_chat_of(fields),
    )
    return answer(services, _own_fields(site))


def _id_of(request: Request) -> int:
    site_id = parse_number(request.match["id"])
    if site_id is None:
        raise SiteNotFound
    return site_id


def _own_fields(site: Site) -> dict[str, Any]:
    """A site as its admins see it."""
    return site_fields(site) | {"from_settings": site.from_settings}


def _origins_of(fields: dict[str, Any]) -> list[str] | None:
    """The origins that a body gives, as a list or as the one there is; None: none are given."""
    origin = take_optional_text(fields, "origin")
    if "origins" not in fields:
        return None if origin is None else [origin] if origin else []
    origins = fields.get("origins")
    if not isinstance(origins, list) or not all(isinstance(one, str) for one in origins):
        raise InvalidBody("origins must be a list of texts.", field="origins")
    if origin is not None:
        raise InvalidBody("Give origin or origins, not both.", field="origin")
    return origins


def _public_chat_of(fields: dict[str, Any]) -> bool | None:
    public_chat = fields.get("public_chat")
    if "public_chat" in fields and not isinstance(public_chat, bool):
        raise InvalidBody("public_chat must be true or false.", field="public_chat")
    return public_chat


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
