"""Rules for signing in: what a proof makes of somebody, in one transaction."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass, field

from .clock import DAY, SECOND, Clock
from .config import Config
from .errors import Forbidden, InvalidName, NameReserved, Refused, SignInFailed, Unauthorized
from .merging import Merging
from .models import Caller, Scope, Session, User, UserKind
from .people import People
from .store import identities, once, roles, sessions, users
from .store.database import Database
from .store.identities import Identity
from .store.roles import Role
from .store.users import Profile
from .store.writer import Transaction

ADMIN_SECONDS = 24 * 3600
"""How long an admin token lives."""
LINK_SECONDS = 3600
"""How long an admin's link can be used."""
_LINK = "admin_link"


@dataclass(frozen=True, slots=True)
class Once:
    """A proof that counts once, by its `key`; after `until` (µs) it would be refused anyway."""

    key: str
    until: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a way to sign in says of somebody's role on a site; None: they have none by it."""

    site_id: int
    role: UserKind | None


@dataclass(frozen=True, slots=True)
class Proof:
    """What a way to sign in has found out: `subject` is, for `provider`, always the same person.

    `name` is what they shall be called at first. `is_typed`: it was chosen for this, and is
    refused if it is not free; else one like it is taken. `is_new`: there must not be such a
    person yet. `secret`: what is kept beside the identity, or was checked against. `avatar_url`
    None: it knows of no pictures.
    """

    provider: str
    subject: str
    name: str
    is_guest: bool = False
    is_typed: bool = False
    is_new: bool = False
    secret: str = ""
    avatar_url: str | None = None
    mvm_public_key: str = ""
    mixin_user_id: str = ""
    mixin_identity_number: str = "0"
    once: Once | None = None
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """How somebody comes in: for what, in which language (two letters, or ""), and as which
    guest they were here so far."""

    scope: Scope = Scope.PAGE
    lang: str = ""
    guest: Caller | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who came in. `ended`: sessions that are not on record any more, by user."""

    user: User
    session: Session
    ended: Mapping[int, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Made:
    user: User
    ended: dict[int, list[str]] = field(default_factory=dict)
    roles: dict[int, UserKind | None] = field(default_factory=dict)
    """By site: what it is from now on."""
    merged: int = 0
    """The guest whose writings are to be theirs."""


class SignIns:
    """Lets people in whom a way to sign in has proved."""

    def __init__(
        self,
        db: Database,
        people: People,
        merging: Merging,
        config: Config,
        clock: Clock,
    ) -> None:
        self._db = db
        self._people = people
        self._naming = people.naming
        self._merging = merging
        self._token_days = config.auth.token_days
        self._clock = clock

    async def guest(self, typed_name: str, lang: str = "") -> tuple[User, Session]:
        """A new guest with a name that is free. Raises InvalidName or NameReserved."""
        name = self._naming.clean(typed_name)
        proof = Proof("guest", uuid.uuid4().hex, name, is_guest=True, is_typed=True)
        signed_in = await self.admit(proof, Entry(lang=lang))
        return signed_in.user, signed_in.session

    async def admit(self, proof: Proof, entry: Entry) -> SignedIn:
        """Whoever proved to be somebody, with a new session.

        Raises SignInFailed for a proof that was used before, NameReserved, and Forbidden where
        an admin token is asked for by who is no admin.
        """
        now = self._clock()
        return await self._finish(self._db.write(lambda tx: self._enter(tx, proof, entry, now)))

    async def admit_by_link(self, code: str, typed_name: str, entry: Entry) -> SignedIn:
        """Whoever holds an admin's link, which counts once.

        The first admin's also makes them one, called `typed_name`. Raises SignInFailed,
        InvalidName or NameReserved; after the last two the link can still be used.
        """
        now, digest = self._clock(), _digest(code)
        return await self._finish(
            self._db.write(lambda tx: self._enter_by_link(tx, digest, typed_name, entry, now))
        )

    async def make_link(self, user_id: int | None) -> str | None:
        """The code of a link by which an admin can come in, once, for an hour.

        `user_id` None: the server's first admin, or, while there is none, whoever is to be.
        None if the user is no admin.
        """
        now, code = self._clock(), secrets.token_urlsafe(24)

        def job(tx: Transaction) -> bool:
            whom = roles.find_admin(tx) if user_id is None else user_id
            if whom is not None and not roles.administers(tx, whom):
                return False
            link = once.Link(whom, now + LINK_SECONDS * SECOND)
            once.insert_link(tx, _digest(code), link)
            return True

        return code if await self._db.write(job) else None

    async def make_first_link(self) -> str | None:
        """As `make_link`, if the server has no admin; earlier such links are dead in any case."""
        return await self.make_link(None) if not self._people.has_admin() else None

    async def renew(self, session: Session) -> Session:
        """Put one more token on record for who holds `session`.

        Raises Unauthorized if that has ended meanwhile, Forbidden for an admin token.
        """
        if session.scope is Scope.ADMIN:
            raise Forbidden("An admin token is not renewed; sign in again.")
        now = self._clock()

        def job(tx: Transaction) -> Session | None:
            if not sessions.is_on_record(tx, session.jti):
                return None
            return self._new_session(tx, session.user_id, session.scope, session.method, now)

        renewed = await self._db.write(job)
        if renewed is None:
            raise Unauthorized
        return renewed

    async def set_secret(
        self, caller: Caller, provider: str, subject: str, name: str, secret: str, *, earlier: str
    ) -> SignedIn:
        """Give the caller's way in another secret, or, `earlier` "", give them that way in.

        All their sessions end, and a new one of the same scope begins. Raises NameReserved where
        somebody else comes in as `subject`, and SignInFailed where the secret is not `earlier`
        any more.
        """
        now, user_id, scope = self._clock(), caller.user.id, caller.session.scope

        def job(tx: Transaction) -> tuple[_Made, Session] | Refused:
            known = identities.find_identity(tx, provider, subject)
            user = users.find_user(tx, user_id)
            if user is None or not sessions.is_on_record(tx, caller.session.jti):
                return Unauthorized()
            if known is not None and (known.user_id != user_id or not earlier):
                return NameReserved("This user name belongs to somebody else.", field="username")
            if (known.secret if known is not None else "") != earlier:
                return SignInFailed()
            if known is None:
                identity = Identity(user_id, name, secret)
                identities.insert_identity(tx, provider, subject, identity, now)
            else:
                identities.set_secret(tx, provider, subject, secret)
            ended = {user_id: sessions.delete_sessions_of(tx, user_id)}
            session = self._new_session(
                tx, user_id, scope, provider, now, ends_at=_end_of(caller.session)
            )
            return _Made(user, ended), session

        return await self._finish(self._db.write(job))

    async def replace_secret(
        self, user_id: int, provider: str, subject: str, secret: str
    ) -> list[str]:
        """Give somebody's way in another secret, whatever it was; their sessions, which ended."""

        def job(tx: Transaction) -> list[str]:
            identities.set_secret(tx, provider, subject, secret)
            return sessions.delete_sessions_of(tx, user_id)

        return await self._db.write(job)

    async def _finish(self, written: Future[tuple[_Made, Session] | Refused]) -> SignedIn:
        done = await written
        if isinstance(done, Refused):
            raise done
        made, session = done
        self._people.remember(made.user)
        for site_id, role in made.roles.items():
            self._people.take_role(made.user.id, site_id, role)
        if made.merged:
            await self._merging.finish(made.merged, made.user.id)
        return SignedIn(made.user, session, made.ended)

    def _enter(
        self, tx: Transaction, proof: Proof, entry: Entry, now: int
    ) -> tuple[_Made, Session] | Refused:
        # Refusals are returned: what is raised would undo the whole batch of writes. So nothing
        # may be written before the last of them, but that a proof was used.
        known = identities.find_identity(tx, proof.provider, proof.subject)
        if entry.scope is Scope.ADMIN and (
            known is None or not roles.administers(tx, known.user_id)
        ):
            return Forbidden("You are not an admin of this server.")
        if proof.once and not once.use_up(tx, proof.once.key, proof.once.until):
            return SignInFailed("This was used to sign in before; sign in anew.")
        if known is not None and proof.is_new:
            return self._naming.taken(tx, proof.name, "username", is_guest=False)
        if known is not None and proof.secret != known.secret:
            # Changed while it was being checked.
            return SignInFailed()
        guest = self._guest(tx, entry)
        made = (
            self._new_user(tx, proof, entry, guest, now)
            if known is None
            else self._known_user(tx, proof, known, guest, now)
        )
        if isinstance(made, Refused):
            return made
        if proof.grant is not None:
            self._grant(tx, made, proof.provider, proof.grant, now)
        return made, self._new_session(tx, made.user.id, entry.scope, proof.provider, now)

    def _guest(self, tx: Transaction, entry: Entry) -> User | None:
        """The guest who comes in, if they still are one: since they were asked, much may have
        happened, and another may have come in as the same."""
        if entry.guest is None or not sessions.is_on_record(tx, entry.guest.session.jti):
            return None
        return users.find_guest(tx, entry.guest.user.id)

    def _new_user(
        self, tx: Transaction, proof: Proof, entry: Entry, guest: User | None, now: int
    ) -> _Made | Refused:
        is_guest = proof.is_guest
        guest_id = guest.id if guest is not None and not is_guest else 0
        if (
            guest_id
            and guest is not None
            and self._naming.is_free(tx, guest.full_name, user_id=guest_id)
        ):
            name = guest.full_name
        elif proof.is_typed and not self._naming.is_free(
            tx, proof.name, user_id=guest_id, is_guest=is_guest
        ):
            field_name = "full_name" if is_guest else "username"
            return self._naming.taken(tx, proof.name, field_name, is_guest=is_guest)
        else:
            name = self._naming.vary(tx, proof.name, user_id=guest_id, is_guest=is_guest)
        profile = Profile(
            proof.mixin_user_id or str(uuid.uuid4()),
            proof.mixin_identity_number,
            proof.mvm_public_key,
            proof.avatar_url or "",
        )
        if guest_id:
            ended = {guest_id: sessions.delete_sessions_of(tx, guest_id)}
            user = users.become_member(tx, guest_id, name, profile, lang=entry.lang, now=now)
        else:
            ended = {}
            user = users.insert_user(tx, name, profile, is_guest=is_guest, lang=entry.lang, now=now)
        identity = Identity(user.id, proof.name, proof.secret)
        identities.insert_identity(tx, proof.provider, proof.subject, identity, now)
        return _Made(user, ended)

    def _known_user(
        self, tx: Transaction, proof: Proof, known: Identity, guest: User | None, now: int
    ) -> _Made:
        user = users.find_user(tx, known.user_id)
        assert user is not None
        if proof.name != known.name and not proof.is_typed:
            # Elsewhere they are called something else now.
            name = self._naming.vary(tx, proof.name, user_id=user.id)
            user = users.update_name(tx, user.id, name, now)
            identities.set_identity_name(tx, proof.provider, proof.subject, proof.name)
        if proof.avatar_url is not None and proof.avatar_url != user.avatar_url:
            user = users.update_avatar(tx, user.id, proof.avatar_url, now)
        made = _Made(user)
        if guest is not None:
            made.ended = {guest.id: sessions.delete_sessions_of(tx, guest.id)}
            if not self._people.is_leaving(user.id) and self._merging.begin(tx, guest, user, now):
                made.merged = guest.id
        return made

    def _grant(self, tx: Transaction, made: _Made, provider: str, grant: Grant, now: int) -> None:
        held = roles.find_role(tx, grant.site_id, made.user.id)
        if held is not None and held.granted_by != provider:
            # What the owner gave, nobody else takes.
            return
        role = None if grant.role is None else Role(grant.role, provider)
        if role != held:
            roles.set_role(tx, grant.site_id, made.user.id, role, now)
            made.roles[grant.site_id] = grant.role

    def _enter_by_link(
        self, tx: Transaction, digest: str, typed_name: str, entry: Entry, now: int
    ) -> tuple[_Made, Session] | Refused:
        link = once.find_link(tx, digest)
        if link is None or link.expires_at <= now:
            return SignInFailed(
                "This link was used, or is older than an hour;"
                " `talkee-lite user admin-link` makes another."
            )
        if link.user_id is not None:
            user = users.find_user(tx, link.user_id)
            once.delete_link(tx, digest)
            if user is None or not roles.administers(tx, user.id):
                return SignInFailed("This link belongs to somebody who is no admin any more.")
            return _Made(user), self._new_session(tx, user.id, Scope.ADMIN, _LINK, now)
        if roles.find_admin(tx) is not None:
            return SignInFailed("The server has an admin already; this link is dead.")
        try:
            name = self._naming.clean(typed_name)
        except InvalidName as refusal:
            return refusal
        if not self._naming.is_free(tx, name, is_staff=True):
            return NameReserved(
                field="full_name",
                extra={"suggestion": self._naming.vary(tx, name)},
            )
        once.delete_first_links(tx)
        profile = Profile(str(uuid.uuid4()), "0", "", "")
        user = users.insert_user(tx, name, profile, is_guest=False, lang=entry.lang, now=now)
        roles.set_role(tx, 0, user.id, Role(UserKind.ADMIN, ""), now)
        made = _Made(user, roles={0: UserKind.ADMIN})
        return made, self._new_session(tx, user.id, Scope.ADMIN, _LINK, now)

    def _new_session(
        self,
        tx: Transaction,
        user_id: int,
        scope: Scope,
        method: str,
        now: int,
        ends_at: int | None = None,
    ) -> Session:
        lives = self._token_days * DAY if scope is Scope.PAGE else ADMIN_SECONDS * SECOND
        return sessions.insert_session(
            tx,
            jti=secrets.token_urlsafe(16),
            user_id=user_id,
            scope=scope,
            method=method,
            now=now,
            expires_at=now + lives if ends_at is None else ends_at,
        )


def _end_of(session: Session) -> int | None:
    """When what follows a session ends: an admin's is not made longer."""
    return session.expires_at if session.scope is Scope.ADMIN else None


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
