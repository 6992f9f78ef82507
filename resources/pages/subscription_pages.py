"""Pages of subscriptions: the columns that were selected, and what belongs to them, each in one statement."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from resources.database.session import current_session
from resources.database.tables import CustomerDescriptionTable as Description
from resources.database.tables import ProductTable, SubscriptionMetadataTable, SubscriptionTable
from resources.domain.models.declaration import DomainModel
from resources.domain.models.shapes import base_of, block_bases, camel, shape_of
from resources.pages.block_pages import BlockPages
from resources.pages.selection import CAPPED_AT, Line, ListQuery, Selection, Total, page_of, windowed
from resources.subscriptions.customers import Customer, customers_of
from resources.subscriptions.list_fields import Column, Condition, FieldText, ListFields
from resources.subscriptions.lists import BESIDE, NEWEST_FIRST, page_ids
from resources.subscriptions.relations import Direction, edges
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS

subscription, product = SubscriptionTable, ProductTable

OWN: Mapping[str, Any] = {
    "subscriptionId": subscription.subscription_id,
    "description": subscription.description,
    "status": sa.func.upper(subscription.status),
    "insync": subscription.insync,
    "customerId": subscription.customer_id,
    "startDate": subscription.start_date,
    "endDate": subscription.end_date,
    "createdAt": subscription.created_at,
    "note": subscription.note,
    "version": subscription.version,
}
PRODUCT: Mapping[str, Any] = {
    "productId": product.product_id,
    "name": product.name,
    "description": product.description,
    "productType": product.product_type,
    "tag": product.tag,
    "status": sa.func.upper(sa.func.replace(product.status, " ", "_")),
    "createdAt": product.created_at,
    "endDate": product.end_date,
}
DESCRIPTIONS: Mapping[str, Any] = {
    "id": Description.id,
    "subscriptionId": Description.subscription_id,
    "customerId": Description.customer_id,
    "description": Description.description,
    "version": Description.version,
    "createdAt": Description.created_at,
}
RELATIONS = {"inUseBySubscriptions": Direction.IN_USE_BY, "dependsOnSubscriptions": Direction.DEPENDS_ON}
SUBSCRIPTIONS: Any = SubscriptionTable.__table__
Beside: TypeAlias = Callable[[Mapping[Any, list[Line]], Selection], None]
"""Reads what belongs to lines, by their ids, as a selection says, and lays it into them."""


class SubscriptionPages:
    """Reads subscriptions; `models` are those of the products by name. `beside` reads further fields of theirs."""

    def __init__(self, models: Mapping[str, type[DomainModel]]) -> None:
        self.models = models
        self.beside: dict[str, Beside] = {}

    def page(self, selection: Selection) -> Line:
        """One page of all subscriptions. Raises InvalidQuery."""
        query = ListQuery.of(selection.arguments)
        where = _conditions(query)
        order = ordered(SUBSCRIPTION_FIELDS, query.sort) or [NEWEST_FIRST]

        def rows(limit: int) -> list[Line]:
            key = subscription.subscription_id
            cut = page_ids(key, where, order, limit=limit, offset=query.after, beside=BESIDE)
            wanted = selection.under("page")
            found = [line for line, _ in self._lines(cut, (), order, wanted)]
            self.fill(found[: query.first], wanted)
            return found

        def count() -> Total:
            if not query.text.strip():
                counted = sa.select(sa.func.count()).select_from(subscription).where(*where)
                return Total(current_session().scalar(counted) or 0)
            some = sa.select(subscription.subscription_id).where(*where).limit(CAPPED_AT).subquery()
            found = current_session().scalar(sa.select(sa.func.count()).select_from(some)) or 0
            return Total(found, is_exact=found < CAPPED_AT)

        return page_of(selection, query, SUBSCRIPTION_FIELDS, rows=rows, count=count)

    def by_id(self, ids: Collection[UUID], selection: Selection) -> dict[UUID, Line]:
        """Subscriptions by their ids; those that are missing are left out."""
        chosen = sa.select(subscription.subscription_id).where(subscription.subscription_id.in_(ids)).subquery("page")
        lines = [line for line, _ in self._lines(chosen, (), (), selection)]
        self.fill(lines, selection)
        return {line["_id"]: line for line in lines}

    def blocks_by_id(self, ids: Collection[UUID], selection: Selection) -> dict[UUID, Line]:
        """Blocks by their ids; those that are missing are left out."""
        bases = {base.__block_name__ or "": base for base in block_bases(self.models.values())}
        return BlockPages(ids).by_id(selection, bases)

    def of_parents(
        self, holders: Mapping[Any, list[Line]], selection: Selection, source: Column, joined: sa.FromClause
    ) -> None:
        """Lay a page of subscriptions into each holder. `joined` has them with the holder of each, in `source`.

        One statement reads the pages of all.
        """
        query = ListQuery.below(selection.arguments, len(holders))
        where = [source.in_(list(holders)), *_conditions(query)]
        totals: dict[Any, int] = {}
        lines: dict[Any, list[Line]] = defaultdict(list)
        if "page" not in selection:
            counts = sa.select(source, sa.func.count()).select_from(joined).where(*where).group_by(source)
            totals = {row[0]: row[1] for row in current_session().execute(counts)}
        else:
            order = ordered(SUBSCRIPTION_FIELDS, query.sort) or [NEWEST_FIRST]
            ranked = sa.select(
                subscription.subscription_id,
                source.label("source"),
                sa.func.count().over(partition_by=source).label("total"),
                sa.func.row_number()
                .over(partition_by=source, order_by=(*order, subscription.subscription_id))
                .label("at"),
            ).where(*where)
            if is_of(product, order):
                joined = joined.join(product, product.product_id == subscription.product_id)
            cut = ranked.select_from(joined).subquery("page")
            shown = cut.c.at.between(query.after + 1, query.after + query.first)
            wanted = selection.under("page")
            extra = (cut.c.source, cut.c.total, cut.c.at)
            for line, (holder, total, at) in self._lines(cut, extra, [cut.c.at], wanted, sa.or_(shown, cut.c.at == 1)):
                totals[holder] = total  # also from the first one when the page lies behind the end
                if query.after < at <= query.after + query.first:
                    lines[holder].append(line)
            self.fill([line for each in lines.values() for line in each], wanted)
        for parent, page in windowed(selection, query, SUBSCRIPTION_FIELDS, holders, totals, lines).items():
            for one in holders[parent]:
                one[selection.place] = page

    def name_customers(self, lines: Iterable[Line], selection: Selection) -> None:
        """Add the customers of lines, in one question."""
        holders: dict[str, list[Line]] = defaultdict(list)
        for line in lines:
            holders[line["_customer"]].append(line)
        found = {key: customer_line(one) for key, one in customers_of(holders).items()}
        for key, each in holders.items():
            for line in each:
                line["customer"] = found[key]
        self.fill_customers(list(found.values()), selection)

    def fill_customers(self, customers: Sequence[Line], selection: Selection) -> None:
        """Add the subscriptions of customers."""
        holders = {one["customerId"]: [one] for one in customers}
        for each in selection.each("subscriptions") if holders else ():
            self.of_parents(holders, each, subscription.customer_id, SUBSCRIPTIONS)

    # --- the rows ---

    def _lines(
        self,
        page: sa.Subquery,
        extra: Sequence[Column],
        order: Sequence[Column],
        selection: Selection,
        *where: Condition,
    ) -> Iterable[tuple[Line, Sequence[Any]]]:
        own = {name: OWN[name] for name in selection.below if name in OWN}
        of_product = {name: PRODUCT[name] for name in selection.under("product").below if name in PRODUCT}
        columns: list[Any] = [subscription.subscription_id, subscription.status, subscription.customer_id, product.name]
        with_inputs = bool("fixedInputs" in selection or self._typed(selection))
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
        statement = statement.where(*where).order_by(*order, subscription.subscription_id)
        a, b = len(columns), len(columns) + len(own)
        c = b + len(of_product)
        for row in current_session().execute(statement):
            line: Line = dict(zip(own, row[a:b], strict=True))
            line |= {"_id": row[0], "_status": row[1], "_customer": row[2], "_product": row[3]}
            line["product"] = {**dict(zip(of_product, row[b:c], strict=True)), "_name": row[3]}
            if with_inputs:
                line["fixedInputs"] = [{"field": camel(name), "value": value} for name, value in row[c].items()]
                line |= {camel(name): value for name, value in row[c].items() if camel(name) not in line}
            if with_metadata:
                line["metadata"] = row[c + with_inputs] or {}
            yield line, row[c + len(more) :]

    def _typed(self, selection: Selection) -> frozenset[str]:
        """The selected fields of models."""
        shapes = [shape_of(base_of(model)) for model in self.models.values()]
        known = {name for shape in shapes for part in (shape.values, shape.blocks, shape.computed) for name in part}
        return frozenset(selection.below) & known

    def fill(self, lines: Sequence[Line], selection: Selection) -> None:
        """Add to lines what belongs to their subscriptions."""
        if not lines:
            return
        holders: dict[Any, list[Line]] = defaultdict(list)
        for line in lines:
            holders[line["_id"]].append(line)
        if "customer" in selection:
            self.name_customers(lines, selection.under("customer"))
        if "customerDescriptions" in selection:
            _add_descriptions(holders)
        if "productBlockInstances" in selection or self._typed(selection):
            BlockPages(holders).add(lines, selection, self.models)
        for name, direction in RELATIONS.items():
            for each in selection.each(name):
                edge = edges(direction)
                pairs = sa.select(edge.c.source, edge.c.target).where(edge.c.source.in_(list(holders)))
                pair = pairs.distinct().subquery("pair")
                joined = sa.join(pair, SUBSCRIPTIONS, subscription.subscription_id == pair.c.target)
                self.of_parents(holders, each, pair.c.source, joined)
        for name, read in self.beside.items():
            for each in selection.each(name):
                read(holders, each)


def ordered(fields: ListFields, sort: Sequence[FieldText]) -> list[Any]:
    """The order of rows, with those without a value last. A column that always has one keeps the order of its index."""
    order: list[Any] = list(fields.ordering(sort))
    return [each.nulls_last() if getattr(each.element, "nullable", True) else each for each in order]


def customer_line(one: Customer) -> Line:
    """A customer with the names of its fields."""
    return {"customerId": one.customer_id, "fullname": one.fullname, "shortcode": one.shortcode}


def _conditions(query: ListQuery) -> list[Condition]:
    return [SUBSCRIPTION_FIELDS.search(query.text), *SUBSCRIPTION_FIELDS.conditions(query.filters)]


def is_of(table: type[Any], columns: Iterable[Any]) -> bool:
    """Whether any of these columns is of this table, which must then be joined."""
    return any(getattr(one, "table", None) is table.__table__ for each in columns for one in visitors.iterate(each))


def _add_descriptions(holders: Mapping[Any, list[Line]]) -> None:
    query = sa.select(*DESCRIPTIONS.values()).where(Description.subscription_id.in_(list(holders)))
    for line in (line for each in holders.values() for line in each):
        line["customerDescriptions"] = []
    for row in current_session().execute(query.order_by(Description.customer_id)):
        found = dict(zip(DESCRIPTIONS, row, strict=True))
        for line in holders[found["subscriptionId"]]:
            line["customerDescriptions"].append(found)
