"""`orchestrator subscriptions workflows`: which workflows may start on a subscription."""

import click
from rich.markup import escape
from rich.table import Table

from ops.starting.startable import startable
from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import show, show_json
from orchestrator_defs.cli.transactions import reading
from resources.subscriptions.queries import find_subscription_named
from resources.types import Target


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@code_options
@click.pass_obj
def workflows(application: Application, name: str, as_json: bool) -> None:
    """Show which workflows you may start on a subscription, and why not the others. NAME is as for `show`."""
    workflows_of_the_code = application.orchestrator.workflows.values()
    with reading(application):
        header = find_subscription_named(name)
        found = startable(header.subscription_id, workflows_of_the_code, user=operator())
    if as_json:
        show_json(found)
        return
    table = Table("Workflow", "Target", "May start", "Why not", box=None, pad_edge=False)
    for target in Target:
        for entry in found[target.value.lower()]:
            is_free = "reason" not in entry
            table.add_row(
                escape(entry["name"]),
                target,
                "[green]yes[/]" if is_free else "[red]no[/]",
                "" if is_free else f"{entry['reason']}: {escape(entry['message'])}",
            )
    show(table)
