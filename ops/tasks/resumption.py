"""Resume processes that wait for a retry, and end overdue waits for callbacks."""

from collections.abc import Callable, Mapping
from contextlib import suppress

from ops.starting.permission import check_role
from ops.starting.submitted_answers import wake
from ops.steps.context import StepContext
from ops.steps.step import Step, step
from ops.steps.workflow import Workflow
from resources.database.session import SubscriptionDatabase, lock_waits_limited
from resources.errors import DatabaseBusy, OrchestratorError
from resources.processes import interventions, process_rows, waits
from resources.processes.owner import current_owner
from resources.processes.waits import WaitKind
from resources.types import ProcessId, ProcessStatus, State

BATCH = 200
LONGEST_WAIT_SECONDS = 2.0
"""How long a batch waits for a row that another transaction has locked."""
SHOWN = 20


@step("Resume waiting processes")
def resume_waiting(context: StepContext, database: SubscriptionDatabase) -> State:
    """Resume every process that waits for a retry; each in a commit of its own.

    Processes that wait for a moment, for children or for the release of the engine are left alone: a retry would not
    help. The sweeper launches those that were created or resumed and never ran. Adds `processes_resumed` (a
    count) and `not_resumed` (the first few, with the reason).
    """
    resumed, faults, after = 0, [], None
    with database.detached():
        while True:
            with database.transaction(read_only=True):
                found = waits.waiting_for_retry(after=after, limit=BATCH)
                names = process_rows.workflow_names(found)
            for process_id in found:
                try:
                    check_role(names[process_id], context.user, "retry")
                    with lock_waits_limited(LONGEST_WAIT_SECONDS), database.transaction():
                        interventions.resume(process_id, user=context.user, at={ProcessStatus.WAITING})
                    resumed += 1
                    context.ready.append(process_id)
                except (OrchestratorError, DatabaseBusy) as error:  # it has continued, is not the user's, or is locked
                    faults.append(f"{process_id}: {error}")
            if len(found) < BATCH:
                return {"processes_resumed": resumed, "not_resumed": faults[:SHOWN]}
            after = found[-1]


def wake_late_callbacks(workflows: Callable[[], Mapping[str, Workflow]]) -> Step:
    """Make a step that ends overdue waits for callbacks. Adds `callbacks_late`, a count.

    The daemon's sensor does the same every few seconds.
    """

    @step("Look for late callbacks")
    def wake_late(database: SubscriptionDatabase, context: StepContext) -> State:
        known, seen = workflows(), set[ProcessId]()
        with database.detached(), lock_waits_limited(LONGEST_WAIT_SECONDS):
            while True:
                with database.transaction(read_only=True):
                    due = waits.due(current_owner(), BATCH, kinds=[WaitKind.CALLBACK], workflows=known, without=seen)
                    names = process_rows.workflow_names([one.process_id for one in due])
                for one in due:
                    with suppress(OrchestratorError, DatabaseBusy):  # it has continued, was aborted, or is locked
                        if wake(known[names[one.process_id]], one, database=database) is not None:
                            context.ready.append(one.process_id)
                if len(due) < BATCH:
                    return {"callbacks_late": len(context.ready)}
                seen.update(one.process_id for one in due)

    return wake_late
