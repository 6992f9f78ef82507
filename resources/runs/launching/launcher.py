"""How runs are executed: in this process, or by the resident workers that the run launcher passes them to."""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster import BoolSource, DagsterInstance, DagsterRun, Field, IntSource, JobDefinition, StringSource

# Dagster raises this when two processes create a run of the same id.
from dagster._core.errors import DagsterRunAlreadyExists

# The base class of `run_launcher:` in dagster.yaml, and the types of its methods; they have no public path.
from dagster._core.launcher.base import (
    CheckRunHealthResult,
    LaunchRunContext,
    ResumeRunContext,
    RunLauncher,
    WorkerStatus,
)

# It launches runs as they are submitted; Dagster's other coordinator keeps a queue in the daemon.
from dagster._core.run_coordinator import DefaultRunCoordinator

# dagster.yaml makes an object of a class with this.
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres.run_storage import PostgresRunStorage

from resources import tags
from resources.errors import RunMayNotAct, SettingsError
from resources.runs import run_execution
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Demand, Dispatch, Entry, Served
from resources.runs.workers.liveness import claimed_run, release_idle
from resources.runs.workers.supervisor import Plan, ensure_supervisor, lost_message
from resources.runs.workers.supervisor_lock import LauncherLock
from resources.runs.workers.worker import Limits, report_end, settle
from resources.settings import project_folder

log = logging.getLogger(__name__)

ROOT_RUN, PARENT_RUN = "dagster/root_run_id", "dagster/parent_run_id"
"""Dagster finds the runs of a group by these tags, and the group of a run by its fields: it needs both."""
PRIORITY = "dagster/priority"
"""A number; higher goes first. Dagster's own queue reads the same tag."""

UNSEEN_SECONDS = 600.0
"""A run in a process of its own counts as lost when it has not reached its first step after so long."""


def create_run(
    instance: DagsterInstance,
    job: JobDefinition,
    *,
    run_id: str | None,
    tags: Mapping[str, str],
    run_config: Mapping[str, Any] | None = None,
    root_run_id: str | None = None,
    parent_run_id: str | None = None,
    step_keys: Sequence[str] | None = None,
    location: CodeLocation | None = None,
) -> DagsterRun:
    """Create a run of a job whose code is at `location`. Raises RunMayNotAct when the run exists.

    `root_run_id` and `parent_run_id` put it in the group of an earlier run; `step_keys` are the steps to execute, all
    when None.
    """
    group = {ROOT_RUN: root_run_id, PARENT_RUN: parent_run_id}
    try:
        return run_execution.create_run(
            instance,
            job,
            run_id=run_id,
            run_config=run_config,
            tags={**tags, **{key: value for key, value in group.items() if value}},
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            step_keys=step_keys,
            location=location,
        )
    except DagsterRunAlreadyExists:
        raise RunMayNotAct(f"Run {run_id} was just created by another process, which launches it.") from None


def execute_run(instance: DagsterInstance, job: JobDefinition, run: DagsterRun) -> None:
    """Execute a run to its end, in this process. A failed step fails the run and raises nothing here.

    Raises RunMayNotAct when another process has claimed the run.
    """
    with claimed_run(instance, run.run_id):
        run_execution.execute(instance, job, run)


def launches_to_workers(instance: DagsterInstance) -> bool:
    """Whether a launch on this instance needs only the run's id, and no workspace."""
    return isinstance(instance.run_launcher, WarmRunLauncher) and isinstance(
        instance.run_coordinator, DefaultRunCoordinator
    )


