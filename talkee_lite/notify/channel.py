"""What a channel is, what it carries, and how it fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..models import Site


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened on a site, as its owner is told.

    `id` stays the same however often it is tried; `at` is when it happened.
    """

    id: str
    type: str
    at: int
    data: Mapping[str, Any]


class NotDelivered(Exception):
    """An event did not arrive. `reason` is for the owner; `retry_after`, in seconds, is a wish."""

    def __init__(self, reason: str, *, retry_after: float = 0, is_gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.is_gone = is_gone
        """The other side wants nothing more."""


class Channel(Protocol):
    """A way to tell a site's owner."""

    def target(self, site: Site) -> str:
        """Where this site's events go; "": nowhere."""

    def secret(self, site: Site) -> str:
        """What the other side checks this site's events with."""

    async def send(self, site: Site, event: Event) -> None:
        """Deliver one event. Raises NotDelivered."""
