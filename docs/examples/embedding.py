"""An aiohttp program with a room of its own below /talk: run it, and open the address it prints.

python docs/examples/embedding.py
"""

from __future__ import annotations

from aiohttp import web

import talkee_lite


async def front_page(request: web.Request) -> web.Response:
    """A page of the host's own, with the line of HTML in it."""
    script = '<script async src="/talk/talkee.js" data-site-id="1" data-chat></script>'
    return web.Response(
        text=f"<!doctype html><h1>My program</h1>{script}", content_type="text/html"
    )


def make_program(config: talkee_lite.Config) -> web.Application:
    """The host program: its own pages, and everything of Talkee Lite below /talk/."""
    app = web.Application()
    app.router.add_get("/", front_page)
    app.add_subapp("/talk/", talkee_lite.make_app(config))
    return app


if __name__ == "__main__":
    settings = talkee_lite.load_config(
        overrides={"server": {"public_url": "http://127.0.0.1:8080/talk"}}
    )
    web.run_app(make_program(settings), host="127.0.0.1", port=8080)
