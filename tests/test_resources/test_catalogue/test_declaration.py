"""What a catalogue in the code must be: faults are named, models are registered."""

import pytest

from resources.catalogue.catalogue import Catalogue, Product, WorkflowEntry
from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.errors import CatalogueError, ModelDeclarationError
from resources.types import ProductLifecycle, Target
from tests.test_resources.test_catalogue.nodes import CREATE_NODE, PLAIN, WITH_SPEED, node
from tests.test_resources.test_domain.samples import product


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ([product(PLAIN), product(PLAIN)], "Product 'Node' is listed twice."),
        ([product(WITH_SPEED)], "gives no value for the fixed input 'speed' of SpeedModel"),
        ([product(PLAIN, fixed_inputs={"speed": 1})], "gives a fixed input 'speed' that PlainModel does not have"),
        ([product(WITH_SPEED, fixed_inputs={"speed": "warp"})], "fixed input 'speed' of SpeedModel cannot be 'warp'"),
        ([product(PLAIN, tag="A" * 21)], "a tag has 1 to 20 characters"),
        ([product(PLAIN, name="")], "has no name"),
        ([product(PLAIN, description="x" * 2001)], "a description of 2001 characters"),
        (
            [product(PLAIN, formerly="Port"), product(PLAIN, name="Port")],
            "was formerly 'Port', which is a product",
        ),
        ([product(PLAIN, formerly="A"), product(PLAIN, name="B", formerly="A")], "More than one product declares"),
        ([product(str)], "which is not a SubscriptionModel class"),  # type: ignore[arg-type]
    ],
)
def test_a_faulty_product_is_refused_with_its_name_and_fault(declared: list[Product], words: str) -> None:
    with pytest.raises(CatalogueError, match="(?s)" + words.replace("(", r"\(")):
        Catalogue(declared)


def test_all_faults_of_the_products_are_named_at_once() -> None:
    with pytest.raises(ModelDeclarationError, match=r"2 faults.*'Node'.*'Port'"):
        Catalogue([product(WITH_SPEED), product(WITH_SPEED, name="Port")])


def test_a_workflow_for_an_unknown_product_type_is_refused() -> None:
    with pytest.raises(CatalogueError, match=r"'create_port' is for product type 'Port'.*known product types: Node"):
        Catalogue([product(PLAIN)], [WorkflowEntry("create_port", Target.CREATE, "", False, ("Port",))])


def test_two_workflows_of_one_name_are_refused() -> None:
    with pytest.raises(CatalogueError, match="Workflow 'create_node' is listed twice"):
        Catalogue([product(PLAIN)], [CREATE_NODE, CREATE_NODE])


def test_a_catalogue_registers_its_models_by_product_name() -> None:
    Catalogue([product(PLAIN, name="Registered")])
    assert SUBSCRIPTION_MODEL_REGISTRY["Registered"] is PLAIN


def test_the_hash_does_not_depend_on_what_people_may_edit() -> None:
    edited = product(PLAIN, description="Other words", status=ProductLifecycle.PHASE_OUT)
    assert Catalogue([product(PLAIN)]).hash == Catalogue([edited]).hash


def test_the_hash_depends_on_the_values_of_a_block() -> None:
    assert node(node_name=str).hash != node(node_name=str, site=str).hash
