"""Branches side by side: what each sees, how they come together, and what is left when one stops."""

from contextlib import suppress
from datetime import timedelta

import pytest
from dagster import DagsterExecutionInterruptedError, DagsterRunStatus
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, conditional, step, step_group
from ops.waiting.parallel import parallel
from ops.waiting.wait_steps import callback_step, inputstep, retrystep
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import NotAuthorised
from resources.processes import ledger
from resources.types import Assignee, ProcessStatus


def noted(calls, name, result=None, **options):
    """A step that notes its call, or fails when it is broken, and gives a result, or what a function finds."""

    def function(state):
        calls.note(name)
        return result(state) if callable(result) else result

    function.__name__ = name
    return step(name.capitalize(), **options)(function)


def fork_of(calls, *branches, before=None, behind=None):
    """A task: a step, the branches, a step."""

    @task("Fork")
    def fork():
        first, last = noted(calls, "first", before or {"first": 1}), noted(calls, "last", behind)
        return begin >> first >> parallel(*branches) >> last

    return fork


def two_by_two(calls, **results):
    """Two branches of two steps."""
    a1, a2, b1, b2 = (noted(calls, name, results.get(name, {name: 1})) for name in ("a1", "a2", "b1", "b2"))
    return fork_of(calls, begin >> a1 >> a2, begin >> b1 >> b2)


# --- running ---


def test_changes_of_branches_come_together(engine_of, calls):
    engine = engine_of(two_by_two(calls))
    process = engine.process(engine.run("fork"))
    assert process.last_status == "completed"
    assert {key: process.state.get(key) for key in ("first", "a1", "a2", "b1", "b2")} == dict.fromkeys(
        ("first", "a1", "a2", "b1", "b2"), 1
    )


def test_branches_are_branches_of_the_graph(engine_of, calls):
    """So that people see them in Dagster's page."""
    job = engine_of(two_by_two(calls)).orchestrator.job("fork")
    before = {
        node.name: {
            output.node_name
            for outputs in job.graph.dependency_structure.input_to_upstream_outputs_for_node(node.name).values()
            for output in outputs
        }
        for node in job.graph.nodes
    }
    assert before["a1"] == before["b1"] == {"first"}
    assert before["join_a1"] == {"a2", "b2"}


def test_branch_does_not_see_what_another_one_does(engine_of, calls):
    seen = {}

    def look(state):
        seen.update(state)

    engine = engine_of(two_by_two(calls, b2=look))
    engine.run("fork")
    assert {"first", "b1"} <= set(seen)
    assert not {"a1", "a2"} & set(seen)


def test_retry_sees_the_state_at_the_fork_again(engine_of, calls):
    """The other branch has done all of its steps in between."""
    seen = []
    engine = engine_of(two_by_two(calls, b2=lambda state: seen.append(sorted(state))))
    calls.broken = {"b2"}
    process_id = engine.run("fork")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert [[key for key in keys if len(key) == 2] for keys in seen] == [["b1"]]


def test_two_values_for_one_key_fail_at_the_join(engine_of, calls):
    """The message names the key, both branches and both steps."""
    engine = engine_of(two_by_two(calls, a1={"name": "x"}, b2={"name": "y"}))
    process = engine.process(engine.run("fork"))
    assert process.last_status == "failed"
    for part in ("'name'", "branch 1 ('A1')", "'x'", "branch 2 ('B2')", "'y'"):
        assert part in process.failed_reason


def test_skipped_join_says_which_value_it_is(engine_of, calls):
    engine = engine_of(two_by_two(calls, a1={"name": "x"}, b2={"name": "y"}))
    process_id = engine.run("fork")
    assert engine.service.interventions.skip(process_id, user="noc", reason="y", changes={"name": "y"}) == "join_a1"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["name"] == "y"


def test_failed_branch_stops_the_process_and_only_what_is_left_runs(engine_of, calls):
    engine = engine_of(two_by_two(calls))
    calls.broken = {"a2"}
    process_id = engine.run("fork")
    process = engine.process(process_id)
    assert (process.last_status, process.last_step) == ("failed", "A2")
    done = {key for key, status in engine.statuses(process_id).items() if status == "success" and key in calls}
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert {calls[key] for key in done} == {1}
    assert calls["a2"] == 2


