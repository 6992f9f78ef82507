"""Processes that continue with another version of their code."""

import pytest

from ops.steps.step import begin
from resources.types import ProcessStatus
from tests.test_ops.counted_steps import changed, extra, failure_of


def test_step_added_behind_the_last_committed_one_runs(engine_of, three_steps, calls):
    """New steps after what is done simply run."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    engine = engine_of(changed(three_steps, lambda a, b, c: begin >> a >> b >> extra >> c))
    engine.resume(process_id)
    assert engine.process(process_id).state["extra"]


def test_step_added_before_the_last_committed_one_does_not_run(engine_of, three_steps, calls):
    """Its time has passed for this process."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    engine = engine_of(changed(three_steps, lambda a, b, c: begin >> a >> extra >> b >> c))
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert "extra" not in engine.process(process_id).state


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda a, b, c: begin >> a >> c, "no longer has step 'second'"),
        (lambda a, b, c: begin >> b >> a >> c, "has its step 'second' at another place"),
    ],
)
def test_changed_past_is_refused(engine_of, three_steps, calls, change, complaint):
    """A step that the process has done may be neither missing nor elsewhere; the message names it."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    engine = engine_of(changed(three_steps, change))
    result = engine.launch("count_to_three", {"process": str(process_id)})
    assert complaint in failure_of(result)
