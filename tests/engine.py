"""Fixtures for tests of the engine: toy workflows on a database of their own."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterInstance

from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.testing import Run, Testbed
from resources.catalogue.catalogue import Product
from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProcessStepTable, ProcessTable
from resources.figures.counts import status_counts
from resources.types import ProcessStatus
from tests.test_resources.test_domain.samples import registry_kept


class Engine:
    """A testbed of toy workflows, with short words for what tests do, in terms of ids."""

    def __init__(self, bed: Testbed) -> None:
        self.bed = bed
        self.orchestrator: Orchestrator = bed.orchestrator
        self.instance: DagsterInstance = bed.instance
        self.service: Processes = bed.processes

    @property
    def database(self) -> SubscriptionDatabase:
        """The test's database."""
        return self.bed.database

    def of(self, process_id: UUID | str) -> Run:
        """A process of the testbed."""
        return Run(self.bed, UUID(str(process_id)))

    def run(self, workflow: str, inputs: Any = None, user: str = "tester") -> UUID:
        """Start a workflow and run it until it stops."""
        return self.bed.run(workflow, inputs, user=user).process_id

    def resume(self, process_id: UUID) -> ProcessStatus:
        """Continue a process."""
        return self.service.runs.execute(process_id, user="resumer")

    def answer(self, process_id: UUID, inputs: Any, user: str = "answerer") -> ProcessStatus:
        """Answer the form that a process waits with, and run it until it stops."""
        return self.of(process_id).answer(inputs, user=user).status

    def wake(self) -> list[ProcessStatus]:
        """Look at the clock, and run what it starts."""
        return [run.status for run in self.bed.wake()]

    def launch(self, workflow: str, run_config: Any = None, **options: Any) -> Any:
        """Run a job as Dagster's own doors do: nothing was written before the run."""
        job = self.orchestrator.job(workflow)
        return job.execute_in_process(run_config=run_config, instance=self.instance, raise_on_error=False, **options)

    def process(self, process_id: UUID | str) -> ProcessTable:
        """The row of a process."""
        return self.of(process_id).row

    def ledger(self, process_id: UUID | str) -> dict[str, ProcessStepTable]:
        """The ledger of a process, by step key, in order."""
        return self.of(process_id).ledger

    def statuses(self, process_id: UUID | str) -> dict[str, str]:
        """Step key to status."""
        return self.of(process_id).steps

    def count_processes(self) -> int:
        """How many rows there are."""
        with self.database.transaction():
            return sum(status_counts().values())


@pytest.fixture(autouse=True)
def kept_registry() -> Iterator[None]:
    """The models registered by name are the same after a test as before."""
    with registry_kept():
        yield


@pytest.fixture
def engine_of(testbed_of: Callable[..., Testbed]) -> Callable[..., Engine]:
    """Makes an engine of workflows (and products, and resources), with the catalogue applied."""

    def make(
        *workflows: WorkflowJob, products: Iterable[Product] = (), resources: dict[str, Any] | None = None
    ) -> Engine:
        return Engine(testbed_of(workflows, products, resources))

    return make
