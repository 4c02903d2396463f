"""Webhooks against a real receiver: what arrives, what is tried again, where none may lead."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks.webhooks import WebhookVerificationError

from talkee_lite.clock import DAY, SECOND, Clock, system_clock
from talkee_lite.config import Config, SiteConfig, WebhooksConfig
from talkee_lite.models import Delivery, Hold, Site
from talkee_lite.notify.addresses import is_public
from talkee_lite.notify.channel import Event, NotDelivered
from talkee_lite.notify.dispatch import LONGEST_WAIT, Pace
from talkee_lite.notify.webhook import Webhook, _retry_after, sign

from .faults.crowd import guest
from .harness import JSON, Server, config_in, run_verb, running, server_process, until
from .receiver import Receiver, ok, receiving, silence, status

QUICK = Pace(look=0.01, first=0.02, last=0.05, check=0.01)
EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
PAGE = "site_id=1&slug=/a"
OWN_SECRET = "whsec_" + b64encode(b"a secret of the owner's own, 32 b").decode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks and tries follow each other in hundredths of seconds."""
    monkeypatch.setattr("talkee_lite.notify.dispatch.Pace", lambda: QUICK)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where the webhook leads."""
    async with receiving() as started:
        yield started


def config_for(folder: Path, *urls: str, **site: Any) -> Config:
    """Settings with a site for each address, from id 1 on, that allow private ones."""
    sites = tuple(
        SiteConfig(id=number, name=f"Site {number}", webhook_url=url, **site)
        for number, url in enumerate(urls, 1)
    )
    return config_in(folder, sites=sites, webhooks=WebhooksConfig(allow_private=True))


@pytest.fixture
async def server(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Server]:
    """A server whose site 1 tells the receiver."""
    async with running(config_for(tmp_path, receiver.url)) as started:
        yield started


async def comment(server: Server, token: str, text: str, *, page: str = PAGE) -> JSON:
    """Post a comment that must succeed."""
    code, answer, _ = await server.call(
        "POST", f"/api/comments?{page}", {"content": text}, token=token
    )
    assert code == 200, answer
    return dict(answer["data"])


async def standing(
    server: Server, when: Callable[[Delivery, int], bool] = lambda *_: True
) -> tuple[Delivery, int]:
    """How the webhook of site 1 stands and how much waits, once both are so."""
    async with asyncio.timeout(10):
        while True:
            found = await server.services.dispatcher.find("webhook", 1)
            assert found is not None
            if when(*found):
                return found
            await asyncio.sleep(0.01)


def failed(delivery: Delivery, waiting: int) -> bool:
    """Whether the last try failed."""
    return delivery.failures > 0


# What arrives.


async def test_comments_replies_and_first_messages_arrive_as_the_api_shows_them(
    server: Server, receiver: Receiver
) -> None:
    token = await server.guest("Ann")
    written = await comment(server, token, "**First** comment")
    (first,) = await receiver.wait(1)
    event = first.event
    assert event["type"] == "comment.created"
    assert event["timestamp"] == written["created_at"]
    data = event["data"]
    assert data["comment"] == written
    assert data["author"] == written["creator"]
    assert data["text"] == "**First** comment"
    assert (data["site_id"], data["site_name"], data["slug"]) == (1, "Site 1", "/a")
    assert data["address"] == f"{server.url}/t/1?slug=/a"
    assert data["status"] == "published"

    _, answer, _ = await server.call(
        "POST", f"/api/comments/{written['id']}/replies?{PAGE}", {"content": "Yes"}, token=token
    )
    (_, second) = await receiver.wait(2)
    assert second.event["type"] == "reply.created"
    assert second.event["data"]["reply"] == answer["data"]

    posted = await server.post(token, "Hallo, wêreld!")
    (_, _, third) = await receiver.wait(3)
    assert third.event["type"] == "message.created"
    assert third.event["data"]["message"] == posted
    assert third.text == "Hallo, wêreld!"
    assert third.event["data"]["author"] == posted["user"]


async def test_the_standards_own_library_verifies_what_arrives(
    server: Server, receiver: Receiver
) -> None:
    await comment(server, await server.guest(), "Sïgned 🖋")
    (delivery,) = await receiver.wait(1)
    secret = server.services.dispatcher.secret("webhook", 1)
    assert delivery.verify(secret) == delivery.event
    assert delivery.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        delivery.verify(OWN_SECRET)
    delivery.body += b" "
    with pytest.raises(WebhookVerificationError):
        delivery.verify(secret)


def test_a_signature_is_what_the_standard_says() -> None:
    """Its own example, with the secret's 24 bytes."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signature = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_each_site_has_a_secret_of_its_own(tmp_path: Path, receiver: Receiver) -> None:
    async with running(config_for(tmp_path, receiver.url, receiver.url)) as server:
        secrets = {server.services.dispatcher.secret("webhook", number) for number in (1, 2)}
    async with running(config_for(tmp_path, receiver.url, webhook_secret=OWN_SECRET)) as server:
        assert server.services.dispatcher.secret("webhook", 1) == OWN_SECRET
        await comment(server, await server.guest(), "Mine")
        (delivery,) = await receiver.wait(1)
        delivery.verify(OWN_SECRET)
    assert len(secrets | {OWN_SECRET}) == 3
    assert all(len(b64decode(secret.removeprefix("whsec_"))) >= 32 for secret in secrets)


