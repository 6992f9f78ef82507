"""What routes ask for: the processes, the database, the settings, and who calls."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from orchestrator_defs.api.settings import ApiSettings
from orchestrator_defs.orchestrator import Orchestrator
from orchestrator_defs.processes import Processes
from resources.database import SubscriptionDatabase
from resources.users import User


def _processes(connection: HTTPConnection) -> Processes:
    found: Processes = connection.app.state.processes
    return found


def _orchestrator(connection: HTTPConnection) -> Orchestrator:
    return _processes(connection).orchestrator


def _database(connection: HTTPConnection) -> SubscriptionDatabase:
    return _processes(connection).database


def _settings(connection: HTTPConnection) -> ApiSettings:
    found: ApiSettings = connection.app.state.settings
    return found


def _user(connection: HTTPConnection) -> User:
    found: User = connection.scope["user"]
    return found


ProcessesDep = Annotated[Processes, Depends(_processes)]
OrchestratorDep = Annotated[Orchestrator, Depends(_orchestrator)]
DatabaseDep = Annotated[SubscriptionDatabase, Depends(_database)]
"""The subscription database, ready for use: open a transaction of it."""
SettingsDep = Annotated[ApiSettings, Depends(_settings)]
UserDep = Annotated[User, Depends(_user)]
"""Who calls, as the gate has authenticated them."""
