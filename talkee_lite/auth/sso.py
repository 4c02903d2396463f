"""Sign-in with an account of the site itself: its server signs a token about who reads the page."""

from __future__ import annotations

from typing import Any

import jwt

from ..clock import SECOND
from ..config import is_picture_url
from ..errors import Forbidden, InvalidBody, InvalidSiteId, MethodNotOffered, SignInFailed
from ..models import Scope, Site, UserKind
from ..protocol import parse_object, take_text
from ..signing_in import Grant, Once, Proof, SignedIn
from . import Attempt, Parts

_ALGORITHM = "HS256"
_LONGEST = 600 * SECOND
"""How far ahead `exp` may be."""
_LEEWAY = 60 * SECOND
"""By how much the site's clock may be fast."""
_MOST_CHARACTERS = 255
_ROLES = {"member": None, "moderator": UserKind.MODERATOR}

Claims = dict[str, Any]


class Sso:
    """Lets in whom a site's token is about, as (site, `sub`)."""

    def __init__(self, parts: Parts) -> None:
        self._sign_ins = parts.sign_ins
        self._sites = parts.sites
        self._naming = parts.people.naming
        self._audience = parts.people.public_url
        self._clock = parts.clock

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """Whoever the token is about.

        Raises InvalidSiteId, MethodNotOffered, Forbidden, InvalidBody or SignInFailed.
        """
        if attempt.site is None:
            raise InvalidSiteId("site_id must name the site whose account it is.", field="site_id")
        # Read anew: the secret may have changed since the request came.
        site = self._sites.get(attempt.site.id)
        if not site.sso_secret:
            raise MethodNotOffered("This site has no SSO secret.", field="method")
        if attempt.entry.scope is Scope.ADMIN:
            # Else whoever has a site's secret had the server.
            raise Forbidden("Accounts of a site's own never administer.")
        claims = _verified(take_text(attempt.body, "token"), site.sso_secret)
        return await self._sign_ins.admit(self._proof(site.id, claims), attempt.entry)

    def describe(self, site: Site | None) -> dict[str, Any] | None:
        """The site's own server has all that is needed."""
        return {} if site is not None and site.sso_secret else None

    def _proof(self, site_id: int, claims: Claims) -> Proof:
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise SignInFailed(f"The token's aud must be {self._audience}")
        expires_at = _checked_times(claims, self._clock())
        subject, token_id = _text(claims, "sub"), _text(claims, "jti")
        name, role = claims.get("name"), claims.get("role", "member")
        if not isinstance(name, str):
            raise SignInFailed("The token's name must be a text.")
        if not isinstance(role, str) or role not in _ROLES:
            raise SignInFailed('The token\'s role must be "moderator" or "member", or be left out.')
        return Proof(
            "sso",
            f"{site_id}:{subject}",
            self._naming.fit(name, "Member"),
            avatar_url=_avatar(claims),
            once=Once(f"sso {site_id} {token_id}", expires_at),
            grant=Grant(site_id, _ROLES[role]),
        )


def _verified(token: str, secret: str) -> Claims:
    """What a token says that was signed with `secret`; null is as good as left out.

    The library checks the signature (RFC 7515) alone: it knows of no clock but the machine's.
    """
    try:
        payload = jwt.PyJWS().decode(token, secret, algorithms=[_ALGORITHM])
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise SignInFailed(
            f"The token is not a JWT that was signed with this site's SSO secret by {_ALGORITHM}."
        ) from None
    try:
        claims = parse_object(payload)
    except InvalidBody:
        raise SignInFailed("The token's claims are not a JSON object.") from None
    return {name: value for name, value in claims.items() if value is not None}


def _checked_times(claims: Claims, now: int) -> int:
    """When a token expires that counts now (RFC 7519, section 4.1). Raises SignInFailed."""
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise SignInFailed("The token must have an exp, at most 10 minutes ahead.")
    if expires_at <= now:
        raise SignInFailed("The token has expired: its exp is past.")
    if expires_at > now + _LONGEST:
        raise SignInFailed("The token's exp must be at most 10 minutes ahead.")
    for name in ("nbf", "iat"):
        begins_at = _time(claims, name)
        if begins_at is not None and begins_at > now + _LEEWAY:
            raise SignInFailed(f"The token's {name} is in the future; are the clocks right?")
    return expires_at


def _time(claims: Claims, name: str) -> int | None:
    """A time in microseconds, None if there is none. Raises SignInFailed."""
    seconds = claims.get(name)
    if seconds is None:
        return None
    # More is no time in seconds: it may be one in milliseconds.
    if type(seconds) not in (int, float) or not abs(seconds) < 1e12:
        raise SignInFailed(f"The token's {name} must be a number of seconds since 1970.")
    return int(seconds * SECOND)


def _text(claims: Claims, name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= _MOST_CHARACTERS:
        raise SignInFailed(
            f"The token's {name} must be a text of 1 to {_MOST_CHARACTERS} characters."
        )
    return value


def _avatar(claims: Claims) -> str:
    """The address of a picture, "" for none; nobody stays out because of a bad one."""
    address = claims.get("avatar")
    return address if isinstance(address, str) and is_picture_url(address) else ""


make = Sso
