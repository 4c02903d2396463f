"""The latest lines of rooms in memory: what they cost is counted, lists included."""

from __future__ import annotations

import asyncio

import pytest

from talkee_lite import records as records_module
from talkee_lite.records import Records

from .harness import ROOM, Server


def records_of(server: Server) -> Records:
    """The server's records."""
    return server.services.chat._records


def counted(records: Records) -> int:
    """What all records cost, counted anew."""
    total = 0
    for record in records._records.values():
        total += sum(line.cost for line in record.lines)
        total += len(record.latest.messages) if record.latest is not None else 0
    return total


async def test_what_is_kept_is_counted(server: Server) -> None:
    token = await server.guest()
    records = records_of(server)
    for number in range(5):
        room = f"site_id=1&slug=/{number}"
        posted = [await server.post(token, "x" * 500, room=room) for _ in range(10)]
        await server.latest(token, room=room)
        assert records._cost == counted(records) > 0
        kept = records._cost
        await server.latest(token, room=room, query="&limit=3")
        assert records._cost == counted(records) < kept
        path = f"/ws/messages/{posted[0]['message_id']}?{room}"
        assert (await server.call("DELETE", path, token=token))[0] == 200
        assert records._cost == counted(records)


async def test_all_records_together_have_a_budget(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_module, "_BUDGET", 100_000)
    token = await server.guest()
    for number in range(30):
        room = f"site_id=1&slug=/{number}"
        await asyncio.gather(*(server.post(token, "x" * 500, room=room) for _ in range(20)))
        await server.latest(token, room=room)
    records = records_of(server)
    assert 0 < len(records) < 10
    assert records._cost == counted(records) <= 100_000
    assert len((await server.latest(token, room="site_id=1&slug=/0"))["data"]) == 20
    assert (await server.latest(token, room=ROOM))["data"] == []
