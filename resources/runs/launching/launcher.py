"""How runs get executed: in this Python process, or by the resident workers that the run launcher hands them to."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster import BoolSource, DagsterInstance, DagsterRun, Field, IntSource, JobDefinition, StringSource

# What Dagster raises when two create the run of one id.
from dagster._core.errors import DagsterRunAlreadyExists

# What `run_launcher:` of dagster.yaml must be, and what its methods are given and give; without a public path.
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)

# Runs are launched as they are submitted; the other coordinator of Dagster's keeps a queue in the daemon.
from dagster._core.run_coordinator import DefaultRunCoordinator

# How dagster.yaml makes an object of a class.
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.run_storage import PostgresRunStorage

from resources import tags
from resources.errors import RunMayNotAct
from resources.runs import run_execution
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Demand, Dispatch, Entry, Served
from resources.runs.workers.liveness import claimed_run
from resources.runs.workers.supervisor import Plan, ensure_supervisor, lost_message
from resources.runs.workers.supervisor_lock import LauncherLock
from resources.runs.workers.worker import Limits, report_end, settle
from resources.settings import project_folder

ROOT_RUN, PARENT_RUN = "dagster/root_run_id", "dagster/parent_run_id"
"""Dagster finds the runs of a group by these tags, and a run's group by the fields of the same names: it needs both."""
PRIORITY = "dagster/priority"
"""A number; higher goes first. Dagster's own queue reads the same tag."""

UNSEEN_SECONDS = 600.0
"""How long a workflow's run in a process of its own may take to come to its first step."""


def create_run(
    instance: DagsterInstance,
    job: JobDefinition,
    *,
    run_id: str | None,
    tags: Mapping[str, str],
    root_run_id: str | None = None,
    parent_run_id: str | None = None,
    step_keys: Sequence[str] | None = None,
    location: CodeLocation | None = None,
) -> DagsterRun:
    """Create a run of a job, whose code came from `location`. Raises RunMayNotAct when there is such a run.

    `root_run_id` and `parent_run_id` put it in the group of an earlier run; `step_keys` are the steps that it is to
    execute, all when None.
    """
    group = {ROOT_RUN: root_run_id, PARENT_RUN: parent_run_id}
    try:
        return run_execution.create_run(
            instance,
            job,
            run_id=run_id,
            tags={**tags, **{key: value for key, value in group.items() if value}},
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            step_keys=step_keys,
            location=location,
        )
    except DagsterRunAlreadyExists:
        raise RunMayNotAct(f"Run {run_id} has just been created by somebody else, who launches it.") from None


def execute_run(instance: DagsterInstance, job: JobDefinition, run: DagsterRun) -> None:
    """Execute a run to its end, in this process. A failed step fails the run and raises nothing here.

    Raises RunMayNotAct when another process has taken the run in hand.
    """
    with claimed_run(instance, run.run_id):
        run_execution.execute(instance, job, run)


def launches_to_workers(instance: DagsterInstance) -> bool:
    """Whether a launch on this instance needs no workspace, and no more than the run's id."""
    return isinstance(instance.run_launcher, WarmRunLauncher) and isinstance(
        instance.run_coordinator, DefaultRunCoordinator
    )


