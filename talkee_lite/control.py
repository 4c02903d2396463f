"""What the command line may ask of a server, or of a database that no server has open.

Each verb is a function of the services and of named parameters, and gives plain data. The caller
is trusted: whoever may open the control socket, or the database's file, owns the server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .errors import InvalidBody
from .protocol import site_fields, user_fields

if TYPE_CHECKING:
    from .api.context import Services

Verb = Callable[["Services", dict[str, Any]], Awaitable[Any]]


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise InvalidBody(f"{name} must be a text.", field=name)
    return value


def _texts(given: dict[str, Any], name: str) -> list[str]:
    value = given.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidBody(f"{name} must be a list of texts.", field=name)
    return value


def _optional(given: dict[str, Any], name: str, kind: type) -> Any:
    value = given.get(name)
    if value is not None and type(value) is not kind:
        raise InvalidBody(f"{name} must be of type {kind.__name__}.", field=name)
    return value


async def make_token(services: Services, given: dict[str, Any]) -> Any:
    """A new guest called `name`, and an access token for them."""
    user, session = await services.people.sign_in_guest(_text(given, "name"), "")
    fields = user_fields(user, services.people.kind(user, 0), services.people.public_url)
    return {"access_token": services.tokens.encode(session), "user": fields}


async def list_sites(services: Services, given: dict[str, Any]) -> Any:
    """Every site."""
    return [
        site_fields(site) | {"from_settings": site.from_settings} for site in services.sites.all()
    ]


async def add_site(services: Services, given: dict[str, Any]) -> Any:
    """A new site called `name` for the pages of `origins`."""
    site = await services.sites.add(
        name=_text(given, "name"),
        origins=_texts(given, "origins"),
        public_chat=bool(_optional(given, "public_chat", bool)),
    )
    return site_fields(site)


async def set_site(services: Services, given: dict[str, Any]) -> Any:
    """Change site `id`: `name`, `origins` or `add_origins` and `remove_origins`, `public_chat`."""
    site_id = _optional(given, "id", int)
    site = services.sites.get(site_id if site_id is not None else 0)
    origins = list(site.origins)
    if given.get("origins") is not None:
        origins = _texts(given, "origins")
    removed = set(services.sites.normal(_texts(given, "remove_origins")))
    origins = [origin for origin in origins if origin not in removed]
    origins += _texts(given, "add_origins")
    changed = await services.sites.set(
        site.id,
        name=_optional(given, "name", str),
        origins=origins,
        public_chat=_optional(given, "public_chat", bool),
    )
    return site_fields(changed)


VERBS: dict[str, Verb] = {
    "token": make_token,
    "site-list": list_sites,
    "site-add": add_site,
    "site-set": set_site,
}
