"""One step, one transaction: what a run of a process commits, and what it does not."""

from collections import Counter
from contextlib import suppress
from uuid import UUID, uuid4

import pytest
from dagster import DagsterExecutionInterruptedError, DagsterRunStatus
from pydantic import SecretStr
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.state import MASK
from ops.steps.step import StepList, begin, conditional, focussteps, step, step_group
from orchestrator_defs.jobs.decorators import task
from resources import tags
from resources.database.session import current_session
from resources.errors import DriftFound, ExternalSystemUnavailable, ProcessFailure
from resources.processes import ledger, process_rows
from resources.runs.run_execution import create_run, execute
from resources.types import ProcessStatus


class Calls(Counter):
    """Counts how often each step ran, and fails those that are broken."""

    broken: set[str]

    def __init__(self):
        super().__init__()
        self.broken = set()

    def note(self, name):
        self[name] += 1
        if name in self.broken:
            raise ValueError(f"{name} is broken")


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def three_steps(calls):
    @step("First")
    def first():
        calls.note("first")
        return {"first": 1}

    @step("Second")
    def second(first: int):
        calls.note("second")
        return {"second": first + 1}

    @step("Third")
    def third(second: int):
        calls.note("third")
        return {"third": second + 1}

    @task("Count to three")
    def count_to_three():
        return begin >> first >> second >> third

    return count_to_three


def test_steps_run_in_order_and_hand_state_on(engine_of, three_steps):
    """Each step finds what the one before has set."""
    engine = engine_of(three_steps)
    process = engine.process(engine.run("count_to_three"))
    assert (process.last_status, process.state["third"]) == ("completed", 3)


def test_ledger_has_the_change_of_each_step_alone(engine_of, three_steps):
    """Never the whole state per step."""
    engine = engine_of(three_steps)
    ledger = engine.ledger(engine.run("count_to_three"))
    assert [(key, step.set) for key, step in ledger.items()][1:] == [
        ("first", {"first": 1}),
        ("second", {"second": 2}),
        ("third", {"third": 3}),
        ("done", {}),
    ]


def test_failed_step_makes_the_process_failed_with_reason_and_traceback(engine_of, three_steps, calls):
    """A person sees why, and where in the code."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process = engine.process(engine.run("count_to_three"))
    assert (process.last_status, process.last_step, process.failed_reason) == (
        "failed",
        "Second",
        "ValueError: second is broken",
    )
    assert "calls.note" in process.traceback


def test_failed_step_fails_the_run(engine_of, three_steps, calls):
    """Dagster's own status agrees."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.FAILURE


def test_resume_goes_on_behind_the_last_committed_step(engine_of, three_steps, calls):
    """No step runs twice but the one that failed."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"first": 1, "second": 2, "third": 1}


def test_resume_forgets_the_reason(engine_of, three_steps, calls):
    """A process that went on is not shown as failed."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    calls.broken = set()
    engine.resume(process_id)
    process = engine.process(process_id)
    assert (process.failed_reason, process.traceback) == (None, None)


def test_attempts_are_counted(engine_of, three_steps, calls):
    """The ledger says how often a step was tried."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    engine.resume(process_id)
    calls.broken = set()
    engine.resume(process_id)
    assert engine.ledger(process_id)["second"].attempts == 3


def test_segments_are_one_run_group(engine_of, three_steps, calls):
    """Dagster's UI shows the runs of a process together: its id is the id of the first."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    engine.resume(process_id)
    _, runs = engine.instance.get_run_group(engine.process(process_id).run_id)
    assert len(list(runs)) == 2


def test_database_effect_of_a_failed_step_is_rolled_back(engine_of):
    """A step that writes and then raises leaves nothing behind."""

    @step("Write, then fail")
    def write_then_fail():
        current_session().execute(text("CREATE TABLE half_done (id int)"))
        raise RuntimeError("no more")

    @task("Half")
    def half():
        return begin >> write_then_fail

    engine = engine_of(half)
    engine.run("half")
    with engine.database.transaction() as session:
        assert session.scalar(text("SELECT to_regclass('half_done')")) is None


def test_database_effect_commits_with_the_record(engine_of):
    """A step that writes through the session commits with its ledger line, in one transaction."""

    @step("Write")
    def write():
        current_session().execute(text("CREATE TABLE written AS SELECT pg_current_xact_id()::text AS id"))

    @task("Whole")
    def whole():
        return begin >> write

    engine = engine_of(whole)
    process_id = engine.run("whole")
    with engine.database.transaction() as session:
        written = session.scalar(text("SELECT id FROM written"))
        recorded = session.scalar(
            text("SELECT xmin::text FROM process_steps WHERE process_id = :id AND step_key = 'write'"),
            {"id": process_id},
        )
    assert written == recorded


