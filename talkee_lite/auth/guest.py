"""Sign-in as a guest: a typed name, which proves nothing."""

from __future__ import annotations

from typing import Any

from ..models import Session, User
from ..people import People
from ..protocol import take_text


async def sign_in(people: People, body: dict[str, Any], lang: str) -> tuple[User, Session]:
    """A new guest called `full_name`. Raises InvalidBody, InvalidName or NameReserved."""
    return await people.sign_in_guest(take_text(body, "full_name"), lang)
