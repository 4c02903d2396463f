"""The wire: objects to bytes, and untrusted bytes to drafts. Pure.

docs/protocol.md describes what is built and read here.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from .errors import (
    InvalidBody,
    InvalidData,
    InvalidMessageId,
    Refused,
    TooLarge,
    UnsupportedCategory,
)
from .models import (
    Comment,
    Entry,
    LogKind,
    MessageDraft,
    PageEvent,
    Reply,
    RoomKey,
    RoomState,
    Site,
    Status,
    User,
    UserKind,
)

_UUID = re.compile("[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MOST_NUMBER = 10**16 - 1
"""Numbers of clients have at most 16 digits."""
_NUMBER = re.compile(rf"[1-9]\d{{0,{len(str(MOST_NUMBER)) - 1}}}", re.ASCII)


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its usual form of 36 characters."""
    return _UUID.fullmatch(text) is not None


def rfc3339(microseconds: int) -> str:
    """A time as RFC 3339 in UTC with microseconds: `2023-02-06T08:26:17.800860Z`."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{_whole_seconds(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=1024)
def _whole_seconds(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def parse_number(text: str, *, zero: bool = False) -> int | None:
    """A number as addresses spell it: 1 to 16 digits, no sign, no leading zero; else None."""
    if _NUMBER.fullmatch(text) or (zero and text == "0"):
        return int(text)
    return None


def dump_json(value: Any) -> bytes:
    """Any value of ours as JSON."""
    return orjson.dumps(value)


def json_fragment(text: bytes) -> Any:
    """JSON that goes into other JSON as it is."""
    return orjson.Fragment(text)


def parse_object(body: bytes) -> dict[str, Any]:
    """A request body: one strict JSON object (RFC 8259; no NaN, no lone surrogates).

    Raises InvalidBody.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidBody("The body is not valid JSON.") from None
    if not isinstance(value, dict):
        raise InvalidBody("The body must be a JSON object.")
    return value


def take_text(body: dict[str, Any], field: str) -> str:
    """The required text `field` of a body. Raises InvalidBody, naming the field."""
    value = body.get(field)
    if isinstance(value, str):
        return value
    what = "is missing" if field not in body else "must be a text"
    raise InvalidBody(f"{field} {what}.", field=field)


def take_optional_text(body: Mapping[str, Any], field: str) -> str | None:
    """The text `field` of a body, None if it is left out. Raises InvalidBody, naming the field."""
    if field not in body:
        return None
    value = body[field]
    if not isinstance(value, str):
        raise InvalidBody(f"{field} must be a text.", field=field)
    return value


def message_draft(body: dict[str, Any], max_data_bytes: int) -> MessageDraft:
    """The message that a body asks to post.

    `max_data_bytes` limits the decoded length. Raises InvalidBody, InvalidMessageId,
    UnsupportedCategory, InvalidData or TooLarge, looked for in this order.
    """
    message_id = take_text(body, "message_id")
    category = take_text(body, "category")
    data = take_text(body, "data")
    if not is_uuid(message_id):
        raise InvalidMessageId(field="message_id")
    if category != "text":
        raise UnsupportedCategory(field="category")
    decoded = decode_base64(data)
    if decoded is None or not decoded_text(decoded).strip():
        raise InvalidData(field="data")
    if len(decoded) > max_data_bytes:
        raise TooLarge(f"data may hold {max_data_bytes} bytes, decoded.", field="data")
    return MessageDraft(message_id.lower(), category, data)


def decode_base64(data: str) -> bytes | None:
    """Canonical standard base64 with padding (RFC 4648, section 4), decoded; else None."""
    try:
        decoded = a2b_base64(data, strict_mode=True)
    except (Base64Error, ValueError):
        return None
    # Only one spelling is canonical: no stray bits before the padding (RFC 4648, section 3.5).
    return decoded if b2a_base64(decoded, newline=False).decode() == data else None


def decoded_text(decoded: bytes) -> str:
    """The text of a message: UTF-8, else Latin-1, which is what browsers' `btoa` makes."""
    try:
        return decoded.decode()
    except UnicodeDecodeError:
        return decoded.decode("latin-1")


def user_fields(user: User, kind: UserKind, public_url: str) -> dict[str, Any]:
    """A user as clients see them; `kind` is what they are on the site in question."""
    return {
        "id": user.id,
        "mixin_user_id": user.mixin_user_id,
        "mixin_identity_number": user.mixin_identity_number,
        "full_name": user.full_name,
        "avatar_url": user.avatar_url or f"{public_url}/api/avatars/{user.id}.svg",
        "mvm_public_key": user.mvm_public_key,
        "kind": kind,
        "created_at": rfc3339(user.created_at),
    }


