"""A preview of a sensor shows what would be launched, and starts nothing."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterRunStatus, build_schedule_context, build_sensor_context
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.sensor import execute_sensor_iteration
from sqlalchemy import text

from ops import SubmitFormPage, begin, step, wait_until
from orchestrator_defs import task
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes.launching import next_run_key
from orchestrator_defs.processes.scheduling import Scheduling
from orchestrator_defs.sensors.preview import is_preview
from orchestrator_defs.sensors.wake import process_sensors
from resources import clock
from tests.engine import Engine
from tests.ticks import daemon_context, sensor_of
from tests.toy_network import DEVICE, World, device_workflows
from tests.waiting import eventually

SENSOR = """
from pathlib import Path
import dagster as dg
from orchestrator_defs.processes.launching import next_run_key
from orchestrator_defs.sensors.preview import is_preview

@dg.job
def nothing():
    pass

@dg.sensor(job=nothing, default_status=dg.DefaultSensorStatus.RUNNING)
def look(context):
    with Path(__file__).with_name("seen").open("a") as seen:
        seen.write(f"{is_preview(context)}\\n")

defs = dg.Definitions(jobs=[nothing], sensors=[look])
"""


@step("Choose a time")
def choose() -> dict[str, str]:
    return {"until": (clock.now() + timedelta(days=1)).isoformat()}


class Name(SubmitFormPage):
    name: str


@task("Wait a day", Name)
def wait_a_day() -> Any:
    return begin >> choose >> wait_until("until")


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(wait_a_day, *device_workflows(World()), products=[DEVICE])


def rows(engine: Engine) -> list[Any]:
    with engine.database.transaction(read_only=True) as session:
        columns = "process_id, last_status, run_id, recoveries, last_modified_at"
        return list(session.execute(text(f"SELECT {columns} FROM processes")))


def previewed(engine: Engine, name: str) -> Any:
    sensor = sensor_of(process_sensors(engine.orchestrator), name)
    return sensor.evaluate_tick(build_sensor_context(engine.instance, sensor_name=name))


def test_unit_test_of_a_sensor_is_a_preview(engine: Engine) -> None:
    assert is_preview(build_sensor_context(engine.instance))
    assert is_preview(build_schedule_context(engine.instance, scheduled_execution_time=clock.now()))


def test_tick_of_the_daemon_is_none(engine: Engine) -> None:
    assert not is_preview(daemon_context(engine.instance))


def test_preview_of_the_sweeper_shows_what_it_would_launch_and_writes_nothing(engine: Engine) -> None:
    process_id = engine.service.starts.start("wait_a_day", {"name": "x"}, user="a")
    with engine.database.transaction() as session:
        session.execute(text("UPDATE processes SET last_modified_at = now() - interval '1 hour'"))
    before = rows(engine)

    (request,) = previewed(engine, "sweeper").run_requests

    assert (request.job_name, request.tags["orchestrator/process"]) == ("wait_a_day", str(process_id))
    assert rows(engine) == before
    assert engine.instance.get_runs() == []


def test_preview_of_no_sensor_writes_anything(engine: Engine, later: Callable[..., Any]) -> None:
    """Also of those that are still to be made: with a schedule, a subscription, a wait and a process without a run."""
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "ams1"}])
    engine.run("wait_a_day", {"name": "waits"})
    engine.service.starts.start("wait_a_day", {"name": "has no run"}, user="a")
    hourly: dict[str, Any] = {"trigger": "interval", "trigger_kwargs": {"hours": 1}, "inputs": [{"name": "due"}]}
    known: dict[str, Any] = {"workflow_id": None, "workflow_name": "wait_a_day", "name": None, "user": "a"}
    Scheduling(engine.service).create(**known, **hourly)
    with engine.database.transaction(read_only=True) as session:
        tables = session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")).all()

    def everything() -> list[Any]:
        with engine.database.transaction(read_only=True) as session:
            return [session.execute(text(f"SELECT * FROM {table}")).all() for table in tables]

    sensors = complete_definitions(engine.orchestrator).sensors or ()
    before = everything()
    with later(timedelta(days=2)):
        for sensor in sensors:
            sensor.evaluate_tick(build_sensor_context(engine.instance, sensor_name=sensor.name))
            assert everything() == before, sensor.name
    assert {"run_time_schedules", "sweeper", "wake"} < {sensor.name for sensor in sensors}


def test_preview_of_the_sweeper_continues_no_lost_process(engine: Engine) -> None:
    engine.service.starts.start("wait_a_day", {"name": "x"}, user="a")
    with engine.database.transaction() as session:
        session.execute(
            text("UPDATE processes SET last_status = 'running', last_modified_at = now() - interval '1 hour'")
        )
    before = rows(engine)

    assert len(previewed(engine, "sweeper").run_requests) == 1
    assert rows(engine) == before


def test_wake_requests_and_writes_nothing(engine: Engine, later: Callable[..., Any]) -> None:
    """Also in a tick of the daemon: the run ends the wait."""
    process_id = engine.run("wait_a_day", {"name": "x"})
    before = rows(engine)
    with later(timedelta(days=2)):
        sensor = sensor_of(process_sensors(engine.orchestrator), "wake")
        (request,) = sensor.evaluate_tick(daemon_context(engine.instance, "wake")).run_requests
        assert rows(engine) == before

        assert engine.launch(request.job_name, request.run_config, tags=request.tags).success
    assert engine.process(process_id).last_status == "completed"


def test_request_whose_runs_end_in_vain_is_repeated_ever_later(engine: Engine, later: Callable[..., Any]) -> None:
    """As when a resource cannot be made: no red run every five seconds, and no process that waits for ever."""
    job = engine.orchestrator.job("wait_a_day")
    for _ in range(3):
        config = {"process": "0"}
        engine.instance.create_run_for_job(job, run_config=config, status=DagsterRunStatus.FAILURE)
    runs = engine.instance.get_run_records()

    def key(seconds: int) -> str | None:
        with later(timedelta(seconds=seconds)):
            return next_run_key("key", runs)

    assert [key(0), key(10), key(30)] == [None, None, "key:3"]


def test_run_that_wake_requested_too_early_has_nothing_to_do(engine: Engine) -> None:
    process_id = engine.run("wait_a_day", {"name": "x"})
    known = {"orchestrator/process": str(process_id), "user": "SYSTEM"}
    assert engine.launch("wait_a_day", {"process": str(process_id)}, tags=known).success
    assert engine.process(process_id).last_status == "waiting"


@pytest.mark.slow
def test_dagster_itself_tells_a_preview_from_a_tick(tmp_path: Path) -> None:
    """The command and the page evaluate without a tick's log; the daemon with it."""
    file, seen = tmp_path / "looking.py", tmp_path / "seen"
    file.write_text(SENSOR)
    (tmp_path / "dagster.yaml").write_text(json.dumps({"telemetry": {"enabled": False}}))
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URI"}
    command = [str(Path(sys.executable).with_name("dagster")), "sensor", "preview", "look", "-f", str(file)]
    subprocess.run(
        command, cwd=tmp_path, env=environment | {"DAGSTER_HOME": str(tmp_path)}, check=True, capture_output=True
    )
    assert seen.read_text() == "True\n"

    target = PythonFileTarget(str(file), None, str(tmp_path), None)
    with (
        DagsterInstance.from_config(str(tmp_path)) as instance,
        create_test_daemon_workspace_context(target, instance) as workspace,
    ):
        list(execute_sensor_iteration(workspace, logging.getLogger("tick"), None, None))
        eventually(lambda: seen.read_text() == "True\nFalse\n")
        answer = dry_run(workspace)
    assert seen.read_text() == "True\nFalse\nTrue\n", answer


def dry_run(workspace: Any) -> Any:
    """The button "test evaluation" of Dagster's page."""
    from dagster_graphql.test.utils import execute_dagster_graphql

    query = """mutation($of: SensorSelector!) { sensorDryRun(selectorData: $of, cursor: null) {
        __typename ... on PythonError { message }
        ... on DryRunInstigationTick { evaluationResult { skipReason error { message } } } } }"""
    context = workspace.create_request_context()
    (location,) = context.code_locations
    of = {
        "repositoryName": "__repository__",
        "repositoryLocationName": location.name,
        "sensorName": "look",
    }
    return execute_dagster_graphql(context, query, variables={"of": of}).data
