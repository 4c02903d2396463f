"""`/t/{site_id}`: the comments of a page for people without JavaScript, and for machines."""

from __future__ import annotations

import asyncio
from functools import partial

from ..comments import MOST_COMMENT, MOST_REPLY, checked_content
from ..errors import Forbidden, MethodNotOffered, Refused, RoomClosed, SiteNotFound
from ..models import Caller, RoomKey, Site, Status
from ..protocol import parse_number
from ..sites import checked_slug
from ..thread_pages import Part, parse_part, query_of_part
from .context import (
    Services,
    address_of,
    check_sign_in_pace,
    form_of,
    is_own_page,
    query_of,
    services_of,
)
from .documents import Thread, Typed, error_page, make_form, make_thread, page_headers
from .exchange import Answer, Request
from .middleware import retry_header
from .validators import Validators, holds_any, holds_tag, validators


async def show(request: Request) -> Answer:
    """A part of a page's comments."""
    request.explain = error_page
    services = services_of(request)
    site, asked, part = _part_of(request, services)
    services.sites.check_origin(site, request.headers.get("origin"))
    room = services.pages.current(asked)
    if room != asked or request.path.endswith("/"):
        return _moved(request, room, part)
    address = address_of(request, services)
    known = _validators(services, site, room, part, address)
    headers = page_headers(site) | {"Cache-Control": "private, no-cache"}
    valid = headers | known.headers(services.clock())
    if holds_tag(request, known):
        return Answer(status=304, headers=valid)
    thread = await _thread(services, site, room, part)
    if holds_any(request, known) and not thread.is_empty:
        return Answer(status=304, headers=valid)
    form = make_form(thread, site, room, services.forms.issue(room, address))
    if thread.is_empty:
        # What does not exist has no state to name.
        return Answer(thread.whole(form), status=404, headers=headers)
    return Answer(thread.whole(form), headers=valid)


async def send(request: Request) -> Answer:
    """A comment or reply of a guest, from the form below a part."""
    request.explain = error_page
    services = services_of(request)
    site, asked, part = _part_of(request, services)
    room, address = services.pages.current(asked), address_of(request, services)
    _check_sender(request, services)
    form = await form_of(request, services.config.limits.max_body_bytes)
    thread = await _thread(services, site, room, part)
    typed = Typed(form.get("name", ""), form.get("content", ""))
    request.explain = partial(_again, services, site, room, thread, address, typed)
    where = await services.forms.once(
        form.get("token", ""),
        room,
        address,
        (part.comment_id, typed),
        lambda: _write(request, services, room, thread, typed),
    )
    return Answer(status=303, headers={"Location": where, "Cache-Control": "no-store"})


def _part_of(request: Request, services: Services) -> tuple[Site, RoomKey, Part]:
    """The site, page and part that an address names.

    Raises SiteNotFound, InvalidSlug or CommentNotFound.
    """
    site_id = parse_number(request.match["site_id"])
    if site_id is None:
        raise SiteNotFound
    site, query = services.sites.get(site_id), query_of(request)
    return site, RoomKey(site.id, checked_slug(query.get("slug", ""))), parse_part(query)


def _moved(request: Request, room: RoomKey, part: Part) -> Answer:
    """To where a page is now, by its one address."""
    start = "../" + str(room.site_id) if request.path.endswith("/") else ""
    where = f"{start}?{query_of_part(room.slug, part)}"
    # Pages can move back.
    return Answer(status=301, headers={"Location": where, "Cache-Control": "no-cache"})


def _validators(
    services: Services, site: Site, room: RoomKey, part: Part, address: str
) -> Validators:
    change = services.changes.of_page(room)
    state = (change.number, site.updated_at, services.forms.mark(address))
    return validators((room, part), state, max(change.at, site.updated_at))


async def _thread(services: Services, site: Site, room: RoomKey, part: Part) -> Thread:
    """A part as it is now. Raises CommentNotFound."""
    key, version = (room, part), (services.changes.of_page(room).number, site.updated_at)
    kept: Thread | None = services.made.find(key, version)
    if kept is not None:
        return kept
    page = await services.thread_pages.read(room, part)
    make = partial(
        make_thread,
        site,
        room,
        page,
        address=f"{services.people.public_url}/t/{site.id}",
        may_write="guest" in services.logins,
    )
    if not page.published:
        return make()
    # Aside: with hundreds of replies it takes some 10 ms.
    made = await asyncio.to_thread(make)
    services.made.keep(key, version, made, made.size)
    return made


def _check_sender(request: Request, services: Services) -> None:
    """Browsers say which page a form was on; only ours may hold it. Raises Forbidden."""
    if not is_own_page(request, services):
        raise Forbidden("This form was not sent from a page of this server.")


def _again(
    services: Services,
    site: Site,
    room: RoomKey,
    thread: Thread,
    address: str,
    typed: Typed,
    refusal: Refused,
    request_id: str,
) -> Answer:
    """The page once more, with what was typed and what was wrong with it."""
    token = services.forms.issue(room, address)
    body = thread.whole(make_form(thread, site, room, token, typed, refusal))
    headers = page_headers(site) | {"Cache-Control": "no-store"} | retry_header(refusal)
    return Answer(body, refusal.status, headers)


async def _write(
    request: Request, services: Services, room: RoomKey, thread: Thread, typed: Typed
) -> str:
    """Store what a guest typed; the address at which it is shown.

    What can be known before somebody is signed in is looked at before.
    """
    comment_id = thread.part.comment_id
    content = checked_content(typed.content, MOST_REPLY if comment_id else MOST_COMMENT)
    if "guest" not in services.logins:
        raise MethodNotOffered
    if not thread.is_open:
        raise RoomClosed
    check_sign_in_pace(request, services)
    await services.comments.rendered(room.site_id, content)
    caller = Caller(*await services.sign_ins.guest(typed.name))
    address = address_of(request, services)
    if comment_id:
        reply, _ = await services.comments.reply(
            caller, room, comment_id, typed.content, 0, address
        )
        part, anchor, status = Part(comment_id, reply_id=reply.id), f"r{reply.id}", reply.status
    else:
        comment, _ = await services.comments.post(caller, room, typed.content, address)
        part, anchor, status = (
            await services.thread_pages.newest(room),
            f"c{comment.id}",
            comment.status,
        )
    if status is Status.PENDING:
        part, anchor = thread.part._replace(after_id=0, reply_id=0), "held"
    return f"?{query_of_part(room.slug, part)}#{anchor}"
