"""Whose a process is: the code location that started it, and the storage of Dagster that its runs are in.

Two locations may share a database, and a unit test may run beside a live daemon: each acts on its own processes only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, true

from resources.database.tables import ProcessTable, ProductTable


@dataclass(frozen=True, slots=True)
class Owner:
    """`location`: the orchestrator's name. `storage`: the id of Dagster's run storage. None stands for any."""

    location: str | None = None
    storage: str | None = None

    def owns(self) -> ColumnElement[bool]:
        """Whether a row of processes is of this owner; one from before owners were kept is of everybody."""
        named = {ProcessTable.location: self.location, ProcessTable.storage: self.storage}
        asked = [or_(column.is_(None), column == name) for column, name in named.items() if name is not None]
        return and_(true(), *asked)

    def owns_product(self) -> ColumnElement[bool]:
        """Whether a row of products is of this location; one from before owners were kept is of everybody."""
        return (
            true() if self.location is None else or_(ProductTable.owner.is_(None), ProductTable.owner == self.location)
        )


_owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
_NOBODY = Owner()


def current_owner() -> Owner:
    """The owner of the processes that are started in this context."""
    return _owner.get() or _NOBODY


@contextmanager
def owned_by(owner: Owner) -> Iterator[None]:
    """Give the processes that are started inside to `owner`."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)
