"""Federation: the schema as text with its keys, and objects by their keys."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
    print_schema,
    value_from_ast_untyped,
)

from orchestrator_defs.api.graphql.model_types import KEY, Fields, field
from orchestrator_defs.api.graphql.selecting import RULE, Asked
from resources.pages.selection import Line, Selection

LINK = 'extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])'
MOST = 1_000
BLOCK_KEY = "subscriptionInstanceId"
OUR_IDS = frozenset({BLOCK_KEY, "ownerSubscriptionId"})
ANY = GraphQLScalarType(
    "_Any",
    serialize=lambda value: value,
    parse_value=lambda value: value,
    parse_literal=value_from_ast_untyped,
    description="A type by its name, with the fields of its key.",
)
ReadKeys = Callable[[Sequence[str], Selection], Mapping[str, Line]]
"""Reads objects of a type by their keys, as text; those that are missing are left out."""


def sdl(schema: GraphQLSchema) -> str:
    """A schema as text, with `@key` on each type that has one.

    Others know blocks also by the ids that they gave them; by these we find none.
    """
    lines = [LINK]
    for line in print_schema(schema).splitlines():
        kind = schema.get_type(line.split()[1]) if line.startswith("type ") else None
        if isinstance(kind, GraphQLObjectType) and (key := kind.extensions.get(KEY)):
            foreign = [one for one in kind.fields if key == BLOCK_KEY and one.endswith("Id") and one not in OUR_IDS]
            keys = [f'@key(fields: "{key}")', *(f'@key(fields: "{one}", resolvable: false)' for one in foreign)]
            line = line.replace(" {", f" {' '.join(keys)} {{")
        lines.append(line)
    return "\n".join(lines)


def federated(
    text: Callable[[], str],
    keyed: Sequence[GraphQLObjectType],
    read: Mapping[str, ReadKeys],
    rules: Callable[[str], Asked],
) -> Fields:
    """The roots of a federation.

    `text` gives the schema without them, `read` the objects of each type, `rules` the rule that guards a type.
    """
    entity = GraphQLUnionType("_Entity", keyed, resolve_type=lambda line, *_: line["_entity"])
    service = GraphQLObjectType("_Service", {"sdl": field(GraphQLNonNull(GraphQLString))})
    keys = {kind.name: kind.extensions[KEY] for kind in keyed}

    def entities(_root: Any, info: Any, representations: Sequence[Any]) -> list[Any]:
        if len(representations) > MOST:
            raise GraphQLError(f"Ask for at most {MOST} objects at once, not {len(representations)}.")
        selection = info.context.selected.roots[info.path.key]
        wanted: dict[str, dict[str, None]] = defaultdict(dict)
        for one in representations:
            wanted[_name(one, keys)][_key(one, keys)] = None
        refused = {name: info.context.refused.get(rules(name)) for name in wanted}
        found = {name: read[name](list(ids), selection) for name, ids in wanted.items() if refused[name] is None}

        def shown(name: str, key: str) -> Any:
            line = found[name].get(key) if name in found else None
            return refused[name] or (line and {**line, "_entity": name})

        return [shown(_name(one, keys), _key(one, keys)) for one in representations]

    def asked(arguments: Mapping[str, Any]) -> list[Asked]:
        given = (one.get("__typename") for one in arguments["representations"] if isinstance(one, Mapping))
        return [rules(name) for name in dict.fromkeys(one for one in given if isinstance(one, str)) if name in keys]

    return {
        "_service": field(GraphQLNonNull(service), resolve=lambda *_: {"sdl": text()}),
        "_entities": field(
            GraphQLNonNull(GraphQLList(entity)),
            args={"representations": GraphQLArgument(GraphQLNonNull(GraphQLList(GraphQLNonNull(ANY))))},
            resolve=entities,
            extensions={RULE: asked},
        ),
    }


def _name(one: Any, keys: Mapping[str, str]) -> str:
    name = one.get("__typename") if isinstance(one, Mapping) else None
    if not isinstance(name, str) or name not in keys:
        raise GraphQLError(f"A representation has a `__typename` with a key; {str(name)[:80]!r} has none.")
    return name


def _key(one: Mapping[str, Any], keys: Mapping[str, str]) -> str:
    key = keys[_name(one, keys)]
    if not isinstance(value := one.get(key), str):
        raise GraphQLError(f"A representation of {one['__typename']} has its key in {key!r}, as text.")
    return value.lower() if _is_uuid(value) else value


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def by_uuid(read: Callable[[Sequence[UUID], Selection], Mapping[UUID, Line]]) -> ReadKeys:
    """Read by UUIDs; what is none names nothing."""
    return lambda keys, selection: {
        str(key): line for key, line in read([UUID(one) for one in keys if _is_uuid(one)], selection).items()
    }
