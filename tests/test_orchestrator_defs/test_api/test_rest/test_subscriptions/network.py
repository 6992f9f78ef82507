"""A device, what may be started on it, and what the tests of subscriptions do to it."""

from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa

from ops.steps.step import StepList, begin, step
from orchestrator_defs.jobs.decorators import modify_workflow
from resources.database.tables import SubscriptionTable
from resources.domain.subscription_model import SubscriptionModel
from resources.subscriptions.queries import find_product
from tests.engine import Engine
from tests.test_resources.test_domain.domain import CircuitInactive, Device

NOBODY = "00000000-0000-4000-8000-000000000000"


@step("Nothing")
def nothing() -> None: ...


async def only_ada(context: Any) -> bool:
    return bool(context.user == "ada")


@modify_workflow("Guarded", product_type="Device", authorize_callback=only_ada)
def modify_guarded() -> StepList:
    return begin >> nothing


def change(engine: Engine, subscription_id: str, **values: Any) -> None:
    """Write columns of a subscription's row, behind everybody's back."""
    with engine.database.transaction() as session:
        of_it = SubscriptionTable.subscription_id == UUID(subscription_id)
        session.execute(sa.update(SubscriptionTable).where(of_it).values(**values))


def whole(api: httpx.Client, subscription_id: UUID | str, **options: Any) -> Any:
    answer = api.get(f"/subscriptions/domain-model/{subscription_id}", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def moment(engine: Engine, subscription_id: str, name: str) -> float:
    with engine.database.transaction() as session:
        found: datetime = getattr(session.get(SubscriptionTable, UUID(subscription_id)), name)
        return found.timestamp()


def saved(subscription_id: UUID | str, **changes: Any) -> None:
    subscription = SubscriptionModel.from_subscription(subscription_id)
    for name, value in changes.items():
        setattr(subscription, name, value)
    subscription.save()


def active_circuit_on(device: str) -> None:
    other = CircuitInactive.from_product_id(find_product("circuit").product_id, "customer")
    for end in other.circuit.endpoints:
        end.socket.device = Device.from_subscription(device).device
    other.save()


def put_in_sync(api: httpx.Client, subscription_id: str, **options: Any) -> httpx.Response:
    return api.put(f"/subscriptions/{subscription_id}/set_in_sync", **options)
