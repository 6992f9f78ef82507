"""Two locations on one database, and two storages of Dagster: each monitors its own processes only."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from dagster import DagsterInstance

from ops import StepList, begin, step, wait_until
from orchestrator_defs import task
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from orchestrator_defs.sensors.sweeper import LAUNCH_SECONDS, Sweeper
from orchestrator_defs.testing import Testbed
from resources import clock
from resources.database.session import SubscriptionDatabase
from resources.types import State


@step("Do it")
def do_it() -> State:
    return {"did": True}


@task("Work at once")
def work() -> StepList:
    return begin >> do_it


@step("Choose a time")
def choose_a_time() -> State:
    return {"until": (clock.now() + timedelta(days=1)).isoformat()}


@task("Work tomorrow")
def work_tomorrow() -> StepList:
    return begin >> choose_a_time >> wait_until("until") >> do_it


@task("Work elsewhere")
def other_work() -> StepList:
    return begin >> do_it


Location = Callable[..., Processes]


@pytest.fixture
def location(database: SubscriptionDatabase, instance: DagsterInstance) -> Location:
    """Makes the processes of a location of that name; all are on the same database, and only `ours` has `work`."""

    def make(name: str, on: DagsterInstance = instance) -> Processes:
        workflows = [work, work_tomorrow] if name == "ours" else [other_work]
        return Testbed(Orchestrator([], workflows, database=database, name=name), on).processes

    return make


def swept(processes: Processes) -> list:
    """What the sweeper of a location would launch, long after the start."""
    with clock.moved(timedelta(seconds=LAUNCH_SECONDS + 1)):
        return Sweeper(processes.served.first, processes.instance).sweep().launch


def long_ago(processes: Processes) -> None:
    """Make all rows as old as those of a start that nobody launched."""
    with processes.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE processes SET last_modified_at = now() - interval '1 hour'")


def test_sweeper_launches_what_its_own_location_has_started(location: Location) -> None:
    ours, theirs = location("ours"), location("theirs")
    process_id = ours.starts.start("work", {}, user="a")
    long_ago(ours)

    assert swept(theirs) == []
    assert swept(ours) == [process_id]


def test_wait_is_ended_by_its_own_location(location: Location, later: Callable) -> None:
    ours, theirs = location("ours"), location("theirs")
    process_id = ours.starts.start("work_tomorrow", {}, user="a")
    ours.runs.execute(process_id, user="a")

    with later(timedelta(days=2)):
        assert theirs.answers.due(10) == []
        assert [one.process_id for one in ours.answers.due(10)] == [process_id]
        assert theirs.answers.wake() == []
        assert ours.answers.wake() == [process_id]


def test_wait_of_an_ephemeral_instance_is_left_alone(location: Location, later: Callable) -> None:
    """As a unit test leaves one: no daemon continues its process with the real systems."""
    ours = location("ours")
    orchestrator = ours.served.first
    orchestrator.job("work_tomorrow").execute_in_process(run_config={"inputs": {}})
    with later(timedelta(days=2)):
        assert ours.answers.due(10) == []


def test_process_of_an_ephemeral_instance_is_left_alone(location: Location) -> None:
    ours = location("ours")
    with DagsterInstance.ephemeral() as other:
        process_id = location("ours", on=other).starts.start("work", {}, user="a unit test")
        long_ago(ours)

        assert swept(ours) == []
        assert swept(location("ours", on=other)) == [process_id]


def test_run_that_dagster_launched_has_the_owner_of_its_location(location: Location, instance: DagsterInstance) -> None:
    ours = location("ours")
    run = ours.served.first.job("work").execute_in_process(run_config={"inputs": {}}, instance=instance)

    with ours.database.transaction(read_only=True) as session:
        owners = session.connection().exec_driver_sql("SELECT process_id::text, location FROM processes").all()
    assert owners == [(run.run_id, "ours")]


def test_process_from_before_owners_were_kept_is_of_every_location(location: Location) -> None:
    ours = location("ours")
    process_id = ours.starts.start("work", {}, user="a")
    long_ago(ours)
    with ours.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE processes SET location = NULL, storage = NULL")

    assert swept(ours) == [process_id]


def test_resume_all_resumes_the_tasks_of_its_own_location(location: Location) -> None:
    ours, theirs = location("ours"), location("theirs")
    process_id = ours.starts.start("work", {}, user="a")
    with ours.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE processes SET last_status = 'failed'")

    assert theirs.interventions.resume_all(user="a") == []
    assert ours.interventions.resume_all(user="a") == [process_id]
