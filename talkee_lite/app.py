"""Builds and wires everything; the only place that does.

`make_app(config)` gives an `aiohttp.web.Application` that stands alone or is mounted below a path
of another one. It owns its database from start-up to clean-up and touches nothing of the process:
no signals, no event loop policy, no logging set-up, no limits.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from aiohttp import web

from .api import add_routes
from .api.context import SERVICES, Services
from .api.framework import edge
from .api.sockets import Sockets
from .auth import Parts, offered
from .auth.tokens import Tokens, load_secret
from .byte_cache import ByteCache
from .changes import Changes
from .chat import Chat
from .clock import Clock, steady_clock, system_clock
from .comments import Comments
from .config import Config
from .errors import Unavailable
from .feeds import Feeds
from .forms import Forms
from .hub import Hub
from .keeping import Keeping
from .limits import Buckets, Limits
from .merging import Merging
from .models import RoomKey, Several
from .notify import channels
from .notify.dispatch import Dispatcher
from .pages import Pages
from .people import People
from .personal import Personal
from .records import Records
from .rendering import Rendering
from .signing_in import SignIns
from .sites import Sites
from .store.database import Database
from .thread_pages import ThreadPages
from .writing import Writing

_log = logging.getLogger(__name__)
_HOUSEKEEPING_SECONDS = 3600.0
_SOCKET_SECONDS = 2.0
# How much oftener than writing something new one may change something.
_CHANGES = 5
# What was made of threads and feeds, kept for whoever asks next.
_MADE_BYTES = 16 * 1024 * 1024
# Files that a process needs beside its sockets: the database, the log, connections in HTTP.
_RESERVED_FILES = 256


@asynccontextmanager
async def open_services(config: Config, *, clock: Clock = system_clock) -> AsyncIterator[Services]:
    """A running server without HTTP: the database opened, its rules ready.

    Raises DatabaseInUse, DatabaseUnusable or ConfigError.
    """
    db = await Database.open(config.database.path)
    exits = AsyncExitStack()
    try:
        services = await _wire(config, db, clock, exits)
        housekeeper = asyncio.create_task(_keep_house(services))
        services.sockets.start()
        try:
            yield services
        finally:
            services.stopping = True
            housekeeper.cancel()
            with suppress(asyncio.CancelledError):
                await housekeeper
            await drain(services)
    finally:
        await exits.aclose()
        await db.close()


async def _wire(config: Config, db: Database, clock: Clock, exits: AsyncExitStack) -> Services:
    limits = config.limits
    secret = load_secret(config.auth.jwt_secret, config.database.path)
    public_url = config.server.public_url or f"http://127.0.0.1:{config.server.port}"
    sites = Sites(db, config, clock)
    people = People(db, config, public_url, clock)
    tokens = Tokens(db, people, secret, clock)
    merging = Merging(db, people, clock)
    sign_ins = SignIns(db, people, merging, config, clock)
    hub = Hub()
    # What one person and one address may write, messages and comments together.
    pace = Limits(
        (
            Buckets(limits.messages_per_second, limits.messages_burst),
            Buckets(limits.address_messages_per_second, limits.address_messages_burst),
        )
    )
    # Likes, changes and previews, which cost less than what is new.
    change_pace = Limits(
        (
            Buckets(_CHANGES * limits.messages_per_second, _CHANGES * limits.messages_burst),
            Buckets(
                _CHANGES * limits.address_messages_per_second,
                _CHANGES * limits.address_messages_burst,
            ),
        )
    )
    pages = Pages(db, people, sites, clock)
    chat = Chat(
        db,
        hub,
        Records(db),
        people,
        pace,
        change_pace,
        clock,
        earlier=pages.earlier,
        legacy=config.compat.legacy_clients,
    )
    writing = Writing(people, sites, pace, change_pace, clock, steady_clock)
    comments = Comments(db, people, sites, writing, clock)
    changes = Changes(people, clock)

    dispatcher = Dispatcher(db, sites, people, channels(config, secret, clock), clock)

    def after_commit(results: Sequence[Any], answer: Callable[[], None]) -> None:
        dispatcher.wake()
        if any(isinstance(result, Several) for result in results):
            results = list(_each(results))
            pages.note(results)
        comments.threads.note(results)
        changes.note(results)
        chat.publish(results, answer)

    def made_anew(room: RoomKey) -> None:
        comments.threads.drop(room)
        changes.changed(room)

    db.publish_with(after_commit)
    await sites.start()
    await people.start()
    await pages.start()
    return Services(
        config=config,
        clock=clock,
        pace_clock=steady_clock,
        db=db,
        sites=sites,
        people=people,
        tokens=tokens,
        merging=merging,
        sign_ins=sign_ins,
        logins=offered(
            Parts(
                config=config,
                db=db,
                people=people,
                sites=sites,
                sign_ins=sign_ins,
                clock=clock,
                pace_clock=steady_clock,
                exits=exits,
            )
        ),
        login_pace=Limits(
            (
                Buckets(limits.logins_per_minute / 60, max(1, limits.logins_per_minute)),
                Buckets(limits.logins_per_hour / 3600, max(1, limits.logins_per_hour)),
            )
        ),
        hub=hub,
        chat=chat,
        comments=comments,
        keeping=Keeping(db, people, sites, writing, clock),
        pages=pages,
        rendering=Rendering(db, sites, made_anew),
        changes=changes,
        thread_pages=ThreadPages(db, people, sites),
        feeds=Feeds(db, secret, public_url),
        forms=Forms(secret, steady_clock),
        made=ByteCache(_MADE_BYTES),
        personal=Personal(
            db,
            people,
            sites,
            end_sessions=tokens.end_of,
            settle=merging.settle,
            clock=clock,
        ),
        dispatcher=dispatcher,
        sockets=Sockets(
            limits,
            hub=hub,
            chat=chat,
            people=people,
            sites=sites,
            tokens=tokens,
            clock=clock,
            most=_most_sockets(limits.connections),
        ),
        trusted=tuple(
            ipaddress.ip_network(network, strict=False) for network in config.server.trusted_proxies
        ),
        started_at=time.monotonic(),
    )


def _each(results: Sequence[Any]) -> Iterator[Any]:
    for result in results:
        if isinstance(result, Several):
            yield from result.results
        else:
            yield result


def _most_sockets(wanted: int) -> int:
    """How many sockets may be open: as configured, and never more than the process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = sys.maxsize if soft == resource.RLIM_INFINITY else max(16, soft - _RESERVED_FILES)
    return min(wanted or allowed, allowed)


