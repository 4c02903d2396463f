"""Mounted below a path of another aiohttp program, as docs/examples/embedding.py does it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

import talkee_lite
from docs.examples.embedding import make_program
from talkee_lite.api.context import SERVICES
from talkee_lite.app import open_services
from talkee_lite.store.lock import DatabaseInUse, read_holder

from .harness import JSON, ROOM, config_in, draft, until
from .reading import Got
from .test_frames import RawClient, auth, handshake


class Host:
    """A running host program."""

    def __init__(self, runner: web.AppRunner, session: aiohttp.ClientSession) -> None:
        self.runner = runner
        self.session = session
        self.port = int(runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, **options: Any) -> tuple[int, str, Any]:
        """Status, body and headers of a GET."""
        async with self.session.get(self.url + path, **options) as response:
            return response.status, await response.text(), response.headers

    async def post(self, path: str, body: Any, token: str = "") -> tuple[int, JSON]:
        """Status and JSON answer of a POST."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.post(self.url + path, json=body, headers=headers) as response:
            return response.status, dict(json.loads(await response.read()))

    async def guest(self, name: str = "Ann", *, below: str = "/talk") -> JSON:
        """A new guest: the `data` of their sign-in."""
        body = {"method": "guest", "full_name": name}
        status, answer = await self.post(f"{below}/api/auth/login", body)
        assert status == 200, answer
        return dict(answer["data"])

    def connect(self, *, below: str = "/talk") -> connect:
        """A socket of the room."""
        return connect(f"ws://127.0.0.1:{self.port}{below}/ws?{ROOM}")


def settings(folder: Path) -> talkee_lite.Config:
    """Settings for a program at one address that readers know."""
    config = config_in(folder)
    public = replace(config.server, public_url="https://blog.example.com/talk")
    return replace(config, server=public)


@asynccontextmanager
async def hosted(program: web.Application) -> AsyncIterator[Host]:
    """Run a host program as aiohttp runs any."""
    runner = web.AppRunner(program, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as session:
            yield Host(runner, session)
    finally:
        await runner.cleanup()


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    """The program of the example."""
    async with hosted(make_program(settings(tmp_path))) as started:
        yield started


async def sign_in(client: ClientConnection, token: str) -> None:
    """Send `auth`, and wait until the server has taken it."""
    await client.send(json.dumps({"type": "auth", "token": token, "events": True}))
    assert json.loads(await client.recv())["type"] == "ready"


async def test_the_hosts_page_and_our_page_and_script_are_there(host: Host) -> None:
    status, page, _ = await host.get("/")
    assert status == 200
    assert 'src="/talk/talkee.js"' in page
    status, script, headers = await host.get("/talk/talkee.js")
    assert status == 200
    assert script
    assert headers["Content-Type"].startswith("text/javascript")
    status, ours, _ = await host.get("/talk/")
    assert status == 200
    # What the page loads is named from where it stands, not from the root.
    assert 'src="talkee.js"' in ours
    assert (await host.get("/talk/welcome.css"))[0] == 200
    assert (await host.get("/talk/hc"))[0] == 200


async def test_our_page_is_found_without_its_trailing_slash_too(host: Host) -> None:
    status, page, _ = await host.get("/talk")
    assert status == 200
    assert "<talkee-comments" in page


async def test_one_signs_in_posts_reads_and_listens_below_the_path(host: Host) -> None:
    guest = await host.guest()
    token = guest["access_token"]
    async with host.connect() as client:
        await sign_in(client, token)
        status, posted = await host.post(f"/talk/ws/messages?{ROOM}", draft(), token)
        assert status == 200
        frames = [json.loads(await client.recv())]
        while frames[-1]["type"] != "message":
            frames.append(json.loads(await client.recv()))
        assert frames[-1] == posted | {"type": "message"}
    headers = {"Authorization": f"Bearer {token}"}
    status, listed, _ = await host.get(f"/talk/api/messages/?{ROOM}", headers=headers)
    assert status == 200
    assert json.loads(listed)["data"] == [posted]


async def test_comments_are_read_written_and_followed_below_the_path(host: Host) -> None:
    address = f"{host.url}/talk/t/1?slug=/a"
    async with host.session.get(address) as response:
        empty = Got(response.status, response.headers, await response.text(), address)
    assert empty.status == 404
    assert (await host.get(urlsplit(empty.link("stylesheet")).path))[0] == 200
    form = {"token": empty.token, "name": "Ann", "content": "below"}
    origin = {"Origin": "https://blog.example.com"}
    async with host.session.post(address, data=form, headers=origin) as response:
        assert (response.status, str(response.url)) == (200, address)
        got = Got(response.status, response.headers, await response.text(), address)
    assert got.anchors == ["c1"]
    assert got.link("canonical") == "https://blog.example.com/talk/t/1?slug=/a"
    feed = urlsplit(got.link("alternate"))
    status, text, _ = await host.get(f"{feed.path}?{feed.query}")
    assert (status, feed.path) == (200, "/talk/feeds/1/page.atom")
    assert 'href="https://blog.example.com/talk/t/1?slug=/a&amp;comment=1#c1"' in text
    status, _, headers = await host.get("/talk/t/7?slug=/a")
    assert (status, headers["Content-Type"]) == (404, "text/html; charset=utf-8")


async def test_addresses_that_we_write_hold_the_public_path(host: Host) -> None:
    guest = await host.guest()
    avatar = guest["user"]["avatar_url"]
    assert avatar == f"https://blog.example.com/talk/api/avatars/{guest['user']['id']}.svg"
    status, picture, _ = await host.get(avatar.removeprefix("https://blog.example.com"))
    assert status == 200
    assert "<svg" in picture


async def test_the_programs_own_pages_may_use_it_and_others_may_not(host: Host) -> None:
    for origin, status in (("https://blog.example.com", 200), ("https://evil.example", 403)):
        answer = await host.get("/talk/api/auth/methods", headers={"Origin": origin})
        assert answer[0] == status


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/talk/nothing", 404, "not_found"),
        ("GET", "/talk/api/nothing/", 404, "not_found"),
        ("PUT", "/talk/api/me", 405, "method_not_allowed"),
        ("GET", "/talk/api/me", 401, "unauthorized"),
        ("GET", "/talk/ws?site_id=x", 400, "invalid_site_id"),
        ("GET", f"/talk/ws?{ROOM}", 426, "upgrade_required"),
        ("GET", f"/talk/ws/messages?{ROOM}", 401, "unauthorized"),
    ],
)
async def test_every_error_below_the_path_is_json(
    host: Host, method: str, path: str, status: int, code: str
) -> None:
    async with host.session.request(method, host.url + path) as response:
        answer = json.loads(await response.read())
        assert response.status == answer["code"] == status
        assert answer["error"] == code
        assert answer["msg"]
        assert answer["request_id"] == response.headers["X-Request-Id"]


