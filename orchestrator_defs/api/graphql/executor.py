"""Executes documents in a thread: within the limits, only what the user may, and with errors that have a type."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, TypeVar
from uuid import UUID

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    get_operation_ast,
    get_variable_values,
    specified_rules,
    validate,
)

from orchestrator_defs.api.graphql.plain_fields import EXECUTED_BY
from orchestrator_defs.api.graphql.selecting import Asked, Selected, select
from orchestrator_defs.api.security.graphql_limits import Limits, OutOfTime, in_time, measure, parsed
from orchestrator_defs.api.security.problems import AWAY, status_of
from orchestrator_defs.processes.processes import Processes
from resources.database.session import use_one_snapshot
from resources.errors import DatabaseUnreachable, ExternalSystemError, OrchestratorError, TransportError
from resources.users import User

log = logging.getLogger(__name__)
Result = TypeVar("Result")

KEPT = 512
"""So many documents stay parsed and validated: a client sends the same few, with other variables."""
LONGEST_KEPT = 20_000
TYPES = {401: "not_authenticated", 403: "not_authorized", 404: "not_found"}
"""The `error_type` of a status; clients log out by the first one."""
UNKNOWN = "Something went wrong in the server; its log says what."


@dataclass
class Context:
    """What resolvers need of the request."""

    user: User
    processes: Processes
    may: Callable[[str, str], None]
    """Called with a workflow's name and a verb. Raises NotAuthorised."""
    wait: Callable[[Callable[[], Awaitable[Any]]], Any]
    """Called in the thread with what makes an awaitable, which the server's event loop awaits."""
    evaluate: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Evaluates a form within its time, in a thread of its own."""
    selected: Selected = field(default_factory=Selected)
    refused: Mapping[Asked, Exception] = field(default_factory=dict)
    later: list[tuple[list[str | int], Callable[[], Any]]] = field(default_factory=list)
    """Where a value goes that is made when the transaction has ended, and what makes it."""
    started: list[UUID] = field(default_factory=list)
    """The processes to launch when the answer is sent."""


@dataclass(frozen=True)
class Prepared:
    """A document that is within the limits, and one of its operations with its variables."""

    document: DocumentNode
    operation: OperationDefinitionNode
    name: str | None
    variables: Mapping[str, Any]
    selected: Selected

    @property
    def changes(self) -> bool:
        """Whether it is a mutation."""
        return self.operation.operation is OperationType.MUTATION


class Executor:
    """Executes the documents of one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits, *, introspection: bool) -> None:
        self.schema, self.limits = schema, limits
        self.rules = (*specified_rules, *([] if introspection else [NoSchemaIntrospectionCustomRule]))
        self._valid: dict[str, tuple[DocumentNode, set[Any]]] = {}
        """Documents by their texts, with the numbers among their variables with which they are within the limits."""

    def knows(self, text: Any) -> bool:
        """Whether a document was valid before, so that to prepare it takes no time."""
        return isinstance(text, str) and text in self._valid

    def prepare(self, text: Any, variables: Any, name: str | None) -> Prepared:
        """Parse, measure and validate a document, and look ahead. Raises GraphQLErrors."""
        if not isinstance(text, str) or not text.strip():
            raise GraphQLErrors([GraphQLError("Send the document as a text in `query`.")])
        try:
            document = self._checked(text, variables)
        except RecursionError:
            raise GraphQLErrors([GraphQLError("The query is nested too deeply.")]) from None
        except GraphQLError as error:
            raise GraphQLErrors([error]) from error
        operation = get_operation_ast(document, name)
        if operation is None:
            which = f"There is no operation {name!r}" if name else "There are several operations or none"
            raise GraphQLErrors([GraphQLError(f"{which}; name one of the document's in `operationName`.")])
        if operation.operation is OperationType.SUBSCRIPTION:
            raise GraphQLErrors([GraphQLError("Changes are notified over the WebSocket /api/ws/events.")])
        coerced = get_variable_values(self.schema, operation.variable_definitions or (), dict(variables))
        if isinstance(coerced, list):
            raise GraphQLErrors(coerced)
        selected = select(self.schema, document, operation, coerced)
        return Prepared(document, operation, name, variables, selected)

    def execute(self, prepared: Prepared, context: Context) -> dict[str, Any]:
        """The answer. Queries see one moment of the database; each mutation has a transaction of its own."""
        context.selected = prepared.selected
        prepared.selected.leave_out(context.refused)
        try:
            with ExitStack() as stack:
                stack.enter_context(in_time(self.limits))
                if not prepared.changes:
                    stack.enter_context(context.processes.database.transaction(read_only=True))
                    use_one_snapshot()
                result = execute_sync(
                    self.schema,
                    prepared.document,
                    variable_values=dict(prepared.variables),
                    operation_name=prepared.name,
                    context_value=context,
                    **EXECUTED_BY,
                )
        except OutOfTime:
            late = f"The query took longer than {self.limits.seconds:g} seconds. Ask for less at once."
            return failed([GraphQLError(late, extensions={"error_type": "internal_error"})])
        except Exception as error:  # noqa: BLE001  before a root is read: the database is away
            return failed([GraphQLError(str(error), original_error=error)])
        answer: dict[str, Any] = {"data": result.data}
        errors = [*(result.errors or ()), *_add_later(result.data, context)]
        if errors:
            answer["errors"] = [formatted(error) for error in errors]
        return answer

    def _checked(self, text: str, variables: Mapping[str, Any]) -> DocumentNode:
        """The document within the limits. Raises GraphQLError, or GraphQLErrors."""
        given = tuple((key, one if isinstance(one, int) else None) for key, one in variables.items())
        document, within = self._valid.get(text, (None, set()))
        if document is not None:
            if given not in within:
                measure(document, variables, self.limits)
                within.update([given] if len(within) < KEPT else [])
            return document
        document = parsed(text, self.limits)
        measure(document, variables, self.limits)  # before the validation, which compares fields with each other
        if faults := validate(self.schema, document, self.rules):
            raise GraphQLErrors(faults)
        if len(text) <= LONGEST_KEPT:
            while len(self._valid) >= KEPT:
                self._valid.pop(next(iter(self._valid), ""), None)
            self._valid[text] = document, {given}
        return document


