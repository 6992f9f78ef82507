"""`orchestrator schedules`: list, make, change and remove the schedules that start workflows by themselves."""

import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from orchestrator_defs.cli.application import Application, ApplicationGroup, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import show as show_on_screen
from orchestrator_defs.cli.output import show_json
from orchestrator_defs.cli.processes.inputs import read_inputs
from orchestrator_defs.cli.transactions import reading
from orchestrator_defs.processes.scheduling import Scheduling
from resources.processes import schedules as kept
from resources.processes.due_times import Missed
from resources.processes.schedules import Firing, Schedule
from resources.processes.triggers import from_crontab

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
RULES = [one.value for one in Missed]
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.group(cls=ApplicationGroup)
def schedules() -> None:
    """List, make, change and remove schedules, which start workflows by themselves.

    The sensor `run_time_schedules` of Dagster's daemon fires them.
    """


@schedules.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@json_option
@click.pass_obj
def list_command(application: Application, limit: int, as_json: bool) -> None:
    """List the schedules by name: what starts when, next and last."""
    with reading(application):
        found = kept.list_schedules(limit=limit)
    if as_json:
        return show_json([_as_json(one) for one in found])
    table = Table("Id", "Name", "Workflow", "When", "Next run", "Last run", "Starts as", box=None, pad_edge=False)
    for one in found:
        last = _outcome(one.last_run) if one.last_run else "none yet"
        about = (str(one.schedule_id)[:8], one.name, one.workflow_name, _when(one), _next(one), last)
        table.add_row(*map(escape, (*about, str(one.starts_as))))
    return show_on_screen(table if found else "There is none. Those of built-in tasks are in Dagster's page.")


@schedules.command()
@click.argument("schedule_id")
@json_option
@click.pass_obj
def show(application: Application, schedule_id: str, as_json: bool) -> None:
    """Show a schedule (its id or the beginning of it) and its latest firings."""
    with reading(application):
        one = kept.get_schedule(kept.find_schedule_id(schedule_id))
        firings = kept.firings_of(one.schedule_id, limit=20)
    if as_json:
        return show_json(_as_json(one) | {"firings": [asdict(firing) for firing in firings]})
    facts = {"schedule": one.schedule_id, "name": one.name, "workflow": one.workflow_name, "when": _when(one)}
    facts |= {"next run": _next(one), "missed times": one.missed, "inputs": one.inputs, "made by": one.created_by}
    facts["starts as"] = f"{one.starts_as}, with the roles of {one.rights_at:%F %T %Z}"
    for name, value in facts.items():
        show_on_screen(f"[bold]{name}[/]: {escape(str(value))}")
    return show_on_screen(escape("\n".join(map(_outcome, firings)) or "It has not fired yet."))


def schedule_options(command: Callable[..., None]) -> Callable[..., None]:
    """What a schedule is made of."""
    for option in reversed(
        (
            click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]..."),
            click.option("-c", "--config", type=click.Path(path_type=Path), help="YAML file with `inputs`: the pages."),
            click.option(
                "--cron", metavar="TEXT", help="As in a crontab: '10 0 * * 1-5'; of six fields, seconds first."
            ),
            click.option("--every", metavar="TIME", help="At an interval: 30m, 4h, 1d, 2w."),
            click.option("--at", metavar="MOMENT", help="Once: 2030-01-31T08:00."),
            click.option("--timezone", default="UTC", show_default=True, help="Whose wall clock --cron and --at mean."),
            click.option("--name", help="What people read; the workflow's description by default."),
            click.option("--missed", type=click.Choice(RULES), help="Which missed times fire; the last by default."),
            click.option(
                "--grace", type=click.IntRange(0), help="So many seconds late is missed; a minute by default."
            ),
            code_options,
            click.pass_obj,
        )
    ):
        command = option(command)
    return command


