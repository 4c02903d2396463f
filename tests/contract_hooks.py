"""What schemathesis needs to know of this server: see test_contract.py, which starts it."""

from __future__ import annotations

import itertools
import json
import os
import urllib.request
from pathlib import Path
from typing import Any
from unicodedata import normalize

import schemathesis
from schemathesis import AuthContext, Case, HookContext, Response

from talkee_lite.api.openapi.shapes import PASSWORD
from talkee_lite.protocol import parse_number
from talkee_lite.text import clean_name, fold_name

from .contract import IDS, make_strict, operations

URL = os.environ["TALKEE_URL"]
MODERATOR = os.environ["TALKEE_MODERATOR"]
ADMIN = os.environ["TALKEE_ADMIN"]
REPORT = Path(os.environ["TALKEE_REPORT"])
_numbers = itertools.count(1)


def sign_in(path: str = "login", **body: str) -> str:
    """Somebody new's access token; a guest's, if nothing else is said."""
    request = urllib.request.Request(
        f"{URL}/api/auth/{path}",
        json.dumps(body or {"method": "guest", "full_name": "Ann"}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["data"]["access_token"])


def register() -> str:
    """A new member's access token, with the password that the document has as an example."""
    name = f"member {next(_numbers)}"
    return sign_in("register", username=name, password=PASSWORD["examples"][0])


def is_for_admins(case: Case[Any]) -> bool:
    """Whether an admin makes the call."""
    method, path = str(case.operation.label).split()
    return path.startswith("/api/admin/") or (method != "GET" and path.startswith("/api/sites"))


@schemathesis.auth(refresh_interval=None)
class Guest:
    """One guest makes all calls, but for those that end their token or that staff makes."""

    # A guest who registers is one no more.
    ends = (
        "POST /api/auth/login",
        "POST /api/auth/logout",
        "POST /api/auth/register",
        "DELETE /api/me",
    )
    moderates = (
        "PUT /api/comments/{id}/approve",
        "PUT /api/comments/{id}/replies/{reply_id}/approve",
        "PATCH /api/pages",
        "POST /api/comments/keep",
    )

    def __init__(self) -> None:
        self.token = sign_in()

    def get(self, case: Case[Any], context: AuthContext) -> str:
        """The token to send."""
        if case.operation.label in self.ends:
            return sign_in()
        if case.operation.label == "PUT /api/me/password":
            return register()
        if case.operation.label in self.moderates:
            return MODERATOR
        return ADMIN if is_for_admins(case) else self.token

    def set(self, case: Case[Any], data: str, context: AuthContext) -> None:
        """Send it."""
        case.headers["Authorization"] = f"Bearer {data}"


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Tighten the document: nothing undescribed may be answered, and what is named is there."""
    make_strict(raw_schema)
    for _, _, operation in operations(raw_schema):
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "site_id":
                parameter["schema"]["maximum"] = 1
    # Of a site's origins: this machine's may use every site that has no public address.
    address = raw_schema["components"]["schemas"]["PageDraft"]["properties"]["address"]
    address |= {"pattern": "^(http://localhost/[a-z]*)?$", "examples": ["http://localhost/hello"]}
    _link(raw_schema, "post_comment", "{id}", {"id": "$response.body#/data/id"})
    _link(
        raw_schema,
        "post_reply",
        "{reply_id}",
        {"id": "$request.path.id", "reply_id": "$response.body#/data/id"},
    )


def _link(description: dict[str, Any], maker: str, part: str, ids: dict[str, str]) -> None:
    """What `maker` makes is what operations below `part` of its page may be called with."""
    page = {name: f"$request.query.{name}" for name in ("site_id", "slug")}
    links = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {f"path.{name}": where for name, where in ids.items()} | page,
        }
        for _, path, operation in operations(description)
        if path.startswith("/api/comments/") and part in path
    }
    for _, _, operation in operations(description):
        if operation["operationId"] == maker:
            operation["responses"]["200"]["links"] = links


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Leave out what the server refuses, and the document cannot."""
    query, body = case.query or {}, case.body
    if isinstance(body, dict):
        if any(type(value) is float and value.is_integer() for value in body.values()):
            # JSON Schema takes 1.0 for a whole number, the server does not.
            return False
        if type(reply_to := body.get("reply_to")) is int and reply_to > 0:
            # It must be a reply to the same comment.
            return False
        if isinstance(name := body.get("full_name"), str) and name and not fold_name(name):
            # Nothing but marks and invisible characters.
            return False
        if not _can_be_chosen(body.get("username"), body.get("password")):
            return False
        if not _can_be_chosen(None, body.get("new_password")):
            return False
        if body.get("method") == "sso" and "site_id" not in body:
            # No page sends it, whose site it could be.
            return False
    # What is empty is as good as left out.
    return not any(value == "" for name, value in query.items() if name not in ("site_id", "slug"))


def _can_be_chosen(username: object, password: object) -> bool:
    """Not what JSON Schema takes for long enough, and the server does not once it is tidied."""
    if isinstance(username, str) and len(username) >= 3:
        name = clean_name(username)
        if len(name) < 3 or not fold_name(name) or name == password:
            return False
    return not isinstance(password, str) or len(normalize("NFC", password)) >= min(8, len(password))


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Of what excludes each other, send one."""
    if isinstance(case.body, dict) and "origins" in case.body:
        case.body.pop("origin", None)
    found = parse_number(str(case.path_parameters.get("id", "")))
    if case.operation.path.startswith("/api/admin/") and found and found > IDS:
        # Those who make the other calls must not be shut out.
        case.path_parameters["id"] = 1
    query = case.query
    by_time = query.get("order_by") in ("created_at", "created_at_asc") and not query.get("offset")
    if _is_number(query.get("after_id")) and not by_time:
        del query["after_id"]
    if _is_number(query.get("from_id")) and (not by_time or _is_number(query.get("after_id"))):
        del query["from_id"]
    if _is_number(query.get("before")) and _is_number(query.get("after")):
        del query["before"]


def _is_number(value: object) -> bool:
    return parse_number(str(value), zero=True) is not None


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Note what was answered."""
    with REPORT.open("a") as report:
        report.write(f"{case.method} {case.operation.path} {response.status_code}\n")