def test_no_transaction_is_open_while_a_step_talks_to_the_outside(engine_of):
    """A step that does not use the session holds no connection."""
    seen = []

    @step("Slow call")
    def slow_call(context: StepContext):
        seen.append(current_session().in_transaction())

    @task("Slow")
    def slow():
        return begin >> slow_call

    engine_of(slow).run("slow")
    assert seen == [False]


def test_conditional_step_is_skipped_and_recorded(engine_of, calls):
    """A skipped step stands in the ledger and changes nothing."""

    @step("Maybe")
    def maybe():
        calls.note("maybe")

    @task("Perhaps")
    def perhaps():
        return begin >> conditional(lambda state: state.get("wanted"))(maybe)

    engine = engine_of(perhaps)
    process_id = engine.run("perhaps")
    assert engine.statuses(process_id)["maybe"] == "skipped"
    assert calls == {}


def test_condition_sees_what_steps_before_it_set(engine_of):
    """Conditions are asked when their step is due."""

    @step("Want")
    def want():
        return {"wanted": True}

    @step("Maybe")
    def maybe():
        return {"came": True}

    @task("Perhaps")
    def perhaps():
        return begin >> want >> conditional(lambda state: state.get("wanted"))(maybe)

    engine = engine_of(perhaps)
    assert engine.process(engine.run("perhaps")).state["came"]


def test_focused_step_sees_and_changes_its_part_alone(engine_of):
    """A lens gives a step one part of the state and puts it back."""

    @step("Count")
    def count(n: int = 0):
        return {"n": n + 1}

    @task("Parts")
    def parts():
        return begin >> focussteps("left")(count) >> focussteps("left")(count) >> focussteps("right")(count)

    engine = engine_of(parts)
    state = engine.process(engine.run("parts")).state
    assert (state["left"], state["right"]) == ({"n": 2}, {"n": 1})


def test_group_goes_on_inside(engine_of, three_steps, calls):
    """A group that failed at its second step does not repeat its first."""
    inner = three_steps.workflow.steps[1:4]

    @task("Grouped")
    def grouped():
        return begin >> step_group("All of it", inner, key="all")

    engine = engine_of(grouped)
    calls.broken = {"second"}
    process_id = engine.run("grouped")
    calls.broken = set()
    engine.resume(process_id)
    assert calls == {"first": 1, "second": 2, "third": 1}
    assert list(engine.statuses(process_id)) == ["start", "all.first", "all.second", "all.third", "done"]


def test_context_tells_the_step_who_it_is(engine_of):
    """The idempotency key is process and step."""

    @step("Who")
    def who(context: StepContext):
        return {"key": context.idempotency_key, "user": context.user}

    @task("Ask")
    def ask():
        return begin >> who

    engine = engine_of(ask)
    process_id = engine.run("ask", user="ada")
    state = engine.process(process_id).state
    assert (state["key"], state["user"]) == (f"{process_id}:who", "ada")


class Credentials(SubmitFormPage):
    user_name: str
    password: SecretStr


def test_secret_reaches_the_step_and_no_event(engine_of):
    """A secret of a form is there for the step and nowhere in tags, metadata or logs."""
    seen = []

    @step("Log in")
    def log_in(password: SecretStr):
        seen.append(password.get_secret_value())
        return {"again": password}

    @task("Connect", initial_input_form=Credentials)
    def connect():
        return begin >> log_in

    engine = engine_of(connect)
    process_id = engine.run("connect", {"user_name": "ada", "password": "hush-hush"})
    events = engine.instance.all_logs(str(process_id))
    assert seen == ["hush-hush"]
    assert not [event for event in events if "hush-hush" in str(event)]
    assert MASK in str(events)
    assert "hush-hush" not in str(engine.instance.get_run_by_id(str(process_id)).tags)


def test_op_reports_change_duration_and_process(engine_of, three_steps):
    """The audit trail that a person reads in Dagster."""
    engine = engine_of(three_steps)
    result = engine.launch("count_to_three")
    metadata = result.events_for_node("second")
    output = next(event for event in metadata if event.is_successful_output)
    reported = output.event_specific_data.metadata
    assert reported["state set"].value == {"second": 2}
    assert reported["process"].value == result.run_id
    assert reported["duration (s)"].value >= 0


def test_run_carries_the_tags_of_its_process(engine_of, three_steps):
    """People filter runs by them."""
    engine = engine_of(three_steps)
    result = engine.launch("count_to_three")
    found = engine.instance.get_run_by_id(result.run_id).tags
    assert {key: found.get(key) for key in (tags.PROCESS, tags.WORKFLOW, tags.TARGET, tags.USER, tags.STATUS)} == {
        tags.PROCESS: result.run_id,
        tags.WORKFLOW: "count_to_three",
        tags.TARGET: "SYSTEM",
        tags.USER: "SYSTEM",
        tags.STATUS: "completed",
    }


