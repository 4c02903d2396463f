"""Every server that is measured: how it is started on a free port, looked at, and stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import seed, seed_isso
from .build import HERE, NCHAN_MODULE, ROOT, BenchError
from .setting import Bench, Stored, on_core

_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_ATTEMPTS = 3

HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Safari/537.36\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cache-Control: no-cache\r\n"
    "Pragma: no-cache\r\n"
    "Origin: http://127.0.0.1:{port}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)
"""What a browser sends beside the request itself; every server gets it with every request."""

SETTINGS = """\
[database]
url = "sqlite:{path}"
[auth]
jwt_secret = "{secret}"
[limits]
connections = 20000
connections_per_address = 0
connections_per_user = 0
messages_per_second = 0
address_messages_per_second = 0
"""
"""The measured server's settings: all else is at its default."""

# At its start Isso asks for the site named first, and goes on at once where nobody listens.
ISSO = """\
[general]
dbpath = {path}
host = http://127.0.0.1:1/
[guard]
enabled = false
[server]
listen = http://127.0.0.1:{port}
"""

# As `python -m talkee_lite`, where uvloop is not installed.
_WITHOUT_UVLOOP = (
    "import sys; sys.modules['uvloop'] = None;"
    " from talkee_lite.cli import main; sys.exit(main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Kind:
    """A server to start: `ours` or a reference, and with what."""

    name: str
    stored: Stored | None = None
    """The database; for `ours` and `isso` alone."""
    inside: str = ""
    """Whether it times its own callbacks, and which (inside.py); for `ours` alone."""
    plain: bool = False
    """Whether it runs without optional packages; for `ours` alone."""
    comments: bool = False
    """Whether its constant answer is as long as a list of comments; for `aiohttp` alone."""


class Server:
    """A server that listens on 127.0.0.1."""

    def __init__(
        self,
        kind: Kind,
        process: subprocess.Popen[bytes],
        folder: Path,
        port: int,
        start_seconds: float,
    ) -> None:
        self.kind = kind
        self.folder = folder
        self.port = port
        self.start_seconds = start_seconds
        """From its start until it listened."""
        self._process = process

    @property
    def headers(self) -> Path:
        """The file with a browser's headers for this server."""
        return self.folder / "headers"

    @property
    def pids(self) -> list[int]:
        """All its processes."""
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def memory(self) -> float:
        """The resident memory of what does the work, in KB: nginx's worker, else all of it."""
        pids = self.pids
        workers = pids[1:] if self.kind.name == "nchan" else pids
        total = 0
        for pid in workers:
            status = Path(f"/proc/{pid}/status").read_text()
            total += int(status.split("VmRSS:")[1].split()[0])
        return float(total)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(_STOP_SECONDS)

    def inside(self) -> dict[str, float]:
        """What a stopped server of the kind `inside` has measured."""
        found: dict[str, float] = json.loads((self.folder / "inside.json").read_text())
        return found


@contextmanager
def running(bench: Bench, kind: Kind) -> Iterator[Server]:
    """A server of this kind on the server's core, stopped at the end.

    Raises BenchError, with the log's place and end, if it does not start or ends early.
    """
    folder = bench.new_folder(kind.name)
    server = _started(bench, kind, folder)
    process = server._process
    try:
        yield server
        if process.poll() is None:
            server.stop()
        elif process.returncode:
            raise BenchError(f"{kind.name} ended early: {_log_end(folder)}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
    shutil.rmtree(folder, ignore_errors=True)


def _started(bench: Bench, kind: Kind, folder: Path) -> Server:
    if kind.stored is not None:
        prepared = bench.work / "prepared"
        if kind.name == "isso":
            seed_isso.make_database(folder / "isso.db", kind.stored, prepared)
        else:
            seed.make_database(folder / "talkee.db", kind.stored, prepared)
    for _ in range(_ATTEMPTS):
        # Another program may take the port before the server does.
        port = free_port()
        (folder / "headers").write_bytes(HEADERS.format(port=port).encode())
        command = _command(bench, kind, folder, port)
        core = bench.cores[0] if bench.cores else None
        with (folder / "log").open("ab") as log, on_core(core):
            started = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(bench, kind, folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if kind.name == "ours" else log,
                stderr=log,
            )
        if _wait_until_listening(process, port):
            server = Server(kind, process, folder, port, time.perf_counter() - started)
            while kind.name == "nchan" and process.poll() is None and len(server.pids) < 2:
                time.sleep(0.01)  # nginx listens before its worker exists
            return server
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    raise BenchError(f"{kind.name} did not start: {_log_end(folder)}")


def _wait_until_listening(process: subprocess.Popen[bytes], port: int) -> bool:
    if process.stdout is not None:
        return bool(process.stdout.readline())
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        time.sleep(0.01)
    return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _environment(bench: Bench, kind: Kind, folder: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TALKEE_")}
    if kind.name == "isso":
        return environment | {"ISSO_SETTINGS": str(folder / "isso.cfg")}
    environment["PYTHONPATH"] = str(ROOT)
    if bench.tools.ws_modules is not None:
        environment["WS_MODULES"] = str(bench.tools.ws_modules)
    return environment


def _command(bench: Bench, kind: Kind, folder: Path, port: int) -> list[str]:
    tools, python = bench.tools, sys.executable
    if kind.name == "ours":
        settings = folder / "talkee.toml"
        settings.write_text(SETTINGS.format(path=folder / "talkee.db", secret=seed.SECRET))
        program = ["-m", "talkee_lite"]
        if kind.inside:
            program = ["-m", "bench.inside", str(folder / "inside.json"), kind.inside]
        if kind.plain:
            program = ["-c", _WITHOUT_UVLOOP]
        return [python, *program, "--config", str(settings), "--port", str(port)]
    if kind.name == "c":
        # What stands in a frame beside `padding`: the message's id and its data.
        padding = max(0, bench.frame_bytes - 36 - len(seed.DATA))
        return [str(tools.rooms), str(port), str(padding)]
    if kind.name in ("aiohttp", "aiohttp_plain"):
        how = ["uncompressed"] if kind.name == "aiohttp_plain" else []
        bytes_ = str((bench.comments_bytes if kind.comments else bench.list_bytes) or 2)
        return [python, "-m", "bench.references.aiohttp_rooms", str(port), bytes_, *how]
    if kind.name == "websockets":
        return [python, "-m", "bench.references.websockets_rooms", str(port)]
    if kind.name == "ws":
        return [tools.node, str(HERE / "references" / "ws_rooms.mjs"), str(port)]
    if kind.name == "isso":
        settings = folder / "isso.cfg"
        settings.write_text(ISSO.format(path=folder / "isso.db", port=port))
        # With threads, of which one is busy at a time, since its other workers close each
        # connection after one answer.
        how = ["--workers", "1", "--worker-class", "gthread", "--threads", "4"]
        listening = ["--bind", f"127.0.0.1:{port}", "--keep-alive", "60"]
        listening += ["--graceful-timeout", "1"]
        return [tools.isso, *how, *listening, "isso.run"]
    assert kind.name == "nchan"
    settings = folder / "nginx.conf"
    text = (HERE / "references" / "nchan.conf").read_text()
    for word, value in (("MODULE", NCHAN_MODULE), ("FOLDER", folder), ("PORT", port)):
        text = text.replace(word, str(value))
    settings.write_text(text)
    return [tools.nginx, "-p", str(folder), "-e", str(folder / "log"), "-c", str(settings)]


def _log_end(folder: Path) -> str:
    lines = (folder / "log").read_text(errors="replace").splitlines()
    return f"{folder / 'log'} ends with:\n" + "\n".join(lines[-20:])
