"""A short soak; `make soak` runs it for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .soak import soak


@pytest.mark.long
async def test_everything_at_once_for_a_few_seconds(tmp_path: Path) -> None:
    totals = await soak(tmp_path, 6, seed=1)
    assert totals.posted > 50
    assert totals.deleted > 0
    assert totals.reconnects > 30
