"""Two orchestrators merged by Dagster's own `Definitions.merge` are one location."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import text

from ops import StepList, begin, step
from orchestrator_defs import build_definitions, task
from orchestrator_defs.jobs.orchestrator import Orchestrator, orchestrator_of
from orchestrator_defs.location import complete_definitions
from orchestrator_defs.testing import Testbed
from resources.database.session import SubscriptionDatabase
from resources.errors import SettingsError, WorkflowDeclarationError
from tests.toy_network import DEVICE, OTHER, World, device_workflows


class Ipam(dg.ConfigurableResource[Any]):
    url: str = "http://ipam"


@step("Reserve")
def reserve(ipam: Ipam) -> dict[str, str]:
    return {"url": ipam.url}


@task("Reserve an address")
def reserve_address() -> StepList:
    return begin >> reserve


@step("Greet")
def greet() -> dict[str, str]:
    return {"said": "hello"}


@task("Say hello")
def say_hello() -> StepList:
    return begin >> greet


@dg.job
def own_job() -> None:
    """A job that is no workflow."""


def merged(*more: dg.Definitions) -> dg.Definitions:
    core = build_definitions([DEVICE], [*device_workflows(World()), reserve_address], {"ipam": Ipam()}, name="core")
    access = build_definitions([DEVICE, OTHER], [say_hello], {"ipam": Ipam()}, name="access")
    return dg.Definitions.merge(core, access, *more)


def test_it_has_the_workflows_of_both_and_what_each_has_once() -> None:
    repository = merged(dg.Definitions(jobs=[own_job])).get_repository_def()
    names = [job.name for job in repository.get_all_jobs()]
    assert {"create_device", "reserve_address", "say_hello", "own_job", "abort_process"} <= set(names)
    assert len(names) == len(set(names))
    sensors = ["run_time_schedules", "sweeper", "validation_sensor", "wake"]
    assert sorted(one.name for one in repository.sensor_defs) == sensors


def test_it_is_one_orchestrator_with_the_name_of_the_first() -> None:
    one = orchestrator_of(merged())
    assert one.name == "core"
    assert {"reserve_address", "say_hello"} <= set(one.workflows)
    assert list(one.catalogue.products) == [DEVICE, OTHER]


def test_what_else_an_organisation_has_defined_stays() -> None:
    core = dg.Definitions.merge(build_definitions([], [say_hello], name="core"), dg.Definitions(jobs=[own_job]))
    both = dg.Definitions.merge(core, build_definitions([], [], name="access"))
    assert both.resolve_job_def("own_job") is not None


def test_its_jobs_run_on_the_one_database(database: SubscriptionDatabase, instance: dg.DagsterInstance) -> None:
    core = Orchestrator([], [say_hello], database=database, name="core")
    access = Orchestrator([], [reserve_address], {"ipam": Ipam()}, database=database, name="access")
    both = dg.Definitions.merge(complete_definitions(core), complete_definitions(access))
    Testbed(orchestrator_of(both), instance)
    for name in ("say_hello", "reserve_address"):
        assert both.resolve_job_def(name).execute_in_process({"inputs": {}}, instance=instance).success
    with database.transaction(read_only=True) as session:
        assert set(session.scalars(text("SELECT location FROM processes"))) == {"core"}


def test_different_resources_of_one_key_are_refused() -> None:
    with pytest.raises(SettingsError, match="different resources 'ipam'"):
        dg.Definitions.merge(
            build_definitions([], [reserve_address], {"ipam": Ipam()}),
            build_definitions([], [say_hello], {"ipam": Ipam(url="http://other")}),
        )


def test_different_databases_are_refused(testbed_of: Callable[..., Any]) -> None:
    bed = testbed_of([say_hello])
    with pytest.raises(SettingsError, match="have two databases"):
        dg.Definitions.merge(complete_definitions(bed.orchestrator), build_definitions([], []))


def test_two_workflows_of_one_name_are_refused() -> None:
    with pytest.raises(WorkflowDeclarationError, match="two workflows named 'create_device'"):
        dg.Definitions.merge(*(build_definitions([DEVICE], device_workflows(World())) for _ in range(2)))


def test_definitions_without_an_orchestrator_merge_as_ever() -> None:
    both = dg.Definitions.merge(dg.Definitions(jobs=[own_job]), dg.Definitions(resources={"ipam": Ipam()}))
    assert both.resolve_job_def("own_job") is not None
    with pytest.raises(dg.DagsterInvariantViolationError, match="different resources with same key"):
        dg.Definitions.merge(both, dg.Definitions(resources={"ipam": Ipam(url="other")}))


def test_what_is_no_workflow_runs_in_the_process_of_its_run_too() -> None:
    """As workers execute it: a process for each step could not load a job that they have in memory."""
    assert merged(dg.Definitions(jobs=[own_job])).resolve_job_def("own_job").executor_def is dg.in_process_executor


def test_an_executor_that_an_organisation_names_is_the_default() -> None:
    named = dg.Definitions(jobs=[own_job], executor=dg.multiprocess_executor)
    core = build_definitions([], [say_hello], name="core")
    for both in (dg.Definitions.merge(core, named), merged(named)):
        assert both.resolve_job_def("own_job").executor_def is dg.multiprocess_executor
        assert both.resolve_job_def("say_hello").executor_def is dg.in_process_executor
