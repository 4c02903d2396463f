"""The command line: verbs beside a running server, and without one."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path

import aiohttp
import pytest
from websockets.asyncio.client import connect

from talkee_lite.app import open_services
from talkee_lite.version import VERSION

from .harness import JSON, ROOM, config_in, draft, run_verb, running, server_process


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder in which a server has run."""
    async with open_services(config_in(tmp_path)):
        return tmp_path


def test_every_verb_has_help(tmp_path: Path) -> None:
    for words in ([], ["serve"], ["token"], ["site"], ["site", "list"], ["check-config"]):
        done = run_verb(tmp_path, *words, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith("usage: ")


def test_the_version_is_printed(tmp_path: Path) -> None:
    assert run_verb(tmp_path, "--version").stdout == f"talkee-lite {VERSION}\n"


@pytest.mark.parametrize("served", [True, False])
def test_verbs_work_beside_a_server_and_without_one(folder: Path, served: bool) -> None:
    def use() -> None:
        assert run_verb(folder, "site", "list").stdout == "1  My site  no origins\n"
        added = run_verb(folder, "site", "add", "--name", "Blog", "--origin", "https://a.example")
        assert added.stdout == "1000  Blog  https://a.example\n"
        changed = run_verb(
            folder, "site", "set", "1000", "--add-origin", "https://b.example", "--public-chat"
        )
        assert changed.stdout == "1000  Blog  https://a.example https://b.example\n"
        changed = run_verb(folder, "site", "set", "1000", "--remove-origin", "https://A.example/")
        assert changed.stdout == "1000  Blog  https://b.example\n"
        listed = json.loads(run_verb(folder, "site", "list", "--json").stdout)
        assert [(s["id"], s["public_chat"]) for s in listed] == [(1, False), (1000, True)]
        assert run_verb(folder, "token", "--name", "Ann").stdout.count(".") == 2

    if served:
        with server_process(folder) as process:
            use()
            assert process.stop() == 0
    else:
        use()


def test_an_allowed_origin_is_effective_at_once(tmp_path: Path) -> None:
    with server_process(tmp_path, TALKEE_SERVER__PUBLIC_URL="https://talk.example.com") as process:
        request = urllib.request.Request(
            f"{process.url}/api/slugs?site_id=1&slug=/a", headers={"Origin": "https://b.example"}
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == 403
        caught.value.close()
        run_verb(tmp_path, "site", "set", "1", "--add-origin", "https://b.example")
        with urllib.request.urlopen(request) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "https://b.example"


def test_a_token_of_the_command_line_speaks_for_its_guest(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        token = run_verb(tmp_path, "token", "--name", "Ann").stdout.strip()
        request = urllib.request.Request(
            f"{process.url}/api/me", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request) as response:
            assert json.load(response)["data"]["full_name"] == "Ann"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["site", "set", "7", "--name", "x"], "There is no site with this id."),
        (["site", "set", "1", "--add-origin", "blog"], "must be an origin such as"),
        (["site", "add", "--name", " "], "1 to 64 characters"),
        (["token", "--name", ""], "A name has 1 to 64 characters."),
        (["serve", "--port", "70000"], "must be a whole number from 0 to 65535"),
        (["--config", "none.toml"], "cannot be read"),
        (["--config", "none.toml", "site", "list"], "cannot be read"),
        (["room", "close", ""], "slug must have 1 to 256 characters"),
        (["room", "close", "x" * 300], "slug must have 1 to 256 characters"),
        (["user", "ban", "77"], "There is no such user"),
        (["user", "ban", "1", "--hours", "-1"], "hours must be from 0"),
        (["message", "delete", "/a", "7c9e6679-7425-40de-944b-e07fc1f90ae7"], "no such message"),
        (["room", "close", "--site", "9", "/a"], "There is no site with this id."),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folder: Path, words: list[str], said: str) -> None:
    done = run_verb(folder, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_site_of_the_settings_is_changed_there_alone(folder: Path) -> None:
    (folder / "talkee.toml").write_text("[[sites]]\nid = 5\nname = 'Mine'\n")
    assert "5  Mine  no origins (in the settings)\n" in run_verb(folder, "site", "list").stdout
    done = run_verb(folder, "site", "set", "5", "--name", "x")
    assert "changed there" in done.stderr


def test_a_verb_in_the_wrong_folder_makes_no_database(tmp_path: Path) -> None:
    for words in (["site", "list"], ["backup", "x.db"]):
        done = run_verb(tmp_path, *words)
        assert done.returncode == 1
        assert "there is no database at" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_config_shows_everything_but_secrets(tmp_path: Path) -> None:
    secret = "s" * 40
    done = run_verb(tmp_path, "check-config", TALKEE_AUTH__JWT_SECRET=secret)
    assert done.returncode == 0
    assert "port = 8080" in done.stdout
    assert secret not in done.stdout
    assert list(tmp_path.iterdir()) == []


async def test_beside_a_program_that_embeds_it_a_verb_says_why_it_cannot(tmp_path: Path) -> None:
    async with running(config_in(tmp_path)):
        done = await asyncio.to_thread(run_verb, tmp_path, "site", "list")
    assert done.returncode == 1
    assert "no control socket" in done.stderr


async def test_the_owner_deletes_closes_bans_and_signs_out_while_the_server_runs(
    tmp_path: Path,
) -> None:
    """Each is effective at once, on sockets that are open too."""
    with server_process(tmp_path) as process:
        async with aiohttp.ClientSession(process.url) as session:

            async def guest(name: str) -> tuple[int, str]:
                body = {"method": "guest", "full_name": name}
                async with session.post("/api/auth/login", json=body) as response:
                    data = (await response.json())["data"]
                    return data["user"]["id"], data["access_token"]

            async def post(token: str) -> JSON:
                headers = {"Authorization": f"Bearer {token}"}
                url = f"/ws/messages?{ROOM}"
                async with session.post(url, json=draft(), headers=headers) as response:
                    return dict(await response.json())

            async def verb(*words: str) -> str:
                done = await asyncio.to_thread(run_verb, tmp_path, *words)
                assert done.returncode == 0, done.stderr
                return done.stdout

            ann_id, ann = await guest("Ann")
            bob_id, bob = await guest("Bob")
            posted = await post(ann)
            ws_url = process.url.replace("http", "ws") + f"/ws?{ROOM}"
            async with connect(ws_url) as first, connect(ws_url) as second:
                for client, token in ((first, ann), (second, bob)):
                    await client.send(json.dumps({"type": "auth", "token": token, "events": True}))
                    assert json.loads(await client.recv())["type"] == "ready"

                async def event(kind: str) -> JSON:
                    while True:
                        found: JSON = json.loads(await second.recv())
                        if found["type"] == kind:
                            return found

                assert '"seq": 2' in await verb("message", "delete", "/a", posted["message_id"])
                assert (await event("message_deleted"))["deleted_seq"] == 1
                await verb("room", "close", " /a ")
                assert (await event("room"))["closed"] is True
                assert (await post(bob))["error"] == "room_closed"
                await verb("room", "open", "/a")
                assert (await event("room"))["closed"] is False
                await verb("user", "ban", str(ann_id), "--hours", "1", "--reason", "noise")
                await first.wait_closed()
                assert first.close_code == 4503
                assert (await post(ann))["error"] == "banned"
                assert "banned until" in await verb("user", "list")
                await verb("user", "unban", str(ann_id))
                assert (await post(ann))["seq"] == 3
                await verb("user", "signout", str(bob_id))
                await second.wait_closed()
                assert second.close_code == 4501
                assert (await post(bob))["error"] == "unauthorized"
                listed = await verb("user", "list", "--query", "AN")
                assert listed == f"{ann_id}  Ann  guest\n"
