"""The sensor that validates the fleet: it requests runs and writes nothing; each request has its effect once."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from dagster import DagsterRunStatus, RunRequest
from sqlalchemy import text

from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.launching import RUN_KEY
from resources import tags
from resources.figures.counts import status_counts
from resources.settings import settings
from tests.ticks import daemon_context, execute, sensor_of
from tests.toy_network import DEVICE, World, add_device, device_workflows


class Fleet:
    """Devices, and the sensor that validates them."""

    def __init__(self, bed: Any, world: World) -> None:
        self.bed, self.world, self.instance = bed, world, bed.instance
        self.defs = complete_definitions(bed.orchestrator)
        self.add = partial(add_device, bed, world)

    def tick(self) -> Any:
        """One tick of the sensor, as the daemon makes it."""
        sensor = sensor_of(self.defs.sensors, "validation_sensor")
        return sensor.evaluate_tick(daemon_context(self.instance, sensor.name))

    def requests(self) -> list[RunRequest]:
        return list(self.tick().run_requests or [])

    def execute(self, request: RunRequest) -> Any:
        return execute(self.defs, request, self.instance)

    def create(self, request: RunRequest, status: DagsterRunStatus) -> str:
        """The run of a request, in some status."""
        job = self.defs.resolve_job_def("validate_device")
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
def one_at_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("VALIDATIONS_AT_ONCE", "1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def test_it_requests_the_validations_whose_turn_it_is(fleet: Fleet) -> None:
    ids = [fleet.add("first"), fleet.add("second")]
    found = fleet.tick()
    assert [one.tags[tags.SUBSCRIPTION] for one in found.run_requests] == [str(one) for one in sorted(ids)]
    assert "Requested 2 validations; the oldest was last started never" in found.cursor


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


def test_what_is_requested_and_waits_is_not_requested_again(fleet: Fleet, one_at_once: None) -> None:
    fleet.add("first")
    (request,) = fleet.requests()
    fleet.create(request, DagsterRunStatus.STARTING)
    found = fleet.tick()
    assert not found.run_requests
    assert "1 validations are unfinished; 1 are allowed" in found.skip_message


def test_the_sweeper_leaves_alone_what_is_requested_and_waits(fleet: Fleet) -> None:
    """However long it waits: two runs for one validation made red runs under load."""
    fleet.add("first")
    (request,) = fleet.requests()
    fleet.create(request, DagsterRunStatus.STARTING)
    with fleet.bed.database.transaction() as session:
        session.execute(text("UPDATE processes SET last_modified_at = now() - interval '1 hour'"))
    sweeper = sensor_of(fleet.defs.sensors, "sweeper")
    assert not sweeper.evaluate_tick(daemon_context(fleet.instance, "sweeper")).run_requests
    assert len(fleet.instance.get_runs()) == 1


def test_what_was_canceled_before_it_began_is_requested_anew(fleet: Fleet, later: Callable[..., Any]) -> None:
    """By a key that Dagster does not know yet, else it would never launch it; and not at once."""
    fleet.add("first")
    (request,) = fleet.requests()
    fleet.create(request, DagsterRunStatus.CANCELED)
    assert fleet.requests() == []
    with later(timedelta(minutes=1)):
        (again,) = fleet.requests()
    assert again.run_key != request.run_key
    assert fleet.execute(again).success
    assert fleet.world.calls == ["compare"]


def test_it_comes_to_those_first_that_it_has_not_seen(fleet: Fleet, one_at_once: None) -> None:
    seen = {str(fleet.add(name)) for name in ("first", "second", "third")}
    found = []
    for _ in seen:
        (request,) = fleet.requests()
        found.append(request.tags[tags.SUBSCRIPTION])
        fleet.execute(request)
    assert set(found) == seen


def test_a_subscription_that_has_changed_since_the_request_makes_no_red_run(fleet: Fleet) -> None:
    """It is terminated by then: nothing is validated, and others come first."""
    gone = fleet.add("first")
    (request,) = fleet.requests()
    fleet.bed.run("terminate_device", [{"subscription_id": str(gone)}]).assert_completed()
    result = fleet.execute(request)
    assert result.success
    assert "compare" not in fleet.world.calls


def test_drift_makes_a_red_run(fleet: Fleet) -> None:
    subscription_id = fleet.add("first")
    fleet.world.hostnames[str(subscription_id)] = "other"
    (request,) = fleet.requests()
    assert not fleet.execute(request).success
    assert not fleet.bed.subscription(subscription_id).insync


def test_it_leaves_alone_what_a_process_holds(fleet: Fleet) -> None:
    subscription_id = fleet.add("first")
    fleet.world.broken = {"rename"}
    fleet.bed.run("modify_device", [{"subscription_id": str(subscription_id)}, {"hostname": "other"}]).assert_failed()
    assert "none is in sync, unlocked" in fleet.tick().skip_message
