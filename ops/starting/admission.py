"""Admission: validate the form, check the rules, write the process and lock the subscription."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_forms.types import FormMeta

from ops.starting.drift_answer import DriftAnswer
from ops.starting.permission import check_may_start
from ops.steps.context import Scope
from ops.steps.forms import EmptyPage, FormGenerator, FormPage, Page, fill, pages_of
from ops.steps.state import ENGINE_KEYS, to_json
from ops.steps.workflow import PredicateContext, RunPredicateFail, RunPredicatePass, Workflow
from resources.database import time_limit
from resources.database.session import SubscriptionDatabase
from resources.domain.saving.headers import SubscriptionHeader, subscription_header
from resources.domain.saving.records import HeaderRecord, ProductRecord
from resources.errors import (
    FormError,
    KeyUsed,
    OrchestratorError,
    ProcessError,
    StaleSubscription,
    StartRefused,
    UnknownProduct,
)
from resources.processes import ledger, locks, pause, process_rows
from resources.processes.ledger import StepRecord
from resources.processes.owner import current_owner
from resources.processes.process_rows import NewProcess
from resources.subscriptions.queries import find_product, find_subscription_id
from resources.subscriptions.relations import lock_with_neighbours
from resources.subscriptions.usability import why_not_usable
from resources.types import ProcessId, ProcessStatus, State, Target

LONGEST_KEY = 255


@dataclass(frozen=True, slots=True)
class StartRequest:
    """A request to start a workflow. `user` is the authenticated user."""

    workflow: Workflow
    pages: Sequence[Page]
    user: str
    process_id: ProcessId
    run_id: str | None
    status: ProcessStatus = ProcessStatus.CREATED
    idempotency_key: str | None = None
    asked: str | None = None
    parent: ProcessId | None = None
    first_line: Callable[[State], StepRecord] | None = None
    empty_page_is_asked: bool = False
    """Whether a form without fields must be submitted, for clients that show each page; otherwise it counts as filled
    in when no page was given.
    """
    resources: Mapping[str, Any] = field(default_factory=dict)
    answers: DriftAnswer | None = None
    """The drift that it answers, which is then no obstacle."""


@dataclass(frozen=True, slots=True)
class IdempotentStart:
    """A start that may be repeated: its idempotency key, and a hash of its input and its user."""

    key: str
    hash: str

    @classmethod
    def of(cls, key: str, workflow_name: str, pages: Sequence[Page], user: str) -> "IdempotentStart":
        """Raises ProcessError for a key that cannot be stored."""
        if not (0 < len(key) <= LONGEST_KEY and key.isprintable()):
            raise ProcessError(f"An idempotency key has 1 to {LONGEST_KEY} printable characters.")
        asked = json.dumps([workflow_name, to_json(list(pages), "The input"), user], sort_keys=True)
        return cls(key, hashlib.sha256(asked.encode()).hexdigest())

    def find(self) -> ProcessId | None:
        """The process that was started with this key. Needs a transaction. Raises KeyUsed when the key belongs to
        another start.
        """
        found = process_rows.find_started(self.key)
        if found is None:
            return None
        process_id, asked = found
        if asked != self.hash:
            raise KeyUsed(
                f"The idempotency key {self.key!r} was used for another start; give each start a key of its own."
            )
        return process_id


def admit(request: StartRequest, database: SubscriptionDatabase) -> State:
    """Start a process, completely or not at all. Returns its first state.

    The form runs in a read-only transaction; then the process row, its link, the subscription's lock and the ledger's
    first line are written in one transaction, in which the rules are checked again. Commits.

    Raises FormInvalid, FormIncomplete, StartRefused, SubscriptionLocked, and FormTimedOut when the context has a time
    limit that has passed: then nothing was written.
    """
    state = checked(request, database)
    with database.transaction():
        write_start(request, state)
        time_limit.decide()
    return state


def checked(request: StartRequest, database: SubscriptionDatabase) -> State:
    """Check a start, run its form, and return its first state. Writes nothing."""
    check_may_start(request.workflow, request.user)
    with database.transaction(read_only=True):
        pause.check_not_paused()
        check_predicate(request)
    with database.transaction(read_only=True):
        return first_state(request)


def write_start(request: StartRequest, state: State) -> None:
    """Check the rules again and write a checked start in the current transaction, which the caller commits."""
    pause.check_not_paused()
    if request.workflow.run_predicate is not None:
        process_rows.lock_starts(request.workflow.name)
        check_predicate(request)
    _lock_neighbours([(request, state)])
    _write(request, state)


def admit_all(
    requests: Sequence[StartRequest], *, refused: Callable[[StartRequest, OrchestratorError], OrchestratorError]
) -> None:
    """Start processes in the current transaction, which the caller commits: all of them or none.

    The caller checks who may start them. Workflows with a predicate are locked by name, then subscriptions in the order
    of their ids, so that two callers never deadlock. A predicate sees the processes before it in the list. `refused`
    makes the error for a process that may not start.
    """
    states = []
    for name in sorted({one.workflow.name for one in requests if one.workflow.run_predicate is not None}):
        process_rows.lock_starts(name)
    for request in requests:
        with _refusing(request, refused):
            states.append((request, first_state(request)))
    _lock_neighbours(states)
    for request, state in sorted(states, key=lambda one: str(one[1].get("subscription_id", ""))):
        with _refusing(request, refused):
            check_predicate(request)
            _write(request, state)


@contextmanager
def _refusing(
    request: StartRequest, refused: Callable[[StartRequest, OrchestratorError], OrchestratorError]
) -> Iterator[None]:
    try:
        yield
    except OrchestratorError as error:
        raise refused(request, error) from error


def first_state(request: StartRequest) -> State:
    """Fill the form. Needs a transaction; writes nothing."""
    workflow = request.workflow
    known = known_to_form(workflow, request.process_id, request.user)
    form = start_form(workflow, Scope(resources=request.resources), request.answers)
    left_out = () if request.empty_page_is_asked else _pages_left_out(workflow)
    result = fill(form, known, request.pages or left_out, name=workflow.name)
    state: State = to_json({**known, **result}, f"The form of {workflow.name}")
    return state


def known_to_form(workflow: Workflow, process_id: ProcessId, user: str) -> State:
    """What each form may take, before its first page."""
    return {
        "process_id": str(process_id),
        "reporter": user,
        "workflow_name": workflow.name,
        "workflow_target": workflow.target.value,
    }


def _pages_left_out(workflow: Workflow) -> Sequence[Page]:
    """A form without fields need not be submitted."""
    return ({},) if workflow.target is Target.SYSTEM and workflow.initial_input_form is None else ()


def _lock_neighbours(states: Iterable[tuple[StartRequest, State]]) -> None:
    """Lock what the rule of sync looks at: of two starts on neighbours at once, the second sees the first."""
    ids = [
        UUID(state["subscription_id"])
        for request, state in states
        if request.workflow.is_writer and not request.workflow.rule.usable_while_out_of_sync
    ]
    if ids:
        lock_with_neighbours(ids)


def _write(request: StartRequest, state: State) -> None:
    workflow = request.workflow
    process_rows.create_process(
        NewProcess(
            process_id=request.process_id,
            workflow_name=workflow.name,
            is_task=workflow.is_task,
            step_keys=workflow.step_keys,
            state=state,
            created_by=request.user,
            run_id=request.run_id,
            status=request.status,
            idempotency_key=request.idempotency_key,
            asked=request.asked,
            parent=request.parent,
            note=request.answers.note if request.answers else None,
        )
    )
    if workflow.has_subscription:
        _lock_subscription(request, UUID(state["subscription_id"]), state["version"])
    if request.first_line is not None:
        ledger.record_step(request.first_line(state))


def _lock_subscription(request: StartRequest, subscription_id: UUID, version: int) -> None:
    header = subscription_header(subscription_id, for_update=True)
    check_usable(request.workflow, header, request.answers)
    if header.version != version:
        raise _stale(header, version)
    if request.answers is not None:
        request.answers.record(subscription_id, request.process_id, request.user)
    locks.link(request.process_id, subscription_id)
    if request.workflow.is_writer:
        locks.lock(request.process_id, subscription_id, unsync=True)


# --- the rules ---


def check_predicate(request: StartRequest) -> None:
    """Check the workflow's run predicate."""
    workflow = request.workflow
    verdict = predicate_verdict(workflow, request.user)
    if not isinstance(verdict, RunPredicatePass):
        raise StartRefused(f"{workflow.name} may not start now: {verdict.message}", reason="workflow.predicate")


