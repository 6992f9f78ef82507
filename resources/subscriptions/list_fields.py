"""The fields by which lists can be filtered and sorted, with the same names everywhere.

Code gives values (`having`); people and pages send texts (`conditions`). Such a filter is a field and a text.
Alternatives in the text are joined by `|`, in fields that hold words also by `-`; a leading `!` means all but these.
Numbers and moments take `<`, `<=`, `>` and `>=`; text takes a `*` at its end. Case does not matter. Names of fields may
be in camelCase or snake_case.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from string import hexdigits
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

import sqlalchemy as sa

from resources.errors import InvalidQuery

Condition: TypeAlias = sa.ColumnElement[bool]
Column: TypeAlias = sa.SQLColumnExpression[Any]
FieldText: TypeAlias = tuple[str, str]
"""A field and its text: a filter, or `asc` or `desc`."""

MOST_ALTERNATIVES = 200
LONGEST_TEXT = 5000
LARGEST = 2**63 - 1
COMPARISON = re.compile(r"(<=|>=|<|>)?\s*(.*)", re.DOTALL)
UNKEEPABLE = re.compile("[\0\ud800-\udfff]")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Line = TypeVar("Line")


@dataclass(frozen=True, slots=True)
class Page(Generic[Line]):
    """A part of a list, and the length of the whole list."""

    lines: list[Line]
    total: int


class Kind(Enum):
    """How a field's text is read. WORD: one of a few known words; ID: a UUID or its beginning."""

    TEXT = auto()
    WORD = auto()
    ID = auto()
    MOMENT = auto()
    NUMBER = auto()
    FLAG = auto()


@dataclass(frozen=True)
class Field:
    """A field of a list. `name` is in camelCase, `also` are its other names.

    `within` makes a condition on a related row one on the row that is listed. `words` are those that a WORD may be, as
    the column has them. A field without `sorts` can only be filtered by.
    """

    name: str
    kind: Kind
    column: Column
    also: tuple[str, ...] = ()
    within: Callable[[Condition], Condition] | None = None
    words: tuple[str, ...] = ()
    sorts: bool = True

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
        condition = self.column.in_(values)
        return condition if self.within is None else self.within(condition)

    def matches(self, text: str) -> Condition:
        """The condition of a filter's text. Raises InvalidQuery for a text that cannot be read."""
        if len(text) > LONGEST_TEXT or UNKEEPABLE.search(text):
            raise InvalidQuery(f"The filter of {self.name!r} is longer than {LONGEST_TEXT}, or holds no proper text.")
        is_negated = text.startswith("!")
        wanted = self._alternatives(text.removeprefix("!"))
        if len(wanted) > MOST_ALTERNATIVES:
            raise InvalidQuery(f"The filter of {self.name!r} has {len(wanted)} values; at most {MOST_ALTERNATIVES}.")
        condition = self._any_of(wanted)
        if self.within is not None:
            condition = self.within(condition)
        return sa.func.coalesce(condition, sa.false()).is_(False) if is_negated else condition

    def _alternatives(self, text: str) -> list[str]:
        """The alternatives in a text; also the whole text, when a hyphen may be part of a word."""
        parts = [part.strip() for part in text.split("|")]
        if self.kind in (Kind.TEXT, Kind.WORD):
            parts += [word.strip() for part in parts if "-" in part for word in part.split("-")]
        return list(dict.fromkeys(part for part in parts if part)) or [""]

    def _any_of(self, wanted: Sequence[str]) -> Condition:
        match self.kind:
            case Kind.WORD:
                return _one_of_words(self.column, self.words, wanted)
            case Kind.TEXT:
                return _one_of_texts(self.column, wanted)
        reading = {Kind.ID: _id, Kind.MOMENT: _moment, Kind.NUMBER: _number, Kind.FLAG: _flag}[self.kind]
        return sa.or_(*(reading(self, one) for one in wanted))


class ListFields:
    """The fields of one kind of list; `noun` names its entries."""

    def __init__(self, noun: str, *fields: Field) -> None:
        self.noun = noun
        self.fields = fields
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
        return [self._field(name, "filtered", self.filter_names).is_one_of(one) for name, one in values.items() if one]

    def conditions(self, filters: Iterable[FieldText]) -> list[Condition]:
        """The conditions of filters. Raises InvalidQuery, which names the fields."""
        return [self._field(name, "filtered", self.filter_names).matches(text) for name, text in filters]

    def ordering(self, sort: Iterable[FieldText]) -> list[Column]:
        """The order of the rows. Raises InvalidQuery."""
        return [self._order(name, direction) for name, direction in sort]

    def _order(self, name: str, direction: str) -> Column:
        field = self._field(name, "sorted", self.sort_names)
        match direction.lower():
            case "asc":
                return field.column.asc()
            case "desc":
                return field.column.desc()
        raise InvalidQuery(f"{self.noun} are sorted `asc` or `desc`, not {direction!r}.")

    def _field(self, name: str, what: str, known: Sequence[str]) -> Field:
        field = self._by_name.get(_plain(name))
        if field is None or field.name not in known:
            raise InvalidQuery(f"{self.noun} cannot be {what} by {name!r}; they can be {what} by {', '.join(known)}.")
        return field


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


# --- texts to conditions ---


def _one_of_words(column: Column, words: Sequence[str], wanted: Sequence[str]) -> Condition:
    """Written out, not bound, so that a partial index on some of the words serves every plan."""
    by_name: Mapping[str, str] = {word.lower(): word for word in words}
    found = dict.fromkeys(by_name[one.lower()] for one in wanted if one.lower() in by_name)
    return column.in_([sa.bindparam(None, word, type_=sa.String, literal_execute=True) for word in found])


def _one_of_texts(column: Column, wanted: Sequence[str]) -> Condition:
    whole = [one.lower() for one in wanted if one and not one.endswith("*")]
    begun = [one.lower().removesuffix("*") for one in wanted if one.endswith("*")]
    conditions = [sa.func.lower(column).startswith(one, autoescape=True) for one in begun]
    if whole:
        conditions.append(sa.func.lower(column).in_(whole))
    if "" in wanted:
        conditions.append(sa.func.coalesce(column, "") == "")
    return sa.or_(*conditions)


def _id(field: Field, text: str) -> Condition:
    """A range, so that an index answers; text that cannot be an id matches nothing."""
    digits = text.replace("-", "").lower()
    if not digits or len(digits) > 32 or set(digits) - set(hexdigits):
        return sa.false()
    return field.column.between(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def _number(field: Field, text: str) -> Condition:
    sign, number = _compared(text)
    if not re.fullmatch(r"-?\d{1,19}", number, re.ASCII) or abs(int(number)) > LARGEST:
        raise InvalidQuery(f"{field.name!r} is a whole number; {text!r} is none.")
    return _comparison(field.column, sign, int(number))


def _flag(field: Field, text: str) -> Condition:
    match text.lower():
        case "true":
            return sa.and_(field.column)
        case "false":
            return sa.not_(field.column)  # not IS FALSE, for which no index would serve
    raise InvalidQuery(f"{field.name!r} is true or false, not {text!r}.")


def _moment(field: Field, text: str) -> Condition:
    """Read a moment; a date without a time means the whole day."""
    sign, written = _compared(text)
    return span_condition(field.column, sign, *_span(field, written))


def span_condition(column: Column, sign: str | None, first: datetime, behind: datetime) -> Condition:
    """Compare with the moments from `first` to before `behind`, or with one moment, which is both."""
    if behind == first:
        return _comparison(column, sign or "=", first)
    match sign:
        case ">":
            return column >= behind
        case ">=":
            return column >= first
        case "<":
            return column < first
        case "<=":
            return column < behind
    return sa.and_(column >= first, column < behind)


def _span(field: Field, text: str) -> tuple[datetime, datetime]:
    try:
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII) and "-" not in text:
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        is_day = len(text) == len("2026-01-31") and "-" in text
        return moment, moment + timedelta(days=1) if is_day else moment
    except (ValueError, OverflowError, OSError):
        raise InvalidQuery(
            f"{field.name!r} is a date or a moment as 2026-01-31 or 2026-01-31T12:00:00+00:00, or seconds since 1970; "
            f"{text!r} is none."
        ) from None


def _compared(text: str) -> tuple[str, str]:
    found = COMPARISON.fullmatch(text)
    assert found is not None, "the expression takes anything"
    return found[1] or "=", found[2]


def _comparison(column: Column, sign: str, value: Any) -> Condition:
    operators: Mapping[str, Callable[[], Condition]] = {
        "=": lambda: column == value,
        ">": lambda: column > value,
        ">=": lambda: column >= value,
        "<": lambda: column < value,
        "<=": lambda: column <= value,
    }
    return operators[sign]()
