"""Everything at once, for as long as asked: `python -m tests.faults.soak --seconds 600 --seed 1`.

Writers, readers that come and go, readers that stop reading, deletions, pages of lists, visitors,
sign-ins and sign-outs. Each reader compares what it saw with what the server has; the server's
memory and open files must be flat in the second half.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from websockets.asyncio.client import connect

from ..harness import JSON, draft, run_verb
from .crowd import Reader, everything, free_server, guest, post
from .talk import Talk

ROOMS = 6
_MB = 1024 * 1024


@dataclass
class Totals:
    """What was done, and the server's size over time."""

    posted: int = 0
    deleted: int = 0
    commented: int = 0
    """Comments, replies, likes, deletions and lists of those."""
    reconnects: int = 0
    lists: int = 0
    stuck: int = 0
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    """Seconds, resident bytes, open files."""


def room_of(number: int) -> str:
    """The address parameters of a room."""
    return f"site_id=1&slug=/room/{number}"


def size_of(pid: int) -> tuple[int, int]:
    """Resident bytes and open files of a process (proc(5))."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


class Soak:
    """One run against one server."""

    def __init__(self, url: str, pid: int, seconds: float, seed: int) -> None:
        self.url = url
        self.pid = pid
        self.dice = random.Random(seed)
        self.end = time.monotonic() + seconds
        self.seconds = seconds
        self.totals = Totals()
        self.talk = Talk(self.dice)

    @property
    def going(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.end

    async def run(self) -> list[Reader]:
        """Everybody at once; the readers that followed to the end."""
        async with aiohttp.ClientSession(self.url) as session:
            tokens = [await guest(session, f"Person {n}") for n in range(12)]
            for number in range(ROOMS):
                await post(session, tokens[0], draft("first"), room=room_of(number))
            readers = [Reader(self.dice.choice(tokens), room=room_of(n % ROOMS)) for n in range(30)]
            jobs = [self.read(reader) for reader in readers]
            jobs += [self.write(session, tokens, n) for n in range(6)]
            jobs += [self.page(session, tokens) for _ in range(3)]
            jobs += [self.get_stuck(tokens) for _ in range(3)]
            jobs += [
                self.talk.go_on(session, tokens[n : n + 3], lambda: self.going)
                for n in range(0, 12, 3)
            ]
            jobs += [self.visit() for _ in range(3)]
            jobs += [self.come_and_go(session), self.measure()]
            await asyncio.gather(*jobs)
            for reader in readers:
                await self.compare(session, reader)
            await self.talk.compare(session, tokens[0])
            self.totals.commented = self.talk.done
        return readers

    async def read(self, reader: Reader) -> None:
        """Listen; leave at random, without a word or with; come back and resume."""
        while self.going:
            task = asyncio.create_task(reader.run(self.url))
            stay = min(self.dice.expovariate(1 / 5), max(0.1, self.end - time.monotonic()))
            await asyncio.wait([task], timeout=stay)
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                raise task.exception() or AssertionError
            self.totals.reconnects += 1
            await asyncio.sleep(self.dice.random() * 0.3)

    async def write(self, session: aiohttp.ClientSession, tokens: list[str], n: int) -> None:
        """Post texts of all sizes, repeat some, delete some."""
        mine: list[tuple[str, str, str]] = []
        while self.going:
            token, room = self.dice.choice(tokens), room_of(self.dice.randrange(ROOMS))
            body = draft("x" * min(4000, int(self.dice.paretovariate(0.7) * 10)))
            status, answer, _ = await post(session, token, body, room=room)
            assert status == 200, answer
            self.totals.posted += 1
            mine.append((token, room, body["message_id"]))
            if self.dice.random() < 0.1:
                status, again, headers = await post(session, token, body, room=room)
                assert (status, again["seq"]) == (200, answer["seq"])
                assert headers["Idempotent-Replayed"] == "true"
            if self.dice.random() < 0.1:
                token, room, message_id = mine.pop(self.dice.randrange(len(mine)))
                headers = {"Authorization": f"Bearer {token}"}
                url = f"/ws/messages/{message_id}?{room}"
                async with session.delete(url, headers=headers) as response:
                    assert response.status == 200
                self.totals.deleted += 1
            await asyncio.sleep(self.dice.random() * 0.02)

    async def page(self, session: aiohttp.ClientSession, tokens: list[str]) -> None:
        """Read the latest list: in order, without doubles."""
        while self.going:
            headers = {"Authorization": f"Bearer {self.dice.choice(tokens)}"}
            url = f"/ws/messages?{room_of(self.dice.randrange(ROOMS))}"
            async with session.get(url, headers=headers) as response:
                answer = await response.json()
            seqs = [m["seq"] for m in answer["data"]]
            assert seqs == sorted(set(seqs))
            assert not seqs or seqs[-1] <= answer["seq"]
            self.totals.lists += 1
            await asyncio.sleep(self.dice.random() * 0.05)

    async def get_stuck(self, tokens: list[str]) -> None:
        """Sign in and never read again, with a small buffer; the server must cut it."""
        while self.going:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            host, _, port = self.url.removeprefix("http://").partition(":")
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
            address = f"{self.url.replace('http', 'ws')}/ws?{room_of(0)}"
            async with connect(address, sock=sock, max_queue=1, close_timeout=0.1) as client:
                await client.send(
                    json.dumps({"type": "auth", "token": self.dice.choice(tokens), "events": True})
                )
                client.transport.pause_reading()
                await asyncio.sleep(min(15, max(0.1, self.end - time.monotonic())))
                client.transport.abort()
            self.totals.stuck += 1

    async def visit(self) -> None:
        """Come without a name, look who is there, and go."""
        while self.going:
            async with connect(f"{self.url.replace('http', 'ws')}/ws?{room_of(1)}") as client:
                await client.send('{"type": "auth", "visitor": true, "events": true}')
                assert json.loads(await client.recv())["user"] is None
                await asyncio.sleep(self.dice.random())

    async def come_and_go(self, session: aiohttp.ClientSession) -> None:
        """Sign in, ask who one is, sign out: the token is dead."""
        while self.going:
            headers = {"Authorization": f"Bearer {await guest(session, 'Passer-by')}"}
            for method, path, status in (
                ("GET", "/api/me", 200),
                ("POST", "/api/auth/logout", 200),
                ("GET", "/api/me", 401),
            ):
                async with session.request(method, path, headers=headers) as response:
                    assert response.status == status
            await asyncio.sleep(0.1)

    async def measure(self) -> None:
        """The server's memory and open files, twenty times."""
        begun = time.monotonic()
        while self.going:
            self.totals.samples.append((time.monotonic() - begun, *size_of(self.pid)))
            await asyncio.sleep(self.seconds / 20)

    async def compare(self, session: aiohttp.ClientSession, reader: Reader) -> None:
        """Whatever a reader saw, the server has, and nothing between was missed."""
        listed = await everything(session, reader.token, room=reader.room)
        headers = {"Authorization": f"Bearer {reader.token}"}
        async with session.get(f"/ws/messages?{reader.room}&limit=1", headers=headers) as response:
            # Not the last message's number: a deletion may stand behind it.
            last = (await response.json())["seq"]
        await asyncio.wait_for(reader.follow(self.url, until_seq=last), 60)
        has: dict[int, JSON] = {m["seq"]: m for m in listed}
        gone = {
            event["deleted_seq"]
            for event in reader.seen.values()
            if event["type"] == "message_deleted"
        }
        for seq, event in reader.seen.items():
            if event["type"] == "message" and seq in has:
                assert event["message_id"] == has[seq]["message_id"]
                assert event["data"] == has[seq]["data"]
            elif event["type"] == "message" and not reader.jumps:
                assert seq in gone, seq
        if not reader.jumps:
            assert set(has) - set(reader.seen) <= set(range(min(reader.seen)))

    def check_flat(self) -> None:
        """Memory grew by less than 32 MB in the second half, and files not at all."""
        half = self.totals.samples[len(self.totals.samples) // 2 :]
        grown = half[-1][1] - half[0][1]
        assert grown < 32 * _MB, f"memory grew by {grown / _MB:.1f} MB"
        files = [sample[2] for sample in half]
        assert max(files) - min(files) <= 40, files


async def soak(folder: Path, seconds: float, seed: int) -> Totals:
    """One whole run; raises AssertionError where anything is wrong."""
    with free_server(folder, TALKEE_LIMITS__PAUSED_SECONDS="5") as process:
        run = Soak(process.url, process.process.pid, seconds, seed)
        await run.run()
        run.check_flat()
        recount = await asyncio.to_thread(run_verb, folder, "recount")
        assert recount.stdout == "0 comments and 0 pages were off\n"
        assert await asyncio.to_thread(process.stop) == 0
    log = (folder / "server.log").read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log
    return run.totals


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        print(f"soak: {options.seconds:.0f} s with seed {options.seed}", flush=True)  # noqa: T201
        totals = asyncio.run(soak(Path(folder), options.seconds, options.seed))
        samples = totals.samples
        print(  # noqa: T201
            f"posted {totals.posted}, deleted {totals.deleted}, about comments {totals.commented},"
            f" reconnects {totals.reconnects},"
            f" lists {totals.lists}, stuck readers {totals.stuck}; memory"
            f" {samples[0][1] / _MB:.1f} MB at first, {samples[len(samples) // 2][1] / _MB:.1f} MB"
            f" half-way, {samples[-1][1] / _MB:.1f} MB at the end"
        )


if __name__ == "__main__":
    main()
