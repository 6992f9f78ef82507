"""Dagster's services with the project's own dagster.yaml: whoever serves, runs go to workers, and all of it ends."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.test_acceptance.conftest import PROJECT, Project, Webserver, fresh_home, interrupt
from tests.waiting import GENEROUS_SECONDS, eventually

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("services")]


ERRANDS = """
from pathlib import Path
from time import monotonic, sleep

import dagster as dg

WORD = Path(__file__).with_name("word").read_text()
ENOUGH = Path(__file__).with_name("enough")
EXECUTION = {"executor_def": dg.in_process_executor}


@dg.op
def say(context):
    context.log.info(f"the word is {WORD}")


@dg.op(config_schema={"seconds": float})
def nap(context):
    give_up = monotonic() + context.op_config["seconds"]
    while monotonic() < give_up and not ENOUGH.exists():
        sleep(0.1)
    context.log.info(f"the word was {WORD}")


@dg.job(**EXECUTION)
def say_it():
    say()


@dg.job(**EXECUTION)
def take_a_nap():
    nap()


defs = dg.Definitions(jobs=[say_it, take_a_nap])
"""


def nap(seconds: float) -> dict[str, object]:
    return {"ops": {"nap": {"config": {"seconds": seconds}}}}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of the test's own."""
    with fresh_home() as home:
        yield home


@pytest.fixture
def errands(home: Path, tmp_path: Path) -> Iterator[Project]:
    """Another project: its own code beside a copy of our dagster.yaml."""
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    (tmp_path / "errands.py").write_text(ERRANDS)
    (tmp_path / "word").write_text("one")
    project = Project(home, tmp_path)
    yield project
    project.wait_until_left()


def workers(project: Project) -> dict[int, str]:
    return {
        pid: command for pid, command in project.processes().items() if "resources.runs.workers.supervisor" in command
    }


def test_dagster_dev_takes_all_with_it(errands: Project) -> None:
    """After Ctrl-C nothing is left: no worker, no supervisor, no code server, no PostgreSQL."""
    with errands.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        assert server.outcome(server.launch("say_it", {})) == "SUCCESS"
        assert len(workers(errands)) == 4  # two workers, one in reserve, and their supervisor
        interrupt(server.process)
        errands.wait_until_left()


def test_a_run_in_hand_outlives_dagster_dev(errands: Project) -> None:
    """Ctrl-C ends the page, not the work: the run ends as it should, and then everything does."""
    with errands.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        run_id = server.launch("take_a_nap", nap(GENEROUS_SECONDS))
        eventually(lambda: server.status(run_id) == "STARTED", "the run to start")
    assert workers(errands)
    (errands.folder / "enough").touch()
    with errands.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        assert server.outcome(run_id) == "SUCCESS"


def test_a_reload_in_the_page_reaches_the_workers(errands: Project) -> None:
    """Nothing in the code changes, but what it read when it was loaded; a run in progress keeps what it has."""
    with errands.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        first = server.launch("say_it", {})
        assert server.outcome(first) == "SUCCESS"
        assert "the word is one" in server.messages(first)
        old = server.launch("take_a_nap", nap(GENEROUS_SECONDS))
        eventually(lambda: server.status(old) == "STARTED", "the run to start")
        (errands.folder / "word").write_text("two")
        server.reload()
        second = server.launch("say_it", {})
        assert server.outcome(second) == "SUCCESS"
        assert "the word is two" in server.messages(second)
        (errands.folder / "enough").touch()
        assert server.outcome(old) == "SUCCESS"
        assert "the word was one" in server.messages(old)


def test_the_loss_of_the_machine_is_noticed_by_the_daemon(errands: Project) -> None:
    """Supervisor, workers and code servers are killed together; the daemon, as on another machine, lives."""
    with errands.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        run_id = server.launch("take_a_nap", nap(GENEROUS_SECONDS))
        eventually(lambda: server.status(run_id) == "STARTED", "the run to start")
        victims = [
            pid
            for pid, command in errands.processes().items()
            if any(
                name in command for name in ("resources.runs.workers.supervisor", " code-server start ", " api grpc ")
            )
        ]
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert server.outcome(run_id) == "FAILURE"
        assert "is gone, and so is its supervisor" in server.messages(run_id)


def test_a_webserver_alone_executes_runs(home: Path) -> None:
    """No daemon, no variable: what is launched in the page runs in workers, which go when it goes."""
    project = Project(home)
    with project.webserver("dagster-webserver", "-w", "workspace.yaml") as server:
        pages = [{"product": "Node Cisco"}, NODE]
        assert server.outcome(server.launch("create_node", {"inputs": pages})) == "SUCCESS"
        assert workers(project)
    project.wait_until_left()


def test_a_webserver_and_a_daemon_share_the_workers(home: Path) -> None:
    """The daemon wants DAGSTER_HOME, which Dagster demands of it; the workers stay until both have gone."""
    project = Project(home)
    with project.service("dagster-daemon", "run", "-w", "workspace.yaml", DAGSTER_HOME=str(PROJECT)) as daemon:
        with project.webserver("dagster-webserver", "-w", "workspace.yaml") as server:
            assert (
                server.outcome(server.launch("create_node", {"inputs": [{"product": "Node Cisco"}, NODE]})) == "SUCCESS"
            )
            eventually(lambda: required_daemons_are_healthy(server), "the daemon's heartbeat")
        assert daemon.poll() is None
    project.wait_until_left()


def required_daemons_are_healthy(server: Webserver) -> bool:
    question = "{instance {daemonHealth {allDaemonStatuses {required healthy}}}}"
    found = server.ask(question)["instance"]["daemonHealth"]["allDaemonStatuses"]
    required = [daemon["healthy"] for daemon in found if daemon["required"]]
    return bool(required) and all(required)


NODE = {"node_name": "ams8", "site": "Amsterdam", "role": "Provider edge", "device_type": "8201"}


def test_bulk_in_dagsters_queue_lets_others_pass(home: Path, tmp_path: Path) -> None:
    """The ready configuration with Dagster's queue: few runs of low priority at once, the others at once."""
    shutil.copy(PROJECT / "deploy" / "dagster-queued.yaml", tmp_path / "dagster.yaml")
    (tmp_path / "errands.py").write_text(ERRANDS)
    (tmp_path / "word").write_text("one")
    project = Project(home, tmp_path)
    bulk = {"dagster/priority": "-1"}
    with project.webserver("dagster", "dev", "-f", "errands.py", location="errands.py") as server:
        assert server.outcome(server.launch("say_it", {})) == "SUCCESS"
        runs = [server.launch("take_a_nap", nap(3), bulk) for _ in range(12)]
        eventually(lambda: server.status(runs[0]) == "STARTED", "the first in bulk")
        assert server.outcome(server.launch("say_it", {})) == "SUCCESS"
        statuses = [server.status(run) for run in runs]
        assert statuses.count("QUEUED") >= 6, statuses
        assert sum(status in ("STARTING", "STARTED") for status in statuses) <= 2, statuses
        assert [server.outcome(run) for run in runs] == ["SUCCESS"] * len(runs)
    project.wait_until_left()
