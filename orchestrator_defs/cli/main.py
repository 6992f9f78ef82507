"""The command `orchestrator`: its groups put together, and every expected error shown as one sentence."""

import atexit
import gc

import click

from orchestrator_defs.cli.application import ApplicationGroup
from orchestrator_defs.cli.catalogue import catalogue
from orchestrator_defs.cli.db import db
from orchestrator_defs.cli.demo import demo
from orchestrator_defs.cli.doctor import check_inflight, doctor
from orchestrator_defs.cli.engine import engine
from orchestrator_defs.cli.lab import lab
from orchestrator_defs.cli.processes.commands import process, run
from orchestrator_defs.cli.processes.interventions import abort, resume
from orchestrator_defs.cli.serve import serve
from orchestrator_defs.cli.subscriptions.commands import subscriptions
from orchestrator_defs.cli.subscriptions.in_sync import set_in_sync_command
from orchestrator_defs.cli.subscriptions.workflows import workflows
from orchestrator_defs.cli.up import up
from orchestrator_defs.cli.workers import workers
from orchestrator_defs.definitions import orchestrator


@click.group(cls=ApplicationGroup)
@click.version_option(package_name="dagster-service-orchestrator")
@click.pass_context
def main(context: click.Context) -> None:
    """Service orchestrator on Dagster: products, subscriptions, and the workflows that move them through their life."""
    context.obj = orchestrator
    atexit.register(gc.freeze)  # else the interpreter takes more than a second to look through all that it forgets


subscriptions.add_command(workflows)
subscriptions.add_command(set_in_sync_command)
for command in (
    run,
    resume,
    abort,
    process,
    engine,
    subscriptions,
    catalogue,
    db,
    lab,
    workers,
    doctor,
    check_inflight,
    demo,
    serve,
    up,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
