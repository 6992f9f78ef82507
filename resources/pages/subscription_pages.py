"""Pages of subscriptions: the columns that were selected, and what belongs to them, each in one statement."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from resources.database.fleet_tables import ValidationTable
from resources.database.session import current_session
from resources.database.tables import CustomerDescriptionTable as Description
from resources.database.tables import ProductTable, SubscriptionMetadataTable, SubscriptionTable
from resources.domain.models.declaration import DomainModel
from resources.domain.models.shapes import base_of, block_bases, camel, shape_of
from resources.figures import totals
from resources.pages.block_pages import BlockPages
from resources.pages.row_pages import HOLDERS, Link, Reading, RowPages, by_holder, columns_of, worded
from resources.pages.selection import Line, Selection
from resources.pages.validation_pages import OF_NEWEST, add_history, add_newest
from resources.subscriptions.customers import Customer, customers_of
from resources.subscriptions.list_fields import Column, Condition
from resources.subscriptions.lists import BESIDE, NEWEST_FIRST
from resources.subscriptions.relations import Direction, edges
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS

subscription, product, validation = SubscriptionTable, ProductTable, ValidationTable

OWN = columns_of(SubscriptionTable, "document search product_id locked_by out_of_sync_by") | {
    "status": sa.func.upper(subscription.status)
}
PRODUCT = columns_of(ProductTable, "fixed_inputs owner") | {"status": worded(product.status)}
DESCRIPTIONS = columns_of(Description, "search")
SUBSCRIPTIONS: Any = SubscriptionTable.__table__
OF_CUSTOMER = Link(subscription.customer_id, SUBSCRIPTIONS)
More: TypeAlias = Callable[[Mapping[Any, list[Line]], Selection], None]
"""Reads what belongs to lines, by their ids, as a selection says, and lays it into them."""


def _related(direction: Direction) -> Link:
    edge = edges(direction)
    pairs = sa.select(edge.c.source, edge.c.target).where(edge.c.source.in_(sa.bindparam(HOLDERS, expanding=True)))
    pair = pairs.distinct().subquery("pair")
    return Link(pair.c.source, sa.join(pair, SUBSCRIPTIONS, subscription.subscription_id == pair.c.target))


RELATIONS = {
    "inUseBySubscriptions": _related(Direction.IN_USE_BY),
    "dependsOnSubscriptions": _related(Direction.DEPENDS_ON),
}


class SubscriptionPages(RowPages):
    """Reads subscriptions; `models` are those of the products by name. `more` reads further fields of theirs."""

    def __init__(self, models: Mapping[str, type[DomainModel]]) -> None:
        super().__init__(subscription.subscription_id, SUBSCRIPTION_FIELDS, NEWEST_FIRST, BESIDE, totals.SUBSCRIPTIONS)
        self.models = models
        self.more: dict[str, More] = {"validations": add_history}
        self.fill_products: Callable[[Sequence[Line], Selection], None] = lambda _lines, _selection: None

    def blocks_by_id(self, ids: Collection[UUID], selection: Selection) -> dict[UUID, Line]:
        """Blocks by their ids; those that are missing are left out."""
        bases = {base.__block_name__ or "": base for base in block_bases(self.models.values())}
        return BlockPages(ids).by_id(selection, bases)

    def name_customers(self, lines: Iterable[Line], selection: Selection) -> None:
        """Add the customers of lines, in one question."""
        holders = by_holder(lines, "_customer")
        found = {key: customer_line(one) for key, one in customers_of(holders).items()}
        for key, each in holders.items():
            for line in each:
                line["customer"] = found[key]
        self.fill_customers(list(found.values()), selection)

    def fill_customers(self, customers: Sequence[Line], selection: Selection) -> None:
        """Add the subscriptions of customers."""
        holders = {one["customerId"]: [one] for one in customers}
        for each in selection.each("subscriptions") if holders else ():
            self.of_parents(holders, each, OF_CUSTOMER)

    # --- the rows ---

    def reading(
        self,
        page: sa.Subquery,
        selection: Selection,
        order: Sequence[Column] = (),
        extra: Sequence[Column] = (),
        where: Sequence[Condition] = (),
    ) -> Reading:
        """The selected columns, with the product, its fixed inputs and the metadata."""
        own = {name: OWN[name] for name in selection.below if name in OWN}
        of_product = product_columns(selection.under("product").below)
        columns: list[Any] = [subscription.subscription_id, subscription.status, subscription.customer_id, product.name]
        with_inputs = "fixedInputs" in selection or self._typed(selection)
        with_metadata = "metadata" in selection
        more = [*([product.fixed_inputs] * with_inputs), *([SubscriptionMetadataTable.metadata_] * with_metadata)]
        statement = (
            sa.select(*columns, *own.values(), *of_product.values(), *more, *extra)
            .select_from(page)
            .join(subscription, subscription.subscription_id == page.c.subscription_id)
            .join(product, product.product_id == subscription.product_id)
        )
        if with_metadata:
            beside = SubscriptionMetadataTable
            statement = statement.outerjoin(beside, beside.subscription_id == subscription.subscription_id)
        if order and validation.__table__ in sa.select(*order).columns_clause_froms:
            statement = statement.join(validation, BESIDE[validation])
        statement = statement.where(*where).order_by(*order, subscription.subscription_id)
        a, b = len(columns), len(columns) + len(own)
        c = b + len(of_product)

        def line_of(row: Sequence[Any]) -> tuple[Line, Sequence[Any]]:
            line: Line = dict(zip(own, row[a:b], strict=True))
            line |= {"_id": row[0], "_status": row[1], "_customer": row[2], "_product": row[3]}
            line["product"] = dict(zip(of_product, row[b:c], strict=True))
            if with_inputs:
                line["fixedInputs"] = [{"field": camel(name), "value": value} for name, value in row[c].items()]
                line |= {camel(name): value for name, value in row[c].items() if camel(name) not in line}
            if with_metadata:
                line["metadata"] = row[c + with_inputs] or {}
            return line, row[c + len(more) :]

        return statement, line_of

    def _typed(self, selection: Selection) -> bool:
        """Whether fields of models are selected."""
        return not self._names.isdisjoint(selection.below)

    @cached_property
    def _names(self) -> frozenset[str]:
        shapes = [shape_of(base_of(model)) for model in self.models.values()]
        return frozenset(name for one in shapes for part in (one.values, one.blocks, one.computed) for name in part)

    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their subscriptions."""
        if not lines:
            return
        holders = by_holder(lines)
        if "product" in selection:
            self.fill_products([line["product"] for line in lines], selection.under("product"))
        if "customer" in selection:
            self.name_customers(lines, selection.under("customer"))
        if "customerDescriptions" in selection:
            _add_descriptions(holders)
        if not OF_NEWEST.keys().isdisjoint(selection.below):
            add_newest(holders)
        if "productBlockInstances" in selection or self._typed(selection):
            BlockPages(holders).add(lines, selection, self.models)
        for name, link in RELATIONS.items():
            for each in selection.each(name):
                self.of_parents(holders, each, link)
        for name, read in self.more.items():
            for each in selection.each(name):
                read(holders, each)


def product_columns(names: Collection[str]) -> dict[str, Any]:
    """The columns of a product of which these fields are selected, beside something else."""
    own = {name: PRODUCT[name] for name in names if name in PRODUCT}
    hidden = {"_inputs": product.fixed_inputs} if "fixedInputs" in names else {}
    return {"_id": product.product_id, **hidden, **own}


def customer_line(one: Customer) -> Line:
    """A customer with the names of its fields."""
    return {"customerId": one.customer_id, "fullname": one.fullname, "shortcode": one.shortcode}


def _add_descriptions(holders: Mapping[Any, list[Line]]) -> None:
    query = sa.select(*DESCRIPTIONS.values()).where(Description.subscription_id.in_(list(holders)))
    for line in (line for each in holders.values() for line in each):
        line["customerDescriptions"] = []
    for row in current_session().execute(query.order_by(Description.customer_id)):
        found = dict(zip(DESCRIPTIONS, row, strict=True))
        for line in holders[found["subscriptionId"]]:
            line["customerDescriptions"].append(found)
