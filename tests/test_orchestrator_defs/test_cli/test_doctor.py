"""`orchestrator doctor` and `orchestrator check-inflight`: what they find, and their exit codes."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorStatus
from sqlalchemy import text

from ops.steps.step import StepList, begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.cli import doctor as cli
from orchestrator_defs.health import diagnosis
from orchestrator_defs.health.diagnosis import Verdict, diagnose
from orchestrator_defs.health.inflight import Mismatch, mismatches
from orchestrator_defs.health.readiness import sensors
from orchestrator_defs.jobs.decorators import task, validate_workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.jobs.type_names import TypeNames
from orchestrator_defs.processes.scheduling import Scheduling
from orchestrator_defs.sensors.schedule_sensor import schedule_sensor
from resources.systems.netbox import NetBox
from resources.types import Assignee, ProcessStatus
from tests.engine import Engine
from tests.ticks import daemon_context
from tests.toy_network import DEVICE, World, device_workflows


@step("One")
def one():
    return {"one": 1}


@step("Renamed")
def uno():
    return {"one": 1}


@inputstep("Confirm", Assignee.NOC)
def confirm():
    yield from ()
    return {}


@task("Ask")
def ask():
    return begin >> one >> confirm


@pytest.fixture
def instance(dagster_instance: DagsterInstance) -> DagsterInstance:
    """One with all of Dagster's storages, which one in memory lacks."""
    return dagster_instance


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    """An engine with one workflow, which asks."""
    return engine_of(ask)


def findings(engine: Engine, about: str) -> list[tuple[str, str, str]]:
    return [
        (one.verdict.value, one.found, one.advice)
        for one in diagnose(engine.orchestrator, engine.instance)
        if one.about == about
    ]


def execute(engine: Engine, query: str, **values: Any) -> None:
    with engine.database.transaction() as session:
        session.execute(text(query), values)


# --- doctor ---


def test_it_shows_schedules_that_are_late_were_refused_or_have_no_workflow(engine: Engine, later: Any) -> None:
    known: dict[str, Any] = {
        "workflow_id": None,
        "workflow_name": "ask",
        "name": "Nightly",
        "inputs": [],
        "user": "ada",
    }
    hourly: dict[str, Any] = {"trigger": "interval", "trigger_kwargs": {"hours": 1}}
    assert findings(engine, "schedules") == [("ok", "None is late or was refused.", "")]
    Scheduling(engine.service).create(**known, **hourly)
    execute(engine, """UPDATE schedules SET inputs = '[{"no": "such"}, {}]'""")
    with later(timedelta(hours=1, seconds=31)):
        ((verdict, found, advice),) = findings(engine, "schedules")
        assert (verdict, "is due since" in found, "run_time_schedules" in advice) == ("wrong", True, True)

        sensor = schedule_sensor(engine.orchestrator, engine.orchestrator.jobs)
        sensor.evaluate_tick(daemon_context(engine.instance))
        ((verdict, found, _),) = findings(engine, "schedules")
        assert (verdict, "started nothing" in found) == ("note", True)

    execute(engine, "UPDATE schedules SET next_run_at = NULL")
    ((verdict, found, _),) = findings(engine, "schedules")
    assert (verdict, "started nothing" in found) == ("note", True), "once, and it was refused"

    execute(engine, "UPDATE schedules SET next_run_at = now() + interval '1 day'")
    del engine.orchestrator.workflows["ask"]
    ((verdict, found, _),) = findings(engine, "schedules")
    assert (verdict, "no such workflow any more" in found) == ("wrong", True)


def test_well_database_is_called_so(engine):
    engine.run("ask")
    wrong = {one.about for one in diagnose(engine.orchestrator, engine.instance) if one.verdict is not Verdict.OK}
    assert wrong <= {"daemon"}, "which the test has not"


def test_missing_daemon_is_found(engine):
    (found, *_) = findings(engine, "daemon")
    assert found[0] == "wrong" and "dagster-daemon run" in found[2]


