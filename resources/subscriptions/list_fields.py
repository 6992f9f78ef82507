"""The fields by which lists can be filtered, searched and sorted, with the same names everywhere.

Code gives values (`having`); people and pages send texts: filters (`conditions`) and searches (`search`), which become
one tree (`search_query`). A filter is a field and a text: alternatives are joined by `|`, in fields of fixed words also
by `-`; a leading `!` means all but these; numbers and moments take `<`, `<=`, `>` and `>=`; `*` in a text stands for
any. Case does not matter. Names of fields may be in camelCase or snake_case.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum, auto
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import sqlalchemy as sa

from resources.errors import InvalidQuery
from resources.subscriptions.search_query import (
    UNKEEPABLE,
    And,
    Compare,
    Leaf,
    Node,
    Not,
    Or,
    Phrase,
    Range,
    Word,
    join,
    literal,
    parse,
    pattern,
)
from resources.subscriptions.text_conditions import (
    comparison,
    id_match,
    normal_address,
    span_condition,
    span_of,
    texts_match,
    word_match,
)

Condition: TypeAlias = sa.ColumnElement[bool]
Column: TypeAlias = sa.SQLColumnExpression[Any]
FieldText: TypeAlias = tuple[str, str]
"""A field and its text: a filter, or `asc` or `desc`."""

MOST_ALTERNATIVES = 200
LONGEST_TEXT = 5000
LARGEST = 2**63 - 1
NUMBER = re.compile(r"-?\d{1,30}(\.\d{1,30})?", re.ASCII)
COMPARISON = re.compile(r"(<=|>=|<|>)?\s*(.*)", re.DOTALL)
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SHORTEST_ID = 4

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Page(Generic[Line]):
    """A part of a list, and the length of the whole list."""

    lines: list[Line]
    total: int


class Kind(Enum):
    """How a field's text is read. WORD: one of a few known words; ID: a UUID or its beginning; ADDRESS: of IP."""

    TEXT = auto()
    WORD = auto()
    ID = auto()
    MOMENT = auto()
    NUMBER = auto()
    FLAG = auto()
    ADDRESS = auto()


ORDERED = (Kind.TEXT, Kind.MOMENT, Kind.NUMBER)


