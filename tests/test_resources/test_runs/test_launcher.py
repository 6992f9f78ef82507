"""The launcher: what it does with a run before any worker has it."""

import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.api import execute_run_iterator
from dagster._core.instance.ref import InstanceRef
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._core.workspace.workspace import CodeLocationEntry
from dagster._daemon.monitoring import run_monitoring

from resources.errors import SettingsError
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Dispatch, Loaded, Served
from resources.runs.dispatch_statements import LIVENESS
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.run_execution import execute
from resources.runs.workers.supervisor_lock import has_launchers
from resources.runs.workers.worker import ENDS, Limits, Worker, console_silent, interrupts_deferred, report_end
from tests.test_resources.test_runs.warm import Warm, code_server, configure, look_again


@pytest.fixture
def warm(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Warm]:
    """Runs are put into the table, and no worker takes them."""
    location = configure(tmp_path, start_workers=False)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield Warm(instance, tmp_path, location)


def health(warm: Warm, run_id: str) -> str:
    run = warm.instance.get_run_by_id(run_id)
    assert run is not None
    return warm.launcher.check_run_worker_health(run).status.value


def test_a_launched_run_waits(warm: Warm) -> None:
    run_id = warm.launch("ten")
    assert warm.state(run_id) == "queued"
    assert warm.status(run_id) == "STARTING"
    assert health(warm, run_id) == "RUNNING"
    assert warm.launcher.dispatch.waiting() == {"toys": 1}


def test_a_run_launched_twice_waits_once(warm: Warm) -> None:
    run_id = warm.launch("ten")
    assert not warm.launcher.dispatch.enqueue(run_id, "toys", "")
    assert warm.launcher.dispatch.waiting() == {"toys": 1}


def test_a_waiting_run_is_canceled_at_once(warm: Warm) -> None:
    run_id = warm.launch("ten")
    assert warm.instance.run_launcher.terminate(run_id)
    assert warm.status(run_id) == "CANCELED"
    assert warm.state(run_id) == "done"
    assert not warm.instance.run_launcher.terminate(run_id)


def test_what_another_process_executes_is_left_alone(warm: Warm) -> None:
    run_id = warm.create("ten")
    assert health(warm, run_id) == "RUNNING"
    assert not warm.instance.run_launcher.terminate(run_id)
    assert warm.status(run_id) == "NOT_STARTED"


def test_a_waiting_run_is_not_given_away_again(warm: Warm) -> None:
    run_id = warm.launch("ten")
    assert not warm.launcher.dispatch.requeue(run_id, "toys", "")


def test_priority_goes_first(warm: Warm) -> None:
    bulk = [warm.launch("ten", tags={"dagster/priority": "-1"}) for _ in range(3)]
    urgent = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    loaded = Loaded("toys", warm.location.fingerprint(), dispatch.now())
    taken = [claimed.run_id for _ in range(4) if (claimed := dispatch.claim(1, loaded))]
    assert taken == [urgent, *bulk]


def test_an_unreadable_priority_is_none(warm: Warm) -> None:
    assert warm.state(warm.launch("ten", tags={"dagster/priority": "soon"})) == "queued"


def test_older_code_does_not_get_a_newer_run(warm: Warm) -> None:
    dispatch = warm.launcher.dispatch
    old = Loaded("toys", "old", dispatch.now())
    run_id = warm.launch("ten")
    assert dispatch.claim(1, old) is None
    assert dispatch.has_newer(old)
    newer = Loaded("toys", "newer", dispatch.now())
    claimed = dispatch.claim(1, newer)
    assert claimed is not None
    assert claimed.run_id == run_id


def test_the_same_code_loaded_before_a_reload_does_not_get_a_run_of_after_it(warm: Warm) -> None:
    dispatch = warm.launcher.dispatch
    old = Loaded("toys", "same", dispatch.now())
    demand = dispatch.enqueue(str(uuid4()), "toys", "same", served=Served("reloaded", 0.0))
    assert demand is not None
    assert not demand.is_met(old)
    assert dispatch.has_newer(old)
    assert dispatch.claim(1, old) is None
    new = Loaded("toys", "same", dispatch.now())
    assert demand.is_met(new)
    assert dispatch.claim(1, new) is not None