def test_database_that_does_not_answer_ends_the_diagnosis(engine):
    away = Orchestrator([], [ask], database=type(engine.database)(uri="postgresql://nobody@127.0.0.1:1/none"))
    (found,) = diagnose(away, engine.instance)
    assert (found.about, found.verdict) == ("database", Verdict.WRONG) and "does not answer" in found.found


def test_other_schema_is_found(engine):
    execute(engine, "UPDATE schema_version SET version_num = '0001'")
    assert findings(engine, "schema")[0][0::2] == ("wrong", "Run `orchestrator db upgrade`.")


def test_other_catalogue_is_found(engine):
    execute(engine, "UPDATE workflows SET deleted_at = now()")
    assert "orchestrator catalogue apply" in findings(engine, "catalogue")[0][2]


def test_rows_of_another_location_are_named_and_no_reason_to_apply(engine):
    other = Orchestrator([DEVICE], [], database=engine.database, name="acme")
    with engine.database.transaction():
        other.catalogue.apply()
    (own, left) = findings(engine, "catalogue")
    assert own == ("ok", "The database has the products and workflows of code location 'orchestrator'.", "")
    assert left[0] == "note" and "1 product and 1 product block of 'acme'" in left[1]
    assert left[2].endswith("`orchestrator catalogue apply --take-over acme`.")


def test_what_the_code_no_longer_has_is_a_note(engine):
    bare = Orchestrator([], [], database=engine.database)
    (found,) = [one for one in diagnose(bare, engine.instance) if one.about == "catalogue"]
    assert (found.verdict, found.found) == (
        Verdict.NOTE,
        "It has 1 thing that the code of location 'orchestrator' no longer has.",
    )
    assert "asks before it removes" in found.advice


def test_name_of_another_location_is_found(engine):
    other = Orchestrator([], [ask], database=engine.database, name="acme")
    (found,) = [one for one in diagnose(other, engine.instance) if one.about == "catalogue"]
    assert found.verdict is Verdict.WRONG and "'acme' declares what belongs to code location 'orchest" in found.found


def test_pause_is_told(engine):
    execute(engine, "INSERT INTO engine_settings (global_lock) VALUES (true) ON CONFLICT DO NOTHING")
    execute(engine, "UPDATE engine_settings SET global_lock = true")
    assert findings(engine, "engine")[0][0] == "note"


@pytest.mark.parametrize("status", [status for status in ProcessStatus if status.is_failure])
def test_failed_processes_are_counted_as_the_advice_finds_them(engine, status):
    """A task fails in other ways, which a list of the status `failed` does not show."""
    engine.run("ask")
    execute(engine, "UPDATE processes SET last_status = :status", status=status)
    (_, (_, found, advice)) = findings(engine, "engine")
    assert found == f"1 processes are {status}." and f"`orchestrator process list --status {status}`" in advice


@pytest.mark.parametrize("status", ["created", "resumed", "running"])
def test_process_that_no_run_executes_is_found(engine, status):
    """When it has been so for longer than the sweeper needs."""
    process_id = engine.run("ask")
    changed = "run_id = :run_id, last_status = :status, last_modified_at = now() - interval '1 hour'"
    execute(engine, f"UPDATE processes SET {changed}", run_id=str(uuid4()), status=status)
    ((verdict, found, _),) = findings(engine, "processes")
    assert verdict == "wrong" and f"{process_id} is {status}, and its run is not there" in found


def test_unfinished_processes_of_another_location_are_told_by_its_name(engine):
    engine.run("ask")
    execute(engine, "UPDATE processes SET location = 'acme'")
    ((verdict, found, advice),) = findings(engine, "locations")
    assert (verdict, "'acme'" in found, found.endswith("loaded: 1.")) == ("note", True, True)
    assert "--location acme" in advice


