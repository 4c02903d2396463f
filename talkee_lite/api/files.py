"""Files that any page may load, from memory, with a tag for who has them already."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .exchange import Answer, Request


@dataclass(frozen=True, slots=True)
class File:
    """What is sent, and its entity tag (RFC 9110, section 8.8.3)."""

    body: bytes
    content_type: str
    etag: str


def make_file(body: bytes, content_type: str) -> File:
    """A file; its tag follows from its bytes."""
    return File(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:20]}"')


def answer_file(request: Request, file: File) -> Answer:
    """The file, or 304 for who holds it already."""
    headers = {
        "Content-Type": file.content_type,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": file.etag,
    }
    if _is_known(request.all_of("if-none-match"), file.etag):
        return Answer(status=304, headers=headers)
    return Answer(file.body, headers=headers)


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether a client holds this version already (RFC 9110, section 13.1.2)."""
    known = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in known)
