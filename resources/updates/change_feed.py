"""The feed of changes: reports each commit to the subscription database to a server over one connection.

Triggers of the database notify (migration 0004), so it does not matter which program made a change.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
import sqlalchemy as sa

from resources.database.embedded import restart_embedded
from resources.database.session import (
    CONNECT_SECONDS,
    KEEPALIVE,
    SERVER_KEEPALIVE,
    SubscriptionDatabase,
    lock_key,
    place,
)
from resources.database.tables import CHANNEL
from resources.errors import DatabaseError, TransportError

log = logging.getLogger(__name__)

APPLICATION = "orchestrator live updates"
"""The name of the connection in the server's list."""
LEADER = "live_updates"
"""The advisory lock of the one server that passes changes on to the others."""
LEADER_POLL_SECONDS = 2.0
"""How often the other servers check whether there is a leader."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between attempts to connect again; each pause is twice the one before."""
PING_SECONDS = 20.0
"""A connection without notifications for so long is tested."""
ANSWER_SECONDS = 10.0
CONNECTION_ERRORS = (psycopg.Error, sa.exc.SQLAlchemyError, DatabaseError, TransportError, OSError, TimeoutError)


class Subject(StrEnum):
    """The subject of a change, as the triggers name it. Those that have an id mean all of them without one."""

    PROCESS = "process"
    """A process, by its id."""
    COUNTS = "counts"
    """How many processes have which status."""
    SUBSCRIPTION = "subscription"
    """The fields of a subscription that lists show, by its id."""
    DETAILS = "details"
    """What only a subscription's page shows: its processes, its descriptions."""
    ENGINE = "engine"
    """The engine's pause, or whether all processes have stopped."""
    SCHEDULES = "schedules"
    CATALOGUE = "catalogue"
    EVERYTHING = "everything"
    """The connection was lost for a while: anything may have changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed change."""

    subject: Subject
    id: str | None = None


class ChangeFeed:
    """The changes of a database, for as long as a caller iterates over them."""

    def __init__(self, database: SubscriptionDatabase) -> None:
        self._database = database
        self._is_disconnected = False

    async def changes(self, *, as_leader: bool = False) -> AsyncGenerator[Change]:
        """Yield every change from now on, soon after its commit. Never ends, and raises nothing when the database is
        away.

        Begins with EVERYTHING, and yields it again whenever a lost connection is restored. `as_leader`: only while this
        server, of all, holds the leader's lock; until then nothing comes.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                if as_leader:
                    await self._wait_for_leader_lock()
                async with await self._connect() as connection, aclosing(self._listen(connection, as_leader)) as found:
                    async for change in found:
                        pause = FIRST_PAUSE
                        yield change
            except CONNECTION_ERRORS as error:
                self._log_lost(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _listen(self, connection: psycopg.AsyncConnection[Any], as_leader: bool) -> AsyncGenerator[Change]:
        if as_leader and not await self._take_leader_lock(connection):
            return
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute(f"LISTEN {CHANNEL}")
        self._log_restored()
        yield Change(Subject.EVERYTHING)
        while True:
            async for notice in connection.notifies(timeout=PING_SECONDS):
                if (change := change_of(notice.payload)) is not None:
                    yield change
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.execute("SELECT 1")

    # --- the connection ---

    async def _connect(self) -> psycopg.AsyncConnection[Any]:
        """Open the connection; when the embedded server was killed, start it again."""
        url = await asyncio.to_thread(lambda: self._database.url)
        try:
            return await _open(url)
        except psycopg.OperationalError:
            if not await asyncio.to_thread(restart_embedded, str(url.query.get("host"))):
                raise
        return await _open(url)

    def _log_lost(self, error: BaseException) -> None:
        if not self._is_disconnected:
            self._is_disconnected = True
            reason = " ".join(str(error).split()) or type(error).__name__
            log.warning("Live updates wait for the database: %s", reason)

    def _log_restored(self) -> None:
        if self._is_disconnected:
            self._is_disconnected = False
            log.warning("Live updates continue: the %s answers again.", place(self._database.url))

    # --- the leader's lock ---

    async def _wait_for_leader_lock(self) -> None:
        while not await asyncio.to_thread(self._leader_lock_is_free):
            await asyncio.sleep(LEADER_POLL_SECONDS)

    def _leader_lock_is_free(self) -> bool:
        """Whether there is no leader. Uses the pool, so that only the leader keeps a connection of its own."""
        with self._database.transaction(read_only=True) as session:
            return bool(session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(lock_key(LEADER)))))

    @staticmethod
    async def _take_leader_lock(connection: psycopg.AsyncConnection[Any]) -> bool:
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await connection.execute("SELECT pg_try_advisory_lock(%s)", (lock_key(LEADER),))
            row = await answer.fetchone()
        return bool(row and row[0])


async def _open(url: sa.URL) -> psycopg.AsyncConnection[Any]:
    given = {"connect_timeout": CONNECT_SECONDS, "application_name": APPLICATION, **KEEPALIVE}
    arguments: dict[str, Any] = {name: value for name, value in given.items() if name not in url.query}
    arguments["options"] = f"{url.query.get('options', '')} {SERVER_KEEPALIVE}".strip()
    uri = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return await psycopg.AsyncConnection.connect(uri, autocommit=True, **arguments)


def change_of(payload: str) -> Change | None:
    """The change that a trigger reports; None for a word of a newer version."""
    subject, _, identifier = payload.partition(" ")
    try:
        return Change(Subject(subject), identifier or None)
    except ValueError:
        return None
