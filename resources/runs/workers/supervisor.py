"""The supervisor: loads a code location once, forks workers from it, and replaces those that end.

There is one for each code location and machine. A process that starts one takes its lock first (`supervisor_lock`) and
passes that on, so two cannot be started at once. Newer code comes with a successor, which loads it while the present
supervisor works and then takes over. It has no threads while it forks.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, RepositoryDefinition, deserialize_value, serialize_value

# Another process opens the same instance from this; Dagster's own launcher sends it too.
from dagster._core.instance.ref import InstanceRef

from resources.runs.child_process import detached, name_process, opened
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Demand, Dispatch, Loaded
from resources.runs.forked_children import Child, ForkedChildren, Report
from resources.runs.workers import supervisor_lock
from resources.runs.workers.supervisor_lock import ACTIVE, MANAGER, SUCCESSOR, HeldLock, SupervisorLocks
from resources.runs.workers.worker import DATABASE_ERRORS, GONE_SECONDS, Limits, Worker, report_end
from resources.secrecy import environment_of_others
from resources.settings import settings

TICK_SECONDS = 1.0
LINGER_SECONDS = 5.0
"""How long it stays when no launching process is left: a shell may launch again soon."""
CLEAN_SECONDS = 600.0
KILL_FROZEN_SECONDS = 5.0
"""Sooner than its run counts as lost, so that the run ends with the true reason."""
ORDINARY_WORKER, RESERVED_WORKER = "worker", "reserved worker"

MAIN = "from resources.runs.workers.supervisor import main; main()"


@dataclass(frozen=True)
class Plan:
    """What a supervisor does.

    `reserved`: more workers, which take no bulk. `spare`: so many workers wait for a run, and others are forked when
    these have one; None: all are forked at the start. `idle_seconds`: it ends after so long without a run; 0: never for
    that reason.
    """

    location: CodeLocation
    count: int = 2
    reserved: int = 0
    spare: int | None = None
    idle_seconds: float = 300.0
    grace_seconds: float = 10.0
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """The plain values that another process reads."""
        names = ("count", "reserved", "spare", "idle_seconds", "grace_seconds")
        plain = {name: getattr(self, name) for name in names}
        return plain | {"location": self.location.to_json(), "limits": asdict(self.limits)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Plan":
        """Read what `to_json` returned."""
        location, limits = CodeLocation.from_json(plain["location"]), Limits(**plain["limits"])
        return cls(**{**plain, "location": location, "limits": limits})


# --- starting one ---


def ensure_supervisor(instance: DagsterInstance, dispatch: Dispatch, plan: Plan, demand: Demand) -> None:
    """Start a supervisor for a run if there is none and no manager starts it; returns before it is ready."""
    locks = SupervisorLocks(dispatch.place, plan.location.name)
    if locks.is_held(MANAGER) or start_supervisor(instance, locks, plan):
        return
    holder = locks.holder(ACTIVE)
    if holder is not None and holder.loaded is not None and not demand.is_met(holder.loaded):
        start_successor(instance, locks, plan)


def start_supervisor(instance: DagsterInstance, locks: SupervisorLocks, plan: Plan) -> bool:
    """Start a supervisor in the background, if its lock is free."""
    return _start(instance, locks.take(ACTIVE), ACTIVE, plan)


def start_successor(instance: DagsterInstance, locks: SupervisorLocks, plan: Plan) -> bool:
    """Start a successor, which takes over when it has loaded the code, if no other is on its way."""
    return _start(instance, locks.take(SUCCESSOR), SUCCESSOR, plan)


def _start(instance: DagsterInstance, lock: HeldLock | None, name: str, plan: Plan) -> bool:
    if lock is None:
        return False
    order = {"instance": serialize_value(instance.get_ref()), "plan": plan.to_json()}
    try:
        with os.fdopen(opened(supervisor_lock.folder() / "workers.log"), "a") as log:
            # Through a pipe: the order may hold a password, and every user can read a command line.
            subprocess.run(
                detached([plan.location.python, "-c", MAIN]),
                input=json.dumps(order | {"seat": lock.descriptor, "name": name}).encode(),
                check=True,
                cwd=plan.location.folder,
                env=environment_of_others() | {"ORCHESTRATOR_HOME": str(settings().home.resolve())},  # not the code's
                stdout=log,
                stderr=log,
                pass_fds=[lock.descriptor],
                start_new_session=True,
            )
    finally:
        lock.release()
    return True


def main() -> None:
    """Run as the supervisor that `_start` has started."""
    order = json.load(sys.stdin)
    os.set_inheritable(order["seat"], False)  # commands that a step starts do not inherit it
    plan = Plan.from_json(order["plan"])
    with DagsterInstance.from_ref(deserialize_value(order["instance"], InstanceRef)) as instance:
        supervise(instance, plan, HeldLock(order["seat"]), is_successor=order["name"] == SUCCESSOR)


def supervise(
    instance: DagsterInstance, plan: Plan, lock: HeldLock, *, is_successor: bool, loaded: Loaded | None = None
) -> None:
    """Serve a code location from this process until no process needs it, and release the lock.

    `loaded`: the code that this process has loaded already.
    """
    name_process("supervisor")
    supervisor_lock.hold_no_launcher_lock()
    dispatch = Dispatch(instance)
    locks = SupervisorLocks(dispatch.place, plan.location.name)
    loaded = loaded or about_to_load(plan, dispatch)
    lock.write_holder(loaded)
    try:
        instance.inject_env_vars(plan.location.name)
        repository = plan.location.load()
    except Exception:  # noqa: BLE001  whatever the code raises fails its runs
        holder = locks.holder(ACTIVE) if is_successor else None
        lock.release()  # first: a run that is launched from now on starts another supervisor
        _fail_queued_runs(instance, dispatch, plan.location, holder.loaded if holder else None, traceback.format_exc())
        return
    active = locks.take_over(loaded) if is_successor else lock
    if active is None:
        return
    if is_successor:
        lock.release()
    Supervisor(instance, dispatch, plan, loaded, repository, locks, active).run()


def about_to_load(plan: Plan, dispatch: Dispatch) -> Loaded:
    """The code of a process that loads the code location after this call."""
    return Loaded(plan.location.name, plan.location.fingerprint(), dispatch.now())


def _fail_queued_runs(
    instance: DagsterInstance, dispatch: Dispatch, location: CodeLocation, unless: Loaded | None, why: str
) -> None:
    print(why, file=sys.stderr)  # noqa: T201  into the log
    for run_id in dispatch.refuse(location.name, unless):
        report_end(instance, run_id, f"The code location {location.name} cannot be loaded.\n{why}")


# --- being one ---


class Supervisor:
    """Keeps a number of workers running."""

    def __init__(
        self,
        instance: DagsterInstance,
        dispatch: Dispatch,
        plan: Plan,
        loaded: Loaded,
        repository: RepositoryDefinition,
        locks: SupervisorLocks,
        lock: HeldLock,
    ) -> None:
        self.instance = instance
        self.dispatch = dispatch
        self.plan = plan
        self.loaded = loaded
        self.repository = repository
        self.locks = locks
        self.lock = lock
        self.children = ForkedChildren()
        self.exited: list[Child] = []
        self.is_stopping = False
        now = time.monotonic()
        self._last_work = self._last_launcher = self._last_answer = now
        self._next_clean = self._next_tick = now
        self._frozen: dict[int, float] = {}
        self._code = loaded.code
        self._tried = {loaded.code}

    def run(self) -> None:
        """Start and check workers until all have ended."""
        gc.collect()
        gc.freeze()  # the garbage collector of a worker must not write into shared pages of the definitions
        self.children.listen(self.stop)
        while not self.is_stopping or self.children.of_kind():
            self._start_missing_workers()
            self.children.wait(TICK_SECONDS)
            self.exited += self.children.reap()
            if self.exited or time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + TICK_SECONDS
                self._tick()

    def stop(self, *_: object) -> None:
        """Let the workers finish their runs, then end."""
        self.is_stopping = True
        self.lock.release()
        self.children.kill_all(signal.SIGTERM)

    def _start_missing_workers(self) -> None:
        for kind, wanted in ((ORDINARY_WORKER, self.plan.count), (RESERVED_WORKER, self.plan.reserved)):
            while self._may_fork() and len(self.children.of_kind(kind)) < wanted:
                self.children.fork(kind, partial(self._work, is_reserved=kind == RESERVED_WORKER), outlives=True)

    def _may_fork(self) -> bool:
        waiting = sum(not child.has_reported for child in self.children.of_kind())
        has_spare = self.plan.spare is not None and waiting >= self.plan.spare
        return not self.is_stopping and self.children.may_fork and not has_spare

    def _work(self, report: Report, *, is_reserved: bool) -> int:
        self.lock.release()
        with _quiet():
            worker = Worker(
                self.instance,
                self.repository,
                self.loaded,
                self.plan.limits,
                is_reserved=is_reserved,
                on_orphaned=self._start_another_for_waiting,
            )
            worker.work(on_first_run=report)
            self.instance.dispose()
        return 0

    # --- the table ---

    def _tick(self) -> None:
        """The work of each second. When the database is away for a moment, the next second tries again."""
        try:
            self._fail_runs_of_exited_workers()
            self._kill_frozen()
            self._fail_lost_runs()
            self._kill_unresponsive()
            self._clean()
            self._stop_if_unneeded()
        except DATABASE_ERRORS:
            if time.monotonic() - self._last_answer > GONE_SECONDS:
                self.stop()
        else:
            self._last_answer = time.monotonic()

    def _fail_runs_of_exited_workers(self) -> None:
        """Fail the runs of workers that died."""
        while self.exited:
            child = self.exited[0]
            for worker in self.dispatch.numbers_of(socket.gethostname(), os.getpid(), child.pid):
                for entry in self.dispatch.claimed_by(worker):
                    why = f"Worker {worker} (process {child.pid}) {child.end} while it executed the run."
                    report_end(self.instance, entry.run_id, why)
                    self.dispatch.finish(entry.run_id, worker)
            del self.exited[0]

    def _fail_lost_runs(self) -> None:
        """Fail the runs whose worker and supervisor are both gone, on whatever machine."""
        for entry in self.dispatch.lost():
            if entry.worker is not None:
                report_end(self.instance, entry.run_id, lost_message(entry.worker))
                self.dispatch.give_up(entry.run_id, entry.worker)

    def _kill_frozen(self) -> None:
        """Kill the workers that write no heartbeat, but not at once: this process may have been frozen with them."""
        now = time.monotonic()
        found = self.dispatch.frozen(socket.gethostname(), os.getpid())
        self._frozen = {pid: self._frozen.get(pid, now) for pid in found}
        for child in self.children.of_kind():
            if now - self._frozen.get(child.pid, now) >= KILL_FROZEN_SECONDS:
                child.note = "gave no sign of life and "
                child.kill(signal.SIGKILL, with_offspring=True)

    def _kill_unresponsive(self) -> None:
        """Kill the workers that have not reacted to the cancellation of their run."""
        for entry in self.dispatch.overdue(self.plan.grace_seconds):
            unresponsive = {worker.pid for worker in self.dispatch.workers() if worker.worker == entry.worker}
            for child in self.children.of_kind():
                if child.pid in unresponsive:
                    child.kill(signal.SIGKILL, with_offspring=True)

    def _clean(self) -> None:
        if time.monotonic() >= self._next_clean:
            self._next_clean = time.monotonic() + CLEAN_SECONDS
            self.dispatch.clean()

    def _stop_if_unneeded(self) -> None:
        if self.is_stopping:
            return
        if self._is_unneeded():
            self.stop()
            self._start_another_if_needed()
            return
        is_old = self._has_changed() or self.dispatch.has_newer(self.loaded)
        if is_old and start_successor(self.instance, self.locks, self.plan):
            self._tried.add(self._code)

    def _is_unneeded(self) -> bool:
        """Whether there was no run for long, or there is no run and no launching process is left."""
        now = time.monotonic()
        has_work = self.dispatch.has_work(self.plan.location.name)
        if has_work:
            self._last_work = now
        if has_work or supervisor_lock.has_launchers(self.dispatch.place):
            self._last_launcher = now
        is_idle = bool(self.plan.idle_seconds) and now - self._last_work > self.plan.idle_seconds
        return is_idle or now - self._last_launcher > LINGER_SECONDS

    def _start_another_if_needed(self) -> None:
        """A run that was launched before the lock was released saw it held, and started no supervisor."""
        if self.dispatch.has_work(self.plan.location.name):
            start_supervisor(self.instance, self.locks, self.plan)

    def _start_another_for_waiting(self) -> None:
        """From a worker whose supervisor was killed: a launch just before that saw its lock held, and relies on it."""
        with suppress(*DATABASE_ERRORS, OSError, subprocess.SubprocessError):  # called again in a second
            if not self.locks.is_held(MANAGER) and self.dispatch.waiting().get(self.plan.location.name):
                start_supervisor(self.instance, self.locks, self.plan)

    def _has_changed(self) -> bool:
        """Whether the files differ from the loaded ones, have settled since the last check, and are not tried yet."""
        code = self.plan.location.fingerprint()
        before, self._code = self._code, code
        return code == before and code not in self._tried


@contextmanager
def _quiet() -> Iterator[None]:
    """Send output to nowhere: Dagster prints each event of each run, and they are in its database."""
    streams = {stream: os.dup(stream) for stream in (1, 2)}
    with Path(os.devnull).open("w") as nothing:
        for stream in streams:
            os.dup2(nothing.fileno(), stream)
    try:
        yield
    finally:
        sys.stdout.flush()
        for stream, kept in streams.items():
            os.dup2(kept, stream)


def lost_message(worker: int) -> str:
    """Why a run failed whose worker is gone without a supervisor that saw its end."""
    return f"Worker {worker} is gone, and so is its supervisor; it had claimed the run."