def predicate_verdict(workflow: Workflow, user: str) -> RunPredicatePass | RunPredicateFail:
    """The answer of a workflow's run predicate. An organisation's own may return anything; only a pass allows the
    start.
    """
    if workflow.run_predicate is None:
        return RunPredicatePass()
    verdict: Any = workflow.run_predicate(PredicateContext(workflow, user))
    if isinstance(verdict, RunPredicatePass):
        return verdict
    return RunPredicateFail(str(getattr(verdict, "message", f"its predicate answered {verdict!r}")))


def check_usable(workflow: Workflow, header: SubscriptionHeader, answers: DriftAnswer | None = None) -> None:
    """Refuse a workflow that may not run on this subscription now; the drift that it answers is no obstacle."""
    if not workflow.may_run_on(header.product.product_type):
        raise StartRefused(
            f"{workflow.name} works on {' or '.join(workflow.product_types)}; "
            f"subscription {header.subscription_id} ({header.description}) is a {header.product.product_type}.",
            reason="subscription.wrong_product",
        )
    location, owner = current_owner().location, header.product.owner
    if location and owner and location != owner:  # the model of the subscription is in other code
        raise StartRefused(
            f"{workflow.name} is a workflow of code location {location}; subscription {header.subscription_id} "
            f"({header.description}) is a {header.product.name} of code location {owner}.",
            reason="subscription.wrong_product",
            details={"location": owner},
        )
    found = why_not_usable(header, workflow.target, workflow.rule)
    if answers is not None:
        found = [one for one in found if not answers.waives(one)]
    if found:
        raise StartRefused(found[0].message, reason=found[0].reason, details=found[0].details)


