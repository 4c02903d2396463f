"""The reference in `websockets`: rooms with its `broadcast()`, storing nothing.

It has no HTTP beside the upgrade, so publishers post over their own connections, at
`/publish?slug=ROOM`, and wait for `{"ack": …}`. No compression, which would slow it down.

    python -m bench.references.websockets_rooms PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from .author import AUTHOR

rooms: dict[str, set[ServerConnection]] = defaultdict(set)


async def handle(connection: ServerConnection) -> None:
    assert connection.request is not None
    address = urlsplit(connection.request.path)
    slug = parse_qs(address.query)["slug"][0]
    if address.path == "/publish":
        async for text in connection:
            draft = json.loads(text)
            message = {"type": "message", **draft, "user": AUTHOR}
            broadcast(rooms[draft["slug"]], json.dumps(message))
            await connection.send(json.dumps({"ack": draft["message_id"]}))
        return
    room = rooms[slug]
    room.add(connection)
    try:
        await connection.wait_closed()
    finally:
        room.discard(connection)


async def main() -> None:
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None, backlog=4096):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
