"""Finds what is new on sites whose owners want to know, and tells each by their channels.

Nothing of it stands in a request's way: a commit only wakes the dispatcher. It looks at what was
added, once a second at most, and writes down who is to be told of what; a task for each owner
tells one thing after the other, and tries again what fails. All of it is on the disk, so that
after a crash or a restart it goes on where it was; something may then be told twice.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from ..clock import DAY, SECOND, Clock
from ..errors import Unavailable
from ..logs import log_event
from ..models import Delivery, Notice
from ..people import People
from ..sites import Sites
from ..store import notices as store
from ..store.database import Database
from ..store.writer import Transaction
from .channel import Channel, NotDelivered
from .events import event_of, trial_event

_log = logging.getLogger(__name__)

T = TypeVar("T")

GIVE_UP_AFTER = 3 * DAY
"""What waited for so long is given up when a delivery fails."""
LONGEST_WAIT = DAY
"""Between two tries, whatever the other side wishes."""
_MOST_AT_ONCE = 64
_MOST_ERROR = 200
_SAVE_EVERY = 60 * SECOND
_AGAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between looks at what is new, and between tries to deliver it.

    The first wait after a failure, twice that after the next, up to the last; each by chance
    between its half and the whole. `check` is the longest that one sleeps without looking at the
    clock, which may be set.
    """

    look: float = 1.0
    first: float = 5.0
    last: float = 3600.0
    check: float = 60.0

    def wait(self, failures: int, wish: float) -> float:
        """How long to wait after so many failures in a row, if the other side wishes `wish`."""
        most = min(self.last, self.first * 2 ** min(failures - 1, 30))
        own = random.uniform(most / 2, most)
        return min(max(own, wish), LONGEST_WAIT / SECOND)


class _Sender:
    """Who tells one owner by one channel, and what wakes them."""

    __slots__ = ("news", "target", "task")

    def __init__(self, target: str) -> None:
        self.target = target
        self.news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


Key = tuple[str, int]
"""A channel's name and a site's id."""


