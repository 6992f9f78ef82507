"""The fields by which lists of processes are filtered and sorted, under the names that clients use."""

import sqlalchemy as sa

from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    ProductTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.subscriptions.list_fields import Condition, Field, Kind, ListFields
from resources.subscriptions.subscription_fields import FULLNAME, SHORTCODE, of_customer
from resources.types import Assignee, ProcessStatus, Target

process, workflow, link = ProcessTable, WorkflowTable, ProcessSubscriptionTable
subscription, product = SubscriptionTable, ProductTable


def _of_workflow(condition: Condition) -> Condition:
    return process.workflow_id.in_(sa.select(workflow.workflow_id).where(condition))


def _of_link(condition: Condition) -> Condition:
    """A condition on the links to subscriptions, without joining them."""
    return process.process_id.in_(sa.select(link.process_id).where(condition))


def _of_subscription(condition: Condition) -> Condition:
    """A condition on the linked subscriptions, or on their product."""
    linked = (
        sa.select(link.process_id)
        .join(subscription, subscription.subscription_id == link.subscription_id)
        .join(product, product.product_id == subscription.product_id)
    )
    return process.process_id.in_(linked.where(condition))


def _of_customer(condition: Condition) -> Condition:
    return _of_subscription(of_customer(condition))


PROCESS_FIELDS = ListFields(
    "Processes",
    Field("processId", Kind.ID, process.process_id, also=("id",)),
    Field("workflowId", Kind.ID, process.workflow_id),
    Field("workflowName", Kind.TEXT, workflow.name, also=("workflow",), within=_of_workflow, searched=True),
    Field("workflowTarget", Kind.WORD, workflow.target, also=("target",), words=tuple(Target), within=_of_workflow),
    Field("isTask", Kind.FLAG, process.is_task),
    Field("lastStatus", Kind.WORD, process.last_status, also=("status",), words=tuple(ProcessStatus)),
    Field("lastStep", Kind.TEXT, process.last_step, also=("step",), searched=True),
    Field("assignee", Kind.WORD, process.assignee, words=tuple(Assignee)),
    Field("failedReason", Kind.TEXT, process.failed_reason, searched=True),
    Field("createdBy", Kind.TEXT, process.created_by, also=("creator",), searched=True),
    Field("startedAt", Kind.MOMENT, process.started_at, also=("started",)),
    Field("lastModifiedAt", Kind.MOMENT, process.last_modified_at, also=("modified",)),
    Field("note", Kind.TEXT, process.note, searched=True),
    Field("runId", Kind.TEXT, process.run_id),
    Field("parentProcessId", Kind.ID, process.parent_process_id),
    Field("subscriptionId", Kind.ID, link.subscription_id, also=("subscriptions",), within=_of_link, sorts=False),
    Field("subscription", Kind.TEXT, subscription.description, within=_of_subscription, sorts=False, searched=True),
    Field("customerId", Kind.TEXT, subscription.customer_id, also=("customer",), within=_of_subscription, sorts=False),
    Field("customerFullname", Kind.TEXT, FULLNAME, within=_of_customer, sorts=False),
    Field("customerShortcode", Kind.TEXT, SHORTCODE, within=_of_customer, sorts=False),
    Field("productId", Kind.ID, product.product_id, within=_of_subscription, sorts=False),
    Field("productName", Kind.TEXT, product.name, also=("product",), within=_of_subscription, sorts=False),
    Field("productTag", Kind.TEXT, product.tag, also=("tag",), within=_of_subscription, sorts=False),
    Field("productType", Kind.TEXT, product.product_type, within=_of_subscription, sorts=False),
    Field("productDescription", Kind.TEXT, product.description, within=_of_subscription, sorts=False),
)
