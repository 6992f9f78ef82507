"""What every command gets, and how it ends on an error."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from orchestrator_defs.cli.code_options import chosen_code
from resources.errors import REFUSALS
from resources.users import Role, User

if TYPE_CHECKING:  # each is loaded when a command needs it
    from orchestrator_defs.jobs.orchestrator import Orchestrator
    from orchestrator_defs.processes.processes import Processes
    from resources.catalogue.catalogue import Catalogue
    from resources.database.session import SubscriptionDatabase


class Application:
    """`click.Context.obj` of every command: the database, and the definitions on request.

    `load` imports by name: `database`, `orchestrator`, `instance`, `processes`.
    """

    def __init__(self, load: Callable[[str], Any]) -> None:
        self._load = load

    @cached_property
    def database(self) -> "SubscriptionDatabase":
        """The database of subscriptions and processes; needs no definitions."""
        found: SubscriptionDatabase = self._load("database")()
        return found

    @cached_property
    def orchestrator(self) -> "Orchestrator":
        """The orchestrator with its products and workflows; loads the definitions."""
        found: Orchestrator = self._load("orchestrator")(**chosen_code())
        return found

    @property
    def catalogue(self) -> "Catalogue":
        """The products and workflows of the code."""
        return self.orchestrator.catalogue

    @contextmanager
    def processes(self) -> Iterator["Processes"]:
        """The processes of the orchestrator, on the Dagster instance of the working directory."""
        with self._load("instance")() as instance:
            yield self._load("processes")(self.orchestrator, instance)


def operator() -> User:
    """The user who runs the command, by the operating system's name: an admin, who reaches the database anyway."""
    try:
        return User(getpass.getuser(), roles=[Role.ADMIN])
    except (KeyError, OSError):  # a container's user may have no name
        return User(f"uid {os.getuid()}", roles=[Role.ADMIN])


class ApplicationGroup(click.Group):
    """A group whose commands report our own errors as one message with exit code 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except REFUSALS as error:
            raise click.ClickException(str(error)) from error
