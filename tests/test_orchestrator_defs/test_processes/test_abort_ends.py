"""The end of an abort: subscriptions stay locked until the aborted step has ended, or its process is dead."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from dagster import DagsterRunStatus
from sqlalchemy import text

from orchestrator_defs.processes import process_aborts
from resources.errors import NotWaiting, RunMayNotAct, StartRefused
from resources.processes import interventions, pause
from resources.processes.pause import EngineStatus
from resources.runs.dispatch import Dispatch, Entry
from resources.runs.launching.launcher import WarmRunLauncher
from resources.settings import settings
from tests.test_orchestrator_defs.test_processes import test_recovery
from tests.test_orchestrator_defs.test_processes.test_locked_rows import locked
from tests.test_orchestrator_defs.test_processes.test_recovery import Ward, elsewhere
from tests.test_orchestrator_defs.test_processes.toys import create_device, lock_of, set_row

dagster_instance, instance, ward = test_recovery.dagster_instance, test_recovery.instance, test_recovery.ward


@contextmanager
def aborting(ward: Ward, half_done: tuple[UUID, str] | None = None) -> Iterator[UUID]:
    """A process that is being aborted, whose step another process executes."""
    process_id, run_id = half_done or ward.half_done()
    with elsewhere(ward, run_id):
        ward.service.interventions.abort(process_id, user="ada")
        assert ward.process(process_id).last_status == "aborting"
        yield process_id


def dispatch_of(ward: Ward) -> Dispatch:
    launcher = ward.instance.run_launcher
    assert isinstance(launcher, WarmRunLauncher)
    return launcher.dispatch


def past_the_deadline(ward: Ward) -> None:
    with ward.database.transaction() as session:
        session.execute(text("UPDATE process_waits SET deadline = now() - interval '1 minute' WHERE kind = 'abort'"))


def test_a_running_process_is_aborting_until_its_step_has_ended(ward):
    with aborting(ward) as process_id:
        assert "aborting" not in ward.tick("sweeper")[0]
        assert ward.process(process_id).last_status == "aborting"
    assert "The abort is over" in ward.tick("sweeper")[0]
    assert (ward.process(process_id).last_status, ward.process(process_id).failed_reason) == ("aborted", None)


def test_its_worker_was_dead_before_the_abort(ward):
    process_id, _ = ward.half_done()
    assert ward.service.interventions.abort(process_id, user="ada").until is None
    assert ward.process(process_id).last_status == "aborted"


def test_a_waiting_process_is_aborted_at_once(ward):
    process_id = ward.start("sleep_a_night")
    ward.service.runs.execute(process_id, user="starter")
    assert ward.service.interventions.abort(process_id, user="ada").until is None
    assert ward.process(process_id).last_status == "aborted"


def test_a_second_abort_changes_nothing(ward):
    with aborting(ward) as process_id:
        (before,) = ward.service.interventions.aborts._find(process_id)
        again = ward.service.interventions.abort(process_id, user="bob")
        assert (again.was, again.until) == ("aborting", before.until)
        assert ward.ledger(process_id)["__abort__"].created_by == "ada"


def test_an_aborting_process_is_not_resumed(ward):
    with aborting(ward) as process_id, pytest.raises(NotWaiting, match="it ends when its step does"):
        ward.service.interventions.retry(process_id, user="ada")


def test_a_pause_waits_for_the_step_of_an_aborting_process(ward):
    with aborting(ward), ward.database.transaction():
        pause.set_paused(True, user="ada")
        assert pause.state().status is EngineStatus.PAUSING


def test_the_subscription_of_an_aborting_process_is_held(network, monkeypatch):
    engine, world = network
    subscription_id = UUID(engine.process(create_device(engine)).state["subscription_id"])
    pages = [{"subscription_id": str(subscription_id)}, {"hostname": "ams2"}]
    world.broken = {"configure"}
    process_id = engine.run("modify_device", pages)
    set_row(engine, process_id, last_status="running")
    claimed = Entry(str(process_id), "claimed", None, True, None)
    monkeypatch.setattr(process_aborts, "execution_of", lambda *_: claimed)
    found = engine.service.interventions.abort(process_id, user="ada")
    assert lock_of(engine, subscription_id) == (process_id, False)
    sentence = rf"\(process {process_id}\), which is being aborted. The step 'configure' has until {found.until:%F %T}"
    with pytest.raises(StartRefused, match=sentence):
        engine.service.starts.start("modify_device", pages, user="bob")
    monkeypatch.undo()
    assert engine.service.interventions.aborts.end(process_id)
    assert lock_of(engine, subscription_id) == (None, False)


def test_a_sweep_terminates_the_run_of_an_abort_whose_door_died(ward):
    process_id, run_id = ward.half_done()
    with elsewhere(ward, run_id):
        with ward.database.transaction():
            interventions.abort(process_id, user="ada")
        ward.tick("sweeper")
        entry = dispatch_of(ward).entry(run_id)
        assert entry.is_canceled
        assert 0 < entry.seconds_left <= settings().abort_grace_seconds


def test_a_step_that_nobody_can_kill_is_named_with_its_process(ward):
    """It is executed in a thread of a process that serves others."""
    with aborting(ward) as process_id:
        past_the_deadline(ward)
        assert "could not be killed: end that process" in ward.tick("sweeper")[0]
        assert "Its step has not ended, and its process (" in ward.process(process_id).failed_reason
    assert "The abort is over" in ward.tick("sweeper")[0]


def test_a_locked_row_does_not_stop_the_aborts_behind_it(ward):
    one, other = ward.half_done(), ward.half_done()
    with aborting(ward, one) as first, aborting(ward, other) as second:
        pass
    with locked(ward, first):
        assert f"{first} is locked by another transaction" in ward.tick("sweeper")[0]
    assert (ward.process(first).last_status, ward.process(second).last_status) == ("aborting", "aborted")


@pytest.mark.parametrize("status", [DagsterRunStatus.CANCELED, DagsterRunStatus.FAILURE])
def test_a_run_that_is_over_for_dagster_alone_keeps_its_process(ward, status):
    """As after "mark as canceled" in Dagster's page: another run would act beside its step."""
    process_id, run_id = ward.half_done()
    ward.run_of(run_id, status)
    with elsewhere(ward, run_id):
        assert f"is {status.value} and still executed: canceled" in ward.sweep()
        assert (ward.process(process_id).last_status, ward.process(process_id).run_id) == ("running", run_id)
        assert dispatch_of(ward).entry(run_id).is_canceled
        with pytest.raises(RunMayNotAct, match="is executed by run"):
            ward.service.runs.execute(process_id, user="ada")
    ward.sweep()
    assert ward.process(process_id).last_status in ("resumed", "failed")


def test_an_abort_has_its_own_grace_period_and_not_that_of_the_launcher(ward):
    _, run_id = ward.half_done()
    with elsewhere(ward, run_id):
        dispatch_of(ward).kill_after(run_id, 100)
        dispatch_of(ward).cancel(run_id)
        assert dispatch_of(ward).overdue(-1) == []
