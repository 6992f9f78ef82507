"""What every command is given, and how it ends on an error."""

import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from orchestrator_defs.cli.code_options import chosen_code
from resources.errors import ExternalSystemError, OrchestratorError

if TYPE_CHECKING:  # each is loaded when a command asks for it
    from orchestrator_defs.jobs.orchestrator import Orchestrator
    from orchestrator_defs.processes.processes import Processes
    from resources.catalogue.catalogue import Catalogue
    from resources.database.session import SubscriptionDatabase


class Application:
    """`click.Context.obj` of every command: the database, and the definitions if the command asks for them.

    `load` imports what it is asked for by name: `database`, `orchestrator`, `instance`, `processes`.
    """

    def __init__(self, load: Callable[[str], Any]) -> None:
        self._load = load

    @cached_property
    def database(self) -> "SubscriptionDatabase":
        """Where subscriptions and processes live, whatever the definitions are."""
        found: SubscriptionDatabase = self._load("database")()
        return found

    @cached_property
    def orchestrator(self) -> "Orchestrator":
        """Whose products and workflows the command is about; the definitions are loaded for it."""
        found: Orchestrator = self._load("orchestrator")(**chosen_code())
        return found

    @property
    def catalogue(self) -> "Catalogue":
        """The products and workflows of the code."""
        return self.orchestrator.catalogue

    @contextmanager
    def processes(self) -> Iterator["Processes"]:
        """The processes of the orchestrator, whose runs are in the Dagster instance of the folder."""
        with self._load("instance")() as instance:
            yield self._load("processes")(self.orchestrator, instance)


def operator() -> str:
    """Who runs the command, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


class ApplicationGroup(click.Group):
    """A group whose commands end on our own errors with their message and exit code 1, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (OrchestratorError, ExternalSystemError) as error:
            raise click.ClickException(str(error)) from error
