"""Validates the fleet in batches: claims what is due, compares many subscriptions at once, records each by itself."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Any, Protocol
from uuid import UUID, uuid5

from ops.starting.admission import StartRequest, admit
from ops.steps.arguments import arguments_of
from ops.steps.context import StepContext
from ops.steps.failure_words import reason_of
from ops.steps.step import Step, step
from ops.steps.workflow import Workflow
from ops.validating.single import validate_one
from resources import clock
from resources.catalogue.catalogue import Catalogue
from resources.database.session import SubscriptionDatabase
from resources.domain.saving.reading import ReadAhead, read_ahead
from resources.errors import OrchestratorError, ProcessExists, RunMayNotAct, TransportError, UnknownSubscription
from resources.processes import process_rows, validations
from resources.processes.waits import Wait, WaitKind
from resources.settings import settings
from resources.types import State, Target, ValidationResult
from resources.validations import due, results
from resources.validations.due import Claimed, Validated
from resources.validations.pace import next_due, unreachable_pause
from resources.validations.results import Outcome

log = logging.getLogger(__name__)

CLAIMED_PER_THREAD = 12
"""How many subscriptions a batch claims at a time, for each of its threads."""
LOOK_SECONDS, RENEW_SECONDS = 1.0, 60.0
"""How often a batch looks whether it is to stop, and how often it renews the lease of what it has claimed."""
LINES = 25
"""How many lines of what passed one event of Dagster has: an event each would cost as much as the comparison."""
SHOWN = 20
"""How many refusals the state lists; the log has all."""


class Fleet(Protocol):
    """What validations need of their orchestrator, read when needed: their task is one of its workflows."""

    @property
    def workflows(self) -> Mapping[str, Workflow]:
        """Its workflows by name."""

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""


def validations_of(workflows: Mapping[str, Workflow], product_type: str) -> list[Workflow]:
    """The workflows that validate subscriptions of a product type."""
    return [one for one in workflows.values() if one.target is Target.VALIDATE and one.may_run_on(product_type)]


def validated_products(fleet: Fleet, product_types: Iterable[str] | None = None) -> dict[str, Validated]:
    """The products that have a validate workflow, by name; those of some types only, if they are given."""
    found = {}
    for product in fleet.catalogue.products:
        own = validations_of(fleet.workflows, product.product_type)
        if own and (product_types is None or product.product_type in product_types):
            statuses = frozenset(status for one in own for status in one.rule.usable_when)
            systems = frozenset(key for one in own for key in systems_of(one))
            is_single = any(one.why_not_in_batch for one in own)
            found[product.name] = Validated(product.name, statuses, systems, is_single)
    return found


def systems_of(workflow: Workflow) -> frozenset[str]:
    """The names of the resources that a workflow's steps take, apart from the database."""
    steps = [step for place in workflow.ledger_steps for step in (place.step, *getattr(place.step.each, "steps", ()))]
    return frozenset(key for step in steps for key in arguments_of(step.function).resource_keys) - {"database"}


def make_due(fleet: Fleet, product_types: Callable[[State], set[str]]) -> Step:
    """Make a step that makes all subscriptions of some product types due that can be validated.

    Adds `subscriptions_due`, how many, and `due_at`, since when.
    """

    @step("Make subscriptions due")
    def make_subscriptions_due(state: State, database: SubscriptionDatabase) -> State:
        products, now = validated_products(fleet, product_types(state)), clock.now()
        number = 0
        after: UUID | None = UUID(int=0)
        with database.detached():
            while after is not None:
                with database.transaction():
                    made, after = due.make_all_due(products.values(), now, after)
                number += made
        return {"subscriptions_due": number, "due_at": now.isoformat()}

    return make_subscriptions_due


