"""Rules for guests who turn out to be somebody: what they wrote becomes that person's."""

from __future__ import annotations

from .store.database import Database
from .store.writer import Transaction


class Merging:
    """Gives what a guest wrote to the member that they are."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(self, tx: Transaction, guest_id: int, user_id: int) -> bool:
        """From now on the guest is the member; False if there is nothing to give."""
        return False

    async def finish(self, guest_id: int) -> None:
        """Give the member all that the guest wrote."""
