"""A server process: how it starts, and that it stops cleanly whatever is going on."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from .harness import JSON, ROOM, ServerProcess, draft, run_verb, server_process, until
from .test_frames import auth, raw_client

FREE = """
[limits]
messages_per_second = 0
address_messages_per_second = 0
logins_per_minute = 0
logins_per_hour = 0
connections_per_user = 0
"""


def port_of(process: ServerProcess) -> int:
    """The port that a process listens on."""
    return int(process.url.rpartition(":")[2])


def send_signal(process: ServerProcess, number: signal.Signals = signal.SIGTERM) -> float:
    """Tell a process to stop; when that was."""
    process.process.send_signal(number)
    return time.monotonic()


async def ended(process: ServerProcess) -> int:
    """Wait for the end of a process; its exit status."""
    await until(lambda: process.process.poll() is not None, 20)
    return process.process.wait()


def token_of(process: ServerProcess, name: str = "Ann") -> str:
    """A new guest's access token, from the command line."""
    made = run_verb(process.folder, "token", "--name", name)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


async def everything(url: str, token: str) -> list[JSON]:
    """Every message of the room."""
    found: list[JSON] = []
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            after = found[-1]["seq"] if found else 0
            async with session.get(f"{url}/ws/messages?{ROOM}&after={after}") as response:
                page = await response.json()
            found += page["data"]
            if not page["has_more"]:
                return found


def log_of(process: ServerProcess) -> str:
    """What the process has logged."""
    return (process.folder / "server.log").read_text()


def test_the_first_line_on_standard_output_is_the_address(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", process.url)
        with socket.create_connection(("127.0.0.1", port_of(process))) as client:
            client.sendall(b"GET /hc HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert process.stop() == 0
        assert process.process.stdout is not None
        # What else is there is the link for the first admin.
        *words, link = process.process.stdout.read().split()
        assert link.startswith(f"{process.url}/admin#new=")
        assert "admin" in words


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_stops_the_server_and_open_sockets_are_told_1012(
    tmp_path: Path, number: signal.Signals
) -> None:
    async def run(process: ServerProcess) -> None:
        token = token_of(process)
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    connect(f"ws://127.0.0.1:{port_of(process)}/ws?{ROOM}")
                )
                for _ in range(20)
            ]
            for client in clients[:15]:
                await client.send(json.dumps({"type": "auth", "token": token}))
            sent = send_signal(process, number)
            assert await ended(process) == 0
            # Clients that answer are not waited for.
            assert time.monotonic() - sent < 3
            for client in clients:
                await client.wait_closed()
                assert client.close_code == 1012

    with server_process(tmp_path) as process:
        asyncio.run(run(process))
        log = log_of(process)
    assert "Traceback" not in log
    assert "ERROR" not in log
    assert log.rstrip().endswith("stopped")


