"""The parts that `orchestrator up` starts, looks after and stops."""

import http.client
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dagster import DagsterInstance

from orchestrator_defs.processes.instance import dagster_instance
from orchestrator_defs.serving import Serving
from resources.runs.child_process import ChildProcess
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.manager import WorkerManager
from resources.runs.workers.worker import DATABASE_ERRORS
from resources.settings import dagster_home, project_folder, settings

POLL_SECONDS = 0.1
START_SECONDS = 180.0
RUN_SECONDS = 10.0
"""How long workers may finish what they have in hand."""
MOST_RESTARTS, WITHIN_SECONDS = 3, 60.0
"""A part that ends so often in so long will not be helped by another start."""


class PartFailed(Exception):
    """A part cannot be started or kept; the message has the last lines of its log."""

    def __init__(self, part: ChildProcess, what: str) -> None:
        super().__init__(f"{part.name} {what}. The end of {part.log}:\n{part.log_tail()}")


class Stack:
    """Server, daemon, workers and the making of the example; all stopped at the end of a `with`."""

    def __init__(self, serving: Serving, folder: Path, report: Callable[[str], None], stop: threading.Event) -> None:
        self.serving = serving
        self.report = report
        self.stop = stop
        home = {"ORCHESTRATOR_HOME": str(settings().home.absolute())}
        # Dagster demands DAGSTER_HOME of its daemon; it says where dagster.yaml is.
        configuration = {"DAGSTER_HOME": str(dagster_home() or project_folder() or Path.cwd())}
        command = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "warning"]
        self.server = ChildProcess(
            "The server", serving.command(), environment=home | {"OAUTH2_ACTIVE": "false"}, log=folder / "server.log"
        )
        self.daemon = ChildProcess(
            "The daemon",
            [*command, "-w", str(folder / "workspace.yaml")],
            environment=home | configuration,
            log=folder / "daemon.log",
        )
        self.examples = ChildProcess(
            "The making of the example network",
            [sys.executable, "-m", "orchestrator_defs.cli.main", "demo", "--only-create"],
            environment=home,
            log=folder / "examples.log",
        )
        self._restarts: list[float] = []
        self._daemon_started = 0.0
        self._daemon_is_ready = False
        self._examples_reported = False
        self._closing = ExitStack()
        self._instance: DagsterInstance | None = None
        self._manager: WorkerManager | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop = (self.examples, self.daemon)
        for part in stop:
            part.terminate()
        with suppress(*DATABASE_ERRORS):
            self._stop_workers()
        for part in (*stop, self.server):  # last whose code servers the daemon uses
            part.stop()
        self._closing.close()

    # --- start ---

    def start_server(self) -> None:
        """Start the server; it answers later."""
        self.server.start()

    def start_examples(self) -> None:
        """Have the example network made, beside everything else."""
        self.report("There is no subscription yet: a small example network is made meanwhile.")
        self.examples.start()

    def wait_for_server(self) -> bool:
        """Return when the server answers; False when told to stop before. Raises PartFailed."""
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.serving):
            if self.stop.wait(POLL_SECONDS):
                return False
            if not self.server.is_running:
                raise PartFailed(self.server, "did not start")
            if time.monotonic() > deadline:
                raise PartFailed(self.server, f"does not answer after {START_SECONDS:g} seconds")
        return True

    def start_others(self) -> None:
        """Start what needs the server's code servers, or can wait for people to look around: daemon and workers."""
        self._start_daemon()
        self._instance = self._closing.enter_context(dagster_instance())
        launcher = self._instance.run_launcher
        if isinstance(launcher, WarmRunLauncher):
            manager = WorkerManager(self._instance, launcher.dispatch, launcher.plan(idle_seconds=0), self.report)
            if manager.start():
                self._manager = manager

    def _start_daemon(self) -> None:
        self._daemon_started = time.time()
        self._daemon_is_ready = False
        self.daemon.start()

    # --- look after ---

    def watch(self) -> None:
        """Keep the parts alive until told to stop. Raises PartFailed when one cannot be."""
        while not self.stop.wait(POLL_SECONDS):
            if not self.server.is_running:
                self._count_restart(self.server)
                self.daemon.stop()  # it knows the code servers of the former one
                self.server.start()
                if self.wait_for_server():
                    self._start_daemon()
            elif not self.daemon.is_running:
                self._count_restart(self.daemon)
                self._start_daemon()
            self._check_daemon()
            self._check_examples()
            if self._manager is not None:
                self._manager.check()

    def _count_restart(self, part: ChildProcess) -> None:
        now = time.monotonic()
        self._restarts = [*(at for at in self._restarts if now - at < WITHIN_SECONDS), now]
        if len(self._restarts) > MOST_RESTARTS:
            raise PartFailed(part, "ends again and again")
        self.report(f"{part.name} ended with status {part.exit_status}; it is started again. {part.log} may say why.")

    def _check_daemon(self) -> None:
        if self._daemon_is_ready or self._instance is None:
            return
        with suppress(*DATABASE_ERRORS):
            latest = [one.last_heartbeat for one in self._instance.get_daemon_statuses().values() if one.required]
            if latest and all(beat is not None and beat.timestamp >= self._daemon_started for beat in latest):
                self._daemon_is_ready = True
                self.report("Ready: the daemon, for schedules, sensors, and what was lost.")
        if not self._daemon_is_ready and time.time() - self._daemon_started > START_SECONDS:
            raise PartFailed(self.daemon, f"shows no sign of life after {START_SECONDS:g} seconds")

    def _check_examples(self) -> None:
        status = self.examples.exit_status
        if status is None or self._examples_reported:
            return
        self._examples_reported = True
        if status == 0:
            self.report("Ready: the example network; `orchestrator subscriptions` lists it.")
        else:
            self.report(str(PartFailed(self.examples, f"ended with status {status}")))

    # --- stop ---

    def _stop_workers(self) -> None:
        if self._manager is None:
            return
        dispatch = self._manager.dispatch
        host = os.uname().nodename
        workers_here = {worker.worker for worker in dispatch.workers() if worker.host == host}
        self._manager.stop()
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
                self.report("What was not finished goes on from its last committed step when this is started again.")
                return
            time.sleep(POLL_SECONDS)


def _answers(serving: Serving) -> bool:
    connection = http.client.HTTPConnection(serving.host, serving.port, timeout=5)
    try:
        connection.request("GET", f"{serving.path_prefix}/server_info")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
