"""The run configs in examples/ do what they say, for newcomers try them first."""

from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from resources.types import SubscriptionLifecycle
from tests.test_products.conftest import WORKFLOWS, Network

EXAMPLES = Path(__file__).parents[2] / "examples"
NO_ID = "00000000-0000-0000-0000-000000000000"


def example(name: str, subscription_id: UUID | None = None) -> list[dict[str, Any]]:
    """The pages of an example, about that subscription."""
    text = (EXAMPLES / f"{name}.yaml").read_text()
    inputs = yaml.safe_load(text.replace(NO_ID, str(subscription_id)))["inputs"]
    return [inputs] if isinstance(inputs, dict) else inputs


HEADS = {path.name: path.read_text().splitlines()[:2] for path in EXAMPLES.glob("*.yaml")}


def test_each_workflow_has_an_example_that_says_how_to_run_it() -> None:
    for name in (job.name for job in WORKFLOWS):
        command = f"# dagster job execute -m orchestrator_defs -j {name} -c examples/{name}.yaml"
        assert HEADS[f"{name}.yaml"][0] == command


def test_each_example_says_in_its_second_line_what_it_needs() -> None:
    for name, (command, needs) in HEADS.items():
        assert command.endswith(f" -c examples/{name}")
        assert needs.startswith("# Needs "), name


def test_the_examples_are_a_networks_whole_life(empty_network: Network) -> None:
    network = empty_network
    node = network.run("create_node", *example("create_node"))
    port = network.run("create_port", *example("create_port"))
    network.run("create_node", *example("create_node_utr1"))
    for name in ("create_port_utr1", "create_port_utr1_link", "create_port_ams1_link"):
        network.run("create_port", *example(name))
    core_link = network.run("create_core_link", *example("create_core_link"))
    service = network.run("create_l2vpn", *example("create_l2vpn"))

    network.run("modify_node", *example("modify_node", node))
    network.run("modify_port", *example("modify_port", port))
    network.run("modify_core_link", *example("modify_core_link", core_link))
    network.run("modify_l2vpn", *example("modify_l2vpn", service))

    about = {"node": node, "port": port, "core_link": core_link, "l2vpn": service}
    for verb in ("reconcile", "validate"):
        for product, subscription_id in about.items():
            network.run(f"{verb}_{product}", *example(f"{verb}_{product}", subscription_id))

    for product in ("l2vpn", "core_link", "port"):
        network.run(f"terminate_{product}", *example(f"terminate_{product}", about[product]))
    network.run("terminate_port", *example("terminate_port", network.find("ams1 FourHundredGigE0/0/0/0 400G")))
    network.run("terminate_node", *example("terminate_node", node))
    assert network.subscription(node).status == SubscriptionLifecycle.TERMINATED
