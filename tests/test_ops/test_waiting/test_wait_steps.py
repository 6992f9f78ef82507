"""Steps that wait: what ends a wait, and what does not."""

from datetime import timedelta
from uuid import UUID

import pytest
from dagster import DagsterRunStatus
from sqlalchemy import text

from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, conditional, focussteps, step
from ops.waiting.wait_steps import callback_step, inputstep, poll_step, retrystep, wait_until
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import FormInvalid, NotWaiting, RunMayNotAct, UnknownToken
from resources.types import Assignee, ProcessStatus


class Confirmation(SubmitFormPage):
    """What the person is asked."""

    name: str


@step("Before")
def before():
    return {"before": 1}


@step("After")
def after():
    return {"after": 1}


@inputstep("Confirm", Assignee.NOC)
def confirm(before: int):
    answer = yield Confirmation
    return {"confirmed": answer.name, "seen": before}


@task("Ask somebody")
def ask_somebody():
    return begin >> before >> confirm >> after


# --- a person's input ---


def test_input_step_suspends_the_process(engine_of):
    """It says whose turn it is, and the run is over."""
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    process = engine.process(process_id)
    assert (process.last_status, process.last_step, process.assignee) == ("suspended", "Confirm", "NOC")
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.SUCCESS


def test_answer_goes_to_the_state_and_the_process_goes_on(engine_of):
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED
    state = engine.process(process_id).state
    assert (state["confirmed"], state["seen"], state["after"]) == ("x", 1, 1)


def test_wrong_answer_leaves_the_wait_as_it_was(engine_of):
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    with pytest.raises(FormInvalid):
        engine.service.answers.answer(process_id, {"nome": "x"}, user="answerer")
    assert engine.process(process_id).last_status == "suspended"
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED


def test_second_answer_is_refused(engine_of):
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    engine.service.answers.answer(process_id, {"name": "x"}, user="first")
    with pytest.raises(NotWaiting):
        engine.service.answers.answer(process_id, {"name": "y"}, user="second")


def test_resumed_segment_runs_what_is_left_only(engine_of):
    """Its run has just the steps behind the answer."""
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    engine.answer(process_id, {"name": "x"})
    run = engine.instance.get_run_by_id(engine.process(process_id).run_id)
    assert run.step_keys_to_execute == ["after", "done"]
    assert run.root_run_id == str(process_id)


def test_input_step_in_a_lens_answers_there(engine_of):
    @task("Ask about a part")
    def ask_about_a_part():
        return begin >> before >> focussteps("part")(before >> confirm)

    engine = engine_of(ask_about_a_part)
    process_id = engine.run("ask_about_a_part")
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["part"]["confirmed"] == "x"


def test_skipped_input_step_asks_nothing(engine_of):
    @task("Ask nobody")
    def ask_nobody():
        return begin >> before >> conditional(lambda state: False)(confirm) >> after

    engine = engine_of(ask_nobody)
    assert engine.process(engine.run("ask_nobody")).last_status == "completed"


def test_stray_run_of_a_suspended_process_is_refused(engine_of):
    engine = engine_of(ask_somebody)
    process_id = engine.run("ask_somebody")
    with pytest.raises(RunMayNotAct, match="continues when its wait"):
        engine.resume(process_id)


# --- retries ---


def test_retry_step_waits_ever_longer(engine_of):
    tries = []

    @retrystep("Call", quick_tries=0, first_pause=timedelta(minutes=1))
    def call():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")

    @task("Call it")
    def call_it():
        return begin >> call

    engine = engine_of(call_it)
    process_id = engine.run("call_it")
    process = engine.process(process_id)
    assert (process.last_status, process.failed_reason) == ("waiting", "ConnectionError: away")
    assert engine.wake() == []
    with clock.moved(timedelta(seconds=61)):
        assert engine.wake() == [ProcessStatus.WAITING]
        assert engine.wake() == []
        with clock.moved(timedelta(seconds=121)):
            assert engine.wake() == [ProcessStatus.COMPLETED]


