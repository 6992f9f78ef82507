"""A phrase is found by runs of its words, whose index says as much as to compare the words one by one."""

import random
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Session

from resources.database.tables import SubscriptionTable
from resources.domain.saving.search_text import LONGEST_WORD, vector
from resources.subscriptions.search_query import Phrase, Word
from resources.subscriptions.search_words import by_index
from resources.subscriptions.text_conditions import word_match
from tests.test_resources.test_domain.domain import active_device

WORDS = ("a", "ab", "1", "12", "be", "zoë", "ams", "abcd", "1000", "x" * 200)
SIGNS = (" ", "-", "/", ".")


def text(chance: random.Random, most: int) -> str:
    """Some words with signs between them."""
    return "".join(f"{chance.choice(WORDS)}{chance.choice(SIGNS)}" for _ in range(chance.randint(1, most)))


def words(session: Session, subscription_id: UUID, pairs: list[tuple[str, str]]) -> None:
    search = sa.cast(vector(pairs), TSVECTOR)
    update = sa.update(SubscriptionTable).values(search=search, note=pairs[0][1][:5000])
    session.execute(update.where(SubscriptionTable.subscription_id == subscription_id))


@pytest.mark.parametrize("seed", range(3))
def test_runs_find_what_has_the_words_one_after_the_other(session: Session, seed: int) -> None:
    chance = random.Random(seed)
    device = active_device().subscription_id
    for _ in range(15):
        words(session, device, [("note", text(chance, 8)), ("label", text(chance, 3))])
        for _ in range(8):
            asked = text(chance, 5)
            for leaf in (Word(asked, "note"), Phrase(asked, "note")):
                expected = session.scalar(sa.select(word_match(SubscriptionTable.note, leaf)))
                unnamed = type(leaf)(asked)
                assert session.scalar(sa.select(by_index(leaf))) == expected, leaf
                assert session.scalar(sa.select(by_index(unnamed))) or not expected, unnamed


def test_no_run_reaches_from_one_value_into_the_next(session: Session) -> None:
    device = active_device().subscription_id
    words(session, device, [("note", "core one"), ("label", "two")])
    assert session.scalar(sa.select(by_index(Word("core-one"))))
    assert not session.scalar(sa.select(by_index(Word("one-two"))))


@pytest.mark.parametrize("asked", ["abcd1234-0000-40", "0000-4000", "4000-8000-000000000001", "8000-0000"])
def test_parts_of_an_id_are_found_without_runs(session: Session, asked: str) -> None:
    device = active_device().subscription_id
    words(session, device, [("subscription_id", "abcd1234-0000-4000-8000-000000000001")])
    assert session.scalar(sa.select(by_index(Word(asked))))


def test_the_longest_words_of_a_run_fit_into_a_lexeme(session: Session) -> None:
    long = "\U0001f600" * (LONGEST_WORD + 1)
    device = active_device().subscription_id
    words(session, device, [("note", f"{long} {long} {long}a")])
    assert session.scalar(sa.select(by_index(Word(f"{long} {long}"))))


def test_the_longest_text_fits_into_a_row(session: Session) -> None:
    device = active_device().subscription_id
    words(session, device, [("note", " ".join(f"{number:x}é" * 20 for number in range(30_000)))])
    assert session.scalar(sa.select(by_index(Word(f"{'1é' * 20}-{'2é' * 20}"))))
