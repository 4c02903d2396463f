"""What browsers load of `web/`: joined and made small once, when somebody first asks for any."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from importlib.resources import files

from .files import File, content_type_of, dense_gzip

FILES = (
    *("talkee.js", "thread.css", "welcome.css", "welcome.js"),
    *("setup.js", "setup.css", "admin.js", "admin.css"),
)
"""What pages load from beside them."""


class Bundle:
    """Files that are made together, of modules and of what is sent by itself."""

    def __init__(
        self, parts: Mapping[str, Sequence[str]], styles: Sequence[str], own: Sequence[str] = ()
    ) -> None:
        self._parts = parts
        self._styles = styles
        self._own = own
        self._made: dict[str, File] | None = None
        self._making: asyncio.Future[dict[str, File]] | None = None
        # A process may have several loops, one after the other or side by side.
        self._lock = threading.Lock()

    async def find(self, name: str) -> File | None:
        """A file by its address, such as `talkee.js` or `widget/chat.js`, if it is there."""
        if self._made is None:
            loop = asyncio.get_running_loop()
            making = self._making
            if making is None or making.done() or making.get_loop() is not loop:
                making = self._making = loop.run_in_executor(None, self.make)
            # Who goes away ends it for nobody else.
            await asyncio.shield(making)
            self._making = None
        assert self._made is not None
        return self._made.get(name)

    def make(self) -> dict[str, File]:
        """All of them; not for the event loop."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> dict[str, File]:
        # Loaded when somebody asks: an idle server needs none of it.
        from ..minifying import minified
        from ..widget_parts import join

        web = files("talkee_lite") / "web"
        widget = web / "widget"
        modules = {
            name: (widget / name).read_text("utf-8")
            for names in self._parts.values()
            for name in names
        }
        texts = {name: (web / name).read_text("utf-8") for name in FILES}
        texts |= {f"widget/{name}": (widget / name).read_text("utf-8") for name in self._styles}
        parts = join(modules, self._parts, self._own)
        texts |= {f"widget/{name}": text for name, text in parts.items()}
        return {
            name: File(text.encode(), content_type_of(name), dense_gzip(text.encode()))
            for name, text in minified(texts).items()
        }
