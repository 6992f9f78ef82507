"""The types of the registered models: a subscription type for each family, and one for each block that they hold."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLString,
    GraphQLUnionType,
)

from orchestrator_defs.api.graphql.plain_fields import own
from orchestrator_defs.api.graphql.scalars import IDENTIFIER, JSON, scalar_of
from orchestrator_defs.jobs.type_names import NAME, TypeNames, item_type, plain_type
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import Block, stripped
from resources.domain.models.shapes import base_of, block_bases, shape_of

KEY = "key"
"""The extension of a type that says by which field a federation knows its objects."""
NOT_ENUM_VALUES = frozenset({"true", "false", "null"})
Fields = dict[str, GraphQLField]


def field(kind: GraphQLOutputType, **options: Any) -> GraphQLField:
    """A field that lies in its object under its own name."""
    return GraphQLField(kind, resolve=options.pop("resolve", own), **options)


class ModelTypes:
    """All types of some models, each made once; names are of `TypeNames`."""

    def __init__(self, models: Mapping[str, type[DomainModel]], names: TypeNames) -> None:
        self.models, self.names = models, names.names
        self.enums: dict[type[Enum], GraphQLOutputType] = {}
        self.unions: dict[tuple[str, ...], GraphQLUnionType] = {}
        self.blocks = {base: self._block_type(base) for base in block_bases(models.values())}

    def subscriptions(
        self,
        interface: GraphQLInterfaceType,
        common: Callable[[], Fields],
        held: Callable[[GraphQLOutputType], GraphQLField],
    ) -> list[GraphQLObjectType]:
        """An implementation of the interface for each family of models; `held` makes the fields of blocks."""

        def made(base: type[DomainModel]) -> GraphQLObjectType:
            return GraphQLObjectType(
                self.names[base],
                lambda: {**self._fields(base, held), **common()},
                [interface],
                description=_about(base),
                extensions={KEY: "subscriptionId"},
            )

        return [made(base) for base in dict.fromkeys(map(base_of, self.models.values()))]

    def name_of_product(self, product: str | None) -> str:
        """The name of the type of a product's subscriptions."""
        model = self.models.get(product or "")
        return self.names[base_of(model)] if model else "PlainSubscription"

    # --- fields ---

    def _fields(
        self, base: type[DomainModel], with_type: Callable[[GraphQLOutputType], GraphQLField] | None = None
    ) -> Fields:
        """The fields over all statuses. A value may be null, for an earlier status may lack it."""
        shape = shape_of(base)
        made = {name: field(self._plain(*annotation)) for name, (_, annotation) in shape.values.items()}
        made |= {name: field(self._plain(returned, ())) for name, (_, returned) in shape.computed.items()}
        for name, held in shape.blocks.items():
            one = self._held(held.types)
            # Items are not null: one that does not fit its class takes the list with it, and the rest stays.
            made[name] = (with_type or field)(GraphQLList(GraphQLNonNull(one)) if held.is_list else one)
        return {name: one for name, one in made.items() if NAME.fullmatch(name) and not name.startswith("__")}

    def _plain(self, annotation: Any, metadata: Iterable[Any]) -> GraphQLOutputType:
        wanted = plain_type(annotation)
        if (item := item_type(wanted)) is not None:
            return GraphQLList(self._plain(item, ()))
        if isinstance(wanted, type) and issubclass(wanted, Enum):
            if wanted not in self.enums:
                self.enums[wanted] = _enum(wanted, self.names[wanted])
            return self.enums[wanted]
        return scalar_of(wanted, (*metadata, *_metadata(annotation)))

    def _block_type(self, base: type[DomainModel]) -> GraphQLObjectType:
        common: Fields = {
            "subscriptionInstanceId": field(GraphQLNonNull(IDENTIFIER)),
            "ownerSubscriptionId": field(GraphQLNonNull(IDENTIFIER)),
            "name": field(GraphQLNonNull(GraphQLString)),
            "label": field(GraphQLString),
        }
        extensions = {KEY: "subscriptionInstanceId"}
        return GraphQLObjectType(
            self.names[base], lambda: {**self._fields(base), **common}, description=_about(base), extensions=extensions
        )

    def _held(self, types: tuple[type[Block], ...]) -> GraphQLOutputType:
        """The type of one block, or a union of those that a field may hold; below an abstract class all that fit."""
        bases = [base for cls in types for base in self.blocks if _may_be(base, cls)]
        if not bases:
            return JSON
        if len(members := tuple(dict.fromkeys(bases))) == 1:
            return self.blocks[members[0]]
        names = tuple(self.names[base] for base in members)
        if names not in self.unions:
            of = [self.blocks[base] for base in members]
            self.unions[names] = GraphQLUnionType(
                "Or".join(names), of, resolve_type=lambda source, *_: self.names[source["_base"]]
            )
        return self.unions[names]


def _metadata(annotation: Any) -> Iterator[Any]:
    """What `Annotated` says of a type that may be None too."""
    plain, found = stripped(annotation, ())
    yield from found
    if get_origin(plain) in (Union, UnionType):
        for part in get_args(plain):
            yield from _metadata(part)


def _may_be(base: type[DomainModel], cls: type[Any]) -> bool:
    declared = cls.__base_type__
    return base is declared if declared is not None else issubclass(base, cls)


def _enum(cls: type[Enum], name: str) -> GraphQLOutputType:
    """An enum by the names of its members; those whose names or values GraphQL cannot have are shown as they are."""
    fit = all(NAME.fullmatch(one.name) and one.name not in NOT_ENUM_VALUES for one in cls)
    hashable = all(isinstance(one.value, str | int | float) for one in cls)
    return GraphQLEnumType(name, {one.name: one.value for one in cls}) if fit and hashable and list(cls) else JSON


def _about(base: type[DomainModel]) -> str | None:
    return base.__doc__ if base.__dict__.get("__doc__") else None