def test_retry_step_fails_after_its_last_attempt(engine_of):
    @retrystep("Call", quick_tries=0, first_pause=timedelta(minutes=1), attempts=2)
    def call():
        raise ConnectionError("away")

    @task("Call it")
    def call_it():
        return begin >> call

    engine = engine_of(call_it)
    engine.run("call_it")
    with clock.moved(timedelta(seconds=61)):
        assert engine.wake() == [ProcessStatus.FAILED]


def test_retry_step_is_tried_at_once_first(engine_of):
    tries = []

    @retrystep("Call", quick_tries=2)
    def call():
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")

    @task("Call it")
    def call_it():
        return begin >> call

    engine = engine_of(call_it)
    assert engine.process(engine.run("call_it")).last_status == "completed"


# --- a time ---


def test_wait_until_goes_on_at_its_moment(engine_of):
    moment = clock.now() + timedelta(hours=1)

    @step("Plan")
    def plan():
        return {"moment": moment}

    @task("Wait for it")
    def wait_for_it():
        return begin >> plan >> wait_until("moment") >> after

    engine = engine_of(wait_for_it)
    process_id = engine.run("wait_for_it")
    assert engine.process(process_id).last_status == "waiting"
    assert engine.wake() == []
    with clock.moved(timedelta(hours=1)):
        assert engine.wake() == [ProcessStatus.COMPLETED]


def test_poll_step_looks_until_it_sees(engine_of):
    looks = []

    @poll_step("Look", every=timedelta(minutes=1))
    def look():
        looks.append(1)
        return {"found": True} if len(looks) == 2 else None

    @task("Look for it")
    def look_for_it():
        return begin >> look >> after

    engine = engine_of(look_for_it)
    process_id = engine.run("look_for_it")
    with clock.moved(timedelta(minutes=1)):
        assert engine.wake() == [ProcessStatus.COMPLETED]
    assert engine.process(process_id).state["found"] is True


def test_poll_step_fails_after_its_deadline(engine_of):
    @poll_step("Look", every=timedelta(minutes=1), deadline=timedelta(minutes=2))
    def look():
        return None

    @task("Look for it")
    def look_for_it():
        return begin >> look >> after

    engine = engine_of(look_for_it)
    process_id = engine.run("look_for_it")
    with clock.moved(timedelta(minutes=3)):
        assert engine.wake() == [ProcessStatus.FAILED]
    assert "has not succeeded within" in engine.process(process_id).failed_reason


# --- callbacks ---


class Outside:
    """An external system that remembers where to call."""

    def __init__(self):
        self.routes = []

    def workflow(self, during=lambda route: None, **options):
        @step("Ask the system")
        def ask(callback_route: str):
            self.routes.append(callback_route)
            during(callback_route)
            return {"asked": True}

        @step("Look at the answer")
        def look(callback_result: dict):
            return {"looked": callback_result["ok"]}

        @task("Call out")
        def call_out():
            return begin >> before >> callback_step("Call out", ask, look, **options) >> after

        return call_out

    def token(self, number=-1):
        return self.routes[number].rpartition("/")[2]


@pytest.fixture
def outside():
    return Outside()


def test_callback_step_waits_for_the_answer(engine_of, outside):
    engine = engine_of(outside.workflow())
    process_id = engine.run("call_out")
    assert engine.process(process_id).last_status == "awaiting_callback"
    assert str(process_id) in outside.routes[0]
    assert outside.token() not in str(engine.process(process_id).state)
    assert engine.service.answers.callback(process_id, outside.token(), {"ok": 7}) == "resumed"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["looked"] == 7


def test_second_answer_with_a_token_changes_nothing(engine_of, outside):
    engine = engine_of(outside.workflow())
    process_id = engine.run("call_out")
    engine.service.answers.callback(process_id, outside.token(), {"ok": 7})
    assert engine.service.answers.callback(process_id, outside.token(), {"ok": 8}) == "answered otherwise"
    engine.resume(process_id)
    assert engine.process(process_id).state["looked"] == 7


def test_answer_that_comes_during_the_action_is_kept(engine_of, outside):
    made = []

    def during(route):
        process_id = engine.instance.get_runs()[0].run_id
        made.append(engine.service.answers.callback(UUID(process_id), route.rpartition("/")[2], {"ok": 1}))

    engine = engine_of(outside.workflow(during))
    process_id = engine.run("call_out")
    assert made == ["stored"]
    assert engine.process(process_id).last_status == "completed"


