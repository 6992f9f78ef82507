"""Schedules in GraphQL: when each fires next, and what its last time has started."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from orchestrator_defs.processes.scheduling import Scheduling
from resources import clock
from resources.processes import schedules
from resources.users import SYSTEM
from tests.engine import Engine
from tests.test_graphql.conftest import Asker

LISTED = """query($first: Int! = 10) {
  scheduledTasks(first: $first, filterBy: {field: "name", value: "gql*"}, sortBy: {field: "name"}) {
  page { name nextRunTime lastRunTime lastProcessId lastRefusal } } }"""


def scheduled(engine: Engine, name: str, *firings: tuple[UUID | None, str | None]) -> None:
    asked: dict[str, Any] = {"workflow_id": None, "workflow_name": "task_clean_up_tasks", "inputs": [], "user": SYSTEM}
    made = Scheduling(engine.service).create(**asked, name=name, trigger="interval", trigger_kwargs={"hours": 1})
    with engine.database.transaction():
        for number, (process_id, refusal) in enumerate(firings):
            schedules.add_firing(made.schedule_id, clock.now() + timedelta(hours=number), process_id, refusal, 0)


def test_a_schedule_has_its_last_run_in_the_same_statement(ask: Asker, engine: Engine) -> None:
    started = uuid4()
    scheduled(engine, "gql a", (None, "was paused"), (started, None))
    scheduled(engine, "gql b", (started, None), (None, "Nobody may start it."))
    scheduled(engine, "gql c")
    found = ask.data(LISTED)["scheduledTasks"]["page"]
    runs = [(one["lastProcessId"], one["lastRefusal"], one["lastRunTime"] is not None) for one in found]
    assert runs == [(str(started), None, True), (None, "Nobody may start it.", True), (None, None, False)]
    assert all(one["nextRunTime"] for one in found)
    assert [len(ask.statements(LISTED, first=first)) for first in (1, 3)] == [1, 1]
