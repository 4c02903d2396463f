"""The widget's pure modules, tested by node without a browser."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "js"


def test_what_needs_no_page_holds_in_node() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    files = sorted(str(file) for file in TESTS.glob("*.test.mjs"))
    ran = subprocess.run([node, "--test", *files], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
