"""The fields by which lists of processes are filtered and sorted, under the names that clients use."""

from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.orm import aliased

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    ProductTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.domain.saving.search_text import words_of
from resources.subscriptions.list_fields import SHORTEST_ID, Condition, Field, Kind, ListFields, OwnColumns
from resources.subscriptions.search_query import Phrase, Word
from resources.subscriptions.search_words import by_index
from resources.subscriptions.subscription_fields import FULLNAME, SHORTCODE, of_customer
from resources.subscriptions.text_conditions import id_match, word_match
from resources.types import Assignee, ProcessStatus, Target

process, workflow, link = ProcessTable, WorkflowTable, ProcessSubscriptionTable
subscription, product = SubscriptionTable, ProductTable
worded = aliased(ProcessTable)
OWN_TEXTS = (worded.last_step, worded.failed_reason, worded.created_by, worded.note)


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


class ProcessWords(OwnColumns):
    """The words of a process and of what it is about, each found by an index; parts of words are looked for in all."""

    def anywhere(self, leaf: Word | Phrase) -> Condition:
        """Of its own texts, of its workflow's name, of its subscriptions' descriptions; or the beginning of its id."""
        words = words_of(leaf.text)
        if leaf.text.startswith("*") or not words:
            return super().anywhere(leaf)
        last = f"'{words[-1]}':*" if isinstance(leaf, Word) else f"'{words[-1]}'"
        query = sa.cast(" & ".join([*(f"'{word}'" for word in words[:-1]), last]), TSQUERY)
        own: Condition = sa.func.process_words(*OWN_TEXTS).bool_op("@@")(query)
        if len(words) > 1:  # one after the other
            own = sa.and_(own, sa.or_(*(word_match(column, leaf) for column in OWN_TEXTS)))
        # By their ids, so that PostgreSQL can tell whether an index is worth it.
        workflows = current_session().scalars(sa.select(workflow.workflow_id).where(word_match(workflow.name, leaf)))
        described = by_index(replace(leaf, field="description"))
        about = sa.select(link.process_id).join(subscription, subscription.subscription_id == link.subscription_id)
        # Arrays are made first: else a sorted page reads processes in its order until it has enough that fit.
        ids_of = (sa.select(worded.process_id).where(own), about.where(described))
        found = [process.process_id == sa.any_(sa.func.array(one.scalar_subquery())) for one in ids_of]
        if ids := list(workflows):
            found.append(process.workflow_id.in_(ids))
        if len(leaf.text) >= SHORTEST_ID:
            found.append(id_match(process.process_id, leaf.text))
        return sa.or_(*found)


PROCESS_FIELDS: ListFields = ListFields(
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
    words=lambda: ProcessWords(PROCESS_FIELDS.fields),
)