async def test_a_page_whose_address_is_known_is_named_by_it(
    server: Server, receiver: Receiver
) -> None:
    token = await server.guest()
    await comment(server, token, "one")
    await receiver.wait(1)
    await server.services.db.write(
        lambda tx: tx.execute(
            "update pages set address = 'https://blog.example/a', title = 'A'", {}
        )
    )
    await comment(server, token, "two")
    data = (await receiver.wait(2))[1].event["data"]
    assert (data["address"], data["title"]) == ("https://blog.example/a", "A")


# What is tried again.


async def test_what_failed_is_tried_again_under_the_same_id_and_nothing_overtakes_it(
    server: Server, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    token = await server.guest()
    receiver.answer = status(500)
    await comment(server, token, "one")
    await receiver.wait(3)
    await comment(server, token, "two")
    receiver.answer = ok
    await until(lambda: "two" in receiver.texts)
    tries = receiver.texts.count("one")
    assert receiver.texts == ["one"] * tries + ["two"]
    assert len({delivery.id for delivery in receiver.came[:tries]}) == 1
    assert receiver.came[-1].id != receiver.came[0].id
    assert "notice not delivered" in caplog.text
    assert "status 500" in caplog.text
    assert "/hook" not in caplog.text, "the address may be a secret"
    delivery, _ = await standing(server, lambda _, waiting: not waiting)
    assert (delivery.failures, delivery.last_error) == (0, "")


async def test_a_receiver_that_was_down_gets_all_of_it_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with running(config_for(tmp_path, f"http://127.0.0.1:{port}/hook")) as server:
        token = await server.guest()
        for text in ("one", "two", "three"):
            await comment(server, token, text)
        delivery, waiting = await standing(
            server, lambda delivery, waiting: delivery.failures > 1 and waiting == 3
        )
        assert waiting == 3
        assert "connect" in delivery.last_error.lower()
        async with receiving(port) as receiver:
            await receiver.wait(3)
            assert receiver.texts == ["one", "two", "three"]


async def test_a_restart_in_the_middle_loses_nothing(tmp_path: Path, receiver: Receiver) -> None:
    config = config_for(tmp_path, receiver.url)
    receiver.answer = silence
    async with running(config) as server:
        token = await server.guest()
        for text in ("one", "two"):
            await comment(server, token, text)
        (tried,) = await receiver.wait(1)
    receiver.answer = ok
    async with running(config) as server:
        await comment(server, token, "three")
        await receiver.wait(4)
        assert receiver.texts == ["one", "one", "two", "three"]
        assert receiver.came[1].id == tried.id


async def test_after_a_kill_what_was_answered_is_told(tmp_path: Path, receiver: Receiver) -> None:
    """`kill -9` right after each answer."""
    (tmp_path / "talkee.toml").write_text(
        f"[webhooks]\nallow_private = true\n[[sites]]\nid = 1\nwebhook_url = '{receiver.url}'\n"
    )
    receiver.answer = silence
    texts = ["one", "two", "three"]
    token = ""
    for text in texts:
        with server_process(tmp_path) as process:
            async with aiohttp.ClientSession(process.url) as session:
                token = token or await guest(session)
                async with session.post(
                    f"/api/comments?{PAGE}",
                    json={"content": text},
                    headers={"Authorization": f"Bearer {token}"},
                ) as response:
                    assert response.status == 200
            process.process.kill()
            process.process.wait()
    receiver.answer = ok
    receiver.came.clear()
    with server_process(tmp_path):
        # What was on its way when the process was killed may be heard twice.
        await until(lambda: list(dict.fromkeys(receiver.texts)) == texts)


async def test_a_receiver_that_is_gone_is_left_alone_until_there_is_another(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(tmp_path, receiver.url)
    receiver.answer = status(410)
    async with running(config) as server:
        token = await server.guest()
        await comment(server, token, "one")
        await until(lambda: "not wanted any more" in caplog.text)
        await comment(server, token, "two")
        assert (await standing(server))[0].is_gone
    async with running(config) as server:
        await comment(server, token, "three")
        assert (await standing(server))[1] == 0
    assert receiver.texts == ["one"]
    receiver.answer = ok
    async with running(config_for(tmp_path, receiver.url + "?another")) as server:
        await comment(server, token, "four")
        await receiver.wait(2)
    assert receiver.texts == ["one", "four"]


async def test_a_test_that_arrives_wakes_what_was_gone(server: Server, receiver: Receiver) -> None:
    token = await server.guest()
    receiver.answer = status(410)
    await comment(server, token, "one")
    await standing(server, lambda delivery, _: delivery.is_gone)
    dispatcher = server.services.dispatcher
    assert await dispatcher.test("webhook", 1) == "status 410"
    receiver.answer = ok
    assert await dispatcher.test("webhook", 1) == ""
    test = receiver.came[-1]
    assert test.verify(dispatcher.secret("webhook", 1))["type"] == "test"
    await comment(server, token, "two")
    await until(lambda: receiver.texts[-1] == "two")


async def test_a_test_that_arrives_lets_what_waits_be_tried_at_once(
    server: Server, receiver: Receiver
) -> None:
    receiver.answer = status(503, Retry_After="3000")
    await comment(server, await server.guest(), "one")
    await receiver.wait(1)
    delivery, _ = await standing(server, failed)
    assert 2900 * SECOND < delivery.next_try_at - system_clock() <= 3000 * SECOND
    receiver.answer = ok
    assert await server.services.dispatcher.test("webhook", 1) == ""
    await receiver.wait(3)
    assert receiver.texts[-1] == "one"


async def test_another_address_gets_what_waits(tmp_path: Path, receiver: Receiver) -> None:
    config = config_in(tmp_path, webhooks=WebhooksConfig(allow_private=True))
    async with running(config) as server, receiving() as second:
        sites, dispatcher = server.services.sites, server.services.dispatcher

        async def lead_to(url: str) -> None:
            await sites.set(1, webhook_url=url)
            await dispatcher.refresh()

        receiver.answer = silence
        await lead_to(receiver.url)
        token = await server.guest()
        await comment(server, token, "one")
        await receiver.wait(1)
        await lead_to(second.url)
        await comment(server, token, "two")
        await second.wait(2)
        assert second.texts == ["one", "two"]
        await lead_to("")
        await comment(server, token, "three")
        await lead_to(second.url)
        await comment(server, token, "four")
        await second.wait(3)
        assert second.texts == ["one", "two", "four"]


def test_waits_grow_from_seconds_to_an_hour_and_heed_a_wish_of_up_to_a_day() -> None:
    pace = Pace()
    for failures, most in [(1, 5), (2, 10), (5, 80), (11, 3600), (500, 3600)]:
        waits = [pace.wait(failures, 0) for _ in range(200)]
        assert most / 2 <= min(waits) < max(waits) <= most
    assert pace.wait(1, 600) == 600
    assert pace.wait(1, 1e9) == DAY / SECOND
    assert pace.wait(500, 5) >= 1800


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("", 0),
        ("soon", 0),
        ("-5", 0),
        ("1e9", 0),
        ("9" * 5000, 999999999),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str, seconds: float) -> None:
    assert _retry_after(text, 1_767_225_600 * SECOND) == seconds


async def test_a_clock_that_was_set_back_does_not_stop_deliveries(
    server: Server, receiver: Receiver
) -> None:
    receiver.answer = status(500)
    await comment(server, await server.guest(), "one")
    await receiver.wait(1)
    later = system_clock() + 2 * LONGEST_WAIT
    receiver.answer = ok
    await server.services.db.write(
        lambda tx: tx.execute("update deliveries set next_try_at = :later", {"later": later})
    )
    await until(lambda: len(receiver.came) > 1)


# What a bad receiver cannot do.


async def test_a_redirect_is_not_followed(server: Server, receiver: Receiver) -> None:
    receiver.answer = status(302, Location=f"http://127.0.0.1:{receiver.port}/elsewhere")
    assert "redirects are not followed" in await server.services.dispatcher.test("webhook", 1)
    assert [delivery.path for delivery in receiver.came] == ["/hook"]


async def test_of_a_huge_answer_next_to_nothing_is_read(server: Server, receiver: Receiver) -> None:
    written = 0
    cut = asyncio.Event()

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while written < 1 << 30:
                await response.write(b"x" * 65536)
                written += 65536
        except ConnectionError:
            cut.set()
        return response

    receiver.answer = flood
    assert await server.services.dispatcher.test("webhook", 1) == ""
    await asyncio.wait_for(cut.wait(), 5)
    # What the system itself buffers between two sockets.
    assert written < 16 << 20


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nX-A: b"])
async def test_a_receiver_has_a_time_limit_for_the_whole_exchange(
    tmp_path: Path, head: bytes
) -> None:
    """Silence, and a head that comes a byte at a time."""

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(head)
            while True:
                writer.write(b"x" if head else b"")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    started = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = started.sockets[0].getsockname()[1]
    before = time.monotonic()
    with pytest.raises(NotDelivered, match=r"no answer within 0\.2 s"):
        await send(tmp_path, f"http://127.0.0.1:{port}/", allow_private=True, seconds=0.2)
    assert time.monotonic() - before < 2
    started.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-Header: y\r\n" * 100_000,
        b"SSH-2.0-OpenSSH\r\n",
        b"\0" * 100,
        b"",
    ],
    ids=["headers", "ssh", "zeros", "nothing"],
)
async def test_an_answer_that_is_no_http_is_a_failure_like_others(
    tmp_path: Path, answer: bytes
) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    started = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = started.sockets[0].getsockname()[1]
    with pytest.raises(NotDelivered):
        await send(tmp_path, f"http://127.0.0.1:{port}/", allow_private=True)
    started.close()


