"""Writes all that a search finds as CSV or JSON, a batch at a time, so that memory stays flat."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from itertools import chain
from threading import BoundedSemaphore
from typing import Any, Literal

import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.errors import DatabaseBusy
from resources.searches.hits import Search
from resources.subscriptions.search_query import parse

Format = Literal["csv", "json"]
BATCH = 500
MOST_AT_ONCE = 4
"""Each holds a connection as long as its reader takes."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a sign before it makes it text."""

_at_once = BoundedSemaphore(MOST_AT_ONCE)


def export(database: SubscriptionDatabase, search: Search, form: Format) -> Iterator[str]:
    """The parts of a file with the columns of the search, or all plain ones. Raises InvalidQuery before the first."""
    search = replace(search, columns=search.columns or list(search.entity.columns))
    with database.transaction(read_only=True):
        statement = search.statement(search.where(parse(search.text)))
        search.refuse_unknown_columns()
    lines = _lines(database, search, statement)
    parts = _csv(search.columns, lines) if form == "csv" else _json(lines)
    return chain([next(parts)], parts)  # whatever cannot be read is refused here


def _lines(database: SubscriptionDatabase, search: Search, statement: sa.Select[Any]) -> Iterator[Mapping[str, Any]]:
    """From a cursor of the server, on a connection of its own: a response is written by many threads in turn."""
    if not _at_once.acquire(blocking=False):
        raise DatabaseBusy(f"{MOST_AT_ONCE} exports are being written; try again when one is done.")
    options = {"postgresql_readonly": True, "yield_per": BATCH}
    try:
        with (
            database.engine.connect() as connection,
            connection.execution_options(**options).execute(statement) as found,
        ):
            for rows in found.mappings().partitions():
                with database.transaction(read_only=True):  # customers may be read from a table
                    lines = search.lines(rows)
                yield from lines
    finally:
        _at_once.release()


def _csv(columns: Sequence[str], lines: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    written = StringIO()
    writer = csv.writer(written)
    writer.writerow(columns)
    for number, line in enumerate(lines, 1):
        writer.writerow([_cell(value) for value in line.values()])
        if not number % BATCH:
            yield written.getvalue()
            written.seek(0)
            written.truncate()
    yield written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def _json(lines: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    before = "["
    for line in lines:
        yield f"{before}\n{json.dumps(line, ensure_ascii=False)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"
