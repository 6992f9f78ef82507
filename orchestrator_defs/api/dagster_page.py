"""Dagster's page as a part of our server: behind the same middleware, with the rights of its user."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

from dagster import DagsterInstance, DagsterRun

# Every launch, re-execution and backfill of the page goes through the instance of its request.
from dagster._core.execution.backfill import PartitionBackfill

# Dagster reads workspace.yaml with these: code that it loads, and code servers that exist.
from dagster._core.remote_origin import (
    CodeLocationOrigin,
    GrpcServerCodeLocationOrigin,
    ManagedGrpcPythonEnvCodeLocationOrigin,
)

# The page's code locations, and the context of each request; Dagster has no public way to embed the page.
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_graphql.schema import create_schema
from dagster_webserver.version import __version__
from dagster_webserver.webserver import DagsterWebserver
from graphene import Schema  # type: ignore[import-untyped]
from graphql import DocumentNode, GraphQLError, GraphQLFormattedError, OperationDefinitionNode, OperationType
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ops.starting.permission import check_role
from orchestrator_defs.api.security.graphql_limits import Limits, OutOfTime, check, in_time, stopping
from orchestrator_defs.api.security.problems import log_refusal, problem
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.processes.run_rights import RunRights, check_job, is_of_checks
from resources import tags
from resources.errors import NotAuthorised, SettingsError
from resources.runs import workspaces
from resources.runs.launched_by import signed
from resources.users import Role, User

STATEMENT_TIMEOUT_MS = 15_000
POOL_RECYCLE_SECONDS = 3600
POOL_MAX_OVERFLOW = 20
"""Like Dagster's own webserver."""
POLL_MS = 2000
"""How often the page polls for the assets that it shows."""

LIMITS = Limits()
"""For queries of the page; its own are far below them."""

NOT_ENGINEER = "This takes the role engineer; you may read everything here, and change nothing."
RUN_ARGUMENTS = ("runid", "runids")
"""How the names of arguments end that are ids of runs."""
VERBS = {"termin": "terminate", "delete": "delete", "launch": "re-execute"}
NOT_BY_GET = "A mutation is sent by POST."


@dataclass(frozen=True)
class Location:
    """A code location of a workspace: code to load, or, with `server`, a code server that has loaded it."""

    name: str
    origin: CodeLocationOrigin
    python: str | None = None
    arguments: tuple[str, ...] = ()
    server: Mapping[str, Any] | None = None


def locations_of(options: Mapping[str, Any]) -> list[Location]:
    """The code locations of Dagster's options, as `workspaces.find` finds them. Raises SettingsError."""
    return [_location(origin) for origin in workspaces.find(options)]


def _location(origin: Any) -> Location:
    match origin:
        case ManagedGrpcPythonEnvCodeLocationOrigin():
            code = origin.loadable_target_origin
            return Location(
                origin.location_name, origin, python=code.executable_path, arguments=tuple(code.get_cli_args())
            )
        case GrpcServerCodeLocationOrigin():
            named = {"host": origin.host, "port": origin.port, "socket": origin.socket, "ssl": origin.use_ssl}
            server = {key: value for key, value in named.items() if value}
            return Location(origin.location_name, origin, server=server)
    raise SettingsError(f"Code location {origin.location_name} is of a kind that is not served.")


class DagsterPage:
    """Dagster's webserver as an ASGI application that answers while it is `running`.

    Users without the role `engineer` may only read. `path_prefix` begins every path, "" or "/…".
    """

    def __init__(self, workspace: str, *, path_prefix: str = "") -> None:
        if path_prefix and (not path_prefix.startswith("/") or path_prefix.endswith("/")):
            raise SettingsError(f"A path prefix begins with a slash and does not end with one: not {path_prefix!r}.")
        self.workspace = workspace
        self.path_prefix = path_prefix
        self._served: tuple[ASGIApp, Sequence[BaseRoute]] | None = None
        checked_schema()  # before the serving processes are forked, which share it

    @asynccontextmanager
    async def running(self, instance: DagsterInstance) -> AsyncIterator[None]:
        """Load the workspace and serve it in the block. The page shows errors of code that cannot be loaded."""
        context = await run_in_threadpool(self._open, instance)
        try:
            app = Webserver(context, self.path_prefix, POLL_MS).create_asgi_app()
            self._served = (app, app.routes)
            yield
        finally:
            self._served = None
            await run_in_threadpool(_close, context)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes while it runs."""
        return self._served[1] if self._served else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a connection within the rights of its user."""
        refusal = _refusal(scope)
        if refusal is not None:
            log_refusal(HTTPConnection(scope), *refusal)
        if self._served is None:
            refusal = 503, "Dagster's page is not running."
        if refusal is None and self._served is not None:
            # Its routes have the prefix; restore what was cut off for ours.
            await self._served[0](
                {**scope, "root_path": "", "processes": getattr(scope["app"].state, "processes", None)}, receive, send
            )
        elif refusal is not None and scope["type"] == "http":
            await problem(*refusal)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _open(self, instance: DagsterInstance) -> WorkspaceProcessContext:
        instance.optimize_for_webserver(STATEMENT_TIMEOUT_MS, POOL_RECYCLE_SECONDS, POOL_MAX_OVERFLOW)
        # Made once, not for each request's instance.
        _ = instance.run_launcher, instance.run_coordinator, instance.compute_log_manager
        return WorkspaceProcessContext(
            instance,
            version=__version__,
            workspace_load_target=WorkspaceFileTarget([self.workspace]),
            code_server_log_level="warning",
        )


