"""A row that a frozen process holds delays neither the sweep, nor a launch, nor an abort."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from dagster import DagsterRunStatus
from sqlalchemy import Connection, text

from resources.runs.launching.launcher import WarmRunLauncher
from tests.test_orchestrator_defs.test_processes import test_recovery
from tests.test_orchestrator_defs.test_processes.test_recovery import Ward

dagster_instance, instance, ward = test_recovery.dagster_instance, test_recovery.instance, test_recovery.ward


@contextmanager
def locked(ward: Ward, process_id: UUID) -> Iterator[Connection]:
    """A frozen process holds the row of a process, in a transaction that it does not end."""
    with ward.database.engine.connect() as holder:
        holder.execute(text("SELECT FROM processes WHERE process_id = :id FOR UPDATE"), {"id": process_id})
        yield holder


def test_a_locked_row_does_not_stop_the_sweep(ward):
    locked_id, lost = ward.half_done()
    ward.run_of(lost, DagsterRunStatus.FAILURE)
    other_id, other = ward.half_done()
    ward.run_of(other, DagsterRunStatus.FAILURE)
    ward.an_hour_later()
    with locked(ward, locked_id):
        report = ward.tick("sweeper")[0]
    assert f"{locked_id} is locked by another transaction" in report
    assert (ward.process(other_id).last_status, ward.process(locked_id).last_status) == ("resumed", "running")


def test_a_locked_row_does_not_stop_the_launches_behind_it(ward):
    first, second = ward.start(), ward.start()
    ward.an_hour_later()
    with locked(ward, first):
        assert f"{first} is not launched yet" in ward.tick("sweeper")[0]
    assert ward.queued() == [str(second)]
    assert ward.process(first).last_status == "created"


def test_an_abort_ends_the_run_that_holds_the_row(ward, monkeypatch):
    monkeypatch.setattr("orchestrator_defs.processes.process_interventions.BRIEF_SECONDS", 0.1)
    process_id, run_id = ward.half_done()
    ward.run_of(run_id, DagsterRunStatus.STARTED)
    with locked(ward, process_id) as holder:
        monkeypatch.setattr(WarmRunLauncher, "terminate", lambda _, run: holder.rollback() or run == run_id)
        ward.service.interventions.abort(process_id, user="ada", reason="It is frozen.")
    assert ward.process(process_id).last_status == "aborted"
