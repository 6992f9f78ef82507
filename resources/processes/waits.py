"""What stopped processes wait for: a wait is opened with the stop, and closed by an answer, a callback or the time.

Everything here works in the current transaction and leaves the commit to the caller.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Exists, and_, func, literal, or_, select, text, true, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased

from resources import clock
from resources.database.session import current_session
from resources.database.tables import AT_WORK, EngineSettingsTable, ProcessTable, ProcessWaitTable, WorkflowTable
from resources.processes.owner import Owner
from resources.processes.statements import OTHER_LINES
from resources.types import Assignee, ProcessId, ProcessStatus, StepKey, StepStatus

TOKEN_BYTES = 32
CALLBACK_ROUTE = "/api/processes/{process_id}/callback/{token}"
"""The path for an external system's answer."""


class WaitKind(StrEnum):
    """What ends a wait: a person's input, a callback, a retry, a poll, a moment, children, the release of the
    engine, the end of an aborted step.
    """

    INPUT = "input"
    CALLBACK = "callback"
    RETRY = "retry"
    POLL = "poll"
    TIME = "time"
    CHILDREN = "children"
    PAUSE = "pause"
    ABORT = "abort"

    @property
    def process_status(self) -> ProcessStatus:
        """The status of a process with this wait."""
        match self:
            case WaitKind.INPUT:
                return ProcessStatus.SUSPENDED
            case WaitKind.CALLBACK:
                return ProcessStatus.AWAITING_CALLBACK
            case WaitKind.ABORT:
                return ProcessStatus.ABORTING
        return ProcessStatus.WAITING

    @property
    def step_status(self) -> StepStatus:
        """The status of the waiting step in the ledger."""
        match self:
            case WaitKind.INPUT:
                return StepStatus.SUSPEND
            case WaitKind.CALLBACK:
                return StepStatus.AWAITING_CALLBACK
        return StepStatus.WAITING


CONTINUING = tuple(kind for kind in WaitKind if kind is not WaitKind.ABORT)
"""The waits after whose end the process continues."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a waiting step returns; the run then ends, and nothing is held.

    At `deadline` the step runs again, whatever the kind: it finds what it waited for, waits again, or fails. None: no
    deadline. `assignee` is who has to act. `reason` is for people.
    """

    kind: WaitKind
    deadline: datetime | None = None
    assignee: Assignee = Assignee.SYSTEM
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """A process whose wait is due."""

    process_id: ProcessId
    step_key: StepKey
    kind: WaitKind


def open_wait(process_id: ProcessId, step_key: StepKey, wait: Wait) -> None:
    """Write a wait of a process. For a callback: set the deadline of the tokens that were created."""
    if wait.kind is WaitKind.CALLBACK:
        current_session().execute(
            update(ProcessWaitTable)
            .where(*_open(process_id), ProcessWaitTable.step_key == step_key)
            .values(deadline=wait.deadline)
        )
        return
    current_session().execute(
        insert(ProcessWaitTable).values(
            process_id=process_id,
            step_key=step_key,
            kind=wait.kind,
            deadline=wait.deadline,
            progress={"reason": wait.reason} if wait.reason else None,
        )
    )


def find_open(process_id: ProcessId, step_key: StepKey | None = None) -> list[ProcessWaitTable]:
    """The open waits of a process, oldest first; more than one only with several tokens."""
    query = select(ProcessWaitTable).where(*_open(process_id)).order_by(ProcessWaitTable.created_at)
    if step_key is not None:
        query = query.where(ProcessWaitTable.step_key == step_key)
    return list(current_session().scalars(query.execution_options(populate_existing=True)))


def first_of_step(process_id: ProcessId, step_key: StepKey) -> datetime | None:
    """When a step began to wait; None if it has not waited."""
    return current_session().scalar(
        select(func.min(ProcessWaitTable.created_at)).where(
            ProcessWaitTable.process_id == process_id, ProcessWaitTable.step_key == step_key
        )
    )


def close(
    process_id: ProcessId,
    *,
    by: str,
    answer: dict[str, Any] | None = None,
    tokens: bool = True,
    steps: Collection[StepKey] | None = None,
) -> None:
    """Close the waits of a process, or of some `steps`; without `tokens` those for callbacks stay open.

    May run twice.
    """
    query = update(ProcessWaitTable).where(*_open(process_id))
    if not tokens:
        query = query.where(ProcessWaitTable.kind != WaitKind.CALLBACK)
    if steps is not None:
        query = query.where(ProcessWaitTable.step_key.in_(list(steps)))
    current_session().execute(query.values(answered_at=clock.now(), answered_by=by, answer=answer))


def discard_answers(process_id: ProcessId, step_keys: Collection[StepKey]) -> None:
    """Discard the answers for these steps, since the steps run again."""
    current_session().execute(
        update(ProcessWaitTable)
        .where(ProcessWaitTable.process_id == process_id, ProcessWaitTable.step_key.in_(list(step_keys)))
        .values(step_key=literal(OTHER_LINES) + ProcessWaitTable.step_key)
    )


def count_tokens(process_id: ProcessId, step_key: StepKey) -> int:
    """How many tokens were created for a step, including its earlier attempts."""
    keys = (step_key, OTHER_LINES + step_key)
    found = current_session().scalar(
        select(func.count()).where(
            ProcessWaitTable.process_id == process_id,
            ProcessWaitTable.step_key.in_(keys),
            ProcessWaitTable.token_hash.is_not(None),
        )
    )
    return found or 0


