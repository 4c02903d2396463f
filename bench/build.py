"""What must be there before anything is measured: compiled C, `ws`, nginx with Nchan."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Not resolved: a folder that links to this one measures the package beside it.
ROOT = Path(__file__).absolute().parent.parent
HERE = Path(__file__).absolute().parent
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
NGINX_PLACES = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


class BenchError(Exception):
    """Nothing can be measured, or something went wrong; the message is what the person is told."""


@dataclass(frozen=True)
class Tools:
    """Programs that were built or found; `missing` names what is left out, and why."""

    load: Path
    rooms: Path
    node: str = ""
    ws_modules: Path | None = None
    nginx: str = ""
    isso: str = ""
    """gunicorn, where Isso is installed too."""
    missing: dict[str, str] = field(default_factory=dict)


def prepare(work: Path, *, install: bool) -> Tools:
    """Compile the C programs into `work`, and find what the other references need.

    `ws` is installed with npm only if `install`, and only if it is not there. Raises BenchError
    without a C compiler, or if the compiler refuses.
    """
    work.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    load = _compile(work / "load", HERE / "load.c", HERE / "load_system.h")
    rooms = _compile(work / "rooms", HERE / "references" / "rooms.c")
    node = shutil.which("node") or ""
    modules = _find_ws(work, missing, install=install) if node else None
    if not node:
        missing["ws"] = "node is not installed"
    nginx = shutil.which("nginx") or shutil.which("nginx", path=NGINX_PLACES) or ""
    if not nginx:
        missing["nchan"] = "nginx is not installed"
    elif not NCHAN_MODULE.exists():
        missing["nchan"] = f"nginx's module Nchan is not installed ({NCHAN_MODULE})"
    isso = _find_isso(work, missing, install=install)
    return Tools(load, rooms, node, modules, nginx, isso, missing)


def _compile(program: Path, *sources: Path) -> Path:
    """Compile the first of `sources`, unless `program` is newer than all of them."""
    if program.exists() and program.stat().st_mtime > max(s.stat().st_mtime for s in sources):
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise BenchError(
            "The benchmark's load generator is written in C and needs a C compiler named cc: "
            "apt-get install gcc libc6-dev"
        )
    unfinished = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, "-O2", "-o", str(unfinished), str(sources[0])],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"cc could not compile {sources[0]}:\n{done.stderr}")
    unfinished.replace(program)
    return program


def _find_ws(work: Path, missing: dict[str, str], *, install: bool) -> Path | None:
    """The `node_modules` that hold `ws`: in `work`, or where a full run has put them."""
    for folder in (work / "node", ROOT / ".bench" / "node"):
        if (folder / "node_modules" / "ws" / "package.json").exists():
            return folder / "node_modules"
    if not install:
        missing["ws"] = "ws was not installed yet; a full run installs it"
        return None
    npm = shutil.which("npm")
    if npm is None:
        missing["ws"] = "npm, which installs ws, is not there"
        return None
    folder = work / "node"
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "ws"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        missing["ws"] = "npm could not install ws"
        return None
    return folder / "node_modules"


def _find_isso(work: Path, missing: dict[str, str], *, install: bool) -> str:
    """The gunicorn of an environment with Isso: in `work`, or where a full run has put it."""
    for folder in (work / "isso", ROOT / ".bench" / "isso"):
        if (folder / "bin" / "gunicorn").exists():
            return str(folder / "bin" / "gunicorn")
    if not install:
        missing["isso"] = "Isso was not installed yet; a full run installs it"
        return ""
    folder = work / "isso"
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin" / "pip"), "install", "--quiet", "isso", "gunicorn"],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            shutil.rmtree(folder, ignore_errors=True)
            missing["isso"] = "pip could not install Isso"
            return ""
    return str(folder / "bin" / "gunicorn")


def isso_version(gunicorn: str) -> str:
    """The version of Isso, "" if it is not there."""
    if not gunicorn:
        return ""
    python = Path(gunicorn).with_name("python")
    code = "import importlib.metadata as m; print(m.version('isso'), m.version('gunicorn'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    isso, server = done.stdout.split()
    return f"{isso}, in gunicorn {server}"


def ws_version(modules: Path | None) -> str:
    """The version of `ws`, "" if it is not there."""
    if modules is None:
        return ""
    return str(json.loads((modules / "ws" / "package.json").read_text())["version"])
