"""`orchestrator db own`: migrations of an organisation's own tables."""

import click

from orchestrator_defs.cli.application import ApplicationGroup
from resources.database.own_tables import named_tables
from resources.database.session import SubscriptionDatabase, place


@click.group(cls=ApplicationGroup)
def own() -> None:
    """Write and take back migrations of tables of your own; `orchestrator db upgrade` applies them."""


@own.command()
@click.argument("name")
@click.argument("message")
def revision(name: str, message: str) -> None:
    """Write the next migration of the tables NAME, with what METADATA has otherwise than the database."""
    click.echo(f"{named_tables(name).revise(SubscriptionDatabase(), message)} is written; read it before you apply it.")


@own.command()
@click.argument("name")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(name: str, revision: str, yes: bool) -> None:
    """Migrate the tables NAME down to REVISION (base: none is left). Data that these cannot hold are lost."""
    tables, database = named_tables(name), SubscriptionDatabase()
    if not yes:
        click.confirm(f"Take the tables of '{name}' in the {place(database.url)} down to {revision}?", abort=True)
    tables.downgrade(database, revision)
    click.echo(f"The tables of '{name}' are at revision {tables.current(database) or 'none'}.")
