"""The words that operations are described with: what one needs, takes, answers and refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import Refused

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12)."""

JSON = "application/json"
HTML = "text/html"
FORM = "application/x-www-form-urlencoded"


# Schemas.


def ref(name: str) -> Schema:
    """The shape of this name, of `shapes.py`."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(least: int = 0, most: int | None = None, **more: Any) -> Schema:
    """A text of `least` to `most` characters."""
    limits = {"minLength": least} if least else {}
    return {"type": "string", **limits, **({"maxLength": most} if most else {}), **more}


def number(least: int, most: int | None = None, **more: Any) -> Schema:
    """A whole number from `least` to `most`."""
    limits = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": "integer", **limits, **more}


def array(items: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, **more}


def record(*optional: str, **fields: Schema) -> Schema:
    """An object with these fields; those named in `optional` may be absent."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "required": required, "properties": fields}


NOTHING: Schema = {"type": "null"}


# Operations.


@dataclass(frozen=True, slots=True)
class Parameter:
    """What may stand in the query, or in the header or path where `where` says so."""

    name: str
    schema: Schema
    about: str = ""
    required: bool = False
    where: str = "query"


@dataclass(frozen=True, slots=True)
class Need:
    """What several operations have in common, and the errors that come of it."""

    errors: tuple[type[Refused], ...]
    parameters: tuple[Parameter, ...] = ()
    security: tuple[Mapping[str, list[str]], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a success is answered with.

    `headers` are named in `HEADERS`; `types` is the content type, "" for none, or tells it by the
    route's path.
    """

    schema: Schema | None
    types: str | Mapping[str, str] = JSON
    status: int = 200
    headers: tuple[str, ...] = ()
    about: str = "Success."
    more: Mapping[str, Any] | None = None
    """Further members of the response object."""


def data(schema: Schema, *headers: str) -> Answer:
    """JSON in the envelope `{"ts", "data"}`."""
    return Answer(record(ts=ref("Milliseconds"), data=schema), headers=headers)


def bare(schema: Schema, *headers: str) -> Answer:
    """JSON without the envelope."""
    return Answer(schema, headers=headers)


def file(types: str | Mapping[str, str], *headers: str) -> Answer:
    """What is not for programs: its bytes, of that type."""
    return Answer(None, types, headers=headers, about="The file.")


@dataclass(frozen=True, slots=True)
class Operation:
    """One handler's part of the interface. What it is for stands in the handler's docstring.

    `errors` are those that neither its `needs` nor its having a `body` bring with them.
    """

    answer: Answer
    needs: tuple[Need, ...] = ()
    query: tuple[Parameter, ...] = ()
    body: Schema | None = None
    body_type: str = JSON
    body_may_be_absent: bool = False
    errors: tuple[type[Refused], ...] = ()
    errors_type: str = JSON
    """What errors are answered as."""
    may_move: bool = False
    """Whether it is 301 for a page that is elsewhere now."""
    notes: str = ""