def _add_later(data: Any, context: Context) -> Iterator[GraphQLError]:
    """Put late values into the data; the errors of those that fail."""
    for path, make in context.later:
        holder = reduce(lambda within, key: within and within[key], path[:-1], data)
        try:
            if holder is not None:
                holder[path[-1]] = make()
        except Exception as error:  # noqa: BLE001  a form is an organisation's code
            yield GraphQLError(str(error), path=path, original_error=error)


class GraphQLErrors(Exception):
    """Why a document is not executed."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors


def failed(errors: list[GraphQLError]) -> dict[str, Any]:
    """An answer without data."""
    return {"data": None, "errors": [formatted(error) for error in errors]}


def formatted(error: GraphQLError) -> dict[str, Any]:
    """An error for clients, with its type; what went wrong unexpectedly is in the log only."""
    shown: dict[str, Any] = dict(error.formatted)
    original: BaseException | None = error.original_error
    while isinstance(original, GraphQLError):
        original = original.original_error
    if original is None:
        kind = "bad_request"
    elif isinstance(original, OrchestratorError | TransportError | ExternalSystemError):
        status = status_of(original)
        kind = TYPES.get(status, "internal_error" if status >= 500 else "bad_request")
        if isinstance(original, DatabaseUnreachable):
            log.warning("%s", original)
            shown["message"] = AWAY
    else:
        log.error("A field of a GraphQL query failed.", exc_info=original)
        kind, shown["message"] = "internal_error", UNKNOWN
    shown["extensions"] = {"error_type": kind, **(error.extensions or {})}
    return shown
