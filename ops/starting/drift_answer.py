"""An answer to drift that a person gives: which of the two, why, and to which result; its start keeps all three."""

from dataclasses import dataclass
from enum import StrEnum

from resources.domain.saving.authorship import Author
from resources.errors import StartRefused
from resources.processes import validations
from resources.subscriptions.history import write_reason
from resources.subscriptions.usability import Obstacle, only_drifted
from resources.types import ProcessId, SubscriptionId, Target
from resources.validations.reading import REASON, NewestResult, newest_result

LONGEST_REASON = 2000


class Answer(StrEnum):
    """One of the two answers to drift: what the subscription says is right, or what was found is."""

    PUSH_INTENT = "push_intent"
    ACCEPT_REALITY = "accept_reality"

    @property
    def target(self) -> Target:
        """The target of the workflow that it starts."""
        return Target.RECONCILE if self is Answer.PUSH_INTENT else Target.MODIFY

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.value.replace("_", " ").capitalize()


@dataclass(frozen=True, slots=True)
class DriftAnswer:
    """An answer to the newest result of a validation."""

    answer: Answer
    reason: str
    result: NewestResult

    @property
    def note(self) -> str:
        """The note on the process that it starts."""
        return f"{self.answer.label}: {self.reason}"

    def waives(self, obstacle: Obstacle) -> bool:
        """Whether an obstacle is the drift itself: that of the subscription, or of neighbours that await an answer too.

        Neighbours that a process has left out of sync stay an obstacle. Needs a transaction.
        """
        if obstacle.reason == "subscription.relations_not_in_sync":
            return only_drifted(obstacle.details["locked_relations"])
        return obstacle.reason == "subscription.not_in_sync"

    def record(self, subscription_id: SubscriptionId, process_id: ProcessId, user: str) -> None:
        """Write the reason into the subscription's history; the result is then of an earlier version.

        The caller has locked the subscription, and commits. Raises StartRefused when there is a newer result.
        """
        newest = newest_result(subscription_id)
        newest.check_answerable()
        if newest.finished_at != self.result.finished_at:
            raise StartRefused(
                f"Subscription {subscription_id} was validated again meanwhile; look at the newest result, and answer "
                "that.",
                reason=REASON,
            )
        write_reason(subscription_id, self.reason, Author(user, process_id, self.answer.value))
        if self.answer is Answer.ACCEPT_REALITY:  # a reconciliation ends them when it has succeeded
            validations.end_those_answered(subscription_id, process_id, user=user, reason=self.reason)
