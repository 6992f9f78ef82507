"""Retention removes what is old and over, says how much that was, and takes nothing that anybody still needs."""

from datetime import timedelta
from uuid import uuid4

import pytest
from dagster import AssetCheckEvaluation, AssetCheckKey, AssetKey, DagsterInstance, DagsterRunStatus, job, op
from sqlalchemy import text

from ops.running.asset_reports import ProductAssets
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.tasks import retention
from ops.waiting.wait_steps import inputstep
from orchestrator_defs.assets.product_counts import product_counts
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.testing import Testbed
from resources.errors import NotWaiting
from resources.settings import Settings, settings
from resources.types import Assignee, ProcessStatus

OLD = timedelta(days=200)


class Page(SubmitFormPage):
    name: str


@inputstep("Ask", assignee=Assignee.SYSTEM)
def ask():
    yield Page
    return {}


@step("Fail")
def fail() -> None:
    raise ValueError("no")


@step("Nothing")
def nothing() -> None: ...


@task("Asks")
def asks():
    return begin >> ask


@task("Fails")
def fails():
    return begin >> fail


@task("Ends")
def ends():
    return begin >> nothing


@pytest.fixture
def bed(testbed_of):
    return testbed_of([asks, fails, ends])


@pytest.fixture
def rules(monkeypatch):
    """Sets how long runs are kept."""

    def set_rules(**days):
        monkeypatch.setenv("RUN_RETENTION_DAYS", str(days).replace("'", '"').replace("__", ":"))
        settings.cache_clear()

    yield set_rules
    settings.cache_clear()


def has_run(bed: Testbed, run) -> bool:
    return bed.instance.get_run_by_id(str(run.process_id)) is not None


def test_a_run_that_is_old_and_whose_process_has_ended_is_removed(bed, later):
    old = bed.run("ends")
    with later(OLD):
        run = bed.run("task_retention")
    run.assert_completed()
    assert run.state["runs_removed"] == {"ends:success": 1}
    assert not has_run(bed, old)


def test_a_younger_run_is_kept(bed, later):
    young = bed.run("ends")
    with later(timedelta(days=89)):
        bed.run("task_retention").assert_state({"runs_removed": {}})
    assert has_run(bed, young)


@pytest.mark.parametrize("workflow", ["asks", "fails"])
def test_the_run_of_a_process_that_has_not_ended_is_kept(bed, later, workflow):
    unfinished = bed.run(workflow)
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {}})
    assert has_run(bed, unfinished)


def test_runs_are_kept_until_their_process_has_ended_long_ago(bed, later):
    run = bed.run("asks")
    with later(OLD):
        with bed.database.transaction() as session:
            answered = text(
                "UPDATE processes SET last_status = 'completed', last_modified_at = now() + interval '199 d'"
            )
            session.execute(answered)
        bed.run("task_retention").assert_state({"runs_removed": {}})
    assert has_run(bed, run)


def test_each_workflow_and_outcome_has_its_own_age(bed, later, rules):
    rules(**{"*": 1000, "ends": 10, "fails__failure": 10})
    gone, aborted, kept = bed.run("ends"), bed.run("fails"), bed.run("asks")
    aborted.abort()
    kept.abort()
    with later(timedelta(days=20)):
        bed.run("task_retention").assert_state({"runs_removed": {"ends:success": 1, "fails:failure": 1}})
    assert [has_run(bed, one) for one in (gone, aborted, kept)] == [False, False, True]


def test_the_last_pattern_that_fits_counts(rules):
    rules(**{"*": 90, "task_*": 7, "task_*__failure": 30})
    days = [retention.days_kept(*run) for run in (("node", "success"), ("task_x", "success"), ("task_x", "failure"))]
    assert days == [90, 7, 30]


def test_a_run_is_kept_for_a_day_at_least(monkeypatch):
    """The daemon asks for the runs that it has requested, by their keys."""
    monkeypatch.setenv("RUN_RETENTION_DAYS", '{"*": 0}')
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Settings()


