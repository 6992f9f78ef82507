"""The authorisation middleware: it authenticates the user of every call, and refuses what they may not do."""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ops.starting.permission import least_roles
from orchestrator_defs.api.security.access_rules import WEBSOCKET, Call, Open, Rule
from orchestrator_defs.api.security.answering import template_of, unfit_character
from orchestrator_defs.api.security.authorisation import Authorisation
from orchestrator_defs.api.security.limits import BodyLimit, SecurityHeaders, is_api
from orchestrator_defs.api.security.login.identity import ANONYMOUS, NOBODY, user_of
from orchestrator_defs.api.security.login.origins import SAFE_METHODS, is_foreign, is_ipv6, is_loopback, is_own, path_of
from orchestrator_defs.api.security.login.sessions import Headers
from orchestrator_defs.api.security.problems import log_refusal, problem, status_of
from resources.errors import IdentityProviderUnavailable, LoginRefused, LoginsLimited, PolicyUnavailable
from resources.users import User

log = logging.getLogger(__name__)

SUBPROTOCOL = "base64.bearer.token"
"""A browser cannot send headers with a WebSocket; it names this sub-protocol before its token."""
TOKEN_IN_QUERY = frozenset({"/api/processes/all", "/api/settings/ws-status"})
"""Older WebSockets, which accept the token in the query, where logs may keep it; others do not."""
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
GRAPHQL = "/api/graphql"
POLICY_VIOLATION = 1008
PROTOCOL_ERROR = 1002
TRY_AGAIN_LATER = 1013
RECHECK_SECONDS = 20.0
"""How often the login and the rights of an open WebSocket are looked at again."""


UNDECIDED = (IdentityProviderUnavailable, LoginsLimited, PolicyUnavailable)
"""Nobody has said yes or no; the same call may pass a moment later."""


