"""Looks ahead: what a document selects below its roots in plain names, and which rules guard that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLNamedType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_named_type,
)

from resources.pages.selection import Selection

RULE = "rule"
"""The extension of a field that says by which rule of REST it is guarded: (method, path), or a
function that gives several for its arguments."""
ASKS = "asks"
"""The extension of a field whose value says whether the user may do what this rule of REST guards."""
Asked = tuple[str, str]


@dataclass
class Selected:
    """What an operation selects: its roots by response key, and each guarded field with its rule and its parent."""

    roots: dict[str, Selection] = field(default_factory=dict)
    guarded: list[tuple[Asked, Selection, str]] = field(default_factory=list)
    asked: set[Asked] = field(default_factory=set)

    @property
    def rules(self) -> dict[Asked, Mapping[str, Any]]:
        """The rules to ask about, with the arguments of the field."""
        return {rule: parent.arguments for rule, parent, _ in self.guarded}

    def leave_out(self, refused: Mapping[Asked, Any]) -> None:
        """Let nothing be read that is refused."""
        for rule, parent, name in self.guarded:
            if rule in refused:
                parent.below.pop(name, None)


def select(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Any
) -> Selected:
    """What an operation of a valid document selects; `variables` as graphql-core has coerced them."""
    kind = schema.get_root_type(operation.operation)
    assert kind is not None, "the document is valid"
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    walk = _Walk(schema, fragments, variables)
    walk.roots(operation.selection_set, kind)
    return walk.selected


def rules_of(known: Any, arguments: Mapping[str, Any]) -> list[Asked]:
    """The rules of a field, with its arguments in the places of the path."""
    rule = (known.extensions or {}).get(RULE)
    if rule is None:
        return []
    return rule(arguments) if callable(rule) else [(rule[0], rule[1].format_map(arguments))]


class _Walk:
    """Each fragment is walked once for each place, however often it is spread there."""

    def __init__(self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode], variables: Any) -> None:
        self.schema, self.fragments, self.variables = schema, fragments, variables
        self.selected = Selected()
        self.walked: set[tuple[int, str]] = set()

    def roots(self, selections: SelectionSetNode, kind: GraphQLNamedType) -> None:
        """Roots lie under their response keys, for each is read by itself."""
        for node, on in self._fields(selections, kind, id(self)):
            known = getattr(on, "fields", {}).get(node.name.value)
            if known is None:
                continue
            arguments = get_argument_values(known, node, self.variables)
            root = self.selected.roots.setdefault(
                node.alias.value if node.alias else node.name.value, Selection(node.name.value, arguments)
            )
            self.selected.guarded += [(rule, root, "") for rule in rules_of(known, arguments)]
            self._below(node, known, root)

    def _into(self, selections: SelectionSetNode, kind: GraphQLNamedType, into: Selection) -> None:
        for node, on in self._fields(selections, kind, id(into)):
            name = node.name.value
            known = getattr(on, "fields", {}).get(name)
            if known is None:
                continue  # __typename
            arguments = get_argument_values(known, node, self.variables) if known.args else {}
            found = into.add(name, arguments)
            self.selected.guarded += [(rule, into, name) for rule in rules_of(known, arguments)]
            if known.extensions and ASKS in known.extensions:
                self.selected.asked.add(known.extensions[ASKS])
            self._below(node, known, found)

    def _below(self, node: FieldNode, known: Any, into: Selection) -> None:
        if node.selection_set:
            self._into(node.selection_set, get_named_type(known.type), into)

    def _fields(self, selections: SelectionSetNode, kind: Any, into: int) -> Any:
        """The fields of a selection and of its fragments, each with the type on which it is selected."""
        for node in selections.selections:
            if node.directives and not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                yield node, kind
            elif isinstance(node, FragmentSpreadNode):
                if (into, node.name.value) not in self.walked:
                    self.walked.add((into, node.name.value))
                    fragment = self.fragments[node.name.value]
                    on = self.schema.get_type(fragment.type_condition.name.value)
                    yield from self._fields(fragment.selection_set, on, into)
            elif isinstance(node, InlineFragmentNode):
                condition: NamedTypeNode | None = node.type_condition
                on = self.schema.get_type(condition.name.value) if condition else kind
                yield from self._fields(node.selection_set, on, into)

    def _is_included(self, node: Any) -> bool:
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (skip and skip["if"]) and (include is None or bool(include["if"]))
