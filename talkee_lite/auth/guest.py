"""Sign-in as a guest: a typed name, which proves nothing."""

from __future__ import annotations

import uuid
from typing import Any

from ..models import Site
from ..protocol import take_text
from ..signing_in import Proof, SignedIn
from . import Attempt, Parts


class Guest:
    """Lets everybody in under a name that is free."""

    def __init__(self, parts: Parts) -> None:
        self._sign_ins = parts.sign_ins
        self._naming = parts.people.naming

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """A new guest called `full_name`. Raises InvalidBody, InvalidName or NameReserved."""
        name = self._naming.clean(take_text(attempt.body, "full_name"))
        proof = Proof("guest", uuid.uuid4().hex, name, is_guest=True, is_typed=True)
        return await self._sign_ins.admit(proof, attempt.entry)

    def describe(self, site: Site | None) -> dict[str, Any]:
        """Nothing is needed but a name."""
        return {}


make = Guest
