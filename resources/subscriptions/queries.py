"""Read-only lists and look-ups: subscriptions, products, their workflows and processes; models are never loaded."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from string import hexdigits
from types import MappingProxyType
from typing import Any, TypeAlias
from uuid import UUID

import sqlalchemy as sa

from resources.database.session import current_session
from resources.database.tables import (
    ProcessSubscriptionTable,
    ProcessTable,
    ProductTable,
    ProductWorkflowTable,
    SubscriptionTable,
    WorkflowTable,
)
from resources.domain.saving.records import ProductRecord
from resources.errors import SubscriptionError, UnknownProduct, UnknownSubscription
from resources.subscriptions.search import search_condition, words_condition
from resources.types import ProcessId, ProcessStatus, SubscriptionId, SubscriptionLifecycle, Target

AnySelect: TypeAlias = sa.Select[*tuple[Any, ...]]
SHORTEST_PREFIX = 4
CANDIDATES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class SubscriptionSummary:
    """A subscription as lists show it."""

    subscription_id: SubscriptionId
    description: str
    status: SubscriptionLifecycle
    insync: bool
    customer_id: str
    version: int
    locked_by: ProcessId | None
    start_date: datetime | None
    end_date: datetime | None
    note: str | None
    created_at: datetime
    product_id: UUID
    product_name: str
    product_type: str
    product_tag: str


@dataclass(frozen=True, slots=True)
class WorkflowSummary:
    """A workflow of a product."""

    workflow_id: UUID
    name: str
    target: Target
    description: str
    is_task: bool


@dataclass(frozen=True, slots=True)
class ProcessSummary:
    """A process that has touched a subscription."""

    process_id: ProcessId
    workflow_name: str
    target: Target
    is_task: bool
    status: ProcessStatus
    last_step: str | None
    failed_reason: str | None
    created_by: str | None
    started_at: datetime
    last_modified_at: datetime


@dataclass(frozen=True, slots=True)
class SubscriptionFilter:
    """What all listed subscriptions have in common; a field that is None asks nothing.

    `search`: in the language of `search_query`, by default words that begin so. `product`: name or id.
    """

    product: str | UUID | None = None
    product_type: str | None = None
    tag: str | None = None
    status: SubscriptionLifecycle | None = None
    insync: bool | None = None
    customer_id: str | None = None
    search: str | None = None


EVERYTHING = SubscriptionFilter()

_SUBSCRIPTION = (
    SubscriptionTable.subscription_id,
    SubscriptionTable.description,
    SubscriptionTable.status,
    SubscriptionTable.insync,
    SubscriptionTable.customer_id,
    SubscriptionTable.version,
    SubscriptionTable.locked_by,
    SubscriptionTable.start_date,
    SubscriptionTable.end_date,
    SubscriptionTable.note,
    SubscriptionTable.created_at,
    SubscriptionTable.product_id,
    ProductTable.name,
    ProductTable.product_type,
    ProductTable.tag,
)
SORT_KEYS: Mapping[str, Any] = MappingProxyType(
    {
        "subscription_id": SubscriptionTable.subscription_id,
        "description": SubscriptionTable.description,
        "status": SubscriptionTable.status,
        "insync": SubscriptionTable.insync,
        "customer_id": SubscriptionTable.customer_id,
        "start_date": SubscriptionTable.start_date,
        "end_date": SubscriptionTable.end_date,
        "created_at": SubscriptionTable.created_at,
        "product": ProductTable.name,
        "product_type": ProductTable.product_type,
        "tag": ProductTable.tag,
    }
)


def subscription_ids(*, after: SubscriptionId | None, limit: int) -> list[SubscriptionId]:
    """The next subscriptions in the order of their ids: all of them, a batch at a time."""
    query = sa.select(SubscriptionTable.subscription_id)
    if after is not None:
        query = query.where(SubscriptionTable.subscription_id > after)
    return list(current_session().scalars(query.order_by(SubscriptionTable.subscription_id).limit(limit)))


def list_subscriptions(
    where: SubscriptionFilter = EVERYTHING,
    *,
    sort: Sequence[str] = ("-created_at",),
    limit: int | None = 50,
    offset: int = 0,
) -> list[SubscriptionSummary]:
    """One page of subscriptions, in one statement.

    `sort`: keys of SORT_KEYS, a leading `-` for descending; the id breaks ties, so pages neither overlap nor miss.
    Raises SubscriptionError for an unknown sort key.
    """
    query = _matching(sa.select(*_SUBSCRIPTION), where)
    query = query.order_by(*map(_ordering, sort), SubscriptionTable.subscription_id).offset(offset).limit(limit)
    return [_summary(row) for row in current_session().execute(query)]


def count_subscriptions(where: SubscriptionFilter = EVERYTHING) -> int:
    """How many subscriptions the filter leaves, in one statement."""
    return current_session().scalar(_matching(sa.select(sa.func.count()), where)) or 0


def find_subscription(id_or_prefix: str | UUID) -> SubscriptionSummary:
    """The subscription of an id, or of the first characters of one (4 or more), in one statement.

    Raises UnknownSubscription, or SubscriptionError listing the candidates when there are several.
    """
    first, last = _id_range(str(id_or_prefix))
    query = _joined(sa.select(*_SUBSCRIPTION)).where(SubscriptionTable.subscription_id.between(first, last))
    query = query.order_by(SubscriptionTable.subscription_id).limit(CANDIDATES_SHOWN + 1)
    found = [_summary(row) for row in current_session().execute(query)]
    if not found:
        raise UnknownSubscription(
            f"There is no subscription {id_or_prefix}; `orchestrator subscriptions` lists those there are."
        )
    if len(found) > 1:
        raise SubscriptionError(_ambiguous(str(id_or_prefix), found))
    return found[0]


def find_subscription_named(name: str) -> SubscriptionSummary:
    """The subscription that somebody means: by id, by its first characters, by description, or by words of it.

    Of those, the first that fits one alone: an id, or the beginning of one as `find_subscription` takes it; the exact
    description; a word at the end of the description; words of the subscription, as a search has them. In each the
    terminated ones count only when there are no others. At most five statements. Raises UnknownSubscription, and
    SubscriptionError listing the candidates.
    """
    text = name.strip()
    if _is_id_prefix(text):
        try:
            return find_subscription(text)
        except UnknownSubscription:
            if len(text.replace("-", "")) == 32:
                raise
    description = sa.func.lower(SubscriptionTable.description)
    plain = SubscriptionTable.description == text
    last_word = description.endswith(f" {text.lower()}", autoescape=True)
    found = _living(plain) or _living(last_word) or _living(words_condition(text))
    if len(found) > 1:
        raise SubscriptionError(_several(f"'{text}' may be more than one subscription; give an id", found))
    if found:
        return found[0]
    raise UnknownSubscription(
        f"There is no subscription '{text}'; `orchestrator subscriptions` lists those there are. It is found by its "
        f"description, by words of it, or by the first {SHORTEST_PREFIX} or more characters of its id."
    )


def _living(condition: sa.ColumnElement[bool]) -> list[SubscriptionSummary]:
    """What fits, without the terminated ones unless there are no others."""
    terminated = SubscriptionTable.status == SubscriptionLifecycle.TERMINATED.value
    query = _joined(sa.select(*_SUBSCRIPTION)).where(condition)
    query = query.order_by(terminated, SubscriptionTable.description, SubscriptionTable.subscription_id)
    found = [_summary(row) for row in current_session().execute(query.limit(CANDIDATES_SHOWN + 1))]
    living = [one for one in found if one.status is not SubscriptionLifecycle.TERMINATED]
    return living or found


def find_product(name_or_id: str | UUID) -> ProductRecord:
    """A product by its name or its id: one statement, a second when there is none.

    Raises UnknownProduct, which names products that are called alike.
    """
    table = ProductTable
    identifier = _as_uuid(name_or_id)
    condition = table.name == name_or_id if identifier is None else table.product_id == identifier
    columns = (
        table.product_id,
        table.name,
        table.description,
        table.product_type,
        table.tag,
        table.status,
        table.created_at,
        table.end_date,
        table.fixed_inputs,
    )
    row = current_session().execute(sa.select(*columns).where(condition)).one_or_none()
    if row is None:
        raise UnknownProduct(_unknown_product(str(name_or_id)))
    return ProductRecord(*row)


def workflows_of_product(product_id: UUID, *, target: Target | None = None) -> list[WorkflowSummary]:
    """The workflows that a product has, by name, in one statement."""
    table = WorkflowTable
    query = (
        sa.select(table.workflow_id, table.name, table.target, table.description, table.is_task)
        .join(ProductWorkflowTable, ProductWorkflowTable.workflow_id == table.workflow_id)
        .where(ProductWorkflowTable.product_id == product_id, table.deleted_at.is_(None))
        .order_by(table.name)
    )
    if target is not None:
        query = query.where(table.target == target.value)
    rows = current_session().execute(query)
    return [WorkflowSummary(row[0], row[1], Target(row[2]), row[3], row[4]) for row in rows]


def workflow_descriptions(names: Collection[str]) -> dict[str, str]:
    """What people call workflows: the descriptions in the database, which may be edited there."""
    workflow = WorkflowTable
    query = sa.select(workflow.name, workflow.description).where(workflow.name.in_(names))
    return {row.name: row.description for row in current_session().execute(query)}


def processes_of_subscription(subscription_id: SubscriptionId, *, limit: int | None = None) -> list[ProcessSummary]:
    """The processes that have touched a subscription, newest first, in one statement."""
    process = ProcessTable
    query = (
        sa.select(
            process.process_id,
            WorkflowTable.name,
            WorkflowTable.target,
            process.is_task,
            process.last_status,
            process.last_step,
            process.failed_reason,
            process.created_by,
            process.started_at,
            process.last_modified_at,
        )
        .join(ProcessSubscriptionTable, ProcessSubscriptionTable.process_id == process.process_id)
        .join(WorkflowTable, WorkflowTable.workflow_id == process.workflow_id)
        .where(ProcessSubscriptionTable.subscription_id == subscription_id)
        .order_by(process.started_at.desc(), process.process_id)
        .limit(limit)
    )
    return [_process(*row) for row in current_session().execute(query)]


def _process(process_id: ProcessId, name: str, target: str, is_task: bool, status: str, *rest: Any) -> ProcessSummary:
    return ProcessSummary(process_id, name, Target(target), is_task, ProcessStatus(status), *rest)


def _summary(row: sa.Row[*tuple[Any, ...]]) -> SubscriptionSummary:
    subscription_id, description, status, *rest = row
    return SubscriptionSummary(subscription_id, description, SubscriptionLifecycle(status), *rest)


def _joined(query: AnySelect) -> AnySelect:
    joined = sa.join(SubscriptionTable, ProductTable, ProductTable.product_id == SubscriptionTable.product_id)
    return query.select_from(joined)


def _matching(query: AnySelect, where: SubscriptionFilter) -> AnySelect:
    equal = {
        ProductTable.product_type: where.product_type,
        ProductTable.tag: where.tag,
        SubscriptionTable.status: where.status,
        SubscriptionTable.insync: where.insync,
        SubscriptionTable.customer_id: where.customer_id,
    }
    query = _joined(query).where(*(column == value for column, value in equal.items() if value is not None))
    if where.product is not None:
        identifier = _as_uuid(where.product)
        by_name = ProductTable.name == where.product
        query = query.where(by_name if identifier is None else ProductTable.product_id == identifier)
    if where.search is not None and where.search.strip():
        query = query.where(search_condition(where.search))
    return query


def _ordering(key: str) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] | None = SORT_KEYS.get(key.removeprefix("-"))
    if column is None:
        raise SubscriptionError(f"Subscriptions cannot be sorted by '{key}'; they can by {', '.join(SORT_KEYS)}.")
    return column.desc().nulls_last() if key.startswith("-") else column.asc()


def _as_uuid(text: str | UUID) -> UUID | None:
    if isinstance(text, UUID):
        return text
    try:
        return UUID(text)
    except ValueError:
        return None


def _id_range(prefix: str) -> tuple[UUID, UUID]:
    """The first and the last id that begin so: a range, so that the primary key's index answers."""
    digits = _digits(prefix)
    if not _is_id_prefix(prefix):
        raise UnknownSubscription(
            f"'{prefix}' is not the id of a subscription; give the id or its first characters, "
            f"at least {SHORTEST_PREFIX} (0-9, a-f)."
        )
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def _is_id_prefix(text: str) -> bool:
    digits = _digits(text)
    return SHORTEST_PREFIX <= len(digits) <= 32 and not set(digits) - set(hexdigits)


