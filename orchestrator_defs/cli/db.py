"""`orchestrator db`: the schema of the database, from the shell."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from resources.database import schema
from resources.database.own_tables import own_tables
from resources.database.session import SubscriptionDatabase, place
from resources.errors import REFUSALS


@click.group()
def db() -> None:
    """Migrate, show and compare the schema of the database."""


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Migrate up to REVISION (head, or heads: the revision of this version)."""
    with _database() as database:
        before = schema.current(database)
        schema.upgrade(database, revision)
        click.echo(_moved(database, before))
        for tables in own_tables():
            tables.upgrade(database)
            click.echo(f"The tables of '{tables.name}' are at revision {tables.current(database) or 'none'}.")


@db.command(context_settings={"ignore_unknown_options": True})
@click.argument("revision", default="-1")
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(revision: str, yes: bool) -> None:
    """Migrate down to REVISION (base: empty; -1: the one before). Data that the older schema cannot hold is lost."""
    with _database() as database:
        before = schema.current(database)
        if not yes:
            question = f"Take the {place(database.url)} from revision {before or 'none'} down to {revision}?"
            click.confirm(question, abort=True)
        schema.downgrade(database, revision)
        click.echo(_moved(database, before))


@db.command()
def current() -> None:
    """Show the database and its revision. Exit code 1 when this version needs another one."""
    with _database() as database:
        revision = schema.current(database)
        click.echo(f"{_capital(place(database.url))}: {revision or 'no schema'}{_remark(revision)}")
        is_behind = revision != schema.head()
        for tables in own_tables():
            found, newest = tables.current(database), tables.head
            remark = "up to date" if found == newest else f"this code needs {newest}: run `orchestrator db upgrade`"
            click.echo(f"Tables of '{tables.name}': {found or 'none yet'} ({remark})")
            is_behind = is_behind or found != newest
        if is_behind:
            raise click.exceptions.Exit(1)


@db.command()
def heads() -> None:
    """Show the newest revision of this version; there is one branch, so there is one."""
    click.echo(f"{schema.head()} (head)")


@db.command()
@click.option("-v", "--verbose", is_flag=True, hidden=True)
@click.option("-c", "--indicate-current", is_flag=True, hidden=True)
def history(verbose: bool, indicate_current: bool) -> None:
    """List the revisions, oldest first; the database's is marked."""
    del verbose, indicate_current  # as orchestrator-core has them: it is always so
    with _database() as database:
        revision = schema.current(database)
        for known in schema.history():
            click.echo(f"{'*' if known.revision == revision else ' '} {known.revision}  {known.description}")


@db.command()
def check() -> None:
    """Compare the database with the models. Exit code 1 when they differ."""
    with _database() as database:
        differences = [*schema.check(database), *(one for tables in own_tables() for one in tables.check(database))]
        for difference in differences:
            click.echo(difference)
        if differences:
            raise click.ClickException(
                f"The {place(database.url)} differs from the models in the {len(differences)} points above."
                " `orchestrator db current` shows whether it is up to date."
            )
        click.echo(f"The {place(database.url)} matches the models.")


@db.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Drop all subscriptions, processes and the catalogue, and create an empty schema."""
    with _database() as database:
        if not yes:
            click.confirm(f"All data in the {place(database.url)} will be lost. Continue?", abort=True)
        schema.reset(database)
        click.echo(f"The {place(database.url)} is empty, at revision {schema.current(database)}.")


_CATALOGUE = (
    "no migration is written for {}: `orchestrator catalogue plan` shows what the code changes in the database, and "
    "`orchestrator catalogue apply` changes it."
)
REPLACED = {
    "migrate-domain-models": _CATALOGUE.format("models of products"),
    "migrate-workflows": _CATALOGUE.format("workflows"),
    "migrate-tasks": _CATALOGUE.format("tasks"),
    "revision": "a migration is written for tables of your own alone, by `orchestrator db own revision NAME MESSAGE`; "
    "for products and workflows `orchestrator catalogue plan` and `apply` do its work.",
    "init": "no folder of migrations is needed: `orchestrator db upgrade` makes and migrates the schema, and "
    "`orchestrator init DIR` writes a project.",
    "merge": "nothing is to be merged: the schema has one branch, and products are no migrations.",
}
"""Commands of orchestrator-core's `db` that mean nothing here -> what does their work."""


def _replaced(name: str, sentence: str) -> click.Command:
    def refuse(**_: object) -> None:
        raise click.ClickException(f"`db {name}`: {sentence}")

    short = f"Of orchestrator-core: {sentence.partition(':')[0]}."
    rest = click.Argument(["rest"], nargs=-1, type=click.UNPROCESSED)
    settings = {"ignore_unknown_options": True}
    return click.Command(name, settings, refuse, [rest], help=short, hidden=True)


for _name, _sentence in REPLACED.items():
    db.add_command(_replaced(_name, _sentence))


@contextmanager
def _database() -> Iterator[SubscriptionDatabase]:
    """The database; an error is one line and exit code 1."""
    try:
        yield SubscriptionDatabase()
    except REFUSALS as error:
        raise click.ClickException(str(error)) from error


def _moved(database: SubscriptionDatabase, before: str | None) -> str:
    after = schema.current(database)
    where = _capital(place(database.url))
    if after == before:
        return f"{where} is at revision {after or 'none'} already."
    return f"{where} went from revision {before or 'none'} to {after or 'none'}."


def _remark(revision: str | None) -> str:
    if revision == schema.head():
        return " (up to date)"
    if revision in {None, *(known.revision for known in schema.history())}:
        return f" (this version needs {schema.head()}: run `orchestrator db upgrade`)"
    return f" (not known to this version, which needs {schema.head()})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
