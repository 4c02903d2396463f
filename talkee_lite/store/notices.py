"""What owners are told of: what is new since the last look, what waits, and how it goes.

The new is looked for behind a request's back, by readers, from the last id of each kind that was
seen; only what was found is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..clock import SECOND
from ..models import (
    Comment,
    Delivery,
    Entry,
    LogKind,
    Notice,
    NoticeKind,
    Page,
    Reply,
    RoomKey,
    Status,
)
from .comments import COMMENT, comment_of
from .database import Database, Row, Snapshot
from .replies import REPLY, reply_of
from .writer import Transaction

QUIET = 3600 * SECOND
"""A message in a room where nobody wrote for so long is told of."""
MOST_LOOKED_AT = 5000
"""Messages that one look passes: some 10 ms of a reader's time. Few of them are told of."""
MOST_FOUND = 500
"""Comments, and replies, that one look passes: each may become a row."""
MOST_WAITING = 10_000
"""Notices that may wait for one owner; one more, and the oldest is given up."""

_DELIVERY = (
    "channel, site_id, target, since, failures, next_try_at, last_error, failed_at, delivered_at,"
    " is_gone"
)
_WHOSE = "channel = :channel and site_id = :site_id"


def _delivery(row: Row) -> Delivery:
    return Delivery(
        channel=row["channel"],
        site_id=row["site_id"],
        target=row["target"],
        since=row["since"],
        failures=row["failures"],
        next_try_at=row["next_try_at"],
        last_error=row["last_error"],
        failed_at=row["failed_at"],
        delivered_at=row["delivered_at"],
        is_gone=bool(row["is_gone"]),
    )


# What is new.


class Seen(NamedTuple):
    """The last ids that were looked at."""

    comments: int
    replies: int
    messages: int


