"""Run predicates ready made: whether a workflow may start now, whoever asks."""

from ops.steps.workflow import PredicateContext, RunPredicateFail, RunPredicatePass
from resources.processes import process_rows, waits


def no_uncompleted_instance(context: PredicateContext) -> RunPredicatePass | RunPredicateFail:
    """Only one at a time: not while another process of this workflow is neither completed nor aborted."""
    count = process_rows.count_unfinished(context.workflow_key)
    if not count:
        return RunPredicatePass()
    return RunPredicateFail(f"{context.workflow_key} has processes that are not finished yet: {count}.")


def awaiting_callbacks_exist(context: PredicateContext) -> RunPredicatePass | RunPredicateFail:
    """Only when there is something to look after: a callback that is waited for and may come too late.

    One that may take for ever needs no looking after. As `no_uncompleted_instance`, only one at a time.
    """
    verdict = no_uncompleted_instance(context)
    if isinstance(verdict, RunPredicateFail):
        return verdict
    if waits.callbacks_with_deadline_exist():
        return RunPredicatePass()
    return RunPredicateFail("No process waits for a callback that has a deadline.")
