"""Webhooks: a signed JSON POST for each event (standardwebhooks.com, version 1.0.0).

docs/webhooks.md tells owners how to receive them.
"""

from __future__ import annotations

import hmac
import os
import socket
from base64 import b64decode, b64encode
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp

from ..clock import SECOND, Clock
from ..config import Config
from ..keys import derived_key
from ..models import Site
from ..protocol import dump_json, rfc3339
from ..resolver import Resolver
from ..version import VERSION
from .addresses import is_public
from .channel import Event, NotDelivered

_SECONDS = 10.0
"""For a whole exchange: looking the name up, connecting, sending, the answer's head."""
_BUFFER = 4096
_NOT_PUBLIC = (
    "the address is not public; if it is a machine of your own, set allow_private = true in"
    " [webhooks]"
)


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a body; `secret` is `whsec_` and base64."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()


class Webhook:
    """Sends a site's events to its `webhook_url`."""

    def __init__(
        self, config: Config, secret: str, clock: Clock, *, seconds: float = _SECONDS
    ) -> None:
        self._secret = secret
        self._clock = clock
        self._seconds = seconds
        self._allow_private = config.webhooks.allow_private

    def target(self, site: Site) -> str:
        """Where this site's events go; "": nowhere."""
        return site.webhook_url

    def secret(self, site: Site) -> str:
        """What signs this site's events: its own secret, else one made of the server's."""
        if site.webhook_secret:
            return site.webhook_secret
        key = derived_key(self._secret, f"webhook of site {site.id}")
        return "whsec_" + b64encode(key).decode()

    async def send(self, site: Site, event: Event) -> None:
        """Deliver one event. Raises NotDelivered."""
        now = self._clock()
        body = dump_json({"type": event.type, "timestamp": rfc3339(event.at), "data": event.data})
        timestamp = now // SECOND
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"talkee-lite/{VERSION}",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.secret(site), event.id, timestamp, body),
        }
        try:
            async with (
                self._session() as session,
                session.post(
                    site.webhook_url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                # The head says all; of the answer itself nothing more is read.
                response.close()
        except TimeoutError:
            raise NotDelivered(f"no answer within {self._seconds:g} s") from None
        except aiohttp.InvalidURL as error:
            raise NotDelivered(f"the address {error.description or 'is not valid'}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotDelivered(_reason(error)) from None
        if not 200 <= response.status < 300:
            raise _refusal(response, now)

    def _session(self) -> aiohttp.ClientSession:
        """A client for one event: no connection grows old, and each is checked."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=Resolver(), use_dns_cache=False, socket_factory=self._make_socket
            ),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "Connection": "close"},
            read_bufsize=_BUFFER,
        )

    def _make_socket(self, info: Any) -> socket.socket:
        """A socket for an address that is about to be connected to, however it was found."""
        family, kind, protocol, _, address = info
        if not self._allow_private and not is_public(address[0]):
            raise OSError(_NOT_PUBLIC)
        return socket.socket(family, kind, protocol)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate is not valid: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"no TLS: {error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    return str(error) or type(error).__name__


def _refusal(response: aiohttp.ClientResponse, now: int) -> NotDelivered:
    reason = f"status {response.status}"
    if 300 <= response.status < 400:
        reason += "; redirects are not followed: set the address that it leads to"
    return NotDelivered(
        reason,
        retry_after=_retry_after(response.headers.get("Retry-After", ""), now),
        is_gone=response.status == HTTPStatus.GONE,
    )


def _retry_after(text: str, now: int) -> float:
    """The seconds that a Retry-After asks to wait (RFC 9110, section 10.2.3); 0 if it does not."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now / SECOND)
    except (ValueError, OverflowError, OSError):
        return 0.0
