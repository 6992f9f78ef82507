"""What the tests of many machines share: a Redis, and "machines": a folder each, with the same code and a worker."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

from resources.runs.launching.celery_launcher import OrchestratorCeleryLauncher
from tests.ports import free_port

REDIS = shutil.which("redis-server")
BIN = Path(sys.executable).parent

TOYS = '''
import os
import time
from pathlib import Path

import sqlalchemy as sa

from ops.steps.context import StepContext
from ops.steps.step import begin, step
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.jobs.decorators import task
from resources.database.session import current_session

HERE = Path(__file__).parent.name


def take_effect(context, key):
    """An effect in the step's own transaction, and where it happened."""
    values = {"process": str(context.process_id), "key": key, "host": f"{HERE} {os.getpid()}"}
    current_session().execute(sa.text("INSERT INTO effects VALUES (:process, :key, :host)"), values)


def numbered(number):
    def effect(context: StepContext):
        time.sleep(0.02)
        take_effect(context, effect.__name__)

    effect.__name__ = effect.__qualname__ = f"effect_{number}"
    return step(f"Effect {number}")(effect)


@task("Five effects")
def five():
    steps = begin
    for number in range(5):
        steps = steps >> numbered(number)
    return steps


def note(word):
    with Path(os.environ["TRACE"]).open("a") as trace:
        trace.write(f"{word} {HERE} {os.getpid()}\\n")


@step("Sleep")
def sleep(context: StepContext):
    note(f"begin {context.process_id}")
    time.sleep(60)


@step("Play deaf")
def ignore(context: StepContext):
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    note(f"begin {context.process_id}")
    time.sleep(60)


@step("Kill the worker")
def kill(context: StepContext):
    note(f"begin {context.process_id}")
    os.kill(os.getpid(), 9)


@task("Long")
def long():
    return begin >> sleep


@task("Deaf")
def deaf():
    return begin >> ignore


@task("Poison")
def poison():
    return begin >> kill


orchestrator = Orchestrator([], [five, long, deaf, poison])
defs = orchestrator.definitions
'''


@contextmanager
def redis_server(folder: Path, port: int | None = None) -> Iterator[str]:
    """A Redis of the test's own; its address. `port`: where one was before."""
    port = port or free_port()
    options = {"port": port, "bind": "127.0.0.1", "dir": folder, "save": "", "appendonly": "no", "loglevel": "warning"}
    words = [str(REDIS)]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < give_up, "redis-server does not answer"
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


@dataclass
class Machines:
    """Two folders that stand for machines: they share the two servers and the code, and nothing else."""

    instance: dg.DagsterInstance
    folder: Path
    environment: dict[str, str]
    module: str
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str, concurrency: int = 1) -> None:
        """Switch a machine on: its copy of the code, and a Celery worker."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / f"{self.module}.py").write_text(TOYS)
        words = [
            "-A",
            "resources.runs.launching.celery_worker",
            "worker",
            "-Q",
            "dagster",
            "-c",
            str(concurrency),
            "-n",
            f"{name}@%h",
        ]
        with (folder / "log").open("ab") as log:
            self.workers[name] = subprocess.Popen(
                [str(BIN / "celery"), *words, "--loglevel", "INFO"],
                cwd=folder,
                env={**self.environment, "PYTHONPATH": str(folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Pull the plug: the worker and its children get no chance to say anything."""
        worker = self.workers.pop(name)
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def stop(self) -> None:
        """Kill all that still runs."""
        for name in list(self.workers):
            self.kill(name)

    def log(self, name: str) -> str:
        """What a worker printed."""
        return (self.folder / name / "log").read_text()

    @property
    def launcher(self) -> OrchestratorCeleryLauncher:
        """The launcher under test."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, OrchestratorCeleryLauncher)
        return launcher

    def launch(self, job: str, **options: Any) -> str:
        """Make and launch a run as one of a workspace: it says where its job is defined."""
        pointer = ModuleCodePointer(self.module, "defs", None)
        origin = JobPythonOrigin(job, RepositoryPythonOrigin(sys.executable, pointer, None, None, None))
        definition = sys.modules[self.module].orchestrator.job(job)
        run = self.instance.create_run_for_job(job_def=definition, job_code_origin=origin, **options)
        self.instance.launch_run(run.run_id, workspace=None)  # type: ignore[arg-type]
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        """As Dagster has it."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def status(self, run_id: str) -> str:
        """As Dagster has it."""
        return self.run(run_id).status.value

    def messages(self, run_id: str) -> str:
        """All that a run's log says."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return "\n".join(event.message or "" for event in events if event)

    def effects(self, runs: list[str]) -> dict[str, list[str]]:
        """The steps of processes whose effect is in the database, each as often as it is there."""
        found: dict[str, list[str]] = {}
        for process, key, _ in self._effects(runs):
            found.setdefault(process, []).append(key)
        return found

    def hosts(self, runs: list[str]) -> set[str]:
        """The machines on which the effects of processes came about."""
        return {host.split()[0] for _, _, host in self._effects(runs)}

    def _effects(self, runs: list[str]) -> list[tuple[str, str, str]]:
        with psycopg.connect(self.environment["DATABASE_URI"]) as connection:
            return connection.execute(
                "SELECT process, key, host FROM effects WHERE process = ANY(%s) ORDER BY process, key", (runs,)
            ).fetchall()

    def begun(self) -> list[tuple[str, str, int]]:
        """Process, machine and pid of each beginning of a long step."""
        try:
            lines = Path(self.environment["TRACE"]).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(process, host, int(pid)) for _, process, host, pid in map(str.split, lines)]


def configure(folder: Path, broker: str, postgres_url: str) -> str:
    """Configure an instance and put the toys beside; the name of their module."""
    source = {"broker_transport_options": {"visibility_timeout": 5}}
    config = {
        "storage": {
            "custom": {
                "module": "resources.runs.storage.dagster_storage",
                "class": "OrchestratorStorage",
                "config": {"postgres_url": postgres_url},
            }
        },
        "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
        "compute_logs": {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"},
        "telemetry": {"enabled": False},
        "run_launcher": {
            "module": "resources.runs.launching.celery_launcher",
            "class": "OrchestratorCeleryLauncher",
            "config": {"broker": broker, "grace_seconds": 5, "config_source": source},
        },
        "run_monitoring": {"enabled": True, "max_resume_run_attempts": 2},
    }
    (folder / "dagster.yaml").write_text(json.dumps(config))
    module = f"celery_toys_{uuid4().hex}"
    (folder / f"{module}.py").write_text(TOYS)
    return module
