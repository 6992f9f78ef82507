"""Whatever a product is called, its location loads."""

from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_defs.assets.asset_definitions import asset_definitions, assets_of
from orchestrator_defs.assets.asset_names import asset_keys, owners
from resources.catalogue.catalogue import Catalogue, Product, WorkflowEntry
from resources.types import ProductLifecycle, Target
from tests.test_resources.test_domain.domain import DeviceInactive
from tests.test_resources.test_domain.samples import registry_kept

NAMES = st.text(min_size=1, max_size=40).filter(str.strip) | st.sampled_from(
    ["Node Cisco", "Node-Cisco", "Node_Cisco", "узел", "порт", "a/b", "a__b", "products", "*", '"', "\\", "class"]
)


def path(name: str, *others: str) -> str:
    return asset_keys([name, *others])[name].to_user_string()


@given(
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True),
    product_type=NAMES,
    tag=st.text(min_size=1, max_size=20),
    owner=st.text(max_size=20) | st.sampled_from(["noc@example.org", ".@b.cc", "team:", "team:noc"]),
    status=st.sampled_from(ProductLifecycle),
)
@settings(max_examples=60, deadline=None)
def test_products_of_any_names_load(
    names: list[str], product_type: str, tag: str, owner: str, status: ProductLifecycle
) -> None:
    products = [
        Product(name, tag, DeviceInactive, product_type, name, status=status, owners=[owner, owner]) for name in names
    ]
    workflows = [WorkflowEntry("validate_device", Target.VALIDATE, "Validate", True, (product_type,))]
    with registry_kept():
        catalogue = Catalogue(products, workflows)
    made = asset_definitions(catalogue, assets_of(catalogue))
    resource: Any = dg.ResourceDefinition.none_resource()
    graph = dg.Definitions.merge(made, dg.Definitions(resources={"database": resource})).resolve_asset_graph()
    assert len(graph.get_all_asset_keys()) == len(names)
    assert len(graph.asset_check_keys) == 2 * len(names)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Node Cisco", "Node_Cisco"), ("IP-prefix", "IP_prefix"), ("MSP_100G", "MSP_100G"), ("10G (LR)", "10G_LR")],
)
def test_a_usual_name_is_recognised_in_its_key(name: str, expected: str) -> None:
    assert path(name) == f"products/{expected}"


def test_names_that_would_have_one_key_have_two() -> None:
    first, second = path("Node Cisco", "Node-Cisco"), path("Node-Cisco", "Node Cisco")
    assert first != second
    assert first.startswith("products/Node_Cisco_")


def test_an_owner_is_an_address_or_a_team() -> None:
    assert owners(["noc@example.org", "NOC Amsterdam", "team:noc", " "]) == [
        "noc@example.org",
        "team:NOC Amsterdam",
        "team:noc",
    ]
