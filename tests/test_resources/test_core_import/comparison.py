"""Compares a database of orchestrator-core with ours, value for value; it uses nothing of the importer.

One side is plain SQL on the tables of orchestrator-core, read as its documentation says: a value is a text, a list is
several rows that are shown in the order of their texts, a block is under the attribute of its relation. The other side
is what people see of ours: the models that `SubscriptionModel.from_subscription` loads, and the states of processes as
the ledger adds them up. Texts are compared: a value of ours is written with `str`, as orchestrator-core stores it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import sqlalchemy as sa
from psycopg.rows import dict_row

from orchestrator_defs.testing import Testbed
from resources.database.session import current_session
from resources.domain.subscription_model import SubscriptionModel
from resources.processes.ledger import steps_of
from resources.subscriptions.metadata import read_metadata

HEADER = ("customer_id", "description", "status", "insync", "start_date", "end_date", "note")
BLOCK_FACTS = {"name", "label", "subscription_instance_id", "owner_subscription_id"}
OURS = """
SELECT p.process_id, w.name AS workflow, p.is_task, p.last_status, p.last_step, p.started_at, p.last_modified_at,
       p.failed_reason, p.traceback, p.created_by, p.note, p.assignee
FROM processes p JOIN workflows w USING (workflow_id) ORDER BY 1
"""
THEIRS = OURS.replace("p.process_id,", "p.pid AS process_id,")

Blocks = dict[UUID, dict[str, Any]]


def rows(core: psycopg.Connection, query: str, *arguments: Any) -> list[dict[str, Any]]:
    with core.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), arguments).fetchall()


def their_blocks(core: psycopg.Connection) -> Blocks:
    """Every block with its owner, kind, label, values as sorted texts, and the ids of what it holds."""
    found: Blocks = {}
    query = "SELECT i.*, b.name FROM subscription_instances i JOIN product_blocks b USING (product_block_id)"
    for row in rows(core, query):
        facts = {"owner": row["subscription_id"], "name": row["name"], "label": row["label"] or None}
        found[row["subscription_instance_id"]] = {**facts, "values": defaultdict(list), "holds": defaultdict(list)}
    query = (
        "SELECT v.*, t.resource_type FROM subscription_instance_values v JOIN resource_types t USING (resource_type_id)"
    )
    query += " ORDER BY v.value"
    for row in rows(core, query):
        found[row["subscription_instance_id"]]["values"][row["resource_type"]].append(row["value"])
    for row in rows(core, "SELECT * FROM subscription_instance_relations ORDER BY order_id"):
        found[row["in_use_by_id"]]["holds"][row["domain_model_attr"]].append(row["depends_on_id"])
    return found


def our_blocks(model: SubscriptionModel) -> Blocks:
    """The same of a loaded model, with the blocks of others that it shows."""
    found: Blocks = {}

    def walk(block: Any) -> None:
        values: dict[str, list[str]] = {}
        holds: dict[str, list[UUID]] = {}
        for name in type(block).model_fields.keys() - BLOCK_FACTS:
            value = getattr(block, name)
            parts = value if isinstance(value, list) else [] if value is None else [value]
            if parts and hasattr(parts[0], "subscription_instance_id"):
                holds[name] = [part.subscription_instance_id for part in parts]
                for part in parts:
                    walk(part)
            elif parts:
                values[name] = [str(part) for part in parts]
        facts = {"owner": block.owner_subscription_id, "name": block.name, "label": block.label}
        found[block.subscription_instance_id] = {**facts, "values": values, "holds": holds}

    for name in type(model).model_fields:
        value = getattr(model, name)
        for block in value if isinstance(value, list) else [value]:
            if hasattr(block, "subscription_instance_id"):
                walk(block)
    return found


def subscription_differences(bed: Testbed, core: psycopg.Connection, left_out: Iterable[UUID]) -> Iterator[str]:
    """Where a subscription that should be here is not as it is there."""
    blocks = their_blocks(core)
    own = defaultdict(set)
    for key, block in blocks.items():
        own[block["owner"]].add(key)
    query = "SELECT s.*, p.name AS product FROM subscriptions s JOIN products p USING (product_id)"
    inputs = defaultdict(dict)
    for row in rows(core, "SELECT p.name AS product, f.* FROM fixed_inputs f JOIN products p USING (product_id)"):
        inputs[row["product"]][row["name"]] = row["value"]
    metadata = {row["subscription_id"]: row["metadata"] for row in rows(core, "SELECT * FROM subscription_metadata")}
    missing = set(left_out)
    for row in rows(core, query):
        key = row["subscription_id"]
        if key in missing:
            continue
        model = SubscriptionModel.from_subscription(key)
        ours = {name: getattr(model, name) for name in HEADER} | {"product": model.product.name}
        ours |= {name: str(getattr(model, name)) for name in inputs[row["product"]]}
        theirs = {name: row[name] for name in (*HEADER, "product")} | inputs[row["product"]]
        yield from _differences(f"subscription {key}", theirs, ours)
        loaded = our_blocks(model)
        if own[key] != {one for one, block in loaded.items() if block["owner"] == key}:
            yield f"subscription {key}: its blocks are {own[key]} there and {loaded.keys()} here"
        for one, block in loaded.items():
            yield from _differences(f"block {one} of subscription {key}", _plain(blocks[one]), block)
        if read_metadata(key) != metadata.get(key, {}):
            yield f"subscription {key}: metadata"


def description_differences(core: psycopg.Connection) -> Iterator[str]:
    """Where the customers' descriptions are not as they are there."""
    query = "SELECT id, subscription_id, customer_id, description, version, created_at"
    query += " FROM subscription_customer_descriptions ORDER BY id"
    theirs = {row.pop("id"): row for row in rows(core, query)}
    ours = {row["id"]: {**row} for row in current_session().execute(sa.text(query)).mappings()}
    for key, row in theirs.items():
        yield from _differences(f"description {key}", {"id": key, **row}, ours.get(key, {}))
    if theirs.keys() != ours.keys():
        yield "the descriptions are others"


