"""What was kept before searches knew fields is found after the migration."""

from uuid import UUID

import sqlalchemy as sa

from resources.database import schema
from resources.database.session import SubscriptionDatabase
from resources.subscriptions.customer_descriptions import create_customer_description
from resources.subscriptions.lists import find_subscriptions
from resources.subscriptions.metadata import write_metadata
from tests.test_resources.test_domain.domain import active_device

BEFORE = "0005"


def found(database: SubscriptionDatabase, search: str) -> list[UUID]:
    with database.transaction():
        return [line.subscription_id for line in find_subscriptions(search).lines]


def test_what_was_there_is_found_as_what_comes(database: SubscriptionDatabase) -> None:
    with database.transaction() as session:
        made = [active_device(f"ams{number}").subscription_id for number in range(3)]
        create_customer_description(made[1], "acme", "Zeppelin")
        write_metadata(made[2], {"rack": "R7"})
        session.execute(sa.text("UPDATE subscriptions SET search = NULL"))
    schema.downgrade(database, BEFORE)
    schema.upgrade(database)
    assert set(found(database, "hostname:ams")) == set(made)
    assert (found(database, "zeppelin"), found(database, "rack:r7")) == ([made[1]], [made[2]])
