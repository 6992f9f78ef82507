"""The sweeper and the wake sensor: each half-done thing that a death leaves is repaired, and what is well stays."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus
from dagster._core.launcher import WorkerStatus
from sqlalchemy import text

from ops.steps.step import begin, step
from ops.waiting.wait_steps import wait_until
from orchestrator_defs.health.diagnosis import Verdict, diagnose
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.sensors.wake import process_sensors
from resources import clock, tags
from resources.database.session import statement_counter
from resources.errors import RunMayNotAct
from resources.processes import recovery
from resources.processes.owner import Owner
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Loaded
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers import liveness
from resources.settings import settings
from tests.engine import Engine
from tests.ticks import daemon_context
from tests.waiting import eventually


@step("One")
def one():
    return {"one": 1, "tomorrow": (clock.now() + timedelta(days=1)).isoformat()}


@step("Two")
def two(one: int):
    return {"two": one + 1}


@task("Two steps")
def two_steps():
    return begin >> one >> two


@task("Sleep a night")
def sleep_a_night():
    return begin >> one >> wait_until("tomorrow", name="tomorrow") >> two


class Ward(Engine):
    """An engine whose processes fall ill, and the daemon that monitors them."""

    def tick(self, name: str, cursor: str | None = None):
        """One tick of a sensor, as the daemon makes it: the message, and the runs that it asks for."""
        sensor = next(s for s in process_sensors(self.orchestrator) if s.name == name)
        found = sensor.evaluate_tick(daemon_context(self.instance, name, cursor))
        self.cursor = found.cursor
        return found.skip_message or "", found.run_requests or []

    def sweep(self):
        """A sweep an hour after whatever has happened; what it says."""
        self.an_hour_later()
        return self.tick("sweeper")[0]

    def an_hour_later(self):
        with self.database.transaction() as session:
            session.execute(text("UPDATE processes SET last_modified_at = last_modified_at - interval '1 hour'"))

    def start(self, workflow: str = "two_steps") -> UUID:
        """A process that is created, and no more."""
        return self.service.starts.start(workflow, None, user="starter")

    def half_done(self) -> tuple[UUID, str]:
        """A process that has committed a step and is running, executed by a run that Dagster does not know."""
        process_id = self.start("sleep_a_night")
        self.service.runs.execute(process_id, user="starter")
        run_id = str(uuid4())
        with self.database.transaction() as session:
            session.execute(text("DELETE FROM process_waits"))
        self.put(process_id, "running", run_id)
        return process_id, run_id

    def put(self, process_id: UUID, status: str, run_id: str | None) -> None:
        """Write what a death leaves behind."""
        with self.database.transaction() as session:
            query = "UPDATE processes SET last_status = :status, run_id = :run_id WHERE process_id = :process_id"
            session.execute(text(query), {"status": status, "run_id": run_id, "process_id": process_id})

    def run_of(self, run_id: str, status: DagsterRunStatus) -> None:
        """Make Dagster have a run of this id and status."""
        self.instance.create_run_for_job(self.orchestrator.job("sleep_a_night"), run_id=run_id, status=status)

    def queued(self) -> list[str]:
        """The runs that wait for a worker."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        query = "SELECT run_id FROM orchestrator_dispatch WHERE state = 'queued'"
        return [row["run_id"] for row in launcher.dispatch._rows(query)]


@contextmanager
def elsewhere(ward: Ward, run_id: str) -> Iterator[None]:
    """Another thread executes a run in a process of its own; what is to interrupt it does not interrupt the test."""
    thread = threading.Thread(target=liveness.claim_run, args=(ward.instance, run_id))
    thread.start()
    thread.join()
    try:
        yield
    finally:
        liveness.release_run(run_id)


WORKFLOWS = (two_steps, sleep_a_night)
DEAD = Loaded("", "", datetime.now(UTC))


