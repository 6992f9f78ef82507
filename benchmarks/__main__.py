"""Measure and print a table for each case: `python -m benchmarks`. A temporary database serves, no other is touched."""

import argparse
import logging
import time
from collections.abc import Sequence

from benchmarks.cases import CASES, FULL, QUICK, reports
from benchmarks.ground import ground
from benchmarks.machine import description
from benchmarks.report import table
from benchmarks.results import BASELINE, load, save
from orchestrator_defs.cli.output import show


def main(words: Sequence[str] | None = None) -> None:
    """Measure what was asked for, and print and keep each case as soon as it is there."""
    asked = _options().parse_args(words)
    logging.disable(logging.CRITICAL)
    machine, began = description(), time.monotonic()
    show("; ".join(f"{name} {value}" for name, value in machine.items()))
    with ground() as here:
        for report in reports(here, QUICK if asked.quick else FULL, tuple(asked.only or CASES)):
            earlier = {} if asked.quick else load(asked.against, report.case)
            show("")
            show(table(report, earlier))
            show(report.note)
            if asked.save:
                save(asked.save, description(), report)
    show(f"\nIt took {time.monotonic() - began:,.0f} s.")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(CASES)
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"{names}; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few times, on small databases: to see that it works")
    parser.add_argument("--against", default=BASELINE, metavar="NAME", help="results to compare with (%(default)s)")
    parser.add_argument("--save", metavar="NAME", help="keep the results under this name in benchmarks/results/")
    return parser


if __name__ == "__main__":
    main()
