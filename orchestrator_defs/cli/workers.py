"""`orchestrator workers`: start, show and stop the resident processes that execute runs."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress

import click
from dagster import DagsterInstance
from rich.table import Table

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import ApplicationGroup
from orchestrator_defs.cli.code_options import chosen_code, code_options
from orchestrator_defs.jobs.finding import code_locations
from orchestrator_defs.processes.instance import dagster_instance
from resources.errors import SettingsError
from resources.runs.code_location import CodeLocation
from resources.runs.dispatch import Dispatch, LiveWorker
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.manager import WorkerManager
from resources.runs.workers.supervisor_lock import MANAGER, SupervisorLocks

POLL_SECONDS = 0.2
QUIET_SECONDS = 1.0


@click.group(cls=ApplicationGroup)
def workers() -> None:
    """Resident workers, which execute launched runs. A launch starts some when there are none."""


@workers.command()
@click.option("--count", default=2, show_default=True, type=click.IntRange(1), help="How many runs at once.")
@click.option(
    "--reserved",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="More workers, which take no bulk runs.",
)
@code_options
def start(count: int, reserved: int) -> None:
    """Run workers of every code location until ^C or SIGTERM; they finish their runs first.

    They take over from workers that a launch has started.
    """
    with dagster_instance() as instance:
        launcher = _launcher(instance)
        stop = _stop_requested()
        managers = []
        for location in _locations(launcher):
            plan = launcher.plan(location, workers=count, reserved_workers=reserved, idle_seconds=0)
            manager = WorkerManager(instance, launcher.dispatch, plan, click.echo)
            if not manager.start():
                raise click.ClickException(
                    f"Another `orchestrator workers start` runs workers of {plan.location.name}. `orchestrator workers"
                    " status` shows them, `orchestrator workers stop` ends them."
                )
            managers.append(manager)
        names = [manager.plan.location.name for manager in managers]
        click.echo(f"Starting workers of {', '.join(names)}; ^C stops them when they have finished.")
        while not stop.wait(POLL_SECONDS):
            for manager in managers:
                manager.check()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second ^C stops waiting
        workers_here = [one for one in _on_this_host(launcher.dispatch.workers()) if one.location in names]
        for manager in managers:
            manager.stop()
        _wait_until_gone(launcher.dispatch, workers_here)


def _locations(launcher: WarmRunLauncher) -> list[CodeLocation | None]:
    """The code locations of the options or of the workspace, else the one in the launcher's configuration."""
    options = chosen_code()
    if launcher.names_a_location and not options:
        return [None]
    # Another process imports them, for this one lives as long as the workers and needs nothing of them.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as loading:
        found, refused = loading.submit(code_locations, options).result()
    for fault in refused:
        click.echo(fault, err=True)
    if not found:
        raise SettingsError("No code location has an orchestrator whose runs could be executed here.")
    return [*found]


@workers.command()
def status() -> None:
    """Show the live workers, the runs they execute, and how many runs are queued."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        live = dispatch.workers()
        if live:
            output.show(_table(live))
        else:
            click.echo("No worker is running; the next launch starts some.")
        _show_waiting_runs(dispatch)


@workers.command()
@click.option("--now", is_flag=True, help="Kill them with their runs: those runs fail.")
def stop(now: bool) -> None:
    """Stop the workers of this machine when they have finished their runs."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        workers_here = _on_this_host(dispatch.workers())
        for locks in SupervisorLocks.all(dispatch.place):
            _stop_manager(locks)
            locks.stop_supervisors()
        for worker in workers_here if now else ():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        _wait_until_gone(dispatch, workers_here)
        click.echo(f"{len(workers_here)} workers have stopped." if workers_here else "No worker was running.")
        _show_waiting_runs(dispatch)


def _show_waiting_runs(dispatch: Dispatch) -> None:
    for location, number in dispatch.waiting().items():
        click.echo(f"Of {location} {number} {'run waits' if number == 1 else 'runs wait'} for a worker.")


def _stop_requested() -> threading.Event:
    """An event that ^C and SIGTERM set."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _stop_manager(locks: SupervisorLocks) -> None:
    while locks.is_held(MANAGER):
        if (holder := locks.holder(MANAGER)) is not None:
            with suppress(ProcessLookupError):
                os.kill(holder.pid, signal.SIGTERM)
        time.sleep(POLL_SECONDS)


def _wait_until_gone(dispatch: Dispatch, workers: Collection[LiveWorker]) -> None:
    numbers = {worker.worker for worker in workers}
    began, is_reported = time.monotonic(), False
    while left := [worker for worker in dispatch.workers() if worker.worker in numbers]:
        busy = [worker.run_id for worker in left if worker.run_id]
        if busy and not is_reported and time.monotonic() - began > QUIET_SECONDS:
            click.echo(f"Waiting for the end of {', '.join(busy)}.")
            is_reported = True
        time.sleep(POLL_SECONDS)


def _on_this_host(live: Iterable[LiveWorker]) -> list[LiveWorker]:
    host = socket.gethostname()
    return [worker for worker in live if worker.host == host]


def _launcher(instance: DagsterInstance) -> WarmRunLauncher:
    launcher = instance.run_launcher
    if isinstance(launcher, WarmRunLauncher):
        return launcher
    raise SettingsError(
        f"This instance launches its runs with {type(launcher).__name__}, which has no warm workers. Its"
        " dagster.yaml needs `run_launcher:` with module resources.runs.launching.launcher and class WarmRunLauncher."
    )


def _table(live: Iterable[LiveWorker]) -> Table:
    table = Table("worker", "process", "machine", "code location", "code", "takes", "since", "run", box=None)
    for worker in live:
        since = worker.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            str(worker.worker),
            str(worker.pid),
            worker.host,
            worker.location,
            worker.code[:7],
            "no bulk" if worker.is_reserved else "all",
            since,
            worker.run_id or "",
        )
    return table
