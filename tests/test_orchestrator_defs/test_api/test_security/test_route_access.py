"""Everything that is served, found by looking at the application itself: nothing is reachable that should not be.

What may be reached stands in a table here that knows nothing of the rules; a route that it does not name fails a test.
"""

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from graphql import build_client_schema, get_introspection_query
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator_defs.api.app import create_app
from orchestrator_defs.api.dagster_page import NOT_ENGINEER, DagsterPage
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.users import Role
from tests.api import LOOP, with_routes_of_before
from tests.oidc import OidcProvider, bearer, provided, settings_for
from tests.test_orchestrator_defs.test_api.conftest import RunningPage
from tests.test_orchestrator_defs.test_api.test_server.test_dagster_page import call_of
from tests.toy_network import DEVICE, World, device_workflows

pytestmark = pytest.mark.xdist_group("dagster page")

EVERYBODY, LOGGED_IN = "everybody", "logged in"
LEAST: dict[str, str] = {
    who_route: least
    for least, routes in {
        EVERYBODY: """
            GET /api/health/
            GET /api/health/live
            GET /api/health/ready
            GET /api/translations/{language}
            GET /api/login
            GET /api/login/callback
            GET /api/logout
            POST /api/logout
            POST /api/processes/{process_id}/callback/{token}
            POST /api/processes/{process_id}/callback/{token}/progress
        """,
        LOGGED_IN: """
            GET /api/me
        """,
        Role.VIEWER: """
            GET /api/docs
            GET /api/docs/assets/{path:path}
            GET /api/redoc
            GET /api/graphql
            POST /api/graphql
            GET /api/graphql/
            POST /api/graphql/
            GET /api/graphql/assets/{path:path}
            GET /api/openapi.json
            GET /api/processes/
            GET /api/processes/status-counts
            GET /api/processes/{process_id}
            GET /api/subscriptions/
            GET /api/subscriptions/search
            GET /api/subscriptions/domain-model/{subscription_id}
            GET /api/subscriptions/workflows/{subscription_id}
            GET /api/subscriptions/{subscription_id}
            GET /api/subscriptions/{subscription_id}/in_use_by
            GET /api/subscriptions/{subscription_id}/depends_on
            GET /api/subscriptions/{subscription_id}/validation
            GET /api/subscriptions/{subscription_id}/validations
            GET /api/subscriptions/{subscription_id}/versions
            GET /api/subscriptions/{subscription_id}/versions/{version}
            GET /api/subscription_customer_descriptions/{description_id}
            GET /api/subscription_customer_descriptions/customer/{customer_id}/subscription/{subscription_id}
            GET /api/products/
            GET /api/products/{product_id}
            GET /api/product_blocks/{product_block_id}
            GET /api/resource_types/{resource_type_id}
            GET /api/workflows/
            GET /api/workflows/{workflow_id}
            GET /api/metrics
            GET /api/settings/status
            GET /api/settings/worker-status
            GET /api/settings/cache-names
            GET /api/schedules/
            GET /api/schedules/{schedule_id}/firings
            GET /api/search/definitions
            GET /api/search/paths
            GET /api/search/queries
            POST /api/search/queries
            GET /api/search/queries/{query_id}
            GET /api/search/queries/{query_id}/run
            GET /api/search/queries/{query_id}/export
            DELETE /api/search/queries/{query_id}
            POST /api/search/{kind}
            POST /api/search/{kind}/export
            POST /api/search/{kind}/aggregate
            POST /api/user/error
            POST /api/user/log/{user_name}
            WEBSOCKET /api/ws/events
            WEBSOCKET /api/processes/all/
            WEBSOCKET /api/settings/ws-status/

            GET /server_info
            GET /dagit_info
            GET /graphql
            POST /graphql
            WEBSOCKET /graphql
            GET /logs/{path:path}
            GET /notebook
            GET /dagit/notebook
            GET /download_debug/{run_id:str}
            GET /{path:path}
            GET /
        """,
        Role.OPERATOR: """
            POST /api/processes/{workflow_key}
            PUT /api/processes/{process_id}/resume
            PUT /api/processes/{process_id}/abort
            PUT /api/processes/{process_id}/skip
            PUT /api/processes/{process_id}/back
            PATCH /api/processes/{process_id}
            PUT /api/subscriptions/{subscription_id}/set_in_sync
            POST /api/subscriptions/{subscription_id}/push_intent
            POST /api/subscriptions/{subscription_id}/accept_reality
            POST /api/subscription_customer_descriptions/
            PUT /api/subscription_customer_descriptions/
            POST /api/subscription_customer_descriptions
            PUT /api/subscription_customer_descriptions
            DELETE /api/subscription_customer_descriptions/{description_id}
            POST /api/forms/{form_key}
        """,
        Role.ENGINEER: """
            PUT /api/processes/resume-all
            DELETE /api/processes/{process_id}
            POST /api/schedules/
            PUT /api/schedules/
            DELETE /api/schedules/
            POST /api/schedules
            PUT /api/schedules
            DELETE /api/schedules
            POST /report_asset_materialization/{asset_key:path}
            POST /report_asset_check/{asset_key:path}
            POST /report_asset_observation/{asset_key:path}
        """,
        Role.ADMIN: """
            GET /api/settings/overview
            PUT /api/settings/status
            DELETE /api/settings/cache/{name}
            POST /api/settings/search-index/reset
            PATCH /api/products/{product_id}
            PATCH /api/product_blocks/{product_block_id}
            PATCH /api/resource_types/{resource_type_id}
            PATCH /api/workflows/{workflow_id}

            GET /organisation/{name}
            POST /organisation/{name}
            WEBSOCKET /organisation/live
            GET /mounted/inside
        """,
    }.items()
    for who_route in filter(None, map(str.strip, routes.splitlines()))
}
"""Method and path of each route to the least that a caller must be; the last are an organisation's, without rules."""
STATIC = re.compile(r"(root|\w+)_static")
"""The names of Dagster's files; which there are, differs from release to release. They are for viewers."""
PASSED = 299