@pytest.fixture
def dagster_instance(dagster_instance: DagsterInstance, tmp_path: Path) -> Iterator[DagsterInstance]:
    """Dagster's storage in PostgreSQL, and our run launcher; nobody executes what it launches."""
    known = json.loads((tmp_path / "dagster.yaml").read_text())
    launcher = {
        "module": "resources.runs.launching.launcher",
        "class": "WarmRunLauncher",
        "config": {"start_workers": False, "module": "toys"},
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(known | {"run_launcher": launcher}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def instance(dagster_instance: DagsterInstance) -> DagsterInstance:
    """That one, for the testbed."""
    return dagster_instance


@pytest.fixture
def ward(testbed_of) -> Ward:
    """Toy workflows on a database of the test's own."""
    return Ward(testbed_of(WORKFLOWS))


# --- launching what was not launched ---


def test_created_process_without_a_run_is_launched(ward):
    """As the run that the row names, which is the process's own id."""
    process_id = ward.start()
    assert "created without a run: launched" in ward.sweep()
    assert ward.queued() == [str(process_id)]


def test_starter_has_a_moment_to_launch(ward):
    ward.start()
    assert ward.tick("sweeper")[0] == "1 processes are in progress; nothing to repair."
    assert ward.queued() == []


def test_resumed_process_without_a_run_is_launched_with_the_steps_that_are_left(ward):
    process_id, run_id = ward.half_done()
    ward.put(process_id, "resumed", run_id)
    assert "resumed without a run: launched" in ward.sweep()
    assert ward.queued() == [run_id]
    assert ward.instance.get_run_by_id(run_id).step_keys_to_execute == ["tomorrow", "two", "done"]


@pytest.mark.parametrize(("status", "said"), [("NOT_STARTED", "created and not launched"), ("STARTING", "cut off")])
def test_run_that_no_worker_has_heard_of_is_launched(ward, status, said):
    process_id, run_id = ward.half_done()
    ward.put(process_id, "resumed", run_id)
    ward.run_of(run_id, DagsterRunStatus[status])
    ward.an_hour_later()
    assert f"is {status}, and no worker has heard" in str(diagnose(ward.orchestrator, ward.instance))
    assert f"{said}: launched" in ward.sweep()
    assert ward.queued() == [run_id]


@pytest.mark.parametrize("status", [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])
def test_process_whose_run_is_under_way_is_left_alone(ward, status):
    process_id, run_id = ward.half_done()
    ward.run_of(run_id, status)
    assert "nothing to repair" in ward.sweep()
    assert ward.process(process_id).run_id == run_id


# --- continuing ---


@pytest.mark.parametrize("status", [DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS])
def test_process_whose_run_has_ended_goes_on(ward, status):
    """In another run, which it counts; the ledger keeps which one was lost, and why."""
    process_id, lost = ward.half_done()
    ward.run_of(lost, status)
    assert f"Run {lost} ended as {status.value}" in ward.sweep()
    process = ward.process(process_id)
    assert (process.last_status, process.recoveries, ward.queued()) == ("resumed", 1, [process.run_id])
    line = ward.ledger(process_id)[f"__lost_{lost}__"]
    assert line.error["run_id"] == lost and status.value in line.error["reason"]


def test_process_whose_run_dagster_has_no_more_goes_on(ward):
    process_id, lost = ward.half_done()
    assert f"Dagster no longer has its run {lost}" in ward.sweep()
    assert ward.process(process_id).last_status == "resumed"


def test_process_goes_on_by_itself_so_often_and_then_fails(ward):
    """With the reason, and the advice to resume it; a person's resume counts from none."""
    process_id, lost = ward.half_done()
    for _ in range(settings().recovery_attempts):
        ward.run_of(lost, DagsterRunStatus.FAILURE)
        ward.sweep()
        lost = ward.process(process_id).run_id
        ward.instance.delete_run(lost)
    ward.run_of(lost, DagsterRunStatus.FAILURE)
    ward.sweep()
    process = ward.process(process_id)
    assert (process.last_status, process.recoveries) == ("failed", 0)
    assert "was continued automatically 3 times without another commit" in process.failed_reason


def test_process_lost_twice_is_left_in_peace_for_a_while(ward):
    """What kills it may be over in a few seconds."""
    process_id, lost = ward.half_done()
    with ward.database.transaction() as session:
        session.execute(text("UPDATE processes SET recoveries = 1, last_modified_at = now()"))
    ward.run_of(lost, DagsterRunStatus.FAILURE)
    assert "nothing to repair" in ward.tick("sweeper")[0]
    ward.sweep()
    assert ward.process(process_id).recoveries == 2


def test_process_whose_run_a_person_has_canceled_fails_and_says_so(ward):
    process_id, lost = ward.half_done()
    ward.put(process_id, "resumed", lost)
    ward.run_of(lost, DagsterRunStatus.CANCELED)
    ward.sweep()
    process = ward.process(process_id)
    assert process.last_status == "failed" and "was canceled before it began" in process.failed_reason


def test_process_that_the_code_can_go_on_with_no_more_fails_with_the_reason(ward):
    process_id, run_id = ward.half_done()
    ward.put(process_id, "resumed", run_id)
    with ward.database.transaction() as session:
        session.execute(text("UPDATE process_steps SET step_key = 'gone' WHERE step_key = 'one'"))
    assert "cannot continue" in ward.sweep()
    process = ward.process(process_id)
    assert process.last_status == "failed" and "no longer has step 'gone'" in process.failed_reason


def test_person_who_acts_between_look_and_repair_wins(ward):
    """The repair takes the row first, and finds it changed."""
    process_id, _ = ward.half_done()
    with ward.database.transaction(read_only=True):
        (found,) = recovery.in_progress(Owner(), 1)
    ward.service.interventions.abort(process_id, user="somebody")
    with ward.database.transaction():
        assert recovery.continue_process(found, "lost") is None
    assert ward.process(process_id).last_status == "aborted"


# --- runs that should not be there ---


def test_run_of_a_process_that_has_ended_is_terminated(ward):
    """After a moment, in which a run may come to its own end."""
    process_id, _ = ward.half_done()
    run_id = str(uuid4())
    job = ward.orchestrator.job("sleep_a_night")
    known = {"orchestrator/process": str(process_id)}
    ward.instance.create_run_for_job(job_def=job, run_id=run_id, status=DagsterRunStatus.STARTED, tags=known)
    ward.put(process_id, "aborted", run_id)
    with elsewhere(ward, run_id):
        assert "nothing to repair" in ward.tick("sweeper")[0]
        assert "which is aborted: terminated" in ward.sweep()
    assert ward.instance.get_run_by_id(run_id).status is DagsterRunStatus.CANCELING


# --- any other launcher ---


@pytest.fixture
def stock(testbed_of, server, tmp_path) -> Iterator[Ward]:
    """A ward on an instance whose launcher is Dagster's own."""
    with DagsterInstance.ephemeral() as instance:
        bed = testbed_of(WORKFLOWS)
        yield Ward(type(bed)(Orchestrator((), WORKFLOWS, None, bed.database), instance))


def test_other_launcher_is_asked_for_the_whole_job(stock):
    """By the id that the row names, so that nothing is asked for twice."""
    process_id = stock.start()
    stock.an_hour_later()
    _, (request,) = stock.tick("sweeper")
    assert (request.job_name, request.run_key) == ("two_steps", str(process_id))


def test_run_that_was_asked_for_takes_the_process_over(stock):
    """Committed steps return at once, although Dagster has given the run another id."""
    process_id, run_id = stock.half_done()
    stock.put(process_id, "resumed", run_id)
    stock.an_hour_later()
    _, (request,) = stock.tick("sweeper")
    result = stock.launch(request.job_name, request.run_config, tags=request.tags)
    assert result.success
    process = stock.process(process_id)
    assert (process.last_status, process.run_id) == ("waiting", result.run_id)
    assert stock.ledger(process_id)["one"].attempts == 1


def test_run_that_was_asked_for_is_not_asked_for_again(stock):
    """While it stands in a queue its process is resumed, and in good hands."""
    process_id, run_id = stock.half_done()
    stock.put(process_id, "resumed", run_id)
    job = stock.orchestrator.job("sleep_a_night")
    stock.instance.create_run_for_job(job_def=job, status=DagsterRunStatus.STARTING, tags={"dagster/run_key": run_id})
    stock.an_hour_later()
    assert stock.tick("sweeper") == ("1 processes are in progress; nothing to repair.", [])


def test_runs_that_wait_though_all_workers_were_killed_get_workers(ward, tmp_path):
    """Their supervisor was killed too; otherwise they would wait for the next launch."""
    run_id = ward.service.runs.launch(ward.start(), user="starter")
    ward.orchestrator.code = CodeLocation.of_module("orchestrator", "nowhere", "defs", tmp_path)
    assert "no workers" not in ward.tick("sweeper")[0]
    ward.instance.run_launcher.dispatch._rows("UPDATE orchestrator_dispatch SET created_at = now() - interval '1 hour'")
    assert f"orchestrator has no workers, and run {run_id} waits: launched again" in ward.tick("sweeper")[0]
    assert ward.queued() == [run_id]


# --- the clock ---


def test_process_whose_time_has_come_is_launched(ward, later):
    process_id = ward.start("sleep_a_night")
    ward.service.runs.execute(process_id, user="starter")
    assert ward.tick("wake")[0] == "No wait is due."
    with later(timedelta(days=2)):
        _, (request,) = ward.tick("wake")
        assert ward.launch(request.job_name, request.run_config, tags=request.tags).success
    assert ward.process(process_id).last_status == "completed"


# --- the cost, and the lease ---


def test_sweep_costs_the_same_however_many_processes_there_are(ward):
    """In statements on the database of subscriptions; those that have ended are not even looked at."""

    def cost() -> int:
        with statement_counter(ward.database.engine) as counted:
            ward.tick("sweeper")
        return counted.count

    ward.start()
    cost()
    before = cost()
    for _ in range(20):
        ward.start()
    with ward.database.transaction() as session:
        session.execute(text("UPDATE processes SET last_status = 'completed' WHERE random() < 0.5"))
    assert cost() == before


@pytest.mark.usefixtures("own_database")  # a plan depends on the statistics of what was there before
def test_processes_in_hand_are_found_by_an_index(ward):
    """That finished ones are not in."""
    with ward.database.transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = session.execute(
            text(
                "EXPLAIN SELECT 1 FROM processes WHERE last_status IN ('created', 'resumed', 'running')"
                " AND last_status <> 'completed'"
            )
        ).scalars()
        assert any("ix_processes_status_open" in line for line in plan)


def test_large_number_is_looked_at_in_turns(ward, monkeypatch):
    """The cursor says where the next sweep begins, and after the last one it begins again."""
    monkeypatch.setattr("orchestrator_defs.sensors.sweeper.BATCH", 2)
    for _ in range(3):
        ward.start()
    ward.an_hour_later()
    ward.tick("sweeper")
    assert len(ward.queued()) == 2 and "after" in json.loads(ward.cursor)
    ward.tick("sweeper", ward.cursor)
    assert len(ward.queued()) == 3 and "after" not in json.loads(ward.cursor)


def test_run_in_ones_own_process_is_known_to_the_launcher(ward):
    """Somebody else cannot execute it in between."""
    process_id = ward.start()
    job = ward.orchestrator.job("two_steps")
    run = ward.instance.create_run_for_job(job_def=job, run_id=str(process_id))
    launcher = ward.instance.run_launcher
    with liveness.claimed_run(ward.instance, run.run_id):
        assert launcher.dispatch.entry(run.run_id).state == "claimed"
        assert not launcher.dispatch.claim_directly(run.run_id, 0)
    assert launcher.dispatch.entry(run.run_id).state == "done"


def test_run_that_waits_for_a_worker_is_nobody_elses(ward):
    ward.start()
    ward.sweep()
    (run_id,) = ward.queued()
    with pytest.raises(RunMayNotAct, match="waits for a worker"), liveness.claimed_run(ward.instance, run_id):
        pass


def test_process_that_loses_its_session_is_not_taken_for_dead(ward):
    """It takes its lock again as soon as the database lets it."""
    run_id = ward.instance.create_run_for_job(job_def=ward.orchestrator.job("two_steps")).run_id
    dispatch = ward.instance.run_launcher.dispatch
    holds = (
        "SELECT pid FROM pg_locks JOIN pg_database d ON d.oid = database WHERE datname = current_database()"
        " AND locktype = 'advisory' AND classid = 3494 AND granted AND objid = :worker"
    )

    def holder() -> int | None:
        rows = dispatch._rows(holds, worker=dispatch.entry(run_id).worker)
        return rows[0]["pid"] if rows else None

    with elsewhere(ward, run_id):
        first = holder()
        assert first is not None
        dispatch._rows("SELECT pg_terminate_backend(:pid)", pid=first)
        again = eventually(lambda: (pid := holder()) != first and pid)
        assert again != first
        assert not dispatch.entry(run_id).lost_seconds


def test_process_that_is_gone_is_given_up_after_a_while(ward, monkeypatch):
    """By the launcher's health check as by the sweep, and not at once: it might be a hiccup."""
    process_id, run_id = ward.half_done()
    ward.run_of(run_id, DagsterRunStatus.STARTED)
    run = ward.instance.get_run_by_id(run_id)
    dispatch = ward.instance.run_launcher.dispatch
    assert dispatch.claim_directly(run_id, dispatch.register(DEAD, "ams1", 0, 1)), "nothing holds its lock"
    assert ward.instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    assert "nothing to repair" in ward.sweep()
    dispatch._rows("UPDATE orchestrator_dispatch SET lost_at = lost_at - interval '6 seconds'")
    assert ward.instance.run_launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
    assert f"run {run_id} has failed" in ward.sweep()
    ward.sweep()
    assert ward.process(process_id).last_status == "resumed"


def test_run_that_celery_has_is_left_to_the_run_monitoring(ward, monkeypatch):
    """Its worker is gone, and the monitoring has sent it to another, who has not come to it yet."""
    _, run_id = ward.half_done()
    ward.run_of(run_id, DagsterRunStatus.STARTED)
    ward.instance.add_run_tags(run_id, {tags.CELERY_SENT: "1"})
    dispatch = ward.instance.run_launcher.dispatch
    assert dispatch.claim_directly(run_id, dispatch.register(DEAD, "ams1", 0, 1)), "nothing holds its lock"
    assert dispatch.entry(run_id).lost_seconds is not None
    dispatch._rows("UPDATE orchestrator_dispatch SET lost_at = lost_at - interval '6 seconds'")
    monkeypatch.setattr(DagsterInstance, "run_monitoring_enabled", True)
    assert "nothing to repair" in ward.sweep()


def test_process_that_ended_before_its_first_step_is_given_up(ward, monkeypatch):
    """Nothing is known of it but that its run began long ago, and that a workflow's run would have entered itself."""
    job = ward.orchestrator.job("two_steps")
    run = ward.instance.create_run_for_job(job_def=job, tags=job.run_tags)
    ward.instance.report_dagster_event(DagsterEvent(DagsterEventType.RUN_START.value, "two_steps"), run.run_id)
    health = ward.instance.run_launcher.check_run_worker_health
    assert health(run).status is WorkerStatus.RUNNING
    monkeypatch.setattr("resources.runs.launching.launcher.UNSEEN_SECONDS", 0.0)
    assert health(run).status is WorkerStatus.FAILED


def test_doctor_sees_runs_that_wait_for_a_worker_when_there_is_none(ward):
    ward.start()
    ward.sweep()
    (found,) = [one for one in diagnose(ward.orchestrator, ward.instance) if one.about == "workers"]
    assert (found.verdict, found.found) == (Verdict.WRONG, "1 runs wait, and no worker lives.")


def test_run_is_claimed_until_its_end_is_written(ward, monkeypatch):
    """For no moment it is STARTED and nobody's, which the sweeper would take for a lost run."""
    storage, dispatch, seen = ward.instance.run_storage, ward.instance.run_launcher.dispatch, []
    write = storage.handle_run_event

    def watched(run_id, event, *more):
        if event.event_type is DagsterEventType.RUN_SUCCESS:
            seen.append(dispatch.entry(run_id).state)
        return write(run_id, event, *more)

    monkeypatch.setattr(storage, "handle_run_event", watched)
    run_id = ward.launch("two_steps").run_id
    assert (seen, dispatch.entry(run_id).state) == (["claimed"], "done")
