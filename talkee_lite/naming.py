"""Rules for names: what may be one, and whose it is."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .errors import InvalidName, NameReserved
from .names import name_keys
from .store import users as store
from .store.writer import Transaction
from .text import MAX_NAME, clean_name, fold_name

_TRIES = 50
# As whoever has left is shown.
_GONE = ("deleted",)


class Naming:
    """Who may be called what. Nobody may pass for staff, or for a member who has published."""

    def __init__(self, reserved: Iterable[str]) -> None:
        """`reserved`: names that the owner keeps for staff."""
        self._reserved = tuple(reserved)

    def clean(self, typed: str) -> str:
        """A name as it is kept. Raises InvalidName."""
        name = clean_name(typed)
        if not fold_name(name) or len(name) > MAX_NAME:
            raise InvalidName(field="full_name")
        return name

    def fit(self, told: str, otherwise: str) -> str:
        """A name that a way to sign in tells, cut to what may be one; or else another."""
        name = clean_name(told)[:MAX_NAME].rstrip()
        return name if fold_name(name) else otherwise

    def is_free(
        self,
        tx: Transaction,
        name: str,
        *,
        user_id: int = 0,
        is_guest: bool = False,
        is_staff: bool = False,
    ) -> bool:
        """Whether a user may be called that. Two members are never called alike."""
        if self._is_listed(name, _GONE) or (not is_staff and self._is_listed(name, self._reserved)):
            return False
        return not store.is_name_taken(tx, name, but=user_id, of_any_member=not is_guest)

    def vary(self, tx: Transaction, name: str, *, user_id: int = 0, is_guest: bool = False) -> str:
        """The name if it is free, else one like it that is."""
        wanted = name
        for size in range(_TRIES):
            if self.is_free(tx, wanted, user_id=user_id, is_guest=is_guest):
                return wanted
            # Longer numbers, should the short ones be taken.
            number = f" {100 + secrets.randbelow(9 * 10 ** (2 + size // 5))}"
            wanted = name[: MAX_NAME - len(number)].rstrip() + number
        return f"{name[: MAX_NAME - 17].rstrip()} {secrets.token_hex(8)}"

    def taken(self, tx: Transaction, name: str, field: str, *, is_guest: bool) -> NameReserved:
        """The refusal of a name, with one that is free."""
        suggestion = self.vary(tx, name, is_guest=is_guest)
        return NameReserved(field=field, extra={"suggestion": suggestion})

    def _is_listed(self, name: str, names: tuple[str, ...]) -> bool:
        if not names:
            return False
        keys, listed = name_keys(name), _keys_of(names)
        return keys.by_look in listed.by_look or keys.by_case in listed.by_case


class _Listed(NamedTuple):
    by_look: frozenset[str]
    by_case: frozenset[str]


@lru_cache(maxsize=16)
def _keys_of(names: tuple[str, ...]) -> _Listed:
    keys = [name_keys(name) for name in names]
    return _Listed(frozenset(key.by_look for key in keys), frozenset(key.by_case for key in keys))
