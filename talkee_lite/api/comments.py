"""`/api/comments` and what belongs to it: replies, favourites, preview and counts."""

from __future__ import annotations

from typing import Any

from ..comment_lists import BY_TIME, MOST_COUNTED, parse_of, parse_since, parse_window
from ..errors import CommentNotFound, InvalidBody, ReplyNotFound, Unauthorized
from ..keeping import checked_id
from ..models import Caller, Comment, Reply, RoomKey, Status
from ..protocol import (
    MOST_NUMBER,
    json_fragment,
    parse_number,
    parse_object,
    take_optional_text,
    take_text,
)
from ..sites import checked_slug
from .context import (
    Services,
    address_of,
    answer,
    answer_bytes,
    bearer_of,
    body_of,
    caller_of,
    json_of,
    learning_of,
    page_of,
    query_of,
    room_of,
    services_of,
    site_if_any,
)
from .exchange import Answer, Request


async def list_comments(request: Request) -> Answer:
    """The comments of a page."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await _caller_if_any(request, services)
    window = parse_window(query_of(request), lenient=services.config.compat.legacy_clients)
    viewer = services.comments.viewer(caller, room.site_id)
    listed = await services.comments.list(room, window, viewer)
    return answer_bytes(b'{"ts":%d,"data":%b}' % (services.clock() // 1000, listed))


async def post_comment(request: Request) -> Answer:
    """A new comment."""
    services = services_of(request)
    room = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    fields = parse_object(body)
    content = take_text(fields, "content")
    learn = learning_of(request, services, fields)
    address = address_of(request, services)
    comment, repeated = await services.comments.post(caller, room, content, address)
    if comment.status is Status.PUBLISHED:
        await learn()
    return _answer_new(services, _comment(services, room, comment), repeated)


async def keep_talk(request: Request) -> Answer:
    """A stretch of a room's talk, kept as a comment and replies."""
    services = services_of(request)
    page = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    fields = parse_object(body)
    first, last = take_text(fields, "from"), take_text(fields, "to")
    ends = checked_id("from", first), checked_id("to", last)
    learn = learning_of(request, services, fields)
    named = take_optional_text(fields, "room")
    room = room_of(request, services)
    if named is not None:
        room = RoomKey(page.site_id, checked_slug(named, "room"))
    address = address_of(request, services)
    comment, repeated = await services.keeping.keep(caller, page, room, ends, address)
    await learn()
    return _answer_new(services, _comment(services, page, comment), repeated)


async def get_comment(request: Request) -> Answer:
    """One comment."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await _caller_if_any(request, services)
    viewer = services.comments.viewer(caller, room.site_id)
    comment = await services.comments.get(room, _comment_id(request), viewer)
    return answer(services, _comment(services, room, comment))


async def edit_comment(request: Request) -> Answer:
    """Another text for a comment."""
    services = services_of(request)
    room = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    content = take_text(parse_object(body), "content")
    comment = await services.comments.edit(
        caller, room, _comment_id(request), content, address_of(request, services)
    )
    return answer(services, _comment(services, room, comment))


async def delete_comment(request: Request) -> Answer:
    """Erase a comment."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    await services.comments.delete(
        caller, room, _comment_id(request), address_of(request, services)
    )
    return answer(services, None)


async def approve_comment(request: Request) -> Answer:
    """Publish a comment that is held."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    comment = await services.comments.approve(
        caller, room, _comment_id(request), address_of(request, services)
    )
    return answer(services, _comment(services, room, comment))


async def favour(request: Request) -> Answer:
    """Like a comment."""
    return await _favour(request, likes=True)


async def unfavour(request: Request) -> Answer:
    """Do not like a comment any more."""
    return await _favour(request, likes=False)


async def _favour(request: Request, *, likes: bool) -> Answer:
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    comment_id = _comment_id(request)
    address = address_of(request, services)
    comment = await services.comments.favour(caller, room, comment_id, address, likes=likes)
    return answer(services, _comment(services, room, comment))


async def list_replies(request: Request) -> Answer:
    """The replies to a comment."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await _caller_if_any(request, services)
    lenient = services.config.compat.legacy_clients
    window = parse_window(query_of(request), BY_TIME, lenient=lenient)
    viewer = services.comments.viewer(caller, room.site_id)
    total, replies = await services.comments.replies(room, _comment_id(request), window, viewer)
    shown = [_reply(services, room, reply) for reply in replies]
    return answer(services, {"total": total, "replies": shown})


