"""The subscription database: engine, transaction, advisory locks."""

import hashlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, ClassVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from resources.database import hung_server
from resources.database.embedded import embedded_uri, restart_embedded
from resources.database.moments import read_every_moment
from resources.database.time_limit import apply_limit, current_limit
from resources.errors import (
    DatabaseBusy,
    DatabaseFull,
    DatabaseUnreachable,
    EventsNotWritten,
    NoTransaction,
    NotStorable,
    SettingsError,
    TransactionReadsOnly,
    TransportError,
)
from resources.settings import settings

DIALECTS = ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2")
APPLICATION = "orchestrator"
CONNECT_SECONDS = 10
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
SERVER_KEEPALIVE = (
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=25000"
)
"""Each end notices within half a minute that the other's machine is gone; the server then frees the rows it locked."""
ALONE = "-c max_parallel_workers_per_gather=0"
"""Each question is answered by one process of the server: helpers read on when the page is full, and take the cores
that other people's questions need. The page of a customer's processes took 40 times as long with them.
"""
OVERFLOW = 20
"""How many connections beyond the pool's size a process may open for a moment."""
POOL_SECONDS = 10
"""How long a caller waits for a connection while all are in use."""
LONGEST_IDLE_SECONDS = 60.0
"""The server ends an idle transaction after so long, except that of a step, whose function may take longer."""
HUNG_SECONDS = 10.0
"""When a process that answers people looks whether the server of a slow statement is hung."""
IDLE_SECONDS = 5.0
"""A connection that was idle for longer is tested before use: the server may have been restarted."""

BEYOND = (
    psycopg.errors.NumericValueOutOfRange,
    psycopg.errors.DatetimeFieldOverflow,
    psycopg.errors.IntervalFieldOverflow,
    psycopg.errors.StringDataRightTruncation,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
)
"""A value reaches the limit of its type, of an index or of a statement."""

_engines: dict[str, sa.Engine] = {}
_longest_statement: float | None = None
_lock = threading.Lock()
_session: ContextVar[Session | None] = ContextVar("session", default=None)
_lock_wait: ContextVar[float | None] = ContextVar("lock_wait", default=None)


@dataclass(frozen=True)
class SubscriptionDatabase:
    """The database of subscriptions and processes. A step gets it by a parameter of this type.

    It imports nothing of Dagster, so that commands which only need the database start fast.
    """

    resource_key: ClassVar[str] = "database"

    uri: str = field(default="", repr=False)
    """postgresql://user:password@host/name; when empty DATABASE_URI, else the embedded server."""

    location: str | None = None
    """The name of the orchestrator that starts processes through this object."""

    @property
    def is_embedded(self) -> bool:
        """Whether this is the embedded server, which is migrated automatically."""
        return not self.uri and settings().database_uri is None

    @property
    def url(self) -> sa.URL:
        """Where the database is; the embedded server runs when this returns. str() hides the password."""
        return postgres_url(self._known_uri, "psycopg")

    @property
    def _known_uri(self) -> str:
        if self.uri:
            return self.uri
        if (uri := settings().database_uri) is not None:
            return uri.get_secret_value()
        return embedded_uri()

    @property
    def engine(self) -> sa.Engine:
        """The one engine of this process for this database; a forked child creates its own."""
        key = _engine_key(self._known_uri)
        with _lock:
            if key not in _engines:
                _engines[key] = _make_engine(self.url)
            return _engines[key]

    def transaction(self, *, read_only: bool = False) -> AbstractContextManager[Session]:
        """Open a session as the current one; commit at the end, roll back on an error.

        Inside a transaction of the same context and database it joins that one, which then decides. The first statement
        is sent with BEGIN, and then this raises DatabaseUnreachable, TransactionReadsOnly for a write in a read-only
        transaction, or FormTimedOut after the context's time limit.
        """
        return self._session("reading" if read_only else "plain")

    def statements(self) -> AbstractContextManager[Session]:
        """Open a session as the current one in which each statement commits by itself: for a single statement.

        Sends neither BEGIN nor COMMIT, and takes no connection before its first statement. Inside a transaction it
        joins that one.
        """
        return self._session("statements")

    @contextmanager
    def _session(self, kind: str) -> Iterator[Session]:
        engine = self.engine
        outer = _session.get()
        if outer is not None and _engine_of(outer) is engine:
            yield outer
            return
        with Session(_variant(engine, kind), expire_on_commit=False) as session:
            if (limit := current_limit()) is not None:
                apply_limit(limit, session)
            if (seconds := _lock_wait.get()) is not None:
                event.listen(session, "after_begin", partial(_bound_waits, seconds))
            token = _session.set(session)
            try:
                yield session
                if session.in_transaction():  # else nothing was sent
                    session.commit()
            finally:
                _session.reset(token)

    @contextmanager
    def detached(self) -> Iterator[None]:
        """Make transactions of the block independent of one that is open around it: for work in batches."""
        token = _session.set(None)
        try:
            yield
        finally:
            _session.reset(token)

    @contextmanager
    def advisory_lock(self, name: str) -> Iterator[None]:
        """Hold the lock `name`, of which the database has one; waits for it.

        The lock has its own connection, so it outlives transactions; it is not re-entrant.
        """
        key = lock_key(name)
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(key)))
            try:
                yield
            finally:
                connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))

    def keep_connections(self, number: int) -> None:
        """Keep so many connections open between uses, for threads that use as many: to open one takes milliseconds."""
        pool = self.engine.pool
        assert isinstance(pool, _Pool), "the engine is made with it"
        pool._pool.maxsize = max(pool._pool.maxsize, min(number, pool.size() + OVERFLOW))

    def dispose(self) -> None:
        """Close this process's idle connections; the next use opens new ones."""
        with _lock:
            engine = _engines.pop(_engine_key(self._known_uri), None)
        if engine is not None:
            engine.dispose()


