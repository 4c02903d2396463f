"""`/api/auth/…`: signing in and out."""

from __future__ import annotations

import re
from typing import Any

from ..auth import Attempt, Challenges
from ..closing import REFUSED
from ..errors import Forbidden, InvalidBody, InvalidSiteId, MethodNotOffered, Unauthorized
from ..models import Caller, Scope, Site
from ..protocol import parse_object, take_text, user_fields
from ..signing_in import Entry, SignedIn
from .context import (
    Services,
    address_of,
    answer,
    bearer_of,
    body_of,
    caller_of,
    check_page,
    check_sign_in_pace,
    is_own_page,
    json_of,
    services_of,
    site_if_any,
)
from .exchange import Answer, Request

_ACCOUNT = re.compile("0x[0-9a-fA-F]{40}")


async def login(request: Request) -> Answer:
    """Sign in by one of the methods that this server offers."""
    services = services_of(request)
    check_page(request, services)
    body = await json_of(request, services.config.limits.max_body_bytes)
    method = services.logins.get(take_text(body, "method"))
    if method is None:
        raise MethodNotOffered(field="method")
    attempt = await _attempt(request, services, body)
    check_sign_in_pace(request, services)
    return _signed_in(services, attempt.site, await method.sign_in(attempt))


async def register(request: Request) -> Answer:
    """Make an account with a user name and a password, and sign in."""
    services = services_of(request)
    check_page(request, services)
    body = await json_of(request, services.config.limits.max_body_bytes)
    passwords = services.passwords
    attempt = await _attempt(request, services, body)
    check_sign_in_pace(request, services)
    return _signed_in(services, attempt.site, await passwords.register(attempt))


async def change_password(request: Request) -> Answer:
    """Give the one who asks another password; everything else that they signed in ends."""
    services = services_of(request)
    check_page(request, services)
    raw = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    passwords = services.passwords
    check_sign_in_pace(request, services)
    address = address_of(request, services)
    return _signed_in(services, None, await passwords.change(caller, parse_object(raw), address))


async def _attempt(request: Request, services: Services, body: dict[str, Any]) -> Attempt:
    """What a way to sign in looks at.

    Raises InvalidBody, InvalidSiteId, SiteNotFound, OriginNotAllowed or Forbidden.
    """
    lang = body.get("lang", "")
    if not isinstance(lang, str) or not (
        lang == "" or (len(lang) == 2 and lang.isascii() and lang.isalpha())
    ):
        raise InvalidBody("lang must be two letters.", field="lang")
    try:
        scope = Scope(body.get("scope", Scope.PAGE))
    except ValueError:
        raise InvalidBody('scope must be "page" or "admin".', field="scope") from None
    if scope is Scope.ADMIN and not is_own_page(request, services):
        raise Forbidden("Admin tokens are given to the server's own pages alone.")
    origin = request.headers.get("origin")
    return Attempt(
        body=body,
        origin=origin,
        site=_site_of(services, body, origin),
        address=address_of(request, services),
        entry=Entry(scope, lang.lower(), await _guest_of(request, services)),
    )


def _site_of(services: Services, body: dict[str, Any], origin: str | None) -> Site | None:
    """The site that a sign-in names, else the one that its page belongs to."""
    site_id = body.get("site_id", 0)
    if "site_id" not in body:
        return services.sites.find_by_origin(origin)
    if type(site_id) is not int:
        raise InvalidBody("site_id must be a whole number.", field="site_id")
    if site_id < 1:
        raise InvalidSiteId(field="site_id")
    site = services.sites.get(site_id)
    services.sites.check_origin(site, origin)
    return site


async def _guest_of(request: Request, services: Services) -> Caller | None:
    """The guest whose token comes along, if it is still good for anything."""
    token = bearer_of(request)
    if token is None:
        return None
    try:
        caller = await services.tokens.identify_for_renewal(token)
    except Unauthorized:
        # It is not what they sign in with; pages send what they have.
        return None
    return caller if caller.user.is_guest else None


async def wallet_text(request: Request) -> Answer:
    """What the wallet of an account has to sign to sign in from the page that asks."""
    services = services_of(request)
    check_page(request, services)
    body = await json_of(request, services.config.limits.max_body_bytes)
    account = take_text(body, "account")
    if not _ACCOUNT.fullmatch(account):
        raise InvalidBody("account must be 0x and 40 hexadecimal digits.", field="account")
    method = services.logins.get("mvm")
    if not isinstance(method, Challenges):
        raise MethodNotOffered("This server does not let people sign in with wallets.")
    text = method.text_for(account, request.headers.get("origin"))
    # Wallets want it in hexadecimal digits, too.
    return answer(services, {"text": text, "hex": f"0x{text.encode().hex()}"})


async def renew(request: Request) -> Answer:
    """A new token for one that is valid or expired less than 7 days ago."""
    services = services_of(request)
    check_page(request, services)
    token = bearer_of(request)
    if token is None:
        raise Unauthorized
    caller = await services.tokens.identify_for_renewal(token)
    check_sign_in_pace(request, services)
    session = await services.sign_ins.renew(caller.session)
    return _signed_in(services, None, SignedIn(caller.user, session))


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
    """The ways to sign in that this server offers, for the site that is named or asks."""
    services = services_of(request)
    check_page(request, services)
    origin = request.headers.get("origin")
    site = site_if_any(request, services) or services.sites.find_by_origin(origin)
    described = {name: method.describe(site) for name, method in services.logins.items()}
    return answer(
        services,
        [{"method": name} | about for name, about in described.items() if about is not None],
    )


def _signed_in(services: Services, site: Site | None, signed_in: SignedIn) -> Answer:
    """Who came in; what they were before is over."""
    for user_id, jtis in signed_in.ended.items():
        services.sockets.close_those(user_id, REFUSED, "signed in anew", services.tokens.end(jtis))
    user = signed_in.user
    kind = services.people.kind(user, site.id if site else 0)
    fields = user_fields(user, kind, services.people.public_url)
    token = services.tokens.encode(signed_in.session)
    return answer(services, {"access_token": token, "user": fields})
