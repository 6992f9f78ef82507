"""The application put together: REST and live updates behind the gate, beside Dagster's webserver."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dagster import DagsterInstance, Definitions
from fastapi import FastAPI
from starlette.types import ASGIApp

from orchestrator_defs.api import live, problems
from orchestrator_defs.api.gate import Gate
from orchestrator_defs.api.rest import (
    customer_descriptions,
    engine,
    forms,
    health,
    processes,
    product_blocks,
    products,
    resource_types,
    schedules,
    subscriptions,
    translations,
    user_log,
    workflows,
)
from orchestrator_defs.api.settings import ApiSettings
from orchestrator_defs.instance import dagster_instance
from orchestrator_defs.orchestrator import Orchestrator, orchestrator_of
from orchestrator_defs.processes import Processes

PREFIX = "/api"
ROUTERS = (
    processes.router,
    forms.router,
    subscriptions.router,
    customer_descriptions.router,
    products.router,
    product_blocks.router,
    resource_types.router,
    workflows.router,
    engine.router,
    health.router,
    translations.router,
    schedules.router,
    user_log.router,
    live.router,
)


class OrchestratorApp(FastAPI):
    """A FastAPI application that is behind the gate whole: routes, mounts and middleware that are added to it, too."""

    def build_middleware_stack(self) -> ASGIApp:
        """The application's own stack, with the gate around it."""
        return Gate(super().build_middleware_stack(), self.state.settings)


def create_app(
    settings: ApiSettings,
    definitions: Definitions | Orchestrator,
    *,
    instance: DagsterInstance | None = None,
) -> FastAPI:
    """Make the application of an organisation's definitions, to be extended with its own routes and middleware.

    `instance` is the one of the working directory when not given.
    """
    orchestrator = definitions if isinstance(definitions, Orchestrator) else orchestrator_of(definitions)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = instance or dagster_instance()
        app.state.processes = Processes(orchestrator, opened)
        yield
        if instance is None:
            opened.dispose()

    app = OrchestratorApp(
        title="Service orchestrator",
        docs_url=f"{PREFIX}/docs",
        redoc_url=f"{PREFIX}/redoc",
        openapi_url=f"{PREFIX}/openapi.json",
        lifespan=lifespan,
    )
    app.state.settings = settings
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router, prefix=PREFIX)
    return app
