"""Which run may act for a process: stray runs, processes that were taken over, lost answers."""

from uuid import UUID, uuid4

from sqlalchemy import text

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from resources import tags
from resources.database.session import current_session
from resources.processes import ledger, process_rows
from tests.test_ops.counted_steps import failure_of


def test_stray_reexecution_of_a_finished_process_is_refused(engine_of, three_steps, calls):
    """Re-executing everything in Dagster's UI does nothing to a finished process, and says why."""
    engine = engine_of(three_steps)
    process_id = engine.run("count_to_three")
    result = engine.launch("count_to_three", tags={tags.PROCESS: str(process_id)})
    assert not result.success
    assert "is completed; it cannot be continued" in failure_of(result)
    assert calls == {"first": 1, "second": 1, "third": 1}


def test_stray_reexecution_of_a_failed_process_goes_on(engine_of, three_steps, calls):
    """Re-executing everything continues from the last committed step."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    result = engine.launch("count_to_three", tags={tags.PROCESS: str(process_id)})
    assert result.success
    assert calls == {"first": 1, "second": 2, "third": 1}


def test_run_config_can_name_the_process(engine_of, three_steps, calls):
    """The shell's way to continue: the same job, `process: id` in its config."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    assert engine.launch("count_to_three", {"process": str(process_id)}).success
    assert calls == {"first": 1, "second": 2, "third": 1}


def test_naming_a_process_that_is_not_there_is_refused(engine_of, three_steps):
    """And no process is made under that name."""
    engine = engine_of(three_steps)
    result = engine.launch("count_to_three", {"process": str(uuid4())})
    assert "There is no process" in failure_of(result)
    assert engine.count_processes() == 0


def test_process_of_another_workflow_is_refused(engine_of, three_steps, calls):
    """A job does not continue with another workflow's process."""

    @task("Other")
    def other():
        return begin >> three_steps.workflow.steps[1]

    engine = engine_of(three_steps, other)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    result = engine.launch("other", {"process": str(process_id)})
    assert "executes count_to_three, not other" in failure_of(result)


def test_second_run_of_a_process_that_a_run_executes_has_nothing_to_do(engine_of, three_steps, calls):
    """Two runs never act for one process at once; the second one is no failure, and its steps are skipped."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    holder = engine.instance.create_run_for_job(engine.orchestrator.job("count_to_three"))
    with engine.database.transaction():
        process_rows.take_over(process_id, run_id=holder.run_id, from_run_id=str(process_id))
    result = engine.launch("count_to_three", {"process": str(process_id)})
    assert result.success
    assert {event.step_key for event in result.all_events if event.is_step_skipped} == {
        *("first", "second", "third", "done")
    }
    assert calls == {"first": 1, "second": 1}
    assert engine.process(process_id).run_id == holder.run_id


def test_run_that_the_engine_requested_again_has_nothing_to_do(engine_of, three_steps, calls):
    """The process is completed by then. A person who asks for the same gets a failed run."""
    engine = engine_of(three_steps)
    process_id = engine.run("count_to_three")
    known = {tags.PROCESS: str(process_id), tags.USER: "SYSTEM"}
    assert engine.launch("count_to_three", tags=known).success
    assert calls == {"first": 1, "second": 1, "third": 1}


def test_run_that_lost_its_process_commits_nothing(engine_of):
    """A run whose process was taken over in the middle of a step rolls the step back."""
    engine = None

    @step("Lose")
    def lose(process_id: UUID):
        with_other_connection(engine, process_id)
        return {"lost": True}

    @task("Loser")
    def loser():
        return begin >> lose

    engine = engine_of(loser)
    process_id = engine.run("loser")
    process = engine.process(process_id)
    assert (process.run_id, process.last_status, "lost" in process.state) == ("another", "running", False)


def with_other_connection(engine, process_id):
    """Give the process to another run, on a connection of its own."""
    with engine.database.engine.begin() as connection:
        connection.execute(text("UPDATE processes SET run_id = 'another' WHERE process_id = :id"), {"id": process_id})


def test_lost_answer_to_a_commit_is_no_failure(engine_of, three_steps, monkeypatch):
    """The step was committed though its transaction seemed to fail: the ledger decides, and nothing runs twice."""
    engine = engine_of(three_steps)
    record_step = ledger.record_step

    def commit_then_break(record, **options):
        record_step(record, **options)
        if record.step_key == "second":
            current_session().commit()
            raise ConnectionError("the answer was lost")

    monkeypatch.setattr(ledger, "record_step", commit_then_break)
    process_id = engine.run("count_to_three")
    assert engine.process(process_id).last_status == "completed"
