"""The process lock: one program at a time owns a database.

It stands in a file of its own beside the database, `<name>.lock`, since any other handle on an
SQLite file that is closed drops SQLite's own locks (fcntl(2)). The file says who holds it and
where the holder's control socket listens.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

# sun_path holds 108 bytes on Linux and 104 elsewhere, the closing zero included (unix(7)).
_MAX_SOCKET_PATH = 103


class DatabaseInUse(Exception):
    """Another process owns the database; the message is a sentence that says which."""


def lock_path(database: Path) -> Path:
    """The lock file that belongs to `database`."""
    return database.with_name(database.name + ".lock")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who owns the database, as the lock file tells. `socket` is "" where there is none."""

    pid: int
    socket: str


class ProcessLock:
    """Owns one database file until `release` or the end of the process."""

    def __init__(self, database: Path, descriptor: int) -> None:
        self._database = database
        self._descriptor = descriptor
        self.socket_path = _socket_path(database)

    @classmethod
    def acquire(cls, database: Path) -> ProcessLock:
        """Take the lock, or raise DatabaseInUse at once. The folder must exist."""
        path = lock_path(database)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            holder = read_holder(database)
            who = f"process {holder.pid}" if holder else "another process"
            raise DatabaseInUse(f"{database} is in use by {who}; only one may own it") from None
        lock = cls(database, descriptor)
        lock.announce("")
        return lock

    def announce(self, socket: str) -> None:
        """Write down who holds the lock and where its control socket listens."""
        text = json.dumps({"pid": os.getpid(), "socket": socket}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        """Give the database up. The file stays, empty: removing it would race with others."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def read_holder(database: Path) -> Holder | None:
    """Who owns `database`, if the lock file says so. It may be out of date."""
    try:
        raw = json.loads(lock_path(database).read_bytes())
        return Holder(int(raw["pid"]), str(raw["socket"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _socket_path(database: Path) -> Path:
    beside = Path(os.path.abspath(database)).with_name(database.name + ".sock")
    if len(os.fsencode(beside)) <= _MAX_SOCKET_PATH:
        return beside
    return Path(tempfile.gettempdir()) / f"talkee-{uuid.uuid4().hex}.sock"
