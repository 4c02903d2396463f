"""Every error that a client may see: HTTP status, stable code, one English sentence.

Raise a `Refused` subclass anywhere below `api/`; one middleware turns it into the answer. The
codes are part of the public protocol (docs/protocol.md) and never change their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class Refused(Exception):
    """A request was understood and refused; the caller is told why.

    `field` names the one field at fault, `retry_after` (seconds) when trying again makes sense,
    and `extra` holds further members of the JSON answer.
    """

    status: ClassVar[int] = 400
    code: ClassVar[str] = "bad_request"
    sentence: ClassVar[str] = "The request could not be understood."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        field: str | None = None,
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        self.msg = sentence or self.sentence
        self.field = field
        self.retry_after = retry_after
        self.extra = extra or {}
        super().__init__(self.msg)


class BadRequest(Refused):
    """What arrived is not HTTP, or not a request that this server can read."""


class InvalidSiteId(Refused):
    code = "invalid_site_id"
    sentence = "site_id must be a positive whole number."


class InvalidSlug(Refused):
    code = "invalid_slug"
    sentence = "slug must have 1 to 256 characters, none of them a control character."


class InvalidBody(Refused):
    code = "invalid_body"
    sentence = "The body must be a JSON object with all required fields."


class InvalidMessageId(Refused):
    code = "invalid_message_id"
    sentence = "message_id must be a UUID of 36 characters."


class UnsupportedCategory(Refused):
    code = "unsupported_category"
    sentence = "The only category is text."


class InvalidData(Refused):
    code = "invalid_data"
    sentence = "data must be standard base64, with padding, of a text that is not blank."


class InvalidFilter(Refused):
    code = "invalid_filter"
    sentence = "The only filter is latest."


class InvalidPage(Refused):
    code = "invalid_page"
    sentence = "Give before or after, not both, as a whole number, and limit from 1 to 100."


class InvalidContent(Refused):
    code = "invalid_content"
    sentence = "content is empty or too long."


class InvalidStretch(Refused):
    code = "invalid_stretch"
    sentence = "A stretch of talk holds 1 to 100 messages."


class InvalidOrderBy(Refused):
    code = "invalid_order_by"
    sentence = "order_by is favor_count, created_at, created_at_asc or reply_count."


class InvalidReplyTo(Refused):
    code = "invalid_reply_to"
    sentence = "reply_to must be the id of a reply to the same comment."


class InvalidName(Refused):
    code = "invalid_name"
    sentence = "A name has 1 to 64 characters."


class InvalidSite(Refused):
    code = "invalid_site"
    sentence = "The site's name or origins are not valid."


class InvalidUsername(Refused):
    code = "invalid_username"
    sentence = "A user name has 3 to 32 characters."


class InvalidPassword(Refused):
    code = "invalid_password"
    sentence = "A password has 8 to 256 characters, and is not one that many people use."


class MethodNotOffered(Refused):
    code = "method_not_offered"
    sentence = "This server does not offer that way to sign in."


class Unauthorized(Refused):
    status = 401
    code = "unauthorized"
    sentence = "A valid access token is needed; sign in again."


class SignInFailed(Refused):
    status = 401
    code = "sign_in_failed"
    sentence = "That did not prove who you are."


class Forbidden(Refused):
    status = 403
    code = "forbidden"
    sentence = "This is not yours to do."


class OriginNotAllowed(Refused):
    status = 403
    code = "origin_not_allowed"
    sentence = "Pages of this origin may not use this site; its owner can allow them."


class Banned(Refused):
    status = 403
    code = "banned"
    sentence = "You may not write here."


class RoomClosed(Refused):
    status = 403
    code = "room_closed"
    sentence = "This room is closed."


class NotFound(Refused):
    status = 404
    code = "not_found"
    sentence = "There is nothing at this address."


class SiteNotFound(Refused):
    status = 404
    code = "site_not_found"
    sentence = "There is no site with this id."


class UserNotFound(Refused):
    status = 404
    code = "user_not_found"
    sentence = "There is no such user, or they have published nothing."


class PageNotFound(Refused):
    status = 404
    code = "page_not_found"
    sentence = "Nothing was ever stored on this page."


class CommentNotFound(Refused):
    status = 404
    code = "comment_not_found"
    sentence = "There is no such comment on this page."


class ReplyNotFound(Refused):
    status = 404
    code = "reply_not_found"
    sentence = "There is no such reply to this comment."


class CommentDeleted(Refused):
    status = 409
    code = "comment_deleted"
    sentence = "This comment was deleted."


class MessageNotFound(Refused):
    status = 404
    code = "message_not_found"
    sentence = "There is no such message in this room."


class MethodNotAllowed(Refused):
    status = 405
    code = "method_not_allowed"
    sentence = "This address does not take that method."

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        super().__init__()
        self.allowed = frozenset(allowed)
        """The methods that it takes (RFC 9110, section 15.5.6)."""


class RequestTimeout(Refused):
    status = 408
    code = "request_timeout"
    sentence = "The body did not arrive in time."


class AlreadyKept(Refused):
    status = 409
    code = "already_kept"
    sentence = "Some of this was kept on this page before."


class MessageIdConflict(Refused):
    status = 409
    code = "message_id_conflict"
    sentence = "This message_id was already used in this room for something else."


class FormExpired(Refused):
    status = 409
    code = "form_expired"
    sentence = "This form was too old, or was sent before; send it again."


class NameReserved(Refused):
    status = 409
    code = "name_reserved"
    sentence = "This name belongs to somebody else."


class GuestWithoutRole(Refused):
    status = 409
    code = "guest_without_role"
    sentence = "A guest can have no role: a typed name proves nothing."


class LastAdmin(Refused):
    status = 409
    code = "last_admin"
    sentence = "The server needs an admin; make somebody else one first."


class SiteInSettings(Refused):
    status = 409
    code = "site_in_settings"
    sentence = "This site stands in the settings file and is changed there."


class MessageDeleted(Refused):
    status = 410
    code = "message_deleted"
    sentence = "This message was deleted."


class TooLarge(Refused):
    status = 413
    code = "too_large"
    sentence = "That is more than may be sent at once."


class UnsupportedMediaType(Refused):
    status = 415
    code = "unsupported_media_type"
    sentence = "Send JSON, with Content-Type: application/json."


class ExpectationFailed(Refused):
    status = 417
    code = "expectation_failed"
    sentence = "The only expectation that is met is 100-continue."


class UpgradeRequired(Refused):
    status = 426
    code = "upgrade_required"
    sentence = "This address speaks WebSocket, version 13."


class RateLimited(Refused):
    status = 429
    code = "rate_limited"
    sentence = "Too many requests; wait a little."


class TooManyConnections(Refused):
    status = 429
    code = "too_many_connections"
    sentence = "Too many connections are open; try again later."


class InternalError(Refused):
    status = 500
    code = "internal_error"
    sentence = "Something went wrong here; it has been logged."


class UpstreamFailed(Refused):
    status = 502
    code = "upstream_failed"
    sentence = "Another server, which is needed for this, did not answer as it should."


class Unavailable(Refused):
    status = 503
    code = "unavailable"
    sentence = "Nothing can be stored right now; try again in a moment."


def all_refusals() -> list[type[Refused]]:
    """Every error class, in the order of this file."""
    return [Refused, *Refused.__subclasses__()]
