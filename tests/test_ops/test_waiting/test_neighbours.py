"""A wait ends in its turn, whatever stands before it: late callbacks, waits of removed workflows, rows that fail."""

from datetime import timedelta

import pytest

from ops.starting import submitted_answers
from ops.steps.step import begin, step
from ops.waiting.wait_steps import callback_step, wait_until
from orchestrator_defs.jobs.decorators import task
from resources import clock
from resources.errors import StateError


@step("Choose a moment")
def choose():
    return {"moment": clock.now() + timedelta(hours=1)}


@step("Ask outside")
def ask(callback_route: str) -> None: ...


@step("Look")
def look(callback_result: dict) -> None: ...


@task("Sleep")
def sleep():
    return begin >> choose >> wait_until("moment")


@task("Sleep elsewhere")
def sleep_elsewhere():
    return begin >> choose >> wait_until("moment")


@task("Ask")
def ask_and_wait():
    return begin >> callback_step("Ask", ask, look, timeout=60, on_timeout="ask")


@pytest.fixture
def engine(engine_of):
    return engine_of(ask_and_wait, sleep, sleep_elsewhere)


def test_late_callbacks_that_wait_for_a_person_take_nobodys_place(engine):
    late = [engine.run("ask_and_wait") for _ in range(2)]
    with clock.moved(timedelta(seconds=61)):
        engine.wake()
    assert {engine.process(one).last_status for one in late} == {"suspended"}
    sleeper = engine.run("sleep")
    with clock.moved(timedelta(hours=2)):
        assert engine.service.answers.wake(1) == [sleeper]


def test_waits_of_a_removed_workflow_take_nobodys_place(engine):
    engine.run("sleep_elsewhere")
    sleeper = engine.run("sleep")
    del engine.orchestrator.workflows["sleep_elsewhere"]
    with clock.moved(timedelta(hours=2)):
        assert engine.service.answers.wake(1) == [sleeper]


def test_oldest_deadline_is_first(engine):
    sleepers = [engine.run("sleep") for _ in range(3)]
    with clock.moved(timedelta(hours=2)):
        assert [engine.service.answers.wake(1) for _ in sleepers] == [[one] for one in sleepers]


def test_wait_that_cannot_be_ended_does_not_stop_those_behind_it(engine, monkeypatch):
    first, second = engine.run("sleep"), engine.run("sleep")
    end = submitted_answers.wake

    def wake(workflow, due, *, database):
        if due.process_id == first:
            raise StateError("This one cannot.")
        return end(workflow, due, database=database)

    monkeypatch.setattr(submitted_answers, "wake", wake)
    with clock.moved(timedelta(hours=2)):
        assert engine.service.answers.wake() == [second]
