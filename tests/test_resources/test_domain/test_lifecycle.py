"""Classes say in which statuses they hold, and what cannot work is refused at import."""

import pytest

from resources.domain.blocks import ProductBlockModel
from resources.domain.models.lifecycle import ALLOWED_USER_STATUSES, check_users, class_for, fits
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidLifecycle, ModelDeclarationError
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import (
    Circuit,
    CircuitBlock,
    CircuitBlockInactive,
    CircuitBlockProvisioning,
    CircuitInactive,
    CircuitProvisioning,
    DeviceBlock,
    DeviceBlockInactive,
)

INITIAL, ACTIVE, PROVISIONING, TERMINATED = (
    SubscriptionLifecycle.INITIAL,
    SubscriptionLifecycle.ACTIVE,
    SubscriptionLifecycle.PROVISIONING,
    SubscriptionLifecycle.TERMINATED,
)


@pytest.mark.parametrize("begun_from", [CircuitInactive, CircuitProvisioning, Circuit])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (INITIAL, CircuitInactive),
        (PROVISIONING, CircuitProvisioning),
        (ACTIVE, Circuit),
        (TERMINATED, CircuitInactive),
    ],
)
def test_any_class_of_a_family_finds_the_one_for_a_status(
    begun_from: type[SubscriptionModel], status: SubscriptionLifecycle, expected: type[SubscriptionModel]
) -> None:
    assert class_for(begun_from, status) is expected


def test_blocks_have_families_too() -> None:
    assert [class_for(CircuitBlock, status) for status in (INITIAL, PROVISIONING, ACTIVE)] == [
        CircuitBlockInactive,
        CircuitBlockProvisioning,
        CircuitBlock,
    ]


def test_a_class_fits_where_it_asks_for_at_least_as_much() -> None:
    assert fits(Circuit, ACTIVE)
    assert fits(Circuit, INITIAL)
    assert not fits(CircuitInactive, ACTIVE)


def test_a_class_without_family_stands_for_itself() -> None:
    assert class_for(SubscriptionModel, ACTIVE) is SubscriptionModel


def test_a_block_that_asks_for_too_little_is_refused_at_import() -> None:
    with pytest.raises(
        ModelDeclarationError, match=r"Loose\.device: DeviceBlockInactive .* status active .* DeviceBlock"
    ):

        class Loose(ProductBlockModel, product_block_name="Lifecycle Loose", lifecycle=[ACTIVE]):
            device: DeviceBlockInactive


def test_a_subscription_with_such_a_block_is_refused_at_import() -> None:
    class LooseInactive(SubscriptionModel, is_base=True):
        device: DeviceBlockInactive

    with pytest.raises(ModelDeclarationError, match=r"Loose\.device: DeviceBlockInactive is not suitable"):

        class Loose(LooseInactive, lifecycle=[ACTIVE]):
            pass


def test_a_refused_class_leaves_its_status_free() -> None:
    class LooseInactive(SubscriptionModel, is_base=True):
        device: DeviceBlockInactive

    with pytest.raises(ModelDeclarationError):

        class Loose(LooseInactive, lifecycle=[ACTIVE]):
            pass

    class Right(LooseInactive, lifecycle=[ACTIVE]):
        device: DeviceBlock

    assert class_for(LooseInactive, ACTIVE) is Right


def test_a_block_that_holds_itself_must_narrow_itself_too() -> None:
    class SelfInactive(ProductBlockModel, product_block_name="Lifecycle Self"):
        child: "SelfInactive | None" = None

    with pytest.raises(ModelDeclarationError, match=r"SelfLoose\.child: SelfInactive is not suitable"):

        class SelfLoose(SelfInactive, lifecycle=[ACTIVE]):
            pass

    class SelfActive(SelfInactive, lifecycle=[ACTIVE]):
        child: "SelfActive | None" = None

    assert SelfActive.block_fields()["child"].types == (SelfActive,)


def test_a_block_may_ask_for_more_than_the_status_does() -> None:
    class Strict(ProductBlockModel, product_block_name="Lifecycle Strict", lifecycle=[PROVISIONING]):
        device: DeviceBlock

    assert Strict.__lifecycles__ == (PROVISIONING,)


def test_two_classes_cannot_claim_one_status() -> None:
    with pytest.raises(ModelDeclarationError, match=r"Second and Circuit both claim status active of CircuitInactive"):

        class Second(CircuitInactive, lifecycle=[ACTIVE]):
            circuit: CircuitBlock


def test_an_unknown_class_keyword_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelDeclarationError, match=r"Typo: unknown keyword lifecyle; known are is_base, lifecycle"):

        class Typo(CircuitInactive, lifecyle=[ACTIVE]):
            pass

    with pytest.raises(ModelDeclarationError, match=r"Typo: unknown keyword block_name; known are product_block_name"):

        class Typo(ProductBlockModel, block_name="x"):  # type: ignore[no-redef]
            pass


def test_an_unknown_status_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelDeclarationError, match=r"Odd: lifecycle=\['retired'\] .* initial, active"):

        class Odd(CircuitInactive, lifecycle=["retired"]):
            pass


def test_every_status_says_what_the_users_may_be() -> None:
    assert ALLOWED_USER_STATUSES.keys() == set(SubscriptionLifecycle)
    assert ALLOWED_USER_STATUSES[ACTIVE] == set(SubscriptionLifecycle)


def test_users_that_forbid_a_status_are_named() -> None:
    with pytest.raises(
        InvalidLifecycle, match=r"Subscription one cannot become terminated .* two \(active\); .*initial"
    ):
        check_users("one", TERMINATED, [("two", "active"), ("three", "terminated")])
