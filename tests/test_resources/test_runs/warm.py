"""What the tests of warm workers share: toy jobs in a folder of their own, and an instance that launches to workers."""

import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg
import psycopg
import yaml
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget

from resources.database.embedded import EmbeddedServer
from resources.runs.code_location import CodeLocation
from resources.runs.launching.launcher import WarmRunLauncher
from tests.waiting import GENEROUS_SECONDS, eventually

ROOT = Path(__file__).parents[3]
TOYS = """
import os
import select
import signal
import socket
import time
from pathlib import Path

import dagster as dg

VERSION = "1"
TRACE = Path(__file__).with_name("trace")
KEPT = []
WORDS = 10


def note(context, word):
    with TRACE.open("a") as trace:
        trace.write(f"{word} {context.run.run_id} {os.getpid()} {VERSION}\\n")


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def step(context):
    note(context, "step")


@dg.op(config_schema={"seconds": float})
def nap(context):
    note(context, "begin")
    give_up = time.monotonic() + context.op_config["seconds"]
    while time.monotonic() < give_up:  # a sleep that a hiccup of the clock does not end
        time.sleep(max(0.0, give_up - time.monotonic()))
    note(context, "end")


@dg.op
def stay(context):
    note(context, "begin")
    give_up = time.monotonic() + 250
    while time.monotonic() < give_up and not TRACE.with_name(f"leave_{context.run.run_id}").exists():
        time.sleep(0.05)
    note(context, "end")


@dg.op
def listen(context):
    ours, theirs = socket.socketpair()
    note(context, "begin")
    ours.recv(1)


@dg.op
def exit_seven(context):
    note(context, "begin")
    os._exit(7)


@dg.op
def play_deaf(context):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    note(context, "begin")
    time.sleep(250)


@dg.op
def fork(context):
    os.fork()
    note(context, "begin")


@dg.op
def grow(context):
    note(context, "begin")
    KEPT.append(bytearray(os.urandom(2**20) * 300))


@dg.op
def fail(context):
    raise ValueError("on purpose")


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def talk(context):
    for number in range(WORDS):
        context.log.info(f"word {number}")
        time.sleep(0.1)


EXECUTION = {"executor_def": dg.in_process_executor, "resource_defs": {"io_manager": dg.mem_io_manager}}


@dg.job(**EXECUTION)
def ten():
    after = step()
    for number in range(9):
        after = step.alias(f"step_{number}")(after=after)


@dg.job(**EXECUTION)
def conversation():
    after = talk()
    for number in range(4):
        after = talk.alias(f"talk_{number}")(after=after)


def single(op):
    return dg.GraphDefinition(name=f"{op.name}_job", node_defs=[op]).to_job(**EXECUTION)


singles = map(single, (nap, stay, listen, exit_seven, play_deaf, fork, grow, fail))
defs = dg.Definitions(jobs=[ten, conversation, *singles])
"""

QUIET_END = {"wait_for_local_processes_on_shutdown": True}
"""A workspace that a test closes leaves no process behind."""


