"""Files that any page may load, from memory, with a tag for who has them already."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from importlib.resources.abc import Traversable

from .exchange import Answer, Request

_FOR_EVERY_PAGE = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json; charset=utf-8",
}
_WEIGHTED = re.compile(
    r"([!#$%&'*+.^_`|~0-9a-z-]+)[ \t]*(?:;[ \t]*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
)


class File:
    """What is sent, and its entity tag (RFC 9110, section 8.8.3), which follows from its bytes."""

    __slots__ = ("_gzip", "body", "content_type", "etag")

    def __init__(self, body: bytes, content_type: str, gzip: bytes | None = None) -> None:
        self.body = body
        self.content_type = content_type
        self.etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        self._gzip = gzip

    def gzip(self) -> bytes:
        """The body as gzip (RFC 1952), made when somebody first asks for it."""
        if self._gzip is None:
            self._gzip = plain_gzip(self.body)
        return self._gzip


def plain_gzip(body: bytes) -> bytes:
    """As gzip, fast; its header has no name and no time, so that it is the same in each process."""
    return zlib.compress(body, 9, 31)


def dense_gzip(body: bytes) -> bytes:
    """As gzip that took some time to find, some 3 % smaller, where the package is installed."""
    try:
        from zopfli.gzip import compress
    except ImportError:
        return plain_gzip(body)
    return bytes(compress(body))


class Folder:
    """The files of one folder, each read when somebody first asks for it."""

    def __init__(self, folder: Traversable) -> None:
        self._folder = folder
        self._names: frozenset[str] | None = None
        self._files: dict[str, File] = {}

    def names(self) -> frozenset[str]:
        """What there is that can be sent. Nothing else is looked for, whatever a path says."""
        if self._names is None:
            there = self._folder.iterdir() if self._folder.is_dir() else ()
            self._names = frozenset(
                file.name for file in there if _ending(file.name) in _TYPES and file.is_file()
            )
        return self._names

    def find(self, name: str) -> File | None:
        """One of them, if it is there."""
        file = self._files.get(name)
        if file is None and name in self.names():
            body = self._folder.joinpath(name).read_bytes()
            file = self._files[name] = File(body, _TYPES[_ending(name)])
        return file

    def get(self, name: str) -> File:
        """One of them, which is there."""
        file = self.find(name)
        assert file is not None, name
        return file


def _ending(name: str) -> str:
    return name.rpartition(".")[2]


def content_type_of(name: str) -> str:
    """What a file is, by its name."""
    return _TYPES[_ending(name)]


def answer_file(
    request: Request, file: File, headers: Mapping[str, str] = _FOR_EVERY_PAGE
) -> Answer:
    """The file as it is."""
    return _answer(request, file.body, file.etag, _fields(file, headers))


def answer_packed(
    request: Request, file: File, headers: Mapping[str, str] = _FOR_EVERY_PAGE
) -> Answer:
    """The file, as gzip for who takes it."""
    fields = _fields(file, headers) | {"Vary": "Accept-Encoding"}
    if not takes_gzip(request.all_of("accept-encoding")):
        return _answer(request, file.body, file.etag, fields)
    # Other bytes: another tag (RFC 9110, section 8.8.3.3).
    etag = f'{file.etag[:-1]}-gzip"'
    return _answer(request, file.gzip(), etag, fields, {"Content-Encoding": "gzip"})


def _fields(file: File, headers: Mapping[str, str]) -> dict[str, str]:
    return {
        "Content-Type": file.content_type,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }


def _answer(
    request: Request,
    body: bytes,
    etag: str,
    headers: dict[str, str],
    coding: Mapping[str, str] | None = None,
) -> Answer:
    """The bytes, or 304 for who holds them already."""
    headers["ETag"] = etag
    if _is_known(request.all_of("if-none-match"), etag):
        return Answer(status=304, headers=headers)
    return Answer(body, headers=headers | dict(coding or {}))


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether a client holds this version already (RFC 9110, section 13.1.2)."""
    known = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in ("*", etag) for tag in known)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether a client takes gzip, and likes it no less than the bytes as they are.

    RFC 9110, section 12.5.3: a weight of 0 means no, and `*` stands for what is not named. Without
    the header anything would be allowed, but who sends none is no browser: it gets plain bytes.
    """
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        match = _WEIGHTED.fullmatch(item.strip())
        if match is not None:
            weights[match[1]] = float(match[2] or 1)
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
