"""`orchestrator export`: all that a query finds, as CSV or JSON."""

import click

from orchestrator_defs.cli.application import Application
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import load_models, query_option
from resources.database import schema
from resources.searches.entities import ENTITIES
from resources.searches.export import export as parts_of
from resources.searches.hits import Search


@click.command()
@click.argument("kind", type=click.Choice(list(ENTITIES)))
@query_option
@click.option("--format", "form", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option(
    "--column", "columns", multiple=True, metavar="PATH", help="Only these, as `product.name`; may be repeated."
)
@code_options
@click.pass_obj
def export(application: Application, kind: str, query: str, form: str, columns: tuple[str, ...]) -> None:
    """Write all that a query finds as CSV or JSON to the standard output."""
    schema.ensure_current(application.database)
    if kind == "subscriptions":
        load_models(application, query, columns)
    search = Search.of(kind, text=query, columns=columns)
    for part in parts_of(application.database, search, "csv" if form == "csv" else "json"):
        click.echo(part, nl=False)
