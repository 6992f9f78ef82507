"""Warm workers over a long time: killed again and again, and at work for thousands of runs."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from tests.scale import Scaled
from tests.test_resources.test_runs.warm import Warm, warm_instances
from tests.waiting import eventually

ENDS = {"PIPELINE_SUCCESS": "SUCCESS", "PIPELINE_FAILURE": "FAILURE", "PIPELINE_CANCELED": "CANCELED"}


@pytest.fixture
def warm_of(dagster_instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Callable[..., Warm]]:
    """Makes an instance whose launcher starts workers by itself."""
    with warm_instances(tmp_path) as make:
        yield make


# --- killed again and again ---


@contextmanager
def killing(warm: Warm, seconds: float) -> Iterator[Counter[str]]:
    """Kill a worker every so often, whatever it does. Counts the deaths, and those with a run in progress."""
    chance = random.Random(3)
    counted: Counter[str] = Counter()
    over = threading.Event()

    def kill() -> None:
        while not over.wait(seconds):
            if workers := warm.launcher.dispatch.workers():
                victim = chance.choice(workers)
                with suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGKILL)
                    counted["killed"] += 1
                    counted["with a run"] += victim.run_id is not None

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield counted
    finally:
        over.set()
        killer.join()


def ends_of(warm: Warm) -> dict[str, list[str]]:
    """The ends of each run that its log speaks of."""
    ends: dict[str, list[str]] = {}
    with warm.launcher.dispatch.connect() as connection:
        found = connection.execute("SELECT run_id, dagster_event_type FROM event_logs ORDER BY id")
        for run_id, kind in found:
            if kind in ENDS:
                ends.setdefault(run_id, []).append(ENDS[kind])
    return ends


def steps_of(warm: Warm) -> dict[str, list[tuple[str, str]]]:
    """What the bodies of the ops of each run wrote themselves: the word, and the process."""
    steps: dict[str, list[tuple[str, str]]] = {}
    for line in (warm.folder / "trace").read_text().splitlines():
        word, run_id, process, _ = line.split()
        steps.setdefault(run_id, []).append((word, process))
    return steps


@pytest.mark.timeout(1800)
def test_with_workers_killed_at_random_every_run_has_one_true_end(warm_of: Callable[..., Warm], scaled: Scaled) -> None:
    warm = warm_of(workers=2)
    runs: list[str] = []
    with killing(warm, seconds=scaled(100, least=20) / 100) as counted:
        while len(runs) < scaled(5000) or counted["with a run"] < 3:
            runs.append(warm.launch("ten"))
            if len(runs) >= scaled(5000):
                time.sleep(0.1)
        eventually(lambda: not warm.launcher.dispatch.has_work("toys"), seconds=1200)
    statuses = {run.run_id: run.status.value for run in warm.instance.get_runs()}
    steps, ends = steps_of(warm), ends_of(warm)
    print(dict(counted), Counter(statuses.values()))  # noqa: T201  for those who read along
    assert statuses.keys() == set(runs)
    for run in runs:
        assert warm.state(run) == "done"
        assert ends.get(run) == [statuses[run]], warm.messages(run)  # one end, and the one that the log speaks of
        done = steps.get(run, [])
        assert len({process for _, process in done}) <= 1  # never a second time, so never twice at once
        if statuses[run] == "SUCCESS":
            assert len(done) == 10
        else:
            assert "was killed by SIGKILL while it executed the run" in warm.messages(run)


# --- at work for a long time ---


@dataclass(frozen=True)
class Sample:
    """What a process has taken: kilobytes resident, its own share of them, descriptors."""

    resident: int
    share: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> "Sample":
        """As the kernel counts now."""
        process = Path(f"/proc/{pid}")
        rollup = dict(line.split()[:2] for line in (process / "smaps_rollup").read_text().splitlines()[1:])
        return cls(int(rollup["Rss:"]), int(rollup["Pss:"]), len(list((process / "fd").iterdir())))


@dataclass(frozen=True)
class Census:
    """The supervisor, its workers and all connections to the database, after so many runs."""

    runs: int
    seconds: float
    processes: dict[int, Sample]
    connections: int

    @classmethod
    def of(cls, warm: Warm, runs: int, seconds: float) -> "Census":
        """When nothing is in progress; the asking connection is not counted."""
        pids = [*sorted(warm.supervisors()), *warm.workers()]
        with warm.launcher.dispatch.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        assert row is not None
        return cls(runs, seconds, {pid: Sample.of(pid) for pid in pids}, row[0])

    def __str__(self) -> str:
        parts = [
            f"{one.resident / 1024:.1f}/{one.share / 1024:.1f} MB {one.descriptors} fds"
            for one in self.processes.values()
        ]
        return f"{self.runs:6} runs {self.seconds:7.1f} s | {' | '.join(parts)} | {self.connections} connections"


def work_through(warm: Warm, count: int) -> None:
    """Launch a mixture of short runs, few ahead of the workers, and wait for the last."""
    nap = {"ops": {"nap": {"config": {"seconds": 0.0}}}}
    for number in range(count):
        if number % 20 == 7:
            warm.launch("fail_job")  # an error holds on to the frames that it went through
        elif number % 5 == 0:
            warm.launch("ten")
        else:
            warm.launch("nap_job", nap)
        if number % 50 == 49:
            eventually(lambda: sum(warm.launcher.dispatch.waiting().values()) < 50)
    eventually(lambda: not warm.launcher.dispatch.has_work("toys"))


@pytest.mark.timeout(7200)
def test_two_workers_do_thousands_of_runs_and_keep_nothing(warm_of: Callable[..., Warm], scaled: Scaled) -> None:
    rounds, length = 10, scaled(2000)
    warm = warm_of(workers=2, runs_per_worker=1_000_000, megabytes_per_worker=8192, idle_seconds=0)
    began, taken = time.monotonic(), []
    for number in range(1, rounds + 1):
        work_through(warm, length)
        taken.append(Census.of(warm, number * length, time.monotonic() - began))
        print(taken[-1], flush=True)  # noqa: T201  for those who read along
    first, last = taken[0], taken[-1]
    assert first.processes.keys() == last.processes.keys()  # the same three did all
    ended = Counter(run.status.value for run in warm.instance.get_runs())
    assert ended == {"SUCCESS": rounds * length * 19 // 20, "FAILURE": rounds * length // 20}
    assert last.connections <= first.connections
    for pid, sample in last.processes.items():
        assert sample.descriptors <= first.processes[pid].descriptors
        grown = sample.resident - first.processes[pid].resident
        assert grown < 20 * 1024, f"process {pid} grew by {grown} kB"
