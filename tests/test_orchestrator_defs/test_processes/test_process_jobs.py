"""Interventions from Dagster's launchpad."""

from orchestrator_defs.location import build_definitions
from orchestrator_defs.processes.process_jobs import process_jobs
from resources import tags
from tests.test_orchestrator_defs.test_processes.toys import WHY, asking


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
    assert {"asking", "answer_process", "abort_process"} <= names
