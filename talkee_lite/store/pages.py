"""Pages: what is known of them, what stands below them in numbers, and where they moved.

Counts are kept in the transaction that changes them: what is listed on a page, what is published
on it, and its revision, which grows with each change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..models import Page, RoomKey
from .database import Database, Row
from .writer import Transaction

PAGE_ID = "(select id from pages where site_id = :site_id and slug = :slug)"
"""The id of a page by `where(room)`, inside another query."""


def where(room: RoomKey, **more: Any) -> dict[str, Any]:
    """The parameters that name a page, and others."""
    return {"site_id": room.site_id, "slug": room.slug, **more}


def find_page(tx: Transaction, room: RoomKey) -> Row | None:
    """The page's row: `id`, `closed`, `revision`; None before anything was stored on it."""
    return tx.fetch_one(
        "select id, closed, revision from pages where site_id = :site_id and slug = :slug",
        where(room),
    )


def make_page(tx: Transaction, room: RoomKey, now: int) -> Row:
    """The row of a page that is new."""
    row = tx.fetch_one(
        "insert into pages (site_id, slug, created_at) values (:site_id, :slug, :now)"
        " returning id, closed, revision",
        where(room, now=now),
    )
    assert row is not None
    return row


def change_page(
    tx: Transaction, page_id: int, *, changes: int, listed: int = 0, published: int = 0
) -> int:
    """Count `changes` more of a page's comments, and what they add to its counts.

    The revision of the first of them.
    """
    row = tx.fetch_one(
        "update pages set revision = revision + :changes, comment_total = comment_total + :listed,"
        " published_count = published_count + :published where id = :id returning revision",
        {"id": page_id, "changes": changes, "listed": listed, "published": published},
    )
    assert row is not None
    return int(row["revision"]) - changes + 1


async def read_page(db: Database, room: RoomKey) -> Page | None:
    """What is known of a page; None before anything was stored on it."""
    row = await db.fetch_one(
        "select address, title from pages where site_id = :site_id and slug = :slug", where(room)
    )
    return Page(row["address"], row["title"]) if row else None


def learn_page(tx: Transaction, room: RoomKey, page: Page) -> None:
    """Note a page's address and its title, each if it is not known yet."""
    tx.execute(
        "update pages set address = case address when '' then :address else address end,"
        " title = case title when '' then :title else title end"
        " where site_id = :site_id and slug = :slug",
        where(room, address=page.address, title=page.title),
    )


def describe_page(tx: Transaction, room: RoomKey, address: str | None, title: str | None) -> bool:
    """Set a page's address and title, None: leave it; False if there is no such page."""
    changed = tx.execute(
        "update pages set address = coalesce(:address, address), title = coalesce(:title, title)"
        " where site_id = :site_id and slug = :slug",
        where(room, address=address, title=title),
    )
    return bool(changed)


async def list_moves(db: Database) -> dict[RoomKey, RoomKey]:
    """Where pages have moved."""
    rows = await db.fetch(
        "select old.site_id, old.slug, new.slug as new_slug from pages as old"
        " join pages as new on new.id = old.moved_to",
        {},
    )
    return {
        RoomKey(row["site_id"], row["slug"]): RoomKey(row["site_id"], row["new_slug"])
        for row in rows
    }


def move_page(tx: Transaction, old: RoomKey, new: RoomKey, now: int) -> int | None:
    """Give `new` all comments of `old`, and whoever asks for `old` what is below `new`.

    The revision that both have then; None if nothing was ever stored on `old`. A page that had
    moved away and is moved to takes new things again. The title goes along, not the address.
    """
    source = find_page(tx, old)
    if source is None:
        return None
    target = find_page(tx, new) or make_page(tx, new, now)
    ids = {"old": source["id"], "new": target["id"]}
    for some in ("listed = 1", "status = 'pending'"):  # what is gone stays where it was
        tx.execute(f"update comments set page_id = :new where page_id = :old and {some}", ids)
    revision = int(max(source["revision"], target["revision"])) + 1
    tx.execute(
        "update pages set revision = :revision,"
        " closed = case when moved_to is null then closed else 0 end, moved_to = null,"
        " title = case title when '' then (select title from pages where id = :old) else title end,"
        " comment_total = comment_total + (select comment_total from pages where id = :old),"
        " published_count = published_count + (select published_count from pages where id = :old)"
        " where id = :new",
        ids | {"revision": revision},
    )
    tx.execute(
        "update pages set revision = :revision, comment_total = 0, published_count = 0,"
        " moved_to = :new where id = :old",
        ids | {"revision": revision},
    )
    # Nobody is sent twice: what moved here before goes on to the new page at once.
    tx.execute("update pages set moved_to = :new where moved_to = :old and id != :new", ids)
    return revision


async def count_pages(db: Database, site_id: int, slugs: Sequence[str]) -> Mapping[str, int]:
    """Slug → how many comments and replies are published there; pages without any are left out."""
    names = {f"slug{n}": slug for n, slug in enumerate(slugs)}
    marks = ", ".join(f":{name}" for name in names)
    rows = await db.fetch(
        f"select slug, published_count from pages where site_id = :site_id and slug in ({marks})",
        {"site_id": site_id, **names},
    )
    return {row["slug"]: row["published_count"] for row in rows}
