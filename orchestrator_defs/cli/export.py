"""`orchestrator export`: all that a query finds, as CSV or JSON."""

from uuid import UUID

import click

from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import load_models, query_option
from resources.database import schema
from resources.searches.entities import ENTITIES
from resources.searches.export import export as parts_of
from resources.searches.hits import Search
from resources.searches.saved_queries import get_query, search_of


@click.command()
@click.argument("kind", type=click.Choice(list(ENTITIES)), required=False)
@query_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="CSV for spreadsheets, JSON for programs.",
)
@click.option(
    "--column", "columns", multiple=True, metavar="PATH", help="Only these, as `product.name`; may be repeated."
)
@click.option("--saved", type=click.UUID, metavar="ID", help="What this saved search finds, in place of KIND.")
@code_options
@click.pass_obj
def export(
    application: Application, kind: str | None, query: str, form: str, columns: tuple[str, ...], saved: UUID | None
) -> None:
    """Write all that a query finds as CSV or JSON to the standard output."""
    schema.ensure_current(application.database)
    if (kind is None) == (saved is None) or (saved and (query or columns)):
        raise click.UsageError("Say what to export: a KIND, with or without --query and --column, or --saved ID alone.")
    if saved is not None:
        with application.database.transaction(read_only=True):
            kept = get_query(saved, operator())
        _ = application.catalogue  # the models say which values there are
        search = search_of(kept.kind, kept.parameters)
    else:
        if kind == "subscriptions":
            load_models(application, query, columns)
        search = Search.of(kind or "", text=query, columns=columns)
    for part in parts_of(application.database, search, "csv" if form == "csv" else "json"):
        click.echo(part, nl=False)
