"""Roles: what somebody may decide on a site; site 0 stands for the server and all its sites."""

from __future__ import annotations

from typing import NamedTuple

from ..models import UserKind
from .database import Database
from .writer import Transaction


class Role(NamedTuple):
    """What somebody may, and who said so: "" the owner, else a way to sign in."""

    kind: UserKind
    granted_by: str


async def list_roles(db: Database) -> dict[tuple[int, int], UserKind]:
    """(site id, user id) → role."""
    rows = await db.fetch("select site_id, user_id, role from roles", {})
    return {(row["site_id"], row["user_id"]): UserKind(row["role"]) for row in rows}


def find_role(tx: Transaction, site_id: int, user_id: int) -> Role | None:
    """The role of a user on just this site."""
    row = tx.fetch_one(
        "select role, granted_by from roles where site_id = :site_id and user_id = :user_id",
        {"site_id": site_id, "user_id": user_id},
    )
    return Role(UserKind(row["role"]), row["granted_by"]) if row else None


def set_role(tx: Transaction, site_id: int, user_id: int, role: Role | None, now: int) -> None:
    """Give a user a role on a site, or take it away."""
    key = {"site_id": site_id, "user_id": user_id}
    if role is None:
        tx.execute("delete from roles where site_id = :site_id and user_id = :user_id", key)
        return
    tx.execute(
        "insert into roles (site_id, user_id, role, granted_by, created_at)"
        " values (:site_id, :user_id, :role, :granted_by, :now)"
        " on conflict (site_id, user_id) do update set role = :role, granted_by = :granted_by",
        {**key, "role": role.kind, "granted_by": role.granted_by, "now": now},
    )


def administers(tx: Transaction, user_id: int) -> bool:
    """Whether a user is admin of the server or of any site."""
    row = tx.fetch_one(
        "select 1 from roles where user_id = :user_id and role = 'admin'", {"user_id": user_id}
    )
    return row is not None


def is_admin(tx: Transaction, user_id: int) -> bool:
    """Whether a user is admin of the server."""
    role = find_role(tx, 0, user_id)
    return role is not None and role.kind is UserKind.ADMIN


def is_last_admin(tx: Transaction, user_id: int) -> bool:
    """Whether the server would have no admin without this user."""
    return is_admin(tx, user_id) and find_admin(tx, but=user_id) is None


def find_admin(tx: Transaction, *, but: int = 0) -> int | None:
    """The first admin of the server that is not user `but`."""
    row = tx.fetch_one(
        "select user_id from roles where site_id = 0 and role = 'admin' and user_id != :but"
        " order by created_at, user_id limit 1",
        {"but": but},
    )
    return int(row["user_id"]) if row else None
