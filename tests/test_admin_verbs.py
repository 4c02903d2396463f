"""How an owner comes by the first link and makes admins: the real command line and server."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from talkee_lite.app import open_services
from talkee_lite.models import Scope
from talkee_lite.signing_in import Entry, Proof

from .harness import ServerProcess, config_in, run_verb, server_process
from .test_admin import code_of


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder in which a server has run; its users are 1, a member, and 2, a guest."""
    async with open_services(config_in(tmp_path)) as services:
        await services.sign_ins.admit(Proof("other", "ann", "Ann"), Entry(Scope.PAGE))
        await services.sign_ins.guest("Guest")
    return tmp_path


def printed_link(process: ServerProcess) -> str:
    """What a server that has no admin prints below its address."""
    assert process.process.stdout is not None
    for line in process.process.stdout:
        if "#new=" in line:
            return line.strip()
    raise AssertionError("no link was printed")


def printed_at_all(process: ServerProcess) -> str:
    """What a server prints below its address until it stops."""
    assert process.stop() == 0
    assert process.process.stdout is not None
    return process.process.stdout.read()


def use(process: ServerProcess, link: str, origin: str = "", **fields: str) -> Any:
    """Come in by a link; who that is, or the error's code."""
    request = urllib.request.Request(
        f"{process.url}/api/auth/login",
        json.dumps(
            {"method": "admin_link", "code": code_of(link), "scope": "admin"} | fields
        ).encode(),
        {"Content-Type": "application/json", "Origin": origin or process.url},
    )
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["data"]["user"]
    except urllib.error.HTTPError as error:
        with error:
            return json.load(error)["error"]


def test_a_new_server_prints_a_link_until_somebody_has_used_it(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        # The first line holds the address and nothing else; standard output is no terminal.
        assert process.url.startswith("http://127.0.0.1:")
        older = printed_link(process)
        assert older.startswith(f"{process.url}/admin#new=")
        process.stop()
    with server_process(tmp_path) as process:
        newer = printed_link(process)
        assert use(process, older, full_name="Eve") == "sign_in_failed"
        assert use(process, newer, full_name="Olga")["kind"] == "admin"
        assert use(process, newer, full_name="Eve") == "sign_in_failed"
        process.stop()
    with server_process(tmp_path) as process:
        assert printed_at_all(process) == ""
        assert code_of(newer) not in (tmp_path / "server.log").read_text()


@pytest.mark.parametrize("public_url", ["https://talk.example.com", "https://b.example/talk"])
def test_links_begin_with_the_public_address(tmp_path: Path, public_url: str) -> None:
    origin = "/".join(public_url.split("/")[:3])
    with server_process(tmp_path, TALKEE_SERVER__PUBLIC_URL=public_url) as process:
        assert process.url.startswith("http://127.0.0.1:")
        link = printed_link(process)
        assert link.startswith(f"{public_url}/admin#new=")
        assert use(process, link, full_name="Eve") == "origin_not_allowed"
        assert use(process, link, origin, full_name="Olga")["full_name"] == "Olga"
        # The running server knows where it is, whatever the verb's own settings say.
        printed = run_verb(tmp_path, "user", "admin-link").stdout.strip()
        assert printed.startswith(f"{public_url}/admin#link=")


def test_admin_link_beside_a_server(tmp_path: Path) -> None:
    with server_process(tmp_path) as process:
        first = printed_link(process)
        done = run_verb(tmp_path, "user", "admin-link")
        assert "prints another at each start" in done.stderr
        link = done.stdout.strip()
        assert link.startswith(f"{process.url}/admin#new=")
        # It takes the place of the one that was printed.
        assert use(process, first, full_name="Eve") == "sign_in_failed"
        olga = use(process, link, full_name="Olga")
        for words in ([], [str(olga["id"])]):
            done = run_verb(tmp_path, "user", "admin-link", *words)
            assert done.stderr == "It works once, within an hour.\n"
            assert done.stdout.startswith(f"{process.url}/admin#link=")
            assert done.stdout.count("\n") == 1
            assert use(process, done.stdout.strip())["id"] == olga["id"]
            assert use(process, done.stdout.strip()) == "sign_in_failed"


def test_admin_link_without_a_server(folder: Path) -> None:
    assert run_verb(folder, "user", "role", "1", "admin").stdout == "1  Ann  admin\n"
    link = run_verb(folder, "user", "admin-link", TALKEE_SERVER__PORT="8123").stdout.strip()
    assert link.startswith("http://127.0.0.1:8123/admin#link=")
    with server_process(folder) as process:
        assert use(process, link)["full_name"] == "Ann"
        assert printed_at_all(process) == ""


@pytest.mark.parametrize("served", [True, False])
def test_roles_by_the_command_line(folder: Path, served: bool) -> None:
    def use_verbs() -> None:
        def role(*words: str) -> str:
            done = run_verb(folder, "user", "role", *words)
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert role("1", "moderator", "--site", "1") == "1  Ann  member  moderator of site 1\n"
        assert role("1", "admin") == "1  Ann  admin  moderator of site 1\n"
        assert role("1", "member", "--site", "1") == "1  Ann  admin\n"
        (ann,) = json.loads(run_verb(folder, "user", "list", "--query", "an", "--json").stdout)
        assert ann["roles"] == [{"site_id": 0, "role": "admin"}]

    if served:
        with server_process(folder):
            use_verbs()
    else:
        use_verbs()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["admin-link", "1"],
            "User 1 is no admin; `talkee-lite user role 1 admin` makes them one.",
        ),
        (["admin-link", "77"], "User 77 is no admin"),
        (["admin-link", "--database", "sqlite:none.db"], "there is no database at"),
        (["role", "2", "admin"], "A guest can have no role"),
        (["role", "2", "moderator", "--site", "1"], "A guest can have no role"),
        (["role", "77", "admin"], "There is no user with this id"),
        (["role", "1", "admin", "--site", "9"], "There is no site with this id."),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(folder: Path, words: list[str], said: str) -> None:
    done = run_verb(folder, "user", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_last_admin_cannot_be_taken_away_by_mistake(folder: Path) -> None:
    run_verb(folder, "user", "role", "1", "admin")
    done = run_verb(folder, "user", "role", "1", "member")
    assert done.returncode == 1
    assert "The server needs an admin" in done.stderr


def test_a_role_is_one_of_three(folder: Path) -> None:
    done = run_verb(folder, "user", "role", "1", "owner")
    assert done.returncode == 2
    assert "choose from" in done.stderr


def test_without_an_address_there_is_no_link(folder: Path) -> None:
    done = run_verb(folder, "user", "admin-link", TALKEE_SERVER__PORT="0")
    assert done.returncode == 1
    assert "start it first" in done.stderr
