"""Fixtures that most tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .harness import Server, config_in, running


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with default settings, but for limits on posts and sign-ins."""
    async with running(config_in(tmp_path)) as started:
        yield started
