"""What tests of documents share: asking as a browser does, and comments in numbers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from lxml import html as lxml_html

from talkee_lite.config import Config
from talkee_lite.models import Caller, Comment, Reply, RoomKey

from .harness import Server, config_in, running

ROOM = RoomKey(1, "/posts/1")
PAGE = "/t/1?slug=/posts/1"


class Got(NamedTuple):
    """An answer."""

    status: int
    headers: Any
    text: str
    url: str

    @property
    def tree(self) -> Any:
        """The document, parsed."""
        return lxml_html.document_fromstring(self.text.encode())

    def find(self, selector: str) -> Any:
        """The one element that an XPath finds."""
        (found,) = self.tree.xpath(selector)
        return found

    @property
    def anchors(self) -> list[str]:
        """The ids of comments and replies, in their order."""
        return [str(found) for found in self.tree.xpath("//article/@id")]

    def link(self, rel: str, where: str = "//head/link") -> str:
        """The address that the document links to as `rel`; "" for none."""
        found = self.tree.xpath(f"{where}[@rel='{rel}']/@href")
        return urljoin(self.url, str(found[0])) if found else ""

    @property
    def token(self) -> str:
        """The token of the form."""
        return str(self.find("//form/input[@name='token']/@value"))

    @property
    def typed(self) -> tuple[str, str]:
        """Name and text that stand in the form."""
        name = self.find("//form//input[@name='name']/@value")
        # The parser leaves the first line feed, which browsers drop.
        return str(name), str(self.find("//form//textarea").text or "").removeprefix("\n")

    @property
    def error(self) -> str:
        """The sentence above the form."""
        return str(self.find("//form/p[@class='error']").text)


async def get(server: Server, path: str, method: str = "GET", **headers: str) -> Got:
    """Ask for a document; `headers` with _ for -."""
    url = urljoin(server.url, path)
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.session.request(
        method, url, headers=fields, allow_redirects=False
    ) as response:
        text = (await response.read()).decode()
        return Got(response.status, response.headers, text, url)


async def send(
    server: Server,
    path: str,
    fields: dict[str, str],
    *,
    origin: str | None = "",
    **headers: str,
) -> Got:
    """Send a form; `origin` "" is the server's own, None none."""
    given = {"Content-Type": "application/x-www-form-urlencoded"}
    if origin is not None:
        given["Origin"] = origin or server.url
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = urljoin(server.url, path)
    async with server.session.post(
        url, data=urlencode(fields, errors="surrogatepass"), headers=given, allow_redirects=False
    ) as response:
        text = (await response.read()).decode()
        assert "Set-Cookie" not in response.headers
        return Got(response.status, response.headers, text, url)


async def fill(server: Server, path: str, content: str, name: str = "Cleo", **options: Any) -> Got:
    """Open a page and send its form."""
    token = (await get(server, path)).token
    fields = {"token": token, "name": name, "content": content}
    return await send(server, path, fields, **options)


def place(got: Got) -> str:
    """Where an answer sends to, without the host."""
    where = urlsplit(urljoin(got.url, str(got.headers["Location"])))
    return where._replace(scheme="", netloc="").geturl()


async def person(server: Server, name: str = "Ann") -> Caller:
    """A new guest, as the rules know one."""
    return Caller(*await server.services.sign_ins.guest(name))


async def comment(
    server: Server, caller: Caller, content: str = "Hello!", room: RoomKey = ROOM
) -> Comment:
    """A new comment."""
    made, repeated = await server.services.comments.post(caller, room, content, "x")
    assert not repeated
    return made


async def reply(
    server: Server,
    caller: Caller,
    comment_id: int,
    content: str = "Hi!",
    to: int = 0,
    room: RoomKey = ROOM,
) -> Reply:
    """A new reply."""
    made, repeated = await server.services.comments.reply(
        caller, room, comment_id, content, to, "x"
    )
    assert not repeated
    return made


async def comments(server: Server, count: int, room: RoomKey = ROOM) -> list[Comment]:
    """So many comments of one person, oldest first."""
    caller = await person(server)
    return [await comment(server, caller, f"comment {n}", room) for n in range(count)]


async def execute(server: Server, sql: str, **given: Any) -> None:
    """Write into the database what no call of ours would."""
    await server.services.db.write(lambda tx: tx.execute(sql, given))


async def count(server: Server, table: str) -> int:
    """Rows of a table."""
    row = await server.services.db.fetch_one(f"select count(*) as n from {table}", {})
    assert row is not None
    return int(row["n"])


@asynccontextmanager
async def serving(folder: Path, **tables: Any) -> AsyncIterator[Server]:
    """A server with these settings."""
    config: Config = config_in(folder, **tables)
    async with running(config) as server:
        yield server
