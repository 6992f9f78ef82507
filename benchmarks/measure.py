"""One measured case: how long it takes, what it sends to the database."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from resources.database import statement_counter


@dataclass(frozen=True, slots=True)
class Figure:
    """The figures of one case: times in milliseconds, statements of one repetition."""

    case: str
    minimum: float
    median: float
    statements: float

    def per_step(self, case: str, without: "Figure", steps: int) -> "Figure":
        """What one step costs: the job with its steps less the job without them, divided."""
        return Figure(
            case,
            (self.minimum - without.minimum) / steps,
            (self.median - without.median) / steps,
            (self.statements - without.statements) / steps,
        )


def measure(case: str, engine: sa.Engine, what: Callable[[], object], *, times: int) -> Figure:
    """Do something several times after one warm-up, and count the statements of the last time."""
    what()
    took: list[float] = []
    for _ in range(times):
        with statement_counter(engine) as counted:
            began = time.perf_counter()
            what()
            took.append((time.perf_counter() - began) * 1000)
    return Figure(case, min(took), statistics.median(took), counted.count)
