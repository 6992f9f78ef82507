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
from resources.runs.child_process import Companion

log = logging.getLogger(__name__)

LOAD_SECONDS = 180.0
LOOK_SECONDS = 0.05
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
        self._companions: list[Companion] = []
        self._sockets: list[Path] = []
        entries = []
        for number, location in enumerate(locations):
            server: Mapping[str, Any] | None = location.server
            if server is None:
                path = folder / f"{os.getpid()}-{number}.sock"
                server = {"socket": str(path)}
                self._sockets.append(path)
                words = _command(location, path)
                self._companions.append(
                    Companion(f"The code server of {location.name}", words, environment=environment)
                )
            entries.append({"grpc_server": {**server, "location_name": location.name}})
        self.workspace.write_text(yaml.safe_dump({"load_from": entries}))

    def start(self) -> None:
        """Start them; returns before they have loaded anything. In the main thread."""
        for companion in self._companions:
            companion.start()

    def wait(self) -> None:
        """Return when all have loaded their code, be it with an error that the page shows. Raises SettingsError."""
        give_up = time.monotonic() + LOAD_SECONDS
        for companion, path in zip(self._companions, self._sockets, strict=True):
            while not _answers(path):
                if not companion.is_running:
                    raise SettingsError(
                        f"{companion.name} ended with status {companion.exit_status}; it says why above."
                    )
                if time.monotonic() > give_up:
                    raise SettingsError(f"{companion.name} has not loaded its code in {LOAD_SECONDS:g} seconds.")
                time.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Start again what has ended. To be called now and then."""
        for companion in self._companions:
            if not companion.is_running:
                log.warning("%s ended with status %s; it is started again.", companion.name, companion.exit_status)
                companion.start()

    def stop(self) -> None:
        """Returns when they have ended."""
        for companion in self._companions:
            companion.stop(STOP_SECONDS)
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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        try:
            knock.connect(str(path))
        except OSError:
            return False
        return True
