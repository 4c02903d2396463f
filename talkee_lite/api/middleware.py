"""What every request passes, whichever way it came: CORS, errors, and the log line."""

from __future__ import annotations

import itertools
import logging
import math
import secrets
import time

from ..config import normal_origin
from ..errors import InternalError, MethodNotAllowed, OriginNotAllowed, Refused
from ..logs import log_event, short_address
from ..protocol import dump_json, parse_number
from .context import address_of, answer_bytes, query_of
from .exchange import Answer, Handler, Request

_log = logging.getLogger("talkee_lite.http")

_prefix = secrets.token_hex(3)
_counter = itertools.count(1)

CORS_METHODS = "GET, POST, PUT, PATCH, DELETE"
CORS_HEADERS = "Authorization, Content-Type, X-TALKEE-SITE-ID, X-TALKEE-SITE-SLUG"
CORS_EXPOSED = "Retry-After, Idempotent-Replayed, X-Request-Id"
CORS_SECONDS = 86400
_REPORT_ORIGIN_EVERY = 60.0
_MOST_REPORTED = 1000


def new_request_id() -> str:
    """An id for one request, unique in this process and most likely among all."""
    return f"{_prefix}-{next(_counter):x}"


def error_answer(refusal: Refused, request_id: str) -> Answer:
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
    headers = retry_header(refusal)
    if refusal.status == 426:
        headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
    if isinstance(refusal, MethodNotAllowed):
        headers["Allow"] = ", ".join(sorted(refusal.allowed))
    return answer_bytes(dump_json(body), status=refusal.status, headers=headers)


def retry_header(refusal: Refused) -> dict[str, str]:
    """`Retry-After` in whole seconds, where an error says when to try again."""
    if refusal.retry_after is None:
        return {}
    return {"Retry-After": str(max(1, math.ceil(refusal.retry_after)))}


async def respond(request: Request, handler: Handler) -> Answer:
    """The answer to a request: of its handler, of a preflight, or as JSON what was raised.

    Raises ConnectionError where the client is gone.
    """
    started = time.perf_counter() if request.services.config.log.access else 0.0
    refusal: Refused | None = None
    try:
        if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            answer = _preflight(request)
        else:
            answer = await handler(request)
    except Refused as error:
        refusal = error
    except ConnectionError:
        raise
    except Exception:
        _log.exception(
            "request failed id=%s method=%s path=%s", request.id, request.method, request.route
        )
        refusal = InternalError()
    if refusal is not None:
        if isinstance(refusal, OriginNotAllowed):
            cure = _cure(request)
            refusal.extra = {"cure": f"On the server: {cure}"} if cure else {}
            _report_origin(request, cure)
        answer = (request.explain or error_answer)(refusal, request.id)
    _finish(request, answer, refusal, started)
    return answer


def _finish(request: Request, answer: Answer, refusal: Refused | None, started: float) -> None:
    headers = {**answer.headers, "X-Request-Id": request.id, "Server": "talkee-lite"}
    origin = request.headers.get("origin")
    if origin is not None and "Access-Control-Allow-Origin" not in headers:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = CORS_EXPOSED
        headers["Vary"] = ", ".join(filter(None, [headers.get("Vary"), "Origin"]))
    answer.headers = headers
    if refusal is not None and refusal.status != 500:
        log_event(
            _log,
            logging.INFO,
            "request refused",
            id=request.id,
            method=request.method,
            path=request.route,
            status=refusal.status,
            error=refusal.code,
            field=refusal.field,
            address=short_address(address_of(request, request.services)),
        )
    elif started:
        log_event(
            _log,
            logging.INFO,
            "request",
            id=request.id,
            method=request.method,
            path=request.route,
            status=answer.status,
            ms=round((time.perf_counter() - started) * 1000, 1),
        )


def _preflight(request: Request) -> Answer:
    """Answer a preflight (Fetch standard, CORS protocol) for every origin of any site."""
    origin = request.headers.get("origin")
    if origin is None or not request.services.sites.allows(None, origin):
        raise OriginNotAllowed
    return Answer(
        status=204,
        headers={
            "Access-Control-Allow-Methods": CORS_METHODS,
            "Access-Control-Allow-Headers": CORS_HEADERS,
            "Access-Control-Max-Age": str(CORS_SECONDS),
        },
    )


def _site_asked_for(request: Request) -> str:
    return request.headers.get("x-talkee-site-id") or query_of(request).get("site_id", "1")


def _cure(request: Request) -> str | None:
    """What the owner does to let the page in; None for an origin that no site can list."""
    try:
        # Whatever a client sends must be safe to paste into a shell.
        listed = normal_origin(request.headers.get("origin", ""))
    except ValueError:
        return None
    sites = request.services.sites.all()
    number = parse_number(_site_asked_for(request))
    site = next((site for site in sites if site.id == number), sites[0])
    if site.from_settings:
        return f"add {listed} to origins of [[sites]] id = {site.id} in the settings and restart"
    return f"talkee-lite site set {site.id} --add-origin {listed}"


def _report_origin(request: Request, cure: str | None) -> None:
    """Tell the owner, once a minute for each origin, what would let that page in."""
    services = request.services
    origin = request.headers.get("origin", "")
    now = time.monotonic()
    reported = services.reported_origins
    if now - reported.get(origin, -_REPORT_ORIGIN_EVERY) < _REPORT_ORIGIN_EVERY:
        return
    if len(reported) >= _MOST_REPORTED:
        reported.clear()
    reported[origin] = now
    log_event(
        _log,
        logging.WARNING,
        "origin not allowed",
        id=request.id,
        origin=origin[:200],
        site=_site_asked_for(request)[:16],
        cure=cure,
    )
