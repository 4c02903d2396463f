"""Runs a control verb: asks the running server over its control socket; where none runs, takes the
database's lock and opens the file itself.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from .config import Config
from .errors import Refused
from .store.lock import DatabaseInUse, read_holder

_WAIT_SECONDS = 5.0
SHORT_SECONDS = 60.0
LONG_SECONDS = 3600.0
"""How long a verb may take that reads or writes much."""


class Failed(Exception):
    """A verb did not succeed; the message is what the person is told."""


def ask(config: Config, verb: str, given: dict[str, Any], seconds: float = SHORT_SECONDS) -> Any:
    """Run a control verb: by the running server within `seconds`, else on the database itself."""
    return asyncio.run(_ask_either(config, verb, given, seconds))


async def _ask_either(config: Config, verb: str, given: dict[str, Any], seconds: float) -> Any:
    end = time.monotonic() + _WAIT_SECONDS
    while True:
        answered, result = await _ask_server(config.database.path, verb, given, seconds)
        if answered:
            return result
        try:
            return await _run_here(config, verb, given)
        except DatabaseInUse as error:
            # A server that is just starting or stopping has the lock but no control socket.
            if time.monotonic() > end:
                raise Failed(
                    f"{error}, and it has no control socket (a program that embeds the server"
                    " has none)"
                ) from None
        await asyncio.sleep(0.1)


async def _ask_server(
    database: Path, verb: str, given: dict[str, Any], seconds: float
) -> tuple[bool, Any]:
    import aiohttp

    holder = read_holder(database)
    if holder is None or not holder.socket:
        return False, None
    connector = aiohttp.UnixConnector(holder.socket)
    time_limit = aiohttp.ClientTimeout(total=seconds)
    async with aiohttp.ClientSession(connector=connector, timeout=time_limit) as session:
        try:
            async with session.post(f"http://control/control/{verb}", json=given) as response:
                body = await response.json()
        except TimeoutError:
            raise Failed(f"the server did not answer within {seconds:.0f} s") from None
        except (aiohttp.ClientConnectionError, FileNotFoundError):
            return False, None
    if response.status == 503:
        return False, None
    if response.status != 200:
        raise Failed(body["msg"])
    return True, body["data"]


async def _run_here(config: Config, verb: str, given: dict[str, Any]) -> Any:
    from .app import open_services
    from .control import VERBS

    path = config.database.path.absolute()
    if not path.exists():
        # Most likely the wrong folder; a file made here would only mislead.
        raise Failed(
            f"there is no database at {path}; start the server once, or name its settings with"
            " --config"
        )

    async with open_services(config) as services:
        try:
            return await VERBS[verb](services, given)
        except Refused as refusal:
            raise Failed(refusal.msg) from None
