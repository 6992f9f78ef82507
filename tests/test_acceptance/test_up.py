"""`orchestrator up`: one command brings everything up, and nothing of it stays."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ports import free_port
from tests.test_acceptance.conftest import Project, fresh_home
from tests.waiting import GENEROUS_SECONDS, eventually

MOST_PROCESSES, MOST_MEGABYTES = 9, 650
"""Python processes, and memory of all processes with PostgreSQL and the lab."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("up")]


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    with fresh_home() as home:
        yield Project(home)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@contextmanager
def up(project: Project, port: int) -> Iterator["subprocess.Popen[str]"]:
    """Bring it up, and have it say that all is ready."""
    with project.service("orchestrator", "up", "--port", str(port)) as process:
        for ready in (f"http://127.0.0.1:{port}/api/docs", "Ready: the daemon", "Ready: 2 for all runs"):
            eventually(lambda ready=ready: process.poll() is not None or ready in said(project), ready)
            assert process.poll() is None, said(project)
        yield process


def said(project: Project) -> str:
    return (project.home / "orchestrator.log").read_text()


def test_first_start_makes_an_example_network_and_a_kill_leaves_nothing(project: Project, port: int) -> None:
    with up(project, port) as process:
        eventually(lambda: "Ready: the example network" in said(project), "the example network")
        made = project.orchestrator("subscriptions", "--limit", "100")
        assert len(made) == 3 + 8 + 2 + 2
        assert {one["status"] for one in made} == {"active"}
        second = project.command("orchestrator", "up", "--port", str(port))
        assert second.returncode == 1
        assert f"runs already: http://127.0.0.1:{port}/ (process {process.pid})" in second.stderr
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        project.wait_until_left()


def test_next_start_finds_what_was_there_and_looks_after_its_parts(project: Project, port: int) -> None:
    (project.home / "orchestrator.log").unlink()
    with up(project, port) as process:
        assert "example network" not in said(project)
        assert len(project.orchestrator("subscriptions", "--limit", "100")) == 3 + 8 + 2 + 2
        _drive_the_api(project, port)
        _kill(project, "daemon")
        eventually(lambda: said(project).count("Ready: the daemon") == 2, "another daemon")
        assert "The daemon ended with status -9; it is started again." in said(project)
        _kill(project, "serving")
        eventually(lambda: _answers(port), "another serving process")
        _kill(project, "code server")
        log = project.home / "up" / "server.log"
        eventually(lambda: "code server of orchestrator ended with status -9; it is" in log.read_text(), "another one")
        os.kill(project.named("worker")[0], signal.SIGKILL)
        _kill(project, "server")
        eventually(lambda: said(project).count("Ready: the daemon") == 3, "another server with a daemon")
        eventually(lambda: said(project).count("Ready: 2 for all runs") == 2, "other workers")
        assert "The server ended with status -9; it is started again." in said(project)
        _drive_the_api(project, port)
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_SECONDS) == 0
    project.wait_until_left()
    assert said(project).endswith("Everything is stopped.\n")
    assert not list((project.home / "up").glob("*.sock"))


def test_with_nothing_to_do_it_keeps_to_its_measure(project: Project, port: int) -> None:
    """Of processes and of memory; what several of them share is counted once."""
    (project.home / "orchestrator.log").unlink()
    with up(project, port) as process:
        commands = project.processes()
        pythons = {pid: command for pid, command in commands.items() if "postgres" not in command.split()[0]}
        assert len(pythons) <= MOST_PROCESSES, pythons
        assert sum(map(_megabytes, commands)) < MOST_MEGABYTES, {commands[pid]: _megabytes(pid) for pid in commands}
        process.send_signal(signal.SIGHUP)  # as a terminal that is closed
        assert process.wait(GENEROUS_SECONDS) == 0
    project.wait_until_left()


def _megabytes(pid: int) -> float:
    """The proportional share of a process in the memory that it uses."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:"))) / 1024


def _kill(project: Project, name: str) -> None:
    # A child that is just forked still has its parent's name.
    (pid,) = eventually(lambda: len(named := project.named(name)) == 1 and named, f"one {name}")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in project.processes(), "its end")


def _answers(port: int) -> bool:
    try:
        return bool(httpx.get(f"http://127.0.0.1:{port}/api/health/").status_code == 200)
    except httpx.HTTPError:
        return False


def _drive_the_api(project: Project, port: int) -> None:
    """The example does what its docstring says: a form, live updates, an answer, a callback, an abort."""
    played = project.command("python", "examples/drive_the_api.py", f"http://127.0.0.1:{port}")
    assert played.returncode == 0, played.stdout + played.stderr
    stations = ("Page 2: Node Nokia", "redeploy_node: suspended", "awaiting_callback", "redeploy_node: completed")
    assert all(station in played.stdout for station in (*stations, "redeploy_node: aborted", "active, out of sync"))
