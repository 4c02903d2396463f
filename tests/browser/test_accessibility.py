"""The judge of accessibility finds what is wrong, also where a page forbids scripts."""

from __future__ import annotations

import pytest

from .accessibility import axe
from .conftest import Host, Tabs

pytestmark = pytest.mark.browser

START = "<!doctype html><html lang=en><title>A page</title><main><h1>A page</h1>"


async def test_a_good_page_has_nothing_wrong(tabs: Tabs, host: Host) -> None:
    page = await tabs.open(host.show(f"{START}<p>Hello"))
    assert await axe(page) == []


async def test_what_is_wrong_is_found_under_any_policy(tabs: Tabs, host: Host) -> None:
    html = f"{START}<div><img src='data:,' width=9 height=9></div><p><input></p>"
    page = await tabs.open(host.show(html, "default-src 'none'; img-src data:"))
    found = await axe(page)
    assert [line.partition(":")[0] for line in found] == ["image-alt", "label"]
    assert "input" in found[1]
    assert len(await axe(page, within="div")) == 1
    assert len(await axe(page, without=("image-alt", "label"))) == 0
