"""Bearer tokens: verifies them, and returns their claims."""

import asyncio
import base64
import binascii
import hashlib
import json
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import JoseError

from orchestrator_defs.api.security.limits import RateLimit
from orchestrator_defs.api.security.login.provider import Provider
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import IdentityProviderUnavailable, LoginRefused, LoginsLimited

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
"""Only asymmetric ones: never `none`, and never one whose secret is the public key."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The accepted types of tokens; a logout token, for example, has the same key and must not be accepted."""
OPAQUE_SECONDS = 30
"""The provider's answer about a token that is no JWT is cached so long, yes or no."""
OPAQUE_KEPT = 1000
QUESTIONS = 8
"""Questions to the provider about such tokens at one moment; it has other connections for keys and logins."""
REFUSED_PER_MINUTE = 120
"""Tokens of one address that the provider may refuse before it is asked about no other."""

Claims = Mapping[str, Any]
Kept = OrderedDict[bytes, tuple[float, Claims | str]]
"""Answers of the provider by the fingerprint of a token: until when they hold, with claims or the refusal."""


class Tokens:
    """Verifies tokens. `now` is the time in seconds since 1970, for tests."""

    def __init__(self, settings: ApiSettings, provider: Provider, now: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.provider = provider
        self.now = now
        self._accepted: Kept = OrderedDict()
        self._refused: Kept = OrderedDict()  # of its own, so that refused tokens push no accepted one out
        self._questions = asyncio.Semaphore(QUESTIONS)
        self._limit = RateLimit(REFUSED_PER_MINUTE)

    async def claims(self, token: str, address: str = "") -> Claims:
        """The claims of a bearer token that a caller at an address has sent.

        Raises LoginRefused, which tells what is wrong with it, IdentityProviderUnavailable when the provider is needed
        and does not answer, and LoginsLimited when it is not asked because of what this caller has sent before.
        """
        if _header(token) is not None:
            return await self.verified(token, self.settings.audiences)
        return await self._asked(token, address)

    async def verified(self, token: str, audiences: Collection[str] | None) -> Claims:
        """The claims of a signed token; checks its audience only when one is given. Raises as `claims`."""
        header = _header(token)
        if header is None:
            raise LoginRefused("The token is not a JWT.")
        if header.get("alg") not in ALGORITHMS:
            raise LoginRefused("The token is signed in a way that is not accepted here.")
        if str(header.get("typ", "JWT")).lower() not in TYPES:
            raise LoginRefused("Tokens of this type are not accepted here.")
        kid = header.get("kid")
        key = await self.provider.key(kid if kid is None else str(kid))
        try:
            claims = jwt.decode(token, key, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError):
            raise LoginRefused("The token's signature is not that of the identity provider.") from None
        await self._check(claims, audiences, is_signed=True)
        return claims

    async def _check(self, claims: Claims, audiences: Collection[str] | None, *, is_signed: bool) -> None:
        """Check the claims. Those of a signed token are required, not those that the provider reports."""
        now, skew = self.now(), self.settings.oauth2_clock_skew_seconds
        expiry = _moment(claims, "exp")
        if expiry is None and is_signed:
            raise LoginRefused("The token has no expiry time.")
        if expiry is not None and now >= expiry + skew:
            raise LoginRefused("The token has expired.")
        for name in ("nbf", "iat"):
            if now + skew < (_moment(claims, name) or 0):
                raise LoginRefused("The token is not valid yet.")
        if (is_signed or "iss" in claims) and claims.get("iss") != (await self.provider.metadata())["issuer"]:
            raise LoginRefused("The token was not issued by the identity provider.")
        if audiences is not None and not _texts_of(claims.get("aud")) & set(audiences):
            raise LoginRefused("The token is for another audience.")

    # --- tokens that only the provider can read ---

    async def _asked(self, token: str, address: str) -> Claims:
        fingerprint = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        for kept in (self._accepted, self._refused):
            until, known = kept.get(fingerprint, (0.0, ""))
            if self.now() < until:
                if isinstance(known, str):
                    raise LoginRefused(known)
                return known
        if seconds := self._limit.seconds_to_wait(address):
            raise LoginsLimited(f"Too many tokens from your address were refused; try again in {int(seconds) + 1} s.")
        until = self.now() + OPAQUE_SECONDS
        try:
            async with self._questions:
                claims = await self._introspected(token)
        except LoginRefused as refusal:
            _keep(self._refused, fingerprint, until, str(refusal))
            raise
        except IdentityProviderUnavailable:
            self._limit.give_back(address)
            raise
        self._limit.give_back(address)
        _keep(self._accepted, fingerprint, min(until, _moment(claims, "exp") or math.inf), claims)
        return claims

    async def _introspected(self, token: str) -> Claims:
        client, accepted = self.provider.client, self.settings.audiences
        if client[1] and (url := await self.provider.endpoint("introspection_endpoint")):
            claims = _json(await self.provider.ask("POST", url, data={"token": token}, auth=client))
            if claims.get("active") is not True:
                raise LoginRefused("The identity provider says that the token is not valid.")
            if "aud" not in claims and not _texts_of(claims.get("client_id")) & {*accepted, client[0]}:
                raise LoginRefused("The identity provider does not say that the token is for this server.")
        elif self.settings.oauth2_userinfo and (url := await self.provider.endpoint("userinfo_endpoint")):
            headers = {"Authorization": f"Bearer {_printable(token)}"}
            claims = _json(await self.provider.ask("GET", url, headers=headers))
        else:
            raise LoginRefused("The token is not a JWT, and the identity provider cannot check others.")
        await self._check(claims, accepted if "aud" in claims else None, is_signed=False)
        return claims


def _header(token: str) -> Mapping[str, Any] | None:
    """The header of a JWT; None for other text."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        header = json.loads(base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def _moment(claims: Claims, name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise LoginRefused(f"The token's {name} is not a time.")
    return float(value)


def _texts_of(value: Any) -> set[str]:
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _keep(kept: Kept, fingerprint: bytes, until: float, known: Claims | str) -> None:
    kept[fingerprint] = until, known
    while len(kept) > OPAQUE_KEPT:
        kept.popitem(last=False)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        claims = answer.json() if answer.is_success else None
    except ValueError:
        claims = None
    if not isinstance(claims, dict):
        raise LoginRefused("The identity provider does not accept the token.")
    return claims


def _printable(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise LoginRefused("The token has invalid characters.")
    return token
