"""Lists of subscriptions stay as fast when there are many: an index serves each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from resources.database.session import StatementCount, current_session
from resources.errors import InvalidQuery
from resources.subscriptions.list_fields import FieldText
from resources.subscriptions.lists import count_subscriptions, find_subscriptions, list_subscriptions
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import DeviceInactive, active_device, add_product
from tests.test_resources.test_domain.samples import subscribe

NEWEST, LATEST = "ix_subscriptions_created_at", "ix_subscriptions_start_date"


def plans(search: str, filters: Sequence[FieldText], sort: Sequence[FieldText]) -> str:
    """How PostgreSQL would count and read the list if the table were too large to be read whole."""
    session = current_session()
    sent: list[tuple[str, object]] = []

    def note(*arguments: object) -> None:
        sent.append((str(arguments[2]), arguments[3]))

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    find_subscriptions(search, filters, sort, limit=10)
    event.remove(connection, "before_cursor_execute", note)
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    explained = [connection.exec_driver_sql(f"EXPLAIN {text}", values) for text, values in sent]  # type: ignore[arg-type]
    return "\n".join(line for plan in explained for line in plan.scalars())


@pytest.mark.parametrize(
    ("search", "filters", "sort", "indexes"),
    [
        ("", (), (), [NEWEST]),
        ("", (), [("startDate", "desc")], [LATEST]),
        ("", [("status", "active-provisioning")], (), ["ix_subscriptions_status"]),
        ("", [("insync", "false")], (), ["ix_subscriptions_out_of_sync"]),
        ("", [("customerId", "ACME")], (), ["ix_subscriptions_customer"]),
        ("", [("subscriptionId", "abcd")], (), ["ix_subscriptions_header"]),
        ("", [("productTag", "node")], (), ["ix_subscriptions_product_id"]),
        ("insync:false", (), (), ["ix_subscriptions_out_of_sync"]),
        ("status:active", (), (), ["ix_subscriptions_status"]),
        ("ams1", (), (), ["ix_subscriptions_search", "customer_descriptions_search", "metadata_search"]),
        ("hostname:ams1", (), (), ["ix_subscriptions_search", "customer_descriptions_search", "metadata_search"]),
        ('"ams1 core"', (), (), ["ix_subscriptions_search"]),
        ("*ms1*", (), (), ["ix_subscriptions_search", "customer_descriptions_search", "metadata_search"]),
    ],
)
def test_an_index_serves(
    session: Session,
    search: str,
    filters: Sequence[FieldText],
    sort: Sequence[FieldText],
    indexes: list[str],
) -> None:
    session.execute(text("TRUNCATE subscriptions CASCADE"))  # a plan depends on what was there, even if rolled back
    active_device()
    found = plans(search, filters, sort)
    assert [name for name in indexes if name not in found] == [], found


@pytest.mark.parametrize("search", ["", "insync:false", "status:active", "start_date:>2024 -note:x", "-label:ams"])
def test_a_list_takes_two_statements(session: Session, statements: StatementCount, search: str) -> None:
    active_device()
    statements.clear()
    find_subscriptions(search)
    assert statements.count == 2


def test_words_take_one_more_however_many_they_are(session: Session, statements: StatementCount) -> None:
    active_device()
    statements.clear()
    find_subscriptions("ams1|(lon2 -bru3) product:x tag:y")
    assert statements.count == 3


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_what_has_no_value_comes_last(session: Session, direction: str) -> None:
    product_id = add_product("listed")
    for date in (None, datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)):
        DeviceInactive.from_product_id(product_id, "acme", start_date=date).save()
    years = [
        line.start_date and line.start_date.year for line in find_subscriptions(sort=[("start_date", direction)]).lines
    ]
    assert years == [*sorted([2024, 2025], reverse=direction == "desc"), None]


def test_pages_neither_overlap_nor_miss(session: Session) -> None:
    product_id = add_product("listed")
    for _ in range(7):
        DeviceInactive.from_product_id(product_id, "acme").save()
    pages = [find_subscriptions(sort=[("status", "asc")], limit=3, offset=offset) for offset in (0, 3, 6)]
    assert len({line.subscription_id for page in pages for line in page.lines}) == 7
    assert [page.total for page in pages] == [7, 7, 7]


def test_an_unknown_field_is_refused(session: Session) -> None:
    with pytest.raises(InvalidQuery, match="they can be sorted by subscriptionId, description"):
        find_subscriptions(sort=[("colour", "asc")])
    with pytest.raises(InvalidQuery, match="they can be filtered by subscriptionId, description"):
        SUBSCRIPTION_FIELDS.having(colour="red")


@pytest.mark.parametrize(
    "wanted",
    [
        {"product_name": "wanted"},
        {"status": SubscriptionLifecycle.ACTIVE},
        {"status": ["active", "migrating"], "insync": True},
        {"insync": True},
        {"customer_id": "acme-b"},
        {"customer_id": "acme-b", "product_type": None, "product_tag": []},
    ],
)
def test_code_asks_for_values_as_they_are(session: Session, wanted: dict[str, Any]) -> None:
    fits = subscribe(add_product("wanted"), customer_id="acme-b")
    subscribe(add_product("other"), customer_id="acme", status="initial", insync=False)
    where = SUBSCRIPTION_FIELDS.having(**wanted)
    assert [line.subscription_id for line in list_subscriptions(where)] == [fits]
    assert count_subscriptions(where) == 1


def test_a_page_without_its_total_is_one_statement(session: Session, statements: StatementCount) -> None:
    active_device()
    statements.clear()
    assert len(list_subscriptions()) == 1
    assert statements.count == 1
