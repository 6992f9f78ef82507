"""A device and a circuit on it, and the API that shows them."""

from collections.abc import Callable

import httpx
import pytest

from resources.domain.models.registry import SUBSCRIPTION_MODEL_REGISTRY
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle
from tests.engine import Engine
from tests.test_orchestrator_defs.test_api.test_rest.test_subscriptions.network import modify_guarded
from tests.test_resources.test_domain.domain import CircuitInactive, Device, DeviceInactive, active_circuit
from tests.toy_network import DEVICE, World, device_workflows


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def engine(engine_of: Callable[..., Engine], world: World) -> Engine:
    return engine_of(*device_workflows(world), modify_guarded, products=[DEVICE])


@pytest.fixture
def api(engine: Engine, api_of: Callable[..., httpx.Client]) -> httpx.Client:
    return api_of(engine)


@pytest.fixture
def device(engine: Engine) -> str:
    """The id of a device in service."""
    with engine.database.transaction():
        made = DeviceInactive.from_product_id(find_product("Test Device").product_id, "customer", insync=True)
        made.device.hostname, made.description = "ams1", "Device ams1"
        made.save()
        Device.from_other_lifecycle(made, SubscriptionLifecycle.ACTIVE).save()
    return str(made.subscription_id)


@pytest.fixture
def circuit(engine: Engine, device: str) -> str:
    """The id of a circuit that uses the device."""
    SUBSCRIPTION_MODEL_REGISTRY["circuit"] = CircuitInactive
    with engine.database.transaction():
        made = active_circuit(Device.from_subscription(device), ends=2)
        made.insync = True
        made.save()
    return str(made.subscription_id)