def _close(context: WorkspaceProcessContext) -> None:
    """Close the workspace; returns when the code servers that it started have ended."""
    context.__exit__(None, None, None)
    context._grpc_server_registry.wait_for_processes()


def _refusal(scope: Scope) -> tuple[int, str] | None:
    """Why this user may not see the page: status and sentence. Mutations are checked where they are resolved."""
    user: User = scope["user"]
    if not user.has_role(Role.VIEWER):
        return 403, "Dagster's page takes the role viewer, operator, engineer or admin; you have none of them."
    is_question = (
        scope["type"] == "websocket" or scope["method"] in ("GET", "HEAD") or scope["path"].endswith("/graphql")
    )
    if not is_question and not user.has_role(Role.ENGINEER):
        return 403, NOT_ENGINEER
    return None


# --- the user ---


class RequestContext(WorkspaceRequestContext):
    """The workspace for a request: with the rights of its user, and an instance that records that user."""

    def __init__(self, process_context: WorkspaceProcessContext, source: HTTPConnection) -> None:
        self.user: User = source.scope["user"]
        may_change = self.user.has_role(Role.ENGINEER)
        instance = process_context.instance
        processes: Processes | None = source.scope["processes"]
        self.rights = processes.rights if processes else None
        super().__init__(
            instance=acting_for(self.user, instance, self.rights) if may_change else instance,
            current_workspace=process_context.get_current_workspace(),
            process_context=process_context,
            version=process_context.version,
            source=source,
            read_only=not may_change,
        )
        self.connection = source
        self._context = process_context

    @property
    def show_instance_config(self) -> bool:
        """Whether the page shows dagster.yaml, which may contain secrets."""
        return self.user.has_role(Role.ADMIN)

    def check_run(self, run_id: str, what: str) -> None:
        """Check what the user may do with a run, as with the process behind it. Raises NotAuthorised."""
        run = self.instance.get_run_by_id(run_id)
        if run is not None and self.rights is not None:
            self.rights.check(run, self.user, what)

    def get_viewer_tags(self) -> dict[str, str]:
        """The tags of a backfill: who launched it."""
        return {tags.USER: str(self.user)}

    def get_reporting_user_tags(self) -> dict[str, str]:
        """The tags of an event that a person reports."""
        return self.get_viewer_tags()

    def reload_code_location(self, name: str) -> "RequestContext":
        """Reload a code location; returns the new context of the same user."""
        self._context.reload_code_location(name)
        return RequestContext(self._context, self.connection)

    def reload_workspace(self) -> "RequestContext":
        """Reload all code locations; returns the new context of the same user."""
        self._context.reload_workspace()
        return RequestContext(self._context, self.connection)


class ActingInstance(DagsterInstance):
    """An instance that signs with its user all that it launches, whatever a launchpad says.

    Jobs and the engine trust these tags: they name the user who starts, answers and aborts, with roles and claims.
    """

    acts_for: User
    rights: RunRights | None

    def create_run(self, *_: Any, **named: Any) -> DagsterRun:
        """Record the user of a launch. Raises NotAuthorised when the user lacks the least role of the job's workflow,
        or of that of a process which the run names.
        """
        of_checks = is_of_checks(named.get("asset_selection"), named.get("asset_check_selection"))
        check_job(named["job_name"], of_checks, self.acts_for, "launch")
        if self.rights is not None:
            self.rights.check_launch(named.get("run_config") or {}, named["tags"] or {}, self.acts_for)
        return super().create_run(**{**named, "tags": self._with_user(named["tags"])})

    def create_reexecuted_run(self, *_: Any, **named: Any) -> DagsterRun:
        """Record the user of a re-execution, not the first run's. Raises NotAuthorised, as it creates the run."""
        return super().create_reexecuted_run(**{**named, "extra_tags": self._with_user(named.get("extra_tags"))})

    def add_backfill(self, partition_backfill: PartitionBackfill) -> None:
        """Record the user of a backfill, also of a repeated one; the daemon launches its runs.

        Raises NotAuthorised.
        """
        if partition_backfill.job_name is not None:
            check_role(partition_backfill.job_name, self.acts_for, "launch")
        signed = partition_backfill._replace(tags=self._with_user(partition_backfill.tags))
        super().add_backfill(signed)

    def _with_user(self, chosen: Any) -> dict[str, Any]:
        others = {tag: value for tag, value in (chosen or {}).items() if not tag.startswith(tags.SIGNED)}
        return {**others, **signed(self, self.acts_for)}


