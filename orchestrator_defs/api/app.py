"""Assembles the application: REST and live updates behind the authorisation middleware, beside Dagster's page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from dagster import DagsterInstance, Definitions
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator_defs.api import documentation
from orchestrator_defs.api.dagster_page import DagsterPage
from orchestrator_defs.api.graphql import explorer, route
from orchestrator_defs.api.rest import (
    catalogue,
    customer_descriptions,
    engine,
    forms,
    health,
    processes,
    schedules,
    subscriptions,
    translations,
    user_log,
)
from orchestrator_defs.api.rest.monitoring import metrics
from orchestrator_defs.api.rest.search import search_routes
from orchestrator_defs.api.rest.validations import validation_routes
from orchestrator_defs.api.security import problems
from orchestrator_defs.api.security.access_rules import Policy, Rule
from orchestrator_defs.api.security.authorisation import Authorisation
from orchestrator_defs.api.security.limits import is_api
from orchestrator_defs.api.security.login import routes as login
from orchestrator_defs.api.security.login.origins import path_of
from orchestrator_defs.api.security.middleware import AuthorisationMiddleware
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.api.updates import websocket
from orchestrator_defs.api.updates.live_updates import LiveUpdates
from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.instance import dagster_instance
from orchestrator_defs.processes.processes import Processes

PREFIX = "/api"
DESCRIPTION = """
Products, customers' subscriptions to them, and the workflows that move subscriptions through their life.

Begin with `POST /api/processes/{workflow_key}`: it answers 510 with the next page of the form while one is missing,
400 when a page is not valid, and 201 when the process is created. Changes are notified over the WebSocket
`/api/ws/events`. Errors are problem details (RFC 9457) with a sentence in `detail`. A browser logs in at `/api/login`,
a program sends a bearer token.
"""
ROUTERS = (
    route.router,  # first, for it is asked most
    processes.router,
    forms.router,
    subscriptions.router,
    validation_routes.router,
    search_routes.router,
    customer_descriptions.router,
    catalogue.router,
    engine.router,
    health.router,
    metrics.router,
    translations.router,
    schedules.router,
    user_log.router,
    websocket.router,
    login.router,
)


class OrchestratorApp(FastAPI):
    """A FastAPI application that is wholly behind the authorisation middleware, with all that is added to it."""

    def build_middleware_stack(self) -> ASGIApp:
        """The application's own stack, inside the authorisation middleware."""
        return AuthorisationMiddleware(super().build_middleware_stack(), self.state.authorisation, lambda: self.routes)

    def openapi(self) -> dict[str, Any]:
        """The description of the API, with the answers of the middleware."""
        authorisation: Authorisation = self.state.authorisation
        with_login = authorisation.settings.oauth2_active
        return documentation.describe_authorisation(super().openapi(), authorisation.rules, with_login=with_login)


def create_app(
    settings: ApiSettings,
    definitions: Definitions | Orchestrator | Served,
    *,
    instance: DagsterInstance | None = None,
    page: DagsterPage | None = None,
    policy: Policy | None = None,
    rules: Sequence[Rule] = (),
) -> FastAPI:
    """Make the application of an organisation's definitions, to which routes and middleware may be added.

    `instance` is by default that of the working directory. `page` answers paths without a route, outside of /api;
    `orchestrator serve` sets one if there is none. Added routes need an admin, unless the `rules` allow more; these
    precede ours. `policy` replaces the one of the settings. Raises SettingsError when the settings require a login and
    name no identity provider.
    """
    orchestrators = orchestrator_of(definitions) if isinstance(definitions, Definitions) else definitions
    served = orchestrators if isinstance(orchestrators, Served) else Served([orchestrators])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = instance or dagster_instance()
        app.state.processes = Processes(served, opened)
        app.state.live = LiveUpdates(settings, served.first.database)
        page: DagsterPage | None = app.state.page
        async with app.state.live.running(), page.running(opened) if page else nullcontext():
            yield
        if instance is None:
            opened.dispose()

    app = OrchestratorApp(
        title="Service orchestrator",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.authorisation = Authorisation(settings, policy=policy, rules=rules)
    app.state.page = page
    problems.install(app)
    documentation.install(app, PREFIX)
    app.mount(f"{PREFIX}{explorer.ASSETS}", explorer.assets(), name="graphiql")
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.router.default = _page_or(app.router.default, app)
    return app


def _page_or(not_found: ASGIApp, app: FastAPI) -> ASGIApp:
    """Answer paths without a route, so that routes precede the page in whatever order they are added."""

    async def otherwise(scope: Scope, receive: Receive, send: Send) -> None:
        has_no_page = app.state.page is None or is_api(path_of(scope))
        answers = not_found if has_no_page else app.state.page
        await answers(scope, receive, send)

    return otherwise
