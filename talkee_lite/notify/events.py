"""What an owner is told: a notice, made into an event of what it is about."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from ..models import Comment, Entry, Notice, NoticeKind, Reply, RoomKey, Site, Status
from ..people import People
from ..protocol import (
    comment_fields,
    decode_base64,
    decoded_text,
    held_message,
    json_fragment,
    message_bytes,
    message_head,
    reply_fields,
)
from ..store import notices as store
from ..store.database import Database
from .channel import Event

_TOLD = (Status.PUBLISHED, Status.PENDING)


async def event_of(notice: Notice, site: Site, db: Database, people: People) -> Event | None:
    """What to tell the owner of `site`, as it is now; None if it was taken away meanwhile."""
    found = await _find(notice, db)
    if found is None or found[1].status not in _TOLD:
        return None
    place, about = found
    await people.load([about.user_id] if isinstance(about, Entry) else about.people)
    author = people.profile(site.id, about.user_id)
    return Event(
        # Not used again after a backup was put back: the epoch is another one then.
        id=f"{db.epoch}-{notice.id}",
        type=f"{notice.kind}.created",
        at=about.created_at,
        data={
            "site_id": site.id,
            "site_name": site.name,
            "slug": place.room.slug,
            "title": place.page.title,
            "address": place.page.address or thread_address(people.public_url, place.room),
            "status": about.status,
            "author": json_fragment(author),
            "text": _text(about),
            notice.kind.value: _shown(place.room, about, author, people),
        },
    )


def trial_event(site: Site, now: int) -> Event:
    """What owners send themselves to see whether it arrives."""
    data = {"site_id": site.id, "site_name": site.name, "text": "This is only a test."}
    return Event(f"test-{secrets.token_hex(8)}", "test", now, data)


def thread_address(public_url: str, room: RoomKey) -> str:
    """Where a page's comments can be read on this server."""
    return f"{public_url}/t/{room.site_id}?slug={quote(room.slug)}"


async def _find(notice: Notice, db: Database) -> tuple[store.Place, Comment | Reply | Entry] | None:
    if notice.kind is NoticeKind.COMMENT:
        return await store.find_comment(db, notice.about)
    if notice.kind is NoticeKind.REPLY:
        return await store.find_reply(db, notice.about)
    return await store.find_message(db, notice.about)


def _text(about: Comment | Reply | Entry) -> str:
    """What was typed."""
    if isinstance(about, Entry):
        return decoded_text(decode_base64(about.data) or b"")
    return about.content


def _shown(room: RoomKey, about: Comment | Reply | Entry, author: bytes, people: People) -> Any:
    """As the API shows it."""
    if isinstance(about, Comment):
        keeper = people.brief(about.kept_by)
        return comment_fields(about, room, json_fragment(author), keeper)
    if isinstance(about, Reply):
        return reply_fields(about, json_fragment(author))
    if not about.seq:
        return json_fragment(held_message(about, author))
    return json_fragment(message_bytes(message_head(about), author))
