"""The blocks of a page of subscriptions, typed or flat, without secrets: all rows in one statement.

Models are made only where a computed field is selected, and a block once, however many hold it.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import ValidationError
from pydantic_core import from_json, to_jsonable_python

from resources.database.session import current_session
from resources.database.tables import SubscriptionInstanceTable, SubscriptionTable
from resources.database.typed_sql import UUIDS, sql
from resources.domain.models.block_model import BlockModel, resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import BlockField, PlainField
from resources.domain.models.lifecycle import class_for
from resources.domain.models.shapes import base_of, camel, shape_of
from resources.domain.saving.models_from_rows import Assembler
from resources.domain.saving.records import BlockRecord, Blocks
from resources.errors import OrchestratorError
from resources.pages.selection import Line, Selection, Unreadable
from resources.secrecy import MASK
from resources.types import SubscriptionLifecycle

log = logging.getLogger(__name__)

# LATERAL with OFFSET 0 keeps the planner at the index for many ids, where a plain join reads whole tables.
_TREES = """
WITH RECURSIVE tree(id) AS (
    SELECT subscription_instance_id FROM subscription_instances WHERE {root} = ANY(:ids)
    UNION
    SELECT r.depends_on_id FROM tree, LATERAL (
        SELECT depends_on_id FROM subscription_instance_relations WHERE in_use_by_id = tree.id OFFSET 0) AS r
)
SELECT (SELECT coalesce(json_agg(json_build_array(
            i.subscription_instance_id, i.subscription_id, i.product_block, i.label, i.values, i.attribute, i.position
        )), '[]') FROM tree, LATERAL (
            SELECT * FROM subscription_instances WHERE subscription_instance_id = tree.id OFFSET 0) AS i)::text,
       (SELECT coalesce(json_agg(json_build_array(r.in_use_by_id, r.attribute, r.position, r.depends_on_id)), '[]')
        FROM tree, LATERAL (
            SELECT * FROM subscription_instance_relations WHERE in_use_by_id = tree.id OFFSET 0) AS r)::text,
       {users}::text, {owners}::text
"""
_USERS = """
    (SELECT coalesce(json_agg(json_build_array(tree.id, u.in_use_by_id, u.subscription_id)
             ORDER BY u.in_use_by_id), '[]') FROM tree, LATERAL (
        SELECT DISTINCT r.in_use_by_id, b.subscription_id FROM subscription_instance_relations r
        JOIN subscription_instances b ON b.subscription_instance_id = r.in_use_by_id
        WHERE r.depends_on_id = tree.id OFFSET 0) AS u)
"""
_OWNERS = """
    (SELECT coalesce(json_agg(json_build_array(s.subscription_id, s.description)), '[]') FROM (
        SELECT DISTINCT i.subscription_id FROM tree, LATERAL (
            SELECT subscription_id FROM subscription_instances WHERE subscription_instance_id = tree.id OFFSET 0) AS i
        ) AS o, LATERAL (
        SELECT subscription_id, description FROM subscriptions WHERE subscription_id = o.subscription_id OFFSET 0) AS s)
