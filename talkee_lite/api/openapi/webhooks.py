"""What a site's webhook gets: docs/webhooks.md. The other side answers, and this one asks."""

from __future__ import annotations

from typing import Any

from ...models import NoticeKind, Status
from .parts import JSON, Schema, record, ref, text
from .shapes import ID, SLUG, TIME

_HEADERS = {
    "webhook-id": "The event's; the same event may come twice.",
    "webhook-timestamp": "When it was sent, in seconds since 1970.",
    "webhook-signature": "One or more, with a space between them, as Standard Webhooks make them.",
}
_SHAPES = {
    NoticeKind.COMMENT: "Comment",
    NoticeKind.REPLY: "Reply",
    NoticeKind.MESSAGE: "Message",
}
_TOLD = {
    NoticeKind.COMMENT: "A comment was posted",
    NoticeKind.REPLY: "A reply was posted",
    NoticeKind.MESSAGE: "Somebody wrote in the chat after a silence",
}
_WHERE: dict[str, Schema] = {"site_id": ID, "site_name": text()}


def webhooks() -> dict[str, Any]:
    """The requests of a webhook, by the `type` of their event."""
    described = {_type(kind): _request(kind, _told(kind), about) for kind, about in _TOLD.items()}
    return described | {
        "test": _request("test", "TestNotice", "The owner tries whether it arrives")
    }


def notices() -> dict[str, Schema]:
    """The bodies of those requests."""
    shapes = {
        _told(kind): _notice(
            _type(kind),
            **_WHERE,
            slug=SLUG,
            title=text(),
            address=text(1),
            status=text(enum=[Status.PUBLISHED, Status.PENDING]),
            author=ref("User"),
            text=text(),
            **{kind.value: ref(_SHAPES[kind])},
        )
        for kind in NoticeKind
    }
    return shapes | {"TestNotice": _notice("test", **_WHERE, text=text())}


def _type(kind: NoticeKind) -> str:
    return f"{kind}.created"


def _told(kind: NoticeKind) -> str:
    return f"{_SHAPES[kind]}Notice"


def _notice(kind: str, **data: Schema) -> Schema:
    return record(type={"const": kind}, timestamp=TIME, data=record(**data))


def _request(name: str, shape: str, about: str) -> dict[str, Any]:
    request = {
        "operationId": f"receive_{name}",
        "summary": about,
        "parameters": [
            {"name": name, "in": "header", "description": what, "required": True, "schema": text(1)}
            for name, what in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": ref(shape)}}},
        "responses": {
            "2XX": {"description": "It arrived; with any other answer it is sent again."},
            "410": {"description": "Nothing more is wanted."},
        },
        "security": [],
    }
    return {"post": request}
