"""Finds entries of any kind: a page with the columns that were asked for, what matched, and where to go on."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic_core import to_jsonable_python

from resources.database.session import current_session
from resources.domain.saving.search_text import words_of
from resources.errors import InvalidQuery
from resources.searches.entities import CUSTOMER, ENTITIES, Entity, values_of
from resources.searches.filter_trees import read_filters
from resources.subscriptions.customers import customers_of
from resources.subscriptions.list_fields import Condition, Kind
from resources.subscriptions.search_query import And, Node, Or, Phrase, Word, parse

MOST_MATCHES = 5
LONGEST_MATCH = 200
FUZZY = 0.5
"""How alike words are that pg_trgm takes for the same, 1 being equal."""


@dataclass(frozen=True)
class Search:
    """A search as clients ask it; `order` is (path, asc or desc)."""

    entity: Entity
    text: str = ""
    filters: Any = None
    order: tuple[str, str] | None = None
    columns: Sequence[str] = ()
    is_fuzzy: bool = False

    @classmethod
    def of(cls, kind: str, **asked: Any) -> "Search":
        """A search of a kind of ENTITIES. Raises InvalidQuery."""
        if kind not in ENTITIES:
            raise InvalidQuery(f"{kind!r} cannot be searched; {', '.join(ENTITIES)} can.")
        return cls(ENTITIES[kind], **asked)

    def where(self, text: Node | None, *, fuzzy: bool = False) -> Condition:
        """The condition of the text and the filters."""
        fields, entity = self.entity.fields, self.entity
        filters = read_filters(self.filters, fields.plain)
        conditions = [fields.condition(node) for node in (text, filters) if node is not None]
        if fuzzy:
            conditions[0] = sa.or_(conditions[0], sa.func.word_similarity(self.text, entity.title) >= FUZZY)
        return sa.and_(sa.true(), *entity.where, *conditions)

    @property
    def ordering(self) -> tuple[Any, bool]:
        """The column of the order, and whether the largest comes first."""
        if self.order is None:
            return self.entity.newest, True
        self.entity.fields.ordering([self.order])  # refuses what cannot be sorted
        path, direction = self.order
        field = self.entity.fields.field(path)
        return field.column, (direction.lower() == "desc") != (field.shown is not None)

    def statement(self, where: Condition) -> sa.Select[Any]:
        """Select the id, the title and all columns; the document only where its values are needed."""
        entity = self.entity
        columns: list[Any] = [column.label(name) for name, column in entity.columns.items()]
        if "document" in entity.more:
            entity_document = entity.more["document"] if self._needs_values else sa.null()
            columns.append(entity_document.label("document"))
        column, is_descending = self.ordering
        order = column.desc() if is_descending else column.asc()
        if _may_be_null(column):  # else an index would not serve it
            order = order.nulls_last()
        return (
            sa.select(
                entity.key.label("entity_id"), entity.title.label("entity_title"), column.label("ordered"), *columns
            )
            .select_from(entity.rows)
            .where(where)
            .order_by(order, entity.key)
        )

    @property
    def _needs_values(self) -> bool:
        columns = (self.entity.fields.named(path) for path in self.columns)
        return bool(self.text.strip()) or any(one is None for one in columns)

    def check(self) -> None:
        """Raise InvalidQuery for what cannot be asked."""
        self.statement(self.where(parse(self.text)))
        self.refuse_unknown_columns()

    def refuse_unknown_columns(self) -> None:
        """Also when nothing fits."""
        self.lines([dict.fromkeys(("customer_id", *self.entity.columns))])

    def lines(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """The asked columns of rows, by their paths. Raises InvalidQuery for one that does not exist."""
        has_customers = any(self.entity.fields.plain(path) in CUSTOMER for path in self.columns)
        ids = {row["customer_id"] for row in rows if row.get("customer_id")} if has_customers else ()
        customers = customers_of(ids)
        found = []
        for row in rows:
            values = values_of(row.get("document") or {})
            read = {path: self.entity.read(path, row, values, customers) for path in self.columns}
            found.append({path: to_jsonable_python(value) for path, value in read.items()})
        return found


@dataclass(frozen=True)
class Found:
    """A page of hits; `cursor` leads to the next one."""

    hits: list[dict[str, Any]]
    total: int
    first: int
    cursor: str | None
    is_fuzzy: bool


def find(search: Search, limit: int | None = None, cursor: str | None = None) -> Found:
    """One page, in a constant number of statements; pages neither overlap nor miss what stays as it is.

    `limit` is 10, or that of the page before. Raises InvalidQuery.
    """
    text = parse(search.text)
    is_fuzzy = search.is_fuzzy and text is not None and _has_trigrams()
    where = search.where(text, fuzzy=is_fuzzy)
    place = _Place.read(cursor, search) if cursor else None
    limit = limit or (place.limit if place else 10)
    search.refuse_unknown_columns()
    source = search.entity.rows if is_fuzzy else search.entity.key.class_  # the fields join what they need
    count = sa.select(sa.func.count()).select_from(source).where(where)
    query = search.statement(sa.and_(where, place.behind(search)) if place else where).limit(limit + 1)
    rows = current_session().execute(query).mappings().all()
    first = place.number if place else 0
    is_whole = first == 0 and len(rows) <= limit
    total = len(rows) if is_whole else current_session().scalar(count) or 0
    shown, has_more = rows[:limit], len(rows) > limit
    after = _Place(first + limit, limit, shown[-1]["ordered"], shown[-1]["entity_id"]).written() if has_more else None
    lines = zip(shown, search.lines(shown), strict=True)
    return Found([_hit(search, text, row, line) for row, line in lines], total, first, after, is_fuzzy)


def _has_trigrams() -> bool:
    query = sa.text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    return bool(current_session().scalar(query))


def _hit(search: Search, text: Node | None, row: Any, line: dict[str, Any]) -> dict[str, Any]:
    entity, title = search.entity, str(row["entity_title"])
    return {
        "entity_id": str(row["entity_id"]),
        "entity_type": entity.kind.upper(),
        "entity_title": title,
        "score": 1.0,
        "perfect_match": int(bool(search.text) and title.lower() == search.text.strip().lower()),
        "matching_fields": list(_matches(entity, text, row)) if text is not None else [],
        "response_columns": line,
    }


@dataclass(frozen=True)
class _Place:
    """Where the next page begins: behind the value and id of the last row; `number` counts the rows before."""

    number: int
    limit: int
    value: Any
    key: UUID

    def written(self) -> str:
        value = to_jsonable_python([self.number, self.limit, self.value, self.key])
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()

    @classmethod
    def read(cls, text: str, search: Search) -> "_Place":
        try:
            number, limit, value, key = json.loads(base64.urlsafe_b64decode(text))
            kind = search.ordering[0].type.python_type
            if value is not None:
                readers: Mapping[Any, Any] = {datetime: datetime.fromisoformat, UUID: UUID}
                value = readers.get(kind, lambda one: one)(value)
            if not (
                isinstance(value, kind | None) and 0 <= number < 2**31 and 1 <= limit <= 1000 and "\0" not in str(value)
            ):
                raise ValueError
            if isinstance(value, int) and abs(value) >= 2**31:
                raise ValueError
            return cls(int(number), int(limit), value, UUID(key))
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise InvalidQuery("The cursor is none of this search; search again without it.") from None

    def behind(self, search: Search) -> Condition:
        column, is_descending = search.ordering
        next_id = search.entity.key > self.key
        if self.value is None:
            return sa.and_(column.is_(None), next_id)
        value = sa.literal(self.value, column.type)
        further = column < value if is_descending else column > value
        behind = sa.or_(further, sa.and_(column == value, next_id))
        if _may_be_null(column):
            return sa.or_(behind, column.is_(None))
        return sa.and_(column <= value if is_descending else column >= value, behind)  # the first is an index's


def _may_be_null(column: Any) -> bool:
    return bool(getattr(column.asc().element, "nullable", True))


# --- what matched ---


def _matches(entity: Entity, text: Node, row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The texts of a row in which words of the search stand, and where in them."""
    wanted = [one for leaf in _leaves(text) if (one := _expression(leaf))]
    found = 0
    for path, value in _texts(entity, row):
        marks = [match.span() for one in wanted for match in one.finditer(value[:LONGEST_MATCH])]
        if marks and found < MOST_MATCHES:
            found += 1
            yield {"text": value[:LONGEST_MATCH], "path": path, "highlight_indices": sorted(set(marks))}


def _texts(entity: Entity, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in entity.fields.fields:
        if field.kind is Kind.TEXT and field.sorts and row[field.key]:
            yield f"{entity.kind}.{field.key}", str(row[field.key])
    for path, value in values_of(row.get("document") or {}).items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and not isinstance(one, dict | list):
                yield f"{entity.kind}.{path}", str(one)


def _leaves(node: Node) -> Iterable[Word | Phrase]:
    match node:
        case Word() | Phrase():
            yield node
        case And(nodes) | Or(nodes):
            for each in nodes:
                yield from _leaves(each)


def _expression(leaf: Word | Phrase) -> "re.Pattern[str] | None":
    words = [re.escape(word) for word in words_of(leaf.text)]
    if not words:
        return None
    start = "" if isinstance(leaf, Word) and leaf.text.startswith("*") else r"(?<![^\W_])"
    end = r"(?![^\W_])" if isinstance(leaf, Phrase) else ""
    between = r"[\W_]+"
    return re.compile(f"{start}{between.join(words)}{end}", re.IGNORECASE)
