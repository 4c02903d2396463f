"""A judge of the HTML that we serve: html-validate."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
# Beside the clone's other tools; what is installed there is in no commit.
INSTALLED = HERE.parent.parent / ".validator"


def html_problems(documents: Mapping[str, str], folder: Path) -> str:
    """What html-validate finds wrong with documents, by name; "" if nothing is. Uses `folder`."""
    folder = folder / "html"
    folder.mkdir()
    shutil.copy(HERE / ".htmlvalidate.json", folder)
    for name, text in documents.items():
        (folder / f"{name}.html").write_text(text)
    done = subprocess.run(
        ["node", _html_validate(), "--formatter", "text", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode not in (0, 1) or (done.returncode and not done.stdout):
        raise RuntimeError(f"html-validate failed: {done.stderr}")
    return done.stdout


def _html_validate() -> Path:
    """The validator's program, installed by npm at its first use, with versions that are pinned."""
    program = INSTALLED / "node_modules/html-validate/bin/html-validate.mjs"
    INSTALLED.mkdir(exist_ok=True)
    # One of the tests that run side by side installs it.
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (HERE / "package-lock.json").read_bytes()
        kept = INSTALLED / "installed.json"
        if not (program.exists() and kept.exists() and kept.read_bytes() == wanted):
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, INSTALLED)
            subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=INSTALLED,
                check=True,
                capture_output=True,
                timeout=300,
            )
            kept.write_bytes(wanted)
    return program