def process_differences(core: psycopg.Connection, unfinished: Iterable[UUID], missing: Iterable[UUID]) -> Iterator[str]:
    """Where a process is not as it is there; of unfinished ones status and reason differ by intention.

    `missing` are the subscriptions that are not here, and have no links.
    """
    ended, gone = set(unfinished), set(missing)
    ours = {row["process_id"]: dict(row) for row in current_session().execute(sa.text(OURS)).mappings()}
    theirs = {row["process_id"]: row for row in rows(core, THEIRS)}
    if ours.keys() != theirs.keys():
        yield "the processes are others"
    for key, row in theirs.items():
        here = dict(ours[key])
        if key in ended:
            if here.pop("last_status") != "aborted" or (row["failed_reason"] or "") not in here.pop("failed_reason"):
                yield f"process {key} is not aborted"
            row = {name: value for name, value in row.items() if name not in ("last_status", "failed_reason")}
        yield from _differences(f"process {key}", row, here)
        yield from _step_differences(core, key)
    links = "SELECT DISTINCT {} AS process, subscription_id FROM processes_subscriptions"
    there = {(row["process"], row["subscription_id"]) for row in rows(core, links.format("pid"))}
    there = {link for link in there if link[1] not in gone}
    if there != {tuple(row) for row in current_session().execute(sa.text(links.format("process_id")))}:
        yield "the links of processes to subscriptions are others"


def _step_differences(core: psycopg.Connection, key: UUID) -> Iterator[str]:
    query = "SELECT * FROM process_steps WHERE pid = %s ORDER BY completed_at"
    theirs, ours = rows(core, query, key), steps_of(key)
    if len(theirs) != len(ours):
        yield f"process {key} has {len(theirs)} steps there and {len(ours)} here"
    state: dict[str, Any] = {}
    for there, here in zip(theirs, ours, strict=False):
        state = {name: value for name, value in state.items() if name not in here.removed} | here.set
        facts = {"step_id": here.step_id, "name": here.name, "status": here.status, "created_by": here.created_by}
        facts |= {"started": here.started_at, "completed": here.finished_at, "state": here.error or state}
        wanted = {"step_id": there["stepid"], "started": there["started_at"], "completed": there["completed_at"]}
        wanted |= {name: there[name] for name in ("name", "status", "created_by", "state")}
        yield from _differences(f"step {there['name']} of process {key}", wanted, facts)


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    # JSON in PostgreSQL has no negative zero.
    values = {name: [text if text != "-0.0" else "0.0" for text in texts] for name, texts in block["values"].items()}
    return {**block, "values": values, "holds": dict(block["holds"])}


def _differences(what: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[str]:
    for name in theirs.keys() | ours.keys():
        there, here = theirs.get(name), ours.get(name)
        if isinstance(there, datetime) and isinstance(here, datetime):
            there, here = there.timestamp(), here.timestamp()
        if isinstance(there, dict) and isinstance(here, dict) and there != here:
            yield from _differences(f"{what}: {name}", there, here)
        elif there != here:
            yield f"{what}: {name} is {there!r} there and {here!r} here"
