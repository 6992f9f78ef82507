"""Dagster's code servers: they load code once for all processes of a server, and for the daemon beside it."""

import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from orchestrator_defs.api.dagster_page import Location
from resources.errors import SettingsError
from resources.runs.child_process import ChildProcess

log = logging.getLogger(__name__)

LOAD_SECONDS = 180.0
POLL_SECONDS = 0.05
STOP_SECONDS = 0.5
"""They take seconds to end by themselves, and have nothing in hand that could be lost."""


class CodeServers:
    """A code server for each location that has none, on a socket in a folder that only we can enter.

    They end with the process that starts them. `workspace` names them, for whoever loads a workspace.
    """

    def __init__(self, locations: Sequence[Location], folder: Path, environment: Mapping[str, str]) -> None:
        self.workspace = folder / "workspace.yaml"
        for left in folder.glob("*.sock"):
            if not _answers(left):  # of a server that was killed
                left.unlink(missing_ok=True)
        self._servers: list[ChildProcess] = []
        self._sockets: list[Path] = []
        entries = []
        for number, location in enumerate(locations):
            server: Mapping[str, Any] | None = location.server
            if server is None:
                path = folder / f"{os.getpid()}-{number}.sock"
                server = {"socket": str(path)}
                self._sockets.append(path)
                command = _command(location, path)
                self._servers.append(
                    ChildProcess(f"The code server of {location.name}", command, environment=environment)
                )
            entries.append({"grpc_server": {**server, "location_name": location.name}})
        self.workspace.write_text(yaml.safe_dump({"load_from": entries}))

    def start(self) -> None:
        """Start them; returns before they have loaded anything. In the main thread."""
        for server in self._servers:
            server.start()

    def wait(self) -> None:
        """Return when all have loaded their code, be it with an error that the page shows. Raises SettingsError."""
        deadline = time.monotonic() + LOAD_SECONDS
        for server, path in zip(self._servers, self._sockets, strict=True):
            while not _answers(path):
                if not server.is_running:
                    raise SettingsError(f"{server.name} ended with status {server.exit_status}; it says why above.")
                if time.monotonic() > deadline:
                    raise SettingsError(f"{server.name} has not loaded its code in {LOAD_SECONDS:g} seconds.")
                time.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Start again what has ended. To be called now and then."""
        for server in self._servers:
            if not server.is_running:
                log.warning("%s ended with status %s; it is started again.", server.name, server.exit_status)
                server.start()

    def stop(self) -> None:
        """Returns when they have ended."""
        for server in self._servers:
            server.stop(STOP_SECONDS)
        for path in self._sockets:
            path.unlink(missing_ok=True)


def _command(location: Location, path: Path) -> list[str]:
    """As `dagster dev` starts them: a reload gives the code a new process behind the same socket."""
    return [
        *(location.python or sys.executable, "-m", "dagster", "code-server", "start"),
        *("--socket", str(path), "--location-name", location.name),
        *("--log-level", "warning", "--inject-env-vars-from-instance"),
        *(["--use-python-environment-entry-point"] if location.python else []),
        *location.arguments,
    ]


def _answers(path: Path) -> bool:
    """A code server listens once it has loaded."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
