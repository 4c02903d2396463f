"""Sessions: one row for each access token that counts."""

from __future__ import annotations

from ..models import Scope, Session, User
from .database import Database
from .users import prefixed_columns, user_of
from .writer import Transaction


def insert_session(
    tx: Transaction,
    *,
    jti: str,
    user_id: int,
    scope: Scope,
    method: str,
    now: int,
    expires_at: int,
) -> Session:
    """Put a token on record."""
    tx.execute(
        "insert into sessions (jti, user_id, scope, method, created_at, expires_at, last_used_at)"
        " values (:jti, :user_id, :scope, :method, :now, :expires_at, :now)",
        {
            "jti": jti,
            "user_id": user_id,
            "scope": scope,
            "method": method,
            "now": now,
            "expires_at": expires_at,
        },
    )
    return Session(jti, user_id, scope, expires_at, now, method)


async def find_session(db: Database, jti: str) -> tuple[Session, User] | None:
    """A token's session and whose it is, or None: signed out, swept, or never ours."""
    row = await db.fetch_one(
        "select s.user_id, s.scope, s.method, s.expires_at, s.last_used_at,"
        f" {prefixed_columns('u')} from sessions as s join users as u on u.id = s.user_id"
        " where s.jti = :jti",
        {"jti": jti},
    )
    if row is None:
        return None
    session = Session(
        jti,
        row["user_id"],
        Scope(row["scope"]),
        row["expires_at"],
        row["last_used_at"],
        row["method"],
    )
    return session, user_of(row)


def is_on_record(tx: Transaction, jti: str) -> bool:
    """Whether a session still counts."""
    return tx.fetch_one("select 1 from sessions where jti = :jti", {"jti": jti}) is not None


def delete_session(tx: Transaction, jti: str) -> list[str]:
    """Forget one session; the ids of those that were there."""
    rows = tx.fetch("delete from sessions where jti = :jti returning jti", {"jti": jti})
    return [row["jti"] for row in rows]


def delete_sessions_of(tx: Transaction, user_id: int, *, but: str = "") -> list[str]:
    """Forget every session of a user, but one perhaps; their ids."""
    rows = tx.fetch(
        "delete from sessions where user_id = :user_id and jti != :but returning jti",
        {"user_id": user_id, "but": but},
    )
    return [row["jti"] for row in rows]


def touch_session(tx: Transaction, jti: str, now: int) -> None:
    """Note that a session was used."""
    tx.execute("update sessions set last_used_at = :now where jti = :jti", {"jti": jti, "now": now})


def sweep_sessions(tx: Transaction, *, before: int) -> int:
    """Forget sessions that ended before `before`; how many."""
    return tx.execute("delete from sessions where expires_at < :before", {"before": before})
