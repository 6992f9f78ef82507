"""Makes rows of our processes, with their ledger, of those of orchestrator-core: finished history."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.core_import.source import ProcessBatch, Row
from resources.database.copying import copy_rows
from resources.database.session import current_session
from resources.database.tables import ProcessStepTable, ProcessSubscriptionTable, ProcessTable, WorkflowTable
from resources.database.typed_sql import UUIDS, sql
from resources.types import ProcessStatus, StepStatus, Target

Cells = tuple[Any, ...]

PROCESS = (
    *("process_id", "workflow_id", "is_task", "last_status", "last_step", "assignee", "state", "step_keys"),
    *("failed_reason", "traceback", "created_by", "note", "location", "started_at", "last_modified_at"),
)
LINE = (
    *("step_id", "process_id", "step_key", "position", "name", "status", "set", "removed", "error"),
    *("created_by", "commit_hash", "started_at", "finished_at"),
)
LINK = ("process_id", "subscription_id", "created_at")
LONGEST_NAME, LONGEST_REASON = 255, 10_000
ERRORS = (StepStatus.FAILED, StepStatus.WAITING)
"""A step in these holds its error in place of the state."""
FINAL = (ProcessStatus.COMPLETED, ProcessStatus.ABORTED)

_KNOWN = sql("SELECT subscription_id FROM subscriptions WHERE subscription_id = ANY(:ids)", ids=UUIDS)


def ended(process: Row) -> str | None:
    """The sentence that an unfinished process gets as it is ended; None for one that has ended."""
    if process["last_status"] in FINAL:
        return None
    step = f" at step '{process['last_step']}'" if process["last_step"] else ""
    status = process["last_status"].replace("_", " ")
    return f"Its status was {status}{step} when it was imported; here it cannot be resumed: start its workflow again."


@dataclass(frozen=True)
class PastProcesses:
    """Writes processes; `location` is the name of the orchestrator that they belong to from now on."""

    workflows: Mapping[UUID, UUID]
    """Ours by the ids that they have there."""
    location: str

    def replace(self, batch: ProcessBatch, chosen: set[UUID]) -> None:
        """Write processes of a batch in the current transaction, in place of what is here of them."""
        current_session().execute(sa.delete(ProcessTable).where(ProcessTable.process_id.in_(chosen)))
        links = [tuple(each[name] for name in LINK) for key in chosen for each in batch.links.get(key, [])]
        known = set(current_session().scalars(_KNOWN, {"ids": list({link[1] for link in links})}))
        processes, lines = [], []
        for process in batch.processes:
            if process["process_id"] in chosen:
                made, state = _lines(batch.steps.get(process["process_id"], []))
                lines += made
                processes.append(self._process(process, state, [line[2] for line in made]))
        copy_rows(ProcessTable, PROCESS, processes)
        copy_rows(ProcessStepTable, LINE, lines)
        copy_rows(ProcessSubscriptionTable, LINK, [link for link in links if link[1] in known])

    def _process(self, process: Row, state: dict[str, Any], keys: list[str]) -> Cells:
        sentence, reason = ended(process), process["failed_reason"]
        made = {
            **process,
            "workflow_id": self.workflows[process["workflow_id"]],
            "last_status": ProcessStatus.ABORTED.value if sentence else process["last_status"],
            "failed_reason": " ".join(filter(None, (sentence, reason)))[:LONGEST_REASON] or None,
            "state": state,
            "step_keys": keys,
            "location": self.location,
        }
        return tuple(made[name] for name in PROCESS)


def _lines(steps: list[Row]) -> tuple[list[Cells], dict[str, Any]]:
    """The ledger's lines of the steps, and the state after the last: each line has what its step changed of it."""
    lines: list[Cells] = []
    state: dict[str, Any] = {}
    keys = _keys(step["name"] for step in steps)
    for position, (step, key) in enumerate(zip(steps, keys, strict=True)):
        is_error = step["status"] in ERRORS or not isinstance(step["state"], dict)
        after = state if is_error else step["state"]
        changed = {name: value for name, value in after.items() if name not in state or state[name] != value}
        removed = [name for name in state if name not in after]
        error = step["state"] if is_error else None
        who = (step["created_by"], step["commit_hash"], step["started_at"], step["completed_at"])
        name = step["name"][:LONGEST_NAME]
        cells = (step["step_id"], step["process_id"], key, position, name, step["status"], changed, removed, error)
        lines.append((*cells, *who))
        state = after
    return lines, state


def _keys(names: Iterable[str]) -> Iterator[str]:
    """A key for each step, as a function might be called; a step that was tried again gets a number."""
    seen: dict[str, int] = {}
    for name in names:
        key = re.sub(r"\W+", "_", name.lower()).strip("_")[: LONGEST_NAME - 10] or "step"
        seen[key] = seen.get(key, 0) + 1
        yield key if seen[key] == 1 else f"{key}__{seen[key]}"


def workflow_ids(workflows: Iterable[Row]) -> dict[UUID, UUID]:
    """Our workflows by the ids that they have there; those that the code does not have become history's names.

    Writes in the current transaction.
    """
    rows = list(workflows)
    ours = _named([row["name"] for row in rows])
    new = [row for row in rows if row["name"] not in ours]
    if new:
        values = [{**row, "target": _target(row), "deleted_at": sa.func.now()} for row in new]
        current_session().execute(insert(WorkflowTable).values(values).on_conflict_do_nothing())
        ours |= _named([row["name"] for row in new])
    return {row["workflow_id"]: ours[row["name"]] for row in rows}


def unknown_workflows(workflows: Iterable[Row]) -> list[str]:
    """The names of those that the code does not have."""
    query = sa.select(WorkflowTable.name).where(WorkflowTable.deleted_at.is_(None))
    known = set(current_session().scalars(query))
    return [row["name"] for row in workflows if row["name"] not in known]


def _named(names: list[str]) -> dict[str, UUID]:
    query = sa.select(WorkflowTable.name, WorkflowTable.workflow_id).where(WorkflowTable.name.in_(names))
    return dict(current_session().execute(query).all())


def _target(row: Row) -> str:
    if row["target"] in set(Target):
        return str(row["target"])
    return (Target.SYSTEM if row["is_task"] else Target.MODIFY).value
