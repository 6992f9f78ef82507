"""A sensor that validates all subscriptions in turn: each tick those with the oldest validation, within a budget."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol
from uuid import uuid4

from dagster import (
    DefaultSensorStatus,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
)

from ops.steps.workflow import Workflow
from ops.tasks.validation import start_one, usable_statuses, validations_of
from orchestrator_defs.sensors.jobs_sensor import JobsSensor
from resources import clock, tags
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.errors import OrchestratorError
from resources.processes import pause, validations
from resources.processes.owner import Owner, owned_by
from resources.processes.validations import Candidate
from resources.runs.launching.launcher import PRIORITY
from resources.runs.storage_identity import storage_id
from resources.settings import settings

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

    A tick starts a validation for each subscription that is next, unless VALIDATIONS_AT_ONCE are unfinished. Each start
    records the time in its own transaction, so no subscription is started twice.
    """

    def tick(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        with owned_by(Owner(fleet.name, storage_id(context.instance))):
            requests, summary = _tick(fleet)
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


def _tick(fleet: Fleet) -> tuple[list[RunRequest], str]:
    database = fleet.prepare()
    budget = settings().validations_at_once
    types = {product.product_type for product in fleet.catalogue.products}
    with database.transaction(read_only=True):
        if pause.is_paused():
            return [], "The engine is paused."
        unfinished = validations.under_way()
        if unfinished >= budget:
            return [], f"{unfinished} validations are unfinished; {budget} are allowed."
        found = validations.oldest(usable_statuses(fleet.workflows, types), limit=budget - unfinished)
    outcomes = [
        _start(workflow, candidate, database)
        for candidate in found
        for workflow in validations_of(fleet.workflows, candidate.product_type)
        if candidate.status in workflow.rule.usable_when
    ]
    requests = [one for one in outcomes if isinstance(one, RunRequest)]
    refusals = [one for one in outcomes if isinstance(one, str)]
    if not found:
        return [], "No subscription can be validated: none is in sync, unlocked and of a product with a validation."
    oldest = found[0].last.isoformat(timespec="seconds") if found[0].last else "never"
    summary = f"Started {len(requests)} validations; the oldest was last started {oldest}."
    return requests, " ".join([summary, *refusals[:3]])


def _start(workflow: Workflow, candidate: Candidate, database: SubscriptionDatabase) -> RunRequest | str:
    try:
        process_id = start_one(workflow, candidate, uuid4(), database)
    except OrchestratorError as error:
        with database.transaction():
            validations.note_start(candidate.subscription_id)  # otherwise it would be the oldest in every tick
        return f"{candidate.subscription_id}: {error}"
    known = {tags.PROCESS: process_id, tags.SUBSCRIPTION: candidate.subscription_id, tags.USER: "SYSTEM"}
    return RunRequest(
        run_key=str(process_id),
        job_name=workflow.name,
        tags={**{key: str(value) for key, value in known.items()}, PRIORITY: BULK_PRIORITY},
    )
