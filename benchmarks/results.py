"""Results kept in files, so that a later run can say what has become faster or slower."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Cell, Report

FOLDER = Path(__file__).with_name("results")
BASELINE = "baseline"


def save(name: str, machine: Mapping[str, str], reports: Iterable[Report]) -> Path:
    """Write `results/NAME.json`; rows that were not measured this time stay as they are there."""
    path = FOLDER / f"{name}.json"
    rows = {**load(name), **{report.key(row): dict(row.cells) for report in reports for row in report.rows}}
    rounded = {key: {column: _rounded(cell) for column, cell in cells.items()} for key, cells in rows.items()}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "rows": rounded}, indent=1, ensure_ascii=False) + "\n")
    return path


def load(name: str) -> dict[str, dict[str, Cell]]:
    """The rows of an earlier run; none when there is no such file."""
    try:
        found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    except FileNotFoundError:
        return {}
    rows: dict[str, dict[str, Cell]] = found["rows"]
    return rows


def _rounded(cell: Cell) -> Cell:
    return round(cell, 3) if isinstance(cell, float) else cell
