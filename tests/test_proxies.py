"""The README's blocks for Caddy and nginx work as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from .harness import JSON, ROOM, draft, run_verb, server_process

README = (Path(__file__).parent.parent / "README.md").read_text()


def block(language: str) -> str:
    """The one code block of a language in the README."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return str(found)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def program(name: str, package: str) -> str:
    """The path of a program that the tests need."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.fail(f"{name} is missing; Debian has it in the package {package}")
    return found


@contextmanager
def caddy(folder: Path, port: int, upstream: str) -> Iterator[None]:
    """Caddy with the README's Caddyfile, on a plain port."""
    text = block("caddyfile").replace("talk.example.com", f"http://127.0.0.1:{port}")
    path = folder / "Caddyfile"
    path.write_text("{\n\tadmin off\n}\n" + text.replace("127.0.0.1:8080", upstream))
    command = [program("caddy", "caddy"), "run", "--config", str(path), "--adapter", "caddyfile"]
    environ = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def nginx(folder: Path, port: int, upstream: str) -> Iterator[None]:
    """nginx with the README's location block."""
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}server {{\nlisten 127.0.0.1:{port};\n"
        + block("nginx").replace("127.0.0.1:8080", upstream)
        + "}\n}\n"
    )
    command = [program("nginx", "nginx-light"), "-p", str(folder), "-c", str(path)]
    with (folder / "proxy.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


Proxy = Callable[[Path, int, str], AbstractContextManager[None]]
LOGIN = {"method": "guest", "full_name": "Ann"}
PAGE = "https://blog.example.com"


async def listening(port: int, folder: Path) -> None:
    """Wait until the proxy takes connections."""
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    pytest.fail(f"the proxy did not start: {(folder / 'proxy.log').read_text()}")


async def sign_in(public: str, address: str, **headers: str) -> tuple[int, JSON]:
    """Sign in from one of this machine's own addresses: status and answer."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with (
        aiohttp.ClientSession(connector=connector, headers={"Origin": PAGE} | headers) as session,
        session.post(f"{public}/api/auth/login", json=LOGIN) as response,
    ):
        return response.status, dict(await response.json())


@pytest.mark.parametrize("proxy", [caddy, nginx], ids=["caddy", "nginx"])
async def test_people_chat_through_the_proxy_of_the_readme(tmp_path: Path, proxy: Proxy) -> None:
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    environ = {
        "TALKEE_SERVER__PUBLIC_URL": "https://talk.example.com",
        # Readers come from other addresses of this machine, which are not the proxy's.
        "TALKEE_SERVER__TRUSTED_PROXIES": '["127.0.0.1"]',
        "TALKEE_LIMITS__LOGINS_PER_MINUTE": "1",
    }
    with (
        server_process(tmp_path, **environ) as process,
        proxy(tmp_path, port, process.url.removeprefix("http://")),
    ):
        await listening(port, tmp_path)
        status, answer = await sign_in(public, "127.0.0.2")
        assert (status, answer["error"]) == (403, "origin_not_allowed")
        done = await asyncio.to_thread(run_verb, tmp_path, "site", "set", "1", "--add-origin", PAGE)
        assert done.returncode == 0, done.stderr

        status, answer = await sign_in(public, "127.0.0.2")
        assert status == 200, answer
        token, user = answer["data"]["access_token"], answer["data"]["user"]
        assert user["avatar_url"].startswith("https://talk.example.com/api/avatars/")
        # The reader's address counts: this one had its sign-in, whatever it says of itself, and
        # the next one did not, though both come by the same proxy.
        assert (await sign_in(public, "127.0.0.2"))[0] == 429
        spoofed = {"X-Forwarded-For": "203.0.113.9"}
        assert (await sign_in(public, "127.0.0.2", **spoofed))[0] == 429
        assert (await sign_in(public, "127.0.0.3"))[0] == 200

        headers = {"Origin": PAGE, "Authorization": f"Bearer {token}"}
        socket_url = f"ws://127.0.0.1:{port}/ws?{ROOM}"
        async with (
            aiohttp.ClientSession(public, headers=headers) as session,
            connect(socket_url, additional_headers={"Origin": PAGE}) as client,
        ):
            await client.send(json.dumps({"type": "auth", "token": token, "events": True}))
            assert json.loads(await client.recv())["type"] == "ready"
            url = f"/ws/messages?{ROOM}"
            async with session.post(url, json=draft("é")) as response:
                assert response.status == 200
                posted = await response.json()
            frame = json.loads(await client.recv())
            assert frame.pop("type") == "message"
            assert frame == posted
        assert process.stop() == 0
