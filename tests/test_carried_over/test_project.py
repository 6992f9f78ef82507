"""A project of orchestrator-core, carried over by the table of imports alone, works."""

import importlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator_defs.testing import Run, Testbed
from resources.catalogue.catalogue import Product
from resources.errors import FormIncomplete, StartRefused
from resources.types import SubscriptionLifecycle
from tests.architecture import ROOT
from tests.test_carried_over.rewriting import rewrite

NODE, PORT = [{"product": "Node Cisco"}], [{"product": "Port 10G"}]
NODE_PAGES = [*NODE, {"customer_id": "acme", "node_name": "ams1"}, {}]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """Its workflows and products, from a folder of their own."""
    folder = tmp_path_factory.mktemp("project")
    rewrite(ROOT / "tests" / "carried_over", folder)
    sys.path.insert(0, str(folder))

    def load(module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"carried_over.{module}"), name)

    names = [f"{verb}_node" for verb in ("create", "modify", "validate", "terminate")]
    jobs = [load(f"workflows.node.{name}", name) for name in names]
    jobs += [load(f"workflows.port.{name}", name) for name in ("create_port", "terminate_port")]
    node, port = load("products.node", "Node"), load("products.port", "Port")
    cisco = Product("Node Cisco", "NODE", node, "Carried Node", "a node", {"node_type": "Cisco"})
    products = [cisco, Product("Port 10G", "PORT", port, "Carried Port", "a port", {"speed": 10_000})]
    yield SimpleNamespace(jobs=jobs, products=products)
    sys.path.remove(str(folder))


@pytest.fixture
def bed(project: SimpleNamespace, testbed_of: Callable[..., Testbed]) -> Testbed:
    return testbed_of(project.jobs, project.products)


@pytest.fixture
def node(bed: Testbed) -> Run:
    run = bed.run("create_node", NODE_PAGES)
    run.assert_completed()
    return run


def on(run: Run, *pages: Any) -> list[Any]:
    return [{"subscription_id": str(run.subscription_id)}, *pages]


def test_a_node_is_created(node: Run) -> None:
    """With its fixed input in the form, a summary page, and what a step has put into the state in place."""
    assert (node.subscription.status, node.subscription.insync) == (SubscriptionLifecycle.ACTIVE, True)
    assert node.subscription.description == "Cisco node ams1"
    node.assert_state({"ims": {"name": "ams1"}, "description": "Cisco of mine"})


def test_its_form_ends_with_a_summary(bed: Testbed) -> None:
    with pytest.raises(FormIncomplete) as asked:
        bed.run("create_node", NODE_PAGES[:2])

    assert asked.value.schema["properties"]["product_summary"]["uniforms"]["data"] == {
        "labels": ["node_name", "description"],
        "columns": [["ams1"], ["Cisco of mine"]],
    }


def test_a_node_is_modified(bed: Testbed, node: Run) -> None:
    """While it is provisioning; the last step takes the class of an active one."""
    run = bed.run("modify_node", on(node, {"node_name": "ams2"}))

    run.assert_completed()
    assert run.subscription.description == "Cisco node ams2"
    assert [key for key in run.steps if key.startswith("set_status")] == [
        "set_status_provisioning",
        "set_status_active",
    ]


def test_a_node_is_validated(bed: Testbed, node: Run) -> None:
    bed.run("validate_node", on(node)).assert_state({"validated": '{"name":"ams1","tag":null}'})


def test_what_does_not_agree_is_told_with_its_details(bed: Testbed, node: Run) -> None:
    bed.run("modify_node", on(node, {"node_name": "lost"}))

    run = bed.run("validate_node", on(node))

    run.assert_status("inconsistent_data")
    assert run.ledger["validate_ims"].error["details"] == '{"name":"lost","tag":null}'


def port(bed: Testbed, node: Run, **more: Any) -> Run:
    pages = [{"customer_id": "acme", "node_subscription_id": str(node.subscription_id)}, {"vlans": "2-5,9", **more}]
    return bed.run("create_port", [*PORT, *pages])


def test_a_port_is_created_on_a_node(bed: Testbed, node: Run) -> None:
    """By a workflow that names its first and last steps, with the node's own block in it, and a question."""
    run = port(bed, node)
    run.assert_suspended(at="confirm")

    run.answer({})

    run.assert_completed()
    made = run.subscription
    assert (str(made.port.vlans), made.speed, made.description) == ("2-5,9", 10_000, "port ams1-1 on node ams1")
    assert [channel.lane for channel in made.port.channels] == [0, 1]
    assert made.port.node.owner_subscription_id == node.subscription_id
    assert run.state["provisioned"] == "2-5,9"


def test_a_port_that_nobody_wants_is_aborted(bed: Testbed, node: Run) -> None:
    run = port(bed, node, wanted=False)

    run.assert_aborted()
    assert list(run.steps)[-1] == "abort"


def test_a_node_in_use_is_not_terminated(bed: Testbed, node: Run) -> None:
    port(bed, node).answer({}).assert_completed()

    with pytest.raises(StartRefused, match="is in use by others"):
        bed.run("terminate_node", on(node, {}))


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # a default that is text in place of an id
def test_port_and_node_are_terminated(bed: Testbed, node: Run) -> None:
    made = port(bed, node).answer({})

    for workflow, run in (("terminate_port", made), ("terminate_node", node)):
        ended = bed.run(workflow, on(run, *([{}] if run is node else [])))
        ended.assert_completed()
        assert ended.subscription.status == SubscriptionLifecycle.TERMINATED
