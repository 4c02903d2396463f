"""`/api/auth/…`: signing in and out."""

from __future__ import annotations

from ..closing import REFUSED
from ..errors import InvalidBody, MethodNotOffered, Unauthorized
from ..models import Session, User
from ..protocol import parse_object, take_text, user_fields
from .context import (
    Services,
    answer,
    bearer_of,
    body_of,
    caller_of,
    check_page,
    check_sign_in_pace,
    json_of,
    services_of,
)
from .exchange import Answer, Request


async def login(request: Request) -> Answer:
    """Sign in by one of the methods that this server offers."""
    services = services_of(request)
    check_page(request, services)
    body = await json_of(request, services.config.limits.max_body_bytes)
    method = take_text(body, "method")
    sign_in = services.logins.get(method)
    if sign_in is None:
        raise MethodNotOffered(field="method")
    lang = body.get("lang", "")
    if not isinstance(lang, str) or not (
        lang == "" or (len(lang) == 2 and lang.isascii() and lang.isalpha())
    ):
        raise InvalidBody("lang must be two letters.", field="lang")
    check_sign_in_pace(request, services)
    user, session = await sign_in(services.people, body, lang.lower())
    return _signed_in(services, user, session)


async def renew(request: Request) -> Answer:
    """A new token for one that is valid or expired less than 7 days ago."""
    services = services_of(request)
    check_page(request, services)
    token = bearer_of(request)
    if token is None:
        raise Unauthorized
    caller = await services.tokens.identify_for_renewal(token)
    check_sign_in_pace(request, services)
    session = await services.people.renew_session(caller.session)
    return _signed_in(services, caller.user, session)


async def logout(request: Request) -> Answer:
    """End this token, or all of the person's; open sockets that used it are closed."""
    services = services_of(request)
    check_page(request, services)
    raw = b""
    if request.has_body:
        raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    everywhere = parse_object(raw).get("everywhere", False) if raw else False
    if not isinstance(everywhere, bool):
        raise InvalidBody("everywhere must be true or false.", field="everywhere")
    if everywhere:
        ended = await services.tokens.sign_out_everywhere(caller.user.id)
    else:
        ended = await services.tokens.sign_out(caller.session)
    services.sockets.close_those(caller.user.id, REFUSED, "signed out", ended)
    return answer(services, None)


async def list_methods(request: Request) -> Answer:
    """The ways to sign in that this server offers."""
    services = services_of(request)
    check_page(request, services)
    return answer(services, [{"method": name} for name in services.logins])


def _signed_in(services: Services, user: User, session: Session) -> Answer:
    kind = services.people.kind(user, 0)
    fields = user_fields(user, kind, services.people.public_url)
    return answer(services, {"access_token": services.tokens.encode(session), "user": fields})
