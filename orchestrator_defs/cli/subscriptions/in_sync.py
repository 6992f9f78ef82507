"""`orchestrator subscriptions set-in-sync`: a person confirms that the network matches a subscription."""

import click

from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.transactions import writing
from resources.domain.saving.authorship import Author, authored_by
from resources.subscriptions.insync import set_in_sync
from resources.subscriptions.queries import find_subscription_named


@click.command("set-in-sync")
@click.argument("name", metavar="NAME")
@click.pass_obj
def set_in_sync_command(application: Application, name: str) -> None:
    """Put a subscription in sync; its history records you. NAME is as for `show`.

    Refused while processes that changed it are unfinished: resume or abort these first.
    """
    with writing(application), authored_by(Author(operator())):
        header = find_subscription_named(name)
        is_changed = set_in_sync(header.subscription_id)
    click.echo(f"{header.description} is in sync{'' if is_changed else ' already'}.")