class Fresh(NamedTuple):
    """Something that one channel shall tell one site's owner of."""

    created_at: int
    kind: NoticeKind
    about: int
    channel: str
    site_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found up to `seen`, oldest first; `more` stands behind that."""

    seen: Seen
    fresh: Sequence[Fresh]
    more: bool


# The rows are those of a range of ids, whatever the planner thinks: a term with a + before it
# uses no index (sqlite.org/optoverview.html#disqualifying_where_clause_terms_using_unary_).
_WANTED = (
    " join deliveries as d on d.site_id = +p.site_id and d.is_gone = 0"
    " where new.id > :after and new.id <= :upto and new.created_at >= d.since"
    " and new.status in ('published', 'pending')"
)
_IN_ORDER = " order by new.id"
_SHOWN = "select new.created_at, new.id as about, d.channel, d.site_id from "
NEW_COMMENTS = (
    f"{_SHOWN} comments as new join pages as p on p.id = +new.page_id{_WANTED}{_IN_ORDER}"
)
NEW_REPLIES = (
    f"{_SHOWN} replies as new join comments as c on c.id = +new.comment_id"
    # Of a thread that was kept its comment is told.
    f" join pages as p on p.id = +c.page_id{_WANTED} and new.said_at is null{_IN_ORDER}"
)
# A line of the room's record, not far before the message: 50 deletions in a row count as quiet.
_LINE_BEFORE = (
    "coalesce((select log.created_at from room_log as log where log.page_id = new.page_id"
    " and log.seq < coalesce(new.seq, p.last_seq + 1)"
    " and log.seq >= coalesce(new.seq, p.last_seq + 1) - 50"
    " and log.kind in ('posted', 'approved') order by log.seq desc limit 1), 0)"
)
_HELD_BEFORE = (
    "coalesce((select e.created_at from messages as e where e.page_id = new.page_id"
    " and e.status != 'published' and e.status = 'pending' and e.id < new.id"
    " order by e.id desc limit 1), 0)"
)
# Whether somebody wrote on the site before: in this room, or in one of theirs. The rooms of a
# person are found one by one in the index; who wrote in a thousand is looked at no longer.
_WROTE_HERE = (
    "exists (select 1 from messages as e where e.user_id = new.user_id"
    " and e.page_id = new.page_id and e.id < new.id)"
)
_WROTE_ON_SITE = (
    "exists (with recursive rooms (page_id) as ("
    "select min(e.page_id) from messages as e where e.user_id = new.user_id union all"
    " select (select min(e.page_id) from messages as e where e.user_id = new.user_id"
    " and e.page_id > rooms.page_id) from rooms where rooms.page_id is not null limit 1000)"
    " select 1 from rooms join pages as r on r.id = rooms.page_id where r.site_id = p.site_id"
    " and exists (select 1 from messages as e where e.user_id = new.user_id"
    " and e.page_id = rooms.page_id and e.id < new.id))"
)
NEW_MESSAGES = (
    f"{_SHOWN} messages as new join pages as p on p.id = +new.page_id{_WANTED}"
    f" and (new.created_at - {_LINE_BEFORE} >= :quiet"
    f" and (new.seq is not null or new.created_at - {_HELD_BEFORE} >= :quiet)"
    f" or not {_WROTE_HERE} and not {_WROTE_ON_SITE}){_IN_ORDER}"
)
_KINDS = {
    NoticeKind.COMMENT: NEW_COMMENTS,
    NoticeKind.REPLY: NEW_REPLIES,
    NoticeKind.MESSAGE: NEW_MESSAGES,
}
_LAST_IDS = (
    "select (select coalesce(max(id), 0) from comments) as comments,"
    " (select coalesce(max(id), 0) from replies) as replies,"
    " (select coalesce(max(id), 0) from messages) as messages"
)


async def look(snapshot: Snapshot, seen: Seen) -> Found:
    """What is new behind `seen`: comments, replies, and first messages.

    A message is a first one if its author never wrote on the site before, or nobody in the room
    for an hour.
    """
    row = await snapshot.fetch_one(_LAST_IDS, {})
    assert row is not None
    last = Seen(row["comments"], row["replies"], row["messages"])
    reached, fresh = [], []
    for (kind, sql), after, newest in zip(_KINDS.items(), seen, last, strict=True):
        most = MOST_LOOKED_AT if kind is NoticeKind.MESSAGE else MOST_FOUND
        upto = max(after, min(newest, after + most))
        reached.append(upto)
        if upto == after:
            continue
        rows = await snapshot.fetch(sql, {"after": after, "upto": upto, "quiet": QUIET})
        fresh += [
            Fresh(row["created_at"], kind, row["about"], row["channel"], row["site_id"])
            for row in rows
        ]
    now_seen = Seen(*reached)
    return Found(now_seen, _by_time(fresh), any(a < b for a, b in zip(now_seen, last, strict=True)))


def _by_time(fresh: Sequence[Fresh]) -> list[Fresh]:
    """Across kinds by time; each kind keeps its order, whatever the clock did."""
    latest: dict[NoticeKind, int] = {}
    keyed = []
    for one in fresh:
        latest[one.kind] = max(latest.get(one.kind, 0), one.created_at)
        keyed.append((latest[one.kind], one))
    return [one for _, one in sorted(keyed, key=lambda pair: pair[0])]


def add_notices(tx: Transaction, found: Found, now: int) -> Mapping[tuple[str, int], int]:
    """Let what was found wait for its owners, and note how far one has looked.

    Channel and site → how many older ones were given up for it.
    """
    _note_seen(tx, found.seen)
    tx.execute_many(
        "insert into notices (channel, site_id, kind, about, noticed_at)"
        " select :channel, :site_id, :kind, :about, :now where exists"
        f" (select 1 from deliveries where {_WHOSE} and is_gone = 0)",
        [one._asdict() | {"now": now} for one in found.fresh],
    )
    given_up = {}
    for channel, site_id in {(one.channel, one.site_id) for one in found.fresh}:
        given_up[channel, site_id] = tx.execute(
            f"delete from notices where {_WHOSE} and id <= (select id from notices"
            f" where {_WHOSE} order by id desc limit 1 offset :most)",
            {"channel": channel, "site_id": site_id, "most": MOST_WAITING},
        )
    return given_up


def _note_seen(tx: Transaction, seen: Seen) -> None:
    for kind, last in zip(_KINDS, seen, strict=True):
        tx.execute(
            "insert into notice_cursors (kind, seen) values (:kind, :seen)"
            " on conflict (kind) do update set seen = :seen",
            {"kind": kind, "seen": last},
        )


# Who is told, and how it goes.


def set_targets(
    tx: Transaction,
    wanted: Mapping[tuple[str, int], str],
    works: tuple[str, int] | None,
    now: int,
) -> tuple[Sequence[Delivery], Seen]:
    """Tell from now on those owners whom `wanted` names: channel and site → where.

    Whose target is another one now gets there what waits; a new one starts with what is written
    from now on. That of `works` is tried again at once. All that stand now, and how far was
    looked.
    """
    rows = tx.fetch(f"select {_DELIVERY} from deliveries", {})
    earlier = {(row["channel"], row["site_id"]): _delivery(row) for row in rows}
    if all(delivery.is_gone for delivery in earlier.values()):
        # Nobody was told of anything: what is there is not new to anybody.
        last = tx.fetch_one(_LAST_IDS, {})
        assert last is not None
        _note_seen(tx, Seen(last["comments"], last["replies"], last["messages"]))
    for (channel, site_id), delivery in earlier.items():
        whose = {"channel": channel, "site_id": site_id, "now": now}
        target = wanted.get((channel, site_id))
        if target is None:
            tx.execute(f"delete from notices where {_WHOSE}", whose)
            tx.execute(f"delete from deliveries where {_WHOSE}", whose)
        elif target != delivery.target:
            _revive(tx, channel, site_id, now)
            tx.execute(
                f"update deliveries set target = :target where {_WHOSE}",
                whose | {"target": target},
            )
        elif (channel, site_id) == works:
            _revive(tx, channel, site_id, now)
    for (channel, site_id), target in wanted.items():
        tx.execute(
            "insert into deliveries (channel, site_id, target, since)"
            " values (:channel, :site_id, :target, :now) on conflict (channel, site_id) do nothing",
            {"channel": channel, "site_id": site_id, "target": target, "now": now},
        )
    rows = tx.fetch(f"select {_DELIVERY} from deliveries", {})
    seen = {row["kind"]: row["seen"] for row in tx.fetch("select * from notice_cursors", {})}
    return [_delivery(row) for row in rows], Seen(*(seen[kind] for kind in _KINDS))


def _revive(tx: Transaction, channel: str, site_id: int, now: int) -> None:
    """Forget that deliveries failed. One that was gone starts with what is written from now on."""
    tx.execute(
        "update deliveries set failures = 0, next_try_at = 0, last_error = '',"
        f" since = case when is_gone = 1 then :now else since end, is_gone = 0 where {_WHOSE}",
        {"channel": channel, "site_id": site_id, "now": now},
    )


async def find_delivery(db: Database, channel: str, site_id: int) -> tuple[Delivery, int] | None:
    """How a channel stands with a site's owner, and how many notices wait."""
    row = await db.fetch_one(
        f"select {_DELIVERY}, (select count(*) from notices as n where n.channel = d.channel"
        f" and n.site_id = d.site_id) as waiting from deliveries as d where {_WHOSE}",
        {"channel": channel, "site_id": site_id},
    )
    return (_delivery(row), row["waiting"]) if row else None


