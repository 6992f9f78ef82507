"""How long workers stay, and which code they have: lifetimes and reloads, with processes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext

from resources.runs.workers.manager import WorkerManager
from resources.runs.workers.supervisor import LINGER_SECONDS
from tests.test_resources.test_runs.warm import Warm, code_server, gone, look_again, warm_instances
from tests.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def warm_of(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance whose launcher starts workers by itself."""
    with warm_instances(tmp_path) as make:
        yield make


@pytest.fixture
def warm(warm_of: Callable[..., Warm]) -> Warm:
    """One worker, started by the first launch."""
    return warm_of()


# --- lifetimes ---


def test_workers_stay_as_long_as_somebody_launches_and_leave_soon_after(warm: Warm) -> None:
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    here = [*warm.workers(), *warm.supervisors()]
    time.sleep(LINGER_SECONDS + 2)
    assert not gone(here)
    warm.launcher.dispose()
    eventually(lambda: gone(here))


def test_work_that_waits_or_is_in_hand_is_done_although_nobody_launches_any_more(warm: Warm) -> None:
    first, second = warm.stay(), warm.launch("nap_job", {"ops": {"nap": {"config": {"seconds": 0.0}}}})
    warm.begun(first)
    here = [*warm.workers(), *warm.supervisors()]
    warm.launcher.dispose()
    time.sleep(LINGER_SECONDS + 2)
    warm.leave(first)
    assert [warm.end(first), warm.end(second)] == ["SUCCESS", "SUCCESS"]
    assert warm.trace("end", first)[0][2] == warm.trace("end", second)[0][2]
    eventually(lambda: gone(here))


def test_a_launch_after_all_have_left_starts_workers_again(warm: Warm) -> None:
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    here = [*warm.workers(), *warm.supervisors()]
    warm.launcher.dispose()
    eventually(lambda: gone(here))
    assert warm.end(warm.launch("ten")) == "SUCCESS"


def test_with_a_spare_worker_the_others_come_when_it_has_got_a_run(warm_of: Callable[..., Warm]) -> None:
    """The reserved one last: runs in bulk never occupy it."""
    warm = warm_of(workers=2, reserved_workers=1)
    reported: list[str] = []
    plan = replace(warm.launcher.plan(idle_seconds=0), spare=1)
    manager = WorkerManager(warm.instance, warm.launcher.dispatch, plan, reported.append)
    assert manager.start()
    eventually(lambda: manager.check() or reported)
    assert reported == ["Ready: 2 for all runs of toys, and 1 in reserve."]
    assert len(warm.workers()) == 1
    runs = []
    for number in range(2):
        runs.append(warm.stay(tags={"dagster/priority": "-1"}))
        warm.begun(runs[-1])
        eventually(lambda more=number + 2: len(warm.workers()) == more)
    assert [one.is_reserved for one in warm.launcher.dispatch.workers()] == [False, False, True]
    for run_id in runs:
        warm.leave(run_id)
        assert warm.end(run_id) == "SUCCESS"
    assert len(warm.workers()) == 3, "they stay"
    manager.stop()
    eventually(lambda: not warm.workers())


# --- reloads ---


@contextmanager
def versioned(warm: Warm) -> Iterator[WorkspaceProcessContext]:
    """The toys, whose version stands in a file that is no code."""
    module = next(warm.folder.glob("toys_*.py"))
    reading = 'VERSION = Path(__file__).with_name("version").read_text()'
    module.write_text(module.read_text().replace('VERSION = "1"', reading))
    say(warm, "1")
    with code_server(warm) as workspace:
        yield workspace


def say(warm: Warm, version: str) -> None:
    (warm.folder / "version").write_text(version)


def launch(warm: Warm, workspace: WorkspaceProcessContext, job: str = "ten") -> str:
    run_id = warm.create(job)
    context: WorkspaceRequestContext = workspace.create_request_context()
    warm.instance.launch_run(run_id, context)
    return run_id


def versions(warm: Warm, run_id: str) -> set[str]:
    assert warm.end(run_id) == "SUCCESS"
    return {line[3] for word in ("step", "begin") for line in warm.trace(word, run_id)}


def test_after_a_reload_only_code_loaded_since_executes(warm: Warm) -> None:
    with versioned(warm) as workspace:
        assert versions(warm, launch(warm, workspace)) == {"1"}
        for version in ("2", "3"):
            old = launch(warm, workspace, "stay_job")
            warm.begun(old)
            say(warm, version)
            look_again(workspace, reload=True)
            assert versions(warm, launch(warm, workspace)) == {version}
            warm.leave(old)
            assert versions(warm, old) == {str(int(version) - 1)}  # it was let finish


def test_without_a_reload_the_workers_stay(warm: Warm) -> None:
    with versioned(warm) as workspace:
        assert versions(warm, launch(warm, workspace)) == {"1"}
        here = warm.workers()
        look_again(workspace, reload=False)
        say(warm, "2")
        assert versions(warm, launch(warm, workspace)) == {"1"}
        assert warm.workers() == here


def test_a_run_that_older_code_may_execute_does_not_wait_for_newer_code(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=1)
    with versioned(warm) as workspace:
        assert versions(warm, launch(warm, workspace)) == {"1"}
        before = warm.supervisors()
        look_again(workspace, reload=True)
        newer = launch(warm, workspace)
        older = warm.launch("ten")  # by who knows of no reload
        assert warm.end(older) == "SUCCESS"
        assert warm.end(newer) == "SUCCESS"
        assert warm.trace("step", older)[0][2] != warm.trace("step", newer)[0][2]
        eventually(lambda: not before & warm.supervisors())


def test_broken_code_fails_its_runs_and_leaves_the_workers_that_there_are(warm: Warm) -> None:
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    here = warm.workers()
    module = next(warm.folder.glob("toys_*.py"))
    sound, run_id = module.read_text(), warm.create("ten")
    module.write_text("raise RuntimeError('half written')")
    warm.instance.launch_run(run_id, workspace=None)  # type: ignore[arg-type]
    assert warm.end(run_id) == "FAILURE"
    assert "half written" in warm.messages(run_id)
    assert warm.workers() == here
    module.write_text(sound + "\n")
    assert warm.end(warm.launch("ten")) == "SUCCESS"
