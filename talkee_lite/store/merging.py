"""What a guest wrote becomes a member's."""

from __future__ import annotations

from ..models import Reassigned, RoomKey
from .database import Database
from .identities import delete_identities
from .writer import Transaction


def merge_user(tx: Transaction, guest_id: int, user_id: int, now: int) -> None:
    """A guest is this member from now on, and nobody comes in as the guest any more."""
    delete_identities(tx, guest_id)
    tx.execute(
        "update users set merged_into = :user_id, updated_at = :now where id = :guest_id",
        {"guest_id": guest_id, "user_id": user_id, "now": now},
    )


async def list_unfinished(db: Database) -> list[tuple[int, int]]:
    """Guests who are members but were not emptied yet, and which members."""
    rows = await db.fetch(
        "select id, merged_into from users where merged_into is not null"
        " and deleted_at is null order by id",
        {},
    )
    return [(row["id"], row["merged_into"]) for row in rows]


def take_messages(tx: Transaction, room: RoomKey, guest_id: int, user_id: int) -> Reassigned:
    """The guest's messages in a room become the member's. Erased ones have no author to show."""
    tx.execute(
        "update messages set user_id = :user_id where user_id = :guest_id"
        " and page_id = (select id from pages where site_id = :site_id and slug = :slug)"
        " and status != 'deleted'",
        {
            "user_id": user_id,
            "guest_id": guest_id,
            "site_id": room.site_id,
            "slug": room.slug,
        },
    )
    return Reassigned(room, guest_id, user_id)


def take_text(tx: Transaction, table: str, text_id: int, user_id: int) -> None:
    """A comment or reply becomes the member's; `table` says which."""
    assert table in ("comments", "replies")
    tx.execute(
        f"update {table} set user_id = :user_id where id = :id",
        {"id": text_id, "user_id": user_id},
    )


def take_kept(tx: Transaction, comment_id: int, user_id: int) -> None:
    """What the guest kept, the member kept."""
    tx.execute(
        "update comments set kept_by = :user_id where id = :id",
        {"id": comment_id, "user_id": user_id},
    )


def take_favourite(tx: Transaction, comment_id: int, guest_id: int, user_id: int) -> bool:
    """The guest's like becomes the member's; False if they like the comment already."""
    taken = tx.execute(
        "update or ignore favourites set user_id = :user_id"
        " where comment_id = :comment_id and user_id = :guest_id",
        {"comment_id": comment_id, "user_id": user_id, "guest_id": guest_id},
    )
    return taken > 0
