"""Telling a site's owner that somebody wrote: the table of channels, one file each."""

from __future__ import annotations

from collections.abc import Callable

from ..clock import Clock
from ..config import Config
from .channel import Channel
from .webhook import Webhook

CHANNELS: dict[str, Callable[[Config, str, Clock], Channel]] = {
    "webhook": Webhook,
}
"""Makes a channel of the settings, the server's signing secret and the clock."""


def channels(config: Config, secret: str, clock: Clock) -> dict[str, Channel]:
    """Every channel by its name."""
    return {name: make(config, secret, clock) for name, make in CHANNELS.items()}
