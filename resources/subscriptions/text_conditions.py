"""Turns texts that people wrote into conditions on a column: words, patterns, ids, addresses, moments."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_interface
from string import hexdigits
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from resources.domain.saving.search_text import words_of
from resources.errors import InvalidQuery
from resources.subscriptions.search_query import Phrase, Word, literal

Condition: TypeAlias = sa.ColumnElement[bool]
Column: TypeAlias = sa.SQLColumnExpression[Any]

SEPARATOR = r"[\t\n\r -/:-@\[-`{-~]"
"""What stands between words, as `words_of` cuts them, for PostgreSQL."""


def word_match(column: Column, leaf: Word | Phrase) -> Condition:
    """The words one after the other, the last of a Word as a beginning; with `*` before it, the text anywhere."""
    if isinstance(leaf, Word) and leaf.text.startswith("*") and (part := leaf.text.strip("*").lower()):
        return sa.func.lower(column).contains(part, autoescape=True)
    words = words_of(leaf.text)
    if not words:
        return sa.false()
    end = f"($|{SEPARATOR})" if isinstance(leaf, Phrase) else ""
    return sa.func.lower(column).regexp_match(f"(^|{SEPARATOR}){f'{SEPARATOR}+'.join(words)}{end}")


def texts_match(column: Column, texts: Sequence[str]) -> Iterable[Condition]:
    plain = [literal(text).lower() for text in texts if not _has_star(text)]
    conditions: list[Condition] = [
        sa.func.lower(column).like(_like(text.lower()), escape="/") for text in texts if _has_star(text)
    ]
    if plain:
        conditions.append(sa.func.lower(column).in_(plain))
    return conditions


def _has_star(text: str) -> bool:
    return "*" in re.sub(r"\\.", "", text, flags=re.DOTALL)


def _like(text: str) -> str:
    """The text of Compare as one of LIKE, with `/` before what stands for itself."""

    def part(found: "re.Match[str]") -> str:
        if found[0] == "*":
            return "%"
        sign = found[1] or found[0]
        return f"/{sign}" if sign in "%_/" else sign

    return re.sub(r"\\(.)|.", part, text, flags=re.DOTALL)


def id_match(column: Column, text: str) -> Condition:
    """A range, so that an index answers; text that cannot be an id matches nothing."""
    digits = text.replace("-", "").lower()
    if not digits or len(digits) > 32 or set(digits) - set(hexdigits):
        return sa.false()
    return column.between(UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f")))


def normal_address(text: str) -> str | None:
    """The normal form of an address, with or without the length of its prefix; None when it is none."""
    try:
        return str(ip_interface(text) if "/" in text else ip_address(text))
    except ValueError:
        return None


def span_condition(column: Column, sign: str | None, first: datetime, behind: datetime) -> Condition:
    """Compare with the moments from `first` to before `behind`, or with one moment, which is both."""
    if behind == first:
        return comparison(column, sign or "=", first)
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


def span_of(name: str, text: str) -> tuple[datetime, datetime]:
    """A moment, or the first moment of a day, a month or a year in UTC, and the first behind it."""
    try:
        if (found := re.fullmatch(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?", text, re.ASCII)) is not None:
            year, month, day = int(found[1]), int(found[2] or 1), int(found[3] or 1)
            first = datetime(year, month, day, tzinfo=UTC)
            if found[3]:
                return first, first + timedelta(days=1)
            return first, datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC) if found[2] else first.replace(
                year=year + 1
            )
        if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text, re.ASCII):
            moment = datetime.fromtimestamp(float(text), UTC)
        else:
            moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment, moment
    except (ValueError, OverflowError, OSError):
        raise InvalidQuery(
            f"{name!r} is a moment, and {text!r} is not a date as 2026, 2026-01 or 2026-01-31, a moment as "
            "2026-01-31T12:00:00+00:00, or seconds since 1970."
        ) from None


def comparison(column: Column, sign: str, value: Any) -> Condition:
    operators: Mapping[str, Callable[[], Condition]] = {
        "=": lambda: column == value,
        ">": lambda: column > value,
        ">=": lambda: column >= value,
        "<": lambda: column < value,
        "<=": lambda: column <= value,
    }
    return operators[sign]()
