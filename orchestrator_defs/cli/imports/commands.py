"""`orchestrator import`: take over what another system already has; each command below is a module of its own."""

import click

from orchestrator_defs.cli.application import ApplicationGroup


@click.group("import", cls=ApplicationGroup)
def imports() -> None:
    """Take over what exists already: subscriptions, and their history."""
