"""People who came in by a site's own accounts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from .writer import Transaction


@dataclass(frozen=True, slots=True)
class CameBySso:
    """Sessions that were theirs, by user, and who had a role on the site by it."""

    sessions: dict[int, list[str]]
    with_role: list[int]


def end_sso(tx: Transaction, site_id: int) -> CameBySso:
    """Nobody is in any more by a site's accounts, nor has a role by them."""
    # Subjects are "<site id>:…", and ";" is what follows ":".
    sessions = tx.fetch(
        "delete from sessions where method = 'sso' and user_id in (select user_id from identities"
        " where provider = 'sso' and subject >= :first and subject < :end)"
        " returning user_id, jti",
        {"first": f"{site_id}:", "end": f"{site_id};"},
    )
    roles = tx.fetch(
        "delete from roles where site_id = :site_id and granted_by = 'sso' returning user_id",
        {"site_id": site_id},
    )
    by_user = groupby(sorted(sessions, key=lambda row: row["user_id"]), lambda row: row["user_id"])
    return CameBySso(
        {user_id: [row["jti"] for row in rows] for user_id, rows in by_user},
        [row["user_id"] for row in roles],
    )
