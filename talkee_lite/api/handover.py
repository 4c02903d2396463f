"""From an aiohttp request to a WebSocket protocol of our own.

Where a request came through aiohttp, its connection leaves it with the upgrade. A handler
that stays for the life of a socket costs ten times the memory of one small protocol object. This
file is the only one that knows how aiohttp is left; tests/test_handover.py shows at once when a
new version changes that.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from aiohttp import web
from websockets.utils import accept_key

from ..errors import BadRequest, UpgradeRequired
from .exchange import Request, Upgrade


class _HandedOver(web.Response):
    """What the handler returns: everything was already sent, and aiohttp must send nothing."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


def websocket_accept(request: Request) -> str:
    """Check an opening handshake (RFC 6455, section 4.2.1); the value that accepts it.

    Raises UpgradeRequired for a request that is no handshake or of another version, BadRequest
    for one that is malformed.
    """
    headers = request.headers
    if request.method != "GET":
        raise UpgradeRequired
    tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    if "upgrade" not in tokens or headers.get("upgrade", "").strip().lower() != "websocket":
        raise UpgradeRequired
    if headers.get("sec-websocket-version", "").strip() != "13":
        raise UpgradeRequired
    key = headers.get("sec-websocket-key", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        nonce = b""
    if len(nonce) != 16:
        raise BadRequest("Sec-WebSocket-Key must be 16 bytes in base64.")
    return accept_key(key)


def head_of(upgrade: Upgrade) -> bytes:
    """The head of an answer 101."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in upgrade.headers.items()])
    return f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n".encode("ascii")


def hand_over(request: web.Request, upgrade: Upgrade) -> web.StreamResponse:
    """Answer 101 and give the connection to the protocol; the response for aiohttp to get.

    The protocol's `connection_made` has been called, and what the client sent after its handshake
    has been fed to it. Raises ConnectionResetError if the client is gone.
    """
    # Any: aiohttp's own types do not show what is needed here.
    old: Any = request.protocol
    transport = request.transport
    protocol: Any = upgrade.protocol
    if transport is None or transport.is_closing():
        raise ConnectionResetError("the client left before the upgrade")
    tail: bytes = old._message_tail
    transport.write(head_of(upgrade))
    was_paused = old._buffer_paused
    transport.set_protocol(protocol)
    # From here on aiohttp believes that the connection is gone.
    old.transport = None
    old.connection_lost(None)
    protocol.connection_made(transport)
    if tail:
        protocol.data_received(tail)
    if was_paused:
        transport.resume_reading()
    return _HandedOver()
