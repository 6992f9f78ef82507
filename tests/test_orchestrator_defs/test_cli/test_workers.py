"""`orchestrator workers`: seen from the shell, in a project's folder of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from orchestrator_defs.cli.main import main
from resources.runs.workers.manager import RESTART_SECONDS
from tests.test_resources.test_runs.warm import Warm, configure, gone, warm_instances
from tests.waiting import GENEROUS_SECONDS, eventually

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
    assert orchestrator("workers", "status").output == "No worker is running; the next launch starts some.\n"
    assert orchestrator("workers", "stop").output == "No worker was running.\n"


def test_runs_that_wait_are_told_of(
    dagster_instance: dg.DagsterInstance, tmp_path: Path, orchestrator: Callable[..., Result]
) -> None:
    location = configure(tmp_path, start_workers=False)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        Warm(instance, tmp_path, location).launch("ten")
    assert "Of toys 1 run waits for a worker." in orchestrator("workers", "status").output


def test_another_launcher_is_named(dagster_instance: dg.DagsterInstance, orchestrator: Callable[..., Result]) -> None:
    refused = orchestrator("workers", "status")
    assert refused.exit_code == 1
    assert "DefaultRunLauncher" in refused.output


@pytest.fixture
def started(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[tuple[Warm, subprocess.Popen[str]]]:
    """`orchestrator workers start`, in a folder whose launches start nothing by themselves."""
    location = configure(tmp_path, start_workers=False)
    command = [sys.executable, "-c", COMMAND, "workers", "start", "--count", "1"]
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    with (
        dg.DagsterInstance.from_config(str(tmp_path)) as instance,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as manager,
    ):
        warm = Warm(instance, tmp_path, location)
        try:
            eventually(lambda: len(warm.workers()) == 2 or manager.poll() is not None)
            yield warm, manager
        finally:
            manager.kill()
            warm.stop()


@pytest.mark.slow
def test_workers_are_started_shown_and_stopped(
    started: tuple[Warm, subprocess.Popen[str]], orchestrator: Callable[..., Result]
) -> None:
    warm, manager = started
    assert warm.end(warm.launch("ten")) == "SUCCESS"
    shown = orchestrator("workers", "status").output
    assert "toys" in shown
    assert "no bulk" in shown
    refused = orchestrator("workers", "start")
    assert refused.exit_code == 1
    assert "Another `orchestrator workers start` runs workers of toys" in refused.output
    assert orchestrator("workers", "stop").output == "2 workers have stopped.\n"
    assert manager.wait(GENEROUS_SECONDS) == 0
    assert manager.stdout is not None
    assert "Ready: 1 for all runs of toys, and 1 in reserve." in manager.stdout.read()


@pytest.mark.slow
def test_interrupted_workers_finish_what_they_have(started: tuple[Warm, subprocess.Popen[str]]) -> None:
    warm, manager = started
    run_id = warm.stay()
    warm.begun(run_id)
    manager.send_signal(signal.SIGINT)
    time.sleep(1)  # in which the wrong thing would happen
    warm.leave(run_id)
    assert manager.wait(GENEROUS_SECONDS) == 0
    assert warm.status(run_id) == "SUCCESS"
    assert warm.workers() == []


@pytest.mark.slow
def test_a_supervisor_that_dies_is_replaced(started: tuple[Warm, subprocess.Popen[str]]) -> None:
    warm, _ = started
    before = warm.supervisors()
    time.sleep(RESTART_SECONDS)
    os.kill(*before, signal.SIGKILL)
    eventually(lambda: (now := warm.supervisors()) and not now & before)


@pytest.mark.slow
def test_workers_leave_when_who_asked_for_them_is_killed(started: tuple[Warm, subprocess.Popen[str]]) -> None:
    warm, manager = started
    here = [*warm.workers(), *warm.supervisors()]
    manager.kill()
    eventually(lambda: gone(here))


@pytest.mark.slow
def test_start_takes_over_from_workers_that_a_launch_has_started(
    dagster_instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with warm_instances(tmp_path) as make:
        warm = make(workers=1)
        assert warm.end(warm.launch("ten")) == "SUCCESS"
        before = warm.supervisors()
        command = [sys.executable, "-c", COMMAND, "workers", "start", "--count", "2", "--reserved", "0"]
        with subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONWARNINGS": "ignore"}) as manager:
            try:
                eventually(lambda: len(warm.workers()) == 2 and not warm.supervisors() & before)
                assert warm.end(warm.launch("ten")) == "SUCCESS"
                assert len(warm.supervisors()) == 1
            finally:
                manager.send_signal(signal.SIGTERM)
                assert manager.wait(GENEROUS_SECONDS) == 0
