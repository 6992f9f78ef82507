"""Counting how often a process waits for the subscription database: for COMMIT too, for BEGIN with what it begins."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import psycopg
import pytest


def _noting(talk: Generator[Any, Any, Any], note: Callable[[], None]) -> Generator[Any, Any, Any]:
    """Call `note` when the talk waits for the server at all: much of what goes this way does not."""
    try:
        wanted = next(talk)
        note()
        while True:
            wanted = talk.send((yield wanted))
    except StopIteration as end:
        return end.value


@pytest.fixture
def round_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """One entry for each time that psycopg waited for the server, since the fixture was made or the list cleared.

    A BEGIN goes with the statement behind it, though it is a round trip more.
    """
    made: list[str] = []
    wait = psycopg.Connection.wait

    def count(connection: Any, talk: Generator[Any, Any, Any], *arguments: Any, **named: Any) -> Any:
        return wait(connection, _noting(talk, lambda: made.append("round trip")), *arguments, **named)

    monkeypatch.setattr(psycopg.Connection, "wait", count)
    yield made
