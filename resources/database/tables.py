"""The schema, as typed SQLAlchemy tables."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint, func, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]
Timestamp = TIMESTAMP(timezone=True)


class Table(DeclarativeBase):
    """The base of all tables; it fixes the names of constraints, which migrations use."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        Json: JSONB(none_as_null=True),
        list[Any]: JSONB,
        datetime: Timestamp,
    }


# --- the catalogue: written by `catalogue apply` from code; descriptions and product status are editable. `owner` is
# the code location whose code has the row, or `engine`; NULL is from before owners were kept ---


class ProductTable(Table):
    """A product. Its id is the uuid5 of its name, so it is the same everywhere."""

    __tablename__ = "products"

    product_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(String(2000))
    product_type: Mapped[str] = mapped_column(String(255), index=True)
    tag: Mapped[str] = mapped_column(String(20), index=True)
    status: Mapped[str] = mapped_column(String(255))
    fixed_inputs: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    end_date: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(255))


class ProductBlockTable(Table):
    """A typed group of values that products are made of."""

    __tablename__ = "product_blocks"

    product_block_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    description: Mapped[str] = mapped_column(String(2000))
    tag: Mapped[str | None] = mapped_column(String(20))
    status: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    end_date: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(255))


class ResourceTypeTable(Table):
    """One named value of a block; blocks that use the same name share the row."""

    __tablename__ = "resource_types"

    resource_type_id: Mapped[UUID] = mapped_column(primary_key=True)
    resource_type: Mapped[str] = mapped_column(String(510), unique=True)
    description: Mapped[str] = mapped_column(String(2000))


class WorkflowTable(Table):
    """A workflow of the code; soft-deleted when the code no longer has it, so that history keeps its name."""

    __tablename__ = "workflows"

    workflow_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    target: Mapped[str] = mapped_column(String(20))
    description: Mapped[str] = mapped_column(String(2000))
    is_task: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(255))


class ProductProductBlockTable(Table):
    """Which blocks a product has at its root."""

    __tablename__ = "product_product_blocks"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.product_id", ondelete="CASCADE"), primary_key=True)
    product_block_id: Mapped[UUID] = mapped_column(
        ForeignKey("product_blocks.product_block_id", ondelete="CASCADE"), primary_key=True
    )


class ProductBlockResourceTypeTable(Table):
    """Which values a block has."""

    __tablename__ = "product_block_resource_types"

    product_block_id: Mapped[UUID] = mapped_column(
        ForeignKey("product_blocks.product_block_id", ondelete="CASCADE"), primary_key=True
    )
    resource_type_id: Mapped[UUID] = mapped_column(
        ForeignKey("resource_types.resource_type_id", ondelete="CASCADE"), primary_key=True
    )
    type: Mapped[str | None] = mapped_column(String(2000))
    """The type of the values as the code last declared it; NULL from before types were kept."""


class ProductBlockRelationTable(Table):
    """Which blocks a block may hold, and how many."""

    __tablename__ = "product_block_relations"

    in_use_by_id: Mapped[UUID] = mapped_column(
        ForeignKey("product_blocks.product_block_id", ondelete="CASCADE"), primary_key=True
    )
    depends_on_id: Mapped[UUID] = mapped_column(
        ForeignKey("product_blocks.product_block_id", ondelete="CASCADE"), primary_key=True
    )
    min: Mapped[int | None]
    max: Mapped[int | None]


class ProductWorkflowTable(Table):
    """Which workflows a product has."""

    __tablename__ = "products_workflows"

    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.product_id", ondelete="CASCADE"), primary_key=True)
    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.workflow_id", ondelete="CASCADE"), primary_key=True)


# --- processes: the engine's memory ---


AT_WORK = "last_status NOT IN ('completed', 'aborted', 'failed', 'api_unavailable', 'inconsistent_data')"
"""Processes that have not ended or failed; a parent waits for those of its children."""


