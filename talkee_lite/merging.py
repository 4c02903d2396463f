"""Rules for guests who turn out to be somebody: what they wrote becomes that person's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .clock import Clock
from .comment_changes import unfavour, updated
from .models import Changed, Comment, Reply, RoomKey, Several, Status, User
from .people import People
from .personal import pieces
from .store import merging as store
from .store import personal
from .store.database import Database
from .store.personal import Traces
from .store.writer import Transaction

_Find = Callable[[Transaction, int], tuple[RoomKey, Comment | Reply]]


class Merging:
    """Gives what a guest wrote to the member that they are.

    It goes in slices, so that nobody else waits long. If the server stops in between, `resume`
    does the rest.
    """

    def __init__(self, db: Database, people: People, clock: Clock) -> None:
        self._db = db
        self._people = people
        self._clock = clock

    def begin(self, tx: Transaction, guest: User, user: User, now: int) -> bool:
        """From now on the guest is the member; False for one that is banned, who stays apart."""
        if guest.banned_until > now:
            return False
        store.merge_user(tx, guest.id, user.id, now)
        return True

    async def finish(self, guest_id: int, user_id: int) -> None:
        """Give the member all that the guest wrote, and empty the guest's row."""
        # Whatever was asked for before this is written before what follows.
        self._people.leaves(guest_id)
        await self._db.write(lambda tx: None)
        await self._people.load([user_id])
        traces = await personal.find_traces(self._db, guest_id)
        for piece in pieces(traces):
            await self._db.write(partial(_take, piece, guest_id, user_id))
        now = self._clock()
        emptied = await self._db.write(lambda tx: personal.empty_user(tx, guest_id, now))
        self._people.remember(emptied)

    async def resume(self) -> None:
        """Finish what a stop of the server left undone."""
        for guest_id, user_id in await store.list_unfinished(self._db):
            await self.finish(guest_id, user_id)

    async def settle(self, user_id: int) -> None:
        """Finish what is on its way to somebody who is leaving. Nothing more begins then."""
        # What began before they were known to be leaving is written when this is.
        await self._db.write(lambda tx: None)
        for guest_id, member_id in await store.list_unfinished(self._db):
            if member_id == user_id:
                await self.finish(guest_id, user_id)


def _take(piece: Traces, guest_id: int, user_id: int, tx: Transaction) -> Several:
    return Several(list(_changes(piece, guest_id, user_id, tx)))


def _changes(piece: Traces, guest_id: int, user_id: int, tx: Transaction) -> Iterator[Any]:
    finds: list[tuple[str, Sequence[int], _Find]] = [
        ("comments", piece.comments, personal.find_comment),
        ("replies", piece.replies, personal.find_reply),
    ]
    for table, ids, find in finds:
        for text_id in ids:
            room, text = find(tx, text_id)
            if text.user_id == guest_id and text.status is not Status.DELETED:
                store.take_text(tx, table, text_id, user_id)
                yield Changed(None, room, [updated(tx, room, replace(text, user_id=user_id))])
    for comment_id in piece.favourites:
        room, comment = personal.find_comment(tx, comment_id)
        if store.take_favourite(tx, comment_id, guest_id, user_id):
            # Nothing is to be seen of it, but to them.
            is_shown = comment.status is Status.PUBLISHED
            yield Changed(None, room, [updated(tx, room, comment)] if is_shown else [])
        else:
            yield Changed(None, room, unfavour(tx, room, comment_id, guest_id))
    for comment_id in piece.kept:
        room, comment = personal.find_comment(tx, comment_id)
        store.take_kept(tx, comment_id, user_id)
        # Of one that was deleted it is not shown.
        is_shown = comment.status is not Status.DELETED
        told = updated(tx, room, replace(comment, kept_by=user_id)) if is_shown else None
        yield Changed(None, room, [told] if told else [])
    for room in piece.rooms:
        yield store.take_messages(tx, room, guest_id, user_id)
