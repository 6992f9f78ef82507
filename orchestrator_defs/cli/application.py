"""What every command is given, and how it ends on an error."""

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import click

from resources.catalogue.catalogue import Catalogue
from resources.database import schema
from resources.database.session import SubscriptionDatabase
from resources.errors import ExternalSystemError, OrchestratorError


class Application(Protocol):
    """`click.Context.obj` of commands that need no workflows; an Orchestrator is one, and more."""

    @property
    def database(self) -> SubscriptionDatabase:
        """Where subscriptions and processes live."""

    @property
    def catalogue(self) -> Catalogue:
        """The products and workflows of the code."""


def operator() -> str:
    """Who runs the command, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


@contextmanager
def reading(application: Application) -> Iterator[None]:
    """A read-only transaction on a database whose schema is current: made so if embedded, else SchemaOutOfDate."""
    schema.ensure_current(application.database)
    with application.database.transaction(read_only=True):
        yield


@contextmanager
def writing(application: Application) -> Iterator[None]:
    """A transaction, committed at the end, on a database whose schema is current."""
    schema.ensure_current(application.database)
    with application.database.transaction():
        yield


class ApplicationGroup(click.Group):
    """A group whose commands end on our own errors with their message and exit code 1, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (OrchestratorError, ExternalSystemError) as error:
            raise click.ClickException(str(error)) from error