def test_wait_past_its_time_is_found(engine):
    process_id = engine.run("ask")
    execute(engine, "UPDATE process_waits SET deadline = now() - interval '1 hour'")
    ((verdict, found, _),) = findings(engine, "waits")
    assert verdict == "wrong" and str(process_id) in found


def test_lock_of_a_process_that_has_ended_is_found(engine_of):
    engine = engine_of(*device_workflows(World()), products=[DEVICE])
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "ams1"}])
    execute(engine, "UPDATE subscriptions SET locked_by = :process_id", process_id=process_id)
    ((verdict, found, _),) = findings(engine, "locks")
    assert verdict == "wrong" and f"locked by process {process_id}, which has ended" in found


def test_sensor_that_somebody_has_switched_off_is_found(engine, monkeypatch):
    off = SimpleNamespace(instigator_name="sweeper", status=InstigatorStatus.STOPPED)
    monkeypatch.setattr(engine.instance, "all_instigator_state", lambda: [off])
    assert ("wrong", "The sensor sweeper is off.", "Switch it on in Dagster's page.") in findings(engine, "daemon")


@pytest.mark.parametrize(("age", "count"), [(300, 1), (5, 0)])
def test_sensor_that_no_longer_runs_is_found_although_the_daemon_lives(engine, monkeypatch, age, count):
    """As when the process with the code was killed behind its code server."""
    place = SimpleNamespace(location_name="acme")
    state = SimpleNamespace(
        name="sweeper",
        instigator_name="sweeper",
        status=InstigatorStatus.DECLARED_IN_CODE,
        is_running=True,
        sensor_instigator_data=SimpleNamespace(last_tick_timestamp=time.time() - age),
        origin=SimpleNamespace(repository_origin=SimpleNamespace(code_location_origin=place)),
    )
    monkeypatch.setattr(engine.orchestrator, "code", SimpleNamespace(name="acme"))
    monkeypatch.setattr(engine.instance, "all_instigator_state", lambda: [state])
    monkeypatch.setattr(engine.instance, "get_daemon_statuses", dict)
    late = [found for _, found, _ in findings(engine, "daemon") if "last ran" in found]
    assert len(late) == count
    ready = sensors(Served((engine.orchestrator,)), engine.instance)
    assert ready.startswith("The sensor sweeper last ran 300 seconds ago" if count else "ok")


def test_doctor_says_what_to_do_and_fails(engine, monkeypatch):
    """For people as a table, for programs as JSON."""
    monkeypatch.setattr(cli, "dagster_instance", lambda: nullcontext(engine.instance))
    told = CliRunner().invoke(cli.doctor, ["--json"], obj=SimpleNamespace(orchestrator=engine.orchestrator))
    assert told.exit_code == 1
    assert {one["about"] for one in json.loads(told.output)} >= {"database", "schema", "processes", "waits", "locks"}


def test_doctor_is_content_when_nothing_needs_hands(engine, monkeypatch):
    monkeypatch.setattr(cli, "dagster_instance", lambda: nullcontext(engine.instance))
    monkeypatch.setattr(engine.instance, "get_daemon_statuses", dict)
    told = CliRunner().invoke(cli.doctor, [], obj=SimpleNamespace(orchestrator=engine.orchestrator))
    assert told.exit_code == 0, told.output
    assert "No subscription is locked" in told.output


# --- check-inflight ---


def later_code(engine: Engine, *workflows: Any) -> Orchestrator:
    """The code that is to be deployed."""
    return Orchestrator([], workflows, database=engine.database)


def ask_as(steps: StepList) -> Any:
    """The same workflow with other steps."""

    def ask() -> StepList:
        return steps

    return task("Ask")(ask)


def problems(orchestrator: Orchestrator) -> dict[UUID, str]:
    return {one.process_id: one.problem for one in mismatches(orchestrator) if isinstance(one, Mismatch)}


def test_code_that_has_not_changed_breaks_nothing(engine):
    engine.run("ask")
    assert problems(later_code(engine, ask)) == {}


