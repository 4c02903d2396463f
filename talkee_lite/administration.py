"""Rules for what admins do about sites and people, whichever way they ask for it.

`caller` is an admin; None stands for the server's owner, at the command line, who may do all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .clock import SECOND
from .closing import BANNED, REFUSED
from .errors import (
    Forbidden,
    GuestWithoutRole,
    InvalidBody,
    LastAdmin,
    Refused,
    Unavailable,
    UserNotFound,
)
from .models import FOREVER, Caller, Site, User, UserKind
from .protocol import rfc3339, user_fields
from .store import once, roles
from .store import users as store
from .store.meta import find_meta, set_meta
from .store.roles import Role
from .store.writer import Transaction
from .text import clean_name

if TYPE_CHECKING:
    from .api.context import Services

MOST_HOURS = 1_000_000
MOST_REASON = 300
ROLES = (UserKind.MEMBER, UserKind.MODERATOR, UserKind.ADMIN)
"""What somebody can be made; a member has no role."""


def check_admin(services: Services, caller: Caller | None, site_id: int = 0) -> None:
    """Raise Forbidden unless the caller administers a site; 0: the server."""
    if caller is not None and not services.people.is_admin(caller.user.id, site_id):
        raise Forbidden


# What is set up.

_BACKUP_AT = "backup_at"


async def describe_setup(services: Services, caller: Caller) -> dict[str, Any]:
    """What is set up for readers to come, and what may be missing. Raises Forbidden."""
    check_admin(services, caller)
    backup_at = await find_meta(services.db, _BACKUP_AT)
    return {
        "public_url": services.config.server.public_url,
        "methods": [
            name
            for name, method in services.logins.items()
            if any(method.describe(site) is not None for site in (None, *services.sites.all()))
        ],
        "backup_at": None if backup_at is None else rfc3339(int(backup_at)),
        "sites": [
            {
                "id": site.id,
                "name": site.name,
                "origins": list(site.origins),
                "hold_comments": site.hold_comments,
                "from_settings": site.from_settings,
            }
            for site in services.sites.all()
        ],
    }


async def note_backup(services: Services) -> None:
    """A copy of the database was made."""
    now = services.clock()
    # One that can be written no more can still be copied.
    with suppress(Unavailable):
        await services.db.write(lambda tx: set_meta(tx, _BACKUP_AT, str(now)))


# Sites.


def list_sites(services: Services, caller: Caller) -> list[Site]:
    """The sites that the caller administers, by id."""
    is_admin = services.people.is_admin
    return [site for site in services.sites.all() if is_admin(caller.user.id, site.id)]


async def add_site(
    services: Services,
    caller: Caller | None,
    *,
    name: str,
    origins: Iterable[str],
    public_chat: bool,
) -> Site:
    """A new site, the caller's. Raises Forbidden or InvalidSite."""
    check_admin(services, caller)
    return await services.sites.add(
        name=name,
        origins=origins,
        public_chat=public_chat,
        owner_id=None if caller is None else caller.user.id,
    )


async def change_site(
    services: Services,
    caller: Caller,
    site_id: int,
    *,
    name: str | None,
    origins: Iterable[str] | None,
    public_chat: bool | None,
) -> Site:
    """Change a site, at once; None: as it is.

    Raises SiteNotFound, Forbidden, SiteInSettings or InvalidSite.
    """
    site = services.sites.get(site_id)
    check_admin(services, caller, site_id)
    changed = await services.sites.set(site_id, name=name, origins=origins, public_chat=public_chat)
    await follow_site(services, site, changed)
    return changed


async def follow_site(services: Services, before: Site, after: Site) -> None:
    """Do what comes of a change of a site."""
    if after.images != before.images:
        await services.rendering.renew()
    if after.webhook_url != before.webhook_url:
        await services.dispatcher.refresh()
    if after.public_chat != before.public_chat:
        services.sockets.close_visitors(after.id)


# People.


async def list_users(
    services: Services, caller: Caller | None, query: str, after_id: int
) -> list[User]:
    """Up to 100 users with ids above `after_id`, whose name begins with `query`.

    Raises Forbidden.
    """
    check_admin(services, caller)
    return await services.people.list(query, after_id)


async def describe_users(services: Services, users: Sequence[User]) -> list[dict[str, Any]]:
    """Users as admins see them: with their roles, and why and until when they are banned."""
    now = services.clock()
    banned = [user.id for user in users if user.banned_until > now]
    reasons = await store.find_ban_reasons(services.db, banned) if banned else {}
    return [
        user_fields(user, services.people.kind(user, 0), services.people.public_url)
        | {
            "banned_until": rfc3339(user.banned_until) if user.id in reasons else None,
            "ban_reason": reasons.get(user.id, ""),
            "roles": [
                {"site_id": site_id, "role": role}
                for site_id, role in sorted(services.people.roles_of(user.id).items())
            ],
        }
        for user in users
    ]