def site_fields(site: Site) -> dict[str, Any]:
    """A site as clients see it."""
    return {
        "id": site.id,
        "user_id": site.owner_id or 0,
        "origins": site.origins,
        "origin": site.origins[0] if site.origins else "",
        "name": site.name,
        "use_arweave": False,
        "reward_strategy": 0,
        "public_chat": site.public_chat,
        "created_at": rfc3339(site.created_at),
        "updated_at": rfc3339(site.updated_at),
    }


def comment_fields(
    comment: Comment, room: RoomKey, creator: Any, keeper: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A comment as clients see it; `creator` is a user, as JSON already or not.

    `keeper`: who kept it, by id and name.
    """
    is_gone = comment.status is Status.DELETED
    return {
        "id": comment.id,
        "user_id": 0 if is_gone else comment.user_id,
        "site_id": room.site_id,
        "slug": room.slug,
        "favor_count": comment.favor_count,
        "reply_count": comment.reply_count,
        "arweave_tx_hash": "",
        "content": comment.content,
        "content_html": comment.html,
        "created_at": rfc3339(comment.created_at),
        "updated_at": rfc3339(comment.updated_at),
        "edited": comment.edited,
        "creator": creator,
        "fav_id": comment.fav_id,
        "rewards": [],
        "reward": None,
        "status": comment.status,
        "said_at": None if is_gone else _said_at(comment.said_at),
        "kept_by": None if is_gone else keeper,
    }


def reply_fields(reply: Reply, creator: Any) -> dict[str, Any]:
    """A reply as clients see it; `creator` is a user, as JSON already or not."""
    return {
        "id": reply.id,
        "user_id": reply.user_id,
        "comment_id": str(reply.comment_id),
        "reply_to": reply.reply_to,
        "content": reply.content,
        "content_html": reply.html,
        "created_at": rfc3339(reply.created_at),
        "updated_at": rfc3339(reply.updated_at),
        "edited": reply.edited,
        "creator": creator,
        "status": reply.status,
        "said_at": _said_at(reply.said_at),
    }


def _said_at(microseconds: int | None) -> str | None:
    return None if microseconds is None else rfc3339(microseconds)


def message_head(entry: Entry) -> bytes:
    """A message up to its author: `message_bytes` and `message_frame` add who wrote it.

    What stands here never changes, the author's profile may. All values are plain ASCII that
    needs no escaping: the draft was checked.
    """
    return (
        f'{{"message_id":"{entry.message_id}","seq":{entry.seq},"category":"{entry.category}",'
        f'"data":"{entry.data}","created_at":"{rfc3339(entry.created_at)}","user":'
    ).encode()


def held_message(entry: Entry, user: bytes) -> bytes:
    """A message that waits for approval: it has no `seq` yet."""
    head = message_head(entry).replace(b'"seq":0,', b'"seq":null,"status":"pending",', 1)
    return message_bytes(head, user)


def record_frame(entry: Entry) -> bytes:
    """A line of a room's record that is not a message, for those who asked for events."""
    if entry.kind is LogKind.DELETED:
        event: dict[str, Any] = {
            "type": "message_deleted",
            "seq": entry.seq,
            "message_id": entry.message_id,
            "deleted_seq": entry.about_seq,
        }
    elif entry.kind is LogKind.REMOVED:
        event = {"type": "messages_removed", "seq": entry.seq, "user_id": entry.user_id}
    else:
        event = {"type": entry.kind.value, "seq": entry.seq}
    return event_frame(event)


def page_frame(
    event: PageEvent,
    room: RoomKey,
    creator: bytes | dict[str, Any],
    keeper: Mapping[str, Any] | None = None,
) -> bytes:
    """A change to a page's comments, framed; who wrote what it is about, and who kept it."""
    about = event.about
    who = orjson.Fragment(creator) if isinstance(creator, bytes) else creator
    shown: dict[str, Any]
    if isinstance(about, Comment):
        shown = {"comment": comment_fields(about, room, who, keeper)}
    elif isinstance(about, Reply):
        shown = {"reply": reply_fields(about, who)}
    else:
        shown = dict(about)
    # What waits for approval changes nothing for others, and is not counted.
    count = {} if event.only else {"revision": event.revision}
    return event_frame({"type": event.name, **count, **shown})


def gap_frame(seq: int) -> bytes:
    """Stands where a message was that is gone, so that counting works."""
    return event_frame({"type": "gap", "seq": seq})


def event_frame(event: dict[str, Any]) -> bytes:
    """An event, framed."""
    return text_frame(dump_json(event))


def ready_frame(
    *,
    ping_interval: float,
    online: int,
    user: bytes | None = None,
    position: tuple[str, int] | None = None,
    recovered: bool | None = None,
    room: RoomState | None = None,
    revision: int = 0,
) -> bytes:
    """The first frame for who asked for events.

    `position`: epoch and `seq`, None for those who do not get the room's record; `recovered` is
    left out where nothing was to be recovered. `user` is JSON already. `revision` is that of the
    page's comments.
    """
    epoch, seq = position or (None, None)
    event: dict[str, Any] = {
        "type": "ready",
        "user": orjson.Fragment(user) if user is not None else None,
        "epoch": epoch,
        "seq": seq,
    }
    if recovered is not None:
        event["recovered"] = recovered
    event |= {"online": online, "ping_interval": ping_interval, "comments_revision": revision}
    if room is not None:
        event["room"] = room_fields(room)
    return event_frame(event)


def room_fields(state: RoomState) -> dict[str, Any]:
    """What clients are told of a room's state."""
    return {"closed": state.closed, "slow_seconds": state.slow_seconds}


def message_bytes(head: bytes, user: bytes) -> bytes:
    """A message as answers and lists hold it."""
    return b"%b%b}" % (head, user)


def message_frame(head: bytes, user: bytes) -> bytes:
    """A message as sockets get it, framed."""
    return text_frame(b'%b%b,"type":"message"}' % (head, user))


def text_frame(payload: bytes) -> bytes:
    """One unmasked, unfragmented text frame (RFC 6455, section 5.2)."""
    return _frame(0x81, payload)


def ping_frame() -> bytes:
    """An empty ping (RFC 6455, section 5.5.2)."""
    return b"\x89\x00"


def close_frame(code: int, reason: str = "") -> bytes:
    """A close frame (RFC 6455, section 5.5.1); `reason` has at most 123 bytes."""
    return _frame(0x88, code.to_bytes(2, "big") + reason.encode()[:123])


def _frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def plain_text(data: bytes, max_bytes: int) -> bytes | None:
    """The payload of `data` if it is one whole text frame of a client (RFC 6455, section 5.2).

    None for anything else, be it allowed or not: unmasked, in pieces, control frames, more than
    one frame, extensions' bits, payloads over `max_bytes`.
    """
    if len(data) < 6 or data[0] != 0x81 or data[1] < 0x80:
        return None
    length, start = data[1] & 0x7F, 2
    if length == 126:
        length, start = int.from_bytes(data[2:4], "big"), 4
        is_plain = length >= 126
    else:
        is_plain = length < 126
    if not is_plain or length > max_bytes or len(data) != start + 4 + length:
        return None
    mask, payload = data[start : start + 4], data[start + 4 :]
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")


def ends_between_frames(data: bytes) -> bool:
    """Whether `data`, from a client, is a run of whole messages: nothing more is pending after it.

    Looks at lengths and the FIN bit only (RFC 6455, section 5.2); it judges nothing.
    """
    at, end, inside = 0, len(data), False
    while at < end:
        if end - at < 2:
            return False
        first, second = data[at], data[at + 1]
        if not first & 0x08:
            inside = not first & 0x80
        length, at = second & 0x7F, at + 2
        if length == 126:
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        elif length == 127:
            length, at = int.from_bytes(data[at : at + 8], "big"), at + 8
        at += length + (4 if second & 0x80 else 0)
    return at == end and not inside


@dataclass(frozen=True, slots=True)
class AuthFrame:
    """A client's first frame, and later ones that renew its token.

    `token` is None for a visitor. `since` is the epoch and `seq` that an absent client holds.
    """

    token: str | None
    events: bool = False
    since: tuple[str, int] | None = None


def auth_frame(text: bytes) -> AuthFrame | None:
    """The `auth` frame that `text` holds; None if it is anything else."""
    try:
        value = parse_object(text)
    except Refused:
        return None
    token = value.get("token")
    events = value.get("events") is True
    if value.get("type") != "auth":
        return None
    if value.get("visitor") is True and events and token is None:
        return AuthFrame(None, events=True)
    if not isinstance(token, str):
        return None
    return AuthFrame(token, events, _since(value.get("since")) if events else None)


def _since(value: Any) -> tuple[str, int] | None:
    """The position that a client says it holds; one that makes no sense is never served."""
    if value is None:
        return None
    epoch, seq = (value.get("epoch"), value.get("seq")) if isinstance(value, dict) else ("", 0)
    if not isinstance(epoch, str) or type(seq) is not int or seq < 0:
        return ("", 0)
    return (epoch, seq)
