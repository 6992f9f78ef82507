"""Which workflows may run on a subscription now, and why not the others."""

from collections.abc import Iterable, Iterator
from typing import Any

from ops.starting.admission import predicate_verdict
from ops.starting.permission import check_may_start
from ops.steps.workflow import RunPredicatePass, Workflow
from resources.errors import EnginePaused, NotAuthorised
from resources.processes import pause
from resources.subscriptions.queries import workflow_descriptions
from resources.subscriptions.usability import (
    Obstacle,
    SubscriptionState,
    UsabilityRule,
    obstacles,
    subscription_state,
)
from resources.types import SubscriptionId, Target

GLOBAL_REASONS = (
    "engine.paused",
    "subscription.locked_by_process",
    "subscription.not_in_sync",
    "subscription.relations_not_in_sync",
)
"""Reasons that apply to the whole subscription, the most important first; single workflows may be exempt."""


def startable(subscription_id: SubscriptionId, workflows: Iterable[Workflow], *, user: Any) -> dict[str, Any]:
    """A list per target of the workflows of the subscription's product: name, description, and, for one that may not
    start now, the key of the reason with its details, and `message`, a sentence. `reason` beside the lists applies to
    the whole subscription.

    Needs a transaction. The number of statements is constant, plus those of the organisation's own predicates and
    authorisation callbacks. Raises UnknownSubscription.
    """
    state = subscription_state(subscription_id)
    is_paused = pause.is_paused()
    found = [workflow for workflow in workflows if _fits(workflow, state)]
    descriptions = workflow_descriptions([workflow.name for workflow in found])
    answer: dict[str, Any] = {target.value.lower(): [] for target in Target}
    for workflow in found:
        entry = {"name": workflow.name, "description": descriptions.get(workflow.name, workflow.description)}
        if (why := next(_obstacles(workflow, state, is_paused, user), None)) is not None:
            entry |= _shown(why)
        answer[workflow.target.value.lower()].append(entry)
    return answer | _global_reason(state, is_paused)


def _fits(workflow: Workflow, state: SubscriptionState) -> bool:
    """A workflow on subscriptions without product types fits any."""
    if not workflow.product_types:
        return workflow.has_subscription
    return state.product.product_type in workflow.product_types


def _obstacles(workflow: Workflow, state: SubscriptionState, is_paused: bool, user: Any) -> Iterator[Obstacle]:
    """Why a workflow may not start; expensive checks come last."""
    try:
        check_may_start(workflow, user)
    except NotAuthorised as refusal:
        yield Obstacle(refusal.reason, str(refusal))
    if is_paused:
        yield _paused()
    yield from obstacles(state, workflow.target, workflow.rule)
    verdict = predicate_verdict(workflow, user)
    if not isinstance(verdict, RunPredicatePass):
        yield Obstacle("workflow.predicate", verdict.message)


def _global_reason(state: SubscriptionState, is_paused: bool) -> dict[str, Any]:
    found = obstacles(state, Target.MODIFY, UsabilityRule(usable_when=frozenset({state.status})))
    by_reason = {one.reason: one for one in ([_paused()] if is_paused else []) + found}
    return next((_shown(by_reason[reason]) for reason in GLOBAL_REASONS if reason in by_reason), {})


def _paused() -> Obstacle:
    refusal = EnginePaused()
    return Obstacle(refusal.reason, str(refusal))


def _shown(why: Obstacle) -> dict[str, Any]:
    return {"reason": why.reason, "message": why.message, **why.details}
