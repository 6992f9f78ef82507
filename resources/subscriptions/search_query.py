"""The query language of searches: words, phrases, fields, alternatives and exclusions.

`ams1 core` finds both words, each the beginning of one; `"core router"` whole words one after the other; `a|b` either;
`-x` the absence of x; `field:x`, `field:"x y"` and `field:(a|b)` values of one field.
An IPv6 address, a MAC and a URL are values, whatever their colons look like. Parentheses group; `|` binds less
than a space. Unclosed quotes and parentheses end with the text.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface
from typing import TypeAlias

from resources.errors import InvalidQuery

LONGEST_QUERY = 512
MOST_TERMS = 32
"""Words and phrases; each is a search of its own in the database."""
DEEPEST = 20
"""Parentheses within parentheses."""

FIELD = re.compile(r"([A-Za-z_][A-Za-z0-9_]*):")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
WORD = re.compile(r'[^\s()|"]+')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)(?:"|\\?$)', re.DOTALL)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Word:
    """The beginning of a word, as it was written; without a letter or digit it is found nowhere."""

    text: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Phrase:
    """Whole words, one after the other."""

    text: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Not:
    """An exclusion."""

    node: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Two or more, all required."""

    nodes: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """Two or more, one of them required."""

    nodes: "tuple[Node, ...]"


Node: TypeAlias = Word | Phrase | Not | And | Or
NOTHING = Word("")


def parse(text: str) -> Node | None:
    """Parse a query; None when it is empty. Raises InvalidQuery when it has too much of something."""
    if len(text) > LONGEST_QUERY:
        raise InvalidQuery(f"The search has {len(text)} characters; it may have {LONGEST_QUERY}.")
    return _Parser(text).query() if text.strip() else None


def quote(text: str) -> str:
    """Any text as a phrase of the language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def render(node: Node) -> str:
    """A query as text, which `parse` turns back into the same query."""
    match node:
        case Word(text, field):
            return f"{field}:{text}" if field else text or "()"
        case Phrase(text, field):
            return f"{field}:{quote(text)}" if field else quote(text)
        case Not(inner):
            return f"-{_grouped(inner)}"
        case And(nodes):
            return " ".join(_grouped(each) for each in nodes)
        case Or(nodes):
            return "|".join(_grouped(each) for each in nodes)


def _grouped(node: Node) -> str:
    return f"({render(node)})" if isinstance(node, And | Or) else render(node)


def _as_value(word: str) -> str | None:
    if URL.match(word) or MAC.fullmatch(word):
        return word
    if word.count(":") < 2:
        return None
    try:
        return str(ip_interface(word) if "/" in word else ip_address(word))
    except ValueError:
        return None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._terms = 0

    def query(self) -> Node:
        return self._alternatives(None)

    def _alternatives(self, field: str | None) -> Node:
        found = [self._side_by_side(field)]
        while self._takes("|"):
            found.append(self._side_by_side(field))
        return found[0] if len(found) == 1 else Or(tuple(found))

    def _side_by_side(self, field: str | None) -> Node:
        found: list[Node] = []
        while (term := self._term(field)) is not None:
            found.append(term)
        if len(found) > 1:
            return And(tuple(found))
        return found[0] if found else NOTHING

    def _term(self, field: str | None) -> Node | None:
        self._skip_space()
        while self._depth == 0 and self._takes(")"):
            self._skip_space()
        if self._at >= len(self._text) or self._text[self._at] in "|)":
            return None
        is_negated = False
        while field is None and self._takes("-"):
            is_negated = not is_negated
        node = self._atom(field)
        return Not(node) if is_negated else node

    def _atom(self, field: str | None) -> Node:
        if self._takes("("):
            return self._group(field)
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise InvalidQuery(f"The search has more than {MOST_TERMS} words; leave some out.")
        if (quoted := self._match(QUOTED)) is not None:
            return Phrase(ESCAPED.sub(r"\1", quoted[1]), field)
        if (value := self._value()) is not None:
            return Phrase(value, field)
        if field is None and (named := self._match(FIELD)) is not None:
            return self._atom(named[1])
        word = self._match(WORD)
        return Word(word[0] if word else "", field)

    def _value(self) -> str | None:
        """An address, a MAC or a URL, as the database has it: its colons name no field."""
        found = WORD.match(self._text, self._at)
        if found is None or (value := _as_value(found[0])) is None:
            return None
        self._at = found.end()
        return value

    def _group(self, field: str | None) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidQuery(f"The search has more than {DEEPEST} parentheses within each other.")
        node = self._alternatives(field)
        self._takes(")")
        self._depth -= 1
        return node

    def _match(self, pattern: "re.Pattern[str]") -> "re.Match[str] | None":
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _takes(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._at)
        self._at += len(sign) * is_there
        return is_there

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
