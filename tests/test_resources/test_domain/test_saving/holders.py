"""A subscription that lives on the blocks of others, and a look at what the database holds."""

import threading
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from resources.database.session import StatementCount, SubscriptionDatabase, current_session
from resources.database.tables import SubscriptionInstanceTable, SubscriptionTable
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from tests.test_resources.test_domain.domain import CUSTOMER, DeviceBlockInactive, SocketBlockInactive, add_product


def stored(subscription: SubscriptionModel) -> dict[str, Any]:
    """The columns of a subscription."""
    table = SubscriptionTable.__table__
    found = current_session().execute(sa.select(table).where(table.c.subscription_id == subscription.subscription_id))
    return dict(found.mappings().one())


def stored_blocks(subscription: SubscriptionModel) -> set[UUID]:
    table = SubscriptionInstanceTable
    return set(
        current_session().scalars(
            sa.select(table.subscription_instance_id).where(table.subscription_id == subscription.subscription_id)
        )
    )


def verbs(statements: StatementCount) -> list[str]:
    """What each statement did to what, in short."""
    return [" ".join(statement.split()[:3]) for statement in statements.statements]


class HolderBlock(ProductBlockModel, product_block_name="Persistence Holder"):
    """Holds what others own."""

    socket: SocketBlockInactive | None = None
    many: list[SocketBlockInactive]
    device: DeviceBlockInactive | None = None
    peer: "HolderBlock | None" = None
    peers: "list[HolderBlock]"


class DeviceUserInactive(SubscriptionModel, is_base=True):
    """A subscription that lives on others' blocks."""

    holder: HolderBlock
    second: HolderBlock | None = None


def saved_holder() -> DeviceUserInactive:
    made = DeviceUserInactive.from_product_id(add_product(f"holder {uuid4()}"), CUSTOMER)
    made.save()
    return made


def wait_for_a_blocked_writer(database: SubscriptionDatabase) -> None:
    blocked = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(400):
        with database.engine.connect() as connection:
            if connection.scalar(blocked):
                return
        threading.Event().wait(0.05)
    raise AssertionError("nobody waited")