def parse_role(name: str) -> UserKind:
    """One of ROLES. Raises InvalidBody."""
    for role in ROLES:
        if name == role:
            return role
    raise InvalidBody(f"role must be one of {', '.join(ROLES)}.", field="role")


async def set_role(
    services: Services, caller: Caller | None, user_id: int, site_id: int, role: UserKind
) -> User:
    """Let a user be one of ROLES on a site, 0: on the server as a whole.

    Raises SiteNotFound, UserNotFound, Forbidden, GuestWithoutRole or LastAdmin.
    """
    check_admin(services, caller)
    if site_id:
        services.sites.get(site_id)
    given = None if role is UserKind.MEMBER else role
    now = services.clock()

    def job(tx: Transaction) -> User | Refused:
        user = store.find_user(tx, user_id)
        if user is None:
            return UserNotFound("There is no user with this id.")
        # Two admins may be at it at once.
        if caller is not None and not roles.is_admin(tx, caller.user.id):
            return Forbidden()
        if given is not None and user.is_guest:
            return GuestWithoutRole()
        ends_admin = site_id == 0 and given is not UserKind.ADMIN
        if ends_admin and roles.is_last_admin(tx, user_id):
            return LastAdmin()
        roles.set_role(tx, site_id, user_id, None if given is None else Role(given, ""), now)
        if site_id == 0 and given is UserKind.ADMIN:
            once.delete_first_links(tx)
        return user

    user = await services.db.write(job)
    if isinstance(user, Refused):
        raise user
    services.people.take_role(user_id, site_id, given)
    return await services.people.get(user_id)


async def ban(
    services: Services, caller: Caller | None, user_id: int, hours: int, reason: str
) -> User:
    """Ban a user for `hours`, 0: for good; their open sockets are closed at once.

    Raises UserNotFound, InvalidBody or Forbidden.
    """
    check_admin(services, caller)
    if not 0 <= hours <= MOST_HOURS:
        raise InvalidBody(f"hours must be from 0 to {MOST_HOURS}.", field="hours")
    if caller is not None and caller.user.id == user_id:
        raise Forbidden("Nobody bans themselves.")
    until = services.clock() + hours * 3600 * SECOND if hours else FOREVER
    user = await services.people.ban(user_id, until, clean_name(reason)[:MOST_REASON])
    services.sockets.close_those(user.id, BANNED, "banned")
    return user


async def unban(services: Services, caller: Caller | None, user_id: int) -> User:
    """Lift a user's ban. Raises UserNotFound or Forbidden."""
    check_admin(services, caller)
    return await services.people.ban(user_id, 0, "")


async def sign_out(
    services: Services, caller: Caller | None, user_id: int
) -> tuple[User, set[str]]:
    """End all sessions of a user; their open sockets are closed at once.

    Raises UserNotFound or Forbidden.
    """
    check_admin(services, caller)
    user = await services.people.get(user_id)
    ended = await services.tokens.sign_out_everywhere(user.id)
    services.sockets.close_those(user.id, REFUSED, "signed out")
    return user, ended


async def make_password(services: Services, user_id: int) -> str:
    """A new password for somebody who has forgotten theirs; all their sessions end.

    Raises UserNotFound, MethodNotOffered, or Forbidden for who signs in otherwise.
    """
    user = await services.people.get(user_id)
    password, ended = await services.passwords.make_anew(user.id)
    services.sockets.close_those(user.id, REFUSED, "signed out", services.tokens.end(ended))
    return password


# Links.


async def make_link(services: Services, user_id: int | None) -> str:
    """The address at which an admin signs in, once, within an hour.

    `user_id` None: the server's first admin, or, while there is none, whoever opens it.
    Raises InvalidBody for a user who is no admin.
    """
    is_new = user_id is None and not services.people.has_admin()
    server = services.config.server
    if not server.public_url and not server.port:
        raise InvalidBody(
            "No address is known at which the server could be reached: start it first, or set"
            " port or public_url."
        )
    code = await services.sign_ins.make_link(user_id)
    if code is None:
        raise InvalidBody(
            f"User {user_id} is no admin; `talkee-lite user role {user_id} admin` makes them one.",
            field="id",
        )
    return _address(services, "new" if is_new else "link", code)


async def make_first_link(services: Services) -> str:
    """The address at which somebody becomes the first admin; "" if there is one.

    What was given out for that before is dead.
    """
    code = await services.sign_ins.make_first_link()
    return _address(services, "new", code) if code else ""


def _address(services: Services, kind: str, code: str) -> str:
    # In the fragment: it reaches no server, no log and no other page.
    return f"{services.people.public_url}/admin#{kind}={code}"
