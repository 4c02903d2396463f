"""A database with people and messages, made by the thousand and the same each time."""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import jwt

from talkee_lite.markdown import to_html
from talkee_lite.markdown import version as markdown_version
from talkee_lite.store import migrations
from talkee_lite.store.migrations import migrate
from talkee_lite.store.writer import connect_writer

from .setting import Stored

PEOPLE = 10_000
SECRET = "the benchmark's own secret, of more than 32 bytes"
TEXT = "Hello, world! " * 7
"""What everybody says: 98 characters, as chat lines go."""

COMMENT = TEXT + "\U0001f44b!"
"""What everybody comments: 100 characters."""
EACH = 20
"""Comments below a page."""
_LIKED, _LIKERS = 3, 100

DATA = base64.b64encode(TEXT.encode()).decode()
"""`TEXT` as a message holds it."""

_SECOND = 1_000_000
_PREPARED_SECONDS = 43_200
_FIRST_MESSAGE = 1_700_000_000 * _SECOND
_filling = threading.Lock()


def slug_of(room: int | str) -> str:
    """The slug of a room of the benchmark."""
    return f"/bench/{room}"


def make_database(path: Path, stored: Stored, prepared: Path) -> None:
    """A database at `path` with `PEOPLE` signed-in guests and what is `stored`.

    It is made once in the folder `prepared` and copied from there. The copy is on the disk when
    this returns, so that nothing of it is left to write while something is measured.
    """
    source = prepared / f"{stored.messages}-in-{stored.rooms}-and-{stored.comments}.db"
    with _filling:
        if not _is_fresh(source):
            prepared.mkdir(parents=True, exist_ok=True)
            unfinished = source.with_suffix(f".{os.getpid()}")
            _fill(unfinished, stored)
            unfinished.replace(source)
    for old in path.parent.glob(path.name + "*"):
        old.unlink()
    shutil.copyfile(source, path)
    os.sync()


def _is_fresh(prepared: Path) -> bool:
    """Whether its sessions live long enough, and its tables are those of today."""
    if not prepared.exists():
        return False
    made = prepared.stat().st_mtime
    changed = max(Path(file).stat().st_mtime for file in (__file__, migrations.__file__))
    return made > max(changed, time.time() - _PREPARED_SECONDS)


def make_tokens(path: Path) -> None:
    """The access tokens of all guests, one a line; the server's `jwt_secret` must be `SECRET`."""
    now = int(time.time())
    lines = (
        jwt.encode(
            {
                "user_id": number,
                "iat": now,
                "exp": now + 86_400,
                "jti": _session(number),
                "scope": "page",
            },
            SECRET,
            algorithm="HS256",
        )
        for number in range(1, PEOPLE + 1)
    )
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def _session(number: int) -> str:
    return f"session-of-guest-{number}"


def _fill(path: Path, stored: Stored) -> None:
    connection = connect_writer(path)
    try:
        migrate(connection, path)
        connection.execute("begin immediate")
        now = int(time.time()) * _SECOND
        _insert_people(connection, now)
        connection.execute(
            "insert into sites (id, name, origins, created_at, updated_at)"
            " values (1, 'Benchmark', '[]', ?, ?)",
            (now, now),
        )
        if stored.rooms:
            _insert_messages(connection, stored.messages // stored.rooms, stored.rooms, now)
        if stored.comments:
            _insert_comments(connection, stored.comments // EACH, now)
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
    finally:
        connection.close()


def _insert_messages(connection: sqlite3.Connection, each: int, rooms: int, now: int) -> None:
    connection.executemany(
        "insert into pages (id, site_id, slug, last_seq, created_at) values (?, 1, ?, ?, ?)",
        ((room + 1, slug_of(room), each, now) for room in range(rooms)),
    )
    connection.executemany(
        "insert into messages (id, page_id, message_id, user_id, category, data, status, seq,"
        " created_at) values (?, ?, ?, ?, 'text', ?, 'published', ?, ?)",
        _messages(each, rooms),
    )
    connection.execute(
        "insert into room_log (page_id, seq, kind, message_row, created_at)"
        " select page_id, seq, 'posted', id, created_at from messages order by page_id, seq"
    )


def _insert_comments(connection: sqlite3.Connection, pages: int, now: int) -> None:
    """`EACH` comments below each page; the first three of the first are liked by 100 people."""
    connection.executemany(
        "insert into pages (id, site_id, slug, comment_total, published_count, revision,"
        " created_at) values (?, 1, ?, ?, ?, ?, ?)",
        ((page + 1, slug_of(page), EACH, EACH, EACH, now) for page in range(pages)),
    )
    html, version = to_html(COMMENT), markdown_version()
    connection.executemany(
        "insert into comments (id, page_id, user_id, content, digest, html, html_version, status,"
        " listed, favor_count, created_at, updated_at)"
        " values (?, ?, ?, ?, ?, ?, ?, 'published', 1, ?, ?, ?)",
        (
            (row, page + 1, row % PEOPLE + 1, COMMENT, row, html, version, likes, at, at)
            for page in range(pages)
            for row in range(page * EACH + 1, (page + 1) * EACH + 1)
            for at in (_FIRST_MESSAGE + row * _SECOND,)
            for likes in (_LIKERS if row <= _LIKED else 0,)
        ),
    )
    connection.executemany(
        "insert into favourites (comment_id, user_id, created_at) values (?, ?, ?)",
        ((row, user, now) for row in range(1, _LIKED + 1) for user in range(1, _LIKERS + 1)),
    )


def _insert_people(connection: sqlite3.Connection, now: int) -> None:
    numbers = range(1, PEOPLE + 1)
    connection.executemany(
        "insert into users (id, mixin_user_id, full_name, name_folded, name_skeleton, is_guest,"
        " created_at, updated_at) values (?, ?, ?, ?, '', 1, ?, ?)",
        (
            (number, str(uuid.UUID(int=number)), f"Guest {number}", f"guest {number}", now, now)
            for number in numbers
        ),
    )
    connection.executemany(
        "insert into sessions (jti, user_id, scope, created_at, expires_at, last_used_at)"
        " values (?, ?, 'page', ?, ?, ?)",
        ((_session(number), number, now, now + 86_400 * _SECOND, now) for number in numbers),
    )


def _messages(each: int, rooms: int) -> Iterator[tuple[int, int, str, int, str, int, int]]:
    """Rows as they come to be where people talk in all rooms at once."""
    row = 0
    for seq in range(1, each + 1):
        for room in range(rooms):
            row += 1
            yield (
                row,
                room + 1,
                str(uuid.UUID(int=(1 << 127) + row)),
                row % PEOPLE + 1,
                DATA,
                seq,
                _FIRST_MESSAGE + row * _SECOND // 10,
            )
