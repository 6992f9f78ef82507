"""Warm workers when two things happen at once: launch and leaving, end and termination, loss and return."""

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from resources.runs.workers.worker import ENDS
from tests.scale import Scaled
from tests.test_resources.test_runs.warm import Warm, gone, warm_instances
from tests.waiting import eventually

pytestmark = pytest.mark.slow
LOGGER = logging.getLogger("monitoring")


@pytest.fixture
def warm_of(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance whose launcher starts workers by itself."""
    with warm_instances(tmp_path) as make:
        yield make


@contextmanager
def signalling(number: signal.Signals, seconds: float, whom: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Send a signal to one of `whom` every so often; who got it."""
    chance = random.Random(5)
    sent: list[int] = []
    over = threading.Event()

    def send() -> None:
        while not over.wait(seconds):
            if (pids := whom()) and not gone([pid := chance.choice(pids)]):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    sent.append(pid)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        over.set()
        sender.join()


def ends(warm: Warm, run_id: str) -> list[str]:
    """The ends that a run's log speaks of."""
    return [entry.get_dagster_event().event_type_value for entry in warm.instance.all_logs(run_id, of_type=ENDS)]


def test_a_termination_at_any_moment_has_one_true_end_and_spares_the_next_run(
    warm_of: Callable[..., Warm], scaled: Scaled
) -> None:
    warm = warm_of()
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    workers = warm.workers()
    chance = random.Random(6)
    seen: Counter[str] = Counter()
    for _ in range(scaled(400, least=40)):
        run_id = warm.launch("ten")
        time.sleep(chance.uniform(0, 0.15))
        warm.launcher.terminate(run_id)
        seen[status := warm.end(run_id)] += 1
        assert status in ("SUCCESS", "CANCELED"), warm.messages(run_id)
        assert ends(warm, run_id) == [f"PIPELINE_{status}"], warm.messages(run_id)
        assert warm.end(warm.launch("ten")) == "SUCCESS"
        assert eventually(lambda: warm.state(run_id) == "done")  # noqa: B023
        assert warm.status(run_id) == status
    assert warm.workers() == workers
    assert len(seen) == 2, seen


@pytest.mark.parametrize("whom", ["workers", "supervisors"])
def test_of_many_runs_sigterm_disturbs_none(warm_of: Callable[..., Warm], whom: str, scaled: Scaled) -> None:
    warm = warm_of(workers=2)
    with signalling(signal.SIGTERM, 0.3 if whom == "workers" else 2, lambda: list(getattr(warm, whom)())) as sent:
        runs = []
        while len(runs) < scaled(1000, least=60) or len(sent) < 2:
            runs.append(warm.launch("ten"))
            time.sleep(0.05)
    runs.append(warm.launch("ten"))
    assert Counter(warm.end(run) for run in runs) == {"SUCCESS": len(runs)}
    assert all(len(warm.trace("step", run)) == 10 for run in runs)


def test_of_many_runs_recycling_disturbs_none(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=2, runs_per_worker=3)
    runs = [warm.launch("ten") for _ in range(60)]
    assert Counter(warm.end(run) for run in runs) == {"SUCCESS": 60}
    done_by = Counter(warm.trace("step", run)[0][2] for run in runs)
    assert max(done_by.values()) == 3


def test_a_launch_beside_a_leaving_supervisor_is_not_stranded(warm_of: Callable[..., Warm], scaled: Scaled) -> None:
    warm = warm_of()
    chance = random.Random(7)
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    for _ in range(scaled(40, least=4)):
        (supervisor,) = eventually(warm.supervisors)
        os.kill(supervisor, signal.SIGTERM)
        time.sleep(chance.uniform(0, 0.2))
        assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_a_launch_at_the_moment_of_leaving_for_idleness_is_not_stranded(
    warm_of: Callable[..., Warm], scaled: Scaled
) -> None:
    warm = warm_of(idle_seconds=1)
    chance = random.Random(8)
    for _ in range(scaled(40, least=3)):
        assert warm.end(warm.launch("ten")) == "SUCCESS"
        time.sleep(chance.uniform(1, 3))


def test_of_many_first_launches_at_once_one_starts_a_supervisor(warm_of: Callable[..., Warm], scaled: Scaled) -> None:
    warm = warm_of()
    for _ in range(scaled(10, least=2)):
        runs = [warm.create("ten") for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda run: warm.launcher.launch_run(LaunchRunContext(warm.run(run), None)), runs))
        assert [warm.end(run) for run in runs] == ["SUCCESS"] * 8
        assert len(warm.supervisors()) == 1
        warm.stop()
        eventually(lambda: not warm.workers())


def test_a_run_launched_by_many_at_once_is_executed_once(warm_of: Callable[..., Warm], scaled: Scaled) -> None:
    warm = warm_of(workers=2)
    runs = [warm.create("ten") for _ in range(scaled(100, least=20))]
    with ThreadPoolExecutor(4) as pool:
        again = [pool.submit(warm.launcher.launch_run, LaunchRunContext(warm.run(run), None)) for run in runs * 4]
        for launch in again:
            launch.result()
    assert Counter(warm.end(run) for run in runs) == {"SUCCESS": len(runs)}
    for run in runs:
        warm.launcher.launch_run(LaunchRunContext(warm.run(run), None))
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    assert all(len(warm.trace("step", run)) == 10 for run in runs)


@pytest.mark.parametrize("supervised", [True, False])
def test_a_worker_that_was_given_up_and_comes_back_leaves_its_run_alone(
    warm_of: Callable[..., Warm], supervised: bool, scaled: Scaled
) -> None:
    warm = warm_of()
    for _ in range(scaled(5)):
        run_id = warm.stay()
        worker = warm.begun(run_id)
        stop_and_cut_off(warm, worker)
        if not supervised:
            for supervisor in warm.supervisors():
                os.kill(supervisor, signal.SIGKILL)
        with WorkspaceProcessContext(warm.instance, EmptyWorkspaceTarget()) as workspace:
            eventually(lambda: look(workspace, supervised) or warm.run(run_id).is_finished)  # noqa: B023
        assert warm.status(run_id) == "FAILURE"
        os.kill(worker, signal.SIGCONT)
        eventually(lambda: gone([worker]))  # noqa: B023
        assert not warm.trace("end", run_id)
        assert ends(warm, run_id) == ["PIPELINE_FAILURE"]
        assert warm.status(run_id) == "FAILURE"
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def stop_and_cut_off(warm: Warm, worker: int) -> None:
    """A worker that hangs, and whose connections the server has given up."""
    (number,) = [one.worker for one in warm.launcher.dispatch.workers() if one.pid == worker]
    os.kill(worker, signal.SIGSTOP)
    with warm.launcher.dispatch.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s::oid", (number,)
        )


def look(workspace: WorkspaceProcessContext, supervised: bool) -> None:
    """What the daemon does every few seconds, where nobody else is left to."""
    if not supervised:
        assert not [error for error in execute_run_monitoring_iteration(workspace, LOGGER) if error]
    time.sleep(0.5)