async def test_a_certificate_is_checked_and_the_reason_names_no_secret(tmp_path: Path) -> None:
    made = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"),
        *("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    for context, reason in ((tls, "the certificate is not valid"), (None, "no TLS")):
        async with receiving(tls=context) as receiver:
            url = receiver.url.replace("http:", "https:")
            with pytest.raises(NotDelivered, match=reason) as caught:
                await send(tmp_path, url, allow_private=True)
            assert "hook" not in caught.value.reason
            assert receiver.came == []


async def test_a_receiver_that_hangs_holds_up_neither_posts_nor_other_sites_nor_the_stop(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.answer = silence
    async with receiving() as other:
        async with running(config_for(tmp_path, receiver.url, other.url)) as server:
            token = await server.guest()
            await comment(server, token, "to silence")
            await receiver.wait(1)
            before = time.monotonic()
            for number in range(20):
                await comment(server, token, f"text {number}", page="site_id=2&slug=/b")
            await other.wait(20)
            assert other.texts == [f"text {number}" for number in range(20)]
            assert time.monotonic() - before < 5
            before = time.monotonic()
        assert time.monotonic() - before < 2
    assert len(receiver.came) == 1


# Where no webhook may lead.


async def send(
    folder: Path,
    url: str,
    *,
    allow_private: bool,
    seconds: float = 5,
    secret: str = OWN_SECRET,
    clock: Clock = system_clock,
) -> None:
    """Send an event to an address."""
    config = replace(config_in(folder), webhooks=WebhooksConfig(allow_private=allow_private))
    site = Site(1, "Mine", (), False, None, "", url, secret, Hold.NOBODY, False, False, 0, 0)
    channel = Webhook(config, "s" * 32, clock, seconds=seconds)
    await channel.send(site, Event("id", "test", clock(), {"text": "Hi"}))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[::]",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
    ],
)
async def test_an_address_that_is_not_public_is_refused_in_any_spelling(
    tmp_path: Path, receiver: Receiver, host: str
) -> None:
    with pytest.raises(NotDelivered, match=r"allow_private = true in \[webhooks\]|canonical"):
        await send(tmp_path, f"http://{host}:{receiver.port}/hook", allow_private=False)
    assert receiver.came == []


