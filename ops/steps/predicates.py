"""Ready-made run predicates: whether a workflow may start now, for any user."""

from ops.steps.workflow import PredicateContext, RunPredicateFail, RunPredicatePass
from resources.processes import process_rows, waits


def no_uncompleted_instance(context: PredicateContext) -> RunPredicatePass | RunPredicateFail:
    """One at a time: not while another process of this workflow is neither completed nor aborted."""
    count = process_rows.count_unfinished(context.workflow_key)
    if not count:
        return RunPredicatePass()
    return RunPredicateFail(f"{context.workflow_key} has processes that are not finished yet: {count}.")


def awaiting_callbacks_exist(context: PredicateContext) -> RunPredicatePass | RunPredicateFail:
    """Only when a callback is awaited that has a deadline.

    Also one at a time, as `no_uncompleted_instance`.
    """
    verdict = no_uncompleted_instance(context)
    if isinstance(verdict, RunPredicateFail):
        return verdict
    if waits.callbacks_with_deadline_exist():
        return RunPredicatePass()
    return RunPredicateFail("No process waits for a callback that has a deadline.")
