"""Every error that this project raises on purpose, in one tree.

OrchestratorError
├── SettingsError
├── InvalidQuery
├── NotStorable
├── DatabaseError
│   ├── NoTransaction
│   ├── TransactionReadsOnly
│   ├── SchemaOutOfDate
│   └── EventsNotWritten
├── CatalogueError
│   ├── UnknownProduct
│   ├── UnknownProductBlock
│   ├── UnknownResourceType
│   ├── ProductInUse
│   ├── ProductNotInRegistry
│   ├── CatalogueOutOfDate
│   ├── CatalogueBlocked
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
│   │   ├── ProcessTaken
│   │   └── ProcessStopped
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
    ├── CallbackNotRequested
    ├── TimedOut
    └── ChildrenFailed
ExternalSystemError
├── ExternalSystemNotConfigured
├── ExternalSystemUnavailable
│   ├── IdentityProviderUnavailable
│   └── PolicyUnavailable
└── PlaybookFailed
TransportError
├── DatabaseUnreachable
├── DatabaseBusy
├── DatabaseFull
└── EmbeddedServerError

A TransportError refuses nothing: what was asked may be right, and succeed later. So it is no OrchestratorError, which a
sensor takes as the reason to fail a process, and a batch as the reason to leave one out.

The docstring of an error is its message when none is given. Raise the leaf; catch the branch.
"""

from typing import Any


class _Sentence(Exception):
    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class OrchestratorError(_Sentence):
    """Something went wrong in the orchestrator."""


class TransportError(_Sentence):
    """A request did not reach the database, or its answer did not come back."""


class SettingsError(OrchestratorError):
    """A setting in the environment has a value that cannot be used."""


class InvalidQuery(OrchestratorError):
    """This filter, sort order or range cannot be used on the list."""


class NotStorable(OrchestratorError, ValueError):
    """A text holds a NUL character or half of a surrogate pair, which PostgreSQL cannot store; leave it out."""


class DatabaseError(OrchestratorError):
    """The database cannot do what was asked."""


class DatabaseUnreachable(TransportError):
    """The database does not answer; check DATABASE_URI and that the server is running."""


class DatabaseBusy(TransportError):
    """The database is busy or the rows are locked; try again in a moment."""


class NoTransaction(DatabaseError):
    """No transaction is open here; open one with `database.transaction()`."""


class TransactionReadsOnly(DatabaseError):
    """This transaction is read-only; the write was refused."""


class SchemaOutOfDate(DatabaseError):
    """The database schema does not match this version; run `orchestrator db upgrade`."""


class DatabaseFull(TransportError):
    """The database server has no room left (disk or memory), so nothing was written. Make room, and repeat."""


class EmbeddedServerError(TransportError):
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
    """The product is in use, so its status cannot change to this one now."""


class ProductNotInRegistry(CatalogueError):
    """The product has rows in the database but no model in the code."""


class CatalogueOutOfDate(CatalogueError):
    """The catalogue in the database differs from the code; run `orchestrator catalogue apply`."""


class CatalogueBlocked(CatalogueError):
    """A change of the catalogue would make subscriptions unreadable, or delete what the back-fill has yet to read."""


class CatalogueClash(CatalogueError):
    """Two code locations declare one name in one database."""


class ModelDeclarationError(CatalogueError, TypeError):
    """The declaration of a product or block class is invalid."""


class SubscriptionError(OrchestratorError, ValueError):
    """The subscription cannot do what was asked."""


class UnknownSubscription(SubscriptionError):
    """There is no such subscription."""


class StaleSubscription(SubscriptionError):
    """The subscription has changed since it was read; read it again."""


class InvalidLifecycle(SubscriptionError):
    """The subscription's status does not fit the class or the change."""


class WrongProduct(SubscriptionError):
    """The subscription is of another product than the class."""


class InvalidBlocks(SubscriptionError):
    """The blocks of the subscription do not fit together."""


class BlockInUse(SubscriptionError):
    """A block cannot be removed while another subscription uses it."""


class PastIsReadOnly(SubscriptionError):
    """An earlier version of a subscription is read-only; read the current one with `from_subscription`."""


class SubscriptionLocked(SubscriptionError):
    """Another process is changing the subscription."""