def acting_for(user: User, instance: DagsterInstance, rights: RunRights | None) -> ActingInstance:
    """The same instance, with its connections, for one user's request; without `rights` it has jobs without processes
    only.
    """
    acting = ActingInstance.__new__(ActingInstance)
    acting.__dict__.update(instance.__dict__)
    acting.__dict__.pop("run_domain", None)  # it would use the instance that it was made for
    acting.acts_for = user
    acting.rights = rights
    return acting


# --- what they may ---


class Refused(GraphQLError):
    """A mutation that this user may not send, or not in this way."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "FORBIDDEN"})


class Webserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """Dagster's webserver, with all mutations for engineers only."""

    def build_graphql_schema(self) -> Schema:
        """Dagster's schema, with a check before each mutation."""
        return checked_schema()

    def _make_request_context(self, conn: HTTPConnection) -> RequestContext:
        return RequestContext(self._process_context, conn)

    async def execute_graphql_subscription(
        self,
        websocket: WebSocket,
        operation_id: str,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Any, GraphQLFormattedError | None]:
        """Follow a subscription. Refuses mutations, which Dagster does not execute here anyway."""
        try:
            document = check(query, variables, LIMITS)
        except GraphQLError as error:
            return None, error.formatted
        if not websocket.scope["user"].has_role(Role.ENGINEER) and _has_mutation(document):
            return None, Refused(NOT_ENGINEER).formatted
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)

    def build_graphql_middleware(self) -> list[Any]:
        """Stops a query that takes too long."""
        return [stopping]

    async def gen_graphql_response(
        self,
        request_context: WorkspaceRequestContext,
        query: str,
        variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> JSONResponse:
        """Answer a query that is within the limits, and ends in time."""
        try:
            check(query, variables, LIMITS)
            with in_time(LIMITS):
                return await super().gen_graphql_response(request_context, query, variables, operation_name)
        except GraphQLError as error:
            return JSONResponse({"data": None, "errors": self.handle_graphql_errors([error])}, 400)
        except OutOfTime:
            late = f"The query took longer than {LIMITS.seconds:g} seconds. Ask for less at once."
            return JSONResponse({"data": None, "errors": [GraphQLError(late).formatted]}, 503)

    def handle_graphql_errors(self, errors: Sequence[GraphQLError]) -> list[Any]:
        """Errors for the page; a refusal has no traceback."""
        others = [error for error in errors if not _is_refusal(error)]
        refusals = [error.formatted for error in errors if _is_refusal(error)]
        return [*refusals, *super().handle_graphql_errors(others)]

    def _determine_status_code(
        self, resolver_errors: list[GraphQLError] | None, captured_errors: list[Exception]
    ) -> int:
        if any(map(_is_refusal, resolver_errors or [])):
            return 403
        return super()._determine_status_code(resolver_errors, captured_errors)


@cache
def checked_schema() -> Schema:
    """Dagster's schema, with a check before the resolver of each mutation, also of future ones."""
    schema = create_schema()
    mutations = schema.graphql_schema.mutation_type
    if mutations is None:
        raise TypeError("Dagster's schema has no mutations: this version of Dagster does not fit.")
    for field in mutations.fields.values():
        if field.resolve is None:
            raise TypeError("A mutation of Dagster's has no resolver to check.")
        field.resolve = _for_engineers(field.resolve)
    return schema


def _for_engineers(resolve: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(resolve)
    def resolved(root: Any, info: Any, **arguments: Any) -> Any:
        context: RequestContext = info.context
        if not context.user.has_role(Role.ENGINEER):
            log_refusal(context.connection, 403, f"{context.user} may not {info.field_name}.")
            raise Refused(NOT_ENGINEER)
        if context.connection.scope.get("method") == "GET":  # a link must change nothing
            raise Refused(NOT_BY_GET)
        try:
            for run_id in runs_in(arguments):
                context.check_run(run_id, f"{VERBS.get(info.field_name[:6], 'act on')} a run of")
        except NotAuthorised as refusal:
            log_refusal(context.connection, 403, str(refusal))
            raise Refused(str(refusal)) from None
        return resolve(root, info, **arguments)

    return resolved


def runs_in(arguments: Any) -> Iterator[str]:
    """The ids of runs in a mutation's arguments, at whatever depth."""
    if isinstance(arguments, Mapping):
        for name, value in arguments.items():
            is_run = name.lower().replace("_", "").endswith(RUN_ARGUMENTS)
            yield from _texts_in(value) if is_run else runs_in(value)
    elif isinstance(arguments, list | tuple):
        for one in arguments:
            yield from runs_in(one)


def _texts_in(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, str)]


def _is_refusal(error: GraphQLError) -> bool:
    return isinstance(error.original_error, Refused)


def _has_mutation(document: DocumentNode) -> bool:
    operations = (one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    return any(one.operation is OperationType.MUTATION for one in operations)
