"""Browser sessions: the authorization code flow with PKCE, and the cookie with its result."""

import asyncio
import base64
import hashlib
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from starlette.requests import HTTPConnection

from orchestrator_defs.api.security.login.cookies import Vault, cookie_value, drop_cookie, is_secure, set_cookie
from orchestrator_defs.api.security.login.origins import base_of
from orchestrator_defs.api.security.login.provider import Provider
from orchestrator_defs.api.security.login.tokens import Claims, Tokens
from orchestrator_defs.api.server_settings import ApiSettings
from resources.errors import IdentityProviderUnavailable, LoginRefused

log = logging.getLogger(__name__)

COOKIE = "orchestrator"
BINDER = "orchestrator-login"
"""A random value that binds a login to the browser that began it; logins in several tabs share it."""
CALLBACK = "/api/login/callback"
LOGIN_SECONDS = 600
LONGEST_TARGET = 2000
RENEWALS_KEPT = 1000
NOISE = frozenset(
    {"exp", "iat", "nbf", "auth_time", "jti", "nonce", "at_hash", "c_hash", "sid", "session_state", "acr", "typ", "aud"}
)
"""Claims about the token, not about its user."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Session:
    """A login that a browser keeps. Times are in seconds since 1970.

    After `renew_at` the provider is asked again with the refresh token, and without one the session ends; after
    `ends_at` it ends in any case.
    """

    claims: Claims
    renew_at: float
    ends_at: float
    refresh_token: str | None = None


class Sessions:
    """Begins, renews and ends sessions. The server stores nothing, so every server with the secret accepts them."""

    def __init__(
        self, settings: ApiSettings, provider: Provider, tokens: Tokens, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings
        self.provider = provider
        self.tokens = tokens
        self.now = now
        self.vault = Vault(settings)
        self._renewals: OrderedDict[str, asyncio.Task[Session | None]] = OrderedDict()

    # --- the cookie ---

    def has_cookie(self, connection: HTTPConnection) -> bool:
        """Whether a browser sends a session, valid or not."""
        return self._sealed(connection) is not None

    def of(self, connection: HTTPConnection) -> Session | None:
        """The session of a browser, which may be due for renewal; None without one, or after its end."""
        content = self.vault.open("session", self._sealed(connection) or "")
        try:
            session = Session(**content) if content else None
        except TypeError:
            return None
        return session if session and self.now() < session.ends_at else None

    def is_due(self, session: Session) -> bool:
        """Whether the token of the session has expired."""
        return self.now() >= session.renew_at

    def kept(self, connection: HTTPConnection, session: Session) -> Headers:
        """The headers that store a session in a browser."""
        sealed = self.vault.seal("session", asdict(session))
        secure = is_secure(connection, self.settings)
        return set_cookie(connection, COOKIE, sealed, secure=secure, seconds=session.ends_at - self.now())

    def forgotten(self, connection: HTTPConnection) -> Headers:
        """The headers that delete a browser's session."""
        return drop_cookie(connection, COOKIE, secure=is_secure(connection, self.settings))

    def _sealed(self, connection: HTTPConnection) -> str | None:
        return cookie_value(connection, COOKIE, secure=is_secure(connection, self.settings))

    # --- the authorization code flow ---

    async def begin(self, connection: HTTPConnection, target: str) -> tuple[str, Headers]:
        """The address to which a browser goes to log in and return to `target`, and the headers to send."""
        secure = is_secure(connection, self.settings)
        binder = cookie_value(connection, BINDER, secure=secure) or secrets.token_urlsafe(32)
        number = secrets.token_urlsafe(16)
        state = self.vault.seal("state", {"number": number, "target": target, "until": self.now() + LOGIN_SECONDS})
        query = {
            "response_type": "code",
            "client_id": self.settings.oauth2_resource_server_id,
            "redirect_uri": self._redirect_uri(connection),
            "scope": self.settings.oauth2_scope,
            "state": state,
            "nonce": self._derived("nonce", binder, number),
            "code_challenge": _challenge(self._derived("verifier", binder, number)),
            "code_challenge_method": "S256",
        }
        endpoint = await self._endpoint("authorization_endpoint")
        cookie = set_cookie(connection, BINDER, binder, secure=secure, seconds=LOGIN_SECONDS)
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}", cookie

    async def end_of_login(self, connection: HTTPConnection, code: str, state: str) -> tuple[Session, str]:
        """The session of a browser that returns from the provider, and its target.

        Raises LoginRefused when this browser has not begun this login, or the provider does not accept the code.
        """
        opened = self.vault.open("state", state)
        binder = cookie_value(connection, BINDER, secure=is_secure(connection, self.settings))
        if opened is None or binder is None or self.now() >= opened["until"]:
            raise LoginRefused(
                "This login was not begun in this browser at this address, or more than ten minutes ago. Try again at"
                " /api/login; the browser must accept cookies."
            )
        answer = await self._grant(
            grant_type="authorization_code",
            code=code,
            redirect_uri=self._redirect_uri(connection),
            code_verifier=self._derived("verifier", binder, opened["number"]),
        )
        claims = await self._claims(answer, nonce=self._derived("nonce", binder, opened["number"]))
        return self._session(answer, claims, ends_at=self.now() + self.settings.session_hours * 3600), opened["target"]

    async def end(self, connection: HTTPConnection) -> str | None:
        """Revoke the refresh token of a browser's session; returns where the provider ends its own session.

        None when it does not, or does not answer: the user is logged out here in any case.
        """
        session = self.of(connection)
        try:
            if session and session.refresh_token and (url := await self.provider.endpoint("revocation_endpoint")):
                await self._as_client(url, token=session.refresh_token, token_type_hint="refresh_token")
            endpoint = await self.provider.endpoint("end_session_endpoint")
        except IdentityProviderUnavailable:
            return None
        if endpoint is None:
            return None
        query = {
            "client_id": self.settings.oauth2_resource_server_id,
            "post_logout_redirect_uri": f"{base_of(connection, self.settings.base_url)}/",
        }
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{urlencode(query)}"

    def _redirect_uri(self, connection: HTTPConnection) -> str:
        return base_of(connection, self.settings.base_url) + CALLBACK

    def _derived(self, purpose: str, binder: str, number: str) -> str:
        """A secret of this login that is stored nowhere: it takes the browser's cookie and our key to make it."""
        key = self.vault.key(purpose)
        return _base64(hashlib.blake2b(f"{binder}.{number}".encode(), key=key, digest_size=32).digest())

    # --- renewal ---

    async def renewed(self, session: Session) -> Session | None:
        """The session with fresh claims and roles; None when the provider ends it.

        Concurrent requests of one browser share one renewal, because a refresh token may be valid for one use. Raises
        IdentityProviderUnavailable.
        """
        if session.refresh_token is None:
            return None
        task = self._renewals.get(session.refresh_token)
        if task is None or self._is_spent(task):
            task = asyncio.create_task(self._renew(session, session.refresh_token))
            self._renewals[session.refresh_token] = task
            while len(self._renewals) > RENEWALS_KEPT:
                self._renewals.popitem(last=False)
        return await asyncio.shield(task)

    def _is_spent(self, task: "asyncio.Task[Session | None]") -> bool:
        """Whether a renewal is of no more use: it failed, or its result is due again."""
        if not task.done():
            return False
        if task.cancelled() or task.exception():
            return True
        session = task.result()
        return session is None or self.is_due(session)

    async def _renew(self, session: Session, refresh_token: str) -> Session | None:
        try:
            answer = await self._grant(grant_type="refresh_token", refresh_token=refresh_token)
            claims = await self._claims(answer, subject=session.claims.get("sub"))
        except LoginRefused as refusal:
            log.info("A session of %s is not renewed: %s", session.claims.get("sub"), refusal)
            return None
        return self._session({"refresh_token": refresh_token, **answer}, claims, ends_at=session.ends_at)

    # --- what the provider answers ---

    async def _grant(self, **form: str) -> Mapping[str, Any]:
        """Get tokens for a code or a refresh token. Raises LoginRefused when the provider gives none."""
        answer = await self._as_client(await self._endpoint("token_endpoint"), **form)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if answer.is_success and isinstance(found, dict) and isinstance(found.get("access_token"), str):
            return found
        reason = found.get("error") if isinstance(found, dict) else answer.status_code
        log.warning("The identity provider gives no token: %s", reason)
        raise LoginRefused("The identity provider did not accept the login. Try again at /api/login.")

    async def _as_client(self, url: str, **form: str) -> httpx.Response:
        """A form for the provider, with our credentials in the way that it accepts."""
        client = self.settings.oauth2_resource_server_id
        secret = self.settings.oauth2_resource_server_secret.get_secret_value()
        methods = (await self.provider.metadata()).get("token_endpoint_auth_methods_supported")
        if secret and "client_secret_basic" in (methods or ["client_secret_basic"]):
            return await self.provider.ask("POST", url, data=form, auth=self.provider.client)
        return await self.provider.ask(
            "POST", url, data={**form, "client_id": client} | ({"client_secret": secret} if secret else {})
        )

    async def _endpoint(self, name: str) -> str:
        endpoint = await self.provider.endpoint(name)
        if endpoint is None:
            raise IdentityProviderUnavailable(f"The identity provider's document has no {name}.")
        return endpoint

    async def _claims(
        self, answer: Mapping[str, Any], *, nonce: str | None = None, subject: str | None = None
    ) -> dict[str, Any]:
        """The claims about the user, from the access token, the userinfo and the id token; later ones win.

        Providers differ in where roles are: some have them in the access token only. That came straight from the
        provider, for us, so its audience does not matter; the id token must be for us.
        """
        id_token = await self._id_claims(answer["id_token"], nonce) if answer.get("id_token") else {}
        if nonce is not None and not id_token:
            raise LoginRefused("The identity provider sent no id token; OAUTH2_SCOPE must have `openid`.")
        access = await self._access_claims(answer["access_token"])
        info = await self._userinfo(answer["access_token"])
        subjects = {one["sub"] for one in (id_token, access, info) if "sub" in one} | ({subject} if subject else set())
        if len(subjects) != 1:
            raise LoginRefused("The identity provider's answers are about different users.")
        merged = {**access, **info, **id_token}
        return {name: value for name, value in merged.items() if name not in NOISE}

    async def _id_claims(self, token: str, nonce: str | None) -> Claims:
        client = self.settings.oauth2_resource_server_id
        claims = await self.tokens.verified(str(token), {client})
        if claims.get("azp", client) != client or (nonce is not None and claims.get("nonce") != nonce):
            raise LoginRefused("The id token is not for this login.")
        return claims

    async def _access_claims(self, token: str) -> Claims:
        """The claims of an access token; empty when it is no JWT of the provider, as it may be."""
        try:
            return await self.tokens.verified(token, None)
        except LoginRefused:
            return {}

    async def _userinfo(self, token: str) -> Claims:
        url = await self.provider.endpoint("userinfo_endpoint")
        if url is None:
            return {}
        answer = await self.provider.ask("GET", url, headers={"Authorization": f"Bearer {token}"})
        try:
            found = answer.json() if answer.is_success else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _session(self, answer: Mapping[str, Any], claims: Claims, *, ends_at: float) -> Session:
        """Make a session; it lasts as long as its token."""
        lifetime = answer.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int | float) and lifetime > 0 else 300.0
        refresh = answer.get("refresh_token")
        return Session(claims, self.now() + seconds, ends_at, refresh if isinstance(refresh, str) else None)


def safe_target(target: str, *, otherwise: str = "/") -> str:
    """A path of this server for after a login; `otherwise` when the given one might lead elsewhere."""
    is_path = target.startswith("/") and not target.startswith("//") and "\\" not in target
    is_plain = target.isascii() and target.isprintable() and len(target) <= LONGEST_TARGET
    return target if is_path and is_plain else otherwise


def _challenge(verifier: str) -> str:
    return _base64(hashlib.sha256(verifier.encode()).digest())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
