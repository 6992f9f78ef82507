"""`orchestrator subscriptions validation`, `push-intent` and `accept-reality`: what was found, and the two answers."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from ops.starting.drift_answer import Answer
from orchestrator_defs.cli.application import Application, operator
from orchestrator_defs.cli.code_options import code_options
from orchestrator_defs.cli.output import show, show_json
from orchestrator_defs.cli.processes.endings import continue_process
from orchestrator_defs.cli.processes.interventions import detach_option
from orchestrator_defs.cli.transactions import reading
from resources.subscriptions.queries import find_subscription_named
from resources.validations.reading import NewestResult, PastResult, newest_result, past_results


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--history", "past", type=click.IntRange(1, 1000), help="The last so many results instead.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def validation(application: Application, name: str, past: int | None, as_json: bool) -> None:
    """Show what the newest validation of a subscription found. NAME is as for `show`."""
    with reading(application):
        header = find_subscription_named(name)
        newest = newest_result(header.subscription_id)
        results = past_results(header.subscription_id, limit=past) if past else []
    if as_json:
        whole = asdict(newest) | {"why_not_answerable": newest.why_not_answerable}
        show_json([asdict(one) for one in results] if past else whole)
    elif past:
        show(_history(results) if results else "It was never validated.")
    else:
        _show_newest(header.description, newest)


def _show_newest(description: str, newest: NewestResult) -> None:
    if newest.result is None or newest.finished_at is None:
        click.echo(f"{description} was never validated.")
        return
    when = f"{newest.finished_at:%Y-%m-%d %H:%M:%S %Z}"
    click.echo(f"{description}: {newest.result} at {when}, by {newest.workflow}, in version {newest.version}.")
    if newest.differences:
        table = Table("System", "Path", "Expected", "Found", "Severity", box=None, pad_edge=False)
        for one in newest.differences:
            table.add_row(*(_cell(one.get(key)) for key in ("system", "path", "expected", "found", "severity")))
        show(table)
    if newest.result == "drifted":
        click.echo(newest.why_not_answerable or "Answer it, with one of:")
        for answer in Answer if not newest.why_not_answerable else ():
            click.echo(f"  orchestrator subscriptions {_named(answer)} {newest.subscription_id} --reason WHY")


def _history(results: Iterable[PastResult]) -> Table:
    table = Table("Finished", "Result", "Workflow", "Version", "Differences", "By", box=None, pad_edge=False)
    for one in results:
        when = f"{one.finished_at:%Y-%m-%d %H:%M:%S}" if one.finished_at else ""
        facts = (one.result, one.workflow, one.version, len(one.differences), one.created_by)
        table.add_row(when, *map(_cell, facts))
    return table


def _cell(value: Any) -> str:
    return "" if value is None else escape(str(value))


def _named(answer: Answer) -> str:
    return answer.value.replace("_", "-")


def _command(answer: Answer, help_: str) -> click.Command:
    @click.command(_named(answer), help=help_)
    @click.argument("name", metavar="NAME")
    @click.option("--reason", required=True, help="Why; kept with the process and in the history of the subscription.")
    @click.option("--workflow", help="The workflow, if several can give the answer.")
    @detach_option
    @code_options
    @click.pass_obj
    def answer_drift(application: Application, name: str, reason: str, workflow: str | None, detach: bool) -> None:
        with reading(application):
            header = find_subscription_named(name)
        with application.processes() as service:
            process_id = service.starts.answer_drift(
                answer, header.subscription_id, reason=reason, user=operator(), workflow_name=workflow
            )
            click.echo(f"Process {process_id} is created: {answer.label.lower()} of {header.description}.")
            continue_process(service, process_id, detach=detach)

    return answer_drift


push_intent = _command(
    Answer.PUSH_INTENT,
    "Answer the drift that the newest validation found: push what the subscription says, and wait.",
)
accept_reality = _command(
    Answer.ACCEPT_REALITY,
    "Answer the drift that the newest validation found: modify the subscription to it, and wait.",
)
