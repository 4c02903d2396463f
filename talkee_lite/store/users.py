"""Users, their identities and roles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..models import User
from ..names import name_keys
from ..text import fold_name
from .database import Database, Row
from .writer import Transaction

COLUMNS = (
    "id, mixin_user_id, mixin_identity_number, full_name, mvm_public_key, is_guest, lang,"
    " banned_until, created_at, avatar_url"
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
        avatar_url=row["avatar_url"],
    )


class Profile(NamedTuple):
    """What a way to sign in tells of somebody; where it has no `mixin_user_id`, one of ours."""

    mixin_user_id: str
    mixin_identity_number: str
    mvm_public_key: str
    avatar_url: str


def insert_user(
    tx: Transaction, name: str, profile: Profile, *, is_guest: bool, lang: str, now: int
) -> User:
    """A new user, whom nobody can come in as yet."""
    row = tx.fetch_one(
        "insert into users (mixin_user_id, mixin_identity_number, mvm_public_key, avatar_url,"
        " full_name, name_folded, name_skeleton, name_caseless, is_guest, lang, created_at,"
        " updated_at) values (:mixin_user_id, :mixin_identity_number, :mvm_public_key,"
        " :avatar_url, :full_name, :folded, :look, :case, :is_guest, :lang, :now, :now)"
        " returning " + COLUMNS,
        {
            **profile._asdict(),
            **_named(name),
            "is_guest": int(is_guest),
            "lang": lang,
            "now": now,
        },
    )
    assert row is not None
    return user_of(row)


def become_member(
    tx: Transaction, user_id: int, name: str, profile: Profile, *, lang: str, now: int
) -> User:
    """A guest has proved who they are: nothing that they were as a guest counts as proof."""
    tx.execute("delete from identities where user_id = :id", {"id": user_id})
    row = tx.fetch_one(
        "update users set mixin_user_id = :mixin_user_id,"
        " mixin_identity_number = :mixin_identity_number, mvm_public_key = :mvm_public_key,"
        " avatar_url = :avatar_url, full_name = :full_name, name_folded = :folded,"
        " name_skeleton = :look, name_caseless = :case, is_guest = 0,"
        " lang = case when :lang = '' then lang else :lang end, updated_at = :now"
        " where id = :id returning " + COLUMNS,
        {"id": user_id, **profile._asdict(), **_named(name), "lang": lang, "now": now},
    )
    assert row is not None
    return user_of(row)


def _named(name: str) -> dict[str, str]:
    keys = name_keys(name)
    return {
        "full_name": name,
        "folded": fold_name(name),
        "look": keys.by_look,
        "case": keys.by_case,
    }


def update_name(tx: Transaction, user_id: int, name: str, now: int) -> User:
    """Give a user another name."""
    row = tx.fetch_one(
        "update users set full_name = :full_name, name_folded = :folded, name_skeleton = :look,"
        " name_caseless = :case, updated_at = :now where id = :id returning " + COLUMNS,
        {"id": user_id, "now": now, **_named(name)},
    )
    assert row is not None
    return user_of(row)


def update_avatar(tx: Transaction, user_id: int, avatar_url: str, now: int) -> User:
    """Give a user another picture; "": the one that is drawn here."""
    row = tx.fetch_one(
        "update users set avatar_url = :avatar_url, updated_at = :now where id = :id returning "
        + COLUMNS,
        {"id": user_id, "avatar_url": avatar_url, "now": now},
    )
    assert row is not None
    return user_of(row)


_PUBLISHED = (
    "(exists (select 1 from messages where user_id = users.id and status = 'published')"
    " or exists (select 1 from comments where user_id = users.id and status = 'published')"
    " or exists (select 1 from replies where user_id = users.id and status = 'published'))"
)


def is_name_taken(tx: Transaction, name: str, *, but: int, of_any_member: bool) -> bool:
    """Whether a name passes for that of a member who is not user `but`.

    Members count who are staff or have published something, or, `of_any_member`, all.
    """
    counts = (
        "1"
        if of_any_member
        else f"(exists (select 1 from roles where user_id = users.id) or {_PUBLISHED})"
    )
    keys = name_keys(name)
    row = tx.fetch_one(
        # Each by an index of its own.
        "select 1 from users where is_guest = 0 and name_skeleton = :look and id != :but"
        f" and {counts} union all select 1 from users where is_guest = 0"
        f" and name_caseless = :case and id != :but and {counts} limit 1",
        {"look": keys.by_look, "case": keys.by_case, "but": but},
    )
    return row is not None


def list_member_names(tx: Transaction, after_id: int, most: int) -> list[tuple[int, str]]:
    """Ids and names of members with ids above `after_id`."""
    rows = tx.fetch(
        "select id, full_name from users where is_guest = 0 and id > :after_id"
        " and deleted_at is null order by id limit :most",
        {"after_id": after_id, "most": most},
    )
    return [(row["id"], row["full_name"]) for row in rows]


def update_keys(tx: Transaction, members: Sequence[tuple[int, str]]) -> None:
    """Make the keys of names anew."""
    tx.execute_many(
        "update users set name_folded = :folded, name_skeleton = :look, name_caseless = :case"
        " where id = :id and full_name = :full_name",
        [{"id": user_id, **_named(name)} for user_id, name in members],
    )


def set_ban(tx: Transaction, user_id: int, *, until: int, reason: str, now: int) -> User | None:
    """Ban a user until a time, 0: not at all; None if there is no such user."""
    row = tx.fetch_one(
        "update users set banned_until = :until, ban_reason = :reason, updated_at = :now"
        " where id = :id and deleted_at is null returning " + COLUMNS,
        {"id": user_id, "until": until, "reason": reason, "now": now},
    )
    return user_of(row) if row else None


async def find_ban_reasons(db: Database, user_ids: Sequence[int]) -> dict[int, str]:
    """Why these users were banned."""
    names = {f"id{n}": user_id for n, user_id in enumerate(user_ids)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await db.fetch(f"select id, ban_reason from users where id in ({marks})", names)
    return {row["id"]: row["ban_reason"] for row in rows}


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


def find_guest(tx: Transaction, user_id: int) -> User | None:
    """The guest with this id, if they are here still: not a member, nobody's, not gone."""
    row = tx.fetch_one(
        f"select {COLUMNS} from users where id = :id and is_guest = 1 and deleted_at is null"
        " and merged_into is null",
        {"id": user_id},
    )
    return user_of(row) if row else None


async def has_published(db: Database, user_id: int) -> bool:
    """Whether the user has written anything that others can see."""
    row = await db.fetch_one(
        f"select 1 from users where id = :id and deleted_at is null and {_PUBLISHED}",
        {"id": user_id},
    )
    return row is not None


def sweep_guests(tx: Transaction, *, before: int, most: int) -> list[int]:
    """Remove guests who came before `before`, never wrote and hold no session; their ids."""
    rows = tx.fetch(
        "select id from users where is_guest = 1 and created_at < :before"
        " and merged_into is null and deleted_at is null"
        " and not exists (select 1 from messages where messages.user_id = users.id)"
        " and not exists (select 1 from comments where comments.user_id = users.id)"
        " and not exists (select 1 from comments where comments.kept_by = users.id)"
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
