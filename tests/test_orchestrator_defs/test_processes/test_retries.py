"""Resuming a process: one, or every task that has stopped."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ops.steps.step import begin
from ops.waiting.wait_steps import retrystep, wait_until
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import NotWaiting
from resources.types import ProcessStatus
from tests.test_orchestrator_defs.test_processes.toys import asking, proceed, set_row

# --- retry, resume ---


def test_retry_tries_the_failed_step_again(failed, broken):
    engine, process_id = failed
    engine.service.interventions.retry(process_id, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert broken.calls == ["first", "second", "second", "third"]


def test_retry_of_what_waits_for_better_times_does_not_wait(engine_of):
    tries = []

    @retrystep("Call", quick_tries=0)
    def call():
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("away")

    @task("Calling")
    def calling():
        return begin >> call

    engine = engine_of(calling)
    process_id = engine.run("calling")
    engine.service.interventions.retry(process_id, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED


def test_retry_of_what_has_ended_is_refused(failed):
    engine, process_id = failed
    engine.resume(process_id)
    with pytest.raises(NotWaiting, match="is completed and cannot be resumed"):
        engine.service.interventions.retry(process_id, user="ada")


def test_retry_twice_sets_going_once(failed):
    engine, process_id = failed
    engine.service.interventions.retry(process_id, user="ada")
    with pytest.raises(NotWaiting, match="is resumed"):
        engine.service.interventions.retry(process_id, user="bob")


def test_resume_answers_what_waits_for_input(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    engine.service.interventions.resume(process_id, {"name": "x"}, user="ada")
    assert proceed(engine, process_id) is ProcessStatus.COMPLETED
    assert engine.process(process_id).state["name"] == "x"


# --- resume all ---


def test_resume_all_sets_every_stopped_task_going_and_nothing_else(engine_of, three, broken):
    """Failures of each kind; not what has ended, nor what is no task."""
    engine = engine_of(three, asking)
    suspended, done = engine.run("asking"), engine.run("three")
    broken.steps = {"second"}
    stopped = {status: engine.run("three") for status in ("failed", "api_unavailable", "inconsistent_data", "waiting")}
    no_task = engine.run("three")
    for status, process_id in stopped.items():
        set_row(engine, process_id, last_status=status)
    set_row(engine, no_task, is_task=False)
    assert set(engine.service.interventions.resume_all(user="ada")) == set(stopped.values())
    assert {engine.process(process_id).last_status for process_id in stopped.values()} == {"resumed"}
    kept = [engine.process(process_id).last_status for process_id in (suspended, done, no_task)]
    assert kept == ["suspended", "completed", "failed"]


def test_two_that_resume_all_at_once_share_the_tasks(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"second"}
    stopped = sorted(engine.run("three") for _ in range(4))
    with ThreadPoolExecutor(2) as threads:
        barrier = threading.Barrier(2)

        def resume_all(user):
            barrier.wait()
            return engine.service.interventions.resume_all(user=user)

        one, other = threads.map(resume_all, ("ada", "bob"))
    assert sorted(one + other) == stopped


def test_resume_all_leaves_what_waits_for_a_moment(engine_of):
    @task("Later")
    def later():
        return begin >> wait_until(lambda state: clock.now() + timedelta(hours=1), name="wait_an_hour")

    engine = engine_of(later)
    engine.run("later")
    assert engine.service.interventions.resume_all(user="ada") == []
