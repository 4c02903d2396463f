"""ETag and Last-Modified, and whether a client holds what it asks for (RFC 9110, chapter 13)."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from ..clock import SECOND
from .exchange import Request


@lru_cache(maxsize=1)
def _process() -> str:
    """Counts of changes begin anew with each process, and are never taken for those of another.

    Made when it is needed: a program may load this first, and fork then.
    """
    return secrets.token_hex(16)


class Validators(NamedTuple):
    """What tells one state of a document from another: an opaque tag, and a time in microseconds.

    The tag holds for what people see, not for each byte: it is a weak one.
    """

    etag: str
    changed_at: int

    def headers(self, now: int) -> dict[str, str]:
        """The header fields of an answer that is made at `now`."""
        # What changes again within the second of an answer would not be told from it by its time.
        modified = min(self.changed_at // SECOND, now // SECOND - 1)
        return {"ETag": self.etag, "Last-Modified": formatdate(modified, usegmt=True)}


def validators(what: object, state: object, changed_at: int) -> Validators:
    """The validators of a document `what` in a `state`.

    They are known to whoever was sent that document by this process, and to nobody else.
    """
    seen = hashlib.sha256(f"{_process()} {what!r} {state!r}".encode()).hexdigest()
    return Validators(f'W/"{seen[:24]}"', changed_at)


def holds_tag(request: Request, known: Validators) -> bool:
    """Whether the client was sent the document in this state."""
    return not _tags(request).isdisjoint({known.etag, known.etag.removeprefix("W/")})


def holds_any(request: Request, known: Validators) -> bool:
    """Whether the client holds the document as it is now, if there is one: by the time, or by `*`.

    The time does not count beside a tag.
    """
    tags = _tags(request)
    if tags:
        return "*" in tags
    since = _date(request.headers.get("if-modified-since", ""))
    return since is not None and since >= known.changed_at // SECOND


def _tags(request: Request) -> set[str]:
    return {tag for tag in map(str.strip, request.all_of("if-none-match").split(",")) if tag}


def _date(text: str) -> int | None:
    """A date as HTTP writes it, in any of the three ways (RFC 9110, section 5.6.7), in seconds."""
    try:
        date = parsedate_to_datetime(text)
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
