"""A small OpenID Connect provider over real HTTP, for tests of the login: it rotates keys, fails and lies on demand."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orchestrator_defs.api.app import OrchestratorApp
from orchestrator_defs.api.security import problems
from orchestrator_defs.api.security.authorisation import Authorisation
from orchestrator_defs.api.security.login import routes
from orchestrator_defs.api.server_settings import ApiSettings
from tests.api import At, calling, running, serving

CLIENT = "orchestrator"
SECRET = "the secret of the client"
KEYS = [RSAKey.generate_key(2048, {"kid": f"key {number}", "use": "sig", "alg": "RS256"}) for number in range(3)]
"""Made once: a key takes a tenth of a second."""


class OidcProvider:
    """Knows one user at a time, who is always logged in. `requests` counts what it was asked, by path."""

    def __init__(self) -> None:
        self.issuer = ""
        self.keys = [KEYS[0]]
        self.is_down = False
        self.delay = 0.0
        """Seconds that each answer takes."""
        self.requests: Counter[str] = Counter()
        self.claims: dict[str, Any] = {"sub": "1", "preferred_username": "ada", "roles": ["viewer"]}
        self.lifetime = 300
        self.changes: dict[str, Any] = {}
        """What the next id tokens say otherwise."""
        self.without: set[str] = set()
        """Endpoints that the document does not name."""
        self.opaque: dict[str, dict[str, Any]] = {}
        """Tokens that are no JWT, and what introspection answers."""
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh_tokens: set[str] = set()
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.document),
                Route("/keys", self.published_keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/userinfo", self.userinfo),
                Route("/introspect", self.introspect, methods=["POST"]),
                Route("/revoke", self.revoke, methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count, and answer unless it is down."""
        if scope["type"] == "http":
            self.requests[scope["path"]] += 1
            await asyncio.sleep(self.delay)
            if self.is_down:
                await Response(status_code=503)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def mint(self, key: RSAKey | None = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """An access token of the user; a claim that is None is left out."""
        now = int(time.time())
        known = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + self.lifetime, **self.claims, **claims}
        key = key or self.keys[-1]
        content = {name: value for name, value in known.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": key.kid, **(header or {})}, content, key)

    def rotate(self) -> None:
        """Sign with a new key, and publish it beside the one before."""
        self.keys = [self.keys[-1], next(key for key in KEYS if key not in self.keys)]

    # --- endpoints ---

    async def document(self, _request: Request) -> Response:
        paths = {
            "authorization_endpoint": "/authorize",
            "token_endpoint": "/token",
            "userinfo_endpoint": "/userinfo",
            "introspection_endpoint": "/introspect",
            "end_session_endpoint": "/logout",
            "revocation_endpoint": "/revoke",
            "jwks_uri": "/keys",
        }
        named = {name: self.issuer + path for name, path in paths.items() if name not in self.without}
        return JSONResponse({"issuer": self.issuer, **named})

    async def published_keys(self, _request: Request) -> Response:
        return JSONResponse(KeySet(list(self.keys)).as_dict(private=False))

    async def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = query
        answer = urlencode({"code": code, "state": query["state"]})
        return RedirectResponse(f"{query['redirect_uri']}?{answer}", 302)

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        if not _is_client(request):
            return JSONResponse({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token":
            if form["refresh_token"] not in self.refresh_tokens:
                return JSONResponse({"error": "invalid_grant"}, 400)
            self.refresh_tokens.discard(form["refresh_token"])
            return self._tokens({})
        begun = self.codes.pop(form["code"], None)
        if begun is None or begun["redirect_uri"] != form["redirect_uri"] or not _answers(begun, form):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._tokens({"nonce": begun["nonce"]})

    def _tokens(self, further: dict[str, Any]) -> Response:
        refresh = secrets.token_urlsafe()
        self.refresh_tokens.add(refresh)
        id_claims = {"roles": None, **further, **self.changes}
        answer = {"access_token": self.mint(aud="account"), "id_token": self.mint(**id_claims), "token_type": "Bearer"}
        return JSONResponse({**answer, "expires_in": self.lifetime, "refresh_token": refresh})

    async def userinfo(self, request: Request) -> Response:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token in self.opaque:
            return JSONResponse(self.opaque[token])
        return JSONResponse({"sub": self.claims["sub"]}) if token.count(".") == 2 else Response(status_code=401)

    async def introspect(self, request: Request) -> Response:
        if not _is_client(request):
            return JSONResponse({"error": "invalid_client"}, 401)
        return JSONResponse(self.opaque.get((await _form(request)).get("token", ""), {"active": False}))

    async def revoke(self, request: Request) -> Response:
        self.refresh_tokens.discard((await _form(request))["token"])
        return Response(status_code=200 if _is_client(request) else 401)


def _is_client(request: Request) -> bool:
    given = base64.b64decode(request.headers.get("authorization", "").removeprefix("Basic ")).decode()
    return given == f"{CLIENT}:{quote_plus(SECRET)}"


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode()))


def _answers(begun: dict[str, str], form: dict[str, str]) -> bool:
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == begun["code_challenge"]


def secured_app(settings: ApiSettings, **options: Any) -> FastAPI:
    """An application with little behind its middleware: what is looked at is the middleware."""
    app = OrchestratorApp(openapi_url=None)
    app.state.settings = settings
    app.state.authorisation = Authorisation(settings, **options)
    problems.install(app)
    app.include_router(routes.router, prefix="/api")

    @app.api_route("/api/processes/", methods=["GET", "HEAD"])
    async def processes(request: Request) -> str:
        return str(request.user)

    @app.get("/api/health/")
    async def health() -> str:
        return "OK"

    @app.put("/api/processes/{process_id}/abort")
    async def abort(process_id: str, request: Request) -> Any:
        return {"body": (await request.body()).decode()}

    @app.post("/api/processes/{process_id}/callback/{token}")
    async def callback(process_id: str, token: str) -> None:
        pass

    @app.get("/own")
    async def own() -> str:
        return "mine"

    @app.websocket("/api/ws/events")
    @app.websocket("/api/processes/all/")
    async def events(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
        await websocket.send_text(str(websocket.user))
        await websocket.receive()

    return app


@contextmanager
def provided() -> Iterator[OidcProvider]:
    """A provider that runs."""
    made = OidcProvider()
    with serving(made) as address:
        made.issuer = address
        yield made


class Stage:
    """The address at which one provider after the other answers."""

    def __init__(self) -> None:
        self.address = ""
        self.provider = OidcProvider()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the provider of now."""
        await self.provider(scope, receive, send)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Served over the network, where the application under test looks for it."""
    stage = Stage()
    with serving(stage) as stage.address:
        yield stage


@pytest.fixture
def provider(stage: Stage) -> OidcProvider:
    """An identity provider that runs."""
    stage.provider = OidcProvider()
    stage.provider.issuer = stage.address
    return stage.provider


@pytest.fixture
def secured(provider: OidcProvider) -> Iterator[Callable[..., httpx.Client]]:
    """Runs a small application with login; a client of it. Settings may be given by name.

    `client.app` is the application; it runs in this process, unless `at=serving` puts it on the network.
    """
    with ExitStack() as stack:

        def make(*, options: dict[str, Any] | None = None, at: At = running, **settings: Any) -> httpx.Client:
            app = secured_app(settings_for(provider, **settings), **(options or {}))
            return stack.enter_context(calling(app, at))

        yield make


def settings_for(provider: OidcProvider, **settings: Any) -> ApiSettings:
    """Those of a server whose identity provider this is."""
    return ApiSettings(**{**login_at(provider), **settings})


def login_at(provider: OidcProvider) -> dict[str, Any]:
    """The settings that turn on a login at a provider."""
    return {
        "oauth2_active": True,
        "oidc_base_url": provider.issuer,
        "oauth2_resource_server_id": CLIENT,
        "oauth2_resource_server_secret": SECRET,
    }


def bearer(token: str) -> dict[str, str]:
    """The header that brings a token."""
    return {"Authorization": f"Bearer {token}"}
