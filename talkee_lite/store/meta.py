"""What is noted of the database as a whole, by key."""

from __future__ import annotations

from .database import Database
from .writer import Transaction


async def find_meta(db: Database, key: str) -> str | None:
    """What is noted by `key`, if anything."""
    row = await db.fetch_one("select value from meta where key = :key", {"key": key})
    return str(row["value"]) if row else None


def set_meta(tx: Transaction, key: str, value: str) -> None:
    """Note something by `key`."""
    tx.execute(
        "insert into meta (key, value) values (:key, :value)"
        " on conflict (key) do update set value = :value",
        {"key": key, "value": value},
    )
