"""What a run of ten ops costs on each mode of Dagster's storage, measured in turns so that noise hits all alike."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from sqlalchemy import event

from benchmarks.instances import instance_on
from benchmarks.measure import Figure
from resources.dagster_storage import MODES
from resources.embedded import EmbeddedServer

OPS = 10


def _ten_ops() -> dg.JobDefinition:
    """Trivial ops in a row, which hand nothing on: Dagster's storage is nearly all that costs."""

    @dg.op(ins={"before": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
    def trivial() -> None:
        """Nothing."""

    @dg.job(executor_def=dg.in_process_executor, resource_defs={"io_manager": dg.mem_io_manager})
    def ten_ops() -> None:
        before = trivial.alias("op0")()
        for number in range(1, OPS):
            before = trivial.alias(f"op{number}")(before)

    return ten_ops


def storage_figures(server: EmbeddedServer, home: Path, *, times: int) -> list[Figure]:
    """A figure for each mode, stock first; statements are those of one run. The databases are made here."""
    job = _ten_ops()
    with ExitStack() as stack:
        runs: dict[str, Callable[[], object]] = {}
        for mode in MODES:
            url = server.uri(f"dagster_{mode}")
            instance = stack.enter_context(instance_on(home / mode, url, mode))
            runs[mode] = partial(job.execute_in_process, instance=instance)
        counts = {mode: _statements(run) for mode, run in runs.items()}  # also the warm-up
        took: dict[str, list[float]] = {mode: [] for mode in runs}
        for _ in range(times):
            for mode, run in runs.items():
                began = time.perf_counter()
                run()
                took[mode].append((time.perf_counter() - began) * 1000)
    case = f"job of {OPS} ops, Dagster's storage"
    return [Figure(f"{case} {mode}", min(one), statistics.median(one), counts[mode]) for mode, one in took.items()]


def _statements(run: Callable[[], object]) -> int:
    run()
    with _all_statements() as sent:
        run()
    return len(sent)


@contextmanager
def _all_statements() -> Iterator[list[str]]:
    """What this process sends through any engine: dagster-postgres has one for each part of its storage."""
    sent: list[str] = []

    def note(*arguments: object) -> None:
        sent.append(str(arguments[2]))

    event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(sa.Engine, "before_cursor_execute", note)
