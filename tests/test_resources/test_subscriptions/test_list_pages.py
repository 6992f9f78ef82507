"""A page of subscriptions costs what it shows, not what its offset skips or its table holds."""

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProductTable
from resources.subscriptions.lists import list_subscriptions
from tests.test_resources.test_domain.domain import active_device, add_product
from tests.test_resources.test_subscriptions.test_lists import plans

MANY = """
INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync, start_date, document)
SELECT gen_random_uuid(), product_id, 'customer ' || number % 200, 'Device ' || number,
       (ARRAY['active', 'active', 'provisioning', 'terminated'])[1 + number % 4], number % 50 > 0,
       now() - number * interval '1 hour', jsonb_build_object('long', repeat(md5(number::text), 40))
FROM subscriptions, generate_series(1, 4000) AS number
"""


@pytest.fixture
def wide(own_database: SubscriptionDatabase) -> SubscriptionDatabase:
    """Some thousand subscriptions, whose rows are as wide as those of real ones."""
    with own_database.transaction() as session:
        # Else VACUUM, some milliseconds later, would not yet take the rows for committed.
        session.execute(text("SET LOCAL synchronous_commit = on"))
        active_device()
        session.execute(text(MANY))
    with own_database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE subscriptions"))
    return own_database


def test_no_whole_row_is_read_to_filter_to_sort_and_to_count(wide: SubscriptionDatabase) -> None:
    status, product = ("status", "active-provisioning"), ("productTag", "test")
    asked = [
        ([], ("startDate", "desc")),
        ([status], ("startDate", "desc")),
        ([status, product], ("startDate", "desc")),
        ([], ("status", "asc")),
        ([status], ("endDate", "desc")),
        ([], ("productName", "asc")),
    ]
    for filters, sort in asked:
        with wide.transaction(read_only=True):
            plan = plans("", filters, [sort])
        scans = [line for line in plan.splitlines() if "on subscriptions" in line]
        # One more than those of ids and counts: the rows of the page, by their ids.
        assert [line for line in scans if "Only" not in line and "pk_subscriptions" not in line] == [], plan


def test_a_condition_and_an_order_may_be_of_the_product(session: Session) -> None:
    device = active_device()
    add_product("another")

    by_product = [ProductTable.product_id == device.product.product_id]
    found = list_subscriptions(by_product, [ProductTable.name.desc()])

    assert [line.subscription_id for line in found] == [device.subscription_id]
