"""The dispatch table: which runs wait for a worker, which worker has claimed which run, and which workers live.

It lies in Dagster's database, beside the runs: every process that can launch a run (webserver, daemon, shell) reaches
that database, and two instances with a database each do not see each other's runs. Like Dagster's own tables it is
created on first use and does not belong to the subscription schema that alembic migrates.

A worker lives while its session holds the advisory lock of its number, and writes a heartbeat. PostgreSQL releases the
lock when the worker dies; the heartbeat tells of one that is frozen. A worker whose session breaks takes the lock again
in a new one, so it counts as dead only after a time without its lock.
"""

import os
import threading
import weakref
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import sqlalchemy as sa
from dagster import DagsterEvent, DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter
from dagster_postgres.run_storage import PostgresRunStorage

from resources.database import hung_server
from resources.database.session import KEEPALIVE, lock_key, named, postgres_url
from resources.errors import SettingsError
from resources.runs.dispatch_statements import (
    ADD_COLUMNS,
    BEAT,
    CANCEL,
    CLAIM,
    CLAIM_DIRECTLY,
    END_SESSIONS,
    ENQUEUE,
    ENTRY,
    FINISH,
    FITS,
    FROZEN,
    HAS_COLUMNS,
    IS_ALIVE,
    KILL_AFTER,
    LOAD,
    MARK_LOST,
    REFUSE,
    REQUEUE,
    TABLES,
    UNSERVED,
    WORKERS,
)

LOST_SECONDS = 6.0
"""A worker whose lock is missing for so long is dead and loses its run: longer than a short failure of the database."""
CONNECT_SECONDS = 5
QUICK_LOSS = "-c tcp_keepalives_idle=4 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=2 -c tcp_user_timeout=8000"
"""PostgreSQL notices within eight seconds that the machine of a client is gone; by default it takes two hours."""
LEAST, ORDINARY = -(2**31), 0
"""The lowest priority, and the priority of a run that names none. Runs below the second are bulk."""

_prepared: set[str] = set()
_sessions: "weakref.WeakSet[psycopg.Connection[Any]]" = weakref.WeakSet()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Entry:
    """A run in the table. `lost_seconds`: how long its worker's lock has been missing.

    `seconds_left`: how long before the process is killed, or, when it has ended, how long before that it did.
    """

    run_id: str
    state: str
    worker: int | None
    is_canceled: bool
    lost_seconds: float | None
    seconds_left: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no process executes the run, and none can begin a step of it without claiming it first."""
        return self.state != "claimed" or self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether the worker that claimed the run is certainly dead."""
        return self.state == "claimed" and (self.lost_seconds or 0.0) >= LOST_SECONDS

    @property
    def has_live_worker(self) -> bool:
        """Whether a worker executes the run, as far as its lock shows now."""
        return self.state == "claimed" and self.lost_seconds is None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that a worker has just claimed."""

    run_id: str
    is_resumed: bool


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that holds its lock. `run_id`: the run that it has claimed."""

    worker: int
    location: str
    code: str
    host: str
    supervisor: int
    pid: int
    is_reserved: bool
    started_at: datetime
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Load:
    """How many resident workers live, how many runs wait, and how many are claimed."""

    online: int
    queued: int
    claimed: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """Loaded code: its location, its fingerprint, and the database's time before the loading began."""

    location: str
    code: str
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Served:
    """The code server of a launch: its version, and how many seconds before the launch it had loaded the code."""

    version: str
    age: float


@dataclass(frozen=True, slots=True)
class Demand:
    """The code that a launched run needs: these files, loaded not before a moment."""

    location: str
    code: str
    not_before: datetime | None = None

    def is_met(self, loaded: Loaded) -> bool:
        """Whether loaded code can execute this run."""
        return loaded.code == self.code and (self.not_before is None or self.not_before <= loaded.loaded_at)


