"""The whole HTTP interface on one screen: method, address, handler.

One trailing slash is ignored everywhere. A GET also answers HEAD.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from . import auth, messages, pages, sites, status, users

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/ws", messages.open_socket),
    ("GET", "/ws/messages", messages.list_messages),
    ("POST", "/ws/messages", messages.post_message),
    ("DELETE", "/ws/messages/{message_id}", messages.delete_message),
    ("GET", "/api/messages", messages.list_messages),
    ("POST", "/api/messages", messages.post_message),
    ("DELETE", "/api/messages/{message_id}", messages.delete_message),
    ("POST", "/api/auth/login", auth.login),
    ("POST", "/api/auth/renew", auth.renew),
    ("POST", "/api/auth/logout", auth.logout),
    ("GET", "/api/auth/methods", auth.list_methods),
    ("GET", "/api/me", users.get_me),
    ("PATCH", "/api/me", users.change_me),
    ("GET", "/api/users/{id}", users.get_user),
    ("GET", "/api/avatars/{id}.svg", users.get_avatar),
    ("GET", "/api/sites/{id}", sites.get_site),
    ("GET", "/api/slugs", sites.get_slug),
    ("GET", "/api/assets", sites.list_assets),
    ("GET", "/api/stat/global", status.get_statistics),
    ("GET", "/hc", status.health),
    ("GET", "/talkee.js", pages.get_file),
    ("GET", "/welcome.css", pages.get_file),
    ("GET", "/", pages.welcome),
)


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answer `Expect: 100-continue` (RFC 9110, section 10.1.1); the edge refuses any other."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return None
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The interim answer is not part of the response, whose size is counted from here.
    request.writer.output_size = 0
    return None


def add_routes(app: web.Application) -> None:
    """Give `app` every route of the table, with and without a trailing slash."""
    for method, path, handler in ROUTES:
        for spelled in {path, path.rstrip("/") + "/"}:
            app.router.add_route(method, spelled, handler, expect_handler=_expect)
            if method == "GET":
                app.router.add_route("HEAD", spelled, handler, expect_handler=_expect)
    # Mounted below a path, our page is asked for without its slash too; what it loads is
    # relative to it, so it is not answered there.
    app.router.add_route("GET", "", pages.add_slash)
