"""What a step may do wrong, and a person in Dagster's page: the process still tells the truth and can continue."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from dagster import ConfigurableResource, DagsterRunStatus, EnvVar
from pydantic import SecretStr
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import StepList, begin, conditional, step, step_group, steplens
from orchestrator_defs.jobs.decorators import task
from resources.database.session import current_session
from resources.errors import (
    FormError,
    NotAuthorised,
    ProcessError,
    ProcessFailure,
    RunMayNotAct,
    StartRefused,
    StepsChanged,
    WorkflowDeclarationError,
)
from resources.processes import ledger, process_rows
from resources.processes.ledger import StepRecord
from resources.settings import settings
from resources.types import ProcessStatus, StepStatus
from tests.test_ops.counted_steps import changed, extra, failure_of
from tests.waiting import eventually


def one_step(function):
    """A task of one step."""
    made = step("Only")(function)

    @task("Single")
    def single():
        return begin >> made

    return single


# --- order ---


@pytest.mark.parametrize("selection", [["done"], ["third"]])
def test_part_of_a_job_launched_alone_leaves_no_step_out(engine_of, three_steps, calls, selection):
    """Selecting ops in Dagster's page is refused for a step whose turn it is not."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    result = engine.launch("count_to_three", {"process": str(process_id)}, op_selection=selection)
    assert "comes first; run the whole job" in failure_of(result)
    assert engine.process(process_id).last_status == "failed"


def test_step_inserted_before_a_failed_one_does_not_block_later_resumes(engine_of, three_steps, calls):
    """The ledger reads in the order in which things were done, retries included."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    calls.broken = {"third"}
    engine = engine_of(changed(three_steps, lambda a, b, c: begin >> a >> extra >> b >> c))
    engine.resume(process_id)
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_same_step_is_not_recorded_twice(engine_of, three_steps, calls):
    """Two workers with one run: the second commits nothing."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    with engine.database.transaction():
        process_rows.take_over(process_id, run_id="worker", from_run_id=str(process_id))
    now = engine.ledger(process_id)["first"].started_at
    record = StepRecord(process_id, "first", "First", StepStatus.SUCCESS, "worker", "x", now, {"first": 2})
    with pytest.raises(RunMayNotAct), engine.database.transaction():
        ledger.record_step(record)
    assert engine.process(process_id).state["first"] == 1


def test_refused_record_changes_nothing(engine_of, three_steps, calls):
    """Neither the ledger nor the process's row, although the statement commits by itself."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    with engine.database.transaction():
        process_rows.take_over(process_id, run_id="worker", from_run_id=str(process_id))
    before = engine.process(process_id).state
    now = engine.ledger(process_id)["first"].started_at
    record = StepRecord(process_id, "first", "First", StepStatus.SUCCESS, "worker", "x", now, {"first": 99})
    with pytest.raises(RunMayNotAct), engine.database.statements():
        ledger.record_step(record)
    assert engine.process(process_id).state == before


def test_two_records_of_a_step_at_one_moment_change_the_state_once(engine_of, three_steps, calls):
    """The second waits for the first's lock, and then sees its line."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    with engine.database.transaction():
        process_rows.take_over(process_id, run_id="worker", from_run_id=str(process_id))
    now = engine.ledger(process_id)["first"].started_at

    def write(number):
        record = StepRecord(process_id, "third", "Third", StepStatus.SUCCESS, "worker", "x", now, {"third": number})
        with engine.database.statements():
            ledger.record_step(record)

    with ThreadPoolExecutor(1) as pool:
        with engine.database.transaction():
            ledger.record_step(
                StepRecord(process_id, "third", "Third", StepStatus.SUCCESS, "worker", "x", now, {"third": 1})
            )
            second = pool.submit(write, 2)
            eventually(lambda: waits_for_lock(engine))
        assert isinstance(second.exception(), RunMayNotAct)
    assert engine.process(process_id).state["third"] == 1


def waits_for_lock(engine):
    with engine.database.detached(), engine.database.transaction(read_only=True):
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return current_session().scalar(text(waiting))


# --- state ---


def test_changing_the_state_and_returning_it_counts(engine_of):
    """Ported steps do so."""

    def only(state):
        state["changed"] = {"deep": 1}
        return state

    engine = engine_of(one_step(only))
    assert engine.process(engine.run("single")).state["changed"] == {"deep": 1}


def test_true_after_one_is_a_change(engine_of):
    """To Python they are equal, to the next step they are not."""

    @step("One")
    def one():
        return {"value": 1}

    @step("True")
    def true():
        return {"value": True}

    @task("Both")
    def both():
        return begin >> one >> true

    engine = engine_of(both)
    assert engine.process(engine.run("both")).state["value"] is True


@dataclass
class Login:
    password: SecretStr


