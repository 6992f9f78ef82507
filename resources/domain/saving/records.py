"""Records: the rows of a subscription without any model, which are read, written and made into models."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple
from uuid import UUID

from resources.errors import CatalogueError


class Place(NamedTuple):
    """The place of a block: in a field of another block or, when `holder` is None, of the subscription."""

    holder: UUID | None
    attribute: str
    position: int


@dataclass(frozen=True, slots=True)
class ProductRecord:
    """A row of products; `fixed_inputs` as JSON, `owner` the code location that it belongs to."""

    product_id: UUID
    name: str
    description: str
    product_type: str
    tag: str
    status: str
    created_at: datetime | None
    end_date: datetime | None
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None

    def fixed_input_value(self, name: str) -> Any:
        """A fixed input. Raises CatalogueError for one that the product does not have."""
        if name not in self.fixed_inputs:
            known = ", ".join(self.fixed_inputs) or "none"
            raise CatalogueError(f"Product {self.name!r} has no fixed input {name!r}; it has {known}.")
        return self.fixed_inputs[name]


@dataclass(frozen=True, slots=True)
class ProductBlockRecord:
    """A row of product_blocks: what kind of block a block is."""

    product_block_id: UUID | None
    name: str
    description: str | None
    tag: str | None


@dataclass(frozen=True, slots=True)
class HeaderRecord:
    """A row of subscriptions, as far as a model may change it, without `insync` and `version`."""

    subscription_id: UUID
    product_id: UUID
    customer_id: str
    description: str
    status: str
    start_date: datetime | None
    end_date: datetime | None
    note: str | None


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """A row of subscription_instances; `values` as JSON. `subscription_id` is the owner's."""

    subscription_instance_id: UUID
    subscription_id: UUID
    product_block: str
    label: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Blocks:
    """Blocks and their relations: those of one subscription, and of others that it reaches."""

    records: Mapping[UUID, BlockRecord] = field(default_factory=dict)
    places: Mapping[Place, UUID] = field(default_factory=dict)

    @cached_property
    def _held(self) -> Mapping[tuple[UUID | None, str], list[UUID]]:
        held: dict[tuple[UUID | None, str], list[UUID]] = {}
        for place in sorted(self.places, key=lambda place: place.position):
            held.setdefault((place.holder, place.attribute), []).append(self.places[place])
        return held

    def held_by(self, holder: UUID | None, attribute: str) -> list[UUID]:
        """The blocks in one field, in order."""
        return self._held.get((holder, attribute), [])

    def own(self, subscription_id: UUID) -> "Blocks":
        """Only the blocks of one subscription, and their relations."""
        records = {key: record for key, record in self.records.items() if record.subscription_id == subscription_id}
        places = {place: held for place, held in self.places.items() if place.holder is None or place.holder in records}
        return Blocks(records, places)

    def foreign(self) -> frozenset[UUID]:
        """The held blocks of others; only for the own blocks of one subscription."""
        return frozenset(self.places.values()) - self.records.keys()

    def roots(self) -> Iterator[tuple[Place, UUID]]:
        """The blocks that the subscription itself holds."""
        return ((place, held) for place, held in self.places.items() if place.holder is None)


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """All rows of one subscription, as they were read or last saved.

    As read, `blocks` also has those of other subscriptions that it reaches.
    """

    header: HeaderRecord
    insync: bool
    version: int
    blocks: Blocks
