"""Forms that take too long, fail, or write: what is answered, and that nothing is written after that."""

import threading
import time
from uuid import UUID

import pytest
import sqlalchemy as sa

from ops.starting import admission, submitted_answers
from ops.starting.named_forms import register_form
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.api.form_threads import AT_ONCE
from orchestrator_defs.jobs.decorators import task
from resources.database import time_limit
from resources.database.session import current_session
from resources.database.tables import EngineSettingsTable
from resources.types import Assignee, ProcessStatus
from tests.waiting import eventually

SOON = 0.4
LONG = 100.0


class Latch:
    """Where a form stands until it is let through; `entered` says that one has come."""

    def __init__(self):
        self.entered, self.opened = threading.Event(), threading.Event()
        self.is_open = False

    def hold(self):
        if not self.is_open:
            self.entered.set()
            self.opened.wait(LONG)


@pytest.fixture
def latch():
    latch = Latch()
    yield latch
    latch.opened.set()
    _end_of_forms()  # before their database goes


class Page(SubmitFormPage):
    field: str = ""


@pytest.fixture
def engine(engine_of, latch):
    def hanging_form():
        latch.hold()
        return Page

    def slow_query():
        if not latch.is_open:
            current_session().execute(sa.text("SELECT pg_sleep(30)"))
        return Page

    def writing():
        current_session().execute(sa.insert(EngineSettingsTable).values(global_lock=True))
        return Page

    def failing():
        raise RuntimeError("the inventory is on fire")

    @step("Look")
    def look():
        return None

    @inputstep("Ask", Assignee.NOC)
    def question():
        latch.hold()
        return Page

    @inputstep("Ask in vain", Assignee.NOC)
    def broken_question():
        raise RuntimeError("the inventory is on fire")

    @task("Hangs", initial_input_form=hanging_form)
    def hanging():
        return begin >> look

    @task("Queries", initial_input_form=slow_query)
    def querying():
        return begin >> look

    @task("Writes", initial_input_form=writing)
    def writes():
        return begin >> look

    @task("Fails", initial_input_form=failing)
    def fails():
        return begin >> look

    @task("Asks")
    def asks():
        return begin >> question

    @task("Asks in vain")
    def asks_in_vain():
        return begin >> broken_question

    @task("Plain")
    def plain():
        return begin >> look

    register_form("hanging", hanging_form)
    return engine_of(hanging, querying, writes, fails, asks, asks_in_vain, plain)


@pytest.fixture
def api(engine, api_of):
    return api_of(engine, form_timeout_seconds=SOON)


@pytest.fixture(autouse=True)
def forgotten_forms(monkeypatch):
    """What the test registers is gone after it."""
    monkeypatch.setattr("ops.starting.named_forms._forms", {})


def timed_out(answer):
    assert answer.status_code == 504, answer.text
    assert "took longer than 0.4 s" in answer.json()["detail"]
    assert answer.elapsed.total_seconds() < LONG / 2


def test_a_form_that_hangs_is_given_up(api, latch):
    timed_out(api.post("/processes/hanging", json=[{}]))


def test_a_start_that_was_given_up_never_commits(api, engine, latch):
    timed_out(api.post("/processes/hanging", json=[{}]))
    latch.opened.set()
    _end_of_forms()
    assert engine.count_processes() == 0


def test_a_start_that_was_given_up_while_it_wrote_is_rolled_back(api, engine, latch, monkeypatch):
    """All is written, and the next thing would be the commit."""
    write = admission._write

    def then_hold(*arguments):
        write(*arguments)
        latch.hold()

    monkeypatch.setattr(admission, "_write", then_hold)
    timed_out(api.post("/processes/plain", json=[{}]))
    latch.opened.set()
    _end_of_forms()
    assert engine.count_processes() == 0


def test_a_query_that_takes_too_long_is_ended_in_the_server(api, engine):
    timed_out(api.post("/processes/querying", json=[{}]))
    _end_of_forms()
    with engine.database.transaction() as session:
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
        assert session.scalar(sa.text(running)) == 0


