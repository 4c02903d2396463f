"""`/api/comments` and what belongs to it: replies, favourites, preview and counts."""

from __future__ import annotations

from typing import Any

from ..comments import (
    MOST_COMMENT,
    MOST_COUNTED,
    checked_content,
    parse_window,
)
from ..errors import CommentNotFound, InvalidBody, ReplyNotFound
from ..markdown import rendered
from ..models import Caller, Comment, Reply, RoomKey
from ..protocol import json_fragment, parse_number, parse_object, reply_fields, take_text
from ..sites import checked_slug
from .context import (
    Services,
    address_of,
    answer,
    answer_bytes,
    bearer_of,
    body_of,
    caller_of,
    check_page,
    query_of,
    room_of,
    services_of,
)
from .exchange import Answer, Request

# As long as the numbers in addresses may be: 16 digits.
_MOST_ID = 10**16 - 1


async def list_comments(request: Request) -> Answer:
    """The comments of a page."""
    services = services_of(request)
    room = room_of(request, services)
    caller = await _caller_if_any(request, services)
    window = parse_window(query_of(request))
    listed = await services.comments.list(room, window, _id(caller))
    return answer_bytes(b'{"ts":%d,"data":%b}' % (services.clock() // 1000, listed))


async def post_comment(request: Request) -> Answer:
    """A new comment."""
    services = services_of(request)
    room = room_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    content = take_text(parse_object(body), "content")
    address = address_of(request, services)
    comment, repeated = await services.comments.post(caller, room, content, address)
    return _answer_new(services, _comment(services, room, comment), repeated)


async def get_comment(request: Request) -> Answer:
    """One comment."""
    services = services_of(request)
    room = room_of(request, services)
    caller = await _caller_if_any(request, services)
    comment = await services.comments.get(room, _comment_id(request), _id(caller))
    return answer(services, _comment(services, room, comment))


async def edit_comment(request: Request) -> Answer:
    """Another text for a comment."""
    services = services_of(request)
    room = room_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    content = take_text(parse_object(body), "content")
    comment = await services.comments.edit(caller, room, _comment_id(request), content)
    return answer(services, _comment(services, room, comment))


async def delete_comment(request: Request) -> Answer:
    """Erase a comment."""
    services = services_of(request)
    room = room_of(request, services)
    caller = await caller_of(request, services)
    await services.comments.delete(caller, room, _comment_id(request))
    return answer(services, None)


async def favour(request: Request) -> Answer:
    """Like a comment."""
    return await _favour(request, likes=True)


async def unfavour(request: Request) -> Answer:
    """Do not like a comment any more."""
    return await _favour(request, likes=False)


async def _favour(request: Request, *, likes: bool) -> Answer:
    services = services_of(request)
    room = room_of(request, services)
    caller = await caller_of(request, services)
    comment_id = _comment_id(request)
    comment = await services.comments.favour(caller, room, comment_id, likes=likes)
    return answer(services, _comment(services, room, comment))


async def list_replies(request: Request) -> Answer:
    """The replies to a comment."""
    services = services_of(request)
    room = room_of(request, services)
    await _caller_if_any(request, services)
    given = {"order_by": "created_at"} | query_of(request)
    window = parse_window(given)
    total, replies = await services.comments.replies(room, _comment_id(request), window)
    shown = [_reply(services, room, reply) for reply in replies]
    return answer(services, {"total": total, "replies": shown})


async def post_reply(request: Request) -> Answer:
    """A new reply."""
    services = services_of(request)
    room = room_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    fields = parse_object(body)
    content = take_text(fields, "content")
    reply_to = fields.get("reply_to", 0)
    if type(reply_to) is not int or not 0 <= reply_to <= _MOST_ID:
        raise InvalidBody("reply_to must be the id of a reply.", field="reply_to")
    reply, repeated = await services.comments.reply(
        caller, room, _comment_id(request), content, reply_to, address_of(request, services)
    )
    return _answer_new(services, _reply(services, room, reply), repeated)


async def edit_reply(request: Request) -> Answer:
    """Another text for a reply."""
    services = services_of(request)
    room = room_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    content = take_text(parse_object(body), "content")
    reply = await services.comments.edit_reply(
        caller, room, _comment_id(request), _reply_id(request), content
    )
    return answer(services, _reply(services, room, reply))


async def delete_reply(request: Request) -> Answer:
    """Erase a reply."""
    services = services_of(request)
    room = room_of(request, services)
    caller = await caller_of(request, services)
    await services.comments.delete_reply(caller, room, _comment_id(request), _reply_id(request))
    return answer(services, None)


async def preview(request: Request) -> Answer:
    """What a text will look like."""
    services = services_of(request)
    check_page(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    await _caller_if_any(request, services)
    content = checked_content(take_text(parse_object(body), "content"), MOST_COMMENT)
    return answer(services, {"content_html": await rendered(content)})


async def count(request: Request) -> Answer:
    """How much is published on some pages of a site."""
    services = services_of(request)
    fields = parse_object(await body_of(request, services.config.limits.max_body_bytes))
    site_id, slugs = fields.get("site_id"), fields.get("slugs")
    if type(site_id) is not int:
        raise InvalidBody("site_id must be a number.", field="site_id")
    site = services.sites.get(site_id)
    services.sites.check_origin(site, request.headers.get("origin"))
    if (
        not isinstance(slugs, list)
        or len(slugs) > MOST_COUNTED
        or not all(isinstance(slug, str) for slug in slugs)
    ):
        raise InvalidBody(f"slugs must be a list of at most {MOST_COUNTED} texts.", field="slugs")
    wanted = {slug: checked_slug(slug) for slug in slugs}
    counts = await services.comments.counts(site.id, list(dict.fromkeys(wanted.values())))
    return answer(services, {asked: counts[slug] for asked, slug in wanted.items()})


async def _caller_if_any(request: Request, services: Services) -> Caller | None:
    """Who asks, where a token adds to the answer. Raises Unauthorized for a bad one."""
    return None if bearer_of(request) is None else await caller_of(request, services)


def _id(caller: Caller | None) -> int:
    return 0 if caller is None else caller.user.id


def _comment_id(request: Request) -> int:
    number = parse_number(request.match["id"])
    if number is None:
        raise CommentNotFound
    return number


def _reply_id(request: Request) -> int:
    number = parse_number(request.match["reply_id"])
    if number is None:
        raise ReplyNotFound
    return number


def _comment(services: Services, room: RoomKey, comment: Comment) -> Any:
    return json_fragment(services.comments.comment_json(room, comment))


def _reply(services: Services, room: RoomKey, reply: Reply) -> dict[str, Any]:
    creator = services.people.profile(room.site_id, reply.user_id)
    return reply_fields(reply, json_fragment(creator))


def _answer_new(services: Services, shown: Any, repeated: bool) -> Answer:
    made = answer(services, shown)
    if repeated:
        made.headers = {**made.headers, "Idempotent-Replayed": "true"}
    return made
