"""The command line without its loading time: a process that has loaded it forks for each start.

Each child is a process of its own with its own folder, environment and output, and runs `main` from
its beginning: what differs from `python -m talkee_lite` is that the modules are there already.
"""

from __future__ import annotations

import array
import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_MOST = 1024 * 1024


class Fork:
    """A running child; as much of `subprocess.Popen` as the tests use."""

    def __init__(self, connection: socket.socket, arguments: Sequence[str]) -> None:
        self._connection = connection
        self._arguments = arguments
        self._said = b""
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._read(None)
        self.pid = int(self._said.partition(b"\n")[0])
        self._said = self._said.partition(b"\n")[2]

    def _read(self, seconds: float | None) -> None:
        """Take one line of what the parent says. Raises TimeoutExpired."""
        while b"\n" not in self._said:
            if not select.select([self._connection], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(self._arguments, seconds or 0)
            more = self._connection.recv(100)
            if not more:
                raise ConnectionError("the process that forks is gone")
            self._said += more

    def poll(self) -> int | None:
        """The exit status if the child has ended; a signal's number is negative."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises TimeoutExpired after `timeout` seconds."""
        if self.returncode is None:
            self._read(timeout)
            self.returncode = int(self._said)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the child, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class _Parent:
    """The process that has loaded everything."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks")
        self._address = str(Path(self._folder.name) / "s")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks", self._address],
            cwd=Path(__file__).parents[1],
            # It ends with this process, however that ends: then nobody holds the other side.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        atexit.register(self._end)

    def _end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        outputs: tuple[int, int],
    ) -> Fork:
        """A child with these as its standard output and error."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        asked = {"arguments": arguments, "folder": str(folder), "environ": dict(environ)}
        socket.send_fds(connection, [json.dumps(asked).encode() + b"\n"], list(outputs))
        return Fork(connection, arguments)


_parents: list[_Parent] = []


def start(arguments: Sequence[str], folder: Path, environ: Mapping[str, str], stderr: int) -> Fork:
    """The command line with `arguments` in `folder`; `stdout` is a pipe."""
    reading, writing = os.pipe()
    try:
        child = _parent().start(arguments, folder, environ, (writing, stderr))
    finally:
        os.close(writing)
    child.stdout = os.fdopen(reading, encoding="utf-8")
    return child


def run(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end. Raises TimeoutExpired."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        child = _parent().start(arguments, folder, environ, (said.fileno(), errors.fileno()))
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        said.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, status, said.read(), errors.read())


def _parent() -> _Parent:
    if not _parents:
        _parents.append(_Parent())
    return _parents[0]


# In the process that forks.


def _serve(address: str) -> None:
    _load()
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(wake)
    children: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener.fileno(), ended, 0], [], [])
            if 0 in ready:
                return
            if ended in ready:
                os.read(ended, 4096)
                _reap(children)
            if listener.fileno() in ready:
                _take(listener, ended, children)


def _load() -> None:
    import argon2
    import eth_account
    import uvloop

    import talkee_lite.api.control
    import talkee_lite.cli
    import talkee_lite.control
    import talkee_lite.markup
    import talkee_lite.serve

    assert [argon2, eth_account, uvloop, talkee_lite]


def _take(listener: socket.socket, ended: int, children: dict[int, socket.socket]) -> None:
    connection, _ = listener.accept()
    data, outputs = b"", array.array("i")
    while not data.endswith(b"\n"):
        more, fds, _, _ = socket.recv_fds(connection, _MOST, 2)
        data += more
        outputs.extend(fds)
    pid = os.fork()
    if pid == 0:
        listener.close()
        for other in (*children.values(), connection):
            other.close()
        os.close(ended)
        os._exit(_run(json.loads(data), outputs))
    for output in outputs:
        os.close(output)
    children[pid] = connection
    connection.sendall(b"%d\n" % pid)


def _reap(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        connection = children.pop(pid)
        # Whoever asked may be gone.
        with connection, suppress(OSError):
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _run(asked: dict[str, Any], outputs: Sequence[int]) -> int:
    """Be the command line; the exit status."""
    from talkee_lite.cli import main

    os.close(signal.set_wakeup_fd(-1))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
        os.close(output)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, "utf-8", "backslashreplace", closefd=False)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    try:
        status: object = main(asked["arguments"])
    except SystemExit as done:
        status = done.code
    except BaseException:
        traceback.print_exc()
        status = 1
    with suppress(OSError):
        sys.stdout.flush()
    return status if isinstance(status, int) else 0 if status is None else 1


if __name__ == "__main__":
    _serve(sys.argv[1])
