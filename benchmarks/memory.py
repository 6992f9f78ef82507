"""How much memory a resident worker takes, after it has worked."""

import os
import statistics
from collections.abc import Iterable
from pathlib import Path

import psycopg

from benchmarks.doors import Stage
from benchmarks.latency import wait_for_success
from benchmarks.report import Report, Row
from benchmarks.workers import resident_workers

WORKERS = 2
NOTE = (
    "MB, after {runs} runs of ten steps. `resident` counts in full what a worker shares with its supervisor (libraries,"
    " definitions), `its share` divides that among those who have it, `its own` leaves it out."
)
FIELDS = {"its share": ("Pss",), "its own": ("Private_Clean", "Private_Dirty"), "resident": ("Rss",)}


def memory(stage: Stage, runs: int) -> Report:
    """Two workers, their supervisor, and the process that submitted the runs."""
    side = stage.ours.side
    with resident_workers(side, stage.location, WORKERS) as workers, psycopg.connect(side.uri, autocommit=True) as db:
        for run_id in [stage.ours.api("steps_10") for _ in range(runs)]:
            wait_for_success(db, run_id)
        rows = [
            _row("a worker", [worker.pid for worker in workers]),
            _row("their supervisor", {worker.supervisor for worker in workers}),
            _row("this process, which submitted the runs", [os.getpid()]),
        ]
    return Report("memory", "Memory of the workers", NOTE.format(runs=runs), rows)


def _row(name: str, pids: Iterable[int]) -> Row:
    found = [_smaps(pid) for pid in pids]
    means = {column: statistics.mean(sum(one[f] for f in fields) for one in found) for column, fields in FIELDS.items()}
    return Row(name, means, figure="its share")


def _smaps(pid: int) -> dict[str, float]:
    """What the kernel says of a process's memory, in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) / 1024 for name, _, rest in (line.partition(":") for line in lines)}
