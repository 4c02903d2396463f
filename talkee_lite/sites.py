"""Rules for sites: which there are, and whose pages may use them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import urlsplit

from .clock import Clock
from .config import WEBHOOK_URL_RULE, Config, is_webhook_url, normal_origin
from .errors import InvalidSite, InvalidSlug, OriginNotAllowed, SiteInSettings, SiteNotFound
from .models import Hold, Site
from .store import sites as store
from .store.database import Database
from .store.sso import CameBySso, end_sso
from .store.writer import Transaction
from .text import clean_name

_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST_ORIGINS = 200
MAX_SLUG = 256
# Longer than any origin of this machine.
_MOST_LOCAL = 64
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]@:]+)(?::[0-9]+)?")
"""A host and perhaps a port, as browsers write them (RFC 3986, section 3.2)."""
_ASCII_SPACE = " \t\n\r\x0b\x0c"


class Sites:
    """Every site, in memory, kept true by every change."""

    def __init__(self, db: Database, config: Config, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._from_settings = config.sites
        self._sites: dict[int, Site] = {}
        self._public_origin = ""
        if config.server.public_url:
            parts = urlsplit(config.server.public_url)
            self._public_origin = normal_origin(f"{parts.scheme}://{parts.netloc}")

    async def start(self) -> None:
        """Make the settings' sites true in the database, and read all."""
        now = self._clock()
        await self._db.write(lambda tx: store.set_sites_from_settings(tx, self._from_settings, now))
        self._sites = {site.id: site for site in await store.list_sites(self._db)}

    def all(self) -> list[Site]:
        """Every site, by id."""
        return [self._sites[site_id] for site_id in sorted(self._sites)]

    def get(self, site_id: int) -> Site:
        """The site. Raises SiteNotFound."""
        site = self._sites.get(site_id)
        if site is None:
            raise SiteNotFound
        return site

    def allows(self, site: Site | None, origin: str) -> bool:
        """Whether a page of `origin` may use `site`; None: any site.

        The server's own pages always may; pages of this machine may while `public_url` is empty,
        so that a local site works without settings. A browser's `null` never may.
        """
        if origin == "null":
            return False
        if self._public_origin:
            if origin == self._public_origin:
                return True
        elif len(origin) <= _MOST_LOCAL and _is_local(origin):
            return True
        if site is not None:
            return _matches(origin, site.origins)
        return any(_matches(origin, other.origins) for other in self._sites.values())

    def check_origin(self, site: Site | None, origin: str | None) -> None:
        """Raise OriginNotAllowed unless a page of `origin` may use `site`; None: no page."""
        if origin is not None and not self.allows(site, origin):
            raise OriginNotAllowed

    def forget_owner(self, user_id: int) -> None:
        """Somebody's sites are nobody's in particular: they have left."""
        for site_id, site in self._sites.items():
            if site.owner_id == user_id:
                self._sites[site_id] = replace(site, owner_id=None)

    def find_by_origin(self, origin: str | None) -> Site | None:
        """The site that lists a page's origin; one that names it before one that has a pattern."""
        if origin is None:
            return None
        listing = [site for site in self.all() if _matches(origin, site.origins)]
        exact = [site for site in listing if origin in site.origins]
        return next(iter(exact or listing), None)

    def is_own(self, origin: str, host: str) -> bool:
        """Whether `origin` is the server's own, which was reached at `host`.

        While `public_url` is empty that is the host, if it is an address or this machine: a name
        may be anybody's who lets it point here.
        """
        if self._public_origin:
            return origin == self._public_origin
        scheme, _, authority = origin.partition("://")
        if scheme not in ("http", "https") or authority != host.lower():
            return False
        found = _AUTHORITY.fullmatch(authority)
        name = found[1].strip("[]") if found else ""
        return name == "localhost" or _is_address(name)

    def normal(self, origins: Iterable[str]) -> tuple[str, ...]:
        """Origins as they are kept. Raises InvalidSite."""
        return _checked_origins(origins)

    async def add(
        self,
        *,
        name: str,
        origins: Iterable[str],
        public_chat: bool,
        owner_id: int | None = None,
    ) -> Site:
        """A new site. Raises InvalidSite."""
        name, wanted, now = _checked_name(name), _checked_origins(origins), self._clock()
        site = await self._db.write(
            lambda tx: store.insert_site(
                tx,
                name=name,
                origins=wanted,
                public_chat=public_chat,
                owner_id=owner_id,
                now=now,
            )
        )
        self._sites[site.id] = site
        return site

    async def set(
        self,
        site_id: int,
        *,
        name: str | None = None,
        origins: Iterable[str] | None = None,
        public_chat: bool | None = None,
        hold_comments: Hold | None = None,
        images: bool | None = None,
        webhook_url: str | None = None,
        webhook_secret: str | None = None,
    ) -> Site:
        """Change a site; effective at once. Raises SiteNotFound, SiteInSettings, InvalidSite.

        Whoever changes the webhook's address tells the dispatcher, by `refresh`.
        """
        site = self.get(site_id)
        if site.from_settings:
            raise SiteInSettings
        new_name = None if name is None else _checked_name(name)
        wanted = None if origins is None else _checked_origins(origins)
        if webhook_url and not is_webhook_url(webhook_url):
            raise InvalidSite(f"The webhook's address {WEBHOOK_URL_RULE}.", field="webhook_url")
        now = self._clock()
        changed = await self._db.write(
            lambda tx: store.update_site(
                tx,
                site_id,
                name=new_name,
                origins=wanted,
                public_chat=public_chat,
                hold_comments=hold_comments,
                images=images,
                webhook_url=webhook_url,
                webhook_secret=webhook_secret,
                now=now,
            )
        )
        self._sites[site_id] = changed
        return changed

    async def set_sso_secret(self, site_id: int, secret: str) -> CameBySso:
        """Give a site another SSO secret, "" for none; who came in by the one before.

        Their sessions and roles are not on record any more; who calls this ends them in memory.
        Raises SiteNotFound or SiteInSettings.
        """
        site = self.get(site_id)
        if site.from_settings:
            raise SiteInSettings
        now = self._clock()

        def job(tx: Transaction) -> tuple[Site, CameBySso]:
            return store.set_sso_secret(tx, site_id, secret, now), end_sso(tx, site_id)

        # Until it is done nobody comes in, so that nobody does by the old one afterwards.
        self._sites[site_id] = replace(site, sso_secret="")
        try:
            changed, came = await self._db.write(job)
        except BaseException:
            self._sites[site_id] = site
            raise
        self._sites[site_id] = changed
        return came


