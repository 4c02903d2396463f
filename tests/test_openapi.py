"""The OpenAPI document says what the server does: its routes, bounds, errors and answers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from aiohttp import web
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import talkee_lite
from talkee_lite.api import ROUTES
from talkee_lite.api.context import PARAMETERS
from talkee_lite.api.openapi import document
from talkee_lite.api.openapi.operations import OPERATIONS, TAGS
from talkee_lite.api.openapi.shapes import EVENTS, LOGIN_FIELDS, UUID
from talkee_lite.app import make_app
from talkee_lite.auth import LOGINS
from talkee_lite.config import AuthConfig, CompatConfig, Config
from talkee_lite.control import VERBS
from talkee_lite.errors import (
    MethodNotAllowed,
    all_refusals,
)
from talkee_lite.models import MessageDraft, RoomKey
from talkee_lite.protocol import MOST_NUMBER, held_message
from talkee_lite.sites import MAX_SLUG
from talkee_lite.store.messages import remove_messages_of
from talkee_lite.store.posting import Post, post_messages
from talkee_lite.version import VERSION

from .contract import Contract, body_schema, body_schemas, operations, resolved
from .harness import JSON, ROOM, Server, config_in, draft, encode, free_limits, running
from .receiver import receiving
from .test_admin import first_admin
from .test_comments import PAGE, call, reply, say
from .test_embedding import hosted
from .test_events import frame, reader
from .test_webhooks import QUICK, config_for

PACKAGE = Path(talkee_lite.__file__).parent
DOCS = PACKAGE.parent / "docs"
DOCUMENT = document(Config())
EVERY_WAY = Config(auth=AuthConfig(password=True, mvm=True, mixin_token=True))
OPERATIONS_OF_DOCUMENT = list(operations(DOCUMENT))
NAMES = [operation["operationId"] for _, _, operation in OPERATIONS_OF_DOCUMENT]


# What it is made of.


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(compat=CompatConfig(legacy_clients=True)),
        Config(auth=AuthConfig(guest=False)),
        EVERY_WAY,
    ],
    ids=["defaults", "legacy clients", "nobody may sign in", "every way to sign in"],
)
def test_it_is_valid(config: Config) -> None:
    validate(document(config), cls=OpenAPIV31SpecValidator)
    codes = document(config)["components"]["schemas"]["Error"]["properties"]["error"]["enum"]
    assert len(codes) == len(set(codes))
    for _, _, operation in operations(document(config)):
        for answer in operation["responses"].values():
            for media in answer.get("content", {}).values():
                OAS31Validator.check_schema(media.get("schema", {}))


def test_every_handler_is_described_and_nothing_else() -> None:
    assert set(OPERATIONS) == {handler for _, _, handler in ROUTES}
    assert [(m, p) for m, p, _ in ROUTES] == [(m, p) for m, p, _ in OPERATIONS_OF_DOCUMENT]


def test_every_operation_has_a_name_a_summary_and_a_known_tag() -> None:
    assert len(NAMES) == len(set(NAMES))
    for _, _, operation in OPERATIONS_OF_DOCUMENT:
        assert operation["operationId"].isidentifier()
        assert 0 < len(operation["summary"]) <= 80
        assert set(operation["tags"]) <= set(TAGS)
    assert {tag for _, _, operation in OPERATIONS_OF_DOCUMENT for tag in operation["tags"]} == set(
        TAGS
    )


def test_every_parameter_that_is_read_is_described_and_nothing_else() -> None:
    described = {
        parameter["name"]
        for _, _, operation in OPERATIONS_OF_DOCUMENT
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    assert described == PARAMETERS


# Only clients of the last hosted server send these.
OLD_FIELDS = {"id"}


def fields_read() -> Iterator[object]:
    """The names of what handlers take from a body."""
    files = [*PACKAGE.glob("api/*.py"), *PACKAGE.glob("auth/*.py")]
    for path in (*files, PACKAGE / "protocol.py", PACKAGE / "pages.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            name: ast.AST | None = None
            if isinstance(node, ast.Call) and called in ("take_text", "take_optional_text"):
                name = node.args[1]
            elif isinstance(node, ast.Call) and re.fullmatch(
                r"(.*body|fields|given|.*\(raw\)).get", called
            ):
                name = node.args[0]
            elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("body", "fields"):
                name = node.slice if isinstance(node.ctx, ast.Load) else None
            if isinstance(name, ast.Constant) and name.value not in OLD_FIELDS:
                yield name.value


def test_every_field_that_is_read_is_described_and_nothing_else() -> None:
    described = set()
    whole = document(EVERY_WAY)
    for _, _, operation in operations(whole):
        for shape in body_schemas(whole, operation):
            described |= set(shape.get("properties", ()))
    assert described == set(fields_read())


def test_every_way_to_sign_in_is_described() -> None:
    assert set(LOGIN_FIELDS) == set(LOGINS)


def test_every_error_belongs_to_an_operation() -> None:
    named = {
        (int(status), code)
        for _, _, operation in OPERATIONS_OF_DOCUMENT
        for status, answer in operation["responses"].items()
        if int(status) >= 400
        for media in resolved(DOCUMENT, answer)["content"].values()
        for code in media["examples"]
    }
    # Of addresses that are no operation alone.
    elsewhere = {MethodNotAllowed}
    assert named == {(kind.status, kind.code) for kind in {*all_refusals()} - elsewhere}


def test_the_limits_of_a_server_stand_in_its_document() -> None:
    config = Config(limits=free_limits(max_data_bytes=9))
    data = document(config)["components"]["schemas"]["MessageDraft"]["properties"]["data"]
    assert data["maxLength"] == len(encode("x" * 9))


# Where it is.


async def test_it_is_served_to_every_page_with_a_tag(server: Server) -> None:
    status, found, headers = await server.call("GET", "/api/openapi.json")
    assert (status, found) == (200, json.loads(json.dumps(document(server.services.config))))
    assert found["info"]["version"] == VERSION
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Access-Control-Allow-Origin"] == "*"
    known = {"If-None-Match": f'"other", {headers["ETag"]}'}
    status, body, again = await server.call("GET", "/api/openapi.json", headers=known)
    assert (status, body, again["ETag"]) == (304, None, headers["ETag"])


def test_what_describes_it_is_loaded_when_somebody_asks_for_it() -> None:
    code = "import sys, talkee_lite.serve; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "talkee_lite.api.pages" in loaded.stdout.split()
    assert "talkee_lite.api.openapi" not in loaded.stdout.split()


async def test_paths_begin_where_readers_find_the_server(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    public = replace(config, server=replace(config.server, public_url="https://example.com/talk"))
    assert document(public)["servers"] == [{"url": "https://example.com/talk"}]
    program = web.Application()
    program.add_subapp("/talk/", make_app(config))
    async with hosted(program) as host:
        where = "/talk/api/openapi.json"
        status, found, _ = await host.get(where)
        assert status == 200
        base = urljoin(where, json.loads(found)["servers"][0]["url"]).removesuffix("/")
        assert (await host.get(f"{base}/hc"))[0] == 200


# Bounds, on the real server.


def example(schema: JSON) -> Any:
    """A value that a schema allows."""
    schema = resolved(DOCUMENT, schema)
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {name: example(schema["properties"][name]) for name in schema["required"]}
    if schema.get("type") == "array":
        return [example(schema["items"])]
    return schema["examples"][0] if "examples" in schema else schema["const"]


@pytest.fixture
async def token(server: Server) -> str:
    """Of an admin who wrote comment 1, reply 1 and the message of the examples; user 1 is
    somebody else."""
    await server.guest("Ann")
    token = (await first_admin(server)).token
    for path in ("/api/comments", "/api/comments/1/replies"):
        body = {"content": "Hello"}
        status, answer, _ = await server.call("POST", f"{path}?{PAGE}", body, token=token)
        assert (status, answer["data"]["id"]) == (200, 1)
    # In the rooms that the examples name, and in those with the longest name.
    for room in (PAGE, "site_id=1&slug=" + "x" * MAX_SLUG, "site_id=1&slug=x"):
        await server.post(token, room=room, message_id=UUID["examples"][0])
    return token


def address(path: str) -> str:
    """A path with ids of things that are there, and a page."""
    return f"{path.format(id=1, reply_id=1, message_id=draft()['message_id'])}?{PAGE}"


async def who_may(server: Server, method: str, path: str, token: str) -> str:
    """A token for a call: the only admin cannot leave."""
    return await server.guest("Bob") if (method, path) == ("DELETE", "/api/me") else token


QUERIES = [
    pytest.param(path, queries, id=path)
    for method, path, operation in OPERATIONS_OF_DOCUMENT
    if (queries := [p for p in operation.get("parameters", ()) if p["in"] == "query"])
    and method == "GET"
    and path != "/ws"
    # These have tests of their own.
    and not path.startswith(("/t/", "/feeds/"))
]


@pytest.mark.parametrize(("path", "queries"), QUERIES)
async def test_a_parameter_has_the_bounds_that_are_described(
    server: Server, token: str, path: str, queries: list[JSON]
) -> None:
    for query in queries:
        name, schema = query["name"], query["schema"]
        if name == "slug":
            good = ["a" * schema["maxLength"], "ä"]
            bad = ["a" * (schema["maxLength"] + 1), "%20", "%00"]
        elif name == "q":
            good, bad = ["a", "%20", "%00"], []
        elif name == "of":
            hundred = ",".join(map(str, range(1, 101)))
            good = ["1", "1,2,1", hundred, f"{MOST_NUMBER}"]
            bad = [
                f"{hundred},101",
                f"{MOST_NUMBER + 1}",
                "0",
                "x",
                "1,",
                ",1",
                "1,,2",
                "1%202",
                ",",
            ]
        elif schema["type"] == "integer":
            good, bad = [schema["minimum"], schema["maximum"]], [schema["minimum"] - 1]
            bad += [schema["maximum"] + 1, "x", "1.0", "%2B1"]
        else:
            good, bad = schema["enum"], ["other", schema["enum"][0].upper()]
        for value in (*good, *bad):
            asked = address(path).replace(f"{name}=", "unused=") + f"&{name}={value}"
            if name != "of" and path == "/api/replies":
                asked += "&of=1"
            if name != "since" and path == "/api/me/answers":
                asked += "&since=0"
            if name in ("after_id", "from_id"):
                asked += "&order_by=created_at"
            status, answer, _ = await server.call("GET", asked, token=token)
            if value in good:
                # An id or a page that is not there is no fault of the bounds.
                assert status in (200, 404), (value, answer)
            else:
                assert (status, answer["field"]) == (400, name), value


BODIES = [
    pytest.param(method, path, body, id=f"{method} {path}")
    for method, path, operation in OPERATIONS_OF_DOCUMENT
    if (body := body_schema(DOCUMENT, operation)) is not None
    # These have tests of their own.
    and path not in ("/api/auth/register", "/api/auth/wallet_text", "/api/me/password")
]


@pytest.mark.parametrize(("method", "path", "schema"), BODIES)
async def test_a_body_has_the_fields_that_are_described(
    server: Server, token: str, method: str, path: str, schema: JSON
) -> None:
    token = await who_may(server, method, path, token)
    whole = example(schema)
    for name in schema["properties"]:
        wrong = [whole | {name: [[]]}, whole | {name: None}]
        if name in schema["required"]:
            wrong.append({key: value for key, value in whole.items() if key != name})
        for body in wrong:
            status, answer, _ = await server.call(method, address(path), body, token=token)
            assert (status, answer["error"]) == (400, "invalid_body"), body
            assert answer["field"] in (name, "page")
    status, answer, _ = await server.call(method, address(path), whole, token=token)
    assert status == 200, answer


def edges(name: str, field: JSON) -> list[tuple[Any, Any]]:
    """What a field may just hold, and may just not."""
    if name == "data":
        most = Config().limits.max_data_bytes
        assert len(encode("x" * most)) == field["maxLength"]
        return [(encode("x" * most), encode("x" * (most + 1))), ("SGVsbG8h", "SGVsbG8")]
    if name == "address":
        here = "http://localhost/"
        most = here + "a" * (field["maxLength"] - len(here))
        return [(most, most + "a"), ("", "https://elsewhere.example.com/")]
    if "enum" in field:
        return [(field["enum"][0], "other")]
    if "maxItems" in field:
        slugs = [f"/{n}" for n in range(field["maxItems"] + 1)]
        return [(slugs[:-1], slugs), ([], ["a" * 1000])]
    if "maxLength" in field:
        return [("x" * field["maxLength"], "x" * (field["maxLength"] + 1)), ("x", "")]
    if field.get("minimum") == 0:
        return [(0, -1), (0, field["maximum"] + 1)]
    return []


@pytest.mark.parametrize(("method", "path", "schema"), BODIES)
async def test_a_field_has_the_bounds_that_are_described(
    server: Server, token: str, method: str, path: str, schema: JSON
) -> None:
    whole = example(schema)
    for name, field in schema["properties"].items():
        for good, bad in edges(name, field):
            token = await who_may(server, method, path, token)
            if "message_id" in whole:
                whole["message_id"] = str(uuid.uuid4())
            body = whole | {name: bad}
            status, answer, _ = await server.call(method, address(path), body, token=token)
            assert status in (400, 413), name
            assert answer["field"] in (name, "slug", "page")
            body = whole | {name: good}
            status, answer, _ = await server.call(method, address(path), body, token=token)
            assert status == 200, (name, answer)


# Answers, field by field.


@pytest.fixture
def contract(server: Server) -> Contract:
    """The shapes of the server's answers."""
    return Contract(server.services.config)


