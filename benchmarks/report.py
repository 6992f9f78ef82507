"""What a case has to say: rows of figures under a title, printed as a plain table with the ratios first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table

Cell = float | int | str | None


@dataclass(frozen=True)
class Row:
    """One line. `cells` by column; `figure` names the column that is compared with earlier results."""

    name: str
    cells: Mapping[str, Cell]
    figure: str


@dataclass(frozen=True)
class Report:
    """A table. `note`: what the columns mean and how many repetitions they stand for."""

    case: str
    title: str
    note: str
    rows: Sequence[Row] = field(default_factory=list)


def table(report: Report, earlier: Mapping[str, Mapping[str, Cell]]) -> Table:
    """The report, with how many times the earlier figure each has where there is one."""
    columns = list(dict.fromkeys(name for row in report.rows for name in row.cells))
    shown = Table("", "times earlier", *columns, box=None, title=report.title, title_justify="left", title_style="bold")
    for row in report.rows:
        then = earlier.get(row.name, {}).get(row.figure)
        shown.add_row(row.name, _ratio(row.cells.get(row.figure), then), *(_text(row.cells.get(c)) for c in columns))
    return shown


def _ratio(now: Cell, then: Cell) -> str:
    if isinstance(now, float | int) and isinstance(then, float | int) and then:
        return f"{now / then:.2f}"
    return ""


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.2f}" if abs(cell) < 10 else f"{cell:.1f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell
