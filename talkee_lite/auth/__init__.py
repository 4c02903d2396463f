"""Ways to sign in: one file each, and the table that names them.

A way finds out who somebody is; what that makes of them is decided in `signing_in.py`, the same
for all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple, Protocol, runtime_checkable

from ..clock import Clock, SteadyClock
from ..config import Config, ConfigError
from ..models import Caller, Site
from ..people import People
from ..signing_in import Entry, SignedIn, SignIns
from ..sites import Sites
from ..store.database import Database


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to sign in: the request's body, as sent, and where it came from.

    `origin` is that of the page, None for a program; `site` the site that the body names, else
    the one that the page belongs to; `address` the client's, as limits count it.
    """

    body: dict[str, Any]
    origin: str | None
    site: Site | None
    address: str
    entry: Entry


class Method(Protocol):
    """A way to sign in."""

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """Whoever proves who they are. Raises SignInFailed, or another `Refused`."""

    def describe(self, site: Site | None) -> dict[str, Any] | None:
        """What a page of the site needs to start it; None: it is not offered there."""


@runtime_checkable
class Registers(Protocol):
    """A way to sign in with something that people choose here, and may choose anew."""

    async def register(self, attempt: Attempt) -> SignedIn:
        """Somebody new."""

    async def change(self, caller: Caller, body: dict[str, Any], address: str) -> SignedIn:
        """Somebody chooses anew; their earlier sessions end."""

    async def make_anew(self, user_id: int) -> tuple[str, list[str]]:
        """Choose for somebody who forgot; what was chosen, and their sessions, which end."""


@runtime_checkable
class Challenges(Protocol):
    """A way to sign in by signing a text, which the server can write."""

    def text_for(self, account: str, origin: str | None) -> str:
        """What the owner of `account`, 0x and 40 hexadecimal digits, has to sign on a page of
        `origin`; None: of this server. Raises SignInFailed."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What ways to sign in may work with. What they open they close by `exits`."""

    config: Config
    db: Database
    people: People
    sites: Sites
    sign_ins: SignIns
    clock: Clock
    pace_clock: SteadyClock
    exits: AsyncExitStack


class Login(NamedTuple):
    """When a way is on, and the extra that brings the packages which it needs, if any.

    Its file `<name>.py` has `make(parts)`, which gives the `Method`.
    """

    is_on: Callable[[Config], bool]
    extra: str = ""


LOGINS: dict[str, Login] = {
    "guest": Login(lambda config: config.auth.guest),
    "password": Login(lambda config: config.auth.password),
    "mvm": Login(lambda config: config.auth.mvm, extra="wallet"),
    "mixin_token": Login(lambda config: config.auth.mixin_token),
    "admin_link": Login(lambda config: True),
    "sso": Login(lambda config: True),
}


def methods_on(config: Config) -> list[str]:
    """The names of the ways that the settings switch on."""
    return [name for name, login in LOGINS.items() if login.is_on(config)]


def offered(parts: Parts) -> dict[str, Method]:
    """The ways that are on, loaded no sooner.

    Raises ConfigError where one lacks its packages.
    """
    found: dict[str, Method] = {}
    for name in methods_on(parts.config):
        extra = LOGINS[name].extra
        try:
            module = import_module(f".{name}", __package__)
        except ModuleNotFoundError as error:
            if not extra:
                raise
            raise ConfigError(
                f"[auth] {name}: the package {error.name} is missing; install it with"
                f" pip install 'talkee-lite[{extra}]'"
            ) from None
        found[name] = module.make(parts)
    return found
