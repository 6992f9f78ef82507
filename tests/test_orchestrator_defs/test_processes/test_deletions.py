"""Deleting a task with its ledger."""

import pytest

from resources.errors import ProcessError, UnknownProcess
from tests.test_orchestrator_defs.test_processes.toys import set_row


def test_deleted_task_is_gone_with_its_ledger(failed):
    engine, process_id = failed
    engine.resume(process_id)
    engine.service.interventions.delete(process_id, user="ada")
    assert engine.ledger(process_id) == {}
    with pytest.raises(UnknownProcess):
        engine.process(process_id)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"last_status": "failed"}, "is failed; abort it"),
        ({"is_task": False}, "is not a task"),
        ({}, "has started 1 children"),
    ],
)
def test_what_may_not_be_deleted_is_kept(engine_of, three, values, why):
    engine = engine_of(three)
    process_id = engine.run("three")
    if not values:
        set_row(engine, engine.run("three"), parent_process_id=process_id)
    else:
        set_row(engine, process_id, **values)
    with pytest.raises(ProcessError, match=why):
        engine.service.interventions.delete(process_id, user="ada")
    assert engine.ledger(process_id)