async def drain(services: Services) -> None:
    """Take nothing new, finish what was begun, close every socket with 1012. May be repeated."""
    services.stopping = True
    await services.dispatcher.stop()
    await services.db.drain()
    # A quarter of the time for clients to say goodbye; the rest is for what they asked for.
    await services.sockets.stop(min(_SOCKET_SECONDS, services.config.server.shutdown_seconds / 4))


async def _keep_house(services: Services) -> None:
    while True:
        try:
            await services.rendering.renew()
            await services.merging.resume()
            await services.people.sweep()
        except Unavailable:
            _log.info("housekeeping is put off: the database cannot be written")
        except Exception:
            _log.exception("housekeeping failed")
        await asyncio.sleep(_HOUSEKEEPING_SECONDS)


def make_app(config: Config | None = None) -> web.Application:
    """The application: everything that the server answers, ready to run or to be mounted.

    Mount it with `parent.add_subapp("/talk/", make_app(config))`, and set `server.public_url` to
    the address that readers use, path included. Starting it raises what `open_services` raises.
    """
    settings = config or Config()
    app = web.Application(middlewares=[edge], client_max_size=settings.limits.max_body_bytes + 1)
    add_routes(app)

    async def run_services(app: web.Application) -> AsyncIterator[None]:
        async with open_services(settings) as services:
            app[SERVICES] = services
            await services.dispatcher.start()
            yield

    async def stop_accepting(app: web.Application) -> None:
        await drain(app[SERVICES])

    app.cleanup_ctx.append(run_services)
    app.on_shutdown.append(stop_accepting)
    return app