@dataclass(frozen=True)
class Found:
    """A route: what it is called, and the least by this table."""

    method: str
    path: str
    is_file: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def least(self) -> str | None:
        return LEAST.get(self.name, Role.VIEWER.value if self.is_file else None)

    @property
    def address(self) -> str:
        """A path that the route has."""
        return re.sub(r"\{(\w+)(:\w+)?\}", lambda part: str(uuid4()) if part[1].endswith("_id") else "x", self.path)


def everything(app: FastAPI) -> list[Found]:
    """All routes: the application's own, those of what is mounted in it, and those of Dagster's page."""
    return [*_found(app.routes, ""), *_found(app.state.page.routes, "")]


def _found(routes: Sequence[BaseRoute], prefix: str) -> Iterator[Found]:
    for one in iter_route_contexts(routes):
        route: Any = one.original_route
        path = f"{prefix}{one.path}"
        if isinstance(route, Mount):
            yield from _found(route.routes, path)
            if not route.routes:  # files, or an application that does not say what it has
                yield Found("GET", f"{path}/{{path:path}}", bool(STATIC.fullmatch(route.name or "")))
        elif isinstance(route, WebSocketRoute):
            yield Found("WEBSOCKET", path)
        else:
            assert isinstance(route, Route), f"{route!r} is of a kind that this walk does not know"
            for method in sorted((one.methods or {"GET"}) - {"HEAD", "OPTIONS"}):
                yield Found(method, path, bool(STATIC.fullmatch(one.name or "")))


class Stop:
    """Innermost: says that a call has come through the middleware, and goes no further."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("", PASSED)(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4000 + PASSED})
        else:
            await self.app(scope, receive, send)


def composed(provider: OidcProvider, page: DagsterPage) -> FastAPI:
    """The whole application, and a few things of an organisation's own."""
    orchestrator = Orchestrator([DEVICE], device_workflows(World()))
    app = with_routes_of_before(create_app(settings_for(provider), orchestrator, page=page))

    @app.api_route("/organisation/{name}", methods=["GET", "POST"])
    def own(name: str) -> str:
        return name

    @app.websocket("/organisation/live")
    async def live() -> None: ...

    app.mount("/mounted", Starlette(routes=[Route("/inside", PlainTextResponse("inside"))]))
    return app


def credentials(provider: OidcProvider) -> dict[str, str | None]:
    """Tokens that open nothing, and one of each role."""
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    everything = {"roles": [role.value for role in Role]}
    unsigned = f"{header}.{provider.mint(**everything).split('.')[1]}."
    return {
        "no token": None,
        "an expired token": provider.mint(exp=int(time.time()) - 3600, **everything),
        "another issuer's token": provider.mint(
            RSAKey.generate_key(2048, {"kid": "theirs"}), iss="https://elsewhere.example.org", **everything
        ),
        "a token that says it is of another issuer": provider.mint(iss="https://elsewhere.example.org", **everything),
        "a token for another audience": provider.mint(aud="somebody", **everything),
        "an unsigned token": unsigned,
        "no role": provider.mint(roles=[]),
        **{role.value: provider.mint(roles=[role]) for role in Role},
    }


async def outcomes_of(app: ASGIApp, found: Sequence[Found], token: str | None) -> dict[Found, int]:
    """The status that each call is answered with, or the code that a WebSocket is closed with, less 4000."""
    headers = bearer(token) if token else {}
    async with client_of(app, headers) as client:
        return {
            one: await _closing(app, one.address, headers) - 4000
            if one.method == "WEBSOCKET"
            else (await client.request(one.method, one.address)).status_code
            for one in found
        }


