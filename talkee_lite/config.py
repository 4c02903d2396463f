"""Settings: what can be set, how it is read, and what is refused.

One TOML file; every key may be left out. `TALKEE_<TABLE>__<KEY>` in the environment wins over
the file, an explicit override (a command-line option) over both. docs/settings.md explains each.
"""

from __future__ import annotations

import binascii
import ipaddress
import logging
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .models import Hold
from .protocol import is_uuid

_log = logging.getLogger(__name__)

FILE_NAME = "talkee.toml"
ENV_PREFIX = "TALKEE_"
FIRST_OWN_SITE_ID = 1000
"""Sites that are made while running have ids from here; those in the settings stay below."""


class ConfigError(Exception):
    """The settings cannot be used; the message is one line that names the place and the cure."""


def _setting(default: Any, help: str, **rule: Any) -> Any:
    """A dataclass field with one line of help and its rule (`low`, `high`, `one_of`)."""
    return field(default=default, metadata={"help": help, **rule})


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the server listens and how the world reaches it."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8080, "port to listen on; 0: any free one, printed", low=0, high=65535)
    public_url: str = _setting(
        "", "the address that readers use, path included; empty: only this machine"
    )
    welcome: bool = _setting(True, "at / a page shows that it works, and how to use it")
    trusted_proxies: tuple[str, ...] = _setting(
        ("127.0.0.0/8", "::1"), "networks of proxies whose X-Forwarded-For counts"
    )
    shutdown_seconds: float = _setting(
        10, "the longest that a stop may take", low=0.1, high=3600, number=True
    )


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """Where everything is kept."""

    url: str = _setting("sqlite:talkee.db", "sqlite: and the file's path")
    path: Path = Path("talkee.db")


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may sign in, and how."""

    jwt_secret: str = _setting(
        "", "signs access tokens, at least 32 bytes; empty: made once and kept beside the database"
    )
    token_days: int = _setting(30, "how long an access token lives", low=1, high=3650)
    guest: bool = _setting(True, "sign in with a typed name alone")
    password: bool = _setting(False, "register, and sign in, with a user name and a password")
    mvm: bool = _setting(False, "sign in with an Ethereum wallet")
    mixin_token: bool = _setting(False, "sign in with a Mixin token")
    reserved_names: tuple[str, ...] = _setting((), "names that no guest may take")


@dataclass(frozen=True, slots=True)
class MixinConfig:
    """Whose tokens `mixin_token` takes, and who knows whether they are good."""

    app_id: str = _setting("", "the Mixin app that tokens must be for: its client id, a UUID")
    api_url: str = _setting("https://api.mixin.one", "where Mixin's API is")
    allow_full: bool = _setting(False, "take tokens that may do everything, of scope FULL")


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """How much one client may ask for. 0 switches off those for connections, posts, sign-ins."""

    connections: int = _setting(10000, "open sockets in all", low=0)
    connections_per_address: int = _setting(100, "open sockets of one address", low=0)
    connections_per_user: int = _setting(20, "open sockets of one person", low=0)
    messages_per_second: float = _setting(
        1.0, "posts of one person, refilled continuously", low=0, number=True
    )
    messages_burst: int = _setting(10, "posts of one person in a row", low=1)
    address_messages_per_second: float = _setting(
        5.0, "posts of one address, refilled continuously", low=0, number=True
    )
    address_messages_burst: int = _setting(50, "posts of one address in a row", low=1)
    logins_per_minute: int = _setting(10, "sign-ins of one address", low=0)
    logins_per_hour: int = _setting(100, "sign-ins of one address", low=0)
    max_data_bytes: int = _setting(4096, "length of one message, decoded", low=1, high=65536)
    max_frame_bytes: int = _setting(
        8192, "length of one WebSocket message from a client", low=256, high=1048576
    )
    max_body_bytes: int = _setting(
        163840, "length of a request body; messages have a lower one", low=1024, high=16777216
    )
    max_unsent_bytes: int = _setting(1048576, "bytes that may wait for one slow reader", low=65536)
    max_unsent_bytes_total: int = _setting(
        67108864, "bytes that may wait for all slow readers together", low=1048576
    )
    paused_seconds: float = _setting(
        10, "how long a reader may take nothing at all", low=0.1, number=True
    )
    auth_seconds: float = _setting(
        10, "time for a socket's first frame", low=0.1, high=300, number=True
    )
    ping_seconds: float = _setting(
        25, "silence after which a socket is asked for a sign of life", low=0.1, number=True
    )
    pong_seconds: float = _setting(10, "time for that sign of life", low=0.1, high=300, number=True)


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """One `[[sites]]` entry: set at each start, read-only elsewhere."""

    id: int = _setting(0, "the site's id", low=1, high=FIRST_OWN_SITE_ID - 1)
    name: str = _setting("My site", "the site's name")
    origins: tuple[str, ...] = _setting((), "origins whose pages may use it")
    public_chat: bool = _setting(False, "chat can be read without signing in")
    sso_secret: str = _setting(
        "", "turns on sign-in with the site's own accounts; its server signs with it"
    )
    webhook_url: str = _setting("", "where to send news of what people write; empty: nowhere")
    webhook_secret: str = _setting(
        "", "signs that news, whsec_ and base64; empty: made from the server's own secret"
    )
    hold_comments: str = _setting(
        Hold.NOBODY.value,
        "whose comments wait for approval: nobody, guests or everybody",
        one_of=tuple(hold.value for hold in Hold),
    )
    images: bool = _setting(False, "comments may show pictures from other servers")


@dataclass(frozen=True, slots=True)
class WebhooksConfig:
    """Where webhooks may lead."""

    allow_private: bool = _setting(
        False, "webhooks may lead to addresses that are not public, this machine's among them"
    )


@dataclass(frozen=True, slots=True)
class CompatConfig:
    """Kindness to old clients."""

    legacy_clients: bool = _setting(
        False, "answer as the last hosted Talkee did where that differs from the protocol"
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is written to standard error."""

    level: str = _setting(
        "info", "debug, info, warning or error", one_of=("debug", "info", "warning", "error")
    )
    format: str = _setting("text", "text or json", one_of=("text", "json"))
    access: bool = _setting(False, "one line for each request")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. `Config()` is what a server without any settings runs on."""

    server: ServerConfig = ServerConfig()
    database: DatabaseConfig = DatabaseConfig()
    auth: AuthConfig = AuthConfig()
    mixin: MixinConfig = MixinConfig()
    limits: LimitsConfig = LimitsConfig()
    webhooks: WebhooksConfig = WebhooksConfig()
    compat: CompatConfig = CompatConfig()
    log: LogConfig = LogConfig()
    sites: tuple[SiteConfig, ...] = ()


TABLES: dict[str, type[Any]] = {
    "server": ServerConfig,
    "database": DatabaseConfig,
    "auth": AuthConfig,
    "mixin": MixinConfig,
    "limits": LimitsConfig,
    "webhooks": WebhooksConfig,
    "compat": CompatConfig,
    "log": LogConfig,
}


def settings_of(table: type[Any]) -> dict[str, Any]:
    """The settable fields of one table class, by key."""
    return {f.name: f for f in fields(table) if "help" in f.metadata}


def load_config(
    path: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Read the settings.

    `path`: the TOML file; None takes `talkee.toml` in the working folder, if there is one.
    `environ`: the environment to look into; None: none. `overrides`: table → key → value, which
    win over both. Relative paths start at the file's folder, else at the working folder.

    Raises ConfigError with one line that names file, table, key and what is allowed.
    """
    source = Path(path) if path is not None else Path(FILE_NAME)
    raw: dict[str, Any] = {}
    where = str(source)
    if path is not None or source.exists():
        raw = _read_toml(source)
    tables = _split(raw, where)
    places = {name: dict.fromkeys(tables[name], where) for name in TABLES}
    for name, value in (environ or {}).items():
        if name.startswith(ENV_PREFIX):
            _take_variable(name, value, tables, places)
    for table, values in (overrides or {}).items():
        tables[table].update(values)
        places[table].update(dict.fromkeys(values, "command line"))

    built = {
        name: _build(cls, tables[name], places[name], f"[{name}]") for name, cls in TABLES.items()
    }
    sites = tuple(
        _build(SiteConfig, _with_id(entry, where), dict.fromkeys(entry, where), "[[sites]]")
        for entry in _site_entries(raw, where)
    )
    folder = source.parent if raw or path is not None else Path()
    config = Config(**built, sites=sites)
    return _checked(config, folder, where, places)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid TOML: {error}") from None