def validate_due(fleet: Fleet, needs: frozenset[str], product_types: Callable[[State], set[str]] | None = None) -> Step:
    """Make a step that validates what is due: a batch of it, or, with `product_types`, all of them due at `due_at`.

    `needs` are the resources of the validate workflows. Each subscription is a transaction of its own; drift is a
    result, and no failure. Stopped, the step leaves what it has not validated due, and continues with the rest. Adds
    `validated` (how many by result), `validations_started` (those that need a process of their own),
    `validations_refused` and `refusals`.
    """

    @step("Validate subscriptions")
    def validate_subscriptions(state: State, context: StepContext, database: SubscriptionDatabase) -> State | Wait:
        is_whole = product_types is not None
        batch = Batch(
            fleet,
            context,
            database,
            products=validated_products(fleet, product_types(state) if product_types else None),
            before=datetime.fromisoformat(state["due_at"]) if is_whole else clock.now(),
            most=None if is_whole else settings().validation_batch_size,
        )
        is_done = batch.run()
        with database.transaction(read_only=True):
            counts, drifted = results.of_process(context.process_id)
        context.shown.update(counts, drift=drifted)
        if is_whole and not is_done:
            return Wait(WaitKind.PAUSE, reason="The engine is paused.")
        return {
            "validated": counts,
            "validations_started": batch.started,
            "validations_refused": len(batch.refusals),
            "refusals": batch.refusals[:SHOWN],
        }

    return replace(validate_subscriptions, needs=needs)


