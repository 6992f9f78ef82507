"""The sweeper: repairs what a killed process has left, so that no process is stuck and no status is wrong.

It handles orphans: a sweep compares the processes in progress with Dagster's runs. It decides in one transaction with
the process's row locked, so that a sweep, a person and a second daemon cannot act twice. A preview writes
nothing.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter

from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.launching import RUN_KEY
from orchestrator_defs.processes.process_aborts import ProcessAborts
from resources import tags
from resources.errors import DatabaseBusy
from resources.figures import counts
from resources.processes import recovery
from resources.processes.owner import Owner
from resources.processes.recovery import Aborting, Place, ProcessState
from resources.runs.launching.launcher import (
    end_lost_runs,
    end_run,
    enter_again,
    executed_though_over,
    is_entered,
    launches_to_workers,
    start_missing_workers,
)
from resources.runs.run_events import report_event
from resources.runs.storage_identity import storage_id
from resources.runs.workers.worker import report_end
from resources.settings import settings
from resources.types import ProcessId, ProcessStatus
from resources.validations import failing

BATCH = 200
"""How many processes, and how many runs, one sweep checks; the next one continues from there."""
LAUNCH_SECONDS = 10.0
"""How long the program that starts or resumes a process may take to create and launch its run."""
STRAY_SECONDS = 30.0
"""How long a run may continue after its process has ended or waits."""
PAUSE_SECONDS = 5.0
"""The back-off of a process that was lost twice; it doubles after each further time."""

TURN_SECONDS = 5.0
"""How long each part of a sweep may take, beyond the step that it is at."""
TO_LAUNCH = frozenset({ProcessStatus.CREATED, ProcessStatus.RESUMED})
SWEPT_BESIDE = recovery.IN_PROGRESS | {ProcessStatus.ABORTING}
"""The statuses whose runs other parts of the sweep look at."""
Swept = TypeVar("Swept", ProcessState, Aborting)

log = logging.getLogger(__name__)

FINISHED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)


@dataclass
class Sweep:
    """The result of a sweep: processes to launch, a report for people, and where the next sweep begins."""

    launch: list[ProcessId] = field(default_factory=list)
    report: list[str] = field(default_factory=list)
    seen: int = 0
    place: Place | None = None


class Sweeper:
    """Repairs the processes of one orchestrator on one Dagster instance; a preview only says what it would do."""

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance, *, is_preview: bool = False) -> None:
        self.orchestrator = orchestrator
        self.instance = instance
        self.is_preview = is_preview
        self.database = orchestrator.prepare()
        self.owner = Owner(orchestrator.name, storage_id(instance))

    def unlaunched(self) -> Sweep:
        """The processes that are to be launched and have no run, the oldest first. Writes nothing."""
        sweep = Sweep()
        with self.database.transaction(read_only=True):
            found = recovery.in_progress(self.owner, BATCH, statuses=TO_LAUNCH, quiet_seconds=LAUNCH_SECONDS)
        runs = self._runs_of(found)
        for one in found:
            if one.run_id not in runs:
                self._without_run(one, sweep)
        return sweep

    def sweep(self, after: Place | None = None) -> Sweep:
        """Check the processes in progress, from `after` on, and the runs that execute; commits one at a time.

        No part of it, and no process, keeps the others waiting for long: the next sweep continues where time ran out.
        """
        sweep = Sweep()
        with self.database.transaction(read_only=True):
            found = recovery.in_progress(self.owner, BATCH, after)
        sweep.seen = len(found)
        runs = self._runs_of(found)
        if not self.is_preview:
            self._part(lambda: self._end_lost(runs.values(), sweep), sweep)
        executed = executed_though_over(self.instance, runs.values())

        def check(one: ProcessState) -> None:
            run = runs.get(one.run_id or "")
            if run is not None and run.run_id in executed:
                self._still_executed(one, run, sweep)
            else:
                self._check(one, run, sweep)

        seen = self._each(found, check, sweep)
        if seen < len(found) or len(found) == BATCH:
            sweep.place = (found[seen - 1].last_modified_at, found[seen - 1].process_id)
        if not self.is_preview:
            for part in (self._start_missing_workers, self._end_aborts, self._terminate_strays, self._fold_figures):
                self._part(lambda part=part: part(sweep), sweep)  # type: ignore[misc]
        return sweep

    def _part(self, act: Callable[[], None], sweep: Sweep) -> None:
        """Do a part of the sweep; the others are done when it fails."""
        try:
            act()
        except Exception as error:
            log.exception("A part of the sweep has failed.")
            sweep.report.append(f"a part of the sweep has failed, and is tried again: {error}")

    def _each(self, found: Sequence[Swept], act: Callable[[Swept], None], sweep: Sweep) -> int:
        """Treat each of these; how many had their turn before time ran out. A bad one does not stop those behind it."""
        give_up = time.monotonic() + TURN_SECONDS
        for number, one in enumerate(found, 1):
            try:
                act(one)
            except DatabaseBusy:
                sweep.report.append(f"{one.process_id} is locked by another transaction; the next sweep tries again")
            except Exception as error:
                log.exception("Process %s cannot be swept.", one.process_id)
                sweep.report.append(f"{one.process_id} cannot be repaired yet: {error}")
            if time.monotonic() > give_up and number < len(found):
                sweep.report.append(f"{len(found) - number} processes wait for the next sweep: this one took too long")
                return number
        return len(found)

    # --- processes in progress ---

    def _runs_of(self, found: Collection[ProcessState]) -> dict[str, DagsterRun]:
        """The runs by the ids in the rows: the run of this id, or the one that was requested with it."""
        ids = [one.run_id for one in found if one.run_id]
        if not ids:
            return {}
        runs = {run.run_id: run for run in self.instance.get_runs(RunsFilter(run_ids=ids))}
        if asked := [each for each in ids if each not in runs]:
            for run in self.instance.get_runs(RunsFilter(tags={RUN_KEY: asked})):
                runs.setdefault(run.tags[RUN_KEY], run)
        return runs

    def _end_lost(self, runs: Iterable[DagsterRun], sweep: Sweep) -> None:
        """Fail the runs whose operating system process is dead.

        Not those that wait in Celery's queue to be resumed: Dagster's run monitoring takes care of these.
        """
        is_monitored = self.instance.run_monitoring_enabled
        unfinished = [run for run in runs if not run.is_finished]
        at_work = [run.run_id for run in unfinished if not (is_monitored and tags.read(run.tags, tags.CELERY_SENT))]
        for run_id, reason in end_lost_runs(self.instance, at_work):
            sweep.report.append(f"run {run_id} has failed: {reason}")

    def _still_executed(self, one: ProcessState, run: DagsterRun, sweep: Sweep) -> None:
        """Cancel a run that is over for Dagster; the process continues when no step of it is executed any more."""
        if one.quiet_seconds > LAUNCH_SECONDS:
            sweep.report.append(
                f"run {run.run_id} of {one.process_id} is {run.status.value} and still executed: canceled"
            )
            if not self.is_preview:
                end_run(self.instance, run.run_id, settings().abort_grace_seconds)

    def _check(self, one: ProcessState, run: DagsterRun | None, sweep: Sweep) -> None:
        if run is None:
            self._without_run(one, sweep)
        elif run.status is DagsterRunStatus.NOT_STARTED:
            self._never_launched(one, run, sweep)
        elif run.status is DagsterRunStatus.STARTING and one.status in TO_LAUNCH:
            self._half_launched(one, run, sweep)
        elif run.status is DagsterRunStatus.CANCELED:
            how = "before it began" if one.status is not ProcessStatus.RUNNING else "between two steps"
            self._mark_as_failed(one, f"Its run {run.run_id} was canceled {how}. Resume or abort the process.", sweep)
        elif run.status in FINISHED:
            self._continue(one, f"Run {run.run_id} ended as {run.status.value} without an end of its process.", sweep)

    def _without_run(self, one: ProcessState, sweep: Sweep) -> None:
        if one.status is ProcessStatus.RUNNING:
            self._continue(one, f"Dagster no longer has its run {one.run_id}.", sweep)
        elif one.quiet_seconds > LAUNCH_SECONDS:
            sweep.launch.append(one.process_id)
            sweep.report.append(f"{one.process_id} was {one.status} without a run: launched")

    def _never_launched(self, one: ProcessState, run: DagsterRun, sweep: Sweep) -> None:
        if one.quiet_seconds <= LAUNCH_SECONDS:
            return
        if self.is_preview:
            sweep.report.append(f"{one.process_id}: its run {run.run_id} was created, and nobody executes it")
            return
        if not launches_to_workers(self.instance):  # its own process was to execute it; Dagster cannot launch it
            report_end(self.instance, run.run_id, "No process has begun to execute the run.")
            self._continue(one, f"Run {run.run_id} was created, and no process began to execute it.", sweep)
            return
        try:
            self.instance.launch_run(run.run_id, None)  # type: ignore[arg-type]  # our launcher needs no workspace
        except Exception as error:  # noqa: BLE001  a failure of the launcher must not stop the sweep
            sweep.report.append(f"{one.process_id}: its run {run.run_id} cannot be launched: {error}")
        else:
            sweep.report.append(f"{one.process_id}: its run {run.run_id} was created and not launched: launched")

    def _half_launched(self, one: ProcessState, run: DagsterRun, sweep: Sweep) -> None:
        """Enter a run for the workers whose launcher was killed just before; Dagster would give it up after minutes."""
        if one.quiet_seconds <= LAUNCH_SECONDS or is_entered(self.instance, run.run_id):
            return
        if not self.is_preview:
            enter_again(self.instance, run)
        sweep.report.append(f"{one.process_id}: the launch of its run {run.run_id} was cut off: launched")

    def _continue(self, one: ProcessState, reason: str, sweep: Sweep) -> None:
        """Continue from the last committed step, unless that was done too often without another commit."""
        if not recovery.may_continue(one):
            times = "once" if one.recoveries == 1 else f"{one.recoveries} times"
            tried = f" It was continued automatically {times} without another commit." if one.recoveries else ""
            self._mark_as_failed(one, f"{reason}{tried} Check its runs, then resume the process.", sweep)
            return
        if one.recoveries and one.quiet_seconds < PAUSE_SECONDS * 2 ** (one.recoveries - 1):
            return
        if self.is_preview:
            sweep.launch.append(one.process_id)
            sweep.report.append(f"{one.process_id} continues: {reason}")
            return
        with self.database.transaction():
            run_id = recovery.continue_process(one, reason)
        if run_id is not None:
            sweep.launch.append(one.process_id)
            sweep.report.append(f"{one.process_id} continues as run {run_id}: {reason}")
            done = "Recovered: the process continues from its last committed step"
            report_event(self.instance, one.process_id, one.run_id, f"{done}, in run {run_id}. {reason}")

    def _mark_as_failed(self, one: ProcessState, reason: str, sweep: Sweep) -> None:
        with self.database.transaction(read_only=self.is_preview):
            has_failed = self.is_preview or failing.mark_as_failed(one, reason)
        if has_failed:
            sweep.report.append(f"{one.process_id} has failed: {reason}")
        if has_failed and not self.is_preview:
            report_event(self.instance, one.process_id, one.run_id, f"The process has failed: {reason}")

    # --- runs that execute ---

    def _end_aborts(self, sweep: Sweep) -> None:
        """Release what aborted processes hold whose step has ended, and see that the steps of the others end."""
        with self.database.transaction(read_only=True):
            found = recovery.aborting(self.owner, BATCH)
        aborts = ProcessAborts(self.database, self.instance)

        def settle(one: Aborting) -> None:
            sweep.report += [done] if (done := aborts.settle(one)) else []

        self._each(found, settle, sweep)

    def _terminate_strays(self, sweep: Sweep) -> None:
        """Terminate the runs that still execute although their process has ended, or waits; all are looked at."""
        executing = RunsFilter(statuses=[DagsterRunStatus.STARTED])
        cursor, at_work = None, self.instance.get_runs(executing, limit=BATCH, ascending=True)
        while at_work:
            runs = {run.run_id: run for run in at_work}
            with self.database.transaction(read_only=True):
                found = recovery.states_of({one for run in at_work if (one := _process_of(run)) is not None})
            over = [
                one
                for one in found
                if one.run_id in runs and one.status not in SWEPT_BESIDE and one.quiet_seconds > STRAY_SECONDS
            ]
            self._each(over, lambda one, runs=runs: self._terminate(one, runs[one.run_id], sweep), sweep)  # type: ignore[misc]
            cursor = at_work[-1].run_id
            at_work = self.instance.get_runs(executing, cursor=cursor, limit=BATCH, ascending=True)

    def _terminate(self, one: ProcessState, run: DagsterRun, sweep: Sweep) -> None:
        sweep.report.append(f"run {run.run_id} of {one.process_id}, which is {one.status}: {self._stop(run)}")

    def _start_missing_workers(self, sweep: Sweep) -> None:
        """Let the runs of this location be executed that wait although all workers were killed."""
        if (code := self.orchestrator.code) is None:
            return
        try:
            run_id = start_missing_workers(self.instance, code.name)
        except Exception as error:  # noqa: BLE001  a failure of the launcher must not stop the sweep
            sweep.report.append(f"{code.name}: its workers cannot be started: {error}")
        else:
            sweep.report += [f"{code.name} has no workers, and run {run_id} waits: launched again"] if run_id else []

    def _fold_figures(self, _: Sweep) -> None:
        """Keep the figures quick to add up, also after a change of very many rows."""
        give_up = time.monotonic() + TURN_SECONDS
        with self.database.statements():
            while counts.fold() == counts.FOLD_AT_ONCE and time.monotonic() < give_up:
                pass

    def _stop(self, run: DagsterRun) -> str:
        return "terminated" if _try(lambda: self.instance.run_launcher.terminate(run.run_id)) else "cannot be stopped"


def _try(terminate: Callable[[], bool]) -> bool:
    try:
        return terminate()
    except Exception:  # noqa: BLE001  a failure of the launcher must not stop the sweep
        return False


def _process_of(run: DagsterRun) -> ProcessId | None:
    try:
        return UUID(run.tags[tags.PROCESS])
    except (KeyError, ValueError):
        return None
