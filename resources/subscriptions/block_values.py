"""Conditions on the values of blocks and products, so that no workflow needs a query of its own for them."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic_core import to_jsonable_python
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import aliased

from resources.database.tables import (
    ProductTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
)
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import Condition


class ValueOf:
    """The value at a path; comparing it gives a condition on subscriptions, for `list_subscriptions`."""

    __slots__ = ("_fields", "_value")

    def __init__(self, path: str) -> None:
        *self._fields, self._value = path.split(".")
        if not all(name.isidentifier() for name in (*self._fields, self._value)):
            raise InvalidQuery(
                f"{path!r} is no path to a value; it is written as 'port.speed', or 'speed' of a product."
            )

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._where("=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._where("<>", other)

    def __lt__(self, other: object) -> Condition:
        return self._where("<", other)

    def __le__(self, other: object) -> Condition:
        return self._where("<=", other)

    def __gt__(self, other: object) -> Condition:
        return self._where(">", other)

    def __ge__(self, other: object) -> Condition:
        return self._where(">=", other)

    __hash__ = None  # type: ignore[assignment]

    def in_(self, values: Iterable[Any]) -> Condition:
        """One of these."""
        return sa.or_(sa.false(), *(self == value for value in values))

    def _where(self, sign: str, other: object) -> Condition:
        plain = to_jsonable_python(other, fallback=str)
        if sign not in ("=", "<>") and (isinstance(plain, bool) or not isinstance(plain, int | float | str)):
            raise InvalidQuery(f"{self._value!r} is compared by {sign} with {other!r}; that is for numbers and text.")
        if not self._fields:
            products = sa.select(ProductTable.product_id).where(self._holds(ProductTable.fixed_inputs, sign, plain))
            return SubscriptionTable.product_id == sa.any_(sa.func.array(products.scalar_subquery()))
        found, block = blocks_at(self._fields)
        return SubscriptionTable.subscription_id.in_(found.where(self._holds(block.values, sign, plain)))

    def _holds(self, values: Any, sign: str, plain: Any) -> Condition:
        """Containment is what the index on values answers; the comparison beside it makes it exact."""
        value, wanted = values[self._value], sa.literal(plain, JSONB)
        if plain is None:
            is_null = sa.func.coalesce(sa.func.jsonb_typeof(value), "null") == "null"
            return is_null if sign == "=" else sa.not_(is_null)
        if sign == "=":
            return sa.and_(values.contains({self._value: plain}), value == wanted)
        if sign == "<>":
            differs: Condition = value.is_distinct_from(wanted)
            return differs
        kind = "string" if isinstance(plain, str) else "number"
        return sa.and_(sa.func.jsonb_typeof(value) == kind, value.bool_op(sign)(wanted))


def blocks_at(fields: Sequence[str]) -> tuple[sa.Select[Any], Any]:
    """Select the subscriptions that have blocks at these fields, from the subscription down; and those blocks."""
    root = block = aliased(SubscriptionInstanceTable)
    found = sa.select(root.subscription_id).where(root.attribute == fields[0])
    for name in fields[1:]:
        relation, held = aliased(SubscriptionInstanceRelationTable), aliased(SubscriptionInstanceTable)
        found = found.join(relation, relation.in_use_by_id == block.subscription_instance_id).join(
            held, held.subscription_instance_id == relation.depends_on_id
        )
        found, block = found.where(relation.attribute == name), held
    return found, block


def value_of(path: str) -> ValueOf:
    """The value of a block, by its fields from the subscription down (`port.speed`, `vpn.ends.vlan`); a name alone is a
    fixed input of the product.

    `value_of("port.speed") >= 10_000` is a condition: of blocks in a list, one that fits suffices. Equality is answered
    by an index on values; give other comparisons a product, whose subscriptions then are all that is read.
    """
    return ValueOf(path)
