"""Warm workers, as processes: what they execute, what ends them, and what becomes of the run that they execute."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from resources.database.embedded import EmbeddedServer
from resources.runs.launching.launcher import end_lost_runs
from tests.test_resources.test_runs.warm import Warm, gone, refuse_connections, warm_instances
from tests.waiting import eventually

pytestmark = pytest.mark.slow
TRIALS = 2
LOGGER = logging.getLogger("monitoring")


@pytest.fixture
def warm_of(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance whose launcher starts workers by itself."""
    with warm_instances(tmp_path) as make:
        yield make


@pytest.fixture
def warm(warm_of: Callable[..., Warm]) -> Warm:
    """One worker, started by the first launch."""
    return warm_of()


def test_the_first_launch_starts_a_worker_and_the_next_finds_it_warm(warm: Warm) -> None:
    first = warm.launch("ten")
    assert warm.end(first) == "SUCCESS"
    assert len(warm.trace("step", first)) == 10
    workers = warm.workers()
    second = warm.launch("ten")
    assert warm.end(second) == "SUCCESS"
    assert {int(line[2]) for line in warm.trace("step", second)} == set(workers)
    assert warm.workers() == workers
    assert warm.state(first) == "done"


def test_many_first_launches_start_one_supervisor(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=2)
    runs = [warm.launch("ten") for _ in range(6)]
    assert [warm.end(run) for run in runs] == ["SUCCESS"] * 6
    assert len(warm.supervisors()) == 1
    assert all(len(warm.trace("step", run)) == 10 for run in runs)


def test_a_failed_step_fails_its_run_and_leaves_the_worker_alone(warm: Warm) -> None:
    assert warm.end(warm.launch("fail_job")) == "FAILURE"
    workers = warm.workers()
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    assert warm.workers() == workers


