"""Sign-in with an Ethereum wallet, which signs a text that says where (EIP-4361)."""

from __future__ import annotations

import re
import secrets
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urlsplit

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.constants import SECPK1_N
from eth_keys.exceptions import BadSignature
from eth_utils.address import to_checksum_address

from ..clock import SECOND
from ..config import normal_origin
from ..errors import SignInFailed
from ..models import Site
from ..protocol import take_text
from ..signing_in import Once, Proof, SignedIn
from . import Attempt, Parts
from .aside import Aside
from .eip4361 import SignInText, parse, write

MOST_NONCE = 128
_OLDEST = 600 * SECOND
_NEWEST = 60 * SECOND
_MOST_WAITING = 32
_SIGNATURE = re.compile("0x([0-9a-fA-F]{130})")
_PORTS = {"http": 80, "https": 443}
_NOT_SIGNED = "The signature is not that of the text's address."


class Mvm:
    """Lets in whoever signs with a wallet, as the owner of its address."""

    def __init__(self, parts: Parts) -> None:
        self._sign_ins = parts.sign_ins
        self._public_url = parts.people.public_url
        self._clock = parts.clock
        self._aside = Aside(_MOST_WAITING)
        parts.exits.callback(self._aside.close)

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """The owner of the address in `signed_message`, which `signature` proves.

        Raises InvalidBody, SignInFailed or Unavailable.
        """
        text = take_text(attempt.body, "signed_message")
        signature = take_text(attempt.body, "signature")
        origin = _origin(attempt.origin or self._public_url)
        proof = await self._aside.run(partial(_prove, text, signature, origin, self._clock()))
        return await self._sign_ins.admit(proof, attempt.entry)

    def text_for(self, account: str, origin: str | None) -> str:
        """What the wallet of an address has to sign on a page of `origin` (EIP-4361).

        Raises SignInFailed where the page has no host.
        """
        page = _origin(origin or self._public_url)
        return write(
            page.netloc,
            page.geturl(),
            to_checksum_address(account),
            nonce=secrets.token_hex(16),
            issued_at=self._clock(),
        )

    def describe(self, site: Site | None) -> dict[str, Any]:
        """A page needs nothing to begin."""
        return {}


make = Mvm


def _prove(typed: str, signature: str, origin: SplitResult, now: int) -> Proof:
    """What a signed text proves to a page of `origin`. Raises SignInFailed."""
    signed = _signature(signature)
    try:
        text = parse(typed)
    except ValueError as error:
        raise SignInFailed(str(error)) from None
    _check_place(text, origin)
    _check_time(text, now)
    if len(text.nonce) > MOST_NONCE:
        raise SignInFailed(f"The nonce has more than {MOST_NONCE} characters.")
    address = _signer(typed, signed)
    # In lower case, or with the capitals that are its checksum (EIP-55).
    if text.address not in (address, address.lower()):
        raise SignInFailed(_NOT_SIGNED)
    subject = address.lower()
    return Proof(
        "mvm",
        subject,
        f"{address[:6]}…{address[-4:]}",
        mvm_public_key=address,
        # Kept a little longer than it can be used, should this wait for the writer.
        once=Once(f"mvm {subject} {text.nonce}", text.issued_at + _OLDEST + 60 * SECOND),
    )


def _signature(typed: str) -> bytes:
    """The 65 bytes r, s, v. Raises SignInFailed."""
    match = _SIGNATURE.fullmatch(typed)
    if match is None:
        raise SignInFailed("A signature is 0x and 130 hexadecimal digits.")
    signature = bytes.fromhex(match[1])
    if signature[64] not in (0, 1, 27, 28):
        raise SignInFailed("The last byte of a signature is 0, 1, 27 or 28.")
    # Of each signature anybody can make a second one; only the one with the lower s counts (EIP-2).
    if int.from_bytes(signature[32:64]) > SECPK1_N // 2:
        raise SignInFailed("The signature is not in its canonical form (s is too high).")
    return signature


def _signer(text: str, signature: bytes) -> str:
    """The address that signed, with its checksum. Raises SignInFailed."""
    try:
        return str(Account.recover_message(encode_defunct(text=text), signature=signature))
    except BadSignature:
        raise SignInFailed(_NOT_SIGNED) from None


def _origin(address: str) -> SplitResult:
    """The origin of a page. Raises SignInFailed where it names no host, which `*` lets in."""
    try:
        parts = urlsplit(address)
        origin = normal_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        raise SignInFailed("Pages of this origin cannot sign in with a wallet.") from None
    return urlsplit(origin)


def _check_place(text: SignInText, origin: SplitResult) -> None:
    """Raise SignInFailed unless a page of `origin` had the text signed."""
    if text.scheme not in ("", origin.scheme):
        raise SignInFailed("The text's scheme is not that of the page.")
    if text.domain not in _spellings(origin, text.scheme or origin.scheme):
        raise SignInFailed("The text's domain is not the page's host and port.")
    if text.uri_authority not in _spellings(origin, text.uri_scheme):
        raise SignInFailed("The host and port in the text's URI are not the page's.")


def _spellings(origin: SplitResult, scheme: str) -> set[str]:
    """How the origin's host and port may be written behind `scheme`, whose own port is implied."""
    port = _PORTS.get(origin.scheme) if origin.port is None else origin.port
    host = origin.netloc.removesuffix(f":{port}")
    found = set() if port is None else {f"{host}:{port}"}
    return found | {host} if port == _PORTS.get(scheme) else found


def _check_time(text: SignInText, now: int) -> None:
    """Raise SignInFailed unless the text is good now."""
    if text.issued_at < now - _OLDEST:
        raise SignInFailed("The text was issued more than 10 minutes ago.")
    if text.issued_at > now + _NEWEST:
        raise SignInFailed("The text was issued in the future; is the clock right?")
    if text.expires_at is not None and text.expires_at <= now:
        raise SignInFailed("The text has expired.")
    if text.not_before is not None and text.not_before > now:
        raise SignInFailed("The text is not good yet.")