async def test_private_addresses_can_be_allowed(tmp_path: Path, receiver: Receiver) -> None:
    for host in ("127.0.0.1", "localhost"):
        await send(tmp_path, f"http://{host}:{receiver.port}/hook", allow_private=True)
    assert len(receiver.came) == 2


async def test_a_private_target_tells_its_owner_what_to_do(tmp_path: Path) -> None:
    async with receiving() as receiver:
        config = replace(config_for(tmp_path, receiver.url), webhooks=WebhooksConfig())
        async with running(config) as server:
            await comment(server, await server.guest(), "one")
            delivery, _ = await standing(server, failed)
            assert "set allow_private = true" in delivery.last_error
        assert receiver.came == []


async def test_a_name_that_does_not_exist_is_a_failure_like_others(tmp_path: Path) -> None:
    for host in ("no-such-host.invalid", "a" * 300 + ".example", "x..example"):
        with pytest.raises(NotDelivered):
            await send(tmp_path, f"http://{host}/", allow_private=False)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("1.1.1.1", True),
        ("2606:4700::1111", True),
        ("2a00:1450:4001::1", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("10.0.0.1", False),
        ("172.31.255.255", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("100.127.255.255", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("203.0.113.7", False),
        ("224.0.0.1", False),
        ("239.255.255.250", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::8.8.8.8", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:0:7f00:1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::808:808", False),
        ("2002:7f00:1::", False),
        ("2002:808:808::", False),
        ("2001::1", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("ff0e::1", False),
        ("100::1", False),
        ("localhost", False),
        ("", False),
        ("2130706433", False),
    ],
)
def test_what_is_public_leads_to_the_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


# What owners do.


@pytest.mark.parametrize("served", [True, False])
async def test_the_command_line_sets_shows_and_tests_a_webhook(
    tmp_path: Path, receiver: Receiver, served: bool
) -> None:
    async with running(config_in(tmp_path)):
        pass
    allow = {"TALKEE_WEBHOOKS__ALLOW_PRIVATE": "true"}

    async def verb(*words: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run_verb, tmp_path, *words, **allow)

    with server_process(tmp_path, **allow) if served else nullcontext():
        assert "This site has no webhook" in (await verb("site", "webhook", "1")).stderr
        assert "no site with this id" in (await verb("site", "webhook", "7")).stderr
        bad = await verb("site", "set", "1", "--webhook", "ftp://a.example/")
        assert "The webhook's address must start with" in bad.stderr
        await verb("site", "set", "1", "--webhook", receiver.url)
        assert "(webhook)" in (await verb("site", "list")).stdout
        shown = await verb("site", "webhook", "1")
        assert f"address    {receiver.url}\n" in shown.stdout
        assert "delivered  nothing yet\nwaiting    0\n" in shown.stdout
        secret = re.findall("whsec_[A-Za-z0-9+/=]+", shown.stdout)[0]

        done = await verb("site", "webhook", "1", "--test")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("test       arrived\n")
        assert receiver.came[-1].verify(secret)["data"]["site_name"] == "My site"
        assert (await verb("site", "set", "1", "--new-webhook-secret")).returncode == 0
        hook = json.loads((await verb("site", "webhook", "1", "--test", "--json")).stdout)
        assert hook["secret"] != secret
        receiver.came[-1].verify(hook["secret"])

        receiver.answer = status(404)
        done = await verb("site", "webhook", "1", "--test")
        assert done.returncode == 1
        assert "the test did not arrive: status 404" in done.stderr
        await verb("site", "set", "1", "--webhook", "")
        assert "This site has no webhook" in (await verb("site", "webhook", "1")).stderr


async def test_the_webhook_of_a_site_of_the_settings_is_changed_there_alone(
    tmp_path: Path, receiver: Receiver
) -> None:
    (tmp_path / "talkee.toml").write_text(
        f"[webhooks]\nallow_private = true\n[[sites]]\nid = 5\nwebhook_url = '{receiver.url}'\n"
        f"webhook_secret = '{OWN_SECRET}'\n"
    )
    with server_process(tmp_path):
        done = await asyncio.to_thread(run_verb, tmp_path, "site", "set", "5", "--webhook", "")
        assert "changed there" in done.stderr
        done = await asyncio.to_thread(run_verb, tmp_path, "site", "webhook", "5", "--test")
        assert OWN_SECRET in done.stdout
    receiver.came[0].verify(OWN_SECRET)
    checked = await asyncio.to_thread(run_verb, tmp_path, "check-config")
    assert "webhook_url = (set)" in checked.stdout
    assert "hook'" not in checked.stdout
    assert OWN_SECRET not in checked.stdout


@pytest.mark.parametrize(
    "command", [[sys.executable, "webhook_receiver.py"], ["node", "webhook_receiver.mjs"]]
)
async def test_the_examples_take_what_is_signed_once_and_refuse_all_else(
    tmp_path: Path, command: list[str]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.fail("node is missing; Debian has it in the package nodejs")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        command[0],
        str(EXAMPLES / command[1]),
        str(port),
        env=os.environ | {"WEBHOOK_SECRET": OWN_SECRET},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        url = f"http://127.0.0.1:{port}/"
        async with asyncio.timeout(10):
            while True:
                try:
                    await send(tmp_path, url, allow_private=True)
                    break
                except NotDelivered:
                    await asyncio.sleep(0.05)
        await send(tmp_path, url, allow_private=True)
        with pytest.raises(NotDelivered, match="status 401"):
            await send(tmp_path, url, allow_private=True, secret=OWN_SECRET[:-8] + "AAAAAAA=")
        old = system_clock() - 600 * SECOND
        with pytest.raises(NotDelivered, match="status 401"):
            await send(tmp_path, url, allow_private=True, clock=lambda: old)
        config = config_for(tmp_path, url, webhook_secret=OWN_SECRET)
        async with running(config) as server:
            await comment(server, await server.guest("Ann"), "Hi!")
            lines = [(await process.stdout.readline()).decode() for _ in range(2)]
        assert lines[0].startswith("test: Talkee Lite wrote")
        assert re.fullmatch(
            rf"""comment\.created: Ann wrote ['"]Hi!['"], see {server.url}/t/1\?slug=/a\n""",
            lines[1],
        )
    finally:
        process.kill()
        await process.wait()