async def next_notice(db: Database, channel: str, site_id: int) -> tuple[Delivery, Notice] | None:
    """What has waited longest for a site's owner; None if nothing does."""
    row = await db.fetch_one(
        "select n.id, n.kind, n.about, n.noticed_at, d.* from notices as n join deliveries as d"
        " on d.channel = n.channel and d.site_id = n.site_id where n.channel = :channel"
        " and n.site_id = :site_id and d.is_gone = 0 order by n.id limit 1",
        {"channel": channel, "site_id": site_id},
    )
    if row is None:
        return None
    notice = Notice(
        id=row["id"],
        channel=channel,
        site_id=site_id,
        kind=NoticeKind(row["kind"]),
        about=row["about"],
        noticed_at=row["noticed_at"],
    )
    return _delivery(row), notice


def note_delivered(tx: Transaction, notice: Notice, now: int) -> None:
    """A notice has arrived."""
    remove_notice(tx, notice)
    tx.execute(
        "update deliveries set failures = 0, next_try_at = 0, last_error = '',"
        f" delivered_at = :now where {_WHOSE}",
        {"channel": notice.channel, "site_id": notice.site_id, "now": now},
    )


def remove_notice(tx: Transaction, notice: Notice) -> None:
    """A notice needs no telling any more."""
    tx.execute("delete from notices where id = :id", {"id": notice.id})


