"""The nouns: sites, users, sessions, rooms, messages. Plain data, no I/O.

Times are whole microseconds since 1970-01-01T00:00:00Z.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

FOREVER = 253_402_300_799_000_000
"""The last second of the year 9999: a ban without an end."""


T = TypeVar("T")


class RoomKey(NamedTuple):
    """A room: one page (`slug`) of one site."""

    site_id: int
    slug: str


class UserKind(StrEnum):
    """What a user is on one site, as it stands beside what they write."""

    GUEST = "guest"
    MEMBER = "member"
    MODERATOR = "moderator"
    ADMIN = "admin"


class LogKind(StrEnum):
    """Kinds of change that a room's record can hold; each takes one `seq`."""

    POSTED = "posted"
    DELETED = "deleted"
    REMOVED = "removed"
    EDITED = "edited"
    APPROVED = "approved"
    RESTORED = "restored"


class Status(StrEnum):
    """Where a message stands; only published ones have a `seq` and are shown."""

    PUBLISHED = "published"
    PENDING = "pending"
    DELETED = "deleted"
    SPAM = "spam"


class Hold(StrEnum):
    """Whose comments and replies wait for approval on a site; moderators' never do."""

    NOBODY = "nobody"
    GUESTS = "guests"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Site:
    """One web site whose pages may use this server.

    `hold_comments` says whose comments wait for approval, `images` whether pictures are shown.
    """

    id: int
    name: str
    origins: tuple[str, ...]
    public_chat: bool
    owner_id: int | None
    sso_secret: str
    webhook_url: str
    webhook_secret: str
    hold_comments: Hold
    images: bool
    from_settings: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can speak. `is_guest`: they proved nothing but a typed name."""

    id: int
    mixin_user_id: str
    mixin_identity_number: str
    full_name: str
    mvm_public_key: str
    is_guest: bool
    lang: str
    banned_until: int
    created_at: int
    avatar_url: str = ""
    """Of a picture elsewhere; "": the one that is drawn here."""


class Scope(StrEnum):
    """What a token is good for: what readers do on pages, or what admins do beside."""

    PAGE = "page"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Session:
    """One access token on record; without its row a token is refused.

    `method` is the way by which its holder signed in, "" where that was not noted.
    """

    jti: str
    user_id: int
    scope: Scope
    expires_at: int
    last_used_at: int
    method: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: a user, and the session that says so."""

    user: User
    session: Session


@dataclass(frozen=True, slots=True)
class MessageDraft:
    """What a client may set of a message: checked, but not stored."""

    message_id: str
    category: str
    data: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a room's record, or a message that has no place in it yet (`seq` 0).

    `message_id` and `data` are those of the message that the line is about, "" for others.
    `about_seq` is the message's own `seq`, `status` where it stands now.
    """

    seq: int
    kind: LogKind
    message_id: str
    category: str
    data: str
    created_at: int
    user_id: int
    status: Status = Status.PUBLISHED
    about_seq: int = 0


@dataclass(frozen=True, slots=True)
class RoomState:
    """What a room is like: its last `seq`, whether and how fast one may write, and the revision
    of its page's comments, which grows with each change to them."""

    seq: int = 0
    closed: bool = False
    slow_seconds: int = 0
    revision: int = 0


class Outcome(StrEnum):
    """How a post ended in the store."""

    POSTED = "posted"
    HELD = "held"
    REPEATED = "repeated"
    CONFLICT = "conflict"
    GONE = "gone"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PostResult:
    """The answer of the store to a post: what happened, and the message where there is one."""

    outcome: Outcome
    room: RoomKey
    entry: Entry | None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A line that a write added to a room's record; it is pushed once it is committed.

    Not `is_new`: the same was asked for before, and nothing was added.
    """

    room: RoomKey
    entry: Entry
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Reassigned:
    """Messages of one author in a room are another's from now on."""

    room: RoomKey
    author: int
    new_author: int


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room was closed, opened or slowed down; its listeners are told once it is committed."""

    room: RoomKey
    state: RoomState


class Order(StrEnum):
    """How a page's comments are sorted; ties by id, newest first (oldest first in the last)."""

    FAVOR_COUNT = "favor_count"
    CREATED_AT = "created_at"
    REPLY_COUNT = "reply_count"
    CREATED_AT_ASC = "created_at_asc"


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody typed, the HTML made of it, and the version of the rules that made it."""

    content: str
    html: str
    version: int


@dataclass(frozen=True, slots=True)
class Viewer:
    """For whom a list is made: 0 is a visitor. Moderators see what waits for approval."""

    user_id: int = 0
    sees_held: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of a page beside what stands below it: "" is unknown."""

    address: str
    title: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment below a page. One that is deleted and has replies stays, without its text.

    `fav_id` is the id of the favourite of whoever asks, 0 if they have none. What was kept of a
    chat was said there at `said_at`, and the user `kept_by` kept it.
    """

    id: int
    user_id: int
    content: str
    html: str
    status: Status
    favor_count: int
    reply_count: int
    edited: bool
    created_at: int
    updated_at: int
    fav_id: int = 0
    said_at: int | None = None
    kept_by: int | None = None

    @property
    def people(self) -> Sequence[int]:
        """Whoever is named in it."""
        return (self.user_id,) if self.kept_by is None else (self.user_id, self.kept_by)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to a comment; `reply_to` is the reply under it that this one answers, or 0.

    What was kept of a chat was said there at `said_at`.
    """

    id: int
    comment_id: int
    reply_to: int
    user_id: int
    content: str
    html: str
    status: Status
    edited: bool
    created_at: int
    updated_at: int
    said_at: int | None = None

    @property
    def people(self) -> Sequence[int]:
        """Whoever is named in it."""
        return (self.user_id,)


@dataclass(frozen=True, slots=True)
class PageEvent:
    """One change to what stands below a page, for whoever has it open.

    `about` is the comment or reply as it is now, with who wrote it and who kept it, or the ids of
    one that was deleted. What waits for approval is told to its author, the user `only`, and to
    moderators.
    """

    name: str
    revision: int
    about: Comment | Reply | Mapping[str, Any]
    author: User | None = None
    only: int = 0
    keeper: User | None = None


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """What a job gives that may have changed a page: its result, and the events to push."""

    result: T
    room: RoomKey
    events: Sequence[PageEvent] = ()
    is_closed: bool = False
    """Nothing was written, since the page is closed."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A page's comments are at another page from now on."""

    old: RoomKey
    new: RoomKey


class Recounted(NamedTuple):
    """How many comments and pages had counts that were off, and now are right."""

    comments: int
    pages: int


@dataclass(frozen=True, slots=True)
class Described:
    """A page may have another address and title now, if it `is_known` at all."""

    room: RoomKey
    is_known: bool


@dataclass(frozen=True, slots=True)
class Several:
    """What a job gives that changed more than one room or page: a result for each."""

    results: Sequence[Any]


class NoticeKind(StrEnum):
    """What a notice tells of."""

    COMMENT = "comment"
    REPLY = "reply"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something new on a site that its owner is to be told of by one channel.

    `about` is the id of the comment or reply, or of the message's row.
    """

    id: int
    channel: str
    site_id: int
    kind: NoticeKind
    about: int
    noticed_at: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """How one channel stands with one site's owner.

    What was written before `since` is not told of. `failures` counts the tries in a row that
    failed; `is_gone`: the other side wants nothing more, until there is another `target`.
    """

    channel: str
    site_id: int
    target: str
    since: int
    failures: int
    next_try_at: int
    last_error: str
    failed_at: int
    delivered_at: int
    is_gone: bool
