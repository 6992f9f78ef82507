"""Imports rows batch by batch, each in a transaction of its own, and reports what was refused and why."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import SubscriptionTable
from resources.domain.bulk import NewRows, insert_rows
from resources.domain.subscription_model import SubscriptionModel
from resources.errors import NotStorable, OrchestratorError
from resources.service_import.files import ServiceRow
from resources.service_import.references import Neighbours
from resources.service_import.service_models import Draft, RowReading, RowRefused

BATCH = 500
MOST_SHOWN = 1000
"""Of so many refused rows the report has the reason; it counts all of them."""
LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext("service import")))

READS_ONLY = sa.text("SET TRANSACTION READ ONLY")

T = TypeVar("T")
R = TypeVar("R")
Check = Callable[[SubscriptionModel], str | None]
"""Why a subscription of the current transaction is not what it says; None if it is."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was not imported."""

    row: int
    reason: str


@dataclass
class ImportReport:
    """What became of the rows. `present`: their subscriptions were there already, and stay as they are."""

    imported: int = 0
    present: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True)
class ServiceImport:
    """An import into a database. `check` sees each subscription before it is committed; `refuse` gets refused rows.

    `source` is the reason in the history. With `is_dry_run` all is done in one transaction, and rolled back.
    """

    database: SubscriptionDatabase
    reading: RowReading
    source: str
    check: Check | None = None
    refuse: Callable[[ServiceRow, str], None] = lambda _row, _reason: None
    is_dry_run: bool = False

    def run(self, rows: Iterable[ServiceRow], done: Callable[[int], object] = lambda _number: None) -> ImportReport:
        """Import the rows; commits each batch. Tells `done` of each row. May run again, also after it was killed."""
        report, rest = ImportReport(), iter(rows)
        with self._whole():
            while batch := list(islice(rest, BATCH)):
                with self.database.transaction():
                    found = _Batch(self).run(batch)
                report.imported += found.imported
                report.present += found.present
                for row, reason in sorted(found.refused, key=lambda one: one[0].number):
                    self.refuse(row, reason)
                    report.refused += 1
                    report.refusals += [Refusal(row.number, reason)] if report.refused <= MOST_SHOWN else []
                done(len(batch))
        return report

    @contextmanager
    def _whole(self) -> Iterator[None]:
        if not self.is_dry_run:
            yield
            return
        with self.database.transaction() as session:  # which the transactions of batches join
            yield
            session.rollback()


class _Batch:
    def __init__(self, whole: ServiceImport) -> None:
        self.whole = whole
        self.imported = self.present = 0
        self.refused: list[tuple[ServiceRow, str]] = []

    def run(self, rows: list[ServiceRow]) -> "_Batch":
        """Import rows in the current transaction, in a constant number of statements."""
        current_session().execute(LOCK)  # so that two imports do not find the same row new
        drafts = self._new(self._each([(row, row) for row in rows], self.whole.reading.draft))
        named = self._each(drafts, lambda draft: (draft, list(draft.references())))
        find = Neighbours(one for _, (_, references) in named for one in references)
        made = self._each(named, lambda one: NewRows.of(one[0].model(find)))
        if self.whole.check is not None:
            with _undone():
                made = self._each(self._written(made), self._checked)
        self.imported = len(self._written(made))
        return self

    def _each(self, things: list[tuple[ServiceRow, T]], do: Callable[[T], R]) -> list[tuple[ServiceRow, R]]:
        """What is made of the things; rows of which nothing can be made are refused."""
        kept = []
        for row, thing in things:
            try:
                kept.append((row, do(thing)))
            except OrchestratorError as error:
                self.refused.append((row, str(error)))
            except Exception as error:  # noqa: BLE001  an organisation's model may raise anything
                said = (str(error).splitlines() or [""])[0]
                self.refused.append((row, f"{type(error).__name__}: {said}"))
        return kept

    def _new(self, drafts: list[tuple[ServiceRow, Draft]]) -> list[tuple[ServiceRow, Draft]]:
        """Those whose subscriptions are not there; a key that the file has twice is refused the second time."""
        table = SubscriptionTable
        ids = [draft.subscription_id for _, draft in drafts]
        query = sa.select(table.subscription_id, table.created_at).where(table.subscription_id.in_(ids))
        there: dict[UUID, datetime] = {row.subscription_id: row.created_at for row in current_session().execute(query)}
        kept = []
        for row, draft in drafts:
            created = there.get(draft.subscription_id)
            if created is None:
                there[draft.subscription_id] = self.whole.reading.now
                kept.append((row, draft))
            elif created == self.whole.reading.now:
                self.refused.append((row, "the key is that of a row before it in the file"))
            else:
                self.present += 1
        return kept

    def _written(self, made: list[tuple[ServiceRow, NewRows]]) -> list[tuple[ServiceRow, NewRows]]:
        """Insert them; if the database refuses, one by one, to know which."""
        try:
            with current_session().begin_nested():
                insert_rows((rows for _, rows in made), self.whole.reading.now, self.whole.source)
        except (IntegrityError, NotStorable) as error:
            if len(made) > 1:
                return [kept for one in made for kept in self._written([one])]
            said = error.orig if isinstance(error, IntegrityError) else error
            self.refused.append((made[0][0], f"the database refuses it: {' '.join(str(said).splitlines()[:2])}"))
            return []
        return made

    def _checked(self, rows: NewRows) -> NewRows:
        assert self.whole.check is not None, "it is asked for only then"
        with _undone() as session:
            session.execute(READS_ONLY)
            if reason := self.whole.check(rows.subscription):
                raise RowRefused(reason)
        return rows


@contextmanager
def _undone() -> Iterator[Session]:
    """A savepoint to which the transaction returns at the end."""
    session = current_session()
    savepoint = session.begin_nested()
    try:
        yield session
    finally:
        savepoint.rollback()
