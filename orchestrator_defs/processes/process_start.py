"""Starts a process: checks the request, and writes the process."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from ops.starting.admission import IdempotentStart, StartRequest, admit
from ops.starting.startable import startable
from ops.steps.forms import Page, as_pages
from ops.steps.workflow import Workflow
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.process_access import ProcessAccess
from resources.domain.saving.headers import subscription_header
from resources.errors import OrchestratorError, UnknownSubscription
from resources.processes.owner import owned_by
from resources.types import ProcessId, SubscriptionId


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
        if idempotency_key is None:
            return self._admit(workflow, pages, user, empty_page_is_asked=empty_page_is_asked)
        idempotent = IdempotentStart.of(idempotency_key, workflow.name, pages, user)
        if (found := self._started_with(idempotent)) is not None:
            return found
        try:
            return self._admit(workflow, pages, user, idempotent, empty_page_is_asked=empty_page_is_asked)
        except OrchestratorError:
            if (found := self._started_with(idempotent)) is not None:  # the same request, at the same moment
                return found
            raise

    def _admit(
        self,
        workflow: Workflow,
        pages: Sequence[Page],
        user: str,
        idempotent: IdempotentStart | None = None,
        *,
        empty_page_is_asked: bool,
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
            )
            with owned_by(self._access.owner_of(self._orchestrator(workflow, pages))):
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
