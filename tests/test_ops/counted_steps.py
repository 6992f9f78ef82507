"""Steps that count their calls, later versions of their workflow, and what its runs said."""

from collections import Counter

from ops.steps.step import step
from orchestrator_defs.jobs.decorators import task


class Calls(Counter):
    """Counts how often each step ran, and fails those that are broken."""

    broken: set[str]

    def __init__(self):
        super().__init__()
        self.broken = set()

    def note(self, name):
        self[name] += 1
        if name in self.broken:
            raise ValueError(f"{name} is broken")


@step("Extra")
def extra():
    return {"extra": True}


def changed(job, change):
    """The same workflow as a later version of the code has it."""
    first, second, third = job.workflow.steps[1:4]

    @task("Count to three")
    def count_to_three():
        return change(first, second, third)

    return count_to_three


def failure_of(result):
    """What the first failed op of a run said."""
    event = next(event for event in result.all_events if event.is_step_failure)
    return event.step_failure_data.error_display_string + str(event.step_failure_data.user_failure_data)
