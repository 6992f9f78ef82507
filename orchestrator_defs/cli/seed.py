"""`orchestrator seed`: many made-up subscriptions with their processes, to try and measure with."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, TypeAlias
from uuid import UUID

import click

from ops.steps.workflow import Workflow
from orchestrator_defs.cli.application import Application
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.catalogue.entries import list_workflows
from resources.database.copying import copy_rows, vacuum
from resources.database.tables import ProcessStepTable, ProcessSubscriptionTable, ProcessTable
from resources.domain.bulk import insert_subscriptions
from resources.domain.subscription_model import SubscriptionModel
from resources.settings import settings
from resources.subscriptions.lists import count_subscriptions
from resources.types import ProcessStatus, StepStatus, SubscriptionLifecycle, Target

BATCH = 2000
USERS = ("alice", "bob", "carol", "dave", "noc", "planning")
STEP_SECONDS = 3.0
"""How long a step of a made-up process took at most."""
DRIFT = "The description differs from the one in the inventory."

Row: TypeAlias = tuple[Any, ...]


@click.command()
@click.option("--subscriptions", type=click.IntRange(1, 1_000_000), default=1000, show_default=True, help="How many.")
@click.option("--yes", is_flag=True, help="Do not ask, when the database is not the embedded one.")
@code_options
@click.pass_obj
def seed(application: Application, subscriptions: int, yes: bool) -> None:
    """Fill the database with made-up subscriptions and their processes, as many as you like.

    What is made up is only in the database: no external system knows of it, so a validation finds drift.
    """
    orchestrator = application.orchestrator
    if orchestrator.sample is None:
        raise click.ClickException(
            f"The definitions of {orchestrator.name!r} make nothing up: give `build_definitions` a `sample`."
        )
    if settings().database_uri is not None and not yes:
        click.confirm(f"Write {subscriptions:,} made-up subscriptions into the database of DATABASE_URI?", abort=True)
    orchestrator.prepare()
    with click.progressbar(length=subscriptions, label="Subscriptions") as progress:
        processes = sow(orchestrator, subscriptions, progress.update)
    click.echo(f"{subscriptions:,} subscriptions are there now, with {processes:,} processes.")


def sow(orchestrator: Orchestrator, size: int, done: Callable[[int], object]) -> int:
    """Make up `size` subscriptions and commit them in batches; the number of their processes. Tells `done` of each.

    Needs an orchestrator with a sample, and its catalogue in the database.
    """
    database = orchestrator.database
    assert orchestrator.sample is not None
    with database.transaction(read_only=True):
        number = count_subscriptions()
        history = History(orchestrator, number)
    made = orchestrator.sample(size, number)
    for begun in range(0, size, BATCH):
        with database.transaction():
            batch = list(islice(made, min(BATCH, size - begun)))
            insert_subscriptions(batch)
            history.insert(batch)
        done(len(batch))
    vacuum(database)
    return history.made


class History:
    """Makes up the processes of subscriptions: two on average, all of which have ended."""

    def __init__(self, orchestrator: Orchestrator, number: int) -> None:
        self.location, self.made = orchestrator.name, 0
        self.random = random.Random(f"history {number}")
        self.workflows = [each for each in orchestrator.workflows.values() if each.target is not Target.SYSTEM]
        self.ids = {each.name: each.workflow_id for each in list_workflows()}

    def insert(self, subscriptions: list[SubscriptionModel]) -> None:
        """Insert the processes in the current transaction, in three statements."""
        made = [(one, *self._process(one, *run)) for one in subscriptions for run in self._runs(one)]
        self.made += len(made)
        links = [(process[0], one.subscription_id, lines[0][-2]) for one, process, lines in made]
        copy_rows(ProcessTable, PROCESS, [process for _, process, _ in made])
        copy_rows(ProcessSubscriptionTable, ("process_id", "subscription_id", "created_at"), links)
        copy_rows(ProcessStepTable, LINE, [line for _, _, lines in made for line in lines])

    def _process(self, one: SubscriptionModel, workflow: Workflow, began: datetime) -> tuple[Row, list[Row]]:
        """The row of a process, and its ledger. A validation of what is out of sync has found drift."""
        process_id, user = self._id(), self.random.choice(USERS)
        failed = workflow.target is Target.VALIDATE and not one.insync
        lines = list(self._lines(workflow, process_id, user, began, failed))
        state = {
            "process_id": str(process_id),
            "reporter": user,
            "workflow_name": workflow.name,
            "workflow_target": workflow.target.value,
            "subscription_id": str(one.subscription_id),
        }
        process = (
            process_id,
            self.ids[workflow.name],
            workflow.is_task,
            (ProcessStatus.INCONSISTENT_DATA if failed else ProcessStatus.COMPLETED).value,
            lines[-1][3],
            state,
            workflow.step_keys,
            DRIFT if failed else None,
            user,
            self.location,
            began,
            lines[-1][-1],
        )
        return process, lines

    def _runs(self, one: SubscriptionModel) -> Iterator[tuple[Workflow, datetime]]:
        """What has run on a subscription, and when."""
        start = one.start_date or datetime.now(UTC)
        fitting = [each for each in self.workflows if one.product.product_type in each.product_types]
        for workflow in fitting:
            match workflow.target:
                case Target.CREATE:
                    yield workflow, start
                case Target.TERMINATE if one.end_date is not None:
                    yield workflow, one.end_date
                case Target.VALIDATE if one.status is SubscriptionLifecycle.ACTIVE and self.random.random() < 0.8:
                    yield workflow, self._between(start)
                case Target.MODIFY if one.status is SubscriptionLifecycle.ACTIVE and self.random.random() < 0.3:
                    yield workflow, self._between(start)

    def _lines(self, workflow: Workflow, process_id: UUID, user: str, began: datetime, failed: bool) -> Iterator[Row]:
        steps = workflow.ledger_steps
        moment = began
        for place, step in enumerate(steps):
            is_last = place == len(steps) - 1
            status = StepStatus.COMPLETE if is_last else StepStatus.SUCCESS
            if failed and place == len(steps) - 2:
                status = StepStatus.FAILED
            started, moment = moment, moment + timedelta(seconds=self.random.uniform(0.01, STEP_SECONDS))
            yield process_id, step.key, place, step.step.name, status.value, user, started, moment
            if status is StepStatus.FAILED:
                return

    def _between(self, start: datetime) -> datetime:
        return start + self.random.random() * (datetime.now(UTC) - start)

    def _id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)


PROCESS = (
    *("process_id", "workflow_id", "is_task", "last_status", "last_step", "state"),
    *("step_keys", "failed_reason", "created_by", "location", "started_at", "last_modified_at"),
)
LINE = ("process_id", "step_key", "position", "name", "status", "created_by", "started_at", "finished_at")
