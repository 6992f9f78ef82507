"""The dependencies of routes: the processes, the database, the settings, and the user."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from orchestrator_defs.api.server_settings import ApiSettings
from orchestrator_defs.jobs.served import Served
from orchestrator_defs.processes.processes import Processes
from resources.database.session import SubscriptionDatabase
from resources.users import User


async def _processes(connection: HTTPConnection) -> Processes:
    found: Processes = connection.app.state.processes
    return found


async def _served(connection: HTTPConnection) -> Served:
    return (await _processes(connection)).served


def _database(connection: HTTPConnection) -> SubscriptionDatabase:
    """In a thread, because the first use of the database checks its schema."""
    found: Processes = connection.app.state.processes
    return found.database


async def _settings(connection: HTTPConnection) -> ApiSettings:
    found: ApiSettings = connection.app.state.settings
    return found


async def _user(connection: HTTPConnection) -> User:
    found: User = connection.scope["user"]
    return found


ProcessesDep = Annotated[Processes, Depends(_processes)]
ServedDep = Annotated[Served, Depends(_served)]
DatabaseDep = Annotated[SubscriptionDatabase, Depends(_database)]
"""The subscription database, migrated: open a transaction of it."""
SettingsDep = Annotated[ApiSettings, Depends(_settings)]
UserDep = Annotated[User, Depends(_user)]
"""The user, as the middleware has authenticated them."""
