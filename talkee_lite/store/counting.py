"""What is counted, counted anew: favourites and replies of comments, and what stands below pages.

What is off is looked for by a reader, in one pass over everything; only that is counted again in
the transaction that sets it right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..models import Recounted
from .database import Database
from .writer import Transaction

_WRONG_COMMENTS = (
    "with likes as (select comment_id, count(*) as number from favourites group by comment_id),"
    " answers as (select comment_id, count(*) as number from replies where status = 'published'"
    " group by comment_id) select c.id from comments as c"
    " left join likes on likes.comment_id = c.id left join answers on answers.comment_id = c.id"
    " where c.favor_count != coalesce(likes.number, 0)"
    " or c.reply_count != coalesce(answers.number, 0)"
)
_WRONG_PAGES = (
    "with own as (select page_id, sum(listed) as listed, sum(status = 'published') as published"
    " from comments group by page_id),"
    " answers as (select c.page_id, count(*) as number from replies as r"
    " join comments as c on c.id = r.comment_id where r.status = 'published' group by c.page_id)"
    " select p.id from pages as p left join own on own.page_id = p.id"
    " left join answers on answers.page_id = p.id"
    " where p.comment_total != coalesce(own.listed, 0)"
    " or p.published_count != coalesce(own.published, 0) + coalesce(answers.number, 0)"
)
# All that is published or has published replies is listed: that index finds it.
_COUNT_COMMENT = (
    "update comments set favor_count = (select count(*) from favourites as f"
    " where f.comment_id = comments.id), reply_count = (select count(*) from replies as r"
    " where r.comment_id = comments.id and r.status = 'published') where id = :id"
)
_COUNT_PAGE = (
    "update pages set comment_total = (select count(*) from comments as c"
    " where c.page_id = pages.id and c.listed = 1), published_count = (select count(*)"
    " from comments as c where c.page_id = pages.id and c.listed = 1 and c.status = 'published')"
    " + (select count(*) from comments as c join replies as r on r.comment_id = c.id"
    " where c.page_id = pages.id and c.listed = 1 and r.status = 'published') where id = :id"
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """Ids of comments and pages whose counts are off."""

    comments: Sequence[int]
    pages: Sequence[int]


async def find_wrong(db: Database) -> Wrong:
    """What is off now. It reads everything, beside whoever writes."""
    async with db.snapshot() as snapshot:
        comments = await snapshot.fetch(_WRONG_COMMENTS, {})
        pages = await snapshot.fetch(_WRONG_PAGES, {})
    return Wrong([row["id"] for row in comments], [row["id"] for row in pages])


def set_right(tx: Transaction, wrong: Wrong) -> Recounted:
    """Count these anew; how many comments and pages that were."""
    tx.execute_many(_COUNT_COMMENT, [{"id": number} for number in wrong.comments])
    tx.execute_many(_COUNT_PAGE, [{"id": number} for number in wrong.pages])
    return Recounted(len(wrong.comments), len(wrong.pages))