"""
NONE = "'[]'::json"
FLAT = "productBlockInstances"


class _Forest(Blocks):
    """The blocks of many subscriptions; those at a root lie under the id of their subscription."""

    held: dict[tuple[UUID | None, str], list[UUID]]

    def held_by(self, holder: UUID | None, attribute: str) -> list[UUID]:
        """The blocks in one field, in order."""
        return self.held.get((holder, attribute), [])


class BlockPages:
    """The blocks that some subscriptions reach."""

    def __init__(self, subscription_ids: Collection[UUID]) -> None:
        self.ids = list(subscription_ids)
        self._readers: dict[SubscriptionLifecycle, _Reader] = {}

    def add(self, lines: Sequence[Line], selection: Selection, models: Mapping[str, type[DomainModel]]) -> None:
        """Lay the selected blocks into lines; an error where a line does not fit its model."""
        flat = selection.under(FLAT)
        self._read(with_users="inUseByRelations" in flat, with_owners="subscription" in flat)
        for line in lines:
            status, model = SubscriptionLifecycle(line["_status"]), models.get(line["_product"])
            reader = self._reader(status)
            if FLAT in selection:
                line[FLAT] = [] if model is None else _or_error(reader.flat, model, line, flat)
            if model is None:
                continue
            cls, shape = class_for(model, status), shape_of(base_of(model))
            for name, field in shape.blocks.items():
                if name in selection:
                    own = cls.block_fields().get(field.name)
                    line[name] = _or_error(reader.field, own, line["_id"], selection.under(name))

    def by_id(self, selection: Selection, bases: Mapping[str, type[BlockModel]]) -> dict[UUID, Line]:
        """The blocks whose ids these are, without their subscriptions; `bases` are the first classes by block name."""
        self._read(with_users=False, with_owners=False, root="subscription_instance_id")
        table = SubscriptionInstanceTable
        query = sa.select(table.subscription_instance_id, table.product_block, SubscriptionTable.status)
        query = query.join(SubscriptionTable, SubscriptionTable.subscription_id == table.subscription_id)
        found: dict[UUID, Line] = {}
        for key, name, kept in current_session().execute(query.where(table.subscription_instance_id.in_(self.ids))):
            if (base := bases.get(name)) is not None:
                reader = self._reader(SubscriptionLifecycle(kept))
                found[key] = reader.block(class_for(base, reader.status), key, selection)
        return found

    def _reader(self, status: SubscriptionLifecycle) -> "_Reader":
        if status not in self._readers:
            self._readers[status] = _Reader(self, status)
        return self._readers[status]

    def _read(self, *, with_users: bool, with_owners: bool, root: str = "subscription_id") -> None:
        text = _TREES.format(root=root, users=_USERS if with_users else NONE, owners=_OWNERS if with_owners else NONE)
        # As text, for pydantic-core reads JSON twice as fast as the driver does.
        found = [from_json(one) for one in current_session().execute(sql(text, ids=UUIDS), {"ids": self.ids}).one()]
        records, places, uuid = {}, [], cache(UUID)  # each id comes several times
        for key, owner, name, label, values, attribute, position in found[0]:
            record = BlockRecord(uuid(key), uuid(owner), name, label, values)
            records[record.subscription_instance_id] = record
            if attribute is not None:
                places.append((position, record.subscription_id, attribute, record.subscription_instance_id))
        places += [(position, uuid(holder), attribute, uuid(held)) for holder, attribute, position, held in found[1]]
        held = defaultdict(list)
        for _, holder, attribute, key in sorted(places, key=lambda each: each[0]):
            held[holder, attribute].append(key)
        self.forest = _Forest(records)
        object.__setattr__(self.forest, "held", held)
        self.users: dict[str, list[Line]] = defaultdict(list)
        for key, user, owner in found[2]:
            self.users[key].append({"subscription_instance_id": user, "subscription_id": owner})
        self.owners = dict(found[3])


class _Reader:
    """Reads blocks as a status has them."""

    def __init__(self, pages: BlockPages, status: SubscriptionLifecycle) -> None:
        self.pages, self.forest, self.status = pages, pages.forest, status
        self.assembler = Assembler(pages.forest, status)
        self._classes: dict[tuple[BlockField, str], type[BlockModel]] = {}

    def field(self, field: BlockField | None, holder: UUID, selection: Selection) -> Any:
        """The blocks of a field; None when the class for the status has no such field."""
        if field is None:
            return None
        keys = self.forest.held_by(holder, field.name)
        blocks = [self.block(self._class(field, self.forest.records[key]), key, selection) for key in keys]
        return blocks if field.is_list else (blocks[0] if blocks else None)

    def block(self, cls: type[BlockModel], key: UUID, selection: Selection) -> Line:
        """What is selected of a block."""
        record = self.forest.records[key]
        shape = shape_of(base_of(cls))
        line: Line = {
            "_base": base_of(cls),
            "subscriptionInstanceId": str(key),
            "ownerSubscriptionId": str(record.subscription_id),
            "name": record.product_block,
            "label": record.label,
        }
        for name in selection.below:
            if name in shape.values:
                line[name] = _stored(cls.plain_fields().get(shape.values[name][0]), record)
            elif name in shape.blocks:
                inner = cls.block_fields().get(shape.blocks[name].name)
                line[name] = _or_error(self.field, inner, key, selection.under(name))
            elif name in shape.computed:
                line[name] = _or_error(self._computed, cls, key, shape.computed[name][0])
        return line

    def _computed(self, cls: type[BlockModel], key: UUID, name: str) -> Any:
        if name not in cls.model_computed_fields:
            return None
        return to_jsonable_python(getattr(self.assembler.block(cls, key), name), fallback=str)

    def _class(self, field: BlockField, record: BlockRecord) -> type[BlockModel]:
        if (known := self._classes.get((field, record.product_block))) is not None:
            return known
        cls = resolve(field.types, record.product_block, self.status)
        if cls is None:
            raise Unreadable(
                f"{field.name} of subscription {record.subscription_id} holds a block {record.product_block} "
                f"({record.subscription_instance_id}); the class expects {field.expected}."
            )
        self._classes[field, record.product_block] = cls
        return cls

    def flat(self, model: type[DomainModel], line: Line, selection: Selection) -> list[Line]:
        """All blocks below a subscription: a parent before its children, and a block under each that holds it."""
        found: list[Line] = []
        values = "productBlockInstanceValues" in selection

        def walk(holder_class: type[DomainModel], holder: UUID, parent: int | None, path: tuple[UUID, ...]) -> None:
            for field in holder_class.block_fields().values():
                for key in self.forest.held_by(holder, field.name):
                    if key in path:
                        continue  # subscriptions may use each other's blocks
                    record = self.forest.records[key]
                    cls = self._class(field, record)
                    number = len(found)
                    found.append(self._flat_block(number, parent, record))
                    if values:
                        found[-1]["productBlockInstanceValues"] = _or_error(self._values, cls, record)
                    walk(cls, key, number, (*path, key))

        walk(class_for(model, self.status), line["_id"], None, ())
        return found

    def _flat_block(self, number: int, parent: int | None, record: BlockRecord) -> Line:
        key, owner = str(record.subscription_instance_id), str(record.subscription_id)
        return {
            "id": number,
            "parent": parent,
            "subscriptionInstanceId": key,
            "ownerSubscriptionId": owner,
            "subscription": {"subscriptionId": owner, "description": self.pages.owners.get(owner), "_product": None},
            "inUseByRelations": self.pages.users.get(key, []),
        }

    def _values(self, cls: type[BlockModel], record: BlockRecord) -> list[Line]:
        """Name, label and values as fields, then what is computed of them."""
        values = {"name": record.product_block, "label": record.label}
        values |= {camel(field.name): _stored(field, record) for field in cls.plain_fields().values()}
        if cls.model_computed_fields:
            model = self.assembler.block(cls, record.subscription_instance_id)
            computed = model.model_dump(mode="json", include=set(cls.model_computed_fields))
            values |= {camel(name): value for name, value in computed.items()}
        return [{"field": name, "value": value} for name, value in values.items()]


def _stored(field: PlainField | None, record: BlockRecord) -> Any:
    """A value as JSON, masked if it is secret; what it means when it is missing."""
    if field is None:
        return None
    missing = None if field.absent is ... else to_jsonable_python(field.absent, fallback=str)
    value = record.values.get(field.name, missing)
    return MASK if field.is_secret and value is not None else value


def _or_error(read: Callable[..., Any], *arguments: Any) -> Any:
    """What is read, or in its place why it cannot be: stored values may not fit the classes of the code any more."""
    try:
        return read(*arguments)
    except sa.exc.SQLAlchemyError:
        raise
    except OrchestratorError as error:
        return error
    except ValidationError as error:
        return Unreadable(f"Stored values do not fit the model. {' '.join(getattr(error, '__notes__', ()))}")
    except Exception as error:  # a computed field is an organisation's code, which may raise anything
        log.warning("A computed field of a block fails.", exc_info=error)
        return Unreadable(f"A computed field fails with {type(error).__name__}; the server's log says where.")
