"""The ledger of a process as a table, and a process as lines of text."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from resources.processes.process_lists import ProcessLine

if TYPE_CHECKING:  # lists of processes do not need it
    from ops.starting.process_detail import ProcessDetail, StepDetail


def list_table(lines: Iterable[ProcessLine]) -> Table:
    """A row per process."""
    table = Table("ID", "Workflow", "Status", "Last step", "By", "Started", box=None, pad_edge=False)
    for line in lines:
        texts = (line.workflow_name, line.status, line.last_step or "", line.created_by or "")
        table.add_row(str(line.process_id)[:8], *map(escape, texts), f"{line.started_at:%Y-%m-%d %H:%M:%S}")
    return table


def ledger_table(detail: "ProcessDetail") -> Table:
    """A row per step, pending ones last."""
    table = Table("Step", "Status", "Attempts", "Seconds", "Sets", box=None, pad_edge=False)
    for step in detail.steps:
        texts = (step.name, step.status, str(step.attempts), f"{step.seconds:.3f}", ", ".join(step.set))
        table.add_row(*map(escape, texts))
    for pending in detail.pending:
        table.add_row(escape(pending.name), "pending", "", "", "")
    return table


def facts(detail: "ProcessDetail") -> dict[str, Any]:
    """The facts of a process besides its steps; empty values are left out."""
    line = detail.line
    known = {
        "process": line.process_id,
        "workflow": line.workflow_name,
        "status": line.status,
        "assignee": line.assignee,
        "last step": line.last_step,
        "created by": line.created_by,
        "started": line.started_at,
        "last modified": line.last_modified_at,
        "dagster run": line.run_id,
        "parent": line.parent_process_id,
        "children": ", ".join(f"{one.workflow_name} {one.process_id} ({one.status})" for one in detail.children),
        "subscriptions": ", ".join(map(str, detail.subscriptions)),
        "failed reason": line.failed_reason,
        "note": line.note,
    }
    return {name: str(value) for name, value in known.items() if value}


def explanations(steps: "Iterable[StepDetail]") -> Iterable[str]:
    """Why steps failed, were skipped, or were undone, and by whom."""
    for step in steps:
        if step.error:
            yield f"[bold]{escape(step.name)}[/]: {escape(json.dumps(step.error, ensure_ascii=False, default=str))}"


def as_json(detail: "ProcessDetail") -> dict[str, Any]:
    """All of a process, for programs."""
    line = detail.line
    return {
        **line_as_json(line),
        "state": detail.state,
        "traceback": detail.traceback,
        "steps": [
            {
                "key": step.key,
                "name": step.name,
                "status": step.status,
                "attempts": step.attempts,
                "seconds": step.seconds,
                "started_at": step.started_at,
                "finished_at": step.finished_at,
                "set": step.set,
                "removed": step.removed,
                "error": step.error,
                "created_by": step.created_by,
                "run_id": step.run_id,
            }
            for step in detail.steps
        ],
        "pending": [step.key for step in detail.pending],
        "waits": detail.waits,
        "subscriptions": detail.subscriptions,
        "children": detail.children,
    }


def line_as_json(line: ProcessLine) -> dict[str, Any]:
    """A process of a list, for programs."""
    return {
        "process_id": line.process_id,
        "workflow": line.workflow_name,
        "target": line.target,
        "is_task": line.is_task,
        "status": line.status,
        "assignee": line.assignee,
        "last_step": line.last_step,
        "created_by": line.created_by,
        "started_at": line.started_at,
        "last_modified_at": line.last_modified_at,
        "dagster_run": line.run_id,
        "parent_process_id": line.parent_process_id,
        "failed_reason": line.failed_reason,
        "note": line.note,
    }
