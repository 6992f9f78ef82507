"""What a transaction and a model know of what was saved."""

from sqlalchemy.orm import Session

from resources.database.session import SubscriptionDatabase
from resources.domain.subscription_model import SavedSubscription, saved_in_transaction
from resources.types import SubscriptionLifecycle
from tests.test_resources.test_domain.domain import CUSTOMER, Device, DeviceInactive, active_device, add_product
from tests.test_resources.test_domain.test_saving.holders import stored


def test_a_subscription_is_new_until_it_is_saved(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    assert device.is_new
    device.save()
    assert not device.is_new


def test_a_subscription_that_was_read_is_not_new(session: Session) -> None:
    assert not Device.from_subscription(active_device().subscription_id).is_new


def test_being_new_is_no_part_of_what_is_kept(session: Session) -> None:
    device = active_device()
    assert "is_new" not in device.model_dump()
    assert "is_new" not in stored(device)["document"]


def test_a_new_status_is_as_new_as_the_old_one(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    device.device.hostname = "ams1"
    assert Device.from_other_lifecycle(device, SubscriptionLifecycle.ACTIVE).is_new


def test_a_transaction_knows_what_was_saved_in_it(session: Session) -> None:
    device = DeviceInactive.from_product_id(add_product("device"), CUSTOMER)
    change = device.save()
    assert saved_in_transaction() == [SavedSubscription(device.subscription_id, change)]


def test_what_was_saved_is_told_once(session: Session) -> None:
    active_device()
    saved_in_transaction()
    assert saved_in_transaction() == []


def test_a_save_of_insync_alone_is_told_without_a_change(session: Session) -> None:
    device = active_device()
    saved_in_transaction()
    device.insync = True
    device.save()
    assert saved_in_transaction() == [SavedSubscription(device.subscription_id, None)]


def test_a_save_that_wrote_nothing_is_not_told(session: Session) -> None:
    device = active_device()
    saved_in_transaction()
    device.save()
    assert saved_in_transaction() == []


def test_what_was_saved_in_another_transaction_is_not_told(database: SubscriptionDatabase) -> None:
    with database.transaction():
        active_device()
    with database.transaction():
        assert saved_in_transaction() == []
