"""What a step makes ready is launched where it commits: children, a parent, resumed tasks. No sensor is needed."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from dagster import DagsterInstance, RunsFilter
from sqlalchemy import create_engine, text

from ops.starting.permission import least_roles
from ops.steps.forms import SubmitFormPage
from ops.steps.step import begin, step
from ops.waiting.children import start_children, wait_children
from ops.waiting.wait_steps import retrystep
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.processes import launching, process_runs
from resources import tags
from resources.processes import waits
from resources.runs.code_location import CodeLocation
from resources.runs.launching.launcher import WarmRunLauncher
from resources.users import Role, User
from tests.architecture import ROOT
from tests.engine import Engine
from tests.test_acceptance.conftest import Project, fresh_home
from tests.ticks import execute
from tests.waiting import eventually


class Number(SubmitFormPage):
    number: int


@step("Work")
def work(number: int):
    if number < 0:
        raise ValueError("negative")


@task("A child", initial_input_form=Number)
def one_child():
    return begin >> work


class Numbers(SubmitFormPage):
    numbers: list[int]


def inputs_of(numbers: list):
    return [{"number": number} for number in numbers]


@task("A parent", initial_input_form=Numbers)
def a_parent():
    return begin >> start_children(one_child, inputs_of) >> wait_children()


@retrystep("Never done", quick_tries=0)
def never_done():
    raise ValueError("not now")


@task("Tries again")
def tries_again():
    return begin >> never_done


class Family(Engine):
    """Processes of a code location, whose launcher enters runs for workers; nobody executes them."""

    def queued(self) -> list[str]:
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        rows = launcher.dispatch._rows("SELECT run_id FROM orchestrator_dispatch WHERE state = 'queued'")
        return sorted(row["run_id"] for row in rows)

    def start(self, *numbers: int) -> UUID:
        return self.run("a_parent", {"numbers": list(numbers)})

    def children(self, parent: UUID) -> list[UUID]:
        return [one.process_id for one in self.of(parent).children]

    def execute(self, process_id: UUID) -> None:
        """As a worker does: the run exists, and waits."""
        with self.instance.run_storage.connect() as connection:
            connection.execute(text("DELETE FROM orchestrator_dispatch"))
        run = self.instance.get_run_by_id(str(self.process(process_id).run_id))
        assert run is not None
        process_runs.execute_run(self.instance, self.orchestrator.job(run.job_name), run)

    def assert_continues(self, parent: UUID) -> None:
        row = self.process(parent)
        assert (row.last_status, self.queued()) == ("resumed", [row.run_id])


@pytest.fixture
def dagster_instance(dagster_instance: DagsterInstance, tmp_path: Path) -> Iterator[DagsterInstance]:
    known = json.loads((tmp_path / "dagster.yaml").read_text())
    launcher = {
        "module": "resources.runs.launching.launcher",
        "class": "WarmRunLauncher",
        "config": {"start_workers": False},
    }
    (tmp_path / "dagster.yaml").write_text(json.dumps(known | {"run_launcher": launcher}))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


@pytest.fixture
def instance(dagster_instance: DagsterInstance) -> DagsterInstance:
    """That one, for the testbed."""
    return dagster_instance


@pytest.fixture
def family(testbed_of, tmp_path) -> Family:
    found = Family(testbed_of([a_parent, one_child, tries_again]))
    complete_definitions(found.orchestrator)
    found.orchestrator.code = CodeLocation.of_module("family", "family", "defs", tmp_path)
    return found


def test_children_are_launched_by_the_step_that_starts_them(family):
    parent = family.start(1, 2, 3)
    assert family.queued() == sorted(map(str, family.children(parent)))
    assert family.process(parent).last_status == "waiting"


def test_children_run_as_the_user_of_their_parent(family):
    parent = family.start(1)
    (child,) = family.children(parent)
    assert tags.read(family.instance.get_run_by_id(str(child)).tags, tags.USER) == "tester"


def test_parent_continues_when_its_last_child_completes(family):
    parent = family.start(1, 2)
    first, last = family.children(parent)
    family.execute(first)
    assert family.process(parent).last_status == "waiting"
    family.execute(last)
    family.assert_continues(parent)


def test_parent_continues_when_its_last_child_fails(family):
    parent = family.start(-1)
    family.execute(*family.children(parent))
    family.assert_continues(parent)


def test_parent_continues_when_its_last_child_is_aborted(family):
    parent = family.start(1)
    family.service.interventions.abort(*family.children(parent), user="ada")
    row = family.process(parent)
    assert (row.last_status, row.run_id in family.queued()) == ("resumed", True)


def test_parent_continues_when_its_children_ended_just_before_it_waits(family, monkeypatch):
    real = waits.open_wait

    def late(process_id, step_key, wait):
        elsewhere = create_engine(family.database.url)
        with elsewhere.begin() as connection:  # between the step's look at its children and its commit
            connection.execute(
                text("UPDATE processes SET last_status = 'completed' WHERE parent_process_id IS NOT NULL")
            )
        elsewhere.dispose()
        real(process_id, step_key, wait)

    monkeypatch.setattr(waits, "open_wait", late)
    row = family.process(family.start(1))
    assert (row.last_status, row.run_id in family.queued()) == ("resumed", True)


def test_retry_of_the_parent_launches_the_failed_children(family):
    parent = family.start(-1)
    (child,) = family.children(parent)
    family.execute(child)
    family.execute(parent)
    assert family.process(parent).last_status == "failed"
    family.resume(parent)
    row = family.process(child)
    assert (row.last_status, row.run_id in family.queued()) == ("resumed", True)


def test_resumed_tasks_are_launched_by_the_task_that_resumes_them(family):
    waiting = family.run("tries_again")
    family.run("task_resume_workflows")
    row = family.process(waiting)
    assert (row.last_status, family.queued()) == ("resumed", [row.run_id])


def test_tasks_of_others_are_not_resumed(family):
    """The task that resumes all acts with the roles of whoever started it."""
    waiting = family.run("tries_again")
    for role, status in ((Role.OPERATOR, "waiting"), (Role.ADMIN, "resumed")):
        with least_roles({"tries_*": Role.ADMIN}):
            resuming = family.run("task_resume_workflows", user=User("ada", roles=[role]))
        refused = family.process(resuming).state["not_resumed"]
        assert family.process(waiting).last_status == status
        assert len(refused) == (role is Role.OPERATOR)
    assert refused == []


def test_failed_step_launches_nothing(family, monkeypatch):
    """What it started was rolled back."""

    def refuse(*_: object, **__: object) -> None:
        raise ValueError("full")

    monkeypatch.setattr("ops.running.execution.ledger.record_step", refuse)
    family.start(1)
    assert family.queued() == []


def test_step_and_sweeper_launch_a_child_once(family, monkeypatch):
    """Both find it without a run at the same moment."""
    monkeypatch.setattr(launching, "launches_to_workers", lambda _: False)
    (child,) = family.children(family.start(1))
    monkeypatch.undo()
    both, real = threading.Barrier(2), process_runs.create_run

    def create(*words, **options):
        both.wait(10)
        return real(*words, **options)

    monkeypatch.setattr(process_runs, "create_run", create)
    problems: list[str] = []
    sweep = threading.Thread(target=lambda: problems.extend(launching.launch_all(family.service, [child]).problems))
    sweep.start()
    family.service.runs.launch_ready([child], user="ada")
    sweep.join()
    assert (family.queued(), problems) == ([str(child)], [])
    assert family.instance.get_runs_count(RunsFilter(tags={tags.PROCESS: str(child)})) == 1


def test_two_children_that_end_at_once_continue_their_parent_once(family):
    parent = family.start(1, 2)
    for child in family.children(parent):
        with family.database.transaction() as session:
            session.execute(
                text("UPDATE processes SET last_status = 'completed' WHERE process_id = :child"), {"child": child}
            )
    before = set(family.queued())
    launch = family.service.runs.launch_after
    ends = [threading.Thread(target=launch, args=(child,)) for child in family.children(parent)]
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    assert set(family.queued()) - before == {family.process(parent).run_id}


def test_run_that_the_sensor_asked_for_at_the_same_moment_does_nothing(family):
    parent = family.start(1)
    (child,) = family.children(parent)
    with family.database.transaction() as session:
        session.execute(text("UPDATE processes SET last_status = 'completed' WHERE process_id = :id"), {"id": child})
    (request,) = launching.request_continuations(family.service.answers.due(10), family.instance)
    family.service.runs.launch_after(child)
    before = family.process(parent)
    assert execute(family.orchestrator.definitions, request, family.instance).success
    after = family.process(parent)
    assert (after.last_status, after.run_id) == ("resumed", before.run_id)
    assert family.queued().count(str(before.run_id)) == 1


# --- with workers, and without a daemon ---

CODE = """
from ops import SubmitFormPage, begin, start_children, step, wait_children
from orchestrator_defs import build_definitions, task