def _digits(prefix: str) -> str:
    return prefix.strip().lower().replace("-", "")


def _ambiguous(prefix: str, found: list[SubscriptionSummary]) -> str:
    return _several(f"More than one subscription has an id that begins with {prefix}; give more of it", found)


def _several(sentence: str, found: list[SubscriptionSummary]) -> str:
    listed = "".join(f"\n  {one.subscription_id}  {one.description}" for one in found[:CANDIDATES_SHOWN])
    more = "\n  …" if len(found) > CANDIDATES_SHOWN else ""
    return f"{sentence}:{listed}{more}"


def _unknown_product(wanted: str) -> str:
    names = list(current_session().scalars(sa.select(ProductTable.name).order_by(ProductTable.name)))
    lower = {name.lower(): name for name in names}
    near = get_close_matches(wanted.lower(), lower, n=3, cutoff=0.75)
    begun = [name for name in lower if wanted.strip() and name.startswith(wanted.strip().lower())]
    if alike := [lower[name] for name in dict.fromkeys((*near, *begun))][:CANDIDATES_SHOWN]:
        hint = f"did you mean {' or '.join(repr(name) for name in alike)}? All: `orchestrator catalogue show`."
    elif names:
        more = ", …" if len(names) > CANDIDATES_SHOWN else ""
        hint = f"there are {', '.join(repr(name) for name in names[:CANDIDATES_SHOWN])}{more}."
    else:
        hint = "the catalogue is empty; `orchestrator catalogue apply` fills it."
    return f"There is no product '{wanted}'; {hint}"
