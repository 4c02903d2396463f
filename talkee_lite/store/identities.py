"""Identities: who somebody is for a way to sign in, and what proves it."""

from __future__ import annotations

from typing import NamedTuple

from .database import Database
from .writer import Transaction


class Identity(NamedTuple):
    """One way in of a user.

    `name` is what they were called when they last came by it, `secret` what it is checked
    against: of a password its hash, else "".
    """

    user_id: int
    name: str
    secret: str


_BY_SUBJECT = (
    "select user_id, name, secret from identities where provider = :provider and subject = :subject"
)


def find_identity(tx: Transaction, provider: str, subject: str) -> Identity | None:
    """Who comes by `provider` as `subject`."""
    row = tx.fetch_one(_BY_SUBJECT, {"provider": provider, "subject": subject})
    return Identity(*row) if row else None


async def read_identity(db: Database, provider: str, subject: str) -> Identity | None:
    """As `find_identity`, outside of a transaction."""
    row = await db.fetch_one(_BY_SUBJECT, {"provider": provider, "subject": subject})
    return Identity(*row) if row else None


def find_subject(tx: Transaction, provider: str, user_id: int) -> str | None:
    """As whom a user comes by `provider`."""
    row = tx.fetch_one(
        "select subject from identities where user_id = :user_id and provider = :provider",
        {"user_id": user_id, "provider": provider},
    )
    return str(row["subject"]) if row else None


async def read_secret(db: Database, provider: str, user_id: int) -> tuple[str, str] | None:
    """As whom a user comes by `provider`, and what that is checked against."""
    row = await db.fetch_one(
        "select subject, secret from identities where user_id = :user_id and provider = :provider",
        {"user_id": user_id, "provider": provider},
    )
    return (row["subject"], row["secret"]) if row else None


def insert_identity(
    tx: Transaction, provider: str, subject: str, identity: Identity, now: int
) -> None:
    """One more way in of a user."""
    tx.execute(
        "insert into identities (provider, subject, user_id, name, secret, created_at)"
        " values (:provider, :subject, :user_id, :name, :secret, :now)",
        {
            "provider": provider,
            "subject": subject,
            "user_id": identity.user_id,
            "name": identity.name,
            "secret": identity.secret,
            "now": now,
        },
    )


def set_identity_name(tx: Transaction, provider: str, subject: str, name: str) -> None:
    """Note what somebody was called when they came."""
    tx.execute(
        "update identities set name = :name where provider = :provider and subject = :subject",
        {"provider": provider, "subject": subject, "name": name},
    )


def set_secret(tx: Transaction, provider: str, subject: str, secret: str) -> bool:
    """What an identity is checked against from now on; False if there is no such identity."""
    changed = tx.execute(
        "update identities set secret = :secret where provider = :provider and subject = :subject",
        {"provider": provider, "subject": subject, "secret": secret},
    )
    return changed > 0


def delete_identities(tx: Transaction, user_id: int) -> None:
    """Nobody comes in as this user any more."""
    tx.execute("delete from identities where user_id = :user_id", {"user_id": user_id})