class UnfinishedProcesses(SubscriptionError):
    """The subscription cannot be put in sync while processes that changed it are unfinished."""


class AlreadyDescribed(SubscriptionError):
    """The customer already has a description of this subscription."""


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
    """The form needs another page; `schema` is the page's JSON schema, `meta` further data for the client."""

    def __init__(self, message: str = "", *, schema: dict[str, Any] | None = None, meta: Any = None) -> None:
        self.schema = schema or {}
        self.meta = meta
        super().__init__(message)


class FormTimedOut(FormError):
    """The form took too long; nothing was written."""


class FormsBusy(FormError):
    """Too many forms are being evaluated; try again in a moment."""


class UnknownForm(FormError):
    """There is no such form."""


class ScheduleError(OrchestratorError):
    """The schedule cannot do what was asked."""


class UnknownQuery(OrchestratorError):
    """There is no such saved query."""


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
    """The workflow may not start now. `reason` is the reason key of the reference, `details` the ids."""

    def __init__(self, message: str = "", *, reason: str = "", details: dict[str, Any] | None = None) -> None:
        self.reason = reason
        self.details = details or {}
        super().__init__(message)


class EnginePaused(StartRefused):
    """The engine is paused; no process starts or continues until `orchestrator engine release`."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, reason="engine.paused")


class NotAuthorised(StartRefused):
    """The user is not authorised to do this with the workflow."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message, reason="subscription.insufficient_workflow_permissions")


class StateError(WorkflowError):
    """A step's argument cannot be read from the state, or its result cannot be stored there."""


class ProcessError(OrchestratorError):
    """The process cannot do what was asked."""


class UnknownProcess(ProcessError):
    """There is no such process."""


class KeyUsed(ProcessError):
    """The idempotency key was used for another start."""


class RunMayNotAct(ProcessError):
    """This Dagster run may not act for the process."""


class ProcessTaken(RunMayNotAct):
    """Another run executes the process; this one has nothing to do."""


class ProcessStopped(RunMayNotAct):
    """The process has ended or waits; no run continues it now."""


class ProcessExists(ProcessError):
    """A process with this id exists already."""


class NotWaiting(ProcessError):
    """The process does not wait for this."""


class ProcessEnded(ProcessError):
    """The process is completed or aborted and cannot change."""


class UnknownToken(ProcessError):
    """This token is not valid for this process."""


class StepsChanged(ProcessError):
    """The steps in the code no longer match the steps that the process has committed."""


class BranchesDisagree(ProcessError):
    """Two branches have set the same state key to different values."""


class LoginRefused(OrchestratorError):
    """The request has no login, or its token is not accepted."""


class LoginsLimited(OrchestratorError):
    """The identity provider has refused so many tokens of a caller that it is not asked about another for a while."""


class ProcessFailure(OrchestratorError):
    """A step failed with a reason for people to read; `details` is shown with it."""

    def __init__(self, message: str = "", details: Any = None) -> None:
        self.details = details
        super().__init__(message)


ProcessFailureError = ProcessFailure
"""As orchestrator-core spells it."""


class InconsistentData(ProcessFailure):
    """The data in the orchestrator and in another system disagree."""


class DriftFound(InconsistentData):
    """The network differs from the subscription; `details` lists expected and actual values."""


class CallbackNotRequested(ProcessFailure):
    """No callback was requested, so none can arrive."""


class TimedOut(ProcessFailure):
    """What a step waited for has not arrived in time."""


class ChildrenFailed(ProcessFailure):
    """More children of the process failed than it accepts; `details` lists them."""


class ExternalSystemError(Exception):
    """An external system answered with an error."""


class ExternalSystemNotConfigured(ExternalSystemError):
    """Nothing says where the external system is."""


class ExternalSystemUnavailable(ExternalSystemError):
    """An external system did not answer; a later retry may succeed."""


class IdentityProviderUnavailable(ExternalSystemUnavailable):
    """The identity provider does not answer."""


class PolicyUnavailable(ExternalSystemUnavailable):
    """The policy agent does not answer."""


class PlaybookFailed(ExternalSystemError):
    """A playbook run failed."""


REFUSALS = (OrchestratorError, ExternalSystemError, TransportError)
"""What a door catches: errors whose message is a sentence for people."""