async def test_users_and_sites_are_as_described(server: Server, contract: Contract) -> None:
    _, answer, _ = await server.call(
        "POST", "/api/auth/login", {"method": "guest", "full_name": "Ann"}
    )
    contract.check("SignedIn", answer["data"])
    token = answer["data"]["access_token"]
    await server.post(token)
    for path, shape in [
        ("/api/me", "User"),
        ("/api/users/1", "User"),
        ("/api/sites/1", "Site"),
        ("/api/me/export", "Export"),
        (f"/api/slugs?{ROOM}", "Tips"),
        (f"/api/pages?{ROOM}", "Page"),
        ("/api/auth/methods", "Methods"),
        ("/api/stat/global", "Statistics"),
    ]:
        status, answer, _ = await server.call("GET", path, token=token)
        assert status == 200
        contract.check(shape, answer["data"])
    contract.check("Health", (await server.call("GET", "/hc"))[1])
    admin = (await first_admin(server)).token
    await server.call("POST", "/api/admin/users/1/ban", {"hours": 1, "reason": "x"}, token=admin)
    for path, shape in (("/api/sites", "OwnSite"), ("/api/admin/users", "Person")):
        _, answer, _ = await server.call("GET", path, token=admin)
        assert answer["data"]
        for one in answer["data"]:
            contract.check(shape, one)