def test_secret_in_a_dataclass_reaches_the_next_step(engine_of):
    """It is not replaced by asterisks."""
    seen = []

    @step("Give")
    def give():
        return {"login": Login(SecretStr("hush"))}

    @step("Take")
    def take(login: dict):
        seen.append(login["password"].get_secret_value())

    @task("Pass on")
    def pass_on():
        return begin >> give >> take

    engine_of(pass_on).run("pass_on")
    assert seen == ["hush"]


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"__remove_keys": "first"}, "it is a list of keys"),
        ({"process_id": "mine"}, "'process_id', which belongs to the engine"),
        ({"text": "half \ud800"}, "half of a surrogate pair"),
    ],
)
def test_result_that_would_break_the_state_is_refused(engine_of, result, complaint):
    """The step fails with a sentence that names the key."""
    engine = engine_of(one_step(lambda_named("only", lambda: result)))
    assert complaint in engine.process(engine.run("single")).failed_reason


def lambda_named(name, function):
    function.__name__ = name
    return function


@pytest.mark.parametrize(
    "lens",
    [steplens(lambda state: None, lambda state, part: state), steplens(lambda state: {}, lambda state, part: None)],
)
def test_lens_that_gives_no_mapping_is_named(engine_of, lens):
    """Instead of an attribute error from the engine's inside."""

    @step("Only")
    def only(): ...

    @task("Through a lens")
    def through():
        return begin >> lens(only)

    engine = engine_of(through)
    assert "only's lens" in engine.process(engine.run("through")).failed_reason


# --- failures ---


class WithMethod(Exception):  # as grpc's RpcError is
    def details(self):
        return "a method"


@pytest.mark.parametrize(
    "error",
    [
        WithMethod("as in grpc"),
        ProcessFailure("odd", details={"id": uuid4(), "object": object(), "number": float("nan")}),
        ValueError("nul \x00 in it"),
        ValueError("half \ud800 in it"),
    ],
    ids=["method", "odd details", "nul", "surrogate"],
)
def test_any_failure_is_recorded(engine_of, error):
    """Whatever an error carries, the process is failed with its words, and Dagster shows them."""

    def only():
        raise error

    engine = engine_of(one_step(only))
    result = engine.launch("single")
    process = engine.process(result.run_id)
    assert process.last_status == "failed"
    assert process.failed_reason.split()[0] in failure_of(result)


def cut_off(times):
    """A workflow whose step loses its connection to the database so many times, as when the server is restarted."""
    left = [None] * times

    def only():
        if left:
            left.pop()
            current_session().execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    return one_step(only)


def test_step_that_lost_the_database_is_no_failure(engine_of):
    """The run is over, and the process is to continue in another; its ledger says why."""
    engine = engine_of(cut_off(1))
    process_id = engine.run("single")
    process = engine.process(process_id)
    assert (process.last_status, process.recoveries, process.failed_reason) == ("resumed", 1, None)
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.FAILURE
    line = engine.ledger(process_id)[f"__lost_{process_id}__"]
    assert "database was unreachable" in line.error["reason"]
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_step_that_always_loses_the_database_fails_in_the_end(engine_of):
    """Then it may be the step after all."""
    engine = engine_of(cut_off(settings().recovery_attempts + 1))
    process_id = engine.run("single")
    statuses = [engine.resume(process_id) for _ in range(settings().recovery_attempts)]
    assert statuses[-2:] == [ProcessStatus.RESUMED, ProcessStatus.FAILED]
    assert "The connection to the database was lost" in engine.process(process_id).failed_reason


def test_step_whose_own_database_is_lost_has_failed(engine_of):
    """It is recorded as any failure, and is not taken for a loss of the engine's database."""

    def only():
        with sa.create_engine(urls[0]).connect() as connection:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    urls: list[sa.URL] = []
    engine = engine_of(one_step(only))
    urls.append(engine.database.url)
    process = engine.process(engine.run("single"))
    assert (process.last_status, process.recoveries) == ("failed", 0)
    assert "OperationalError" in process.failed_reason


def test_first_segment_that_never_reached_the_engine_can_be_repeated(engine_of, instance):
    """A resource that could not be set up leaves a process that continues once it can."""
    broken = [True]

    class Fragile(ConfigurableResource[None]):
        url: str = ""

        def setup_for_execution(self, context):
            if broken[0]:
                raise RuntimeError("no route")

    @step("Only")
    def only(fragile: Fragile): ...

    @task("Single")
    def single():
        return begin >> only

    engine = engine_of(single, resources={"fragile": Fragile()})
    process_id = engine.run("single")
    assert engine.process(process_id).last_status == "created"
    broken[0] = False
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_form_asks_a_resource_that_is_set_up(engine_of, monkeypatch):
    """As steps do: its settings are resolved."""
    monkeypatch.setenv("PLACE", "http://inventory")
    seen = []

    class Inventory(ConfigurableResource[None]):
        url: str = ""

    def form(inventory: Inventory):
        seen.append(inventory.url)
        return SubmitFormPage

    @task("Ask", initial_input_form=form)
    def ask():
        return StepList()

    engine = engine_of(ask, resources={"inventory": Inventory(url=EnvVar("PLACE"))})
    engine.run("ask", {})
    assert seen == ["http://inventory"]


