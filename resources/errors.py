"""Every error that this project raises on purpose, in one tree.

OrchestratorError
├── SettingsError
├── InvalidQuery
├── DatabaseError
│   ├── DatabaseUnreachable
│   ├── DatabaseBusy
│   ├── NoTransaction
│   ├── TransactionReadsOnly
│   ├── SchemaOutOfDate
│   ├── EmbeddedServerError
│   └── EventsNotWritten
├── CatalogueError
│   ├── UnknownProduct
│   ├── UnknownProductBlock
│   ├── UnknownResourceType
│   ├── ProductInUse
│   ├── ProductNotInRegistry
│   ├── CatalogueOutOfDate
│   └── ModelDeclarationError
├── SubscriptionError
│   ├── UnknownSubscription
│   ├── StaleSubscription
│   ├── InvalidLifecycle
│   ├── WrongProduct
│   ├── InvalidBlocks
│   ├── BlockInUse
│   ├── PastIsReadOnly
│   ├── SubscriptionLocked
│   ├── UnfinishedProcesses
│   ├── AlreadyDescribed
│   └── UnknownDescription
├── FormError
│   ├── FormInvalid
│   ├── FormIncomplete
│   ├── FormTimedOut
│   ├── FormsBusy
│   └── UnknownForm
├── ScheduleError
│   ├── UnknownSchedule
│   └── ScheduleInvalid
├── WorkflowError
│   ├── UnknownWorkflow
│   ├── WorkflowDeclarationError
│   ├── StartRefused
│   │   ├── EnginePaused
│   │   └── NotAuthorised
│   └── StateError
├── ProcessError
│   ├── UnknownProcess
│   ├── KeyUsed
│   ├── RunMayNotAct
│   ├── ProcessExists
│   ├── NotWaiting
│   ├── ProcessEnded
│   ├── UnknownToken
│   ├── StepsChanged
│   └── BranchesDisagree
├── LoginRefused
└── ProcessFailure
    ├── InconsistentData
    │   └── DriftFound
    ├── NobodyAsked
    ├── TimedOut
    └── ChildrenFailed
ExternalSystemError
├── ExternalSystemNotConfigured
├── ExternalSystemUnavailable
│   ├── IdentityProviderUnavailable
│   └── PolicyUnavailable
└── PlaybookFailed

The docstring of an error is its message when none is given, so each has a sentence and the sentence has one home.
Raise the leaf; catch the branch.
"""

from typing import Any


class OrchestratorError(Exception):
    """Something went wrong in the orchestrator."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class SettingsError(OrchestratorError):
    """A setting in the environment has a value that cannot be used."""


class InvalidQuery(OrchestratorError):
    """The list cannot be filtered, sorted or cut so."""


class DatabaseError(OrchestratorError):
    """The database cannot do what was asked."""


class DatabaseUnreachable(DatabaseError):
    """The database does not answer; check DATABASE_URI and that the server is running."""


class DatabaseBusy(DatabaseError):
    """The database is busy, or somebody else holds what was asked for; try again in a moment."""


class NoTransaction(DatabaseError):
    """No transaction is open here; open one with `database.transaction()`."""


class TransactionReadsOnly(DatabaseError):
    """This transaction only reads: what would have been written was refused."""


class SchemaOutOfDate(DatabaseError):
    """The database schema is not the one of this version; run `orchestrator db upgrade`."""


class EmbeddedServerError(DatabaseError):
    """The embedded PostgreSQL cannot be started."""


class EventsNotWritten(DatabaseError):
    """Events of a run cannot be written to Dagster's database."""


class CatalogueError(OrchestratorError):
    """The product catalogue cannot do what was asked."""


class UnknownProduct(CatalogueError):
    """There is no such product."""


class UnknownProductBlock(CatalogueError):
    """There is no such product block."""


class UnknownResourceType(CatalogueError):
    """There is no such resource type."""


class ProductInUse(CatalogueError):
    """The product's status cannot be this one now."""


class ProductNotInRegistry(CatalogueError):
    """The product has rows in the database but no model in the code."""


class CatalogueOutOfDate(CatalogueError):
    """The catalogue in the database is not the one of the code; run `orchestrator catalogue apply`."""


class ModelDeclarationError(CatalogueError, TypeError):
    """A product or block class is declared in a way that cannot work."""


class SubscriptionError(OrchestratorError, ValueError):
    """The subscription cannot do what was asked."""


class UnknownSubscription(SubscriptionError):
    """There is no such subscription."""


class StaleSubscription(SubscriptionError):
    """The subscription was changed by somebody else since it was read; read it again."""


class InvalidLifecycle(SubscriptionError):
    """The subscription's status does not fit the class or the change."""


class WrongProduct(SubscriptionError):
    """The subscription is of another product than the class."""


class InvalidBlocks(SubscriptionError):
    """The blocks of the subscription do not fit together."""


class BlockInUse(SubscriptionError):
    """A block cannot be removed while another subscription uses it."""


