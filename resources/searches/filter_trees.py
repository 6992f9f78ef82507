"""The filters that clients send as JSON, read into the tree of the query language.

Two forms: like Elasticsearch's (`bool`, `term`, `range` …), and the reference's own tree of `op` and `children` with
`path` and `condition`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from resources.errors import InvalidQuery
from resources.subscriptions.search_query import (
    DEEPEST,
    NAME,
    UNKEEPABLE,
    And,
    Compare,
    Node,
    Not,
    Or,
    Range,
    join,
    pattern,
)

MOST_LEAVES = 200
LONGEST_VALUE = 5000
SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "neq": "="}
BETWEEN = ("start", "end"), ("from", "to"), ("gte", "lte")
BOOL: Mapping[str, Callable[[list[Node]], Node]] = {
    "must": lambda nodes: join(And, nodes),
    "filter": lambda nodes: join(And, nodes),
    "should": lambda nodes: join(Or, nodes),
    "must_not": lambda nodes: Not(join(Or, nodes)),
}


def read_filters(filters: Any, plain: Callable[[str], str]) -> Node | None:
    """The tree of filters; None when there are none. `plain` makes a path a field. Raises InvalidQuery."""
    return None if filters in (None, {}, []) else _Reader(plain).node(filters, 0)


class _Reader:
    def __init__(self, plain: Callable[[str], str]) -> None:
        self._plain = plain
        self._left = MOST_LEAVES

    def node(self, given: Any, depth: int) -> Node:
        if depth > DEEPEST:
            raise InvalidQuery(f"The filters are nested more than {DEEPEST} deep.")
        if isinstance(given, list):
            return join(And, self._several(given, depth))
        if not isinstance(given, Mapping):
            _refuse(given)
        if "children" in given:
            kind = str(given.get("op", "AND")).upper()
            nodes = self._several(given["children"], depth) if kind in ("AND", "OR") else _refuse(given)
            return join(And if kind == "AND" else Or, nodes)
        if "path" in given:
            condition = given.get("condition")
            return self._by_op(given["path"], condition if isinstance(condition, Mapping) else _refuse(given))
        if len(given) != 1:
            _refuse(given)
        ((kind, inner),) = given.items()
        return self._bool(inner, depth) if kind == "bool" else self._leaf(str(kind), inner)

    def _several(self, given: Any, depth: int) -> list[Node]:
        nodes = given if isinstance(given, list) else [given]
        return [self.node(one, depth + 1) for one in nodes] if nodes else _refuse(given)

    def _bool(self, inner: Any, depth: int) -> Node:
        if not isinstance(inner, Mapping) or set(inner) - {*BOOL, "minimum_should_match"}:
            _refuse(inner)
        parts = [BOOL[kind](self._several(inner[kind], depth)) for kind in BOOL if inner.get(kind)]
        return join(And, parts) if parts else _refuse(inner)

    def _leaf(self, kind: str, inner: Any) -> Node:
        if kind == "exists" and isinstance(inner, Mapping):
            return self._compare(inner.get("field"), "=", "*")
        if not isinstance(inner, Mapping) or len(inner) != 1:
            _refuse({kind: inner})
        ((path, value),) = inner.items()
        if kind == "range" and isinstance(value, Mapping) and value and set(value) <= set(SIGNS):
            return join(And, [self._compare(path, SIGNS[sign], _text(limit)) for sign, limit in value.items()])
        value = value.get("value") if isinstance(value, Mapping) else value
        match kind:
            case "term" | "match" | "match_phrase":
                return self._compare(path, "=", pattern(_text(value)))
            case "terms" if isinstance(value, list) and value:
                return join(Or, [self._compare(path, "=", pattern(_text(one))) for one in value])
            case "prefix":
                return self._compare(path, "=", f"{pattern(_text(value))}*")
            case "wildcard":
                return self._compare(path, "=", _text(value).replace("\\", "\\\\"))
        return _refuse({kind: inner})

    def _by_op(self, path: Any, condition: Mapping[str, Any]) -> Node:
        value, op = condition.get("value"), str(condition.get("op"))
        if op == "between" and isinstance(value, Mapping):
            for low, high in BETWEEN:
                if low in value and high in value:
                    self._count()
                    return Range(self._name(path), pattern(_text(value[low])), pattern(_text(value[high])))
        if op == "like":
            return self._compare(path, "=", pattern(_text(value)).replace("%", "*"))
        if op == "exists":
            return self._compare(path, "=", "*")
        if op not in SIGNS:
            _refuse(dict(condition))
        node = self._compare(path, SIGNS[op], pattern(_text(value)))
        return Not(node) if op == "neq" else node

    def _compare(self, path: Any, sign: str, text: str) -> Node:
        self._count()
        return Compare(self._name(path), sign, text)

    def _name(self, path: Any) -> str:
        name = self._plain(path) if isinstance(path, str) else ""
        if not re.fullmatch(NAME, name):
            raise InvalidQuery(
                f"The filters name a field {str(path)[:80]!r}; it is a path as subscription.product.name."
            )
        return name

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise InvalidQuery(f"The filters have more than {MOST_LEAVES} conditions.")


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    if not isinstance(value, str | int | float):
        _refuse(value)
    text = str(value)
    if len(text) > LONGEST_VALUE or UNKEEPABLE.search(text):
        raise InvalidQuery(f"A value of the filters is longer than {LONGEST_VALUE}, or no proper text.")
    return text


def _refuse(given: Any) -> NoReturn:
    raise InvalidQuery(
        f"The filters cannot be read at {str(given)[:100]}. They are like "
        '{"bool": {"must": [{"term": {"subscription.status": "active"}}]}} with must, should, must_not, term, terms, '
        'range, prefix, wildcard and exists, or {"op": "AND", "children": [{"path": "subscription.status", '
        '"condition": {"op": "eq", "value": "active"}}]} with eq, neq, lt, lte, gt, gte, between, like and exists.'
    )
