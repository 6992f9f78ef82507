"""Both ends of each long-lived connection notice that the other's machine is gone."""

import asyncio
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from resources.database.session import KEEPALIVE, SubscriptionDatabase
from resources.runs.dispatch import Dispatch
from resources.updates import change_feed


def of_the_pool(database: SubscriptionDatabase, _: dg.DagsterInstance) -> Any:
    with database.engine.connect() as connection:
        return connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]


def of_dagsters_pool(_: SubscriptionDatabase, instance: dg.DagsterInstance) -> Any:
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        return connection.connection.dbapi_connection.info.dsn_parameters


def of_the_liveness_lock(_: SubscriptionDatabase, instance: dg.DagsterInstance) -> Any:
    with Dispatch(instance).connect() as connection:
        return connection.info.get_parameters()


def of_live_updates(database: SubscriptionDatabase, _: dg.DagsterInstance) -> Any:
    async def opened() -> Any:
        async with await change_feed._open(database.url) as connection:
            return connection.info.get_parameters()

    return asyncio.run(opened())


@pytest.mark.parametrize("connected", [of_the_pool, of_dagsters_pool, of_the_liveness_lock, of_live_updates])
def test_both_ends_of_a_connection_look_whether_the_other_is_there(
    database: SubscriptionDatabase,
    dagster_instance: dg.DagsterInstance,
    connected: Callable[[SubscriptionDatabase, dg.DagsterInstance], Any],
) -> None:
    parameters = connected(database, dagster_instance)
    assert {name: str(value) for name, value in KEEPALIVE.items()}.items() <= parameters.items()
    for setting in ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"):
        assert f"-c {setting}=" in parameters["options"]