class ProcessTable(Table):
    """One execution of a workflow. Its id is that of its first Dagster run; `run_id` is that of its newest segment."""

    __tablename__ = "processes"
    __table_args__ = (
        Index("ix_processes_status_open", "last_status", postgresql_where=text("last_status <> 'completed'")),
        Index("ix_processes_started_at", text("started_at DESC")),
        Index("ix_processes_kind_and_status", "is_task", "last_status", text("last_modified_at DESC")),
        Index("ix_processes_last_modified_at", text("last_modified_at DESC")),
        Index("ix_processes_created_by", text("lower(created_by)"), text("started_at DESC")),
        Index(
            "ix_processes_words",
            text("process_words(last_step, failed_reason, created_by, note)"),
            postgresql_using="gin",
        ),
        Index("ix_processes_children_at_work", "parent_process_id", postgresql_where=text(AT_WORK)),
        Index(
            "ix_processes_old_tasks", "last_modified_at", postgresql_where=text("is_task AND last_status = 'completed'")
        ),
    )

    process_id: Mapped[UUID] = mapped_column(primary_key=True)
    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.workflow_id"), index=True)
    is_task: Mapped[bool] = mapped_column(server_default=text("false"))
    last_status: Mapped[str] = mapped_column(String(50))
    last_step: Mapped[str | None] = mapped_column(String(255))
    assignee: Mapped[str] = mapped_column(String(50), server_default=text("'SYSTEM'"))
    state: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    step_keys: Mapped[list[Any]]
    failed_reason: Mapped[str | None] = mapped_column(String(10_000))
    traceback: Mapped[str | None] = mapped_column(String(50_000))
    created_by: Mapped[str | None] = mapped_column(String(255))
    note: Mapped[str | None] = mapped_column(String(5000))
    run_id: Mapped[str | None] = mapped_column(String(255), index=True)
    recoveries: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was continued automatically since its last committed step, because its run was lost."""
    generation: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was sent back. A step repeated on purpose acts outside again, so its idempotency keys differ."""
    parent_process_id: Mapped[UUID | None] = mapped_column(ForeignKey("processes.process_id"), index=True)
    idempotency_key: Mapped[str | None] = mapped_column(String(255), unique=True)
    asked: Mapped[str | None] = mapped_column(String(64))
    """With an idempotency key: the hash of the request and its user."""
    location: Mapped[str | None] = mapped_column(String(255))
    """The name of the orchestrator that started it; NULL for older processes."""
    storage: Mapped[str | None] = mapped_column(String(64))
    """The id of the run storage of Dagster that has its runs."""
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_modified_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class ProcessStepTable(Table):
    """The ledger: one row for each step of a process. `removed` and `set` are the change of the state."""

    __tablename__ = "process_steps"
    __table_args__ = (UniqueConstraint("process_id", "position"),)

    process_id: Mapped[UUID] = mapped_column(ForeignKey("processes.process_id", ondelete="CASCADE"), primary_key=True)
    step_key: Mapped[str] = mapped_column(String(255), primary_key=True)
    step_id: Mapped[UUID] = mapped_column(default=uuid4, server_default=func.gen_random_uuid(), unique=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(255))
    status: Mapped[str] = mapped_column(String(50))
    set: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    removed: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    error: Mapped[Json | None]
    run_id: Mapped[str | None] = mapped_column(String(255))
    created_by: Mapped[str | None] = mapped_column(String(255))
    commit_hash: Mapped[str | None] = mapped_column(String(64))
    attempts: Mapped[int] = mapped_column(server_default=text("1"))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime]


class ProcessWaitTable(Table):
    """What a stopped process waits for. Open until `answered_at`; at most one is open, apart from callback tokens.

    At `deadline` the engine acts: it retries, polls again, or gives a callback up. A step that was tried twice may have
    given out two tokens, and either may arrive.
    """

    __tablename__ = "process_waits"
    __table_args__ = (
        Index(
            "uq_process_waits_open",
            "process_id",
            unique=True,
            postgresql_where=text("answered_at IS NULL AND kind <> 'callback'"),
        ),
        Index("ix_process_waits_deadline", "deadline", postgresql_where=text("answered_at IS NULL")),
    )

    wait_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4, server_default=func.gen_random_uuid())
    process_id: Mapped[UUID] = mapped_column(ForeignKey("processes.process_id", ondelete="CASCADE"), index=True)
    step_key: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(50))
    token_hash: Mapped[str | None] = mapped_column(String(128), unique=True)
    deadline: Mapped[datetime | None]
    progress: Mapped[Json | None]
    answer: Mapped[Json | None]
    answered_by: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    answered_at: Mapped[datetime | None]


