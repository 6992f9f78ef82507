"""The asset graph is the catalogue: who holds whose blocks."""

from collections.abc import Iterator

import dagster as dg
import pytest

from orchestrator_defs import build_definitions
from orchestrator_defs.assets.product_assets import held_products
from orchestrator_defs.definitions import defs, orchestrator
from orchestrator_defs.jobs.orchestrator import orchestrator_of
from resources import Product, ProductBlockModel, SubscriptionModel
from resources.catalogue.catalogue import Catalogue
from tests.test_resources.test_domain.samples import registry_kept
from tests.toy_network import DEVICE, OTHER, World, device_workflows

NODES = {"Node Cisco", "Node Juniper", "Node Nokia"}
PORTS = {"Port 10G", "Port 100G", "Port 400G"}


@pytest.fixture(autouse=True)
def kept_registry() -> Iterator[None]:
    with registry_kept():
        yield


def own(name: str = "own", **options: bool) -> dg.Definitions:
    return build_definitions([DEVICE, OTHER], device_workflows(World()), name=name, **options)


def test_what_holds_a_block_of_another_product_is_downstream_of_it() -> None:
    held = held_products(orchestrator.catalogue)
    assert {name: held[name] for name in ("Node Nokia", "Port 10G", "Core link", "L2VPN")} == {
        "Node Nokia": set(),
        "Port 10G": NODES,
        "Core link": PORTS,
        "L2VPN": PORTS,
    }


def test_a_circle_of_products_is_cut_open() -> None:
    class AlphaBlock(ProductBlockModel, product_block_name="Test Alpha"):
        beta: "BetaBlock | None" = None

    class BetaBlock(ProductBlockModel, product_block_name="Test Beta"):
        alpha: AlphaBlock | None = None

    AlphaBlock.model_rebuild(_types_namespace={"BetaBlock": BetaBlock})

    class Alpha(SubscriptionModel, is_base=True):
        alpha: AlphaBlock

    class Beta(SubscriptionModel, is_base=True):
        beta: BetaBlock

    products = [Product("Alpha", "A", Alpha, "Alpha", "a"), Product("Beta", "B", Beta, "Beta", "b")]
    assert held_products(Catalogue(products)) == {"Alpha": {"Beta"}, "Beta": set()}


def test_an_asset_says_what_the_product_is() -> None:
    graph = defs.resolve_asset_graph()
    node = graph.get(dg.AssetKey(["products", "Port_10G"]))
    assert (node.group_name, node.kinds, node.tags["lifecycle"]) == ("port", {"port", "subscription"}, "active")
    assert node.metadata["product"] == "Port 10G"
    assert node.description


def test_an_organisations_own_products_are_assets_without_a_line_of_theirs() -> None:
    keys = own().resolve_asset_graph().get_all_asset_keys()
    assert keys == {dg.AssetKey(["products", "Test_Device"]), dg.AssetKey(["products", "Other_Thing"])}


def test_a_product_that_nothing_validates_has_no_checks() -> None:
    keys = own().resolve_asset_graph().asset_check_keys
    assert {(key.asset_key.path[-1], key.name) for key in keys} == {
        ("Test_Device", "drift"),
        ("Test_Device", "validated_in_time"),
    }


def test_a_location_may_have_no_assets() -> None:
    found = own(assets=False)
    assert not found.resolve_asset_graph().get_all_asset_keys()
    assert not orchestrator_of(found).product_assets.keys


def test_merged_locations_have_each_asset_once() -> None:
    merged = dg.Definitions.merge(own(), build_definitions([DEVICE], [], name="other"))
    assert len(merged.resolve_asset_graph().get_all_asset_keys()) == 2


def test_an_organisations_own_assets_may_follow_a_product() -> None:
    @dg.asset(deps=[dg.AssetKey(["products", "Test_Device"])])
    def invoices() -> None:
        """What devices cost."""

    merged = dg.Definitions.merge(own(), dg.Definitions(assets=[invoices]))
    assert merged.resolve_asset_graph().get(dg.AssetKey("invoices")).parent_keys == {
        dg.AssetKey(["products", "Test_Device"])
    }
    assert orchestrator_of(merged).name == "own"