_OPTIONS: dict[str, dict[str, Any]] = {
    "reading": {"postgresql_readonly": True},
    "statements": {"isolation_level": "AUTOCOMMIT"},
}


def _variant(engine: sa.Engine, kind: str) -> sa.Engine:
    """The engine with the options of a kind of session, made once: to make it costs a tenth of a short transaction."""
    made: dict[str, sa.Engine] = vars(engine).setdefault("variants", {"plain": engine})
    return made.get(kind) or made.setdefault(kind, engine.execution_options(**_OPTIONS[kind]))


@contextmanager
def lock_waits_limited(seconds: float) -> Iterator[None]:
    """Let transactions of the block wait so long for each lock, then raise DatabaseBusy; costs one statement each.

    For what repairs or ends the work of others: the holder of a row may be frozen. The server ends such a transaction
    when it is idle for long, for its own process may freeze too.
    """
    token = _lock_wait.set(seconds)
    try:
        yield
    finally:
        _lock_wait.reset(token)


def _bound_waits(seconds: float, _session: Session, _transaction: object, connection: sa.Connection) -> None:
    limits = {"lock_timeout": seconds, "idle_in_transaction_session_timeout": LONGEST_IDLE_SECONDS}
    settings = ", ".join(f"set_config('{name}', '{round(most * 1000)}', true)" for name, most in limits.items())
    connection.exec_driver_sql(f"SELECT {settings}")


def current_session() -> Session:
    """The session of the current transaction. Raises NoTransaction."""
    session = _session.get()
    if session is None:
        raise NoTransaction
    return session


def commit_with_each_statement() -> None:
    """Let the statements of the current transaction commit by themselves if none was sent yet: for a last statement.

    A transaction of one statement then needs one round trip instead of three.
    """
    session = current_session()
    if not session.in_transaction():
        session.connection(execution_options={"isolation_level": "AUTOCOMMIT"})


def use_one_snapshot() -> None:
    """Let all statements of the current transaction see the database as the first does, if none was sent yet.

    For answers that need several statements. It costs nothing, and a read-only transaction never fails by it.
    """
    session = current_session()
    if not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


@dataclass
class StatementCount:
    """The statements that were sent to the database, in order, without BEGIN, COMMIT and tests of connections."""

    statements: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.statements)

    def clear(self) -> None:
        """Forget the statements."""
        self.statements.clear()


@contextmanager
def statement_counter(engine: sa.Engine) -> Iterator[StatementCount]:
    """Count the statements that this process sends through `engine`, for tests and benchmarks."""
    counted = StatementCount()

    def record(*arguments: Any) -> None:
        counted.statements.append(arguments[2])

    event.listen(engine, "before_cursor_execute", record)
    try:
        yield counted
    finally:
        event.remove(engine, "before_cursor_execute", record)


