"""What can be searched: the lists, under the paths that clients give their columns (`subscription.product.name`)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from resources.database.fleet_tables import ValidationTable
from resources.database.tables import (
    ProcessTable,
    ProductTable,
    SubscriptionMetadataTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.domain.saving.documents import BLOCK_KEYS, is_block, is_block_list
from resources.errors import InvalidQuery
from resources.processes.process_fields import PROCESS_FIELDS
from resources.searches.catalogue_fields import PRODUCT_FIELDS, WORKFLOW_FIELDS
from resources.subscriptions.customers import Customer
from resources.subscriptions.list_fields import Column, Condition, Kind, ListFields
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.subscriptions.value_paths import value_paths

subscription, beside = SubscriptionTable, SubscriptionMetadataTable
HEADER = ("subscription_id", "product", "customer_id", "description", "status", "start_date", "end_date", "note")
CUSTOMER = MappingProxyType({"customer_name": "fullname", "customer_abbreviation": "shortcode"})
UI_TYPES: Mapping[Kind, str] = MappingProxyType({Kind.MOMENT: "datetime", Kind.NUMBER: "number", Kind.FLAG: "boolean"})


@dataclass(frozen=True)
class Entity:
    """A kind of entry: its fields, of which those that sort have a column in `rows`."""

    kind: str
    fields: ListFields
    rows: Any
    title: Column
    newest: Column
    where: Sequence[Condition] = ()
    more: Mapping[str, Column] = field(default_factory=dict)
    """Columns that no field has; `document` has the values of blocks."""

    @property
    def key(self) -> Any:
        """The id."""
        return self.fields.fields[0].column

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns by the names of their fields, without the document."""
        own = {one.key: one.column if one.shown is None else one.shown for one in self.fields.fields if one.sorts}
        return own | {name: column for name, column in self.more.items() if name != "document"}

    def paths(self) -> Iterator[tuple[str, str]]:
        """Each path that filters may have, and the type that clients show."""
        for one in self.fields.fields:
            name = one.key.replace("product_", "product.", 1) if self.kind == "subscription" else one.key
            yield f"{self.kind}.{name}", UI_TYPES.get(one.kind, "string")
        for value in value_paths() if self.kind == "subscription" else ():
            yield f"{self.kind}.{value.path}", UI_TYPES.get(value.kind, "string")

    def read(
        self, path: str, row: Mapping[str, Any], values: Mapping[str, Any], customers: Mapping[str, Customer]
    ) -> Any:
        """The value of a path in a row of `columns`. Raises InvalidQuery for an unknown one."""
        plain = self.fields.plain(path)
        if plain in CUSTOMER and "customer_id" in row:
            return getattr(customers.get(row["customer_id"]), CUSTOMER[plain], None)
        if plain in self.more and plain != "document":
            return row[plain] or {}
        if (found := self.fields.named(path)) is not None and found.sorts:
            return row[found.key]
        known = {one.removeprefix(f"{self.kind}.") for one, _ in self.paths()}
        if plain in known:
            return values.get(plain)
        near = " or ".join(map(repr, get_close_matches(plain, sorted(known), n=3)))
        raise InvalidQuery(f"There is no column {path!r}; {f'did you mean {near}?' if near else 'see search/paths.'}")


def values_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a subscription's document by their paths: fixed inputs and own blocks; a list when in lists."""
    found: dict[str, Any] = {}
    for path, value in _values(document, "", HEADER):
        found[path] = [*(had if isinstance(had := found[path], list) else [had]), value] if path in found else value
    return found


def _values(holder: Mapping[str, Any], at: str, left_out: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name, value in holder.items():
        if name in left_out:
            continue
        if is_block(value) or is_block_list(value):
            for block in value if isinstance(value, list) else [value]:
                yield from _values(block, f"{at}{name}.", BLOCK_KEYS)
        else:
            yield f"{at}{name}", value


ENTITIES: Mapping[str, Entity] = {
    "subscriptions": Entity(
        "subscription",
        SUBSCRIPTION_FIELDS,
        sa.join(subscription, ProductTable, ProductTable.product_id == subscription.product_id)
        .join(ValidationTable, ValidationTable.subscription_id == subscription.subscription_id)
        .outerjoin(beside, beside.subscription_id == subscription.subscription_id),
        subscription.description,
        subscription.created_at,
        more={"metadata": beside.metadata_, "document": subscription.document},
    ),
    "processes": Entity(
        "process",
        PROCESS_FIELDS,
        sa.join(ProcessTable, WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id),
        WorkflowTable.name,
        ProcessTable.started_at,
    ),
    "products": Entity("product", PRODUCT_FIELDS, ProductTable, ProductTable.name, ProductTable.created_at),
    "workflows": Entity(
        "workflow",
        WORKFLOW_FIELDS,
        WorkflowTable,
        WorkflowTable.name,
        WorkflowTable.created_at,
        (WorkflowTable.deleted_at.is_(None),),
    ),
}
"""By the names that the paths of searches have."""
