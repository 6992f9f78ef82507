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
from resources.runs.child_process import Companion
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.staffing import Staffing
from resources.runs.workers.worker import DATABASE_ERRORS
from resources.settings import dagster_home, project_folder, settings

LOOK_SECONDS = 0.1
START_SECONDS = 180.0
RUN_SECONDS = 10.0
"""How long workers may finish what they have in hand."""
MOST_DEATHS, WITHIN_SECONDS = 3, 60.0
"""A part that ends so often in so long will not be helped by another start."""


class PartFailed(Exception):
    """A part cannot be started or kept; the message has the last lines of its log."""

    def __init__(self, part: Companion, what: str) -> None:
        super().__init__(f"{part.name} {what}. The end of {part.log}:\n{part.last_words()}")


class Stack:
    """Server, daemon, workers and the making of the example; all stopped at the end of a `with`."""

    def __init__(self, serving: Serving, folder: Path, tell: Callable[[str], None], told: threading.Event) -> None:
        self.serving = serving
        self.tell = tell
        self.told = told
        home = {"ORCHESTRATOR_HOME": str(settings().home.absolute())}
        # Dagster demands DAGSTER_HOME of its daemon; it says where dagster.yaml is.
        configuration = {"DAGSTER_HOME": str(dagster_home() or project_folder() or Path.cwd())}
        words = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "warning"]
        self.server = Companion(
            "The server", serving.command(), environment=home | {"OAUTH2_ACTIVE": "false"}, log=folder / "server.log"
        )
        self.daemon = Companion(
            "The daemon",
            [*words, "-w", str(folder / "workspace.yaml")],
            environment=home | configuration,
            log=folder / "daemon.log",
        )
        self.examples = Companion(
            "The making of the example network",
            [sys.executable, "-m", "orchestrator_defs.cli.main", "demo", "--only-create"],
            environment=home,
            log=folder / "examples.log",
        )
        self._deaths: list[float] = []
        self._daemon_started = 0.0
        self._daemon_lives = False
        self._told_of_examples = False
        self._closing = ExitStack()
        self._instance: DagsterInstance | None = None
        self._staffing: Staffing | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        told = (self.examples, self.daemon)
        for part in told:
            part.tell()
        with suppress(*DATABASE_ERRORS):
            self._end_workers()
        for part in (*told, self.server):  # last whose code servers the daemon uses
            part.stop()
        self._closing.close()

    # --- start ---

    def start_server(self) -> None:
        """Start the server; it answers later."""
        self.server.start()

    def start_examples(self) -> None:
        """Have the example network made, beside everything else."""
        self.tell("There is no subscription yet: a small example network is made meanwhile.")
        self.examples.start()

    def wait_for_server(self) -> bool:
        """Return when the server answers; False when told to stop before. Raises PartFailed."""
        give_up = time.monotonic() + START_SECONDS
        while not _answers(self.serving):
            if self.told.wait(LOOK_SECONDS):
                return False
            if not self.server.is_running:
                raise PartFailed(self.server, "did not start")
            if time.monotonic() > give_up:
                raise PartFailed(self.server, f"does not answer after {START_SECONDS:g} seconds")
        return True

    def start_others(self) -> None:
        """Start what needs the server's code servers, or can wait for people to look around: daemon and workers."""
        self._start_daemon()
        self._instance = self._closing.enter_context(dagster_instance())
        launcher = self._instance.run_launcher
        if isinstance(launcher, WarmRunLauncher):
            staffing = Staffing(self._instance, launcher.dispatch, launcher.plan(idle_seconds=0), self.tell)
            if staffing.begin():
                self._staffing = staffing

    def _start_daemon(self) -> None:
        self._daemon_started = time.time()
        self._daemon_lives = False
        self.daemon.start()

    # --- look after ---

    def watch(self) -> None:
        """Keep the parts alive until told to stop. Raises PartFailed when one cannot be."""
        while not self.told.wait(LOOK_SECONDS):
            if not self.server.is_running:
                self._revive(self.server)
                self.daemon.stop()  # it knows the code servers of the former one
                self.server.start()
                if self.wait_for_server():
                    self._start_daemon()
            elif not self.daemon.is_running:
                self._revive(self.daemon)
                self._start_daemon()
            self._look_at_daemon()
            self._look_at_examples()
            if self._staffing is not None:
                self._staffing.look()

    def _revive(self, part: Companion) -> None:
        now = time.monotonic()
        self._deaths = [*(at for at in self._deaths if now - at < WITHIN_SECONDS), now]
        if len(self._deaths) > MOST_DEATHS:
            raise PartFailed(part, "ends again and again")
        self.tell(f"{part.name} ended with status {part.exit_status}; it is started again. {part.log} may say why.")

    def _look_at_daemon(self) -> None:
        if self._daemon_lives or self._instance is None:
            return
        with suppress(*DATABASE_ERRORS):
            beats = [one.last_heartbeat for one in self._instance.get_daemon_statuses().values() if one.required]
            if beats and all(beat is not None and beat.timestamp >= self._daemon_started for beat in beats):
                self._daemon_lives = True
                self.tell("Ready: the daemon, for schedules, sensors, and what was lost.")
        if not self._daemon_lives and time.time() - self._daemon_started > START_SECONDS:
            raise PartFailed(self.daemon, f"shows no sign of life after {START_SECONDS:g} seconds")

    def _look_at_examples(self) -> None:
        status = self.examples.exit_status
        if status is None or self._told_of_examples:
            return
        self._told_of_examples = True
        if status == 0:
            self.tell("Ready: the example network; `orchestrator subscriptions` lists it.")
        else:
            self.tell(str(PartFailed(self.examples, f"ended with status {status}")))

    # --- stop ---

    def _end_workers(self) -> None:
        if self._staffing is None:
            return
        dispatch = self._staffing.dispatch
        host = os.uname().nodename
        mine = {worker.worker for worker in dispatch.workers() if worker.host == host}
        self._staffing.end()
        give_up = time.monotonic() + RUN_SECONDS
        is_told = False
        while left := [worker for worker in dispatch.workers() if worker.worker in mine]:
            busy = [worker.run_id for worker in left if worker.run_id]
            if busy and not is_told:
                self.tell(f"Waiting {RUN_SECONDS:g} seconds for the end of {', '.join(busy)}.")
                is_told = True
            if time.monotonic() > give_up:
                for worker in left:
                    with suppress(ProcessLookupError):
                        os.kill(worker.pid, signal.SIGKILL)
                self.tell("What was not finished goes on from its last committed step when this is started again.")
                return
            time.sleep(LOOK_SECONDS)


def _answers(serving: Serving) -> bool:
    connection = http.client.HTTPConnection(serving.host, serving.port, timeout=5)
    try:
        connection.request("GET", f"{serving.path_prefix}/server_info")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
