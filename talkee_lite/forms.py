"""Forms of ours that can be sent once, from the page and the address that they were given to.

Nothing is stored when a form is shown: its token is signed. Tokens end with the process, so that
those that were used need not be remembered over a restart.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from .clock import SteadyClock
from .errors import FormExpired
from .keys import derived_key
from .models import RoomKey

T = TypeVar("T")

LIVES = 12 * 3600
"""Seconds for which a form can be sent."""
_RENEWED_AFTER = 3 * 3600
_MOST_USED = 20_000
_NONCE = 12
_MAC = 16


@dataclass(frozen=True, slots=True)
class _Use:
    expires_at: int
    digest: bytes
    """Of what was sent, which may be long."""
    outcome: asyncio.Future[Any]


class Forms:
    """Gives out tokens, and takes each once."""

    def __init__(self, secret: str, clock: SteadyClock) -> None:
        self._secret = secret
        self._clock = clock
        self._used: OrderedDict[bytes, _Use] = OrderedDict()
        self._key = self._new_key()

    def __len__(self) -> int:
        return len(self._used)

    def issue(self, room: RoomKey, address: str) -> str:
        """A token for a form on the page, for whoever asks from `address`."""
        head = (self._now() + LIVES).to_bytes(6, "big") + secrets.token_bytes(_NONCE)
        return urlsafe_b64encode(head + self._mac(head, room, address)).decode()

    def mark(self, address: str) -> str:
        """Another text whenever the form that `address` was given shall be given anew.

        What is sent by a form changes its page, so that need not be in it.
        """
        about = f"{self._now() // _RENEWED_AFTER} {address}"
        return hmac.digest(self._key, about.encode(), "sha256")[:8].hex()

    async def once(
        self,
        token: str,
        room: RoomKey,
        address: str,
        sent: object,
        work: Callable[[], Awaitable[T]],
    ) -> T:
        """What `work` gives, which is done once for a token and what was `sent` (by its `repr`).

        The same again gets the same (a double click). If the work fails nothing was used.
        Raises FormExpired, also for a token that was used for something else.
        """
        head = self._checked(token, room, address)
        digest = blake2b(repr(sent).encode(), digest_size=16).digest()
        use = self._used.get(head)
        if use is not None:
            if use.digest != digest:
                raise FormExpired
            same: T = await asyncio.shield(use.outcome)
            return same
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._used[head] = _Use(int.from_bytes(head[:6], "big"), digest, outcome)
        try:
            result = await work()
        except BaseException as error:
            self._used.pop(head, None)
            outcome.set_exception(error if isinstance(error, Exception) else FormExpired())
            # Often nobody else waits for it.
            outcome.exception()
            raise
        outcome.set_result(result)
        self._forget()
        return result

    def _checked(self, token: str, room: RoomKey, address: str) -> bytes:
        try:
            data = urlsafe_b64decode(token.encode("ascii"))
        except (Base64Error, ValueError):
            raise FormExpired from None
        head, mac = data[:-_MAC], data[-_MAC:]
        # One token has one spelling, or it could be sent in another a second time.
        if len(head) != 6 + _NONCE or urlsafe_b64encode(data).decode() != token:
            raise FormExpired
        if not hmac.compare_digest(mac, self._mac(head, room, address)):
            raise FormExpired
        if int.from_bytes(head[:6], "big") <= self._now():
            raise FormExpired
        return head

    def _forget(self) -> None:
        """What has expired need not be remembered; too much is forgotten with all that is open."""
        now = self._now()
        while self._used:
            head, use = next(iter(self._used.items()))
            if use.expires_at > now:
                break
            del self._used[head]
        if len(self._used) > _MOST_USED:
            self._used.clear()
            self._key = self._new_key()

    def _new_key(self) -> bytes:
        return derived_key(self._secret, f"forms, {secrets.token_hex(16)}")

    def _mac(self, head: bytes, room: RoomKey, address: str) -> bytes:
        about = b"\0".join([head, b"%d" % room.site_id, room.slug.encode(), address.encode()])
        return hmac.digest(self._key, about, "sha256")[:_MAC]

    def _now(self) -> int:
        return int(self._clock())