@dataclass(frozen=True)
class Field:
    """A field of a list. `name` is in camelCase, `also` are its other names.

    `within` makes a condition on a related row one on the row that is listed. `words` are those that a WORD may be, as
    the column has them. A field without `sorts` can only be filtered by. A word without a field looks into those that
    are `searched`; if none is, into all texts of the row itself. `found_by` answers words where an index has them;
    `narrowed` adds to an equality what an index answers, `head` to an order what an index is sorted by. `rows` are
    (id of an entry, value) where it is no column. `shown` is what lists show instead of a column that counts the other
    way: an age, instead of the moment by which it is found.
    """

    name: str
    kind: Kind
    column: Column
    also: tuple[str, ...] = ()
    within: Callable[[Condition], Condition] | None = None
    words: tuple[str, ...] = ()
    sorts: bool = True
    searched: bool = False
    found_by: Callable[[Word | Phrase], Condition] | None = None
    narrowed: Callable[[Sequence[Any]], Condition] | None = None
    rows: sa.Select[Any] | None = None
    head: Column | None = None
    shown: Column | None = None

    @property
    def key(self) -> str:
        """The name in snake_case."""
        return snake_case(self.name)

    def is_one_of(self, values: Sequence[Any]) -> Condition:
        """The condition that the field has one of these values. Raises InvalidQuery for a word that it never has."""
        if unknown := [value for value in values if self.words and value not in self.words]:
            raise InvalidQuery(f"{self.key!r} is one of {', '.join(self.words)}, not {unknown[0]!r}.")
        if self.kind is Kind.FLAG:
            return sa.or_(*(sa.and_(self.column) if value else sa.not_(self.column) for value in values))
        return self._from_within(self.column.in_(values))

    def read(self, text: str) -> Node:
        """The tree of a filter's text. Raises InvalidQuery for one that is too long."""
        if len(text) > LONGEST_TEXT or UNKEEPABLE.search(text):
            raise InvalidQuery(f"The filter of {self.name!r} is longer than {LONGEST_TEXT}, or holds no proper text.")
        wanted = self._alternatives(text.removeprefix("!"))
        if len(wanted) > MOST_ALTERNATIVES:
            raise InvalidQuery(f"The filter of {self.name!r} has {len(wanted)} values; at most {MOST_ALTERNATIVES}.")
        node = join(Or, [self._compared_by(one) for one in wanted])
        return Not(node) if text.startswith("!") else node

    def meets(self, leaf: Leaf) -> Condition:
        """The condition of a leaf. Raises InvalidQuery for a value that the field cannot have."""
        match leaf:
            case Compare(_, "=", text):
                return self.equals([text])
            case Compare(_, sign, text):
                return self._from_within(self._compared(sign, literal(text)))
            case Range(_, low, high):
                both = (self._compared(">=", literal(low)), self._compared("<=", literal(high)))
                return self._from_within(sa.and_(*both))
            case Word("*"):
                return self.equals(["*"])
        if self.kind is Kind.TEXT:
            return (
                self.found_by(replace(leaf, field=self.key))
                if self.found_by
                else self._from_within(word_match(self.column, leaf))
            )
        text = pattern(leaf.text.removesuffix("*") if isinstance(leaf, Word) else leaf.text)
        begins = self.kind is Kind.WORD or (self.kind is Kind.ADDRESS and normal_address(leaf.text) is None)
        return self.equals([f"{text}*" if begins and isinstance(leaf, Word) else text])

    def equals(self, texts: Sequence[str]) -> Condition:
        """The condition that the whole value is one of these texts, as Compare has them."""
        has_value = self._from_within(self.column.is_not(None))
        if "*" in texts:
            return has_value
        wanted = [text for text in texts if text]
        found = [self._from_within(sa.or_(*self._equal(wanted)))] if wanted else []
        if "" in texts:
            found.append(self.column.is_(None) if self.within is None else has_value.is_not(True))
            found += [self._from_within(self.column == "")] if self.kind is Kind.TEXT else []
        return sa.or_(*found)

    def _equal(self, texts: Sequence[str]) -> Iterable[Condition]:
        match self.kind:
            case Kind.TEXT:
                return texts_match(self.column, texts)
            case Kind.WORD:
                return [self._one_of_words(texts)]
            case Kind.ADDRESS:
                return [self._addresses(texts)]
            case Kind.FLAG:
                return [self._flag(literal(text)) for text in texts]
            case Kind.ID:
                return [id_match(self.column, literal(text)) for text in texts]
        return [self._compared("=", literal(text)) for text in texts]

    def _compared(self, sign: str, text: str) -> Condition:
        if self.kind not in ORDERED:
            raise InvalidQuery(f"{self.name!r} has no order; ask for a value of it, as `{self.key}:x`.")
        if self.kind is Kind.MOMENT:
            return span_condition(self.column, sign, *span_of(self.name, text))
        if self.kind is Kind.TEXT:
            return comparison(sa.func.lower(self.column), sign, text.lower())
        if not NUMBER.fullmatch(text):
            raise InvalidQuery(f"{self.name!r} is a number; {text!r} is none.")
        number = Decimal(text)
        is_whole = number == number.to_integral_value() and abs(number) <= LARGEST
        value = sa.literal(int(number), sa.BigInteger) if is_whole else sa.literal(number, sa.Numeric)
        condition = comparison(self.column, sign, value)
        return condition if sign != "=" else self._narrow(condition, [number])

    def _one_of_words(self, texts: Sequence[str]) -> Condition:
        """Written out, not bound, so that a partial index on some of the words serves every plan."""
        by_name: Mapping[str, str] = {word.lower(): word for word in self.words}
        found: dict[str, None] = {}
        for text in texts:
            begins, wanted = text.endswith("*"), literal(text.removesuffix("*")).lower()
            found |= {
                word: None for name, word in by_name.items() if name == wanted or (begins and name.startswith(wanted))
            }
        if not found:
            said, near = literal(texts[0]), get_close_matches(literal(texts[0]).lower(), by_name, n=1)
            hint = f"did you mean {near[0]!r}? There are" if near else "there are"
            raise InvalidQuery(f"{self.name!r} is never {said!r}; {hint} {', '.join(self.words)}.")
        words = [sa.bindparam(None, word, type_=sa.String, literal_execute=True) for word in found]
        return self._narrow(self.column.in_(words), list(found))

    def _addresses(self, texts: Sequence[str]) -> Condition:
        normal = [normal_address(literal(text)) or text for text in texts]
        exact = [text for text in normal if not text.endswith("*")]
        others = list(texts_match(self.column, [text for text in normal if text.endswith("*")]))
        return sa.or_(*others, *([self._narrow(self.column.in_(exact), exact)] if exact else []))

    def _flag(self, text: str) -> Condition:
        match text.lower():
            case "true" | "yes" | "1":
                return self._narrow(sa.and_(self.column), [True])
            case "false" | "no" | "0":
                return self._narrow(sa.not_(self.column), [False])  # not IS FALSE, for which no index would serve
        raise InvalidQuery(f"{self.name!r} is true or false, not {text!r}.")

    def _narrow(self, condition: Condition, values: Sequence[Any]) -> Condition:
        return condition if self.narrowed is None else sa.and_(condition, self.narrowed(values))

    def _from_within(self, condition: Condition) -> Condition:
        return condition if self.within is None else self.within(condition)

    def _alternatives(self, text: str) -> list[str]:
        """The alternatives in a text; also the whole text, when a hyphen may be part of a word."""
        parts = [part.strip() for part in text.split("|")]
        if self.kind is Kind.WORD:
            whole = {word.lower() for word in self.words}
            parts = [one.strip() for part in parts for one in ([part] if part.lower() in whole else part.split("-"))]
        return list(dict.fromkeys(part for part in parts if part)) or [""]

    def _compared_by(self, text: str) -> Compare:
        sign, written = "=", text
        if self.kind in (Kind.MOMENT, Kind.NUMBER) and (found := COMPARISON.fullmatch(text)) is not None:
            sign, written = found[1] or "=", found[2]
        return Compare(self.key, sign, written.replace("\\", "\\\\"))


