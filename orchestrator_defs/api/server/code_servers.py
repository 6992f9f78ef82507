"""Dagster's code servers: they load code once for all processes of a server, and for the daemon."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dagster import DagsterInstance, serialize_value

from orchestrator_defs.api.dagster_page import Location
from resources.errors import SettingsError
from resources.runs import workspaces
from resources.runs.child_process import ChildProcess, has_living_child
from resources.runs.code_server import serve_code
from resources.runs.forked_children import Child, ForkedChildren, Report

log = logging.getLogger(__name__)

LOAD_SECONDS = 180.0
LOOK_SECONDS = 0.05
STOP_SECONDS = 0.5
"""They take seconds to end by themselves, and a kill loses nothing."""
FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0
"""Seconds until one that has answered and never had code is started again; each wait is twice the one before."""
CODE_SERVER = "code server"


class CodeServer:
    """A location's code server on a socket: a command, or a child of this process, which has loaded the code."""

    def __init__(self, location: Location, path: Path, instance: DagsterInstance) -> None:
        self.location = location
        self.path = path
        self._instance = instance.get_ref()
        self._child: Child | None = None
        self._had_code = False
        self._wait = FIRST_WAIT
        self._has_code_by = 0.0
        environment = {"DAGSTER_INSTANCE_REF": serialize_value(self._instance)}
        self._command = ChildProcess(
            f"The code server of {location.name}", _command(location, path), environment=environment
        )

    def start(self) -> None:
        """Start it as a command, which loads the present code; returns before it has."""
        self._child, self._had_code = None, False
        self._has_code_by = time.monotonic() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        self._command.start()

    def fork(self, children: ForkedChildren, listener: socket.socket) -> None:
        """Start it as a child, with the code that this process has loaded."""
        self._child = children.fork(CODE_SERVER, self._serve, without=listener)

    def _serve(self, _report: Report) -> int:
        serve_code(self.location.origin, self.path, self._instance)
        return 0

    def answers(self) -> bool:
        """Whether it has loaded its code, or its page shows the error. Raises SettingsError."""
        if self.exit_status is not None:
            raise SettingsError(f"{self._command.name} ended with status {self.exit_status}; the reason is above.")
        return _answers(self.path)

    def check(self) -> None:
        """Start it again when it has ended, or has lost the process in which its code is."""
        if (status := self.exit_status) is not None:
            log.warning("%s ended with status %s; it is started again.", self._command.name, status)
            self.start()
        elif self._child is None and self._command.pid is not None:
            has_code = has_living_child(self._command.pid)
            if not has_code and self._has_lost_code():  # `dagster code-server` answers without it, and no sensor runs
                log.warning("%s has lost the process with its code; it is started again.", self._command.name)
                self._command.stop(STOP_SECONDS)
                self.start()
            elif has_code:
                self._had_code, self._wait = True, FIRST_WAIT

    def start_again(self) -> None:
        """Start it again although it runs: it does not do its work."""
        if self._child is not None:
            self._child.kill(signal.SIGKILL)  # the next check finds its end
        else:
            self._command.stop(STOP_SECONDS)
            self.start()

    def _has_lost_code(self) -> bool:
        """Whether the process with the code died, or died while it loaded; code that cannot be loaded looks so, too."""
        return self._had_code or (time.monotonic() > self._has_code_by and _answers(self.path))

    def stop(self) -> None:
        """Stop it; returns when it has ended."""
        self._command.stop(STOP_SECONDS)
        self.path.unlink(missing_ok=True)

    @property
    def exit_status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._command.exit_status if self._child is None else self._child.status


class CodeServers:
    """A code server for each location that has none, on a socket in a folder that only we can enter.

    They end with the process that starts them. `workspace` names them for processes that load a workspace. `is_loaded`:
    this process will have loaded the locations itself, so children of it serve those that can be shared; later starts
    load the code again.
    """

    def __init__(
        self, locations: Sequence[Location], folder: Path, instance: DagsterInstance, *, is_loaded: bool
    ) -> None:
        self.workspace = folder / "workspace.yaml"
        for left in folder.glob("*.sock"):
            if not _answers(left):  # of a server that was killed
                left.unlink(missing_ok=True)
        self._servers: list[CodeServer] = []
        entries = []
        for number, location in enumerate(locations):
            server: Mapping[str, Any] | None = location.server
            if server is None:
                path = folder / f"{os.getpid()}-{number}.sock"
                server = {"socket": str(path)}
                self._servers.append(CodeServer(location, path, instance))
            entries.append({"grpc_server": {**server, "location_name": location.name}})
        self.workspace.write_text(yaml.safe_dump({"load_from": entries}))
        self._children: ForkedChildren | None = None
        self._loaded = [one for one in self._servers if is_loaded and _can_be_shared(one.location, instance)]

    @property
    def shared(self) -> list[Location]:
        """The locations that children of this process serve; others may be forked with their code, too."""
        return [server.location for server in self._loaded]

    def start(self) -> None:
        """Start the commands; returns before they have loaded their code. Call it in the main thread."""
        for server in self._servers:
            if server not in self._loaded:
                server.start()

    def fork(self, children: ForkedChildren, listener: socket.socket) -> None:
        """Fork the server of the code that this process has loaded. Returns when all answer. Raises SettingsError."""
        self._children = children
        for server in self._loaded:
            server.fork(children, listener)
        give_up = time.monotonic() + LOAD_SECONDS
        while not all(server.answers() for server in self._servers):
            children.reap()
            if time.monotonic() > give_up:
                raise SettingsError(f"The code servers have not loaded their code in {LOAD_SECONDS:g} seconds.")
            time.sleep(LOOK_SECONDS)

    def check(self) -> None:
        """Start ended servers again. Call it regularly."""
        for server in self._servers:
            server.check()

    def start_again(self, location: str) -> bool:
        """Start the code server of a location again although it runs; False when none of these serves it."""
        found = [server for server in self._servers if server.location.name == location]
        for server in found:
            server.start_again()
        return bool(found)

    def stop(self) -> None:
        """Stop them; returns when they have ended."""
        if self._children is not None:
            self._children.end(STOP_SECONDS, CODE_SERVER)
        for server in self._servers:
            server.stop()


def _can_be_shared(location: Location, instance: DagsterInstance) -> bool:
    """Whether a child can serve a location's code as a process of its own would."""
    if not workspaces.runs_here(location.origin) or location.origin.loadable_target_origin.module_name is None:
        return False
    before = dict(os.environ)
    instance.inject_env_vars(location.name)  # variables of .env are for that code, not for the API
    has_own_variables = before != dict(os.environ)
    os.environ.clear()
    os.environ.update(before)
    return not has_own_variables


def _command(location: Location, path: Path) -> list[str]:
    """Like `dagster dev`: a reload gives the code a new process behind the same socket."""
    return [
        *(location.python or sys.executable, "-m", "dagster", "code-server", "start"),
        *("--socket", str(path), "--location-name", location.name),
        *("--log-level", "warning", "--inject-env-vars-from-instance"),
        *(["--use-python-environment-entry-point"] if location.python else []),
        *location.arguments,
    ]


def _answers(path: Path) -> bool:
    """Whether a code server listens, which it does when it has loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        try:
            knock.connect(str(path))
        except OSError:
            return False
        return True
