"""What the command line may ask of a server, or of a database that no server has open.

Each verb is a function of the services and of named parameters, and gives plain data. The caller
is trusted: whoever may open the control socket, or the database's file, owns the server.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import administration
from .closing import REFUSED
from .errors import InvalidBody, NotFound
from .feeds import FeedKind
from .models import Hold, RoomKey, User
from .personal import Content
from .protocol import rfc3339, site_fields, user_fields
from .sites import checked_slug
from .store.backup import BackupFailed, back_up
from .store.replies import list_held_of

if TYPE_CHECKING:
    from .api.context import Services

Verb = Callable[["Services", dict[str, Any]], Awaitable[Any]]


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise InvalidBody(f"{name} must be a text.", field=name)
    return value


def _texts(given: dict[str, Any], name: str) -> list[str]:
    value = given.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidBody(f"{name} must be a list of texts.", field=name)
    return value


def _optional(given: dict[str, Any], name: str, kind: type) -> Any:
    value = given.get(name)
    if value is not None and type(value) is not kind:
        raise InvalidBody(f"{name} must be of type {kind.__name__}.", field=name)
    return value


async def make_token(services: Services, given: dict[str, Any]) -> Any:
    """A new guest called `name`, and an access token for them."""
    user, session = await services.sign_ins.guest(_text(given, "name"))
    fields = user_fields(user, services.people.kind(user, 0), services.people.public_url)
    return {"access_token": services.tokens.encode(session), "user": fields}


async def list_sites(services: Services, given: dict[str, Any]) -> Any:
    """Every site."""
    return [
        site_fields(site)
        | {
            "hold_comments": site.hold_comments,
            "images": site.images,
            "has_webhook": bool(site.webhook_url),
            "has_sso": bool(site.sso_secret),
            "from_settings": site.from_settings,
        }
        for site in services.sites.all()
    ]


async def add_site(services: Services, given: dict[str, Any]) -> Any:
    """A new site called `name` for the pages of `origins`."""
    site = await administration.add_site(
        services,
        None,
        name=_text(given, "name"),
        origins=_texts(given, "origins"),
        public_chat=bool(_optional(given, "public_chat", bool)),
    )
    return site_fields(site)


def _hold(given: dict[str, Any]) -> Hold | None:
    value = _optional(given, "hold_comments", str)
    try:
        return None if value is None else Hold(value)
    except ValueError:
        raise InvalidBody(
            "hold_comments must be nobody, guests or everybody.", field="hold_comments"
        ) from None


async def set_site(services: Services, given: dict[str, Any]) -> Any:
    """Change site `id`: `name`, `origins` or `add_origins` and `remove_origins`, `public_chat`,
    `hold_comments`, `images`, `webhook_url` ("": none), `new_webhook_secret`,
    `new_sso_secret` or `no_sso`."""
    site_id = _optional(given, "id", int)
    site = services.sites.get(site_id if site_id is not None else 0)
    origins = list(site.origins)
    if given.get("origins") is not None:
        origins = _texts(given, "origins")
    removed = set(services.sites.normal(_texts(given, "remove_origins")))
    origins = [origin for origin in origins if origin not in removed]
    origins += _texts(given, "add_origins")
    changed = await services.sites.set(
        site.id,
        name=_optional(given, "name", str),
        origins=origins,
        public_chat=_optional(given, "public_chat", bool),
        hold_comments=_hold(given),
        images=_optional(given, "images", bool),
        webhook_url=_optional(given, "webhook_url", str),
        webhook_secret=_new_secret() if _optional(given, "new_webhook_secret", bool) else None,
    )
    if _optional(given, "no_sso", bool):
        await _set_sso_secret(services, site.id, "")
    elif _optional(given, "new_sso_secret", bool):
        await _set_sso_secret(services, site.id, secrets.token_urlsafe(32))
    await administration.follow_site(services, site, changed)
    return site_fields(changed)


async def _set_sso_secret(services: Services, site_id: int, secret: str) -> None:
    came = await services.sites.set_sso_secret(site_id, secret)
    for user_id in came.with_role:
        services.people.take_role(user_id, site_id, None)
    for user_id, jtis in came.sessions.items():
        services.sockets.close_those(user_id, REFUSED, "signed out", services.tokens.end(jtis))


async def show_sso(services: Services, given: dict[str, Any]) -> Any:
    """With what the server of site `id` signs its tokens, and for whom."""
    site = services.sites.get(_number(given, "id"))
    if not site.sso_secret:
        raise NotFound(
            "This site has no SSO secret: make one with `site set --new-sso-secret`, or set"
            " sso_secret where the site stands in the settings."
        )
    audience = services.people.public_url
    return {"site_id": site.id, "secret": site.sso_secret, "audience": audience}


def _new_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()


async def show_webhook(services: Services, given: dict[str, Any]) -> Any:
    """The webhook of site `id`: its address, its secret, how it goes; with `test` how a test went.

    `test` is "" if the test event arrived, the reason if not, null without a test.
    """
    site = services.sites.get(_number(given, "id"))
    if not site.webhook_url:
        raise NotFound(
            "This site has no webhook: give it one with `site set --webhook`, or as webhook_url"
            " where the site stands in the settings."
        )
    test = None
    if _optional(given, "test", bool):
        test = await services.dispatcher.test("webhook", site.id)
    delivery, waiting = await services.dispatcher.find("webhook", site.id) or (None, 0)
    shown = {
        "site_id": site.id,
        "url": site.webhook_url,
        "secret": services.dispatcher.secret("webhook", site.id),
        "waiting": waiting,
        "test": test,
    }
    if delivery is None:
        # Set while no server ran, and none has run since.
        return (
            shown
            | {"failures": 0, "last_error": "", "is_gone": False}
            | dict.fromkeys(("failed_at", "next_try_at", "delivered_at"))
        )
    times = {
        "failed_at": delivery.failed_at,
        "next_try_at": delivery.next_try_at,
        "delivered_at": delivery.delivered_at,
    }
    return (
        shown
        | {
            "failures": delivery.failures,
            "last_error": delivery.last_error,
            "is_gone": delivery.is_gone,
        }
        | {name: rfc3339(time) if time else None for name, time in times.items()}
    )


def _room(services: Services, given: dict[str, Any]) -> RoomKey:
    site = services.sites.get(_number(given, "site"))
    return RoomKey(site.id, checked_slug(_text(given, "slug")))


def _number(given: dict[str, Any], name: str) -> int:
    value = given.get(name)
    if type(value) is not int:
        raise InvalidBody(f"{name} must be a whole number.", field=name)
    return value


async def show_feed(services: Services, given: dict[str, Any]) -> Any:
    """Where the owner's feed of site `id` is, with its key."""
    site = services.sites.get(_number(given, "id"))
    return services.feeds.address(FeedKind.OWNER, site.id)