def test_failure_in_one_branch_is_not_forgotten_by_the_other(engine_of, calls):
    """The rest of the run must not take the process for running again."""
    engine = engine_of(two_by_two(calls))
    calls.broken = {"a1"}
    process_id = engine.run("fork")
    process = engine.process(process_id)
    assert (process.last_status, "a1" in process.failed_reason) == ("failed", True)
    assert engine.instance.get_run_by_id(process.run_id).status is DagsterRunStatus.FAILURE


def test_crash_in_a_branch_repeats_that_step_only(engine_of, calls, monkeypatch):
    """The run is gone without a word; another one continues, and sees what the first would have seen."""
    seen = []

    def crash_once(state):
        seen.append({key for key in state if len(key) == 2})
        if len(seen) == 1:
            raise DagsterExecutionInterruptedError
        return {"b2": 1}

    engine = engine_of(two_by_two(calls, b2=crash_once))
    process_id = engine.service.starts.start("fork", None, user="tester")
    with monkeypatch.context() as gone, suppress(DagsterExecutionInterruptedError):
        gone.setattr(ledger, "record_failure", lambda *arguments, **options: None)
        engine.service.runs.execute(process_id, user="tester")
    assert engine.process(process_id).last_status == "running"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"first": 1, "a1": 1, "a2": 1, "b1": 1, "b2": 2, "last": 1}
    assert seen == [{"b1"}, {"b1"}]


def test_skip_spares_the_step_that_failed(engine_of, calls):
    """And not the one that comes first in the code."""
    engine = engine_of(two_by_two(calls))
    calls.broken = {"b1"}
    process_id = engine.run("fork")
    assert engine.service.interventions.skip(process_id, user="noc", reason="by hand") == "b1"
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls["b1"] == 1


def test_going_back_into_a_branch_leaves_the_other_as_it_is(engine_of, calls):
    engine = engine_of(two_by_two(calls))
    calls.broken = {"last"}
    process_id = engine.run("fork")
    engine.service.interventions.go_back(process_id, "a1", user="noc", reason="again")
    calls.broken = set()
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert calls == {"first": 1, "a1": 2, "a2": 2, "b1": 1, "b2": 1, "last": 2}


def test_branch_that_is_left_out_by_a_part_of_the_job_is_refused(engine_of, calls):
    """Whoever launches only the rest in Dagster's page reads what comes first."""
    engine = engine_of(two_by_two(calls))
    calls.broken = {"b2"}
    process_id = engine.run("fork")
    calls.broken = set()
    engine.launch("fork", {"process": str(process_id)}, op_selection=["join_a1"])
    assert engine.process(process_id).last_status == "failed"
    assert "join_a1" not in engine.statuses(process_id)


def test_group_and_condition_stand_inside_a_branch(engine_of, calls):
    a1, a2, b1 = (noted(calls, name, {name: 1}) for name in ("a1", "a2", "b1"))
    group = step_group("Both", begin >> a1 >> a2, key="both")
    engine = engine_of(fork_of(calls, group, conditional(lambda state: False)(b1)))
    process_id = engine.run("fork")
    assert engine.process(process_id).last_status == "completed"
    assert engine.statuses(process_id)["both.a2"] == "success"
    assert engine.statuses(process_id)["b1"] == "skipped"


def test_condition_stands_around_branches(engine_of, calls):
    a1, b1 = noted(calls, "a1"), noted(calls, "b1")

    @task("Fork")
    def fork():
        return begin >> conditional(lambda state: False)(parallel(a1, b1))

    engine = engine_of(fork)
    statuses = engine.statuses(engine.run("fork"))
    assert (statuses["a1"], statuses["b1"], statuses["join_a1"]) == ("skipped", "skipped", "success")


def test_retry_asks_the_callback_of_each_branch_that_has_not_ended(engine_of, calls):
    """Whoever has the process continue has them all continue."""
    a1 = noted(calls, "a1")
    b1 = noted(calls, "b1", retry_auth_callback=lambda context: context.user == "boss")
    engine = engine_of(fork_of(calls, a1, b1))
    calls.broken = {"a1", "b1"}
    process_id = engine.run("fork")
    with pytest.raises(NotAuthorised):
        engine.service.interventions.resume(process_id, user="somebody")
    engine.service.interventions.resume(process_id, user="boss")


# --- waits ---


