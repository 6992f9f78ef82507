"""Aborting a process: what was done stays, and nothing more is committed."""

import threading
from uuid import UUID

from dagster import DagsterRunStatus

from ops.steps.step import begin, step
from orchestrator_defs.jobs.decorators import task
from tests.test_orchestrator_defs.test_processes.toys import WHY, asking, create_device, lock_of, set_row


def test_abort_says_what_was_done_and_what_stays(network):
    engine, world = network
    world.broken = {"configure"}
    process_id = create_device(engine)
    found = engine.service.interventions.abort(process_id, user="ada", reason=WHY)
    subscription_id = UUID(engine.process(process_id).state["subscription_id"])
    assert (found.was, found.done, found.in_progress) == ("failed", ["Start", "Construct subscription"], None)
    assert found.subscriptions == [subscription_id]
    line = engine.ledger(process_id)["__abort__"]
    assert (line.created_by, line.error["reason"]) == ("ada", WHY)
    assert "Committed steps stay: Start, Construct subscription." in line.error["message"]
    assert f"Unlocked, and out of sync: subscription {subscription_id}." in line.error["message"]
    assert lock_of(engine, subscription_id) == (None, False)


def test_abort_names_the_children_that_go_on(failed):
    engine, process_id = failed
    child, ended = engine.run("three"), engine.run("three")
    set_row(engine, child, parent_process_id=process_id, last_status="failed")
    set_row(engine, ended, parent_process_id=process_id)
    assert engine.service.interventions.abort(process_id, user="ada").children == [child]


def test_aborted_run_commits_nothing_more(engine_of):
    """Its step in progress rolls back; the process stays aborted, and is notified so."""
    begun, go = threading.Event(), threading.Event()

    @step("Long")
    def long():
        begun.set()
        go.wait(60)
        return {"long": 1}

    @task("Taking long")
    def taking_long():
        return begin >> long

    engine = engine_of(taking_long)
    process_id = engine.service.starts.start("taking_long", None, user="ada")
    thread = threading.Thread(target=engine.service.runs.execute, args=(process_id,), kwargs={"user": "ada"})
    thread.start()
    assert begun.wait(60)
    found = engine.service.interventions.abort(process_id, user="bob")
    go.set()
    thread.join(60)
    assert (found.was, found.in_progress) == ("running", "long")
    row = engine.process(process_id)
    assert (row.last_status, "long" in row.state, "long" in engine.ledger(process_id)) == ("aborted", False, False)
    assert engine.instance.get_run_by_id(str(process_id)).status is DagsterRunStatus.FAILURE


def test_abort_of_what_the_code_has_no_more_is_possible(engine_of, three, broken):
    engine = engine_of(three)
    broken.steps = {"second"}
    process_id = engine.run("three")
    other = engine_of(asking)
    other.service.interventions.abort(process_id, user="ada")
    assert other.process(process_id).last_status == "aborted"
