"""Sign-in by user name and password, and what goes with it: registering, another password.

Passwords are kept as argon2id (RFC 9106), with 19 MiB, two passes and one lane, as OWASP's cheat
sheet on storing passwords recommends. One is made or checked at a time, so that memory stays
bounded however many sign in.
"""

from __future__ import annotations

import importlib.util
import secrets
import unicodedata
from collections import OrderedDict
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from ..clock import SteadyClock
from ..errors import (
    Forbidden,
    InvalidPassword,
    InvalidUsername,
    RateLimited,
    SignInFailed,
)
from ..limits import Buckets
from ..models import Caller, Site
from ..protocol import take_text
from ..signing_in import Proof, SignedIn
from ..store.identities import read_identity, read_secret
from ..text import clean_name, fold_name
from . import Attempt, Parts
from .aside import Aside

PROVIDER = "password"
MIN_USERNAME, MAX_USERNAME = 3, 32
MIN_PASSWORD, MAX_PASSWORD = 8, 256
COMMON_PASSWORDS = 10_000
TRIES = 10
"""Wrong passwords for one user name from one address in a row; one more each minute."""
ALL_TRIES = 50
"""The same from all addresses together; one more each half minute."""
_MOST_WAITING = 64
_MOST_FAMILIAR = 20_000


