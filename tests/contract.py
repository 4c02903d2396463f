"""The interface's own description, as tests use it: stricter than it is for the world."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from openapi_schema_validator import OAS31Validator, oas31_format_checker

from talkee_lite.api.openapi import document
from talkee_lite.config import Config

from .harness import JSON

IDS = 3
"""How many comments, replies and people the server has from the start that schemathesis calls:
their ids are 1, 2, 3."""


def operations(description: JSON) -> Iterator[tuple[str, str, JSON]]:
    """Method, path and description of every operation."""
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def body_schema(description: JSON, operation: JSON) -> JSON | None:
    """The shape of an operation's JSON body; the first, where there are several."""
    return next(iter(body_schemas(description, operation)), None)


def body_schemas(description: JSON, operation: JSON) -> list[JSON]:
    """The shapes that an operation's JSON body may have."""
    media = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if media is None:
        return []
    schema = resolved(description, media["schema"])
    return [resolved(description, one) for one in schema.get("oneOf", [schema])]


def resolved(description: JSON, schema: JSON) -> JSON:
    """A schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    found: Any = description
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def make_strict(description: JSON) -> None:
    """Let no answer hold a field that is not described; requests may, since others are ignored."""
    asked = {
        media["schema"]["$ref"].rpartition("/")[2]
        for _, _, operation in operations(description)
        for media in operation.get("requestBody", {}).get("content", {}).values()
        if "$ref" in media["schema"]
    }
    for name, schema in description["components"]["schemas"].items():
        if name not in asked:
            _close(schema)
    for _, _, operation in operations(description):
        for answer in operation["responses"].values():
            for media in answer.get("content", {}).values():
                _close(media.get("schema", {}))


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            _close(part)
    elif isinstance(schema, list):
        for part in schema:
            _close(part)


class Contract:
    """The shapes that answers of a server with these settings must have, field by field."""

    def __init__(self, config: Config) -> None:
        self._document = copy.deepcopy(document(config))
        make_strict(self._document)

    def check(self, shape: str, value: Any) -> None:
        """Raise unless `value` is a `shape`."""
        self._check({"$ref": f"#/components/schemas/{shape}"}, value)

    def check_answer(self, method: str, path: str, answer: Any) -> None:
        """Raise unless a call may be answered so: a success, or an error that is described."""
        status = str(answer["code"]) if "error" in answer else "200"
        (described,) = [
            operation["responses"][status]
            for method_, pattern, operation in operations(self._document)
            if method_ == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path)
        ]
        found = resolved(self._document, described)
        self._check(found["content"]["application/json"]["schema"], answer)

    def _check(self, schema: JSON, value: Any) -> None:
        checked = {**self._document, **schema}
        OAS31Validator(checked, format_checker=oas31_format_checker).validate(value)