def test_unknown_token_is_refused(engine_of, outside):
    engine = engine_of(outside.workflow())
    process_id = engine.run("call_out")
    with pytest.raises(UnknownToken):
        engine.service.answers.callback(process_id, "guess", {})


def test_callback_that_does_not_come_fails_the_process(engine_of, outside):
    engine = engine_of(outside.workflow(timeout=60))
    process_id = engine.run("call_out")
    with clock.moved(timedelta(seconds=61)):
        assert engine.wake() == [ProcessStatus.FAILED]
        assert engine.wake() == []
        assert engine.resume(process_id) is ProcessStatus.AWAITING_CALLBACK
    engine.service.answers.callback(process_id, outside.token(), {"ok": 7})
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


def test_action_is_tried_again_when_the_callback_does_not_come(engine_of, outside):
    engine = engine_of(outside.workflow(timeout=60, on_timeout="retry", retries=1))
    process_id = engine.run("call_out")
    with clock.moved(timedelta(seconds=61)):
        assert engine.wake() == [ProcessStatus.AWAITING_CALLBACK]
        assert len(outside.routes) == 2
        assert engine.service.answers.callback(process_id, outside.token(0), {"ok": 1}) == "too late"
        with clock.moved(timedelta(seconds=61)):
            assert engine.wake() == [ProcessStatus.FAILED]


@pytest.mark.parametrize(
    ("decision", "status"), [("wait", "awaiting_callback"), ("retry", "awaiting_callback"), ("fail", "failed")]
)
def test_person_decides_about_a_late_callback(engine_of, outside, decision, status):
    engine = engine_of(outside.workflow(timeout=60, on_timeout="ask"))
    process_id = engine.run("call_out")
    with clock.moved(timedelta(seconds=61)):
        assert engine.wake() == [ProcessStatus.SUSPENDED]
        engine.service.answers.answer(process_id, {"decision": decision}, user="noc")
        if decision != "fail":
            engine.resume(process_id)
    assert engine.process(process_id).last_status == status


def test_late_callback_spares_the_person_the_decision(engine_of, outside):
    engine = engine_of(outside.workflow(timeout=60, on_timeout="ask"))
    process_id = engine.run("call_out")
    with clock.moved(timedelta(seconds=61)):
        engine.wake()
    assert engine.service.answers.callback(process_id, outside.token(), {"ok": 7}) == "resumed"
    assert engine.resume(process_id) is ProcessStatus.COMPLETED


# --- the engine's pause ---


def test_paused_engine_stops_a_process_between_two_steps(engine_of):
    """What is released continues by itself, once."""
    engine = engine_of_pausing(engine_of)
    process_id = engine.run("pausing")
    assert engine.process(process_id).last_status == "waiting"
    assert engine.wake() == []
    set_pause(engine, False)
    assert engine.wake() == [ProcessStatus.COMPLETED]
    assert engine.wake() == []


def engine_of_pausing(engine_of):
    made = []

    @step("Pause")
    def pause():
        set_pause(made[0], True)

    @task("Pausing")
    def pausing():
        return begin >> pause >> after

    made.append(engine_of(pausing))
    return made[0]


def set_pause(engine, paused):
    with engine.database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO engine_settings (global_lock) VALUES (:paused)"
                " ON CONFLICT (singleton) DO UPDATE SET global_lock = :paused"
            ),
            {"paused": paused},
        )


# --- what an answer does not do ---


def test_callback_does_not_put_back_what_a_person_had_said(engine_of, outside):
    """What steps have changed since an input stays changed, whatever comes in later."""

    @step("Change")
    def change():
        return {"confirmed": "changed"}

    call_out = outside.workflow()
    inner = [item for item in call_out.workflow.steps if item.key == "ask_group"]

    @task("Ask and call")
    def ask_and_call():
        return begin >> before >> confirm >> change >> inner[0] >> after

    engine = engine_of(ask_and_call)
    process_id = engine.run("ask_and_call")
    engine.answer(process_id, {"name": "said"})
    engine.service.answers.callback(process_id, outside.token(), {"ok": 1})
    engine.resume(process_id)
    assert engine.process(process_id).state["confirmed"] == "changed"
