"""The supervisor: loads a code location once, forks workers of it, and looks after them.

One per code location and machine: whoever starts one takes its seat (`post.py`) first and hands that down, so there is
no moment in which two could be started. Newer code comes with another supervisor, which loads it while this one still
works, and relieves it then. It has no threads, for it forks.
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
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, RepositoryDefinition, deserialize_value, serialize_value

# What an instance is made of, for another process to open the same one; Dagster's own launcher sends it too.
from dagster._core.instance.ref import InstanceRef

from resources.runs.child_process import detached, name_process
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Demand, Dispatch, Loaded
from resources.runs.forked_children import Child, ForkedChildren, Report
from resources.runs.workers import supervisor_lock
from resources.runs.workers.supervisor_lock import ACTIVE, MANAGER, SUCCESSOR, HeldLock, SupervisorLocks
from resources.runs.workers.worker import DATABASE_ERRORS, GONE_SECONDS, Limits, Worker, report_end
from resources.settings import settings

TICK_SECONDS = 1.0
LINGER_SECONDS = 5.0
"""How long it stays when nobody is left who launches: a shell may launch again at once."""
CLEAN_SECONDS = 600.0
ORDINARY_WORKER, RESERVED_WORKER = "worker", "reserved worker"

MAIN = "from resources.runs.workers.supervisor import main; main()"


@dataclass(frozen=True)
class Plan:
    """What a supervisor is to do.

    `reserved`: workers beside the `count`, which take no bulk. `spare`: so many of all wait for a run, and others are
    forked when these have got one; without it all are there from the beginning. `idle_seconds`: it ends when there was
    no run for so long; 0: not for that.
    """

    location: CodeLocation
    count: int = 2
    reserved: int = 0
    spare: int | None = None
    idle_seconds: float = 300.0
    grace_seconds: float = 10.0
    limits: Limits = field(default_factory=Limits)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for another process."""
        names = ("count", "reserved", "spare", "idle_seconds", "grace_seconds")
        plain = {name: getattr(self, name) for name in names}
        return plain | {"location": self.location.to_json(), "limits": asdict(self.limits)}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> "Plan":
        """What `to_json` gave."""
        location, limits = CodeLocation.from_json(plain["location"]), Limits(**plain["limits"])
        return cls(**{**plain, "location": location, "limits": limits})


# --- starting one ---


def ensure_supervisor(instance: DagsterInstance, dispatch: Dispatch, plan: Plan, demand: Demand) -> None:
    """See to it that there is a supervisor for a run, unless somebody keeps the post; returns before it is ready."""
    locks = SupervisorLocks(dispatch.place, plan.location.name)
    if locks.is_held(MANAGER) or start_supervisor(instance, locks, plan):
        return
    holder = locks.holder(ACTIVE)
    if holder is not None and holder.loaded is not None and not demand.is_met(holder.loaded):
        start_successor(instance, locks, plan)


def start_supervisor(instance: DagsterInstance, locks: SupervisorLocks, plan: Plan) -> bool:
    """Start a supervisor in the background, if the post is free."""
    return _start(instance, locks.take(ACTIVE), ACTIVE, plan)


def start_successor(instance: DagsterInstance, locks: SupervisorLocks, plan: Plan) -> bool:
    """Start another supervisor, which takes the place of the present one when it is ready, if none is on its way."""
    return _start(instance, locks.take(SUCCESSOR), SUCCESSOR, plan)


def _start(instance: DagsterInstance, lock: HeldLock | None, name: str, plan: Plan) -> bool:
    if lock is None:
        return False
    order = {"instance": serialize_value(instance.get_ref()), "plan": plan.to_json()}
    try:
        with (supervisor_lock.folder() / "workers.log").open("a") as log:
            # The order goes through a pipe: it may hold a password, and a command line is for all to read.
            subprocess.run(
                detached([plan.location.python, "-c", MAIN]),
                input=json.dumps(order | {"seat": lock.descriptor, "name": name}).encode(),
                check=True,
                cwd=plan.location.folder,
                env=os.environ | {"ORCHESTRATOR_HOME": str(settings().home.resolve())},  # wherever the code lies
                stdout=log,
                stderr=log,
                pass_fds=[lock.descriptor],
                start_new_session=True,
            )
    finally:
        lock.release()
    return True


def main() -> None:
    """Be the supervisor that was started."""
    order = json.load(sys.stdin)
    os.set_inheritable(order["seat"], False)  # not for what a step may start
    plan = Plan.from_json(order["plan"])
    with DagsterInstance.from_ref(deserialize_value(order["instance"], InstanceRef)) as instance:
        supervise(instance, plan, HeldLock(order["seat"]), is_successor=order["name"] == SUCCESSOR)


