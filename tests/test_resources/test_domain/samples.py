"""Models and rows that the tests of catalogue, queries and relations make on the spot."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import new_class
from typing import Any, ClassVar
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from resources.catalogue.catalogue import Product
from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    SubscriptionInstanceRelationTable,
    SubscriptionInstanceTable,
    SubscriptionTable,
    SubscriptionVersionTable,
)
from resources.domain.blocks import ProductBlockModel
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.domain.subscription_model import SubscriptionModel


@contextmanager
def registry_kept() -> Iterator[None]:
    """Put the models that are registered by name back as they were."""
    before = dict(SUBSCRIPTION_MODEL_REGISTRY)
    try:
        yield
    finally:
        SUBSCRIPTION_MODEL_REGISTRY.clear()
        SUBSCRIPTION_MODEL_REGISTRY.update(before)


def block(block_name: str, /, fields: Mapping[str, Any], **attributes: Any) -> type[ProductBlockModel]:
    """A block class; a field is its annotation, or (annotation, default)."""
    body = _body(fields, attributes, f"{block_name} of the tests.")
    return new_class(f"{block_name}Block", (ProductBlockModel,), {"product_block_name": block_name}, body.update_into)


def model(name: str, /, fields: Mapping[str, Any]) -> type[SubscriptionModel]:
    """A subscription class; a field is its annotation, or (annotation, default)."""
    return new_class(name, (SubscriptionModel,), {"is_base": True}, _body(fields, {}, name).update_into)


class _body:  # noqa: N801
    def __init__(self, fields: Mapping[str, Any], attributes: Mapping[str, Any], doc: str) -> None:
        pairs = {name: value if isinstance(value, tuple) else (value,) for name, value in fields.items()}
        self._namespace = {
            "__module__": __name__,
            "__doc__": doc,
            "__annotations__": {
                **{name: pair[0] for name, pair in pairs.items()},
                **dict.fromkeys(attributes, ClassVar[str]),
            },
            **{name: pair[1] for name, pair in pairs.items() if len(pair) > 1},
            **attributes,
        }

    def update_into(self, namespace: dict[str, Any]) -> None:
        namespace.update(self._namespace)


def product(of: type[SubscriptionModel], name: str = "Node", **changes: Any) -> Product:
    """A product with the usual words."""
    words = {"tag": "NODE", "product_type": "Node", "description": f"{name} of the tests"}
    return Product(name=name, model=of, **{**words, **changes})


def subscribe(
    product_id: UUID,
    description: str = "A subscription",
    *,
    status: str = "active",
    insync: bool = True,
    customer_id: str = "acme",
    subscription_id: UUID | None = None,
    **blocks: Mapping[str, Any],
) -> UUID:
    """Write a subscription with root blocks `Name={values}`, their document and one version."""
    session = current_session()
    subscription_id = subscription_id or uuid4()
    keys = {name: str(uuid4()) for name in blocks}
    root = {
        name.lower(): {"name": name, "subscription_instance_id": keys[name], **values}
        for name, values in blocks.items()
    }
    session.add(
        SubscriptionTable(
            subscription_id=subscription_id,
            product_id=product_id,
            customer_id=customer_id,
            description=description,
            status=status,
            insync=insync,
            document=root,
            search=None,
        )
    )
    session.flush()
    session.add(SubscriptionVersionTable(subscription_id=subscription_id, version=1, document=root))
    for name, values in blocks.items():
        add_block(subscription_id, name, values, UUID(keys[name]))
    session.flush()
    return subscription_id


def add_block(subscription_id: UUID, name: str, values: Mapping[str, Any], identifier: UUID | None = None) -> UUID:
    """Write one block of a subscription."""
    identifier = identifier or uuid4()
    current_session().add(
        SubscriptionInstanceTable(
            subscription_instance_id=identifier,
            subscription_id=subscription_id,
            product_block=name,
            values=dict(values),
        )
    )
    current_session().flush()
    return identifier


def hold(user: UUID, used: UUID) -> None:
    """Let a new block of subscription `user` hold a new block of subscription `used`."""
    holder, held = add_block(user, "Holder", {}), add_block(used, "Held", {})
    current_session().add(
        SubscriptionInstanceRelationTable(in_use_by_id=holder, attribute="held", position=0, depends_on_id=held)
    )
    current_session().flush()


def process(workflow_id: UUID, *subscriptions: UUID, status: str = "running") -> UUID:
    """Write a process that has touched these subscriptions."""
    session = current_session()
    identifier = uuid4()
    session.add(ProcessTable(process_id=identifier, workflow_id=workflow_id, last_status=status, step_keys=[]))
    session.flush()
    for subscription_id in subscriptions:
        session.add(ProcessSubscriptionTable(process_id=identifier, subscription_id=subscription_id))
    session.flush()
    return identifier


def stored_values(session: Session, subscription_id: UUID) -> list[dict[str, Any]]:
    """The values of a subscription's blocks as they are in the database now."""
    session.expire_all()
    rows = session.query(SubscriptionInstanceTable).filter_by(subscription_id=subscription_id)
    return [row.values for row in rows]


def documents(table: type[SubscriptionTable] | type[SubscriptionVersionTable]) -> list[dict[str, dict[str, Any]]]:
    """The root blocks in the documents of a table, without their ids."""
    return [_blocks_of(document) for document in current_session().scalars(sa.select(table.document))]


def _blocks_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        key: {name: value for name, value in block.items() if name != "subscription_instance_id"}
        for key, block in document.items()
    }
