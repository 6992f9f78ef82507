"""What validations have found about some subscriptions: the newest results and the history, each in one statement."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from resources import clock
from resources.database.fleet_tables import ValidationHistoryTable, ValidationTable
from resources.database.session import current_session
from resources.database.typed_sql import UUIDS
from resources.pages.row_pages import columns_of
from resources.pages.selection import Line, ListQuery, Selection, Total, page_info
from resources.secrecy import redacted
from resources.subscriptions.list_fields import ListFields

newest, history = ValidationTable, ValidationHistoryTable

NEWEST = columns_of(ValidationTable, "subscription_id product_id claimed_by results")
PAST = columns_of(ValidationHistoryTable, "subscription_id history_id")
FIELDS = ListFields("Results of validations")
"""The history is neither filtered nor sorted: the newest comes first."""


def _age(found: Line) -> int | None:
    last = found["finishedAt"]
    return None if last is None else int((clock.now() - last).total_seconds())


OF_NEWEST: Mapping[str, Callable[[Line], Any]] = {
    "validation": lambda found: found if found["result"] else None,
    "lastValidated": lambda found: found["finishedAt"],
    "validationResult": lambda found: found["result"],
    "validationAge": _age,
}
"""The fields of a subscription that come from its newest validation."""


def add_newest(holders: Mapping[Any, list[Line]]) -> None:
    """Add the newest validations to the lines of subscriptions, with secrets masked."""
    query = sa.select(newest.subscription_id, *NEWEST.values())
    for row in current_session().execute(query.where(newest.subscription_id.in_(list(holders)))):
        found = dict(zip(NEWEST, row[1:], strict=True))
        found["differences"] = redacted(found["differences"])
        for line in holders[row[0]]:
            line |= {name: read(found) for name, read in OF_NEWEST.items()}


def add_history(holders: Mapping[Any, list[Line]], selection: Selection) -> None:
    """Lay a page of results, the newest first, into each subscription.

    Of each the index gives as many rows as are shown, and one more, which says that there are more.
    """
    query, wanted, about = ListQuery.below(selection.arguments, len(holders)), selection.under("page"), "pageInfo"
    columns = {name: PAST[name] for name in wanted.below if name in PAST}
    counts = not {"totalItems", "totalIsExact"}.isdisjoint(selection.under(about).below)
    ids = sa.select(sa.func.unnest(sa.bindparam("ids", list(holders), UUIDS)).label("id")).subquery("ids")
    of_one = history.subscription_id == ids.c.id
    order = (history.finished_at.desc(), history.history_id.desc())
    cut = sa.select(history.history_id, history.finished_at.label("at"), *columns.values()).where(of_one)
    page = cut.order_by(*order).limit(query.first + 1).offset(query.after).lateral("page")
    number = sa.select(sa.func.count()).where(of_one).scalar_subquery() if counts else sa.literal(0)
    statement = sa.select(ids.c.id, number, page).select_from(ids.outerjoin(page, sa.true()))
    found: dict[Any, list[Line]] = {holder: [] for holder in holders}
    totals: dict[Any, int] = {}
    for holder, total, key, _, *values in current_session().execute(
        statement.order_by(ids.c.id, page.c.at.desc(), page.c.history_id.desc())
    ):
        totals[holder] = total
        if key is not None:
            found[holder].append(line := dict(zip(columns, values, strict=True)))
            if "differences" in line:
                line["differences"] = redacted(line["differences"])
    for holder, lines in found.items():
        shown = lines[: query.first]
        total = Total(totals[holder]) if counts else None
        info = page_info(query, len(shown), len(lines) > query.first, total, FIELDS)
        for one in holders[holder]:
            one[selection.place] = {"page": shown, about: info}
