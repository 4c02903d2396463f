"""A server as a process: listening, signals, logging, limits of the process, a clean stop.

Everything that belongs to the process and not to the application stands here, so that an
embedding program is left alone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from .administration import make_first_link
from .api import LIGHT, plain_routes
from .api.context import SERVICES
from .api.control import make_control_app
from .api.door import Doors
from .api.exchange import Handler
from .api.framework import to_response
from .api.middleware import error_answer, new_request_id
from .app import drain, make_app
from .config import Config, LogConfig
from .errors import BadRequest, ExpectationFailed, InternalError, Refused
from .logs import JsonFormatter, TextFormatter, log_event

_log = logging.getLogger(__name__)
_http_log = logging.getLogger("talkee_lite.http")

# Opening a thousand sockets took 5 s with the usual backlog of 128, and 0.25 s with this one.
_BACKLOG = 4096
_KEEPALIVE_SECONDS = 75.0
_LINGERING_SECONDS = 2.0


class CannotListen(Exception):
    """The address cannot be listened on; the message is a sentence."""


class _RequestHandler(RequestHandler):
    """aiohttp's HTTP connection, answering malformed requests as everything else is answered."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The JSON answer to what never reached a handler; no traceback for a client's fault."""
        if isinstance(exc, ConnectionError):
            # The client left in the middle: there is nobody to answer, and nothing to report.
            raise exc
        request_id = new_request_id()
        if isinstance(exc, Refused):
            refusal = exc
        elif 400 <= status < 500:
            refusal = BadRequest("The request is not valid HTTP/1.1.")
        else:
            refusal = InternalError()
            _http_log.error("request failed id=%s", request_id, exc_info=exc)
        if refusal.status < 500:
            log_event(
                _http_log,
                logging.INFO,
                "request refused",
                id=request_id,
                status=refusal.status,
                error=refusal.code,
            )
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was already begun")
        response = to_response(error_answer(refusal, request_id))
        response.headers.update({"X-Request-Id": request_id, "Server": "talkee-lite"})
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; aiohttp's own to `Expect` on an unknown address is made like all ours."""
        if isinstance(resp, web.HTTPExpectationFailed):
            resp = self.handle_error(request, resp.status, ExpectationFailed())
        return await super().finish_response(request, resp, start_time)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a body that turns out broken ends its request now, not at its time limit."""
        super().data_received(data)
        request = self._current_request
        if request is not None and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            body = request.content
            if not body.is_eof():
                body.set_exception(web.RequestPayloadError("the body is malformed"))

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp met, but for a body that a client broke: that was answered already."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)


class _Server(web.Server):
    """Makes our kind of connection. It follows `web.Application._make_handler`."""

    def __init__(self, handler: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(handler, loop=loop, **kwargs)
        self.doors: Doors | None = None
        self._handler_arguments = {
            name: value for name, value in kwargs.items() if name != "request_factory"
        }

    def __call__(self) -> Any:
        """A connection's first protocol: a front door, where there are any."""
        return self.make_handler() if self.doors is None else self.doors.make()

    def make_handler(self) -> RequestHandler:
        """aiohttp's protocol for a connection."""
        return _RequestHandler(self, loop=self._loop, **self._handler_arguments)

    def pre_shutdown(self) -> None:
        if self.doors is not None:
            self.doors.close_idle()
        super().pre_shutdown()

    async def shutdown(self, timeout: float | None = None) -> None:
        if self.doors is not None:
            await self.doors.close(timeout or 0.0)
        await super().shutdown(timeout)


class Runner(web.AppRunner):
    """An AppRunner whose connections answer malformed requests as JSON, and log nothing.

    Plain requests for `routes` (method and path) do not pass aiohttp: see `api/door.py`.
    """

    def __init__(
        self,
        app: web.Application,
        shutdown_seconds: float = 8.0,
        *,
        routes: Mapping[tuple[str, str], Handler] | None = None,
    ) -> None:
        # aiohttp may wait this long twice: for handlers to end, and for those it cancelled.
        super().__init__(app, access_log=None, shutdown_timeout=min(1.0, shutdown_seconds / 8))
        self._routes = routes

    async def _make_server(self) -> web.Server:
        await super()._make_server()
        app = self.app
        server = _Server(
            app._handle,
            asyncio.get_running_loop(),
            request_factory=app._make_request,
            access_log=None,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
            logger=_http_log,
        )
        if self._routes:
            server.doors = Doors(app[SERVICES], self._routes, LIGHT, server.make_handler)
        return server


Ready = Callable[[Config, str, str], None]


def run_server(config: Config, ready: Ready) -> None:
    """Serve until SIGTERM or SIGINT, then stop cleanly.

    `ready` is called once, with the settings, the address that is listened on, and the link by
    which somebody becomes the first admin ("": there is one). Raises CannotListen, DatabaseInUse,
    DatabaseUnusable or ConfigError before that.
    """
    set_up_logging(config.log)
    try:
        import uvloop
    except ImportError:
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    else:
        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(config, ready))


async def _serve(config: Config, ready: Ready) -> None:
    listening = _listen(config)
    host, port = listening.getsockname()[:2]
    config = replace(config, server=replace(config.server, port=port))
    _raise_file_limit()
    app = make_app(config)
    shutdown_seconds = config.server.shutdown_seconds
    runner = Runner(app, shutdown_seconds, routes=plain_routes())
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    control: web.AppRunner | None = None
    try:
        await runner.setup()
        services = app[SERVICES]
        lock = services.db.lock
        control = Runner(make_control_app(services), shutdown_seconds)
        await control.setup()
        lock.socket_path.unlink(missing_ok=True)
        site = web.UnixSite(control, str(lock.socket_path))
        await _start_private(site)
        lock.announce(str(lock.socket_path))
        first_link = await make_first_link(services)
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        _tune_collector()
        shown = f"[{host}]" if ":" in host else host
        log_event(_log, logging.INFO, "listening", host=shown, port=port)
        ready(config, f"http://{shown}:{port}", first_link)
        await stop.wait()
        log_event(_log, logging.INFO, "stopping", sockets=len(services.sockets))
        with suppress(TimeoutError):
            async with asyncio.timeout(shutdown_seconds / 2):
                await drain(services)
    finally:
        if control is not None:
            await control.cleanup()
            with suppress(KeyError):
                app[SERVICES].db.lock.socket_path.unlink(missing_ok=True)
        await runner.cleanup()
        listening.close()
    log_event(_log, logging.INFO, "stopped")


async def _start_private(site: web.UnixSite) -> None:
    """Listen on a Unix socket that has mode 0600 from its first moment."""
    before = os.umask(0o177)
    try:
        await site.start()
    finally:
        os.umask(before)


def _listen(config: Config) -> socket.socket:
    host, port = config.server.host, config.server.port
    try:
        family, *_, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}; another program may use"
            " it: choose one with --port, or --port 0 for any free one"
        ) from None


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tune_collector() -> None:
    """Full collections are rare, and never look at what exists since the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def set_up_logging(config: LogConfig) -> None:
    """One handler on standard error, with lines as the settings want them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiosqlite").setLevel(logging.WARNING)
