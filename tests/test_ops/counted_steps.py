"""Steps that count their calls, later versions of their workflow, and what its runs said."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from ops.steps.step import StepList, step
from orchestrator_defs.jobs.decorators import WorkflowJob, task
from resources.types import State


class Calls(Counter[str]):
    """Counts how often each step ran, and fails those that are broken."""

    broken: set[str]

    def __init__(self) -> None:
        super().__init__()
        self.broken = set()

    def note(self, name: str) -> None:
        self[name] += 1
        if name in self.broken:
            raise ValueError(f"{name} is broken")


@step("Extra")
def extra() -> State:
    return {"extra": True}


def changed(job: WorkflowJob, change: Callable[..., StepList]) -> WorkflowJob:
    """The same workflow as a later version of the code has it."""
    first, second, third = job.workflow.steps[1:4]

    @task("Count to three")
    def count_to_three() -> StepList:
        return change(first, second, third)

    return count_to_three


def failure_of(result: Any) -> str:
    """What the first failed op of a run said."""
    event = next(event for event in result.all_events if event.is_step_failure)
    return str(event.step_failure_data.error_display_string) + str(event.step_failure_data.user_failure_data)