def _stale(header: SubscriptionHeader, version: int) -> StaleSubscription:
    return StaleSubscription(
        f"Subscription {header.subscription_id} has changed: it is at version {header.version}, not {version}; "
        f"read it again."
    )


# --- the form: the engine's page first, then the workflow's own ---


def start_form(
    workflow: Workflow, scope: Scope, answers: DriftAnswer | None = None
) -> Callable[[State], FormGenerator]:
    """Put the engine's own page, which selects the product or the subscription, before the workflow's."""

    def form(state: State) -> FormGenerator:
        known = dict(state)
        if workflow.target is Target.CREATE:
            page = yield product_page(workflow)
            known |= _product_state(page.product)
        elif workflow.has_subscription:
            page = yield subscription_page(workflow)
            header = subscription_header(page.subscription_id)
            check_usable(workflow, header, answers)
            known |= state_of_subscription(header, header.product, header.version)
        own = workflow.initial_input_form
        if own is not None:
            result = yield from pages_of(own, known, scope)
            _check_names(workflow, known, result)
            known |= result
        elif workflow.target is Target.SYSTEM:
            yield EmptyPage
        return known

    return form


def _check_names(workflow: Workflow, known: State, result: State) -> None:
    """A form may return the engine's values from the state, but not change them."""
    for key in ENGINE_KEYS | {"product", "product_name", "subscription_id", "version"}:
        if key in result and key in known and to_json(result[key], key) != known[key]:
            raise FormError(f"The form of {workflow.name} sets {key!r}, which belongs to the engine; use another name.")


def _once_per_workflow(make: Callable[[Workflow], type[FormPage]]) -> Callable[[Workflow], type[FormPage]]:
    """Make a page once: pydantic takes longer to make a class than to fill it in."""

    def page(workflow: Workflow) -> type[FormPage]:
        kept: dict[str, type[FormPage]] = vars(workflow)  # where it keeps its cached properties, too
        return kept.get(make.__name__) or kept.setdefault(make.__name__, make(workflow))

    return page


@_once_per_workflow
def product_page(workflow: Workflow) -> type[FormPage]:
    """The first page of a create workflow: which product, by id or by name."""

    def check(value: Any) -> UUID:
        try:
            product = find_product(str(value))
        except UnknownProduct as error:
            raise ValueError(str(error)) from None
        if product.product_type not in workflow.product_types:
            raise ValueError(
                f"This workflow is not valid for this product: {workflow.name} makes "
                f"{' or '.join(workflow.product_types)}, and {product.name} is a {product.product_type}"
            )
        return product.product_id

    class ProductPage(FormPage):
        model_config = ConfigDict(title="Product")
        meta__: ClassVar[FormMeta | None] = {"hasNext": workflow.initial_input_form is not None}
        product: Annotated[
            UUID, BeforeValidator(check), Field(description="id or name", json_schema_extra={"format": "productId"})
        ]

    return ProductPage


@_once_per_workflow
def subscription_page(workflow: Workflow) -> type[FormPage]:
    """The first page of a workflow on a subscription: which one, and the version that the user has read."""

    def found(value: Any) -> UUID:
        return find_subscription_id(str(value))

    class SubscriptionPage(FormPage):
        model_config = ConfigDict(title="Subscription")
        meta__: ClassVar[FormMeta | None] = {"hasNext": workflow.initial_input_form is not None}
        subscription_id: Annotated[
            UUID,
            BeforeValidator(found),
            Field(description="its id, or the beginning of it", json_schema_extra={"format": "subscriptionId"}),
        ]
        version: int | None = Field(None, description="refuse if the subscription has changed since this version")

        @model_validator(mode="after")
        def is_current(self) -> "SubscriptionPage":
            if self.version is not None:
                header = subscription_header(self.subscription_id)
                if header.version != self.version:
                    raise _stale(header, self.version)
            return self

    return SubscriptionPage


def _product_state(product_id: UUID) -> State:
    product = find_product(str(product_id))
    return {"product": str(product.product_id), "product_name": product.name}


def state_of_subscription(header: SubscriptionHeader | HeaderRecord, product: ProductRecord, version: int) -> State:
    """What the engine's own page adds to the first state."""
    return {
        "subscription_id": str(header.subscription_id),
        "product": str(product.product_id),
        "product_name": product.name,
        "customer_id": header.customer_id,
        "version": version,
        "subscription": {"subscription_id": str(header.subscription_id), "description": header.description},
    }