# --- subscriptions ---

_HEADER = ["product_id", "status", "insync", "customer_id", "start_date", "end_date", "created_at"]


class SubscriptionTable(Table):
    """A customer's instance of a product.

    `version` rises with each saved change and a save with a stale one is refused; `locked_by` is the one process that
    may change it; `document` is its own block tree, which lists and searches read; `search` is made from it.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        Index("ix_subscriptions_search", "search", postgresql_using="gin"),
        Index("ix_subscriptions_created_at", text("created_at DESC"), "subscription_id"),
        Index("ix_subscriptions_description", "description", postgresql_using="hash"),
        Index("ix_subscriptions_description_order", text("left(description, 200)")),
        Index("ix_subscriptions_out_of_sync", "subscription_id", postgresql_where=text("NOT insync")),
        Index("ix_subscriptions_customer", text("lower(customer_id)")),
        Index(
            "ix_subscriptions_start_date",
            text("start_date DESC NULLS LAST"),
            "subscription_id",
            postgresql_include=["status", "product_id", "insync"],
        ),
        Index("ix_subscriptions_product_id_status", "product_id", "status"),
        Index(
            "ix_subscriptions_header",
            "subscription_id",
            postgresql_include=_HEADER,
        ),
        CheckConstraint("version > 0", name="version_positive"),
    )

    subscription_id: Mapped[UUID] = mapped_column(primary_key=True)
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.product_id"))
    customer_id: Mapped[str] = mapped_column(String(255), index=True)
    description: Mapped[str] = mapped_column(String(2000))
    status: Mapped[str] = mapped_column(String(50), index=True)
    insync: Mapped[bool]
    start_date: Mapped[datetime | None]
    end_date: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(String(5000))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    locked_by: Mapped[UUID | None] = mapped_column(ForeignKey("processes.process_id"), index=True)
    out_of_sync_by: Mapped[str | None] = mapped_column(String(20))
    """`validation` when drift put it out of sync; a trigger clears it when it is in sync or a process takes it."""
    document: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    search: Mapped[str | None] = mapped_column(TSVECTOR)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class SubscriptionInstanceTable(Table):
    """One block of a subscription: `values` has its resource types, typed, lists in order.

    A block at the root of the subscription has its field (`attribute`, `position` as in the relations) here; for other
    blocks these are null, and their relations have it.
    """

    __tablename__ = "subscription_instances"
    __table_args__ = (
        Index(
            "ix_subscription_instances_values",
            "values",
            postgresql_using="gin",
            postgresql_ops={"values": "jsonb_path_ops"},
        ),
    )

    subscription_instance_id: Mapped[UUID] = mapped_column(primary_key=True)
    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), index=True
    )
    product_block: Mapped[str] = mapped_column(String(255), index=True)
    attribute: Mapped[str | None] = mapped_column(String(255))
    position: Mapped[int | None]
    label: Mapped[str | None] = mapped_column(String(255))
    values: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))


class SubscriptionInstanceRelationTable(Table):
    """A block holds another, in `attribute` at `position` (0 unless the attribute is a list).

    The database refuses to remove a block that another one holds.
    """

    __tablename__ = "subscription_instance_relations"
    __table_args__ = (Index("ix_subscription_instance_relations_depends_on_id", "depends_on_id"),)

    in_use_by_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscription_instances.subscription_instance_id", ondelete="CASCADE"), primary_key=True
    )
    attribute: Mapped[str] = mapped_column(String(255), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    depends_on_id: Mapped[UUID] = mapped_column(ForeignKey("subscription_instances.subscription_instance_id"))


class SubscriptionVersionTable(Table):
    """Append-only: the subscription after each change, and who made it."""

    __tablename__ = "subscription_versions"
    __table_args__ = (Index("ix_subscription_versions_created_at", "subscription_id", "created_at"),)

    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    document: Mapped[Json]
    process_id: Mapped[UUID | None]
    step_key: Mapped[str | None] = mapped_column(String(255))
    created_by: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    reason: Mapped[str | None]


class SubscriptionMetadataTable(Table):
    """Free JSON about a subscription, written by an organisation's own code; `search` is made from it."""

    __tablename__ = "subscription_metadata"
    __table_args__ = (Index("ix_subscription_metadata_search", "search", postgresql_using="gin"),)

    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), primary_key=True
    )
    metadata_: Mapped[Json] = mapped_column("metadata")
    search: Mapped[str | None] = mapped_column(TSVECTOR)


