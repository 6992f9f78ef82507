"""The engine's pause: nothing new begins, what is in progress ends, and what stopped continues by itself, once."""

import threading
from datetime import timedelta

import pytest

from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, retrystep
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import EnginePaused, NotWaiting
from resources.processes import pause as engine_settings
from resources.processes.pause import EngineStatus
from resources.types import ProcessStatus
from tests.test_orchestrator_defs.test_processes.toys import asking


@step("Break")
def break_down():
    raise RuntimeError("broken")


@task("Breaking")
def breaking():
    return begin >> break_down


@pytest.fixture
def told():
    return []


@pytest.fixture
def calling_out(told):
    @step("Tell")
    def tell(callback_route: str):
        told.append(callback_route.rpartition("/")[2])

    @step("Look")
    def look(callback_result: dict):
        return {"looked": callback_result["n"]}

    @task("Calling out")
    def calling_out():
        return begin >> callback_step("Outside", tell, look)

    return calling_out


def pause(engine):
    return engine.service.engine.pause(user="ada").status


def release(engine):
    """Release, and run what that starts."""
    return [
        engine.service.runs.execute(process_id, user="SYSTEM")
        for process_id in engine.service.engine.release(user="ada")
    ]


def test_engine_that_nobody_paused_is_running(engine_of):
    assert engine_of(asking).service.engine.status().status is EngineStatus.RUNNING


def test_paused_engine_says_who_paused_it(engine_of):
    """Who did it first, when it is done twice."""
    engine = engine_of(asking)
    assert pause(engine) is EngineStatus.PAUSED
    engine.service.engine.pause(user="bob")
    assert engine.service.engine.status().changed_by == "ada"


def test_pausing_lasts_until_the_step_in_progress_ends(engine_of):
    """It commits, and the next does not begin; after the release it continues once."""
    begun, go, calls = threading.Event(), threading.Event(), []

    @step("Long")
    def long():
        begun.set()
        go.wait(60)
        calls.append("long")

    @step("Next")
    def following():
        calls.append("next")

    @task("Taking long")
    def taking_long():
        return begin >> long >> following

    engine = engine_of(taking_long)
    process_id = engine.service.starts.start("taking_long", None, user="ada")
    thread = threading.Thread(target=engine.service.runs.execute, args=(process_id,), kwargs={"user": "ada"})
    thread.start()
    assert begun.wait(60)
    assert pause(engine) is EngineStatus.PAUSING
    go.set()
    thread.join(60)
    state = engine.service.engine.status()
    assert (state.status, state.stopped) == (EngineStatus.PAUSED, 1)
    assert calls == ["long"]
    assert release(engine) == [ProcessStatus.COMPLETED]
    assert engine.service.answers.wake() == []
    assert calls == ["long", "next"]


def test_release_in_the_middle_of_a_step_runs_nothing_twice(engine_of):
    """Paused and released while a step is in progress, a process just continues."""
    made, calls = [], []

    @step("Long")
    def long():
        calls.append("long")
        made[0].service.engine.pause(user="ada")
        assert made[0].service.engine.release(user="ada") == []

    @task("Taking long")
    def taking_long():
        return begin >> long

    made.append(engine_of(taking_long))
    assert made[0].process(made[0].run("taking_long")).last_status == "completed"
    assert calls == ["long"]


def test_start_is_refused(engine_of):
    engine = engine_of(asking)
    pause(engine)
    with pytest.raises(EnginePaused) as refused:
        engine.service.starts.start("asking", None, user="ada")
    assert refused.value.reason == "engine.paused"
    assert engine.count_processes() == 0


def test_start_from_dagster_is_refused(engine_of):
    engine = engine_of(asking)
    pause(engine)
    assert not engine.launch("asking").success
    assert engine.count_processes() == 0


HANDS = {
    "retry": lambda service, process_id: service.interventions.retry(process_id, user="ada"),
    "execute": lambda service, process_id: service.runs.execute(process_id, user="ada"),
    "skip": lambda service, process_id: service.interventions.skip(process_id, user="ada", reason="why"),
    "back": lambda service, process_id: service.interventions.go_back(process_id, "start", user="ada", reason="why"),
    "resume all": lambda service, _: service.interventions.resume_all(user="ada"),
}


@pytest.mark.parametrize("name", HANDS)
def test_nothing_that_failed_is_set_going(engine_of, name):
    engine = engine_of(breaking)
    process_id = engine.run("breaking")
    pause(engine)
    with pytest.raises(EnginePaused):
        HANDS[name](engine.service, process_id)
    assert engine.process(process_id).last_status == "failed"


def test_answer_is_refused_and_the_question_stays(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    pause(engine)
    with pytest.raises(EnginePaused):
        engine.service.answers.answer(process_id, {"name": "x"}, user="ada")
    assert release(engine) == []
    assert engine.answer(process_id, {"name": "x"}) is ProcessStatus.COMPLETED


def test_abort_is_possible(engine_of):
    """To end something is not to begin something."""
    engine = engine_of(breaking)
    process_id = engine.run("breaking")
    pause(engine)
    engine.service.interventions.abort(process_id, user="ada")
    assert engine.process(process_id).last_status == "aborted"


def test_callback_is_kept_and_acted_on_after_the_release(engine_of, calling_out, told):
    engine = engine_of(calling_out)
    process_id = engine.run("calling_out")
    pause(engine)
    assert engine.service.answers.callback(process_id, told[0], {"n": 3}) == "stored"
    assert engine.service.answers.callback(process_id, told[0], {"n": 4}) == "answered otherwise"
    assert engine.service.answers.wake() == []
    assert release(engine) == [ProcessStatus.COMPLETED]
    assert engine.process(process_id).state["looked"] == 3


def test_pause_between_action_and_wait_loses_no_token(engine_of):
    """The external system may still call back after the release."""
    made, told = [], []

    @step("Tell")
    def tell(callback_route: str):
        told.append(callback_route.rpartition("/")[2])
        made[0].service.engine.pause(user="ada")

    @step("Look")
    def look(callback_result: dict): ...

    @task("Calling out")
    def calling_out():
        return begin >> callback_step("Outside", tell, look)

    made.append(engine_of(calling_out))
    engine = made[0]
    process_id = engine.run("calling_out")
    assert release(engine) == [ProcessStatus.AWAITING_CALLBACK]
    assert engine.service.answers.callback(process_id, told[0], {}) == "resumed"


def test_time_passes_over_a_paused_engine(engine_of):
    """What comes due waits for the release."""
    tries = []

    @retrystep("Call", quick_tries=0, first_pause=timedelta(minutes=1))
    def call():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")

    @task("Calling")
    def calling():
        return begin >> call

    engine = engine_of(calling)
    engine.run("calling")
    pause(engine)
    with clock.moved(timedelta(hours=1)):
        assert engine.service.answers.wake() == []
        assert release(engine) == [ProcessStatus.COMPLETED]


def test_what_waits_for_the_release_is_not_skipped(engine_of, calling_out, told):
    """Its next step has not failed."""
    engine = engine_of(calling_out)
    process_id = engine.run("calling_out")
    pause(engine)
    engine.service.answers.callback(process_id, told[0], {"n": 3})
    with engine.database.transaction():
        engine_settings.set_paused(False, user="ada")
    with pytest.raises(NotWaiting, match="only waits for the release of the engine"):
        engine.service.interventions.skip(process_id, user="ada", reason="why")
