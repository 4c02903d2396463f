"""Ways to sign in: one file each, and the table that names them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..config import AuthConfig
from ..models import Session, User
from ..people import People
from . import guest

Login = Callable[[People, dict[str, Any], str], Awaitable[tuple[User, Session]]]
"""Takes the users, the request's body and the language; gives the user and a new session."""

LOGINS: dict[str, Login] = {
    "guest": guest.sign_in,
}


def offered(config: AuthConfig) -> dict[str, Login]:
    """The methods that are switched on, each by a setting of its own name."""
    return {name: login for name, login in LOGINS.items() if getattr(config, name)}
