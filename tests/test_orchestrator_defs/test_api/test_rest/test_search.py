"""Searches over REST: the shapes that the web client reads, pages, exports, counts, and what people save."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator_defs.api.security.access_rules import RuleBook
from resources.database.session import statement_counter
from resources.database.tables import SubscriptionTable
from resources.users import Role
from tests.engine import Engine
from tests.toy_network import DEVICE, World, add_device, device_workflows

COLUMNS = [
    f"subscription.{name}"
    for name in (
        *("subscription_id", "description", "status", "insync", "product.name", "product.tag", "customer_name"),
        *("customer_abbreviation", "start_date", "end_date", "note", "metadata"),
    )
]
ACTIVE = {"bool": {"must": [{"bool": {"should": [{"term": {"subscription.status": "active"}}]}}]}}
FILTERS: st.SearchStrategy[Any] = st.deferred(
    lambda: (
        st.none()
        | st.booleans()
        | st.integers(-5, 2**70)
        | st.floats()
        | st.text(max_size=10)
        | st.sampled_from(COLUMNS)
        | st.lists(FILTERS, max_size=2)
        | st.dictionaries(
            st.sampled_from(["bool", "must", "should", "term", "range", "gte", *COLUMNS]), FILTERS, max_size=2
        )
    )
)
FREELY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)


@pytest.fixture
def engine(engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(*device_workflows(World()), products=[DEVICE])


@pytest.fixture
def api(engine: Engine, api_of: Callable[..., httpx.Client]) -> httpx.Client:
    return api_of(engine)


@pytest.fixture
def devices(engine: Engine) -> list[str]:
    """Five in service."""
    return [str(add_device(engine.bed, hostname=f"ams{number}")) for number in range(5)]


def asked(api: httpx.Client, path: str = "subscriptions", **body: Any) -> Any:
    answer = api.post(f"/search/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_list_of_the_web_client_has_exactly_what_it_asks(
    api: httpx.Client, devices: list[str], engine: Engine
) -> None:
    with engine.database.transaction() as session:
        of_it = SubscriptionTable.description == "Device ams0"
        session.execute(sa.update(SubscriptionTable).where(of_it).values(insync=False))
    order = {"element": "subscription.start_date", "direction": "desc"}
    found = asked(api, query="", filters=ACTIVE, limit=2, order_by=order, response_columns=COLUMNS)
    assert list(found) == ["data", "page_info", "search_metadata", "cursor"]
    assert found["search_metadata"]["search_type"] == "structured"
    assert (found["cursor"], found["page_info"]["has_next_page"]) == (
        {"total_items": 5, "start_cursor": 0, "end_cursor": 1},
        True,
    )
    only = asked(api, filters={"term": {"subscription.insync": "false"}}, response_columns=COLUMNS)["data"]
    assert len(only) == 1
    assert only[0] | {"response_columns": {}} == {
        "entity_id": devices[0],
        "entity_type": "SUBSCRIPTION",
        "entity_title": "Device ams0",
        "score": 1.0,
        "perfect_match": 0,
        "matching_fields": [],
        "response_columns": {},
    }
    shown = only[0]["response_columns"]
    assert list(shown) == COLUMNS
    assert shown["subscription.insync"] is False
    assert (shown["subscription.product.tag"], shown["subscription.metadata"]) == ("DEV", {})
    assert shown["subscription.customer_abbreviation"]


def test_pages_go_on_without_a_limit_and_neither_overlap_nor_miss(
    api: httpx.Client, devices: list[str], engine: Engine
) -> None:
    for element in ("subscription.start_date", "subscription.end_date", "subscription.description", "insync"):
        body = {"query": "ams", "order_by": {"element": element, "direction": "desc"}}
        page = asked(api, **body, limit=2)
        seen = [hit["entity_id"] for hit in page["data"]]
        while cursor := page["page_info"]["next_page_cursor"]:
            page = asked(api, f"subscriptions?cursor={cursor}", **body)
            seen += [hit["entity_id"] for hit in page["data"]]
        assert sorted(seen) == sorted(devices), element
        assert page["cursor"] == {"total_items": 5, "start_cursor": 4, "end_cursor": 4}


def test_a_hit_shows_what_matched(api: httpx.Client, devices: list[str]) -> None:
    (hit,) = asked(api, query="ams3 dev*", response_columns=["device.hostname"])["data"]
    assert hit["response_columns"] == {"device.hostname": "ams3"}
    assert {"text": "Device ams3", "path": "subscription.description", "highlight_indices": [[0, 3], [7, 11]]} in hit[
        "matching_fields"
    ]
    assert "subscription.device.hostname" in [one["path"] for one in hit["matching_fields"]]


def test_processes_products_and_workflows_are_found(api: httpx.Client, engine: Engine) -> None:
    engine.run("create_device", [{"product": DEVICE.name}, {"hostname": "lon1"}])
    (process,) = asked(api, "processes", query="create", response_columns=["process.last_status", "workflow_target"])[
        "data"
    ]
    assert process["response_columns"] == {"process.last_status": "completed", "workflow_target": "CREATE"}
    assert [one["entity_title"] for one in asked(api, "products", query="*evice*")["data"]] == [DEVICE.name]
    (workflow,) = asked(api, "workflows", filters={"term": {"workflow.name": "create_device"}})["data"]
    assert workflow["entity_type"] == "WORKFLOW"


def test_similar_words_are_said_to_be_unavailable_without_the_extension(api: httpx.Client, devices: list[str]) -> None:
    found = asked(api, query="devcie", retriever="fuzzy")
    assert (found["data"], found["search_metadata"]["search_type"]) == ([], "text")
    assert "no pg_trgm" in found["search_metadata"]["description"]


def test_similar_words_are_found_with_it(
    api: httpx.Client, devices: list[str], monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr("resources.searches.hits._has_trigrams", lambda: True)
    with engine.database.transaction() as session:  # in place of the extension's function
        session.execute(sa.text("CREATE FUNCTION word_similarity(text, text) RETURNS real RETURN 0.9"))
    found = asked(api, query="devcie", retriever="fuzzy")
    assert (len(found["data"]), found["search_metadata"]["search_type"]) == (5, "fuzzy")


def test_what_filters_may_name_is_told(api: httpx.Client) -> None:
    definitions = api.get("/search/definitions").json()
    assert set(definitions) == {"string", "number", "boolean", "datetime", "component"}
    assert all(list(one["value_schema"]) == one["operators"] for one in definitions.values())
    paths = api.get("/search/paths", params={"q": "hostn"}).json()
    assert paths["leaves"][0] == {
        "name": "hostname",
        "ui_types": ["string"],
        "paths": ["subscription.device.hostname"],
    }
    assert [one["name"] for one in api.get("/search/paths", params={"q": "devi"}).json()["components"]] == ["device"]
    every = [path for leaf in api.get("/search/paths?limit=100").json()["leaves"] for path in leaf["paths"]]
    for path in every:
        assert asked(api, filters={"exists": {"field": path}})["data"] is not None


def test_an_export_is_a_file(api: httpx.Client, devices: list[str]) -> None:
    body = {"query": "ams", "response_columns": ["description"], "order_by": {"element": "description"}}
    answer = api.post("/search/subscriptions/export", json=body)
    assert answer.headers["content-disposition"] == 'attachment; filename="subscriptions.csv"'
    assert [row[0] for row in csv.reader(StringIO(answer.text))] == [
        "description",
        *(f"Device ams{n}" for n in range(5)),
    ]
    assert len(api.post("/search/subscriptions/export?format=json", json=body).json()) == 5
    assert api.post("/search/subscriptions/export", json={"query": "("}).status_code == 400


def test_counts_are_numbers_and_sums_exact_texts(api: httpx.Client, devices: list[str]) -> None:
    body = {
        "group_by": ["subscription.product.name"],
        "aggregations": [{"type": "sum", "field": "version"}, {"type": "avg", "field": "version"}],
    }
    ((group,), total) = asked(api, "subscriptions/aggregate", **body).values()
    assert total == 1
    assert group["group_values"] == {"subscription.product.name": DEVICE.name}
    assert group["aggregations"]["count"] == 5
    assert float(group["aggregations"]["sum_version"]) == 5 * float(group["aggregations"]["avg_version"])


def test_a_search_is_saved_listed_replaced_and_deleted(api: httpx.Client) -> None:
    body = {"name": "mine", "kind": "subscriptions", "parameters": {"query": "insync:false"}}
    saved = api.post("/search/queries", json=body)
    assert saved.status_code == 201, saved.text
    again = api.post("/search/queries", json={**body, "is_shared": True}).json()
    assert again["query_id"] == saved.json()["query_id"]
    assert api.get("/search/queries").json() == [again]
    assert (again["parameters"], again["is_shared"]) == ({"query": "insync:false"}, True)
    assert api.delete(f"/search/queries/{again['query_id']}").status_code == 204
    assert api.get(f"/search/queries/{again['query_id']}").status_code == 404
    assert api.post("/search/queries", json={**body, "parameters": {"query": "("}}).status_code == 400


def test_a_saved_search_is_run_and_exported_by_its_id(api: httpx.Client, devices: list[str]) -> None:
    order = {"element": "subscription.description"}
    parameters = {"query": "status:active", "order_by": order, "response_columns": ["subscription.description"]}
    saved = api.post("/search/queries", json={"name": "mine", "kind": "subscriptions", "parameters": parameters})
    path = f"/search/queries/{saved.json()['query_id']}"
    at_once = asked(api, "subscriptions", **parameters, limit=2)
    found = api.get(f"{path}/run", params={"limit": 2}).json()
    assert found["data"] == at_once["data"] and len(found["data"]) == 2
    behind = api.get(f"{path}/run", params={"cursor": found["page_info"]["next_page_cursor"]}).json()
    assert behind["data"] and behind["data"][0] not in found["data"]
    exported = api.get(f"{path}/export").text
    assert exported == api.post("/search/subscriptions/export", json=parameters).text
    assert api.get(f"/search/queries/{uuid4()}/run").status_code == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"query": "ams (a"}, "character 5"),
        ({"query": "statsu:active"}, "did you mean 'status'"),
        ({"filters": {"term": {"subscription.colour": "red"}}}, "no field 'colour'"),
        ({"filters": {"regexp": {"subscription.status": "a.*"}}}, "cannot be read"),
        ({"order_by": {"element": "subscription.colour"}}, "can be sorted by subscriptionId"),
        ({"order_by": {"element": "productDescription"}}, "can be sorted by subscriptionId"),
        ({"response_columns": ["subscription.descripton"]}, "did you mean 'description'"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(api: httpx.Client, body: Any, said: str) -> None:
    answer = api.post("/search/subscriptions", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


CALLS: dict[str, dict[str, Any]] = {
    "subscriptions": {"query": "ams", "response_columns": [*COLUMNS, "device.hostname"], "limit": 50},
    "products": {"filters": {"exists": {"field": "name"}}},
    "processes": {"query": "create*"},
    "subscriptions/aggregate": {"group_by": ["device.hostname"]},
    "subscriptions/export": {"filters": ACTIVE},
}


def test_a_search_takes_the_same_statements_however_much_there_is(api: httpx.Client, engine: Engine) -> None:
    def count(path: str) -> int:
        with statement_counter(engine.database.engine) as counted:
            assert api.post(f"/search/{path}", json=CALLS[path]).status_code == 200
        return counted.count

    add_device(engine.bed, hostname="ams0")
    count("subscriptions")
    few = {path: count(path) for path in CALLS}
    for number in range(1, 30):
        add_device(engine.bed, hostname=f"ams{number}")
    assert {path: count(path) for path in CALLS} == few
    assert max(few.values()) <= 3


@FREELY
@given(
    FILTERS,
    st.text(alphabet='ab*:()|"-.=<>1é ', max_size=12),
    st.sampled_from([*COLUMNS, "device.hostname", "colour", "x\0"]),
    st.text(max_size=20) | st.just("WzAsIDEsICJcdTAwMDAiLCAiYSJd"),
)
def test_no_body_is_a_server_error(
    api: httpx.Client, devices: list[str], filters: Any, query: str, path: str, cursor: str
) -> None:
    body = {"query": query, "filters": filters, "response_columns": [path], "order_by": {"element": path}}
    text = json.dumps(body, allow_nan=True)
    measures = {"aggregations": [{"type": "max", "field": path}], "group_by": [path]}
    for kind in ("subscriptions", "processes"):
        headers = {"content-type": "application/json"}
        assert api.post(f"/search/{kind}", content=text, headers=headers).status_code < 500
        assert api.post(f"/search/{kind}", params={"cursor": cursor}, json={}).status_code < 500
        assert api.post(f"/search/{kind}/aggregate", json=measures).status_code < 500
        assert api.post(f"/search/{kind}/export", content=text, headers=headers).status_code < 500


def test_rights_are_those_of_the_lists() -> None:
    rules = RuleBook()
    for method, path in (("POST", "subscriptions"), ("POST", "processes/export"), ("GET", "paths"), ("GET", "queries")):
        rule, _ = rules.find(method, f"/api/search/{path}", is_dagsters=False)
        assert rule.least is Role.VIEWER, path
