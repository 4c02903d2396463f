"""The command line: `python -m talkee_lite [serve]` and the other verbs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cli_asking import asking
from .cli_sites import add_site_verbs
from .cli_users import add_user_verbs
from .config import Config, ConfigError, load_config
from .control_client import LONG_SECONDS, Failed, ask
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
    add_user_verbs(verb, verbs)
    return parser


def _add_room_verbs(verb: Any, verbs: Any) -> None:
    """`message`, `comment`, `page` and `room`: what an owner does about what people wrote."""

    def group(name: str, help: str) -> Any:
        made = verbs.add_parser(name, help=help, description=help)
        return made.add_subparsers(title="verbs", metavar="VERB", required=True)

    def in_room(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--site", type=int, default=1, metavar="ID", help="site (default: 1)")
        parser.add_argument("slug", help="the room's slug, usually the page's path")

    messages = group("message", "take messages away")
    delete = verb(messages, "delete", asking("message-delete"), "erase a message for everybody")
    in_room(delete)
    delete.add_argument("message_id", help="the message's id")

    comments = group("comment", "publish comments that are held, and take comments away")
    held = verb(comments, "held", asking("comment-held"), "list what waits for approval")
    held.add_argument("--site", type=int, default=1, metavar="ID", help="site (default: 1)")
    approve = verb(comments, "approve", asking("comment-approve"), "publish a held comment")
    erase = verb(comments, "delete", asking("comment-delete"), "erase a comment for everybody")
    for each in (approve, erase):
        in_room(each)
        each.add_argument("id", type=int, help="the comment's id")
        each.add_argument("--reply", type=int, metavar="ID", help="not it, but this reply to it")

    pages = group("page", "move and describe pages")
    move = verb(
        pages, "move", asking("page-move", LONG_SECONDS), "take a page's comments to another page"
    )
    in_room(move)
    move.add_argument("new", help="the slug of the page where they shall be")
    describe = verb(pages, "set", asking("page-set"), "set a page's address and title")
    in_room(describe)
    describe.add_argument("--address", help="the page's address")
    describe.add_argument("--title", help="the page's title")

    rooms = group("room", "close and open rooms")
    in_room(verb(rooms, "close", asking("room-close"), "take no more messages in a room"))
    in_room(verb(rooms, "open", asking("room-open"), "take messages in a room again"))


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


def _announce(config: Config, address: str, first_link: str) -> None:
    print(address, flush=True)
    if first_link:
        print(
            "\nThis server has no admin yet. Whoever opens this link first becomes it; it works"
            f" once,\nwithin an hour, and until the next start:\n\n  {first_link}\n",
            flush=True,
        )
    if not sys.stdout.isatty():
        return
    site_id = config.sites[0].id if config.sites else 1
    allow = f"talkee-lite site set {site_id} --add-origin https://blog.example.com"
    if config.sites:
        allow = f'origins = ["https://blog.example.com"] below [[sites]] id = {site_id}'
    script = f"{config.server.public_url or address}/talkee.js"
    if config.server.welcome:
        print("\nOpen it in a browser to try it, and for how to put it into your blog.")
    print(
        "\nThis line puts comments into a page, where it stands, and a chat into its corner:\n\n"
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