async def list_replies_of(request: Request) -> Answer:
    """The first replies to many comments of a page."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await _caller_if_any(request, services)
    comment_ids, limit = parse_of(query_of(request))
    viewer = services.comments.viewer(caller, room.site_id)
    found = await services.comments.replies_of(room, comment_ids, limit, viewer)
    return answer(services, {"replies": services.comments.replies_shown(room, found)})


async def list_answers(request: Request) -> Answer:
    """What others replied to the one who asks, below one page, since a time."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    since = parse_since(query_of(request))
    replies = await services.comments.answers(room, caller.user.id, since)
    return answer(services, {"replies": [_reply(services, room, reply) for reply in replies]})


async def post_reply(request: Request) -> Answer:
    """A new reply."""
    services = services_of(request)
    room = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    fields = parse_object(body)
    content = take_text(fields, "content")
    reply_to = fields.get("reply_to", 0)
    if type(reply_to) is not int or not 0 <= reply_to <= MOST_NUMBER:
        raise InvalidBody("reply_to must be the id of a reply.", field="reply_to")
    learn = learning_of(request, services, fields)
    reply, repeated = await services.comments.reply(
        caller, room, _comment_id(request), content, reply_to, address_of(request, services)
    )
    if reply.status is Status.PUBLISHED:
        await learn()
    return _answer_new(services, _reply(services, room, reply), repeated)


async def edit_reply(request: Request) -> Answer:
    """Another text for a reply."""
    services = services_of(request)
    room = page_of(request, services)
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await caller_of(request, services)
    content = take_text(parse_object(body), "content")
    ids, address = (_comment_id(request), _reply_id(request)), address_of(request, services)
    reply = await services.comments.edit_reply(caller, room, *ids, content, address)
    return answer(services, _reply(services, room, reply))


async def delete_reply(request: Request) -> Answer:
    """Erase a reply."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    ids, address = (_comment_id(request), _reply_id(request)), address_of(request, services)
    await services.comments.delete_reply(caller, room, *ids, address)
    return answer(services, None)


async def approve_reply(request: Request) -> Answer:
    """Publish a reply that is held."""
    services = services_of(request)
    room = page_of(request, services)
    caller = await caller_of(request, services)
    ids, address = (_comment_id(request), _reply_id(request)), address_of(request, services)
    reply = await services.comments.approve_reply(caller, room, *ids, address)
    return answer(services, _reply(services, room, reply))


async def preview(request: Request) -> Answer:
    """What a text will look like."""
    services = services_of(request)
    site = site_if_any(request, services)
    services.sites.check_origin(site, request.headers.get("origin"))
    body = await body_of(request, services.config.limits.max_body_bytes)
    caller = await _caller_if_any(request, services)
    address = address_of(request, services)
    content = take_text(parse_object(body), "content")
    text = await services.comments.preview(caller, site.id if site else 0, content, address)
    return answer(services, {"content_html": text.html})


async def count(request: Request) -> Answer:
    """How much is published on some pages of a site."""
    services = services_of(request)
    # Pages may call it what needs no preflight: there is nothing to protect.
    fields = await json_of(request, services.config.limits.max_body_bytes, "text/plain")
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
    pages = {slug: services.pages.current(RoomKey(site.id, slug)).slug for slug in wanted.values()}
    counts = await services.comments.counts(site.id, list(dict.fromkeys(pages.values())))
    return answer(services, {asked: counts[pages[slug]] for asked, slug in wanted.items()})


async def _caller_if_any(request: Request, services: Services) -> Caller | None:
    """Who asks, where a token adds to the answer. Raises Unauthorized for a bad one.

    Old pages go on sending those of the service that is gone: for them it is as if they did not.
    """
    if bearer_of(request) is None:
        return None
    try:
        return await caller_of(request, services)
    except Unauthorized:
        if services.config.compat.legacy_clients:
            return None
        raise


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
    return services.comments.reply_shown(room, reply)


def _answer_new(services: Services, shown: Any, repeated: bool) -> Answer:
    made = answer(services, shown)
    if repeated:
        made.headers = {**made.headers, "Idempotent-Replayed": "true"}
    return made
