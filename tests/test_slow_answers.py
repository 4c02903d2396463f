"""Clients that ask for much and take nothing cost the server a bounded amount of memory."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from talkee_lite.models import MessageDraft, RoomKey

from .harness import draft, encode, free_limits, until
from .test_door import request, served

_TOTAL = 1_048_576
LIST = "/ws/messages?site_id=1&slug=/a"


async def test_answers_that_nobody_takes_have_a_budget(tmp_path: Path) -> None:
    limits = free_limits(max_unsent_bytes_total=_TOTAL, max_data_bytes=65_536)
    async with served(tmp_path, limits=limits, send_bytes=16_384) as server:
        token = await server.token()
        caller = await server.services.tokens.identify(token)
        room, services = RoomKey(1, "/a"), server.services
        for _ in range(10):
            made = draft()
            large = MessageDraft(made["message_id"], "text", encode("x" * 60_000))
            await services.chat.post(caller, room, large, "here")
        asked = request("GET", LIST, {"Authorization": f"Bearer {token}"})
        clients = []
        for _ in range(12):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", server.port))
            sock.setblocking(False)
            clients.append(sock)
            await asyncio.get_running_loop().sock_sendall(sock, asked)
        await until(lambda: 0 < len(server.doors.open) == len(server.doors.slow) < 12)
        assert sum(door.unsent() for door in server.doors.open) <= _TOTAL
        # Who takes what they ask for is served meanwhile.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**22)
        writer.write(asked)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert len(await reader.readexactly(length)) == length > 800_000
        writer.close()
        for sock in clients:
            sock.close()
        await until(lambda: not server.doors.open)
        assert not server.doors.slow
