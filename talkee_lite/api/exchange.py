"""A request and its answer, whichever way they travel: through the front door or through aiohttp.

Handlers know these two and nothing of HTTP libraries. `door.py` and `framework.py` are the ways.
"""

from __future__ import annotations

from asyncio import Protocol
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import Refused
    from .context import Services

Explain = Callable[["Refused", str], "Answer"]
"""Answers an error, given the request's id."""

_NOTHING: Mapping[str, str] = {}


class Request:
    """What a handler may ask of a request.

    `headers` has lower-case names (and finds them whatever their case); `target` is the request
    target as it was sent (RFC 9112, section 3.2); `peer` the address of the other end of the
    connection, None where that is a Unix socket; `match` the parts of the path that the route
    names; `route` its pattern, "-" for an address that matches none. A handler sets `explain`
    where an error is not answered as JSON.
    """

    __slots__ = (
        "explain",
        "headers",
        "id",
        "match",
        "method",
        "peer",
        "route",
        "services",
        "target",
    )

    def __init__(
        self,
        services: Services,
        request_id: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        peer: str | None,
        route: str,
        match: Mapping[str, str] = _NOTHING,
    ) -> None:
        self.services = services
        self.id = request_id
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        self.route = route
        self.match = match
        self.explain: Explain | None = None

    @property
    def path(self) -> str:
        """The target without its query, as it was sent."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query as it was sent."""
        return self.target.partition("?")[2]

    @property
    def has_body(self) -> bool:
        """Whether a body comes with the request."""
        raise NotImplementedError

    async def read(self, most: int, seconds: float) -> bytes:
        """The body. Raises TooLarge over `most` bytes, RequestTimeout after `seconds`."""
        raise NotImplementedError

    def all_of(self, name: str) -> str:
        """A header that may come several times, as one list (RFC 9110, section 5.3)."""
        return self.headers.get(name, "")


@dataclass(slots=True)
class Answer:
    """What a request is answered with; the length and the date are added on the way out."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Upgrade(Answer):
    """The answer 101: from here on the connection belongs to `protocol`."""

    protocol: Protocol | None = None


Handler = Callable[[Request], Awaitable[Answer]]
