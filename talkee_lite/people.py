"""Rules for users: signing in, names, profiles; and a bounded memory of those in use."""

from __future__ import annotations

import secrets
import uuid
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .clock import DAY, Clock
from .config import Config
from .errors import InvalidName, NameReserved, Unauthorized, UserNotFound
from .models import Caller, Session, User, UserKind
from .protocol import dump_json, user_fields
from .store import sessions as session_store
from .store import users as store
from .store.database import Database
from .store.writer import Transaction
from .text import MAX_NAME, clean_name, fold_name

_MOST_USERS = 20_000
_MOST_PROFILES = 40_000
_SUGGESTIONS = 900


class People:
    """Users by id, their roles, and their profiles as bytes, kept true by every change."""

    def __init__(self, db: Database, config: Config, public_url: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._token_days = config.auth.token_days
        self._reserved = {fold_name(name) for name in config.auth.reserved_names}
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
        self._roles = await store.list_roles(self._db)

    def kind(self, user: User, site_id: int) -> UserKind:
        """What a user is on a site (0: on the server as a whole)."""
        role = self._roles.get((0, user.id)) or self._roles.get((site_id, user.id))
        return role or (UserKind.GUEST if user.is_guest else UserKind.MEMBER)

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
            self.generation += 1
            for key in [key for key in self._profiles if key[1] == user.id]:
                del self._profiles[key]
        while len(self._users) > _MOST_USERS:
            self._users.popitem(last=False)

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

    def nobody(self) -> dict[str, Any]:
        """The profile that stands for whoever wrote what was deleted."""
        nobody = replace(_gone(0), full_name="deleted")
        return user_fields(nobody, UserKind.GUEST, self.public_url) | {"avatar_url": ""}

    async def sign_in_guest(self, typed_name: str, lang: str) -> tuple[User, Session]:
        """A new guest with a name that is free. Raises InvalidName or NameReserved."""
        name = self._usable_name(typed_name)
        now = self._clock()

        def job(tx: Transaction) -> tuple[User, Session]:
            user = store.insert_user(
                tx,
                provider="guest",
                subject=uuid.uuid4().hex,
                mixin_user_id=str(uuid.uuid4()),
                full_name=name,
                name_folded=fold_name(name),
                name_skeleton="",
                is_guest=True,
                lang=lang,
                now=now,
            )
            return user, self._insert_session(tx, user.id, "page", now)

        user, session = await self._db.write(job)
        self.remember(user)
        return user, session

    def _insert_session(self, tx: Transaction, user_id: int, scope: str, now: int) -> Session:
        return session_store.insert_session(
            tx,
            jti=secrets.token_urlsafe(16),
            user_id=user_id,
            scope=scope,
            now=now,
            expires_at=now + self._token_days * DAY,
        )

    async def renew_session(self, session: Session) -> Session:
        """Put one more token on record for who holds `session`.

        Raises Unauthorized if that has ended meanwhile.
        """
        now = self._clock()

        def job(tx: Transaction) -> Session:
            if not session_store.is_on_record(tx, session.jti):
                raise Unauthorized
            return self._insert_session(tx, session.user_id, session.scope, now)

        return await self._db.write(job)

    async def rename(self, caller: Caller, typed_name: str) -> User:
        """Give the caller another name. Raises InvalidName or NameReserved."""
        name = self._usable_name(typed_name)
        self.check_present(caller.user.id)
        now = self._clock()
        user = await self._db.write(
            lambda tx: store.update_name(
                tx,
                caller.user.id,
                full_name=name,
                name_folded=fold_name(name),
                name_skeleton="",
                now=now,
            )
        )
        self.remember(user)
        return user

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

    def _usable_name(self, typed: str) -> str:
        name = clean_name(typed)
        folded = fold_name(name)
        if not folded or len(name) > MAX_NAME:
            raise InvalidName(field="full_name")
        if folded in self._reserved:
            raise NameReserved(field="full_name", extra={"suggestion": self._suggest(name)})
        return name

    def _suggest(self, name: str) -> str:
        stem = name[: MAX_NAME - 4].rstrip()
        while True:
            suggestion = f"{stem} {secrets.randbelow(_SUGGESTIONS) + 100}"
            if fold_name(suggestion) not in self._reserved:
                return suggestion

    async def sweep(self) -> None:
        """Forget tokens that ended more than 7 days ago, and guests who never wrote anything."""
        now = self._clock()
        await self._db.write(lambda tx: session_store.sweep_sessions(tx, before=now - 7 * DAY))
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
