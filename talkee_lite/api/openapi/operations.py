"""What every handler of the route table needs, takes, answers and refuses.

To describe a new route, add its handler here; tests/test_openapi.py tells what is missing.
"""

from __future__ import annotations

from dataclasses import replace

from ...chat import MOST_LISTED as MOST_MESSAGES
from ...comment_lists import BY_TIME, LATEST, MOST_ASKED, MOST_LISTED
from ...errors import (
    AlreadyKept,
    Banned,
    CommentDeleted,
    Forbidden,
    FormExpired,
    GuestWithoutRole,
    InvalidContent,
    InvalidData,
    InvalidFilter,
    InvalidMessageId,
    InvalidName,
    InvalidPage,
    InvalidPassword,
    InvalidReplyTo,
    InvalidSite,
    InvalidSiteId,
    InvalidSlug,
    InvalidStretch,
    InvalidUsername,
    LastAdmin,
    MessageDeleted,
    MessageIdConflict,
    MessageNotFound,
    MethodNotOffered,
    NameReserved,
    NotFound,
    OriginNotAllowed,
    PageNotFound,
    RateLimited,
    RoomClosed,
    SignInFailed,
    SiteInSettings,
    SiteNotFound,
    TooManyConnections,
    UnsupportedCategory,
    UpgradeRequired,
    UpstreamFailed,
    UserNotFound,
)
from ...models import Order
from ...protocol import MOST_NUMBER
from .. import (
    admin,
    auth,
    comments,
    feeds,
    messages,
    pages,
    sites,
    status,
    thread_pages,
    users,
    widget,
)
from ..bundle import FILES
from ..documents import ATOM
from ..documents import HTML as HTML_PAGE
from ..exchange import Handler
from ..files import content_type_of
from .needs import (
    ADMIN,
    CHANGES,
    COMMENT,
    FEED,
    LISTING_ERRORS,
    MAY_TOKEN,
    MODERATES,
    NO_PAGE,
    PAGE,
    PART,
    REPLY,
    SITE_ID,
    STATE,
    TOKEN,
    WINDOW,
    WRITES,
)
from .parts import (
    FORM,
    HTML,
    NOTHING,
    Answer,
    Operation,
    Parameter,
    Schema,
    array,
    bare,
    data,
    file,
    number,
    ref,
    text,
)
from .shapes import ID, ID_TEXT, NUMBER, SLUG, UUID

TAGS: dict[str, str] = {
    "messages": "The chat of a room, and the socket by which it is pushed.",
    "comments": "Comments below a page, replies to them, and likes.",
    "auth": "Signing in and out.",
    "users": "Whoever writes.",
    "sites": "Web sites whose pages may use this server.",
    "admin": "What admins do about people.",
    "status": "How the server is doing.",
    "thread_pages": "Comments as web pages, for people without JavaScript.",
    "feeds": "What is new, as Atom.",
    "pages": "What browsers load.",
    "widget": "What stands in pages, in parts.",
}
"""The handlers' modules, in the order in which they are shown."""

PATH: dict[str, Schema] = {
    "id": ID,
    "reply_id": ID,
    "message_id": UUID,
    "site_id": ID,
    "name": {"type": "string", "enum": sorted(widget.NAMES)},
    "lang": text(1, 35, pattern="^[A-Za-z0-9-]+$", examples=["pt-BR"]),
}
"""What stands in a path, by the name that the route table gives it."""

HEADERS: dict[str, Schema] = {
    "X-Request-Id": text(1, description="The request's name in the server's log."),
    "Retry-After": number(1, description="Seconds to wait."),
    "Idempotent-Replayed": text(
        enum=["true"], description="There if the same was sent before: that is answered."
    ),
    "ETag": text(3, description="Send it as `If-None-Match`, and get 304 while it is the same."),
    "Last-Modified": text(29, 29, description="Send it as `If-Modified-Since`, without a tag."),
    "Location": text(1),
    "Content-Disposition": text(1),
    "Upgrade": {"const": "websocket"},
    "Connection": {"const": "Upgrade"},
    "Sec-WebSocket-Accept": text(28, 28),
    "Sec-WebSocket-Version": {"const": "13"},
}
REPLAYED = "Idempotent-Replayed"

