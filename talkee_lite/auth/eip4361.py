"""Sign-In with Ethereum: the text that somebody has their wallet sign (EIP-4361).

The grammar is the EIP's own, on top of those of RFC 3986 and RFC 3339. Parsing takes a time that
grows with the square of a line's length; that is why lines are short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from abnf import Node, ParseError, Rule
from abnf.grammars import rfc3339, rfc3986
from abnf.grammars.misc import load_grammar_rules

MOST_TEXT = 2048
MOST_LINE = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SignInText:
    """What such a text says. Times are in microseconds; None and "" are what it leaves out."""

    scheme: str
    domain: str
    address: str
    uri_scheme: str
    uri_authority: str
    nonce: str
    issued_at: int
    expires_at: int | None
    not_before: int | None


@load_grammar_rules(
    [
        *((name, rfc3986.Rule(name)) for name in ("URI", "authority", "scheme", "pchar")),
        *((name, rfc3986.Rule(name)) for name in ("reserved", "unreserved")),
        ("date-time", rfc3339.Rule("date-time")),
    ]
)
class _Eip4361(Rule):
    grammar: ClassVar[list[str] | str] = [
        'sign-in-with-ethereum = [ scheme "://" ] domain'
        ' %s" wants you to sign in with your Ethereum account:" LF'
        " address LF LF [ statement LF ] LF"
        ' %s"URI: " URI LF'
        ' %s"Version: " version LF'
        ' %s"Chain ID: " chain-id LF'
        ' %s"Nonce: " nonce LF'
        ' %s"Issued At: " issued-at'
        ' [ LF %s"Expiration Time: " expiration-time ]'
        ' [ LF %s"Not Before: " not-before ]'
        ' [ LF %s"Request ID: " request-id ]'
        ' [ LF %s"Resources:" resources ]',
        "domain = authority",
        'address = "0x" 40HEXDIG',
        'statement = *( reserved / unreserved / " " )',
        'version = "1"',
        "chain-id = 1*DIGIT",
        "nonce = 8*( ALPHA / DIGIT )",
        "issued-at = date-time",
        "expiration-time = date-time",
        "not-before = date-time",
        "request-id = *pchar",
        'resources = *( LF "- " URI )',
    ]


def parse(text: str) -> SignInText:
    """Read a text. Raises ValueError with a sentence about what is wrong.

    The longest takes 0.15 s, so it is not for the event loop.
    """
    if len(text) > MOST_TEXT or any(len(line) > MOST_LINE for line in text.split("\n")):
        raise ValueError(
            f"The text has more than {MOST_TEXT:,} characters, or a line more than {MOST_LINE}."
        )
    try:
        parsed = _Eip4361("sign-in-with-ethereum").parse_all(text)
    except ParseError:
        raise ValueError("The text is not as EIP-4361 wants it.") from None
    parts = {part.name: part for part in parsed.children}
    uri = {part.name: part for part in parts["URI"].children}
    hierarchy = {part.name: part for part in uri["hier-part"].children}
    return SignInText(
        scheme=_value(parts, "scheme").lower(),
        domain=parts["domain"].value.lower(),
        address=parts["address"].value,
        uri_scheme=uri["scheme"].value.lower(),
        uri_authority=_value(hierarchy, "authority").lower(),
        nonce=parts["nonce"].value,
        issued_at=_time(parts["issued-at"].value),
        expires_at=_time_if_any(parts, "expiration-time"),
        not_before=_time_if_any(parts, "not-before"),
    )


def write(domain: str, uri: str, address: str, *, nonce: str, issued_at: int) -> str:
    """A text by which the owner of `address` signs in to `domain`; the time is in microseconds."""
    time = (_EPOCH + timedelta(microseconds=issued_at)).isoformat(timespec="milliseconds")
    lines = (
        *(f"{domain} wants you to sign in with your Ethereum account:", address, ""),
        *("Sign in to write here.", ""),
        *(f"URI: {uri}", "Version: 1", "Chain ID: 1", f"Nonce: {nonce}"),
        f"Issued At: {time.replace('+00:00', 'Z')}",
    )
    return "\n".join(lines)


def _value(parts: dict[str, Node], name: str) -> str:
    return parts[name].value if name in parts else ""


def _time_if_any(parts: dict[str, Node], name: str) -> int | None:
    return _time(parts[name].value) if name in parts else None


def _time(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError("The text names a time that there is not.") from None
    return (moment - _EPOCH) // timedelta(microseconds=1)
