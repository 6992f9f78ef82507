"""A test bed for workflows: run them on a database of the test's own, and assert on the result.

A pytest plugin beside `resources.testing`:

    pytest_plugins = ["resources.testing", "orchestrator_defs.testing"]

    def test_a_node_is_created(testbed_of, lab):
        bed = testbed_of(WORKFLOWS, products=PRODUCTS, resources={"netbox": lab.netbox})
        run = bed.run("create_node", [{"product": "Node"}, {"node_name": "ams1"}])
        run.assert_completed()

The engine is the real one: the form is validated, the rules are checked, each step is a transaction, and Dagster
runs the ops. Only the run is in the test's process, and the clock may be moved.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from dagster import DagsterInstance

from orchestrator_defs.jobs.decorators import WorkflowJob
from orchestrator_defs.jobs.orchestrator import Orchestrator
from orchestrator_defs.processes.processes import Processes
from resources.catalogue.catalogue import Product
from resources.database.session import SubscriptionDatabase
from resources.database.tables import ProcessStepTable, ProcessTable
from resources.domain.blocks import ProductBlockModel
from resources.domain.subscription_model import SubscriptionModel
from resources.processes import interventions, ledger, process_rows, waits
from resources.processes.waits import WaitKind
from resources.subscriptions.queries import find_product
from resources.types import ProcessId, ProcessStatus, State, SubscriptionId, SubscriptionLifecycle
from resources.users import SYSTEM

TESTER = "tester"


class Testbed:
    """An orchestrator with its catalogue applied, and a Dagster instance that runs its workflows in this process."""

    __test__ = False

    def __init__(self, orchestrator: Orchestrator, instance: DagsterInstance) -> None:
        self.orchestrator = orchestrator
        self.instance = instance
        self.processes = Processes(orchestrator, instance)
        with orchestrator.database.transaction():
            orchestrator.catalogue.apply()

    @property
    def database(self) -> SubscriptionDatabase:
        """The test's database."""
        return self.orchestrator.database

    def run(self, workflow: str, inputs: Any = None, *, user: str = TESTER) -> "Run":
        """Start a workflow and run it until it stops. Raises as `ProcessStart.start`; nothing was written then."""
        run = Run(self, self.processes.starts.start(workflow, inputs, user=user))
        return run.execute(user=user)

    def wake(self) -> "list[Run]":
        """Do the daemon's work: end the waits that are due, and run those processes."""
        return [Run(self, process_id).execute(user=SYSTEM) for process_id in self.processes.answers.wake()]

    def add(
        self,
        product: str,
        *,
        description: str = "",
        customer_id: str = "customer",
        status: SubscriptionLifecycle = SubscriptionLifecycle.ACTIVE,
        **blocks: Mapping[str, Any],
    ) -> Any:
        """Save a subscription, in sync, without its create workflow, in one transaction.

        `blocks` are the values of its root blocks by field: `bed.add("Node", node={"node_name": "ams1"})`.
        """
        with self.database.transaction():
            made: Any = SubscriptionModel.from_product_id(find_product(product).product_id, customer_id, insync=True)
            made.description = description
            for name, values in blocks.items():
                _fill(getattr(made, name), values)
            subscription = SubscriptionModel.from_other_lifecycle(made, status)
            subscription.save()
            return subscription

    def subscription(self, subscription_id: SubscriptionId | str) -> Any:
        """A subscription as it is now."""
        with self.database.transaction(read_only=True):
            return SubscriptionModel.from_subscription(UUID(str(subscription_id)))

    def assert_blocks(self, subscription_id: SubscriptionId | str, expected: Mapping[str, Any]) -> None:
        """The subscription has these values, by field, at any depth; other fields may have any value."""
        found = self.subscription(subscription_id).model_dump(mode="json")
        differences = list(_differences(expected, found, ""))
        assert not differences, f"Subscription {subscription_id}: {'; '.join(differences)}"


