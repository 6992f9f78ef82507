"""Pages of processes: the columns that were selected, and their subscriptions, steps and waits, each in a statement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

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
from resources.pages.selection import Line, ListQuery, Selection, Total, page_of, windowed
from resources.pages.subscription_pages import PRODUCT, SUBSCRIPTIONS, SubscriptionPages, ordered
from resources.processes.process_fields import PROCESS_FIELDS
from resources.processes.process_lists import BESIDE
from resources.processes.waits import WaitKind
from resources.settings import default_customer_id
from resources.subscriptions.list_fields import Column, Condition
from resources.subscriptions.lists import page_ids

process, workflow, link = ProcessTable, WorkflowTable, ProcessSubscriptionTable

OWN: Mapping[str, Any] = {
    "processId": process.process_id,
    "workflowId": process.workflow_id,
    "workflowName": workflow.name,
    "workflowTarget": workflow.target,
    "isTask": process.is_task,
    "lastStatus": sa.func.upper(process.last_status),
    "lastStep": process.last_step,
    "assignee": process.assignee,
    "failedReason": process.failed_reason,
    "createdBy": process.created_by,
    "startedAt": process.started_at,
    "lastModifiedAt": process.last_modified_at,
    "note": process.note,
    "traceback": process.traceback,
    "runId": process.run_id,
    "parentProcessId": process.parent_process_id,
    "currentState": process.state,
}
NEWEST_FIRST = process.started_at.desc()
WITH_STEPS = frozenset({"steps", "userPermissions"})


class ProcessPages:
    """Reads processes, and those of subscriptions."""

    def __init__(self, subscriptions: SubscriptionPages) -> None:
        self.subscriptions = subscriptions
        subscriptions.beside["processes"] = self.of_subscriptions

    def page(self, selection: Selection) -> Line:
        """One page of all processes. Raises InvalidQuery."""
        query = ListQuery.of(selection.arguments)
        where = _conditions(query)
        order = ordered(PROCESS_FIELDS, query.sort) or [NEWEST_FIRST]

        def rows(limit: int) -> list[Line]:
            cut = page_ids(process.process_id, where, order, limit=limit, offset=query.after, beside=BESIDE)
            wanted = selection.under("page")
            found = [line for line, _ in _lines(cut, (), order, wanted)]
            self.fill(found[: query.first], wanted)
            return found

        def count() -> Total:
            counted = sa.select(sa.func.count()).select_from(process).where(*where)
            return Total(current_session().scalar(counted) or 0)

        return page_of(selection, query, PROCESS_FIELDS, rows=rows, count=count)

    def by_id(self, ids: Iterable[UUID], selection: Selection) -> dict[UUID, Line]:
        """Processes by their ids; those that are missing are left out."""
        chosen = sa.select(process.process_id).where(process.process_id.in_(ids)).subquery("page")
        lines = [line for line, _ in _lines(chosen, (), (), selection)]
        self.fill(lines, selection)
        return {line["_id"]: line for line in lines}

    def of_subscriptions(self, holders: Mapping[Any, list[Line]], selection: Selection) -> None:
        """Lay a page of processes into each subscription; one statement reads the pages of all."""
        query = ListQuery.below(selection.arguments, len(holders))
        where = [link.subscription_id.in_(list(holders)), *_conditions(query)]
        order = ordered(PROCESS_FIELDS, query.sort) or [NEWEST_FIRST]
        joined = sa.join(link, process, process.process_id == link.process_id)
        joined = joined.join(workflow, workflow.workflow_id == process.workflow_id)
        source = link.subscription_id
        totals: dict[Any, int] = {}
        lines: dict[Any, list[Line]] = defaultdict(list)
        if "page" not in selection:
            counts = sa.select(source, sa.func.count()).select_from(joined).where(*where).group_by(source)
            totals = {row[0]: row[1] for row in current_session().execute(counts)}
        else:
            ranked = sa.select(
                process.process_id,
                source.label("source"),
                sa.func.count().over(partition_by=source).label("total"),
                sa.func.row_number().over(partition_by=source, order_by=(*order, process.process_id)).label("at"),
            )
            cut = ranked.select_from(joined).where(*where).subquery("page")
            shown = cut.c.at.between(query.after + 1, query.after + query.first)
            extra = (cut.c.source, cut.c.total, cut.c.at)
            wanted = selection.under("page")
            for line, (holder, total, at) in _lines(cut, extra, [cut.c.at], wanted, sa.or_(shown, cut.c.at == 1)):
                totals[holder] = total
                if query.after < at <= query.after + query.first:
                    lines[holder].append(line)
            self.fill([line for each in lines.values() for line in each], wanted)
        for holder, page in windowed(selection, query, PROCESS_FIELDS, holders, totals, lines).items():
            for each in holders[holder]:
                each[selection.place] = page

    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their processes."""
        if not lines:
            return
        holders: dict[Any, list[Line]] = defaultdict(list)
        for line in lines:
            holders[line["_id"]].append(line)
        if "product" in selection or "customer" in selection:
            _add_subject(holders, selection)
        if "customer" in selection:
            self.subscriptions.name_customers(lines, selection.under("customer"))
        if not WITH_STEPS.isdisjoint(selection.below):
            _add_ledger(holders)
        if not {"form", "userPermissions"}.isdisjoint(selection.below):
            _add_waits(holders)
        for each in selection.each("subscriptions"):
            joined = sa.join(link, SUBSCRIPTIONS, SUBSCRIPTIONS.c.subscription_id == link.subscription_id)
            self.subscriptions.of_parents(holders, each, link.process_id, joined)


