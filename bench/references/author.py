"""What the measured server adds to a message beside what its author sent."""

from __future__ import annotations

AUTHOR = {
    "id": 1,
    "mixin_user_id": "00000000-0000-0000-0000-000000000001",
    "mixin_identity_number": "0",
    "full_name": "Guest 1",
    "avatar_url": "http://127.0.0.1:8080/api/avatars/1.svg",
    "mvm_public_key": "",
    "kind": "guest",
    "created_at": "2026-01-01T00:00:00.000000Z",
}