async def test_bodies_that_are_too_large_are_refused_though_the_host_allows_more(
    tmp_path: Path,
) -> None:
    program = web.Application(client_max_size=100 * 1024**2)
    program.add_subapp("/talk/", talkee_lite.make_app(settings(tmp_path)))
    async with hosted(program) as host:
        token = (await host.guest())["access_token"]
        body = draft() | {"more": "x" * 20_000}
        status, answer = await host.post(f"/talk/ws/messages?{ROOM}", body, token)
        assert (status, answer["error"]) == (413, "too_large")
        body = {"method": "guest", "full_name": "x" * 200_000}
        status, answer = await host.post("/talk/api/auth/login", body)
        assert (status, answer["error"]) == (413, "too_large")


async def test_bodies_that_we_allow_are_taken_though_the_host_allows_less(tmp_path: Path) -> None:
    program = web.Application(client_max_size=100)
    program.add_subapp("/talk/", talkee_lite.make_app(settings(tmp_path)))
    async with hosted(program) as host:
        body = {"method": "guest", "full_name": "Ann", "more": "x" * 100_000}
        assert (await host.post("/talk/api/auth/login", body))[0] == 200


async def test_the_hosts_own_errors_stay_its_own(host: Host) -> None:
    status, body, headers = await host.get("/nothing")
    assert (status, body) == (404, "404: Not Found")
    assert "X-Request-Id" not in headers


async def test_a_room_that_does_not_exist_refuses_the_upgrade(host: Host) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://127.0.0.1:{host.port}/talk/ws?site_id=9&slug=/a"):
            pass
    assert refused.value.response.status_code == 404
    assert json.loads(refused.value.response.body or b"")["error"] == "site_not_found"


