"""Renames and drops stored values of blocks, in all tables that have them, in a constant number of statements."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from resources.database.session import current_session
from resources.database.tables import SubscriptionInstanceTable, SubscriptionTable, SubscriptionVersionTable
from resources.database.typed_sql import sql

# Documents are trees of blocks, so the edit is recursive; a temporary function keeps it one statement per table.
# When a block has a value under its new name already, that one stays.
MAKE_FUNCTION = sa.text("""
CREATE OR REPLACE FUNCTION pg_temp.edit_values(node jsonb, edits jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    edit jsonb := CASE WHEN jsonb_typeof(node) = 'object' AND node ? 'subscription_instance_id'
                       THEN edits -> (node ->> 'name') END;
BEGIN
    IF jsonb_typeof(node) = 'array' THEN
        RETURN coalesce(
            (SELECT jsonb_agg(pg_temp.edit_values(item, edits) ORDER BY place)
               FROM jsonb_array_elements(node) WITH ORDINALITY AS items(item, place)),
            '[]');
    ELSIF jsonb_typeof(node) = 'object' THEN
        RETURN coalesce(edit -> 'filled', '{}') || coalesce(
            (SELECT jsonb_object_agg(
                        coalesce(edit -> 'renamed' ->> key, key),
                        CASE WHEN key = 'name' AND edit IS NOT NULL THEN edit -> 'name'
                             ELSE pg_temp.edit_values(value, edits) END
                        ORDER BY coalesce(edit -> 'renamed' ? key, false) DESC)
               FROM jsonb_each(node)
              WHERE NOT coalesce(edit -> 'dropped' ? key, false)),
            '{}');
    END IF;
    RETURN node;
END $$
""")
# Each changed document enters the index of searches anew: in small portions that takes a minute for 10,000, with their
# rows locked. In this transaction they pile up instead, and the next vacuum or save sorts them in.
MAKE_ROOM = sa.text("SELECT set_config('gin_pending_list_limit', '256MB', true), set_config('work_mem', '256MB', true)")
DROP_FUNCTION = sa.text("DROP FUNCTION pg_temp.edit_values(jsonb, jsonb)")
NO_SYNC = {"synchronize_session": False}
MENTIONS_A_BLOCK = "$.**.name ? (@ == $names[*])"
# A block that has both fields keeps both, as the code that wrote the old one may still run.
MOVE_RELATIONS = sql(
    """
UPDATE subscription_instance_relations r SET attribute = moved.new
FROM subscription_instances i, jsonb_each(:moved) AS b(block, names), jsonb_each_text(b.names) AS moved(old, new)
WHERE i.subscription_instance_id = r.in_use_by_id AND i.product_block = b.block AND r.attribute = moved.old
  AND NOT EXISTS (SELECT FROM subscription_instance_relations o
                  WHERE o.in_use_by_id = r.in_use_by_id AND o.attribute = moved.new)
""",
    moved=JSONB,
)
_RENAMED_KEYS = """
    SELECT jsonb_object_agg(coalesce(:moved -> ({product}) ->> key, key), value
                            ORDER BY coalesce(:moved -> ({product}) ? key, false) DESC)
    FROM jsonb_each({document})
"""
MOVE_ROOTS = tuple(
    sql(statement, moved=JSONB)
    for statement in (
        """
UPDATE subscription_instances i SET attribute = :moved -> (s.product_id::text) ->> i.attribute FROM subscriptions s
WHERE s.subscription_id = i.subscription_id AND :moved -> (s.product_id::text) ? i.attribute
""",
        "UPDATE subscriptions s SET document = ("
        + _RENAMED_KEYS.format(product="s.product_id::text", document="s.document")
        + ") WHERE :moved ? (s.product_id::text)",
        "UPDATE subscription_versions v SET document = ("
        + _RENAMED_KEYS.format(product="v.document #>> '{product,product_id}'", document="v.document")
        + ") WHERE :moved ? (v.document #>> '{product,product_id}')",
    )
)


def edit_root_fields(moved: Mapping[UUID, Mapping[str, str]]) -> None:
    """Rename the fields that hold the root blocks of products: (id -> former name -> name); the caller commits."""
    parameters = {"moved": {str(product): dict(names) for product, names in moved.items()}}
    for statement in (MAKE_ROOM, *MOVE_ROOTS) if moved else ():
        current_session().execute(statement, parameters if statement is not MAKE_ROOM else {})


@dataclass(frozen=True)
class BlockEdit:
    """The edit of all instances of a block: its new name, what is renamed (old -> new), values dropped, and those that
    an instance without them gets. `moved`: of what is renamed, the fields that hold blocks.
    """

    name: str
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Set[str] = frozenset()
    filled: Mapping[str, Any] = field(default_factory=dict)
    moved: Mapping[str, str] = field(default_factory=dict)


def edit_stored_values(edits: Mapping[str, BlockEdit]) -> None:
    """Apply the edits, by present block name, to instances, documents and past versions; the caller commits.

    Past versions keep their values and authors; only the names of values follow the code, so that `as_of` can still
    read them. No version is made, because no value changed.
    """
    if not edits:
        return
    session = current_session()
    wanted = sa.cast(
        {
            block: {
                "name": edit.name,
                "renamed": dict(edit.renamed),
                "dropped": sorted(edit.dropped),
                "filled": dict(edit.filled),
            }
            for block, edit in edits.items()
        },
        JSONB,
    )
    session.execute(MAKE_ROOM)
    session.execute(MAKE_FUNCTION)
    if moved := {block: dict(edit.moved) for block, edit in edits.items() if edit.moved}:
        session.execute(MOVE_RELATIONS, {"moved": moved})
    _edit_instances(wanted, list(edits))
    for table in (SubscriptionTable, SubscriptionVersionTable):
        names = sa.cast({"names": list(edits)}, JSONB)
        mentioned = sa.func.jsonb_path_exists(table.document, sa.cast(MENTIONS_A_BLOCK, JSONPATH), names)
        edited = sa.func.pg_temp.edit_values(table.document, wanted)
        session.execute(sa.update(table).where(mentioned).values(document=edited), execution_options=NO_SYNC)
    session.execute(DROP_FUNCTION)


def _edit_instances(wanted: sa.ColumnElement[object], blocks: list[str]) -> None:
    instance = SubscriptionInstanceTable
    name, key = "name", "subscription_instance_id"
    identity = sa.func.jsonb_build_object(name, instance.product_block, key, instance.subscription_instance_id)
    edited = sa.func.pg_temp.edit_values(instance.values.concat(identity), wanted, type_=JSONB)
    values = edited.op("-")(sa.cast([name, key], ARRAY(sa.Text)))
    new_name = sa.cast(wanted, JSONB)[instance.product_block]["name"].astext
    update = sa.update(instance).where(instance.product_block.in_(blocks))
    current_session().execute(update.values(values=values, product_block=new_name), execution_options=NO_SYNC)