def _checked_name(text: str) -> str:
    name = clean_name(text)
    if not 1 <= len(name) <= 64:
        raise InvalidSite("A site's name has 1 to 64 characters.", field="name")
    return name


def _checked_origins(origins: Iterable[str]) -> tuple[str, ...]:
    try:
        checked = tuple(dict.fromkeys(normal_origin(origin) for origin in origins))
    except ValueError as error:
        raise InvalidSite(f"{error}.", field="origins") from None
    if len(checked) > _MOST_ORIGINS:
        raise InvalidSite(f"A site has at most {_MOST_ORIGINS} origins.", field="origins")
    return checked


def _matches(origin: str, patterns: Iterable[str]) -> bool:
    for pattern in patterns:
        if pattern in (origin, "*"):
            return True
        if "://*." in pattern:
            scheme, _, rest = pattern.partition("://*")
            label = origin.removeprefix(f"{scheme}://").removesuffix(rest)
            if (
                origin == f"{scheme}://{label}{rest}"
                and label
                and not any(c in "./:@" for c in label)
            ):
                return True
    return False


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1024)
def _is_local(origin: str) -> bool:
    try:
        parts = urlsplit(origin)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    rebuilt = f"{parts.scheme}://{parts.netloc}"
    plain = origin == rebuilt and _AUTHORITY.fullmatch(parts.netloc) is not None
    return parts.scheme in ("http", "https") and host in _LOCAL_HOSTS and plain


def checked_slug(text: str, field: str = "slug") -> str:
    """A slug, trimmed of ASCII white space and otherwise taken as it is.

    Raises InvalidSlug, naming the `field`.
    """
    # What is remembered is bounded in number and in length.
    return (_known_slug if len(text) <= MAX_SLUG else _slug)(text, field)


def _slug(text: str, field: str) -> str:
    slug = text.strip(_ASCII_SPACE)
    if not 1 <= len(slug) <= MAX_SLUG or any(map(_unwanted_in_slug, slug)):
        raise InvalidSlug(field=field)
    return slug


_known_slug = lru_cache(maxsize=4096)(_slug)


def _unwanted_in_slug(c: str) -> bool:
    return (
        c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" or c in "\ufffd\ufffe\uffff"
    )