async def test_messages_are_as_described(server: Server, contract: Contract) -> None:
    token = await server.guest()
    posted = await server.post(token)
    contract.check("Message", posted)
    path = f"/api/messages/{posted['message_id']}?{ROOM}"
    contract.check("MessageDeletion", (await server.call("DELETE", path, token=token))[1])
    held = await hold(server, token)
    contract.check("Message", held)
    path = f"/api/messages/{held['message_id']}?{ROOM}"
    contract.check("MessageDeletion", (await server.call("DELETE", path, token=token))[1])
    await server.post(token)
    for query in ("", "&after=0", "&before=9"):
        listed = await server.latest(token, query=query)
        assert listed["data"]
        contract.check("Messages", listed)


async def hold(server: Server, token: str) -> JSON:
    """A message of the room that waits for approval."""
    services = server.services
    author = (await services.tokens.identify(token)).user
    message = MessageDraft(str(uuid.uuid4()), "text", encode("Hm."))
    post = Post(RoomKey(1, "/a"), message, author.id, services.clock(), hold=True)
    result = await services.db.write_one(post_messages, post)
    assert result.entry is not None
    return dict(json.loads(held_message(result.entry, services.people.profile(1, author.id))))


async def test_comments_and_replies_are_as_described(server: Server, contract: Contract) -> None:
    token = await server.guest()
    comment = await say(server, token)
    answer = await reply(server, token, comment)
    contract.check("Comment", comment)
    contract.check("Reply", answer)
    contract.check("Comment", await call(server, "PUT", "/1/fav", token=token))
    _, everything, _ = await server.call("GET", "/api/me/export", token=token)
    assert all(everything["data"][kind] for kind in ("comments", "replies", "favourites"))
    contract.check("Export", everything["data"])
    contract.check("Replies", await call(server, "GET", "/1/replies"))
    contract.check("Comment", await call(server, "PATCH", "/1", {"content": "Hi"}, token=token))
    await call(server, "DELETE", "/1", token=token)
    found = await call(server, "GET", "")
    assert found["comments"][0]["status"] == "deleted"
    contract.check("Comments", found)
    body: JSON = {"content": "*Hi*"}
    _, answer, _ = await server.call("POST", "/api/preview", body)
    contract.check("Preview", answer["data"])
    body = {"site_id": 1, "slugs": ["/posts/1", "/other"]}
    _, answer, _ = await server.call("POST", "/api/counts", body)
    assert answer["data"] == {"/posts/1": 1, "/other": 0}
    contract.check("Counts", answer["data"])