OPERATIONS: dict[Handler, Operation] = {
    messages.open_socket: Operation(
        Answer(
            None,
            "",
            status=101,
            headers=("Upgrade", "Connection", "Sec-WebSocket-Accept"),
            about="From here on both sides speak WebSocket, in text frames of JSON.",
            more={"x-websocket": {"sends": ref("AuthFrame"), "receives": ref("Event")}},
        ),
        (PAGE,),
        tuple(
            Parameter(name, schema, required=True, where="header")
            for name, schema in {
                "Connection": text(enum=["Upgrade"]),
                "Upgrade": text(enum=["websocket"]),
                "Sec-WebSocket-Version": text(enum=["13"]),
                "Sec-WebSocket-Key": text(
                    24,
                    24,
                    pattern="^[A-Za-z0-9+/]{21}[AQgw]==$",
                    examples=["AAAAAAAAAAAAAAAAAAAAAA=="],
                ),
            }.items()
        ),
        errors=(UpgradeRequired, TooManyConnections),
    ),
    messages.list_messages: Operation(
        bare(ref("Messages")),
        (PAGE, MAY_TOKEN),
        (
            Parameter("filter", text(enum=["latest"])),
            Parameter("before", NUMBER, "Those before this `seq`; not with `after`."),
            Parameter("after", number(0, MOST_NUMBER), "Those after this `seq`."),
            Parameter("limit", number(1, MOST_MESSAGES, default=MOST_MESSAGES)),
        ),
        errors=(InvalidFilter, InvalidPage),
        notes="A token may be left out where the site's chat is public.",
    ),
    messages.post_message: Operation(
        bare(ref("Message"), REPLAYED),
        (PAGE, TOKEN, WRITES),
        body=ref("MessageDraft"),
        errors=(
            *(InvalidMessageId, UnsupportedCategory, InvalidData),
            *(MessageIdConflict, MessageDeleted),
        ),
    ),
    messages.delete_message: Operation(
        bare(ref("MessageDeletion")),
        (PAGE, TOKEN),
        errors=(MessageNotFound, Forbidden),
    ),
    comments.list_comments: Operation(
        data(ref("Comments")),
        (PAGE, MAY_TOKEN),
        (
            *WINDOW,
            Parameter("from_id", NUMBER, "In the orders of time: begin with this one."),
            Parameter(
                "replies",
                number(0, MOST_LISTED, default=0),
                "How many of the oldest replies to each comment come along.",
            ),
            Parameter("order_by", text(enum=list(Order), default=Order.FAVOR_COUNT)),
        ),
        errors=LISTING_ERRORS,
    ),
    comments.post_comment: Operation(
        data(ref("Comment"), REPLAYED),
        (PAGE, TOKEN, WRITES),
        body=ref("CommentDraft"),
        errors=(InvalidContent,),
    ),
    comments.keep_talk: Operation(
        data(ref("Comment"), REPLAYED),
        (PAGE, TOKEN, WRITES),
        body=ref("Stretch"),
        errors=(InvalidMessageId, InvalidStretch, MessageNotFound, AlreadyKept),
        notes="By moderators, and by whoever spoke there.",
    ),
    comments.get_comment: Operation(data(ref("Comment")), (PAGE, MAY_TOKEN, COMMENT)),
    comments.edit_comment: Operation(
        data(ref("Comment")),
        (PAGE, TOKEN, CHANGES, COMMENT),
        body=ref("CommentText"),
        errors=(InvalidContent, Forbidden),
    ),
    comments.delete_comment: Operation(
        data(NOTHING), (PAGE, TOKEN, CHANGES, COMMENT), errors=(Forbidden,)
    ),
    comments.approve_comment: Operation(
        data(ref("Comment")),
        (PAGE, TOKEN, MODERATES, CHANGES, COMMENT),
        errors=(CommentDeleted,),
    ),
    comments.favour: Operation(
        data(ref("Comment")), (PAGE, TOKEN, CHANGES, COMMENT), errors=(CommentDeleted,)
    ),
    comments.unfavour: Operation(
        data(ref("Comment")), (PAGE, TOKEN, CHANGES, COMMENT), errors=(CommentDeleted,)
    ),
    comments.list_replies: Operation(
        data(ref("Replies")),
        (PAGE, MAY_TOKEN, COMMENT),
        (
            *WINDOW,
            Parameter("order_by", text(enum=list(BY_TIME), default=BY_TIME[0])),
        ),
        errors=LISTING_ERRORS,
    ),
    comments.list_answers: Operation(
        data(ref("Answers")),
        (PAGE, TOKEN),
        (
            Parameter(
                "since",
                number(0, LATEST, examples=[0]),
                "Those behind this time, in milliseconds since 1970.",
                required=True,
            ),
        ),
        errors=LISTING_ERRORS,
    ),
    comments.list_replies_of: Operation(
        data(ref("RepliesOf")),
        (PAGE, MAY_TOKEN),
        (
            Parameter(
                "of",
                text(
                    pattern=rf"^{ID_TEXT}(,{ID_TEXT}){{0,{MOST_ASKED - 1}}}$",
                    examples=["1,2,3"],
                ),
                "Ids of comments, with commas between them.",
                required=True,
            ),
            Parameter("limit", number(1, MOST_LISTED, default=MOST_LISTED), "For each comment."),
        ),
        errors=(InvalidPage,),
    ),
    comments.post_reply: Operation(
        data(ref("Reply"), REPLAYED),
        (PAGE, TOKEN, WRITES, COMMENT),
        body=ref("ReplyDraft"),
        errors=(InvalidContent, InvalidReplyTo, CommentDeleted),
    ),
    comments.edit_reply: Operation(
        data(ref("Reply")),
        (PAGE, TOKEN, CHANGES, REPLY),
        body=ref("ReplyText"),
        errors=(InvalidContent, Forbidden),
    ),
    comments.delete_reply: Operation(
        data(NOTHING), (PAGE, TOKEN, CHANGES, REPLY), errors=(Forbidden,)
    ),
    comments.approve_reply: Operation(
        data(ref("Reply")),
        (PAGE, TOKEN, MODERATES, CHANGES, REPLY),
        errors=(CommentDeleted,),
    ),
    comments.preview: Operation(
        data(ref("Preview")),
        (NO_PAGE, MAY_TOKEN),
        (replace(SITE_ID, required=False, about="The site on which it would be shown."),),
        body=ref("CommentText"),
        errors=(InvalidSiteId, SiteNotFound, InvalidContent, RateLimited),
    ),
    comments.count: Operation(
        data(ref("Counts")),
        body=ref("Slugs"),
        errors=(SiteNotFound, OriginNotAllowed, InvalidSlug),
    ),
    auth.login: Operation(
        data(ref("SignedIn")),
        (NO_PAGE,),
        body=ref("Login"),
        errors=(
            *(InvalidSiteId, SiteNotFound, MethodNotOffered, InvalidName, NameReserved),
            *(SignInFailed, Forbidden, RateLimited, UpstreamFailed),
        ),
    ),
    auth.register: Operation(
        data(ref("SignedIn")),
        (NO_PAGE,),
        body=ref("Registration"),
        errors=(
            *(InvalidSiteId, SiteNotFound, MethodNotOffered, InvalidUsername, InvalidPassword),
            *(NameReserved, Forbidden, RateLimited),
        ),
    ),
    auth.change_password: Operation(
        data(ref("SignedIn")),
        (NO_PAGE, TOKEN),
        body=ref("NewPassword"),
        errors=(
            *(MethodNotOffered, InvalidUsername, InvalidPassword, NameReserved),
            *(SignInFailed, Forbidden, RateLimited),
        ),
    ),
    auth.renew: Operation(data(ref("SignedIn")), (NO_PAGE, TOKEN), errors=(Forbidden, RateLimited)),
    auth.logout: Operation(
        data(NOTHING), (NO_PAGE, TOKEN), body=ref("Logout"), body_may_be_absent=True
    ),
    auth.list_methods: Operation(
        data(ref("Methods")),
        (NO_PAGE,),
        (replace(SITE_ID, required=False, about="The site whose page asks."),),
        errors=(InvalidSiteId, SiteNotFound),
    ),
    auth.wallet_text: Operation(
        data(ref("WalletText")),
        (NO_PAGE,),
        body=ref("WalletAccount"),
        errors=(MethodNotOffered, SignInFailed),
    ),
    users.get_me: Operation(data(ref("User")), (NO_PAGE, TOKEN)),
    users.change_me: Operation(
        data(ref("User")),
        (NO_PAGE, TOKEN),
        body=ref("Name"),
        errors=(InvalidName, Banned, NameReserved, RateLimited),
    ),
    users.delete_me: Operation(
        data(NOTHING),
        (NO_PAGE, TOKEN),
        body=ref("Leaving"),
        errors=(Forbidden, LastAdmin, RateLimited, UserNotFound),
    ),
    users.export_me: Operation(
        data(ref("Export"), "Content-Disposition"),
        (NO_PAGE, TOKEN),
        errors=(RateLimited, UserNotFound),
    ),
    users.get_user: Operation(data(ref("User")), (NO_PAGE,), errors=(UserNotFound,)),
    users.get_avatar: Operation(file("image/svg+xml"), errors=(UserNotFound,)),
    sites.list_sites: Operation(data(array(ref("OwnSite"))), (NO_PAGE, TOKEN)),
    sites.add_site: Operation(
        data(ref("OwnSite")), (NO_PAGE, ADMIN), body=ref("SiteDraft"), errors=(InvalidSite,)
    ),
    sites.get_site: Operation(data(ref("Site")), (NO_PAGE,), errors=(SiteNotFound,)),
    sites.change_site: Operation(
        data(ref("OwnSite")),
        (NO_PAGE, ADMIN),
        body=ref("SiteChange"),
        errors=(SiteNotFound, InvalidSite, SiteInSettings),
    ),
    admin.get_setup: Operation(data(ref("Setup")), (NO_PAGE, ADMIN)),
    admin.list_users: Operation(
        data(array(ref("Person"), maxItems=100)),
        (NO_PAGE, ADMIN),
        (
            Parameter("q", text(), "How their names begin; case makes no difference."),
            Parameter("after_id", NUMBER, "Those with ids above this."),
        ),
        errors=(InvalidPage,),
    ),
    admin.set_role: Operation(
        data(ref("Person")),
        (NO_PAGE, ADMIN),
        body=ref("RoleChange"),
        errors=(InvalidSiteId, SiteNotFound, UserNotFound, GuestWithoutRole, LastAdmin),
    ),
    admin.ban_user: Operation(
        data(ref("Person")), (NO_PAGE, ADMIN), body=ref("Ban"), errors=(UserNotFound,)
    ),
    admin.unban_user: Operation(data(ref("Person")), (NO_PAGE, ADMIN), errors=(UserNotFound,)),
    admin.sign_out_user: Operation(data(ref("Person")), (NO_PAGE, ADMIN), errors=(UserNotFound,)),
    sites.get_slug: Operation(data(ref("Tips")), (PAGE,)),
    sites.get_page: Operation(data(ref("Page")), (PAGE,)),
    sites.change_page: Operation(
        data(ref("Page")),
        (PAGE, TOKEN, MODERATES),
        body=ref("PageDraft"),
        errors=(PageNotFound,),
    ),
    sites.list_assets: Operation(data(array({}, maxItems=0)), (NO_PAGE,)),
    status.get_statistics: Operation(data(ref("Statistics")), (NO_PAGE,)),
    status.health: Operation(bare(ref("Health"))),
    pages.get_document: Operation(Answer({"type": "object"}, headers=("ETag",))),
    pages.get_file: Operation(file({f"/{name}": content_type_of(name) for name in FILES}, "ETag")),
    widget.get_part: Operation(file("text/*", "ETag"), errors=(NotFound,)),
    widget.get_words: Operation(
        bare({"type": "object", "required": ["lang", "dir"]}, "ETag"),
        errors=(NotFound,),
        notes="`pt-BR` gets `pt` where there is no `pt-BR`, and any other tag English.",
    ),
    thread_pages.show: Operation(
        file(HTML_PAGE, *STATE),
        (PART, NO_PAGE),
        errors=(PageNotFound,),
        errors_type=HTML,
        may_move=True,
    ),
    thread_pages.send: Operation(
        Answer(
            None, "", status=303, headers=("Location",), about="It is stored, and stands there."
        ),
        (PART,),
        body=ref("Form"),
        body_type=FORM,
        errors=(
            *(Forbidden, FormExpired, MethodNotOffered, InvalidName, NameReserved),
            *(InvalidContent, RoomClosed, CommentDeleted, RateLimited),
        ),
        errors_type=HTML,
        notes="The form of that part, sent by a browser from there: `Origin` must be our own.",
    ),
    feeds.page_feed: Operation(
        file(ATOM, *STATE),
        (FEED,),
        (Parameter("slug", SLUG, "The page, usually by its path.", required=True),),
        errors=(InvalidSlug,),
        may_move=True,
    ),
    feeds.site_feed: Operation(file(ATOM, *STATE), (FEED,)),
    feeds.owner_feed: Operation(
        file(ATOM, *STATE),
        (FEED,),
        (Parameter("key", text(1), "What `talkee-lite site feed` shows.", required=True),),
        errors=(Forbidden,),
    ),
    pages.admin: Operation(file("text/html; charset=utf-8", "ETag")),
    pages.welcome: Operation(
        file("text/html; charset=utf-8", "ETag"),
        errors=(NotFound,),
        notes="Unless `[server] welcome` is off.",
    ),
}
