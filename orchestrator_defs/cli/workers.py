"""`orchestrator workers`: the resident processes that execute runs, from the shell."""

import os
import signal
import socket
import threading
import time
from collections.abc import Collection, Iterable
from contextlib import suppress

import click
from dagster import DagsterInstance
from rich.table import Table

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import ApplicationGroup
from orchestrator_defs.processes.instance import dagster_instance
from resources.errors import SettingsError
from resources.runs.dispatch import Dispatch, LivingWorker
from resources.runs.launching.launcher import WarmRunLauncher
from resources.runs.workers.staffing import Staffing
from resources.runs.workers.supervisor_lock import KEEPER, Post

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 1.0


@click.group(cls=ApplicationGroup)
def workers() -> None:
    """Resident workers, which execute launched runs. A launch starts them by itself when there are none."""


@workers.command()
@click.option("--count", default=2, show_default=True, type=click.IntRange(1), help="How many runs at once.")
@click.option(
    "--reserved", default=1, show_default=True, type=click.IntRange(0), help="Workers beside them that take no bulk."
)
def start(count: int, reserved: int) -> None:
    """Keep workers there until ^C or SIGTERM; what they have in hand they finish first.

    They take over from workers that a launch has started.
    """
    with dagster_instance() as instance:
        launcher = _launcher(instance)
        plan = launcher.plan(workers=count, reserved_workers=reserved, idle_seconds=0)
        told = _told_to_stop()
        staffing = Staffing(instance, launcher.dispatch, plan, click.echo)
        if not staffing.begin():
            raise click.ClickException(
                f"Another `orchestrator workers start` keeps workers of {plan.location.name}. `orchestrator workers"
                " status` shows them, `orchestrator workers stop` ends them."
            )
        click.echo(f"Starting workers of {plan.location.name}; ^C lets them finish and ends them.")
        while not told.wait(LOOK_SECONDS):
            staffing.look()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second ^C waits no longer
        mine = _here(launcher.dispatch.workers(), plan.location.name)
        staffing.end()
        _wait_until_gone(launcher.dispatch, mine)


@workers.command()
def status() -> None:
    """Show the workers that live, what they execute, and how many runs wait."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        living = dispatch.workers()
        if living:
            output.show(_table(living))
        else:
            click.echo("No worker lives; the next launch starts some.")
        _tell_who_waits(dispatch)


@workers.command()
@click.option("--now", is_flag=True, help="Kill them with what they execute: those runs fail.")
def stop(now: bool) -> None:
    """End the workers of this machine when they have finished what they have in hand."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        here = _here(dispatch.workers())
        for post in Post.all(dispatch.place):
            _end_keeper(post)
            post.dismiss()
        for worker in here if now else ():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        _wait_until_gone(dispatch, here)
        click.echo(f"{len(here)} workers have ended." if here else "No worker was running.")
        _tell_who_waits(dispatch)


def _tell_who_waits(dispatch: Dispatch) -> None:
    for location, number in dispatch.waiting().items():
        click.echo(f"Of {location} {number} {'run waits' if number == 1 else 'runs wait'} for a worker.")


def _told_to_stop() -> threading.Event:
    """Set by ^C and SIGTERM."""
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    return told


def _end_keeper(post: Post) -> None:
    while post.is_taken(KEEPER):
        if (keeper := post.occupant(KEEPER)) is not None:
            with suppress(ProcessLookupError):
                os.kill(keeper.pid, signal.SIGTERM)
        time.sleep(LOOK_SECONDS)


def _wait_until_gone(dispatch: Dispatch, workers: Collection[LivingWorker]) -> None:
    numbers = {worker.worker for worker in workers}
    began, is_told = time.monotonic(), False
    while left := [worker for worker in dispatch.workers() if worker.worker in numbers]:
        busy = [worker.run_id for worker in left if worker.run_id]
        if busy and not is_told and time.monotonic() - began > PATIENCE_SECONDS:
            click.echo(f"Waiting for the end of {', '.join(busy)}.")
            is_told = True
        time.sleep(LOOK_SECONDS)


def _here(living: Iterable[LivingWorker], location: str | None = None) -> list[LivingWorker]:
    host = socket.gethostname()
    return [worker for worker in living if worker.host == host and location in (None, worker.location)]


def _launcher(instance: DagsterInstance) -> WarmRunLauncher:
    launcher = instance.run_launcher
    if isinstance(launcher, WarmRunLauncher):
        return launcher
    raise SettingsError(
        f"This instance launches its runs with {type(launcher).__name__}, which has no workers of ours. Its"
        " dagster.yaml needs `run_launcher:` with module resources.runs.launching.launcher and class WarmRunLauncher."
    )


def _table(living: Iterable[LivingWorker]) -> Table:
    table = Table("worker", "process", "machine", "code location", "code", "takes", "since", "run in hand", box=None)
    for worker in living:
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