def _lines(
    page: sa.Subquery, extra: Sequence[Column], order: Sequence[Column], selection: Selection, *where: Condition
) -> Iterable[tuple[Line, Sequence[Any]]]:
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
    for row in current_session().execute(statement.where(*where).order_by(*order, process.process_id)):
        line: Line = dict(zip(own, row[a:b], strict=True))
        line |= {"_id": row[0], "_workflow": row[1], "_location": row[2], "_status": row[3], "_waits": []}
        if "steps" in selection:
            line["_step_keys"] = row[5]
        line["_ledger"] = []
        yield line, row[b:]


def _conditions(query: ListQuery) -> list[Condition]:
    return [PROCESS_FIELDS.search(query.text), *PROCESS_FIELDS.conditions(query.filters)]


def _add_subject(holders: Mapping[Any, list[Line]], selection: Selection) -> None:
    """The product and the customer of the first subscription; a task has the default customer."""
    wanted = {name: PRODUCT[name] for name in selection.under("product").below if name in PRODUCT}
    subscription, product = SubscriptionTable, ProductTable
    statement = (
        sa.select(link.process_id, subscription.customer_id, product.name, *wanted.values())
        .join(subscription, subscription.subscription_id == link.subscription_id)
        .join(product, product.product_id == subscription.product_id)
        .where(link.process_id.in_(list(holders)))
        .order_by(link.created_at, link.subscription_id)
    )
    found: dict[Any, Any] = {}
    for each in current_session().execute(statement):
        found.setdefault(each[0], each)
    default = default_customer_id()
    for key, lines in holders.items():
        row = found.get(key)
        for line in lines:
            line["_customer"] = row[1] if row else default
            line["product"] = {**dict(zip(wanted, row[3:], strict=True)), "_name": row[2]} if row else None


def _add_ledger(holders: Mapping[Any, list[Line]]) -> None:
    query = sa.select(ProcessStepTable).where(ProcessStepTable.process_id.in_(list(holders)))
    for step in current_session().scalars(query.order_by(ProcessStepTable.process_id, ProcessStepTable.position)):
        for line in holders[step.process_id]:
            line["_ledger"].append(step)


def _add_waits(holders: Mapping[Any, list[Line]]) -> None:
    """The step at which a process waits, if it does: (kind, step)."""
    wait = ProcessWaitTable
    query = sa.select(wait.process_id, wait.kind, wait.step_key).where(wait.process_id.in_(list(holders)))
    for process_id, kind, step_key in current_session().execute(
        query.where(wait.answered_at.is_(None)).order_by(wait.created_at)
    ):
        for line in holders[process_id]:
            if WaitKind(kind).process_status == line["_status"]:
                line["_waits"].append((WaitKind(kind), step_key))
