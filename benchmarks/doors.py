"""The doors through which a run is submitted, the same for both sides."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from dagster import DagsterRun

# What an API that launches runs needs of a code server: there is no public way to a job that lives in one.
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget

from benchmarks.ground import BIN, PROJECT, Ground
from benchmarks.instances import Side, both_sides, newest_run
from benchmarks.location import defs, site
from benchmarks.services import LOCATION, ask, code_server, webserver
from benchmarks.workers import launcher_of, stop_workers
from orchestrator_defs.processes.processes import Processes
from resources import tags
from resources.database import schema
from resources.runs.code_location import CodeLocation
from resources.runs.launching.launcher import create_run, execute_run

USER = "benchmark"
Submit = Callable[[str], str]
"""Submits a run of a job; returns its id."""
LAUNCH = """mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


@dataclass(frozen=True)
class Doors:
    """A side and the doors to it. In process and from the shell the run has ended when its id is returned."""

    side: Side
    process: Submit
    api: Submit
    webserver: Submit
    shell: Submit


@dataclass(frozen=True)
class Stage:
    """Both sides with their doors, on one code server."""

    ours: Doors
    stock: Doors
    location: CodeLocation
    ground: Ground


@contextmanager
def stage(ground: Ground) -> Iterator[Stage]:
    """Set it up: databases, a code server, a webserver for each side. Workers are the cases' affair."""
    schema.upgrade(site.database)
    with site.database.transaction():
        site.catalogue.apply()
    with ExitStack() as stack:
        stack.callback(site.database.dispose)
        sides = stack.enter_context(both_sides(ground))
        port = stack.enter_context(code_server(ground, "benchmarks.location"))
        stack.callback(stop_workers, launcher_of(sides[0]).dispatch)
        both = [stack.enter_context(_doors(ground, side, port)) for side in sides]
        (ours, api), (stock, _) = both
        yield Stage(ours, stock, api.location(), ground)


@contextmanager
def _doors(ground: Ground, side: Side, port: int) -> Iterator[tuple[Doors, "Api"]]:
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=LOCATION)
    with webserver(ground, side.home, port) as url, WorkspaceProcessContext(side.instance, target) as workspace:
        api = Api(side, workspace)
        yield Doors(side, _in_process(side), api.submit, _through_webserver(url), _from_shell(ground, side)), api


class Api:
    """The function that an API of our own calls: create the run, launch it."""

    def __init__(self, side: Side, workspace: WorkspaceProcessContext) -> None:
        self.instance = side.instance
        self.workspace = workspace
        self.processes = Processes(site, side.instance)

    def submit(self, job: str) -> str:
        """Of a workflow the process is written first, as every door of ours does it."""
        run_id, own_tags = None, {}
        if job in site.workflows:
            run_id = str(self.processes.starts.start(job, {}, user=USER))
            own_tags = {tags.PROCESS: run_id, tags.USER: USER}
        run = self._create(job, run_id, own_tags)
        self.instance.launch_run(run.run_id, self.workspace.create_request_context())
        return run.run_id

    def _create(self, job: str, run_id: str | None, own_tags: dict[str, str]) -> DagsterRun:
        definition = defs.resolve_job_def(job)
        remote = self._remote(job)
        return self.instance.create_run_for_job(
            job_def=definition,
            run_id=run_id,
            tags={**definition.run_tags, **own_tags},
            remote_job_origin=remote.get_remote_origin(),
            job_code_origin=remote.get_python_origin(),
        )

    def location(self) -> CodeLocation:
        """The code location as runs name it, for the workers to be of the same."""
        origin = self._remote(next(iter(site.workflows))).get_python_origin().repository_origin
        return CodeLocation(LOCATION, origin.code_pointer, origin.executable_path)

    def _remote(self, job: str) -> Any:
        location = self.workspace.create_request_context().get_code_location(LOCATION)
        return location.get_repository("__repository__").get_full_job(job)


def _in_process(side: Side) -> Submit:
    processes = Processes(site, side.instance)

    def submit(job: str) -> str:
        if job not in site.workflows:
            definition = defs.resolve_job_def(job)
            run = create_run(side.instance, definition, run_id=None, tags={})
            execute_run(side.instance, definition, run)
            return run.run_id
        process_id = processes.starts.start(job, {}, user=USER)
        processes.runs.execute(process_id, user=USER)
        return str(process_id)

    return submit


def _through_webserver(url: str) -> Submit:
    def submit(job: str) -> str:
        selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "jobName": job}
        found = ask(url, LAUNCH, {"params": {"selector": selector, "runConfigData": "{}"}})["launchRun"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return str(found["run"]["runId"])

    return submit


def _from_shell(ground: Ground, side: Side) -> Submit:
    def submit(job: str) -> str:
        subprocess.run(
            [BIN / "dagster", "job", "execute", "-m", "benchmarks.location", "-j", job],
            cwd=PROJECT,
            env=ground.environment(DAGSTER_HOME=str(side.home)),
            check=True,
            capture_output=True,
        )
        return newest_run(side)

    return submit
