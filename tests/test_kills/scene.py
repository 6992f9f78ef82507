"""The scene of the kills: a folder with a Dagster instance, workers, a database of its own, and a recorder of calls."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg

from resources.database import lease
from tests.test_acceptance.conftest import fresh_home

VICTIMS = Path(__file__).with_name("victims.py")
PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
GENEROUS_SECONDS = 240.0
OWN_STEPS = [f"step_{number:02}" for number in range(1, 13)]


class Scene:
    """What can be done there, and what can be seen."""

    def __init__(self, home: Path, calls: dict[tuple[str, int], list[str]], code: Path) -> None:
        self.home = home
        self.module = code.stem
        self.folder = home / "code"
        self.calls = calls
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DAGSTER", "PYTEST"))}
        self.environment = {
            **kept,
            "ORCHESTRATOR_HOME": str(home / "data"),
            "DAGSTER_HOME": str(self.folder),
            "PYTHONPATH": str(PROJECT),
        }

    # --- doing ---

    def begin(self, *words: str, **variables: str) -> "subprocess.Popen[str]":
        """Start a program in the folder."""
        log = (self.home / "programs.log").open("a")
        with log:
            return subprocess.Popen(
                [str(word) for word in words],
                cwd=self.folder,
                env=self.environment | variables,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def ask(self, *words: str) -> Any:
        """Run one of the victims' commands; its answer."""
        done = subprocess.run(
            [sys.executable, f"{self.module}.py", *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=GENEROUS_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def start(self, plans: Sequence[Mapping[str, str]], pause: float = 0.0) -> list[str]:
        """Start a process for each plan of kills, and launch it."""
        found: list[str] = self.ask("start", json.dumps(plans), str(pause))
        return found

    @contextmanager
    def tended(self) -> Iterator["subprocess.Popen[str]"]:
        """Somebody does what the daemon does, more often."""
        process = self.begin(sys.executable, f"{self.module}.py", "tend")
        try:
            yield process
        finally:
            kill(process.pid)
            process.wait(GENEROUS_SECONDS)

    @contextmanager
    def daemon(self) -> Iterator["subprocess.Popen[str]"]:
        """Dagster's own daemon, with its code server."""
        process = self.begin(str(BIN / "dagster-daemon"), "run")
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(60)

    def programs(self) -> dict[int, str]:
        """All that works here but PostgreSQL and its reaper: daemon, code server, supervisors, workers, commands."""
        mark = f"ORCHESTRATOR_HOME={self.home / 'data'}".encode()
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (path / "cmdline").read_text().replace("\0", " ")
                if mark in (path / "environ").read_bytes().split(b"\0") and not is_database(command):
                    found[int(path.name)] = command
        return found

    def kill_all(self) -> int:
        """Kill whatever works here, at once; how many there were."""
        found = self.programs()
        for pid in found:
            kill(pid)
        return len(found)

    def kill_database(self) -> None:
        """Stop PostgreSQL as a power cut would."""
        kill(int((self.home / "data" / "pg" / "postmaster.pid").read_text().split()[0]))

    # --- seeing ---

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database of subscriptions."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def rows_of_dagster(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read the database of Dagster's storage."""
        with psycopg.connect(self.uri.replace("/orchestrator?", "/dagster?"), autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    @property
    def uri(self) -> str:
        """The database of subscriptions."""
        return f"postgresql://postgres@/orchestrator?host={self.home / 'data' / 'pg'}"

    def kills(self) -> list[str]:
        """The kills that were done by plan."""
        return sorted(path.name for path in (self.folder / "kills").iterdir())

    def status(self, process_id: str) -> str:
        """The status of a process."""
        return str(self.rows("SELECT last_status FROM processes WHERE process_id = %s", process_id)[0][0])

    def wait_until_over(self, process_ids: Sequence[str], seconds: float = GENEROUS_SECONDS) -> None:
        """Every one of them is completed, or failed."""
        query = "SELECT last_status FROM processes WHERE process_id = ANY(%s::uuid[])"
        self.wait_for(lambda: {row[0] for row in self.rows(query, process_ids)} <= {"completed", "failed"}, seconds)

    def wait_for(self, question: Any, seconds: float = GENEROUS_SECONDS, pause: float = 0.2) -> None:
        """Until the answer is true; a database that is away for a moment is asked again."""
        give_up = time.monotonic() + seconds
        while True:
            with suppress(psycopg.OperationalError):
                if question():
                    return
            assert time.monotonic() < give_up, self.story()
            time.sleep(pause)

    def story(self) -> str:
        """What there is to tell when it takes too long."""
        rows = self.rows("SELECT process_id, last_status, last_step, run_id, recoveries, failed_reason FROM processes")
        log = (self.home / "programs.log").read_text()[-4000:]
        return "\n".join([*map(str, rows), *self.kills(), log])

    # --- what must be so ---

    def assert_whole(self, process_id: str) -> None:
        """Completed, each line of the ledger once, the subscription changed once by each step, and nobody's."""
        ((status, reason, step_keys),) = self.rows(
            "SELECT last_status, failed_reason, step_keys FROM processes WHERE process_id = %s", process_id
        )
        assert status == "completed", f"{process_id} is {status}: {reason}\n{self.story()}"
        lines = self.rows(
            "SELECT step_key, status, set FROM process_steps WHERE process_id = %s AND step_key NOT LIKE '\\_\\_%%'"
            " ORDER BY position",
            process_id,
        )
        assert [line[0] for line in lines] == step_keys
        assert {line[1] for line in lines} == {"success", "complete"}
        did = [line[2][f"did_{line[0][5:]}"] for line in lines if line[0] in OWN_STEPS[1:]]
        assert did == list(range(1, 12)), did
        ((subscription_id, locked_by, insync, version),) = self.rows(
            "SELECT s.subscription_id, s.locked_by, s.insync, s.version FROM subscriptions s"
            " JOIN processes_subscriptions USING (subscription_id) WHERE process_id = %s",
            process_id,
        )
        assert (locked_by, insync) == (None, True)
        values = self.rows("SELECT values FROM subscription_instances WHERE subscription_id = %s", subscription_id)
        assert values == [({"left": 11, "right": 11},)]
        versions = self.rows(
            "SELECT step_key FROM subscription_versions WHERE subscription_id = %s ORDER BY version", subscription_id
        )
        by_step = [key for (key,) in versions if key.startswith("step_")]
        assert (by_step, len(versions)) == (OWN_STEPS, version), versions

    def assert_called(self, process_id: str, repeated: Sequence[int] = ()) -> None:
        """Each external step has called, always with one key; those of `repeated` more than once."""
        for number in (3, 6, 9, 12):
            keys = self.calls[process_id, number]
            assert len(set(keys)) == 1, f"step {number} called with {keys}"
            assert number not in repeated or len(keys) > 1
        assert len({self.calls[process_id, number][0] for number in (3, 6, 9, 12)}) == 4


def is_database(command: str) -> bool:
    """Whether a process is PostgreSQL's, or keeps it."""
    return "postgres" in command or "reaper.py" in command


def kill(pid: int) -> None:
    """Without a word."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@contextmanager
def scene(code: Path = VICTIMS) -> Iterator[Scene]:
    """A scene with this code, and with nothing left of it at the end."""
    with fresh_home() as home, recorder() as (url, calls):
        found = Scene(home, calls, code)
        (found.folder / "kills").mkdir(parents=True)
        (home / "data").mkdir()
        (home / "data").chmod(0o711)
        shutil.copy(code, found.folder / code.name)
        (found.folder / "plan.json").write_text("{}")
        (found.folder / "recorder").write_text(url)
        place = {"location": found.module, "module": found.module, "working_directory": str(found.folder)}
        configuration = {
            "storage": {
                "custom": {
                    "module": "resources.runs.storage.dagster_storage",
                    "class": "OrchestratorStorage",
                    "config": {"mode": "grouped"},
                }
            },
            "run_launcher": {
                "module": "resources.runs.launching.launcher",
                "class": "WarmRunLauncher",
                "config": {**place, "workers": 3, "reserved_workers": 0, "idle_seconds": 60},
            },
            "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"},
            "run_monitoring": {"enabled": True, "poll_interval_seconds": 3},
            "compute_logs": {
                "module": "dagster._core.storage.noop_compute_log_manager",
                "class": "NoOpComputeLogManager",
            },
            "telemetry": {"enabled": False},
        }
        (found.folder / "dagster.yaml").write_text(json.dumps(configuration))
        load = {"python_module": {"module_name": found.module, "location_name": found.module}}
        (found.folder / "workspace.yaml").write_text(json.dumps({"load_from": [load]}))
        held = home / "data" / "pg.lease"
        lease.hold(held)  # or PostgreSQL would leave with the last program
        try:
            found.ask("where")
            yield found
        finally:
            while found.kill_all():
                time.sleep(0.1)
            lease.release(held)
            found.wait_for(lambda: not (home / "data" / "pg" / "postmaster.pid").exists(), 30)


@contextmanager
def recorder() -> Iterator[tuple[str, dict[tuple[str, int], list[str]]]]:
    """An external system that notes who has called, with which key."""
    calls: dict[tuple[str, int], list[str]] = defaultdict(list)

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            calls[body["process"], body["step"]].append(body["key"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing to say."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join(GENEROUS_SECONDS)
