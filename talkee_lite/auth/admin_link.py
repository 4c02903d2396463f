"""Sign-in by a link that the server's owner was given on the command line."""

from __future__ import annotations

from ..errors import Forbidden, InvalidBody
from ..models import Scope, Site
from ..protocol import take_text
from ..signing_in import SignedIn
from . import Attempt, Parts


class AdminLink:
    """Lets in whoever holds a link, as the admin whom it is for."""

    def __init__(self, parts: Parts) -> None:
        self._sign_ins = parts.sign_ins

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """The admin of the link's `code`; the server's first is called `full_name`.

        Raises InvalidBody, Forbidden, SignInFailed, InvalidName or NameReserved.
        """
        if attempt.entry.scope is not Scope.ADMIN:
            raise Forbidden("An admin's link works on the admin page alone.")
        name = attempt.body.get("full_name", "")
        if not isinstance(name, str):
            raise InvalidBody("full_name must be a text.", field="full_name")
        code = take_text(attempt.body, "code")
        return await self._sign_ins.admit_by_link(code, name, attempt.entry)

    def describe(self, site: Site | None) -> None:
        """No page starts it."""


make = AdminLink
