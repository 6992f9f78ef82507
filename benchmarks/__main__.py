"""Measure and print a table for each case: `python -m benchmarks`. A temporary database serves, no other is touched."""

import argparse
import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.cases import CASES, FULL, QUICK, reports
from benchmarks.ground import ground
from benchmarks.machine import description
from benchmarks.report import Cell, Report, table
from benchmarks.results import BASELINE, load, save
from orchestrator_defs.cli.output import show


def main(words: Sequence[str] | None = None) -> None:
    """Measure what was asked for and print it."""
    asked = _options().parse_args(words)
    logging.disable(logging.CRITICAL)
    machine, began = description(), time.monotonic()
    show("; ".join(f"{name} {value}" for name, value in machine.items()))
    earlier = {} if asked.quick else load(asked.against)
    with ground() as here:
        found = reports(here, QUICK if asked.quick else FULL, tuple(asked.only or CASES))
        printed = list(_printed(found, earlier))
    show(f"It took {time.monotonic() - began:,.0f} s.")
    if asked.save:
        show(f"Saved as {save(asked.save, machine, printed).name}.")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=CASES, metavar="CASE", help=f"one of {', '.join(CASES)}; may be repeated"
    )
    parser.add_argument("--quick", action="store_true", help="once each, on small databases: to see that it works")
    parser.add_argument("--against", default=BASELINE, metavar="NAME", help="results to compare with (%(default)s)")
    parser.add_argument("--save", metavar="NAME", help="keep the results under this name in benchmarks/results/")
    return parser


def _printed(found: Iterable[Report], earlier: Mapping[str, Mapping[str, Cell]]) -> Iterable[Report]:
    for report in found:
        show("")
        show(table(report, earlier))
        show(report.note)
        yield report


if __name__ == "__main__":
    main()
