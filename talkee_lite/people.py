"""Rules for users: signing in, names, profiles; and a bounded memory of those in use."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from .clock import DAY, Clock
from .config import Config
from .errors import Banned, Refused, Unauthorized, UserNotFound
from .models import Caller, User, UserKind
from .names import rules_version
from .naming import Naming
from .protocol import dump_json, user_fields
from .store import roles as role_store
from .store import sessions as session_store
from .store import users as store
from .store.database import Database
from .store.meta import find_meta, set_meta
from .store.once import sweep_used
from .store.writer import Transaction
from .text import fold_name

_MOST_USERS = 20_000
_MOST_PROFILES = 40_000
_SLICE = 500
_KEYS = "name_keys"


class People:
    """Users by id, their roles, and their profiles as bytes, kept true by every change."""

    def __init__(self, db: Database, config: Config, public_url: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self.naming = Naming(config.auth.reserved_names)
        self._users: OrderedDict[int, User] = OrderedDict()
        self._profiles: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._roles: dict[tuple[int, int], UserKind] = {}
        self._left: set[int] = set()
        """Who left since the start: their sessions are gone, but not yet what was on its way."""
        self.public_url = public_url
        self.generation = 0
        """Grows whenever a profile changes that somebody may have been shown."""

    async def start(self) -> None:
        """Read what is always in memory."""
        self._roles = await role_store.list_roles(self._db)
        await self._renew_keys()

    async def _renew_keys(self) -> None:
        """Make the keys of members' names anew, if the rules that made them have changed."""
        version, after = rules_version(), 0
        if await find_meta(self._db, _KEYS) == version:
            return

        def job(tx: Transaction, after_id: int) -> int:
            members = store.list_member_names(tx, after_id, _SLICE)
            store.update_keys(tx, members)
            if len(members) < _SLICE:
                set_meta(tx, _KEYS, version)
                return 0
            return members[-1][0]

        while after := await self._db.write(partial(job, after_id=after)):
            pass

    def kind(self, user: User, site_id: int) -> UserKind:
        """What a user is on a site (0: on the server as a whole)."""
        role = self._roles.get((0, user.id)) or self._roles.get((site_id, user.id))
        return role or (UserKind.GUEST if user.is_guest else UserKind.MEMBER)

    def is_admin(self, user_id: int, site_id: int = 0) -> bool:
        """Whether a user administers a site; 0: the server."""
        return UserKind.ADMIN in (
            self._roles.get((0, user_id)),
            self._roles.get((site_id, user_id)),
        )

    def is_admin_anywhere(self, user_id: int) -> bool:
        """Whether a user administers the server or a site."""
        return UserKind.ADMIN in self.roles_of(user_id).values()

    def has_admin(self) -> bool:
        """Whether the server has an admin."""
        return any(site == 0 and role is UserKind.ADMIN for (site, _), role in self._roles.items())

    def roles_of(self, user_id: int) -> dict[int, UserKind]:
        """A user's roles by site; 0 is the server."""
        return {site: role for (site, user), role in self._roles.items() if user == user_id}

    def take_role(self, user_id: int, site_id: int, role: UserKind | None) -> None:
        """A user's role on a site, as it is now stored; it stands in their profile."""
        self._roles.pop((site_id, user_id), None)
        if role is not None:
            self._roles[site_id, user_id] = role
        self._profile_changed(user_id)

    def is_moderator(self, user_id: int, site_id: int) -> bool:
        """Whether a user decides about what others write on a site."""
        role = self._roles.get((0, user_id)) or self._roles.get((site_id, user_id))
        return role in (UserKind.MODERATOR, UserKind.ADMIN)

    def forget_roles(self, user_id: int) -> None:
        """A user's roles are not stored any more."""
        for key in [key for key in self._roles if key[1] == user_id]:
            del self._roles[key]

    def leaves(self, user_id: int) -> None:
        """From now on nothing more is written for a user: they are leaving."""
        self._left.add(user_id)

    def stays(self, user_id: int) -> None:
        """A user could not leave after all."""
        self._left.discard(user_id)

    def is_leaving(self, user_id: int) -> bool:
        """Whether a user is leaving, or has left."""
        return user_id in self._left

    def check_present(self, user_id: int) -> None:
        """Called just before something is written for a user. Raises Unauthorized if they left."""
        if user_id in self._left:
            raise Unauthorized

    def known(self, user_id: int) -> User | None:
        """The user, if they are in memory."""
        user = self._users.get(user_id)
        if user is not None:
            self._users.move_to_end(user_id)
        return user

    def remember(self, user: User) -> None:
        """Take a user as they are now stored."""
        earlier = self._users.get(user.id)
        self._users[user.id] = user
        self._users.move_to_end(user.id)
        if earlier is not None and earlier != user:
            self._profile_changed(user.id)
        while len(self._users) > _MOST_USERS:
            self._users.popitem(last=False)

    def _profile_changed(self, user_id: int) -> None:
        self.generation += 1
        for key in [key for key in self._profiles if key[1] == user_id]:
            del self._profiles[key]

    def meet(self, user: User) -> User:
        """Take a user as just read from the database; what is in memory is newer."""
        known = self.known(user.id)
        if known is not None:
            return known
        self.remember(user)
        return user

    async def load(self, user_ids: Iterable[int]) -> None:
        """Bring users into memory who are not there yet."""
        wanted = set(user_ids)
        missing = [user_id for user_id in wanted if self.known(user_id) is None]
        for start in range(0, len(missing), 500):
            for user in await store.find_users(self._db, missing[start : start + 500]):
                # A change that was committed meanwhile is newer than what was read.
                if user.id not in self._users:
                    self.remember(user)

    async def get(self, user_id: int) -> User:
        """The user. Raises UserNotFound."""
        if user_id not in self._users:
            await self.load([user_id])
        user = self.known(user_id)
        if user is None:
            raise UserNotFound
        return user

    async def get_public(self, user_id: int) -> User:
        """The user, if they have published something. Raises UserNotFound."""
        user = await self.get(user_id)
        if not await store.has_published(self._db, user_id):
            raise UserNotFound
        return user

    def profile(self, site_id: int, user_id: int) -> bytes:
        """A user's profile as JSON, for one site. The user must be in memory, or is shown as
        somebody who is gone."""
        key = (site_id, user_id)
        profile = self._profiles.get(key)
        if profile is None:
            user = self._users.get(user_id)
            if user is None:
                # Not remembered: they may only be out of memory.
                return dump_json(user_fields(_gone(user_id), UserKind.GUEST, self.public_url))
            fields = user_fields(user, self.kind(user, site_id), self.public_url)
            # A copy: what the encoder returns keeps a buffer of 4 KB.
            profile = self._profiles[key] = bytes(memoryview(dump_json(fields)))
            while len(self._profiles) > _MOST_PROFILES:
                self._profiles.popitem(last=False)
        return profile

    def brief(self, user_id: int | None) -> dict[str, Any] | None:
        """A user's id and name, as they stand beside what somebody did; None for nobody.

        The user must be in memory, or is shown as somebody who is gone.
        """
        if user_id is None:
            return None
        return {"id": user_id, "full_name": (self._users.get(user_id) or _gone(user_id)).full_name}

    def nobody(self) -> dict[str, Any]:
        """The profile that stands for whoever wrote what was deleted."""
        nobody = replace(_gone(0), full_name="deleted")
        return user_fields(nobody, UserKind.GUEST, self.public_url) | {"avatar_url": ""}

    async def rename(self, caller: Caller, typed_name: str) -> User:
        """Give the caller another name. Raises InvalidName, Banned or NameReserved."""
        name, user_id = self.naming.clean(typed_name), caller.user.id
        self.check_present(user_id)
        now = self._clock()
        if caller.user.banned_until > now:
            raise Banned

        def job(tx: Transaction) -> User | Refused:
            user = store.find_user(tx, user_id)
            if user is None:
                return Unauthorized()
            is_guest = user.is_guest
            is_staff = role_store.find_role(tx, 0, user_id) is not None
            if not self.naming.is_free(
                tx, name, user_id=user_id, is_guest=is_guest, is_staff=is_staff
            ):
                return self.naming.taken(tx, name, "full_name", is_guest=is_guest)
            return store.update_name(tx, user_id, name, now)

        renamed = await self._db.write(job)
        if isinstance(renamed, Refused):
            raise renamed
        self.remember(renamed)
        return renamed

    async def ban(self, user_id: int, until: int, reason: str) -> User:
        """Let a user write nothing and open no socket before `until`; 0 lifts it.

        Raises UserNotFound.
        """
        now = self._clock()
        user = await self._db.write(
            lambda tx: store.set_ban(tx, user_id, until=until, reason=reason, now=now)
        )
        if user is None:
            raise UserNotFound
        self.remember(user)
        return user

    async def list(self, query: str, after_id: int) -> list[User]:
        """Up to 100 users with ids above `after_id`, whose folded name begins with `query`."""
        return await store.list_users(self._db, fold_name(query), after_id, 100)

    async def sweep(self) -> None:
        """Forget tokens that ended more than 7 days ago, and guests who never wrote anything."""
        now = self._clock()
        await self._db.write(lambda tx: session_store.sweep_sessions(tx, before=now - 7 * DAY))
        await self._db.write(lambda tx: sweep_used(tx, before=now))
        while True:
            gone = await self._db.write(
                lambda tx: store.sweep_guests(tx, before=now - 30 * DAY, most=500)
            )
            for user_id in gone:
                self._users.pop(user_id, None)
            if len(gone) < 500:
                return


def _gone(user_id: int) -> User:
    return User(user_id, str(uuid.UUID(int=0)), "0", "", "", True, "", 0, 0)
