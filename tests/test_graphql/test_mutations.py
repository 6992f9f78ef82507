"""Mutations make the checks of the REST calls that do the same."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network
from tests.test_graphql.test_route import Recorder

START = """mutation($name: String!, $pages: JSON!, $reporter: String) {
  startProcess(name: $name, payload: {payload: $pages}, reporter: $reporter) {
    __typename ... on ProcessCreated { id } ... on MutationError { message details } } }"""
DESCRIBE = """mutation($id: UUID!, $text: String!, $version: Int) {
  upsertCustomerDescription(customerId: "acme", subscriptionId: $id, description: $text, version: $version) {
    __typename ... on CustomerDescription { customerId description version }
    ... on NotFoundError { message } ... on MutationError { message } } }"""
FORGET = """mutation($id: UUID!) { removeCustomerDescription(customerId: "acme", subscriptionId: $id) {
  __typename ... on CustomerDescription { description } ... on NotFoundError { message } } }"""


def test_process_is_started_and_launched(ask: Asker, engine: Engine) -> None:
    pages = [{"product": "Test Device"}, {"hostname": "bymutation"}]
    made = ask.data(START, name="create_device", pages=pages, reporter="grace")["startProcess"]
    assert made["__typename"] == "ProcessCreated"
    row = engine.process(UUID(made["id"]))
    assert (row.created_by, row.last_status) != ("", "")
    assert row.created_by == "grace"


def test_page_that_is_not_valid_is_told_with_its_errors(ask: Asker) -> None:
    pages = [{"product": "Test Device"}, {"hostname": "X"}]
    found = ask.data(START, name="create_device", pages=pages)["startProcess"]
    assert found["__typename"] == "MutationError"
    assert {tuple(one["loc"]) for one in found["details"]} == {("hostname",)}


def test_form_that_is_not_complete_is_told_with_its_next_page(ask: Asker) -> None:
    found = ask.data(START, name="create_device", pages=[{"product": "Test Device"}])["startProcess"]
    assert "hostname" in found["details"]["form"]["properties"]


def test_unknown_workflow_is_an_error_with_its_type(ask: Asker) -> None:
    kind, message = ask.error(START, name="create_devise", pages=[])
    assert kind == "not_found"
    assert "There is no workflow 'create_devise'" in message


def test_start_needs_the_rights_that_rest_needs(secured: Callable[..., Asker]) -> None:
    pages = [{"product": "Test Device"}, {"hostname": "norights"}]
    kind, message = secured("viewer").error(START, name="create_device", pages=pages)
    assert kind == "not_authorized"
    assert message == "POST /api/processes/create_device needs the role operator; ada has viewer."
    strict = secured("operator", workflow_roles={"create_*": "engineer"})
    assert strict.error(START, name="create_device", pages=pages)[1] == (
        "ada may not start create_device: that needs the role engineer."
    )


def test_nobody_reports_in_anothers_name(secured: Callable[..., Asker], engine: Engine) -> None:
    pages = [{"product": "Test Device"}, {"hostname": "ownname"}]
    made = secured("operator").data(START, name="create_device", pages=pages, reporter="grace")["startProcess"]
    assert engine.process(UUID(made["id"])).created_by == "ada"


def test_policy_sees_a_mutation_as_its_rest_call(secured: Callable[..., Asker]) -> None:
    policy = Recorder()
    secured("operator", options={"policy": policy}).data(FORGET, id=str(uuid4()))
    assert policy.calls[-1] == ("DELETE", "/api/subscription_customer_descriptions/*")


def test_customer_describes_changes_and_forgets(ask: Asker, network: Network) -> None:
    made = str(network.node(f"dsc{uuid4().hex[:6]}").subscription_id)

    def described(text: str, **more: Any) -> Any:
        return ask.data(DESCRIBE, id=made, text=text, **more)["upsertCustomerDescription"]

    first = {"__typename": "CustomerDescription", "customerId": "acme", "description": "ours", "version": 1}
    assert described("ours") == first
    assert described("still ours", version=1) == {**first, "description": "still ours", "version": 2}
    kind, message = ask.error(DESCRIBE, id=made, text="stale", version=1)
    assert kind == "bad_request"
    assert "it has version 2, you changed version 1" in message
    removed = ask.data(FORGET, id=made)["removeCustomerDescription"]
    assert removed == {"__typename": "CustomerDescription", "description": "still ours"}
    assert ask.data(FORGET, id=made)["removeCustomerDescription"]["__typename"] == "NotFoundError"


def test_description_of_no_subscription_is_not_found(ask: Asker) -> None:
    found = ask.data(DESCRIBE, id=str(uuid4()), text="x")["upsertCustomerDescription"]
    assert found["__typename"] == "NotFoundError"


@pytest.mark.parametrize("text", ["", " ", "x" * 2001, "a\0b"])
def test_description_that_rest_refuses_is_refused(ask: Asker, network: Network, text: str) -> None:
    made = str(network.node(f"bad{uuid4().hex[:6]}").subscription_id)
    kind, message = ask.error(DESCRIBE, id=made, text=text)
    assert kind == "bad_request"
    assert message.startswith("`description` has 1 to 2000 characters")


def test_what_one_mutation_changes_stays_when_the_next_fails(ask: Asker, network: Network) -> None:
    made = str(network.node(f"two{uuid4().hex[:6]}").subscription_id)
    change = 'upsertCustomerDescription(customerId: "{0}", subscriptionId: $id, description: "{1}") {{ __typename }}'
    ask(f"mutation($id: UUID!) {{ a: {change.format('a', 'kept')} b: {change.format('b', '')} }}", id=made)
    query = """query($id: String!) { subscriptions(filterBy: {field: "subscriptionId", value: $id}) { page {
      customerDescriptions { description } } } }"""
    assert ask.data(query, id=made)["subscriptions"]["page"] == [{"customerDescriptions": [{"description": "kept"}]}]


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("operator", True)])
def test_what_a_user_may_start_is_what_the_route_lets_them_start(
    secured: Callable[..., Asker], role: str, may: bool
) -> None:
    query = '{ workflows(filterBy: {field: "name", value: "create_device"}) { page { isAllowed } } }'
    assert secured(role).data(query)["workflows"]["page"] == [{"isAllowed": may}]
