"""What every handler works with, and who is asking: the first two steps of each request."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from ..auth import Login
from ..auth.tokens import Tokens
from ..chat import Chat
from ..clock import Clock, SteadyClock
from ..config import Config
from ..errors import (
    InvalidSiteId,
    RateLimited,
    RequestTimeout,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from ..hub import Hub
from ..limits import Limits
from ..models import Caller, RoomKey, Site
from ..people import People
from ..protocol import dump_json, parse_number, parse_object
from ..sites import Sites, checked_slug
from ..store.database import Database
from .sockets import Sockets

_BODY_SECONDS = 10


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
    logins: Mapping[str, Login]
    login_pace: Limits
    hub: Hub
    chat: Chat
    sockets: Sockets
    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    started_at: float
    stopping: bool = False
    reported_origins: dict[str, float] = field(default_factory=dict)
    counts: tuple[int, dict[str, int]] | None = None


SERVICES = web.AppKey("services", Services)


def services_of(request: web.Request) -> Services:
    """The server's parts. Raises Unavailable while it stops."""
    services = request.config_dict[SERVICES]
    if services.stopping:
        raise Unavailable("The server is restarting.", retry_after=2)
    return services


_PARAMETERS = frozenset({"site_id", "slug", "filter", "before", "after", "limit"})
_MOST_CACHED = 512


def _parse(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=False, errors="replace"):
        if name in _PARAMETERS:
            found.setdefault(name, value)
    return found


_parse_cached = lru_cache(maxsize=4096)(_parse)


def query_of(request: web.Request) -> dict[str, str]:
    """The address's parameters, decoded as forms are; empty ones are absent, the first counts."""
    query = request.raw_path.partition("?")[2]
    return _parse_cached(query) if len(query) <= _MOST_CACHED else _parse(query)


def _header(request: web.Request, name: str) -> str | None:
    """A header whose bytes are UTF-8, else Latin-1, percent-decoded once; None if empty."""
    raw = request.headers.get(name)
    if not raw:
        return None
    data = raw.encode("utf-8", "surrogateescape")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return unquote(text, errors="replace")


def site_of(request: web.Request, services: Services) -> Site:
    """The site that a request names. Raises InvalidSiteId or SiteNotFound."""
    text = _header(request, "X-TALKEE-SITE-ID") or query_of(request).get("site_id", "")
    site_id = parse_number(text)
    if site_id is None:
        raise InvalidSiteId(field="site_id")
    return services.sites.get(site_id)


def room_of(request: web.Request, services: Services) -> RoomKey:
    """The room that a request names, once its page may use the site.

    Raises InvalidSiteId, SiteNotFound, InvalidSlug or OriginNotAllowed, looked for in this order.
    """
    site = site_of(request, services)
    slug = _header(request, "X-TALKEE-SITE-SLUG") or query_of(request).get("slug", "")
    slug = checked_slug(slug)
    services.sites.check_origin(site, request.headers.get("Origin"))
    return RoomKey(site.id, slug)


def check_page(request: web.Request, services: Services) -> None:
    """For calls that name no site: the page's origin must be allowed by some site."""
    services.sites.check_origin(None, request.headers.get("Origin"))


def bearer_of(request: web.Request) -> str | None:
    """The access token that a request sends (RFC 6750, section 2.1), if any."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None


async def caller_of(request: web.Request, services: Services) -> Caller:
    """Who makes the request. Raises Unauthorized."""
    token = bearer_of(request)
    if token is None:
        raise Unauthorized
    return await services.tokens.identify(token)


async def body_of(request: web.Request, most: int) -> bytes:
    """The request's JSON body, unparsed, of at most `most` bytes.

    Raises UnsupportedMediaType, TooLarge or RequestTimeout.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaType
    if (request.content_length or 0) > most:
        raise TooLarge
    chunks, size = [], 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while chunk := await request.content.readany():
                size += len(chunk)
                if size > most:
                    raise TooLarge
                chunks.append(chunk)
    except TimeoutError:
        raise RequestTimeout from None
    return b"".join(chunks)


async def json_of(request: web.Request, most: int) -> dict[str, Any]:
    """The request's body as a JSON object. Raises what `body_of` does, and InvalidBody."""
    return parse_object(await body_of(request, most))


def address_of(request: web.Request, services: Services) -> str:
    """The client's address as limits count it: an IPv4 address or an IPv6 /64.

    Behind trusted proxies it is the rightmost address in X-Forwarded-For that is not one of
    theirs; what stands left of that anybody may have written.
    """
    peer = request.transport.get_extra_info("peername") if request.transport else None
    address = _parse_address(peer[0]) if isinstance(peer, tuple) else None
    if address is None or _is_trusted(address, services):
        for text in reversed(",".join(request.headers.getall("X-Forwarded-For", [])).split(",")):
            forwarded = _parse_address(text.strip())
            if forwarded is None:
                break
            address = forwarded
            if not _is_trusted(address, services):
                break
    if address is None:
        return "local"
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


@lru_cache(maxsize=4096)
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


def _is_trusted(address: ipaddress.IPv4Address | ipaddress.IPv6Address, services: Services) -> bool:
    return any(address in network for network in services.trusted)


def check_sign_in_pace(request: web.Request, services: Services) -> None:
    """Count one sign-in of the client's address. Raises RateLimited."""
    address = address_of(request, services)
    wait = services.login_pace.take((address, address), services.pace_clock())
    if wait:
        raise RateLimited(retry_after=wait)


_JSON = "application/json; charset=utf-8"


def answer_bytes(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON that is already bytes, not to be kept by caches."""
    fields = {
        "Content-Type": _JSON,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if headers:
        fields.update(headers)
    return web.Response(body=body, status=status, headers=fields)


def answer(services: Services, data: Any) -> web.Response:
    """`data` in the envelope that every REST answer has: `{"ts": ms, "data": …}`."""
    return answer_bytes(dump_json({"ts": services.clock() // 1000, "data": data}))
