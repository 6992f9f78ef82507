"""Finds the subscription or product that a user means: by id, by its beginning, or by name."""

from collections.abc import Collection
from difflib import get_close_matches
from string import hexdigits
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionTable, WorkflowTable
from resources.domain.saving.headers import PRODUCT_COLUMNS, subscription_header
from resources.domain.saving.records import ProductRecord
from resources.errors import SubscriptionError, UnknownProduct, UnknownSubscription
from resources.subscriptions.lists import SubscriptionLine, list_subscriptions
from resources.subscriptions.search import words_condition
from resources.types import SubscriptionLifecycle

SHORTEST_PREFIX = 4
CANDIDATES_SHOWN = 10


def find_subscription(id_or_prefix: str | UUID) -> SubscriptionLine:
    """The subscription of an id, or of its first characters (4 or more).

    Raises UnknownSubscription, or SubscriptionError with the candidates when there are several.
    """
    first, last = _id_range(str(id_or_prefix))
    by_id = SubscriptionTable.subscription_id
    found = list_subscriptions([by_id.between(first, last)], [by_id], limit=CANDIDATES_SHOWN + 1)
    if not found:
        raise UnknownSubscription(f"There is no subscription {id_or_prefix}; `orchestrator subscriptions` lists all.")
    if len(found) > 1:
        raise SubscriptionError(_ambiguous(str(id_or_prefix), found))
    return found[0]


def find_subscription_id(id_or_prefix: str) -> UUID:
    """The id of `find_subscription`, which reads a whole line of a list for it; a whole id is found by its header."""
    first, last = _id_range(id_or_prefix)
    found = subscription_header(first) if first == last else find_subscription(id_or_prefix)
    return found.subscription_id


def find_subscription_named(name: str) -> SubscriptionLine:
    """The subscription that a user means: by id, by its first characters, by description, or by words of it.

    The first of these that fits exactly one: an id, or its beginning as `find_subscription` takes it; the exact
    description; a word at the end of the description; words of the subscription, as a search has them. Terminated ones
    count only when there are no others. Raises UnknownSubscription, and SubscriptionError with the candidates.
    """
    text = name.strip()
    if _is_id_prefix(text):
        try:
            return find_subscription(text)
        except UnknownSubscription:
            if len(text.replace("-", "")) == 32:
                raise
    description = sa.func.lower(SubscriptionTable.description)
    plain = SubscriptionTable.description == text
    last_word = description.endswith(f" {text.lower()}", autoescape=True)
    found = _living(plain) or _living(last_word) or _living(words_condition(text))
    if len(found) > 1:
        raise SubscriptionError(_several(f"'{text}' may be more than one subscription; give an id", found))
    if found:
        return found[0]
    raise UnknownSubscription(
        f"There is no subscription '{text}'; `orchestrator subscriptions` lists all. It is found by its "
        f"description, by words of it, or by the first {SHORTEST_PREFIX} or more characters of its id."
    )


def _living(condition: sa.ColumnElement[bool]) -> list[SubscriptionLine]:
    """The candidates, without terminated ones unless there are no others."""
    terminated = SubscriptionTable.status == SubscriptionLifecycle.TERMINATED.value
    found = list_subscriptions([condition], [terminated, SubscriptionTable.description], limit=CANDIDATES_SHOWN + 1)
    living = [one for one in found if one.status is not SubscriptionLifecycle.TERMINATED]
    return living or found


def find_product(name_or_id: str | UUID) -> ProductRecord:
    """A product by its name or its id.

    Raises UnknownProduct, which suggests products with similar names.
    """
    table = ProductTable
    identifier = _as_uuid(name_or_id)
    condition = table.name == name_or_id if identifier is None else table.product_id == identifier
    row = current_session().execute(sa.select(*PRODUCT_COLUMNS).where(condition)).one_or_none()
    if row is None:
        raise UnknownProduct(_unknown_product(str(name_or_id)))
    return ProductRecord(*row)


def get_product_by_id(product_id: str | UUID, join_fixed_inputs: bool = True) -> ProductRecord:
    """`find_product` as orchestrator-core calls it, but for an unknown id, which raises UnknownProduct."""
    return find_product(product_id)


def workflow_descriptions(names: Collection[str]) -> dict[str, str]:
    """The descriptions of workflows in the database, which people may edit."""
    workflow = WorkflowTable
    query = sa.select(workflow.name, workflow.description).where(workflow.name.in_(names))
    return {row.name: row.description for row in current_session().execute(query)}


def workflow_owner(name: str) -> str | None:
    """The code location that the catalogue has for a workflow; None when it has neither."""
    return current_session().scalar(sa.select(WorkflowTable.owner).where(WorkflowTable.name == name))


def _as_uuid(text: str | UUID) -> UUID | None:
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except ValueError:
        return None


def _id_range(prefix: str) -> tuple[UUID, UUID]:
    """The first and the last id with this beginning: a range, so that the primary key's index answers."""
    digits = _digits(prefix)
    if not _is_id_prefix(prefix):
        raise UnknownSubscription(
            f"'{prefix}' is not the id of a subscription; give the id or its first characters, "
            f"at least {SHORTEST_PREFIX} (0-9, a-f)."
        )
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _is_id_prefix(text: str) -> bool:
    digits = _digits(text)
    return SHORTEST_PREFIX <= len(digits) <= 32 and not set(digits) - set(hexdigits)


def _digits(prefix: str) -> str:
    return prefix.strip().lower().replace("-", "")


def _ambiguous(prefix: str, found: list[SubscriptionLine]) -> str:
    return _several(f"More than one subscription has an id that begins with {prefix}; give more of it", found)


def _several(sentence: str, found: list[SubscriptionLine]) -> str:
    listed = "".join(f"\n  {one.subscription_id}  {one.description}" for one in found[:CANDIDATES_SHOWN])
    more = "\n  …" if len(found) > CANDIDATES_SHOWN else ""
    return f"{sentence}:{listed}{more}"


def _unknown_product(wanted: str) -> str:
    names = list(current_session().scalars(sa.select(ProductTable.name).order_by(ProductTable.name)))
    lower = {name.lower(): name for name in names}
    near = get_close_matches(wanted.lower(), lower, n=3, cutoff=0.75)
    begun = [name for name in lower if wanted.strip() and name.startswith(wanted.strip().lower())]
    if alike := [lower[name] for name in dict.fromkeys((*near, *begun))][:CANDIDATES_SHOWN]:
        hint = f"did you mean {' or '.join(repr(name) for name in alike)}? All: `orchestrator catalogue show`."
    elif names:
        more = ", …" if len(names) > CANDIDATES_SHOWN else ""
        hint = f"there are {', '.join(repr(name) for name in names[:CANDIDATES_SHOWN])}{more}."
    else:
        hint = "the catalogue is empty; `orchestrator catalogue apply` fills it."
    return f"There is no product '{wanted}'; {hint}"
