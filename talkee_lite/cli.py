"""The command line: `python -m talkee_lite [serve]` and the other verbs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cli_sites import add_site_verbs
from .config import Config, ConfigError, load_config
from .control_client import LONG_SECONDS, SHORT_SECONDS, Failed, ask
from .store.lock import DatabaseInUse
from .store.migrations import DatabaseUnusable
from .version import VERSION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status: 0, 1 for a failure, 2 for wrong arguments."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(given or ["serve"])
    if options.run is None:
        # Options of `serve` without the word itself.
        options = parser.parse_args(["serve", *given])
    try:
        config = load_config(getattr(options, "config", None), os.environ, _overrides(options))
        return int(options.run(options, config) or 0)
    except (ConfigError, DatabaseInUse, DatabaseUnusable, Failed) as error:
        print(f"talkee-lite: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


def _parser() -> argparse.ArgumentParser:
    # SUPPRESS: an option that stands before the verb must not be undone by the verb's default.
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--config", metavar="FILE", help="settings (default: ./talkee.toml)")
    common.add_argument("--database", metavar="URL", help="database, as in sqlite:talkee.db")

    serving = argparse.ArgumentParser(
        add_help=False, parents=[common], argument_default=argparse.SUPPRESS
    )
    serving.add_argument("--host", metavar="H", help="address to listen on")
    serving.add_argument("--port", metavar="P", type=int, help="port; 0: any free one")

    parser = argparse.ArgumentParser(
        prog="talkee-lite",
        parents=[serving],
        description="Live chat rooms and threaded comments for your own site.",
        epilog="Without a verb it serves. Each verb has --help.",
    )
    parser.add_argument("--version", action="version", version=f"talkee-lite {VERSION}")
    parser.set_defaults(run=None)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")

    def verb(
        where: Any, name: str, run: Any, help: str, parent: argparse.ArgumentParser = common
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = where.add_parser(
            name, help=help, description=help, parents=[parent]
        )
        made.set_defaults(run=run)
        return made

    verb(verbs, "serve", _serve, "run the server (this is also what no verb does)", serving)
    verb(verbs, "check-config", _check_config, "check the settings and show what they come to")
    token = verb(verbs, "token", _token, "print an access token of a new guest, to develop with")
    token.add_argument("--name", required=True, help="the guest's name")

    backup = verb(verbs, "backup", _backup, "copy the database, while the server runs or not")
    backup.add_argument("file", type=Path, help="the new file; it must not exist")
    restore = verb(verbs, "restore", _restore, "put a backup back; no server may run")
    restore.add_argument("file", type=Path, help="the backup")
    for each in (backup, restore):
        each.add_argument(
            "--with-secret", action="store_true", help="the signing secret too, in FILE.secret"
        )

    verb(verbs, "recount", _recount, "count likes, replies and comments anew")

    add_site_verbs(verb, verbs)
    _add_room_verbs(verb, verbs)
    return parser


def _add_room_verbs(verb: Any, verbs: Any) -> None:
    """`message`, `room` and `user`: what an owner does about people and what they wrote."""

    def group(name: str, help: str) -> Any:
        made = verbs.add_parser(name, help=help, description=help)
        return made.add_subparsers(title="verbs", metavar="VERB", required=True)

    def in_room(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--site", type=int, default=1, metavar="ID", help="site (default: 1)")
        parser.add_argument("slug", help="the room's slug, usually the page's path")

    messages = group("message", "take messages away")
    delete = verb(messages, "delete", _simple("message-delete"), "erase a message for everybody")
    in_room(delete)
    delete.add_argument("message_id", help="the message's id")

    comments = group("comment", "publish comments that are held, and take comments away")
    held = verb(comments, "held", _simple("comment-held"), "list what waits for approval")
    held.add_argument("--site", type=int, default=1, metavar="ID", help="site (default: 1)")
    approve = verb(comments, "approve", _simple("comment-approve"), "publish a held comment")
    erase = verb(comments, "delete", _simple("comment-delete"), "erase a comment for everybody")
    for each in (approve, erase):
        in_room(each)
        each.add_argument("id", type=int, help="the comment's id")
        each.add_argument("--reply", type=int, metavar="ID", help="not it, but this reply to it")

    pages = group("page", "move and describe pages")
    move = verb(
        pages, "move", _simple("page-move", LONG_SECONDS), "take a page's comments to another page"
    )
    in_room(move)
    move.add_argument("new", help="the slug of the page where they shall be")
    describe = verb(pages, "set", _simple("page-set"), "set a page's address and title")
    in_room(describe)
    describe.add_argument("--address", help="the page's address")
    describe.add_argument("--title", help="the page's title")

    rooms = group("room", "close and open rooms")
    in_room(verb(rooms, "close", _simple("room-close"), "take no more messages in a room"))
    in_room(verb(rooms, "open", _simple("room-open"), "take messages in a room again"))

    users = group("user", "list, ban and sign out people")
    listing = verb(users, "list", _user_list, "list users, a hundred at a time")
    listing.add_argument("--query", default="", metavar="NAME", help="how their names begin")
    listing.add_argument("--after-id", type=int, default=0, metavar="ID", help="ids above this")
    listing.add_argument("--json", action="store_true", help="as JSON")
    ban = verb(users, "ban", _simple("user-ban"), "let somebody write nothing; effective at once")
    ban.add_argument("--hours", type=int, default=0, help="for how long (default: for good)")
    ban.add_argument("--reason", default="", help="kept beside the ban")
    unban = verb(users, "unban", _simple("user-unban"), "lift a ban")
    signout = verb(users, "signout", _simple("user-signout"), "end all sessions of somebody")
    export = verb(
        users,
        "export",
        _simple("user-export", LONG_SECONDS),
        "print all that is stored of somebody",
    )
    leave = verb(
        users, "delete", _simple("user-delete", LONG_SECONDS), "empty somebody's account for good"
    )
    leave.add_argument(
        "--remove-content", action="store_true", help="erase what they wrote too, for everybody"
    )
    for each in (ban, unban, signout, export, leave):
        each.add_argument("id", type=int, help="the user's id")


def _overrides(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    overrides: dict[str, dict[str, Any]] = {"server": {}, "database": {}}
    for table, key, name in (
        ("server", "host", "host"),
        ("server", "port", "port"),
        ("database", "url", "database"),
    ):
        value = getattr(options, name, None)
        if value is not None:
            overrides[table][key] = value
    return overrides


def _serve(options: argparse.Namespace, config: Config) -> int:
    from .serve import CannotListen, run_server

    try:
        run_server(config, _announce)
    except CannotListen as error:
        raise Failed(str(error)) from None
    return 0


def _announce(config: Config, address: str) -> None:
    print(address, flush=True)
    if not sys.stdout.isatty():
        return
    site_id = config.sites[0].id if config.sites else 1
    allow = f"talkee-lite site set {site_id} --add-origin https://blog.example.com"
    if config.sites:
        allow = f'origins = ["https://blog.example.com"] below [[sites]] id = {site_id}'
    script = f"{config.server.public_url or address}/talkee.js"
    print(
        f"\nOpen it in a browser to see a room. To put it into a page, paste this line:\n\n"
        f'  <script async src="{script}" data-site-id="{site_id}" data-chat></script>\n'
    )
    if not config.server.public_url:
        print(
            "Only pages of this machine may use it so far. Before others can, set public_url in\n"
            "talkee.toml to the address that readers will use, and allow your site's origin:\n\n"
            f"  {allow}\n"
        )
    print("Press Ctrl+C to stop.", flush=True)


def _check_config(options: argparse.Namespace, config: Config) -> int:
    from .config import TABLES, SiteConfig, settings_of

    for name, table in TABLES.items():
        print(f"[{name}]")
        for key in settings_of(table):
            value = getattr(getattr(config, name), key)
            print(f"{key} = {_shown(key, value)}")
        print()
    for site in config.sites:
        print("[[sites]]")
        for key in settings_of(SiteConfig):
            print(f"{key} = {_shown(key, getattr(site, key))}")
        print()
    return 0


def _shown(key: str, value: Any) -> str:
    return "(set)" if key.endswith(("_secret", "webhook_url")) and value else _toml(value)


def _toml(value: Any) -> str:
    # JSON spells these types as TOML does.
    return json.dumps(value, ensure_ascii=False)


def _token(options: argparse.Namespace, config: Config) -> int:
    print(ask(config, "token", {"name": options.name})["access_token"])
    return 0


def _backup(options: argparse.Namespace, config: Config) -> int:
    # Absolute: the server has a working folder of its own.
    given = {"file": str(options.file.absolute()), "with_secret": options.with_secret}
    done = ask(config, "backup", given, seconds=LONG_SECONDS)
    print(f"{done['file']}  {done['bytes']} bytes")
    return 0


def _recount(options: argparse.Namespace, config: Config) -> int:
    done = ask(config, "recount", {}, seconds=LONG_SECONDS)
    print(f"{done['comments']} comments and {done['pages']} pages were off")
    return 0


def _restore(options: argparse.Namespace, config: Config) -> int:
    from .store.backup import BackupFailed, restore

    try:
        done = restore(config.database.path, options.file, with_secret=options.with_secret)
    except BackupFailed as error:
        raise Failed(str(error)) from None
    print(f"{config.database.path}  {done.messages} messages")
    if done.kept is not None:
        print(f"what was there is now {done.kept}")
    return 0


def _simple(name: str, seconds: float = SHORT_SECONDS) -> Any:
    """A verb whose options are the parameters of the control verb `name`."""
    own = {"run", "config", "database", "host", "port"}

    def run(options: argparse.Namespace, config: Config) -> int:
        given = {key: value for key, value in vars(options).items() if key not in own}
        result = ask(config, name, given, seconds)
        if result is not None:
            print(json.dumps(result, ensure_ascii=False))
        return 0

    return run


def _user_list(options: argparse.Namespace, config: Config) -> int:
    given = {"query": options.query, "after_id": options.after_id}
    users = ask(config, "user-list", given)
    if options.json:
        print(json.dumps(users, indent=2, ensure_ascii=False))
        return 0
    for user in users:
        banned = f"  banned until {user['banned_until']}" if user["banned_until"] else ""
        print(f"{user['id']}  {user['full_name']}  {user['kind']}{banned}")
    return 0
