"""The edge that every request passes: its id, CORS, errors as JSON, and the log line."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from ..config import normal_origin
from ..errors import (
    BadRequest,
    ExpectationFailed,
    InternalError,
    MethodNotAllowed,
    NotFound,
    OriginNotAllowed,
    Refused,
    TooLarge,
)
from ..logs import log_event, short_address
from ..protocol import dump_json, parse_number
from .context import SERVICES, Services, address_of, answer_bytes, query_of

_log = logging.getLogger("talkee_lite.http")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = web.RequestKey("request_id", str)

_prefix = secrets.token_hex(3)
_counter = itertools.count(1)

CORS_METHODS = "GET, POST, PUT, PATCH, DELETE"
CORS_HEADERS = "Authorization, Content-Type, X-TALKEE-SITE-ID, X-TALKEE-SITE-SLUG"
CORS_EXPOSED = "Retry-After, Idempotent-Replayed, X-Request-Id"
CORS_SECONDS = 86400
_REPORT_ORIGIN_EVERY = 60.0
_MOST_REPORTED = 1000

_FRAMEWORK: dict[int, type[Refused]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}


def new_request_id() -> str:
    """An id for one request, unique in this process and most likely among all."""
    return f"{_prefix}-{next(_counter):x}"


def request_id_of(request: web.Request) -> str:
    """The id that the edge gave to this request."""
    return request[REQUEST_ID]


def error_response(refusal: Refused, request_id: str) -> web.Response:
    """The JSON answer for an error."""
    body: dict[str, object] = {
        "code": refusal.status,
        "error": refusal.code,
        "msg": refusal.msg,
        "request_id": request_id,
    }
    if refusal.field is not None:
        body["field"] = refusal.field
    body.update(refusal.extra)
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
    if refusal.status == 426:
        headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    return answer_bytes(dump_json(body), status=refusal.status, headers=headers)


@web.middleware
async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request an id, answer preflights, turn whatever is raised into JSON."""
    services = request.config_dict[SERVICES]
    request[REQUEST_ID] = request_id = new_request_id()
    started = time.perf_counter() if services.config.log.access else 0.0
    refusal: Refused | None = None
    try:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            raise ExpectationFailed
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: web.StreamResponse = _preflight(request, services)
        else:
            response = await handler(request)
    except Refused as error:
        refusal = error
    except web.HTTPException as error:
        if error.status < 400:
            raise
        refusal = _FRAMEWORK.get(error.status, BadRequest)()
        if isinstance(error, web.HTTPMethodNotAllowed):
            allow = ", ".join(sorted(error.allowed_methods))
            response = error_response(refusal, request_id)
            response.headers["Allow"] = allow
            _finish(request, response, services, refusal, started)
            return response
    except web.RequestPayloadError:
        refusal = BadRequest("The body could not be read.")
    except ConnectionError:
        raise
    except Exception:
        _log.exception(
            "request failed id=%s method=%s path=%s",
            request_id,
            request.method,
            _known_path(request),
        )
        refusal = InternalError()
    if refusal is not None:
        response = error_response(refusal, request_id)
        if isinstance(refusal, OriginNotAllowed):
            _report_origin(request, services)
    _finish(request, response, services, refusal, started)
    return response


def _finish(
    request: web.Request,
    response: web.StreamResponse,
    services: Services,
    refusal: Refused | None,
    started: float,
) -> None:
    request_id = request_id_of(request)
    response.headers["X-Request-Id"] = request_id
    response.headers["Server"] = "talkee-lite"
    origin = request.headers.get("Origin")
    if origin is not None and "Access-Control-Allow-Origin" not in response.headers:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
        response.headers.add("Vary", "Origin")
    if refusal is not None and refusal.status != 500:
        log_event(
            _log,
            logging.INFO,
            "request refused",
            id=request_id,
            method=request.method,
            path=_known_path(request),
            status=refusal.status,
            error=refusal.code,
            field=refusal.field,
            address=short_address(address_of(request, services)),
        )
    elif started:
        log_event(
            _log,
            logging.INFO,
            "request",
            id=request_id,
            method=request.method,
            path=_known_path(request),
            status=response.status,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )


def _known_path(request: web.Request) -> str:
    """The route's pattern; an address that matches none may hold anything and is left out."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "-"


def _preflight(request: web.Request, services: Services) -> web.Response:
    """Answer a preflight (Fetch standard, CORS protocol) for every origin of any site."""
    origin = request.headers.get("Origin")
    if origin is None or not services.sites.allows(None, origin):
        raise OriginNotAllowed
    return web.Response(
        status=204,
        headers={
            "Access-Control-Allow-Methods": CORS_METHODS,
            "Access-Control-Allow-Headers": CORS_HEADERS,
            "Access-Control-Max-Age": str(CORS_SECONDS),
        },
    )


def _cure(origin: str, site_id: str, services: Services) -> str | None:
    """What the owner does to let the page in; None for an origin that no site can list."""
    try:
        # Whatever a client sends must be safe to paste into a shell.
        listed = normal_origin(origin)
    except ValueError:
        return None
    sites = services.sites.all()
    number = parse_number(site_id)
    site = next((site for site in sites if site.id == number), sites[0])
    if site.from_settings:
        return f"add {listed} to origins of [[sites]] id = {site.id} in the settings and restart"
    return f"talkee-lite site set {site.id} --add-origin {listed}"


def _report_origin(request: web.Request, services: Services) -> None:
    """Tell the owner, once a minute for each origin, what would let that page in."""
    origin = request.headers.get("Origin", "")
    now = time.monotonic()
    reported = services.reported_origins
    if now - reported.get(origin, -_REPORT_ORIGIN_EVERY) < _REPORT_ORIGIN_EVERY:
        return
    if len(reported) >= _MOST_REPORTED:
        reported.clear()
    reported[origin] = now
    site_id = request.headers.get("X-TALKEE-SITE-ID") or query_of(request).get("site_id", "1")
    cure = _cure(origin, site_id, services)
    log_event(
        _log,
        logging.WARNING,
        "origin not allowed",
        id=request_id_of(request),
        origin=origin[:200],
        site=site_id[:16],
        cure=cure,
    )
