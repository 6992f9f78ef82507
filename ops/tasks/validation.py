"""Validate all subscriptions: start their validations in batches, never with all of them in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from uuid import uuid5

from ops.starting.admission import StartRequest, admit
from ops.steps.context import StepContext
from ops.steps.step import Step, step
from ops.steps.workflow import Workflow
from resources.database.session import SubscriptionDatabase
from resources.errors import OrchestratorError, ProcessExists
from resources.processes import validations
from resources.processes.validations import Candidate, Usable
from resources.settings import settings
from resources.types import ProcessId, State, SubscriptionLifecycle, Target

BATCH = 200
SHOWN = 20
"""How many refusals the state lists; the log has all."""

Workflows = Callable[[], Mapping[str, Workflow]]
"""The workflows of an orchestrator by name, read when needed: a task is one of them."""


def validations_of(workflows: Mapping[str, Workflow], product_type: str) -> list[Workflow]:
    """The workflows that validate subscriptions of a product type."""
    return [one for one in workflows.values() if one.target is Target.VALIDATE and one.may_run_on(product_type)]


def usable_statuses(workflows: Mapping[str, Workflow], product_types: Iterable[str]) -> Usable:
    """The statuses in which subscriptions can be validated, by product type; types without validation are left out."""
    found = {}
    for product_type in product_types:
        statuses: frozenset[SubscriptionLifecycle] = frozenset()
        for workflow in validations_of(workflows, product_type):
            statuses |= workflow.rule.usable_when
        if statuses:
            found[product_type] = statuses
    return found


def start_validations(workflows: Workflows, product_types: Callable[[State], set[str]]) -> Step:
    """Make a step that starts all validations of all subscriptions of some product types.

    Each becomes a process of its own, committed by itself; after a crash the step starts none twice. Adds
    `validations_started`, `validations_refused` (counts) and `refusals` (the first few).
    """

    @step("Start validations")
    def start_all(state: State, context: StepContext, database: SubscriptionDatabase) -> State:
        known = workflows()
        started, refusals = 0, []
        with database.detached():
            for candidate in _all(database, usable_statuses(known, product_types(state))):
                for workflow in validations_of(known, candidate.product_type):
                    if candidate.status not in workflow.rule.usable_when:
                        continue
                    try:
                        start_one(workflow, candidate, context.process_id, database)
                        started += 1
                    except OrchestratorError as error:  # refused, or deleted since the batch was read
                        context.log.warning("%s: %s", candidate.subscription_id, error)
                        refusals.append(f"{candidate.subscription_id}: {error}")
        return {
            "validations_started": started,
            "validations_refused": len(refusals),
            "refusals": refusals[:SHOWN],
        }

    return start_all


def start_one(workflow: Workflow, candidate: Candidate, cause: ProcessId, database: SubscriptionDatabase) -> ProcessId:
    """Start one validation for a cause, once; its process, which the sweeper launches. Commits.

    Raises StartRefused and what else `admit` raises.
    """
    process_id = uuid5(cause, f"{workflow.name}:{candidate.subscription_id}")
    page = {"subscription_id": str(candidate.subscription_id)}
    request = StartRequest(workflow, [page], "SYSTEM", process_id, run_id=str(process_id))
    with suppress(ProcessExists):  # this cause has started it before
        admit(request, database)
    return process_id


def _all(database: SubscriptionDatabase, usable: Usable) -> Iterator[Candidate]:
    after = None
    while True:
        with database.transaction(read_only=True):
            found = validations.batch(
                usable, after=after, limit=BATCH, out_of_sync=settings().validate_out_of_sync_subscriptions
            )
        yield from found
        if len(found) < BATCH:
            return
        after = found[-1].subscription_id
