"""Every field of every type is answered, wherever it is selected: nothing looks empty because nobody read it."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema, GraphQLUnionType, get_named_type

from orchestrator_defs.api.graphql.service import make_executor
from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.served import Served
from tests.engine import Engine
from tests.test_graphql.conftest import Asker, Network

ROOTS = (
    *("workflows", "products", "productBlocks", "resourceTypes", "scheduledTasks", "customers", "processes"),
    "subscriptions",
)
LEVELS = 6


@pytest.fixture(scope="module")
def schema(engine: Engine, network: Network) -> GraphQLSchema:
    """The schema, with something of everything to ask about."""
    router = network.node("whole1")
    network.l2vpn(network.port(router, "ge-w1"), network.port(router, "ge-w2"))
    engine.run("create_device", [{"product": "Test Device"}, {"hostname": "whole"}])
    engine.run("ask")
    return make_executor(Served([engine.orchestrator]), ApiSettings(oauth2_active=False)).schema


def selections(kind: Any, levels: int, path: tuple[str, ...]) -> Iterator[str]:
    """Each field of a type, with all that is below it; a type within itself is not entered again."""
    if isinstance(kind, GraphQLUnionType):
        for one in kind.types:
            yield f"... on {one.name} {{ {' '.join(selections(one, levels, path))} }}"
        return
    for name, one in kind.fields.items():
        below = get_named_type(one.type)
        if not isinstance(below, GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType):
            yield name
        elif levels and path.count(below.name) < 2:
            inner = " ".join(selections(below, levels - 1, (*path, below.name)))
            arguments = "(first: 1)" if "first" in one.args else ""
            yield f"{name}{arguments} {{ {inner or '__typename'} }}"


@pytest.mark.parametrize("root", ROOTS)
def test_everything_below_a_root_is_answered(
    asker_of: Any, schema: GraphQLSchema, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    for name, much in {"TOKENS": 10**6, "COST": 10**9}.items():  # that much is refused otherwise
        monkeypatch.setattr(f"orchestrator_defs.api.graphql.service.{name}", much)
    ask: Asker = asker_of()
    assert schema.query_type is not None
    kind = get_named_type(schema.query_type.fields[root].type)
    query = f"{{ {root}(first: 2) {{ {' '.join(selections(kind, LEVELS, ()))} }} }}"
    answer = ask(query)
    kinds = {error["extensions"]["error_type"]: error["path"] for error in answer.get("errors", ())}
    assert "internal_error" not in kinds and "bad_request" not in kinds, kinds


@pytest.mark.parametrize("name", ["NodeSubscription", "PortSubscription", "L2vpnSubscription"])
def test_everything_of_a_product_is_answered(ask: Asker, schema: GraphQLSchema, name: str) -> None:
    kind = schema.type_map[name]
    assert isinstance(kind, GraphQLObjectType)
    common = schema.type_map["SubscriptionInterface"].fields  # type: ignore[attr-defined]
    own = [one for one in selections(kind, LEVELS, ()) if one.split()[0].split("(")[0] not in common]
    product = name.removesuffix("Subscription")
    filters = f'[{{field: "productType", value: "{product}"}}, {{field: "status", value: "active"}}]'
    query = f"{{ subscriptions(first: 1, filterBy: {filters}) {{ page {{ ... on {name} {{ {' '.join(own)} }} }} }} }}"
    (found,) = ask.data(query)["subscriptions"]["page"]
    assert all(value is not None for value in found.values())
