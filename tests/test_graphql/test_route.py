"""The route: what is no request, errors with their types, limits, introspection, GraphiQL."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from resources.database.session import statement_counter
from tests.test_graphql.conftest import Asker, Network

VERSION = "{ version { applicationVersions } }"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "one object"),
        (b"null", "one object"),
        (b'{"query": "{ version }", "variables": 1}', "`variables` is an object"),
        (b'{"query": "{ version }", "operationName": {}}', "`operationName` a text"),
    ],
)
def test_what_is_no_request_is_refused_with_a_sentence(ask: Asker, body: bytes, why: str) -> None:
    answer = ask.client.post("/graphql", content=body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert why in error["message"]
    assert error["extensions"] == {"error_type": "bad_request"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        " ",
        "{",
        "{ nope }",
        "query A { version { applicationVersions } } query B { version { applicationVersions } }",
    ],
)
def test_documents_that_cannot_be_executed_are_errors(ask: Asker, query: str) -> None:
    answer = ask(query)
    assert answer["data"] is None
    assert {one["extensions"]["error_type"] for one in answer["errors"]} == {"bad_request"}


def test_document_that_is_no_text_is_an_error(ask: Asker) -> None:
    answer = ask.client.post("/graphql", json={"query": 7})
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (
        200,
        "Send the document as a text in `query`.",
    )


def test_query_comes_by_get_and_a_mutation_does_not(ask: Asker) -> None:
    got = ask.client.get("/graphql", params={"query": VERSION, "variables": "{}"})
    assert got.json()["data"]["version"]["applicationVersions"]
    change = 'mutation { startProcess(name: "look_around", payload: {payload: [{}]}) { __typename } }'
    refused = ask.client.get("/graphql", params={"query": change})
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (400, "A mutation is sent by POST.")


def test_what_fails_is_an_error_and_the_rest_is_answered(ask: Asker) -> None:
    query = """{ version { applicationVersions } subscriptions(filterBy: {field: "colour", value: "red"}) {
      page { note } } }"""
    answer = ask(query)
    assert answer["data"]["version"]["applicationVersions"]
    assert answer["data"]["subscriptions"] is None
    (error,) = answer["errors"]
    assert error["path"] == ["subscriptions"]
    assert error["extensions"]["error_type"] == "bad_request"
    assert "cannot be filtered by 'colour'; they can be filtered by subscriptionId" in error["message"]


def test_unexpected_error_is_masked(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.pages.row_pages.page_of", lambda *_, **__: 1 / 0)
    kind, message = ask.error("{ subscriptions { page { note } } }")
    assert (kind, message) == ("internal_error", "Something went wrong in the server; its log says what.")


def test_half_a_surrogate_pair_is_answered(ask: Asker) -> None:
    body = json.dumps(
        {"query": "query($q: String) { subscriptions(query: $q) { page { note } } }", "variables": {"q": "\ud800"}}
    )
    answer = ask.client.post("/graphql", content=body)
    assert answer.status_code == 200
    assert answer.json()["errors"][0]["extensions"]["error_type"] == "bad_request"


# --- limits ---


def nested(levels: int) -> str:
    """Subscriptions within each other."""
    inner = "note"
    for _ in range(levels):
        inner = f"inUseBySubscriptions {{ page {{ {inner} }} }}"
    return f"{{ subscriptions {{ page {{ {inner} }} }} }}"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (nested(12), "levels deep"),
        ("{ " + " ".join(f"a{n}: version {{ applicationVersions }}" for n in range(31)) + " }", "31 aliases"),
        (nested(5), "values"),
        ("{ subscriptions(first: 1000) { page { processes(first: 1000) { page { note } } } } }", "values"),
        ("{ version " + "{ applicationVersions } " + "# " + "x " * 3 + "\n" + "}" + " query A { x }" * 600, "tokens"),
    ],
)
def test_document_over_a_limit_is_refused_with_a_sentence(ask: Asker, query: str, why: str) -> None:
    (error,) = ask(query)["errors"]
    assert why in error["message"]
    assert error["extensions"]["error_type"] == "bad_request"


def test_a_limit_counts_variables(ask: Asker) -> None:
    query = "query($n: Int!) { subscriptions(first: $n) { page { processes(first: $n) { page { note } } } } }"
    assert "errors" not in ask(query, n=10)
    assert "values" in ask.error(query, n=1000)[1]


def test_a_million_of_a_bounded_list_pass_and_give_at_most_a_page(ask: Asker, network: Network) -> None:
    network.node("mil1")
    query = "{ subscriptions(first: 1000000, after: -5) { page { description } pageInfo { hasPreviousPage } } }"
    assert ask.data(query)["subscriptions"]["pageInfo"]["hasPreviousPage"] is False
    assert ask.data("{ subscriptions(first: -1) { page { note } } }")["subscriptions"]["page"] == []
    assert ask.data("{ subscriptions(after: 2147483647) { page { note } } }")["subscriptions"]["page"] == []


def test_fragments_that_double_at_each_level_cost_no_time(ask: Asker) -> None:
    def doubling(levels: int) -> str:
        fragments = [f"fragment F{n} on PageInfo {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels)]
        last = f"fragment F{levels} on PageInfo {{ totalItems }}"
        return "{ subscriptions { pageInfo { ...F0 } } }" + " ".join([*fragments, last])

    began = time.perf_counter()
    assert "totalItems" in ask.data(doubling(14))["subscriptions"]["pageInfo"]
    assert "values" in ask.error(doubling(60))[1]
    assert time.perf_counter() - began < 0.5


def test_query_ends_in_time(asker_of: Callable[..., Asker]) -> None:
    late = asker_of(graphql_timeout_seconds=0.000001)
    kind, message = late.error("{ subscriptions { page { note } } }")
    assert (kind, message) == (
        "internal_error",
        "The query took longer than 1e-06 seconds. Ask for less at once.",
    )


# --- what describes it ---


def test_introspection_can_be_switched_off(ask: Asker, asker_of: Callable[..., Asker]) -> None:
    query = "{ __schema { queryType { name } } }"
    assert ask.data(query) == {"__schema": {"queryType": {"name": "Query"}}}
    closed = asker_of(graphql_introspection=False)
    assert "introspection has been disabled" in closed(query)["errors"][0]["message"]
    assert closed.data(VERSION)


def test_a_browser_sees_graphiql_which_loads_nothing_from_elsewhere(ask: Asker) -> None:
    page = ask.client.get("/graphql", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self' 'sha256-" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("/api/graphql/assets/", "")
    sources = [part.split('"')[0] for part in page.text.split('="/api')[1:]]
    assert len(sources) == 6
    for source in sources:
        assert ask.client.get(source).status_code == 200, source


def test_graphiql_can_be_switched_off(asker_of: Callable[..., Asker]) -> None:
    assert asker_of(serve_graphql_ui=False).client.get("/graphql", headers={"Accept": "text/html"}).status_code == 400


# --- who may ask ---


def test_without_login_the_client_learns_that_it_must_log_in(secured: Callable[..., Asker]) -> None:
    """It reads JSON only, and logs out by this very type."""
    answer = secured("viewer").client.post("/graphql", json={"query": VERSION})
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json")
    assert answer.json()["errors"][0]["extensions"] == {"error_type": "not_authenticated"}


def test_without_a_role_nothing_is_answered(secured: Callable[..., Asker]) -> None:
    nobody = secured()
    answer = nobody.client.post("/graphql", json={"query": VERSION}, headers=nobody.headers)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]) == (403, {"error_type": "not_authorized"})


class Recorder:
    """A policy that refuses some paths, and remembers what it was asked."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.calls = refused, []  # type: ignore[var-annotated]

    async def refusal(self, _user: Any, call: Any) -> str | None:
        self.calls.append((call.method, call.path))
        return f"no {call.path}" if call.path in self.refused else None

    async def close(self) -> None: ...


