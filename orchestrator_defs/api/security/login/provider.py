"""The identity provider: its discovery document, and its keys."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote_plus

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import IdentityProviderUnavailable, LoginRefused, SettingsError

log = logging.getLogger(__name__)

DISCOVERY = "/.well-known/openid-configuration"
TIMEOUT_SECONDS = 5
KEYS_SECONDS = 300
"""Keys are fetched again after so long, in the background, so that a withdrawn one is not trusted for long."""
LEAST_SECONDS = 5
"""The least time between two fetches of keys, however many tokens name unknown keys."""
KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
"""Asymmetric algorithms: a public key cannot sign."""

Metadata = Mapping[str, Any]


@cache
def certificates() -> ssl.SSLContext:
    """The certificates that this machine trusts, read once because that is slow."""
    return httpx.create_ssl_context()


class Provider:
    """An OpenID Connect provider. Its keys are cached, so that users can log in with a known key while it is down.

    `clock` counts seconds, for tests.
    """

    def __init__(self, settings: ApiSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.http = httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS, limits=httpx.Limits(max_connections=20), verify=certificates()
        )
        self.clock = clock
        self._metadata: Metadata | None = None
        self._keys: list[Key] = []
        self._fetched_at = self._tried_at = float("-inf")
        self._is_down = False
        self._fetching = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None

    async def close(self) -> None:
        if self._refresh:
            self._refresh.cancel()
        await self.http.aclose()

    async def metadata(self) -> Metadata:
        """The discovery document. Raises IdentityProviderUnavailable if it was never read."""
        if self._metadata is None:
            await self._fetch()
        if self._metadata is None:
            raise IdentityProviderUnavailable(_DOWN)
        return self._metadata

    async def endpoint(self, name: str) -> str | None:
        """The address of an endpoint; None when the provider has none."""
        if name == "token_endpoint" and self.settings.oauth2_token_url:
            return self.settings.oauth2_token_url
        found = (await self.metadata()).get(name)
        return str(found) if found else None

    async def key(self, kid: str | None) -> Key:
        """The key of this id, fetched from the provider when it is unknown.

        Raises LoginRefused when the provider has no such key, IdentityProviderUnavailable when it cannot be reached.
        """
        await self.metadata()
        if self.clock() - self._fetched_at > KEYS_SECONDS:
            self._refresh_in_background()
        if (found := self._find(kid)) is None:
            await self._fetch()
            found = self._find(kid)
        if found is None and self._is_down:
            raise IdentityProviderUnavailable(f"{_DOWN} This server does not know the key of the token yet.")
        if found is None:
            raise LoginRefused("The token is signed with a key that the identity provider does not publish.")
        return found

    @property
    def client(self) -> tuple[str, str]:
        """This server's credentials for the provider, encoded by RFC 6749; the secret may be empty."""
        secret = self.settings.oauth2_resource_server_secret.get_secret_value()
        return quote_plus(self.settings.oauth2_resource_server_id), quote_plus(secret)

    async def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request to the provider. Raises IdentityProviderUnavailable without an answer, or for a 5xx."""
        try:
            answer = await self.http.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("The identity provider does not answer at %s: %r", url, error)
            raise IdentityProviderUnavailable(_DOWN) from error
        if answer.status_code >= 500:
            log.warning("The identity provider answers %s with %s.", url, answer.status_code)
            raise IdentityProviderUnavailable(_DOWN)
        return answer

    def _find(self, kid: str | None) -> Key | None:
        """Find a key; a token that names none is accepted when there is only one."""
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == kid), None)

    def _refresh_in_background(self) -> None:
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.create_task(self._refresh_quietly())

    async def _refresh_quietly(self) -> None:
        try:
            await self._fetch()
        except IdentityProviderUnavailable:
            log.warning("The identity provider's keys could not be fetched again; the known ones stay valid.")

    async def _fetch(self) -> None:
        """Fetch document and keys, unless that was just tried.

        Raises IdentityProviderUnavailable, also when the last try failed.
        """
        async with self._fetching:
            if self.clock() - self._tried_at < LEAST_SECONDS:
                if self._is_down:
                    raise IdentityProviderUnavailable(_DOWN)
                return
            self._tried_at = self.clock()
            self._is_down = True
            self._metadata, self._keys = await self._fetched()
            self._fetched_at, self._is_down = self.clock(), False

    async def _fetched(self) -> tuple[Metadata, list[Key]]:
        try:
            metadata = (await self.ask("GET", _discovery_url(self.settings))).raise_for_status().json()
            found = (await self.ask("GET", metadata["jwks_uri"])).raise_for_status().json()
            if not isinstance(metadata["issuer"], str):
                raise TypeError("The issuer is not a text.")
            return metadata, [key for key in KeySet.import_key_set(found).keys if _verifies(key)]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError, JoseError) as error:
            log.warning("The identity provider's document or its keys cannot be used: %r", error)
            raise IdentityProviderUnavailable(_DOWN) from error


_DOWN = "The identity provider does not answer. Try again in a moment."


def check_configured(settings: ApiSettings) -> None:
    """Raise SettingsError with the variables that a login needs and that are not set."""
    missing = []
    if not (settings.oidc_base_url or settings.oidc_conf_url):
        missing.append("OIDC_BASE_URL (or OIDC_CONF_URL)")
    if not settings.oauth2_resource_server_id:
        missing.append("OAUTH2_RESOURCE_SERVER_ID")
    if missing:
        raise SettingsError(
            f"A login is required, but there is no identity provider: set {' and '.join(missing)}, and for a client"
            " with a secret OAUTH2_RESOURCE_SERVER_SECRET. To serve on loopback without login, set OAUTH2_ACTIVE=False."
        )


def _discovery_url(settings: ApiSettings) -> str:
    return settings.oidc_conf_url or settings.oidc_base_url.rstrip("/") + DISCOVERY


def _verifies(key: Key) -> bool:
    return key.key_type in KEY_TYPES and key.get("use") != "enc"
