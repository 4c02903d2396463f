"""Keys for one use each, all made of the signing secret. Pure."""

from __future__ import annotations

import hmac


def derived_key(secret: str, use: str) -> bytes:
    """The key for `use`: 32 bytes of HMAC-SHA256 (RFC 2104), which tell nothing of the secret."""
    return hmac.digest(secret.encode(), f"talkee lite: {use}".encode(), "sha256")
