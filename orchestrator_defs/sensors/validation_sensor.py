"""A sensor that validates all subscriptions in turn: each tick those with the oldest validation, within a budget."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from dagster import (
    DagsterInstance,
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from ops.steps.workflow import Workflow
from ops.tasks.validation import usable_statuses, validations_of
from orchestrator_defs.processes.launching import is_requested, next_run_key, runs_by_tag
from orchestrator_defs.sensors.jobs_sensor import JobsSensor
from resources import clock, tags
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.processes import pause, validations
from resources.processes.owner import Owner, owned_by
from resources.processes.validations import Candidate
from resources.runs.launching.launcher import PRIORITY
from resources.runs.storage_identity import storage_id
from resources.settings import settings
from resources.users import SYSTEM

INTERVAL_SECONDS = 30
BULK_PRIORITY = "-1"
"""A low priority: runs for which people wait go first."""


class Fleet(Protocol):
    """What the sensor needs of its orchestrator."""

    name: str

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """Its workflows by name."""

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""

    def prepare(self) -> SubscriptionDatabase:
        """Its database, ready for use."""


def validation_sensor(fleet: Fleet, jobs: Sequence[JobDefinition]) -> SensorDefinition:
    """Make the sensor; off until people switch it on in Dagster's page.

    A tick requests a run for each subscription that is next, unless VALIDATIONS_AT_ONCE are unfinished; it writes
    nothing. The run starts the validation, once for each request.
    """

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        with owned_by(Owner(fleet.name, storage_id(context.instance))):
            requests, summary = _tick(fleet, context.instance)
        context.update_cursor(json.dumps({"at": clock.now().isoformat(timespec="seconds"), "did": summary}))
        yield from requests
        if not requests:
            yield SkipReason(summary)

    return JobsSensor(
        name="validation_sensor",
        evaluation_fn=tick,
        jobs=jobs,
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=DefaultSensorStatus.STOPPED,
        description="Validates the subscriptions with the oldest validation.",
    )


def _tick(fleet: Fleet, instance: DagsterInstance) -> tuple[list[RunRequest], str]:
    budget = settings().validations_at_once
    types = {product.product_type for product in fleet.catalogue.products}
    with owned_by(Owner(fleet.catalogue.owner, storage_id(instance))), fleet.prepare().transaction(read_only=True):
        if pause.is_paused():
            return [], "The engine is paused."
        unfinished = validations.under_way()
        found = validations.oldest(usable_statuses(fleet.workflows, types), limit=budget)
    asked = {
        _request(workflow, candidate): (workflow, candidate)
        for candidate in found
        for workflow in validations_of(fleet.workflows, candidate.product_type)
        if candidate.status in workflow.rule.usable_when
    }
    earlier = runs_by_tag(instance, tags.REQUEST, list(asked))
    open_requests = {request for request, runs in earlier.items() if is_requested(runs)}
    unfinished += len(open_requests)
    if unfinished >= budget:
        return [], f"{unfinished} validations are unfinished; {budget} are allowed."
    if not found:
        return [], "No subscription can be validated: none is in sync, unlocked and of a product with a validation."
    keys = {request: next_run_key(request, earlier.get(request, [])) for request in asked}
    free = [(request, run_key) for request, run_key in keys.items() if run_key][: budget - unfinished]
    oldest = found[0].last.isoformat(timespec="seconds") if found[0].last else "never"
    summary = f"Requested {len(free)} validations; the oldest was last started {oldest}."
    return [_run_request(request, run_key, *asked[request]) for request, run_key in free], summary


def _request(workflow: Workflow, candidate: Candidate) -> str:
    """A validation that follows the subscription's last one. When it has started, the next request is another."""
    last = candidate.last.isoformat() if candidate.last else "never"
    return f"{workflow.name}:{candidate.subscription_id}:{last}"


def _run_request(request: str, run_key: str, workflow: Workflow, candidate: Candidate) -> RunRequest:
    subscription_id = str(candidate.subscription_id)
    known = {tags.REQUEST: request, tags.SUBSCRIPTION: subscription_id, **tags.of_user(SYSTEM), PRIORITY: BULK_PRIORITY}
    return RunRequest(
        run_key=run_key,
        job_name=workflow.name,
        run_config={"inputs": {"subscription_id": subscription_id}},
        tags=known,
    )
