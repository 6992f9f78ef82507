"""The tables of validations, of fired schedules and of figures, as typed SQLAlchemy tables."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, Numeric, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from resources.database.tables import Json, Table


class Result:
    """What a validation found."""

    workflow: Mapped[str | None] = mapped_column(String(255))
    result: Mapped[str | None] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(String(10_000))
    severity: Mapped[str | None] = mapped_column(String(20))
    differences: Mapped[list[Any]] = mapped_column(server_default=text("'[]'::jsonb"))
    version: Mapped[int | None]
    process_id: Mapped[UUID | None]
    run_id: Mapped[str | None] = mapped_column(String(255))
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float | None]


class ValidationTable(Result, Table):
    """The newest result of a subscription's validation, and when the next is due; NULL in `due_at` is never.

    A trigger makes the row with the subscription. `differences` are objects with `system`, `path`, `expected`, `found`,
    `severity`, `workflow`; `version` is the subscription's that was compared; `claimed_by` the process
    whose batch has it.
    `results` has the result of each of its workflows, and `result` the worst of them.
    """

    __tablename__ = "validations"
    __table_args__ = (
        Index("ix_validations_due", "product_id", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_validations_age", "product_id", "finished_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("ix_validations_claimed", "claimed_by", postgresql_where=text("claimed_by IS NOT NULL")),
        Index("ix_validations_finished_at", "finished_at", "subscription_id"),
        Index("ix_validations_newest", text("finished_at DESC NULLS LAST"), "subscription_id"),
        Index("ix_validations_result", "result", "product_id", "finished_at"),
    )

    subscription_id: Mapped[UUID] = mapped_column(
        ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"), primary_key=True
    )
    product_id: Mapped[UUID] = mapped_column(ForeignKey("products.product_id"))
    results: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    due_at: Mapped[datetime | None]
    claimed_by: Mapped[str | None] = mapped_column(String(255))


class ValidationHistoryTable(Result, Table):
    """Each result of a validation, until it is older than the retention."""

    __tablename__ = "validation_history"
    __table_args__ = (
        Index("ix_validation_history_subscription", "subscription_id", text("finished_at DESC")),
        Index("ix_validation_history_finished_at", "finished_at"),
    )

    history_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    subscription_id: Mapped[UUID] = mapped_column(ForeignKey("subscriptions.subscription_id", ondelete="CASCADE"))
    created_by: Mapped[str | None] = mapped_column(String(255))


class FiringTable(Table):
    """A time at which a schedule fired, once. `refusal`: why it started no process; `left_out`: missed times before."""

    __tablename__ = "firings"

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.schedule_id", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    fired_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    process_id: Mapped[UUID | None]
    refusal: Mapped[str | None] = mapped_column(String(2000))
    left_out: Mapped[int] = mapped_column(server_default=text("0"))


class FigureTable(Table):
    """What a change adds to a figure, or takes from it; the sum over all rows of a figure is its value.

    Triggers append to it, so that no two transactions want the same row. `is_sum`: rows that were folded into one.
    `kind` is the table that is counted (`subscriptions`, `validations`, `processes`; of these `subject` is the product
    or workflow, `flag` whether it is in sync, has a validation planned, is a task), or `steps` and `calls`, whose
    durations are counted up to `bound` seconds.
    """

    __tablename__ = "figures"

    figure_id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    subject: Mapped[UUID | None]
    name: Mapped[str | None] = mapped_column(String(255))
    status: Mapped[str | None] = mapped_column(String(50))
    flag: Mapped[bool | None]
    bound: Mapped[float | None]
    number: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[Decimal] = mapped_column(Numeric(24, 6), server_default=text("0"))
    is_sum: Mapped[bool] = mapped_column(server_default=text("false"))