@dataclass(frozen=True)
class Run:
    """A process under test. Each method runs it until it stops, and returns it."""

    bed: Testbed
    process_id: ProcessId

    @property
    def children(self) -> "list[Run]":
        """The processes that it has started."""
        with self.bed.database.transaction(read_only=True):
            return [Run(self.bed, child.process_id) for child in process_rows.children_of(self.process_id)]

    # --- what can be done to it ---

    def run_children(self) -> "list[Run]":
        """Run the children that are new or resumed, one after the other, each until it stops."""
        found = self.bed.processes.runs.children_to_launch(self.process_id)
        return [Run(self.bed, child).execute(user=SYSTEM) for child in found]

    def execute(self, *, user: str = TESTER) -> "Run":
        """Run it until it stops, after its start or after it was resumed."""
        self.bed.processes.runs.execute(self.process_id, user=user)
        return self

    def answer(self, inputs: Any, *, user: str = TESTER) -> "Run":
        """Fill in the form for which it waits. Raises FormInvalid, FormIncomplete, NotWaiting."""
        self.bed.processes.answers.answer(self.process_id, inputs, user=user)
        return self.execute(user=user)

    def callback(self, result: Any) -> "Run":
        """Answer as the external system that it waits for."""
        with self.bed.database.transaction():
            (step_key, *_) = [w.step_key for w in waits.find_open(self.process_id) if w.kind == WaitKind.CALLBACK]
            token = waits.create_token(self.process_id, step_key)  # only the action has seen the first token
        self.bed.processes.answers.callback(self.process_id, token, result)
        return self.execute(user=SYSTEM)

    def retry(self, *, user: str = TESTER) -> "Run":
        """Retry the step that failed, or that waits for a retry."""
        self.bed.processes.interventions.resume(self.process_id, user=user)
        return self.execute(user=user)

    def skip(self, *, reason: str = "test", changes: Mapping[str, Any] | None = None, user: str = TESTER) -> "Run":
        """Skip the step at which it failed; `changes` is what the step would have added to the state."""
        self.bed.processes.interventions.skip(self.process_id, user=user, reason=reason, changes=changes)
        return self.execute(user=user)

    def back(self, to: str, *, reason: str = "test", user: str = TESTER) -> "Run":
        """Send it back to a committed step."""
        self.bed.processes.interventions.go_back(self.process_id, to, user=user, reason=reason)
        return self.execute(user=user)

    def abort(self, *, user: str = TESTER) -> interventions.Aborted:
        """Abort it."""
        return self.bed.processes.interventions.abort(self.process_id, user=user)

    # --- what can be seen of it ---

    @property
    def row(self) -> ProcessTable:
        """Its row as it is now."""
        with self.bed.database.transaction(read_only=True) as session:
            found = process_rows.get_process(self.process_id)
            session.expunge(found)
            return found

    @property
    def status(self) -> ProcessStatus:
        """Its status."""
        return ProcessStatus(self.row.last_status)

    @property
    def state(self) -> State:
        """Its state now."""
        return self.row.state

    @property
    def ledger(self) -> dict[str, ProcessStepTable]:
        """Its ledger in order, by step key."""
        with self.bed.database.transaction(read_only=True):
            return {line.step_key: line for line in ledger.steps_of(self.process_id)}

    @property
    def steps(self) -> dict[str, str]:
        """The outcome of each attempted step, in order."""
        return {key: line.status for key, line in self.ledger.items()}

    @property
    def subscription_id(self) -> UUID:
        """The one subscription that it works on."""
        with self.bed.database.transaction(read_only=True):
            (found,) = process_rows.subscriptions_of(self.process_id)
            return found

    @property
    def subscription(self) -> Any:
        """That subscription as it is now."""
        return self.bed.subscription(self.subscription_id)

    # --- what must be so ---

    def assert_status(self, expected: ProcessStatus | str, *others: ProcessStatus) -> None:
        """It has this status, or one of `others`; otherwise the message has the step and the reason."""
        row = self.row
        story = f"at step {row.last_step!r}: {row.failed_reason or 'no failure'}\n{row.traceback or ''}"
        assert row.last_status in (expected, *others), f"The process is {row.last_status}, not {expected}, {story}"

    def assert_completed(self) -> None:
        """It is completed."""
        self.assert_status(ProcessStatus.COMPLETED)

    def assert_failed(self, reason: str = "", *, at: str | None = None) -> None:
        """It failed at the step of this key, in whatever way, with a reason that contains this text."""
        self.assert_status(ProcessStatus.FAILED, *(one for one in ProcessStatus if one.is_failure))
        found = self.row.failed_reason or ""
        assert reason in found, f"It failed for another reason: {found}"
        self._assert_at(at, "failed")

    def assert_drift(self, reason: str = "") -> None:
        """It found a difference between the subscription and reality, with a reason that contains this text."""
        self.assert_status(ProcessStatus.INCONSISTENT_DATA)
        found = self.row.failed_reason or ""
        assert reason in found, f"It found another difference: {found}"

    def assert_suspended(self, *, at: str | None = None) -> None:
        """It waits for input, at the step of this key."""
        self.assert_status(ProcessStatus.SUSPENDED)
        self._assert_at(at, "suspend")

    def assert_waiting(self, *, at: str | None = None) -> None:
        """It waits for a retry or a moment, at the step of this key."""
        self.assert_status(ProcessStatus.WAITING)
        self._assert_at(at, "waiting")

    def assert_awaiting_callback(self) -> None:
        """It waits for an external system."""
        self.assert_status(ProcessStatus.AWAITING_CALLBACK)

    def assert_aborted(self) -> None:
        """It was aborted."""
        self.assert_status(ProcessStatus.ABORTED)

    def assert_state(self, expected: Mapping[str, Any]) -> None:
        """The state has these values; other keys may have any value."""
        differences = list(_differences(expected, self.state, ""))
        assert not differences, f"State: {'; '.join(differences)}"

    def assert_step(self, key: str, status: str = "success") -> None:
        """The step of this key ended so."""
        found = self.steps
        assert found.get(key) == status, f"Step {key!r} is {found.get(key, 'not tried')}; the ledger has {found}"

    def _assert_at(self, key: str | None, status: str) -> None:
        if key is not None:
            self.assert_step(key, status)


def _fill(block: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping) and isinstance(held := getattr(block, name), ProductBlockModel):
            _fill(held, value)
        elif value and isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            for held, below in zip(getattr(block, name), value, strict=True):
                _fill(held, below)
        else:
            setattr(block, name, value)


def _differences(expected: Any, found: Any, where: str) -> Iterable[str]:
    """The differences to the expected values, path by path; additional values are allowed."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key, value in expected.items():
            path = f"{where}.{key}".lstrip(".")
            if key not in found:
                yield f"{path} is missing"
            else:
                yield from _differences(value, found[key], path)
    elif isinstance(expected, Sequence) and not isinstance(expected, str) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{where} has {len(found)} items, not {len(expected)}"
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _differences(one, other, f"{where}[{index}]")
    elif expected != found:
        yield f"{where} is {found!r}, not {expected!r}"


@pytest.fixture
def testbed_of(database: SubscriptionDatabase, instance: DagsterInstance) -> Callable[..., Testbed]:
    """Makes a testbed of workflows (and products, and external systems by name) on the test's database."""

    def make(
        workflows: Iterable[WorkflowJob],
        products: Iterable[Product] = (),
        resources: Mapping[str, Any] | None = None,
    ) -> Testbed:
        return Testbed(Orchestrator(products, workflows, resources, database), instance)

    return make
