"""`orchestrator subscriptions set-in-sync`: a person confirms that the network matches a subscription."""

import click

from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.transactions import writing
from resources.database.storable import refuse_unstorable
from resources.processes.validations import confirm_in_sync
from resources.subscriptions.queries import find_subscription_named


@click.command("set-in-sync")
@click.argument("name", metavar="NAME")
@click.option("--reason", help="The reason, kept in the history.")
@click.pass_obj
def set_in_sync_command(application: Application, name: str, reason: str | None) -> None:
    """Put a subscription in sync; its history keeps you and the reason. NAME is as for `show`.

    Refused while processes that changed it are unfinished, such as a reconcile that failed: resume or abort these
    first. Ends the validations that found it out of sync.
    """
    refuse_unstorable("--reason", reason)
    with writing(application):
        header = find_subscription_named(name)
        is_changed = confirm_in_sync(header.subscription_id, user=operator(), reason=reason)
    click.echo(f"{header.description} is in sync{'' if is_changed else ' already'}.")