def test_a_code_server_is_as_old_as_who_saw_it_first_says(warm: Warm) -> None:
    """The daemon looks at it again every minute, and so do webservers that come later."""
    dispatch = warm.launcher.dispatch
    first = dispatch.enqueue(str(uuid4()), "toys", "same", served=Served("server", 100.0))
    later = dispatch.enqueue(str(uuid4()), "toys", "same", served=Served("server", 0.0))
    other = dispatch.enqueue(str(uuid4()), "toys", "same", served=Served("another", 0.0))
    assert first is not None
    assert later is not None
    assert other is not None
    assert first.not_before == later.not_before
    assert other.not_before is not None
    assert later.not_before is not None
    assert 99 < (other.not_before - later.not_before).total_seconds() < 150


def test_code_that_cannot_be_loaded_takes_no_run_from_code_that_can_do_it(warm: Warm) -> None:
    dispatch = warm.launcher.dispatch
    sound, broken = str(uuid4()), str(uuid4())
    dispatch.enqueue(sound, "toys", "sound")
    loaded = Loaded("toys", "sound", dispatch.now())
    dispatch.enqueue(broken, "toys", "broken")
    assert dispatch.refuse("toys", unless=loaded) == [broken]
    assert dispatch.refuse("toys") == [sound]


def test_a_location_does_not_get_the_runs_of_another(warm: Warm) -> None:
    warm.launch("ten")
    dispatch = warm.launcher.dispatch
    assert dispatch.claim(1, Loaded("other", warm.location.fingerprint(), dispatch.now())) is None


def test_a_run_in_dead_hands_is_lost_only_after_a_while(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    dispatch.claim(1, Loaded("toys", warm.location.fingerprint(), dispatch.now()))
    assert health(warm, run_id) == "RUNNING"
    monkeypatch.setattr("resources.runs.dispatch.LOST_SECONDS", 0.0)
    assert [entry.run_id for entry in dispatch.lost()] == [run_id]
    assert health(warm, run_id) == "FAILED"
    assert warm.state(run_id) == "done"  # a worker that comes back after all sees by this that it is given up
    assert dispatch.requeue(run_id, "toys", "")


@pytest.mark.parametrize("noticed_by", ["supervisor", "daemon"])
@pytest.mark.parametrize(
    ("kind", "status"),
    [("RUN_SUCCESS", "SUCCESS"), ("RUN_FAILURE", "FAILURE"), ("RUN_CANCELED", "CANCELED")],
)
def test_a_worker_killed_before_it_noted_the_end_has_the_end_that_the_log_speaks_of(
    warm: Warm, monkeypatch: pytest.MonkeyPatch, noticed_by: str, kind: str, status: str
) -> None:
    monkeypatch.setattr("resources.runs.dispatch.LOST_SECONDS", 0.0)
    run_id = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    dispatch.claim(1, Loaded("toys", warm.location.fingerprint(), dispatch.now()))
    with monkeypatch.context() as killed:
        killed.setattr(warm.instance.run_storage, "handle_run_event", lambda *_: None)
        warm.instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType[kind].value, "ten"), run_id)
    assert warm.status(run_id) == "STARTING"
    if noticed_by == "daemon":
        assert health(warm, run_id) == "SUCCESS"
    else:
        report_end(warm.instance, run_id, "The worker was killed.")
    assert warm.status(run_id) == status
    ends = warm.instance.all_logs(run_id, of_type=ENDS)
    assert [entry.get_dagster_event().event_type.name for entry in ends] == [kind]


def test_a_lock_that_is_back_takes_the_doubt_away(warm: Warm) -> None:
    run_id = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    dispatch.claim(1, Loaded("toys", warm.location.fingerprint(), dispatch.now()))
    assert (dispatch.entry(run_id) or pytest.fail()).lost_seconds is not None
    with dispatch.connect() as session:
        session.execute("SELECT pg_advisory_lock(%s, 1)", (LIVENESS,))
        assert (dispatch.entry(run_id) or pytest.fail()).lost_seconds is None
        assert not dispatch.requeue(run_id, "toys", "")


