"""`orchestrator workers`: the resident processes that execute runs, from the shell."""

import os
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

import click
from dagster import DagsterInstance
from rich.table import Table

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import ApplicationGroup
from orchestrator_defs.instance import dagster_instance
from resources.dispatch import Dispatch, LivingWorker
from resources.errors import SettingsError
from resources.launcher import WarmRunLauncher
from resources.supervisor import supervise, take_lock

STOP_SECONDS = 3600


@click.group(cls=ApplicationGroup)
def workers() -> None:
    """Resident workers, which execute launched runs. A launch starts them by itself when there are none."""


@workers.command()
@click.option("--count", default=2, show_default=True, type=click.IntRange(1), help="How many runs at once.")
def start(count: int) -> None:
    """Start workers and keep them until ^C or SIGTERM; what they have in hand they finish first."""
    with dagster_instance() as instance:
        launcher = _launcher(instance)
        plan = launcher.plan(workers=count, idle_seconds=0)
        lock = take_lock(launcher.dispatch, plan.location, plan.location.fingerprint())
        if lock is None:
            raise click.ClickException(
                f"Workers of {plan.location.name} run already. `orchestrator workers status` shows them,"
                " `orchestrator workers stop` ends them."
            )
        click.echo(f"{count} workers of {plan.location.name}; ^C lets them finish and ends them.")
        supervise(instance, plan, lock)


@workers.command()
def status() -> None:
    """Show the workers that live, what they execute, and how many runs wait."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        living, waiting = dispatch.workers(), dispatch.waiting()
    if living:
        output.show(_table(living))
    else:
        click.echo("No worker lives; the next launch starts some.")
    for location, number in waiting.items():
        click.echo(f"{number} runs of {location} wait.")


@workers.command()
@click.option("--now", is_flag=True, help="Interrupt what they execute, too: those runs fail.")
def stop(now: bool) -> None:
    """End the workers of this machine when they have finished what they have in hand."""
    with dagster_instance() as instance:
        dispatch = _launcher(instance).dispatch
        here = _here(dispatch.workers())
        for pid in {worker.supervisor for worker in here}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for worker in here if now else ():
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        _wait_until_gone(dispatch, {worker.worker for worker in here})
    click.echo(f"{len(here)} workers have ended." if here else "No worker was running.")


def _wait_until_gone(dispatch: Dispatch, numbers: set[int]) -> None:
    give_up = time.monotonic() + STOP_SECONDS
    while numbers & {worker.worker for worker in dispatch.workers()}:
        if time.monotonic() > give_up:
            raise click.ClickException("Some workers still execute a run; `orchestrator workers status` shows them.")
        time.sleep(0.1)


def _here(living: Iterable[LivingWorker]) -> list[LivingWorker]:
    host = socket.gethostname()
    return [worker for worker in living if worker.host == host]


def _launcher(instance: DagsterInstance) -> WarmRunLauncher:
    launcher = instance.run_launcher
    if isinstance(launcher, WarmRunLauncher):
        return launcher
    raise SettingsError(
        f"This instance launches its runs with {type(launcher).__name__}, which has no workers of ours. Its"
        " dagster.yaml needs `run_launcher:` with module resources.launcher and class WarmRunLauncher."
    )


def _table(living: Iterable[LivingWorker]) -> Table:
    table = Table("worker", "process", "machine", "code location", "code", "since", "run in hand", box=None)
    for worker in living:
        since = worker.started_at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(
            str(worker.worker),
            str(worker.pid),
            worker.host,
            worker.location,
            worker.code[:7],
            since,
            worker.run_id or "",
        )
    return table