class Dispatcher:
    """Tells sites' owners what is new, from `start` to `stop`."""

    def __init__(
        self,
        db: Database,
        sites: Sites,
        people: People,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        self.pace = Pace()
        self._db = db
        self._sites = sites
        self._people = people
        self._channels = channels
        self._clock = clock
        self._started = False
        self._news = asyncio.Event()
        self._lock = asyncio.Lock()
        """Held by whoever changes what follows."""
        self._targets: dict[Key, str] = {}
        self._seen = store.Seen(0, 0, 0)
        self._saved_at = 0
        self._senders: dict[Key, _Sender] = {}
        self._looking: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)

    async def start(self) -> None:
        """Begin to tell. Raises Unavailable."""
        self._started = True
        await self.refresh()
        self._looking = asyncio.create_task(self._keep_looking())
        self._news.set()

    def wake(self) -> None:
        """Something was committed."""
        if self._targets:
            self._news.set()

    async def refresh(self, works: Key | None = None) -> None:
        """Take over what the sites' settings say now, and that one delivery `works` again.

        Raises Unavailable.
        """
        wanted = {
            (name, site.id): target
            for site in self._sites.all()
            for name, channel in self._channels.items()
            if (target := channel.target(site))
        }
        async with self._lock:
            now = self._clock()
            deliveries, self._seen = await self._db.write(
                lambda tx: store.set_targets(tx, wanted, works, now)
            )
            self._targets = {(d.channel, d.site_id): d.target for d in deliveries if not d.is_gone}
            if self._started:
                for key in self._senders.keys() | self._targets.keys():
                    self._set_sender(key, self._targets.get(key))

    async def stop(self) -> None:
        """Tell no more; what waits is told after the next start. May be repeated."""
        self._started = False
        tasks = [self._looking, *(sender.task for sender in self._senders.values())]
        self._looking = None
        self._senders.clear()
        running = [task for task in tasks if task is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def secret(self, name: str, site_id: int) -> str:
        """What the other side of a channel checks a site's events with. Raises SiteNotFound."""
        return self._channels[name].secret(self._sites.get(site_id))

    async def find(self, name: str, site_id: int) -> tuple[Delivery, int] | None:
        """How a channel stands with a site's owner, and how much waits; None: it is not used."""
        return await store.find_delivery(self._db, name, site_id)

    async def test(self, name: str, site_id: int) -> str:
        """Send a test event now; "" if it arrived, else why not.

        If it arrived, what waits is tried at once, also where the other side was gone.
        """
        site = self._sites.get(site_id)
        try:
            await self._channels[name].send(site, trial_event(site, self._clock()))
        except NotDelivered as failure:
            return failure.reason
        await self.refresh(works=(name, site_id))
        self._wake_sender((name, site_id))
        return ""

    # Looking.

    async def _keep_looking(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                while self._targets and await self._look():
                    pass
            except Unavailable:
                self._news.set()
            except Exception:
                _log.exception("looking for what is new failed")
            await asyncio.sleep(self.pace.look)

    async def _look(self) -> bool:
        """Look once at what is new; whether there is more."""
        async with self._lock:
            async with self._db.snapshot() as snapshot:
                found = await store.look(snapshot, self._seen)
            now = self._clock()
            # A look without finds is as good when it is repeated after a crash.
            if found.fresh or abs(now - self._saved_at) > _SAVE_EVERY:
                given_up = await self._db.write(lambda tx: store.add_notices(tx, found, now))
                self._saved_at = now
                for (name, site_id), number in given_up.items():
                    self._note_given_up(name, site_id, number, "too many wait")
            self._seen = found.seen
        for key in {(one.channel, one.site_id) for one in found.fresh}:
            self._wake_sender(key)
        return found.more

    # Telling.

    def _set_sender(self, key: Key, target: str | None) -> None:
        """Have a target served by a task of its own; None: there is none any more."""
        sender = self._senders.get(key)
        if sender is not None and sender.target == target:
            return
        if sender is not None and sender.task is not None:
            sender.task.cancel()
            del self._senders[key]
        if target is not None:
            sender = self._senders[key] = _Sender(target)
            sender.task = asyncio.create_task(self._keep_telling(key, sender.news))

    def _wake_sender(self, key: Key) -> None:
        sender = self._senders.get(key)
        if sender is not None:
            sender.news.set()

    async def _keep_telling(self, key: Key, news: asyncio.Event) -> None:
        while True:
            news.clear()
            try:
                following = await store.next_notice(self._db, *key)
                if following is None:
                    await news.wait()
                    continue
                delivery, notice = following
                wait = delivery.next_try_at - self._clock()
                if not 0 < wait <= LONGEST_WAIT:
                    await self._tell(delivery, notice)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(wait / SECOND, self.pace.check)):
                        await news.wait()
            except Exception:
                _log.exception("reading what waits failed")
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _tell(self, delivery: Delivery, notice: Notice) -> None:
        site = self._sites.get(notice.site_id)
        try:
            event = await event_of(notice, site, self._db, self._people)
            if event is None:
                await self._write(lambda tx: store.remove_notice(tx, notice))
                return
            async with self._slots:
                await self._channels[notice.channel].send(site, event)
        except NotDelivered as failure:
            await self._note_failure(delivery, failure)
            return
        except Exception:
            # It fails as others do, so that it is not tried without a pause.
            _log.exception("telling an owner failed")
            await self._note_failure(delivery, NotDelivered("an error here, see the log"))
            return
        now = self._clock()
        await self._write(lambda tx: store.note_delivered(tx, notice, now))
        if delivery.failures:
            self._note(logging.INFO, "notices are delivered again", delivery)

    async def _note_failure(self, delivery: Delivery, failure: NotDelivered) -> None:
        now, reason = self._clock(), failure.reason[:_MOST_ERROR]
        name, site_id = delivery.channel, delivery.site_id
        if failure.is_gone:
            number = await self._write(lambda tx: store.note_gone(tx, delivery, reason, now))
            self._note(logging.WARNING, "notices are not wanted any more", delivery, reason=reason)
            self._note_given_up(name, site_id, number, reason)
            # Waits for the lock, and ends this very task.
            await self.refresh()
            return
        failures = delivery.failures + 1
        wait = self.pace.wait(failures, failure.retry_after)
        number = await self._write(
            lambda tx: store.note_failed(
                tx,
                delivery,
                error=reason,
                next_try_at=now + round(wait * SECOND),
                give_up_before=now - GIVE_UP_AFTER,
                now=now,
            )
        )
        self._note(
            logging.WARNING,
            "notice not delivered",
            delivery,
            failures=failures,
            seconds=round(wait),
            reason=reason,
        )
        self._note_given_up(name, site_id, number, reason)

    async def _write(self, job: Callable[[Transaction], T]) -> T:
        """Write, once that is possible: what was sent must not be sent again and again."""
        while True:
            try:
                return await self._db.write(job)
            except Unavailable:
                await asyncio.sleep(_AGAIN_SECONDS)

    def _note(self, level: int, event: str, delivery: Delivery, **fields: object) -> None:
        # The rest of a target may be a secret.
        host = urlsplit(delivery.target).hostname
        log_event(
            _log, level, event, channel=delivery.channel, site=delivery.site_id, host=host, **fields
        )

    def _note_given_up(self, name: str, site_id: int, number: int, reason: str) -> None:
        if number:
            log_event(
                _log,
                logging.WARNING,
                "notices given up",
                channel=name,
                site=site_id,
                number=number,
                reason=reason,
            )
