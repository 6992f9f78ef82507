"""What a run of ten ops costs on each mode of Dagster's storage, in turns, so that noise hits all alike."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import sqlalchemy as sa
from sqlalchemy import event

from benchmarks.ground import Ground
from benchmarks.instances import instance_on, our_storage
from benchmarks.report import Report, Row
from benchmarks.toys import FEW, OPS
from resources.runs.storage.dagster_storage import MODES

NOTE = (
    "In this process, medians of {times}, in turns. Statements to Dagster's storage; stock opens a connection for most."
)


def storage(ground: Ground, times: int) -> Report:
    """A line for each mode, stock first."""
    with ExitStack() as stack:
        runs: dict[str, Callable[[], object]] = {}
        for mode in MODES:
            configuration = our_storage(ground.server.uri(f"mode_{mode}"), mode)
            instance = stack.enter_context(instance_on(ground.home / f"mode-{mode}", configuration))
            runs[mode] = partial(OPS[0].execute_in_process, instance=instance)
        counts = {mode: _statements(run) for mode, run in runs.items()}  # also the warm-up
        took: dict[str, list[float]] = {mode: [] for mode in runs}
        for _ in range(times):
            for mode, run in runs.items():
                began = time.perf_counter()
                run()
                took[mode].append((time.perf_counter() - began) * 1000)
    stock = statistics.median(took["stock"])
    rows = [
        Row(
            f"{FEW} ops, mode {mode}",
            {
                "stock :": stock / statistics.median(one),
                "ms": statistics.median(one),
                "least": min(one),
                "statements": counts[mode],
            },
            figure="ms",
        )
        for mode, one in took.items()
    ]
    return Report("storage", "Modes of Dagster's storage", NOTE.format(times=times), rows)


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
