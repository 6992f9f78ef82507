"""The transactions of commands. The embedded database is migrated first; another raises SchemaOutOfDate."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_defs.cli.application import Application
from resources.database import schema


@contextmanager
def reading(application: Application) -> Iterator[None]:
    """A read-only transaction."""
    schema.ensure_current(application.database)
    with application.database.transaction(read_only=True):
        yield


@contextmanager
def writing(application: Application) -> Iterator[None]:
    """A transaction, committed at the end."""
    schema.ensure_current(application.database)
    with application.database.transaction():
        yield
