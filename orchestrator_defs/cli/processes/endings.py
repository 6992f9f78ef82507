"""How a command about a process ends: its output and its exit code."""

import json
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NoReturn

import click

from orchestrator_defs.cli.application import operator
from orchestrator_defs.cli.output import show, without_events
from orchestrator_defs.cli.processes.ledger import ledger_table
from resources.processes.waits import WaitKind
from resources.types import ProcessId, ProcessStatus, Target

if TYPE_CHECKING:  # a command with a process has loaded it
    from ops.starting.process_detail import ProcessDetail, WaitDetail
    from orchestrator_defs.processes.processes import Processes


class ExitCode(IntEnum):
    """Done: success. Failed: the process failed, or the command was refused. Usage: click's own. Waits: for input, a
    callback, a time or the release of the engine. Aborted: the process was aborted.
    """

    DONE = 0
    FAILED = 1
    USAGE = 2
    WAITS = 3
    ABORTED = 4


CODES: Mapping[ProcessStatus, ExitCode] = {
    ProcessStatus.COMPLETED: ExitCode.DONE,
    ProcessStatus.SUSPENDED: ExitCode.WAITS,
    ProcessStatus.WAITING: ExitCode.WAITS,
    ProcessStatus.AWAITING_CALLBACK: ExitCode.WAITS,
    ProcessStatus.ABORTED: ExitCode.ABORTED,
}


def continue_process(service: "Processes", process_id: ProcessId, *, detach: bool) -> None:
    """Run a process here until it stops, or launch it to the workers."""
    if detach:
        if not service.runs.can_launch:
            raise click.ClickException(
                f"The run launcher of this instance takes no runs from here, so process {process_id} is resumed but "
                f"not launched. Without --detach: orchestrator resume {process_id}"
            )
        run_id = service.runs.launch(process_id, user=operator())
        click.echo(f"Process {process_id} is launched as run {run_id}.")
        return
    with without_events():
        service.runs.execute(process_id, user=operator())
    detail = service.queries.detail(process_id)
    show(ledger_table(detail))
    end(detail)


def end(detail: "ProcessDetail") -> NoReturn:
    """Print the status of a process and what can be done, and exit with its code."""
    lines = list(_sentences(detail))
    is_ok = CODES.get(detail.line.status, ExitCode.FAILED) in (ExitCode.DONE, ExitCode.WAITS)
    for line in lines:
        click.echo(line, err=not is_ok)
    raise SystemExit(CODES.get(detail.line.status, ExitCode.FAILED))


def _sentences(detail: "ProcessDetail") -> Iterator[str]:
    line, wait = detail.line, detail.wait
    process_id = line.process_id
    if line.status is ProcessStatus.COMPLETED:
        yield f"Process {process_id} is completed."
        return
    where = f" at step '{line.last_step}'" if line.last_step else ""
    why = line.failed_reason if wait is None else None
    yield f"Process {process_id} is {line.status}{where}" + (f": {why}" if why else ".")
    if wait is not None:
        yield from waiting(detail, wait)
    elif detail.cure:
        yield f"To make the network match the subscription, and end this process: {detail.cure}"
        accept = f"orchestrator subscriptions accept-reality {detail.subscriptions[0]} --reason WHY"
        yield f"To accept what was found instead: {accept}"
        yield f"To compare again: orchestrator resume {process_id}"
    elif line.status.is_failure:
        yield f"Once the cause is fixed: orchestrator resume {process_id}"
        yield f"If you have done the step yourself: orchestrator process skip {process_id} --reason WHY [field=value]…"
        if line.target is Target.RECONCILE:
            for subscription_id in detail.subscriptions[:1]:
                yield (
                    f"If it cannot succeed, and you answer for the network: orchestrator abort {process_id}, then "
                    f"orchestrator subscriptions set-in-sync {subscription_id} --reason WHY"
                )


def waiting(detail: "ProcessDetail", wait: "WaitDetail") -> Iterator[str]:
    """What a process waits for, until when, and what a person can do."""
    process_id = detail.line.process_id
    if wait.reason:
        yield wait.reason
    if wait.kind is WaitKind.INPUT:
        yield f"It waits for input by {detail.line.assignee}."
        yield from describe_form(process_id, wait.form, wait.form_error)
        return
    if wait.progress is not None:
        yield f"Progress: {json.dumps(wait.progress, ensure_ascii=False)}"
    if wait.deadline is not None:
        yield f"Until {wait.deadline:%Y-%m-%d %H:%M:%S %Z}."
    if wait.kind is WaitKind.PAUSE:
        yield "It continues after: orchestrator engine release"
    elif wait.kind in (WaitKind.RETRY, WaitKind.POLL):
        yield f"It is retried automatically; to retry now: orchestrator resume {process_id}"


def describe_form(process_id: ProcessId, schema: Mapping[str, Any] | None, error: str | None = None) -> Iterator[str]:
    """The fields of a page, and the command that fills it."""
    if error:
        yield f"Its form cannot be shown: {error}"
        return
    fields = (schema or {}).get("properties", {})
    required = set((schema or {}).get("required", ()))
    for name, field in fields.items():
        yield f"  {name}  {_kind(field, schema or {})}{'' if name in required else ', optional'}{_about(field)}"
    filled = " ".join(f"{name}=…" for name in fields if name in required)
    yield f"orchestrator process answer {process_id} {filled}".rstrip()
    yield f"orchestrator process answer {process_id} -c FILE   (YAML: a page, or a list of pages)"


def _kind(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if values := field.get("enum"):
        return f"one of {', '.join(map(str, values))}"
    if "const" in field:
        return f"only {field['const']}"
    kinds = [str(one["type"]) for one in field.get("anyOf", ()) if one.get("type") != "null" and "type" in one]
    return str(field.get("type") or " or ".join(kinds) or "any")


def _about(field: Mapping[str, Any]) -> str:
    return f": {field['description']}" if field.get("description") else ""
