"""What several operations have in common: parameters, tokens, and the errors that come of them."""

from __future__ import annotations

from ...comment_lists import LISTED, MOST_LISTED
from ...errors import (
    BadRequest,
    Banned,
    CommentNotFound,
    ExpectationFailed,
    Forbidden,
    InternalError,
    InvalidBody,
    InvalidOrderBy,
    InvalidPage,
    InvalidSiteId,
    InvalidSlug,
    OriginNotAllowed,
    RateLimited,
    ReplyNotFound,
    RequestTimeout,
    RoomClosed,
    SiteNotFound,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)
from ...protocol import MOST_NUMBER
from .parts import Need, Parameter, number
from .shapes import ID, NUMBER, SLUG

# What operations have in common.

EVERY = Need((BadRequest, ExpectationFailed, InternalError, Unavailable))
SITE_ID = Parameter(
    "site_id",
    ID,
    "The site. The header `X-TALKEE-SITE-ID` counts more where it is given.",
    required=True,
)
PAGE_SLUG = Parameter(
    "slug",
    SLUG,
    "The page, usually by its path. The header `X-TALKEE-SITE-SLUG`, percent-encoded, counts more"
    " where it is given.",
    required=True,
)
PAGE = Need((InvalidSiteId, SiteNotFound, InvalidSlug, OriginNotAllowed), (SITE_ID, PAGE_SLUG))
"""It is about a page of a site, which is a room as well."""
NO_PAGE = Need((OriginNotAllowed,))
"""It names no site: any site's pages may call it."""
# Forbidden: an admin's token, sent by a page that is not our own.
TOKEN = Need((Unauthorized, Forbidden), security=({"token": []},))
MAY_TOKEN = Need((Unauthorized, Forbidden), security=({"token": []}, {}))
BODY = Need((UnsupportedMediaType, TooLarge, RequestTimeout, InvalidBody))
"""Comes with each `body`."""
FORM_BODY = Need((UnsupportedMediaType, TooLarge, RequestTimeout))
"""Comes with each `body` that is a form."""
CHANGES = Need((Banned, RateLimited))
MODERATES = Need((Forbidden,))
ADMIN = Need((Unauthorized, Forbidden, Banned), security=({"token": []},))
"""The token is an admin's, with the scope `admin`."""
WRITES = Need((Banned, RoomClosed, RateLimited))
COMMENT = Need((CommentNotFound,))
REPLY = Need((CommentNotFound, ReplyNotFound))

PART = Need(
    (SiteNotFound, InvalidSlug, CommentNotFound),
    (
        Parameter("slug", SLUG, "The page, usually by its path.", required=True),
        Parameter("comment", NUMBER, "This comment alone, with its replies."),
        Parameter("after", NUMBER, "From behind this comment on; with `comment`, this reply."),
        Parameter("reply", NUMBER, "With `comment`, not `after`: where this reply stands."),
    ),
)
"""It is about a part of a page's comments."""
FEED = Need((SiteNotFound, OriginNotAllowed))
STATE = ("ETag", "Last-Modified")

# What queries hold.

WINDOW = (
    Parameter("limit", number(1, MOST_LISTED, default=LISTED)),
    Parameter("offset", number(0, MOST_NUMBER, default=0)),
    Parameter(
        "after_id",
        NUMBER,
        "In the orders of time: go on behind the one with this id, instead of by `offset`.",
    ),
)
LISTING_ERRORS = (InvalidPage, InvalidOrderBy)
