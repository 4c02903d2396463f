"""Sign-in with an access token of Mixin, which Mixin itself says is good."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

import aiohttp
import jwt

from ..clock import SECOND
from ..config import is_picture_url
from ..errors import InvalidBody, SignInFailed, Unavailable, UpstreamFailed
from ..models import Site
from ..protocol import is_uuid, parse_object, take_text
from ..resolver import Resolver
from ..signing_in import Proof, SignedIn
from ..version import VERSION
from . import Attempt, Parts

_log = logging.getLogger(__name__)

SECONDS = 5.0
"""For a whole exchange with Mixin."""
MOST_CALLS = 32
"""Exchanges at once."""
MOST_TOKEN = 4096
_MOST_ANSWER = 64 * 1024
# What may stand in a header (RFC 7515, section 3.1).
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NUMBER = re.compile("[0-9]{1,20}")
_REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_REFUSED = "Mixin does not take this token."


class MixinToken:
    """Lets in whom Mixin names as the owner of a token that was given to our app."""

    def __init__(self, parts: Parts) -> None:
        self._config = parts.config.mixin
        self._sign_ins = parts.sign_ins
        self._naming = parts.people.naming
        self._clock = parts.clock
        self._exits = parts.exits
        self._session: aiohttp.ClientSession | None = None
        self._calls = 0

    async def sign_in(self, attempt: Attempt) -> SignedIn:
        """The owner of `mixin_token`.

        Raises InvalidBody, SignInFailed, UpstreamFailed or Unavailable.
        """
        token = take_text(attempt.body, "mixin_token")
        self._check(_claims(token))
        return await self._sign_ins.admit(self._proof(await self._ask(token)), attempt.entry)

    def describe(self, site: Site | None) -> dict[str, Any]:
        """The app that tokens must be for."""
        return {"app_id": self._config.app_id}

    def _check(self, claims: dict[str, Any]) -> None:
        """Raise SignInFailed for a token that is not for us, whatever Mixin says of it.

        Nothing here proves that the claims are true; that they are is for Mixin to say.
        """
        expires = claims.get("exp")
        if type(expires) is not int:
            raise SignInFailed("The token names no end (exp).")
        if expires * SECOND <= self._clock():
            raise SignInFailed("The token has expired.")
        # Tokens name the app as `iss`, beside an `aid` that is the authorization's; others, and
        # older ones, as `aid` or `uid`. The first counts: the app may choose what Mixin ignores.
        app = next((claims[name] for name in ("iss", "aid", "uid") if name in claims), None)
        if not isinstance(app, str) or app.lower() != self._config.app_id:
            raise SignInFailed("The token was given to another app.")
        scopes = claims.get("scp", "")
        if not isinstance(scopes, str):
            raise SignInFailed("The token's scopes (scp) are not a text.")
        if "FULL" in scopes.split() and not self._config.allow_full:
            raise SignInFailed("The token may do everything (scope FULL); send one that may less.")

    async def _ask(self, token: str) -> dict[str, Any]:
        """Mixin's answer about a token. Raises SignInFailed, UpstreamFailed or Unavailable."""
        if self._calls >= MOST_CALLS:
            raise Unavailable("Too many sign in at once; try again in a moment.", retry_after=2)
        self._calls += 1
        try:
            return await self._call(token)
        except TimeoutError:
            raise _failed(f"no answer within {SECONDS:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failed(type(error).__name__) from None
        finally:
            self._calls -= 1

    async def _call(self, token: str) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=Resolver()),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity", "User-Agent": f"talkee-lite/{VERSION}"},
            )
            self._exits.push_async_callback(self._session.close)
        async with self._session.get(
            f"{self._config.api_url}/me",
            headers={"Authorization": f"Bearer {token}"},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=SECONDS),
        ) as response:
            if response.status in _REFUSALS:
                raise SignInFailed(_REFUSED)
            if not 200 <= response.status < 300:
                raise _failed(f"status {response.status}")
            raw = bytearray()
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > _MOST_ANSWER:
                    response.close()
                    raise _failed("the answer is too long")
        try:
            return parse_object(bytes(raw))
        except InvalidBody:
            raise _failed("the answer is not JSON") from None

    def _proof(self, said: dict[str, Any]) -> Proof:
        """What Mixin says of somebody. Raises SignInFailed or UpstreamFailed."""
        error, about = said.get("error"), said.get("data")
        if isinstance(error, dict):
            if error.get("code") in _REFUSALS:
                raise SignInFailed(_REFUSED)
            raise _failed("an error of its own")
        if not isinstance(about, dict):
            raise _failed("the answer has no data")
        user_id, number = about.get("user_id"), about.get("identity_number")
        name, avatar_url = about.get("full_name"), about.get("avatar_url")
        if not (isinstance(user_id, str) and is_uuid(user_id)):
            raise _failed("user_id is not a UUID")
        if not (isinstance(number, str) and _NUMBER.fullmatch(number)):
            raise _failed("identity_number is not a number")
        if not (isinstance(name, str) and isinstance(avatar_url, str)):
            raise _failed("full_name or avatar_url is missing")
        return Proof(
            "mixin",
            user_id.lower(),
            self._naming.fit(name, otherwise=f"Mixin {number}"),
            avatar_url=avatar_url if is_picture_url(avatar_url) else "",
            mixin_user_id=user_id.lower(),
            mixin_identity_number=number,
        )


make = MixinToken


def _claims(token: str) -> dict[str, Any]:
    """What a token says, unproved. Raises SignInFailed."""
    if len(token) > MOST_TOKEN or not _TOKEN.fullmatch(token):
        raise SignInFailed("mixin_token is not a JWT.")
    try:
        claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        raise SignInFailed("mixin_token is not a JWT.") from None
    return claims


def _failed(reason: str) -> UpstreamFailed:
    """What is answered; the owner reads the reason in the log."""
    _log.warning("signing in with Mixin failed: %s", reason)
    return UpstreamFailed("Mixin did not answer as it should; try again later.")