class Number(SubmitFormPage):
    number: int

@step("Work")
def work(number: int):
    return {}

@task("A child", initial_input_form=Number)
def one_child():
    return begin >> work

@task("A parent")
def a_parent():
    return begin >> start_children(one_child, lambda: [{"number": n} for n in range(3)]) >> wait_children()

defs = build_definitions(products=[], workflows=[one_child, a_parent], name="family")
"""


@pytest.mark.slow
def test_family_completes_in_workers_without_a_daemon(tmp_path):
    """From the start of the children to the end of their parent within a second or two, on a busy machine too."""
    known = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    place = {"location": "family", "module": "family", "working_directory": str(tmp_path)}
    known["run_launcher"]["config"] = {**place, "workers": 2, "reserved_workers": 0, "idle_seconds": 60}
    (tmp_path / "dagster.yaml").write_text(json.dumps(known))
    (tmp_path / "family.py").write_text(CODE)
    (tmp_path / "workspace.yaml").write_text(
        "load_from: [{python_module: {module_name: family, location_name: family}}]"
    )
    with fresh_home() as home:
        project = Project(home, tmp_path)
        try:
            assert project.command("orchestrator", "run", "a_parent", "--detach").returncode == 0
            eventually(lambda: statuses(project) == ["completed"] * 4, "the family")
            found = project.orchestrator("process", "list")
        finally:
            for pid in project.processes():
                os.kill(pid, signal.SIGKILL)
            project.wait_until_left()
    began = min(one["started_at"] for one in found if one["workflow"] == "one_child")
    ended = max(one["last_modified_at"] for one in found)
    assert datetime.fromisoformat(ended) - datetime.fromisoformat(began) < timedelta(seconds=3)


def statuses(project: Project) -> list[str]:
    return [one["status"] for one in project.orchestrator("process", "list")]