def test_what_is_not_authorised_is_an_error_and_the_rest_is_answered(
    secured: Callable[..., Asker], network: Network
) -> None:
    made = network.node("aut1")
    below = ("domain-model/*", "*/validations")
    policy = Recorder("/api/processes", "/api/products", *(f"/api/subscriptions/{one}" for one in below))
    viewer = secured("viewer", options={"policy": policy})
    answer = viewer(
        """query($id: String!) { products { page { name } } version { applicationVersions }
        subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page { description
          processes { page { note } } productBlockInstances { id }
          validations { page { result } }
          ... on NodeSubscription { node { nodeName } } inUseBySubscriptions { page { note } } } } }""",
        id=str(made.subscription_id),
    )
    assert answer["data"]["subscriptions"]["page"] == [
        {
            "description": "Node aut1",
            "processes": None,
            "productBlockInstances": None,
            "validations": None,
            "node": None,
            "inUseBySubscriptions": {"page": []},
        }
    ]
    assert answer["data"]["products"] is None
    assert answer["data"]["version"]
    assert {(one["path"][-1], one["extensions"]["error_type"]) for one in answer["errors"]} == {
        ("products", "not_authorized"),
        ("processes", "not_authorized"),
        ("productBlockInstances", "not_authorized"),
        ("validations", "not_authorized"),
        ("node", "not_authorized"),
    }


def test_each_list_is_asked_about_as_rest_asks(secured: Callable[..., Asker]) -> None:
    policy = Recorder()
    viewer = secured("viewer", options={"policy": policy})
    viewer.data("{ workflows { page { products { name } } } processes { page { subscriptions { page { note } } } } }")
    assert policy.calls == [
        ("POST", "/api/graphql"),
        ("GET", "/api/workflows"),
        ("GET", "/api/products"),
        ("GET", "/api/processes"),
        ("GET", "/api/subscriptions"),
    ]


def test_what_is_refused_is_not_read(secured: Callable[..., Asker], network: Network) -> None:
    network.node("nrd1")
    refusing = secured("viewer", options={"policy": Recorder("/api/processes")})
    query = "{ subscriptions(first: 1) { page { note processes { page { note } } } } }"
    refusing(query)
    with statement_counter(refusing.engine.database.engine) as counted:
        assert refusing(query)["errors"]
    assert counted.count == 1


def test_a_workflow_is_allowed_to_whoever_has_its_role(secured: Callable[..., Asker]) -> None:
    query = '{ workflows(filterBy: {field: "name", value: "create_device"}) { page { isAllowed } } }'
    found = [
        secured(role, workflow_roles={"create_*": "engineer"}).data(query)["workflows"]["page"]
        for role in ("operator", "engineer")
    ]
    assert found == [[{"isAllowed": False}], [{"isAllowed": True}]]
