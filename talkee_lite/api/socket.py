"""One socket's life in its room: signing in, entering, what is missed, what is new.

It has no task of its own once it has entered: texts come by `take_text`, messages go by `deliver`,
and one sweeper for all looks after whatever is due.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..auth.tokens import TokenExpired
from ..closing import BANNED, EXPIRED, INTERNAL_ERROR, NOT_AUTH, REFUSED, TRY_LATER
from ..errors import Refused, Unavailable
from ..hub import Audience
from ..logs import log_event, short_address
from ..models import RoomKey, RoomState, User
from ..protocol import AuthFrame, auth_frame, event_frame, ready_frame, room_fields
from .frames import FramedConnection

if TYPE_CHECKING:
    from ..records import Record
    from .sockets import Sockets

_log = logging.getLogger(__name__)

_REPLAY_BYTES = 65536


class Connection(FramedConnection):
    """One socket in one room: silent until its `auth` frame is accepted."""

    __slots__ = (
        "_authenticating",
        "_event_ping_at",
        "_expires_at",
        "_opened_at",
        "_replaying",
        "_request_id",
        "address",
        "audience",
        "entered",
        "jti",
        "online",
        "room",
        "user_id",
    )

    def __init__(self, keeper: Sockets, room: RoomKey, address: str, request_id: str) -> None:
        super().__init__(keeper)
        self.room = room
        self._request_id = request_id
        self.address = address
        self.user_id = 0
        self.jti = ""
        self.audience = Audience.PLAIN
        self.online = 0
        self._authenticating: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._expires_at = 0
        self._event_ping_at = 0.0
        self._opened_at = self.heard_at
        self.entered = False
        """Whether the room's messages reach it: after a replay, for one that was away."""

    def opened(self) -> None:
        """Count among all connections."""
        self._keeper.add(self)

    def ended(self) -> None:
        """Leave the room."""
        self._keeper.hub.leave(self.room, self)

    def gone(self) -> None:
        """Leave everything, and note it in the log."""
        for task in (self._authenticating, self._replaying):
            if task is not None:
                task.cancel()
        self._keeper.remove(self)
        log_event(
            _log,
            logging.INFO,
            "socket closed",
            id=self._request_id,
            site=self.room.site_id,
            user=self.user_id or None,
            address=short_address(self.address),
            code=self._code,
            seconds=round(self._keeper.now() - self._opened_at, 1),
        )

    # Texts from the client.

    def take_text(self, text: bytes) -> None:
        """An `auth` frame, the first one or a renewed token; nothing else is understood."""
        if self._code:
            return
        auth = auth_frame(text)
        begun = self.entered or self._replaying is not None
        if auth is None:
            if self._authenticating is None and not begun:
                self.close(NOT_AUTH, "the first frame must be auth")
            else:
                self._complain("This frame was not understood.")
        elif self._authenticating is not None:
            # Sent before the first was answered: looked at after it.
            self._authenticating.add_done_callback(lambda _: self.take_text(text))
        elif not begun:
            self._authenticating = asyncio.create_task(self._guard(self._begin, auth))
        elif auth.token is None or not self.user_id:
            self._complain("To become a person, or a visitor, connect anew.")
        else:
            self._authenticating = asyncio.create_task(self._guard(self._identify, auth))

    def _complain(self, sentence: str) -> None:
        """Tell a client that asked for events; others are not disturbed."""
        if self.audience is not Audience.PLAIN:
            self._write(event_frame({"type": "error", "error": "bad_frame", "msg": sentence}))

    async def _guard(self, work: Callable[[AuthFrame], Awaitable[object]], auth: AuthFrame) -> None:
        """Run what an `auth` frame asks for, and close by the rules if it fails."""
        try:
            await work(auth)
        except TokenExpired:
            self.close(EXPIRED, "token expired")
        except Unavailable:
            self.close(TRY_LATER, "try again later")
        except Refused:
            self.close(REFUSED, "token refused")
        except Exception:
            _log.exception("socket failed id=%s", self._request_id)
            self.close(INTERNAL_ERROR, "internal error")
        finally:
            if self._authenticating is asyncio.current_task():
                self._authenticating = None

    async def _identify(self, auth: AuthFrame) -> User | None:
        """Take the token's session, if it may be here; else the connection is closed."""
        caller = await self._keeper.tokens.identify(auth.token or "")
        if self._code:
            return None
        if caller.user.banned_until > self._keeper.clock():
            self.close(BANNED, "banned")
            return None
        if self.user_id and self.user_id != caller.user.id:
            self.close(REFUSED, "token of another person")
            return None
        self.jti, self._expires_at = caller.session.jti, caller.session.expires_at
        return caller.user

    async def _begin(self, auth: AuthFrame) -> None:
        """The first `auth` frame: find out who it is, then enter the room."""
        user = None
        if auth.token is not None:
            user = await self._identify(auth)
            if user is None:
                return
            self.user_id = user.id
            self._keeper.sign_in(self)
        elif not self._keeper.admit_visitor(self):
            self.close(TRY_LATER, "too many visitors")
            return
        self._deadline = 0.0
        if not auth.events:
            self._enter(Audience.PLAIN, 0)
        elif user is None and not self._keeper.sites.get(self.room.site_id).public_chat:
            record = await self._current_record()
            if self._code:
                return
            self._enter(Audience.VISITORS, 0, record.state.revision)
            self._write(
                ready_frame(
                    ping_interval=self._keeper.limits.ping_seconds,
                    online=self.online,
                    revision=record.state.revision,
                )
            )
        else:
            await self._enter_with_events(auth)

    async def _enter_with_events(self, auth: AuthFrame) -> None:
        """`ready`, then what was missed, then what is new: nothing lost, nothing doubled.

        Between the look at the record's position and the joining nothing is awaited, so that the
        next line published is the first that comes live.
        """
        chat, room = self._keeper.chat, self.room
        record = await self._current_record()
        if self._code:
            return
        missed = chat.missed_since(record, auth.since) if auth.since else 0
        recovered = missed is not None if auth.since else None
        if not missed:
            self._enter(Audience.EVENTS, record.seq, record.state.revision)
        else:
            self.online = self._keeper.hub.online_with(room, self.user_id)
        user = self._keeper.people.profile(room.site_id, self.user_id) if self.user_id else None
        self._write(
            ready_frame(
                ping_interval=self._keeper.limits.ping_seconds,
                online=self.online,
                user=user,
                position=(chat.epoch, record.seq),
                recovered=recovered,
                room=record.state,
                revision=record.state.revision,
            )
        )
        if missed:
            # Long as it may take, the token can be renewed meanwhile.
            self.audience = Audience.EVENTS
            self._replaying, self._authenticating = self._authenticating, None
            await self._replay(record.seq - missed, record.state)
            self._replaying = None

    async def _current_record(self) -> Record:
        """The room's record as of now: until something is awaited it follows every commit."""
        chat = self._keeper.chat
        record = await chat.load_record(self.room)
        while not chat.is_current(self.room, record):
            record = await chat.load_record(self.room)
        return record

    async def _replay(self, seq: int, told_state: RoomState) -> None:
        """Send the record from behind `seq` at the reader's pace, then join."""
        chat, room = self._keeper.chat, self.room
        while not self._code:
            if self._paused_at:
                self._drained = asyncio.get_running_loop().create_future()
                await self._drained
                continue
            frames, seq = await chat.replay(room, seq, _REPLAY_BYTES)
            if frames:
                self._write(frames)
                continue
            record = await chat.load_record(room)
            if chat.is_current(room, record) and record.seq == seq and not self._code:
                told = self.online
                self._enter(Audience.EVENTS, seq, record.state.revision)
                self.online = told
                if room_fields(record.state) != room_fields(told_state):
                    self._write(event_frame({"type": "room", **room_fields(record.state)}))
                return

    def _enter(self, audience: Audience, seq: int, revision: int = 0) -> None:
        self.audience = audience
        self.entered = True
        self._event_ping_at = self._keeper.now() + self._keeper.limits.ping_seconds
        self._keeper.hub.join(self.room, self, seq, revision)

    # To the client.

    def deliver(self, data: bytes) -> None:
        """Send frames, unless the client is closing or too slow for its own good."""
        if self._code or self._transport is None:
            return
        if self._paused_at and not self._keeper.may_wait(self, len(data)):
            return
        # As `_write`, without a call: most of a large room's time is spent here.
        self._written += len(data)
        try:
            self._transport.write(data)
        except Exception:
            self.cut()

    # Called by the sweeper.

    def look_after(self, now: float, wall: int) -> None:
        """Whatever is due: an expired token, a sign of life that a page can see, and the rest."""
        if self._expires_at and wall >= self._expires_at and not self._code:
            self.close(EXPIRED, "token expired")
            return
        super().look_after(now, wall)
        is_well = not (self._code or self._paused_at or self._pinged_at)
        if is_well and self.entered and self.audience is not Audience.PLAIN:
            self._ping_page(now)

    def _ping_page(self, now: float) -> None:
        """A sign of life that a page can see, with the position to check for holes."""
        if now >= self._event_ping_at and not self._keeper.hub.is_busy(self.room):
            self._event_ping_at = now + self._keeper.limits.ping_seconds
            known = self.audience is Audience.EVENTS
            seq = self._keeper.hub.position(self.room) if known else None
            revision = self._keeper.hub.revision(self.room)
            ping = {"type": "ping", "seq": seq, "comments_revision": revision}
            self._write(event_frame(ping))
