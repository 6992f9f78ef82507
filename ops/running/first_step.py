"""The first step of a run: it starts the process, or takes it over, or finds that there is nothing to do."""

from collections.abc import Iterator
from datetime import UTC, datetime

from dagster import OpExecutionContext, Output

from ops.running.execution import (
    NOTHING_TO_DO,
    claimed_segment,
    engine_errors_recorded,
    refused,
    resources_of,
)
from ops.running.next_runs import parent_continues
from ops.running.observing import observe_start
from ops.running.report import step_metadata
from ops.running.segment import WAITING, Segment, record_of
from ops.starting.admission import StartRequest, admit
from ops.starting.submitted_answers import wake
from ops.steps.forms import as_pages
from ops.steps.state import Delta
from ops.steps.step import LedgerStep
from ops.steps.workflow import Workflow
from resources.errors import (
    REFUSALS,
    FormError,
    ProcessExists,
    StartRefused,
    SubscriptionError,
    UnknownProcess,
)
from resources.processes import ledger, process_rows, waits
from resources.processes.ledger import StepRecord
from resources.processes.owner import owned_by
from resources.types import ProcessStatus, State, StepStatus

MOST_WAITS = 100
"""How many waits of one process are ended at once."""
REFUSED_REQUESTS = (FormError, ProcessExists, StartRefused, SubscriptionError)
"""Why a start that a sensor requested is refused, when its subscription has changed since."""


def run_start(op: OpExecutionContext, workflow: Workflow, place: LedgerStep) -> Iterator[Output[None]]:
    """Start the process, or continue it if it exists. Commits; may run twice.

    Without output, so that no step follows, when another run does what this one was requested for.
    """
    segment = claimed_segment(op, workflow)
    with parent_continues(segment), engine_errors_recorded(segment, place):
        yield from _start_claimed(segment, place)


def _start_claimed(segment: Segment, place: LedgerStep) -> Iterator[Output[None]]:
    started, op, workflow = datetime.now(UTC), segment.op, segment.workflow
    try:
        with segment.database.statements():
            found = process_rows.find_claim(segment.process_id)
        if found is not None and found.status in WAITING:
            _end_due_waits(segment)
        state = _take_over(segment, place, started) if found is not None else _admit(segment, place, started)
    except REFUSALS as error:
        is_passed_over = segment.request is not None and isinstance(error, REFUSED_REQUESTS)
        if is_passed_over or segment.has_nothing_to_do(error):
            segment.end_abort()
            op.log.info(NOTHING_TO_DO.format(error))
            return
        raise refused(error) from error
    segment.tag_first(state)
    observe_start(segment, started)
    seconds = (datetime.now(UTC) - started).total_seconds()
    about = {"workflow": workflow.name, "product": state.get("product_name"), "customer": state.get("customer_id")}
    yield Output(None, metadata=step_metadata(segment.process_id, Delta(state, []), seconds=seconds, about=about))


def _end_due_waits(segment: Segment) -> None:
    """End the waits of the process that are due: this run was requested for that. Commits."""
    with segment.database.transaction(read_only=True):
        found = waits.due(segment.owner, MOST_WAITS, of=segment.process_id)
    for due in found:
        wake(segment.workflow, due, database=segment.database)


def _take_over(segment: Segment, place: LedgerStep, started: datetime) -> State:
    """Claim a process that was started before, or that continues; its current state."""
    with segment.database.transaction():
        claim = segment.claim()
        if place.key not in claim.committed:
            delta = Delta(claim.state, [])
            ledger.record_step(record_of(segment, place, started, StepStatus.SUCCESS, delta))
    return claim.state


def _admit(segment: Segment, place: LedgerStep, started: datetime) -> State:
    """Start a process in its own run, which Dagster's UI, the shell or a schedule launched."""
    if segment.is_named:
        raise UnknownProcess(f"There is no process {segment.process_id}; leave `process` out to start a new one.")

    def first_line(state: State) -> StepRecord:
        return record_of(segment, place, started, StepStatus.SUCCESS, Delta(state, []))

    config = segment.op.op_config or {}
    request = StartRequest(
        workflow=segment.workflow,
        pages=as_pages(config.get("inputs")),
        user=segment.user,
        process_id=segment.process_id,
        run_id=segment.run_id,
        status=ProcessStatus.RUNNING,
        first_line=first_line,
        resources=resources_of(segment.op),
        idempotency_key=segment.request,
    )
    with owned_by(segment.owner):
        return admit(request, segment.database)
