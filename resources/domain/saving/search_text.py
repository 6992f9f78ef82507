"""The words by which PostgreSQL finds a subscription; made here, so that no locale matters."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from resources.domain.saving.documents import BLOCK_KEYS, ID, Document, is_block, is_block_list

MASK = "**********"
MOST_BYTES = 600_000
"""PostgreSQL refuses more than a megabyte, and a save must not fail for that; later words are not found."""
MOST_PARTS = 30_000
MOST_OF_RUNS, MOST_IN_ALL = 250_000, 1_000_000
MOST_PLACES = 16_000
"""PostgreSQL gives later words no position of their own, so no phrase finds them."""
LONGEST_WORD, LONGEST_FIELD = 250, 200
"""In characters; PostgreSQL allows 2046 bytes for both."""
SEPARATORS = re.compile(r"[\x00-/:-@\[-`{-\x7f\s\ud800-\udfff]+")
"""ASCII that is neither letter nor digit, and surrogates."""

RUN = 3
"""So many words of a value that follow one another are also stored as one, by which phrases are found.

Positions are not in the index: to compare them reads each row that has the words in whatever order.
"""
LONGEST_IN_RUN = 150
PART = "~"
"""Before three characters of a word; no word has it."""
IDS = ("subscription_id", ID)
"""Only beginnings of ids are looked for."""
HEADER = ("subscription_id", "description", "note", "customer_id")


def words_of(text: str) -> list[str]:
    """The words of a text, as they are stored and searched: lower case, cut at punctuation, short enough."""
    return [word[:LONGEST_WORD] for word in SEPARATORS.split(text.lower()) if word]


def search_vector(document: Document) -> str:
    """The tsvector of header, fixed inputs, own blocks' ids, labels and values: each word, and each as `field:word`.

    Status and `insync` have columns and the product a table, which change independently.
    """
    return vector(_pairs(document))


def metadata_vector(metadata: Any) -> str:
    """The tsvector of a subscription's metadata: a value is found by its key, and by the field of all metadata."""
    return vector(json_pairs("metadata", metadata))


def description_vector(description: str) -> str:
    """The tsvector of a customer's description of a subscription."""
    return vector([("customer_description", description)])


def vector(pairs: Iterable[tuple[str, str]]) -> str:
    """The text of a tsvector from (field, text): a word has the same position alone and with its field.

    Parts and runs of words stand behind, once each and without a position.
    """
    found: list[str] = []
    runs: list[str] = []
    parts: set[str] = set()
    for field, words, entry in _entries(pairs):
        found.append(entry)
        if field.lower() not in IDS:
            parts |= parts_of(words[0])
            runs += [run_of(words)] if len(words) > 1 else []
    made = " ".join([*found, *sorted(parts)[:MOST_PARTS]])
    return " ".join([made, *dict.fromkeys(f"'{run}'" for run in _fitting(runs, MOST_IN_ALL - len(made.encode())))])


def _fitting(runs: Iterable[str], most: int) -> Iterator[str]:
    """The first runs, as long as they are not too large together."""
    size = 0
    for run in runs:
        size += len(run.encode())
        if size > min(most, MOST_OF_RUNS):
            return
        yield run


def _entries(pairs: Iterable[tuple[str, str]]) -> Iterator[tuple[str, list[str], str]]:
    """Each word, with those that stand with it in a run: (field, words, entry)."""
    size, place = 0, 0
    for field, text in pairs:
        place += 1  # a phrase does not reach from one value into the next
        words = words_of(text)
        for number, word in enumerate(words):
            place += 1
            at = min(place, MOST_PLACES)
            entry = f"'{word}':{at} '{fielded(field, word)}':{at}"
            size += len(entry.encode())
            if size > MOST_BYTES:
                return
            yield field, words[number : number + max(min(RUN, MOST_PLACES - place), 1)], entry


def run_of(words: Sequence[str]) -> str:
    """At most RUN words as they are stored together, which begins as no word does."""
    return "".join(f" {word[:LONGEST_IN_RUN]}" for word in words)


def parts_of(word: str) -> set[str]:
    """The characters of a word, three by three, as it is stored: by these a part of a word is found."""
    return {f"'{PART}{word[at : at + 3]}'" for at in range(len(word) - 2)}


def fielded(field: str, word: str) -> str:
    """A word as it is stored with its field."""
    return f"{field[:LONGEST_FIELD].lower()}:{word}"


def json_pairs(field: str, value: Any) -> Iterator[tuple[str, str]]:
    """(field, text) of free JSON: a value is found by its key and by the field of all metadata."""
    match value:
        case dict():
            for key, held in value.items():
                yield from json_pairs(field, held)
                yield from _keyed(key, held)
        case list():
            for held in value:
                yield from json_pairs(field, held)
        case _:
            yield from _words(field, value)


def _keyed(key: str, held: Any) -> Iterator[tuple[str, str]]:
    """A value by its key, when that is a name."""
    if key.isidentifier() and not isinstance(held, dict):
        yield from _words(key, held)


def _pairs(document: Document) -> Iterator[tuple[str, str]]:
    for key in HEADER:
        yield from _words(key, document[key])
    for key, value in document.items():
        if key not in (*HEADER, "status", "product", "start_date", "end_date"):
            yield from _field(key, value)


def _field(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if is_block_list(value):
        for block in value:
            yield from _block(block)
    elif is_block(value):
        yield from _block(value)
    else:
        yield from _words(key, value)


def _block(block: Document) -> Iterator[tuple[str, str]]:
    if "name" not in block:
        return
    yield from _words(ID, block[ID])
    yield from _words("label", block["label"])
    for key, value in block.items():
        if key not in BLOCK_KEYS:
            yield from _field(key, value)


def _words(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None or value == MASK:
        return
    if isinstance(value, list):
        for item in value:
            yield from _words(key, item)
    elif isinstance(value, str):
        yield key, value
    else:
        yield key, json.dumps(value, ensure_ascii=False)