@dataclass
class Batch:
    """The validation of due subscriptions by one process: `most` of them, or all that were due `before`."""

    fleet: Fleet
    context: StepContext
    database: SubscriptionDatabase
    products: Mapping[str, Validated]
    before: datetime
    most: int | None
    claimed: int = 0
    started: int = 0
    refusals: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def run(self) -> bool:
        """Validate; False when the engine was paused, and something may be left. Raises RunMayNotAct when the process
        is aborted. What is claimed and not validated is due again at its end.
        """
        threads, holder = settings().validation_threads, self.context.process_id
        self.database.keep_connections(threads + 2)
        due_again = self.before
        with self.database.detached():
            self._begin()
            pool = ThreadPoolExecutor(threads, "validation")
            try:
                is_done = self._work(pool, threads)
                due_again = clock.now() + unreachable_pause() if is_done else self.before
            except (RunMayNotAct, TransportError):
                raise
            except Exception:  # the next batch may meet it again
                due_again = clock.now() + unreachable_pause()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
                self._log()
                with suppress(TransportError), self.database.transaction():  # otherwise its lease ends
                    due.release(holder, due_again)
        return is_done

    def _begin(self) -> None:
        """Take up what an earlier run of this process had claimed, and follow ages that became shorter."""
        with self.database.transaction():
            due.release(self.context.process_id, self.before)
            due.follow_shorter_ages(due.backlog(self.products.values()))

    def _work(self, pool: ThreadPoolExecutor, threads: int) -> bool:
        found: SimpleQueue[tuple[Claimed, list[tuple[Outcome, bool]] | BaseException]] = SimpleQueue()
        running, is_empty, looked, renewed = 0, False, time.monotonic(), time.monotonic()
        while True:
            if (running < threads and not is_empty) or not running:
                taken = self._claim(threads * CLAIMED_PER_THREAD)
                is_empty = not taken
                with self.database.statements():  # one, where each would send one of its own
                    ahead = read_ahead(one.subscription_id for one in taken) if taken else {}
                for one in taken:
                    pool.submit(copy_context().run, self._validate, one, ahead.get(one.subscription_id), found.put)
                running += len(taken)
            if not running:
                return True
            with suppress(Empty):
                one, outcomes = found.get(timeout=LOOK_SECONDS)
                running -= 1
                if isinstance(outcomes, BaseException):
                    raise outcomes
                self._report(one, outcomes)
            now = time.monotonic()
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._log()
                if self._is_paused():
                    return False
            if now - renewed >= RENEW_SECONDS:
                renewed = now
                with self.database.transaction():
                    due.renew(self.context.process_id)

    def _is_paused(self) -> bool:
        with self.database.statements():
            return process_rows.is_paused_for(self.context.process_id, self.context.run_id)

    def _claim(self, number: int) -> list[Claimed]:
        """The next subscriptions to compare here; those that need a process of their own are started."""
        while (limit := number if self.most is None else min(number, self.most - self.claimed)) > 0:
            with self.database.transaction():
                singles = None if self.most is None else self._singles()
                taken, passed_over = due.claim(
                    self.products, self.context.process_id, limit=limit, before=self.before, singles=singles
                )
            self.claimed += len(taken)
            alone = [one for one in taken if self.products[one.product].is_single]
            for one in alone:
                self._start(one)
            if len(alone) < len(taken):
                return [one for one in taken if not self.products[one.product].is_single]
            if not taken and not passed_over:
                return []
        return []

    def _singles(self) -> int | None:
        """How many validations may be started that need a process of their own."""
        if not any(one.is_single for one in self.products.values()):
            return None
        return max(0, settings().validations_at_once - validations.under_way())

    def _start(self, one: Claimed) -> None:
        """Start the validations of a subscription as processes, once for this batch. Commits."""
        for workflow in self._workflows(one):
            process_id = uuid5(self.context.process_id, f"{workflow.name}:{one.subscription_id}")
            page = {"subscription_id": str(one.subscription_id)}
            request = StartRequest(workflow, [page], self.context.user, process_id, run_id=str(process_id))
            try:
                with suppress(ProcessExists):  # this batch has started it before
                    admit(request, self.database)
                self.context.ready.append(process_id)
                self.started += 1
            except OrchestratorError as error:
                self.context.log.warning("%s: %s", one.subscription_id, error)
                self.refusals.append(f"{one.subscription_id}: {error}")

    def _workflows(self, one: Claimed) -> list[Workflow]:
        kind = next(each.product_type for each in self.fleet.catalogue.products if each.name == one.product)
        own = validations_of(self.fleet.workflows, kind)
        return [workflow for workflow in own if one.status in workflow.rule.usable_when]

    def _validate(self, one: Claimed, ahead: ReadAhead | None, put: Callable[[Any], None]) -> None:
        """Compare a subscription and record what was found, in a thread."""
        try:
            put((one, self._outcomes(one, ahead)))
        except UnknownSubscription:  # it was deleted meanwhile
            put((one, []))
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            put((one, error))

    def _outcomes(self, one: Claimed, ahead: ReadAhead | None) -> list[tuple[Outcome, bool]]:
        context, database = self.context, self.database
        found = [
            validate_one(workflow, one.subscription_id, database, context.resources, log, ahead)
            for workflow in self._workflows(one)
        ]
        try:
            return self._recorded(one, found)
        except TransportError:
            raise
        except Exception as error:  # noqa: BLE001  # what was found cannot be stored, and the next batch would find it
            reason, nothing = reason_of(error), ValidationResult.FAILED
            return self._recorded(one, [replace(each, result=nothing, differences=(), reason=reason) for each in found])

    def _recorded(self, one: Claimed, found: list[Outcome]) -> list[tuple[Outcome, bool]]:
        context, database = self.context, self.database
        due_at = min(next_due(outcome.result, one.product) for outcome in found)
        is_alone = len(found) == 1 and not one.has_drifted  # then one statement records it
        with database.statements() if is_alone else database.transaction():
            return [
                (
                    outcome,
                    results.record(
                        outcome,
                        process_id=context.process_id,
                        run_id=context.run_id,
                        user=context.user,
                        due_at=due_at,
                        holder=context.process_id,
                        is_last=outcome is found[-1],
                    ),
                )
                for outcome in found
            ]

    def _report(self, one: Claimed, outcomes: list[tuple[Outcome, bool]]) -> None:
        for outcome, is_recorded in outcomes:
            said = outcome.result.value
            if outcome.differences:
                places = [one["path"] or str(one["found"]) for one in outcome.differences[:SHOWN]]
                said += f" at {', '.join(places)}"
            if outcome.reason:
                said += f": {outcome.reason}"
            if not is_recorded:
                said += "; not recorded, for a process holds or has changed it: it is due again"
            self.lines.append(f"{one.subscription_id} {outcome.workflow}: {said}")
        if len(self.lines) >= LINES or any(outcome.result is not ValidationResult.PASSED for outcome, _ in outcomes):
            self._log()

    def _log(self) -> None:
        if self.lines:
            self.context.log.info("\n".join(self.lines))
        self.lines = []
