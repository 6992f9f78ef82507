"""Federation: the schema as text, and objects by their keys."""

from collections.abc import Callable
from uuid import uuid4

from graphql import build_schema

from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network
from tests.test_graphql.test_route import Recorder

ENTITIES = """query($found: [_Any!]!) { _entities(representations: $found) { __typename
  ... on NodeSubscription { description node { nodeName } } ... on PortSubscription { description }
  ... on NodeBlock { nodeName title ownerSubscriptionId } ... on ProductType { name }
  ... on CustomerType { fullname } ... on ProcessType { workflowName } } }"""


def test_schema_has_its_keys_and_no_roots_of_the_federation(ask: Asker) -> None:
    text = ask.data("{ _service { sdl } }")["_service"]["sdl"]
    assert 'type NodeSubscription implements SubscriptionInterface @key(fields: "subscriptionId") {' in text
    assert '@key(fields: "subscriptionInstanceId") @key(fields: "imsId", resolvable: false) {' in text
    for kind, key in (("ProductType", "productId"), ("CustomerType", "customerId"), ("ProcessType", "processId")):
        assert f'type {kind} @key(fields: "{key}") {{' in text
    assert not {"_Entity", "_Any", "_service", "_entities"} & set(text.replace("(", " ").replace(":", " ").split())
    assert build_schema(text, assume_valid_sdl=True).query_type


def test_entities_keep_their_order_and_the_missing_are_null(ask: Asker, network: Network, engine: Engine) -> None:
    router = network.node("fed1")
    port = network.port(router, "ge-fed")
    process_id = engine.run("look_around")
    block = str(router.node.subscription_instance_id)
    asked = [
        {"__typename": "PortSubscription", "subscriptionId": str(port.subscription_id)},
        {"__typename": "NodeSubscription", "subscriptionId": str(uuid4())},
        {"__typename": "NodeSubscription", "subscriptionId": str(router.subscription_id).upper()},
        {"__typename": "NodeBlock", "subscriptionInstanceId": block},
        {"__typename": "CustomerType", "customerId": "acme"},
        {"__typename": "PortSubscription", "subscriptionId": str(router.subscription_id)},
        {"__typename": "ProcessType", "processId": str(process_id)},
        {"__typename": "ProductType", "productId": "no id"},
        {"__typename": "ProductType", "productId": str(router.product.product_id)},
    ]
    assert ask.data(ENTITIES, found=asked)["_entities"] == [
        {"__typename": "PortSubscription", "description": "Port ge-fed"},
        None,
        {"__typename": "NodeSubscription", "description": "Node fed1", "node": {"nodeName": "fed1"}},
        {
            "__typename": "NodeBlock",
            "nodeName": "fed1",
            "title": "fed1 fed",
            "ownerSubscriptionId": str(router.subscription_id),
        },
        {"__typename": "CustomerType", "fullname": "acme"},
        None,
        {"__typename": "ProcessType", "workflowName": "look_around"},
        None,
        {"__typename": "ProductType", "name": "Node Cisco"},
    ]


def test_what_has_no_key_is_an_error(ask: Asker) -> None:
    for one in ({}, {"__typename": "Query"}, {"__typename": "ProductType"}, 7, {"__typename": ["x"]}):
        assert ask.error(ENTITIES, found=[one])[0] == "bad_request"


def test_entities_are_authorised_as_rest_authorises_the_same_thing(
    secured: Callable[..., Asker], network: Network
) -> None:
    made = network.node("fed2")
    viewer = secured("viewer", options={"policy": Recorder("/api/subscriptions", "/api/processes")})
    asked = [
        {"__typename": "NodeSubscription", "subscriptionId": str(made.subscription_id)},
        {"__typename": "ProductType", "productId": str(made.product.product_id)},
    ]
    answer = viewer(ENTITIES, found=asked)
    assert answer["data"]["_entities"] == [None, {"__typename": "ProductType", "name": "Node Cisco"}]
    assert [one["extensions"]["error_type"] for one in answer["errors"]] == ["not_authorized"]
