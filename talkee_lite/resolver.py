"""Looking up the names of other servers."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult


class Resolver(AbstractResolver):
    """Looks names up, each in a thread of its own.

    A name server that keeps silent holds up neither other look-ups nor the end of the process.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises OSError."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[Any]] = loop.create_future()

        def settle(infos: list[Any], error: OSError | None) -> None:
            if not found.done():
                if error is None:
                    found.set_result(infos)
                else:
                    found.set_exception(error)

        def look_up() -> None:
            infos: list[Any] = []
            failure: OSError | None = None
            try:
                infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
            except OSError as error:
                failure = error
            except UnicodeError:
                failure = OSError("the name is not valid")
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, infos, failure)

        threading.Thread(target=look_up, name="talkee-lookup", daemon=True).start()
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=port,
                family=family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for family, _, protocol, _, address in await found
        ]

    async def close(self) -> None:
        """Nothing is kept."""
