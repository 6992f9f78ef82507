"""The author of a change: the process, step and user in the history."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Author:
    """The author, stored with every version of a subscription."""

    user: str = "SYSTEM"
    process_id: UUID | None = None
    step_key: str | None = None


_author: ContextVar[Author | None] = ContextVar("author", default=None)
_NOBODY = Author()


def current_author() -> Author:
    """The author of changes in this context; SYSTEM outside a process."""
    return _author.get() or _NOBODY


@contextmanager
def authored_by(author: Author) -> Iterator[None]:
    """Attribute the changes made inside to `author`."""
    token = _author.set(author)
    try:
        yield
    finally:
        _author.reset(token)