class Words(Protocol):
    """Answers leaves that name no field of the list; made for one search, so that it may read something once."""

    def anywhere(self, leaf: Word | Phrase) -> Condition:
        """The condition of a leaf without a field."""

    def of_other_field(self, leaf: Leaf) -> Condition | None:
        """The condition of a leaf whose field the list does not have; None when nobody knows the field."""

    def other_names(self) -> Iterable[str]:
        """Names of other fields, for a message about an unknown one."""


class ListFields:
    """The fields of one kind of list; `noun` names its entries."""

    def __init__(self, noun: str, *fields: Field, words: Callable[[], Words] | None = None) -> None:
        self.noun = noun
        self.fields = fields
        self._prefix = re.sub("(?<=ss)es$|s$", ".", noun.lower())
        self._words = words or (lambda: OwnColumns(fields))
        self._by_name = {_plain(name): field for field in fields for name in (field.name, *field.also)}

    @property
    def filter_names(self) -> list[str]:
        """The fields for filters, in camelCase."""
        return [field.name for field in self.fields]

    @property
    def sort_names(self) -> list[str]:
        """The fields for sorting, in camelCase."""
        return [field.name for field in self.fields if field.sorts]

    def having(self, **wanted: Any) -> list[Condition]:
        """The condition that fields, in snake_case, have a value or one of several; None and no value are ignored."""
        values = {name: _as_list(one) for name, one in wanted.items() if one is not None}
        return [self.field(name).is_one_of(one) for name, one in values.items() if one]

    def conditions(self, filters: Iterable[FieldText]) -> list[Condition]:
        """The conditions of filters. Raises InvalidQuery, which names the fields."""
        return [self.condition(self.field(name).read(text)) for name, text in filters]

    def search(self, text: str) -> Condition:
        """The condition of a search; all entries when it is blank. Raises InvalidQuery with the position."""
        node = parse(text)
        return sa.true() if node is None else self.condition(node)

    def condition(self, node: Node) -> Condition:
        """The condition of a tree. Raises InvalidQuery for an unknown field, and for a value it cannot have."""
        return self._condition(node, self._words())

    def ordering(self, sort: Iterable[FieldText]) -> list[Column]:
        """The order of the rows, with those without a value last. Raises InvalidQuery."""
        return [column for name, direction in sort for column in self._order(name, direction)]

    def named(self, name: str) -> Field | None:
        """The field of a name, or of a path as searches have them: `subscription.product.name`."""
        return self._by_name.get(_plain(self.plain(name).replace(".", "")))

    def plain(self, path: str) -> str:
        """A path without the kind of entry before it."""
        return path.removeprefix("*.").removeprefix(self._prefix)

    def field(self, name: str, what: str = "filtered", known: Sequence[str] = ()) -> Field:
        """The field of a name. Raises InvalidQuery, which names the fields."""
        known, field = known or self.filter_names, self.named(name)
        if field is None or field.name not in known:
            raise InvalidQuery(f"{self.noun} cannot be {what} by {name!r}; they can be {what} by {', '.join(known)}.")
        return field

    def _condition(self, node: Node, words: Words) -> Condition:
        match node:
            case And(nodes):
                return sa.and_(*(self._condition(each, words) for each in nodes))
            case Or(nodes):
                return self._either(nodes, words)
            case Not(inner):
                return self._condition(inner, words).is_not(True)
            case Word() | Phrase() if node.field is None:
                return words.anywhere(node)
        return self._of_field(node, words)

    def _either(self, nodes: Sequence[Node], words: Words) -> Condition:
        """Equalities of one field become one condition, for one subquery and one use of an index."""
        equal: dict[Field, list[str]] = {}
        others: list[Condition] = []
        for node in nodes:
            field = self.named(node.field) if isinstance(node, Compare) and node.sign == "=" else None
            if field is None or not isinstance(node, Compare):
                others.append(self._condition(node, words))
            else:
                equal.setdefault(field, []).append(node.text)
        return sa.or_(*(field.equals(texts) for field, texts in equal.items()), *others)

    def _of_field(self, leaf: Leaf, words: Words) -> Condition:
        name = leaf.field or ""
        if (field := self.named(name)) is not None:
            return field.meets(leaf)
        if (condition := words.of_other_field(replace(leaf, field=self.plain(name)))) is not None:
            return condition
        known = [field.key for field in self.fields]
        others = [*(name for field in self.fields for name in field.also), *words.other_names()]
        near = get_close_matches(snake_case(name), [*known, *others], n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"they have {', '.join(known)}."
        raise InvalidQuery(
            f"{self.noun} have no field {name!r} (at character {leaf.at + 1}); {hint} Text with such a sign in it is "
            'written in quotes, as "a:b".'
        )

    def _order(self, name: str, direction: str) -> Iterable[Column]:
        field = self.field(name, "sorted", self.sort_names)
        if direction.lower() not in ("asc", "desc"):
            raise InvalidQuery(f"{self.noun} are sorted `asc` or `desc`, not {direction!r}.")
        is_ascending = (direction.lower() == "asc") == (field.shown is None)
        # A column that always has a value keeps the order of its index.
        may_be_null = getattr(field.column, "nullable", True)
        for column in (field.column,) if field.head is None else (field.head, field.column):
            order = column.asc() if is_ascending else column.desc()
            yield order.nulls_last() if may_be_null else order


@dataclass(frozen=True)
class OwnColumns:
    """The words of a list without an index of words: they are looked for in its columns."""

    fields: Sequence[Field]

    def anywhere(self, leaf: Word | Phrase) -> Condition:
        searched = [field for field in self.fields if field.searched]
        texts = searched or [field for field in self.fields if field.kind is Kind.TEXT and field.within is None]
        found = [field.meets(leaf) for field in texts]
        if len(leaf.text) >= SHORTEST_ID and self.fields[0].kind is Kind.ID:
            found.append(self.fields[0].meets(leaf))
        return sa.or_(sa.false(), *found)

    def of_other_field(self, _leaf: Leaf) -> Condition | None:
        return None

    def other_names(self) -> Iterable[str]:
        return ()


def read_pairs(text: str, what: str) -> list[FieldText]:
    """Read `field,value,field,value`. Raises InvalidQuery when a field has no value."""
    if not text:
        return []
    parts = text.split(",")
    if len(parts) % 2:
        raise InvalidQuery(f"The {what} has {len(parts)} parts; it is field,value[,field,value]…: an even number.")
    return list(zip(parts[::2], parts[1::2], strict=True))


def snake_case(name: str) -> str:
    """The name of a field in columns and models."""
    return CAMEL.sub("_", name).lower()


def _as_list(wanted: Any) -> list[Any]:
    return [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
