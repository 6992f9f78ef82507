"""Each document takes a constant number of statements whatever the number of rows, and reads what it selects."""

import re
from typing import Any

import pytest
import sqlalchemy as sa

from resources.pages.subscription_pages import SubscriptionPages
from tests.engine import Engine
from tests.test_graphql import test_documents as documents
from tests.test_graphql.conftest import Asker, Network

TYPED = """query($first: Int!) { subscriptions(first: $first) { page { subscriptionId
  ... on PortSubscription { port { portName title node { nodeName title } } }
  ... on NodeSubscription { node { nodeName ipv4Loopback } } } } }"""
WITH_BLOCKS = """query($first: Int!) { subscriptions(first: $first) { page { description
  productBlockInstances { id parent subscription { description } productBlockInstanceValues inUseByRelations } } } }"""
RELATED = """query($first: Int!) { subscriptions(first: $first) { page { description
  inUseBySubscriptions { page { description customer { fullname } } pageInfo { totalItems } }
  dependsOnSubscriptions { pageInfo { totalItems } } processes(first: 2) { page { workflowName } } } } }"""
LIST = {"after": 0, "sortBy": [{"field": "productName", "order": "ASC"}], "filterBy": [], "query": ""}
MOST = {
    "list": (documents.SUBSCRIPTIONS, LIST, 2),
    "summary": (documents.SUBSCRIPTION_SUMMARY, LIST, 2),
    "typed": (TYPED, {}, 2),
    "with blocks": (WITH_BLOCKS, {}, 2),
    "related": (RELATED, {}, 4),
    "processes": (documents.PROCESSES, {**LIST, "sortBy": [{"field": "startedAt", "order": "DESC"}]}, 4),
    "products": (documents.metadata("products"), {**LIST, "sortBy": []}, 3),
    "product summary": (documents.PRODUCT_SUMMARY, {"after": 0}, 3),
    "blocks": (documents.metadata("productBlocks"), {**LIST, "sortBy": []}, 4),
    "workflows": (documents.metadata("workflows"), {**LIST, "sortBy": []}, 3),
}


@pytest.fixture(scope="module", autouse=True)
def many(engine: Engine, network: Network) -> None:
    """More than a hundred subscriptions and several processes."""
    for number in range(35):
        router = network.node(f"many{number}")
        network.port(router, f"ge-{number}/1")
        network.port(router, f"ge-{number}/2")
    for number in range(3):
        engine.run("create_device", [{"product": "Test Device"}, {"hostname": f"many{number}"}])


@pytest.mark.parametrize("name", MOST)
def test_statements_are_as_many_for_one_row_as_for_a_hundred(ask: Asker, name: str) -> None:
    query, variables, most = MOST[name]
    counts = {first: len(ask.statements(query, first=first, **variables)) for first in (1, 10, 100)}
    assert counts == dict.fromkeys((1, 10, 100), most)


def test_detail_of_a_subscription_takes_four_statements(ask: Asker, network: Network) -> None:
    router = network.node("four1")
    service = network.l2vpn(*(network.port(router, f"ge-f{number}") for number in range(8)), name="eight ends")
    for made in (router, service):
        assert len(ask.statements(documents.DETAIL, subscriptionId=str(made.subscription_id))) == 4


def test_detail_of_a_process_takes_five_statements(ask: Asker, engine: Engine) -> None:
    process_id = engine.run("create_device", [{"product": "Test Device"}, {"hostname": "five"}])
    assert len(ask.statements(documents.PROCESS, processId=str(process_id))) == 5


