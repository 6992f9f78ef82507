"""Runs in bulk and runs that people wait for, on the same workers."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from tests.test_resources.test_runs.warm import Warm, warm_instances

pytestmark = pytest.mark.slow
BULK = {"dagster/priority": "-1"}
MANY = 300


@pytest.fixture
def warm_of(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance whose launcher starts workers by itself."""
    with warm_instances(tmp_path) as make:
        yield make


def launch_many(warm: Warm, number: int) -> list[str]:
    """The same bulk run over and over, put into the table as launches put it."""
    template = warm.run(warm.create("ten", tags=BULK))
    runs = [template._replace(run_id=str(uuid4())) for _ in range(number)]
    code = warm.location.fingerprint()
    for run in runs:
        warm.instance.run_storage.add_run(run)
        warm.launcher.dispatch.enqueue(run.run_id, "toys", code, -1)
    return [run.run_id for run in runs]


def count_waiting(warm: Warm) -> int:
    return warm.launcher.dispatch.waiting().get("toys", 0)


def test_a_run_that_people_wait_for_is_not_behind_hundreds_in_bulk(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=2, reserved_workers=1)
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    held = warm.stay(tags=BULK)  # else bulk is executed as fast as it is launched here
    warm.begun(held)
    launch_many(warm, MANY)
    warm.leave(held)
    for _ in range(3):
        before = count_waiting(warm)
        assert warm.end(warm.launch("ten")) == "SUCCESS"
        assert before - count_waiting(warm) < MANY / 4
    assert count_waiting(warm) > 0


def test_the_reserved_worker_takes_no_bulk(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=1, reserved_workers=1)
    bulk = [warm.stay(tags=BULK) for _ in range(2)]
    warm.begun(bulk[0])
    urgent = warm.nap(0)
    assert warm.end(urgent) == "SUCCESS"
    assert warm.status(bulk[0]) == "STARTED"
    assert warm.state(bulk[1]) == "queued"
    for run in bulk:
        warm.leave(run)
    assert [warm.end(run) for run in bulk] == ["SUCCESS"] * 2
    assert warm.trace("end", bulk[0])[0][2] == warm.trace("end", bulk[1])[0][2]


def test_without_a_reserved_worker_bulk_in_hand_is_in_the_way(warm_of: Callable[..., Warm]) -> None:
    """What the reserved worker is for: priority alone decides only who is next."""
    warm = warm_of(workers=1, reserved_workers=0)
    bulk = [warm.stay(tags=BULK) for _ in range(2)]
    warm.begun(bulk[0])
    urgent = warm.nap(0)
    time.sleep(1)  # in which somebody else would take it
    assert warm.state(urgent) == "queued"
    warm.leave(bulk[0])
    assert warm.end(urgent) == "SUCCESS"
    assert warm.status(bulk[0]) == "SUCCESS"
    assert warm.state(bulk[1]) != "done"
    warm.leave(bulk[1])
    assert warm.end(bulk[1]) == "SUCCESS"


def test_a_run_that_people_wait_for_may_have_any_worker(warm_of: Callable[..., Warm]) -> None:
    warm = warm_of(workers=1, reserved_workers=1)
    runs = [warm.stay() for _ in range(2)]
    workers = {warm.begun(run) for run in runs}
    assert len(workers) == 2
    for run in runs:
        warm.leave(run)
    assert [warm.end(run) for run in runs] == ["SUCCESS"] * 2