def test_a_worker_without_heartbeats_counts_as_lost_although_it_holds_its_lock(warm: Warm) -> None:
    run_id = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    loaded = Loaded("toys", warm.location.fingerprint(), dispatch.now())
    number = dispatch.register(loaded, "ams1", 2, 3)
    assert dispatch.claim(number, loaded)
    with dispatch.connect() as session:
        session.execute("SELECT pg_advisory_lock(%s, %s)", (LIVENESS, number))
        assert dispatch.beat(number, session) == [run_id]
        assert (dispatch.entry(run_id) or pytest.fail()).has_live_worker
        session.execute("UPDATE orchestrator_workers SET beat_at = beat_at - interval '25 seconds'")
        assert not (dispatch.entry(run_id) or pytest.fail()).has_live_worker
        assert (dispatch.workers(), dispatch.frozen("ams1", 2), dispatch.frozen("ams2", 2)) == ([], [3], [])
        dispatch.beat(number, session)
        assert (dispatch.entry(run_id) or pytest.fail()).has_live_worker
        session.execute("DELETE FROM orchestrator_workers")
        assert dispatch.beat(number, session) is None


def test_a_worker_without_heartbeats_takes_no_run_from_the_others(warm: Warm) -> None:
    """Such as a command that has ended: its row stays for a while."""
    run_id = warm.launch("ten")
    dispatch = warm.launcher.dispatch
    loaded = Loaded("toys", warm.location.fingerprint(), dispatch.now())
    ended, number = dispatch.register(loaded, "ams1", 0, 3), dispatch.register(loaded, "ams1", 2, 4)
    assert dispatch.claim(number, loaded)
    with dispatch.connect() as session:
        session.execute("SELECT pg_advisory_lock(%s, %s)", (LIVENESS, number))
        dispatch.beat(ended, session)
        session.execute("UPDATE orchestrator_workers SET beat_at = beat_at - interval '25 seconds'")
        dispatch.beat(number, session)
        assert (dispatch.entry(run_id) or pytest.fail()).has_live_worker


def test_a_table_of_before_gets_the_column_of_heartbeats(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatch = warm.launcher.dispatch
    with dispatch.connect() as session:
        session.execute("ALTER TABLE orchestrator_workers DROP COLUMN beat_at")
        monkeypatch.setattr("resources.runs.dispatch._prepared", set())
        assert Dispatch(warm.instance).beat(7, session) is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_does_not_keep_the_lock_of_its_parent(warm: Warm) -> None:
    session = warm.launcher.dispatch.connect()
    session.execute("SELECT pg_advisory_lock(%s, 7)", (LIVENESS,))
    if (child := os.fork()) == 0:
        signal.pause()
        os._exit(0)
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, session.fileno())  # the socket closes, as at the death of this process
        os.close(nothing)
        with warm.launcher.dispatch.connect() as other:
            other.execute("SET lock_timeout = '5s'")
            other.execute("SELECT pg_advisory_lock(%s, 7)", (LIVENESS,))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        session.close()


def test_a_claim_whose_answer_was_lost_is_taken_up(warm: Warm, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Loaded("toys", warm.location.fingerprint(), warm.launcher.dispatch.now())
    first, second = warm.launch("ten"), warm.launch("ten")
    worker = Worker(warm.instance, warm.location.load(), loaded, Limits())
    worker.liveness.holds_lock = True
    claim = worker.dispatch.claim

    def lose_the_answer(*arguments: object) -> None:
        claim(*arguments)  # type: ignore[arg-type]
        raise sa.exc.OperationalError("UPDATE", {}, Exception("server closed the connection"))

    with monkeypatch.context() as cut:
        cut.setattr(worker.dispatch, "claim", lose_the_answer)
        assert worker._claim() is None
    taken = [worker._claim(), worker._claim(), worker._claim()]
    assert [claimed and claimed.run_id for claimed in taken] == [first, second, None]


def test_a_storage_elsewhere_is_refused_with_the_way_out() -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(SettingsError, match="another run launcher"):
        Dispatch(instance)


def test_a_changed_file_is_another_fingerprint(tmp_path: Path) -> None:
    location = CodeLocation.of_module("toys", "toys", "defs", tmp_path)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "module.py").write_text("a = 1")
    before = location.fingerprint()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text("a = 1")
    assert location.fingerprint() == before
    (tmp_path / "package" / "module.py").write_text("a = 12")
    assert location.fingerprint() != before


def test_a_code_location_goes_to_another_process_whole(tmp_path: Path) -> None:
    location = CodeLocation.of_module("toys", "toys", "defs", tmp_path)
    assert CodeLocation.from_json(location.to_json()) == location


