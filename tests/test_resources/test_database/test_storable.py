"""Text that PostgreSQL cannot store is refused in one sentence, wherever it goes."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from resources.database.session import SubscriptionDatabase
from resources.database.storable import fault_of_shape, faults_in, path_of, storable
from resources.errors import NotStorable

CHARACTERS = {"nul": "\x00", "low half": "\udc00", "high half": "\ud800", "two halves": "\ud800x\udc00"}
WAYS = {
    "text": lambda odd: sa.literal(odd, sa.Text),
    "list": lambda odd: sa.literal([odd], ARRAY(sa.Text)),
    "JSON": lambda odd: sa.literal({"deep": [odd]}, JSONB),
    "key": lambda odd: sa.literal({odd: 1}, JSONB),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("odd", CHARACTERS.values(), ids=CHARACTERS)
def test_statement_with_it_is_refused_in_a_sentence(database: SubscriptionDatabase, odd: str, way: object) -> None:
    """Also where nothing has looked at the text before."""
    with pytest.raises(NotStorable, match="leave it out"), database.transaction() as session:
        session.scalar(sa.select(way(f"a {odd} b")))  # type: ignore[operator]


@pytest.mark.parametrize("odd", ["\\u0000", "\\ud800", "a\\"])
def test_escapes_are_ordinary_text(database: SubscriptionDatabase, odd: str) -> None:
    with database.transaction() as session:
        assert session.scalar(sa.select(sa.literal({odd: odd}, JSONB))) == {odd: odd}


def test_place_of_a_fault_can_be_stored_itself() -> None:
    ((loc, fault),) = faults_in({"page": [{"a\0": 1}]})
    assert (path_of(loc), fault) == ("page.0.a\\0", "a NUL character")


def test_cleaned_text_can_be_stored() -> None:
    assert list(faults_in([storable(f"a{odd}b") for odd in CHARACTERS.values()])) == []


def nested(levels: int) -> object:
    return [nested(levels - 1)] if levels else 1


def aliases(lines: int) -> object:
    """What so many lines of YAML with aliases hold: each ten times the line before."""
    return [aliases(lines - 1)] * 10 if lines else 1


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (nested(63), None),
        (nested(65), "it is nested deeper than 64 levels"),
        (aliases(3), None),
        ([[0] * 1_000_001], "it holds more than 1,000,000 values"),
    ],
    ids=["deep", "too deep", "large", "too large"],
)
def test_shape_is_judged_without_recursion(value: object, fault: str | None) -> None:
    assert fault_of_shape(value) == fault


def test_aliases_without_end_are_judged_at_once() -> None:
    value: object = 1
    for _ in range(30):
        value = [value] * 10
    assert fault_of_shape(value) == "it holds more than 1,000,000 values"
