"""The route of GraphQL: queries by GET and POST, mutations by POST, and GraphiQL for browsers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextvars import copy_context
from functools import partial
from typing import Any

from fastapi import APIRouter
from graphql import GraphQLError
from pydantic_core import PydanticSerializationError, to_json
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from orchestrator_defs.api.dependencies import ProcessesDep, SettingsDep, UserDep
from orchestrator_defs.api.form_threads import FormThreadsDep
from orchestrator_defs.api.graphql import explorer
from orchestrator_defs.api.graphql.executor import LONGEST_KEPT, Context, Executor, GraphQLErrors, Prepared, failed
from orchestrator_defs.api.graphql.service import make_executor, refusals
from orchestrator_defs.api.security.authorisation import AuthorisationDep
from orchestrator_defs.api.security.problems import log_refusal
from orchestrator_defs.api.security.rights import WorkflowCheckDep
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.processes.processes import Processes
from resources.errors import PolicyUnavailable

router = APIRouter()


@router.api_route("/graphql", methods=["GET", "POST"], include_in_schema=False)
@router.api_route("/graphql/", methods=["GET", "POST"], include_in_schema=False)
async def graphql(
    request: Request,
    processes: ProcessesDep,
    settings: SettingsDep,
    forms: FormThreadsDep,
    user: UserDep,
    authorisation: AuthorisationDep,
    may: WorkflowCheckDep,
) -> Response:
    """Answer a document; 200 with `errors` beside the data, 400 for what is no request."""
    if request.method == "GET" and "query" not in request.query_params:
        if settings.serve_graphql_ui and "text/html" in request.headers.get("accept", ""):
            return explorer.page(request.scope.get("root_path", "") + "/api")
        return _answer(_failed("Send a document in `query`, by POST as JSON."), 400)
    try:
        query, variables, name = await _read(request)
    except ValueError as error:
        return _answer(_failed(str(error)), 400)
    context = Context(user, processes, may, _wait_for(asyncio.get_running_loop()), forms.run)
    try:
        prepare = partial(_prepared, request, processes, settings, query, variables, name)
        known: Executor | None = getattr(request.app.state, "graphql", None)
        is_quick = known is not None and known.knows(query) and len(await request.body()) <= LONGEST_KEPT
        executor, prepared = prepare() if is_quick else await run_in_threadpool(prepare)
        if prepared.changes and request.method == "GET":  # a link must change nothing
            return _answer(_failed("A mutation is sent by POST."), 400)
        context.refused = await refusals(authorisation, user, prepared.selected)
    except GraphQLErrors as error:
        return _answer(failed(error.errors))
    except PolicyUnavailable as error:
        return _answer(failed([GraphQLError(str(error), original_error=error)]))
    for rule in prepared.selected.rules.keys() & context.refused:
        log_refusal(request, 403, str(context.refused[rule]))
    answer = await run_in_threadpool(executor.execute, prepared, context)
    launch = partial(processes.runs.try_to_launch, context.started, user=user)
    return _answer(answer, background=BackgroundTask(launch) if context.started else None)


def _prepared(request: Request, processes: Processes, settings: ApiSettings, *asked: Any) -> tuple[Executor, Prepared]:
    """What executes documents, made by the first request (by then all models are declared), and a document."""
    state = request.app.state
    if not hasattr(state, "graphql"):
        state.graphql = make_executor(processes.served, settings)
    found: Executor = state.graphql
    return found, found.prepare(*asked)


async def _read(request: Request) -> tuple[Any, Mapping[str, Any], str | None]:
    """The document, its variables, and the operation. Raises ValueError with a sentence."""
    sent: Any = dict(request.query_params)
    if request.method == "POST":
        try:
            sent = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise ValueError("The body is no JSON; send an object with `query`, and perhaps `variables`.") from None
    if not isinstance(sent, dict):
        raise ValueError("The body is one object with `query`; several documents are sent one by one.")
    variables, name = sent.get("variables"), sent.get("operationName")
    if isinstance(variables, str):
        try:
            variables = json.loads(variables or "null")
        except (ValueError, RecursionError):
            variables = False
    if not isinstance(variables, dict | None) or not isinstance(name, str | None):
        raise ValueError("`variables` is an object, and `operationName` a text.")
    return sent.get("query"), variables or {}, name or None


def _wait_for(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    request = copy_context()

    async def awaited(make: Callable[[], Awaitable[Any]]) -> Any:
        return await make()

    def wait(make: Callable[[], Awaitable[Any]]) -> Any:
        # In the context of the request: a form sees its roles, and not the transaction of the query.
        return request.copy().run(asyncio.run_coroutine_threadsafe, awaited(make), loop).result()

    return wait


def _failed(why: str) -> dict[str, Any]:
    return failed([GraphQLError(why)])


def _answer(answer: dict[str, Any], status: int = 200, background: BackgroundTask | None = None) -> Response:
    try:
        text = to_json(answer, fallback=str)
    except PydanticSerializationError:  # half a surrogate pair, which a client may have sent
        text = json.dumps(answer, default=str).encode()
    return Response(text, status, media_type="application/json", background=background)
