"""What every handler works with, and who is asking: the first two steps of each request."""

from __future__ import annotations

import ipaddress
from asyncio import Future
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from ..auth import Method, Registers
from ..auth.tokens import Tokens
from ..byte_cache import ByteCache
from ..changes import Changes
from ..chat import Chat
from ..clock import Clock, SteadyClock
from ..comments import Comments
from ..config import Config
from ..errors import (
    BadRequest,
    Banned,
    Forbidden,
    InvalidSiteId,
    MethodNotOffered,
    RateLimited,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from ..feeds import Feeds
from ..forms import Forms
from ..hub import Hub
from ..keeping import Keeping
from ..limits import Limits
from ..merging import Merging
from ..models import Caller, RoomKey, Scope, Site
from ..notify.dispatch import Dispatcher
from ..pages import Pages
from ..people import People
from ..personal import Personal
from ..protocol import dump_json, parse_number, parse_object
from ..rendering import Rendering
from ..signing_in import SignIns
from ..sites import Sites, checked_slug
from ..store.database import Database
from ..thread_pages import ThreadPages
from .exchange import Answer, Request
from .files import File
from .sockets import Sockets

_BODY_SECONDS = 10
_MOST_FIELDS = 20


Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


@dataclass(slots=True)
class Services:
    """The parts of a running server; `app.py` builds them, nobody else."""

    config: Config
    clock: Clock
    pace_clock: SteadyClock
    db: Database
    sites: Sites
    people: People
    tokens: Tokens
    merging: Merging
    sign_ins: SignIns
    logins: Mapping[str, Method]
    login_pace: Limits
    hub: Hub
    chat: Chat
    comments: Comments
    keeping: Keeping
    pages: Pages
    personal: Personal
    rendering: Rendering
    dispatcher: Dispatcher
    changes: Changes
    thread_pages: ThreadPages
    feeds: Feeds
    forms: Forms
    made: ByteCache[Any]
    """Documents that were made of pages."""
    sockets: Sockets
    trusted: Networks
    started_at: float
    stopping: bool = False
    reported_origins: dict[str, float] = field(default_factory=dict)
    addresses: dict[tuple[str | None, str], str] = field(default_factory=dict)
    """What `address_of` found for a peer and an X-Forwarded-For, bounded."""
    counts: tuple[int, Future[dict[str, int]]] | None = None
    document: File | None = None

    @property
    def passwords(self) -> Registers:
        """What people may choose and change. Raises MethodNotOffered where it is off."""
        method = self.logins.get("password")
        if not isinstance(method, Registers):
            raise MethodNotOffered("This server does not let people sign in with passwords.")
        return method


SERVICES = web.AppKey("services", Services)


def services_of(request: Request) -> Services:
    """The server's parts. Raises Unavailable while it stops."""
    services = request.services
    if services.stopping:
        raise Unavailable("The server is restarting.", retry_after=2)
    return services


PARAMETERS = frozenset(
    {
        *("site_id", "slug", "filter", "before", "after", "limit"),
        *("offset", "after_id", "from_id", "order_by", "of", "comment", "reply", "key", "q"),
        *("replies", "since"),
    }
)
_MOST_CACHED = 512
_MOST_ADDRESSES = 4096
_MOST_FORWARDED = 256


def _parse(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=False, errors="replace"):
        if name in PARAMETERS:
            found.setdefault(name, value)
    return found


_parse_cached = lru_cache(maxsize=4096)(_parse)


def query_of(request: Request) -> dict[str, str]:
    """The address's parameters, decoded as forms are; empty ones are absent, the first counts."""
    query = request.query
    return _parse_cached(query) if len(query) <= _MOST_CACHED else _parse(query)


def _header(request: Request, name: str) -> str | None:
    """A header whose bytes are UTF-8, else Latin-1, percent-decoded once; None if empty.

    `name` is in lower case.
    """
    raw = request.headers.get(name)
    if not raw:
        return None
    data = raw.encode("utf-8", "surrogateescape")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return unquote(text, errors="replace")


def site_of(request: Request, services: Services) -> Site:
    """The site that a request names. Raises InvalidSiteId or SiteNotFound."""
    site_id = parse_number(_site_named(request))
    if site_id is None:
        raise InvalidSiteId(field="site_id")
    return services.sites.get(site_id)


def site_if_any(request: Request, services: Services) -> Site | None:
    """The site that a request may name. Raises what `site_of` does."""
    return site_of(request, services) if _site_named(request) else None


def _site_named(request: Request) -> str:
    return _header(request, "x-talkee-site-id") or query_of(request).get("site_id", "")


def room_of(request: Request, services: Services) -> RoomKey:
    """The room that a request names, once its page may use the site.

    Raises InvalidSiteId, SiteNotFound, InvalidSlug or OriginNotAllowed, looked for in this order.
    """
    site = site_of(request, services)
    slug = _header(request, "x-talkee-site-slug") or query_of(request).get("slug", "")
    slug = checked_slug(slug)
    services.sites.check_origin(site, request.headers.get("origin"))
    return RoomKey(site.id, slug)


def page_of(request: Request, services: Services) -> RoomKey:
    """As `room_of`, for what stands below pages: one that has moved is where it is now."""
    return services.pages.current(room_of(request, services))


def learning_of(
    request: Request, services: Services, fields: dict[str, Any]
) -> Callable[[], Awaitable[None]]:
    """What notes the address and title of `page` in a body, once the rest of it is stored.

    Raises InvalidBody.
    """
    if "page" not in fields:
        return _learn_nothing
    room = room_of(request, services)
    page = services.pages.parse(room.site_id, fields["page"])
    if services.pages.current(room) != room:
        # It says where the page was.
        return _learn_nothing
    return partial(services.pages.learn, room, page)


async def _learn_nothing() -> None:
    pass


def check_page(request: Request, services: Services) -> None:
    """For calls that name no site: the page's origin must be allowed by some site."""
    services.sites.check_origin(None, request.headers.get("origin"))


def bearer_of(request: Request) -> str | None:
    """The access token that a request sends (RFC 6750, section 2.1), if any."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None


async def caller_of(request: Request, services: Services) -> Caller:
    """Who makes the request. Raises Unauthorized.

    An admin's token comes from our own page, or from no page; from others it is Forbidden.
    """
    token = bearer_of(request)
    if token is None:
        raise Unauthorized
    caller = await services.tokens.identify(token)
    # Of most tokens nothing more is asked: this stands in the way of every call.
    is_admin = caller.session.scope is Scope.ADMIN
    if is_admin and "origin" in request.headers and not is_own_page(request, services):
        raise Forbidden("Only the server's own pages may use an admin token.")
    return caller


async def admin_of(request: Request, services: Services) -> Caller:
    """The admin, of the server or of a site, who makes the request from our own page, or from no
    page.

    Raises Unauthorized, Banned, or Forbidden for any other token or page.
    """
    caller = await caller_of(request, services)
    if caller.session.scope is not Scope.ADMIN:
        raise Forbidden("This needs an admin token, which /admin gives.")
    if caller.user.banned_until > services.clock():
        raise Banned("You are banned.")
    return caller


def is_own_page(request: Request, services: Services) -> bool:
    """Whether a browser says that the request comes from a page of this server."""
    headers = request.headers
    return services.sites.is_own(headers.get("origin", ""), headers.get("host", ""))


async def body_of(request: Request, most: int, *types: str) -> bytes:
    """The request's JSON body, unparsed, of at most `most` bytes; `types` it may be called too.

    Raises UnsupportedMediaType, TooLarge or RequestTimeout.
    """
    if media_type_of(request) not in ("application/json", *types):
        raise UnsupportedMediaType
    return await request.read(most, _BODY_SECONDS)


def media_type_of(request: Request) -> str:
    """What the request says that its body is, in lower case; "" if it does not."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def form_of(request: Request, most: int) -> dict[str, str]:
    """The request's body as a form's fields, of each name the first (WHATWG URL, chapter 5).

    Raises UnsupportedMediaType, TooLarge, RequestTimeout or BadRequest.
    """
    if media_type_of(request) != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType("Send the form as it is.")
    body = (await request.read(most, _BODY_SECONDS)).decode(errors="replace")
    try:
        pairs = parse_qsl(
            body, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise BadRequest("The form has too many fields.") from None
    return dict(reversed(pairs))


async def json_of(request: Request, most: int, *types: str) -> dict[str, Any]:
    """The request's body as a JSON object. Raises what `body_of` does, and InvalidBody."""
    return parse_object(await body_of(request, most, *types))


def address_of(request: Request, services: Services) -> str:
    """The client's address as limits count it: an IPv4 address or an IPv6 /64.

    Behind trusted proxies it is the rightmost address in X-Forwarded-For that is not one of
    theirs; what stands left of that anybody may have written.
    """
    asked = (request.peer, request.all_of("x-forwarded-for"))
    if len(asked[1]) > _MOST_FORWARDED:
        return _client_address(*asked, services.trusted)
    found = services.addresses.get(asked)
    if found is None:
        if len(services.addresses) >= _MOST_ADDRESSES:
            services.addresses.clear()
        found = services.addresses[asked] = _client_address(*asked, services.trusted)
    return found


def _client_address(peer: str | None, forwarded_for: str, trusted: Networks) -> str:
    address = _parse_address(peer) if peer is not None else None
    if address is None or _is_trusted(address, trusted):
        for text in reversed(forwarded_for.split(",")):
            forwarded = _parse_address(text.strip())
            if forwarded is None:
                break
            address = forwarded
            if not _is_trusted(address, trusted):
                break
    if address is None:
        return "local"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: ipaddress.IPv4Address | ipaddress.IPv6Address, trusted: Networks) -> bool:
    return any(address in network for network in trusted)


def check_sign_in_pace(request: Request, services: Services) -> None:
    """Count one sign-in of the client's address. Raises RateLimited."""
    address = address_of(request, services)
    wait = services.login_pace.take((address, address), services.pace_clock())
    if wait:
        raise RateLimited(retry_after=wait)


_JSON = "application/json; charset=utf-8"


def answer_bytes(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """JSON that is already bytes, not to be kept by caches."""
    fields = {
        "Content-Type": _JSON,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if headers:
        fields.update(headers)
    return Answer(body, status, fields)


def answer(services: Services, data: Any) -> Answer:
    """`data` in the envelope that every REST answer has: `{"ts": ms, "data": …}`."""
    return answer_bytes(dump_json({"ts": services.clock() // 1000, "data": data}))
