"""The liveness lock of a process that executes runs without a supervisor: one for all its runs, which ends none."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from resources.runs.dispatch import Dispatch, Entry
from resources.runs.dispatch_statements import LIVENESS
from resources.runs.workers import liveness
from resources.runs.workers.liveness import UnsupervisedLiveness, claimed_run
from tests.waiting import eventually

GONE = {
    "the table forgets it": "UPDATE orchestrator_workers SET worker = DEFAULT",
    "its session breaks": f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = {LIVENESS}",
}


@pytest.fixture(autouse=True)
def none_before() -> Iterator[None]:
    """What earlier tests have left ends, and what these leave, too."""
    liveness.release_idle()
    eventually(lambda: not threads())
    yield
    liveness.release_idle()


def threads() -> list[UnsupervisedLiveness]:
    return [one for one in threading.enumerate() if isinstance(one, UnsupervisedLiveness)]


def execute(instance: dg.DagsterInstance) -> Entry:
    """Claim and release a run; its entry in between."""
    run_id = str(uuid4())
    with claimed_run(instance, run_id):
        found = Dispatch(instance).entry(run_id)
        assert found is not None
        return found


def test_one_run_after_the_other_has_the_same_lock(dagster_instance: dg.DagsterInstance) -> None:
    assert len({execute(dagster_instance).worker for _ in range(5)}) == len(threads()) == 1


def test_two_runs_at_a_time_have_a_lock_each_and_leave_one(dagster_instance: dg.DagsterInstance) -> None:
    with claimed_run(dagster_instance, str(uuid4())), claimed_run(dagster_instance, str(uuid4())):
        assert len(threads()) == 2
    assert eventually(lambda: len(threads()) == 1)


def test_a_run_leaves_no_file_open(dagster_instance: dg.DagsterInstance) -> None:
    """With a pipe for each, a process could execute some five hundred."""

    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    execute(dagster_instance)
    before = opened()
    for _ in range(5):
        execute(dagster_instance)
        liveness.release_idle()
    assert eventually(lambda: opened() <= before)


@pytest.mark.parametrize("happens", GONE.values(), ids=GONE)
def test_an_idle_lock_that_is_lost_ends_no_process(dagster_instance: dg.DagsterInstance, happens: str) -> None:
    """Such as after a long sleep of the machine."""
    execute(dagster_instance)
    (idle,) = threads()
    Dispatch(dagster_instance)._rows(happens)
    assert eventually(lambda: not idle.is_alive())
    assert execute(dagster_instance).worker != idle.worker


@pytest.mark.parametrize("happens", GONE.values(), ids=GONE)
def test_a_run_can_be_claimed_before_that_is_noticed(dagster_instance: dg.DagsterInstance, happens: str) -> None:
    execute(dagster_instance)
    Dispatch(dagster_instance)._rows(happens)
    assert execute(dagster_instance).state == "claimed"


def test_an_idle_lock_is_given_back_after_a_while(
    dagster_instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "IDLE_SECONDS", 0.0)
    execute(dagster_instance)
    assert eventually(lambda: not threads())


def test_a_cancellation_between_two_runs_interrupts_neither(dagster_instance: dg.DagsterInstance) -> None:
    execute(dagster_instance)
    (idle,) = threads()
    run_id = str(uuid4())
    idle._cancel(run_id)
    with claimed_run(dagster_instance, run_id):
        assert idle._kill_at is None and idle._run_id == run_id


def test_a_fork_has_no_lock_of_its_parent(
    dagster_instance: dg.DagsterInstance, forked: Callable[[Callable[[], object]], int]
) -> None:
    execute(dagster_instance)
    place = Dispatch(dagster_instance).place
    assert forked(lambda: liveness._take_idle(place) and sys.exit("it has")) == 0
    assert liveness._idle
