"""What objects look like on the wire, by name: those that clients send and those they get.

protocol.py builds and reads them; tests hold these descriptions against real answers.
"""

from __future__ import annotations

from typing import NamedTuple

from ...administration import MOST_HOURS, MOST_REASON, ROLES
from ...auth import methods_on
from ...comment_lists import MOST_COUNTED
from ...comments import MOST_COMMENT, MOST_REPLY
from ...config import Config
from ...errors import all_refusals
from ...models import Hold, Scope, Status, UserKind
from ...pages import MOST_ADDRESS, MOST_TITLE
from ...personal import Content
from ...protocol import MOST_NUMBER
from ...sites import MAX_SLUG
from ...text import MAX_NAME
from .parts import NOTHING, Schema, array, number, record, ref, text

NUMBER = number(1, MOST_NUMBER)
ID = NUMBER | {"examples": [1]}
ID_TEXT = f"[1-9][0-9]{{0,{len(str(MOST_NUMBER)) - 1}}}"
"""An id as addresses spell it, as a pattern."""
ID_OR_0 = number(0, MOST_NUMBER, examples=[0])
COUNT = number(0)
TIME = text(format="date-time", examples=["2026-02-06T08:26:17.800860Z"])
TIME_OR_NEVER: Schema = {"type": ["string", "null"], "format": "date-time"}
SAID_AT = TIME_OR_NEVER | {"description": "When it was said in the chat from which it was kept."}
PLACE_OR_NONE: Schema = {"type": ["integer", "null"], "minimum": 1}
UUID = text(format="uuid", examples=["7c9e6679-7425-40de-944b-e07fc1f90ae7"])
# ECMA-262 has no lone surrogates to forbid.
SLUG = text(
    1,
    MAX_SLUG,
    pattern=r"^[^\u0000-\u0020\u007f-\u009f\ufffd][^\u0000-\u001f\u007f-\u009f\ufffd]*$",
    examples=["/hello"],
)
# Something that is seen.
_VISIBLE = r"[^\s\u0000-\u001f\u007f-\u009f\ufffe\uffff]"
NAME = text(1, MAX_NAME, pattern=_VISIBLE, examples=["Ann"])
FLAG: Schema = {"type": "boolean"}
MESSAGE_FIELDS: dict[str, Schema] = {
    "message_id": UUID,
    "seq": PLACE_OR_NONE
    | {
        "description": "Its place in the room's record; null while it waits for approval.",
        "examples": [815],
    },
    "category": {"const": "text"},
    "data": text(1, description="Base64 of the text.", examples=["SGVsbG8h"]),
    "created_at": TIME,
    "user": ref("User"),
    "status": {"const": Status.PENDING, "description": "There while it waits for approval."},
}

USERNAME = text(3, 32, pattern=_VISIBLE, examples=["ann99"])
PASSWORD = text(8, 256, examples=["correct horse battery"])
_LANG = text(
    pattern="^([A-Za-z]{2})?$", description="For mails; kept in lower case.", examples=["en"]
)


_WITH_ALL: dict[str, Schema] = {
    "lang": _LANG,
    "site_id": ID | {"description": "Else the site that the page's origin belongs to."},
    "scope": text(enum=list(Scope), default=Scope.PAGE, description="`admin`: from /admin alone."),
}


class Way(NamedTuple):
    """What a way to sign in takes beside what all take."""

    needs: dict[str, Schema]
    may: dict[str, Schema] = {}  # noqa: RUF012 - it is never changed


_PORT = "(0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))"
_HOST = r"((\*\.)?[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])"
_ORIGIN = text(
    pattern=rf"^(\*|[A-Za-z][A-Za-z0-9+.-]*://{_HOST}(:{_PORT})?/?)$",
    description="As browsers send it; `*` and `https://*.example.com` work too.",
    examples=["https://blog.example.com"],
)
_SITE: dict[str, Schema] = {
    "name": text(1, 64, pattern=_VISIBLE, examples=["My site"]),
    "origin": {
        "anyOf": [_ORIGIN, {"const": ""}],
        "description": "The only one; empty: none. Not beside `origins`.",
    },
    "origins": array(_ORIGIN, description="Whose pages may use it: at most 200."),
    "public_chat": FLAG,
}

LOGIN_FIELDS: dict[str, Way] = {
    "guest": Way({"full_name": NAME}),
    "password": Way({"username": USERNAME, "password": PASSWORD}),
    "mvm": Way(
        {
            "signed_message": text(
                1, 2048, description="An EIP-4361 text for the page's host; lines of up to 512."
            ),
            "signature": text(132, 132, pattern="^0x[0-9a-fA-F]{130}$"),
        }
    ),
    "mixin_token": Way({"mixin_token": text(1, 4096)}),
    "admin_link": Way(
        {"code": text(1)},
        {"full_name": NAME | {"description": "Of whoever is to be the first admin."}},
    ),
    "sso": Way({"token": text(1, description="A JWT that the site's own server signed.")}),
}