def supervise(
    instance: DagsterInstance, plan: Plan, lock: HeldLock, *, is_successor: bool, loaded: Loaded | None = None
) -> None:
    """Serve a code location from this process until nobody needs it. The seat is given back.

    `loaded`: the code as this process has it already.
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
    except Exception:  # noqa: BLE001  whatever the code raises, its runs must be told
        holder = locks.holder(ACTIVE) if is_successor else None
        lock.release()  # first: a run that is launched from now on starts another attempt
        _fail_queued_runs(instance, dispatch, plan.location, holder.loaded if holder else None, traceback.format_exc())
        return
    active = locks.take_over(loaded) if is_successor else lock
    if active is None:
        return
    if is_successor:
        lock.release()
    Supervisor(instance, dispatch, plan, loaded, repository, locks, active).run()


def about_to_load(plan: Plan, dispatch: Dispatch) -> Loaded:
    """What a process has that loads the code location after this."""
    return Loaded(plan.location.name, plan.location.fingerprint(), dispatch.now())


def _fail_queued_runs(
    instance: DagsterInstance, dispatch: Dispatch, location: CodeLocation, unless: Loaded | None, why: str
) -> None:
    print(why, file=sys.stderr)  # noqa: T201  into the log
    for run_id in dispatch.refuse(location.name, unless):
        report_end(instance, run_id, f"The code location {location.name} cannot be loaded.\n{why}")


# --- being one ---


class Supervisor:
    """Keeps a number of workers alive."""

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
        self._code = loaded.code
        self._tried = {loaded.code}

    def run(self) -> None:
        """Look after the workers until all have left."""
        gc.collect()
        gc.freeze()  # the definitions stay shared: the workers' collector does not write into their pages
        self.children.listen(self.stop)
        while not self.is_stopping or self.children.of_kind():
            self._start_missing_workers()
            self.children.wait(TICK_SECONDS)
            self.exited += self.children.reap()
            if self.exited or time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + TICK_SECONDS
                self._tick()

    def stop(self, *_: object) -> None:
        """Let the workers finish what they have in hand, then end."""
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
            worker = Worker(self.instance, self.repository, self.loaded, self.plan.limits, is_reserved=is_reserved)
            worker.work(on_first_run=report)
            self.instance.dispose()
        return 0

    # --- the table ---

    def _tick(self) -> None:
        """What is looked after once a second. A database that is away for a moment is asked again."""
        try:
            self._fail_runs_of_exited_workers()
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
        """Report the runs of workers that died with one in hand."""
        while self.exited:
            child = self.exited[0]
            for worker in self.dispatch.numbers_of(socket.gethostname(), os.getpid(), child.pid):
                for entry in self.dispatch.claimed_by(worker):
                    why = f"Worker {worker} (process {child.pid}) {child.end} while it executed the run."
                    report_end(self.instance, entry.run_id, why)
                    self.dispatch.finish(entry.run_id, worker)
            del self.exited[0]

    def _fail_lost_runs(self) -> None:
        """Report the runs whose worker and supervisor are gone together; nobody else may be left to do it."""
        for entry in self.dispatch.lost():
            if entry.worker is not None:
                report_end(self.instance, entry.run_id, lost_message(entry.worker))
                self.dispatch.finish(entry.run_id, entry.worker)

    def _kill_unresponsive(self) -> None:
        """Kill the workers whose run was canceled and that have not reacted."""
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
        """There was no run for long, or there is none and nobody is left who launches."""
        now = time.monotonic()
        has_work = self.dispatch.has_work(self.plan.location.name)
        if has_work:
            self._last_work = now
        if has_work or supervisor_lock.has_launchers(self.dispatch.place):
            self._last_launcher = now
        is_idle = bool(self.plan.idle_seconds) and now - self._last_work > self.plan.idle_seconds
        return is_idle or now - self._last_launcher > LINGER_SECONDS

    def _start_another_if_needed(self) -> None:
        """A run launched before the seat was given back has seen it taken, and has started nobody."""
        if self.dispatch.has_work(self.plan.location.name):
            start_supervisor(self.instance, self.locks, self.plan)

    def _has_changed(self) -> bool:
        """The files are others than those loaded, left in peace since the last look, and were not tried before."""
        code = self.plan.location.fingerprint()
        before, self._code = self._code, code
        return code == before and code not in self._tried


@contextmanager
def _quiet() -> Iterator[None]:
    """Dagster prints each event of each run, which nobody reads here: they are in its database."""
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
    """What is said of a run whose worker vanished without a supervisor to tell how."""
    return f"Worker {worker} is gone, and its supervisor with it; the run was in its hands."
