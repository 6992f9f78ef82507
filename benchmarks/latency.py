"""How long until the first step, and until the end, of a run that is submitted through each door: ours and stock."""

import statistics
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from benchmarks.doors import Doors, Stage
from benchmarks.report import Report, Row
from benchmarks.services import PATIENCE_SECONDS
from benchmarks.workers import resident_workers

WORKERS = 2
POLL_SECONDS = 0.002
JOBS = {
    "ops_10": "10 ops",
    "ops_50": "50 ops",
    "steps_10": "10 steps of ours",
    "steps_50": "50 steps of ours",
}
DOORS = {"process": "in process", "api": "API function", "webserver": "webserver", "shell": "dagster job execute"}
NOTE = (
    "ms from the submission, medians; ours and stock in turns. `stock :` times as long on stock storage and launcher."
    " n: ours {ours}, stock {stock}; from the shell {shell} each, where a run has a process of its own on both sides."
    " `first step` is the event STEP_START, `finished` is seen in Dagster's database (in process and from the shell:"
    " when the call returns)."
)


@dataclass(frozen=True)
class Repetitions:
    """How often. In each round ours is done `per_round` times, for it takes a fraction of stock's time."""

    rounds: int
    per_round: int
    shell: int
    jobs: tuple[str, ...] = tuple(JOBS)
    doors: tuple[str, ...] = tuple(DOORS)


class Times(NamedTuple):
    """Of one run, in ms since its submission."""

    first_step: float
    finished: float


def latency(stage: Stage, times: Repetitions) -> Report:
    """All doors, jobs and sides in turns."""
    found: dict[tuple[str, str, str], list[Times]] = defaultdict(list)
    with resident_workers(stage.ours.side, stage.location, WORKERS):
        _warm_up(stage, times)
        for number in range(max(times.rounds, times.shell)):
            for door in times.doors:
                if number < (times.shell if door == "shell" else times.rounds):
                    _one_round(stage, door, times, found)
    rows = [_row(job, door, found) for door in times.doors for job in times.jobs]
    note = NOTE.format(ours=times.rounds * times.per_round, stock=times.rounds, shell=times.shell)
    return Report("latency", "From submission to first step and to the end", note, rows)


def timed(doors: Doors, door: str, job: str) -> Times:
    """Submit a run and watch it to its end, which must be a success."""
    with psycopg.connect(doors.side.uri, autocommit=True) as connection:
        began = time.time()
        run_id = getattr(doors, door)(job)
        wait_for_success(connection, run_id)
        ended = time.time()
        return Times((_first_step(connection, run_id) - began) * 1000, (ended - began) * 1000)


def wait_for_success(connection: "psycopg.Connection[tuple[object, ...]]", run_id: str) -> None:
    """Look at a run until it has ended."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        row = connection.execute("SELECT status FROM runs WHERE run_id = %s", (run_id,)).fetchone()
        if row == ("SUCCESS",):
            return
        if row in (("FAILURE",), ("CANCELED",)) or time.monotonic() > give_up:
            raise RuntimeError(f"run {run_id} is {row} and not a success")
        time.sleep(POLL_SECONDS)


def _first_step(connection: "psycopg.Connection[tuple[object, ...]]", run_id: str) -> float:
    query = """
        SELECT extract(epoch FROM min(timestamp) AT TIME ZONE 'UTC') FROM event_logs
        WHERE run_id = %s AND dagster_event_type = 'STEP_START'
    """
    row = connection.execute(query, (run_id,)).fetchone()
    assert row is not None
    return float(str(row[0]))


def _warm_up(stage: Stage, times: Repetitions) -> None:
    for job in times.jobs:
        for door in {"process", "api", "webserver"} & {*times.doors}:
            for _ in range(WORKERS):
                timed(stage.ours, door, job)
    for door in {"process", "api", "webserver"} & {*times.doors}:
        timed(stage.stock, door, times.jobs[0])


def _one_round(stage: Stage, door: str, times: Repetitions, found: dict[tuple[str, str, str], list[Times]]) -> None:
    for job in times.jobs:
        for _ in range(1 if door == "shell" else times.per_round):
            found["ours", door, job].append(timed(stage.ours, door, job))
        found["stock", door, job].append(timed(stage.stock, door, job))


def _row(job: str, door: str, found: dict[tuple[str, str, str], list[Times]]) -> Row:
    ours, stock = found["ours", door, job], found["stock", door, job]
    finished = statistics.median(one.finished for one in ours)
    stock_finished = statistics.median(one.finished for one in stock)
    return Row(
        f"{JOBS[job]}, {DOORS[door]}",
        {
            "stock :": stock_finished / finished,
            "first step": statistics.median(one.first_step for one in ours),
            "finished": finished,
            "least": min(one.finished for one in ours),
            "most": max(one.finished for one in ours),
            "stock first step": statistics.median(one.first_step for one in stock),
            "stock finished": stock_finished,
        },
        figure="finished",
    )