def shapes(config: Config) -> dict[str, Schema]:
    """Every named shape, with the limits of these settings."""
    return _requests(config) | _answers(config) | _frames()


def _requests(config: Config) -> dict[str, Schema]:
    most = config.limits.max_data_bytes
    return {
        "Login": _login(config),
        "Registration": record(*_WITH_ALL, username=USERNAME, password=PASSWORD, **_WITH_ALL),
        "NewPassword": record(
            "username",
            new_password=PASSWORD,
            password=PASSWORD
            | {"description": "The present one. Who came by an admin's link leaves it out."},
            username=USERNAME
            | {"description": "For an account that has none, by who came by an admin's link."},
        ),
        "WalletAccount": record(
            account=text(
                *(42, 42),
                pattern="^0x[0-9a-fA-F]{40}$",
                examples=["0x8bb493BAA7B418133DC02D3bf7C02016f5337Bc8"],
            )
        ),
        "Logout": record("everywhere", everywhere=FLAG | {"default": False}),
        "Name": record(full_name=NAME),
        "Leaving": record(
            content=text(enum=list(Content), description="What becomes of what was written.")
        ),
        "CommentText": record(content=_content(MOST_COMMENT)),
        "CommentDraft": record("page", content=_content(MOST_COMMENT), page=ref("PageDraft")),
        "PageDraft": record(
            *("address", "title"),
            address=text(
                0,
                MOST_ADDRESS,
                description="Begins with one of the site's origins.",
                examples=["https://blog.example.com/hello"],
            ),
            title=text(description=f"{MOST_TITLE} characters of it are kept.", examples=["Hello"]),
        )
        | {"description": "What a page is: the first that is said counts. Empty is unknown."},
        "Stretch": record(
            *("room", "page"),
            **{
                "from": UUID | {"description": "The first message; either end may come first."},
                "to": UUID | {"description": "The last one, which may be the same."},
                "room": SLUG | {"description": "The room's slug, else the page's own."},
                "page": ref("PageDraft"),
            },
        ),
        "ReplyText": record(content=_content(MOST_REPLY)),
        "ReplyDraft": record(
            *("reply_to", "page"),
            content=_content(MOST_REPLY),
            reply_to=ID_OR_0
            | {"default": 0, "description": "A reply to the same comment that this one answers."},
            page=ref("PageDraft"),
        ),
        "MessageDraft": record(
            "page",
            message_id=UUID | {"description": "Made by the client, new for each message."},
            category={"const": "text"},
            data=text(
                4,
                (most + 2) // 3 * 4,
                contentEncoding="base64",
                # Canonical: no stray bits before the padding.
                pattern="^([A-Za-z0-9+/]{4})*"
                "([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$",
                description=f"Base64 of 1 to {most:,} bytes that are not blank.",
                examples=["SGVsbG8h"],
            ),
            page=ref("PageDraft"),
        ),
        "Form": record(
            token=text(1, description="What stands in the form."),
            name=NAME,
            content=_content(MOST_COMMENT),
        ),
        "Slugs": record(site_id=ID, slugs=array(SLUG, maxItems=MOST_COUNTED)),
        "SiteDraft": record("origin", "origins", "public_chat", **_SITE),
        "SiteChange": record(*_SITE, **_SITE) | {"description": "What is left out stays."},
        "RoleChange": record(
            "site_id",
            role=text(enum=list(ROLES), description="`member`: no role."),
            site_id=ID_OR_0 | {"default": 0, "description": "0: on the server and all its sites."},
        ),
        "Ban": record(
            "reason",
            hours=number(0, MOST_HOURS, examples=[24], description="0: for good."),
            reason=text(description=f"{MOST_REASON} characters of it are kept."),
        ),
    }


def _login(config: Config) -> Schema:
    ways = [
        record(
            *(*_WITH_ALL, *LOGIN_FIELDS[name].may),
            method={"const": name},
            **LOGIN_FIELDS[name].needs,
            **LOGIN_FIELDS[name].may,
            **_WITH_ALL,
        )
        for name in methods_on(config)
    ]
    return ways[0] if len(ways) == 1 else {"oneOf": ways}


def _content(most: int) -> Schema:
    return text(
        1,
        most,
        pattern=_VISIBLE,
        description=f"Markdown; 1 to {most:,} characters after trimming.",
        examples=["**Nice**, see https://example.com"],
    )


