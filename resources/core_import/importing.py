"""Imports a database of orchestrator-core: products are matched, subscriptions and processes come over in batches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from resources.core_import.conversion import convert, used_by
from resources.core_import.findings import Outcome, Report
from resources.core_import.past_processes import PastProcesses, ended, unknown_workflows, workflow_ids
from resources.core_import.products import match_products
from resources.core_import.source import Batch, CoreDatabase, ProcessBatch, Row
from resources.core_import.stored import (
    REASON,
    Extras,
    Stored,
    differences,
    extras_of,
    in_words,
    insert_extras,
    read_stored,
    replace,
    replace_extras,
)
from resources.database.copying import vacuum
from resources.database.session import SubscriptionDatabase, current_session
from resources.database.tables import ProcessTable
from resources.domain.bulk import NewRows, insert_rows
from resources.domain.saving.authorship import Author, authored_by
from resources.domain.saving.records import ProductRecord
from resources.errors import OrchestratorError

SUBSCRIPTIONS, PROCESSES = 500, 200
"""So many come over in one transaction."""
MANY = 1000
"""From so many new rows on the tables are vacuumed and analysed."""
LOCK = "orchestrator import core"


@dataclass(frozen=True)
class Options:
    """How an import writes; neither of the last two: what is here already stays as it is."""

    user: str
    is_dry: bool = False
    updates: bool = False
    """Take over what was changed there since it was imported, unless it was changed here, too."""
    overwrites: bool = False
    """Also where it was changed here."""


@dataclass
class CoreImport:
    """One import from `source` into `database`, of which one runs at a time; `done` is told of each batch."""

    source: CoreDatabase
    database: SubscriptionDatabase
    options: Options
    report: Report
    done: Callable[[str, int], object] = lambda _kind, _number: None
    _products: Mapping[UUID, ProductRecord] = field(default_factory=dict)
    _left_out: dict[UUID, str] = field(default_factory=dict)
    _early: set[UUID] = field(default_factory=set)
    """Those that came before their turn, because one before them uses their blocks."""

    def run(self) -> Report:
        """Import everything. Needs the catalogue of the code in the database; may run again, and then continues."""
        with self.database.advisory_lock(LOCK), authored_by(Author(self.options.user)):
            with self.database.transaction(read_only=True):
                self._products = match_products(self.source.products(), self.report)
            for batch in self.source.subscriptions(SUBSCRIPTIONS):
                self._take(batch)
                self.done("subscription", len(batch.wanted))
            self._take_processes()
            if not self.options.is_dry and sum(one["imported"] for one in self.report.counts.values()) >= MANY:
                vacuum(self.database)
        return self.report

    # --- subscriptions ---

    def _take(self, batch: Batch) -> None:
        first = batch.wanted[0]
        turn = [key for key in batch.headers if key >= first and key not in self._early]
        self._early -= set(batch.wanted)
        self._early |= set(turn) - set(batch.wanted)
        try:
            with self.database.transaction(read_only=self.options.is_dry):
                told = self._write(batch, turn)
        except (psycopg.Error, DBAPIError):
            self._take_each(batch, turn)
        else:
            self._tell(told)

    def _take_each(self, batch: Batch, turn: list[UUID]) -> None:
        """Again, each in a transaction of its own, after those that it needs: one does not keep the others out."""
        failed: dict[UUID, str] = dict.fromkeys(turn, "")
        while failed:
            before = len(failed)
            for key in list(failed):
                try:
                    with self.database.transaction(read_only=self.options.is_dry):
                        told = self._write(batch, [key])
                except (psycopg.Error, DBAPIError) as error:
                    failed[key] = _refusal(error)
                else:
                    del failed[key]
                    self._tell(told)
            if len(failed) == before:
                break
        for key, reason in failed.items():
            self._leave_out(key, reason)

    def _write(self, batch: Batch, turn: list[UUID]) -> "list[Told]":
        """Write these in the current transaction; what to tell of them once it is committed."""
        here = read_stored(batch.headers)
        extras = extras_of(batch.descriptions, batch.metadata)
        told: list[Told] = []
        new: dict[UUID, NewRows] = {}
        for key in turn:
            made = self._made(batch, key)
            if isinstance(made, str):
                told.append((key, Outcome.LEFT_OUT, made))
                continue
            rows, lost = made
            told += [(key, Outcome.PART_LEFT_OUT, each) for each in lost]
            if key in here:
                told.append((key, *self._compared(batch, here[key], rows, extras.get(key, Extras()))))
            else:
                new[key] = rows
        left_out = {key for key, outcome, _ in told if outcome is Outcome.LEFT_OUT}
        told += list(self._without_owners(batch, new, left_out, here))
        told += [(key, Outcome.IMPORTED, "") for key in new]
        if new and not self.options.is_dry:
            insert_rows(new.values(), reason=REASON)
            insert_extras(batch, new.keys())
        return told

    def _made(self, batch: Batch, key: UUID) -> tuple[NewRows, list[str]] | str:
        """A subscription as rows, with what is lost of it; or why it cannot be."""
        if batch.headers[key]["product_id"] not in self._products:
            return "Its product is left out."
        try:
            converted = convert(batch, key, self._products)
            return NewRows.of(converted.model), converted.lost
        except (OrchestratorError, ValidationError, ValueError) as error:
            return reason_of(error)
        except Exception as error:  # noqa: BLE001  # a validator is an organisation's code, which may raise anything
            return f"Its model fails with {type(error).__name__}: {error}"

    def _compared(self, batch: Batch, stored: Stored, rows: NewRows, extras: Extras) -> tuple[Outcome, str]:
        """Compare with what is here, and replace that if it is to be."""
        found = list(differences(stored, rows, extras))
        if not found:
            return Outcome.UNCHANGED, ""
        is_same = stored.extras == extras
        is_old = not stored.is_changed_here and is_same
        if not (self.options.overwrites or (self.options.updates and is_old)):
            hint = "--update" if is_old else "--overwrite"
            where = "there" if is_old else "here" if is_same else "here or there"
            since = f"It was changed {where} since it was imported"
            return Outcome.DIFFERS, f"{since}: {in_words(found)}. {hint} takes over what is there."
        if stored.locked_by is not None:
            busy = f"Process {stored.locked_by} is changing it"
            return Outcome.DIFFERS, f"{busy}: {in_words(found)}. Import again when it has ended."
        if not self.options.is_dry:
            replace(rows)
            replace_extras(batch, [rows.subscription.subscription_id])
        return Outcome.UPDATED, f"{in_words(found)}."

    def _without_owners(
        self, batch: Batch, new: dict[UUID, NewRows], left_out: set[UUID], here: Mapping[UUID, Stored]
    ) -> "Iterator[Told]":
        """Take those out of `new` that use a block of one that is not imported."""
        missing = (left_out | self._left_out.keys()) - here.keys()
        is_settled = False
        while not is_settled:
            is_settled = True
            for key in list(new):
                used = next((each for each in used_by(batch, key) if each.subscription_id in missing), None)
                if used is not None:
                    del new[key]
                    missing.add(key)
                    is_settled = False
                    block = f"block {used.product_block} {used.id} of subscription {used.subscription_id}"
                    yield key, Outcome.LEFT_OUT, f"It uses {block}, which is left out."

    def _tell(self, told: "Iterable[Told]") -> None:
        for key, outcome, reason in told:
            if outcome is Outcome.LEFT_OUT:
                self._leave_out(key, reason)
            elif reason:
                self.report.tell("subscription", key, outcome, reason)
            else:
                self.report.count("subscription", outcome)

    def _leave_out(self, key: UUID, reason: str) -> None:
        self._left_out[key] = reason
        self.report.tell("subscription", key, Outcome.LEFT_OUT, reason)

    # --- processes ---

    def _take_processes(self) -> None:
        workflows = self.source.workflows()
        with self.database.transaction(read_only=self.options.is_dry):
            for name in unknown_workflows(workflows):
                why = "The code has no such workflow; its processes come over, and cannot be started again."
                self.report.tell("workflow", name, Outcome.PART_LEFT_OUT, why)
            ids = {} if self.options.is_dry else workflow_ids(workflows)
        past = PastProcesses(ids, self.database.location or "")
        for batch in self.source.processes(PROCESSES):
            try:
                told = self._write_processes(past, batch, batch.processes)
            except (psycopg.Error, DBAPIError):
                told = [one for row in batch.processes for one in self._process_alone(past, batch, row)]
            for key, outcome, reason in told:
                if reason:
                    self.report.tell("process", key, outcome, reason)
                else:
                    self.report.count("process", outcome)
            self.done("process", len(batch.processes))

    def _process_alone(self, past: PastProcesses, batch: ProcessBatch, row: Row) -> "list[Told]":
        try:
            return self._write_processes(past, batch, [row])
        except (psycopg.Error, DBAPIError) as error:
            return [(row["process_id"], Outcome.LEFT_OUT, _refusal(error))]

    def _write_processes(self, past: PastProcesses, batch: ProcessBatch, rows: list[Row]) -> "list[Told]":
        with self.database.transaction(read_only=self.options.is_dry):
            query = sa.select(ProcessTable.process_id, ProcessTable.last_modified_at)
            ids = [row["process_id"] for row in rows]
            here = dict(current_session().execute(query.where(ProcessTable.process_id.in_(ids))).all())
            told = [(row["process_id"], *self._outcome(row, here)) for row in rows]
            chosen = {key for key, outcome, _ in told if outcome in WRITTEN}
            if chosen and not self.options.is_dry:
                past.replace(batch, chosen)
        return told

    def _outcome(self, row: Row, here: Mapping[UUID, datetime]) -> tuple[Outcome, str]:
        at = here.get(row["process_id"])
        if at is None:
            sentence = ended(row)
            return (Outcome.ENDED, sentence) if sentence else (Outcome.IMPORTED, "")
        if at >= row["last_modified_at"]:
            return Outcome.UNCHANGED, ""
        if self.options.updates or self.options.overwrites:
            return Outcome.UPDATED, f"It is {row['last_status']} there now."
        return Outcome.DIFFERS, f"It went on there, and is {row['last_status']} now. --update takes it over."


WRITTEN = (Outcome.IMPORTED, Outcome.ENDED, Outcome.UPDATED)
Told = tuple[UUID, Outcome, str]


def reason_of(error: Exception) -> str:
    """Why a subscription cannot be made, in one line: the field, what is there and what the model expects."""
    if isinstance(error, ValidationError):
        faults = [
            f"{error.title}.{'.'.join(map(str, fault['loc']))}: {fault['msg']} (there it is {fault['input']!r:.60})"
            for fault in error.errors(include_url=False)
        ]
        notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("This is block")]
        return " ".join(["; ".join(faults) + ".", *notes[:1]])
    return str(error)


def _refusal(error: Exception) -> str:
    return f"The database refuses it: {str(getattr(error, 'orig', error)).splitlines()[0]}"
