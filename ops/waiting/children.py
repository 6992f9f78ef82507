"""Child processes: a process starts them and waits for them without holding anything."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, runtime_checkable
from uuid import UUID, uuid5

from ops.starting.admission import StartRequest, admit_all
from ops.steps.arguments import arguments_of, check_arguments
from ops.steps.context import Scope, StepContext
from ops.steps.forms import as_pages
from ops.steps.state import REMOVE_KEYS, shown
from ops.steps.step import Starts, Step
from ops.steps.workflow import Workflow
from resources.declaring import LONGEST_LABEL, declares
from resources.errors import (
    ChildrenFailed,
    NotWaiting,
    OrchestratorError,
    StartRefused,
    StateError,
    WorkflowDeclarationError,
)
from resources.processes import interventions, ledger, process_rows
from resources.processes.process_rows import Child
from resources.processes.waits import Wait, WaitKind
from resources.types import ProcessStatus, State, StepStatus

CHILDREN = "children"
"""The state key with the ids of the children to wait for."""
NAMED = 5
"""How many failed children a message names."""


@runtime_checkable
class HasWorkflow(Protocol):
    """A job that was made from a workflow."""

    workflow: Workflow


# --- start ---


@declares
def start_children(
    workflow: HasWorkflow | Workflow,
    inputs_from_state: Callable[..., Sequence[Any]],
    *,
    name: str = "",
    label: str = "",
    children: str = CHILDREN,
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Step:
    """Make a step that starts a process of a workflow for each of the inputs that a function finds in the state.

    The function takes its parameters as a step does and returns a list: the input of each child, a mapping or a list of
    pages. All children are started or none, in the step's own transaction and by the rules of any start; one that is
    refused fails the step and is named. Who may start the parent may start its children. They are launched afterwards.

    The ids are added to the list `children` of the state. They are derived from those of the parent and the step, so
    that no child is started twice. A process that is sent back starts new children; the old ones continue.
    """
    spec = workflow if isinstance(workflow, Workflow) else workflow.workflow
    check_arguments(inputs_from_state)

    def start(state: State, context: StepContext) -> State:
        arguments = arguments_of(inputs_from_state).values(state, Scope(context.resources, context), context.step_key)
        ids = _start(spec, inputs_from_state(**arguments), context)
        return {children: [*state.get(children, []), *ids]}

    return Step(
        name or f"start_{spec.name}",
        (label or f"Start: {spec.description}")[:LONGEST_LABEL],
        start,
        is_held=True,
        starts=Starts(spec, inputs_from_state),
        retry_auth_callback=retry_auth_callback,
    )


def _start(spec: Workflow, inputs: Any, context: StepContext) -> list[str]:
    if not isinstance(inputs, Sequence) or isinstance(inputs, str):
        raise StateError(f"The inputs of the children of {context.step_key!r} are a list, not {shown(inputs)}.")
    parent = process_rows.get_process(context.process_id)
    requests = []
    for index, one in enumerate(inputs):
        child_id = uuid5(context.process_id, f"{context.idempotency_key}:{index}")
        request = StartRequest(
            workflow=spec,
            pages=as_pages(one),
            user=parent.created_by or context.user,
            process_id=child_id,
            run_id=str(child_id),
            parent=context.process_id,
            resources=context.resources,
        )
        requests.append(request)
    admit_all(requests, refused=_refused)
    context.ready.extend(request.process_id for request in requests)
    return [str(request.process_id) for request in requests]


def _refused(request: StartRequest, error: OrchestratorError) -> StartRefused:
    return StartRefused(
        f"No child was started, for {request.workflow.name} may not start with {shown(list(request.pages))}: {error}",
        reason=getattr(error, "reason", ""),
        details=getattr(error, "details", None),
    )


# --- wait ---


@declares
def wait_children(
    *,
    retry: Literal["failed", "none"] = "failed",
    accept: int = 0,
    children: str = CHILDREN,
    results: str = "",
    name: str = "",
    label: str = "Wait for the children",
    retry_auth_callback: Callable[..., Any] | None = None,
) -> Step:
    """Make a step that waits until no child runs any longer: each is completed, failed or aborted. Nothing is held
    during the wait.

    The step fails when more than `accept` of them have failed or were aborted. A retry of the step retries those that
    failed, and no others; with `retry="none"` it only checks again. Then `results`, `children_results` by default,
    replaces the list `children` in the state: the id and the status of each, in the order of their start.

    A child that waits for input, a callback or a retry counts as running.
    """
    if accept < 0:
        raise WorkflowDeclarationError(f"`wait_children` accepts 0 failed children or more, not {accept}.")

    def wait(state: State, context: StepContext) -> State | Wait:
        if children not in state:
            raise StateError(f"There are no children to wait for: the state has no {children!r}.")
        found = _found(context, state[children])
        failed = [child for child in found if _has_failed(child)]
        running = [child for child in found if not (child.status.is_final or child.status.is_failure)]
        if not running and len(failed) > accept and retry == "failed":
            running = _retry_failed(failed, context)
        if running:
            return Wait(WaitKind.CHILDREN, reason=f"{len(running)} of {len(found)} children have not stopped.")
        if len(failed) > accept:
            raise _too_many(failed, len(found), accept)
        outcome = [{"process_id": str(child.process_id), "status": child.status.value} for child in found]
        return {results or f"{children}_results": outcome, REMOVE_KEYS: [children]}

    key = name or f"wait_{children}"
    return Step(key, label, wait, is_held=True, retry_auth_callback=retry_auth_callback)


def _found(context: StepContext, ids: Sequence[str]) -> list[Child]:
    """The children, each once, in the order of their start. A task that was cleaned up was completed."""
    known = {child.process_id: child for child in process_rows.children_of(context.process_id)}
    distinct = dict.fromkeys(UUID(one) for one in ids)
    return [known.get(one) or Child(one, "", ProcessStatus.COMPLETED) for one in distinct]


def _has_failed(child: Child) -> bool:
    return child.status.is_failure or child.status is ProcessStatus.ABORTED


def _retry_failed(failed: Sequence[Child], context: StepContext) -> list[Child]:
    """Resume the failed children, if this step has already failed because of them; those that were resumed."""
    line = ledger.line_of(context.process_id, context.step_key)
    if line is None or line.status != StepStatus.FAILED:
        return []
    resumed = sorted((child for child in failed if child.status.is_failure), key=lambda child: child.process_id)
    for child in resumed:
        with suppress(NotWaiting):  # it was resumed or aborted in the meantime
            interventions.resume(child.process_id, user=context.user, at=interventions.FAILURES)
            context.ready.append(child.process_id)
    return resumed


def _too_many(failed: Sequence[Child], count: int, accept: int) -> ChildrenFailed:
    named = ", ".join(f"{child.process_id} ({child.workflow_name}, {child.status})" for child in failed[:NAMED])
    more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
    return ChildrenFailed(
        f"{len(failed)} of {count} children failed; {accept} may fail: {named}{more}. Retry to have the failed ones "
        f"retried; aborted ones stay aborted.",
        [
            {"process": str(child.process_id), "workflow": child.workflow_name, "status": child.status.value}
            for child in failed
        ],
    )
