"""Searches subscriptions: turns the query language into a condition that indexes answer."""

import sqlalchemy as sa

from resources.subscriptions.list_fields import Condition
from resources.subscriptions.search_query import And, Word, join
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS


def search_condition(text: str) -> Condition:
    """The condition on `subscriptions` of a search; all of them when it is blank.

    It reads the products if words may be theirs: they are few, and their present names count. Raises InvalidQuery for a
    search that cannot be read, for an unknown field, and for a value that its field cannot have.
    """
    return SUBSCRIPTION_FIELDS.search(text)


def words_condition(text: str) -> Condition:
    """Subscriptions that have all these words, or words that begin so, whatever signs are between them."""
    words = [Word(word.strip("*")) for word in text.split()]
    return SUBSCRIPTION_FIELDS.condition(join(And, [*words])) if words else sa.false()
