"""Documents that are made of templates: threads, feeds, errors for people.

Jinja2 is loaded when the first one is made. Everything is escaped but the HTML of comments, which
was sanitised when it was stored; `web/written.html` is the one place that trusts it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..clock import SECOND
from ..comments import MOST_COMMENT, MOST_REPLY
from ..errors import Refused
from ..feeds import Feed
from ..models import Hold, RoomKey, Site
from ..protocol import rfc3339
from ..text import clean_name, clean_text
from ..thread_pages import Part, ThreadPage, page_title, query_of_part
from ..version import VERSION
from .exchange import Answer
from .middleware import retry_header
from .pages import PAGE_POLICY

if TYPE_CHECKING:
    from jinja2 import Environment

# Where the form goes, which is made for each who asks. Nobody knows it, so nobody can write it.
_FORM = secrets.token_hex(16)

HTML = "text/html; charset=utf-8"
ATOM = "application/atom+xml; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed into a form."""

    name: str = ""
    content: str = ""


@dataclass(frozen=True, slots=True)
class Thread:
    """A part of a page's comments as HTML, around the form."""

    before: bytes
    after: bytes
    part: Part
    is_empty: bool
    """Nothing is published on the page."""
    is_open: bool
    """Whether one may write there."""
    answers: str
    """Who wrote the comment that is shown alone."""

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.before) + len(self.after)

    def whole(self, form: bytes) -> bytes:
        """The document."""
        return b"".join([self.before, form, self.after])


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("talkee_lite", "web"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=clean_name, machine=_machine_time, human=_human_time, rfc3339=rfc3339
    )
    return environment


def _render(template: str, **given: Any) -> str:
    """A document, without what XML cannot hold, such as what Markdown makes of `&#12;`."""
    return clean_text(_environment().get_template(template).render(given))


def _machine_time(microseconds: int) -> str:
    """A time as HTML writes it (chapter 2.3.5.7 of the standard)."""
    return f"{datetime.fromtimestamp(microseconds // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _human_time(microseconds: int) -> str:
    time = datetime.fromtimestamp(microseconds // SECOND, UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def make_thread(
    site: Site, room: RoomKey, page: ThreadPage, *, address: str, may_write: bool
) -> Thread:
    """A part of a page's comments.

    `address` is where all of them are; `may_write`: whether people can write without JavaScript.
    """
    alone = page.items[0] if page.part.comment_id else None
    is_open = may_write and not page.is_closed and not (alone and alone.is_deleted)
    made = _render(
        "thread.html",
        site=site,
        page=page,
        title=page_title(page.title, room.slug),
        alone=alone,
        is_open=is_open,
        address=address,
        query_of=lambda part: query_of_part(room.slug, part),
        Part=Part,
        form=_FORM,
    )
    before, _, after = made.partition(_FORM)
    return Thread(
        before.encode(),
        after.encode(),
        page.part,
        is_empty=not page.published,
        is_open=is_open,
        answers=alone.name if alone else "",
    )


def make_form(
    thread: Thread,
    site: Site,
    room: RoomKey,
    token: str,
    typed: Typed | None = None,
    refusal: Refused | None = None,
) -> bytes:
    """The form below a thread; with what was typed, and what was wrong with it."""
    most = MOST_REPLY if thread.part.comment_id else MOST_COMMENT
    made = _render(
        "form.html",
        thread=thread,
        query=query_of_part(room.slug, thread.part),
        token=token,
        typed=typed or Typed(),
        field=refusal.field if refusal else "",
        sentence=_sentence(refusal) if refusal else "",
        most=f"{most:,}",
        is_held=site.hold_comments is not Hold.NOBODY,
    )
    return made.encode()


def _sentence(refusal: Refused) -> str:
    """What a person reads who filled in a form."""
    if refusal.field == "content":
        return f"The text{refusal.msg.removeprefix('content')}"
    suggestion = refusal.extra.get("suggestion")
    return f"{refusal.msg} {suggestion} is free." if suggestion else refusal.msg


def page_headers(site: Site | None = None) -> dict[str, str]:
    """The header fields of a page of ours; pictures from elsewhere where the site shows them."""
    policy = PAGE_POLICY
    if site is not None and site.images:
        policy = policy.replace("img-src 'self' data:", "img-src 'self' data: https: http:")
    return {
        "Content-Type": HTML,
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        # With `no-referrer` browsers send forms with `Origin: null` (Fetch standard, "append a
        # request Origin header"). This tells other sites as little, and our own where it is from.
        "Referrer-Policy": "same-origin",
    }


def error_page(refusal: Refused, request_id: str) -> Answer:
    """An error for people."""
    made = _render("error.html", refusal=refusal, request_id=request_id)
    headers = page_headers() | {"Cache-Control": "no-store"} | retry_header(refusal)
    return Answer(made.encode(), refusal.status, headers)


def make_feed(feed: Feed) -> bytes:
    """A feed (RFC 4287)."""
    return _render("feed.atom", feed=feed, version=VERSION).encode()
