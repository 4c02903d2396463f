"""`/hc` and `/api/stat/global`: how the server is doing."""

from __future__ import annotations

import asyncio
import time

from ..clock import SECOND
from ..errors import Unavailable
from ..protocol import dump_json
from ..store.messages import count_all
from ..version import VERSION
from .context import answer, answer_bytes, check_page, services_of
from .exchange import Answer, Request

_COUNTS_FOR = 10 * SECOND


async def health(request: Request) -> Answer:
    """Version and seconds since the start; 503 while nothing can be stored."""
    services = services_of(request)
    if services.db.failing:
        raise Unavailable(retry_after=1)
    uptime = int(time.monotonic() - services.started_at)
    return answer_bytes(dump_json({"version": VERSION, "uptime": uptime}))


async def get_statistics(request: Request) -> Answer:
    """How much there is on this server, at most 10 s old."""
    services = services_of(request)
    check_page(request, services)
    now = services.clock()
    if services.counts is None or not 0 <= now - services.counts[0] < _COUNTS_FOR:
        # Whoever asks meanwhile waits for the same count.
        services.counts = (now, asyncio.ensure_future(count_all(services.db)))
    try:
        return answer(services, await asyncio.shield(services.counts[1]))
    except Exception:
        services.counts = None
        raise
