"""The limits of a GraphQL document: how large, deep, repetitive and costly it may be, and how long it may take."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    IntValueNode,
    NamedTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    parse,
)

PAGES = frozenset({"limit", "first", "last"})
"""Arguments that say how many items a list has."""


@dataclass(frozen=True)
class Limits:
    """What one document may have. `cost` counts its fields, each as often as the limits of the lists around it say.

    A list gives at most `most_items`, whatever is asked for; those of `lists` give `items` unless told.
    """

    tokens: int = 10_000
    depth: int = 20
    aliases: int = 30
    repeats: int = 20
    cost: int = 500_000
    seconds: float = 30.0
    most_items: int = 2**31
    lists: frozenset[str] = frozenset()
    items: int = 10


@dataclass(frozen=True)
class Size:
    """What a document has, with its fragments in their places."""

    depth: int = 0
    aliases: int = 0
    cost: int = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(max(self.depth, other.depth), self.aliases + other.aliases, self.cost + other.cost)


class TooMuch(GraphQLError):
    """A document that is over a limit."""

    def __init__(self, what: str, most: float) -> None:
        sentence = f"The query {what}; the limit is {most:g}. Ask for less at once."
        super().__init__(sentence, extensions={"code": "QUERY_TOO_LARGE"})


class OutOfTime(BaseException):
    """Ends an execution. It is no Exception, because GraphQL goes on with the next field after one of those."""


def check(query: Any, variables: Any, limits: Limits) -> DocumentNode:
    """Parse a document within its limits. Raises GraphQLError, of which TooMuch is one."""
    document = parsed(query, limits)
    measure(document, variables, limits)
    return document


def parsed(query: Any, limits: Limits) -> DocumentNode:
    """The document of a text that is not too long. Raises GraphQLError."""
    if not isinstance(query, str):
        raise GraphQLError("The query is not a text.")
    try:
        return parse(query, no_location=True, max_tokens=limits.tokens)
    except RecursionError:
        raise TooMuch("is nested too deeply", limits.depth) from None


def measure(document: DocumentNode, variables: Any, limits: Limits) -> None:
    """Raise TooMuch for a document that is over a limit with these variables."""
    try:
        size = _Measure(document, variables if isinstance(variables, Mapping) else {}, limits).size()
    except RecursionError:
        raise TooMuch("is nested too deeply", limits.depth) from None
    for what, has, most in (
        ("is {} levels deep", size.depth, limits.depth),
        ("has {} aliases", size.aliases, limits.aliases),
        ("may give {} values", size.cost, limits.cost),
    ):
        if has > most:
            raise TooMuch(what.format(has), most)


class _Measure:
    """Measures each fragment once, however often it is used: it would otherwise take as long as the execution."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any], limits: Limits) -> None:
        self.operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
        fragments = [one for one in document.definitions if isinstance(one, FragmentDefinitionNode)]
        self.fragments = {one.name.value: one for one in fragments}
        self.limits = limits
        self.variables = variables
        self.measured: dict[str, Size] = {}
        variables_of = (two for one in self.operations for two in one.variable_definitions or ())
        self.defaults = {one.variable.name.value: one.default_value for one in variables_of}

    def size(self) -> Size:
        return sum((self._of(one.selection_set) for one in self.operations), Size())

    def _of(self, selected: SelectionSetNode | None) -> Size:
        size, names, members = Size(), Counter[str](), Counter[str]()
        for one in selected.selections if selected else ():
            if isinstance(one, FieldNode):
                names[(one.alias or one.name).value] += 1
                size += self._of_field(one)
            else:
                member, found = self._of_fragment(one)
                members[member] += found.cost
                size += replace(found, cost=0)
        for name, count in names.most_common(1):
            if count > self.limits.repeats:  # to compare them with each other takes the square of their number
                raise TooMuch(f"has the field {name} {count} times in one place", self.limits.repeats)
        # the members of a union exclude one another
        return size + Size(cost=max(members.values(), default=0))

    def _of_field(self, field: FieldNode) -> Size:
        inner = self._of(field.selection_set)
        return Size(inner.depth + 1, inner.aliases + (field.alias is not None), 1 + self._items(field) * inner.cost)

    def _of_fragment(self, one: SelectionNode) -> tuple[str, Size]:
        """The type that a fragment is about, and its size. A cycle is left to the validation."""
        if isinstance(one, InlineFragmentNode):
            condition: NamedTypeNode | None = one.type_condition
            return condition.name.value if condition else "", self._of(one.selection_set)
        assert isinstance(one, FragmentSpreadNode), "there is no fourth kind"
        name = one.name.value
        if (fragment := self.fragments.get(name)) is None:
            return "", Size()
        if name not in self.measured:
            self.measured[name] = Size()
            self.measured[name] = self._of(fragment.selection_set)
        return fragment.type_condition.name.value, self.measured[name]

    def _items(self, field: FieldNode) -> int:
        given = [self._number(one.value) for one in field.arguments or () if one.name.value in PAGES]
        default = self.limits.items if field.name.value in self.limits.lists and not given else 1
        return max([default, *(min(one, self.limits.most_items) for one in given)])

    def _number(self, value: ValueNode) -> int:
        if isinstance(value, VariableNode):
            known = self.variables.get(value.name.value, self.defaults.get(value.name.value))
            return self._number(known) if isinstance(known, ValueNode) else known if isinstance(known, int) else 1
        return int(value.value) if isinstance(value, IntValueNode) else 1


# --- time ---

_deadline: ContextVar[float] = ContextVar("deadline")


@contextmanager
def in_time(limits: Limits) -> Iterator[None]:
    """Execute a document in the block, with `stopping` as its middleware. Raises OutOfTime."""
    token = _deadline.set(time.monotonic() + limits.seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def stopping(resolve: Callable[..., Any], root: Any, info: Any, **arguments: Any) -> Any:
    """Middleware of an execution, which stops it before the next field when its time is over."""
    check_time()
    return resolve(root, info, **arguments)


def check_time() -> None:
    """Raise OutOfTime when the time of this execution is over."""
    if time.monotonic() > _deadline.get():
        raise OutOfTime