class PastIsReadOnly(SubscriptionError):
    """A subscription as it was cannot be saved; read the present one with `from_subscription`."""


class SubscriptionLocked(SubscriptionError):
    """Another process is changing the subscription."""


class UnfinishedProcesses(SubscriptionError):
    """The subscription cannot be put in sync while processes that changed it are unfinished."""


class AlreadyDescribed(SubscriptionError):
    """The customer has a description of the subscription already."""


class UnknownDescription(SubscriptionError):
    """There is no such customer description."""


class FormError(OrchestratorError):
    """The form cannot be used."""


class FormInvalid(FormError):
    """The input of a form page is not valid.

    `errors` has one mapping per message: `loc` (path of the field), `msg`, `type`, `input` (what was given).
    """

    def __init__(self, message: str = "", *, page: int = 0, errors: list[dict[str, Any]] | None = None) -> None:
        self.page = page
        self.errors = errors or []
        super().__init__(message)


class FormIncomplete(FormError):
    """The form needs another page; `schema` is its JSON schema, `meta` what its client is told beside it."""

    def __init__(self, message: str = "", *, schema: dict[str, Any] | None = None, meta: Any = None) -> None:
        self.schema = schema or {}
        self.meta = meta
        super().__init__(message)


class FormTimedOut(FormError):
    """The form took too long; nothing was written."""


class FormsBusy(FormError):
    """As many forms as may be evaluated at once are; try again in a moment."""


class UnknownForm(FormError):
    """There is no such form."""


class ScheduleError(OrchestratorError):
    """The schedule cannot do what was asked."""


class UnknownSchedule(ScheduleError):
    """There is no such schedule."""


class ScheduleInvalid(ScheduleError):
    """The schedule's trigger cannot be used."""


class WorkflowError(OrchestratorError):
    """The workflow cannot do what was asked."""


class UnknownWorkflow(WorkflowError):
    """There is no such workflow."""


class WorkflowDeclarationError(WorkflowError, ValueError):
    """A workflow or step is declared in a way that cannot work."""


class StartRefused(WorkflowError):
    """The workflow may not start here and now. `reason` is the reference's reason key, `details` its ids."""

    def __init__(self, message: str = "", *, reason: str = "", details: dict[str, Any] | None = None) -> None:
        self.reason = reason
        self.details = details or {}
        super().__init__(message)


class EnginePaused(StartRefused):
    """The engine is paused; nothing begins or goes on before `orchestrator engine release`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, reason="engine.paused")


class NotAuthorised(StartRefused):
    """The user may not do this with the workflow."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, reason="subscription.insufficient_workflow_permissions")


class StateError(WorkflowError):
    """A step's argument cannot be taken out of the state, or its result cannot be put back."""


class ProcessError(OrchestratorError):
    """The process cannot do what was asked."""


class UnknownProcess(ProcessError):
    """There is no such process."""


class KeyUsed(ProcessError):
    """The idempotency key stands for another start."""


class RunMayNotAct(ProcessError):
    """This Dagster run may not act for the process."""


class ProcessExists(ProcessError):
    """A process with this id has been started already."""


class NotWaiting(ProcessError):
    """The process does not wait for this."""


class ProcessEnded(ProcessError):
    """The process is completed or aborted; nothing can be done to it any more."""


class UnknownToken(ProcessError):
    """This token is not good for this process."""


class StepsChanged(ProcessError):
    """The code's steps no longer fit the steps that the process has done."""


class BranchesDisagree(ProcessError):
    """Two branches have set a key of the state to different values."""


class LoginRefused(OrchestratorError):
    """Nobody is logged in, or not by this token."""


class ProcessFailure(OrchestratorError):
    """A step failed in a way that people should read; `details` is shown beside the reason."""

    def __init__(self, message: str = "", details: Any = None) -> None:
        self.details = details
        super().__init__(message)


class InconsistentData(ProcessFailure):
    """Data in the orchestrator and elsewhere disagree."""


class DriftFound(InconsistentData):
    """Reality is not what the subscription says; `details` lists expected and actual values."""


class CallbackNotRequested(ProcessFailure):
    """Nobody was told where to call back, so no answer can come."""


class TimedOut(ProcessFailure):
    """What a step waited for has not come in time."""


class ChildrenFailed(ProcessFailure):
    """More children of a process have failed than it accepts; `details` lists them."""


class ExternalSystemError(Exception):
    """An external system answered with an error."""


class ExternalSystemNotConfigured(ExternalSystemError):
    """Nothing says where the external system is."""


class ExternalSystemUnavailable(ExternalSystemError):
    """An external system did not answer; trying again later may help."""


class IdentityProviderUnavailable(ExternalSystemUnavailable):
    """The identity provider does not answer."""


class PolicyUnavailable(ExternalSystemUnavailable):
    """The policy agent does not answer."""


class PlaybookFailed(ExternalSystemError):
    """A playbook ended without success."""