async def delete_message(services: Services, given: dict[str, Any]) -> Any:
    """Erase message `message_id` of the room `site`, `slug`."""
    deleted = await services.chat.delete_as_owner(
        _room(services, given), _text(given, "message_id")
    )
    return {"message_id": deleted.message_id, "seq": deleted.seq or None}


async def list_held(services: Services, given: dict[str, Any]) -> Any:
    """Comments and replies of `site` that wait for approval, up to 100, oldest first."""
    site = services.sites.get(_number(given, "site"))
    return [
        dict(row) | {"created_at": rfc3339(row["created_at"])}
        for row in await list_held_of(services.db, site.id, 100)
    ]


def _page(services: Services, given: dict[str, Any]) -> RoomKey:
    return services.pages.current(_room(services, given))


async def approve_comment(services: Services, given: dict[str, Any]) -> Any:
    """Publish comment `id` of the page, or `reply` to it."""
    room, number, reply = _page(services, given), _number(given, "id"), _reply(given)
    if reply is None:
        await services.comments.approve(None, room, number, "")
    else:
        await services.comments.approve_reply(None, room, number, reply, "")
    return None


async def delete_comment(services: Services, given: dict[str, Any]) -> Any:
    """Erase comment `id` of the page, or `reply` to it."""
    room, number, reply = _page(services, given), _number(given, "id"), _reply(given)
    if reply is None:
        await services.comments.delete(None, room, number, "")
    else:
        await services.comments.delete_reply(None, room, number, reply, "")
    return None


def _reply(given: dict[str, Any]) -> int | None:
    return None if given.get("reply") is None else _number(given, "reply")


async def move_page(services: Services, given: dict[str, Any]) -> Any:
    """Take the comments of the page `slug` to `new`."""
    old = _room(services, given)
    new = RoomKey(old.site_id, checked_slug(_text(given, "new")))
    await services.pages.move(old, new)
    return None


async def set_page(services: Services, given: dict[str, Any]) -> Any:
    """Give a page another `address` or `title`; "" is unknown."""
    room = _page(services, given)
    named = {key: given[key] for key in ("address", "title") if given.get(key) is not None}
    change = services.pages.parse_change(room.site_id, named)
    await services.pages.describe(None, room, *change)
    return None


async def close_room(services: Services, given: dict[str, Any]) -> Any:
    """Take no more messages in the room `site`, `slug`."""
    await services.chat.set_closed(_room(services, given), closed=True)
    return None


