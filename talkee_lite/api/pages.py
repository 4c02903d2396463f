"""The files that pages load, from memory, the page at `/`, and the document on all there is."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

from ..protocol import dump_json
from .context import services_of
from .exchange import Answer, Request
from .files import File, answer_file, make_file

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def _read(name: str, content_type: str) -> File:
    return make_file((files("talkee_lite") / "web" / name).read_bytes(), content_type)


FILES = {
    "talkee.js": _read("talkee.js", "text/javascript; charset=utf-8"),
    "thread.css": _read("thread.css", "text/css; charset=utf-8"),
    "welcome.css": _read("welcome.css", "text/css; charset=utf-8"),
    "admin.js": _read("admin.js", "text/javascript; charset=utf-8"),
    "admin.css": _read("admin.css", "text/css; charset=utf-8"),
}
_WELCOME = _read("welcome.html", "text/html; charset=utf-8")
_ADMIN = _read("admin.html", "text/html; charset=utf-8")


async def get_file(request: Request) -> Answer:
    """A script or style sheet; any page may load it."""
    services_of(request)
    # By the route: an address may spell it in other ways.
    return answer_file(request, FILES[request.route.rstrip("/").rpartition("/")[2]])


async def get_document(request: Request) -> Answer:
    """This interface as an OpenAPI document."""
    services = services_of(request)
    if services.document is None:
        # Loaded when somebody asks: it takes memory, and few do.
        from .openapi import document

        body = dump_json(document(services.config))
        services.document = make_file(body, "application/json; charset=utf-8")
    return answer_file(request, services.document)


async def add_slash(request: Request) -> Answer:
    """From `/talk` to `/talk/`."""
    return Answer(status=308, headers={"Location": request.path.rpartition("/")[2] + "/"})


async def welcome(request: Request) -> Answer:
    """A page that shows that it works: a room to chat in."""
    services = services_of(request)
    sites = services.sites.all()
    body = _WELCOME.body.replace(b"{site_id}", str(sites[0].id).encode())
    return _answer_page(body, _WELCOME.content_type)


async def admin(request: Request) -> Answer:
    """The page on which admins sign in, and look after sites and people."""
    services_of(request)
    if request.path.endswith("/"):
        # What it loads is relative to it.
        return Answer(status=308, headers={"Location": "../admin"})
    page = _answer_page(_ADMIN.body, _ADMIN.content_type)
    # Nothing that opened it, or that it opens, keeps a hold on it.
    alone = {"Cross-Origin-Opener-Policy": "same-origin", "X-Robots-Tag": "noindex"}
    return replace(page, headers={**page.headers, **alone})


def _answer_page(body: bytes, content_type: str) -> Answer:
    return Answer(
        body,
        headers={
            "Content-Type": content_type,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": PAGE_POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        },
    )