_USER: dict[str, Schema] = {
    "id": ID_OR_0,
    "mixin_user_id": UUID,
    "mixin_identity_number": text(1, examples=["0"]),
    "full_name": text(0, MAX_NAME, examples=["Ann"]),
    "avatar_url": text(examples=["https://talk.example.com/api/avatars/1.svg"]),
    "mvm_public_key": text(),
    "kind": text(enum=list(UserKind)),
    "created_at": TIME,
}
_SHOWN_SITE: dict[str, Schema] = {
    "id": ID,
    "user_id": ID_OR_0,
    "origins": array(text(1, examples=["https://blog.example.com"])),
    "origin": text(description="The first of `origins`."),
    "name": text(1, examples=["My site"]),
    "use_arweave": {"const": False},
    "reward_strategy": {"const": 0},
    "public_chat": FLAG,
    "created_at": TIME,
    "updated_at": TIME,
}


def _answers(config: Config) -> dict[str, Schema]:
    written = {"created_at": TIME, "updated_at": TIME, "edited": FLAG, "creator": ref("User")}
    messages = record(
        "deleted",
        ts=ref("Milliseconds"),
        epoch=text(1, examples=["9a7f03c1"]),
        seq=COUNT | {"description": "The room's position, read before the list."},
        has_more=FLAG,
        deleted=array(UUID, description="With `after` alone: messages deleted since."),
        data=array(ref("Message"), description="Oldest first."),
    )
    if config.compat.legacy_clients:
        messages = {"oneOf": [messages, array(ref("Message"))]}
    replies_of = {
        "type": "object",
        "description": "By the comments' ids, of those that are there; oldest first.",
        "additionalProperties": ref("Replies"),
        "examples": [{}],
    }
    return {
        "Milliseconds": number(0, description="The server's time, in ms since 1970."),
        "Error": record(
            *("field", "suggestion", "cure"),
            code=number(400, 599, description="The HTTP status."),
            error=text(enum=list(dict.fromkeys(kind.code for kind in all_refusals()))),
            msg=text(1, description="A sentence for a person."),
            request_id=text(1, description="Also in the server's log."),
            field=text(1, description="The one field or parameter at fault."),
            suggestion=text(1, description="A name that can be used instead."),
            cure=text(1, description="What the owner does to let the page in."),
        ),
        "User": record(**_USER),
        "Person": record(
            **_USER,
            banned_until=TIME_OR_NEVER,
            ban_reason=text(),
            roles=array(
                record(
                    site_id=ID_OR_0 | {"description": "0: the server and all its sites."},
                    role=text(enum=[UserKind.MODERATOR, UserKind.ADMIN]),
                )
            ),
        )
        | {"description": "A user, as admins see them."},
        "Setup": record(
            public_url=text(),
            methods=array(text(1)),
            backup_at=TIME_OR_NEVER,
            sites=array(
                record(
                    id=ID,
                    name=text(1, 64),
                    origins=array(text(1)),
                    hold_comments=text(enum=[*Hold]),
                    from_settings={"type": "boolean"},
                )
            ),
        ),
        "SignedIn": record(access_token=text(1), user=ref("User")),
        # What a page needs to start each stands beside its name.
        "Methods": array(
            record(method=text(1, examples=["guest"])) | {"additionalProperties": True}
        ),
        "WalletText": record(text=text(1), hex=text(2, pattern="^0x[0-9a-f]+$")),
        "Message": record("status", **MESSAGE_FIELDS),
        "Messages": messages,
        "MessageDeletion": record(
            message_id=UUID,
            seq=PLACE_OR_NONE
            | {
                "description": "The deletion's own place; null if the message never had one.",
            },
        ),
        "Comment": record(
            id=ID,
            user_id=ID_OR_0 | {"description": "0 for one that was deleted.", "examples": [1]},
            site_id=ID,
            slug=SLUG,
            favor_count=COUNT,
            reply_count=COUNT,
            arweave_tx_hash={"const": ""},
            content=text(
                examples=["**Nice**"],
                description=f"Markdown: up to {MOST_COMMENT:,} characters, or what a message of the"
                " chat takes that was kept.",
            ),
            content_html=text(description="HTML made of `content`, safe to show."),
            **written,
            fav_id=ID_OR_0 | {"description": "The caller's favourite, or 0."},
            rewards=array({}, maxItems=0),
            reward=NOTHING,
            status=text(enum=[Status.PUBLISHED, Status.PENDING, Status.DELETED]),
            said_at=SAID_AT,
            kept_by={"oneOf": [record(id=ID, full_name=text(0, MAX_NAME)), NOTHING]}
            | {"description": "Who kept it, where it was kept from a chat."},
        ),
        "Comments": record(
            "replies",
            total=COUNT,
            revision=COUNT,
            comments=array(ref("Comment")),
            replies=replies_of | {"description": "Where they are asked for."},
        ),
        "Reply": record(
            id=ID,
            user_id=ID,
            comment_id=text(pattern="^[1-9][0-9]*$", examples=["1"]),
            reply_to=ID_OR_0,
            content=text(
                1,
                examples=["Thank you!"],
                description=f"Markdown: up to {MOST_REPLY:,} characters, or what a message of the"
                " chat takes that was kept.",
            ),
            content_html=text(),
            **written,
            status=text(enum=[Status.PUBLISHED, Status.PENDING]),
            said_at=SAID_AT,
        ),
        "Replies": record(total=COUNT, replies=array(ref("Reply"))),
        "Answers": record(replies=array(ref("Reply"))),
        "RepliesOf": record(replies=replies_of),
        "Preview": record(content_html=text()),
        "Counts": {
            "type": "object",
            "description": "What is published, for each slug that was asked for.",
            "additionalProperties": COUNT,
            "examples": [{"/a": 3, "/b": 0}],
        },
        "Site": record(**_SHOWN_SITE),
        "OwnSite": record(
            **_SHOWN_SITE,
            from_settings=FLAG | {"description": "It is changed in the settings file alone."},
        )
        | {"description": "A site, as its admins see it."},
        "Tips": record(site_id=ID, slug=SLUG, tips=array({}, maxItems=0)),
        "Page": record(
            site_id=ID, slug=SLUG, address=text(0, MOST_ADDRESS), title=text(0, MOST_TITLE)
        ),
        "Statistics": record(
            users=COUNT, sites=COUNT, comments=COUNT, replies=COUNT, messages=COUNT
        ),
        "Health": record(version=text(1), uptime=COUNT | {"description": "Seconds."}),
    }