def is_entered(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the workers know of a run; True also where other launchers have the runs, whose state is theirs."""
    launcher = instance.run_launcher
    return not isinstance(launcher, WarmRunLauncher) or launcher.dispatch.entry(run_id) is not None


def enter_again(instance: DagsterInstance, run: DagsterRun) -> None:
    """Launch a run once more; Dagster says of it that it starts. May run twice: one worker executes it."""
    instance.run_launcher.launch_run(LaunchRunContext(run, workspace=None))


def end_lost_runs(instance: DagsterInstance, run_ids: Collection[str]) -> list[tuple[str, str]]:
    """Fail those of these unfinished runs whose process is certainly dead. Returns them, and the runs whose state is
    known.

    It judges runs that were launched to workers, or whose process has claimed them; their launcher knows of the others.
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
            dispatch.give_up(run_id, entry.worker)
        report_end(instance, run_id, health.msg or "")
        lost.append((run_id, health.msg or ""))
    return lost


def execution_of(instance: DagsterInstance, run_id: str) -> Entry:
    """Whether a process executes a run now, whatever Dagster says of it; `done` as long as none has claimed it."""
    if isinstance(instance.run_storage, PostgresRunStorage):
        return Dispatch(instance).entry(run_id) or Entry(run_id, "done", None, False, None)
    run = instance.get_run_by_id(run_id)
    is_over = run is None or run.is_finished
    return Entry(run_id, "done" if is_over else "claimed", None, False, None)


def executed_though_over(instance: DagsterInstance, runs: Collection[DagsterRun]) -> set[str]:
    """Those of these runs that are over for Dagster and executed all the same: somebody has marked them as canceled."""
    over = [run.run_id for run in runs if run.is_finished]
    if not over or not isinstance(instance.run_storage, PostgresRunStorage):
        return set()
    return {run_id for run_id, entry in Dispatch(instance).entries(over).items() if entry.has_live_worker}


def process_of(instance: DagsterInstance, worker: int | None) -> str:
    """Which process on which host a worker is, for people; empty when that is not known."""
    return "" if worker is None else Dispatch(instance).process_of(worker)


def end_run(instance: DagsterInstance, run_id: str, seconds: float) -> None:
    """Cancel a run whatever its launcher is, and let the process be killed that still executes it after `seconds`.

    May run twice: the first limit counts. A process that serves others too, and executes the run in a thread beside
    its main one, is neither interrupted nor killed. Raises nothing of a launcher.
    """
    dispatch = Dispatch(instance) if isinstance(instance.run_storage, PostgresRunStorage) else None
    if dispatch is not None:
        dispatch.kill_after(run_id, max(seconds, 0.0))
    if not terminate_run(instance, run_id) and dispatch is not None:
        dispatch.cancel(run_id)


def terminate_run(instance: DagsterInstance, run_id: str | None) -> bool:
    """Let the launcher terminate a run, unless it is over for Dagster; False when it cannot."""
    run = instance.get_run_by_id(run_id) if run_id else None
    if run is None or run.is_finished or instance.run_launcher is None:
        return False
    try:
        return instance.run_launcher.terminate(run.run_id)
    except Exception as error:  # noqa: BLE001  whatever a launcher raises
        log.warning("Run %s could not be terminated: %s", run_id, error)
        return False


def start_missing_workers(instance: DagsterInstance, location: str) -> str | None:
    """Launch a waiting run of a code location again when its workers and their supervisor have died; the run's id.

    A launch starts a supervisor, which then takes all that wait.
    """
    launcher = instance.run_launcher
    run_id = launcher.dispatch.unserved(location) if isinstance(launcher, WarmRunLauncher) else None
    run = instance.get_run_by_id(run_id) if run_id is not None else None
    if run is None or run.is_finished:
        return None
    launcher.launch_run(LaunchRunContext(run, workspace=None))
    return run_id


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Passes runs to resident workers on this machine, and starts workers when there are none.

    A launch is one statement and a check whether there are workers. The object is the same in the webserver, the daemon
    and the shell: it holds only a connection to the database.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None, **config: Any) -> None:
        self._inst_data = inst_data
        self._config = config
        self._launcher_lock: LauncherLock | None = None
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """The configuration, for Dagster to make the object again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """All fields have defaults."""

        def option(source: Any, default: Any, description: str) -> Field:
            return Field(source, is_required=False, default_value=default, description=description)

        return {
            "location": option(StringSource, "orchestrator", "code location of runs that do not name theirs"),
            "module": option(StringSource, "", "module of that code location; without it such runs are refused"),
            "attribute": option(StringSource, "defs", "its definitions in the module"),
            "working_directory": option(StringSource, "", "where the module is found; the project's folder when empty"),
            "start_workers": option(BoolSource, True, "start a supervisor when a run is launched and there is none"),
            "workers": option(IntSource, 2, "workers of such a supervisor"),
            "reserved_workers": option(
                IntSource, 1, "more workers, which take no run of negative priority, so that people need not wait"
            ),
            "idle_seconds": option(IntSource, 300, "such a supervisor ends after so many seconds without a run"),
            "grace_seconds": option(IntSource, 10, "a worker that ignores a termination for so many seconds is killed"),
            "runs_per_worker": option(IntSource, Limits.runs, "a worker is replaced after so many runs"),
            "megabytes_per_worker": option(IntSource, Limits.megabytes, "or when it has grown to this size"),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "WarmRunLauncher":
        return cls(inst_data, **config_value)

    @cached_property
    def dispatch(self) -> Dispatch:
        """The table in the instance's database."""
        return Dispatch(self._instance)

    def plan(self, location: CodeLocation | None = None, **changes: Any) -> Plan:
        """The plan of a supervisor for a code location."""
        config = {**self._config, **changes}
        return Plan(
            location=location or self._default_location(),
            count=config["workers"],
            reserved=config["reserved_workers"],
            idle_seconds=config["idle_seconds"],
            grace_seconds=config["grace_seconds"],
            limits=Limits(config["runs_per_worker"], config["megabytes_per_worker"]),
        )

    @property
    def names_a_location(self) -> bool:
        """Whether the configuration names a code location for runs that name none."""
        return bool(self._config["module"])

    def _default_location(self) -> CodeLocation:
        if not self.names_a_location:
            raise SettingsError(
                "This run does not say where its job's code is. Launch it from a workspace, or name `module` in the"
                " configuration of `run_launcher` in dagster.yaml."
            )
        folder = Path(self._config["working_directory"] or project_folder() or Path.cwd())
        return CodeLocation.of_module(
            self._config["location"], self._config["module"], self._config["attribute"], folder
        )

    # --- what Dagster calls ---

    def launch_run(self, context: LaunchRunContext) -> None:
        """Enter a run in the table. May run twice: one worker executes it."""
        self._dispatch_run(context, self.dispatch.enqueue)

    @property
    def supports_resume_run(self) -> bool:
        """True: another worker can continue a run whose worker died. The ledger skips the steps that are done."""
        return True

    def resume_run(self, context: ResumeRunContext) -> None:
        """Give a run to another worker, unless the worker that claimed it lives."""
        self._dispatch_run(context, self.dispatch.requeue)

    def _dispatch_run(self, context: LaunchRunContext | ResumeRunContext, put: Callable[..., Demand | None]) -> None:
        run = context.dagster_run
        location = CodeLocation.of_run(run) or self._default_location()
        code = location.fingerprint()
        self._launcher_lock = self._launcher_lock or LauncherLock(self.dispatch.place)
        demand = put(run.run_id, location.name, code, _priority(run), _served(context, location.name))
        # After the run is in the table: a supervisor that leaves releases its lock and then reads the table once more.
        if self._config["start_workers"]:
            demand = demand or Demand(location.name, code)
            ensure_supervisor(self._instance, self.dispatch, self.plan(location), demand)

    def dispose(self) -> None:
        """Release the launcher lock, since the workers need not stay for this process, and idle liveness locks."""
        release_idle()
        if self._launcher_lock is not None:
            self._launcher_lock.release()
            self._launcher_lock = None

    def terminate(self, run_id: str) -> bool:
        """Cancel a run: at once while it waits, else by an interrupt. False when there is nothing to cancel."""
        run = self._instance.get_run_by_id(run_id)
        entry = self.dispatch.entry(run_id)
        if run is None or run.is_finished or entry is None:  # without an entry another process executes it
            return False
        self._instance.report_run_canceling(run)
        if self.dispatch.cancel(run_id) != "claimed":
            report_end(self._instance, run_id, "The run was canceled before a worker took it.")
            return True
        if entry.is_lost and entry.worker is not None:
            report_end(self._instance, run_id, lost_message(entry.worker))
            self.dispatch.give_up(run_id, entry.worker)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: the table has whether a run's worker lives."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """The state of the worker that has claimed a run."""
        entry = self.dispatch.entry(run.run_id)
        if entry is None:
            return self._health_unknown(run)
        health = _health(entry)
        if health.status is not WorkerStatus.FAILED:
            return health
        if entry.worker is not None:
            self.dispatch.give_up(run.run_id, entry.worker)
        if settle(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.SUCCESS, "The log has the end of the run.")
        return health

    def _health_unknown(self, run: DagsterRun) -> CheckRunHealthResult:
        """Judge a run without an entry: a process of its own enters a run in the table before its first step."""
        record = self._instance.get_run_record_by_id(run.run_id)
        began = record.start_time if record is not None else None
        if began is None or tags.read(run.tags, tags.WORKFLOW) is None or time.time() - began < UNSEEN_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "The run was not launched to a warm worker.")
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "The process that executed the run ended before its first step; nothing was done."
        )

    def get_run_worker_debug_info(self, run: DagsterRun, include_container_logs: bool | None = True) -> str | None:
        """What Dagster shows beside a run that did not start in time."""
        entry = self.dispatch.entry(run.run_id)
        state = entry.state if entry else "not in the dispatch table"
        alive = len(self.dispatch.workers())
        return f"The run is {state}; {alive} workers live. `orchestrator workers status` shows them."


def _health(entry: Entry) -> CheckRunHealthResult:
    worker = str(entry.worker) if entry.worker is not None else None
    if entry.state == "done":
        return CheckRunHealthResult(
            WorkerStatus.FAILED, "The worker ended without finishing the run.", run_worker_id=worker
        )
    if entry.is_lost and entry.worker is not None:
        return CheckRunHealthResult(WorkerStatus.FAILED, lost_message(entry.worker), run_worker_id=worker)
    return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=worker)


def _served(context: LaunchRunContext | ResumeRunContext, location: str) -> Served | None:
    """The code server from which the launching process has the location; each reload there makes another."""
    entry = context.workspace.get_location_entry(location) if context.workspace is not None else None
    if entry is None or entry.code_location is None:
        return None
    return Served(entry.version_key, max(0.0, time.time() - entry.update_timestamp))


def _priority(run: DagsterRun) -> int:
    try:
        return int(run.tags.get(PRIORITY, "0"))
    except ValueError:
        return 0