def test_a_list_is_composed_once_and_one_with_a_condition_each_time(
    ask: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed, really = [], SubscriptionPages.reading

    def counted(*arguments: Any) -> Any:
        composed.append(1)
        return really(*arguments)

    monkeypatch.setattr(SubscriptionPages, "reading", counted)
    listed = "{ subscriptions(first: 7) { page { inUseBySubscriptions(first: 7) { page { description } } } } }"
    assert ask.data(listed) == ask.data(listed)
    assert len(composed) == 2, "the list, and the one below each of its rows"
    aged = '{ subscriptions(filterBy: [{field: "validationAge", value: ">1s"}]) { page { description } } }'
    ask.data(aged)
    ask.data(aged)
    assert len(composed) == 4, "an age is of this moment"


def test_only_what_is_selected_is_read(ask: Asker) -> None:
    (statement,) = ask.statements("{ subscriptions { page { description } } }")
    columns = statement.partition("FROM")[0]
    assert "note" not in columns and "metadata" not in columns and "document" not in columns
    assert not re.search("count", statement)


def test_the_total_is_counted_only_when_it_is_selected(ask: Asker) -> None:
    assert len(ask.statements("{ subscriptions { pageInfo { hasNextPage sortFields } } }")) == 1
    (statement,) = ask.statements("{ subscriptions { pageInfo { totalItems } } }")
    assert "FROM figures" in statement
    assert ask.statements("{ subscriptions { pageInfo { sortFields } } }") == []


def test_ids_are_cut_before_anything_is_joined(ask: Asker) -> None:
    query = "{ subscriptions(first: 5, after: 20) { page { description product { name } metadata } } }"
    (statement,) = ask.statements(query)
    inner = re.search(r"FROM \(SELECT (.*?)\) AS page", statement, re.DOTALL)
    assert inner is not None
    assert "OFFSET" in inner[1] and "JOIN" not in inner[1]


def test_the_total_of_words_is_capped_and_says_so(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.pages.row_pages.CAPPED_AT", 11)
    query = "query($q: String) { subscriptions(query: $q) { pageInfo { totalItems totalIsExact } } }"
    about = [ask.data(query, q=words)["subscriptions"]["pageInfo"] for words in ("Port", "")]
    assert about[0] == {"totalItems": 11, "totalIsExact": False}
    assert about[1]["totalIsExact"] and about[1]["totalItems"] > 100


def test_a_page_behind_the_end_of_a_nested_list_has_its_total(ask: Asker, network: Network) -> None:
    router = network.node("end1")
    network.port(router, "ge-end")
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      inUseBySubscriptions(after: 5) { page { note } pageInfo { totalItems startCursor hasNextPage } } } } }"""
    (found,) = ask.data(query, id=str(router.subscription_id))["subscriptions"]["page"]
    about = {"totalItems": 1, "startCursor": None, "hasNextPage": False}
    assert found["inUseBySubscriptions"] == {"page": [], "pageInfo": about}


def test_one_list_with_two_arguments_is_two_lists(ask: Asker, network: Network) -> None:
    router = network.node("two1")
    for name in ("ge-b", "ge-a", "ge-c"):
        network.port(router, name)
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      a: inUseBySubscriptions(first: 1, sortBy: {field: "description"}) { page { description } }
      b: inUseBySubscriptions(filterBy: {field: "description", value: "Port ge-c"}) { page { description } } } } }"""
    (found,) = ask.data(query, id=str(router.subscription_id))["subscriptions"]["page"]
    assert [one["description"] for one in found["a"]["page"]] == ["Port ge-a"]
    assert [one["description"] for one in found["b"]["page"]] == ["Port ge-c"]


def test_a_query_sees_one_moment_and_writes_nothing(ask: Asker) -> None:
    seen: list[tuple[str, ...]] = []

    def look(_connection: object, cursor: object, *_: object) -> None:
        with cursor.connection.cursor() as other:  # type: ignore[attr-defined]
            names = ("transaction_isolation", "transaction_read_only")
            seen.append(tuple(other.execute(f"SHOW {name}").fetchone()[0] for name in names))

    engine = ask.engine.database.engine
    sa.event.listen(engine, "before_cursor_execute", look)
    try:
        ask.data("{ subscriptions { page { note } pageInfo { totalItems } } products { page { name } } }")
    finally:
        sa.event.remove(engine, "before_cursor_execute", look)
    assert seen == [("repeatable read", "on")] * 3
