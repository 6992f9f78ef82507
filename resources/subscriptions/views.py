"""The whole subscription for clients: its model with all blocks, their users, and what belongs to it."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError

from resources.database.session import current_session
from resources.database.typed_sql import UUIDS, sql
from resources.domain.models.block_model import BlockModel
from resources.domain.models.declaration import DomainModel
from resources.domain.saving.documents import ID, OWNER, Document, is_block, is_block_list
from resources.domain.saving.rows_from_models import held_blocks, shown_values
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import OrchestratorError, UnknownSubscription
from resources.subscriptions.customer_descriptions import customer_descriptions
from resources.subscriptions.lists import SubscriptionLine, subscription_line
from resources.types import SubscriptionId

NOT_OF_THE_MODEL = (
    "subscription_id",
    "customer_id",
    "description",
    "status",
    "start_date",
    "end_date",
    "note",
    "product",
)

View = dict[str, Any]
"""JSON, except for ids and moments in the header and in the customers' descriptions."""


def subscription_view(subscription_id: SubscriptionId, *, filter_owner_relations: bool = True) -> View:
    """The whole subscription: header, product, fixed inputs, its blocks with those of others below, all secrets masked.

    Each block has `in_use_by_ids` and `in_use_by_relations`; with `filter_owner_relations` only those of other owners.
    A subscription that fits no model of the code is shown as it was last saved, with a `warning` that gives the reason.
    Raises UnknownSubscription.
    """
    line = subscription_line(subscription_id)
    try:
        fields = _of_model(SubscriptionModel.from_subscription(subscription_id))
    except UnknownSubscription:
        raise
    except (OrchestratorError, ValidationError) as error:
        fields = {**_of_documents(subscription_id), "warning": _warning(line, error)}
    _show_users(fields, filter_owner_relations)
    return {
        **_header(line),
        "customer_descriptions": [asdict(one) for one in customer_descriptions(subscription_id)],
        **fields,
    }


def _header(line: SubscriptionLine) -> View:
    shown = asdict(line)
    del shown["product"]["fixed_inputs"], shown["product"]["owner"]  # the inputs are in the subscription itself
    del shown["last_validated"], shown["validation_result"]  # of which a validation alone would make another view
    return {"subscription_id": shown.pop("subscription_id"), "product": shown.pop("product"), **shown}


def _warning(line: SubscriptionLine, error: Exception) -> str:
    reason = str(error) if isinstance(error, OrchestratorError) else "stored values do not fit the model of the code"
    return f"This is {line.product.name!r} as it was last saved, because it fits no model: {reason}"


# --- from the model ---


def _of_model(model: SubscriptionModel) -> Document:
    return {**_values(model), **_blocks(model)}


def _values(model: DomainModel) -> Document:
    """Stored values, and computed fields of the class."""
    values = shown_values(model)
    if computed := set(type(model).model_computed_fields):
        values |= model.model_dump(mode="json", include=computed)
    return values


def _blocks(holder: DomainModel) -> Document:
    found: Document = {}
    for field in holder.block_fields().values():
        blocks = [_block(block) for _, block in held_blocks(holder, field)]
        found[field.name] = blocks if field.is_list else (blocks[0] if blocks else None)
    return found


def _block(block: BlockModel) -> Document:
    return {
        "name": block.name,
        ID: str(block.subscription_instance_id),
        OWNER: str(block.owner_subscription_id),
        "label": block.label or None,
        **_values(block),
        **_blocks(block),
    }


# --- from what was saved ---

_DOCUMENTS = sa.text(
    """
WITH RECURSIVE tree(id) AS (
    SELECT subscription_instance_id FROM subscription_instances WHERE subscription_id = :subscription_id
    UNION
    SELECT r.depends_on_id FROM tree, LATERAL (
        SELECT depends_on_id FROM subscription_instance_relations WHERE in_use_by_id = tree.id OFFSET 0
    ) AS r
)
SELECT s.subscription_id, s.document FROM (
    SELECT (SELECT subscription_id FROM subscription_instances WHERE subscription_instance_id = tree.id) FROM tree
    UNION SELECT :subscription_id
) AS wanted JOIN subscriptions s USING (subscription_id)
"""
).bindparams(sa.bindparam("subscription_id", type_=sa.Uuid))


def _of_documents(subscription_id: SubscriptionId) -> Document:
    """The document, with the blocks of others instead of the references to them."""
    rows = current_session().execute(_DOCUMENTS, {"subscription_id": subscription_id})
    documents: Mapping[UUID, Document] = {row.subscription_id: row.document for row in rows}
    known = {block[ID]: block for document in documents.values() for block in _all_blocks(document) if "name" in block}
    own = {key: value for key, value in documents[subscription_id].items() if key not in NOT_OF_THE_MODEL}
    filled: Document = _filled(own, known, frozenset())
    return filled


def _filled(value: Any, known: Mapping[str, Document], within: frozenset[str]) -> Any:
    """Fill in references. Subscriptions may use each other's blocks: a block within itself stays a reference."""
    if is_block(value):
        key = value[ID]
        whole = known.get(key, value) if key not in within else {name: value[name] for name in (ID, OWNER)}
        return {name: _filled(held, known, within | {key}) for name, held in whole.items()}
    if is_block_list(value):
        return [_filled(each, known, within) for each in value]
    if isinstance(value, dict) and not within:
        return {name: _filled(held, known, within) for name, held in value.items()}
    return value


# --- who uses the blocks ---


# As text, for nothing here is done with ids but to show them.
_USERS = sql(
    """
SELECT r.depends_on_id::text, i.subscription_instance_id::text, i.subscription_id::text
FROM subscription_instance_relations r
JOIN subscription_instances i ON i.subscription_instance_id = r.in_use_by_id
WHERE r.depends_on_id = ANY(:blocks)
ORDER BY r.attribute, r.position, i.subscription_instance_id
""",
    blocks=UUIDS,
)


def _show_users(fields: Document, filter_owner_relations: bool) -> None:
    blocks = list(_all_blocks(fields))
    users: dict[str, list[Document]] = {block[ID]: [] for block in blocks}
    for of, user, owner in current_session().connection().execute(_USERS, {"blocks": [*map(UUID, users)]}):
        users[of].append({ID: user, "subscription_id": owner})
    for block in blocks:
        without = block[OWNER] if filter_owner_relations else None
        using = [user for user in users[block[ID]] if user["subscription_id"] != without]
        block["in_use_by_ids"] = [user[ID] for user in using]
        block["in_use_by_relations"] = using


def _all_blocks(holder: Document) -> Iterator[Document]:
    for value in holder.values():
        for block in value if is_block_list(value) else [value] if is_block(value) else []:
            yield block
            yield from _all_blocks(block)
