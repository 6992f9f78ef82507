"""The secrets of the login are the server's alone: the processes beside it inherit an environment without them."""

import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator_defs.api.server import command
from orchestrator_defs.serving import Serving
from resources.errors import SettingsError
from tests.architecture import ROOT

GIVEN = {"SESSION_SECRET": "s" * 32, "OAUTH2_RESOURCE_SERVER_SECRET": "hush"}


def test_the_processes_beside_the_server_have_none_of_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    class Servers:
        shared, workspace = (), "workspace.yaml"

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def start(self) -> None:
            seen["code server"] = {name: os.environ.get(name) for name in GIVEN}

        def stop(self) -> None: ...

    def application(_name: str) -> Any:
        seen["application"] = {name: os.environ.get(name) for name in GIVEN}
        return SimpleNamespace(state=SimpleNamespace(page=True, settings=None))

    def end(*_: Any) -> None:
        seen["others"] = {name: os.environ.get(name) for name in GIVEN}
        raise SettingsError("It is enough.")

    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "CodeServers", Servers)
    monkeypatch.setattr(command, "CodeBefore", SimpleNamespace(of=lambda *_: None))
    monkeypatch.setattr(command, "dagster_instance", nullcontext)
    monkeypatch.setattr(command, "locations_of", lambda _: [])
    monkeypatch.setattr(command, "own_application", application)
    monkeypatch.setattr(command, "check_exposure", end)
    with pytest.raises(SettingsError, match="It is enough"):
        command.serve(Serving(port=0, app="mine:app"))

    nothing = dict.fromkeys(GIVEN)
    assert seen == {"code server": nothing, "application": GIVEN, "others": nothing}


CODE = """
import os
from pathlib import Path
from resources.secrecy import environment_of_others, take_variable

print("hush" in environment_of_others().values())
os.environ["SESSION_SECRET"] = "made"
print(take_variable("OAUTH2_RESOURCE_SERVER_SECRET"), take_variable("SESSION_SECRET"), take_variable("SESSION_SECRET"))
if os.fork() == 0:
    shown = Path("/proc/self/environ").read_text()
    print("hush" in shown, "KEPT=kept" in shown, flush=True)
    os._exit(0)
os.wait()
"""


def test_a_secret_that_is_taken_is_not_in_what_the_system_shows_of_the_process() -> None:
    environment = {**os.environ, "OAUTH2_RESOURCE_SERVER_SECRET": "hush", "KEPT": "kept"}
    ran = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.stdout.split() == ["False", "hush", "made", "None", "False", "True"], ran.stderr
