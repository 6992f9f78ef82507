"""One step, one transaction: what a run of a process commits, and what it does not."""

from contextlib import suppress
from dataclasses import replace
from uuid import uuid4

import pytest
from dagster import DagsterEventType, DagsterExecutionInterruptedError, DagsterRunStatus
from dagster._core.storage.tags import TagType, get_tag_type
from pydantic import SecretStr
from sqlalchemy import text

from ops.steps.context import StepContext
from ops.steps.forms import SubmitFormPage
from ops.steps.state import MASK
from ops.steps.step import StepList, begin, conditional, focussteps, step, step_group
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources import tags
from resources.database.session import current_session
from resources.errors import DriftFound, ExternalSystemUnavailable, ProcessFailure
from resources.runs.run_execution import create_run, execute
from resources.types import Assignee, ProcessStatus


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
    """A process that continued is not shown as failed."""
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


def test_a_step_shows_numbers_and_tables_of_its_own_in_dagsters_page(engine_of):
    @step("Compare all")
    def compare_all(context: StepContext) -> None:
        context.shown["drifted"] = 0
        context.shown["differences"] = [{"path": "name", "found": "b"}]

    @task("Compare the fleet")
    def compare_fleet():
        return begin >> compare_all

    result = engine_of(compare_fleet).launch("compare_fleet")
    output = next(event for event in result.events_for_node("compare_all") if event.is_successful_output)
    shown = output.event_specific_data.metadata
    assert shown["drifted"].value == 0
    assert [record.data for record in shown["differences"].value.records] == [{"path": "name", "found": "b"}]


def test_a_step_may_need_resources_that_are_no_parameters(engine_of):
    seen = []

    @step("Use whatever is needed")
    def use(context: StepContext) -> None:
        seen.append(context.resources["clerk"])

    @task("Use the clerk")
    def use_clerk():
        return begin >> replace(use, needs=frozenset({"clerk"}))

    engine_of(use_clerk, resources={"clerk": "Ada"}).launch("use_clerk")
    assert seen == ["Ada"]


def test_run_carries_the_tags_of_its_process(engine_of, three_steps):
    """People filter runs by them."""
    engine = engine_of(three_steps)
    result = engine.launch("count_to_three")
    found = engine.instance.get_run_by_id(result.run_id).tags
    assert {key: found.get(key) for key in (tags.PROCESS, tags.WORKFLOW, tags.STATUS)} == {
        tags.PROCESS: result.run_id,
        tags.WORKFLOW: "count_to_three",
        tags.STATUS: "completed",
    }


def test_people_see_only_tags_that_say_something(engine_of, three_steps):
    """Whose run it is, and who launched it; Dagster hides the rest. A subscription comes with the first two."""
    engine = engine_of(three_steps)
    found = engine.instance.get_run_by_id(engine.launch("count_to_three", tags={"user": "erin"}).run_id).tags
    shown = {tag for tag in found if get_tag_type(tag) is TagType.USER_PROVIDED}
    assert shown == {"orchestrator/process", "user"}


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


def test_terminated_step_fails_its_process_and_cancels_its_run(engine_of):
    """The process can continue later; Dagster's run says that somebody ended it, not that the step is broken."""

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


def test_failed_step_shows_its_own_frames_alone(engine_of):
    """Those of the engine tell a person nothing."""

    @step("Fall")
    def fall():
        raise RuntimeError("fell")

    @task("Falling")
    def falling():
        return begin >> fall

    result = engine_of(falling).launch("falling")
    (failure,) = [event for event in result.all_events if event.event_type is DagsterEventType.STEP_FAILURE]
    error = failure.step_failure_data.error
    assert (error.message, len(error.stack), error.cause) == ("RuntimeError: fell", 1, None)


def test_run_that_waits_for_a_person_says_how_to_answer(engine_of):
    """Its page shows no form, and Dagster calls the run a success."""

    @inputstep("Approve", Assignee.NOC)
    def approve():
        return SubmitFormPage

    @task("Approving")
    def approving():
        return begin >> approve

    engine = engine_of(approving)
    run_id = engine.launch("approving").run_id
    said = [entry.user_message for entry in engine.instance.all_logs(run_id)]
    assert any(f"with `orchestrator process answer {run_id}`" in line for line in said)
