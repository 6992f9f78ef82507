"""Maintenance: delete old tasks, check that catalogue, workflows and subscriptions are consistent."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from ops.steps.context import StepContext
from ops.steps.step import Step, step
from resources import clock
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InconsistentData, OrchestratorError
from resources.processes import process_rows
from resources.processes.owner import current_owner
from resources.settings import settings
from resources.subscriptions.lists import subscription_ids
from resources.types import State, SubscriptionId, Target

BATCH = 500
SHOWN = 50
"""How many errors the details name; the count includes all."""
EXPECTED = (Target.CREATE, Target.MODIFY, Target.TERMINATE, Target.VALIDATE)

Catalogues = Callable[[], Catalogue]


@step("Delete old tasks")
def delete_old_tasks(database: SubscriptionDatabase) -> State:
    """Delete completed tasks that have not changed for TASK_LOG_RETENTION_DAYS, a batch at a time.

    Each batch is committed by itself. Dagster's runs stay; Dagster has its own retention. Adds `tasks_deleted`.
    """
    before = clock.now() - timedelta(days=settings().task_log_retention_days)
    deleted = 0
    with database.detached():
        while True:
            with database.transaction():
                found = process_rows.delete_tasks(before=before, limit=BATCH)
            deleted += found
            if found < BATCH:
                return {"tasks_deleted": deleted}


def check_catalogue(catalogue: Catalogues) -> Step:
    """Make a step that compares the catalogue of the code with the database's. Raises InconsistentData."""

    @step("Compare the catalogue")
    def compare_catalogue() -> None:
        if plan := catalogue().plan():
            raise InconsistentData(
                "The catalogue in the database differs from the code; `orchestrator catalogue plan` shows how, "
                "`orchestrator catalogue apply` applies it.",
                details=[{"kind": one.kind, "name": one.name, "change": one.action} for one in plan.changes[:SHOWN]],
            )

    return compare_catalogue


def check_workflows(catalogue: Catalogues) -> Step:
    """Make a step that finds products without workflows. One without any is an error; adds `incomplete_products`."""

    @step("Look for missing workflows")
    def look_for_workflows(context: StepContext) -> State:
        found = catalogue()
        targets = {workflow.name: workflow.target for workflow in found.workflows}
        incomplete, bare = {}, []
        for name, row in found.rows.products.items():
            has = {targets[workflow] for workflow in row.workflows}
            if not has - {Target.MODIFY}:  # every product has modify_note
                bare.append(name)
            if row.status == "active" and (missing := [target.value for target in EXPECTED if target not in has]):
                incomplete[name] = missing
                context.log.warning("Product %s has no workflow for %s.", name, ", ".join(missing))
        if bare:
            raise InconsistentData("Some products have no workflow of their own.", [{"product": name} for name in bare])
        return {"incomplete_products": incomplete}

    return look_for_workflows


@step("Load every subscription")
def load_every_subscription(database: SubscriptionDatabase, context: StepContext) -> State:
    """Load each subscription to a product of this location as its model, one at a time.

    Raises InconsistentData naming those that do not load.

    Adds `subscriptions_loaded`.
    """
    loaded, faults = 0, []
    with database.detached():
        for subscription_id in _all(database):
            try:
                with database.transaction(read_only=True):
                    SubscriptionModel.from_subscription(subscription_id)
                loaded += 1
            except (OrchestratorError, ValidationError) as error:
                context.log.warning("Subscription %s cannot be loaded: %s", subscription_id, error)
                faults.append({"subscription_id": str(subscription_id), "error": str(error)[:500]})
    if faults:
        total = loaded + len(faults)
        raise InconsistentData(f"{len(faults)} of {total} subscriptions cannot be loaded.", faults[:SHOWN])
    return {"subscriptions_loaded": loaded}


def _all(database: SubscriptionDatabase) -> Iterator[SubscriptionId]:
    after: Any = None
    while True:
        with database.transaction(read_only=True):
            found = subscription_ids(after=after, limit=BATCH, of=current_owner().owns_product())
        yield from found
        if len(found) < BATCH:
            return
        after = found[-1]
