"""The pure parts of what browsers load, by the tests beside them, in node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "js"


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_the_pure_parts_of_the_widget_do_what_their_tests_say(name: str) -> None:
    node = shutil.which("node")
    assert node, "These tests need the Debian package nodejs: apt-get install nodejs"
    done = subprocess.run(
        [node, "--test", str(FOLDER / name)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    # A file without tests passes as well.
    assert "\n# pass 0" not in done.stdout
