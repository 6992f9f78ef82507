"""Exports have all that a search finds, however much it is, in flat memory."""

import csv
import json
import tracemalloc
from collections.abc import Callable
from io import StringIO

import pytest
import sqlalchemy as sa

from resources.database.session import SubscriptionDatabase
from resources.errors import DatabaseBusy, InvalidQuery
from resources.searches.export import MOST_AT_ONCE, Format, export
from resources.searches.hits import Search
from tests.test_resources.test_domain.domain import add_product

FILL = """
INSERT INTO subscriptions (subscription_id, product_id, customer_id, description, status, insync)
SELECT gen_random_uuid(), :product, 'acme', 'Line ' || n || ', "quoted"', 'active', n % 2 = 0
FROM generate_series(1, :rows) n
"""


@pytest.fixture
def fill(database: SubscriptionDatabase) -> Callable[[int], None]:
    """Makes subscriptions."""

    def make(rows: int) -> None:
        with database.transaction() as session:
            session.execute(sa.text(FILL), {"product": add_product(f"exported {rows}"), "rows": rows})

    return make


def written(database: SubscriptionDatabase, form: Format, columns: list[str], text: str = "insync:true") -> str:
    return "".join(export(database, Search.of("subscriptions", text=text, columns=columns), form))


def test_a_file_has_the_asked_columns_of_what_is_found(
    database: SubscriptionDatabase, fill: Callable[[int], None]
) -> None:
    fill(2)
    columns = ["subscription.description", "subscription.insync", "subscription.end_date"]
    rows = list(csv.reader(StringIO(written(database, "csv", columns))))
    assert rows == [columns, ['Line 2, "quoted"', "true", ""]]
    assert json.loads(written(database, "json", columns)) == [
        {"subscription.description": 'Line 2, "quoted"', "subscription.insync": True, "subscription.end_date": None}
    ]
    assert json.loads(written(database, "json", columns, "nothing")) == []


def test_memory_does_not_grow_with_the_rows(database: SubscriptionDatabase, fill: Callable[[int], None]) -> None:
    def peak(rows: int) -> tuple[int, int]:
        fill(rows)
        tracemalloc.start()
        lines = sum(
            part.count("\n") for part in export(database, Search.of("subscriptions", text="status:active"), "csv")
        )
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return lines, most

    few, many = peak(2_000), peak(8_000)
    assert (few[0], many[0]) == (2_001, 10_001)
    assert many[1] < few[1] * 1.3


def test_what_cannot_be_exported_is_refused_before_the_first_byte(database: SubscriptionDatabase) -> None:
    with pytest.raises(InvalidQuery, match="no column 'colour'"):
        export(database, Search.of("subscriptions", columns=["colour"]), "csv")
    with pytest.raises(InvalidQuery, match="cannot be read"):
        export(database, Search.of("subscriptions", text="(a"), "csv")


def test_a_spreadsheet_runs_nothing(database: SubscriptionDatabase, fill: Callable[[int], None]) -> None:
    fill(2)
    with database.transaction() as session:
        session.execute(sa.text("UPDATE subscriptions SET note = '=1+1'"))
    assert written(database, "csv", ["note"]).splitlines() == ["note", "'=1+1"]
    assert json.loads(written(database, "json", ["note"])) == [{"note": "=1+1"}]


def test_readers_that_take_their_time_leave_connections_to_others(
    database: SubscriptionDatabase, fill: Callable[[int], None]
) -> None:
    fill(4)
    slow = [export(database, Search.of("subscriptions"), "json") for _ in range(MOST_AT_ONCE)]
    with pytest.raises(DatabaseBusy, match="exports are being written"):
        export(database, Search.of("subscriptions"), "json")
    assert len(json.loads("".join(slow.pop()))) == 4
    assert len(json.loads("".join(export(database, Search.of("subscriptions"), "json")))) == 4
