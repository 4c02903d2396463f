"""`/api/admin/…`: what admins do about people."""

from __future__ import annotations

from typing import Any

from .. import administration
from ..errors import InvalidBody, InvalidPage, InvalidSiteId, UserNotFound
from ..models import User
from ..protocol import MOST_NUMBER, parse_number, parse_object, take_optional_text, take_text
from .context import Services, admin_of, answer, body_of, check_page, query_of, services_of
from .exchange import Answer, Request


async def get_setup(request: Request) -> Answer:
    """What is set up on this server, and what may be missing."""
    services = services_of(request)
    check_page(request, services)
    caller = await admin_of(request, services)
    return answer(services, await administration.describe_setup(services, caller))


async def list_users(request: Request) -> Answer:
    """Up to 100 people, by id."""
    services = services_of(request)
    check_page(request, services)
    caller = await admin_of(request, services)
    asked = query_of(request)
    after_id = parse_number(asked["after_id"]) if "after_id" in asked else 0
    if after_id is None:
        raise InvalidPage("after_id must be a positive whole number.", field="after_id")
    users = await administration.list_users(services, caller, asked.get("q", ""), after_id)
    return answer(services, await administration.describe_users(services, users))


async def set_role(request: Request) -> Answer:
    """Let somebody be a member, a moderator or an admin, of a site or of the server."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await admin_of(request, services)
    fields = parse_object(raw)
    role = administration.parse_role(take_text(fields, "role"))
    site_id = _number(fields.get("site_id", 0), "site_id")
    if not 0 <= site_id <= MOST_NUMBER:
        raise InvalidSiteId(field="site_id")
    user = await administration.set_role(services, caller, _id_of(request), site_id, role)
    return await _answer_user(services, user)


async def ban_user(request: Request) -> Answer:
    """Let somebody write nothing and open no socket; open ones end at once."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await admin_of(request, services)
    fields = parse_object(raw)
    hours = _number(fields.get("hours"), "hours")
    reason = take_optional_text(fields, "reason") or ""
    user = await administration.ban(services, caller, _id_of(request), hours, reason)
    return await _answer_user(services, user)


async def unban_user(request: Request) -> Answer:
    """Lift somebody's ban."""
    services = services_of(request)
    check_page(request, services)
    caller = await admin_of(request, services)
    user = await administration.unban(services, caller, _id_of(request))
    return await _answer_user(services, user)


async def sign_out_user(request: Request) -> Answer:
    """End all sessions of somebody; their sockets end at once."""
    services = services_of(request)
    check_page(request, services)
    caller = await admin_of(request, services)
    user, _ = await administration.sign_out(services, caller, _id_of(request))
    return await _answer_user(services, user)


def _id_of(request: Request) -> int:
    user_id = parse_number(request.match["id"])
    if user_id is None:
        raise UserNotFound
    return user_id


def _number(value: Any, field: str) -> int:
    if type(value) is not int:
        raise InvalidBody(f"{field} must be a whole number.", field=field)
    return value


async def _answer_user(services: Services, user: User) -> Answer:
    (described,) = await administration.describe_users(services, [user])
    return answer(services, described)
