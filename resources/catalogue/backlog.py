"""The subscriptions that a change of the catalogue has yet to reach, and bringing a batch of them up to the models."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resources.database.catalogue_tables import BacklogTable
from resources.database.session import current_session
from resources.database.tables import ProductTable, SubscriptionInstanceTable, SubscriptionTable
from resources.domain.refreshing import refresh
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import InvalidBlocks

BATCH = 200
"""How many subscriptions one transaction brings up; a save of one of them waits so long."""
SHOWN = 5

Chooser = Callable[[SubscriptionModel], bool]
Splits = Mapping[str, tuple[tuple[str, Chooser], ...]]
"""Product -> the products that take some of its subscriptions over, each with the function that chooses these."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many subscriptions wait: those that a process holds are `held`, those that failed are `faulty`."""

    waiting: int
    held: int
    faulty: int
    faults: tuple[tuple[UUID, str], ...] = ()

    @property
    def total(self) -> int:
        """All that are not brought up."""
        return self.waiting + self.held + self.faulty

    def __str__(self) -> str:
        parts = {"wait": self.waiting, "are held by a process": self.held, "cannot be brought up": self.faulty}
        return ", ".join(f"{number:,} {what}" for what, number in parts.items() if number) or "none waits"


def enqueue(blocks: Iterable[str] = (), products: Iterable[str] = ()) -> None:
    """Add the subscriptions to these products, and those with these blocks; the caller commits."""
    subscription, instance = SubscriptionTable.subscription_id, SubscriptionInstanceTable
    of_blocks = sa.select(instance.subscription_id).where(instance.product_block.in_(list(blocks)))
    named = sa.select(ProductTable.product_id).where(ProductTable.name.in_(list(products)))
    of_products = sa.select(subscription).where(SubscriptionTable.product_id.in_(named))
    add = insert(BacklogTable).from_select(["subscription_id"], of_blocks.union(of_products))
    again = add.on_conflict_do_update(index_elements=["subscription_id"], set_={"fault": None})
    current_session().execute(again)


def read_backlog(mine: sa.ColumnElement[bool]) -> Backlog:
    """What waits, of the products on which a location works."""
    fault, held = BacklogTable.fault, SubscriptionTable.locked_by
    counts = [
        sa.func.count().filter(fault.is_(None), held.is_(None)),
        sa.func.count().filter(fault.is_(None), held.is_not(None)),
        sa.func.count().filter(fault.is_not(None)),
    ]
    session = current_session()
    waiting, stuck, faulty = session.execute(_of(mine, *counts)).one()
    shown = _of(mine, BacklogTable.subscription_id, fault).where(fault.is_not(None)).limit(SHOWN)
    faults = tuple((row[0], row[1]) for row in session.execute(shown)) if faulty else ()
    return Backlog(waiting, stuck, faulty, faults)


def has_backlog(mine: sa.ColumnElement[bool]) -> bool:
    """Whether anything waits."""
    return current_session().execute(_of(mine, BacklogTable.subscription_id).limit(1)).first() is not None


def _of(mine: sa.ColumnElement[bool], *columns: Any) -> sa.Select[*tuple[Any, ...]]:
    return (
        sa.select(*columns)
        .select_from(BacklogTable)
        .join(SubscriptionTable, SubscriptionTable.subscription_id == BacklogTable.subscription_id)
        .join(ProductTable, ProductTable.product_id == SubscriptionTable.product_id)
        .where(mine)
    )


def forget_faults(mine: sa.ColumnElement[bool]) -> None:
    """Let the next batches try again what has failed; the caller commits."""
    failed = _of(mine, BacklogTable.subscription_id).where(BacklogTable.fault.is_not(None))
    again = sa.update(BacklogTable).where(BacklogTable.subscription_id.in_(failed)).values(fault=None)
    current_session().execute(again, execution_options={"synchronize_session": False})


def bring_up_batch(mine: sa.ColumnElement[bool], splits: Splits) -> tuple[int, int]:
    """Bring up the next subscriptions that no process holds: how many are done, and how many failed.

    Works in the current transaction, in a number of statements that the size of the batch does not change; the caller
    commits. Their rows are locked, so no process takes one meanwhile. What fails keeps its fault, and its data.
    """
    session = current_session()
    next_ones = (
        _of(mine, BacklogTable.subscription_id)
        .where(BacklogTable.fault.is_(None), SubscriptionTable.locked_by.is_(None))
        .order_by(BacklogTable.subscription_id)
        .limit(BATCH)
        .with_for_update(of=SubscriptionTable, skip_locked=True)
    )
    ids = [row[0] for row in session.execute(next_ones)]
    if not ids:
        return 0, 0
    faults = refresh(ids, _product_ids(splits))
    done = [one for one in ids if one not in faults]
    session.execute(sa.delete(BacklogTable).where(BacklogTable.subscription_id.in_(done)))
    if faults:
        failed = sa.values(sa.column("id", sa.Uuid), sa.column("fault", sa.Text), name="failed").data(
            [(key, fault[:2000]) for key, fault in faults.items()]
        )
        told = sa.update(BacklogTable).where(BacklogTable.subscription_id == failed.c.id)
        session.execute(told.values(fault=failed.c.fault), execution_options={"synchronize_session": False})
    return len(done), len(faults)


def _product_ids(splits: Splits) -> Callable[[SubscriptionModel], UUID | None]:
    """A function that gives the product to which a subscription goes over; None for its own."""
    names = {name for targets in splits.values() for name, _ in targets}
    query = sa.select(ProductTable.name, ProductTable.product_id).where(ProductTable.name.in_(names))
    ids = {row.name: row.product_id for row in current_session().execute(query)} if names else {}

    def goes_to(model: SubscriptionModel) -> UUID | None:
        for name, chooses in splits.get(model.product.name, ()):
            try:
                is_chosen = chooses(model)
            except Exception as error:  # a function of an organisation raises what it likes
                raise InvalidBlocks(
                    f"Whether it goes to '{name}' is unknown: {type(error).__name__}: {error}"
                ) from error
            if is_chosen:
                return ids.get(name)
        return None

    return goes_to
