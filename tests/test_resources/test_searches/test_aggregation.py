"""Counts and sums of what a search finds are exact, whatever the groups are."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.orm import Session

from resources.database.session import StatementCount
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.errors import InvalidQuery
from resources.searches.aggregation import Measure, aggregate
from resources.searches.hits import Search
from tests.test_resources.test_domain.domain import add_product
from tests.test_resources.test_domain.samples import block, model, registry_kept

LINK = block("Summed Link", {"octets": (int, 0), "price": (Decimal, Decimal(0)), "sites": (list[str], [])})
PRODUCT = model("SummedLink", {"link": LINK})


@pytest.fixture
def links(session: Session) -> Iterator[None]:
    """Three links, whose sums neither 64 bits nor a float can hold."""
    with registry_kept():
        SUBSCRIPTION_MODEL_REGISTRY["summed"] = PRODUCT
        product_id = add_product("summed")
        for number, (price, sites) in enumerate([("0.1", ["ams"]), ("0.2", ["ams", "lon"]), ("0.30", [])]):
            start = datetime(2024, 1 + number // 2, 3, tzinfo=UTC)
            made = PRODUCT.from_product_id(product_id, f"customer {number % 2}", start_date=start)
            made.link.octets, made.link.price, made.link.sites = 2**63 - 1, Decimal(price), sites  # type: ignore[attr-defined]
            made.save()
        yield


def counted(*measures: tuple[Any, str], **by: Any) -> list[tuple[Any, ...]]:
    found = aggregate(Search.of("subscriptions"), [Measure(*one) for one in measures], **by)
    return [(*one["group_values"].values(), *one["aggregations"].values()) for one in found]


def test_sums_are_exact(links: None) -> None:
    measures = [
        ("sum", "link.octets"),
        ("sum", "subscription.link.price"),
        ("min", "link.price"),
        ("max", "link.price"),
    ]
    assert counted(*measures) == [(3, Decimal(3 * (2**63 - 1)), Decimal("0.6"), Decimal("0.1"), Decimal("0.3"))]
    assert counted(("avg", "link.price"), ("count", "link.sites")) == [(3, Decimal("0.2"), 3)]


def test_an_entry_is_in_each_of_its_groups_with_all_it_has(links: None) -> None:
    assert counted(("sum", "link.price"), groups=["link.sites"]) == [
        ("ams", 2, Decimal("0.3")),
        ("lon", 1, Decimal("0.2")),
        (None, 1, Decimal("0.3")),
    ]


def test_groups_are_columns_values_and_periods(links: None) -> None:
    assert counted(groups=["subscription.customer_id"]) == [("customer 0", 2), ("customer 1", 1)]
    assert counted(periods=[("start_date", "month")]) == [("2024-01-01T00:00:00Z", 2), ("2024-02-01T00:00:00Z", 1)]
    assert counted(groups=["product.name", "status"]) == [("summed", "initial", 3)]


@pytest.mark.parametrize(
    ("measures", "by"),
    [
        ([("sum", "description")], {}),
        ([("sum", None)], {}),
        ([("max", "insync")], {}),
        ([], {"groups": ["colour"]}),
        ([], {"periods": [("description", "day")]}),
    ],
)
def test_what_has_no_sum_or_group_is_refused(links: None, measures: Any, by: Any) -> None:
    with pytest.raises(InvalidQuery):
        counted(*measures, **by)


def test_it_is_one_statement(links: None, statements: StatementCount) -> None:
    statements.clear()
    counted(("sum", "link.price"), ("avg", "link.octets"), groups=["link.sites"], periods=[("start_date", "year")])
    assert statements.count == 1
