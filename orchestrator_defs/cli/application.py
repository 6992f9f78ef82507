"""What every command is given: the database and the catalogue that the composition root put together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from resources import schema
from resources.catalogue import Catalogue
from resources.database import SubscriptionDatabase
from resources.errors import ExternalSystemError, OrchestratorError


@dataclass(frozen=True)
class Application:
    """`click.Context.obj` of the whole command line."""

    database: SubscriptionDatabase
    catalogue: Catalogue


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
