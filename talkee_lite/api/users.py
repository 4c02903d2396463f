"""`/api/me`, `/api/users/:id` and avatars."""

from __future__ import annotations

from ..avatar import avatar_svg
from ..errors import UserNotFound
from ..models import User
from ..protocol import parse_number, parse_object, take_text, user_fields
from .context import Services, answer, body_of, caller_of, check_page, services_of
from .exchange import Answer, Request


async def get_me(request: Request) -> Answer:
    """The user who asks."""
    services = services_of(request)
    check_page(request, services)
    caller = await caller_of(request, services)
    return _answer_user(services, caller.user)


async def change_me(request: Request) -> Answer:
    """Give the user who asks another name."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    name = take_text(parse_object(raw), "full_name")
    return _answer_user(services, await services.people.rename(caller, name))


async def get_user(request: Request) -> Answer:
    """A user who has published something."""
    services = services_of(request)
    check_page(request, services)
    user_id = parse_number(request.match["id"])
    if user_id is None:
        raise UserNotFound
    return _answer_user(services, await services.people.get_public(user_id))


async def get_avatar(request: Request) -> Answer:
    """The picture of a user id, drawn by us; any page may show it."""
    user_id = parse_number(request.match["id"])
    if user_id is None:
        raise UserNotFound
    return Answer(
        avatar_svg(user_id).encode(),
        headers={
            "Content-Type": "image/svg+xml",
            "Cache-Control": "public, max-age=604800",
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Access-Control-Allow-Origin": "*",
            "Cross-Origin-Resource-Policy": "cross-origin",
        },
    )


def _answer_user(services: Services, user: User) -> Answer:
    kind = services.people.kind(user, 0)
    return answer(services, user_fields(user, kind, services.people.public_url))
