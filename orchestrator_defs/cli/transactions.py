"""The transactions of commands, on a database whose schema is current: made so if embedded, else SchemaOutOfDate."""

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator_defs.cli.application import Application
from resources.database import schema


@contextmanager
def reading(application: Application) -> Iterator[None]:
    """A transaction that only reads."""
    schema.ensure_current(application.database)
    with application.database.transaction(read_only=True):
        yield


@contextmanager
def writing(application: Application) -> Iterator[None]:
    """A transaction, committed at the end."""
    schema.ensure_current(application.database)
    with application.database.transaction():
        yield