@schedules.command()
@click.argument("workflow")
@schedule_options
def add(
    application: Application,
    /,
    workflow: str,
    fields: tuple[str, ...],
    config: Path | None,
    name: str | None,
    missed: str | None,
    grace: int | None,
    **when: str,
) -> None:
    """Let WORKFLOW start by itself, as you; the input is the same as for `orchestrator run`, and is checked now."""
    trigger, kwargs = _trigger(**when)
    asked: dict[str, Any] = {"workflow_id": None, "workflow_name": workflow, "name": name}
    asked |= {"trigger": trigger, "trigger_kwargs": kwargs, "missed": missed or Missed.LAST, "grace_seconds": grace}
    with application.processes() as service:
        inputs = read_inputs(config, fields) or []
        made = Scheduling(service).create(**asked, inputs=inputs, user=operator())
    click.echo(f"Schedule {made.schedule_id} of {workflow} is made; it fires next at {_next(made)}.")


@schedules.command()
@click.argument("schedule_id")
@schedule_options
def change(
    application: Application,
    /,
    schedule_id: str,
    fields: tuple[str, ...],
    config: Path | None,
    name: str | None,
    missed: str | None,
    grace: int | None,
    **when: str,
) -> None:
    """Change a schedule (its id or the beginning of it). It then starts as you, also when nothing else changes."""
    asked: dict[str, Any] = {"name": name}
    asked |= {key: value for key, value in (("missed", missed), ("grace_seconds", grace)) if value is not None}
    if when["cron"] or when["every"] or when["at"]:
        asked["trigger"], asked["trigger_kwargs"] = _trigger(**when)
    with reading(application):
        found = kept.find_schedule_id(schedule_id)
    with application.processes() as service:
        inputs = read_inputs(config, fields)
        changed = Scheduling(service).change(found, **asked, inputs=inputs, user=operator())
    click.echo(f"Schedule {found} is changed and starts as {changed.starts_as}; it fires next at {_next(changed)}.")


@schedules.command()
@click.argument("schedule_id")
@code_options
@click.pass_obj
def remove(application: Application, schedule_id: str) -> None:
    """Remove a schedule (its id or the beginning of it) and its firings. Processes that it has started continue."""
    with reading(application):
        found = kept.find_schedule_id(schedule_id)
    with application.processes() as service:
        removed = Scheduling(service).remove(found, user=operator())
    click.echo(f"Schedule {removed.schedule_id} ({removed.name!r} of {removed.workflow_name}) is removed.")


def _trigger(cron: str | None, every: str | None, at: str | None, timezone: str) -> tuple[str, dict[str, Any]]:
    if sum(one is not None for one in (cron, every, at)) != 1:
        raise click.UsageError("Say when: give one of --cron, --every and --at.")
    if cron is not None:
        return "cron", from_crontab(cron, timezone)
    if at is not None:
        return "date", {"run_date": at, "timezone": timezone}
    if (found := re.fullmatch(r"(\d+)([smhdw])", str(every))) is None:
        raise click.UsageError(f"--every takes a number and s, m, h, d or w, such as 30m or 4h, not {every!r}.")
    return "interval", {UNITS[found[2]]: int(found[1])}


def _when(one: Schedule) -> str:
    return f"{one.trigger} {', '.join(f'{name}={value}' for name, value in one.trigger_kwargs.items() if value != '*')}"


def _next(one: Schedule) -> str:
    return f"{one.next_run_at:%F %T %Z}" if one.next_run_at else "never again"


def _outcome(firing: Firing) -> str:
    what = f"process {firing.process_id}" if firing.process_id else f"refused: {firing.refusal}"
    return f"{firing.due_at:%F %T %Z} {what}" + (f" ({firing.left_out} missed before it)" if firing.left_out else "")


def _as_json(one: Schedule) -> dict[str, Any]:
    own = {name: value for name, value in asdict(one).items() if name not in ("made_as", "workflow_owner")}
    return own | {"starts_as": one.starts_as, "rights_at": one.rights_at}
