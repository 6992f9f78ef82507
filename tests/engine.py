"""Fixtures for tests of the engine: toy workflows on a database of their own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterInstance

from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes import Processes
from orchestrator_defs.workflow import WorkflowJob
from resources import ledger, processes
from resources.catalogue import Product
from resources.database import SubscriptionDatabase
from resources.tables import ProcessStepTable, ProcessTable
from resources.types import ProcessStatus
from tests.test_resources.samples import registry_kept


class Engine:
    """An orchestrator of toy workflows and a Dagster instance in memory, with short words for what tests do."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance
        self.service = Processes(orchestrator, instance)

    @property
    def database(self) -> SubscriptionDatabase:
        """The test's database."""
        return self.orchestrator.database

    def run(self, workflow: str, inputs: Any = None, user: str = "tester") -> UUID:
        """Start a workflow and run it until it stops."""
        process_id = self.service.start(workflow, inputs, user=user)
        self.service.execute(process_id, user=user)
        return process_id

    def resume(self, process_id: UUID) -> ProcessStatus:
        """Go on with a process."""
        return self.service.execute(process_id, user="resumer")

    def answer(self, process_id: UUID, inputs: Any, user: str = "answerer") -> ProcessStatus:
        """Answer the form that a process waits with, and run it until it stops."""
        self.service.answer(process_id, inputs, user=user)
        return self.service.execute(process_id, user=user)

    def wake(self) -> list[ProcessStatus]:
        """Look at the clock, and run what it sets going."""
        return [self.service.execute(process_id, user="SYSTEM") for process_id in self.service.wake()]

    def launch(self, workflow: str, run_config: Any = None, **options: Any) -> Any:
        """Run a job as Dagster's own doors do: nothing was written before the run."""
        job = self.orchestrator.job(workflow)
        return job.execute_in_process(run_config=run_config, instance=self.instance, raise_on_error=False, **options)

    def process(self, process_id: UUID | str) -> ProcessTable:
        """The row of a process."""
        with self.database.transaction():
            return processes.get_process(UUID(str(process_id)))

    def ledger(self, process_id: UUID | str) -> dict[str, ProcessStepTable]:
        """The ledger of a process, by step key, in order."""
        with self.database.transaction():
            return {step.step_key: step for step in ledger.steps_of(UUID(str(process_id)))}

    def statuses(self, process_id: UUID | str) -> dict[str, str]:
        """Step key to status."""
        return {key: step.status for key, step in self.ledger(process_id).items()}

    def count_processes(self) -> int:
        """How many rows there are."""
        with self.database.transaction():
            return sum(processes.status_counts().values())


@pytest.fixture(autouse=True)
def kept_registry() -> Iterator[None]:
    """The models registered by name are the same after a test as before."""
    with registry_kept():
        yield


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """A Dagster instance in memory."""
    with DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def engine_of(database: SubscriptionDatabase, instance: DagsterInstance) -> Callable[..., Engine]:
    """Makes an engine of workflows (and products, and resources), with the catalogue applied."""

    def make(
        *workflows: WorkflowJob, products: Iterable[Product] = (), resources: dict[str, Any] | None = None
    ) -> Engine:
        orchestrator = Orchestrator(products, workflows, resources, database)
        with database.transaction():
            orchestrator.catalogue.apply()
        return Engine(orchestrator, instance)

    return make
