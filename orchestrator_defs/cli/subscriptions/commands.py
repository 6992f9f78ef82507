"""`orchestrator subscriptions`: list them, look into one, read its history."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar
from uuid import UUID

import click
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from orchestrator_defs.cli import output
from orchestrator_defs.cli.application import Application, ApplicationGroup
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.subscriptions.in_sync import set_in_sync_command
from orchestrator_defs.cli.transactions import reading
from resources.domain.models.block_model import resolve
from resources.domain.models.declaration import DomainModel
from resources.domain.models.fields import Block
from resources.domain.models.lifecycle import class_for
from resources.domain.saving.documents import ID, OWNER, is_block, is_block_list
from resources.subscriptions.history import HistoryEntry, read_document, read_history
from resources.subscriptions.lists import SubscriptionLine, count_subscriptions, list_subscriptions
from resources.subscriptions.queries import find_product, find_subscription_named
from resources.subscriptions.relations import RelatedSubscription, depends_on_subscriptions, in_use_by_subscriptions
from resources.subscriptions.search import search_condition
from resources.subscriptions.subscription_fields import SUBSCRIPTION_FIELDS
from resources.types import SubscriptionLifecycle

STATUS_COLOURS: Mapping[SubscriptionLifecycle, str] = {
    SubscriptionLifecycle.ACTIVE: "green",
    SubscriptionLifecycle.PROVISIONING: "yellow",
    SubscriptionLifecycle.MIGRATING: "yellow",
    SubscriptionLifecycle.TERMINATED: "dim",
}
STATUSES = [status.value for status in SubscriptionLifecycle]
PRODUCT_KEYS = {
    "product_id": "product_id",
    "product_name": "name",
    "product_type": "product_type",
    "product_tag": "tag",
}
MOST_SHOWN = 1_000_000
SHORT_ID = 8
BLOCK_FACTS = ("name", "label", ID, OWNER)

Command = TypeVar("Command", bound=Callable[..., Any])

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def list_options(command: Command) -> Command:
    """The options of a list, with and without the word `list`."""
    for option in reversed(
        (
            click.option("--product", help="Only those of this product: its name or id."),
            click.option("--status", type=click.Choice(STATUSES), help="Only those in this status."),
            click.option("--customer", help="Only those of this customer id."),
            output.query_option,
            click.option(
                "--limit",
                type=click.IntRange(1, MOST_SHOWN),
                default=50,
                show_default=True,
                help="At most so many, newest first.",
            ),
            as_json_option,
        )
    ):
        command = option(command)
    return code_options(command)


@click.group(cls=ApplicationGroup, invoke_without_command=True)
@list_options
@click.pass_context
def subscriptions(context: click.Context, /, **options: Any) -> None:
    """List subscriptions; `show` and `history` look into one."""
    if context.invoked_subcommand is None:
        _list(context.obj, **options)


subscriptions.add_command(set_in_sync_command)


@subscriptions.command("list")
@list_options
@click.pass_obj
def list_command(application: Application, /, **options: Any) -> None:
    """List subscriptions, like the group without a command."""
    _list(application, **options)


def _list(
    application: Application,
    *,
    product: str | None,
    status: str | None,
    customer: str | None,
    query: str,
    limit: int,
    as_json: bool,
) -> None:
    output.load_models(application, query)
    with reading(application):
        product_id = None if product is None else find_product(product).product_id
        wanted = SUBSCRIPTION_FIELDS.having(product_id=product_id, status=status, customer_id=customer)
        where = [search_condition(query), *wanted]
        found = list_subscriptions(where, limit=limit)
        total = count_subscriptions(where) if len(found) == limit else len(found)
    if as_json:
        output.show_json([_as_json(one) for one in found])
    elif not found:
        click.echo("There is no subscription" + (" that fits." if wanted or query else " yet."))
    else:
        output.show(_table(found))
        if total > len(found):
            click.echo(f"{len(found)} of {total}; --limit shows more.")


@subscriptions.command()
@click.argument("name", metavar="NAME")
@as_json_option
@code_options
@click.pass_obj
def show(application: Application, name: str, as_json: bool) -> None:
    """Show one subscription with its blocks.

    NAME is its id or at least the first 4 characters of it, its description, or words of it such as `ams1`.
    """
    with reading(application):
        header = find_subscription_named(name)
        document = read_document(header.subscription_id)
        users = in_use_by_subscriptions(header.subscription_id)
        used = depends_on_subscriptions(header.subscription_id)
    if as_json:
        related = {"in_use_by": [u.as_detail() for u in users], "depends_on": [u.as_detail() for u in used]}
        output.show_json({**document, **_as_json(header), **related})
    else:
        models = {product.name: product.model for product in application.catalogue.products}
        output.show(_tree(header, document, users, used, models.get(header.product.name)))


@subscriptions.command()
@click.argument("name", metavar="NAME")
@click.option("--limit", type=click.IntRange(1, MOST_SHOWN), help="Only the newest changes.")
@as_json_option
@click.pass_obj
def history(application: Application, name: str, limit: int | None, as_json: bool) -> None:
    """Show who changed a subscription, when, in which process, and what. NAME is as for `show`."""
    with reading(application):
        header = find_subscription_named(name)
        entries = read_history(header.subscription_id, limit=limit)
    if as_json:
        output.show_json([asdict(entry) for entry in entries])
        return
    tree = Tree(f"[bold]{escape(header.description)}[/bold]  {header.subscription_id}")
    for entry in entries:
        _add_entry(tree, entry)
    output.show(tree)


def _as_json(line: SubscriptionLine) -> dict[str, Any]:
    """A subscription for programs: the header, and the name of its product."""
    shown = asdict(line)
    product = {key: shown["product"][name] for key, name in PRODUCT_KEYS.items()}
    return {key: value for key, value in shown.items() if key not in ("product", "customer", "metadata")} | product


def _table(found: Sequence[SubscriptionLine]) -> Table:
    """A row each; a value that all share is printed once below, so that a line fits a terminal."""
    columns = {
        "ID": [_short(one.subscription_id) for one in found],
        "Product": [escape(one.product.name) for one in found],
        "Description": [escape(one.description) for one in found],
        "Status": [_coloured(one.status) for one in found],
        "In sync": [_insync(one.insync) for one in found],
        "Validation": [one.validation_result or "" for one in found],
        "Customer": [escape(one.customer_id) for one in found],
        "Version": [str(one.version) for one in found],
        "Locked by": [_short(one.locked_by) if one.locked_by else "" for one in found],
    }
    caption = None
    if len(customers := set(columns["Customer"])) == 1:
        caption = f"Customer of all: {customers.pop()}"
        del columns["Customer"]
    shown = {heading: cells for heading, cells in columns.items() if any(cells)}
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for heading in shown:
        wraps = heading in ("Description", "Product", "Customer")
        justify: Any = "right" if heading == "Version" else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=not wraps)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _tree(
    header: SubscriptionLine,
    document: Mapping[str, Any],
    users: Iterable[RelatedSubscription],
    used: Iterable[RelatedSubscription],
    model: type[DomainModel] | None,
) -> Tree:
    tree = Tree(f"[bold]{escape(header.description)}[/bold]")
    tree.add(f"id: {header.subscription_id}")
    tree.add(f"product: {escape(header.product.name)}  [dim]{escape(header.product.product_type)}[/dim]")
    tree.add(f"status: {_coloured(header.status)}")
    tree.add(f"in sync: {_insync(header.insync)}")
    tree.add(f"customer: {escape(header.customer_id)}")
    tree.add(f"version: {header.version}")
    if header.locked_by:
        tree.add(f"locked by: process {header.locked_by}")
    dates = {"from": header.start_date, "until": header.end_date}
    for what, moment in dates.items():
        if moment is not None:
            tree.add(f"{what}: {moment:%Y-%m-%d %H:%M:%S %Z}")
    if header.note:
        tree.add(f"note: {escape(header.note)}")
    known = set(_as_json(header)) | {"product"}
    neighbours = {one.subscription_id: one for one in (*used, *users)}
    fields = {name: value for name, value in document.items() if name not in known}
    _add_fields(tree, fields, neighbours, model)
    for user in users:
        tree.add(f"in use by: {_related(user)}")
    return tree


def _add_fields(
    branch: Tree,
    fields: Mapping[str, Any],
    neighbours: Mapping[UUID, RelatedSubscription],
    model: type[DomainModel] | None,
) -> None:
    """The fields in the order of the model, then those that only the database has."""
    model = class_for(model, SubscriptionLifecycle.ACTIVE) if model else None
    declared = {name: at for at, name in enumerate(model.model_fields)} if model else {}
    for name, value in sorted(fields.items(), key=lambda field: declared.get(field[0], len(declared))):
        if is_block(value):
            _add_block(branch, name, value, neighbours, _types(model, name))
        elif is_block_list(value):
            for position, block in enumerate(value):
                _add_block(branch, f"{name}.{position}", block, neighbours, _types(model, name))
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            branch.add(f"{escape(name)}: [dim]none[/dim]" if value is None else f"{escape(name)}: {escape(shown)}")


def _types(model: type[DomainModel] | None, field: str) -> Sequence[type[Block]]:
    """The classes of the blocks that the field may hold, where known."""
    return model.block_fields()[field].types if model and field in model.block_fields() else ()


def _add_block(
    branch: Tree,
    where: str,
    block: Mapping[str, Any],
    neighbours: Mapping[UUID, RelatedSubscription],
    types: Sequence[type[Block]],
) -> None:
    if "name" not in block:
        owner = neighbours.get(UUID(block[OWNER]))
        branch.add(f"{escape(where)}: → {_related(owner) if owner else f'subscription {block[OWNER]}'}")
        return
    label = f" “{escape(block['label'])}”" if block.get("label") else ""
    below = branch.add(f"{escape(where)}: [green]{escape(block['name'])}[/green]{label} [dim]{_short(block[ID])}[/dim]")
    fields = {name: value for name, value in block.items() if name not in BLOCK_FACTS}
    _add_fields(below, fields, neighbours, resolve(types, block["name"], SubscriptionLifecycle.ACTIVE))


def _add_entry(tree: Tree, entry: HistoryEntry) -> None:
    outside = f"{entry.step_key}, outside a process" if entry.step_key else "outside a process"
    what = f"{entry.workflow_name}, step {entry.step_key}" if entry.workflow_name else outside
    process = f" [dim]process {_short(entry.process_id)}[/dim]" if entry.process_id else ""
    branch = tree.add(
        f"[bold]version {entry.version}[/bold]  {entry.created_at:%Y-%m-%d %H:%M:%S}  "
        f"{escape(entry.created_by or 'unknown')}  {escape(what)}{process}"
    )
    if entry.reason:
        branch.add(f"reason: {escape(entry.reason)}")
    if entry.version == 1:
        for path, value in _set({one["path"]: one["after"] for one in entry.difference}):
            branch.add(f"{escape(path)} set: {_value(value)}")
        return
    for one in entry.difference:
        branch.add(f"{escape(one['path'])}: {_value(one['before'])} → {_value(one['after'])}")


def _set(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value with its path; only of the subscription's own blocks."""
    for name, value in fields.items():
        if name == "product" and isinstance(value, dict) and not is_block(value):
            yield name, value.get("name")
        elif is_block(value) and "name" in value:
            own = {f"{name}.{field}": held for field, held in value.items() if field not in BLOCK_FACTS}
            yield from _set(own)
        elif is_block_list(value):
            yield from _set({f"{name}.{position}": block for position, block in enumerate(value)})
        elif value is not None and name != "subscription_id":
            yield name, value


def _value(value: Any) -> str:
    if is_block(value):
        return f"[green]{escape(value.get('name', 'block'))}[/green] {_short(value[ID])}"
    return "[dim]none[/dim]" if value is None else escape(value if isinstance(value, str) else json.dumps(value))


def _related(one: RelatedSubscription) -> str:
    return f"{escape(one.description)} [dim]{_short(one.subscription_id)}[/dim] ({_coloured(one.status)})"


def _coloured(status: SubscriptionLifecycle) -> str:
    colour = STATUS_COLOURS.get(status)
    return f"[{colour}]{status}[/{colour}]" if colour else status.value


def _insync(insync: bool) -> str:
    return "yes" if insync else "[red]no[/red]"


def _short(identifier: UUID | str) -> str:
    return str(identifier)[:SHORT_ID]
