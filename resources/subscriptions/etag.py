"""ETags of subscriptions: whether a subscription is unchanged since a client read it, without reading it all."""

import hashlib
import inspect
import sys
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from resources.database.session import current_session
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY, reachable_classes
from resources.errors import UnknownSubscription
from resources.settings import settings
from resources.subscriptions import views
from resources.types import SubscriptionId

# All rows of a view, and no column that it does not show: it shows `locked_by`, but not which subscription is
# validated next. The values of others' blocks count, so a new version of their owner that leaves
# them unchanged does not matter; the users of the blocks count, which change without a version.
# PostgreSQL overestimates a tree and would read whole tables for it: LATERAL with OFFSET 0 looks up each block.
_ROWS = sa.text(
    """
WITH RECURSIVE tree(id) AS (
    SELECT subscription_instance_id FROM subscription_instances WHERE subscription_id = :subscription_id
    UNION
    SELECT r.depends_on_id FROM tree, LATERAL (
        SELECT depends_on_id FROM subscription_instance_relations WHERE in_use_by_id = tree.id OFFSET 0
    ) AS r
)
SELECT p.name, md5(concat_ws(
    chr(30),
    ROW(s.customer_id, s.description, s.status, s.insync, s.start_date, s.end_date, s.note, s.version, s.locked_by,
        s.created_at)::text,
    ROW(p.*)::text,
    coalesce((SELECT m.metadata::text FROM subscription_metadata m WHERE m.subscription_id = s.subscription_id), ''),
    coalesce((SELECT string_agg(ROW(d.id, d.customer_id, d.description, d.version)::text, '' ORDER BY d.id)
              FROM subscription_customer_descriptions d WHERE d.subscription_id = s.subscription_id), ''),
    coalesce((SELECT string_agg(md5(ROW(i.*)::text), '' ORDER BY i.subscription_instance_id)
              FROM tree, LATERAL (
                  SELECT * FROM subscription_instances WHERE subscription_instance_id = tree.id OFFSET 0
              ) AS i), ''),
    coalesce((SELECT string_agg(ROW(r.*)::text, '' ORDER BY r.in_use_by_id, r.attribute, r.position)
              FROM tree, LATERAL (
                  SELECT * FROM subscription_instance_relations WHERE in_use_by_id = tree.id OFFSET 0
              ) AS r), ''),
    coalesce((SELECT string_agg(ROW(r.*)::text, '' ORDER BY r.in_use_by_id, r.attribute, r.position)
              FROM tree, LATERAL (
                  SELECT held.*, (
                      SELECT subscription_id FROM subscription_instances
                      WHERE subscription_instance_id = held.in_use_by_id
                  ) FROM subscription_instance_relations AS held WHERE held.depends_on_id = tree.id OFFSET 0
              ) AS r), '')
))
FROM subscriptions s JOIN products p USING (product_id) WHERE s.subscription_id = :subscription_id
"""
).bindparams(sa.bindparam("subscription_id", type_=sa.Uuid))


def view_mark(subscription_id: SubscriptionId, *, filter_owner_relations: bool) -> str:
    """A text that stays the same as long as the view of the subscription does, on every server.

    It is made from the rows, in the database, and from the source of the classes of the view. Raises
    UnknownSubscription.
    """
    row = current_session().execute(_ROWS, {"subscription_id": subscription_id}).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    product_name, rows = row
    known = settings()
    customer = (known.default_customer_identifier, known.default_customer_fullname, known.default_customer_shortcode)
    parts = (rows, _code(SUBSCRIPTION_MODEL_REGISTRY.get(product_name)), filter_owner_relations, customer)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


@cache
def _code(model: type[Any] | None) -> str:
    """The source of a family, of its blocks, and of the code that shows them."""
    classes = [] if model is None else [base for cls in reachable_classes(model) for base in inspect.getmro(cls)]
    names = {cls.__module__ for cls in classes} | {views.__name__}
    files = (getattr(sys.modules.get(name), "__file__", None) for name in sorted(names))
    digest = hashlib.sha256()
    for file in files:
        if file is not None and Path(file).is_file():
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()
