"""Pages of the catalogue and of schedules: one table of kinds, their columns, and the links between them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa

from resources.database.fleet_tables import FiringTable
from resources.database.session import current_session
from resources.database.tables import (
    ProductBlockRelationTable,
    ProductBlockResourceTypeTable,
    ProductBlockTable,
    ProductProductBlockTable,
    ProductTable,
    ProductWorkflowTable,
    ResourceTypeTable,
    ScheduleTable,
    WorkflowTable,
)
from resources.pages.row_pages import Link, by_holder, columns_of, worded
from resources.pages.selection import Line, ListQuery, Selection, Total, page_of
from resources.pages.subscription_pages import PRODUCT, SUBSCRIPTIONS, SubscriptionPages, customer_line
from resources.searches.catalogue_fields import (
    PRODUCT_BLOCK_FIELDS,
    PRODUCT_FIELDS,
    RESOURCE_TYPE_FIELDS,
    WORKFLOW_FIELDS,
)
from resources.subscriptions.customers import customers
from resources.subscriptions.list_fields import Column, Condition, Field, Kind, ListFields

MOST = 100_000
"""The catalogue is bounded by the code, so whoever asks for all of it gets it."""

product, block, value, workflow = ProductTable, ProductBlockTable, ResourceTypeTable, WorkflowTable
schedule = ScheduleTable
of_product, of_block = ProductProductBlockTable, ProductBlockResourceTypeTable
OF_PRODUCT = Link(SUBSCRIPTIONS.c.product_id, SUBSCRIPTIONS)
relation, of_workflow = ProductBlockRelationTable, ProductWorkflowTable


@dataclass(frozen=True)
class Listed:
    """A kind of entry: its columns by name, its fields for filters, and its links, (kind, link's source and target)."""

    key: Any
    columns: Mapping[str, Any]
    fields: ListFields
    links: Mapping[str, tuple[str, Any, Any]] = field(default_factory=dict)
    where: Sequence[Condition] = ()
    hidden: Mapping[str, Any] = field(default_factory=dict)
    """Columns of which others are made."""

    @property
    def name(self) -> Any:
        """The column by which entries are sorted unless told."""
        return next(one.column for one in self.fields.fields if one.kind is Kind.TEXT)


SCHEDULE_FIELDS = ListFields(
    "Scheduled tasks",
    Field("id", Kind.ID, schedule.schedule_id),
    Field("name", Kind.TEXT, schedule.name),
    Field("nextRunTime", Kind.MOMENT, schedule.next_run_at),
    Field("workflowId", Kind.ID, schedule.workflow_id),
    Field("trigger", Kind.TEXT, schedule.trigger),
)


def _of_last_run(column: Any) -> Any:
    """A column of the newest firing of a schedule."""
    of_schedule = sa.select(column).where(FiringTable.schedule_id == schedule.schedule_id)
    return of_schedule.order_by(FiringTable.due_at.desc()).limit(1).scalar_subquery()


KINDS: Mapping[str, Listed] = {
    "products": Listed(
        product.product_id,
        PRODUCT,
        PRODUCT_FIELDS,
        {
            "productBlocks": ("productBlocks", of_product.product_id, of_product.product_block_id),
            "workflows": ("workflows", of_workflow.product_id, of_workflow.workflow_id),
        },
        hidden={"_inputs": product.fixed_inputs},
    ),
    "productBlocks": Listed(
        block.product_block_id,
        columns_of(block, "owner") | {"status": worded(block.status)},
        PRODUCT_BLOCK_FIELDS,
        {
            "resourceTypes": ("resourceTypes", of_block.product_block_id, of_block.resource_type_id),
            "dependsOn": ("productBlocks", relation.in_use_by_id, relation.depends_on_id),
            "inUseBy": ("productBlocks", relation.depends_on_id, relation.in_use_by_id),
        },
    ),
    "resourceTypes": Listed(
        value.resource_type_id,
        columns_of(value),
        RESOURCE_TYPE_FIELDS,
        {"productBlocks": ("productBlocks", of_block.resource_type_id, of_block.product_block_id)},
    ),
    "workflows": Listed(
        workflow.workflow_id,
        columns_of(workflow, "deleted_at owner"),
        WORKFLOW_FIELDS,
        {"products": ("products", of_workflow.workflow_id, of_workflow.product_id)},
        (workflow.deleted_at.is_(None),),
        {"_workflow": workflow.name},
    ),
    "scheduledTasks": Listed(
        schedule.schedule_id,
        {
            "id": schedule.schedule_id,
            "name": schedule.name,
            "nextRunTime": schedule.next_run_at,
            "workflowId": schedule.workflow_id,
            "trigger": schedule.trigger,
            "lastRunTime": _of_last_run(FiringTable.due_at),
            "lastProcessId": _of_last_run(FiringTable.process_id),
            "lastRefusal": _of_last_run(FiringTable.refusal),
        },
        SCHEDULE_FIELDS,
        hidden={"_arguments": schedule.trigger_kwargs},
    ),
}


class CataloguePages:
    """Reads the catalogue; `subscriptions` are those to the products."""

    def __init__(self, subscriptions: SubscriptionPages) -> None:
        self.subscriptions = subscriptions
        subscriptions.fill_products = partial(self.fill, "products")

    def page(self, kind: str, selection: Selection) -> Line:
        """One page of a kind, by name unless sorted. Raises InvalidQuery."""
        listed, query = KINDS[kind], ListQuery.of(selection.arguments, MOST)
        fields = listed.fields
        where = [*listed.where, fields.search(query.text), *fields.conditions(query.filters)]
        order = [*fields.ordering(query.sort), listed.name, listed.key]

        def rows(limit: int) -> list[Line]:
            wanted = selection.under("page")
            found = [line for line, _ in _lines(listed, wanted, (), where, order, limit, query.after)]
            self.fill(kind, found[: query.first], wanted)
            return found

        def count() -> Total:
            return Total(current_session().scalar(sa.select(sa.func.count(listed.key)).where(*where)) or 0)

        return page_of(selection, query, fields, rows=rows, count=count)

    def by_id(self, kind: str, ids: Sequence[Any], selection: Selection) -> dict[Any, Line]:
        """Entries by their ids; those that are missing are left out."""
        listed = KINDS[kind]
        lines = [line for line, _ in _lines(listed, selection, (), [*listed.where, listed.key.in_(ids)], [listed.key])]
        self.fill(kind, lines, selection)
        return {line["_id"]: line for line in lines}

    def fill(self, kind: str, lines: Sequence[Line], selection: Selection) -> None:
        """Add what is linked to entries; one statement for each link."""
        if not lines:
            return
        holders = by_holder(lines)
        for name, (target, source_column, target_column) in KINDS[kind].links.items():
            if name not in selection:
                continue
            linked, wanted = KINDS[target], selection.under(name)
            for line in lines:
                line[name] = []
            where = [*linked.where, linked.key == target_column, source_column.in_(list(holders))]
            order = [linked.name]
            found = list(_lines(linked, wanted, (source_column,), where, order))
            for one, (source,) in found:
                for line in holders[source]:
                    line[name].append(one)
            self.fill(target, [one for one, _ in found], wanted)
        if kind == "products":
            for line in lines if "fixedInputs" in selection else ():
                inputs = sorted(line["_inputs"].items())
                line["fixedInputs"] = [{"name": name, "value": input_text(one)} for name, one in inputs]
            for each in selection.each("subscriptions"):
                self.subscriptions.of_parents(holders, each, OF_PRODUCT)


def customer_page(subscriptions: SubscriptionPages, selection: Selection) -> Line:
    """One page of the customers, which an organisation's own resource knows. Raises InvalidQuery."""
    query = ListQuery.of(selection.arguments, MOST)
    names = {name: CUSTOMER_FIELDS.field(name).name for name, _ in (*query.filters, *query.sort)}
    ids = {one for name, text in query.filters if names[name] == "customerId" for one in text.split("|")}
    found = [customer_line(one) for one in (customers().named(ids) if ids else customers().listed())]
    wanted = [(names[name], text.lower().split("|")) for name, text in query.filters]
    found = [one for one in found if all(one[name].lower() in text for name, text in wanted)]
    found = [one for one in found if all(word in " ".join(one.values()).lower() for word in query.text.lower().split())]
    for name, order in reversed(query.sort):
        found.sort(key=lambda line: line[names[name]].lower(), reverse=order == "desc")

    def rows(limit: int) -> list[Line]:
        part = found[query.after : query.after + limit]
        subscriptions.fill_customers(part, selection.under("page"))
        return part

    return page_of(selection, query, CUSTOMER_FIELDS, rows=rows, count=lambda: Total(len(found)))


CUSTOMER_FIELDS = ListFields(
    "Customers",
    *(Field(name, Kind.TEXT, sa.literal_column("''")) for name in ("customerId", "fullname", "shortcode")),
)


def _lines(
    listed: Listed,
    selection: Selection,
    extra: Sequence[Column],
    where: Sequence[Condition],
    order: Sequence[Column],
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[tuple[Line, Sequence[Any]]]:
    own = {name: listed.columns[name] for name in selection.below if name in listed.columns}
    own |= listed.hidden
    statement = sa.select(listed.key, *own.values(), *extra).where(*where).order_by(*order)
    a = 1 + len(own)
    for row in current_session().execute(statement.limit(limit).offset(offset)):
        line: Line = {"_id": row[0], **dict(zip(own, row[1:a], strict=True))}
        if "trigger" in line:
            said = (f"{key}={input_text(one)!r}" for key, one in line["_arguments"].items())
            line["trigger"] += f"[{', '.join(said)}]"
        yield line, row[a:]


def input_text(one: Any) -> str:
    """A value as text: JSON, unless it is text."""
    return one if isinstance(one, str) else json.dumps(one)
