"""The query language of all lists, as one tree: what people type, what filters say, and what clients send becomes it.

`ams1 core` finds both words, each the beginning of one; `"core router"` whole words one after the other; `*core*` a
part of a word; `a|b` either; `-x` the absence of x. `field:x` looks in one field, `field=x` wants its whole value (`*`
stands for any text, `field=*` for any value), `field>=5` compares, `field:1..5` is a range, `field:(a|b)` a list.
Parentheses group; `|` binds less than a space. An IPv6 address, a MAC and a URL are values, whatever their colons look
like.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as declared
from ipaddress import ip_address, ip_interface
from typing import NoReturn, TypeAlias

from resources.errors import InvalidQuery

LONGEST_QUERY = 512
MOST_TERMS = 32
"""Words and phrases; each is a search of its own in the database."""
DEEPEST = 20
"""Parentheses within parentheses."""

NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
FIELD = re.compile(rf"({NAME})(?::|(?=[<>=]|!=))")
SIGN = re.compile(r"[<>]=?|!?=")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
MAC = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
WORD = re.compile(r'[^\s()|"]+')
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPED = re.compile(r"\\(.)", re.DOTALL)
BARE = re.compile(r'[^\s()|"\\:<>=!.][^\s()|"\\:]*')
UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Word:
    """The beginning of a word, as it was written; `*` before it finds it within words."""

    text: str
    field: str | None = None
    at: int = declared(default=0, compare=False)
    """Where it stands in the text of the search, for messages."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Whole words, one after the other."""

    text: str
    field: str | None = None
    at: int = declared(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """The whole value, compared by `=`, `<`, `<=`, `>` or `>=`.

    In `text`, `*` stands for any text, and a backslash takes the meaning from the sign behind it.
    """

    field: str
    sign: str
    text: str
    at: int = declared(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """A value from `low` to `high`, both included, written as in Compare."""

    field: str
    low: str
    high: str
    at: int = declared(default=0, compare=False)


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


Leaf: TypeAlias = Word | Phrase | Compare | Range
Node: TypeAlias = Leaf | Not | And | Or


def parse(text: str) -> Node | None:
    """Parse a query; None when it is blank. Raises InvalidQuery with a sentence and the position."""
    if len(text) > LONGEST_QUERY:
        raise InvalidQuery(f"The search has {len(text)} characters; it may have {LONGEST_QUERY}.")
    if (found := UNKEEPABLE.search(text)) is not None:
        _refuse("a character stands here that is no text", found.start())
    return _Parser(text).query() if text.strip() else None


def quote(text: str) -> str:
    """Any text as a phrase of the language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def pattern(text: str) -> str:
    """Any text as one of Compare that stands for itself alone."""
    return text.replace("\\", "\\\\").replace("*", "\\*")


def literal(text: str) -> str:
    """The text of a Compare without the backslashes."""
    return ESCAPED.sub(r"\1", text)


def join(kind: type[And | Or], nodes: list[Node]) -> Node:
    """One node of several: the only one as it is."""
    return nodes[0] if len(nodes) == 1 else kind(tuple(nodes))


def leaves(node: Node | None) -> Iterator[Leaf]:
    """All words, phrases, comparisons and ranges of a tree."""
    match node:
        case And(nodes) | Or(nodes):
            for each in nodes:
                yield from leaves(each)
        case Not(inner):
            yield from leaves(inner)
        case Word() | Phrase() | Compare() | Range():
            yield node


def render(node: Node) -> str:
    """A query as text, which `parse` turns back into the same query."""
    match node:
        case Word(text, name):
            return f"{name}:{text}" if name else text
        case Phrase(text, name):
            return f"{name}:{quote(text)}" if name else quote(text)
        case Compare(name, sign, text):
            return f"{name}{sign}{_value(text)}"
        case Range(name, low, high):
            return f"{name}:{_value(low)}..{_value(high)}"
        case Not(inner):
            return f"-({render(inner)})" if isinstance(inner, And | Or | Not) else f"-{render(inner)}"
        case And(nodes):
            return " ".join(_grouped(each) for each in nodes)
        case Or(nodes):
            return "|".join(_grouped(each) for each in nodes)


def _value(text: str) -> str:
    if BARE.fullmatch(text) and ".." not in text and not text.endswith("."):
        return text
    escaped = text.replace('"', '\\"')
    return f'"{escaped}"'


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


def _refuse(what: str, at: int) -> NoReturn:
    raise InvalidQuery(f"The search cannot be read at character {at + 1}: {what}.")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._terms = 0

    def query(self) -> Node:
        node = self._alternatives(None)
        if self._at < len(self._text):
            _refuse("`)` closes nothing; leave it out, or put the text in quotes", self._at)
        return node

    def _alternatives(self, name: str | None) -> Node:
        found = [self._side_by_side(name)]
        while self._takes("|"):
            found.append(self._side_by_side(name))
        return join(Or, found)

    def _side_by_side(self, name: str | None) -> Node:
        found: list[Node] = []
        while (term := self._term(name)) is not None:
            found.append(term)
        return join(And, found) if found else _refuse("a word is missing", self._at)

    def _term(self, name: str | None) -> Node | None:
        self._skip_space()
        if self._at >= len(self._text) or self._text[self._at] in "|)":
            return None
        is_negated = False
        while name is None and self._takes("-"):
            is_negated = not is_negated
        node = self._atom(name)
        return Not(node) if is_negated else node

    def _atom(self, name: str | None, begun: int | None = None) -> Node:
        at = self._at if begun is None else begun
        if self._takes("("):
            return self._group(name, self._at - 1)
        self._terms += 1
        if self._terms > MOST_TERMS:
            raise InvalidQuery(f"The search has more than {MOST_TERMS} words; leave some out.")
        if name is not None and (sign := self._match(SIGN)) is not None:
            return self._compared(name, sign[0], at)
        if (quoted := self._quoted()) is not None:
            if name is not None and self._takes(".."):
                return Range(name, _unquoted(quoted), self._operand(name), at)
            return Phrase(literal(quoted), name, at)
        if (value := self._address()) is not None:
            return Phrase(value, name, at)
        if name is None and (named := self._match(FIELD)) is not None:
            return self._atom(named[1], at)
        if (word := self._match(WORD)) is None:
            _refuse(f"a value for `{name}` is missing" if name else "a word is missing", self._at)
        return _ranged(name, word[0], at) or self._quoted_end(name, word[0], at) or Word(word[0], name, at)

    def _compared(self, name: str, sign: str, at: int) -> Node:
        if self._text.startswith("(", self._at):
            _refuse(f"a list is written `{name}:(a|b)`", self._at)
        node = Compare(name, sign.removeprefix("!"), self._operand(name), at)
        return Not(node) if sign == "!=" else node

    def _operand(self, name: str) -> str:
        if (quoted := self._quoted()) is not None:
            return _unquoted(quoted)
        if (word := self._match(WORD)) is None:
            _refuse(f"a value for `{name}` is missing", self._at)
        return word[0].replace("\\", "\\\\")

    def _quoted_end(self, name: str | None, word: str, at: int) -> Node | None:
        """A range whose end is quoted, behind a bare beginning."""
        if name is None or not word.endswith("..") or not self._text.startswith('"', self._at):
            return None
        return Range(name, word[:-2].replace("\\", "\\\\"), self._operand(name), at)

    def _quoted(self) -> str | None:
        if (found := self._match(QUOTED)) is not None:
            return found[1]
        if self._text.startswith('"', self._at):
            _refuse("the quote is not closed", self._at)
        return None

    def _address(self) -> str | None:
        """An address, a MAC or a URL, as the database has it: its colons name no field."""
        found = WORD.match(self._text, self._at)
        if found is None or (value := _as_value(found[0])) is None:
            return None
        self._at = found.end()
        return value

    def _group(self, name: str | None, at: int) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise InvalidQuery(f"The search has more than {DEEPEST} parentheses within each other.")
        node = self._alternatives(name)
        if not self._takes(")"):
            _refuse("the parenthesis is not closed", at)
        self._depth -= 1
        return node

    def _match(self, wanted: "re.Pattern[str]") -> "re.Match[str] | None":
        found = wanted.match(self._text, self._at)
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


def _unquoted(inner: str) -> str:
    """The inside of quotes as a text of Compare: `*` keeps its meaning, an escaped one loses it."""
    return re.sub(r"\\(.)", lambda found: found[0] if found[1] in "*\\" else found[1], inner, flags=re.DOTALL)


def _ranged(name: str | None, word: str, at: int) -> Node | None:
    low, dots, high = word.replace("\\", "\\\\").partition("..")
    if name is None or not dots or not (low and high):
        return None
    return Range(name, low, high, at)
