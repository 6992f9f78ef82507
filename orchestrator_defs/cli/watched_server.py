"""The server of `orchestrator up`: starts, watches and restarts it, and prints its reports.

The server loads Dagster and the definitions; this process does not.
"""

import http.client
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator_defs.serving import Serving
from resources.runs.child_process import ChildProcess, Restarts
from resources.settings import settings

POLL_SECONDS = 0.1
START_SECONDS = 180.0
PAUSE_SECONDS = 3.0
"""Between two starts while something is away that the server needs."""
STOP_SECONDS = 40.0
"""How long it may take to end its parts, of which workers may finish their runs."""


class ServerFailed(Exception):
    """The server, or a part of it, cannot be started or kept running; the message has the end of its log."""


class WatchedServer:
    """The server as a child, stopped at the end of a `with`."""

    def __init__(self, serving: Serving, folder: Path, report: Callable[[str], None], stop: threading.Event) -> None:
        self.serving = serving
        self.report = report
        self.stop = stop
        self._reads, writes = os.pipe()
        os.set_blocking(self._reads, False)
        self._partial = b""
        self._has_answered = False
        self._is_waiting = False
        self._last_report = ""
        self._restarts = Restarts()
        self.process = ChildProcess(
            "The server",
            replace(serving, reports=writes).command(),
            environment={"ORCHESTRATOR_HOME": str(settings().home.absolute()), "OAUTH2_ACTIVE": "false"},
            log=folder / "server.log",
            descriptors=[writes],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self.process.is_running and time.monotonic() < deadline:
            with suppress(ServerFailed):
                self._relay()
            time.sleep(POLL_SECONDS)
        self.process.stop(0)
        with suppress(ServerFailed):
            self._relay()

    def start(self) -> None:
        """Start it; it answers later."""
        self.process.start()

    def wait(self) -> bool:
        """Wait until it answers; False when stopped before. Raises ServerFailed."""
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.serving):
            if self.stop.wait(POLL_SECONDS):
                return False
            is_running = self.process.is_running
            self._relay()
            if not is_running:
                raise self._failed("did not start")
            if time.monotonic() > deadline:
                raise self._failed(f"does not answer after {START_SECONDS:g} seconds")
        self._relay()
        self._has_answered = True
        return True

    def watch(self) -> None:
        """Keep it running until stopped. Raises ServerFailed when it, or a part of it, cannot be.

        A server that ends while it starts again has ended once more; one that does not answer in time is ended.
        """
        answers_by: float | None = None
        while not self.stop.wait(POLL_SECONDS):
            is_running = self.process.is_running
            self._relay()
            if not is_running:
                if self._is_waiting and self.stop.wait(PAUSE_SECONDS):
                    return
                self._restart()
                answers_by = time.monotonic() + START_SECONDS
            elif answers_by is not None and _answers(self.serving):
                answers_by = None
            elif answers_by is not None and time.monotonic() > answers_by:
                self.process.stop(0)

    def _restart(self) -> None:
        status, log = self.process.exit_status, self.process.log
        if not self._is_waiting:
            if not self._restarts.has_sense():
                raise self._failed("keeps ending")
            self.report(f"The server ended with status {status}; it is started again. {log} may say why.")
        self._is_waiting = False
        self.process.start()

    def _failed(self, what: str) -> ServerFailed:
        return ServerFailed(f"The server {what}. The end of {self.process.log}:\n{self.process.log_tail()}")

    def _relay(self) -> None:
        """Print its new reports. Raises ServerFailed for a fatal one.

        That it cannot start is fatal only if it never did: a part may have died while it started again. What passes by
        itself, such as a database that is away, does not count as an end.
        """
        with suppress(BlockingIOError):
            self._partial += os.read(self._reads, 65536)
        *lines, self._partial = self._partial.split(b"\n")
        for line in map(json.loads, lines):
            if line["is_fatal"] and not (line.get("is_start") and self._has_answered):
                raise ServerFailed(line["text"])
            self._is_waiting = line.get("may_pass", False)
            if not self._is_waiting or line["text"] != self._last_report:
                self.report(line["text"])
            self._last_report = line["text"]


def _answers(serving: Serving) -> bool:
    connection = http.client.HTTPConnection(serving.host, serving.port, timeout=5)
    try:
        connection.request("GET", f"{serving.path_prefix}/server_info")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
