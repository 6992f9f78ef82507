"""Whatever a path looks like, the rule that the middleware applies is the rule of the endpoint that answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router
from starlette.types import Message

from orchestrator_defs.api.app import OrchestratorApp, _page_or
from orchestrator_defs.api.security.access_rules import Call
from orchestrator_defs.api.security.authorisation import Authorisation
from resources.users import User
from tests.api import LOOP
from tests.oidc import OidcProvider, provided, secured_app, settings_for
from tests.test_orchestrator_defs.test_api.conftest import RunningPage
from tests.test_orchestrator_defs.test_api.test_security.test_route_access import (
    EVERYBODY,
    LEAST,
    LOGGED_IN,
    Found,
    _found,
    composed,
)

pytestmark = pytest.mark.xdist_group("dagster page")

UNFIT = ("\n", "\r", "\0", "\x1f", "\x7f", "\x85", "\u2028", "\u2029")
ODD = ("\n", "/", "//", "/.", "/..", ";", "%0a", "%2f", " ", "?", "#", "\\", "é", "\u00a0")
REST = "/{path:path}"
MORE_METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")


class Recorder:
    """A policy that allows all calls and remembers the last."""

    def __init__(self) -> None:
        self.last: Call | None = None

    async def refusal(self, _user: User, call: Call) -> None:
        self.last = call

    async def close(self) -> None: ...


@dataclass
class Gate:
    """An application with the routes of the whole one, whose endpoints only answer with their own path."""

    app: FastAPI
    recorder: Recorder
    token: str
    routes: list[Found] = field(default_factory=list)

    async def ask(self, method: str, path: str) -> tuple[int, str, str | None]:
        """The status, the path of the route that answered, and the least role that the middleware saw."""
        self.recorder.last = None
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "websocket.connect" if method == "WEBSOCKET" else "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "websocket",
            "scheme": "ws",
            "subprotocols": [],
            **({} if method == "WEBSOCKET" else {"type": "http", "scheme": "http", "method": method}),
            "path": path,
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {self.token}".encode())],
        }
        await self.app(scope, receive, send)
        status = sent[0].get("status", 0)
        last = self.recorder.last
        template = dict(sent[0].get("headers", [])).get(b"x-template", b"").decode()
        return status, template, None if last is None else str(last.least)


def gate_of(provider: OidcProvider, running: RunningPage) -> Gate:
    """The middleware, before stubs of all routes in their order."""
    whole = composed(provider, running.page)
    recorder = Recorder()
    app = OrchestratorApp(openapi_url=None)
    app.state.settings = settings_for(provider)
    app.state.authorisation = Authorisation(app.state.settings, policy=recorder)
    router = APIRouter()
    found = list(_found(whole.routes, ""))
    for one in found:
        _add(router, one)
    app.include_router(router)
    page = list(_found(running.page.routes, ""))
    app.state.page = Router([_stub(one, one.path) for one in page if one.method != "WEBSOCKET"])
    app.router.default = _page_or(app.router.default, app)
    return Gate(app, recorder, provider.mint(roles=["admin"]), [*found, *page])


def _add(router: APIRouter, one: Found) -> None:
    if one.method == "WEBSOCKET":

        async def live(websocket: WebSocket) -> None:
            await websocket.accept(headers=[(b"x-template", one.path.encode())])

        router.add_api_websocket_route(one.path, live)
    elif one.path.endswith(REST):
        router.mount(one.path.removesuffix(REST), Router([_stub(one, REST)]))
    else:
        router.routes.append(_stub(one, one.path))


def _stub(one: Found, path: str) -> Route:
    async def answer(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("", headers={"x-template": one.path})

    return Route(path, answer, methods=[one.method])


@pytest.fixture(scope="module")
def gate(running_page: RunningPage) -> Iterator[Gate]:
    with provided() as provider:
        made = gate_of(provider, running_page)
        yield made
        LOOP.run(made.app.state.authorisation.close())


def mutations(one: Found) -> Iterator[tuple[str, str]]:
    """The route's own address and many like it."""
    path = one.address
    methods = (one.method,) if one.method == "WEBSOCKET" else MORE_METHODS
    yield from ((method, path) for method in methods)
    for odd in ODD:
        yield from ((one.method, changed) for changed in (path + odd, path.replace("/", f"/{odd}", 2)))
    yield from ((one.method, changed) for changed in (path.upper(), path.rstrip("/"), path.replace("/", "//")))


def test_the_gate_decides_by_the_endpoint_that_answers(gate: Gate) -> None:
    least_of = {one.name: one.least for one in gate.routes}

    async def wrong() -> list[str]:
        found = []
        for method, path in {call for one in gate.routes if not one.is_file for call in mutations(one)}:
            status, template, least = await gate.ask(method, path)
            if not template:
                continue
            name = f"{'GET' if method == 'HEAD' else method} {template}"
            expected = LEAST.get(name, least_of.get(name))
            seen = least or (expected if expected in (EVERYBODY, LOGGED_IN) else "nothing")
            is_narrower = expected == EVERYBODY and seen == "admin"  # a callback's rule knows the form of tokens
            if seen != expected and not is_narrower:
                found.append(f"{method} {path!r} is answered by {template} as {seen}, not {expected} ({status})")
        return found

    assert LOOP.run(wrong()) == []


@pytest.mark.parametrize("unfit", UNFIT)
def test_no_route_answers_a_path_with_a_control_character(gate: Gate, unfit: str) -> None:
    async def answered() -> list[str]:
        return [
            one.name
            for one in gate.routes
            if one.method != "WEBSOCKET" and (await gate.ask(one.method, one.address + unfit))[0] != 400
        ]

    assert LOOP.run(answered()) == []


def test_a_rule_of_ours_counts_for_its_own_route_alone(provider: OidcProvider) -> None:
    """A route of an organisation's that looks like one of ours has no rule, so it needs an admin."""
    app = secured_app(settings_for(provider))

    @app.get("/api/subscriptions/{rest:path}")
    async def mine(rest: str) -> str:
        return rest

    viewer = Gate(app, Recorder(), provider.mint(roles=["viewer"]))
    statuses = [LOOP.run(viewer.ask("GET", path))[0] for path in ("/api/subscriptions/search", "/api/processes/")]
    LOOP.run(app.state.authorisation.close())
    assert statuses == [403, 200]
