"""Fixtures that most tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest

from .harness import Server, config_in, running

# How long an example takes is up to the machine: no test fails by it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A server with default settings, but for limits on posts and sign-ins."""
    async with running(config_in(tmp_path)) as started:
        yield started
