"""`/api/me`, `/api/users/:id` and avatars."""

from __future__ import annotations

from ..avatar import avatar_svg
from ..closing import REFUSED
from ..errors import InvalidBody, UserNotFound
from ..models import User
from ..personal import Content
from ..protocol import parse_number, parse_object, take_text, user_fields
from .context import (
    Services,
    admin_of,
    answer,
    answer_bytes,
    body_of,
    caller_of,
    check_page,
    check_sign_in_pace,
    services_of,
)
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
    check_sign_in_pace(request, services)
    return _answer_user(services, await services.people.rename(caller, name))


async def export_me(request: Request) -> Answer:
    """Everything that is stored about the user who asks."""
    services = services_of(request)
    check_page(request, services)
    caller = await caller_of(request, services)
    check_sign_in_pace(request, services)
    exported = await services.personal.export(caller.user.id)
    return answer_bytes(
        b'{"ts":%d,"data":%b}' % (services.clock() // 1000, exported),
        headers={"Content-Disposition": 'attachment; filename="talkee-lite.json"'},
    )


async def delete_me(request: Request) -> Answer:
    """Take the user who asks out of the server, with what they wrote or without."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    if services.people.is_admin_anywhere(caller.user.id):
        # A page's token, or whoever stole it there, does not take the owner's place away.
        caller = await admin_of(request, services)
    try:
        content = Content(take_text(parse_object(raw), "content"))
    except ValueError:
        raise InvalidBody('content must be "keep" or "remove".', field="content") from None
    check_sign_in_pace(request, services)
    ended = await services.personal.leave(caller.user.id, content)
    services.sockets.close_those(caller.user.id, REFUSED, "signed out", ended)
    return answer(services, None)


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
