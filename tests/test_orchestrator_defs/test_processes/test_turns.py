"""Each process has its turn: no batch is filled with others, and neither a bad nor a slow one stops those behind it."""

import time
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID, uuid4

from dagster import DagsterRunStatus
from sqlalchemy import text

from ops.tasks import resumption
from orchestrator_defs.processes import launching
from orchestrator_defs.sensors import sweeper, wake
from resources import clock, tags
from resources.database.tables import SubscriptionTable
from resources.errors import DatabaseBusy
from resources.processes import process_rows, recovery
from resources.processes.owner import Owner
from resources.processes.waits import Due, WaitKind
from resources.runs.launching.launcher import WarmRunLauncher
from tests.test_orchestrator_defs.test_processes import test_recovery
from tests.test_orchestrator_defs.test_processes.test_locked_rows import locked
from tests.test_orchestrator_defs.test_processes.test_recovery import Ward
from tests.test_orchestrator_defs.test_processes.toys import create_device, set_row

dagster_instance, instance, ward = test_recovery.dagster_instance, test_recovery.instance, test_recovery.ward


def lost(ward: Ward):
    """A process whose run has failed without an end of it."""
    process_id, run_id = ward.half_done()
    ward.run_of(run_id, DagsterRunStatus.FAILURE)
    return process_id


def test_a_launch_is_not_behind_the_sweep(ward, monkeypatch):
    process_id, held = ward.start(), lost(ward)
    ward.an_hour_later()

    def sweep(self, after=None):
        assert ward.queued() == [str(process_id)]
        return whole(self, after)

    whole = sweeper.Sweeper.sweep
    monkeypatch.setattr(sweeper.Sweeper, "sweep", sweep)
    with locked(ward, held):
        began = time.monotonic()
        assert "created without a run: launched" in ward.tick("sweeper")[0]
        assert time.monotonic() - began < 4


def test_a_part_of_the_sweep_that_fails_stops_no_other(ward, monkeypatch):
    process_id = lost(ward)
    ward.an_hour_later()
    monkeypatch.setattr(sweeper, "end_lost_runs", lambda *_: 1 / 0)
    assert "a part of the sweep has failed" in ward.tick("sweeper")[0]
    assert ward.process(process_id).last_status == "resumed"


def test_a_process_that_cannot_be_swept_stops_no_other(ward, monkeypatch):
    bad, good = lost(ward), lost(ward)
    ward.an_hour_later()
    continue_process = recovery.continue_process

    def cannot(found, reason):
        return 1 / 0 if found.process_id == bad else continue_process(found, reason)

    monkeypatch.setattr(recovery, "continue_process", cannot)
    assert f"{bad} cannot be repaired yet: division by zero" in ward.tick("sweeper")[0]
    assert (ward.process(bad).last_status, ward.process(good).last_status) == ("running", "resumed")


def test_a_sweep_whose_time_ran_out_continues_where_it_was(ward, monkeypatch):
    first, second = lost(ward), lost(ward)
    ward.an_hour_later()
    monkeypatch.setattr(sweeper, "TURN_SECONDS", -1.0)
    assert "1 processes wait for the next sweep" in ward.tick("sweeper")[0]
    assert (ward.process(first).last_status, ward.process(second).last_status) == ("resumed", "running")
    ward.tick("sweeper", ward.cursor)
    assert ward.process(second).last_status == "resumed"


def test_launches_whose_time_ran_out_are_named(ward, monkeypatch):
    process_id = ward.start()
    ward.an_hour_later()
    monkeypatch.setattr(launching, "LAUNCHES_SECONDS", -1.0)
    assert f"{process_id} is not launched yet: the next tick does it" in ward.tick("sweeper")[0]


