"""`orchestrator up`: everything on one machine, from the database to Dagster's page, until ^C."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX
from pathlib import Path
from typing import Any

import click

from orchestrator_defs.cli.code_options import chosen_code, code_options
from orchestrator_defs.cli.watched_server import ServerFailed, WatchedServer
from orchestrator_defs.serving import HOST, PORT, Serving
from resources.database import lease
from resources.database.embedded import embedded_home, embedded_server, embedded_uri
from resources.database.reaper import open_lock, running_pid, try_lock
from resources.errors import REFUSALS, SettingsError
from resources.lab.launcher import lab_answers, lab_home, lab_url, pid_file
from resources.settings import ADDRESS, project_folder, settings

SHIPPED, WORKSPACE = "orchestrator_defs", "workspace.yaml"
STOP_SECONDS = 10.0
"""How long a port, the lab or the database may take to be released by earlier users."""
POLL_SECONDS = 0.1

HINTS = """\
Try: {address}jobs, {job}, tab Launchpad: fill in the pages{example}, and launch.
`orchestrator subscriptions` lists what there is.{more}
Logs are in {folder}. ^C stops everything."""
DRIFT = " `orchestrator lab drift ams1` changes a device by hand, and the job validate_node finds it."


@click.command()
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(1, 65535), help="Port on this machine.")
@click.option("--examples/--no-examples", default=True, help="Create a small network if there is no subscription.")
@code_options
def up(port: int, examples: bool) -> None:
    """Start the database, the lab, Dagster's page, the API, the daemon and workers here, and run them until ^C.

    It needs no login, so it listens on the loopback address only.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    folder = embedded_home(settings().home) / "up"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    code = chosen_code()
    examples = examples and _is_shipped(code) and lab_answers(settings().netbox_url, settings().playbook_url)
    serving = Serving(port=port, runtime=str(folder), code=code, examples=examples)
    with _only_one(folder, serving), _stopping_servers():
        try:
            _run(serving, folder, stop)
        except (*REFUSALS, ServerFailed) as error:
            if not stop.is_set():
                raise click.ClickException(str(error)) from error
    report("Everything is stopped.")


def report(text: str) -> None:
    """Print, unless the terminal is closed."""
    with suppress(OSError):
        click.echo(text)


def _run(serving: Serving, folder: Path, stop: threading.Event) -> None:
    began = time.monotonic()
    if "base_url" not in settings().model_fields_set:
        os.environ["BASE_URL"] = serving.address.rstrip("/")  # for all parts: the lab calls back there
    with WatchedServer(serving, folder, report, stop) as server:
        server.start()
        if settings().database_uri is None:
            embedded_uri()  # while the server loads its code; the lab stays when the server is restarted
        if _is_shipped(serving.code):
            _tell_who_answers()
        if not server.wait():
            return
        report(
            f"After {time.monotonic() - began:.1f} seconds:\n"
            f"  Dagster's page        {serving.address}\n"
            f"  the API, documented   {serving.address}api/docs\n"
            f"  live updates          ws://{serving.host}:{serving.port}/api/ws/events\n"
        )
        report(_hints(serving, folder))
        server.watch()
        report("Stopping.")


def _is_shipped(code: Mapping[str, Any]) -> bool:
    """Whether a code location is the shipped network, which has the lab; this process imports no definitions."""
    files = [Path(name) for name in code.get("workspace", ())]
    if not code and (project := project_folder()):
        files = [project / WORKSPACE]
    texts = [file.read_text() for file in files if file.is_file()]
    return any(SHIPPED in text for text in (*texts, *code.get("module_name", ())))


def _hints(serving: Serving, folder: Path) -> str:
    """What to try. An installed distribution has no folder of examples, and a project of one's own has its own."""
    found = ((project_folder() or Path.cwd()) / "examples").glob("create_*.yaml")
    example = min(found, key=lambda path: (len(path.name), path.name), default=None)  # short is simple
    return HINTS.format(
        address=serving.address,
        job=f"job {example.stem}" if example else "a job",
        example=f", as in examples/{example.name}" if example else "",
        more=DRIFT if serving.examples else "",
        folder=folder,
    )


def _tell_who_answers() -> None:
    """Start the lab and report its address, or report what is refused without a URL."""
    urls = {"NETBOX_URL": settings().netbox_url, "PLAYBOOK_URL": settings().playbook_url}
    if any(map(lab_answers, urls.values())):
        report(f"The lab answers at {lab_url()} (token: lab).")
    elif missing := " and ".join(name for name, url in urls.items() if not url):
        report(f"On a database of your own no lab answers: what needs {missing} is refused until you set it.")


@contextmanager
def _only_one(folder: Path, serving: Serving) -> Iterator[None]:
    """Hold the lock of this project until the process ends. Raises SettingsError."""
    lock = open_lock(folder / "lock")
    try:
        if not try_lock(lock, LOCK_EX):
            raise SettingsError(_where_it_runs(folder))
        left_over = bool(os.pread(lock, 1, 0))
        _wait_for_port(serving, STOP_SECONDS if left_over else 0.0)
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "address": serving.address}).encode(), 0)
        with _address_kept(serving.address):
            yield
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


@contextmanager
def _address_kept(address: str) -> Iterator[None]:
    """Let commands beside this one know where the server is: their runs link to it, and are called back there."""
    home = settings().home
    home.mkdir(parents=True, exist_ok=True)
    (home / ADDRESS).write_text(f"{address} {os.getpid()}")
    try:
        yield
    finally:
        (home / ADDRESS).unlink(missing_ok=True)


def _where_it_runs(folder: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        written = json.loads((folder / "lock").read_text())
        return f"`orchestrator up` runs already: {written['address']} (process {written['pid']}). ^C there stops it."
    return "`orchestrator up` runs already; it is just starting."


def _wait_for_port(serving: Serving, timeout: float) -> None:
    """Wait for the port: the parts of a killed `up` need a moment to end. Raises SettingsError."""
    deadline = time.monotonic() + timeout
    while not _is_free(serving.port):
        if time.monotonic() >= deadline:
            raise SettingsError(f"Port {serving.port} of this machine is in use. Choose another with --port.")
        time.sleep(POLL_SECONDS)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


@contextmanager
def _stopping_servers() -> Iterator[None]:
    """Release lab and database at the end, and wait until they have stopped, unless other processes use them."""
    try:
        yield
    finally:
        used = []
        if settings().database_uri is None:
            server = embedded_server()
            server.ensure_reaper()
            used = [("The database", server.lease, server.pid_file)]
        with suppress(SettingsError):
            used.insert(0, ("The lab", lab_home() / "lab.lease", pid_file(lab_home())))
        for name, held, pids in used:
            if lease.is_held(held):
                lease.release(held)
                _wait_until_ended(name, pids)


def _wait_until_ended(name: str, pids: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while running_pid(pids) is not None:
        if time.monotonic() > deadline:
            report(f"{name} stays: another process uses it.")
            return
        time.sleep(POLL_SECONDS)
