"""Reads services out of CSV, JSON, JSON lines and YAML, and writes the refused ones so that they can be read again."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TextIO, TypeAlias

import yaml

from resources.errors import OrchestratorError

REASON = "refused_because"
"""The column that says why a row was refused; it is not read."""
FORMATS = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl", ".yaml": "yaml", ".yml": "yaml"}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Numbered: TypeAlias = tuple[int, Any]


class ServiceFileError(OrchestratorError):
    """The file of services cannot be read or written."""


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A row. `number` is its line in a CSV or a file of JSON lines, and its place from 1 in the others."""

    number: int
    values: Mapping[str, Any]


def format_of(path: Path) -> str:
    """The format that the name of a file tells. Raises ServiceFileError."""
    if path.suffix.lower() not in FORMATS:
        raise ServiceFileError(f"{path} ends with none of {', '.join(FORMATS)}, so its format is unknown; rename it.")
    return FORMATS[path.suffix.lower()]


def read_rows(path: Path) -> Iterator[ServiceRow]:
    """Read the rows one by one; only JSON and YAML are held in memory as a whole. Raises ServiceFileError."""
    form = format_of(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, values in READERS[form](file):
                if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
                    raise ServiceFileError(f"{path}, row {number}: expected names with values.")
                yield ServiceRow(number, {name: value for name, value in values.items() if name != REASON})
    except OSError as error:
        raise ServiceFileError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ServiceFileError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except (ValueError, yaml.YAMLError, csv.Error) as error:
        raise ServiceFileError(f"{path} cannot be read as {form}: {' '.join(str(error).split())}.") from error


def _csv_reader(file: TextIO) -> "csv.DictReader[str]":
    head = file.readline()
    file.seek(0)
    reader = csv.DictReader(file, delimiter=";" if head.count(";") > head.count(",") else ",", strict=True)
    names = [name.strip() for name in reader.fieldnames or []]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError("the first line names the columns, each once and none without a name")
    reader.fieldnames = names
    return reader


def _read_csv(file: TextIO) -> Iterator[Numbered]:
    reader = _csv_reader(file)
    for row in reader:
        if None in row:
            raise ValueError(f"line {reader.line_num} has more cells than the first line has names")
        yield reader.line_num, {name: cell.strip() for name, cell in row.items() if cell and cell.strip()}


def _read_lines(file: TextIO) -> Iterator[Numbered]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None


def _listed(whole: Any) -> Iterator[Numbered]:
    if not isinstance(whole, list):
        raise ValueError("expected a list of services")
    return iter(enumerate(whole, 1))


READERS: dict[str, Callable[[TextIO], Iterator[Numbered]]] = {
    "csv": _read_csv,
    "jsonl": _read_lines,
    "json": lambda file: _listed(json.load(file)),
    "yaml": lambda file: _listed(yaml.load(file, LOADER)),
}


class RefusedRows:
    """A file of refused rows in the format of `source`, with the reasons; it is made when there is one."""

    def __init__(self, path: Path, source: Path) -> None:
        self.path, self._source, self._form = path, source, format_of(path)
        if self._form != format_of(source):
            raise ServiceFileError(f"{path} gets refused rows of {source}; let it end with {source.suffix}, too.")
        if path.exists():
            raise ServiceFileError(f"{path} is there already, and is not overwritten; name another file.")
        self._columns: list[str] = []
        if self._form == "csv":
            with source.open(encoding="utf-8-sig", newline="") as file:
                self._columns = [*dict.fromkeys((*(_csv_reader(file).fieldnames or ()), REASON))]
        self._file: TextIO | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None and self._form == "json":
            self._file.write("\n]\n")
        self._stack.close()

    def add(self, row: ServiceRow, reason: str) -> None:
        """Write a row."""
        is_first = self._file is None
        if self._file is None:
            try:
                self._file = self._stack.enter_context(self.path.open("x", encoding="utf-8", newline=""))
            except OSError as error:
                raise ServiceFileError(f"{self.path} cannot be written: {error.strerror}.") from error
        values = {**row.values, REASON: reason}
        if self._form == "csv":
            writer = csv.DictWriter(self._file, self._columns)
            if is_first:
                writer.writeheader()
            writer.writerow(values)
        elif self._form == "yaml":
            yaml.safe_dump([values], self._file, allow_unicode=True, sort_keys=False)
        else:
            text = json.dumps(values, ensure_ascii=False)
            between = ("[\n" if is_first else ",\n") if self._form == "json" else ""
            self._file.write(between + text + ("\n" if self._form == "jsonl" else ""))
