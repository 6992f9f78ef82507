"""The cases by name, and how often each is done: in full, or quickly to see that all of it works."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

from benchmarks.api import api
from benchmarks.coldstart import cold_start
from benchmarks.doors import Stage, stage
from benchmarks.fleet import fleet
from benchmarks.ground import Ground
from benchmarks.latency import Repetitions, latency
from benchmarks.lifecycle import lifecycle, models, steps
from benchmarks.lists import lists
from benchmarks.memory import memory
from benchmarks.networks import Network, networks
from benchmarks.report import Report
from benchmarks.storage import storage
from benchmarks.throughput import Batch, throughput


@dataclass(frozen=True)
class Extent:
    """How much of each case is done. `sizes`: subscriptions in the two databases."""

    sizes: tuple[int, int]
    times: int
    latency: Repetitions
    batches: tuple[Batch, ...]
    memory_runs: int
    cold: int
    calls: int
    fleet: int


FULL = Extent(
    sizes=(1_000, 100_000),
    times=15,
    latency=Repetitions(rounds=4, per_round=4, shell=2),
    batches=(
        Batch("steps_10", workers=1, runs=100, stock_runs=3),
        Batch("steps_10", workers=2, runs=1_000, stock_runs=6),
        Batch("steps_10", workers=4, runs=200, stock_runs=8),
        Batch("ops_10", workers=2, runs=200, stock_runs=6),
    ),
    memory_runs=100,
    cold=3,
    calls=50,
    fleet=2_000,
)
QUICK = Extent(
    sizes=(200, 1_000),
    times=1,
    latency=Repetitions(rounds=1, per_round=1, shell=1, jobs=("ops_10", "steps_10")),
    batches=(Batch("steps_10", workers=1, runs=4, stock_runs=1),),
    memory_runs=2,
    cold=1,
    calls=1,
    fleet=100,
)


class Bench:
    """What cases share; each part is set up when the first case needs it, and goes with the block."""

    def __init__(self, ground: Ground, extent: Extent, stack: ExitStack) -> None:
        self.ground = ground
        self.extent = extent
        self._stack = stack

    @cached_property
    def networks(self) -> tuple[Network, Network]:
        """The network among few and the one among many subscriptions."""
        return self._stack.enter_context(networks(self.ground, self.extent.sizes))

    @cached_property
    def stage(self) -> Stage:
        """Ours and stock, with their doors."""
        return self._stack.enter_context(stage(self.ground))


CASES: Mapping[str, Callable[[Bench], Report]] = {
    "latency": lambda bench: latency(bench.stage, bench.extent.latency),
    "throughput": lambda bench: throughput(bench.stage, bench.extent.batches),
    "memory": lambda bench: memory(bench.stage, bench.extent.memory_runs),
    "cold": lambda bench: cold_start(bench.ground, bench.extent.cold),
    "storage": lambda bench: storage(bench.ground, bench.extent.times),
    "models": lambda bench: models(bench.networks, bench.extent.times),
    "steps": lambda bench: steps(bench.networks, bench.extent.times),
    "api": lambda bench: api(bench.networks, bench.extent.calls),
    "lists": lambda bench: lists(bench.networks, bench.extent.calls),
    "fleet": lambda bench: fleet(bench.ground, bench.extent.fleet),
    "lifecycle": lambda bench: lifecycle(bench.networks, bench.extent.times),
}


def reports(ground: Ground, extent: Extent, names: tuple[str, ...]) -> Iterator[Report]:
    """Each case's report as soon as it is there."""
    with ExitStack() as stack:
        bench = Bench(ground, extent, stack)
        for name in names:
            yield CASES[name](bench)
