"""The newest comments and replies, of a page or of a site.

Lists by time exist for each page and each comment. What is newest on a site is found among the
latest of all; only where too little of it stands there, page by page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models import Status
from .database import Row, Snapshot

_LATEST = 20_000
"""Ids that are looked through before the pages are."""


@dataclass(frozen=True, slots=True)
class Written:
    """A comment, or a reply (`reply_id`) to it, with where it stands and who wrote it.

    `name` is that of the author, `address` and `title` what is known of the page.
    """

    comment_id: int
    reply_id: int
    user_id: int
    name: str
    html: str
    status: Status
    created_at: int
    updated_at: int
    slug: str
    address: str
    title: str


def _written(row: Row) -> Written:
    return Written(
        comment_id=row["comment_id"],
        reply_id=row["reply_id"],
        user_id=row["user_id"],
        name=row["full_name"],
        html=row["html"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        slug=row["slug"],
        address=row["address"],
        title=row["title"],
    )


_COMMENT = (
    "c.id as comment_id, 0 as reply_id, c.user_id, u.full_name, c.html, c.status, c.created_at,"
    " c.updated_at, p.slug, p.address, p.title"
)
_REPLY = (
    "r.comment_id, r.id as reply_id, r.user_id, u.full_name, r.html, r.status, r.created_at,"
    " r.updated_at, p.slug, p.address, p.title"
)
# `{of}`: one page or one site. `cross join` keeps SQLite from taking the tables in another order
# (sqlite.org/optoverview.html).
_LATEST_COMMENTS = (
    f"select {_COMMENT} from comments as c cross join pages as p cross join users as u"
    " where c.id > (select max(id) from comments) - :latest and c.status = 'published'"
    " and p.id = c.page_id and p.site_id = :site_id and u.id = c.user_id"
    " order by c.id desc limit :most"
)
_COMMENTS_EVERYWHERE = (
    f"select {_COMMENT} from pages as p cross join comments as c cross join users as u"
    " where {of} and p.published_count > 0 and c.id in"
    " (select newest.id from comments as newest where newest.page_id = p.id"
    " and newest.listed = 1 and newest.status = 'published'"
    " order by newest.created_at desc, newest.id desc limit :most)"
    " and u.id = c.user_id order by c.created_at desc, c.id desc limit :most"
)
_LATEST_REPLIES = (
    f"select {_REPLY} from replies as r cross join comments as c cross join pages as p"
    " cross join users as u"
    " where r.id > (select max(id) from replies) - :latest and r.status = 'published'"
    " and c.id = r.comment_id and p.id = c.page_id and p.site_id = :site_id and u.id = r.user_id"
    " order by r.id desc limit :most"
)
_REPLIES_EVERYWHERE = (
    f"select {_REPLY} from pages as p cross join comments as c cross join replies as r"
    " cross join users as u"
    " where {of} and p.published_count > 0 and c.page_id = p.id and c.listed = 1"
    " and c.reply_count > 0 and r.id in"
    " (select newest.id from replies as newest where newest.comment_id = c.id"
    " and newest.status = 'published' order by newest.created_at desc, newest.id desc limit :most)"
    " and u.id = r.user_id order by r.created_at desc, r.id desc limit :most"
)
_HELD_COMMENTS = (
    f"select {_COMMENT} from comments as c join pages as p on p.id = c.page_id"
    " join users as u on u.id = c.user_id"
    " where p.site_id = :site_id and c.status = 'pending' order by c.id desc limit :most"
)
_HELD_REPLIES = (
    f"select {_REPLY} from replies as r join comments as c on c.id = r.comment_id"
    " join pages as p on p.id = c.page_id join users as u on u.id = r.user_id"
    " where p.site_id = :site_id and r.status = 'pending' order by r.id desc limit :most"
)


async def list_newest(
    snapshot: Snapshot, site_id: int, page_id: int, most: int, *, held: bool = False
) -> Sequence[Written]:
    """What is published on a page (0: on the whole site), newest first, up to `most`.

    `held`: what waits for approval on the site too.
    """
    given = {"site_id": site_id, "page_id": page_id, "most": most, "latest": _LATEST}
    of = "p.id = :page_id" if page_id else "p.site_id = :site_id"
    rows: list[Row] = []
    for among_latest, everywhere in (
        (_LATEST_COMMENTS, _COMMENTS_EVERYWHERE),
        (_LATEST_REPLIES, _REPLIES_EVERYWHERE),
    ):
        found = [] if page_id else await snapshot.fetch(among_latest, given)
        if len(found) < most:
            found = await snapshot.fetch(everywhere.format(of=of), given)
        rows += found
    if held:
        rows += await snapshot.fetch(_HELD_COMMENTS, given)
        rows += await snapshot.fetch(_HELD_REPLIES, given)
    rows.sort(key=lambda row: (row["created_at"], row["comment_id"], row["reply_id"]), reverse=True)
    return [_written(row) for row in rows[:most]]
