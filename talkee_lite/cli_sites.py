"""The command line's verbs for sites."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from .config import Config
from .control_client import LONG_SECONDS, Failed, ask
from .models import Hold


def add_site_verbs(verb: Any, verbs: Any) -> None:
    """`site`: which sites there are, and what is set for them."""
    site = verbs.add_parser("site", help="list, add and change sites", description="Sites.")
    sites = site.add_subparsers(title="verbs", metavar="VERB", required=True)
    listing = verb(sites, "list", _site_list, "list the sites")
    listing.add_argument("--json", action="store_true", help="as JSON")
    add = verb(sites, "add", _site_add, "add a site")
    add.add_argument("--name", required=True, help="the site's name")
    add.add_argument(
        "--origin", action="append", default=[], metavar="ORIGIN", help="allowed; may be repeated"
    )
    change = verb(sites, "set", _site_set, "change a site; effective at once")
    change.add_argument("id", type=int, help="the site's id")
    change.add_argument("--name", help="its new name")
    change.add_argument("--origin", action="append", metavar="ORIGIN", help="allow just these")
    change.add_argument(
        "--add-origin", action="append", default=[], metavar="ORIGIN", help="allow one more"
    )
    change.add_argument(
        "--remove-origin", action="append", default=[], metavar="ORIGIN", help="allow one less"
    )
    change.add_argument(
        "--hold-comments",
        choices=[hold.value for hold in Hold],
        help="whose comments wait for approval",
    )
    change.add_argument(
        "--images",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="let comments show pictures from other servers",
    )
    change.add_argument(
        "--webhook", metavar="URL", help='where to send news of what people write; "": nowhere'
    )
    change.add_argument(
        "--new-webhook-secret", action="store_true", help="sign that news with another secret"
    )
    sso_secret = change.add_mutually_exclusive_group()
    sso_secret.add_argument(
        "--new-sso-secret",
        action="store_true",
        help="let the site's own accounts sign in by another secret",
    )
    sso_secret.add_argument("--no-sso", action="store_true", help="let them not sign in any more")
    hook = verb(sites, "webhook", _site_webhook, "show a site's webhook, its secret, how it goes")
    hook.add_argument("id", type=int, help="the site's id")
    hook.add_argument("--test", action="store_true", help="send a test event first")
    hook.add_argument("--json", action="store_true", help="as JSON")
    sso = verb(sites, "sso", _site_sso, "show with what a site's server signs people in")
    sso.add_argument("id", type=int, help="the site's id")
    sso.add_argument("--json", action="store_true", help="as JSON")
    feed = verb(sites, "feed", _site_feed, "print the address of the owner's feed")
    feed.add_argument("id", type=int, help="the site's id")
    for each in (add, change):
        each.add_argument(
            "--public-chat",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="let everybody read the chat, signed in or not",
        )


def _site_list(options: argparse.Namespace, config: Config) -> int:
    sites = ask(config, "site-list", {})
    if options.json:
        print(json.dumps(sites, indent=2, ensure_ascii=False))
        return 0
    for site in sites:
        notes = ["in the settings"] if site["from_settings"] else []
        notes += ["public chat"] if site["public_chat"] else []
        notes += ["pictures"] if site["images"] else []
        if site["hold_comments"] != Hold.NOBODY:
            notes.append(f"comments of {site['hold_comments']} are held")
        notes += ["webhook"] if site["has_webhook"] else []
        notes += ["sso"] if site["has_sso"] else []
        _print_site(site, notes)
    return 0


def _print_site(site: dict[str, Any], notes: Sequence[str] = ()) -> None:
    more = f" ({', '.join(notes)})" if notes else ""
    origins = " ".join(site["origins"]) or "no origins"
    print(f"{site['id']}  {site['name']}  {origins}{more}")


def _site_add(options: argparse.Namespace, config: Config) -> int:
    given = {"name": options.name, "origins": options.origin, "public_chat": options.public_chat}
    _print_site(ask(config, "site-add", given))
    return 0


def _site_set(options: argparse.Namespace, config: Config) -> int:
    given = {
        "id": options.id,
        "name": options.name,
        "origins": options.origin,
        "add_origins": options.add_origin,
        "remove_origins": options.remove_origin,
        "public_chat": options.public_chat,
        "hold_comments": options.hold_comments,
        "images": options.images,
        "webhook_url": options.webhook,
        "new_webhook_secret": options.new_webhook_secret,
        "new_sso_secret": options.new_sso_secret,
        "no_sso": options.no_sso,
    }
    _print_site(ask(config, "site-set", given, seconds=LONG_SECONDS))
    return 0


def _site_webhook(options: argparse.Namespace, config: Config) -> int:
    hook = ask(config, "site-webhook", {"id": options.id, "test": options.test})
    if options.json:
        print(json.dumps(hook, indent=2, ensure_ascii=False))
    else:
        print(f"address    {hook['url']}\nsecret     {hook['secret']}")
        print(f"delivered  {hook['delivered_at'] or 'nothing yet'}\nwaiting    {hook['waiting']}")
        if hook["is_gone"]:
            print(f"stopped    {hook['failed_at']}: {hook['last_error']}")
        elif hook["failures"]:
            print(f"failures   {hook['failures']}, last {hook['failed_at']}: {hook['last_error']}")
            print(f"next try   {hook['next_try_at']}")
    if hook["test"]:
        raise Failed(f"the test did not arrive: {hook['test']}")
    if options.test and not options.json:
        print("test       arrived")
    return 0


def _site_sso(options: argparse.Namespace, config: Config) -> int:
    sso = ask(config, "site-sso", {"id": options.id})
    if options.json:
        print(json.dumps(sso, indent=2, ensure_ascii=False))
    else:
        print(f"secret    {sso['secret']}\naudience  {sso['audience']}")
    return 0


def _site_feed(options: argparse.Namespace, config: Config) -> int:
    print(ask(config, "site-feed", {"id": options.id}))
    return 0
