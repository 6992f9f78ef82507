"""Dagster's page for tests of the server: to start its code server takes seconds."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from dagster import DagsterInstance
from starlette.applications import Starlette

from orchestrator_defs.api.dagster_page import DagsterPage
from orchestrator_defs.jobs.decorators import WorkflowJob
from tests.api import running

CODE = """
import dagster as dg

from ops import SubmitFormPage, begin, inputstep, step
from orchestrator_defs import build_definitions, task
from resources import Assignee

@dg.op
def say() -> None: ...

@dg.job(tags={"user": "the code"})
def plain():
    say()

@dg.job
def kept():
    say()

@dg.job(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def parted():
    say()

@dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="none"))
def growing(): ...

@dg.asset
def made(): ...

@dg.asset_check(asset=made)
def fits():
    return dg.AssetCheckResult(passed=True)

class Name(SubmitFormPage):
    name: str

@inputstep("Ask", Assignee.NOC)
def ask():
    page = yield Name
    return {"name": page.name}

@step("Fail")
def fail():
    raise ValueError("on purpose")

@task("Asks")
def guarded_ask():
    return begin >> ask

@task("Fails")
def guarded_fail():
    return begin >> fail

@task("Ends")
def guarded_end():
    return begin

ours = [guarded_ask, guarded_fail, guarded_end]
defs = dg.Definitions.merge(
    dg.Definitions(jobs=[plain, kept, parted], assets=[growing, made], asset_checks=[fits]),
    build_definitions([], ours, name="code"),
)
"""
# Runs are left in Dagster's queue, which nobody empties here.
OVERRIDES = {
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"},
    "telemetry": {"enabled": False},
}


@dataclass(frozen=True)
class RunningPage:
    """Dagster's page over a small code location, and the instance behind it."""

    page: DagsterPage
    instance: DagsterInstance


@pytest.fixture(scope="session")
def guarded_tasks() -> list[WorkflowJob]:
    """The tasks of the page's code location."""
    code: dict[str, Any] = {"__name__": "code"}
    exec(CODE, code)
    return list(code["ours"])


@pytest.fixture(scope="session")
def running_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPage]:
    """The page, in the event loop of all applications. Tests that use it are in the group "dagster page"."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "code.py").write_text(CODE)
    workspace = folder / "workspace.yaml"
    workspace.write_text("load_from: [{python_file: {relative_path: code.py, location_name: code.py}}]")
    page = DagsterPage(str(workspace))
    home = str(tmp_path_factory.mktemp("home"))
    with DagsterInstance.local_temp(home, overrides=OVERRIDES) as instance:

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with page.running(instance):
                yield

        with running(Starlette(lifespan=lifespan)):
            yield RunningPage(page, instance)
