"""The validation of one subscription without a process of its own: for batches, in whose threads it runs."""

import time
from collections.abc import Mapping
from logging import Logger
from typing import Any
from uuid import UUID, uuid4

from ops.starting.admission import state_of_subscription
from ops.steps.branches import Change, check_agree
from ops.steps.context import Scope, StepContext
from ops.steps.failure_words import reason_of
from ops.steps.invocation import prepare, view
from ops.steps.items import items_in, result_of, state_with
from ops.steps.state import Delta, models_in
from ops.steps.step import Branch, LedgerStep, Step
from ops.steps.workflow import Workflow
from ops.validating.outcome import differences_of, result_of_error
from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProcessStepTable
from resources.domain.saving.reading import ReadAhead, given_ahead, read_subscription
from resources.errors import StateError, TransactionReadsOnly, TransportError, WorkflowError
from resources.processes.waits import Wait
from resources.types import State, SubscriptionId, ValidationResult
from resources.users import SYSTEM
from resources.validations.results import Outcome

ALONE = (
    "Declare the workflow with `validate_workflow(…, in_batch=False)`, which validates each in a process of its own."
)
WRITES = f"Its step {{!r}} writes to the database, which a validation in a batch does not. {ALONE}"
WAITS = f"Its step {{!r}} waits, which a validation in a batch cannot. {ALONE}"


def validate_one(
    workflow: Workflow,
    subscription_id: SubscriptionId,
    database: SubscriptionDatabase,
    resources: Mapping[str, Any],
    log: Logger,
    ahead: ReadAhead | None = None,
) -> Outcome:
    """Run the steps of a validation and return what it found; writes nothing. May run in several threads.

    `resources` are those of the workflow's steps, by key. Only transactions that read are opened, and none is held open
    while a step talks to another system. The first step that takes the subscription gets the rows that were read
    `ahead`, while they are fresh; drift from rows that have changed since, be it of a neighbour, is looked for again.
    Raises UnknownSubscription, and TransportError while the database is away.
    """
    started = time.monotonic()
    with database.detached():
        if is_read_here := ahead is None or not ahead.is_fresh:
            ahead = _read(database, subscription_id)
        record, product = ahead.rows
        state = _first_state(workflow) | state_of_subscription(record.header, product, record.version)
        result, differences, reason = ValidationResult.PASSED, [], None
        steps = _Steps(workflow, database, resources, log, state)
        try:
            with given_ahead(ahead):
                steps.run()
        except TransportError:
            raise
        except BaseException as error:  # noqa: BLE001  # an organisation's step may raise anything
            result, differences = result_of_error(error), differences_of(error, steps.reached)
            reason = None if result is ValidationResult.DRIFTED else reason_of(error)
        is_doubtful = result is ValidationResult.DRIFTED and not is_read_here
        if is_doubtful and _read(database, subscription_id).rows != ahead.rows:
            return validate_one(workflow, subscription_id, database, resources, log)
    seconds = time.monotonic() - started
    return Outcome(subscription_id, workflow.name, product.name, result, record.version, seconds, differences, reason)


def _read(database: SubscriptionDatabase, subscription_id: SubscriptionId) -> ReadAhead:
    with database.statements():
        return ReadAhead(read_subscription(subscription_id))


def _first_state(workflow: Workflow) -> State:
    return {
        "process_id": str(uuid4()),
        "reporter": SYSTEM,
        "workflow_name": workflow.name,
        "workflow_target": workflow.target.value,
    }


class _Steps:
    """The steps of one validation, with the state in memory."""

    def __init__(
        self,
        workflow: Workflow,
        database: SubscriptionDatabase,
        resources: Mapping[str, Any],
        log: Logger,
        state: State,
    ) -> None:
        self._workflow, self._database, self._resources, self._log = workflow, database, resources, log
        self._state = state
        self.reached: Step | None = None
        self._branches: dict[Branch, State] = {}
        self._changes: list[Change] = []

    def run(self) -> None:
        """Run all but the first and the last, which are the engine's."""
        for place in self._workflow.ledger_steps[1:-1]:
            if place.branch is not None:
                before = self._branches.get(place.branch, self._state)
                after = self._branches[place.branch] = self._after(place, before)
                self._changes.append(Change(place.branch, place.label, Delta.between(before, after)))
                continue
            if place.step.is_join:
                self._join()
            self._state = self._after(place, self._state)

    def _join(self) -> None:
        check_agree(self._changes)
        for change in self._changes:
            self._state = change.delta.applied_to(self._state)
        self._changes, self._branches = [], {}

    def _after(self, place: LedgerStep, state: State) -> State:
        """The state after a step, or after the steps for each of its items."""
        items = self._items(place, state) if place.step.each is not None else None
        self.reached = place.step
        context = StepContext(
            UUID(state["process_id"]), self._workflow.name, place.key, SYSTEM, self._log, resources=self._resources
        )
        with self._database.statements():  # of which each loads a subscription
            call = prepare(place.step, state, Scope(self._resources, context))
        if call is None:
            return state
        try:
            with self._database.transaction(read_only=True):
                result = call.run() if items is None else result_of(place, call.view, items)
                if isinstance(result, Wait):
                    raise WorkflowError(WAITS.format(place.label))
                if result is None or isinstance(result, Mapping):
                    result = call.whole_result(result)
                for model in models_in(result):
                    model.save()  # sends nothing unless the step has changed it
        except TransactionReadsOnly as error:
            raise StateError(WRITES.format(place.label)) from error
        return call.view.state_after(result)

    def _items(self, place: LedgerStep, state: State) -> list[ProcessStepTable]:
        """What the steps for each item have set, as lines of the ledger that are not stored."""
        lines: list[ProcessStepTable] = []
        seen = view(place.step, state)
        for index, item in enumerate(items_in(place, seen.part) if seen is not None else []):
            assert seen is not None, "there are no items otherwise"
            before = state_with(place, seen.part, item)
            for one in place.of_item(index):
                after = self._after(one, before)
                delta = Delta.between(before, after)
                lines.append(ProcessStepTable(step_key=one.key, set=delta.set, removed=delta.removed))
                before = after
        return lines