def client_of(app: ASGIApp, headers: Mapping[str, str]) -> httpx.AsyncClient:
    """A client that calls the application without a network between."""
    address = "http://orchestrator.example.org"
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=address, headers=headers, verify=False)


async def _closing(app: ASGIApp, path: str, headers: Mapping[str, str]) -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "websocket", "scheme": "ws", "path": path, "query_string": b"", "headers": raw, "subprotocols": []}
    await app(scope, receive, send)
    assert sent[-1]["type"] == "websocket.close"
    return int(sent[-1]["code"])


@dataclass
class Walked:
    """What came of it: the routes, the outcome of each credential at each, and of each role's mutations."""

    found: list[Found]
    outcomes: dict[str, dict[Found, int]]
    mutations: dict[str, dict[str, tuple[int, str]]]


async def walk(provider: OidcProvider, page: DagsterPage) -> Walked:
    """Try every credential at every route, and every mutation with every role."""
    whole, stopped = composed(provider, page), composed(provider, page)
    stopped.add_middleware(Stop)
    found = everything(whole)
    tokens = credentials(provider)
    outcomes = {who: await outcomes_of(stopped, found, token) for who, token in tokens.items()}
    mutations = {
        who: await _mutations(whole, tokens[who]) for who in ("no role", Role.VIEWER, Role.OPERATOR, Role.ENGINEER)
    }
    for app in (whole, stopped):
        await app.state.authorisation.close()
    return Walked(found, outcomes, mutations)


async def _mutations(app: FastAPI, token: str | None) -> dict[str, tuple[int, str]]:
    async with client_of(app, bearer(token or "")) as client:

        async def ask(query: str) -> httpx.Response:
            return await client.post("/graphql", json={"query": query}, timeout=60)

        asked = await ask(get_introspection_query())
        if asked.status_code != 200:
            return {"introspection": (asked.status_code, asked.text)}
        schema = build_client_schema(json.loads(asked.text)["data"])
        assert schema.mutation_type is not None
        names = list(schema.mutation_type.fields)
        answers = {name: await ask(f"mutation {{{call_of(schema, name)}}}") for name in names}
        return {name: (answer.status_code, answer.text) for name, answer in answers.items()}


@pytest.fixture(scope="module")
def walked(running_page: RunningPage) -> Iterator[Walked]:
    with provided() as provider:
        yield LOOP.run(walk(provider, running_page.page))


def test_the_walk_finds_what_there_is(walked: Walked) -> None:
    names = {one.name for one in walked.found}
    assert {"GET /api/me", "POST /graphql", "WEBSOCKET /graphql", "GET /mounted/inside"} <= names
    assert "WEBSOCKET /organisation/live" in names
    assert len(names) > 30


def test_the_table_names_every_route(walked: Walked) -> None:
    assert [one.name for one in walked.found if one.least is None] == []


@pytest.mark.parametrize(
    "who",
    [
        "no token",
        "an expired token",
        "another issuer's token",
        "a token that says it is of another issuer",
        "a token for another audience",
        "an unsigned token",
    ],
)
def test_nothing_is_reached_without_a_good_token(walked: Walked, who: str) -> None:
    for one in walked.found:
        refused = 1008 - 4000 if one.method == "WEBSOCKET" else 401
        assert walked.outcomes[who][one] == (PASSED if one.least == EVERYBODY else refused), one.name


@pytest.mark.parametrize("who", ["no role", *(role.value for role in Role)])
def test_a_role_reaches_what_is_its_own(walked: Walked, who: str) -> None:
    order = [EVERYBODY, LOGGED_IN, *(role.value for role in Role)]
    rank = order.index(LOGGED_IN if who == "no role" else who)
    for one in walked.found:
        refused = 1008 - 4000 if one.method == "WEBSOCKET" else 403
        expected = PASSED if order.index(str(one.least)) <= rank else refused
        assert walked.outcomes[who][one] == expected, one.name


@pytest.mark.parametrize("who", [Role.VIEWER, Role.OPERATOR])
def test_those_who_look_send_no_mutation(walked: Walked, who: Role) -> None:
    answers = walked.mutations[who]
    assert len(answers) > 20
    assert {name for name, (status, text) in answers.items() if status != 403 or NOT_ENGINEER not in text} == set()


def test_those_who_repair_send_each_mutation(walked: Walked) -> None:
    answers = walked.mutations[Role.ENGINEER]
    assert len(answers) > 20
    assert {name for name, (status, text) in answers.items() if status == 403 or NOT_ENGINEER in text} == set()


def test_without_a_role_not_even_the_schema_is_seen(walked: Walked) -> None:
    assert walked.mutations["no role"].keys() == {"introspection"}
    assert walked.mutations["no role"]["introspection"][0] == 403
