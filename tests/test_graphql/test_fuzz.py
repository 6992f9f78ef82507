"""Whatever document is sent, the answer is data or sentences, never a failure of the server."""

import json
from collections.abc import Iterator

import pytest
from graphql import get_introspection_query, print_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes

from orchestrator_defs.api.graphql.service import make_executor
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.served import Served
from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network

SCALARS = ("UUID", "DateTime", "JSON", "_Any")
QUIET = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def schema(engine: Engine, network: Network) -> Iterator[str]:
    """The schema as text, and some subscriptions to ask about."""
    router = network.node("fuzz1")
    network.l2vpn(network.port(router, "ge-1"), network.port(router, "ge-2"))
    executor = make_executor(Served([engine.orchestrator]), ApiSettings(oauth2_active=False))
    yield print_schema(executor.schema)


def test_schema_can_be_asked_for(ask: Asker) -> None:
    assert ask.data(get_introspection_query())["__schema"]["queryType"]["name"] == "Query"


@pytest.mark.slow
def test_any_document_of_the_schema_is_answered(ask: Asker, schema: str) -> None:
    values = {name: st.text(max_size=5).map(nodes.String) for name in SCALARS}

    @QUIET
    @given(from_schema(schema, custom_scalars=values, allow_null=True))
    def check(document: str) -> None:
        answer = ask.client.post("/graphql", json={"query": document})
        assert answer.status_code == 200, answer.text
        kinds = [one["extensions"]["error_type"] for one in answer.json().get("errors", ())]
        assert "internal_error" not in kinds, (document, answer.text)

    check()


@pytest.mark.slow
def test_any_body_is_answered(ask: Asker) -> None:
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=6,
    )
    body = st.fixed_dictionaries({}, optional={"query": anything, "variables": anything, "operationName": anything})

    @QUIET
    @given(body | anything)
    def check(sent: object) -> None:
        answer = ask.client.post("/graphql", content=json.dumps(sent))
        assert answer.status_code in (200, 400), answer.text
        assert answer.json()["errors"]

    check()


@pytest.mark.slow
def test_any_value_of_an_argument_is_answered(ask: Asker) -> None:
    query = """query($first: Int!, $after: Int!, $field: String!, $value: String!, $query: String) {
      subscriptions(first: $first, after: $after, filterBy: {field: $field, value: $value}, query: $query) {
        page { note } pageInfo { totalItems } }
      processes(filterBy: {field: $field, value: $value}, query: $query) { page { note } pageInfo { totalItems } }
      products(filterBy: {field: $field, value: $value}, query: $query) { page { name } }
      customers(filterBy: {field: $field, value: $value}, query: $query) { page { fullname } } }"""
    fields = st.sampled_from(["status", "startDate", "insync", "version", "name", "note", "id", "isTask"]) | st.text()
    numbers = st.integers(-(2**31), 2**31 - 1)

    @QUIET
    @given(numbers, numbers, fields, st.text(), st.text())
    def check(first: int, after: int, field: str, value: str, text: str) -> None:
        variables = {"first": first, "after": after, "field": field, "value": value, "query": text}
        answer = ask.client.post("/graphql", json={"query": query, "variables": variables})
        assert answer.status_code == 200
        kinds = [one["extensions"]["error_type"] for one in answer.json().get("errors", ())]
        assert "internal_error" not in kinds, answer.text

    check()