def test_an_exit_in_a_step_is_reported_with_its_status_and_the_worker_replaced(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.launch("exit_seven_job")
        warm.begun(run_id)
        assert warm.end(run_id) == "FAILURE"
        assert "ended with exit status 7" in warm.messages(run_id)
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_child_that_a_step_forks_and_returns_executes_nothing_more(warm: Warm) -> None:
    run_id = warm.launch("fork_job")
    assert warm.end(run_id) == "SUCCESS"
    eventually(lambda: len(warm.trace("begin", run_id)) == 2)
    children = {int(line[2]) for line in warm.trace("begin", run_id)} - set(warm.workers())
    eventually(lambda: not children.intersection(warm.processes()))
    assert warm.messages(run_id).count('Finished execution of step "fork"') == 1
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_run_deleted_and_then_terminated_leaves_a_worker_that_works(warm: Warm) -> None:
    run_id = warm.nap(250)
    warm.begun(run_id)
    warm.instance.delete_run(run_id)
    warm.launcher.dispatch.cancel(run_id)
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_killed_worker_is_noticed_at_once_and_replaced(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.stay()
        os.kill(warm.begun(run_id), signal.SIGKILL)
        assert warm.end(run_id) == "FAILURE"
        assert "was killed by SIGKILL" in warm.messages(run_id)
        assert warm.state(run_id) == "done"
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_frozen_worker_is_killed_and_replaced(warm: Warm) -> None:
    run_id = warm.stay()
    os.kill(warm.begun(run_id), signal.SIGSTOP)
    assert warm.end(run_id) == "FAILURE"
    assert "gave no sign of life and was killed by SIGKILL" in warm.messages(run_id)
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_worker_frozen_with_its_supervisor_loses_its_run_and_sessions_and_ends_when_it_wakes(warm: Warm) -> None:
    run_id = warm.stay()
    frozen = [warm.begun(run_id), *warm.supervisors()]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    eventually(lambda: end_lost_runs(warm.instance, [run_id]))
    assert warm.status(run_id) == "FAILURE"
    with warm.launcher.dispatch.connect() as session:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"
        eventually(lambda: session.execute(sessions, (f"% {frozen[0]}@%",)).fetchone() == (0,))
    for pid in frozen:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: gone(frozen[:1]))
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_termination_interrupts_a_sleep(warm: Warm) -> None:
    workers = None
    for _ in range(TRIALS):
        run_id = warm.nap(250)
        worker = warm.begun(run_id)
        assert warm.launcher.terminate(run_id)
        assert warm.end(run_id) == "CANCELED"
        assert workers in (None, worker)
        workers = worker
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_termination_interrupts_a_wait_on_a_socket(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.launch("listen_job")
        warm.begun(run_id)
        assert warm.launcher.terminate(run_id)
        assert warm.end(run_id) == "CANCELED"
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_worker_that_does_not_react_is_killed_after_the_grace_period(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(grace_seconds=1)
    for _ in range(TRIALS):
        run_id = warm.launch("play_deaf_job")
        worker = warm.begun(run_id)
        assert warm.launcher.terminate(run_id)
        assert warm.end(run_id) == "CANCELED"
        assert gone([worker])
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_sigterm_to_the_supervisor_lets_the_run_in_hand_end(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        (supervisor,) = warm.supervisors()
        os.kill(supervisor, signal.SIGTERM)
        time.sleep(1)  # in which the wrong thing would happen
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS"
        eventually(lambda: gone([worker, supervisor]))  # noqa: B023


def test_sigterm_to_a_worker_lets_the_run_in_hand_end(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        os.kill(worker, signal.SIGTERM)
        time.sleep(1)  # in which the wrong thing would happen
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS"
        eventually(lambda: gone([worker]))  # noqa: B023


def test_a_worker_without_a_supervisor_ends_its_run_and_leaves(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        (supervisor,) = warm.supervisors()
        os.kill(supervisor, signal.SIGKILL)
        assert warm.end(warm.launch("ten")) == "SUCCESS"
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS"
        eventually(lambda: gone([worker]))  # noqa: B023


def test_a_run_launched_to_a_supervisor_that_is_being_killed_does_not_wait_for_the_run_in_hand(warm: Warm) -> None:
    for _ in range(TRIALS):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        (supervisor,) = warm.supervisors()
        os.kill(supervisor, signal.SIGSTOP)  # as in the moment of its death: it holds its lock and does nothing
        waiting = warm.launch("ten")
        os.kill(supervisor, signal.SIGKILL)
        assert warm.end(waiting, seconds=60) == "SUCCESS"
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS"
        eventually(lambda: gone([worker]))  # noqa: B023


def test_a_worn_worker_is_replaced(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(runs_per_worker=2)
    runs = [warm.launch("ten") for _ in range(5)]
    assert [warm.end(run) for run in runs] == ["SUCCESS"] * 5
    assert len({warm.trace("step", run)[0][2] for run in runs}) == 3


def test_a_worker_that_has_grown_is_replaced(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(megabytes_per_worker=300)
    first = warm.launch("grow_job")
    assert warm.end(first) == "SUCCESS"
    second = warm.nap(0)
    assert warm.end(second) == "SUCCESS"
    assert warm.trace("begin", first)[0][2] != warm.trace("begin", second)[0][2]


def test_idle_workers_leave(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(idle_seconds=2)
    run_id = warm.nap(4)  # longer: work is not idleness
    warm.begun(run_id)
    here = [*warm.workers(), *warm.supervisors()]
    assert warm.end(run_id) == "SUCCESS"
    eventually(lambda: gone(here))
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_database_away_for_five_seconds_does_not_disturb_a_run(
    warm: Warm, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.database.session.IDLE_SECONDS", 0.0)  # of this process: it has no part in the hiccup
    database = warm.database
    for _ in range(TRIALS):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        refuse_connections(server, database, refuse=True)
        time.sleep(5)
        refuse_connections(server, database, refuse=False)
        assert warm.launcher.check_run_worker_health(warm.run(run_id)).status.value == "RUNNING"
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS", warm.messages(run_id)
        eventually(lambda: warm.workers() == [worker])  # noqa: B023


def test_code_that_cannot_be_loaded_fails_its_runs_with_the_reason(warm: Warm) -> None:
    run_id = warm.create("ten")
    module = next(warm.folder.glob("toys_*.py"))
    module.write_text("raise RuntimeError('half written')")
    warm.instance.launch_run(run_id, workspace=None)  # type: ignore[arg-type]
    assert warm.end(run_id) == "FAILURE"
    assert "half written" in warm.messages(run_id)


def test_new_code_takes_over_and_the_old_finishes_what_it_has(warm: Warm) -> None:
    module = next(warm.folder.glob("toys_*.py"))
    for version in range(2, 2 + TRIALS):
        old = warm.stay()
        warm.begun(old)
        module.write_text(module.read_text().replace(f'VERSION = "{version - 1}"', f'VERSION = "{version}"'))
        new = warm.launch("ten")
        assert warm.end(new) == "SUCCESS"
        assert {line[3] for line in warm.trace("step", new)} == {str(version)}
        warm.leave(old)
        assert warm.end(old) == "SUCCESS"
        assert warm.trace("end", old)[0][3] == str(version - 1)


def test_changed_files_are_noticed_without_a_launch(warm: Warm) -> None:
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    before = warm.supervisors()
    module = next(warm.folder.glob("toys_*.py"))
    module.write_text(module.read_text().replace('VERSION = "1"', 'VERSION = "2"'))
    eventually(lambda: (now := warm.supervisors()) and not now & before)


def test_the_loss_of_the_machine_ends_in_a_failure_that_says_so(warm: Warm) -> None:
    with WorkspaceProcessContext(warm.instance, EmptyWorkspaceTarget()) as workspace:
        for _ in range(TRIALS):
            run_id = warm.stay()
            warm.begun(run_id)
            warm.stop()
            eventually(lambda: monitored(workspace) and warm.run(run_id).is_finished)  # noqa: B023
            assert warm.status(run_id) == "FAILURE"
            assert "is gone, and so is its supervisor" in warm.messages(run_id)


def monitored(workspace: WorkspaceProcessContext) -> bool:
    """What the daemon does every few seconds."""
    assert not [error for error in execute_run_monitoring_iteration(workspace, LOGGER) if error]
    return True


def test_a_lost_run_can_be_resumed_by_another_worker(warm: Warm) -> None:
    run_id = warm.stay()
    warm.begun(run_id)
    warm.instance.resume_run(run_id, None, 1)  # type: ignore[arg-type]  # its worker lives: nothing happens
    warm.stop()

    def begins_again() -> bool:
        """Asked for as the run monitoring does, again and again: PostgreSQL may not have dropped the lock at once."""
        warm.instance.resume_run(run_id, None, 1)  # type: ignore[arg-type]
        return len(warm.trace("begin", run_id)) == 2

    eventually(begins_again)
    warm.leave(run_id)
    assert warm.end(run_id) == "SUCCESS", warm.messages(run_id)
    assert len(warm.trace("end", run_id)) == 1