def test_workflow_that_is_gone_is_named(engine):
    process_id = engine.run("ask")
    assert "no longer has workflow 'ask'" in problems(later_code(engine))[process_id]


def test_committed_step_that_is_gone_is_named(engine):
    process_id = engine.run("ask")

    changed = ask_as(begin >> uno >> confirm)
    assert "no longer has step 'one'" in problems(later_code(engine, changed))[process_id]


def test_step_that_a_process_waits_at_and_that_is_gone_is_named(engine):
    process_id = engine.run("ask")

    changed = ask_as(begin >> one)
    waiting = problems(later_code(engine, changed))[process_id]
    assert "no longer has step 'confirm', at which the process waits" in waiting


def test_step_that_is_new_behind_breaks_nothing(engine):
    engine.run("ask")

    changed = ask_as(begin >> one >> confirm >> uno)
    assert problems(later_code(engine, changed)) == {}


def test_process_that_has_ended_is_not_compared(engine):
    process_id = engine.run("ask")
    engine.of(process_id).abort()
    assert list(mismatches(later_code(engine))) == [0]


def test_processes_are_compared_in_batches(engine, monkeypatch):
    """Each once."""
    monkeypatch.setattr("orchestrator_defs.health.inflight.BATCH", 2)
    ids = {engine.run("ask") for _ in range(5)}
    found = list(mismatches(later_code(engine)))
    assert [one for one in found if isinstance(one, int)] == [2, 2, 1]
    assert sorted(one.process_id for one in found if isinstance(one, Mismatch)) == sorted(ids)


def test_command_names_what_would_break_and_fails(engine):
    process_id = engine.run("ask")
    told = CliRunner().invoke(cli.check_inflight, ["--json"], obj=SimpleNamespace(orchestrator=later_code(engine)))
    assert told.exit_code == 1
    answer = json.loads(told.output)
    assert (answer["compared"], answer["broken"][0]["process_id"]) == (1, str(process_id))


def test_command_succeeds_when_nothing_would_break(engine):
    engine.run("ask")
    told = CliRunner().invoke(cli.check_inflight, [], obj=SimpleNamespace(orchestrator=engine.orchestrator))
    assert (told.exit_code, told.output) == (
        0,
        "1 processes are not finished; this code would break 0 of them.\n",
    )


def test_a_name_that_two_types_of_graphql_would_have_is_a_note(engine, monkeypatch):
    names = TypeNames(clashes=["GraphQL has a type Box already (a.Box), so b.Box is BBox there. Rename the class."])
    monkeypatch.setattr("orchestrator_defs.health.diagnosis.type_names", lambda _all: names)
    assert findings(engine, "graphql") == [
        ("note", "GraphQL has a type Box already (a.Box), so b.Box is BBox there.", "Rename the class.")
    ]


def test_a_limit_for_a_system_that_no_validation_uses_is_a_note_with_the_names_there_are(engine_of, monkeypatch):
    limits = SimpleNamespace(validations_per_system={"netbox": 3, "netbocks": 3})
    monkeypatch.setattr(diagnosis, "settings", lambda: limits)

    @step("Compare")
    def compare_it(netbox: NetBox) -> None:
        pass

    @validate_workflow("Validate")
    def validate_it():
        return begin >> compare_it

    ((verdict, found, advice),) = findings(engine_of(validate_it), "validations")
    assert (verdict, "'netbocks'" in found) == ("note", True)
    assert advice.endswith("its validations use: netbox.")


def test_a_validation_that_needs_a_process_each_is_a_note_that_says_why(engine_of):
    @inputstep("Ask somebody", Assignee.NOC)
    def ask_somebody(state):
        yield None

    @validate_workflow("Validate")
    def validate_slowly():
        return begin >> ask_somebody

    ((verdict, found, _),) = findings(engine_of(validate_slowly), "validations")
    assert verdict == "note"
    assert found.startswith(
        "validate_slowly takes a process for each subscription and no batch: its step 'Ask somebody'"
    )