def may_pass(error: BaseException | None) -> bool:
    """Whether a database, ours or Dagster's, was away or busy, so that the same may succeed later."""
    passing = (TransportError, EventsNotWritten, sa.exc.OperationalError, sa.exc.InterfaceError)
    return error is not None and (isinstance(error, passing) or may_pass(error.__cause__))


@cache
def postgres_url(uri: str, driver: str) -> sa.URL:
    """`uri` for one driver, whatever its scheme. Raises SettingsError, which does not repeat a password."""
    try:
        url = sa.make_url(uri)
    except (ArgumentError, ValueError):
        raise SettingsError("The database URI cannot be read; expected postgresql://user:password@host/name.") from None
    if url.drivername not in DIALECTS:
        raise SettingsError(
            f"The database URI begins with `{url.drivername}://`; expected postgresql://user:password@host/name."
        )
    return url.set(drivername=f"postgresql+{driver}")


@cache
def _engine_key(uri: str) -> str:
    return postgres_url(uri, "psycopg").render_as_string(hide_password=False)


def place(url: sa.URL) -> str:
    """Where a database is, in words, without the password."""
    host = url.host or url.query.get("host") or "the local socket"
    port = url.port or url.query.get("port") or 5432
    return f"database {url.database or url.username} on {host}, port {port}"


