"""Tasks that fail or ask when a test wants it, and what the tests of processes do to their rows."""

from typing import Any
from uuid import UUID

from sqlalchemy import update

from ops.steps.forms import FormGenerator, SubmitFormPage
from ops.steps.step import StepList, begin
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.database.tables import ProcessTable, SubscriptionTable
from resources.types import Assignee, ProcessStatus
from tests.engine import Engine

WHY = "because the test says so"


class Broken:
    """Which steps are set to fail, and how often each was called."""

    def __init__(self) -> None:
        self.steps: set[str] = set()
        self.calls: list[str] = []

    def __call__(self, name: str) -> None:
        self.calls.append(name)
        if name in self.steps:
            raise RuntimeError(f"{name} is broken")


def proceed(engine: Engine, process_id: UUID) -> ProcessStatus:
    return engine.service.runs.execute(process_id, user="goer")


class Name(SubmitFormPage):
    name: str


@inputstep("Ask", Assignee.NOC)
def ask() -> FormGenerator:
    page = yield Name
    return {"name": page.name}


@task("Asking")
def asking() -> StepList:
    return begin >> ask


def set_row(engine: Engine, process_id: UUID, **values: Any) -> None:
    with engine.database.transaction() as session:
        session.execute(update(ProcessTable).where(ProcessTable.process_id == process_id).values(**values))


def create_device(engine: Engine, hostname: str = "ams1") -> UUID:
    return engine.run("create_device", [{"product": "Test Device"}, {"hostname": hostname}])


def lock_of(engine: Engine, subscription_id: UUID) -> tuple[UUID | None, bool]:
    with engine.database.transaction() as session:
        row = session.get_one(SubscriptionTable, subscription_id)
        return row.locked_by, row.insync
