"""The parts of `orchestrator up` beside the server: daemon, workers, the example network."""

import json
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster import DagsterInstance

from orchestrator_defs.api.dagster_page import Location
from orchestrator_defs.api.server.code_servers import CodeServers
from orchestrator_defs.health.diagnosis import late_sensors
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.instance import dagster_instance
from orchestrator_defs.serving import Serving
from resources.database.embedded import embedded_server
from resources.runs import workspaces
from resources.runs.child_process import ChildProcess, Restarts, tail, write_into
from resources.runs.code_location import CodeLocation, files_of
from resources.runs.dispatch import Loaded
from resources.runs.forked_children import Child, ForkedChildren, Report
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.manager import Preloaded, WorkerManager
from resources.runs.workers.worker import DATABASE_ERRORS
from resources.settings import dagster_home, project_folder
from resources.subscriptions.lists import subscription_ids

DAEMON, SUPERVISOR = "daemon", "supervisor"
SHIPPED = "orchestrator_defs"
"""The module of the code location with the example network."""
POLL_SECONDS = 0.1
START_SECONDS = 180.0
STOP_SECONDS = 15.0
LOOK_SECONDS = 15.0
"""How often to see whether the sensors run."""
LATE_SECONDS, MOST_DOUBLINGS = 60.0, 4
"""How long sensors that do not run are given after a start of daemon or code; so often that is doubled."""
RUN_SECONDS = 10.0
"""How long workers may finish their runs."""


