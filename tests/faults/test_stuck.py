"""A hundred clients that stop reading, beside two hundred that do."""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import time
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from ..harness import JSON, ROOM, draft
from .crowd import free_server, guest, post
from .soak import size_of

MB = 1024 * 1024
STUCK = 100
READERS = 200


@pytest.mark.long
async def test_those_who_stop_reading_cost_the_others_nothing_and_are_cut(tmp_path: Path) -> None:
    """Memory grows by less than 130 MB, the stuck are cut, their files are closed.

    How late the readers' messages are is printed for a person to compare, and not judged: the
    machine is shared.
    """
    with free_server(tmp_path, TALKEE_LIMITS__PAUSED_SECONDS="3") as process:
        pid = process.process.pid
        address = f"{process.url.replace('http', 'ws')}/ws?{ROOM}"
        async with aiohttp.ClientSession(process.url) as session:
            token = await guest(session)
            auth = json.dumps({"type": "auth", "token": token, "events": True})

            async def sign_in(sock: socket.socket | None = None) -> ClientConnection:
                client = await connect(address, sock=sock, max_queue=4, compression=None)
                await client.send(auth)
                assert json.loads(await client.recv())["type"] == "ready"
                return client

            async def get_stuck() -> ClientConnection:
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setblocking(False)
                host, _, port = process.url.removeprefix("http://").partition(":")
                await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
                client = await sign_in(sock)
                client.transport.pause_reading()
                return client

            late: dict[bool, list[float]] = {False: [], True: []}
            seen: list[int] = []

            async def read(client: ClientConnection) -> None:
                count = 0
                async for text in client:
                    event: JSON = json.loads(text)
                    if event["type"] == "message":
                        count += 1
                        assert event["seq"] == count
                        lateness = time.monotonic() - sent[event["message_id"]]
                        late[count > alone].append(lateness)
                        if count == total:
                            break
                seen.append(count)

            sent: dict[str, float] = {}
            # The system takes some 3 MB for each before the server has to wait.
            alone, total, size = 150, 900, 4096
            readers = [await sign_in() for _ in range(READERS)]
            reading = [asyncio.create_task(read(client)) for client in readers]

            async def send(count: int) -> int:
                most = 0
                for _ in range(count):
                    body = draft("x" * size)
                    sent[body["message_id"]] = time.monotonic()
                    assert (await post(session, token, body))[0] == 200
                    most = max(most, size_of(pid)[0])
                return most

            await send(alone)
            files_before = size_of(pid)[1]
            stuck = [await get_stuck() for _ in range(STUCK)]
            memory_before, files_with = size_of(pid)
            assert files_with >= files_before + STUCK
            most = await send(total - alone)
            await asyncio.gather(*reading)
            assert seen == [total] * READERS
            async with asyncio.timeout(20):
                while size_of(pid)[1] > files_before + 5:
                    most = max(most, size_of(pid)[0])
                    await asyncio.sleep(0.1)
            grown = (most - memory_before) / MB
            assert grown < 130
            without, beside = (
                statistics.quantiles(late[crowd], n=100)[98] * 1000 for crowd in (False, True)
            )
            print(  # noqa: T201
                f"memory grew by {grown:.1f} MB; the readers' 99th percentile: {without:.1f} ms"
                f" alone, {beside:.1f} ms beside the stuck"
            )
            await asyncio.gather(*(client.close() for client in readers))
            for client in stuck:
                client.transport.abort()
        log = (tmp_path / "server.log").read_text()
        assert log.count("code=1006") == STUCK
