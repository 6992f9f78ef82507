"""Nothing in Dagster's page is empty: every definition says in a sentence what it is."""

import pytest
from dagster import RepositoryDefinition

from ops.steps.step import begin, step
from orchestrator_defs.definitions import defs
from orchestrator_defs.jobs.decorators import task
from orchestrator_defs.location import build_definitions


@step("Say nothing")
def mute() -> None: ...


@task()
def bare():
    return begin >> mute


SHIPPED = defs.get_repository_def()
OWN = build_definitions([], [bare], name="own").get_repository_def()


def described(code: RepositoryDefinition) -> dict[str, str | None]:
    """Every definition that Dagster's page shows, with its description."""
    jobs = code.get_all_jobs()
    ops = {node.name: node.description for job in jobs for node in job.all_node_defs}
    of_dagster = "__ASSET_JOB"  # in which Dagster executes checks; its page names it nowhere
    others = [*(job for job in jobs if job.name != of_dagster), *code.schedule_defs, *code.sensor_defs]
    resources = {key: found.description for key, found in code.get_top_level_resources().items()}
    return ops | {one.name: one.description for one in others} | resources


@pytest.mark.parametrize("code", [SHIPPED, OWN], ids=["shipped", "own"])
def test_every_definition_has_a_description(code: RepositoryDefinition) -> None:
    assert [name for name, text in described(code).items() if not (text or "").strip()] == []


def test_workflow_without_words_is_described_by_its_name() -> None:
    assert str(OWN.get_job("bare").description).splitlines()[0] == "Bare"
