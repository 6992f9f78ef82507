"""Results kept in files, so that a later run can say what has become faster or slower."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.report import Cell, Report

FOLDER = Path(__file__).with_name("results")
BASELINE = "baseline"


def save(name: str, machine: Mapping[str, str], report: Report) -> None:
    """Write a case into `results/NAME.json`, with what it was measured on; other cases stay as they are there."""
    path = _path(name)
    rows = {row.name: {column: _rounded(cell) for column, cell in row.cells.items()} for row in report.rows}
    cases = {**_cases(path), report.case: {"machine": dict(machine), "rows": rows}}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(cases, indent=1, ensure_ascii=False) + "\n")


def load(name: str, case: str) -> dict[str, dict[str, Cell]]:
    """The rows of a case in an earlier run; none when there is no such file, or it has not this case."""
    rows: dict[str, dict[str, Cell]] = _cases(_path(name)).get(case, {}).get("rows", {})
    return rows


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _cases(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _rounded(cell: Cell) -> Cell:
    return round(cell, 3) if isinstance(cell, float) else cell