def test_dagster_makes_the_launcher_anew_in_another_process(warm: Warm) -> None:
    with dg.DagsterInstance.from_ref(warm.instance.get_ref()) as again:
        assert isinstance(again.run_launcher, WarmRunLauncher)
        assert again.run_launcher.plan() == warm.launcher.plan()


def test_an_instance_that_is_closed_launches_no_more(warm: Warm) -> None:
    place = warm.launcher.dispatch.place
    assert not has_launchers(place)
    warm.launch("ten")
    assert has_launchers(place)
    warm.instance.dispose()
    assert not has_launchers(place)


# --- what we rely on in Dagster's inside ---


def test_dagster_executes_an_existing_run_in_memory(warm: Warm) -> None:
    """The call that a worker makes, and its promise: the run it is given, no other, and its events come out."""
    run = warm.run(warm.launch("ten"))
    job = InMemoryJob(warm.location.load().get_job("ten"))
    events = list(execute_run_iterator(job, run, warm.instance, resume_from_failure=False))
    assert events[-1].event_type_value == "PIPELINE_SUCCESS"
    assert warm.status(run.run_id) == "SUCCESS"
    assert len(warm.trace("step", run.run_id)) == 10


def test_dagster_does_not_execute_a_run_twice(warm: Warm) -> None:
    """A worker that gets a run that was begun elsewhere must do nothing to it."""
    run = warm.run(warm.launch("ten"))
    job = InMemoryJob(warm.location.load().get_job("ten"))
    list(execute_run_iterator(job, run, warm.instance))
    list(execute_run_iterator(job, warm.run(run.run_id), warm.instance))
    assert len(warm.trace("step", run.run_id)) == 10


def test_dagster_takes_sigterm_only_through_the_function_that_we_replace() -> None:
    """Else SIGTERM would interrupt the op in progress, in whose body Dagster's handlers are in force."""
    signalled: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with interrupts_deferred(lambda number, _: signalled.append(number)), raise_execution_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
        assert signalled == [signal.SIGTERM]
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGTERM, before)


def test_dagster_prints_only_through_the_function_that_we_replace(
    warm: Warm, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its log has the same events all the same."""
    job = warm.location.load().get_job("ten")
    loud, silent = (warm.run(warm.launch("ten")) for _ in range(2))
    execute(warm.instance, job, loud)
    assert loud.run_id in capfd.readouterr().err
    with console_silent():
        execute(warm.instance, job, silent)
    assert capfd.readouterr().err == ""
    counts = {len(warm.instance.all_logs(run.run_id)) for run in (loud, silent)}
    assert len(counts) == 1 and counts != {0}


def test_dagster_says_where_a_run_of_a_workspace_was_loaded_from(warm: Warm) -> None:
    pointer = warm.location.pointer
    target = ModuleTarget(warm.location.pointer.module, "defs", str(warm.folder), "toys")  # type: ignore[attr-defined]
    with WorkspaceProcessContext(warm.instance, target) as workspace:
        (location,) = workspace.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        job = repository.get_full_job("ten")
        assert job.get_python_origin().repository_origin.code_pointer == pointer
        assert job.get_remote_origin().repository_origin.code_location_origin.location_name == "toys"


def test_dagster_tells_a_reloaded_code_location_from_one_looked_at_again(warm: Warm) -> None:
    def seen() -> CodeLocationEntry:
        return workspace.create_request_context().get_location_entry("toys") or pytest.fail()

    with code_server(warm) as workspace:
        first = seen()
        look_again(workspace, reload=False)
        again = seen()
        look_again(workspace, reload=True)
        assert again.version_key == first.version_key
        assert seen().version_key != first.version_key
        assert seen().update_timestamp > again.update_timestamp > first.update_timestamp


def test_an_instance_reference_goes_through_json(warm: Warm) -> None:
    text = dg.serialize_value(warm.instance.get_ref())
    assert dg.deserialize_value(text, InstanceRef) == warm.instance.get_ref()


def test_the_monitor_takes_only_two_states_for_healthy() -> None:
    """Any other would have it fail the run."""
    source = inspect.getsource(run_monitoring.monitor_started_run)
    assert "not in [WorkerStatus.RUNNING, WorkerStatus.SUCCESS]" in source
