"""How long a list is, from the counts that are kept: the same cost whatever its length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from resources.database.fleet_tables import FigureTable
from resources.database.session import current_session
from resources.database.tables import ProcessTable, SubscriptionTable, Table

figure = FigureTable


@dataclass(frozen=True)
class Counted:
    """A kind of figure, and the columns of its table by which it is counted, with those of the figure."""

    kind: str
    table: type[Table]
    columns: Mapping[str, Any]


SUBSCRIPTIONS = Counted(
    "subscriptions",
    SubscriptionTable,
    {"product_id": figure.subject, "status": figure.status, "insync": figure.flag},
)
PROCESSES = Counted(
    "processes",
    ProcessTable,
    {"workflow_id": figure.subject, "last_status": figure.status, "is_task": figure.flag},
)


def total(of: Counted, where: Sequence[sa.ColumnElement[bool]]) -> int | None:
    """How many rows meet all conditions; None when a condition is of a column by which nothing is counted."""
    condition = sa.and_(sa.true(), *where)
    own = of.table.__table__
    asked = [one for one in visitors.iterate(condition) if getattr(one, "table", None) == own]
    if any(getattr(one, "key", None) not in of.columns for one in asked):
        return None

    def as_figure(element: Any, **_: Any) -> Any:
        return of.columns[element.key] if getattr(element, "table", None) == own else None

    rewritten = visitors.replacement_traverse(condition, {}, as_figure)
    number = sa.cast(sa.func.sum(figure.number), sa.BigInteger)
    query = sa.select(number).where(figure.kind == of.kind, rewritten)
    return current_session().connection().scalar(query) or 0
