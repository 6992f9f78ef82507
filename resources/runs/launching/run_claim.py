"""The claim of one worker, anywhere, to one run: a lock in PostgreSQL that lives as long as the worker's session.

A message broker may deliver a message twice, or once to a machine that then loses its power. What it says about a run
is therefore only an invitation: who gets the run's advisory lock executes it, and who looks whether the lock is held
knows whether it is being executed. PostgreSQL drops the lock when the worker dies, and soon after its machine did.
"""

import os
import signal
import threading
import time
from typing import Any

import psycopg
from dagster import DagsterInstance, DagsterRunStatus
from dagster_postgres.run_storage import PostgresRunStorage

from resources.database.session import lock_key, postgres_url
from resources.errors import SettingsError
from resources.runs.workers.worker import DATABASE_ERRORS, GONE_SECONDS, RETRY_SECONDS

HEARTBEAT_SECONDS = 0.5
"""How soon a cancelled run is interrupted, at the latest."""
CONNECT_SECONDS = 5
KEEPALIVE = "-c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2"
"""The server notices within eight seconds that the machine at the other end is gone; by default it takes two hours."""

UNFINISHED = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)
"""The states in which a run is its worker's to execute."""

TAKE = "SELECT pg_try_advisory_lock(%s)"
HOLDER = """SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND (classid::bigint << 32) | objid::bigint = %s
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""The server's process for the session that holds the lock. Looking takes nothing, so it is in nobody's way."""


def is_held(instance: DagsterInstance, run_id: str) -> bool:
    """Whether some worker, on whatever machine, has the run in hand."""
    with _connect(instance) as session:
        return session.execute(HOLDER, (_key(run_id),)).fetchone() is not None


def _take(session: "psycopg.Connection[Any]", run_id: str) -> bool:
    row = session.execute(TAKE, (_key(run_id),)).fetchone()
    return bool(row and row[0])


def _key(run_id: str) -> int:
    return lock_key(f"run {run_id}")


def _connect(instance: DagsterInstance) -> "psycopg.Connection[Any]":
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):
        raise SettingsError(
            "Runs on many machines need Dagster's storage in PostgreSQL; this instance keeps its runs in a"
            f" {type(storage).__name__}. Use the storage of this project's dagster.yaml."
        )
    url = postgres_url(storage.postgres_url, "psycopg").set(drivername="postgresql")
    return psycopg.connect(
        url.render_as_string(hide_password=False),
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        options=KEEPALIVE,
        application_name="run claim",
    )


class RunClaim(threading.Thread):
    """Holds a run's lock beside the main thread that executes it, and interrupts that one when the run is canceled.

    It never runs code of a workflow. A worker that does not react within `grace_seconds` is killed, by itself.
    """

    def __init__(
        self, instance: DagsterInstance, run_id: str, session: "psycopg.Connection[Any]", grace_seconds: float
    ) -> None:
        super().__init__(name="run claim", daemon=True)
        self.instance = instance
        self.run_id = run_id
        self.grace_seconds = grace_seconds
        self._session = session
        self._backend = session.info.backend_pid
        self._over = threading.Event()
        self._interrupted_at: float | None = None

    @classmethod
    def take(cls, instance: DagsterInstance, run_id: str, grace_seconds: float = 10.0) -> "RunClaim | None":
        """Take the lock of a run; None when another worker has it."""
        session = _connect(instance)
        if _take(session, run_id):
            return cls(instance, run_id, session, grace_seconds)
        session.close()
        return None

    def __enter__(self) -> "RunClaim":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._session.close()

    def run(self) -> None:
        """Keep the lock, and look whether the run is still this worker's to execute."""
        last_seen = time.monotonic()
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                if self._session.closed:
                    self._claim_again()
                self._check_status()
                last_seen = time.monotonic()
            except DATABASE_ERRORS:
                self._session.close()
                if time.monotonic() - last_seen > GONE_SECONDS:
                    self._interrupt()  # without a database no step can commit, and another has the run by now
                time.sleep(RETRY_SECONDS)

    def _claim_again(self) -> None:
        self._session = _connect(self.instance)
        if _take(self._session, self.run_id):
            self._backend = self._session.info.backend_pid
            return
        holder = self._session.execute(HOLDER, (_key(self.run_id),)).fetchone()
        if holder is not None and holder[0] != self._backend:
            self._interrupt()  # it is another worker's now
        self._session.close()  # else the server has not yet seen that the lost session is lost: next time

    def _check_status(self) -> None:
        row = self._session.execute("SELECT status FROM runs WHERE run_id = %s", (self.run_id,)).fetchone()
        if row is None or DagsterRunStatus(row[0]) not in UNFINISHED:
            self._interrupt()

    def _interrupt(self) -> None:
        # Once: a second signal could strike the report of the end. To the main thread itself, so that what it sleeps
        # in or waits for is interrupted; there Dagster's handler raises inside the body of an op.
        if self._interrupted_at is None:
            self._interrupted_at = time.monotonic()
            if not self._over.is_set():
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        elif time.monotonic() - self._interrupted_at > self.grace_seconds and not self._over.is_set():
            os.kill(os.getpid(), signal.SIGKILL)
