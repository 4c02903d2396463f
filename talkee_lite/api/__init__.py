"""The whole HTTP interface on one screen: method, address, handler.

One trailing slash is ignored everywhere. A GET also answers HEAD.
"""

from __future__ import annotations

from aiohttp import web

from . import (
    admin,
    auth,
    comments,
    feeds,
    messages,
    pages,
    sites,
    status,
    thread_pages,
    users,
    widget,
)
from .exchange import Handler
from .framework import adapt, expect

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/ws", messages.open_socket),
    ("GET", "/ws/messages", messages.list_messages),
    ("POST", "/ws/messages", messages.post_message),
    ("DELETE", "/ws/messages/{message_id}", messages.delete_message),
    ("GET", "/api/messages", messages.list_messages),
    ("POST", "/api/messages", messages.post_message),
    ("DELETE", "/api/messages/{message_id}", messages.delete_message),
    ("GET", "/api/comments", comments.list_comments),
    ("POST", "/api/comments", comments.post_comment),
    ("POST", "/api/comments/keep", comments.keep_talk),
    ("GET", "/api/comments/{id}", comments.get_comment),
    ("PATCH", "/api/comments/{id}", comments.edit_comment),
    ("DELETE", "/api/comments/{id}", comments.delete_comment),
    ("PUT", "/api/comments/{id}/approve", comments.approve_comment),
    ("PUT", "/api/comments/{id}/fav", comments.favour),
    ("PUT", "/api/comments/{id}/unfav", comments.unfavour),
    ("GET", "/api/comments/{id}/replies", comments.list_replies),
    ("POST", "/api/comments/{id}/replies", comments.post_reply),
    ("PATCH", "/api/comments/{id}/replies/{reply_id}", comments.edit_reply),
    ("DELETE", "/api/comments/{id}/replies/{reply_id}", comments.delete_reply),
    ("PUT", "/api/comments/{id}/replies/{reply_id}/approve", comments.approve_reply),
    ("GET", "/api/replies", comments.list_replies_of),
    ("GET", "/api/me/answers", comments.list_answers),
    ("POST", "/api/preview", comments.preview),
    ("POST", "/api/counts", comments.count),
    ("POST", "/api/auth/login", auth.login),
    ("POST", "/api/auth/register", auth.register),
    ("POST", "/api/auth/renew", auth.renew),
    ("POST", "/api/auth/logout", auth.logout),
    ("GET", "/api/auth/methods", auth.list_methods),
    ("POST", "/api/auth/wallet_text", auth.wallet_text),
    ("GET", "/api/me", users.get_me),
    ("PATCH", "/api/me", users.change_me),
    ("DELETE", "/api/me", users.delete_me),
    ("GET", "/api/me/export", users.export_me),
    ("PUT", "/api/me/password", auth.change_password),
    ("GET", "/api/users/{id}", users.get_user),
    ("GET", "/api/avatars/{id}.svg", users.get_avatar),
    ("GET", "/api/sites", sites.list_sites),
    ("POST", "/api/sites", sites.add_site),
    ("GET", "/api/sites/{id}", sites.get_site),
    ("PUT", "/api/sites/{id}", sites.change_site),
    ("GET", "/api/admin/setup", admin.get_setup),
    ("GET", "/api/admin/users", admin.list_users),
    ("PUT", "/api/admin/users/{id}", admin.set_role),
    ("POST", "/api/admin/users/{id}/ban", admin.ban_user),
    ("POST", "/api/admin/users/{id}/unban", admin.unban_user),
    ("POST", "/api/admin/users/{id}/signout", admin.sign_out_user),
    ("GET", "/api/slugs", sites.get_slug),
    ("GET", "/api/pages", sites.get_page),
    ("PATCH", "/api/pages", sites.change_page),
    ("GET", "/api/assets", sites.list_assets),
    ("GET", "/api/stat/global", status.get_statistics),
    ("GET", "/api/openapi.json", pages.get_document),
    ("GET", "/hc", status.health),
    ("GET", "/t/{site_id}", thread_pages.show),
    ("POST", "/t/{site_id}", thread_pages.send),
    ("GET", "/feeds/{site_id}/page.atom", feeds.page_feed),
    ("GET", "/feeds/{site_id}/site.atom", feeds.site_feed),
    ("GET", "/feeds/{site_id}/owner.atom", feeds.owner_feed),
    ("GET", "/talkee.js", pages.get_file),
    ("GET", "/widget/{name}", widget.get_part),
    ("GET", "/widget/words/{lang}.json", widget.get_words),
    ("GET", "/thread.css", pages.get_file),
    ("GET", "/welcome.css", pages.get_file),
    ("GET", "/welcome.js", pages.get_file),
    ("GET", "/setup.js", pages.get_file),
    ("GET", "/setup.css", pages.get_file),
    ("GET", "/admin.js", pages.get_file),
    ("GET", "/admin.css", pages.get_file),
    ("GET", "/admin", pages.admin),
    ("GET", "/", pages.welcome),
)


def add_routes(app: web.Application) -> None:
    """Give `app` every route of the table, with and without a trailing slash."""
    for method, path, handler in ROUTES:
        known = _without_names(path)
        for spelled in {known, known.rstrip("/") + "/"}:
            app.router.add_route(method, spelled, adapt(handler), expect_handler=expect)
            if method == "GET":
                app.router.add_route("HEAD", spelled, adapt(handler), expect_handler=expect)
    # Mounted below a path, our page is asked for without its slash too; what it loads is
    # relative to it, so it is not answered there.
    app.router.add_route("GET", "", adapt(pages.add_slash))


def _without_names(path: str) -> str:
    """A path for the router, in which a last parameter is nothing that another path has there.

    `/api/comments/{id}` is not `/api/comments/keep`, which takes other methods.
    """
    start, _, last = path.rpartition("/")
    places = [other.rpartition("/") for _, other, _ in ROUTES]
    names = {name for before, _, name in places if before == start and "{" not in name} - {""}
    if not names or not (last.startswith("{") and last.endswith("}")):
        return path
    return f"{start}/{{{last[1:-1]}:(?!({'|'.join(sorted(names))})/?$)[^/]+}}"


LIGHT: frozenset[Handler] = frozenset(
    {
        messages.open_socket,
        messages.list_messages,
        messages.post_message,
        comments.list_comments,
        comments.post_comment,
    }
)
"""Handlers that the front door runs without a task: they await futures alone, and nothing in them
may ask for the current task, as `asyncio.timeout` does."""


def plain_routes() -> dict[tuple[str, str], Handler]:
    """Every address without parameters in its path, as a request spells it, and its handler.

    And each part of the widget: whoever loads them goes on by the same connection.
    """
    plain = [route for route in ROUTES if "{" not in route[1]]
    plain += [("GET", f"/widget/{name}", widget.get_part) for name in widget.NAMES]
    found = {
        (method, spelled): handler
        for method, path, handler in plain
        for spelled in {path, path.rstrip("/") + "/"}
    }
    # A preflight is answered before any handler is asked (middleware.respond).
    return found | {("OPTIONS", path): handler for (_, path), handler in found.items()}
