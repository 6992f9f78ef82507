"""A script done on both networks in turns, so that noise hits both alike; and what each part of it costs."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.effort import Effort, effort
from benchmarks.networks import Fixtures, Hand, Network
from benchmarks.report import Cell, Row

Costs = dict[str, float]
"""By name: what one part costs; see `_costs`."""


@dataclass
class Memo:
    """What one repetition remembers from part to part. `number` differs between repetitions."""

    number: int
    fixtures: Fixtures
    kept: dict[str, Any] = field(default_factory=dict)


Part = Callable[[Hand, Memo], object]
Script = Sequence[tuple[str, Part]]


def in_turns(both: tuple[Network, Network], script: Script, times: int) -> dict[str, Costs]:
    """Do the script once to warm up, then so many times, then twice over counted wires. The costs of each part."""
    spent: dict[tuple[int, str], list[Effort]] = defaultdict(list)
    for number in range(times + 1):
        for network in both:
            memo = Memo(number, network.fixtures)
            for name, part in script:
                with effort(network.postmaster, network.others) as one:
                    part(network.hand, memo)
                if number:
                    spent[network.subscriptions, name].append(one)
    counted = [_count(network, script, times + 1) for network in both]
    few, many = (network.subscriptions for network in both)
    return {name: _costs(spent[few, name], spent[many, name], [one[name] for one in counted]) for name, _ in script}


def per_step(whole: Costs, without: Costs, steps: int) -> Costs:
    """What one step costs: a workflow with steps less the same without them, divided."""
    return {name: (whole[name] - without[name]) / steps for name in whole}


def row(name: str, costs: Mapping[str, float], sizes: tuple[int, int]) -> Row:
    """A line of the table. The figure is the time with few subscriptions."""
    few, many = sizes
    cells: dict[str, Cell] = {
        f"{many:,} : {few:,}": costs["ms, many"] / costs["ms"],
        "ms": costs["ms"],
        "least": costs["least"],
        f"ms at {many:,}": costs["ms, many"],
        **{column: costs[column] for column in COLUMNS if costs[column] or column in ALWAYS},
    }
    return Row(name, cells, figure="ms")


ALWAYS = ("statements", "round trips", "transactions", "CPU Python", "CPU PostgreSQL")
COLUMNS = (
    "statements",
    "more at many",
    "round trips",
    "transactions",
    "Dagster's round trips",
    "CPU Python",
    "CPU PostgreSQL",
    "lab",
)


def _count(network: Network, script: Script, number: int) -> dict[str, tuple[int, int, int, int]]:
    """Statements, round trips and transactions of each part, and the round trips of Dagster's storage."""
    found = {}
    ours, dagster = network.traffic
    for repetition in (number, number + 1):  # the first opens connections and fills caches
        memo = Memo(repetition, network.fixtures)
        for name, part in script:
            ours.clear()
            dagster.clear()
            part(network.counted, memo)
            found[name] = (ours.statements, ours.round_trips, ours.transactions, dagster.round_trips)
    return found


def _costs(few: list[Effort], many: list[Effort], counted: list[tuple[int, int, int, int]]) -> Costs:
    walls = [one.wall for one in few]
    statements, trips, transactions, dagster = counted[0]
    return {
        "ms": statistics.median(walls),
        "least": min(walls),
        "ms, many": statistics.median(one.wall for one in many),
        "statements": statements,
        "more at many": counted[1][0] - statements,
        "round trips": trips,
        "transactions": transactions,
        "Dagster's round trips": dagster,
        "CPU Python": statistics.mean(one.python for one in few),
        "CPU PostgreSQL": statistics.mean(one.postgres for one in few),
        "lab": statistics.median(one.lab for one in few),
    }