def test_runs_of_other_jobs_are_kept(bed, later):
    @job
    def of_somebody_else(): ...

    other = of_somebody_else.execute_in_process(instance=bed.instance)
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {}})
    assert bed.instance.get_run_by_id(other.run_id).status is DagsterRunStatus.SUCCESS


@pytest.mark.parametrize("location", ["orchestrator", "another"])
def test_runs_of_reports_are_those_of_their_location(bed, later, location):
    report, _ = product_counts(ProductAssets(), location)
    run = report.execute_in_process(instance=bed.instance, resources={"database": bed.database})
    with later(OLD):
        bed.run("task_retention").assert_completed()
    assert (bed.instance.get_run_by_id(run.run_id) is None) is (location == bed.orchestrator.name)


def test_runs_of_another_location_are_kept(bed, later):
    run = bed.run("ends")
    with bed.database.transaction() as session:
        session.execute(text("UPDATE processes SET location = 'other'"))
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {}})
    assert has_run(bed, run)


def test_all_chunks_are_removed(bed, later, monkeypatch):
    monkeypatch.setattr(retention, "CHUNK", 2)
    for _ in range(5):
        bed.run("ends")
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {"ends:success": 5}, "is_complete": True})


def test_a_task_ends_in_time_and_says_that_there_is_more(bed, later, monkeypatch):
    monkeypatch.setattr(retention, "MOST_SECONDS", -1.0)
    bed.run("ends")
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {}, "is_complete": False})


def test_a_process_is_there_without_its_run(bed, later):
    old = bed.run("ends")
    with later(OLD):
        bed.run("task_retention")
    assert old.status is ProcessStatus.COMPLETED
    assert list(old.steps) == ["start", "nothing", "done"]
    with pytest.raises(NotWaiting, match="is completed and cannot be resumed"):
        bed.processes.interventions.resume(old.process_id, user="tester")


@pytest.mark.parametrize(("days", "left"), [(89, 1), (91, 0)])
def test_old_results_of_validations_are_removed(bed, later, days, left):
    with bed.database.transaction() as session:
        session.execute(text("SET LOCAL session_replication_role = replica"))  # without their subscription
        found = "INSERT INTO validation_history (subscription_id, result, finished_at) VALUES (:id, 'passed', now())"
        session.execute(text(found), {"id": uuid4()})
    with later(timedelta(days=days)):
        run = bed.run("task_retention")
    assert run.state["history_removed"] == {"validation_history": 1 - left, "firings": 0}


def test_the_events_that_went_are_counted(testbed_of, dagster_instance: DagsterInstance, database, later):
    bed = Testbed(testbed_of([ends]).orchestrator, dagster_instance)
    old = bed.run("ends")
    events = len(dagster_instance.all_logs(str(old.process_id)))
    with later(OLD):
        bed.run("task_retention").assert_state({"runs_removed": {"ends:success": 1}, "events_removed": events})


@op
def evaluate(context):
    for key, check in ((["products", "Node"], "drift"), (["products", "Node"], "own"), (["other"], "drift")):
        context.log_event(AssetCheckEvaluation(asset_key=AssetKey(key), check_name=check, passed=True))


@pytest.mark.parametrize(("days", "left"), [(89, 3), (91, 1)])
def test_old_results_of_our_checks_are_removed_but_the_newest(
    testbed_of, dagster_instance: DagsterInstance, later, monkeypatch, days, left
):
    @job
    def evaluates():
        evaluate()

    monkeypatch.setattr(retention, "CHUNK", 1)
    for _ in range(3):
        evaluates.execute_in_process(instance=dagster_instance)
    bed = Testbed(testbed_of([ends]).orchestrator, dagster_instance)
    with later(timedelta(days=days)):
        run = bed.run("task_retention")
    assert run.state["history_removed"]["asset_check_executions"] == 3 - left

    def results(*key, check):
        found = AssetCheckKey(AssetKey(key), check)
        return len(dagster_instance.event_log_storage.get_asset_check_execution_history(found, limit=9))

    kept = results("products", "Node", check="drift"), results("products", "Node", check="own")
    assert (*kept, results("other", check="drift")) == (left, 3, 3)
