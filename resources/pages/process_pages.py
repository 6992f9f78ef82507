"""Pages of processes: the columns that were selected, and their subscriptions, steps and waits, each in a statement."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import (
    ProcessStepTable,
    ProcessSubscriptionTable,
    ProcessTable,
    ProcessWaitTable,
    ProductTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.figures import totals
from resources.pages.row_pages import HOLDERS, Link, Reading, RowPages, by_holder, columns_of
from resources.pages.selection import Line, Selection
from resources.pages.subscription_pages import SUBSCRIPTIONS, SubscriptionPages, product_columns
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import BESIDE
from resources.processes.waits import WaitKind
from resources.settings import default_customer_id
from resources.subscriptions.list_fields import Column, Condition

process, workflow, link = ProcessTable, WorkflowTable, ProcessSubscriptionTable

OWN = columns_of(ProcessTable, "state step_keys storage location") | {
    "workflowName": workflow.name,
    "workflowTarget": workflow.target,
    "lastStatus": sa.func.upper(process.last_status),
    "currentState": process.state,
}
PROCESSES: Any = ProcessTable.__table__
OF_SUBSCRIPTION = Link(link.subscription_id, sa.join(link, PROCESSES, PROCESSES.c.process_id == link.process_id))
OF_PROCESS = Link(
    link.process_id, sa.join(link, SUBSCRIPTIONS, SUBSCRIPTIONS.c.subscription_id == link.subscription_id)
)
THEIRS: Any = sa.bindparam(HOLDERS, expanding=True)
WITH_STEPS = frozenset({"steps", "userPermissions"})


class ProcessPages(RowPages):
    """Reads processes, and those of subscriptions."""

    def __init__(self, subscriptions: SubscriptionPages) -> None:
        super().__init__(process.process_id, PROCESS_FIELDS, process.started_at.desc(), BESIDE, totals.PROCESSES)
        self.subscriptions = subscriptions
        subscriptions.more["processes"] = self.of_subscriptions

    def of_subscriptions(self, holders: Mapping[Any, list[Line]], selection: Selection) -> None:
        """Lay a page of processes into each subscription."""
        self.of_parents(holders, selection, OF_SUBSCRIPTION)

    def reading(
        self,
        page: sa.Subquery,
        selection: Selection,
        order: Sequence[Column] = (),
        extra: Sequence[Column] = (),
        where: Sequence[Condition] = (),
    ) -> Reading:
        """The selected columns, and what the steps and the form need."""
        own = {name: OWN[name] for name in selection.below if name in OWN}
        columns = [process.process_id, workflow.name, process.location, process.last_status, workflow.target]
        if "steps" in selection:
            columns.append(process.step_keys)
        statement = (
            sa.select(*columns, *own.values(), *extra)
            .select_from(page)
            .join(process, process.process_id == page.c.process_id)
            .join(workflow, workflow.workflow_id == process.workflow_id)
        )
        a, b = len(columns), len(columns) + len(own)
        with_steps = "steps" in selection

        def line_of(row: Sequence[Any]) -> tuple[Line, Sequence[Any]]:
            line: Line = dict(zip(own, row[a:b], strict=True))
            line |= {"_id": row[0], "_workflow": row[1], "_location": row[2], "_status": row[3], "_waits": []}
            if with_steps:
                line["_step_keys"] = row[5]
            line["_ledger"] = []
            return line, row[b:]

        return statement.where(*where).order_by(*order, process.process_id), line_of

    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their processes."""
        if not lines:
            return
        holders = by_holder(lines)
        if "product" in selection or "customer" in selection:
            _add_subject(holders, selection)
            products = [line["product"] for line in lines if line["product"] is not None]
            self.subscriptions.fill_products(products, selection.under("product"))
        if "customer" in selection:
            self.subscriptions.name_customers(lines, selection.under("customer"))
        if not WITH_STEPS.isdisjoint(selection.below):
            _add_ledger(holders)
        if not {"form", "userPermissions"}.isdisjoint(selection.below):
            _add_waits(holders)
        for each in selection.each("subscriptions"):
            self.subscriptions.of_parents(holders, each, OF_PROCESS)


def _add_subject(holders: Mapping[Any, list[Line]], selection: Selection) -> None:
    """The product and the customer of the first subscription; a task has the default customer."""
    statement, wanted = _subjects(tuple(selection.under("product").below))
    found: dict[Any, Any] = {}
    for each in current_session().connection().execute(statement, {HOLDERS: list(holders)}):
        found.setdefault(each[0], each)
    default = default_customer_id()
    for key, lines in holders.items():
        row = found.get(key)
        for line in lines:
            line["_customer"] = row[1] if row else default
            line["product"] = dict(zip(wanted, row[2:], strict=True)) if row else None


@lru_cache(maxsize=100)
def _subjects(names: tuple[str, ...]) -> tuple[sa.Select[*tuple[Any, ...]], Sequence[str]]:
    """A statement for these fields of products, and the names of its columns behind the first two."""
    wanted = product_columns(names)
    subscription, product = SubscriptionTable, ProductTable
    statement = (
        sa.select(link.process_id, subscription.customer_id, *wanted.values())
        .join(subscription, subscription.subscription_id == link.subscription_id)
        .join(product, product.product_id == subscription.product_id)
        .where(link.process_id.in_(THEIRS))
        .order_by(link.created_at, link.subscription_id)
    )
    return statement, tuple(wanted)


_LEDGER = (
    sa.select(*ProcessStepTable.__table__.c)
    .where(ProcessStepTable.process_id.in_(THEIRS))
    .order_by(ProcessStepTable.process_id, ProcessStepTable.position)
)


def _add_ledger(holders: Mapping[Any, list[Line]]) -> None:
    for step in current_session().connection().execute(_LEDGER, {HOLDERS: list(holders)}):
        for line in holders[step.process_id]:
            line["_ledger"].append(step)


_OPEN_WAITS = (
    sa.select(ProcessWaitTable.process_id, ProcessWaitTable.kind, ProcessWaitTable.step_key)
    .where(ProcessWaitTable.process_id.in_(THEIRS), ProcessWaitTable.answered_at.is_(None))
    .order_by(ProcessWaitTable.created_at)
)


def _add_waits(holders: Mapping[Any, list[Line]]) -> None:
    """The step at which a process waits, if it does: (kind, step)."""
    for process_id, kind, step_key in current_session().connection().execute(_OPEN_WAITS, {HOLDERS: list(holders)}):
        for line in holders[process_id]:
            if WaitKind(kind).process_status == line["_status"]:
                line["_waits"].append((WaitKind(kind), step_key))
