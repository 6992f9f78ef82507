"""The terms of the field as types: lifecycles, targets, statuses, ids."""

from enum import StrEnum
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

State: TypeAlias = dict[str, Any]
"""A process's working memory, JSON only. Steps read its keys by name and return the keys that they set."""

SI = TypeVar("SI")
"""The block of a list that is filled in later: `Ports = Annotated[list[SI], Len(1, 2)]`, then `Ports[PortBlock]`."""

SubscriptionId: TypeAlias = UUID
ProcessId: TypeAlias = UUID
StepKey: TypeAlias = str


class SubscriptionLifecycle(StrEnum):
    """The state of a subscription in its life."""

    INITIAL = "initial"
    ACTIVE = "active"
    MIGRATING = "migrating"
    DISABLED = "disabled"
    TERMINATED = "terminated"
    PROVISIONING = "provisioning"


class ProductLifecycle(StrEnum):
    """The state of a product in the catalogue; editable, unlike the rest of a product."""

    ACTIVE = "active"
    PRE_PRODUCTION = "pre production"
    PHASE_OUT = "phase out"
    END_OF_LIFE = "end of life"


class Target(StrEnum):
    """What a workflow does to a subscription. SYSTEM has none: it is a task."""

    CREATE = "CREATE"
    MODIFY = "MODIFY"
    TERMINATE = "TERMINATE"
    SYSTEM = "SYSTEM"
    VALIDATE = "VALIDATE"
    RECONCILE = "RECONCILE"


class ProcessStatus(StrEnum):
    """The status of a process, kept in its row; the status of its Dagster run does not count."""

    CREATED = "created"
    RUNNING = "running"
    SUSPENDED = "suspended"
    WAITING = "waiting"
    AWAITING_CALLBACK = "awaiting_callback"
    ABORTING = "aborting"
    ABORTED = "aborted"
    FAILED = "failed"
    RESUMED = "resumed"
    API_UNAVAILABLE = "api_unavailable"
    INCONSISTENT_DATA = "inconsistent_data"
    COMPLETED = "completed"

    @property
    def is_final(self) -> bool:
        """A final status never changes."""
        return self in (ProcessStatus.COMPLETED, ProcessStatus.ABORTED)

    @property
    def is_failure(self) -> bool:
        """The last step failed; the process can be continued from it."""
        return self in (ProcessStatus.FAILED, ProcessStatus.API_UNAVAILABLE, ProcessStatus.INCONSISTENT_DATA)


class StepStatus(StrEnum):
    """The outcome of one step, as the ledger keeps it."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    SUSPEND = "suspend"
    WAITING = "waiting"
    AWAITING_CALLBACK = "awaiting_callback"
    FAILED = "failed"
    ABORT = "abort"
    COMPLETE = "complete"

    @property
    def is_committed(self) -> bool:
        """A committed step never runs again."""
        return self in (StepStatus.SUCCESS, StepStatus.SKIPPED, StepStatus.COMPLETE)


class ValidationResult(StrEnum):
    """What a validation found. UNREACHABLE: an external system did not answer. FAILED: the validation itself broke."""

    PASSED = "passed"
    DRIFTED = "drifted"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


class Assignee(StrEnum):
    """Who has to act on a process that has stopped."""

    NOC = "NOC"
    SYSTEM = "SYSTEM"
    CHANGES = "CHANGES"
    KLANTSUPPORT = "KLANTSUPPORT"
