"""`orchestrator workers`: seen from the shell, in a project's folder of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from tests.test_resources.warm import PATIENCE, Warm, configure, eventually

pytestmark = pytest.mark.xdist_group("workers")
COMMAND = "from orchestrator_defs.cli.main import main; main()"


@pytest.fixture
def orchestrator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command in the test's folder."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def test_without_workers_it_says_so(
    dagster_instance: dg.DagsterInstance, tmp_path: Path, orchestrator: Callable[..., Result]
) -> None:
    configure(tmp_path)
    assert orchestrator("workers", "status").output == "No worker lives; the next launch starts some.\n"
    assert orchestrator("workers", "stop").output == "No worker was running.\n"


def test_another_launcher_is_named(dagster_instance: dg.DagsterInstance, orchestrator: Callable[..., Result]) -> None:
    refused = orchestrator("workers", "status")
    assert refused.exit_code == 1
    assert "DefaultRunLauncher" in refused.output


def test_workers_are_started_shown_and_stopped(
    dagster_instance: dg.DagsterInstance, tmp_path: Path, orchestrator: Callable[..., Result]
) -> None:
    location = configure(tmp_path, start_workers=False)
    command = [sys.executable, "-c", COMMAND, "workers", "start", "--count", "2"]
    with (
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONWARNINGS": "ignore"}) as supervisor,
    ):
        warm = Warm(instance, tmp_path, location)
        try:
            eventually(lambda: len(warm.workers()) == 2)
            assert warm.end(warm.launch("ten")) == "SUCCESS"
            assert "toys" in orchestrator("workers", "status").output
            assert "run already" in orchestrator("workers", "start").output
            assert orchestrator("workers", "stop").output == "2 workers have ended.\n"
            assert supervisor.wait(PATIENCE) == 0
        finally:
            supervisor.send_signal(signal.SIGKILL)
            warm.stop()