class CustomerDescriptionTable(Table):
    """One customer's name for a subscription; `search` is made from it."""

    __tablename__ = "subscription_customer_descriptions"
    __table_args__ = (
        UniqueConstraint("customer_id", "subscription_id"),
        Index("ix_subscription_customer_descriptions_search", "search", postgresql_using="gin"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4, server_default=func.gen_random_uuid())
    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), index=True
    )
    customer_id: Mapped[str] = mapped_column(String(255), index=True)
    description: Mapped[str] = mapped_column(String(2000))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    search: Mapped[str | None] = mapped_column(TSVECTOR)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ProcessSubscriptionTable(Table):
    """Which processes have worked on which subscriptions."""

    __tablename__ = "processes_subscriptions"

    process_id: Mapped[UUID] = mapped_column(ForeignKey("processes.process_id", ondelete="CASCADE"), primary_key=True)
    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


# --- the engine ---


class ScheduleTable(Table):
    """A schedule that was made at run time: which workflow starts when, with which inputs."""

    __tablename__ = "schedules"

    schedule_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4, server_default=func.gen_random_uuid())
    workflow_id: Mapped[UUID] = mapped_column(ForeignKey("workflows.workflow_id"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    trigger: Mapped[str] = mapped_column(String(20))
    trigger_kwargs: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    inputs: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    created_by: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    next_run_at: Mapped[datetime | None] = mapped_column(index=True)
    missed: Mapped[str] = mapped_column(String(10), server_default=text("'last'"))
    """Of the times that passed while nothing fired: fire `all`, the `last`, or `none` that is later than the grace."""
    grace_seconds: Mapped[int | None]
    made_as: Mapped[Json | None]
    """`name`, `roles` and `claims` of who made or last changed it, `at` that time: as this user it starts processes."""


class SavedQueryTable(Table):
    """A search that somebody keeps under a name; `parameters` is the body of the request."""

    __tablename__ = "saved_queries"
    __table_args__ = (UniqueConstraint("created_by", "name"),)

    query_id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4, server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(20))
    parameters: Mapped[Json]
    is_shared: Mapped[bool] = mapped_column(server_default=text("false"))
    created_by: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EngineSettingsTable(Table):
    """One row: whether the engine is paused, and of each code location the hash of the catalogue that is applied."""

    __tablename__ = "engine_settings"
    __table_args__ = (CheckConstraint("singleton", name="one_row"),)

    singleton: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    global_lock: Mapped[bool] = mapped_column(server_default=text("false"))
    global_lock_by: Mapped[str | None] = mapped_column(String(255))
    global_lock_at: Mapped[datetime | None]
    catalogue_hash: Mapped[Json | None]


# --- what tells of changes: triggers, made by a migration ---

CHANNEL = "orchestrator_events"
"""The channel on which triggers report, at the commit, what has changed: a word, and the id that it is about."""

_CAME, _WENT, _CHANGED = "tell_insert", "tell_delete", "tell_update"
_COUNTED = frozenset({"count_new", "count_gone", "count_changed"})
TRIGGERS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            *("subscription_customer_descriptions", "subscription_metadata", "schedules"),
            *("products", "product_blocks", "resource_types", "workflows", "product_product_blocks"),
            *("product_block_resource_types", "product_block_relations", "products_workflows"),
        ),
        frozenset({_CAME, _WENT, _CHANGED}),
    ),
    "subscriptions": _COUNTED
    | {
        *(_CAME, _WENT, _CHANGED, "forget_out_of_sync_by"),
        *("plan_validation", "plan_validation_again", "validate_answered"),
    },
    "processes": _COUNTED | {_CAME, _WENT, _CHANGED},
    "validations": _COUNTED,
    "process_steps": _COUNTED - {"count_gone"},
    "processes_subscriptions": frozenset({_CAME, _WENT}),
    "engine_settings": frozenset({_CAME, _CHANGED}),
    "process_waits": frozenset({_CHANGED}),
}
"""The names of the triggers of each table."""