def lock_key(name: str) -> int:
    """The number of the advisory lock of this name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def named(application: str) -> str:
    """The name of this process's sessions in the server's list, by which those of a frozen worker are found."""
    return f"{application} {os.getpid()}@{socket.gethostname()}"[:63]


def connect_or_restart(dialect: Dialect, positional: Sequence[Any], named: dict[str, Any]) -> DBAPIConnection:
    """Connect; when the embedded server was killed, start it again and connect."""
    try:
        connection = dialect.connect(*positional, **named)
    except dialect.loaded_dbapi.OperationalError as error:
        if is_hung(error) or not restart_embedded(str(named.get("host"))):
            raise
        connection = dialect.connect(*positional, **named)
    server = f"{named.get('host')}:{named.get('port')}"
    hung_server.watch(connection, server, lambda **other: dialect.connect(*positional, **named | other))
    return connection


def is_hung(error: BaseException) -> bool:
    """Whether a server lets nobody in and refuses nobody: it is there, so to start it again does not help."""
    return "timeout expired" in str(error)


def ping_doubtful_connections(engine: sa.Engine) -> None:
    """Test a connection that is taken from the pool, if it was idle for a while or the server has sent something.

    A dead one empties the pool. SQLAlchemy's own ping costs more: it would double the round trips of a busy run.
    """
    hung_server.note_statements(engine)
    event.listen(engine, "checkin", _record_use)
    event.listen(engine, "checkout", _pinger(engine.dialect))


def _record_use(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _pinger(dialect: Dialect) -> Callable[[DBAPIConnection, ConnectionPoolEntry, object], None]:
    def ping_doubtful(connection: DBAPIConnection, entry: ConnectionPoolEntry, _proxy: object) -> None:
        idle_seconds = time.monotonic() - entry.info.get("used", float("inf"))
        try:
            if idle_seconds >= IDLE_SECONDS or _has_unread_data(connection):
                hung_server.note(connection)
                dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise sa.exc.InvalidatePoolError from error

    return ping_doubtful


def _has_unread_data(connection: DBAPIConnection) -> bool:
    """Whether the server has sent something unasked: on an idle connection it announces its stop so."""
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _make_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        poolclass=_Pool,
        pool_size=settings().database_pool_size,
        max_overflow=OVERFLOW,
        pool_timeout=POOL_SECONDS,
        pool_use_lifo=True,
        hide_parameters=True,  # errors are logged and stored, and their parameters may be secrets
        connect_args=_connect_arguments(url),
    )
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", lambda connection, _entry: read_every_moment(connection))
    event.listen(engine, "handle_error", _name_refusal)
    ping_doubtful_connections(engine)
    return engine


def _name_refusal(context: sa.engine.ExceptionContext) -> None:
    """Raise an error of ours when a statement is refused for its transaction or its text, or the server is gone."""
    match context.original_exception:
        case psycopg.errors.UntranslatableCharacter() | UnicodeEncodeError():
            raise NotStorable from context.original_exception
        case psycopg.DataError() as error if error.sqlstate is None and "NUL" in str(error):
            raise NotStorable from error
        case psycopg.errors.InvalidTextRepresentation() as error if "surrogate" in str(error):
            raise NotStorable from error
        case psycopg.errors.InvalidTextRepresentation() as error if "type json" in str(error):
            raise NotStorable("A number is NaN or infinite, which JSON has no form for; leave it out.") from error
        case psycopg.DataError() | psycopg.OperationalError() as error if isinstance(error, BEYOND):
            raise NotStorable(f"A value is beyond what PostgreSQL can store or compare: {_line(error)}.") from error
        case psycopg.errors.DiskFull() | psycopg.errors.OutOfMemory() as error:
            raise DatabaseFull from error
        case psycopg.errors.ReadOnlySqlTransaction():
            raise TransactionReadsOnly from context.original_exception
        case psycopg.errors.QueryCanceled() if (limit := current_limit()) is not None and limit.expire():
            raise limit.error() from context.original_exception
        case psycopg.errors.LockNotAvailable() if _lock_wait.get() is not None:
            raise DatabaseBusy from context.original_exception
        case psycopg.errors.QueryCanceled() if _longest_statement is not None:
            raise DatabaseBusy from context.original_exception
        case psycopg.Error() as error if context.is_disconnect:  # of this database: a step's own may be lost too
            raise DatabaseUnreachable(f"The connection to the database was lost: {_line(error)}.") from error


class _Pool(sa.pool.QueuePool):
    def _do_get(self) -> ConnectionPoolEntry:
        try:
            return super()._do_get()
        except sa.exc.TimeoutError as error:
            raise DatabaseBusy(f"No connection to the database became free in {POOL_SECONDS:g} seconds.") from error


def _connect_arguments(url: sa.URL) -> dict[str, Any]:
    given = {"connect_timeout": CONNECT_SECONDS, "application_name": APPLICATION, **KEEPALIVE}
    arguments = {name: value for name, value in given.items() if name not in url.query}
    options = f"{url.query.get('options', '')} -c timezone=UTC {ALONE} {SERVER_KEEPALIVE}".strip()
    if _longest_statement is not None:
        options += f" -c statement_timeout={int(_longest_statement * 1000)}"
        options += f" -c idle_in_transaction_session_timeout={int(LONGEST_IDLE_SECONDS * 1000)}"
    return arguments | {"options": options}


def limit_statements(seconds: float) -> None:
    """Limit all statements of this process, also those that wait for a lock; a longer one raises DatabaseBusy.

    For a process that answers people, before its first connection. A server that is hung is noticed soon, too.
    """
    global _longest_statement
    _longest_statement = seconds
    hung_server.limit_waits(min(seconds, HUNG_SECONDS), seconds + HUNG_SECONDS)


def _connect(
    dialect: Dialect, _entry: ConnectionPoolEntry, positional: tuple[Any, ...], given: dict[str, Any]
) -> DBAPIConnection:
    if given.get("application_name") == APPLICATION:
        given["application_name"] = named(APPLICATION)
    try:
        return connect_or_restart(dialect, positional, given)
    except psycopg.OperationalError as error:
        raise DatabaseUnreachable(_unreachable(given, error)) from error


def _unreachable(named: dict[str, Any], error: psycopg.OperationalError) -> str:
    where = f"database {named.get('dbname') or named.get('user')} on {named.get('host') or 'the local socket'}"
    return (
        f"PostgreSQL does not answer: {where}, port {named.get('port', 5432)}, user {named.get('user')}."
        f" {_line(error)}. Check DATABASE_URI, and that the server runs and lets this user in."
    )


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).split()).rstrip(".?")


def _engine_of(session: Session) -> sa.Engine:
    bind = session.get_bind()
    engine = bind.engine
    return getattr(engine, "_proxied", engine)


def _forget_after_fork() -> None:
    # The child leaves the parent's connections alone and opens its own.
    global _lock
    _lock = threading.Lock()
    for engine in _engines.values():
        engine.dispose(close=False)
    _session.set(None)


os.register_at_fork(after_in_child=_forget_after_fork)
