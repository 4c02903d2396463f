"""Rules for what is stored about one person: they may have it, and have it taken away."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any

from .clock import Clock
from .comment_changes import erase_comment, erase_reply, unfavour
from .errors import LastAdmin
from .models import Changed, Several, Status, User
from .people import People
from .protocol import dump_json, rfc3339
from .sites import Sites
from .store import personal
from .store.database import Database
from .store.messages import remove_messages_of
from .store.personal import Traces
from .store.roles import is_last_admin
from .store.sessions import delete_sessions_of
from .store.writer import Transaction

_SIZES = (10, 100, 100, 100, 100)
"""Rooms, comments, replies, likes, kept comments that are dealt with in one transaction."""


EndSessions = Callable[[int, list[str]], set[str]]
Settle = Callable[[int], Awaitable[None]]


class Content(StrEnum):
    """What becomes of what somebody wrote when they leave."""

    KEEP = "keep"
    REMOVE = "remove"


class Personal:
    """What one person may ask for about themselves."""

    def __init__(
        self,
        db: Database,
        people: People,
        sites: Sites,
        *,
        end_sessions: EndSessions,
        settle: Settle,
        clock: Clock,
    ) -> None:
        """`end_sessions` is told whose sessions are not on record any more (Tokens.end_of);
        `settle` gives somebody what is to be theirs before they leave (Merging.settle)."""
        self._db = db
        self._people = people
        self._sites = sites
        self._end_sessions = end_sessions
        self._settle = settle
        self._clock = clock
        self._exporting = asyncio.Lock()

    async def export(self, user_id: int) -> bytes:
        """Everything that is stored about a user, as JSON. One at a time, in slices.

        Raises UserNotFound.
        """
        await self._people.get(user_id)
        async with self._exporting:
            parts = [b'{"exported_at":%b' % dump_json(rfc3339(self._clock()))]
            async with self._db.snapshot() as snapshot:
                about = await personal.read_about(snapshot, user_id)
                for name, rows in about.items():
                    shown = [_shown(row) for row in rows]
                    value = dump_json(shown[0] if name == "user" else shown)
                    parts.append(b',"%b":%b' % (name.encode(), value))
                for kind in personal.WRITTEN:
                    pieces = [
                        dump_json([_shown(row) for row in rows])[1:-1]
                        async for rows in personal.read_written(snapshot, kind, user_id)
                    ]
                    parts.append(b',"%b":[%b]' % (kind.encode(), b",".join(pieces)))
            return b"".join(parts) + b"}"

    async def leave(self, user_id: int, content: Content) -> set[str]:
        """Empty a user's row, after erasing what they wrote if so asked; the sessions that ended.

        What is removed goes in slices, so that nobody else waits long. If the server stops in
        between, some of it is gone, and the same call does the rest. Raises UserNotFound or
        LastAdmin.
        """
        await self._people.get(user_id)
        # Whatever was asked for before this is written before what follows.
        self._people.leaves(user_id)
        try:
            if await self._db.write(lambda tx: is_last_admin(tx, user_id)):
                raise LastAdmin
            await self._settle(user_id)
            if content is Content.REMOVE:
                await self._remove(user_id)
            emptied = await self._empty(user_id)
            if isinstance(emptied, LastAdmin):
                raise emptied
        except BaseException:
            self._people.stays(user_id)
            raise
        ended, user = emptied
        self._people.forget_roles(user_id)
        self._people.remember(user)
        self._sites.forget_owner(user_id)
        return self._end_sessions(user_id, ended)

    def _empty(self, user_id: int) -> Future[tuple[list[str], User] | LastAdmin]:
        now = self._clock()

        def job(tx: Transaction) -> tuple[list[str], User] | LastAdmin:
            if is_last_admin(tx, user_id):
                # Another left meanwhile.
                return LastAdmin()
            ended = delete_sessions_of(tx, user_id)
            return ended, personal.empty_user(tx, user_id, now)

        return self._db.write(job)

    async def _remove(self, user_id: int) -> None:
        traces = await personal.find_traces(self._db, user_id)
        for piece in pieces(traces):
            await self._db.write(partial(_erase, piece, user_id, self._clock()))


def pieces(traces: Traces) -> Iterator[Traces]:
    """The same in pieces that each take one transaction."""
    lists = (traces.rooms, traces.comments, traces.replies, traces.favourites, traces.kept)
    for number, (found, size) in enumerate(zip(lists, _SIZES, strict=True)):
        for start in range(0, len(found), size):
            parts: list[Sequence[Any]] = [()] * len(lists)
            parts[number] = found[start : start + size]
            yield Traces(*parts)


def _erase(piece: Traces, user_id: int, now: int, tx: Transaction) -> Several:
    return Several(list(_changes(piece, user_id, now, tx)))


def _changes(piece: Traces, user_id: int, now: int, tx: Transaction) -> Iterator[Any]:
    """Take everything in `piece` away, each from the page where it is now.

    What they kept of others is others'.
    """
    for comment_id in piece.comments:
        room, comment = personal.find_comment(tx, comment_id)
        if comment.status is not Status.DELETED:
            yield Changed(None, room, erase_comment(tx, room, comment, user_id, now))
    for reply_id in piece.replies:
        room, reply = personal.find_reply(tx, reply_id)
        if reply.status is not Status.DELETED:
            yield Changed(None, room, erase_reply(tx, room, reply, user_id, now))
    for comment_id in piece.favourites:
        room, _ = personal.find_comment(tx, comment_id)
        yield Changed(None, room, unfavour(tx, room, comment_id, user_id))
    for room in piece.rooms:
        yield remove_messages_of(tx, room, user_id, user_id, now)


def _shown(row: Mapping[str, Any] | Any) -> dict[str, Any]:
    """A row as an export shows it: times as RFC 3339, yes and no as such, no inner numbers."""
    shown: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118 - rows of SQLite have no other way
        value = row[name]
        if name == "position":
            continue
        if name.endswith("_at") or name == "banned_until":
            value = rfc3339(value) if value else None
        elif name in ("is_guest", "edited"):
            value = bool(value)
        shown[name] = value
    return shown