class Password:
    """Lets in who knows a user name's password."""

    def __init__(self, parts: Parts) -> None:
        self._db = parts.db
        self._sign_ins = parts.sign_ins
        self._aside = Aside(_MOST_WAITING)
        parts.exits.callback(self._aside.close)
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._tries = _Tries(parts.pace_clock)
        # A user name that nobody has is checked against this, which takes as long.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def describe(self, site: Site | None) -> dict[str, Any]:
        """How long what is typed may be."""
        return {
            "username": {"min": MIN_USERNAME, "max": MAX_USERNAME},
            "password": {"min": MIN_PASSWORD, "max": MAX_PASSWORD},
        }

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """Who has this `username` and `password`.

        Raises InvalidBody, SignInFailed, RateLimited or Unavailable.
        """
        typed, password = take_text(attempt.body, "username"), take_text(attempt.body, "password")
        subject = fold_name(clean_name(typed)[: 2 * MAX_USERNAME])
        identity = await read_identity(self._db, PROVIDER, subject)
        secret = identity.secret if identity is not None else ""
        await self._check(subject, attempt.address, secret, password)
        assert identity is not None
        proof = Proof(PROVIDER, subject, identity.name, is_typed=True, secret=secret)
        return await self._sign_ins.admit(proof, attempt.entry)

    async def register(self, attempt: Attempt) -> SignedIn:
        """A new member, called `username` at first, or as the guest whom they were.

        Raises InvalidBody, InvalidUsername, InvalidPassword, NameReserved or Unavailable.
        """
        username = _checked_username(take_text(attempt.body, "username"))
        password = take_text(attempt.body, "password")
        secret = await self._make(username, password, "password")
        subject = fold_name(username)
        proof = Proof(PROVIDER, subject, username, is_typed=True, is_new=True, secret=secret)
        signed_in = await self._sign_ins.admit(proof, attempt.entry)
        self._tries.know(subject, attempt.address)
        return signed_in

    async def change(self, caller: Caller, body: dict[str, Any], address: str) -> SignedIn:
        """Give the caller `new_password`; all their sessions end, and one begins.

        They prove themselves by `password`, or came by an admin's link; those who have none yet
        also choose a `username`. Raises InvalidBody, InvalidUsername, InvalidPassword, Forbidden,
        SignInFailed, NameReserved, RateLimited or Unavailable.
        """
        new = take_text(body, "new_password")
        username = _checked_username(take_text(body, "username")) if "username" in body else ""
        known = await read_secret(self._db, PROVIDER, caller.user.id)
        if known is None:
            if caller.session.method != "admin_link":
                raise Forbidden("This account has no password that could be changed.")
            username = username or _checked_username(take_text(body, "username"))
            subject, earlier = fold_name(username), ""
        else:
            subject, earlier = known
            if caller.session.method == "admin_link":
                if username and fold_name(username) != subject:
                    raise InvalidUsername(
                        f"This account has the user name {subject} already.",
                        field="username",
                        extra={"suggestion": subject},
                    )
            else:
                await self._check(subject, address, earlier, take_text(body, "password"))
        secret = await self._make(username or subject, new, "new_password")
        changed = await self._sign_ins.set_secret(
            caller, PROVIDER, subject, username or subject, secret, earlier=earlier
        )
        self._tries.forget(subject)
        return changed

    async def make_anew(self, user_id: int) -> tuple[str, list[str]]:
        """A new password for somebody who has forgotten theirs, and the sessions that ended.

        Raises Forbidden for who has none.
        """
        known = await read_secret(self._db, PROVIDER, user_id)
        if known is None:
            raise Forbidden("This user does not sign in with a password.")
        password = secrets.token_urlsafe(12)
        secret = await self._aside.run(lambda: self._hasher.hash(password))
        ended = await self._sign_ins.replace_secret(user_id, PROVIDER, known[0], secret)
        self._tries.forget(known[0])
        return password, ended

    async def _check(self, subject: str, address: str, secret: str, password: str) -> None:
        """Raise SignInFailed unless `password` is that of `secret`; "": nobody's."""
        if not await self._aside.run(
            lambda: self._verify(secret, password),
            # When its turn has come: right passwords that wait are not in each other's way.
            lambda: self._tries.begin(subject, address),
        ):
            raise SignInFailed("The user name or the password is wrong.")
        self._tries.succeeded(subject, address)

    def _verify(self, secret: str, password: str) -> bool:
        try:
            self._hasher.verify(secret or self._nobody, _normal(password)[: MAX_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            return False
        return bool(secret)

    async def _make(self, username: str, password: str, field: str) -> str:
        """What is kept of a password. Raises InvalidPassword or Unavailable."""
        typed = _normal(password)
        if not MIN_PASSWORD <= len(typed) <= MAX_PASSWORD:
            raise InvalidPassword(
                f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters.", field=field
            )
        if fold_name(typed) == fold_name(username):
            raise InvalidPassword("A password must not be the user name.", field=field)
        made = await self._aside.run(
            lambda: "" if typed.casefold() in _common() else self._hasher.hash(typed)
        )
        if not made:
            raise InvalidPassword("That password is among those most used.", field=field)
        return made


make = Password


class _Tries:
    """How often a password may be guessed: from each address, and from all together.

    Where somebody has signed in or registered before, only the first counts: others who guess,
    from elsewhere, do not lock them out.
    """

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._from_one = Buckets(1 / 60, TRIES)
        self._from_all = Buckets(1 / 30, ALL_TRIES)
        self._familiar: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, subject: str, address: str) -> None:
        """Count a try, before it is known how it ends. Raises RateLimited."""
        pairs, now = self._pairs(subject, address), self._clock()
        wait = max(bucket.wait(key, now) for bucket, key in pairs)
        if wait:
            raise RateLimited(retry_after=wait)
        for bucket, key in pairs:
            bucket.take(key, now)

    def succeeded(self, subject: str, address: str) -> None:
        """The last try was right, and does not count."""
        now = self._clock()
        for bucket, key in self._pairs(subject, address):
            bucket.give_back(key, now)
        self.know(subject, address)

    def know(self, subject: str, address: str) -> None:
        """Somebody has proved at this address who they are."""
        self._familiar[subject, address] = None
        self._familiar.move_to_end((subject, address))
        if len(self._familiar) > _MOST_FAMILIAR:
            self._familiar.popitem(last=False)

    def forget(self, subject: str) -> None:
        """There is another password, at which nobody has guessed."""
        self._from_all.forget(subject)

    def _pairs(self, subject: str, address: str) -> list[tuple[Buckets, Hashable]]:
        pairs: list[tuple[Buckets, Hashable]] = [(self._from_one, (subject, address))]
        if (subject, address) not in self._familiar:
            pairs.append((self._from_all, subject))
        return pairs


def _checked_username(typed: str) -> str:
    username = clean_name(typed)
    if not MIN_USERNAME <= len(username) <= MAX_USERNAME or not fold_name(username):
        raise InvalidUsername(field="username")
    return username


def _normal(password: str) -> str:
    """As it is compared, however a keyboard composes it (RFC 8265, section 4.2)."""
    return unicodedata.normalize("NFC", password)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """The commonest passwords, from the list that the package `zxcvbn` brings.

    The list's file alone is read: the package keeps many more words in memory.
    """
    package = importlib.util.find_spec("zxcvbn")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).with_name("frequency_lists.py")
    spec = importlib.util.spec_from_file_location("frequency_lists", path)
    assert spec is not None
    assert spec.loader is not None
    lists = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lists)
    listed: list[str] = lists.FREQUENCY_LISTS["passwords"]
    return frozenset(word.casefold() for word in listed[:COMMON_PASSWORDS])
