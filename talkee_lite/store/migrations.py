"""The schema, as an append-only list of migrations.

Each runs in one transaction together with its version (`pragma user_version`). Never edit one
that was released; append. Before a file that holds data is migrated a copy is put beside it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path

APPLICATION_ID = 0x54414C4B
"""«TALK»: marks an SQLite file as ours (sqlite.org/pragma.html#pragma_application_id)."""

KEPT_COPIES = 2

MIGRATIONS: tuple[str, ...] = (
    """
    create table meta (
        key text primary key,
        value text not null
    );
    create table users (
        id integer primary key autoincrement,
        mixin_user_id text not null unique,
        mixin_identity_number text not null default '0',
        full_name text not null,
        name_folded text not null,
        name_skeleton text not null,
        mvm_public_key text not null default '',
        is_guest integer not null,
        lang text not null default '',
        banned_until integer not null default 0,
        ban_reason text not null default '',
        merged_into integer references users (id),
        deleted_at integer,
        created_at integer not null,
        updated_at integer not null
    );
    create index users_by_folded_name on users (name_folded);
    create index users_by_skeleton on users (name_skeleton);
    create index users_guests on users (created_at) where is_guest = 1;
    create table identities (
        provider text not null,
        subject text not null,
        user_id integer not null references users (id),
        created_at integer not null,
        primary key (provider, subject)
    );
    create index identities_by_user on identities (user_id);
    create table sites (
        id integer primary key,
        owner_id integer references users (id),
        name text not null,
        origins text not null,
        public_chat integer not null default 0,
        sso_secret text not null default '',
        webhook_url text not null default '',
        from_settings integer not null default 0,
        created_at integer not null,
        updated_at integer not null
    );
    create table roles (
        site_id integer not null,
        user_id integer not null references users (id),
        role text not null,
        created_at integer not null,
        primary key (site_id, user_id)
    );
    create table sessions (
        jti text primary key,
        user_id integer not null references users (id),
        scope text not null,
        created_at integer not null,
        expires_at integer not null,
        last_used_at integer not null
    );
    create index sessions_by_user on sessions (user_id);
    create index sessions_by_expiry on sessions (expires_at);
    create table pages (
        id integer primary key autoincrement,
        site_id integer not null references sites (id),
        slug text not null,
        last_seq integer not null default 0,
        log_start integer not null default 0,
        revision integer not null default 0,
        address text not null default '',
        title text not null default '',
        closed integer not null default 0,
        slow_seconds integer not null default 0,
        moved_to integer references pages (id),
        created_at integer not null,
        unique (site_id, slug)
    );
    create table messages (
        id integer primary key autoincrement,
        page_id integer not null references pages (id),
        message_id text not null,
        user_id integer not null references users (id),
        category text not null,
        data text not null,
        status text not null,
        seq integer,
        deleted_at integer,
        deleted_by integer,
        created_at integer not null,
        unique (page_id, message_id)
    );
    create index messages_by_user on messages (user_id, page_id);
    create index messages_by_status on messages (page_id, status) where status != 'published';
    create table room_log (
        page_id integer not null references pages (id),
        seq integer not null,
        kind text not null,
        message_row integer references messages (id),
        user_id integer,
        created_at integer not null,
        primary key (page_id, seq)
    ) without rowid;
    """,
    # Comments below pages.
    """
    alter table pages add column comment_total integer not null default 0;
    alter table pages add column published_count integer not null default 0;
    create table comments (
        id integer primary key autoincrement,
        page_id integer not null references pages (id),
        user_id integer not null references users (id),
        content text not null,
        digest integer not null,
        html text not null,
        html_version integer not null,
        status text not null,
        listed integer not null,
        favor_count integer not null default 0,
        reply_count integer not null default 0,
        edited integer not null default 0,
        deleted_at integer,
        deleted_by integer,
        created_at integer not null,
        updated_at integer not null
    );
    create index comments_by_favor on comments (page_id, favor_count, id) where listed = 1;
    create index comments_by_time on comments (page_id, created_at, id) where listed = 1;
    create index comments_by_replies on comments (page_id, reply_count, id) where listed = 1;
    create index comments_by_user on comments (user_id, digest);
    create table replies (
        id integer primary key autoincrement,
        comment_id integer not null references comments (id),
        reply_to integer not null default 0,
        user_id integer not null references users (id),
        content text not null,
        digest integer not null,
        html text not null,
        html_version integer not null,
        status text not null,
        edited integer not null default 0,
        deleted_at integer,
        deleted_by integer,
        created_at integer not null,
        updated_at integer not null
    );
    create index replies_by_time on replies (comment_id, created_at, id)
        where status = 'published';
    create index replies_by_comment on replies (comment_id);
    create index replies_by_user on replies (user_id, digest);
    create table favourites (
        id integer primary key autoincrement,
        comment_id integer not null references comments (id),
        user_id integer not null references users (id),
        created_at integer not null,
        unique (comment_id, user_id)
    );
    create index favourites_by_user on favourites (user_id);
    """,
    # Comments that wait for approval, pictures, pages that moved.
    """
    alter table sites add column hold_comments text not null default 'nobody';
    alter table sites add column images integer not null default 0;
    create index comments_held on comments (page_id, user_id) where status = 'pending';
    create index replies_held on replies (comment_id) where status = 'pending';
    create index pages_moved on pages (moved_to) where moved_to is not null;
    """,
    # What owners are told of: how each channel stands with a site's owner, how far the new was
    # looked at, and what waits.
    """
    alter table sites add column webhook_secret text not null default '';
    create table deliveries (
        channel text not null,
        site_id integer not null references sites (id),
        target text not null,
        since integer not null,
        failures integer not null default 0,
        next_try_at integer not null default 0,
        last_error text not null default '',
        failed_at integer not null default 0,
        delivered_at integer not null default 0,
        is_gone integer not null default 0,
        primary key (channel, site_id)
    );
    create table notice_cursors (
        kind text primary key,
        seen integer not null
    );
    create table notices (
        id integer primary key autoincrement,
        channel text not null,
        site_id integer not null,
        kind text not null,
        about integer not null,
        noticed_at integer not null
    );
    create index notices_by_delivery on notices (channel, site_id, id);
    """,
    # Ways to sign in that prove something: names that are theirs, roles that they bring, what
    # counts once, links for the owner.
    """
    alter table users add column avatar_url text not null default '';
    alter table users add column name_caseless text not null default '';
    alter table identities add column name text not null default '';
    alter table identities add column secret text not null default '';
    alter table roles add column granted_by text not null default '';
    alter table sessions add column method text not null default '';
    drop index users_by_skeleton;
    create index members_by_skeleton on users (name_skeleton) where is_guest = 0;
    create index members_by_caseless on users (name_caseless) where is_guest = 0;
    create index users_merged on users (merged_into) where merged_into is not null;
    create table used_once (
        key text primary key,
        expires_at integer not null
    ) without rowid;
    create index used_once_by_expiry on used_once (expires_at);
    create table admin_links (
        digest text primary key,
        user_id integer references users (id),
        expires_at integer not null
    );
    """,
    # What was kept of a chat: when it was said, who kept it, and the message that it was.
    """
    alter table comments add column said_at integer;
    alter table comments add column kept_by integer references users (id);
    alter table comments add column message_row integer references messages (id);
    alter table replies add column said_at integer;
    alter table replies add column message_row integer references messages (id);
    create index comments_kept on comments (message_row) where message_row is not null;
    create index comments_by_keeper on comments (kept_by) where kept_by is not null;
    create index replies_kept on replies (message_row) where message_row is not null;
    """,
)


class DatabaseUnusable(Exception):
    """The file is not a database of ours, or a newer one; it was not changed."""


def read_only_uri(path: Path) -> str:
    """The address that opens `path` for reading alone (sqlite.org/uri.html)."""
    return f"{path.absolute().as_uri()}?mode=ro"


def inspect(path: Path) -> int:
    """The version of the database at `path`, looked at without changing it; 0: none there yet.

    Raises DatabaseUnusable for a foreign, damaged or newer file.
    """
    try:
        if path.stat().st_size == 0:
            return 0
    except FileNotFoundError:
        return 0
    try:
        connection = sqlite3.connect(read_only_uri(path), uri=True)
        try:
            (application,) = connection.execute("pragma application_id").fetchone()
            (version,) = connection.execute("pragma user_version").fetchone()
            tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
            if application == APPLICATION_ID and version:
                connection.execute("select count(*) from meta").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseUnusable(f"{path} is not a usable database: {error}") from None
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise DatabaseUnusable(f"{path} is a database of another program")
    if version > len(MIGRATIONS):
        raise DatabaseUnusable(
            f"{path} was written by a newer version of Talkee Lite (schema {version}, this one"
            f" knows {len(MIGRATIONS)}); install that version or restore a copy"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to the newest version. `connection` owns the file."""
    (version,) = connection.execute("pragma user_version").fetchone()
    if version == len(MIGRATIONS):
        return
    if version:
        _keep_copy(connection, path, version)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        try:
            connection.executescript(
                f"begin immediate; {script};"
                f" pragma application_id = {APPLICATION_ID};"
                f" pragma user_version = {number}; commit;"
            )
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("rollback")
            raise


def _keep_copy(connection: sqlite3.Connection, path: Path, version: int) -> None:
    size = path.stat().st_size + path.with_name(path.name + "-wal").stat().st_size
    free = shutil.disk_usage(path.parent).free
    if free < size + size // 10:
        raise DatabaseUnusable(
            f"{path} needs {size} bytes of free space for a copy before the upgrade; there are"
            f" {free}"
        )
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target_path = path.with_name(f"{path.name}.v{version}-{stamp}")
    target_path.touch(mode=0o600)
    target = sqlite3.connect(target_path)
    try:
        connection.backup(target)
    finally:
        target.close()
    copies = sorted(
        path.parent.glob(f"{path.name}.v*-*"), key=lambda copy: copy.name.rpartition(".v")[2][-15:]
    )
    for old in copies[:-KEPT_COPIES]:
        old.unlink()