def note_failed(
    tx: Transaction,
    delivery: Delivery,
    *,
    error: str,
    next_try_at: int,
    give_up_before: int,
    now: int,
) -> int:
    """A delivery has failed; how many notices are given up, since they waited for too long."""
    whose = _whose(delivery)
    changed = tx.execute(
        "update deliveries set failures = failures + 1, next_try_at = :next_try_at,"
        f" last_error = :error, failed_at = :now where {_WHOSE} and target = :target",
        whose | {"next_try_at": next_try_at, "error": error, "now": now},
    )
    if not changed:
        return 0
    return tx.execute(
        f"delete from notices where {_WHOSE} and noticed_at < :before",
        whose | {"before": give_up_before},
    )


def note_gone(tx: Transaction, delivery: Delivery, error: str, now: int) -> int:
    """The other side wants nothing more; how many notices are given up."""
    whose = _whose(delivery)
    changed = tx.execute(
        "update deliveries set is_gone = 1, last_error = :error, failed_at = :now"
        f" where {_WHOSE} and target = :target",
        whose | {"error": error, "now": now},
    )
    return tx.execute(f"delete from notices where {_WHOSE}", whose) if changed else 0


def _whose(delivery: Delivery) -> dict[str, Any]:
    return {
        "channel": delivery.channel,
        "site_id": delivery.site_id,
        "target": delivery.target,
    }


# What a notice is about.


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written, and what is known of that page."""

    room: RoomKey
    page: Page


_PLACE = "p.site_id, p.slug, p.address, p.title"


def _place(row: Row) -> Place:
    return Place(RoomKey(row["site_id"], row["slug"]), Page(row["address"], row["title"]))


async def find_comment(db: Database, comment_id: int) -> tuple[Place, Comment] | None:
    """A comment and where it stands, whatever its status."""
    row = await db.fetch_one(
        f"select {COMMENT}, {_PLACE} from comments as c join pages as p on p.id = c.page_id"
        " where c.id = :id",
        {"id": comment_id},
    )
    return (_place(row), comment_of(row)) if row else None


async def find_reply(db: Database, reply_id: int) -> tuple[Place, Reply] | None:
    """A reply and where it stands, whatever its status."""
    row = await db.fetch_one(
        f"select {REPLY}, {_PLACE} from replies as r join comments as c on c.id = r.comment_id"
        " join pages as p on p.id = c.page_id where r.id = :id",
        {"id": reply_id},
    )
    return (_place(row), reply_of(row)) if row else None


async def find_message(db: Database, number: int) -> tuple[Place, Entry] | None:
    """The message of a row and where it stands, whatever its status."""
    row = await db.fetch_one(
        "select m.message_id, m.user_id, m.category, m.data, m.status,"
        f" coalesce(m.seq, 0) as seq, m.created_at, {_PLACE} from messages as m"
        " join pages as p on p.id = m.page_id where m.id = :id",
        {"id": number},
    )
    if row is None:
        return None
    entry = Entry(
        seq=row["seq"],
        kind=LogKind.POSTED,
        message_id=row["message_id"],
        category=row["category"],
        data=row["data"],
        created_at=row["created_at"],
        user_id=row["user_id"],
        status=Status(row["status"]),
        about_seq=row["seq"],
    )
    return _place(row), entry