def test_branch_that_waits_for_better_times_stops_the_process(engine_of, calls):
    """What the other one has left is done when the time has come."""
    tries = []

    @retrystep("Call", quick_tries=0)
    def call():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")

    engine = engine_of(fork_of(calls, call, noted(calls, "b1")))
    process_id = engine.run("fork")
    assert engine.process(process_id).last_status == "waiting"
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.SUCCESS
    with clock.moved(timedelta(minutes=2)):
        assert engine.wake() == [ProcessStatus.COMPLETED]
    assert calls["b1"] == 1


class Name(SubmitFormPage):
    """What the person is asked."""

    name: str


def test_who_may_answer_is_said_by_the_own_branch(engine_of, calls):
    """The callback of a step that stands beside does not count."""

    @inputstep("Guarded", Assignee.NOC, resume_auth_callback=lambda context: context.user == "boss")
    def ask_boss():
        answer = yield Name
        return {"confirmed": answer.name}

    @inputstep("Open", Assignee.NOC)
    def ask_clerk():
        answer = yield Name
        return {"clerk": answer.name}

    engine = engine_of(fork_of(calls, ask_boss, ask_clerk))
    process_id = engine.run("fork")
    with pytest.raises(NotAuthorised):
        engine.answer(process_id, {"name": "x"}, user="somebody")
    engine.answer(process_id, {"name": "x"}, user="boss")
    assert engine.answer(process_id, {"name": "x"}, user="somebody") is ProcessStatus.COMPLETED


@pytest.mark.parametrize("is_first", [True, False])
def test_input_step_in_a_branch_sees_that_branch(engine_of, calls, is_first):
    @inputstep("Confirm", Assignee.NOC)
    def confirm(state):
        answer = yield Name
        return {"confirmed": answer.name, "sees_b1": "b1" in state}

    branches = [confirm, noted(calls, "b1", {"b1": 1})]
    engine = engine_of(fork_of(calls, *(branches if is_first else reversed(branches))))
    process_id = engine.run("fork")
    assert engine.process(process_id).last_status == "suspended"
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED
    state = engine.process(process_id).state
    assert (state["confirmed"], state["sees_b1"], state["b1"]) == ("x", False, 1)


def test_two_branches_that_wait_do_so_one_after_the_other(engine_of, calls):
    def asking(name):
        def form():
            answer = yield Name
            return {name: answer.name}

        form.__name__ = name
        return inputstep(name, Assignee.NOC)(form)

    engine = engine_of(fork_of(calls, asking("left"), asking("right")))
    process_id = engine.run("fork")
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.SUSPENDED
    assert engine.answer(process_id, {"name": "y"}) is ProcessStatus.COMPLETED
    assert (engine.process(process_id).state["left"], engine.process(process_id).state["right"]) == ("x", "y")


def test_two_callbacks_may_come_in_any_order(engine_of, calls):
    """One that comes while the process waits for the other is kept."""
    routes = {}

    def calling(name):
        def ask(callback_route: str):
            routes[name] = callback_route.rpartition("/")[2]

        def look(state):
            return {name: state[f"{name}_result"]}

        ask.__name__, look.__name__ = f"ask_{name}", f"look_{name}"
        return callback_step(name, step("Ask")(ask), step("Look")(look), result_key=f"{name}_result")

    engine = engine_of(fork_of(calls, calling("left"), calling("right")))
    process_id = engine.run("fork")
    first, second = sorted(routes), [name for name in ("left", "right") if name not in routes]
    assert engine.service.answers.callback(process_id, routes[first[0]], 1) == "resumed"
    assert engine.resume(process_id) is ProcessStatus.AWAITING_CALLBACK
    assert engine.service.answers.callback(process_id, routes[(second or first[1:])[0]], 2) == "resumed"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_pause_between_branches_stops_all_of_them(engine_of, calls):
    def pause(state):
        set_pause(engine, True)

    def set_pause(engine, paused):
        with engine.database.transaction() as session:
            session.execute(text("UPDATE engine_settings SET global_lock = :paused"), {"paused": paused})

    engine = engine_of(two_by_two(calls, a1=pause))
    process_id = engine.run("fork")
    assert engine.process(process_id).last_status == "waiting"
    set_pause(engine, False)
    assert engine.wake() == [ProcessStatus.COMPLETED]
