"""`/ws` and the messages of a room."""

from __future__ import annotations

from ..chat import parse_query
from ..config import LimitsConfig
from ..models import RoomKey
from ..protocol import dump_json, message_draft, parse_object
from .context import (
    Services,
    address_of,
    answer_bytes,
    bearer_of,
    body_of,
    caller_of,
    learning_of,
    query_of,
    room_of,
    services_of,
)
from .exchange import Answer, Request, Upgrade
from .handover import websocket_accept
from .socket import Connection

MAX_MESSAGE_BODY = 16 * 1024


async def open_socket(request: Request) -> Upgrade:
    """Upgrade to a WebSocket in the room; all further checks come by frames."""
    services = services_of(request)
    room = room_of(request, services)
    address = address_of(request, services)
    services.sockets.check(address)
    accept = websocket_accept(request)
    return Upgrade(
        status=101,
        headers={
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": accept,
        },
        protocol=Connection(services.sockets, room, address, request.id),
    )


async def post_message(request: Request) -> Answer:
    """Post a message; answered with it once it is durable."""
    services = services_of(request)
    room = room_of(request, services)
    body = await body_of(request, _body_limit(services.config.limits))
    caller = await caller_of(request, services)
    fields = parse_object(body)
    if services.config.compat.legacy_clients and "message_id" not in fields and "id" in fields:
        fields["message_id"] = fields["id"]
    draft = message_draft(fields, services.config.limits.max_data_bytes)
    learn = learning_of(request, services, fields)
    posted = await services.chat.post(caller, room, draft, address_of(request, services))
    await learn()
    headers = {"Idempotent-Replayed": "true"} if posted.repeated else None
    return answer_bytes(posted.message, headers=headers)


def _body_limit(limits: LimitsConfig) -> int:
    """16 KiB, and more where longer messages are allowed: base64 takes 4 bytes for 3."""
    needed = limits.max_data_bytes * 4 // 3 + 1024
    return min(max(MAX_MESSAGE_BODY, needed), limits.max_body_bytes)


async def list_messages(request: Request) -> Answer:
    """The latest messages of a room, or a page of older or newer ones."""
    services = services_of(request)
    room = room_of(request, services)
    await _check_reader(request, services, room)
    query = parse_query(query_of(request))
    listing = await services.chat.list(room, query)
    if services.config.compat.legacy_clients and query.before is None and query.after is None:
        return answer_bytes(listing.messages)
    head = b'{"ts":%d,"epoch":%b,"seq":%d,"has_more":%b,' % (
        services.clock() // 1000,
        dump_json(listing.epoch),
        listing.seq,
        b"true" if listing.has_more else b"false",
    )
    if listing.deleted is not None:
        head += b'"deleted":%b,' % dump_json(listing.deleted)
    return answer_bytes(b'%b"data":%b}' % (head, listing.messages))


async def delete_message(request: Request) -> Answer:
    """Erase a message; its number stays, and those who asked for events learn of it."""
    services = services_of(request)
    room = room_of(request, services)
    caller = await caller_of(request, services)
    deleted = await services.chat.delete(
        caller, room, request.match["message_id"], address_of(request, services)
    )
    return answer_bytes(dump_json({"message_id": deleted.message_id, "seq": deleted.seq or None}))


async def _check_reader(request: Request, services: Services, room: RoomKey) -> None:
    if services.sites.get(room.site_id).public_chat and (
        bearer_of(request) is None or services.config.compat.legacy_clients
    ):
        return
    await caller_of(request, services)
