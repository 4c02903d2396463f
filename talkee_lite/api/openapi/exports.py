"""What an export of one person's data looks like."""

from __future__ import annotations

from ...models import Scope, Status
from .parts import Schema, array, record, text
from .shapes import (
    COUNT,
    FLAG,
    ID,
    ID_OR_0,
    PLACE_OR_NONE,
    SAID_AT,
    SLUG,
    TIME,
    TIME_OR_NEVER,
    UUID,
)


def export_shapes() -> dict[str, Schema]:
    """Everything about one person: near to how it is stored."""
    status = text(enum=list(Status))
    where = {"id": ID, "site_id": ID, "slug": SLUG}
    written = {"created_at": TIME, "deleted_at": TIME_OR_NEVER}
    texts = {"content": text(), "status": status, "edited": FLAG, "updated_at": TIME, **written}
    return {
        "Export": record(
            exported_at=TIME,
            user=record(
                id=ID,
                mixin_user_id=UUID,
                mixin_identity_number=text(1),
                full_name=text(),
                mvm_public_key=text(),
                avatar_url=text(),
                is_guest=FLAG,
                lang=text(),
                banned_until=TIME_OR_NEVER,
                ban_reason=text(),
                created_at=TIME,
                updated_at=TIME,
            ),
            identities=array(
                record(provider=text(1), subject=text(), name=text(), created_at=TIME)
            ),
            sessions=array(
                record(
                    scope=text(enum=list(Scope)),
                    method=text(),
                    created_at=TIME,
                    expires_at=TIME,
                    last_used_at=TIME,
                )
            ),
            roles=array(record(site_id=ID_OR_0, role=text(1), granted_by=text(), created_at=TIME)),
            messages=array(
                record(
                    **where,
                    message_id=UUID,
                    category=text(1),
                    data=text(),
                    status=status,
                    seq=PLACE_OR_NONE,
                    **written,
                )
            ),
            comments=array(
                record(
                    **where,
                    **texts,
                    favor_count=COUNT,
                    said_at=SAID_AT,
                    kept_by={"type": ["integer", "null"], "description": "A user's id."},
                )
            ),
            replies=array(
                record(**where, **texts, comment_id=ID, reply_to=ID_OR_0, said_at=SAID_AT)
            ),
            favourites=array(record(id=ID, comment_id=ID, created_at=TIME)),
            kept=array(record(**where, created_at=TIME))
            | {"description": "Comments that the user kept from a chat, whoever said it."},
        )
    }
