"""Isso's database with as many comments as the measured server has, made once."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from .seed import COMMENT, EACH, slug_of
from .setting import Stored

_FIRST = 1_700_000_000.0
# The tables of Isso 0.14, as it makes them itself.
_TABLES = """
pragma user_version = 5;
create table threads (id integer primary key, uri varchar unique, title varchar);
create table comments (
    tid references threads(id), id integer primary key, parent integer, created float not null,
    modified float, mode integer, remote_addr varchar, text varchar not null, author varchar,
    email varchar, website varchar, likes integer default 0, dislikes integer default 0,
    voters blob not null, notification integer default 0
);
"""


def make_database(path: Path, stored: Stored, prepared: Path) -> None:
    """A database at `path` with `stored.comments`, `EACH` below each page."""
    source = prepared / f"isso-{stored.comments}.db"
    if not source.exists():
        prepared.mkdir(parents=True, exist_ok=True)
        unfinished = source.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        _fill(unfinished, stored.comments // EACH)
        unfinished.replace(source)
    shutil.copyfile(source, path)


def _fill(path: Path, pages: int) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(_TABLES)
    connection.executemany(
        "insert into threads values (?, ?, ?)",
        ((page + 1, slug_of(page), f"Page {page}") for page in range(pages)),
    )
    connection.executemany(
        "insert into comments (tid, id, created, mode, remote_addr, text, author, voters)"
        " values (?, ?, ?, 1, '127.0.0.0', ?, ?, ?)",
        (
            (page + 1, row, _FIRST + row, COMMENT, f"Guest {row % 100}", bytes(256))
            for page in range(pages)
            for row in range(page * EACH + 1, (page + 1) * EACH + 1)
        ),
    )
    connection.commit()
    connection.close()