@dataclass
class Warm:
    """An instance whose runs go to workers, and the words in which tests speak of it."""

    instance: dg.DagsterInstance
    folder: Path
    location: CodeLocation

    @property
    def launcher(self) -> WarmRunLauncher:
        """The launcher under test."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, WarmRunLauncher)
        return launcher

    def create(self, job: str, config: Any = None, **options: Any) -> str:
        """Make a run; nobody knows of it yet."""
        definition = self.location.load().get_job(job)
        return self.instance.create_run_for_job(job_def=definition, run_config=config, **options).run_id

    def launch(self, job: str, config: Any = None, **options: Any) -> str:
        """Make and launch a run."""
        run_id = self.create(job, config, **options)
        self.instance.launch_run(run_id, workspace=None)  # type: ignore[arg-type]
        return run_id

    def nap(self, seconds: float, **options: Any) -> str:
        """Launch a run whose op sleeps."""
        return self.launch("nap_job", {"ops": {"nap": {"config": {"seconds": seconds}}}}, **options)

    def stay(self, **options: Any) -> str:
        """Launch a run whose op is at work until it may leave; minutes at most."""
        return self.launch("stay_job", **options)

    def leave(self, run_id: str) -> None:
        """Let a run end that stays."""
        (self.folder / f"leave_{run_id}").touch()

    def run(self, run_id: str) -> dg.DagsterRun:
        """As Dagster has it."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def status(self, run_id: str) -> str:
        """As Dagster has it."""
        return self.run(run_id).status.value

    @property
    def database(self) -> str:
        """The name of the instance's database."""
        with self.launcher.dispatch.connect() as connection:
            return connection.info.dbname

    def end(self, run_id: str, seconds: float = GENEROUS_SECONDS) -> str:
        """Wait for the end of a run."""
        run = eventually(
            lambda: (run := self.instance.get_run_by_id(run_id)) and run.is_finished and run, run_id, seconds=seconds
        )
        assert isinstance(run, dg.DagsterRun)
        return run.status.value

    def begun(self, run_id: str) -> int:
        """Wait until a run's op has begun; the process that executes it."""
        return int(eventually(lambda: self.trace("begin", run_id))[0][2])

    def trace(self, word: str, run_id: str) -> list[list[str]]:
        """The lines that the ops of a run wrote: word, run, process, version of the code."""
        try:
            lines = [line.split() for line in (self.folder / "trace").read_text().splitlines()]
        except FileNotFoundError:
            return []
        return [line for line in lines if line[:2] == [word, run_id]]

    def messages(self, run_id: str) -> str:
        """All that a run's log says."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return "\n".join(event.message or "" for event in events if event)

    def reasons(self, run_id: str) -> str:
        """Its messages, and all that failed events add to them."""
        events = [entry.dagster_event for entry in self.instance.all_logs(run_id)]
        return "\n".join([self.messages(run_id), *(str(event) for event in events if event and event.is_failure)])

    def workers(self) -> list[int]:
        """The processes of the living workers."""
        return [worker.pid for worker in self.launcher.dispatch.workers()]

    def supervisors(self) -> set[int]:
        """The processes that monitor them."""
        return {worker.supervisor for worker in self.launcher.dispatch.workers()}

    def state(self, run_id: str) -> str | None:
        """As the dispatch table has it."""
        entry = self.launcher.dispatch.entry(run_id)
        return entry.state if entry else None

    def stop(self) -> None:
        """Kill all that was started: supervisors and workers work in the folder of the code."""
        eventually(lambda: not [os.kill(pid, signal.SIGKILL) for pid in self.processes()])

    def processes(self) -> list[int]:
        """The supervisors and workers, also those that are just starting."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):
                if link.readlink() == self.folder and int(link.parent.name) != os.getpid():
                    found.append(int(link.parent.name))
        return found


def configure(folder: Path, **config: Any) -> CodeLocation:
    """Give the instance in a folder a launcher for toy jobs in that folder."""
    module = f"toys_{uuid4().hex}"
    (folder / f"{module}.py").write_text(TOYS)
    location = {"location": "toys", "module": module, "working_directory": str(folder)}
    location |= {"workers": 1, "reserved_workers": 0}
    launcher = {"module": "resources.runs.launching.launcher", "class": "WarmRunLauncher", "config": location | config}
    known = json.loads((folder / "dagster.yaml").read_text())
    monitoring = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_monitoring"]
    changes = {"run_launcher": launcher, "run_monitoring": monitoring, "code_servers": QUIET_END}
    (folder / "dagster.yaml").write_text(json.dumps(known | changes))
    return CodeLocation.of_module("toys", module, "defs", folder)


@contextmanager
def code_server(warm: Warm) -> Iterator[WorkspaceProcessContext]:
    """The toys as a webserver has them: loaded by a process of their own."""
    target = ModuleTarget(next(warm.folder.glob("toys_*.py")).stem, "defs", str(warm.folder), "toys")
    with WorkspaceProcessContext(warm.instance, target) as workspace:
        yield workspace


def look_again(workspace: WorkspaceProcessContext, *, reload: bool) -> None:
    """Load the toys again, as the button does, or only ask their process again, as the daemon does each minute."""
    before = workspace.create_request_context().get_code_location("toys")
    (workspace.reload_code_location if reload else workspace.refresh_code_location)("toys")
    before.cleanup()  # else the collector does, in whichever thread, and Dagster complains


@contextmanager
def warm_instances(folder: Path) -> Iterator[Callable[..., Warm]]:
    """Makes the instance of a folder launch to workers, with a launcher configured so; they are killed at the end."""
    made: list[Warm] = []

    def make(**config: Any) -> Warm:
        location = configure(folder, **config)
        made.append(Warm(dg.DagsterInstance.from_config(str(folder)), folder, location))
        return made[-1]

    yield make
    for warm in made:
        with warm.instance:
            warm.stop()


def gone(pids: Iterable[int]) -> bool:
    """Whether none of these processes is there any more."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def refuse_connections(server: EmbeddedServer, database: str, *, refuse: bool) -> None:
    """Close a database to everybody but the administrator, and open it again."""
    with psycopg.connect(server.uri("postgres"), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS {"false" if refuse else "true"}')
        if refuse:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))