def test_strays_are_found_behind_runs_that_are_at_work(ward, monkeypatch):
    monkeypatch.setattr(sweeper, "BATCH", 1)
    stopped = []
    monkeypatch.setattr(WarmRunLauncher, "terminate", lambda _, run_id: bool(stopped.append(run_id) or True))
    processes = [ward.half_done() for _ in range(3)]
    for process_id, run_id in processes:
        job = ward.orchestrator.job("sleep_a_night")
        known = {tags.PROCESS: str(process_id)}
        ward.instance.create_run_for_job(job_def=job, run_id=run_id, status=DagsterRunStatus.STARTED, tags=known)
    (stray, its_run) = processes[1]
    ward.put(stray, "completed", its_run)
    ward.an_hour_later()
    ward.tick("sweeper")
    assert stopped == [its_run]


def test_due_waits_that_have_their_run_take_nobodys_place(ward, monkeypatch):
    monkeypatch.setattr(wake, "WAKE_AT_ONCE", 1)
    sleepers = [ward.start("sleep_a_night") for _ in range(2)]
    for one in sleepers:
        ward.service.runs.execute(one, user="starter")
    with clock.moved(timedelta(days=2)):
        _, (first,) = ward.tick("wake")
        job = ward.orchestrator.job("sleep_a_night")
        run = {"tags": dict(first.tags), "status": DagsterRunStatus.STARTED, "run_id": str(uuid4())}
        ward.instance.create_run_for_job(job_def=job, **run)
        _, (second,) = ward.tick("wake")
    assert [one.tags[tags.PROCESS] for one in (first, second)] == [str(one) for one in sleepers]


def test_late_callbacks_that_cannot_be_ended_take_nobodys_place(ward, monkeypatch):
    found = [ward.start() for _ in range(3)]
    due = [Due(one, "step", WaitKind.CALLBACK) for one in found]
    asked = []

    def end(_workflow, one, *, database):
        asked.append(one.process_id)
        if one.process_id == found[0]:
            raise DatabaseBusy("It is locked.")
        return "run"

    def ask(_owner, limit, *, without, **_):
        return [one for one in due if one.process_id not in without][:limit]

    monkeypatch.setattr(resumption.waits, "due", ask)
    monkeypatch.setattr(resumption, "wake", end)
    monkeypatch.setattr(resumption, "BATCH", 1)
    context = SimpleNamespace(ready=[])
    look = resumption.wake_late_callbacks(lambda: ward.orchestrator.workflows)
    assert look.function(ward.database, context) == {"callbacks_late": 2}
    assert (asked, context.ready) == (found, found[1:])


def test_overdue_waits_of_removed_workflows_take_nobodys_place(ward):
    sleepers = [ward.start("sleep_a_night") for _ in range(2)]
    for one in sleepers:
        ward.service.runs.execute(one, user="starter")
    with clock.moved(timedelta(days=2)), ward.database.transaction():
        assert recovery.overdue_waits(Owner(), 0, 1, ["sleep_a_night"]) == sleepers[:1]
        assert recovery.overdue_waits(Owner(), 0, 1, ["two_steps"]) == []


def test_the_oldest_child_is_launched_first(ward):
    parent, *found = [ward.start() for _ in range(3)]
    with ward.database.transaction() as session:
        session.execute(
            text(
                "UPDATE processes SET parent_process_id = :parent, last_modified_at = now() - interval '1 day' *"
                " array_position(:found, process_id) WHERE process_id = ANY(:found)"
            ),
            {"parent": parent, "found": found},
        )
        assert process_rows.children_to_launch(1, Owner(), ["two_steps"], of=parent) == found[-1:]
        assert process_rows.children_to_launch(1, Owner(), ["sleep_a_night"], of=parent) == []


def test_the_oldest_lock_that_is_left_is_named_first(network):
    engine, _ = network
    found = []
    for days in (1, 2):
        process_id = create_device(engine, f"ams{days}")
        subscription_id = UUID(engine.process(process_id).state["subscription_id"])
        found.append((subscription_id, process_id))
        with engine.database.transaction() as session:
            session.get_one(SubscriptionTable, subscription_id).locked_by = process_id
        set_row(engine, process_id, last_modified_at=clock.now() - timedelta(days=days))
    with engine.database.transaction():
        assert recovery.left_locks(1) == found[-1:]