def test_an_answer_that_was_given_up_changes_nothing(api, engine, latch):
    latch.is_open = True
    process_id = engine.run("asks")
    latch.is_open = False
    timed_out(api.put(f"/processes/{process_id}/resume", json=[{}]))
    latch.opened.set()
    _end_of_forms()
    assert engine.process(process_id).last_status == ProcessStatus.SUSPENDED


def test_an_answer_that_was_given_up_while_it_was_written_is_rolled_back(api, engine, latch, monkeypatch):
    latch.is_open = True
    process_id = engine.run("asks")
    commit = submitted_answers._commit

    def then_hold(*arguments):
        run_id = commit(*arguments)
        latch.is_open = False
        latch.hold()
        return run_id

    monkeypatch.setattr(submitted_answers, "_commit", then_hold)
    timed_out(api.put(f"/processes/{process_id}/resume", json=[{}]))
    latch.opened.set()
    _end_of_forms()
    assert engine.process(process_id).last_status == ProcessStatus.SUSPENDED


def test_a_process_is_shown_without_the_form_that_hangs(api, engine, latch):
    latch.is_open = True
    process_id = engine.run("asks")
    latch.is_open = False
    detail = api.get(f"/processes/{process_id}").json()
    assert detail["last_status"] == "suspended"
    assert detail["form"] is None
    assert "took longer than 0.4 s" in detail["form_error"]


def test_a_named_form_that_hangs_is_given_up(api, latch):
    timed_out(api.post("/forms/hanging", json=[{}]))


def test_forms_that_hang_take_nothing_from_others(engine, api_of, latch):
    api = api_of(engine, form_timeout_seconds=LONG)
    threads = [
        threading.Thread(target=api.post, args=("/processes/hanging",), kwargs={"json": [{}]}) for _ in range(AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: _forms() == AT_ONCE)
    try:
        assert api.get("/processes/status-counts").status_code == 200
        assert api.put("/processes/resume-all").status_code == 200
    finally:
        latch.opened.set()
        for thread in threads:
            thread.join()
    assert engine.count_processes() == AT_ONCE


def test_when_all_are_busy_one_more_is_told_so(engine, api_of, latch):
    api = api_of(engine, form_timeout_seconds=2)
    threads = [
        threading.Thread(target=api.post, args=("/processes/hanging",), kwargs={"json": [{}]}) for _ in range(AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: _forms() == AT_ONCE)
    answer = api.post("/processes/plain", json=[{}])
    for thread in threads:
        thread.join()
    assert answer.status_code == 503
    assert "try again" in answer.json()["detail"]


def test_after_forms_that_hung_the_next_one_is_evaluated(api, latch):
    for _ in range(AT_ONCE):
        timed_out(api.post("/processes/hanging", json=[{}]))
    latch.opened.set()
    _end_of_forms()
    assert api.post("/processes/plain", json=[{}]).status_code == 201


def test_a_form_that_writes_is_told_so(api, engine):
    answer = api.post("/processes/writes", json=[{}])
    assert answer.status_code == 500
    assert "The form of writes writes to the database; a form must only read" in answer.json()["detail"]
    assert engine.count_processes() == 0


def test_a_form_that_fails_tells_nobody_its_inside(api):
    answer = api.post("/processes/fails", json=[{}])
    assert answer.status_code == 500
    assert "fire" not in answer.text


def test_a_process_whose_form_fails_says_why(api, engine):
    detail = api.get(f"/processes/{engine.run('asks_in_vain')}").json()
    assert detail["form"] is None
    assert detail["form_error"] == "The form fails with RuntimeError: the inventory is on fire"


def test_what_is_being_committed_is_waited_for(engine, api_of, monkeypatch):
    """Beyond the limit too: the process is there, so the answer is not that it is not."""
    decide = time_limit.decide

    def slowly():
        decide()
        time.sleep(2 * SOON)

    monkeypatch.setattr(time_limit, "decide", slowly)
    answer = api_of(engine, form_timeout_seconds=SOON).post("/processes/plain", json=[{}])
    assert answer.status_code == 201
    assert engine.process(UUID(answer.json()["id"])).last_status == ProcessStatus.CREATED


def _forms():
    return sum(thread.name == "form" for thread in threading.enumerate())


def _end_of_forms():
    eventually(lambda: _forms() == 0)
