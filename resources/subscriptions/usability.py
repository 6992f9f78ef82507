"""Why a workflow may not run on a subscription now: reads the facts, then judges without the database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import ProcessTable, SubscriptionTable, WorkflowTable
from resources.domain.saving.headers import HEADER_LENGTH, SubscriptionHeader, select_headers
from resources.errors import UnknownSubscription
from resources.subscriptions.relations import RelatedSubscription, RelationStatus, reconcile_workflow, status_relations
from resources.types import ProcessStatus, SubscriptionId, SubscriptionLifecycle, Target

ACTIVE = frozenset({SubscriptionLifecycle.ACTIVE})


@dataclass(frozen=True, slots=True)
class UsabilityRule:
    """When a workflow may run.

    `usable_when`: the statuses it accepts. `usable_while_out_of_sync`: neither the subscription nor its neighbours
    need be in sync. `blocked_by_in_use`: not while other subscriptions that live use it.
    """

    usable_when: frozenset[SubscriptionLifecycle] = ACTIVE
    usable_while_out_of_sync: bool = False
    blocked_by_in_use: bool = False

    @property
    def asks_for_neighbours(self) -> bool:
        """Whether it matters which subscriptions use this one, and which it uses."""
        return self.blocked_by_in_use or not self.usable_while_out_of_sync


DEFAULT_RULES: Mapping[Target, UsabilityRule] = MappingProxyType(
    {
        Target.CREATE: UsabilityRule(frozenset()),
        Target.MODIFY: UsabilityRule(),
        Target.TERMINATE: UsabilityRule(ACTIVE | {SubscriptionLifecycle.PROVISIONING}, blocked_by_in_use=True),
        Target.VALIDATE: UsabilityRule(usable_while_out_of_sync=True),
        Target.RECONCILE: UsabilityRule(usable_while_out_of_sync=True),
        Target.SYSTEM: UsabilityRule(usable_while_out_of_sync=True),
    }
)
"""The default rules of workflows. A create workflow fits no subscription that exists."""


NO_NEIGHBOURS = RelationStatus(locked_relations=(), unterminated_in_use_by=())


@dataclass(frozen=True, slots=True)
class Obstacle:
    """An obstacle: `reason` is the key that clients translate, `message` a sentence, `details` JSON."""

    reason: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubscriptionState(SubscriptionHeader):
    """The facts that decide whether a workflow may run on a subscription, as read from the database."""

    locked_by_workflow: str | None
    locked_by_status: str | None
    locked_by_reason: str | None
    reconcile_workflow: str | None
    relations: RelationStatus


_STATE = (
    select_headers(WorkflowTable.name, ProcessTable.last_status, ProcessTable.failed_reason, reconcile_workflow())
    .outerjoin(ProcessTable, ProcessTable.process_id == SubscriptionTable.locked_by)
    .outerjoin(WorkflowTable, WorkflowTable.workflow_id == ProcessTable.workflow_id)
    .where(SubscriptionTable.subscription_id == sa.bindparam("subscription_id"))
)


def subscription_state(subscription_id: SubscriptionId, *, with_neighbours: bool = True) -> SubscriptionState:
    """Read the facts, in a constant number of statements. Raises UnknownSubscription.

    Without its neighbours it fits only rules that do not ask for them.
    """
    row = current_session().execute(_STATE, {"subscription_id": subscription_id}).one_or_none()
    if row is None:
        raise UnknownSubscription(f"There is no subscription {subscription_id}.")
    workflow, status, reason, reconcile = row[HEADER_LENGTH:]
    return SubscriptionState.of(
        row,
        locked_by_workflow=workflow,
        locked_by_status=status,
        locked_by_reason=reason,
        reconcile_workflow=reconcile,
        relations=status_relations(subscription_id) if with_neighbours else NO_NEIGHBOURS,
    )


def obstacles(state: SubscriptionState, target: Target, rule: UsabilityRule) -> list[Obstacle]:
    """All reasons why a workflow may not run; empty when it may. The first is the most important."""
    found: list[Obstacle] = []
    if state.status not in rule.usable_when:
        found.append(_wrong_status(state, target, rule.usable_when))
    if state.locked_by is not None:
        found.append(_locked(state))
    if not rule.usable_while_out_of_sync:
        if not state.insync and not _is_given_up(state, target):
            found.append(_out_of_sync(state))
        if state.relations.locked_relations:
            found.append(_relations_out_of_sync(state))
    if rule.blocked_by_in_use and state.relations.unterminated_in_use_by:
        found.append(_in_use(state, target))
    return found


def _is_given_up(state: SubscriptionState, target: Target) -> bool:
    """Whether a create was aborted: the subscription was never in sync, and can only be terminated."""
    return target is Target.TERMINATE and state.status is SubscriptionLifecycle.PROVISIONING


def why_not_usable(header: SubscriptionHeader, target: Target, rule: UsabilityRule) -> list[Obstacle]:
    """The obstacles of a subscription whose header was just read. Raises UnknownSubscription.

    Nothing more is read when the header answers it already: a validation starts so.
    """
    if not rule.asks_for_neighbours and header.locked_by is None and header.status in rule.usable_when:
        return []
    state = subscription_state(header.subscription_id, with_neighbours=rule.asks_for_neighbours)
    return obstacles(state, target, rule)


def _wrong_status(state: SubscriptionState, target: Target, usable_when: frozenset[SubscriptionLifecycle]) -> Obstacle:
    allowed = sorted(status.value for status in usable_when)
    return Obstacle(
        "subscription.no_modify_invalid_status",
        f"{_named(state)} is {state.status}; a {target.value.lower()} workflow needs one that is "
        f"{' or '.join(allowed) or 'yet to be made'}.",
        {"usable_when": allowed, "status": state.status.value, "action": _action(target)},
    )


def _locked(state: SubscriptionState) -> Obstacle:
    message = (
        f"{_named(state)} is being changed by {state.locked_by_workflow} (process {state.locked_by}, "
        f"{state.locked_by_status}); let that process finish, `orchestrator resume {state.locked_by}`, or "
        f"`orchestrator abort {state.locked_by}`."
    )
    if state.locked_by_status == ProcessStatus.ABORTING:
        message = (
            f"{_named(state)} is still held by {state.locked_by_workflow} (process {state.locked_by}), which is being "
            f"aborted. {state.locked_by_reason} Try again when it has ended."
        )
    return Obstacle(
        "subscription.locked_by_process",
        message,
        {
            "locked_by": str(state.locked_by),
            "workflow": state.locked_by_workflow,
            "process_status": state.locked_by_status,
        },
    )


def _out_of_sync(state: SubscriptionState) -> Obstacle:
    command = _reconciling(state)
    no_workflow = (
        "no workflow reconciles it: put it right, then "
        f"orchestrator subscriptions set-in-sync {state.subscription_id} --reason WHY"
    )
    return Obstacle(
        "subscription.not_in_sync",
        f"{_named(state)} is out of sync; {f'reconcile it: {command}' if command else no_workflow}.",
    )


def _relations_out_of_sync(state: SubscriptionState) -> Obstacle:
    related = state.relations.locked_relations
    commands = [command for one in related[:5] if (command := _reconciling(one))]
    return Obstacle(
        "subscription.relations_not_in_sync",
        f"{_named(state)} depends on or is used by subscriptions that are out of sync, {_listed(related)}: "
        f"reconcile them{': ' if commands else ''}{', '.join(commands)}.",
        {
            "locked_relations": [str(one.subscription_id) for one in related],
            "locked_relations_detail": [one.as_detail() for one in related],
        },
    )


def _action(target: Target) -> str:
    """The action in the sentence that clients make of a reason."""
    return "terminated" if target is Target.TERMINATE else "modified"


def _in_use(state: SubscriptionState, target: Target) -> Obstacle:
    users = state.relations.unterminated_in_use_by
    return Obstacle(
        "subscription.no_modify_subscription_in_use_by_others",
        f"{_named(state)} is in use by others: {_listed(users)}; {target.value.lower()} those first.",
        {
            "unterminated_in_use_by_subscriptions": [str(user.subscription_id) for user in users],
            "unterminated_in_use_by_subscriptions_detail": [user.as_detail() for user in users],
            "action": _action(target),
        },
    )


def only_drifted(subscription_ids: Collection[str]) -> bool:
    """Whether only validations have put these subscriptions out of sync: no process has, or holds one."""
    row = SubscriptionTable
    others = sa.or_(row.out_of_sync_by.is_distinct_from("validation"), row.locked_by.is_not(None))
    found = sa.select(sa.literal(1)).where(row.subscription_id.in_(map(UUID, subscription_ids)), others)
    return not current_session().scalar(sa.select(found.exists()))


def reconcile_command(subscription_id: SubscriptionId) -> str:
    """The command that reconciles a subscription; empty when its product has none."""
    query = sa.select(reconcile_workflow()).where(SubscriptionTable.subscription_id == subscription_id)
    name = current_session().scalar(query)
    return f"orchestrator run {name} subscription_id={subscription_id}" if name else ""


def _reconciling(one: SubscriptionState | RelatedSubscription) -> str:
    """The command that reconciles it; empty when its product or status has none."""
    if one.reconcile_workflow is None or one.status not in DEFAULT_RULES[Target.RECONCILE].usable_when:
        return ""
    return f"orchestrator run {one.reconcile_workflow} subscription_id={one.subscription_id}"


def _named(state: SubscriptionState) -> str:
    return f"Subscription '{state.description}' ({state.subscription_id})"


def _listed(related: tuple[RelatedSubscription, ...]) -> str:
    shown = ", ".join(f"'{one.description}' ({one.status})" for one in related[:5])
    return shown if len(related) <= 5 else f"{shown} and {len(related) - 5} more"