class Denied(Exception):
    """A call that the middleware answers itself."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, close: int = POLICY_VIOLATION
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.close = close


class AuthorisationMiddleware:
    """ASGI middleware that puts the `user` into the scope, or answers itself.

    `routes` gives those of the application, to tell them from the pages of Dagster after them.
    """

    def __init__(self, app: ASGIApp, authorisation: Authorisation, routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self.app = app
        self.authorisation = authorisation
        self.settings = settings = authorisation.settings
        self.routes = routes
        inner: ASGIApp = BodyLimit(self._authorise, settings)
        if settings.cors_origins:
            # never with credentials: pages of other sites call with a bearer token, never with our cookie
            inner = CORSMiddleware(
                inner,
                allow_origins=settings.cors_origins,
                allow_methods=settings.cors_allow_methods,
                allow_headers=settings.cors_allow_headers,
                expose_headers=settings.cors_expose_headers,
                max_age=settings.cors_max_age_seconds,
            )
        self.outermost = SecurityHeaders(inner, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request or a connection on, with its user."""
        if scope["type"] == "lifespan":
            try:
                await self.app(scope, receive, send)
            finally:
                await self.authorisation.close()
        elif scope["type"] in ("http", "websocket"):
            await self.outermost(scope, receive, send)

    async def _authorise(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        body = _Body(scope, receive)
        try:
            rule, parts = self._rule(scope)
            user, cookies = await self._authenticate(connection, rule)
            await self._check(user, rule, parts, connection, body)
        except Denied as denied:
            await self._answer(denied, scope, receive, send)
        except UNDECIDED as error:
            await self._answer(Denied(status_of(error), str(error), {"Retry-After": "5"}), scope, receive, send)
        else:
            inner: Scope = {**scope, "user": user}
            send = _with_headers(send, cookies)
            with least_roles(self.settings.workflow_roles):
                if scope["type"] == "http" or not self.settings.oauth2_active:
                    await self.app(inner, body.replayed, send)
                    return
                serving = self.app(inner, body.replayed, send)
                await self._serve_while_allowed(serving, self._end_of_login(connection, user, rule, parts, body), send)

    async def _serve_while_allowed(self, app: Awaitable[None], end_of_login: Awaitable[Denied], send: Send) -> None:
        """Serve a WebSocket until its login ends; its client then opens another with a fresh one."""
        serving, watching = asyncio.ensure_future(app), asyncio.ensure_future(end_of_login)
        try:
            await asyncio.wait((serving, watching), return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_served = serving.done()
            serving.cancel()
            watching.cancel()
            await asyncio.gather(serving, watching, return_exceptions=True)
        if is_served:
            serving.result()
        else:
            await send(_closing(watching.result()))

    async def _end_of_login(
        self, connection: HTTPConnection, user: User, rule: Rule, parts: Mapping[str, str], body: "_Body"
    ) -> Denied:
        """Wait until a request with the same login would be refused; returns why."""
        left = self.settings.session_hours * 3600
        while left > 0:
            await asyncio.sleep(min(RECHECK_SECONDS, left))
            left -= RECHECK_SECONDS
            try:
                now, _ = await self._authenticate(connection, rule, may_renew=False)
                await self._check(now, rule, parts, connection, body)
            except Denied as denied:
                return denied
            except UNDECIDED as error:
                return Denied(status_of(error), str(error), close=TRY_AGAIN_LATER)
            if (now, now.roles) != (user, user.roles):
                return Denied(403, "The rights of the user have changed.")
        return Denied(401, "The login has expired.")

    # --- which rule ---

    def _rule(self, scope: Scope) -> tuple[Rule, dict[str, str]]:
        path = path_of(scope)
        if (unfit := unfit_character(path)) is not None:
            raise Denied(400, f"No path has the character {unfit!a}; send the request without it.")
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) > 1 or not all(map(HOST.fullmatch, hosts)):
            raise Denied(400, "The header Host is a name or an address, with a port or without one, and stands once.")
        template = template_of(self.routes(), scope)
        is_dagsters = template is None and not is_api(path) and self._is_dagsters(scope)
        return self.authorisation.rules.find(_method(scope), path, is_dagsters=is_dagsters, template=template)

    def _is_dagsters(self, scope: Scope) -> bool:
        """Whether no route of the application has this path: then it belongs to Dagster's page."""
        return all(route.matches(dict(scope))[0] is Match.NONE for route in self.routes())

    # --- who ---

    async def _authenticate(
        self, connection: HTTPConnection, rule: Rule, *, may_renew: bool = True
    ) -> tuple[User, Headers]:
        """The user, and the headers for their browser. Raises Denied."""
        token = _token(connection)
        if not self.settings.oauth2_active:
            self._check_without_login(connection)
            return NOBODY, []
        if token is None and self.authorisation.sessions.has_cookie(connection):
            self._check_own(connection)
        if rule.least is Open.EVERYBODY:
            return ANONYMOUS, []
        try:
            if token is not None:
                return await self.authorisation.user_with(token, _address(connection)), []
            return await self._in_session(connection, may_renew=may_renew)
        except LoginRefused as refusal:
            raise self._login_required(connection, str(refusal), is_refused=token is not None) from None

    async def _in_session(self, connection: HTTPConnection, *, may_renew: bool) -> tuple[User, Headers]:
        sessions = self.authorisation.sessions
        session = sessions.of(connection)
        if session is None:
            raise LoginRefused("Log in first: send a bearer token, or open /api/login in a browser.")
        if not sessions.is_due(session):
            return user_of(session.claims, self.settings), []
        # a WebSocket that is open cannot store the renewed session in its browser
        renewed = await sessions.renewed(session) if may_renew else None
        if renewed is None:
            raise LoginRefused("The session has ended. Log in again at /api/login.")
        return user_of(renewed.claims, self.settings), sessions.kept(connection, renewed)

    def _check_own(self, connection: HTTPConnection) -> None:
        """Refuse changes with a cookie from other sites' pages, for which browsers send the cookie too."""
        if _may_change(connection) and not is_own(connection, self.settings.base_url):
            raise Denied(
                403, "A session in a browser may do this from the server's own pages only; others send a bearer token."
            )

    def _check_without_login(self, connection: HTTPConnection) -> None:
        """Refuse calls without login from foreign pages: any page in a browser on this machine could send them."""
        if self.settings.serve_without_login:
            return
        host = connection.headers.get("host", "")
        if host and not is_loopback(host):
            raise Denied(
                403,
                f"Without login the server answers to names of this machine only, not to {host[:255]!r}. Use 127.0.0.1,"
                " or set up a login, or set SERVE_WITHOUT_LOGIN=True.",
            )
        trusted = set(self.settings.cors_origins) - {"*"}
        may_be_harmful = _may_change(connection) or "origin" in connection.headers
        if may_be_harmful and is_foreign(connection, self.settings.base_url, trusted=trusted):
            raise Denied(
                403,
                "Without login the server answers to its own pages and those of CORS_ORIGINS (named, not *) only. Add"
                " the page's origin there, or set up a login, or set SERVE_WITHOUT_LOGIN=True.",
            )

    def _login_required(self, connection: HTTPConnection, detail: str, *, is_refused: bool) -> Denied:
        if not is_refused and _is_navigation(connection):
            prefix = connection.scope.get("root_path", "")
            query = connection.scope["query_string"].decode("latin-1")
            target = quote(connection.scope["path"]) + (f"?{query}" if query else "")
            return Denied(303, detail, {"Location": f"{prefix}/api/login?next={quote(target, safe='')}"})
        challenge = 'Bearer realm="orchestrator"'
        if is_refused:
            challenge += f', error="invalid_token", error_description="{detail}"'
        return Denied(401, detail, {"WWW-Authenticate": challenge})

    # --- whether they may ---

    async def _check(
        self, user: User, rule: Rule, parts: Mapping[str, str], connection: HTTPConnection, body: "_Body"
    ) -> None:
        if rule.counted:
            self._count(connection, parts)
        scope = connection.scope
        call = Call(_method(scope), path_of(scope), rule.least, parts, dict(connection.query_params), body.read_json)
        if (why := await self.authorisation.refusal(user, call)) is not None:
            raise Denied(403, why)

    def _count(self, connection: HTTPConnection, parts: Mapping[str, str]) -> None:
        # not by process: otherwise a client that guesses tokens would block the right one
        keys = f"address {_address(connection)}", f"token {parts['token']}"
        seconds = self.authorisation.callbacks.seconds_to_wait(*keys)
        if seconds:
            raise Denied(429, "Too many callbacks; try again later.", {"Retry-After": str(int(seconds) + 1)})

    # --- answers ---

    async def _answer(self, denied: Denied, scope: Scope, receive: Receive, send: Send) -> None:
        log_refusal(HTTPConnection(scope), denied.status, denied.detail)
        if scope["type"] == "websocket":
            await _closed(denied, scope, receive, send)
            return
        response: Response
        if denied.status == 303:
            response = RedirectResponse(denied.headers["Location"], 303)
        elif path_of(scope).rstrip("/") == GRAPHQL:
            response = JSONResponse(graphql_refusal(denied), denied.status, denied.headers)
        else:
            response = problem(denied.status, denied.detail, headers=denied.headers)
        await response(scope, receive, send)


def graphql_refusal(denied: Denied) -> dict[str, Any]:
    """A refusal as clients of GraphQL understand it: they log out by its type, and read JSON only."""
    kind = {401: "not_authenticated", 403: "not_authorized"}.get(denied.status, "bad_request")
    if denied.status >= 500:
        kind = "internal_error"
    return {"data": None, "errors": [{"message": denied.detail, "extensions": {"error_type": kind}}]}


async def _closed(denied: Denied, scope: Scope, receive: Receive, send: Send) -> None:
    """Accept and close: a browser learns code and reason only of an open connection."""
    await receive()
    offered = scope.get("subprotocols") or [None]
    await send({"type": "websocket.accept", "subprotocol": offered[0]})
    await send(_closing(denied))


def _closing(denied: Denied) -> Message:
    """The end of a WebSocket, with as much of the sentence as it may have."""
    reason = denied.detail.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")
    return {"type": "websocket.close", "code": denied.close, "reason": reason}


def _address(connection: HTTPConnection) -> str:
    """Where a caller is counted: its address, or the network of an IPv6 one, in which it has any number."""
    host = connection.client.host if connection.client else ""
    return str(ip_network((host, 64), strict=False)) if is_ipv6(host) else host


def _method(scope: Scope) -> str:
    return WEBSOCKET if scope["type"] == "websocket" else str(scope["method"])


def _may_change(connection: HTTPConnection) -> bool:
    """Whether a call may do more than read. Dagster's page accepts mutations by GET, too."""
    scope = connection.scope
    by_get = path_of(scope).rstrip("/") == "/graphql" and "query" in connection.query_params
    return by_get or _method(scope) not in SAFE_METHODS


def _token(connection: HTTPConnection) -> str | None:
    """The bearer token of a call: in its header, and for a WebSocket also beside its sub-protocol. Raises Denied."""
    kind, _, token = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    if connection.scope["type"] != "websocket":
        return None
    offered: list[str] = connection.scope.get("subprotocols", [])
    if SUBPROTOCOL in offered:
        if len(offered) != 2 or offered[0] != SUBPROTOCOL:
            raise Denied(400, f"The sub-protocols are not {SUBPROTOCOL} and a token.", close=PROTOCOL_ERROR)
        return offered[1]
    if path_of(connection.scope).rstrip("/") in TOKEN_IN_QUERY:
        return connection.query_params.get("token") or None
    return None


def _is_navigation(connection: HTTPConnection) -> bool:
    """Whether a browser will show the answer, so that a user can log in there."""
    return (
        connection.scope["type"] == "http"
        and connection.scope["method"] == "GET"
        and connection.headers.get("sec-fetch-mode", "navigate") == "navigate"
        and "text/html" in connection.headers.get("accept", "")
    )


def _with_headers(send: Send, headers: Headers) -> Send:
    if not headers:
        return send

    async def send_with_headers(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept"):
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return send_with_headers


class _Body:
    """The body of a request, which a policy may read before the route does."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.has_body = scope["type"] == "http" and scope["method"] not in SAFE_METHODS
        self.receive = receive
        self.messages: list[Message] = []

    async def read_json(self) -> Any:
        """Read the body as routes do, whatever its declared type: a policy must not see less than they do."""
        if not self.has_body:
            return None
        while not self.messages or self.messages[-1].get("more_body", False):
            self.messages.append(await self.receive())
        content = b"".join(message.get("body", b"") for message in self.messages)
        try:
            return json.loads(content, parse_constant=str)
        except (ValueError, RecursionError):
            return None

    async def replayed(self) -> Message:
        """What was read already, then the rest."""
        return self.messages.pop(0) if self.messages else await self.receive()
