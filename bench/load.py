"""Running the load generator (load.c) against a server, and reading what it found."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import seed
from .build import BenchError
from .servers import Server
from .setting import Bench, on_core

Figures = dict[str, float]

AUTH = '{"type":"auth","token":"{token}"}'
AUTH_WITH_EVENTS = '{"type":"auth","token":"{token}","events":true}'
COMMENTS_PATH = "/api/comments"
COMMENT = f'{{"content":"Comment: {{id}} {seed.TEXT[:54]}"}}'
"""100 characters; the number stands where the load generator looks for it."""
COMMENT_MARK = '"content":"Comment'
BODY = f'{{"message_id":"{{id}}","category":"text","data":"{seed.DATA}"}}'

_SPARE_SECONDS = 180.0


@dataclass(frozen=True)
class Load:
    """What the load generator does; its source explains the terms."""

    sockets: int = 0
    rooms: int = 1
    publishers: int = 0
    rate: float = 0.0
    """Messages a second, of all publishers together; 0: back to back."""
    events: bool = False
    """For the measured server: sign in with events, and wait for `ready`."""
    anonymous: bool = False
    """For the measured server: send no first frame, so that nobody signs in."""
    constant: bool = False
    """For aiohttp: ask its constant answer, not its rooms."""
    method: str = "POST"
    comments: bool = False
    """About comments below pages, not about messages."""
    signed_in: bool = True
    """Whether requests carry a token."""
    place: str = ""
    """What tells its rooms from those of another load on the same server."""
    seconds: float | None = None
    """How long to post; None: as long as the run measures."""

    @property
    def slug(self) -> str:
        """Its rooms' slug; the load generator puts the number in."""
        return seed.slug_of(self.place + "{room}")


def apply(
    bench: Bench, server: Server, load: Load, while_open: Callable[[], None] | None = None
) -> Figures:
    """Put `load` on `server`; what the load generator printed, and figures made of it.

    `while_open` is called when all sockets are open and nothing was posted yet.
    Raises BenchError if the load generator fails, or if not all sockets could be opened.
    """
    command = [str(bench.tools.load), *(f"{k}={v}" for k, v in _arguments(bench, server, load))]
    if while_open is not None:
        command.append("hold=1")
    with on_core(bench.cores[1] if bench.cores else None):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        if while_open is not None:
            lines.append(process.stdout.readline())
            while_open()
        rest, errors = process.communicate("\n", bench.seconds + bench.warmup + _SPARE_SECONDS)
        lines += rest.splitlines()
    except subprocess.TimeoutExpired:
        raise BenchError(f"the load generator did not end with {server.kind.name}") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    found: Figures = {}
    for line in lines:
        found.update(json.loads(line or "{}"))
    if process.returncode or found.get("opened") != load.sockets:
        raise BenchError(
            f"the load generator could not open all sockets to {server.kind.name}: {found}\n"
            f"{errors}\n{server.folder / 'log'} may say more"
        )
    return found | _derived(found)


def _derived(found: Figures) -> Figures:
    """Rates and shares, from counts and times."""
    made: Figures = {}
    if found["opened"]:
        made["open_rate"] = found["opened"] / found["open_seconds"]
        made["other_share"] = max(0.0, found["open_other_cpu"]) / found["open_seconds"]
    if "seconds" in found:
        seconds, deliveries = found["seconds"], found["deliveries"]
        made["delivery_rate"] = deliveries / seconds
        made["post_rate"] = found["posts"] / seconds
        made["cpu_us"] = found["cpu"] / deliveries * 1e6 if deliveries else 0.0
        made["post_cpu_us"] = found["cpu"] / found["posts"] * 1e6 if found["posts"] else 0.0
        made["load_share"] = found["load_cpu"] / seconds
        made["other_share"] = max(0.0, found["other_cpu"]) / seconds
        made["server_share"] = found["cpu"] / seconds
        made["p50_ms"] = found["p50_us"] / 1000
        made["p99_ms"] = found["p99_us"] / 1000
    return made


def _arguments(bench: Bench, server: Server, load: Load) -> list[tuple[str, Any]]:
    name = server.kind.name
    signs_in = name == "ours" and not load.anonymous
    by_socket = name == "websockets"
    room = f"site_id=1&slug={load.slug}"
    socket_path, publish_path = f"/ws?{room}", f"/publish?{room}"
    return [
        ("port", server.port),
        ("headers", server.headers),
        *([("tokens", bench.tokens)] if load.signed_in else []),
        ("pids", ",".join(map(str, server.pids))),
        ("sockets", load.sockets),
        ("rooms", load.rooms),
        ("publishers", load.publishers),
        ("rate", load.rate),
        ("seconds", bench.seconds if load.seconds is None else load.seconds),
        ("warmup", bench.warmup),
        ("spin", int(bench.cores is not None)),
        ("method", load.method),
        ("ws_path", socket_path),
        ("first", (AUTH_WITH_EVENTS if load.events else AUTH) if signs_in else ""),
        ("ready", int(signs_in and load.events)),
        ("publish", "ws" if by_socket else "http"),
        ("publish_path", publish_path),
        ("post_path", _path_for(name, load)),
        ("body", COMMENT if load.comments else body_for(name, load.slug, bench.frame_bytes)),
        ("mark", COMMENT_MARK if load.comments else "message_id"),
    ]


def _path_for(name: str, load: Load) -> str:
    """Where a server takes requests."""
    if load.constant:
        return "/constant"
    if name == "isso":
        return f"/?uri={load.slug}"
    return f"{COMMENTS_PATH if load.comments else '/ws/messages'}?site_id=1&slug={load.slug}"


def body_for(name: str, slug: str, frame_bytes: int) -> str:
    """What publishers send to a server: a message, or for Nchan the whole of what readers get."""
    if name == "websockets":
        return BODY[:-1] + f',"slug":"{slug}"}}'
    if name == "nchan":
        # A frame of more than 125 bytes has a header of 4; {id} becomes 36 characters.
        bare = BODY[:-1] + ',"pad":""}'
        pad = frame_bytes - 4 - len(bare.replace("{id}", "i" * 36))
        return bare[:-2] + " " * max(0, pad) + '"}'
    return BODY