class Dispatch:
    """The table in one instance's database. Each method is one short transaction."""

    def __init__(self, instance: DagsterInstance) -> None:
        storage = instance.run_storage
        if not isinstance(storage, PostgresRunStorage):
            raise SettingsError(
                f"Workers need Dagster's storage in PostgreSQL; this instance keeps its runs in a"
                f" {type(storage).__name__}. Use the storage of this project's dagster.yaml, or another run launcher."
            )
        self._storage: Any = storage
        self._prepare()

    @property
    def place(self) -> str:
        """Which database the table is in, without a password."""
        return postgres_url(self._storage.postgres_url, "psycopg").render_as_string(hide_password=True)

    def connect(self) -> "psycopg.Connection[Any]":
        """Open a connection for the caller, to hold a lock and to listen on."""
        url = postgres_url(self._storage.postgres_url, "psycopg").set(drivername="postgresql")
        text = url.render_as_string(hide_password=False)
        given: dict[str, Any] = {"application_name": named("orchestrator"), "options": QUICK_LOSS, **KEEPALIVE}
        session = psycopg.connect(text, autocommit=True, connect_timeout=CONNECT_SECONDS, **given)
        hung_server.watch(session, self.place, lambda **other: psycopg.connect(text, **other))
        _sessions.add(session)
        return session

    # --- launching ---

    def enqueue(
        self, run_id: str, location: str, code: str, priority: int = 0, served: Served | None = None
    ) -> Demand | None:
        """Enter a run for the workers, once; None when the table has it already."""
        return self._put(ENQUEUE, run_id, location, code, priority, served)

    def requeue(
        self, run_id: str, location: str, code: str, priority: int = 0, served: Served | None = None
    ) -> Demand | None:
        """Enter a run again whose worker is gone; None while it waits already or its worker lives."""
        return self._put(REQUEUE, run_id, location, code, priority, served)

    def _put(
        self, statement: str, run_id: str, location: str, code: str, priority: int, served: Served | None
    ) -> Demand | None:
        server = served or Served("", 0.0)
        rows = self._rows(
            statement,
            run_id=run_id,
            location=location,
            code=code,
            priority=priority,
            version=server.version,
            age=server.age,
        )
        return Demand(location, code, rows[0]["not_before"]) if rows else None

    def cancel(self, run_id: str) -> str | None:
        """Remove a waiting run or notify its worker. Returns the state after that; None for an unknown run."""
        rows = self._rows(CANCEL, run_id=run_id)
        return str(rows[0]["state"]) if rows else None

    def kill_after(self, run_id: str, seconds: float) -> None:
        """Let the process of a run be killed that executes it for so long after its cancellation. The first counts."""
        self._rows(KILL_AFTER, run_id=run_id, seconds=seconds)

    def refuse(self, location: str, unless: Loaded | None = None) -> list[str]:
        """Remove the waiting runs of a code location for which there is no code. The caller fails the returned runs."""
        present = {"code": unless.code, "loaded_at": unless.loaded_at} if unless else {}
        statement = REFUSE.format(unless=f" AND NOT {FITS}" if unless else "")
        return [str(row["run_id"]) for row in self._rows(statement, location=location, **present)]

    # --- working ---

    def now(self) -> datetime:
        """The database's time, by which launches and loads are compared."""
        moment: datetime = self._rows("SELECT clock_timestamp() AS now")[0]["now"]
        return moment

    def register(self, loaded: Loaded, host: str, supervisor: int, pid: int, *, is_reserved: bool = False) -> int:
        rows = self._rows(
            "INSERT INTO orchestrator_workers (location, code, host, supervisor, pid, is_reserved)"
            " VALUES (:location, :code, :host, :supervisor, :pid, :is_reserved) RETURNING worker",
            location=loaded.location,
            code=loaded.code,
            host=host,
            supervisor=supervisor,
            pid=pid,
            is_reserved=is_reserved,
        )
        return int(rows[0]["worker"])

    def numbers_of(self, host: str, supervisor: int, pid: int) -> list[int]:
        """The workers that one process registered, dead or alive; several when the system has reused its id."""
        rows = self._rows(
            "SELECT worker FROM orchestrator_workers WHERE host = :host AND supervisor = :supervisor AND pid = :pid",
            host=host,
            supervisor=supervisor,
            pid=pid,
        )
        return [int(row["worker"]) for row in rows]

    def claim(self, worker: int, loaded: Loaded, least: int = LEAST) -> Claimed | None:
        """Claim the next run of at least this priority that this code may execute."""
        code = {"location": loaded.location, "code": loaded.code, "loaded_at": loaded.loaded_at}
        rows = self._rows(CLAIM, worker=worker, least=least, **code)
        return Claimed(**rows[0]) if rows else None

    def held(self, worker: int) -> Claimed | None:
        """The run that a worker has claimed, for a worker that did not receive the answer to its claim."""
        held = "SELECT run_id, is_resumed FROM orchestrator_dispatch WHERE state = 'claimed' AND worker = :worker"
        rows = self._rows(held, worker=worker)
        return Claimed(**rows[0]) if rows else None

    def beat(self, worker: int, session: "psycopg.Connection[Any]") -> list[str] | None:
        """Write a worker's heartbeat; the runs that it has claimed, None when it was given up and its row deleted."""
        hung_server.note(session)
        is_known, claimed = session.execute(BEAT, {"worker": worker}).fetchone() or (False, [])
        return list(claimed) if is_known else None

    def frozen(self, host: str, supervisor: int) -> list[int]:
        """The processes of a supervisor's workers that hold their lock and write no heartbeat."""
        return [row["pid"] for row in self._rows(FROZEN, host=host, supervisor=supervisor)]

    def give_up(self, run_id: str, worker: int) -> None:
        """Take a run from a worker that is lost, and end its sessions if it is frozen. When it wakes it sees that."""
        self.finish(run_id, worker)
        self._rows(END_SESSIONS, worker=worker)

    def process_of(self, worker: int) -> str:
        """Which process on which host a worker is, for people; empty when the table no longer has it."""
        rows = self._rows("SELECT pid, host FROM orchestrator_workers WHERE worker = :worker", worker=worker)
        return f"{rows[0]['pid']} on {rows[0]['host']}" if rows else ""

    def finish(self, run_id: str, worker: int) -> bool:
        """Record that a worker has finished a run; True when the run was canceled before. May run twice."""
        rows = self._rows(FINISH, run_id=run_id, worker=worker)
        return bool(rows and rows[0]["is_canceled"])

    def mark_canceling(self, run_id: str) -> bool:
        """Set Dagster's row of a canceled run, if it has one, to CANCELING; False as long as the run has not started.

        The worker's start of a run overwrites the status without reading it, and then Dagster would take the interrupt
        for an accident and the run for failed.
        """
        found = self._storage.get_run_records(RunsFilter(run_ids=[run_id]))
        if not found:  # deleted: what is left of it is interrupted
            return True
        record, run = found[0], found[0].dagster_run
        if run.status is DagsterRunStatus.STARTED:
            self._storage.handle_run_event(run_id, DagsterEvent(DagsterEventType.RUN_CANCELING.value, run.job_name))
        return run.is_finished or record.start_time is not None

    def claim_directly(self, run_id: str, worker: int) -> bool:
        """Claim a run for a process that is no resident worker; False when another has it, or it waits for one."""
        return bool(self._rows(CLAIM_DIRECTLY, run_id=run_id, worker=worker))

    # --- watching ---

    def entries(self, run_ids: Collection[str]) -> dict[str, Entry]:
        """The present state of runs, after a check of their workers; runs that the table does not have are left out."""
        if not run_ids:
            return {}
        self.mark_lost()
        rows = self._rows(f"{ENTRY} WHERE run_id = ANY(:run_ids)", run_ids=list(run_ids))
        return {row["run_id"]: Entry(**row) for row in rows}

    def entry(self, run_id: str) -> Entry | None:
        """The present state of a run, after a check of its worker; None when the table does not have it."""
        self.mark_lost()
        rows = self._rows(f"{ENTRY} WHERE run_id = :run_id", run_id=run_id)
        return Entry(**rows[0]) if rows else None

    def claimed_by(self, worker: int) -> list[Entry]:
        """The runs that a worker has claimed."""
        return [Entry(**row) for row in self._rows(f"{ENTRY} WHERE state = 'claimed' AND worker = :w", w=worker)]

    def lost(self) -> list[Entry]:
        """The claimed runs whose workers are certainly dead, on whatever machine."""
        self.mark_lost()
        entries = [Entry(**row) for row in self._rows(f"{ENTRY} WHERE state = 'claimed' AND lost_at IS NOT NULL")]
        return [entry for entry in entries if entry.is_lost]

    def overdue(self, seconds: float) -> list[Entry]:
        """The claimed runs that were canceled so many seconds ago, or whose own limit has passed."""
        overdue = "coalesce(kill_at, canceled_at + make_interval(secs => :seconds)) < clock_timestamp()"
        return [Entry(**row) for row in self._rows(f"{ENTRY} WHERE state = 'claimed' AND {overdue}", seconds=seconds)]

    def mark_lost(self) -> None:
        """Record which workers that have claimed a run no longer hold their lock."""
        self._rows(MARK_LOST)

    def has_work(self, location: str) -> bool:
        """Whether any run of a code location waits or is claimed."""
        work = "SELECT FROM orchestrator_dispatch WHERE state <> 'done' AND location = :location"
        return bool(self._rows(f"SELECT EXISTS ({work}) AS found", location=location)[0]["found"])

    def has_newer(self, loaded: Loaded) -> bool:
        """Whether a run waits that needs newer code than this."""
        waiting = f"SELECT FROM orchestrator_dispatch WHERE state = 'queued' AND location = :location AND NOT {FITS}"
        values = {"location": loaded.location, "code": loaded.code, "loaded_at": loaded.loaded_at}
        return bool(self._rows(f"SELECT EXISTS ({waiting}) AS found", **values)[0]["found"])

    def workers(self) -> list[LiveWorker]:
        """The workers that live, in order of their numbers."""
        return [LiveWorker(**row) for row in self._rows(WORKERS)]

    def waiting(self) -> dict[str, int]:
        """How many runs wait, for each code location."""
        counted = "SELECT location, count(*) FROM orchestrator_dispatch WHERE state = 'queued' GROUP BY location"
        return {row["location"]: row["count"] for row in self._rows(counted)}

    def unserved(self, location: str) -> str | None:
        """A run of a code location that waits, while no worker of it lives; None without one."""
        found = self._rows(UNSERVED, location=location)
        return str(found[0]["run_id"]) if found else None

    def load(self) -> Load:
        """How many runs wait and are claimed, and how many workers live; one statement."""
        return Load(**self._rows(LOAD)[0])

    def clean(self) -> None:
        """Delete the rows of runs that ended more than a day ago, and of dead workers."""
        self._rows("DELETE FROM orchestrator_code_servers WHERE loaded_at < now() - interval '30 days'")
        self._rows("DELETE FROM orchestrator_dispatch WHERE state = 'done' AND done_at < now() - interval '1 day'")
        self._rows(
            "DELETE FROM orchestrator_workers w WHERE started_at < now() - interval '1 hour'"
            f" AND NOT {IS_ALIVE.format(worker='w.worker')}"
            " AND NOT EXISTS (SELECT FROM orchestrator_dispatch d WHERE d.worker = w.worker AND d.state = 'claimed')"
        )

    # --- the database ---

    def _rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        with self._storage.connect() as connection:
            result = connection.execute(sa.text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []

    def _prepare(self) -> None:
        url = self._storage.postgres_url
        with _lock:
            if url in _prepared:
                return
            with self._storage.connect() as connection:
                if not connection.scalar(sa.text(HAS_COLUMNS)):
                    self._make_tables(connection)
            _prepared.add(url)

    @staticmethod
    def _make_tables(connection: sa.Connection) -> None:
        # CREATE … IF NOT EXISTS may fail when two processes run it at the same time
        connection.execute(sa.select(sa.func.pg_advisory_lock(lock_key("dispatch tables"))))
        try:
            for statement in TABLES:
                connection.execute(sa.text(statement))
            if not connection.scalar(sa.text(HAS_COLUMNS)):
                for statement in ADD_COLUMNS:
                    connection.execute(sa.text(statement))
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(lock_key("dispatch tables"))))


def _leave_sessions() -> None:
    # A forked child that kept these sockets open would keep the lock of its parent after the parent's death.
    nothing = os.open(os.devnull, os.O_RDWR)
    for session in list(_sessions):
        with suppress(psycopg.Error, OSError):
            os.dup2(nothing, session.fileno(), inheritable=False)
    os.close(nothing)


os.register_at_fork(after_in_child=_leave_sessions)
