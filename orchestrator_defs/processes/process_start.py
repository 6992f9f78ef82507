"""Starts a process, also as the answer to drift: checks the request, and writes the process."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from ops.starting.admission import IdempotentStart, StartRequest, admit
from ops.starting.answering_workflow import answering_pages, answering_workflow
from ops.starting.drift_answer import LONGEST_REASON, Answer, DriftAnswer
from ops.starting.permission import check_may_start
from ops.starting.startable import startable
from ops.steps.forms import Page, as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.process_access import ProcessAccess
from resources.database.storable import refuse_unstorable
from resources.domain.saving.headers import subscription_header
from resources.errors import OrchestratorError, ProcessError, UnknownSubscription
from resources.processes.owner import owned_by
from resources.types import ProcessId, SubscriptionId
from resources.validations.reading import newest_result


class ProcessStart:
    """Starts processes, and tells which may be started."""

    def __init__(self, access: ProcessAccess) -> None:
        self._access = access

    def start(
        self,
        workflow_name: str,
        inputs: Any,
        *,
        user: str,
        idempotency_key: str | None = None,
        empty_page_is_asked: bool = False,
    ) -> ProcessId:
        """Check the request and write the process; `ProcessRuns` then executes or launches it. Commits.

        `inputs`: a list of pages, or one mapping for a one-page form. With an `idempotency_key` the start may be
        repeated: it returns the earlier process, whatever its status. With `empty_page_is_asked` a workflow without
        fields starts only when its one page, `{}`, is given.

        Raises UnknownWorkflow, FormInvalid, FormIncomplete, StartRefused, SubscriptionLocked, and KeyUsed when the key
        belongs to another start; then nothing was written.
        """
        workflow = self._access.served.workflow(workflow_name)
        pages = as_pages(inputs)
        orchestrator = self._orchestrator(workflow, pages)

        def admitted(idempotent: IdempotentStart | None) -> ProcessId:
            return self._admit(orchestrator, workflow, pages, user, idempotent, empty_page_is_asked=empty_page_is_asked)

        return self._once(idempotency_key, (workflow.name, pages, user), admitted)

    def answer_drift(
        self,
        answer: Answer,
        subscription_id: SubscriptionId,
        *,
        reason: str,
        user: str,
        workflow_name: str | None = None,
        idempotency_key: str | None = None,
    ) -> ProcessId:
        """Start the workflow that answers the drift which the newest validation found. Commits.

        `workflow_name` chooses among several. The reason is the note of the process, and stands in the history of the
        subscription. Raises what `start` raises, and StartRefused when there is no drift to answer, when it is of an
        earlier version, or when what was found cannot be accepted.
        """
        refuse_unstorable("The reason", reason)
        if not reason.strip() or len(reason) > LONGEST_REASON:
            raise ProcessError(f"Give a reason of 1 to {LONGEST_REASON} characters.")
        asked = {"subscription_id": str(subscription_id), "reason": reason, "workflow": workflow_name}

        def admitted(idempotent: IdempotentStart | None) -> ProcessId:
            with self._access.database.transaction(read_only=True):
                product, result = subscription_header(subscription_id).product, newest_result(subscription_id)
            orchestrator = self._access.served.of_product(product.name)
            workflow = answering_workflow(answer, orchestrator.workflows.values(), product.product_type, workflow_name)
            check_may_start(workflow, user)
            result.check_answerable()
            given = DriftAnswer(answer, reason, result)
            with (
                self._access.form_resources(workflow) as resources,
                owned_by(self._access.owner_of(orchestrator)),
                self._access.database.transaction(read_only=True),
            ):
                pages = answering_pages(workflow, given, user, resources)
            return self._admit(orchestrator, workflow, pages, user, idempotent, given)

        return self._once(idempotency_key, (answer.value, [asked], user), admitted)

    def _once(
        self,
        key: str | None,
        asked: tuple[str, Sequence[Page], str],
        admitted: Callable[[IdempotentStart | None], ProcessId],
    ) -> ProcessId:
        """Start a process, or find the one that was started with this key."""
        if key is None:
            return admitted(None)
        idempotent = IdempotentStart.of(key, *asked)
        if (found := self._started_with(idempotent)) is not None:
            return found
        try:
            return admitted(idempotent)
        except OrchestratorError:
            if (found := self._started_with(idempotent)) is not None:  # the same request, at the same moment
                return found
            raise

    def _admit(
        self,
        orchestrator: Orchestrator,
        workflow: Workflow,
        pages: Sequence[Page],
        user: str,
        idempotent: IdempotentStart | None,
        answers: DriftAnswer | None = None,
        *,
        empty_page_is_asked: bool = False,
    ) -> ProcessId:
        process_id = uuid4()
        with self._access.form_resources(workflow) as resources:
            request = StartRequest(
                workflow=workflow,
                pages=pages,
                user=user,
                process_id=process_id,
                run_id=str(process_id),
                idempotency_key=idempotent.key if idempotent else None,
                asked=idempotent.hash if idempotent else None,
                empty_page_is_asked=empty_page_is_asked,
                resources=resources,
                answers=answers,
            )
            with owned_by(self._access.owner_of(orchestrator)):
                admit(request, self._access.database)
        return process_id

    def _orchestrator(self, workflow: Workflow, pages: Sequence[Page]) -> Orchestrator:
        """The orchestrator that starts a workflow: each location has the engine's own, and the subscription decides."""
        served = self._access.served
        if workflow.has_subscription:
            with suppress(IndexError, KeyError, ValueError, UnknownSubscription):  # which the form refuses
                of_product = served.of_product(self._product_of(UUID(str(pages[0]["subscription_id"]))))
                if workflow.name in of_product.workflows:
                    return of_product
        return served.of_workflow(workflow.name)

    def _started_with(self, idempotent: IdempotentStart) -> ProcessId | None:
        with self._access.database.transaction(read_only=True):
            return idempotent.find()

    def startable(self, subscription_id: SubscriptionId, *, user: Any) -> dict[str, Any]:
        """Which workflows may run on a subscription now, and why others may not; see `ops.starting.startable`."""
        orchestrator = self._access.served.of_product(self._product_of(subscription_id))
        with owned_by(self._access.owner_of(orchestrator)), self._access.database.transaction(read_only=True):
            return startable(subscription_id, orchestrator.workflows.values(), user=user)

    def _product_of(self, subscription_id: SubscriptionId) -> str | None:
        """The product's name, where it decides; one location alone needs no statement."""
        if len(self._access.served.orchestrators) == 1:
            return None
        with self._access.database.transaction(read_only=True):
            return subscription_header(subscription_id).product.name
