"""The built-in workflows of every orchestrator: a note on a subscription, and maintenance tasks."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Protocol
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from ops.steps.forms import FormGenerator, SubmitFormPage
from ops.steps.predicates import no_uncompleted_instance
from ops.steps.step import StepList, begin, step
from ops.steps.workflow import Workflow
from ops.tasks.backfill import bring_up
from ops.tasks.maintenance import check_catalogue, check_workflows, delete_old_tasks, load_every_subscription
from ops.tasks.resumption import resume_waiting, wake_late_callbacks
from ops.tasks.retention import remove_old_history, remove_old_runs
from ops.tasks.validation import make_due, systems_of, validate_due
from orchestrator_defs.jobs.decorators import WorkflowJob, task, workflow
from resources.catalogue.catalogue import Catalogue
from resources.domain.header_model import Note
from resources.domain.subscription_model import SubscriptionModel
from resources.types import State, SubscriptionLifecycle, Target

ANY_STATUS = frozenset(SubscriptionLifecycle)


class Registry(Protocol):
    """What the tasks need of their orchestrator; complete only after it is made."""

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """Its workflows by name."""

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""


def built_in_workflows(registry: Registry, own: Iterable[WorkflowJob]) -> list[WorkflowJob]:
    """Make the built-in workflows of an orchestrator that has these of its own."""
    validations = [job.workflow for job in own if job.workflow.target is Target.VALIDATE]
    needs = frozenset(key for one in validations for key in systems_of(one))
    return [modify_note, task_clean_up_tasks, *_tasks_of(registry), *_validations_of(registry, needs)]


# --- a note ---


def note_form(subscription_id: UUID) -> FormGenerator:
    """The form for a subscription's note, with the present one."""
    note_now = SubscriptionModel.from_subscription(subscription_id).note

    class NotePage(SubmitFormPage):
        model_config = ConfigDict(title="Note")
        note: Annotated[Note, Field(json_schema_extra={"format": "long"})] = note_now

    page = yield NotePage
    return {"note": page.note}


@step("Store note")
def store_note(subscription_id: UUID, note: str | None) -> State:
    """Write the note, and keep the previous one in the state, as `old_note`."""
    subscription = SubscriptionModel.from_subscription(subscription_id)
    old = subscription.note
    subscription.note = note
    subscription.save()
    return {"old_note": old}


@workflow(
    "Modify note",
    note_form,
    Target.MODIFY,
    usable_when=ANY_STATUS,
    usable_while_out_of_sync=True,
    takes_subscription=False,
)
def modify_note() -> StepList:
    return begin >> store_note


# --- tasks ---


@task("Clean up completed tasks", run_predicate=no_uncompleted_instance)
def task_clean_up_tasks() -> StepList:
    return begin >> delete_old_tasks


def _tasks_of(registry: Registry) -> list[WorkflowJob]:
    def workflows() -> Mapping[str, Workflow]:
        return registry.workflows

    def catalogue() -> Catalogue:
        return registry.catalogue

    @task("Resume processes that wait for a retry", run_predicate=no_uncompleted_instance)
    def task_resume_workflows() -> StepList:
        return begin >> resume_waiting

    @task("Remove old runs and history", run_predicate=no_uncompleted_instance)
    def task_retention() -> StepList:
        return begin >> remove_old_runs(workflows) >> remove_old_history

    @task("Look for callbacks that are overdue", run_predicate=no_uncompleted_instance)
    def task_validate_awaiting_callbacks() -> StepList:
        return begin >> wake_late_callbacks(workflows)

    @task("Bring subscriptions up to the models", run_predicate=no_uncompleted_instance)
    def task_backfill() -> StepList:
        """Bring subscriptions up to the models.

        `orchestrator catalogue apply` notes which: those to which a new, moved or converted value, or another product,
        has to come. A batch is a transaction; stopped, the next run continues.
        """
        return begin >> bring_up(catalogue)

    @task("Validate products and subscriptions", run_predicate=no_uncompleted_instance)
    def task_validate_products() -> StepList:
        return begin >> check_catalogue(catalogue) >> check_workflows(catalogue) >> load_every_subscription

    return [
        task_backfill,
        task_resume_workflows,
        task_retention,
        task_validate_awaiting_callbacks,
        task_validate_products,
    ]


def _validations_of(fleet: Registry, needs: frozenset[str]) -> list[WorkflowJob]:
    def all_types(_: State) -> set[str]:
        return {product.product_type for product in fleet.catalogue.products}

    def one_type(state: State) -> set[str]:
        return {state["product_type"]}

    def known_type(name: str) -> str:
        if name not in (known := all_types({})):
            raise ValueError(f"There is no product type {name!r}; there is {', '.join(sorted(known))}")
        return name

    class ProductTypePage(SubmitFormPage):
        model_config = ConfigDict(title="Product type")
        product_type: Annotated[str, AfterValidator(known_type)] = Field(description="whose subscriptions to validate")

    @task("Validate subscriptions that are due")
    def task_validate_batch() -> StepList:
        """Validate a batch of the subscriptions that are due.

        The sensor `validation_sensor` starts it when something is. Drift is a result, and no failure of this run.
        """
        return begin >> validate_due(fleet, needs)

    @task("Validate all subscriptions of a product type", ProductTypePage)
    def task_validate_product_type() -> StepList:
        return begin >> make_due(fleet, one_type) >> validate_due(fleet, needs, one_type)

    @task("Validate all subscriptions", run_predicate=no_uncompleted_instance)
    def task_validate_subscriptions() -> StepList:
        return begin >> make_due(fleet, all_types) >> validate_due(fleet, needs, all_types)

    return [task_validate_batch, task_validate_product_type, task_validate_subscriptions]
