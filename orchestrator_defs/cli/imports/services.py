"""`orchestrator import services`: services that exist already become subscriptions, and nothing outside changes."""

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click
from dagster import build_resources

from ops.tasks.validation import systems_of, validations_of
from ops.validating.uncommitted import fault_of
from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.jobs.orchestrator import Orchestrator
from resources.domain.saving.authorship import Author, authored_by
from resources.domain.saving.records import ProductRecord
from resources.errors import UnknownProduct, UnknownWorkflow
from resources.service_import.batches import Check, ImportReport, ServiceImport
from resources.service_import.files import RefusedRows, read_rows
from resources.service_import.service_models import RowReading
from resources.settings import settings
from resources.subscriptions.queries import find_product
from resources.types import SubscriptionLifecycle

LINES_SHOWN = 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--product", "name", required=True, help="Name of the product of all rows.")
@click.option("--key", metavar="COLUMN", help="Column with an id of your own; a subscription's id is made from it.")
@click.option("--column", "columns", multiple=True, metavar="THEIRS=OURS", help="Read a column as another; may repeat.")
@click.option(
    "--status",
    type=click.Choice(list(SubscriptionLifecycle)),
    default=SubscriptionLifecycle.ACTIVE,
    show_default=True,
    help="Status of rows without one.",
)
@click.option("--customer", help="Customer of rows without one; DEFAULT_CUSTOMER_IDENTIFIER unless given.")
@click.option("--description", metavar="TEXT", help="Description of rows without one; columns stand in {braces}.")
@click.option("--note", help="Note of rows without one.")
@click.option("--validate", is_flag=True, help="Run the product's validations; refuse what external systems deny.")
@click.option("--dry-run", is_flag=True, help="Do all of it, and then undo it.")
@click.option("--refused", type=click.Path(path_type=Path), help="New file for refused rows, to repair and import.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@code_options
@click.pass_obj
def services(
    application: Application,
    file: Path,
    name: str,
    key: str | None,
    columns: tuple[str, ...],
    status: str,
    customer: str | None,
    description: str | None,
    note: str | None,
    validate: bool,
    dry_run: bool,
    refused: Path | None,
    as_json: bool,
) -> None:
    """Import the services of FILE (.csv, .json, .jsonl, .yaml) as subscriptions of a product, in sync.

    Nothing outside the database changes. A row whose subscription is there already is left alone, so the same command
    may run again. Exit code 1 when a row was refused.
    """
    number = sum(1 for _ in read_rows(file))  # so that a file that cannot be read changes nothing
    orchestrator = application.orchestrator
    with orchestrator.prepare().transaction(read_only=True):
        product = find_product(name)
    if product.name not in {one.name for one in orchestrator.catalogue.products}:
        raise UnknownProduct(f"Product {product.name!r} belongs to other code; import it with that, chosen by -m.")
    reading = RowReading(
        product=product,
        now=datetime.now(UTC),
        customer_id=customer or settings().default_customer_identifier,
        key=key,
        status=SubscriptionLifecycle(status),
        description=description,
        note=note,
        columns=_columns(columns),
    )
    with ExitStack() as stack:
        check = stack.enter_context(_validations(orchestrator, product)) if validate else None
        rejects = stack.enter_context(RefusedRows(refused, file)) if refused else None
        stack.enter_context(authored_by(Author(user=operator())))
        bar = stack.enter_context(click.progressbar(length=number, label="Rows", file=sys.stderr, hidden=as_json))
        whole = ServiceImport(
            orchestrator.database,
            reading,
            f"imported from {file.name}",
            check=check,
            refuse=rejects.add if rejects else lambda _row, _reason: None,
            is_dry_run=dry_run,
        )
        report = whole.run(read_rows(file), bar.update)
    _print(report, dry_run, as_json)
    if report.refused:
        raise click.exceptions.Exit(1)


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in given:
        theirs, sign, ours = one.partition("=")
        if not sign:
            raise click.UsageError(f"--column {one!r} is not THEIRS=OURS; an empty OURS leaves the column out.")
        found[theirs] = ours
    return found


@contextmanager
def _validations(orchestrator: Orchestrator, product: ProductRecord) -> Iterator[Check]:
    """The checks of a product's validate workflows, with their external systems set up as for a run."""
    workflows = validations_of(orchestrator.workflows, product.product_type)
    if not workflows:
        raise UnknownWorkflow(f"Product {product.name!r} has no validate workflow, so --validate can check nothing.")
    asked = {key for workflow in workflows for key in systems_of(workflow)}
    bound = {key: orchestrator.bound_resources[key] for key in asked}
    log = logging.getLogger(__name__)
    with build_resources(bound) as built:
        resources = {key: getattr(built, key) for key in asked}
        yield lambda one: fault_of(one, workflows, orchestrator.database, resources, log)


def _print(report: ImportReport, is_dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.show_json({**asdict(report), "dry_run": is_dry_run})
        return
    for refusal in report.refusals[:LINES_SHOWN]:
        click.echo(f"row {refusal.row}: {refusal.reason}")
    if report.refused > LINES_SHOWN:
        click.echo(f"… and {report.refused - LINES_SHOWN} more refused rows; --refused FILE keeps them all.")
    done = "would be imported" if is_dry_run else "imported"
    click.echo(f"{report.imported} {done}, {report.present} there already, {report.refused} refused.")
