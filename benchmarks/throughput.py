"""How many runs a second come through, with one, two and four workers."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg

from benchmarks.doors import Doors, Stage
from benchmarks.latency import JOBS
from benchmarks.report import Report, Row
from benchmarks.services import wait_for
from benchmarks.workers import resident_workers

NOTE = (
    "From the first submission to the end of the last run, submitted through the API function by as many clients as"
    " there are workers. Stock has no workers, but a process per run; it is given fewer runs, for it is slow."
)


@dataclass(frozen=True)
class Batch:
    """So many runs of a job by so many workers, and how many of them stock is given."""

    job: str
    workers: int
    runs: int
    stock_runs: int


def throughput(stage: Stage, batches: Sequence[Batch]) -> Report:
    """Each batch on ours, then on stock."""
    return Report("throughput", "Runs per second", NOTE, [_row(stage, batch) for batch in batches])


def _row(stage: Stage, batch: Batch) -> Row:
    with resident_workers(stage.ours.side, stage.location, batch.workers):
        _rate(stage.ours, batch.job, 4 * batch.workers, batch.workers)  # the workers' first runs
        ours = _rate(stage.ours, batch.job, batch.runs, batch.workers)
    stock = _rate(stage.stock, batch.job, batch.stock_runs, batch.workers)
    return Row(
        f"{JOBS[batch.job]}, {batch.workers} workers",
        {
            ": stock": ours / stock,
            "runs/s": ours,
            "n": batch.runs,
            "stock runs/s": stock,
            "stock n": batch.stock_runs,
        },
        figure="runs/s",
    )


def _rate(doors: Doors, job: str, runs: int, clients: int) -> float:
    with psycopg.connect(doors.side.uri, autocommit=True) as connection, ThreadPoolExecutor(clients) as pool:
        began = time.monotonic()
        ids = list(pool.map(lambda _: doors.api(job), range(runs)))
        wait_for(lambda: _ended(connection, ids), f"{runs} runs")
        seconds = time.monotonic() - began
        bad = connection.execute("SELECT count(*) FROM runs WHERE run_id = ANY(%s) AND status <> 'SUCCESS'", (ids,))
        assert bad.fetchone() == (0,), "a run has failed"
    return runs / seconds


def _ended(connection: "psycopg.Connection[tuple[object, ...]]", ids: list[str]) -> bool:
    query = "SELECT count(*) FROM runs WHERE run_id = ANY(%s) AND status IN ('SUCCESS', 'FAILURE', 'CANCELED')"
    return connection.execute(query, (ids,)).fetchone() == (len(ids),)
