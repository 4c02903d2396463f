"""Two judges of what we serve, html-validate for HTML and the schema of RFC 4287 for Atom; and
whatever else the tests take from npm.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lxml import etree

HERE = Path(__file__).parent
# Beside the clone's other tools; what is installed there is in no commit.
INSTALLED = HERE.parent.parent / ".validator"
ATOM = "{http://www.w3.org/2005/Atom}"


def html_problems(documents: Mapping[str, str], folder: Path) -> str:
    """What html-validate finds wrong with documents, by name; "" if nothing is. Uses `folder`."""
    folder = folder / "html"
    folder.mkdir()
    shutil.copy(HERE / ".htmlvalidate.json", folder)
    for name, text in documents.items():
        (folder / f"{name}.html").write_text(text)
    done = subprocess.run(
        [
            "node",
            node_modules() / "html-validate/bin/html-validate.mjs",
            "--formatter",
            "text",
            folder,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode not in (0, 1) or (done.returncode and not done.stdout):
        raise RuntimeError(f"html-validate failed: {done.stderr}")
    return done.stdout


def node_modules() -> Path:
    """The packages, installed by npm at their first use, with versions that are pinned."""
    modules = INSTALLED / "node_modules"
    INSTALLED.mkdir(exist_ok=True)
    # One of the tests that run side by side installs it.
    with (INSTALLED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = (HERE / "package-lock.json").read_bytes()
        kept = INSTALLED / "installed.json"
        if not (modules.exists() and kept.exists() and kept.read_bytes() == wanted):
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
    return modules


@lru_cache(maxsize=1)
def _atom_schema() -> Any:
    return etree.RelaxNG(etree.parse(HERE / "atom.rng"))


def atom_problems(feed: bytes) -> list[str]:
    """What is wrong with a feed by the schema of RFC 4287 and the rules beside it."""
    document = etree.fromstring(feed)
    schema = _atom_schema()
    found = [] if schema.validate(document) else [str(error) for error in schema.error_log]
    entries = document.findall(f"{ATOM}entry")
    for entry in entries:
        links = [link.get("rel", "alternate") for link in entry.findall(f"{ATOM}link")]
        if "alternate" not in links and entry.find(f"{ATOM}content") is None:
            found.append("an entry has neither an alternate link nor content")
        if entry.find(f"{ATOM}author") is None and document.find(f"{ATOM}author") is None:
            found.append("an entry has no author, nor has its feed")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    if len(ids) != len(set(ids)):
        found.append("two entries have the same id")
    return found