def _split(raw: dict[str, Any], where: str) -> dict[str, dict[str, Any]]:
    for name, value in raw.items():
        if name not in TABLES and name != "sites":
            known = ", ".join([*TABLES, "sites"])
            raise ConfigError(f"{where}: [{name}]: unknown table; the tables are {known}")
        if name != "sites" and not isinstance(value, dict):
            raise ConfigError(f"{where}: {name}: must be a table, [{name}]")
    return {name: dict(raw.get(name, {})) for name in TABLES}


def _site_entries(raw: dict[str, Any], where: str) -> list[dict[str, Any]]:
    entries = raw.get("sites", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{where}: sites: each site is a table of its own, [[sites]]")
    return entries


def _with_id(entry: dict[str, Any], where: str) -> dict[str, Any]:
    if "id" not in entry:
        raise ConfigError(f"{where}: [[sites]]: id is missing; each site must have one")
    return entry


def _take_variable(
    name: str,
    text: str,
    tables: dict[str, dict[str, Any]],
    places: dict[str, dict[str, str]],
) -> None:
    table, _, key = name.removeprefix(ENV_PREFIX).lower().partition("__")
    setting = settings_of(TABLES[table]).get(key) if table in TABLES else None
    if setting is None:
        _log.warning("the environment variable %s names no setting and is ignored", name)
        return
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if setting.type == "str" and not isinstance(value, str):
        value = text
    tables[table][key] = value
    places[table][key] = f"environment variable {name}"


def _build(
    cls: type[Any],
    values: dict[str, Any],
    places: dict[str, str],
    title: str,
) -> Any:
    known = settings_of(cls)
    checked = {}
    for key, value in values.items():
        place = f"{places[key]}: {title} {key}"
        if key not in known:
            raise ConfigError(f"{place}: unknown key; the keys are {', '.join(known)}")
        checked[key] = _typed(value, known[key], place)
    return cls(**checked)


def _typed(value: Any, setting: Any, place: str) -> Any:
    kind = setting.type
    if kind == "str":
        if not isinstance(value, str):
            raise ConfigError(f"{place}: must be a text in quotes")
        choices = setting.metadata.get("one_of")
        if choices and value not in choices:
            raise ConfigError(f"{place}: must be {', '.join(choices[:-1])} or {choices[-1]}")
        return value
    if kind == "bool":
        if isinstance(value, bool):
            return value
        raise ConfigError(f"{place}: must be true or false")
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise ConfigError(f"{place}: must be a list of texts")
    types: tuple[type, ...] = (int, float) if kind == "float" else (int,)
    word = "number" if kind == "float" else "whole number"
    low, high = setting.metadata.get("low"), setting.metadata.get("high")
    allowed = f"a {word}" + (f" from {low}" if low is not None else "")
    allowed += f" to {high}" if high is not None else ""
    if isinstance(value, bool) or not isinstance(value, types):
        raise ConfigError(f"{place}: must be {allowed}")
    # `not (…)` also refuses nan, which TOML can spell.
    if not ((low is None or value >= low) and (high is None or value <= high)):
        raise ConfigError(f"{place}: must be {allowed}")
    if value == float("inf"):
        raise ConfigError(f"{place}: must be finite")
    return value


def _checked(config: Config, folder: Path, where: str, places: dict[str, dict[str, str]]) -> Config:
    """What types cannot say: values that depend on each other or have a form."""
    server, auth = config.server, config.auth

    def at(table: str, key: str) -> str:
        return f"{places[table].get(key, where)}: [{table}] {key}"

    if server.public_url:
        if not is_web_address(server.public_url) or "?" in server.public_url:
            raise ConfigError(
                f"{at('server', 'public_url')}: must be like https://talk.example.com or"
                " https://example.com/talk, without a user, a query or a fragment; letters outside"
                " ASCII in the host are written as punycode"
            )
        config = replace(config, server=replace(server, public_url=server.public_url.rstrip("/")))
    for network in server.trusted_proxies:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise ConfigError(
                f"{at('server', 'trusted_proxies')}: {network!r} must be an address or a network"
                " such as 10.0.0.0/8"
            ) from None
    if auth.jwt_secret and len(auth.jwt_secret.encode()) < 32:
        raise ConfigError(f"{at('auth', 'jwt_secret')}: must have at least 32 bytes, or be empty")
    mixin = config.mixin
    if not is_uuid(mixin.app_id) and (mixin.app_id or auth.mixin_token):
        raise ConfigError(
            f"{at('mixin', 'app_id')}: must be a UUID, the client id of a Mixin app;"
            " [auth] mixin_token needs it"
        )
    if not is_web_address(mixin.api_url) or "?" in mixin.api_url:
        raise ConfigError(
            f"{at('mixin', 'api_url')}: must be like https://api.mixin.one, without a user, a"
            " query or a fragment"
        )
    mixin = replace(mixin, app_id=mixin.app_id.lower(), api_url=mixin.api_url.rstrip("/"))
    config = replace(config, mixin=mixin)
    sites: list[SiteConfig] = []
    seen: set[int] = set()
    for site in config.sites:
        place = f"{where}: [[sites]] id = {site.id}"
        if site.id in seen:
            raise ConfigError(f"{place}: is there twice; each id must be given once")
        seen.add(site.id)
        if not 1 <= len(site.name.strip()) <= 64:
            raise ConfigError(f"{place}: name: must have 1 to 64 characters")
        try:
            origins = tuple(dict.fromkeys(normal_origin(origin) for origin in site.origins))
        except ValueError as error:
            raise ConfigError(f"{place}: origins: {error}") from None
        if site.webhook_url and not is_webhook_url(site.webhook_url):
            raise ConfigError(f"{place}: webhook_url: {WEBHOOK_URL_RULE}")
        if site.webhook_secret and not _is_webhook_secret(site.webhook_secret):
            raise ConfigError(
                f"{place}: webhook_secret: must be whsec_ and 24 to 64 bytes in base64, or empty"
            )
        if site.sso_secret and len(site.sso_secret.encode()) < 32:
            raise ConfigError(f"{place}: sso_secret: must have at least 32 bytes, or be empty")
        if "-----BEGIN" in site.sso_secret or site.sso_secret.startswith(("ssh-", "ecdsa-")):
            raise ConfigError(f"{place}: sso_secret: must be random text, not a key in PEM or SSH")
        if site.sso_secret and site.sso_secret in (other.sso_secret for other in sites):
            raise ConfigError(f"{place}: sso_secret: is another site's too; each needs its own")
        sites.append(replace(site, name=site.name.strip(), origins=origins))
    path = _database_path(config.database.url, folder, at("database", "url"))
    return replace(config, sites=tuple(sites), database=replace(config.database, path=path))


def is_web_address(text: str) -> bool:
    """Whether `text` is the address of a web page or service, without user or fragment."""
    try:
        parts = urlsplit(text)
        normal_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and "*" not in parts.netloc and not parts.fragment


WEBHOOK_URL_RULE = (
    "must start with https:// or http:// and have at most 2,048 characters, without a user, a"
    " fragment, spaces or letters outside ASCII"
)


def is_picture_url(text: str) -> bool:
    """Whether `text` may be the address of somebody's picture, which pages put into their HTML."""
    quoting = set("\"'<>\\^`{|}")
    return text.startswith("https://") and is_webhook_url(text) and quoting.isdisjoint(text)


def is_webhook_url(text: str) -> bool:
    """Whether `text` may be a webhook's address. `WEBHOOK_URL_RULE` says what may."""
    plain = text.isascii() and text.isprintable() and " " not in text
    return plain and len(text) <= 2048 and is_web_address(text)


def _is_webhook_secret(text: str) -> bool:
    try:
        key = binascii.a2b_base64(text.removeprefix("whsec_"), strict_mode=True)
    except (binascii.Error, ValueError):
        return False
    return text.startswith("whsec_") and 24 <= len(key) <= 64


def _database_path(url: str, folder: Path, where: str) -> Path:
    scheme, _, rest = url.partition(":")
    if (
        scheme != "sqlite"
        or not rest
        or rest == ":memory:"
        or Path(rest).name in ("", "..")
        or rest.endswith("/")
    ):
        raise ConfigError(
            f"{where}: must be sqlite: and the path of a file, as in sqlite:talkee.db"
        )
    if rest.startswith("///"):
        rest = rest[2:]
    return folder / rest


_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>(?:\*\.)?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>0|[1-9][0-9]{0,4}))?"
)


def normal_origin(text: str) -> str:
    """An origin as browsers send it, or a pattern: `*`, or one leading `*.` label.

    Capital letters, one trailing slash and a scheme's default port are put right.
    Raises ValueError with a sentence about what is allowed.
    """
    text = text.strip()
    if text == "*":
        return text
    lowered = text.lower().removesuffix("/")
    match = _ORIGIN.fullmatch(lowered) if text.isascii() else None
    if match is None or (match["port"] and int(match["port"]) > 65535):
        raise ValueError(
            f"{text!r} must be an origin such as https://blog.example.com, without a path;"
            " letters outside ASCII are written as punycode; * or https://*.example.com also work"
        )
    if (match["scheme"], match["port"]) in (("http", "80"), ("https", "443")):
        lowered = lowered.rpartition(":")[0]
    return lowered