def due(
    owner: Owner,
    limit: int,
    *,
    of: ProcessId | None = None,
    kinds: Collection[WaitKind] = CONTINUING,
    workflows: Collection[str] | None = None,
    without: Collection[ProcessId] = (),
) -> list[Due]:
    """Processes, or this one, whose wait is due: its deadline has passed, the engine is released, or no child runs any
    longer. The oldest deadline is first. With `workflows` only theirs, and `without` those that the caller has looked
    at, so that no others take their places.
    """
    wait = ProcessWaitTable
    is_paused = select(EngineSettingsTable.global_lock).scalar_subquery()
    over = or_(
        wait.deadline <= clock.now(),
        wait.kind == WaitKind.PAUSE,
        and_(wait.kind == WaitKind.CHILDREN, ~_children_at_work(wait.process_id)),
    )
    query = (
        select(wait.process_id, wait.step_key, wait.kind)
        .join(ProcessTable, ProcessTable.process_id == wait.process_id)
        .where(wait.answered_at.is_(None), over, ~func.coalesce(is_paused, False))
        .where(stops_its_process(kinds), owner.owns())
        .where(true() if of is None else wait.process_id == of, wait.process_id.not_in(without))
        .group_by(wait.process_id, wait.step_key, wait.kind)  # a step may have given out several tokens
        .order_by(func.min(wait.deadline).nulls_first(), wait.process_id)
        .limit(limit)
    )
    if workflows is not None:
        query = query.join(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
        query = query.where(WorkflowTable.name.in_(workflows))
    rows = current_session().execute(query)
    return [Due(process_id, step_key, WaitKind(kind)) for process_id, step_key, kind in rows]


def stops_its_process(kinds: Collection[WaitKind] = CONTINUING) -> ColumnElement[bool]:
    """Whether a wait, joined with its process, is the one for which that has stopped; another may be open beside it."""
    pairs = [(kind.value, kind.process_status.value) for kind in kinds]
    return tuple_(ProcessWaitTable.kind, ProcessTable.last_status).in_(pairs)


def callbacks_with_deadline_exist() -> bool:
    """Whether any process waits for a callback with a deadline."""
    wait = ProcessWaitTable
    return bool(
        current_session().scalar(
            select(
                select(wait.wait_id)
                .join(ProcessTable, ProcessTable.process_id == wait.process_id)
                .where(wait.answered_at.is_(None), wait.kind == WaitKind.CALLBACK, wait.deadline.is_not(None))
                .where(ProcessTable.last_status == ProcessStatus.AWAITING_CALLBACK)
                .exists()
            )
        )
    )


def _children_at_work(process_id: Any) -> Exists:
    """Whether a process has a child that is not stopped: one lookup in a partial index.

    The condition is literal, not a parameter, so that every plan can use the index.
    """
    child = aliased(ProcessTable, name="child")
    is_at_work = text(f"child.{AT_WORK}")
    return select(child.process_id).where(child.parent_process_id == process_id, is_at_work).exists()


def waiting_for_retry(*, after: ProcessId | None, limit: int) -> list[ProcessId]:
    """The next processes that wait for a retry or a poll, in the order of their ids."""
    wait = ProcessWaitTable
    query = (
        select(wait.process_id)
        .join(ProcessTable, ProcessTable.process_id == wait.process_id)
        .where(wait.answered_at.is_(None), wait.kind.in_([WaitKind.RETRY, WaitKind.POLL]))
        .where(ProcessTable.last_status == ProcessStatus.WAITING)
        .order_by(wait.process_id)
        .limit(limit)
    )
    if after is not None:
        query = query.where(wait.process_id > after)
    return list(current_session().scalars(query))


# --- tokens ---


def create_token(process_id: ProcessId, step_key: StepKey) -> str:
    """Create a token with which an external system may answer for a step. Only its hash is stored."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    current_session().execute(
        insert(ProcessWaitTable).values(
            process_id=process_id, step_key=step_key, kind=WaitKind.CALLBACK, token_hash=hash_of(token)
        )
    )
    return token


def route_of(process_id: ProcessId, token: str) -> str:
    """The path for an answer with a token."""
    return CALLBACK_ROUTE.format(process_id=process_id, token=token)


def find_token(process_id: ProcessId, token: str) -> ProcessWaitTable | None:
    """The wait of a token, open or not; None for what is no token of this process.

    It is looked up by its hash, so timing reveals nothing about tokens.
    """
    return current_session().scalar(
        select(ProcessWaitTable)
        .where(ProcessWaitTable.process_id == process_id, ProcessWaitTable.token_hash == hash_of(token))
        .execution_options(populate_existing=True)
    )


def find_answer(process_id: ProcessId, step_key: StepKey) -> ProcessWaitTable | None:
    """The wait of a step that an external system has answered, if it has."""
    wait = ProcessWaitTable
    return current_session().scalar(
        select(wait)
        .where(wait.process_id == process_id, wait.step_key == step_key, wait.answer.is_not(None))
        .order_by(wait.answered_at.desc())
        .limit(1)
    )


def is_late(process_id: ProcessId, step_key: StepKey) -> bool:
    """Whether a callback is overdue."""
    return any(wait.deadline and wait.deadline <= clock.now() for wait in find_open(process_id, step_key))


def hash_of(token: str) -> str:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _open(process_id: ProcessId) -> tuple[Any, ...]:
    return (ProcessWaitTable.process_id == process_id, ProcessWaitTable.answered_at.is_(None))