def end_lost_runs(instance: DagsterInstance, run_ids: Collection[str]) -> list[tuple[str, str]]:
    """Give those of these unfinished runs their end whose process is dead beyond doubt; which, and what is known.

    Judged are runs that went to workers, or whose process has entered itself; of the others their launcher knows.
    """
    if not run_ids or not isinstance(instance.run_storage, PostgresRunStorage):
        return []
    dispatch = Dispatch(instance)
    lost = []
    for run_id, entry in dispatch.entries(run_ids).items():
        health = _health(entry)
        if health.status is not WorkerStatus.FAILED:
            continue
        if entry.worker is not None:
            dispatch.finish(run_id, entry.worker)  # should it come back, it finds that it is given up
        report_end(instance, run_id, health.msg or "")
        lost.append((run_id, health.msg or ""))
    return lost


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Hands runs to resident workers on this machine, and starts those when there are none.

    A launch is one statement and a look whether the workers are there. The object is the same in the webserver, the
    daemon and the shell: it only speaks to the database.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None, **config: Any) -> None:
        self._inst_data = inst_data
        self._config = config
        self._launcher_lock: LauncherLock | None = None
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What this was made of, for Dagster to make it again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing has to be configured."""

        def option(source: Any, default: Any, description: str) -> Field:
            return Field(source, is_required=False, default_value=default, description=description)

        return {
            "location": option(StringSource, "orchestrator", "code location of runs that do not name theirs"),
            "module": option(StringSource, "orchestrator_defs", "module of that code location"),
            "attribute": option(StringSource, "defs", "its definitions in the module"),
            "working_directory": option(StringSource, "", "where the module is found; the project's folder when empty"),
            "start_workers": option(BoolSource, True, "start a supervisor when a run is launched and there is none"),
            "workers": option(IntSource, 2, "workers of a supervisor that was started so"),
            "reserved_workers": option(
                IntSource, 1, "workers beside those that take no run of negative priority, so that people need not wait"
            ),
            "idle_seconds": option(IntSource, 300, "a supervisor started so ends when there was no run for so long"),
            "grace_seconds": option(IntSource, 10, "a worker that does not react to a termination is killed then"),
            "runs_per_worker": option(IntSource, Limits.runs, "a worker is replaced after so many runs"),
            "megabytes_per_worker": option(IntSource, Limits.megabytes, "or when it has grown to this size"),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "WarmRunLauncher":
        """Dagster's way to make one."""
        return cls(inst_data, **config_value)

    @cached_property
    def dispatch(self) -> Dispatch:
        """The table in the instance's database."""
        return Dispatch(self._instance)

    def plan(self, location: CodeLocation | None = None, **changes: Any) -> Plan:
        """What a supervisor for a code location has to do."""
        config = {**self._config, **changes}
        return Plan(
            location=location or self._default_location(),
            count=config["workers"],
            reserved=config["reserved_workers"],
            idle_seconds=config["idle_seconds"],
            grace_seconds=config["grace_seconds"],
            limits=Limits(config["runs_per_worker"], config["megabytes_per_worker"]),
        )

    def _default_location(self) -> CodeLocation:
        folder = Path(self._config["working_directory"] or project_folder() or Path.cwd())
        return CodeLocation.of_module(
            self._config["location"], self._config["module"], self._config["attribute"], folder
        )

    # --- what Dagster calls ---

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put a run into the table. May run twice: a run is executed once."""
        self._dispatch_run(context, self.dispatch.enqueue)

    @property
    def supports_resume_run(self) -> bool:
        """A run whose worker died can be given to another; its steps begin anew, and the ledger knows those done."""
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        """Give a run to another worker, unless the one that has it lives."""
        self._dispatch_run(context, self.dispatch.requeue)

    def _dispatch_run(self, context: LaunchRunContext | ResumeRunContext, put: Callable[..., Demand | None]) -> None:
        run = context.dagster_run
        location = CodeLocation.of_run(run) or self._default_location()
        code = location.fingerprint()
        self._launcher_lock = self._launcher_lock or LauncherLock(self.dispatch.place)
        demand = put(run.run_id, location.name, code, _priority(run), _served(context, location.name))
        # After the run is in the table: a supervisor that is about to leave gives its seat back and then looks there.
        if self._config["start_workers"]:
            demand = demand or Demand(location.name, code)
            ensure_supervisor(self._instance, self.dispatch, self.plan(location), demand)

    def dispose(self) -> None:
        """Launch nothing more: the workers need not stay for this process."""
        if self._launcher_lock is not None:
            self._launcher_lock.release()
            self._launcher_lock = None

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: at once while it waits, else by interrupting its op. False when there is nothing to cancel."""
        run = self._instance.get_run_by_id(run_id)
        entry = self.dispatch.entry(run_id)
        if run is None or run.is_finished or entry is None:  # without an entry: some other process executes it
            return False
        self._instance.report_run_canceling(run)
        if self.dispatch.cancel(run_id) != "claimed":
            report_end(self._instance, run_id, "The run was canceled before a worker took it.")
            return True
        if entry.is_lost and entry.worker is not None:
            report_end(self._instance, run_id, lost_message(entry.worker))
            self.dispatch.finish(run_id, entry.worker)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """The table tells whether a run's worker lives."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """What has become of the worker that has a run in hand."""
        entry = self.dispatch.entry(run.run_id)
        if entry is None:
            return self._health_unknown(run)
        health = _health(entry)
        if health.status is not WorkerStatus.FAILED:
            return health
        if entry.worker is not None:
            self.dispatch.finish(run.run_id, entry.worker)  # should the worker come back, it finds that it is given up
        if settle(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.SUCCESS, "The log has the end of the run.")
        return health

    def _health_unknown(self, run: DagsterRun) -> CheckRunHealthResult:
        """A run in somebody's own process: that of a workflow enters itself in the table before its first step."""
        record = self._instance.get_run_record_by_id(run.run_id)
        began = record.start_time if record is not None else None
        if began is None or tags.WORKFLOW not in run.tags or time.time() - began < UNSEEN_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run was not launched to a warm worker.")
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "The process that executed the run ended before its first step; nothing was done."
        )

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """What is said beside a run that did not start in time."""
        entry = self.dispatch.entry(run.run_id)
        state = entry.state if entry else "not in the dispatch table"
        alive = len(self.dispatch.workers())
        return f"The run is {state}; {alive} workers live. `orchestrator workers status` shows them."


def _health(entry: Entry) -> CheckRunHealthResult:
    worker = str(entry.worker) if entry.worker is not None else None
    if entry.state == "done":
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "The worker has left the run unfinished.", run_worker_id=worker
        )
    if entry.is_lost and entry.worker is not None:
        return CheckRunHealthResult(WorkerStatus.FAILED, lost_message(entry.worker), run_worker_id=worker)
    return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=worker)


def _served(context: LaunchRunContext | ResumeRunContext, location: str) -> Served | None:
    """The code server that the launching process has loaded the location from; another after each reload there."""
    entry = context.workspace.get_location_entry(location) if context.workspace is not None else None
    if entry is None or entry.code_location is None:
        return None
    return Served(entry.version_key, max(0.0, time.time() - entry.update_timestamp))


def _priority(run: DagsterRun) -> int:
    try:
        return int(run.tags.get(PRIORITY, "0"))
    except ValueError:
        return 0
