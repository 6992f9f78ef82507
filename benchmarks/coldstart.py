"""How long each command and service takes from nothing to its first answer."""

import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import uuid4

from benchmarks.ground import BIN, PROJECT, Ground
from benchmarks.instances import Side, side
from benchmarks.report import Report, Row
from benchmarks.services import code_server, daemon, wait_for, webserver
from benchmarks.workers import launcher_of, stop_workers
from resources.runs.code_location import CodeLocation
from resources.runs.workers.supervisor import start_supervisor
from resources.runs.workers.supervisor_lock import SupervisorLocks

MODULE = "orchestrator_defs"
NOTE = (
    "Seconds, medians of {times}, in turns, files in the cache and bytecode compiled. A service: until it answers."
    " Supervisor: until a worker has claimed a run that waits."
)


def cold_start(ground: Ground, times: int) -> Report:
    """The project's own definitions, in a process each."""
    took: dict[str, list[float]] = defaultdict(list)
    with side(ground, "cold") as cold, code_server(ground, MODULE) as port:
        cases: dict[str, Callable[[], float]] = {
            "import dagster": lambda: _command("python", "-c", "import dagster"),
            "import of the definitions": lambda: _command("python", "-c", f"import {MODULE}"),
            "orchestrator --help": lambda: _command("orchestrator", "--help"),
            "code server": lambda: _service(code_server(ground, MODULE)),
            "webserver": lambda: _service(webserver(ground, cold.home, port)),
            "daemon, to its first heartbeat": lambda: _service(daemon(ground, cold.home, cold.instance, port)),
            "supervisor, to the first claim": lambda: _first_claim(cold),
        }
        _command("python", "-c", f"import {MODULE}")  # compiles what is not compiled
        for _ in range(times):
            for name, case in cases.items():
                took[name].append(case())
    rows = [Row(name, {"s": statistics.median(one), "least": min(one)}, figure="s") for name, one in took.items()]
    return Report("cold", "Cold start", NOTE.format(times=times), rows)


def _command(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([BIN / words[0], *words[1:]], cwd=PROJECT, check=True, capture_output=True)
    return time.perf_counter() - began


def _service(service: AbstractContextManager[object]) -> float:
    began = time.perf_counter()
    with service:
        return time.perf_counter() - began


def _first_claim(cold: Side) -> float:
    """A run that nobody has created waits; the worker takes it, finds nothing to execute, and is done with it."""
    launcher = launcher_of(cold)
    location = CodeLocation.of_module("cold", MODULE, "defs", PROJECT)
    code, run_id = location.fingerprint(), str(uuid4())
    launcher.dispatch.enqueue(run_id, location.name, code)
    began = time.perf_counter()
    plan = launcher.plan(location, workers=1, reserved_workers=0, idle_seconds=0)
    start_supervisor(cold.instance, SupervisorLocks(launcher.dispatch.place, location.name), plan)
    try:
        wait_for(lambda: (entry := launcher.dispatch.entry(run_id)) and entry.state != "queued", "a claim")
        return time.perf_counter() - began
    finally:
        stop_workers(launcher.dispatch)
