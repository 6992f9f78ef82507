"""Looking at processes: one with its steps, and lists."""

from ops.steps.step import begin, step
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.jobs.decorators import task
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import count_processes, list_processes
from resources.types import Assignee, ProcessStatus, Target
from tests.test_orchestrator_defs.test_processes.toys import ask, asking, set_row


def test_detail_shows_steps_what_is_left_and_what_is_asked(engine_of):
    @step("Last")
    def last(): ...

    @task("Long asking")
    def long_asking():
        return begin >> ask >> last

    engine = engine_of(long_asking)
    detail = engine.service.queries.detail(engine.run("long_asking"))
    assert [(one.key, one.status) for one in detail.steps] == [("start", "success"), ("ask", "suspend")]
    assert [one.key for one in detail.pending] == ["last", "done"]
    assert detail.line.status is ProcessStatus.SUSPENDED
    assert detail.wait.form["required"] == ["name"]


def test_detail_of_a_form_that_fails_shows_why_and_the_rest(engine_of):
    @inputstep("Broken form", Assignee.NOC)
    def broken_form():
        raise RuntimeError("no form")
        yield

    @task("Asking badly")
    def asking_badly():
        return begin >> broken_form

    engine = engine_of(asking_badly)
    detail = engine.service.queries.detail(engine.run("asking_badly"))
    assert detail.wait.form_error == "The form fails with RuntimeError: no form"
    assert [one.key for one in detail.steps] == ["start", "broken_form"]


def test_detail_names_the_children(failed):
    engine, process_id = failed
    child = engine.run("three")
    set_row(engine, child, parent_process_id=process_id)
    assert [(one.process_id, one.workflow_name) for one in engine.service.queries.detail(process_id).children] == [
        (child, "three")
    ]


def test_detail_of_what_the_code_has_no_more_is_shown(failed, engine_of):
    _, process_id = failed
    detail = engine_of(asking).service.queries.detail(process_id)
    assert [one.key for one in detail.pending] == ["third", "done"]


def test_lists_are_filtered(failed):
    engine, process_id = failed
    done = engine.run("three", user="bob")
    with engine.database.transaction():
        assert [one.process_id for one in list_processes()] == [done, process_id]
        for where in (PROCESS_FIELDS.having(last_status=["failed"]), PROCESS_FIELDS.having(created_by="tester")):
            assert [one.process_id for one in list_processes(where)] == [process_id]
            assert count_processes(where) == 1
        assert list_processes(PROCESS_FIELDS.having(is_task=False)) == []
        assert list_processes(limit=1, offset=1)[0].process_id == process_id
        assert list_processes()[0].target is Target.SYSTEM
