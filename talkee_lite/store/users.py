"""Users, their identities and roles."""

from __future__ import annotations

from collections.abc import Sequence

from ..models import User, UserKind
from .database import Database, Row
from .writer import Transaction

COLUMNS = (
    "id, mixin_user_id, mixin_identity_number, full_name, mvm_public_key, is_guest, lang,"
    " banned_until, created_at"
)


def prefixed_columns(alias: str) -> str:
    """The columns that `user_of` reads, in a query that gives `users` another name."""
    return ", ".join(f"{alias}.{column}" for column in COLUMNS.split(", "))


def user_of(row: Row) -> User:
    """The user that a row of `users` holds."""
    return User(
        id=row["id"],
        mixin_user_id=row["mixin_user_id"],
        mixin_identity_number=row["mixin_identity_number"],
        full_name=row["full_name"],
        mvm_public_key=row["mvm_public_key"],
        is_guest=bool(row["is_guest"]),
        lang=row["lang"],
        banned_until=row["banned_until"],
        created_at=row["created_at"],
    )


def insert_user(
    tx: Transaction,
    *,
    provider: str,
    subject: str,
    mixin_user_id: str,
    full_name: str,
    name_folded: str,
    name_skeleton: str,
    is_guest: bool,
    lang: str,
    now: int,
) -> User:
    """A new user with their first identity."""
    row = tx.fetch_one(
        "insert into users (mixin_user_id, full_name, name_folded, name_skeleton, is_guest, lang,"
        " created_at, updated_at) values (:mixin_user_id, :full_name, :name_folded,"
        " :name_skeleton, :is_guest, :lang, :now, :now) returning " + COLUMNS,
        {
            "mixin_user_id": mixin_user_id,
            "full_name": full_name,
            "name_folded": name_folded,
            "name_skeleton": name_skeleton,
            "is_guest": int(is_guest),
            "lang": lang,
            "now": now,
        },
    )
    assert row is not None
    user = user_of(row)
    tx.execute(
        "insert into identities (provider, subject, user_id, created_at)"
        " values (:provider, :subject, :user_id, :now)",
        {"provider": provider, "subject": subject, "user_id": user.id, "now": now},
    )
    return user


def update_name(
    tx: Transaction,
    user_id: int,
    *,
    full_name: str,
    name_folded: str,
    name_skeleton: str,
    now: int,
) -> User:
    """Give a user another name."""
    row = tx.fetch_one(
        "update users set full_name = :full_name, name_folded = :name_folded,"
        " name_skeleton = :name_skeleton, updated_at = :now where id = :id returning " + COLUMNS,
        {
            "id": user_id,
            "full_name": full_name,
            "name_folded": name_folded,
            "name_skeleton": name_skeleton,
            "now": now,
        },
    )
    assert row is not None
    return user_of(row)


def set_ban(tx: Transaction, user_id: int, *, until: int, reason: str, now: int) -> User | None:
    """Ban a user until a time, 0: not at all; None if there is no such user."""
    row = tx.fetch_one(
        "update users set banned_until = :until, ban_reason = :reason, updated_at = :now"
        " where id = :id returning " + COLUMNS,
        {"id": user_id, "until": until, "reason": reason, "now": now},
    )
    return user_of(row) if row else None


async def list_users(db: Database, folded: str, after_id: int, most: int) -> list[User]:
    """Users by id, from behind `after_id`, whose folded name begins with `folded`."""
    rows = await db.fetch(
        f"select {COLUMNS} from users where id > :after_id and deleted_at is null"
        " and substr(name_folded, 1, :length) = :folded order by id limit :most",
        {"after_id": after_id, "folded": folded, "length": len(folded), "most": most},
    )
    return [user_of(row) for row in rows]


async def find_users(db: Database, user_ids: Sequence[int]) -> list[User]:
    """The users with these ids, in no order; unknown ids are left out."""
    names = {f"id{n}": user_id for n, user_id in enumerate(user_ids)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await db.fetch(f"select {COLUMNS} from users where id in ({marks})", names)
    return [user_of(row) for row in rows]


def find_user(tx: Transaction, user_id: int) -> User | None:
    """The user with this id."""
    row = tx.fetch_one(f"select {COLUMNS} from users where id = :id", {"id": user_id})
    return user_of(row) if row else None


async def has_published(db: Database, user_id: int) -> bool:
    """Whether the user has written anything that others can see."""
    row = await db.fetch_one(
        "select 1 from users where id = :id and deleted_at is null and (exists"
        " (select 1 from messages where user_id = :id"
        " and status = 'published') or exists (select 1 from comments where user_id = :id"
        " and status = 'published') or exists (select 1 from replies where user_id = :id"
        " and status = 'published'))",
        {"id": user_id},
    )
    return row is not None


async def list_roles(db: Database) -> dict[tuple[int, int], UserKind]:
    """(site id, user id) → role; site 0 stands for every site."""
    rows = await db.fetch("select site_id, user_id, role from roles", {})
    return {(row["site_id"], row["user_id"]): UserKind(row["role"]) for row in rows}


def sweep_guests(tx: Transaction, *, before: int, most: int) -> list[int]:
    """Remove guests who came before `before`, never wrote and hold no session; their ids."""
    rows = tx.fetch(
        "select id from users where is_guest = 1 and created_at < :before"
        " and merged_into is null"
        " and not exists (select 1 from messages where messages.user_id = users.id)"
        " and not exists (select 1 from comments where comments.user_id = users.id)"
        " and not exists (select 1 from replies where replies.user_id = users.id)"
        " and not exists (select 1 from favourites where favourites.user_id = users.id)"
        " and not exists (select 1 from sessions where sessions.user_id = users.id)"
        " and not exists (select 1 from users as other where other.merged_into = users.id)"
        " limit :most",
        {"before": before, "most": most},
    )
    for row in rows:
        tx.execute("delete from identities where user_id = :id", {"id": row["id"]})
        tx.execute("delete from roles where user_id = :id", {"id": row["id"]})
        tx.execute("delete from users where id = :id", {"id": row["id"]})
    return [row["id"] for row in rows]
