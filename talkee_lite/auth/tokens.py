"""Access tokens: HS256 JWTs (RFC 7519), each backed by a session on record.

The only importer of `jwt`.
"""

from __future__ import annotations

import os
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import jwt

from ..clock import DAY, SECOND, Clock
from ..config import ConfigError
from ..errors import Unauthorized
from ..models import Caller, Session, User
from ..people import People
from ..store import sessions as store
from ..store.backup import secret_path
from ..store.database import Database

_ALGORITHM = "HS256"
_MOST_VERIFIED = 20_000
_RENEW_WITHIN = 7 * DAY
_TOUCH_EVERY = 3600 * SECOND


class TokenExpired(Unauthorized):
    """A good token that is merely past its time; it may be renewed for 7 days."""

    sentence = "The access token has expired; renew it or sign in again."


@dataclass(frozen=True, slots=True)
class _Claims:
    jti: str
    user_id: int
    expires_at: int


def load_secret(configured: str, database: Path) -> str:
    """The secret that signs tokens: the configured one, else the one kept beside the database.

    It is made at the first start, in a file of mode 0600. Raises ConfigError where the file holds
    no secret or cannot be read.
    """
    if configured:
        return configured
    path = secret_path(database)
    try:
        secret = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(48)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the signing secret cannot be read: {error}") from None
    if len(secret) < 32:
        raise ConfigError(
            f"{path}: holds no signing secret of at least 32 bytes; remove it to have a new one"
            " made (everybody then signs in again)"
        )
    return secret


class Tokens:
    """Makes access tokens and tells who sends one. Verified ones are remembered, bounded."""

    def __init__(self, db: Database, people: People, secret: str, clock: Clock) -> None:
        self._db = db
        self._people = people
        self._secret = secret
        self._clock = clock
        self._verified: OrderedDict[bytes, _Claims] = OrderedDict()
        """By a hash of the token, which is a sixth of its length."""
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._dead: OrderedDict[str, None] = OrderedDict()
        """Sessions that ended lately: a read that began before must not bring them back."""

    def encode(self, session: Session) -> str:
        """The access token of a new session."""
        claims = {
            "user_id": session.user_id,
            # A new session was used last when it was made.
            "iat": session.last_used_at // SECOND,
            "exp": session.expires_at // SECOND,
            "jti": session.jti,
            "scope": session.scope,
        }
        self._remember(session)
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    async def identify(self, token: str) -> Caller:
        """Who sends this token. Raises TokenExpired, or Unauthorized for anything else wrong."""
        claims = self._verify(token)
        if claims.expires_at <= self._clock():
            raise TokenExpired
        session = self._sessions.get(claims.jti)
        user = self._people.known(claims.user_id)
        if session is None or user is None:
            session, user = await self._recall(claims)
        if session.last_used_at + _TOUCH_EVERY < self._clock():
            self._touch(session)
        return Caller(user, session)

    async def identify_for_renewal(self, token: str) -> Caller:
        """As `identify`, but a token that expired less than 7 days ago counts too."""
        claims = self._verify(token)
        if claims.expires_at + _RENEW_WITHIN <= self._clock():
            raise Unauthorized
        session, user = await self._recall(claims)
        return Caller(user, session)

    async def sign_out(self, session: Session) -> set[str]:
        """End one session; its `jti`, if it was still on record."""
        return self.end(await self._db.write(lambda tx: store.delete_session(tx, session.jti)))

    async def sign_out_everywhere(self, user_id: int) -> set[str]:
        """End all sessions of a user; their `jti`s."""
        ended = await self._db.write(lambda tx: store.delete_sessions_of(tx, user_id))
        return self.end_of(user_id, ended)

    def end_of(self, user_id: int, jtis: list[str]) -> set[str]:
        """As `end`, and whatever else is in memory of a user."""
        known = [jti for jti, session in self._sessions.items() if session.user_id == user_id]
        return self.end([*jtis, *known])

    def end(self, jtis: list[str]) -> set[str]:
        """Sessions are not on record any more: nobody gets in with them."""
        for jti in jtis:
            self._sessions.pop(jti, None)
            self._dead[jti] = None
        while len(self._dead) > _MOST_VERIFIED:
            self._dead.popitem(last=False)
        return set(jtis)

    def _verify(self, token: str) -> _Claims:
        key = blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        claims = self._verified.get(key)
        if claims is None:
            claims = self._verified[key] = self._decode(token)
            while len(self._verified) > _MOST_VERIFIED:
                self._verified.popitem(last=False)
        return claims

    def _decode(self, token: str) -> _Claims:
        try:
            raw: dict[str, Any] = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                options={"require": ["exp", "iat"], "verify_exp": False, "verify_iat": False},
            )
            user_id, expires, jti = raw["user_id"], raw["exp"], raw["jti"]
        except (jwt.InvalidTokenError, KeyError, ValueError, RecursionError):
            raise Unauthorized from None
        if type(user_id) is not int or type(expires) is not int or not isinstance(jti, str):
            raise Unauthorized
        return _Claims(jti, user_id, expires * SECOND)

    async def _recall(self, claims: _Claims) -> tuple[Session, User]:
        found = await store.find_session(self._db, claims.jti)
        if found is None or claims.jti in self._dead:
            raise Unauthorized
        session, user = found
        if user.id != claims.user_id:
            raise Unauthorized
        self._remember(session)
        return session, self._people.meet(user)

    def _remember(self, session: Session) -> None:
        if session.jti in self._dead:
            return
        self._sessions[session.jti] = session
        while len(self._sessions) > _MOST_VERIFIED:
            self._sessions.popitem(last=False)

    def _touch(self, session: Session) -> None:
        now = self._clock()
        self._remember(replace(session, last_used_at=now))
        if not self._db.failing:
            # Nobody waits for it: it only serves the list of sessions and the sweeping.
            self._db.write(lambda tx: store.touch_session(tx, session.jti, now)).add_done_callback(
                lambda future: future.exception()
            )