# --- resume, retry, abort ---


def test_resume_says_what_is_in_the_way(engine_of, three_steps, calls):
    """The door raises, before a run exists."""
    engine = engine_of(three_steps)
    calls.broken = {"third"}
    process_id = engine.run("count_to_three")
    engine = engine_of(changed(three_steps, lambda a, b, c: begin >> a >> c))
    with pytest.raises(StepsChanged, match="'second'"):
        engine.resume(process_id)


def test_resume_of_a_completed_process_is_refused(engine_of, three_steps):
    """It has ended."""
    engine = engine_of(three_steps)
    with pytest.raises(RunMayNotAct, match="completed"):
        engine.resume(engine.run("count_to_three"))


@pytest.mark.parametrize("where", ["workflow", "step"])
def test_who_may_retry_is_asked(engine_of, where):
    """Of the workflow, and of the step that failed."""

    def never(context):
        return context.action != "retry_workflow"

    def only():
        raise ValueError("always")

    made = step("Only", retry_auth_callback=never if where == "step" else None)(only)

    @task("Single", retry_auth_callback=never if where == "workflow" else None)
    def single():
        return begin >> conditional(lambda state: True)(made)

    engine = engine_of(single)
    process_id = engine.run("single")
    with pytest.raises(NotAuthorised, match="resumer may not retry single"):
        engine.resume(process_id)


def test_aborted_process_is_final_and_says_who(engine_of, three_steps, calls):
    """It cannot continue, and the ledger has the abort."""
    engine = engine_of(three_steps)
    calls.broken = {"second"}
    process_id = engine.run("count_to_three")
    engine.service.interventions.abort(process_id, user="ada")
    assert engine.process(process_id).last_status == "aborted"
    assert list(engine.ledger(process_id).values())[-1].created_by == "ada"
    with pytest.raises(RunMayNotAct, match="aborted"):
        engine.resume(process_id)


def test_finished_process_cannot_be_aborted(engine_of, three_steps):
    """The message says what it is."""
    engine = engine_of(three_steps)
    process_id = engine.run("count_to_three")
    with pytest.raises(ProcessError, match="completed; it cannot be aborted"):
        engine.service.interventions.abort(process_id, user="ada")


def test_run_of_an_aborted_process_commits_nothing_and_calls_nothing_more(engine_of, calls):
    """The step in progress rolls back, and no other begins."""
    engine = None

    @step("Abort")
    def abort_it(process_id: str):
        # Elsewhere, as a person does: not in the transaction of this step.
        with ThreadPoolExecutor(1) as elsewhere:
            elsewhere.submit(engine.service.interventions.abort, UUID(process_id), user="ada").result()
        return {"came": True}

    @step("After")
    def after():
        calls.note("after")

    @task("Doomed")
    def doomed():
        return begin >> abort_it >> after

    engine = engine_of(doomed)
    process = engine.process(engine.run("doomed"))
    assert (process.last_status, "came" in process.state, calls["after"]) == ("aborted", False, 0)


# --- declarations ---


def test_form_field_in_the_place_of_the_engine_s_is_refused(engine_of):
    """It would otherwise name another reporter."""

    class Hijack(SubmitFormPage):
        reporter: str = "root"

    @task("Hijack", initial_input_form=Hijack)
    def hijack():
        return StepList()

    with pytest.raises(FormError, match="'reporter', which belongs to the engine"):
        engine_of(hijack).run("hijack", {})


def test_predicate_that_answers_anything_else_refuses(engine_of):
    """Only a pass is a pass."""

    @task("Single", run_predicate=lambda context: False)
    def single():
        return StepList()

    with pytest.raises(StartRefused, match="answered False"):
        engine_of(single).run("single")


def unresolved(thing: "Missing"): ...  # noqa: F821


def by_position(thing, /): ...


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda: one_step(unresolved), "An annotation of unresolved cannot be read"),
        (lambda: one_step(by_position), "by position"),
        (lambda: conditional(lambda state: True)(print), "is it decorated"),
        (lambda: step_group("G", print), "is it decorated"),
        (lambda: step("L" * 300), "has 300 characters"),
        (lambda: step("L")(SimpleNamespace(__name__="größe")), "ASCII"),
    ],
)
def test_declaration_that_cannot_work_is_refused_by_name(declare, complaint):
    """At import, with the name of what is wrong."""
    with pytest.raises(WorkflowDeclarationError, match=complaint):
        declare()


def test_group_of_one_step_needs_no_list():
    """A step is a list of one."""

    @step("Only")
    def only(): ...

    assert len(step_group("G", only).steps) == 1
