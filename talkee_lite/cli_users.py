"""The command line's verbs for people."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .administration import ROLES
from .cli_asking import asking
from .config import Config
from .control_client import LONG_SECONDS, ask


def add_user_verbs(verb: Any, verbs: Any) -> None:
    """`user`: who there is, what they may do, and how admins come in."""
    about = "list, ban and sign out people; make admins"
    user = verbs.add_parser("user", help=about, description=about)
    users = user.add_subparsers(title="verbs", metavar="VERB", required=True)
    listing = verb(users, "list", _user_list, "list users, a hundred at a time")
    listing.add_argument("--query", default="", metavar="NAME", help="how their names begin")
    listing.add_argument("--after-id", type=int, default=0, metavar="ID", help="ids above this")
    listing.add_argument("--json", action="store_true", help="as JSON")
    link = verb(users, "admin-link", _admin_link, "print a link by which an admin signs in")
    link.add_argument(
        "id",
        type=int,
        nargs="?",
        help="the admin's id (default: the first admin's; without one, whoever opens it)",
    )
    role = verb(users, "role", _user_role, "say what somebody may do; effective at once")
    role.add_argument("id", type=int, help="the user's id")
    role.add_argument("role", choices=list(ROLES), help="what they are from now on")
    role.add_argument(
        "--site", type=int, default=0, metavar="ID", help="on this site alone (default: on all)"
    )
    ban = verb(users, "ban", asking("user-ban"), "let somebody write nothing; effective at once")
    ban.add_argument("--hours", type=int, default=0, help="for how long (default: for good)")
    ban.add_argument("--reason", default="", help="kept beside the ban")
    unban = verb(users, "unban", asking("user-unban"), "lift a ban")
    signout = verb(users, "signout", asking("user-signout"), "end all sessions of somebody")
    password = verb(users, "password", _user_password, "make a new password for who forgot theirs")
    export = verb(
        users,
        "export",
        asking("user-export", LONG_SECONDS),
        "print all that is stored of somebody",
    )
    leave = verb(
        users, "delete", asking("user-delete", LONG_SECONDS), "empty somebody's account for good"
    )
    leave.add_argument(
        "--remove-content", action="store_true", help="erase what they wrote too, for everybody"
    )
    for each in (ban, unban, signout, password, export, leave):
        each.add_argument("id", type=int, help="the user's id")


def _user_list(options: argparse.Namespace, config: Config) -> int:
    given = {"query": options.query, "after_id": options.after_id}
    users = ask(config, "user-list", given)
    if options.json:
        print(json.dumps(users, indent=2, ensure_ascii=False))
    else:
        for user in users:
            _print_user(user)
    return 0


def _user_role(options: argparse.Namespace, config: Config) -> int:
    given = {"id": options.id, "role": options.role, "site": options.site}
    _print_user(ask(config, "user-role", given))
    return 0


def _print_user(user: dict[str, Any]) -> None:
    parts = [str(user["id"]), user["full_name"], user["kind"]]
    parts += [
        f"{role['role']} of site {role['site_id']}" for role in user["roles"] if role["site_id"]
    ]
    if user["banned_until"]:
        parts.append(f"banned until {user['banned_until']}")
    print("  ".join(parts))


def _user_password(options: argparse.Namespace, config: Config) -> int:
    print(ask(config, "user-password", {"id": options.id}))
    return 0


def _admin_link(options: argparse.Namespace, config: Config) -> int:
    link = ask(config, "user-admin-link", {"id": options.id})
    print(link, flush=True)
    print("It works once, within an hour.", file=sys.stderr)
    if "#new=" in link:
        print("The server prints another at each start, and this one is dead.", file=sys.stderr)
    return 0
