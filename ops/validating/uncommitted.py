"""Validates subscriptions that are not committed yet: an import asks what external systems say before it decides."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from logging import Logger
from typing import Any

from ops.steps.workflow import Workflow
from ops.validating.single import validate_one
from resources.database.session import SubscriptionDatabase
from resources.domain.subscription_model import SubscriptionModel
from resources.types import ValidationResult


class _SameTransaction(SubscriptionDatabase):
    """The database as the transaction of the caller sees it."""

    @contextmanager
    def detached(self) -> Iterator[None]:
        """Stay in the transaction."""
        yield


def fault_of(
    subscription: SubscriptionModel,
    workflows: Sequence[Workflow],
    database: SubscriptionDatabase,
    resources: Mapping[str, Any],
    log: Logger,
) -> str | None:
    """What the validations of a subscription that the current transaction has written find; None if they pass.

    The caller makes the transaction read only, as `validate_one` promises that its steps write nothing.
    """
    for workflow in workflows:
        if subscription.status not in workflow.rule.usable_when:
            continue
        same = _SameTransaction(database.uri, database.location)
        found = validate_one(workflow, subscription.subscription_id, same, resources, log)
        if found.result is not ValidationResult.PASSED:
            differs = "; ".join(
                f"{one['path']} is {one['found']!r} and should be {one['expected']!r}" for one in found.differences
            )
            return f"{workflow.name} has {found.result.value}: {found.reason or differs}"
    return None
