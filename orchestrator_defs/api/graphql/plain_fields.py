"""Executes most fields without graphql-core's ceremony: plain values that lie in their object under their own names.

Whatever is out of the ordinary (arguments, other resolvers, objects, errors) takes graphql-core's own way.
"""

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from graphql import GraphQLField, GraphQLObjectType, Undefined, execution, is_leaf_type, is_non_null_type
from graphql.pyutils import Path

Write = Callable[[Any], Any]
OF_3_2: Any = vars(execution).get("ExecutionContext")
"""What executes in graphql-core 3.2; 3.3 has an `Executor`, which hands over more with each field."""
_plain: WeakKeyDictionary[GraphQLObjectType, Mapping[str, tuple[Write, bool]]] = WeakKeyDictionary()


def own(source: Any, info: Any) -> Any:
    """The resolver of what lies in its object under its own name."""
    return source.get(info.field_name)


class PlainFieldsFirst(OF_3_2 or vars(execution)["Executor"]):  # type: ignore[misc]
    """Executes the plain fields of an object in a loop."""

    def execute_fields(
        self, parent_type: GraphQLObjectType, source_value: Any, path: Path | None, fields: dict[str, Any], *more: Any
    ) -> dict[str, Any]:
        """The values of the selected fields of an object, by response name, in order."""
        found: dict[str, Any] = {}
        known = _plain_fields(parent_type)
        for response_name, nodes in fields.items():
            name = (nodes[0] if OF_3_2 else nodes[0].node).name.value
            if name in known:
                write, may_be_null = known[name]
                value = source_value.get(name)
                if value is None and may_be_null:
                    found[response_name] = None
                    continue
                if value is not None and not isinstance(value, Exception):
                    try:
                        found[response_name] = write(value)
                    except Exception:  # noqa: BLE001, S110  graphql-core says what is wrong with it, below
                        pass
                    else:
                        continue
            at = Path(path, response_name, parent_type.name)
            value = self.execute_field(parent_type, source_value, nodes, at, *more)
            if value is not Undefined:
                found[response_name] = value
        return found


def _plain_fields(kind: GraphQLObjectType) -> Mapping[str, tuple[Write, bool]]:
    if kind not in _plain:
        _plain[kind] = {name: _written(one) for name, one in kind.fields.items() if _is_plain(one)}
    return _plain[kind]


def _is_plain(field: GraphQLField) -> bool:
    return field.resolve is own and not field.args and is_leaf_type(_kind(field))


def _written(field: GraphQLField) -> tuple[Write, bool]:
    return _kind(field).serialize, not is_non_null_type(field.type)


def _kind(field: GraphQLField) -> Any:
    kind: Any = field.type
    return kind.of_type if is_non_null_type(kind) else kind


EXECUTED_BY: Any = {"execution_context_class" if OF_3_2 else "executor_class": PlainFieldsFirst}
"""The argument of `execute_sync` that says so."""
