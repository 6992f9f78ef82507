"""The statements of lists are ones that indexes answer, however many rows there are."""

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.test_graphql import test_documents as documents
from tests.test_graphql.conftest import Asker, Network
from tests.test_graphql.test_statements import WITH_BLOCKS

BIG = (
    "validations",
    "validation_history",
    "subscriptions",
    "processes",
    "subscription_instances",
    "subscription_instance_relations",
    "process_steps",
)


@pytest.fixture
def plans(ask: Asker) -> Iterator[list[str]]:
    """The plans of all statements, as they are for tables that are too large to read: without sequential scans."""
    found: list[str] = []

    def explain(_connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        with cursor.connection.cursor() as other:  # type: ignore[attr-defined]
            other.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
            other.execute(f"EXPLAIN {statement}", parameters)
            found.append("\n".join(row[0] for row in other.fetchall()))

    sa.event.listen(ask.engine.database.engine, "before_cursor_execute", explain)
    yield found
    sa.event.remove(ask.engine.database.engine, "before_cursor_execute", explain)


def scanned(plans: list[str]) -> list[str]:
    """The large tables that are read from end to end."""
    return [name for plan in plans for name in re.findall(r"Seq Scan on (\w+)", plan) if name in BIG]


@pytest.mark.parametrize(
    ("field", "order"),
    [
        ("startDate", "DESC"),
        ("createdAt", "DESC"),
        ("lastValidated", "DESC"),
        ("lastValidated", "ASC"),
        ("validationAge", "DESC"),
    ],
)
def test_sorted_page_comes_from_an_index(ask: Asker, plans: list[str], field: str, order: str) -> None:
    sort = [{"field": field, "order": order}]
    ask.data("query($s: [GraphqlSort!]) { subscriptions(sortBy: $s) { page { note } } }", s=sort)
    assert scanned(plans) == []
    before, scan, _ = plans[0].partition("Limit")[2].partition("Index")
    assert (scan, "Sort" in before, "Scan" in before) == ("Index", False, False)


@pytest.mark.parametrize(
    ("filter_", "index"),
    [
        ("validationResult,drifted", "ix_validations_result"),
        ("lastValidated,<2020", "ix_validations_finished_at|ix_validations_newest"),
        ("validationAge,>9000d", "ix_validations_finished_at|ix_validations_newest"),
    ],
)
def test_what_few_validations_fit_comes_from_an_index(ask: Asker, plans: list[str], filter_: str, index: str) -> None:
    name, _, value = filter_.partition(",")
    filters = [{"field": name, "value": value}]
    query = "query($f: [GraphqlFilter!]) { subscriptions(filterBy: $f) { page { note } pageInfo { totalItems } } }"
    ask.data(query, f=filters)
    assert scanned(plans) == []
    assert any(re.search(index, plan) for plan in plans)


def test_page_by_description_is_sorted_by_the_part_that_an_index_has(ask: Asker, plans: list[str]) -> None:
    ask.data('{ subscriptions(sortBy: [{field: "description", order: DESC}]) { page { note } } }')
    assert scanned(plans) == []
    assert "Backward using ix_subscriptions_description_order" in plans[0].partition("Incremental Sort")[2]


def test_newest_processes_come_from_an_index(ask: Asker, plans: list[str]) -> None:
    sort = [{"field": "lastModifiedAt", "order": "DESC"}]
    filters = [{"field": "isTask", "value": "false"}]
    ask.data(documents.PROCESSES, first=15, after=0, sortBy=sort, filterBy=filters)
    assert scanned(plans) == []
    assert "Incremental Sort" in plans[0].partition("Limit")[2].splitlines()[1]


def test_blocks_of_many_are_found_one_by_one(ask: Asker, network: Network, plans: list[str]) -> None:
    network.port(network.node("plan1"), "ge-plan")
    plans.clear()
    ask.data(WITH_BLOCKS, first=100)
    blocks = plans[-1]
    assert scanned(plans) == []
    assert "Hash Join" not in blocks and "Merge Join" not in blocks


def test_the_history_of_validations_comes_from_its_index(ask: Asker, plans: list[str]) -> None:
    ask.data("{ subscriptions { page { validations(first: 3) { page { result } pageInfo { totalItems } } } } }")
    assert scanned(plans) == []