async def open_room(services: Services, given: dict[str, Any]) -> Any:
    """Take messages again in the room `site`, `slug`."""
    await services.chat.set_closed(_room(services, given), closed=False)
    return None


async def _described(services: Services, user: User) -> Any:
    (described,) = await administration.describe_users(services, [user])
    return described


async def list_users(services: Services, given: dict[str, Any]) -> Any:
    """Up to 100 users with ids above `after_id`, whose name begins with `query`."""
    query, after_id = _optional(given, "query", str), _optional(given, "after_id", int)
    users = await administration.list_users(services, None, query or "", after_id or 0)
    return await administration.describe_users(services, users)


async def make_admin_link(services: Services, given: dict[str, Any]) -> Any:
    """The address at which admin `id`, or the first of them, signs in."""
    return await administration.make_link(services, _optional(given, "id", int))


async def set_role(services: Services, given: dict[str, Any]) -> Any:
    """Give user `id` the `role` on `site` (0: the server)."""
    role = administration.parse_role(_text(given, "role"))
    user = await administration.set_role(
        services, None, _number(given, "id"), _optional(given, "site", int) or 0, role
    )
    return await _described(services, user)


async def ban_user(services: Services, given: dict[str, Any]) -> Any:
    """Ban user `id` for `hours` (0: for good); their open sockets are closed at once."""
    user_id, hours = _number(given, "id"), _number(given, "hours")
    reason = _optional(given, "reason", str) or ""
    user = await administration.ban(services, None, user_id, hours, reason)
    return await _described(services, user)


async def unban_user(services: Services, given: dict[str, Any]) -> Any:
    """Lift the ban of user `id`."""
    user = await administration.unban(services, None, _number(given, "id"))
    return await _described(services, user)


async def sign_out_user(services: Services, given: dict[str, Any]) -> Any:
    """End all sessions of user `id`; their open sockets are closed at once."""
    _, ended = await administration.sign_out(services, None, _number(given, "id"))
    return {"sessions": len(ended)}


async def make_password(services: Services, given: dict[str, Any]) -> Any:
    """A new password for user `id`, who forgot theirs; all their sessions end."""
    return await administration.make_password(services, _number(given, "id"))


async def export_user(services: Services, given: dict[str, Any]) -> Any:
    """Everything that is stored about user `id`."""
    return json.loads(await services.personal.export(_number(given, "id")))


async def delete_user(services: Services, given: dict[str, Any]) -> Any:
    """Empty the account of user `id`, with what they wrote (`remove_content`) or without."""
    user_id = _number(given, "id")
    content = Content.REMOVE if _optional(given, "remove_content", bool) else Content.KEEP
    ended = await services.personal.leave(user_id, content)
    services.sockets.close_those(user_id, REFUSED, "signed out")
    return {"sessions": len(ended)}


async def back_up_database(services: Services, given: dict[str, Any]) -> Any:
    """Copy the database to the absolute path `file`, `with_secret` or without."""
    target = Path(_text(given, "file"))
    with_secret = bool(_optional(given, "with_secret", bool))
    configured = services.config.auth.jwt_secret
    if with_secret and configured:
        raise InvalidBody("The secret stands in the settings; keep a copy of those.")
    try:
        size = await asyncio.to_thread(
            back_up, services.config.database.path, target, with_secret=with_secret
        )
    except BackupFailed as error:
        raise InvalidBody(f"{error}.") from None
    await administration.note_backup(services)
    return {"file": str(target), "bytes": size}


async def recount(services: Services, given: dict[str, Any]) -> Any:
    """Set right the counts of comments and pages; how many of each were off."""
    comments, pages = await services.comments.recount()
    return {"comments": comments, "pages": pages}


VERBS: dict[str, Verb] = {
    "token": make_token,
    "backup": back_up_database,
    "recount": recount,
    "site-list": list_sites,
    "site-add": add_site,
    "site-set": set_site,
    "site-webhook": show_webhook,
    "site-sso": show_sso,
    "site-feed": show_feed,
    "message-delete": delete_message,
    "comment-held": list_held,
    "comment-approve": approve_comment,
    "comment-delete": delete_comment,
    "page-move": move_page,
    "page-set": set_page,
    "room-close": close_room,
    "room-open": open_room,
    "user-list": list_users,
    "user-admin-link": make_admin_link,
    "user-role": set_role,
    "user-ban": ban_user,
    "user-unban": unban_user,
    "user-signout": sign_out_user,
    "user-password": make_password,
    "user-export": export_user,
    "user-delete": delete_user,
}
