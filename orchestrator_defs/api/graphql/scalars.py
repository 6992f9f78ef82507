"""The scalars: what GraphQL has no type for. Values come as JSON already, so writing them is text at most."""

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLBoolean,
    GraphQLError,
    GraphQLFloat,
    GraphQLInt,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLString,
    IntValueNode,
    value_from_ast_untyped,
)
from pydantic import SecretBytes, SecretStr

from resources.domain.models.vlans import VlanRanges

LARGEST = 2**63 - 1


def _scalar(name: str, about: str, write: Callable[[Any], Any], read: Callable[[Any], Any] = str) -> GraphQLScalarType:
    def parse(value: Any) -> Any:
        try:
            return read(value)
        except (TypeError, ValueError, AttributeError) as error:  # UUID(1) asks a number for a method
            raise GraphQLError(f"{value!r:.80} is no {name}.") from error

    return GraphQLScalarType(name, serialize=write, parse_value=parse, description=about)


def _moment(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise GraphQLError(f"{value!r:.80} is no whole number of 64 bits.")
    return value


def _whole_literal(node: Any, _variables: Any = None) -> int:
    if not isinstance(node, IntValueNode):
        raise GraphQLError("A BigInt is a whole number.")
    return _whole(int(node.value))


JSON = GraphQLScalarType(
    "JSON",
    serialize=lambda value: value,
    parse_value=lambda value: value,
    parse_literal=value_from_ast_untyped,
    description="Any JSON.",
)
BIG_INT = GraphQLScalarType(
    "BigInt",
    serialize=_whole,
    parse_value=_whole,
    parse_literal=_whole_literal,
    description="A whole number of up to 64 bits; Int has 32.",
)
MOMENT = _scalar("DateTime", "A moment by ISO 8601, with its zone.", _moment, datetime.fromisoformat)
IDENTIFIER = _scalar("UUID", "A UUID as text.", str, UUID)
VLANS = _scalar("VlanRangesType", "VLAN ids and ranges of them, such as 2-5,100.", str)
ADDRESSES = {
    cls: _scalar(cls.__name__, f"An {cls.__name__} as text.", str, cls)
    for cls in (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
}
OF_TYPES: dict[type[Any], GraphQLOutputType] = {
    bool: GraphQLBoolean,
    str: GraphQLString,
    float: GraphQLFloat,
    UUID: IDENTIFIER,
    datetime: MOMENT,
    VlanRanges: VLANS,
    SecretStr: GraphQLString,
    SecretBytes: GraphQLString,
    **ADDRESSES,
}


def scalar_of(cls: Any, metadata: tuple[Any, ...]) -> GraphQLOutputType:
    """The type of a plain class; JSON for what has none."""
    if not isinstance(cls, type) or issubclass(cls, Enum):
        return JSON
    if issubclass(cls, int) and not issubclass(cls, bool):
        return GraphQLInt if _is_small(metadata) else BIG_INT
    return next((OF_TYPES[base] for base in cls.__mro__ if base in OF_TYPES), JSON)


def _is_small(metadata: tuple[Any, ...]) -> bool:
    """Whether the annotation keeps a number within the 32 bits of GraphQL's Int."""
    low = [getattr(one, name) for one in metadata for name in ("ge", "gt") if getattr(one, name, None) is not None]
    high = [getattr(one, name) for one in metadata for name in ("le", "lt") if getattr(one, name, None) is not None]
    return bool(low and high) and max(low) >= -(2**31) and min(high) < 2**31
