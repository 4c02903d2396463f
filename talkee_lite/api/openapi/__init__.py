"""`GET /api/openapi.json`: the whole HTTP interface as an OpenAPI 3.1 document.

It is made of the route table, the handlers' docstrings, the table of errors, and what
`operations.py`, `shapes.py` and their neighbours say of each, with the limits and constants that
are checked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from inspect import getdoc
from itertools import groupby
from typing import Any

from ...config import Config
from ...errors import Refused
from ...version import VERSION
from .. import ROUTES
from ..exchange import Handler
from .exports import export_shapes
from .needs import BODY, EVERY, FORM_BODY
from .operations import HEADERS, OPERATIONS, PATH, REPLAYED, TAGS
from .parts import JSON, Answer, Operation, Parameter, Schema, ref
from .shapes import shapes
from .webhooks import notices, webhooks

_ABOUT = (
    "Live chat rooms and threaded comments for one's own site. Every error has the same shape; its"
    " `error` is a stable code. One trailing slash is ignored everywhere, a GET also answers HEAD,"
    " and pages of allowed origins may call all of it (CORS)."
)
_RELATIVE = ".."
"""From `/api/openapi.json`, wherever that is, to what the paths begin at."""


def document(config: Config) -> dict[str, Any]:
    """The document for a server with these settings."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Talkee Lite",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": config.server.public_url or _RELATIVE}],
        "tags": [{"name": name, "description": about} for name, about in TAGS.items()],
        "paths": _paths(),
        "webhooks": webhooks(),
        "components": {
            "schemas": shapes(config) | export_shapes() | notices(),
            "responses": _shared_responses(),
            "headers": {
                name: {"required": name != REPLAYED, "schema": schema}
                for name, schema in HEADERS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `access_token` of a sign-in.",
                }
            },
        },
    }


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    seen: Counter[Handler] = Counter()
    for method, path, handler in ROUTES:
        seen[handler] += 1
        name = handler.__name__ if seen[handler] == 1 else _other_name(handler, path)
        paths.setdefault(path, {})[method.lower()] = {
            "operationId": name,
            "tags": [handler.__module__.rpartition(".")[2]],
            **_operation(path, handler, OPERATIONS[handler]),
        }
    return paths


def _other_name(handler: Handler, path: str) -> str:
    """The name of an operation that stands at a second address too."""
    return "_".join([handler.__name__, "at", *re.findall(r"\w+", re.sub(r"{.*?}", "", path))])


def _operation(path: str, handler: Handler, operation: Operation) -> dict[str, Any]:
    summary, _, rest = (getdoc(handler) or "").partition("\n\n")
    described: dict[str, Any] = {"summary": summary.replace("\n", " ").removesuffix(".")}
    notes = "\n\n".join(part for part in (rest, operation.notes) if part)
    if notes:
        described["description"] = notes
    parameters = [_parameter(parameter) for parameter in _parameters(path, operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_may_be_absent,
            "content": {operation.body_type: {"schema": operation.body}},
        }
    described["responses"] = _responses(path, operation)
    described["security"] = [dict(way) for need in operation.needs for way in need.security]
    return described


def _parameters(path: str, operation: Operation) -> Iterator[Parameter]:
    for name in re.findall("{(.*?)}", path):
        yield Parameter(name, PATH[name], required=True, where="path")
    for need in operation.needs:
        yield from need.parameters
    yield from operation.query


def _parameter(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {"name": parameter.name, "in": parameter.where}
    if parameter.about:
        described["description"] = parameter.about
    if "examples" in parameter.schema:
        # Viewers begin with it.
        described["example"] = parameter.schema["examples"][0]
    return described | {"required": parameter.required, "schema": parameter.schema}


def _responses(path: str, operation: Operation) -> dict[str, Any]:
    answers = {str(operation.answer.status): _success(path, operation.answer)}
    if "ETag" in operation.answer.headers:
        answers["304"] = {
            "description": "It is the one that the client holds.",
            "headers": _headers(["ETag"]),
        }
    if operation.may_move:
        answers["301"] = {
            "description": "The page has moved there.",
            "headers": _headers(["Location"]),
        }
    for status, errors in _refused(operation):
        is_shared = len(errors) == 1 and operation.errors_type == JSON
        shared = {"$ref": f"#/components/responses/{errors[0].code}"}
        refusal = shared if is_shared else _refusal(errors, operation.errors_type)
        answers[str(status)] = refusal
    return answers


def _refused(operation: Operation) -> Iterator[tuple[int, list[type[Refused]]]]:
    """The errors that an operation may end in, by their status."""
    body = BODY if operation.body_type == JSON else FORM_BODY
    needs = [EVERY, *operation.needs, *([body] if operation.body is not None else [])]
    errors = {error for need in needs for error in need.errors} | set(operation.errors)
    in_order = sorted(errors, key=lambda error: (error.status, error.code))
    for status, those in groupby(in_order, key=lambda error: error.status):
        yield status, list(those)


def _success(path: str, answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.about,
        "headers": _headers(answer.headers),
        **(answer.more or {}),
    }
    content_type = answer.types if isinstance(answer.types, str) else answer.types[path]
    if not content_type:
        return described
    media: Schema = {} if answer.schema is None else {"schema": answer.schema}
    return described | {"content": {content_type.partition(";")[0]: media}}


def _shared_responses() -> dict[str, Any]:
    """Those of an error that is the only one of its status somewhere, by its code."""
    return {
        errors[0].code: _refusal(errors)
        for operation in OPERATIONS.values()
        for _, errors in _refused(operation)
        if len(errors) == 1 and operation.errors_type == JSON
    }


def _refusal(errors: list[type[Refused]], media_type: str = JSON) -> dict[str, Any]:
    status = errors[0].status
    headers = {429: ["Retry-After"], 426: ["Upgrade", "Sec-WebSocket-Version"]}
    narrowed = {"code": {"const": status}, "error": {"enum": [error.code for error in errors]}}
    if media_type == JSON:
        media: Schema = {
            "schema": {**ref("Error"), "properties": narrowed},
            "examples": {error.code: {"value": _example(error)} for error in errors},
        }
    else:
        media = {"examples": {error.code: {"value": error.sentence} for error in errors}}
    return {
        "description": " ".join(f"`{error.code}`: {error.sentence}" for error in errors),
        "headers": _headers(headers.get(status, [])),
        "content": {media_type: media},
    }


def _example(error: type[Refused]) -> dict[str, Any]:
    return {
        "code": error.status,
        "error": error.code,
        "msg": error.sentence,
        "request_id": "77d56f-3",
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}
