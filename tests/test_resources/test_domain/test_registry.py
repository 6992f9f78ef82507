"""The registry takes only models that can work, and says all that is wrong with the others."""

import pytest
from pydantic import BaseModel

from resources.domain.blocks import ProductBlockModel
from resources.domain.models.registry import SubscriptionModelRegistry
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import ModelDeclarationError, ProductNotInRegistry
from tests.test_resources.test_domain.domain import Circuit, Device


class Place(BaseModel):
    """A value with structure, which should have been a block."""

    street: str


class PlacedBlock(ProductBlockModel, product_block_name="Registry Placed"):
    """A block with such values."""

    place: Place
    places: list[Place | None]
    anything: BaseModel


class Placed(SubscriptionModel, is_base=True):
    """A subscription with such a block, and one of its own."""

    home: Place | None = None
    block: PlacedBlock


def test_any_class_of_a_family_can_be_registered() -> None:
    registry = SubscriptionModelRegistry()
    registry.update({"circuit": Circuit}, device=Device)
    registry.setdefault("device 2", Device)

    assert registry == {"circuit": Circuit, "device": Device, "device 2": Device}


def test_structured_values_are_refused_all_at_once() -> None:
    with pytest.raises(ModelDeclarationError) as caught:
        SubscriptionModelRegistry()["placed"] = Placed

    for field in ("Placed.home", "PlacedBlock.place ", "PlacedBlock.places", "PlacedBlock.anything"):
        assert field in str(caught.value)


def test_two_blocks_of_one_name_are_refused() -> None:
    class One(ProductBlockModel, product_block_name="Registry Twin"):
        pass

    class Other(ProductBlockModel, product_block_name="Registry Twin"):
        pass

    class Twins(SubscriptionModel, is_base=True):
        one: One
        other: Other

    with pytest.raises(ModelDeclarationError, match="both named 'Registry Twin'"):
        SubscriptionModelRegistry()["twins"] = Twins


def test_a_name_that_never_became_a_class_is_refused() -> None:
    class Waiting(SubscriptionModel, is_base=True):
        block: "NeverDeclared"  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ModelDeclarationError, match=r"Waiting\.block: .*NeverDeclared.* does not exist"):
        SubscriptionModelRegistry()["waiting"] = Waiting


def test_a_product_without_model_is_named() -> None:
    with pytest.raises(ProductNotInRegistry, match="'unheard of'; products with a model: none"):
        SubscriptionModelRegistry()["unheard of"]