@pytest.mark.parametrize("seconds", [1, 3])
def test_a_stop_takes_no_longer_than_the_settings_allow_whoever_does_not_answer(
    tmp_path: Path, seconds: int
) -> None:
    (tmp_path / "talkee.toml").write_text(f"[server]\nshutdown_seconds = {seconds}\n")

    async def run(process: ServerProcess) -> float:
        token = token_of(process)
        half_post = (
            f"POST /ws/messages?{ROOM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            'Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"message_id":'
        )
        async with (
            raw_client(port_of(process)),
            raw_client(port_of(process), auth(token)) as deaf,
            AsyncExitStack() as stack,
        ):
            for text in (half_post, "GET /hc HTT", "", "GET /hc HTTP/1.1\r\nHost: x\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port_of(process))
                stack.push_async_callback(end, writer)
                writer.write(text.encode())
                await writer.drain()
            # The last one has its answer and keeps the connection.
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            sent = send_signal(process)
            assert await ended(process) == 0
            took = time.monotonic() - sent
            assert await deaf.close_code() == 1012
        return took

    with server_process(tmp_path) as process:
        # A little is the interpreter's own end.
        assert asyncio.run(run(process)) < seconds + 0.6
        assert "Traceback" not in log_of(process)


async def end(writer: asyncio.StreamWriter) -> None:
    """Close a client's end."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


def test_posts_in_flight_are_answered_and_stored_or_refused_and_not_stored(
    tmp_path: Path,
) -> None:
    (tmp_path / "talkee.toml").write_text(FREE)
    answered: dict[str, int] = {}
    refused: set[str] = set()
    unsent: set[str] = set()

    async def poster(session: aiohttp.ClientSession, url: str) -> None:
        while True:
            body = draft("in flight")
            try:
                async with session.post(f"{url}/ws/messages?{ROOM}", json=body) as response:
                    answer = await response.json()
            except (aiohttp.ClientError, ConnectionError):
                unsent.add(body["message_id"])
                return
            if response.status == 200:
                answered[body["message_id"]] = answer["seq"]
            else:
                assert (response.status, answer["error"]) == (503, "unavailable")
                assert response.headers["Retry-After"]
                refused.add(body["message_id"])
                await asyncio.sleep(0.01)

    async def run(process: ServerProcess, token: str) -> list[int]:
        headers = {"Authorization": f"Bearer {token}"}
        connector = aiohttp.TCPConnector(limit=0)
        heard: list[int] = []
        async with (
            aiohttp.ClientSession(headers=headers, connector=connector) as session,
            connect(f"ws://127.0.0.1:{port_of(process)}/ws?{ROOM}") as client,
        ):
            await client.send(json.dumps({"type": "auth", "token": token}))
            posters = [asyncio.create_task(poster(session, process.url)) for _ in range(16)]
            await until(lambda: len(answered) > 100)
            send_signal(process)
            with suppress(ConnectionClosedError):
                while True:
                    heard.append(json.loads(await client.recv())["seq"])
            assert client.close_code == 1012
            assert await ended(process) == 0
            await asyncio.gather(*posters)
        return heard

    with server_process(tmp_path) as process:
        token = token_of(process)
        heard = asyncio.run(run(process, token))
        assert "Traceback" not in log_of(process)
    with server_process(tmp_path) as process:
        stored = asyncio.run(everything(process.url, token))
    assert {m["message_id"]: m["seq"] for m in stored} == answered
    assert [m["seq"] for m in stored] == list(range(1, len(stored) + 1))
    assert not refused & {m["message_id"] for m in stored}
    assert unsent | refused
    # Who listened to the end has missed nothing in between.
    assert heard == list(range(heard[0], heard[-1] + 1))
    assert heard[-1] == len(stored)


def test_messages_survive_a_restart_and_numbers_go_on(tmp_path: Path) -> None:
    async def post(url: str, token: str) -> JSON:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(f"{url}/ws/messages?{ROOM}", json=draft()) as response,
        ):
            assert response.status == 200
            return dict(await response.json())

    posted: list[JSON] = []
    token = ""
    for _ in range(3):
        with server_process(tmp_path) as process:
            token = token or token_of(process)
            posted.append(asyncio.run(post(process.url, token)))
            listed = asyncio.run(everything(process.url, token))
            assert [m["message_id"] for m in listed] == [m["message_id"] for m in posted]
            assert process.stop() == 0
    assert [m["seq"] for m in posted] == [1, 2, 3]


def test_the_control_socket_is_private_and_gone_after_the_stop(tmp_path: Path) -> None:
    path = tmp_path / "talkee.db.sock"
    with server_process(tmp_path) as process:
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert stat.S_IMODE(mode) == 0o600
        assert process.stop() == 0
        assert not path.exists()
        assert (tmp_path / "talkee.db.lock").read_bytes() == b""


def test_a_command_line_that_hangs_does_not_keep_the_server(tmp_path: Path) -> None:
    (tmp_path / "talkee.toml").write_text("[server]\nshutdown_seconds = 2\n")
    with (
        server_process(tmp_path) as process,
        socket.socket(socket.AF_UNIX) as hanging,
        socket.socket(socket.AF_UNIX) as silent,
    ):
        for client in (hanging, silent):
            client.connect(str(tmp_path / "talkee.db.sock"))
        hanging.sendall(
            b"POST /control/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 50\r\n\r\n{"
        )
        # By now it has read that: it answers what came later.
        assert token_of(process)
        sent = send_signal(process)
        assert process.process.wait(20) == 0
        assert time.monotonic() - sent < 2.6
        assert "Traceback" not in log_of(process)


def test_after_a_kill_the_next_start_takes_the_database_over(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        process.process.kill()
        process.process.wait()
    assert (tmp_path / "talkee.db.sock").exists()
    with server_process(tmp_path) as process:
        assert token_of(process)
        assert process.stop() == 0


def refused_start(folder: Path, *arguments: str) -> str:
    """What a server that must not start says on standard error."""
    ended = run_verb(folder, *arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    return ended.stderr


def one_sentence(text: str) -> bool:
    """Whether it is one line, meant for a person."""
    return text.startswith("talkee-lite: ") and text.count("\n") == 1 and "Traceback" not in text


def test_a_second_server_on_the_same_file_refuses_in_one_sentence(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        said = refused_start(tmp_path, "--port", "0")
        assert one_sentence(said)
        assert str(process.process.pid) in said
        # The first one is not disturbed, and keeps its control socket.
        assert token_of(process)
        assert process.stop() == 0


def test_a_port_that_is_taken_is_said_clearly(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with server_process(first) as process:
        port = str(port_of(process))
        said = refused_start(second, "--port", port)
        assert one_sentence(said)
        assert port in said
        assert "--port" in said
        assert not (second / "talkee.db").exists()
        assert token_of(process)


@pytest.mark.parametrize(
    "arguments",
    [["--host", "192.0.2.1", "--port", "0"], ["--host", "no such host", "--port", "0"]],
)
def test_an_address_that_is_not_ours_is_said_clearly(
    tmp_path: Path, arguments: Sequence[str]
) -> None:
    said = refused_start(tmp_path, *arguments)
    assert one_sentence(said)
    assert arguments[1] in said


def test_a_signal_while_it_starts_ends_it(tmp_path: Path) -> None:
    for delay in (0.05, 0.15, 0.25):
        process = subprocess.Popen(
            [sys.executable, "-m", "talkee_lite", "--port", "0"],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            # Wherever in its start this finds it.
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.wait()
    with server_process(tmp_path) as started:
        assert started.stop() == 0
