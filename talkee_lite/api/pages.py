"""The files that pages load, from memory: the script, and the page at `/`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from .context import services_of
from .exchange import Answer, Request

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    content_type: str
    etag: str


def _read(name: str, content_type: str) -> _File:
    body = (files("talkee_lite") / "web" / name).read_bytes()
    return _File(body, content_type, hashlib.sha256(body).hexdigest()[:20])


_FILES = {
    "talkee.js": _read("talkee.js", "text/javascript; charset=utf-8"),
    "welcome.css": _read("welcome.css", "text/css; charset=utf-8"),
}
_WELCOME = _read("welcome.html", "text/html; charset=utf-8")


async def get_file(request: Request) -> Answer:
    """A script or style sheet; any page may load it."""
    services_of(request)
    # By the route: an address may spell it in other ways.
    file = _FILES[request.route.rstrip("/").rpartition("/")[2]]
    headers = {
        "Content-Type": file.content_type,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": f'"{file.etag}"',
    }
    if _is_known(request.all_of("if-none-match"), file.etag):
        return Answer(status=304, headers=headers)
    return Answer(file.body, headers=headers)


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether a client holds this version already (RFC 9110, section 13.1.2)."""
    known = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", f'"{etag}"') for tag in known)


async def add_slash(request: Request) -> Answer:
    """From `/talk` to `/talk/`."""
    return Answer(status=308, headers={"Location": request.path.rpartition("/")[2] + "/"})


async def welcome(request: Request) -> Answer:
    """A page that shows that it works: a room to chat in."""
    services = services_of(request)
    sites = services.sites.all()
    body = _WELCOME.body.replace(b"{site_id}", str(sites[0].id).encode())
    return Answer(
        body,
        headers={
            "Content-Type": _WELCOME.content_type,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
