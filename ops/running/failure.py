"""What becomes of a process that has failed: its status, and what a person can do about it."""

from ops.running.segment import Segment
from ops.steps.workflow import Workflow
from resources.errors import DriftFound, ExternalSystemUnavailable, InconsistentData
from resources.processes import process_rows
from resources.subscriptions.usability import reconcile_command
from resources.types import Assignee, ProcessStatus, Target

HOW_TO_RECONCILE = "To make the network match the subscription, and end this process: `{command}`."
HOW_TO_RESUME = (
    "Process {process_id} has stopped. Once the cause is fixed, resume it from its last committed step: with "
    "`orchestrator resume {process_id}`, with this job and `process: {process_id}` as its run config, or by "
    "re-executing this run from failure."
)


def advice(segment: Segment, error: BaseException) -> str:
    """What a person can do about a process that has stopped, with a place for its id."""
    if isinstance(error, DriftFound) and segment.workflow.target is Target.VALIDATE:
        with segment.database.transaction(read_only=True):
            for subscription_id in process_rows.subscriptions_of(segment.process_id):
                if command := reconcile_command(subscription_id):
                    return HOW_TO_RECONCILE.format(command=command)
    return HOW_TO_RESUME


def failure_status(workflow: Workflow, error: BaseException) -> tuple[ProcessStatus, Assignee]:
    """Status and assignee after a failure; only tasks distinguish bad data and unavailable systems."""
    if workflow.is_task and isinstance(error, InconsistentData | AssertionError):
        return ProcessStatus.INCONSISTENT_DATA, Assignee.NOC
    if workflow.is_task and isinstance(error, ExternalSystemUnavailable):
        return ProcessStatus.API_UNAVAILABLE, Assignee.SYSTEM
    return ProcessStatus.FAILED, Assignee.SYSTEM
