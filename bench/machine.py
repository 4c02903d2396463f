"""What the figures depend on besides the programs: the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
import resource
import sqlite3
import subprocess
import time
from importlib import metadata
from pathlib import Path
from statistics import median

from .build import NCHAN_MODULE, Tools, isso_version, ws_version


def describe(tools: Tools, work: Path) -> dict[str, str]:
    """Lines for the report: what it is → what is there."""
    return {
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "system": f"{_system()}, kernel {platform.release()}",
        "disk": f"an fsync after 4 KB more takes {_fsync_ms(work):.2f} ms (median of 50)",
        "open files": f"at most {resource.getrlimit(resource.RLIMIT_NOFILE)[1]:,}",
        "Python": platform.python_version(),
        "aiohttp": _package("aiohttp"),
        "uvloop": _package("uvloop"),
        "websockets": _package("websockets"),
        "SQLite": sqlite3.sqlite_version,
        "node": _first_line(tools.node, "--version").removeprefix("v") if tools.node else "-",
        "ws": ws_version(tools.ws_modules) or "-",
        "nginx, Nchan": _nginx(tools),
        "Isso": isso_version(tools.isso) or "-",
        "C compiler": _first_line("cc", "--version"),
    }


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    return found[1] if found else platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _package(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "-"
    return ((done.stdout or done.stderr).splitlines() or ["-"])[0]


def _nginx(tools: Tools) -> str:
    if not tools.nginx or "nchan" in tools.missing:
        return "-"
    nginx = _first_line(tools.nginx, "-v").rpartition("/")[2]
    # The module tells its version on a status page alone: it stands beside that page's text.
    found = re.search(rb"\0(\d+\.\d+\.\d+)\0", NCHAN_MODULE.read_bytes())
    return f"{nginx}, {found[1].decode() if found else 'of unknown version'}"


def _fsync_ms(folder: Path) -> float:
    path = folder / "fsync"
    times = []
    with path.open("wb") as file:
        for _ in range(50):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - started) * 1000)
    path.unlink()
    return median(times)
