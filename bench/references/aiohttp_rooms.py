"""The reference in aiohttp: rooms as its documentation would have them, storing nothing.

`send_json` to one socket after the other; a POST is sent to its room and answered with the
message. `/constant` answers a POST with `{}` and a GET with `--bytes` bytes: what the framework
alone costs. As it comes it compresses what it sends to browsers, which all offer that;
`uncompressed` it does not. No access log, which would slow it down.

    python -m bench.references.aiohttp_rooms PORT [BYTES] [uncompressed]
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict

import uvloop
from aiohttp import WSMsgType, web

from .author import AUTHOR

rooms: dict[str, set[web.WebSocketResponse]] = defaultdict(set)
COMPRESS = "uncompressed" not in sys.argv
constant = b"x" * int(sys.argv[2] if len(sys.argv) > 2 else 2)


async def open_socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=COMPRESS)
    await socket.prepare(request)
    room = rooms[request.query["slug"]]
    room.add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
    finally:
        room.discard(socket)
    return socket


async def post(request: web.Request) -> web.Response:
    draft = await request.json()
    message = {"type": "message", **draft, "user": AUTHOR}
    for socket in list(rooms[request.query["slug"]]):
        await socket.send_json(message)
    return web.json_response(message)


async def answer_post(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b"{}", content_type="application/json")


async def answer_get(request: web.Request) -> web.Response:
    return web.Response(body=constant, content_type="application/json")


async def serve() -> None:
    app = web.Application()
    app.router.add_get("/ws", open_socket)
    app.router.add_post("/ws/messages", post)
    app.router.add_post("/constant", answer_post)
    app.router.add_get("/constant", answer_get)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1]), backlog=4096).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
