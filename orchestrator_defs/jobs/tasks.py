"""The built-in workflows of every orchestrator: a note on a subscription, and maintenance tasks."""

from collections.abc import Mapping
from typing import Annotated, Protocol
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from ops.steps.forms import FormGenerator, SubmitFormPage
from ops.steps.predicates import no_uncompleted_instance
from ops.steps.step import StepList, begin, step
from ops.steps.workflow import Workflow
from ops.tasks.maintenance import check_catalogue, check_workflows, delete_old_tasks, load_every_subscription
from ops.tasks.resumption import resume_waiting, wake_late_callbacks
from ops.tasks.retention import remove_old_history, remove_old_runs
from ops.tasks.validation import start_validations
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


def built_in_workflows(registry: Registry) -> list[WorkflowJob]:
    """Make the built-in workflows."""
    return [modify_note, task_clean_up_tasks, *_tasks_of(registry)]


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

    def all_types(_: State) -> set[str]:
        return {product.product_type for product in registry.catalogue.products}

    def one_type(state: State) -> set[str]:
        return {state["product_type"]}

    def known_type(name: str) -> str:
        if name not in (known := all_types({})):
            raise ValueError(f"There is no product type {name!r}; there is {', '.join(sorted(known))}")
        return name

    class ProductTypePage(SubmitFormPage):
        model_config = ConfigDict(title="Product type")
        product_type: Annotated[str, AfterValidator(known_type)] = Field(description="whose subscriptions to validate")

    @task("Resume processes that wait for a retry", run_predicate=no_uncompleted_instance)
    def task_resume_workflows() -> StepList:
        return begin >> resume_waiting

    @task("Remove old runs and history", run_predicate=no_uncompleted_instance)
    def task_retention() -> StepList:
        return begin >> remove_old_runs(workflows) >> remove_old_history

    @task("Look for callbacks that are overdue", run_predicate=no_uncompleted_instance)
    def task_validate_awaiting_callbacks() -> StepList:
        return begin >> wake_late_callbacks(workflows)

    @task("Validate products and subscriptions", run_predicate=no_uncompleted_instance)
    def task_validate_products() -> StepList:
        return begin >> check_catalogue(catalogue) >> check_workflows(catalogue) >> load_every_subscription

    @task("Validate all subscriptions of a product type", ProductTypePage)
    def task_validate_product_type() -> StepList:
        return begin >> start_validations(workflows, one_type)

    @task("Validate all subscriptions", run_predicate=no_uncompleted_instance)
    def task_validate_subscriptions() -> StepList:
        return begin >> start_validations(workflows, all_types)

    return [
        task_resume_workflows,
        task_retention,
        task_validate_awaiting_callbacks,
        task_validate_products,
        task_validate_product_type,
        task_validate_subscriptions,
    ]
