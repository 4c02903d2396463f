"""What counts once: nonces and ids of proofs that were used, and links that were given out."""

from __future__ import annotations

from typing import NamedTuple

from .writer import Transaction


def use_up(tx: Transaction, key: str, until: int) -> bool:
    """Note that `key` was used, which is kept until a time; False if it had been already."""
    used = tx.execute(
        "insert into used_once (key, expires_at) values (:key, :until) on conflict do nothing",
        {"key": key, "until": until},
    )
    return used > 0


def sweep_used(tx: Transaction, *, before: int) -> int:
    """Forget what could not be used again anyway; how many."""
    tx.execute("delete from admin_links where expires_at < :before", {"before": before})
    return tx.execute("delete from used_once where expires_at < :before", {"before": before})


class Link(NamedTuple):
    """Who comes in by a link; None: whoever is first, as the server's first admin."""

    user_id: int | None
    expires_at: int


def insert_link(tx: Transaction, digest: str, link: Link) -> None:
    """Note a link by its digest; earlier ones for the same person are dead."""
    tx.execute("delete from admin_links where user_id is :user_id", {"user_id": link.user_id})
    tx.execute(
        "insert into admin_links (digest, user_id, expires_at)"
        " values (:digest, :user_id, :expires_at)",
        {"digest": digest, **link._asdict()},
    )


def find_link(tx: Transaction, digest: str) -> Link | None:
    """A link that was given out and not used."""
    row = tx.fetch_one(
        "select user_id, expires_at from admin_links where digest = :digest", {"digest": digest}
    )
    return Link(*row) if row else None


def delete_first_links(tx: Transaction) -> None:
    """Nobody can become the first admin any more."""
    tx.execute("delete from admin_links where user_id is null", {})


def delete_link(tx: Transaction, digest: str) -> None:
    """A link was used."""
    tx.execute("delete from admin_links where digest = :digest", {"digest": digest})