# Over the WebSocket.


def _frames() -> dict[str, Schema]:
    return {
        "AuthFrame": {
            "description": "What a client sends: first of all, and later to renew its token.",
            "oneOf": [ref("PersonFrame"), ref("VisitorFrame")],
        },
        "PersonFrame": record(
            *("events", "since"),
            type={"const": "auth"},
            token=text(1),
            events=FLAG,
            since=ref("Position"),
        ),
        "VisitorFrame": record(
            type={"const": "auth"}, visitor={"const": True}, events={"const": True}
        ),
        "Position": record(epoch=text(), seq=COUNT)
        | {"description": "What of a room's record a client holds."},
        "RoomState": record(**_ROOM),
        "Event": {
            "description": "What a client gets. Ignore kinds that you do not know.",
            "oneOf": [ref(_event_name(kind)) for kind in EVENTS],
            "discriminator": {
                "propertyName": "type",
                "mapping": {kind: ref(_event_name(kind))["$ref"] for kind in EVENTS},
            },
        },
    } | {
        _event_name(kind): {
            "type": "object",
            "required": ["type", *event["required"]],
            "properties": {"type": {"const": kind}, **event["properties"]},
        }
        for kind, event in EVENTS.items()
    }


def _event_name(kind: str) -> str:
    return kind.title().replace("_", "") + "Event"


_ROOM = {"closed": FLAG, "slow_seconds": COUNT}
_PLACE = number(1, description="In the room's record.")
_KNOWN_PLACE: Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "The room's position; null for whoever does not get its record.",
}
_REVISION = COUNT | {"description": "Of the page's comments."}

EVENTS: dict[str, Schema] = {
    "ready": record(
        *("recovered", "room"),
        user={"oneOf": [ref("User"), NOTHING]},
        epoch={"type": ["string", "null"]},
        seq=_KNOWN_PLACE,
        recovered=FLAG,
        online=COUNT,
        ping_interval={"type": "number"},
        comments_revision=_REVISION,
        room=ref("RoomState"),
    ),
    "message": record("status", **MESSAGE_FIELDS),
    "message_deleted": record(seq=_PLACE, message_id=UUID, deleted_seq=_PLACE),
    "messages_removed": record(seq=_PLACE, user_id=ID),
    "gap": record(seq=_PLACE),
    "presence": record(online=COUNT),
    "room": record(**_ROOM),
    "comment_created": record(revision=_REVISION, comment=ref("Comment")),
    "comment_updated": record(revision=_REVISION, comment=ref("Comment")),
    "comment_deleted": record(revision=_REVISION, comment_id=ID),
    "reply_created": record(revision=_REVISION, reply=ref("Reply")),
    "reply_updated": record(revision=_REVISION, reply=ref("Reply")),
    "reply_deleted": record(revision=_REVISION, comment_id=ID, reply_id=ID),
    "page_moved": record(**{"revision": _REVISION, "from": SLUG, "to": SLUG}),
    "ping": record(seq=_KNOWN_PLACE, comments_revision=_REVISION),
    "error": record(error={"const": "bad_frame"}, msg=text(1)),
}
"""What each event holds beside its `type`."""
