"""The files that pages load, from memory, the page at `/`, and the document on all there is."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from importlib.resources import files

from ..errors import NotFound
from ..protocol import dump_json
from .context import services_of
from .exchange import Answer, Request
from .files import File, Folder, answer_file, answer_packed
from .widget import BUNDLE

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)

PAGE_HEADERS = {"Content-Security-Policy": PAGE_POLICY, "Referrer-Policy": "no-referrer"}

WEB = Folder(files("talkee_lite") / "web")


async def get_file(request: Request) -> Answer:
    """A script or style sheet; any page may load it."""
    services_of(request)
    # By the route: an address may spell it in other ways.
    file = await BUNDLE.find(request.route.rstrip("/").rpartition("/")[2])
    assert file is not None, request.route
    return answer_packed(request, file)


async def get_document(request: Request) -> Answer:
    """This interface as an OpenAPI document."""
    services = services_of(request)
    if services.document is None:
        # Loaded when somebody asks: it takes memory, and few do.
        from .openapi import document

        body = dump_json(document(services.config))
        services.document = File(body, "application/json; charset=utf-8")
    return answer_file(request, services.document)


async def add_slash(request: Request) -> Answer:
    """From `/talk` to `/talk/`."""
    return Answer(status=308, headers={"Location": request.path.rpartition("/")[2] + "/"})


async def welcome(request: Request) -> Answer:
    """A page that shows that it works, and how to put it into others."""
    services = services_of(request)
    server = services.config.server
    if not server.welcome:
        raise NotFound
    site = services.sites.all()[0]
    page = _welcome_to(site.id, server.public_url, fixed=site.from_settings)
    return answer_packed(request, page, PAGE_HEADERS)


@lru_cache(maxsize=1)
def _welcome_to(site_id: int, public_url: str, *, fixed: bool) -> File:
    page = WEB.get("welcome.html")
    body = page.body.replace(b"{site_id}", str(site_id).encode())
    body = body.replace(b"{fixed}", b"yes" if fixed else b"")
    return File(body.replace(b"{public_url}", escape(public_url).encode()), page.content_type)


async def admin(request: Request) -> Answer:
    """The page on which admins sign in, and look after sites and people."""
    services_of(request)
    if request.path.endswith("/"):
        # What it loads is relative to it.
        return Answer(status=308, headers={"Location": "../admin"})
    # Nothing that opened it, or that it opens, keeps a hold on it.
    alone = {"Cross-Origin-Opener-Policy": "same-origin", "X-Robots-Tag": "noindex"}
    return answer_packed(request, WEB.get("admin.html"), PAGE_HEADERS | alone)