def test_run_does_not_keep_the_status_that_it_was_launched_with(engine_of, three_steps):
    """A run made from another has its tags; what it was launched with is not written again, what differs is."""
    engine = engine_of(three_steps)
    job, run_id = engine.orchestrator.job("count_to_three"), str(uuid4())
    stale = {tags.STATUS: "failed", tags.USER: "somebody"}
    execute(engine.instance, job, create_run(engine.instance, job, run_id=run_id, tags=stale))
    found = engine.instance.get_run_by_id(run_id).tags
    assert (found[tags.STATUS], found[tags.USER]) == ("completed", "somebody")
    assert found[tags.PROCESS] == run_id


@pytest.mark.parametrize(
    ("error", "status", "assignee"),
    [
        (ValueError("bad"), "failed", "SYSTEM"),
        (AssertionError("unequal"), "inconsistent_data", "NOC"),
        (DriftFound("drifted", details=[{"path": "mtu"}]), "inconsistent_data", "NOC"),
        (ExternalSystemUnavailable("NetBox is away"), "api_unavailable", "SYSTEM"),
    ],
)
def test_task_tells_kinds_of_failure_apart(engine_of, error, status, assignee):
    """Bad data is for people, an absent system for patience."""

    @step("Fail")
    def fail():
        raise error

    @task("Failing")
    def failing():
        return begin >> fail

    engine = engine_of(failing)
    process = engine.process(engine.run("failing"))
    assert (process.last_status, process.assignee) == (status, assignee)


def test_details_of_a_failure_are_kept(engine_of):
    """ProcessFailure carries structured details for people."""

    @step("Fail")
    def fail():
        raise ProcessFailure("Two ports are down.", details={"ports": ["a", "b"]})

    @task("Failing")
    def failing():
        return begin >> fail

    engine = engine_of(failing)
    process_id = engine.run("failing")
    assert engine.ledger(process_id)["fail"].error == {
        "class": "ProcessFailure",
        "error": "Two ports are down.",
        "details": {"ports": ["a", "b"]},
    }


# --- who may act ---


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
    """A job does not go on with another workflow's process."""

    @task("Other")
    def other():
        return begin >> three_steps.workflow.steps[1]

    engine = engine_of(three_steps, other)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    result = engine.launch("other", {"process": str(process_id)})
    assert "executes count_to_three, not other" in failure_of(result)


def test_process_in_the_hands_of_a_live_run_is_refused(engine_of, three_steps, calls):
    """Two runs never act for one process at once."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    holder = engine.instance.create_run_for_job(engine.orchestrator.job("count_to_three"))
    with engine.database.transaction():
        process_rows.take_over(process_id, run_id=holder.run_id, from_run_id=str(process_id))
    result = engine.launch("count_to_three", {"process": str(process_id)})
    assert f"is in the hands of run {holder.run_id}" in failure_of(result)


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


def test_step_without_subscription_takes_two_round_trips(engine_of, round_trips):
    """One to claim, one to commit: what a step costs beside its own work, and Dagster's log."""

    @step("Trivial")
    def trivial(count: int = 0):
        return {"count": count + 1}

    @task("Ten steps")
    def ten_steps():
        return StepList([trivial] * 10)

    @task("No steps")
    def no_steps():
        return StepList()

    engine = engine_of(ten_steps, no_steps)
    engine.run("no_steps")
    counts = []
    for name in ("no_steps", "ten_steps"):
        round_trips.clear()
        engine.run(name)
        counts.append(len(round_trips))
    assert counts[1] - counts[0] == 10 * 2


# --- code that changed ---


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
        (lambda a, b, c: begin >> a >> c, "has no step 'second' any more"),
        (lambda a, b, c: begin >> b >> a >> c, "has its step 'second' in another place"),
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


@step("Extra")
def extra():
    return {"extra": True}


def changed(job, change):
    """The same workflow as a later version of the code has it."""
    first, second, third = job.workflow.steps[1:4]

    @task("Count to three")
    def count_to_three():
        return change(first, second, third)

    return count_to_three


def failure_of(result):
    """What the first failed op of a run said."""
    event = next(event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data.error_display_string + str(event.step_failure_data.user_failure_data)


def test_terminated_step_fails_its_process_and_cancels_its_run(engine_of):
    """The process can go on later; Dagster's run says that somebody ended it, not that the step is broken."""

    @step("Endless")
    def endless(context: StepContext):
        instance = engine.instance
        instance.report_run_canceling(instance.get_run_by_id(str(context.process_id)))
        raise DagsterExecutionInterruptedError

    @task("Endless")
    def endless_task():
        return begin >> endless

    engine = engine_of(endless_task)
    with suppress(DagsterExecutionInterruptedError):
        engine.run("endless_task")
    (run,) = engine.instance.get_runs()
    assert run.status is DagsterRunStatus.CANCELED
    assert engine.process(run.run_id).last_status == "failed"
