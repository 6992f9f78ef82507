"""Writes all that a search finds as CSV or JSON, a batch at a time, so that memory stays flat."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from typing import Any, Literal

import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.searches.hits import Search
from resources.subscriptions.search_query import parse

Format = Literal["csv", "json"]
BATCH = 500


def export(database: SubscriptionDatabase, search: Search, form: Format) -> Iterator[str]:
    """The parts of a file with the columns of the search, or all plain ones. Raises InvalidQuery before the first."""
    search = replace(search, columns=search.columns or list(search.entity.columns))
    with database.transaction(read_only=True):
        statement = search.statement(search.where(parse(search.text)))
        search.refuse_unknown_columns()
    lines = _lines(database, search, statement)
    return _csv(search.columns, lines) if form == "csv" else _json(lines)


def _lines(database: SubscriptionDatabase, search: Search, statement: sa.Select[Any]) -> Iterator[Mapping[str, Any]]:
    """From a cursor of the server, on a connection of its own: a response is written by many threads in turn."""
    options = {"postgresql_readonly": True, "yield_per": BATCH}
    with database.engine.connect().execution_options(**options) as connection:
        for rows in connection.execute(statement).mappings().partitions():
            with database.transaction(read_only=True):  # customers may be read from a table
                lines = search.lines(rows)
            yield from lines


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
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else value


def _json(lines: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    before = "["
    for line in lines:
        yield f"{before}\n{json.dumps(line, ensure_ascii=False)}"
        before = ","
    yield "[]\n" if before == "[" else "\n]\n"
