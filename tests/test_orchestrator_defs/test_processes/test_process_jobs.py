"""Interventions and answers to drift from Dagster's launchpad."""

import pytest
from dagster import DagsterInvalidConfigError

from orchestrator_defs.location import build_definitions
from orchestrator_defs.processes.process_jobs import process_jobs
from resources import tags
from resources.settings import settings
from resources.users import Role
from tests.drift import write_result
from tests.test_orchestrator_defs.test_processes.toys import WHY, asking
from tests.toy_network import DEVICE, World, add_device, device_workflows


def run_job(engine, name, config, **options):
    jobs = {job.name: job for job in process_jobs(engine.orchestrator)}
    return jobs[name].execute_in_process(run_config=config, instance=engine.instance, raise_on_error=False, **options)


def test_job_answers_as_the_user_of_its_run_and_the_process_goes_on(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    config = {"process": str(process_id)[:8], "inputs": {"name": "x"}}
    assert run_job(engine, "answer_process", config, tags={tags.USER: "ada"}).success
    assert engine.process(process_id).last_status == "completed"
    assert engine.ledger(process_id)["ask"].created_by == "ada"


def test_wrong_answer_fails_the_job_and_leaves_the_process(engine_of):
    engine = engine_of(asking)
    process_id = engine.run("asking")
    result = run_job(engine, "answer_process", {"process": str(process_id), "inputs": {"nome": "x"}})
    message = result.failure_data_for_node("answer").user_failure_data.description
    assert not result.success
    assert "name: is required" in message
    assert engine.process(process_id).last_status == "suspended"


def test_job_aborts_with_its_reason(failed):
    engine, process_id = failed
    assert run_job(
        engine, "abort_process", {"process": str(process_id), "reason": WHY}, tags={tags.USER: "ada"}
    ).success
    line = engine.ledger(process_id)["__abort__"]
    assert (line.created_by, line.error["reason"]) == ("ada", WHY)


def test_every_code_location_has_the_jobs():
    names = {job.name for job in build_definitions([], [asking]).resolve_all_job_defs()}
    assert {"asking", "answer_process", "abort_process", "push_intent", "accept_reality"} <= names


@pytest.fixture
def drifted(engine_of):
    """A device whose newest validation has found another name."""
    world = World()
    engine = engine_of(*device_workflows(world), products=[DEVICE])
    subscription_id = add_device(engine.bed, world)
    write_result(engine.database, subscription_id)
    return engine, world, subscription_id


@pytest.mark.parametrize(
    ("job", "workflow", "hostname"),
    [("push_intent", "reconcile_device", "ams1"), ("accept_reality", "modify_device", "utr1")],
)
def test_drift_is_answered_as_the_user_of_the_run(drifted, job, workflow, hostname):
    engine, world, subscription_id = drifted
    config = {"subscription_id": str(subscription_id)[:8], "reason": WHY}
    result = run_job(engine, job, config, tags={tags.USER: "ada"})
    assert result.success
    process = engine.process(engine.instance.get_run_by_id(result.run_id).tags[tags.ACTS_ON])
    assert (process.state["workflow_name"], process.last_status, process.created_by) == (workflow, "completed", "ada")
    assert WHY in process.note
    assert world.hostnames[str(subscription_id)] == hostname


def test_answer_by_whom_the_role_of_the_workflow_is_refused_fails_the_job(drifted, monkeypatch):
    engine, _, subscription_id = drifted
    monkeypatch.setattr(settings(), "workflow_roles", {"reconcile_*": Role.ENGINEER})
    result = run_job(
        engine, "push_intent", {"subscription_id": str(subscription_id), "reason": WHY}, tags={tags.USER: "ada"}
    )
    message = result.failure_data_for_node("start_push_intent").user_failure_data.description
    assert "may not start reconcile_device: that needs the role engineer" in message
    assert engine.count_processes() == 0


def test_launchpad_of_an_answer_asks_for_subscription_and_reason(drifted):
    engine, _, subscription_id = drifted
    with pytest.raises(DagsterInvalidConfigError, match="reason"):
        run_job(engine, "push_intent", {"subscription_id": str(subscription_id)})


def test_answer_with_the_reason_as_the_launchpad_opens_is_refused(drifted):
    engine, _, subscription_id = drifted
    result = run_job(engine, "push_intent", {"subscription_id": str(subscription_id), "reason": "<why>"})
    message = result.failure_data_for_node("start_push_intent").user_failure_data.description
    assert "Write the reason in the place of <why>." in message