async def test_bytes_sent_with_the_handshake_reach_the_room(host: Host) -> None:
    token = (await host.guest())["access_token"]
    reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
    request = handshake().replace(b"GET /ws", b"GET /talk/ws", 1)
    writer.write(request + auth(token) + auth("bad"))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await RawClient(reader, writer).close_code() == 4501
    writer.close()


async def test_when_the_program_stops_everything_of_ours_ends_cleanly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = settings(tmp_path)
    tasks = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        async with hosted(make_program(config)) as host:
            token = (await host.guest())["access_token"]
            clients = [await stack.enter_async_context(host.connect()) for _ in range(3)]
            for client in clients[:2]:
                await sign_in(client, token)
            _, posted = await host.post(f"/talk/ws/messages?{ROOM}", draft(), token)
            assert read_holder(config.database.path) is not None
            begun = time.monotonic()
        assert time.monotonic() - begun < 3
        for client in clients:
            await client.wait_closed()
            assert client.close_code == 1012
    assert read_holder(config.database.path) is None
    await until(lambda: asyncio.all_tasks() == tasks)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
    # Nobody has the file: it opens again, and holds what was said.
    async with hosted(make_program(config)) as host:
        headers = {"Authorization": f"Bearer {token}"}
        _, listed, _ = await host.get(f"/talk/ws/messages?{ROOM}", headers=headers)
        assert json.loads(listed)["data"] == [posted]


async def test_a_program_whose_clients_do_not_answer_stops_all_the_same(tmp_path: Path) -> None:
    async with hosted(make_program(settings(tmp_path))) as host:
        reader, writer = await asyncio.open_connection("127.0.0.1", host.port)
        writer.write(handshake().replace(b"GET /ws", b"GET /talk/ws", 1))
        await reader.readuntil(b"\r\n\r\n")
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    client = RawClient(reader, writer)
    assert await client.frame() == (8, (1012).to_bytes(2, "big") + b"restarting")
    writer.close()


async def test_a_program_starts_only_if_nobody_else_has_the_database(tmp_path: Path) -> None:
    config = settings(tmp_path)
    async with open_services(config):
        with pytest.raises(DatabaseInUse):
            async with hosted(make_program(config)):
                pass
    async with hosted(make_program(config)) as host:
        assert (await host.get("/talk/hc"))[0] == 200


async def test_two_in_one_program_do_not_disturb_each_other(tmp_path: Path) -> None:
    program = web.Application()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        program.add_subapp(f"/{name}/", talkee_lite.make_app(settings(tmp_path / name)))
    async with hosted(program) as host:
        ann = (await host.guest("Ann", below="/one"))["access_token"]
        bob = (await host.guest("Bob", below="/two"))["access_token"]
        async with host.connect(below="/one") as one, host.connect(below="/two") as two:
            await sign_in(one, ann)
            await sign_in(two, bob)
            await host.post(f"/two/ws/messages?{ROOM}", draft(), bob)
            assert (await host.post(f"/one/ws/messages?{ROOM}", draft(), bob))[0] == 401
            frame = json.loads(await two.recv())
            while frame["type"] != "message":
                frame = json.loads(await two.recv())
            assert frame["user"]["full_name"] == "Bob"
        subapps = [app for app in program._subapps if SERVICES in app]
        assert len({id(app[SERVICES]) for app in subapps}) == 2


def process_state() -> dict[str, Any]:
    """What belongs to a process and not to one of the things that run in it."""
    root = logging.getLogger()
    old_umask = os.umask(0)
    os.umask(old_umask)
    return {
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "root logger": (root.level, list(root.handlers), list(root.filters), root.disabled),
        "asyncio logger": logging.getLogger("asyncio").level,
        "collector": (gc.get_threshold(), gc.get_freeze_count(), gc.isenabled()),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "policy": asyncio.get_event_loop_policy(),
        "task factory": asyncio.get_running_loop().get_task_factory(),
        "exception handler": asyncio.get_running_loop().get_exception_handler(),
        "hooks": (sys.excepthook, sys.unraisablehook),
        "umask": old_umask,
        "folder": Path.cwd(),
    }


async def test_nothing_of_the_process_is_touched(tmp_path: Path) -> None:
    before = process_state()
    program = make_program(settings(tmp_path))
    assert process_state() == before
    async with hosted(program) as host:
        token = (await host.guest())["access_token"]
        async with host.connect() as client:
            await sign_in(client, token)
            await host.post(f"/talk/ws/messages?{ROOM}", draft(), token)
            assert process_state() == before
    assert process_state() == before
