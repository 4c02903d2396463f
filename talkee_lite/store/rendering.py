"""The HTML of comments and replies, made anew where the rules for it have changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models import RoomKey, Text
from .database import Database
from .meta import find_meta, set_meta
from .writer import Transaction

TABLES = ("comments", "replies")

_OLD = {
    "comments": (
        "select c.id, c.content, p.site_id, p.slug from comments as c"
        " join pages as p on p.id = c.page_id where p.site_id = :site_id and c.id > :after"
        " and c.status != 'deleted' and c.html_version != :version order by c.id limit :most"
    ),
    "replies": (
        "select r.id, r.content, p.site_id, p.slug from replies as r"
        " join comments as c on c.id = r.comment_id join pages as p on p.id = c.page_id"
        " where p.site_id = :site_id and r.id > :after and r.status != 'deleted'"
        " and r.html_version != :version order by r.id limit :most"
    ),
}


@dataclass(frozen=True, slots=True)
class Old:
    """A text whose HTML is of another version."""

    id: int
    content: str
    room: RoomKey


def _key(site_id: int) -> str:
    return f"html_version of site {site_id}"


async def read_version(db: Database, site_id: int) -> int:
    """The version that all texts of a site have; 0: not known."""
    return int(await find_meta(db, _key(site_id)) or 0)


def note_version(tx: Transaction, site_id: int, version: int) -> None:
    """All texts of a site have this version now."""
    set_meta(tx, _key(site_id), str(version))


async def find_old(
    db: Database, table: str, site_id: int, version: int, after: int, most: int
) -> list[Old]:
    """Texts of a site, in one of `TABLES`, whose HTML is of another version, by id."""
    rows = await db.fetch(
        _OLD[table], {"site_id": site_id, "version": version, "after": after, "most": most}
    )
    return [Old(row["id"], row["content"], RoomKey(row["site_id"], row["slug"])) for row in rows]


def replace_html(tx: Transaction, table: str, made: Sequence[tuple[Old, Text]]) -> None:
    """Store new HTML, but not over a text that was changed meanwhile."""
    tx.execute_many(
        f"update {table} set html = :html, html_version = :version"
        " where id = :id and content = :content and status != 'deleted'",
        [
            {"id": old.id, "content": old.content, "html": text.html, "version": text.version}
            for old, text in made
        ],
    )
