"""Counts what a search finds, and sums its values, by groups and periods; all numbers are exact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import sqlalchemy as sa
from pydantic_core import to_jsonable_python

from resources.database.session import current_session
from resources.errors import InvalidQuery
from resources.searches.hits import Search
from resources.subscriptions.list_fields import ORDERED, Field, Kind
from resources.subscriptions.search_query import parse
from resources.subscriptions.search_words import by_index
from resources.subscriptions.value_paths import fields_of

Period = Literal["hour", "day", "week", "month", "quarter", "year"]
Operation = Literal["count", "sum", "avg", "min", "max"]


@dataclass(frozen=True)
class Measure:
    """What is computed of a field; a count without one counts entries."""

    operation: Operation
    path: str | None = None


def aggregate(
    search: Search,
    measures: Sequence[Measure] = (),
    groups: Sequence[str] = (),
    periods: Sequence[tuple[str, Period]] = (),
    *,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """One row for each group, in one statement besides those of the search. Raises InvalidQuery.

    An entry is in each group of which it has a value, with all its values. Periods are in UTC. Numbers are Decimal, and
    counts are int.
    """
    entity, where = search.entity, search.where(parse(search.text))
    base = sa.select(entity.key.label("id")).select_from(entity.rows).where(where).subquery()
    joined: Any = base
    by: dict[str, Any] = {}
    for path, period in [*((path, None) for path in groups), *periods]:
        kind, rows = _rows(search, path)
        if period is not None and kind is not Kind.MOMENT:
            raise InvalidQuery(f"{path!r} is no moment, so it has no {period}.")
        found = sa.select(rows.c[0], rows.c[1]).distinct().subquery()
        joined = joined.outerjoin(found, found.c[0] == base.c.id)
        by[path if period is None else f"{path}:{period}"] = (
            sa.func.date_trunc(period, found.c[1]) if period else found.c[1]
        )
    values: dict[str, Any] = {"count": sa.func.count(base.c.id.distinct())}
    for measure in measures:
        if measure.path is not None:
            joined, values[f"{measure.operation}_{measure.path}"] = _measured(search, measure, joined, base)
        elif measure.operation != "count":
            raise InvalidQuery(f"{measure.operation!r} needs a field.")
    query = sa.select(*by.values(), *values.values()).select_from(joined)
    query = query.group_by(*by.values()).order_by(*by.values()) if by else query
    return [_line(list(by), list(values), row) for row in current_session().execute(query.limit(limit))]


def _measured(search: Search, measure: Measure, joined: Any, base: Any) -> tuple[Any, Any]:
    """First by entry, so that an entry in several groups, or with several values, is not multiplied."""
    kind, rows = _rows(search, measure.path or "")
    is_sum = measure.operation in ("sum", "avg")
    if measure.operation != "count" and (kind not in ORDERED or (is_sum and kind is not Kind.NUMBER)):
        raise InvalidQuery(f"{measure.path!r} has no {measure.operation}: it is {kind.name.lower()}.")
    value = sa.cast(rows.c[1], sa.Numeric) if kind is Kind.NUMBER else rows.c[1]
    reduce: Mapping[str, Any] = {"min": sa.func.min, "max": sa.func.max, "count": sa.func.count}
    inner = sa.func.sum(value) if is_sum else reduce[measure.operation](value)
    each = sa.select(rows.c[0].label("id"), inner.label("value"), sa.func.count(rows.c[1]).label("number"))
    of_entry = each.group_by(rows.c[0]).subquery()
    joined = joined.outerjoin(of_entry, of_entry.c.id == base.c.id)
    if measure.operation in ("min", "max"):
        return joined, reduce[measure.operation](of_entry.c.value)
    total = sa.func.sum(of_entry.c.value)
    if measure.operation == "avg":
        return joined, total / sa.func.nullif(sa.func.sum(of_entry.c.number), 0)
    return joined, sa.cast(total, sa.Numeric) if is_sum else sa.cast(sa.func.coalesce(total, 0), sa.BigInteger)


def _rows(search: Search, path: str) -> tuple[Kind, Any]:
    """(id, value) of a path."""
    entity = search.entity
    found = [own] if (own := entity.fields.named(path)) else []
    if not found and entity.kind == "subscription":
        found = fields_of(entity.fields.plain(path), by_index)
    if not found or not (found[0].sorts):
        raise InvalidQuery(f"{path!r} cannot be counted or grouped by; see search/paths.")

    def rows_of(field: Field) -> sa.Select[Any]:
        return sa.select(entity.key, field.column).select_from(entity.rows) if field.rows is None else field.rows

    selects = [rows_of(field) for field in found]
    return found[0].kind, (selects[0] if len(selects) == 1 else sa.union_all(*selects)).subquery()


def _line(groups: Sequence[str], names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    group = dict(zip(groups, map(_plain, row[: len(groups)]), strict=True))
    return {"group_values": group, "aggregations": dict(zip(names, row[len(groups) :], strict=True))}


def _plain(value: Any) -> Any:
    return value if isinstance(value, Decimal) else to_jsonable_python(value)
