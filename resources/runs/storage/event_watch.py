"""The live log of runs in Dagster's UI: a watcher gets each event of its run within a second.

dagster-postgres polls too, but less often while a run is quiet, down to once in 16 seconds, and stops at the first
error of the database.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from resources.errors import OrchestratorError, TransportError

log = logging.getLogger(__name__)

POLL_SECONDS = 0.3
DATABASE_ERRORS = (sa.exc.SQLAlchemyError, OrchestratorError, TransportError, OSError)

Records = tuple[list[tuple[Any, str]], str | None]
"""Events, each with its cursor, and the cursor after them all."""
Handler = Callable[[Any, str], None]


@dataclass(eq=False)
class Watch:
    """A watcher of one run; `cursor` is after the last event that it got."""

    run_id: str
    cursor: str | None
    handler: Handler


class EventWatch:
    """All watchers of runs in this process. One thread serves them, and lives while there are any.

    `read` returns the events of a run after a cursor.
    """

    def __init__(self, read: Callable[[str, str | None], Records]) -> None:
        self._read = read
        self._watches: list[Watch] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch_run(self, run_id: str, cursor: str | None, handler: Handler) -> None:
        """Call `handler` for each event of the run after `cursor`, with the event's cursor, in a thread of ours."""
        with self._changed:
            self._watches.append(Watch(run_id, cursor, handler))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._poll, name="event-watch", daemon=True)
                self._thread.start()

    def unwatch_run(self, run_id: str, handler: Handler) -> None:
        """Stop calling `handler`."""
        with self._changed:
            # Equal, not identical: each access to a bound method makes a new object.
            self._watches = [w for w in self._watches if w.run_id != run_id or w.handler != handler]
            self._changed.notify()

    def close(self) -> None:
        """End all watches."""
        with self._changed:
            self._watches = []
            self._changed.notify()

    def _poll(self) -> None:
        while watches := self._current():
            for watch in watches:
                self._notify(watch)
            with self._changed:
                self._changed.wait_for(lambda: not self._watches, POLL_SECONDS)

    def _current(self) -> list[Watch]:
        with self._changed:
            if not self._watches:
                self._thread = None
            return list(self._watches)

    def _notify(self, watch: Watch) -> None:
        # Nothing ends this thread: the other watchers would get no event any more.
        try:
            events, behind = self._read(watch.run_id, watch.cursor)
        except Exception as error:  # noqa: BLE001  the next round tries again
            if not isinstance(error, DATABASE_ERRORS):
                self._give_up(watch, error)
            return
        for event, cursor in events:
            if watch not in self._watches:
                return
            try:
                watch.handler(event, cursor)
            except Exception as error:  # noqa: BLE001  a RuntimeError: the browser's connection and event loop are gone
                self._give_up(watch, error)
        watch.cursor = behind

    def _give_up(self, watch: Watch, error: Exception) -> None:
        if not isinstance(error, RuntimeError):
            log.error("The page of run %s gets no more events.", watch.run_id, exc_info=error)
        self.unwatch_run(watch.run_id, watch.handler)
