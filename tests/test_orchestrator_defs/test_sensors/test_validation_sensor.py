"""The sensor that has the fleet validated: it requests batches and writes nothing, and says how far it is behind."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunRequest
from sqlalchemy import text

from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.launching import RUN_KEY
from resources import clock
from resources.figures.counts import status_counts
from resources.processes import pause
from resources.settings import settings
from tests.ticks import daemon_context, execute, sensor_of
from tests.toy_network import DEVICE, World, add_device, device_workflows

LATER = timedelta(minutes=2)


class Fleet:
    """Devices, and the sensor that validates them."""

    def __init__(self, bed: Any, world: World) -> None:
        self.bed, self.world, self.instance = bed, world, bed.instance
        self.defs = complete_definitions(bed.orchestrator)
        self.add = partial(add_device, bed, world)
        self.cursor: str | None = None

    def tick(self) -> Any:
        """One tick of the sensor, as the daemon makes it."""
        sensor = sensor_of(self.defs.sensors, "validation_sensor")
        found = sensor.evaluate_tick(daemon_context(self.instance, sensor.name, self.cursor))
        self.cursor = found.cursor or self.cursor
        return found

    def requests(self) -> list[RunRequest]:
        return list(self.tick().run_requests or [])

    @property
    def said(self) -> str:
        """What the last tick says that it did."""
        return (self.cursor or "").rpartition(" (")[0]

    def execute(self, request: RunRequest) -> Any:
        return execute(self.defs, request, self.instance)

    def create(self, request: RunRequest, status: DagsterRunStatus) -> str:
        """The run of a request, in some status."""
        job = self.defs.resolve_job_def(str(request.job_name))
        known = {**request.tags, RUN_KEY: str(request.run_key)}
        return self.instance.create_run_for_job(job, run_config=request.run_config, tags=known, status=status).run_id

    def processes(self) -> int:
        with self.bed.database.transaction(read_only=True):
            return sum(status_counts().values())


@pytest.fixture
def fleet(testbed_of: Callable[..., Any]) -> Fleet:
    world = World()
    return Fleet(testbed_of(device_workflows(world), [DEVICE]), world)


@pytest.fixture
def set_to(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    yield change
    monkeypatch.undo()
    settings.cache_clear()


def test_it_requests_a_batch_for_what_is_due_and_says_so(fleet: Fleet) -> None:
    fleet.add("first")
    fleet.add("second")
    (request,) = fleet.requests()
    assert request.job_name == "task_validate_batch"
    assert fleet.said == (
        "Requested 1 batch; 2 subscriptions wait (Test Device 2) since less than a minute; 0 batches are unfinished."
    )


def test_its_batch_validates_all_of_them(fleet: Fleet) -> None:
    fleet.add("first")
    fleet.add("second")
    (request,) = fleet.requests()
    assert fleet.execute(request).success
    assert fleet.world.calls == ["compare", "compare"]


def test_its_evaluation_writes_nothing(fleet: Fleet, statements: Any) -> None:
    fleet.add("first")
    fleet.tick()
    statements.clear()
    fleet.tick()
    assert [
        one for one in statements.statements if not one.lstrip().upper().startswith(("SELECT", "SET", "SHOW"))
    ] == []
    assert fleet.processes() == 0


def test_a_request_that_was_repeated_validates_once(fleet: Fleet) -> None:
    """The run that comes second is no failure, and does nothing."""
    fleet.add("first")
    (request,) = fleet.requests()
    assert [fleet.execute(request).success for _ in range(2)] == [True, True]
    assert fleet.world.calls == ["compare"]
    assert fleet.processes() == 1


def test_it_requests_more_batches_for_more_and_no_more_than_may_be_open(
    fleet: Fleet, set_to: Callable[..., None]
) -> None:
    set_to(VALIDATION_BATCH_SIZE="1", VALIDATION_BATCHES="2")
    for name in ("first", "second", "third"):
        fleet.add(name)
    first, second = fleet.requests()
    assert first.run_key != second.run_key
    fleet.create(first, DagsterRunStatus.STARTED)
    assert len(fleet.requests()) == 1
    fleet.create(second, DagsterRunStatus.STARTING)
    assert fleet.requests() == []
    assert fleet.said.startswith("2 batches are unfinished, as many as may be; 3 subscriptions wait")


def test_what_ended_before_it_validated_anything_is_requested_anew(fleet: Fleet, later: Callable[..., Any]) -> None:
    """By a key that Dagster does not know yet, else the fleet would starve."""
    fleet.add("first")
    (request,) = fleet.requests()
    fleet.create(request, DagsterRunStatus.CANCELED)
    with later(LATER):
        (again,) = fleet.requests()
    assert again.run_key != request.run_key
    assert fleet.execute(again).success
    assert fleet.world.calls == ["compare"]


def test_it_says_how_far_it_is_behind(fleet: Fleet, later: Callable[..., Any]) -> None:
    fleet.add("first")
    with later(timedelta(hours=5, minutes=1)):
        fleet.tick()
    assert "1 subscription waits (Test Device 1) since 5 h" in fleet.said


def test_while_nothing_is_due_it_knows_when_and_asks_once_a_minute(
    fleet: Fleet, statements: Any, later: Callable[..., Any]
) -> None:
    fleet.add("first")
    fleet.execute(*fleet.requests())
    statements.clear()
    assert fleet.requests() == []
    assert statements.count == 1
    assert fleet.tick().skip_message == fleet.said
    assert statements.count == 1
    due_at = datetime.fromisoformat(fleet.said.removeprefix("Nothing is due before ").removesuffix("."))
    assert timedelta(hours=19) < due_at - clock.now() < timedelta(hours=22)
    with later(LATER):
        fleet.tick()
    assert statements.count == 2
    with later(timedelta(hours=22)):
        assert len(fleet.requests()) == 1


def test_a_new_subscription_is_noticed_within_a_minute(fleet: Fleet, later: Callable[..., Any]) -> None:
    fleet.tick()
    fleet.add("first")
    with later(timedelta(minutes=1, seconds=1)):
        assert len(fleet.requests()) == 1


def test_a_tick_sends_as_many_statements_for_any_number(fleet: Fleet, statements: Any) -> None:
    counts: list[int] = []
    fleet.tick()
    for name in ("first", "second"):
        fleet.add(name)
        fleet.cursor = None
        statements.clear()
        fleet.tick()
        counts.append(statements.count)
    assert counts[0] == counts[1] <= 4


def test_while_the_engine_is_paused_it_requests_nothing(fleet: Fleet) -> None:
    fleet.add("first")
    with fleet.bed.database.transaction():
        pause.set_paused(True, user="ada")
    assert fleet.requests() == []
    assert fleet.said.startswith("The engine is paused; 1 subscription waits")


def test_a_cursor_of_an_earlier_version_is_no_obstacle(fleet: Fleet) -> None:
    fleet.add("first")
    fleet.cursor = '{"at": "2026-01-01", "did": "Requested 2 validations."}'
    assert len(fleet.requests()) == 1


def test_the_sweeper_leaves_alone_what_is_requested_and_waits(fleet: Fleet) -> None:
    fleet.add("first")
    (request,) = fleet.requests()
    fleet.create(request, DagsterRunStatus.STARTING)
    with fleet.bed.database.transaction() as session:
        session.execute(text("UPDATE processes SET last_modified_at = now() - interval '1 hour'"))
    sweeper = sensor_of(fleet.defs.sensors, "sweeper")
    assert not sweeper.evaluate_tick(daemon_context(fleet.instance, "sweeper")).run_requests
    assert len(fleet.instance.get_runs()) == 1


def test_a_maximum_age_that_became_shorter_is_followed(
    fleet: Fleet, set_to: Callable[..., None], later: Callable[..., Any]
) -> None:
    fleet.add("first")
    fleet.execute(*fleet.requests())
    set_to(VALIDATE_WITHIN_HOURS="0.1")
    with later(LATER):
        (request,) = fleet.requests()
        assert fleet.said.startswith("Requested 1 batch; a maximum age has become shorter")
        fleet.execute(request)
    assert fleet.world.calls == ["compare"]
    with later(timedelta(minutes=8)):
        fleet.execute(*fleet.requests())
    assert fleet.world.calls == ["compare", "compare"]


def test_drift_is_a_result_and_no_red_run(fleet: Fleet) -> None:
    subscription_id = fleet.add("first")
    fleet.world.hostnames[str(subscription_id)] = "other"
    (request,) = fleet.requests()
    assert fleet.execute(request).success
    assert not fleet.bed.subscription(subscription_id).insync
