"""The network fails: proxies cut, phones change address, packets are lost and late."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from ..harness import draft
from .crowd import Reader, everything, free_server, guest, needs_root, post


@asynccontextmanager
async def cutting_proxy(port: int, seconds: float) -> AsyncIterator[str]:
    """A TCP proxy that cuts every connection after about `seconds`, as proxies on the way do."""
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps = [
            asyncio.create_task(pump(reader, up_writer)),
            asyncio.create_task(pump(up_reader, writer)),
        ]
        life = seconds * (0.5 + random.random())
        await asyncio.wait(pumps, timeout=life, return_when=asyncio.FIRST_COMPLETED)
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        # Reset, not closed: no client is told why.
        for each in (writer, up_writer):
            each.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_proxy_that_cuts_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Each connection comes from another port too, as from a phone that changes its network."""
    with free_server(tmp_path) as process:
        port = int(process.url.rpartition(":")[2])
        async with (
            aiohttp.ClientSession(process.url) as session,
            cutting_proxy(port, 0.3) as through,
        ):
            token = await guest(session)
            await post(session, token, draft("first"))
            readers = [Reader(token) for _ in range(10)]
            first = [asyncio.create_task(r.follow(through, until_seq=1)) for r in readers]
            await asyncio.gather(*first)
            following = [asyncio.create_task(r.follow(through, until_seq=300)) for r in readers]
            for n in range(299):
                status, _, _ = await post(session, token, draft(f"message {n}"))
                assert status == 200
                await asyncio.sleep(0.005)
            await asyncio.gather(*following)
        for reader in readers:
            assert reader.jumps == 0
            assert sorted(reader.seen) == list(range(2, 301))


@pytest.fixture
def bad_line(tmp_path: Path) -> Iterator[str]:
    """A network namespace behind a line, with delay and loss where possible; its name."""
    needs_root()
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            pytest.fail(f"{tool} is missing; Debian has it in the package iproute2")
    name = f"talkee{random.randrange(10**6)}"
    far, near = f"f{name[6:]}", f"n{name[6:]}"

    def run(*words: str) -> None:
        subprocess.run(words, check=True, capture_output=True)

    try:
        run("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine makes no network namespaces: {error.stderr!r}")
    try:
        run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        run("ip", "addr", "add", "10.213.7.1/30", "dev", near)
        run("ip", "link", "set", near, "up")
        run("ip", "-n", name, "addr", "add", "10.213.7.2/30", "dev", far)
        run("ip", "-n", name, "link", "set", far, "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        line = ("delay", "40ms", "20ms", "loss", "5%")
        # Where the kernel has no netem, the line is good until it is cut.
        netem = ["tc", "qdisc", "add", "dev", near, "root", "netem", *line]
        subprocess.run(netem, check=False, capture_output=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.mark.long
async def test_a_line_with_delay_and_loss_and_a_cut_loses_nothing(
    tmp_path: Path, bad_line: str
) -> None:
    near = f"n{bad_line[6:]}"
    environ = {
        "TALKEE_LIMITS__PING_SECONDS": "1",
        "TALKEE_LIMITS__PONG_SECONDS": "1",
        "TALKEE_LIMITS__PAUSED_SECONDS": "2",
    }
    with free_server(tmp_path, 0, **environ, TALKEE_SERVER__HOST="10.213.7.1") as process:
        async with aiohttp.ClientSession(process.url) as session:
            token = await guest(session)
            await post(session, token, draft("first"))
            # The reader runs in the namespace, behind the bad line.
            script = (
                "import asyncio, sys\n"
                "from tests.faults.crowd import Reader\n"
                "async def main(url, token):\n"
                "    r = Reader(token)\n"
                "    r.open_timeout = 1\n"
                "    await r.follow(url, until_seq=1)\n"
                "    print('ready', flush=True)\n"
                "    await r.follow(url, until_seq=150)\n"
                "    assert r.jumps == 0, r.jumps\n"
                "    assert sorted(r.seen) == list(range(2, 151))\n"
                "    print('complete', flush=True)\n"
                "asyncio.run(main(sys.argv[1], sys.argv[2]))\n"
            )
            reader = await asyncio.create_subprocess_exec(
                "ip", "netns", "exec", bad_line, sys.executable, "-c", script, process.url, token,
                cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert reader.stdout is not None
            try:
                async with asyncio.timeout(60):
                    assert (await reader.stdout.readline()).strip() == b"ready"
                    for n in range(149):
                        assert (await post(session, token, draft(f"message {n}")))[0] == 200
                        if n == 50:
                            # The line is dead; nobody is told.
                            subprocess.run(["ip", "link", "set", near, "down"], check=True)
                        if n == 100:
                            await asyncio.sleep(2.5)
                            subprocess.run(["ip", "link", "set", near, "up"], check=True)
                        await asyncio.sleep(0.01)
                    assert (await reader.stdout.readline()).strip() == b"complete"
            finally:
                if reader.returncode is None:
                    reader.kill()
                await reader.wait()
            assert len(await everything(session, token)) == 150
