"""The control socket's HTTP: `POST /control/:verb` with the parameters as a JSON object.

It listens on a Unix socket of mode 0600 beside the database and shares nothing with the routes
that the world sees.
"""

from __future__ import annotations

from aiohttp import web

from ..control import VERBS
from ..errors import NotFound
from .context import SERVICES, Services, answer, json_of, services_of
from .exchange import Answer, Request
from .framework import adapt, edge


async def _run(request: Request) -> Answer:
    services = services_of(request)
    verb = VERBS.get(request.match["verb"])
    if verb is None:
        raise NotFound("This server does not know that verb; is it of another version?")
    given = await json_of(request, services.config.limits.max_body_bytes)
    return answer(services, await verb(services, given))


def make_control_app(services: Services) -> web.Application:
    """The application behind the control socket of a running server."""
    app = web.Application(middlewares=[edge])
    app[SERVICES] = services
    app.router.add_post("/control/{verb}", adapt(_run))
    return app