async def test_webhooks_are_as_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkee_lite.notify.dispatch.Pace", lambda: QUICK)
    described = DOCUMENT["webhooks"]
    async with receiving() as receiver:
        config = config_for(tmp_path, receiver.url)
        contract = Contract(config)
        async with running(config) as server:
            token = await server.guest()
            await reply(server, token, await say(server, token))
            await server.post(token)
            found = await VERBS["site-webhook"](server.services, {"id": 1, "test": True})
            assert found["test"] == ""
            deliveries = await receiver.wait(len(described))
    assert {delivery.event["type"] for delivery in deliveries} == set(described)
    for delivery in deliveries:
        request = described[delivery.event["type"]]["post"]
        shape = request["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        contract.check(shape.rpartition("/")[2], delivery.event)
        assert {parameter["name"] for parameter in request["parameters"]} <= set(delivery.headers)


def test_every_answer_in_the_docs_is_as_described() -> None:
    contract = Contract(Config())
    shown = re.findall(
        r"^\$ curl -s (?:-X (\w+) )?'http://[^/]+(/[^'?]*)(.*)\n(\{.*)$",
        (DOCS / "calls.md").read_text(),
        re.M,
    )
    assert len(shown) > 30
    for given, path, options, answer in shown:
        method = given or ("POST" if " -d " in options else "GET")
        contract.check_answer(method, path, json.loads(answer))


async def test_events_are_as_described(tmp_path: Path) -> None:
    config = config_in(tmp_path, limits=free_limits(ping_seconds=1))
    contract = Contract(config)
    missing = set(EVENTS)
    async with running(config) as server:
        ann, ben = await server.guest("Ann"), await server.guest("Ben")
        room = RoomKey(1, "/posts/1")
        async with (
            reader(server, ann, room=PAGE) as (client, ready),
            reader(server, ben, room=PAGE),
        ):
            await client.send('{"type": "what?"}')
            message = await server.post(ben, room=PAGE)
            path = f"/ws/messages/{message['message_id']}?{PAGE}"
            await server.call("DELETE", path, token=ben)
            await server.post(ben, room=PAGE)
            await server.services.db.write(
                lambda tx: remove_messages_of(tx, room, message["user"]["id"], 0, 1)
            )
            await server.services.chat.set_closed(room, True)
            await server.services.chat.set_closed(room, False)
            comment = await say(server, ann)
            answer = await reply(server, ben, comment)
            at = f"/1/replies/{answer['id']}"
            await call(server, "PATCH", at, {"content": "Ho"}, token=ben)
            await call(server, "DELETE", at, token=ben)
            await call(server, "DELETE", "/1", token=ann)
            await server.services.pages.move(room, RoomKey(1, "/moved"))
            contract.check("Event", ready)
            missing.remove("ready")
            while missing - {"gap"}:
                event = await frame(client, but=())
                contract.check("Event", event)
                missing.discard(event["type"])
        since = {"epoch": ready["epoch"], "seq": 0}
        async with reader(server, ann, since, room=PAGE) as (client, ready):
            assert ready["recovered"]
            contract.check("Event", ready)
            event = await frame(client)
            assert event["type"] == "gap"
            contract.check("Event", event)
        async with reader(server, None, room=PAGE) as (client, ready):
            contract.check("Event", ready)
            contract.check("Event", await frame(client, but=("presence",)))


def test_what_clients_send_first_is_described() -> None:
    contract = Contract(Config())
    for shown in re.findall(r'{"type": "auth".*?}(?=\n|`)', (DOCS / "protocol.md").read_text()):
        auth = json.loads(shown.replace("<access_token of POST /api/auth/login>", "x"))
        contract.check("AuthFrame", auth)


def test_every_event_that_is_documented_is_described() -> None:
    table = (DOCS / "protocol.md").read_text().split("## Events")[1].split("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.*?) \|", table, re.M))
    assert set(EVENTS) == {"ready", *re.findall(r"`(\w+)`", rows)}