class Reports:
    """Reports messages for people to the process that started this server: a line of JSON each."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def __call__(self, text: str, *, is_fatal: bool = False, is_start: bool = False, may_pass: bool = False) -> None:
        """`is_fatal`: another start would not help. `is_start`: this server could not start; `may_pass`: yet."""
        line = {"text": text, "is_fatal": is_fatal, "is_start": is_start, "may_pass": may_pass}
        with suppress(BrokenPipeError):  # the parent is gone, so this process ends soon
            os.write(self.descriptor, json.dumps(line).encode() + b"\n")


@dataclass(frozen=True)
class CodeBefore:
    """The files of code locations before this process loads them: workers may then share what it has loaded."""

    at: datetime
    files: Mapping[str, str]

    @classmethod
    def of(cls, instance: DagsterInstance, locations: Iterable[Location]) -> "CodeBefore | None":
        """The present files of these locations; None when the instance has no warm workers."""
        if not isinstance(launcher := instance.run_launcher, WarmRunLauncher):
            return None
        folders = {one.name: workspaces.folder_of(one.origin) for one in locations}
        return cls(launcher.dispatch.now(), {name: files_of(folder) for name, folder in folders.items()})

    def loaded(self, code: CodeLocation) -> Loaded | None:
        """The code that this process has loaded, None if it is not shared or has changed meanwhile."""
        is_same = self.files.get(code.name) == files_of(code.folder)
        return Loaded(code.name, code.fingerprint(), self.at) if is_same else None


class Stack:
    """The parts beside a server. Daemon and supervisor are its children, and share what it has loaded.

    `servers`: the code servers, which are started again when the sensors of their locations do not run. `before`: the
    files of the code before it was loaded, if workers can share that.
    """

    def __init__(
        self,
        serving: Serving,
        folder: Path,
        children: ForkedChildren,
        report: Reports,
        servers: CodeServers,
        before: CodeBefore | None,
    ) -> None:
        self.folder = folder
        self.servers = servers
        self.children = children
        self.report = report
        self.before = before
        self.code: list[CodeLocation] = []
        self.has_examples = serving.examples
        options = [f"--{key.replace('_', '-')}={one}" for key, given in serving.code.items() for one in _listed(given)]
        self.examples = ChildProcess(
            "The making of the example network",
            [sys.executable, "-m", "orchestrator_defs.cli.main", "demo", "--only-create", *options],
            log=folder / "examples.log",
        )
        self._listener: socket.socket | None = None
        self._daemon_log = folder / "daemon.log"
        self._daemon_started = 0.0
        self._daemon_is_ready = False
        self._orchestrators: Sequence[Orchestrator] = ()
        self._next_look = 0.0
        self._late_looks = 0
        self._restarts = Restarts()
        self._is_stopping = False
        self._instance: DagsterInstance | None = None
        self._managers: list[WorkerManager] = []

    def prepare(self, served: Served) -> None:
        """Prepare the database, with schema and catalogues."""
        database = served.prepare()
        self._orchestrators = served.orchestrators
        self.code = [one.code for one in served.orchestrators if one.code is not None]
        with database.transaction(read_only=True):
            is_empty = not subscription_ids(after=None, limit=1)
        shipped = [code.name for code in self.code if getattr(code.pointer, "module", None) == SHIPPED]
        self.has_examples = self.has_examples and is_empty and bool(shipped)
        self.examples.command += [f"--location={name}" for name in shipped[:1]]  # there may be others beside it
        where = f"embedded, in {embedded_server().data}" if database.is_embedded else str(database.url)
        self.report(f"The database is ready: {where}.")
        database.dispose()  # children must not use its connections

    def start(self, listener: socket.socket) -> None:
        """Start the parts after the server answers on its `listener`, which they close."""
        self._listener = listener
        if self.has_examples:
            self.report("There is no subscription yet: a small example network is being created.")
            self.examples.start()
        self._instance = dagster_instance()
        self._start_daemon()
        launcher = self._instance.run_launcher
        for code in self.code:
            if not isinstance(launcher, WarmRunLauncher):
                break
            plan = replace(launcher.plan(code, idle_seconds=0), spare=1)
            loaded = self.before.loaded(code) if self.before else None
            shared = None if loaded is None else Preloaded(loaded, self._fork_supervisor)
            manager = WorkerManager(self._instance, launcher.dispatch, plan, self.report, shared)
            if manager.start():
                self._managers.append(manager)

    def _fork_supervisor(self, work: Callable[[Report], int]) -> None:
        # It lives as long as its workers have runs, also after the server's end.
        self.children.fork(SUPERVISOR, work, without=self._listener, outlives=True)

    def check(self) -> None:
        """Check the parts. Call it regularly."""
        self._check_daemon()
        self._check_sensors()
        self._check_examples()
        for manager in self._managers:
            manager.check()

    def stop(self) -> None:
        """Stop the parts; returns when they have ended."""
        self._is_stopping = True
        self.examples.terminate()
        self.children.kill_all(signal.SIGTERM, DAEMON)
        with suppress(*DATABASE_ERRORS):
            self._stop_workers()
        self._managers = []
        self.examples.stop()
        self.children.end(STOP_SECONDS, DAEMON)

    # --- the daemon ---

    def _start_daemon(self) -> None:
        self._daemon_started = time.time()
        self._daemon_is_ready = False
        self._next_look = time.monotonic() + LATE_SECONDS
        self.children.fork(DAEMON, self._be_daemon, self._restart_daemon, without=self._listener)

    def _be_daemon(self, _report: Report) -> int:
        """Run like the command `dagster-daemon`, with what is loaded already."""
        write_into(self._daemon_log)
        os.environ["DAGSTER_HOME"] = str(dagster_home() or project_folder() or Path.cwd())  # the daemon requires it
        sys.argv = ["dagster-daemon", "run", "--log-level", "warning", "-w", str(self.folder / "workspace.yaml")]
        runpy.run_module("dagster._daemon", run_name="__main__", alter_sys=True)
        return 0

    def _restart_daemon(self, child: Child) -> None:
        if self._is_stopping:
            return
        if not self._restarts.has_sense():
            self._fail("The daemon keeps ending.")
            return
        self.report(
            f"The daemon ended with status {child.status}; it is started again. {self._daemon_log} may say why."
        )
        self._start_daemon()

    def _check_daemon(self) -> None:
        if self._daemon_is_ready or self._instance is None:
            return
        with suppress(*DATABASE_ERRORS):
            latest = [one.last_heartbeat for one in self._instance.get_daemon_statuses().values() if one.required]
            if latest and all(beat is not None and beat.timestamp >= self._daemon_started for beat in latest):
                self._daemon_is_ready = True
                self.report("Ready: the daemon, for schedules, sensors and lost runs.")
        if not self._daemon_is_ready and time.time() - self._daemon_started > START_SECONDS:
            self.report(f"The daemon has no heartbeat after {START_SECONDS:g} seconds.")
            self.children.kill_all(signal.SIGKILL, DAEMON)  # another takes its place, so many times
            self._daemon_started = time.time()

    def _check_sensors(self) -> None:
        """Start what does not work: the code of locations whose sensors do not run, and then the daemon, too.

        All have their processes and their heartbeats then, such as a code server whose code could not be loaded while
        the database was away. Each attempt is given twice the time of the one before.
        """
        if self._instance is None or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_SECONDS
        with suppress(*DATABASE_ERRORS):
            states = self._instance.all_instigator_state()
            late = {one.name: found for one in self._orchestrators if (found := next(late_sensors(one, states), ""))}
            for location, found in late.items():
                if self.servers.start_again(location):
                    self.report(f"{found} The code server of {location} is started again.")
            if late and self._late_looks % 2:
                self.report("The daemon is started again, too.")
                self.children.kill_all(signal.SIGKILL, DAEMON)
            self._next_look += LATE_SECONDS * 2 ** min(self._late_looks, MOST_DOUBLINGS) if late else 0.0
            self._late_looks = self._late_looks + 1 if late else 0

    def _fail(self, what: str) -> None:
        self.report(f"{what} The end of {self._daemon_log}:\n{tail(self._daemon_log)}", is_fatal=True)

    # --- the others ---

    def _check_examples(self) -> None:
        status = self.examples.exit_status
        if status is None or not self.has_examples:
            return
        self.has_examples = False
        if status == 0:
            self.report("Ready: the example network; `orchestrator subscriptions` lists it.")
        else:
            log = self.examples.log
            self.report(
                f"{self.examples.name} ended with status {status}. The end of {log}:\n{self.examples.log_tail()}"
            )

    def _stop_workers(self) -> None:
        if not self._managers:
            return
        dispatch = self._managers[0].dispatch
        host = os.uname().nodename
        workers_here = {worker.worker for worker in dispatch.workers() if worker.host == host}
        for manager in self._managers:
            manager.stop()
        deadline = time.monotonic() + RUN_SECONDS
        is_reported = False
        while left := [worker for worker in dispatch.workers() if worker.worker in workers_here]:
            busy = [worker.run_id for worker in left if worker.run_id]
            if busy and not is_reported:
                self.report(f"Waiting {RUN_SECONDS:g} seconds for the end of {', '.join(busy)}.")
                is_reported = True
            if time.monotonic() > deadline:
                for worker in left:
                    with suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGKILL)
                self.report("Unfinished processes continue from their last committed step at the next start.")
                return
            time.sleep(POLL_SECONDS)


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]
